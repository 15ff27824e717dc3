//! Opened secrets in memory for a minute: access tokens between mints, webhook secrets between webhooks.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::SecretString;

use crate::timestamp::Timestamp;
use crate::zoom::ApiUrl;

/// The most entries a cache holds.
const CAPACITY: usize = 256;
/// How long an entry is kept, by the wall clock: the sandbox may be frozen in between.
const MAX_AGE: Duration = Duration::from_mins(1);

/// An access token and what its use needs. It holds neither refresh token nor client secret.
#[derive(Clone, Debug)]
pub struct Access {
    /// The access token.
    pub token: SecretString,
    /// The generation of the grant's token pair that it belongs to.
    pub generation: u64,
    /// When the token expires.
    pub expires_at: Timestamp,
    /// The user's REST host, if Zoom named one.
    pub api_url: Option<ApiUrl>,
    /// When the grant's authorization code was sent to Zoom.
    pub authorize_sent_at: Timestamp,
}

impl Access {
    /// Whether the token is good for longer than `margin`.
    pub(crate) fn outlasts(&self, margin: Duration) -> bool {
        Timestamp::now().plus(margin) < self.expires_at
    }
}

/// Opened secrets by key. Its `Debug` output shows nothing of them.
pub struct Cache<K, V>(Mutex<HashMap<K, (V, Timestamp)>>);

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cache([REDACTED])")
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V> {
    /// The entry of `key`, if it is younger than a minute and `is_good`.
    pub fn get(&self, key: &K, is_good: impl FnOnce(&V) -> bool) -> Option<V> {
        let mut entries = self.lock();
        let now = Timestamp::now();
        // An entry from the future is dropped too: the clock was set back, and its age is unknown.
        entries.retain(|_, (_, since)| *since <= now && now < since.plus(MAX_AGE));
        let (value, _) = entries.get(key)?;
        is_good(value).then(|| value.clone())
    }

    /// Adds an entry. A full cache drops its oldest entry first.
    pub fn insert(&self, key: K, value: V) {
        let mut entries = self.lock();
        if entries.len() >= CAPACITY && !entries.contains_key(&key) {
            let oldest = entries.iter().min_by_key(|(_, (_, since))| *since);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                entries.remove(&oldest);
            }
        }
        entries.insert(key, (value, Timestamp::now()));
    }

    /// Removes an entry that Zoom has refused.
    pub fn remove(&self, key: &K) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, (V, Timestamp)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
