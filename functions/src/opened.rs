//! Grants that are open in memory: access tokens between one mint and the next.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use shared::credential::GrantId;
use shared::timestamp::Timestamp;
use shared::zoom::ApiUrl;

/// How many are kept.
const CAPACITY: usize = 64;
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
#[derive(Default)]
pub(crate) struct Opened(Mutex<HashMap<GrantId, (Arc<Access>, Timestamp)>>);

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opened([REDACTED])")
    }
}

impl Opened {
    /// The grant's access token, opened not long ago and good for longer than `margin`.
    pub(crate) fn get(&self, id: GrantId, margin: Duration) -> Option<Arc<Access>> {
        let mut opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (access, since) = opened.get(&id)?;
        let now = Timestamp::now();
        // A clock that was set back makes no token younger.
        let fresh = *since <= now && now < since.plus(KEPT) && access.outlasts(margin);
        if fresh {
            Some(access.clone())
        } else {
            opened.remove(&id);
            None
        }
    }

    /// Keeps it, in place of the oldest where there are too many.
    pub(crate) fn keep(&self, id: GrantId, access: Arc<Access>) {
        let mut opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.len() >= CAPACITY && !opened.contains_key(&id) {
            let oldest = opened.iter().min_by_key(|(_, (_, since))| *since);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                opened.remove(&oldest);
            }
        }
        opened.insert(id, (access, Timestamp::now()));
    }

    /// Forgets it: Zoom has refused it.
    pub(crate) fn forget(&self, id: GrantId) {
        let mut opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        opened.remove(&id);
    }
}
