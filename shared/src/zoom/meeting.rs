//! The meetings and webinars of Zoom: where they are, and who hosts them.

use serde::Deserialize;
use serde::de::{self, Deserializer};

use crate::account::{AccountUser, AccountUserId};
use crate::token::{MeetingKind, NamedMeeting};

/// Where Zoom looks for a number. A number of unknown kind is looked for among the meetings.
pub(super) fn collection(kind: MeetingKind) -> &'static str {
    match kind {
        MeetingKind::Webinar => "webinars",
        MeetingKind::Unknown => "meetings",
    }
}

/// The same number as that of a webinar, if its kind is not known.
pub(super) fn as_webinar(meeting: &NamedMeeting) -> Option<NamedMeeting> {
    match meeting.kind {
        MeetingKind::Webinar => None,
        MeetingKind::Unknown => Some(NamedMeeting {
            id: meeting.id.clone(),
            kind: MeetingKind::Webinar,
        }),
    }
}

/// The path of a meeting or webinar.
pub(super) fn path(meeting: &NamedMeeting) -> String {
    let (number, collection) = (meeting.id.as_str(), collection(meeting.kind));
    format!("/v2/{collection}/{number}")
}

/// The field of a meeting or webinar that the vault reads.
#[derive(Deserialize)]
pub(super) struct Hosted {
    #[serde(deserialize_with = "usable_id")]
    host_id: AccountUserId,
}

impl Hosted {
    pub(super) fn into_host(self) -> AccountUser {
        AccountUser::Id(self.host_id)
    }
}

fn usable_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AccountUserId, D::Error> {
    let id = String::deserialize(deserializer)?;
    AccountUserId::try_from(id).map_err(de::Error::custom)
}
