//! Meetings and webinars that a test or a person registered.

use serde::{Deserialize, Serialize};

use super::state::State;

/// A meeting or a webinar. Registering one with the same number replaces it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meeting {
    /// The number: digits only.
    pub id: String,
    /// Whether it is a webinar. Each kind has endpoints of its own.
    pub webinar: bool,
    /// The id of the user who hosts it.
    pub host_id: String,
    /// Whether a setting of the host or the account forbids local recording.
    pub forbids_recording: bool,
}

impl State {
    pub(super) fn put_meeting(&mut self, meeting: Meeting) {
        self.meetings.insert(meeting.id.clone(), meeting);
    }
}
