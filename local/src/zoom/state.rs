//! Everything the sandbox remembers, and its clock. Each kind of thing has its rules in its own file.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::app::Registered;
use super::code::Code;
use super::grant::Grant;
use super::user::Member;

/// The content of the state file. Holds no secret, only fingerprints.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct State {
    clock_ahead: SignedDuration,
    pub(super) apps: BTreeMap<String, Registered>,
    pub(super) users: BTreeMap<String, Member>,
    pub(super) codes: BTreeMap<Uuid, Code>,
    /// By UUIDv7: the order of keys is the order of creation.
    pub(super) grants: BTreeMap<Uuid, Grant>,
}

impl State {
    /// The sandbox's time, ahead of the machine's by all that [`State::advance`] was given.
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
