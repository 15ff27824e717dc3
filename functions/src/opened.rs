//! What is open in memory for a while: access tokens between one mint and the next, secret tokens between webhooks.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use shared::timestamp::Timestamp;
use shared::zoom::ApiUrl;

/// How many are kept.
const CAPACITY: usize = 256;
/// How long one is kept. By the wall clock: a sandbox may be frozen in between.
const KEPT: Duration = Duration::from_mins(1);

/// An access token and what is needed to use it. Neither refresh token nor client secret.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) token: SecretString,
    /// Of which pair of its grant.
    pub(crate) generation: u64,
    pub(crate) expires_at: Timestamp,
    /// The user's REST host, where Zoom named one.
    pub(crate) api_url: Option<ApiUrl>,
    /// When the grant's code was sent to Zoom.
    pub(crate) authorize_sent_at: Timestamp,
}

impl Access {
    /// Whether it is good for longer than `margin`.
    pub(crate) fn outlasts(&self, margin: Duration) -> bool {
        Timestamp::now().plus(margin) < self.expires_at
    }
}

/// What one Lambda's memory holds. Wiped when it goes.
pub struct Opened<K, V>(Mutex<HashMap<K, (V, Timestamp)>>);

impl<K, V> Default for Opened<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, V> fmt::Debug for Opened<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opened([REDACTED])")
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Opened<K, V> {
    /// What was opened not long ago, and is still `good`.
    pub(crate) fn get(&self, key: &K, good: impl FnOnce(&V) -> bool) -> Option<V> {
        let mut opened = self.lock();
        let now = Timestamp::now();
        // A clock that was set back makes nothing younger.
        opened.retain(|_, (_, since)| *since <= now && now < since.plus(KEPT));
        let (value, _) = opened.get(key)?;
        good(value).then(|| value.clone())
    }

    /// Keeps it, in place of the oldest where there are too many.
    pub(crate) fn keep(&self, key: K, value: V) {
        let mut opened = self.lock();
        if opened.len() >= CAPACITY && !opened.contains_key(&key) {
            let oldest = opened.iter().min_by_key(|(_, (_, since))| *since);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                opened.remove(&oldest);
            }
        }
        opened.insert(key, (value, Timestamp::now()));
    }

    /// Forgets it: Zoom has refused it.
    pub(crate) fn forget(&self, key: &K) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, (V, Timestamp)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
