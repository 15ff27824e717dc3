//! The persistent state of the sandbox, and its clock. The rules for apps, users, codes and grants are in their files.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::account::AccountToken;
use super::app::StoredApp;
use super::code::Code;
use super::grant::Grant;
use super::meeting::Meeting;
use super::user::StoredUser;

/// The content of the state file. Holds fingerprints and no secret.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct State {
    clock_ahead: SignedDuration,
    pub(super) apps: BTreeMap<String, StoredApp>,
    pub(super) users: BTreeMap<String, StoredUser>,
    /// A number that is not here is a meeting that every user hosts.
    #[serde(default)]
    pub(super) meetings: BTreeMap<String, Meeting>,
    pub(super) codes: BTreeMap<Uuid, Code>,
    #[serde(default)]
    pub(super) account_tokens: BTreeMap<Uuid, AccountToken>,
    /// The keys are UUIDv7, so their order is the order of creation.
    pub(super) grants: BTreeMap<Uuid, Grant>,
}

impl State {
    /// The time of the sandbox: the machine's time plus all of [`State::advance`].
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::now()
            .saturating_add(self.clock_ahead)
            .unwrap_or(Timestamp::MAX)
    }

    pub(super) fn advance(&mut self, by: Duration) {
        let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
        self.clock_ahead = self.clock_ahead.saturating_add(by);
    }
}
