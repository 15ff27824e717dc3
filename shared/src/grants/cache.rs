//! Secrets in memory. For a minute: access tokens between mints, webhook secrets between webhooks. As long as they
//! live: the access tokens of account-level apps, which are stored nowhere.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::Mutex as AsyncMutex;

use crate::account::AccountId;
use crate::credential::{ClientId, CredentialId, GrantId, TeamId};
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
    /// The grant that it belongs to.
    pub grant: GrantId,
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

/// An access token of an account-level app.
#[derive(Debug)]
pub(crate) struct AccountAccess {
    /// The access token.
    pub(crate) token: SecretString,
    /// The app's scopes, if Zoom named them.
    pub(crate) scopes: Option<String>,
    /// The account's REST host, if Zoom named one.
    pub(crate) api_url: Option<ApiUrl>,
    /// When the token expires.
    pub(crate) expires_at: Timestamp,
    /// The app that the token was issued to.
    pub(crate) client_id: ClientId,
    /// The account that the token is for.
    pub(crate) account: AccountId,
}

/// One credential's access token. The task that holds the lock asks Zoom for a new one, and the others wait for it.
pub(crate) type Slot = Arc<AsyncMutex<Option<Arc<AccountAccess>>>>;

/// The access tokens, by team and credential. Its `Debug` output shows nothing of them.
#[derive(Default)]
pub(crate) struct AccountTokens(Mutex<HashMap<(TeamId, CredentialId), Slot>>);

impl fmt::Debug for AccountTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountTokens([REDACTED])")
    }
}

impl AccountTokens {
    /// The access token of one credential, if there is one.
    pub(crate) fn slot(&self, team: &TeamId, id: CredentialId) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (team.clone(), id);
        if slots.len() >= CAPACITY && !slots.contains_key(&key) {
            // Rare. A credential that is in use gets its token again.
            slots.clear();
        }
        slots.entry(key).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache with one entry, 0, of this age. A negative age is in the future.
    fn with_entry_of(seconds: i64) -> Cache<usize, &'static str> {
        let since = Timestamp::from_millis(Timestamp::now().as_millis() - 1_000 * seconds);
        Cache(Mutex::new(HashMap::from([(0, ("secret", since))])))
    }

    #[test]
    fn an_entry_is_kept_for_a_minute_and_one_from_the_future_is_dropped() {
        for (seconds, expected) in [(30, Some("secret")), (61, None), (-10, None)] {
            let cache = with_entry_of(seconds);
            assert_eq!(cache.get(&0, |_| true), expected, "{seconds}");
            assert_eq!(cache.lock().len(), usize::from(expected.is_some()));
        }
    }

    #[test]
    fn only_a_full_cache_drops_its_oldest_entry_and_only_for_a_new_key() {
        let cache = with_entry_of(5);
        for key in 1..CAPACITY {
            cache.insert(key, "young");
        }
        cache.insert(1, "younger");
        assert!(cache.get(&0, |_| true).is_some());
        cache.insert(CAPACITY, "new");
        assert!(cache.get(&0, |_| true).is_none());
        assert_eq!(cache.lock().len(), CAPACITY);
    }

    #[test]
    fn nothing_of_the_entries_is_shown() {
        assert_eq!(format!("{:?}", with_entry_of(0)), "Cache([REDACTED])");
    }
}
