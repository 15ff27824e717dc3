//! What a notification says. It holds ids and words, and no secret.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::kind::NotificationKind;
use crate::credential::{CredentialId, State, TeamId};
use crate::event::{ActorKind, EventId, EventKind, EventRecord};
use crate::timestamp::Timestamp;

/// The code of an event whose app Zoom refused.
const APP_REFUSED: &str = "FST_ERR_ZOOM_APP_MISCONFIGURED";
/// A refused app fails every mint. One credential causes one notification in this time.
const APP_REFUSED_INTERVAL: Duration = Duration::from_hours(1);

/// The id of a notification: the header `webhook-id`. Every attempt to deliver the notification has the same id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(String);

impl MessageId {
    fn new(id: EventId) -> Self {
        Self(format!("msg_{id}"))
    }

    /// The text of the header.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A notification on its way to a team's endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// The id.
    pub id: MessageId,
    /// The team whose endpoint gets the notification.
    pub team: TeamId,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: NotificationKind,
    /// When the event happened.
    pub timestamp: Timestamp,
    /// The details.
    pub data: NotificationData,
}

/// The details of a notification. A field that the kind does not use is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationData {
    /// The event in the audit trail.
    pub event_id: EventId,
    /// The credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_id: Option<CredentialId>,
    /// The connect session, for `connect_session.finished`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Why the credential became invalid, as in the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The JSON body of a notification.
#[derive(Serialize)]
struct Body<'a> {
    r#type: NotificationKind,
    timestamp: Timestamp,
    data: &'a NotificationData,
}

impl Notification {
    /// The notifications about an event. Most events cause none, and an event of a connect session causes two.
    pub fn about(team: &TeamId, event: &EventRecord) -> Vec<Self> {
        let mut kinds = Vec::new();
        let actor = event.actor.as_ref();
        let session = actor.filter(|actor| actor.kind == ActorKind::ConnectSession);
        match event.kind {
            EventKind::Created => kinds.push(NotificationKind::CredentialCreated),
            EventKind::Deleted => kinds.push(NotificationKind::CredentialDeleted),
            EventKind::Restored => kinds.push(NotificationKind::CredentialRestored),
            EventKind::Purged => kinds.push(NotificationKind::CredentialPurged),
            EventKind::EndpointTested => kinds.push(NotificationKind::EndpointTest),
            EventKind::StateChange => kinds.extend(match event.state {
                Some(State::Invalid) => Some(NotificationKind::CredentialInvalid),
                Some(State::Active) => Some(NotificationKind::CredentialActive),
                None => None,
            }),
            EventKind::Mint
            | EventKind::AccessTokenReleased
            | EventKind::Refresh
            | EventKind::Revoke
            | EventKind::Updated
            | EventKind::UrlCreated
            | EventKind::UrlRevoked
            | EventKind::SessionCreated
            | EventKind::SessionRevoked
            | EventKind::AppRegistered
            | EventKind::AppDeleted
            | EventKind::SecretRotated
            | EventKind::VendorSet
            | EventKind::EndpointSet
            | EventKind::NotificationFailed
            | EventKind::KeyCreated
            | EventKind::KeyRevoked
            | EventKind::TeamChanged
            | EventKind::CapsuleReplayed
            | EventKind::RowRepaired => {}
        }
        // The callback of a connect session records only what it has stored.
        if session.is_some() && matches!(event.kind, EventKind::Created | EventKind::Updated) {
            kinds.push(NotificationKind::ConnectSessionFinished);
        }
        if event.code.as_deref() == Some(APP_REFUSED) {
            kinds.push(NotificationKind::AppRefused);
        }
        let notification = |kind| Self {
            id: MessageId::new(id_of(kind, event)),
            team: team.clone(),
            kind,
            timestamp: event.at,
            data: NotificationData {
                event_id: event.event_id,
                credential_id: event.credential_id,
                session_id: session
                    .filter(|_| kind == NotificationKind::ConnectSessionFinished)
                    .and_then(|session| session.id.clone()),
                reason: event
                    .reason
                    .clone()
                    .filter(|_| kind == NotificationKind::CredentialInvalid),
            },
        };
        kinds.into_iter().map(notification).collect()
    }

    /// The JSON body that is sent and signed.
    pub fn body(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&Body {
            r#type: self.kind,
            timestamp: self.timestamp,
            data: &self.data,
        })
    }
}

/// The same event and kind give the same id: a record of the stream that is read twice makes one notification twice.
fn id_of(kind: NotificationKind, event: &EventRecord) -> EventId {
    match kind {
        NotificationKind::CredentialCreated
        | NotificationKind::CredentialInvalid
        | NotificationKind::CredentialActive
        | NotificationKind::CredentialDeleted
        | NotificationKind::CredentialRestored
        | NotificationKind::CredentialPurged
        | NotificationKind::EndpointTest => event.event_id,
        NotificationKind::ConnectSessionFinished => {
            EventId::derived(event.at, &format!("{kind}/{}", event.event_id))
        }
        NotificationKind::AppRefused => {
            let interval = i64::try_from(APP_REFUSED_INTERVAL.as_millis()).unwrap_or(i64::MAX);
            let at = event.at.as_millis();
            let start = Timestamp::from_millis(at.saturating_sub(at.rem_euclid(interval)));
            let credential = event.credential_id.map(|id| id.to_string());
            let name = format!("{kind}/{}", credential.unwrap_or_default());
            EventId::derived(start, &name)
        }
    }
}
