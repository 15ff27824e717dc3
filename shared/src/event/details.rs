//! An event as the vault's code writes it.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::{Builder, Uuid};

use crate::api_key::KeyId;
use crate::connect::SessionId;
use crate::credential::{ClientId, ReconnectReason, created_at, uuid_schema};
use crate::invalid::Invalid;
use crate::timestamp::Timestamp;
use crate::token::{MeetingId, TokenType};
use crate::token_url::UrlId;
use crate::vendor::Vendor;

/// The id of an event: a UUIDv7, so that the events of a credential sort by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(Uuid);

uuid_schema!(EventId, "The id of an event.");

impl EventId {
    /// Makes a new id. Every id sorts after those that this process made before.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id of the event `name` that happened `at` a given time.
    ///
    /// The same input gives the same id. A webhook that Zoom sends twice therefore writes one event.
    pub fn derived(at: Timestamp, name: &str) -> Self {
        let millis = u64::try_from(at.as_millis()).unwrap_or(0);
        let hash = digest(&SHA256, name.as_bytes());
        // A SHA-256 has 32 bytes, more than the chunk needs.
        let bytes = hash.as_ref().first_chunk().copied().unwrap_or_default();
        Self(Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid())
    }

    /// When the event happened.
    pub fn at(self) -> Timestamp {
        created_at(self.0)
    }

    /// The 16 bytes, for a cursor.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id from the 16 bytes of a cursor.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// The bot vendor's own id of the bot that a token is for: 1 to 128 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(pattern = "^[!-~]{1,128}$")]
pub struct BotId(String);

impl BotId {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for BotId {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        if (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text))
        } else {
            Err(Invalid("must be 1 to 128 visible ASCII characters"))
        }
    }
}

impl From<BotId> for String {
    fn from(id: BotId) -> Self {
        id.0
    }
}

/// Who caused an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A caller of the API, by the id of the API key.
    Key(KeyId),
    /// A caller of a token URL, by the id of the URL. The URL's secret is never recorded.
    TokenUrl(UrlId),
    /// A person who opened a connect link, by the id of the session.
    ConnectSession(SessionId),
    /// Zoom, by a webhook of this app.
    Webhook(ClientId),
    /// A function that no caller invokes: keep-alive, or the clean-up after a purge.
    Schedule,
    /// An operator who runs the CLI: their identity in AWS, or `local`.
    Operator(String),
}

/// The outcome of a mint, a refresh or a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventOutcome {
    /// The action succeeded.
    ///
    /// A successful mint is recorded before its token is released. After a crash there may be a record of a token
    /// that nobody received, but never a token without a record.
    Succeeded,
    /// The action failed.
    Failed {
        /// The error code that the API answered.
        code: &'static str,
    },
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventDetails {
    /// A token was requested.
    Mint {
        /// The type of the token.
        token_type: TokenType,
        /// The meeting, if the caller named one.
        meeting_id: Option<MeetingId>,
        /// The bot, if the caller named one.
        bot: Option<BotId>,
        /// Whether the caller received the token.
        outcome: EventOutcome,
        /// The event that said before that the token was released. Events are never changed.
        corrects: Option<EventId>,
    },
    /// A vendor asked for the user's access token.
    AccessToken {
        /// The vendor, which has proved that it made the call.
        vendor: Vendor,
        /// The bot, if the caller named one.
        bot: Option<BotId>,
        /// Whether the vendor received the access token.
        outcome: EventOutcome,
        /// The event that said before that the access token was released. Events are never changed.
        corrects: Option<EventId>,
    },
    /// The vault tried to refresh the grant at Zoom.
    Refresh {
        /// The bot whose token made the refresh necessary, if the caller named one.
        bot: Option<BotId>,
        /// Whether new tokens are stored.
        outcome: EventOutcome,
    },
    /// The vault tried to revoke the grant at Zoom, because its last credential was deleted.
    Revoke {
        /// Whether the grant is revoked.
        outcome: EventOutcome,
    },
    /// The state of the credential changed.
    StateChange {
        /// Why the credential became invalid, or `None` if it became active again.
        reason: Option<ReconnectReason>,
    },
    /// A notification did not reach the team's endpoint, and is not sent again.
    NotificationFailed {
        /// Why the last attempt failed.
        code: &'static str,
    },
    /// Somebody changed something.
    Change(Change),
}

/// What a change is about, besides a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A token URL.
    TokenUrl(UrlId),
    /// A connect session.
    ConnectSession(SessionId),
    /// An API key.
    Key(KeyId),
    /// A bot vendor, whose secrets the team stores.
    Vendor(Vendor),
    /// A Zoom app.
    ZoomApp(ClientId),
}

/// A change that somebody made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What was done.
    pub kind: EventKind,
    /// What was changed. `None` if the change is about a credential alone, or about the team.
    pub target: Option<Target>,
    /// The names of the fields that were set. Never their values.
    pub fields: Vec<&'static str>,
}

impl Change {
    /// A change of a credential or of the team.
    pub fn new(kind: EventKind, fields: Vec<&'static str>) -> Self {
        Self {
            kind,
            target: None,
            fields,
        }
    }

    /// A change of this target.
    pub fn of(target: Target, kind: EventKind, fields: Vec<&'static str>) -> Self {
        Self {
            kind,
            target: Some(target),
            fields,
        }
    }
}

impl From<Change> for EventDetails {
    fn from(change: Change) -> Self {
        Self::Change(change)
    }
}

/// An event before it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The id of the event.
    pub id: EventId,
    /// Who caused it. `None` if nobody has proved to be the caller, which is a mistake in the vault.
    pub actor: Option<Actor>,
    /// The request or invocation that caused it, as in the log.
    pub request_id: String,
    /// What happened.
    pub details: EventDetails,
}

impl Event {
    /// An event that happens now.
    pub fn new(actor: Option<Actor>, request_id: String, details: EventDetails) -> Self {
        Self {
            id: EventId::generate(),
            actor,
            request_id,
            details,
        }
    }
}

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A token was requested.
    Mint,
    /// A vendor asked for the user's access token. `outcome` says whether the vault released it.
    AccessTokenReleased,
    /// The vault tried to refresh the grant at Zoom.
    Refresh,
    /// The vault tried to revoke the grant at Zoom.
    Revoke,
    /// The state of the credential changed.
    StateChange,
    /// A credential was created.
    Created,
    /// A credential was changed.
    Updated,
    /// A credential was deleted. It can be restored for a while.
    Deleted,
    /// A deleted credential was restored.
    Restored,
    /// A deleted credential was removed for good.
    Purged,
    /// A token URL was created.
    UrlCreated,
    /// A token URL was revoked.
    UrlRevoked,
    /// A connect session was created.
    SessionCreated,
    /// A connect session was revoked.
    SessionRevoked,
    /// A Zoom app was registered for webhooks.
    AppRegistered,
    /// The registration of a Zoom app was deleted.
    AppDeleted,
    /// A credential got the new client secret of its app.
    SecretRotated,
    /// The secrets of a bot vendor were stored or forgotten.
    VendorSet,
    /// The notification endpoint was set, rotated or deleted.
    EndpointSet,
    /// A test of the notification endpoint was requested.
    EndpointTested,
    /// A notification did not reach the endpoint, and is not sent again.
    NotificationFailed,
    /// An API key was created.
    KeyCreated,
    /// An API key was revoked, or its end was set.
    KeyRevoked,
    /// The settings of the team were changed.
    TeamChanged,
    /// An operator stored tokens that a function could only log.
    CapsuleReplayed,
    /// An operator's sweep corrected or destroyed a row.
    RowRepaired,
}

impl EventKind {
    const ALL: [Self; 26] = [
        Self::Mint,
        Self::AccessTokenReleased,
        Self::Refresh,
        Self::Revoke,
        Self::StateChange,
        Self::Created,
        Self::Updated,
        Self::Deleted,
        Self::Restored,
        Self::Purged,
        Self::UrlCreated,
        Self::UrlRevoked,
        Self::SessionCreated,
        Self::SessionRevoked,
        Self::AppRegistered,
        Self::AppDeleted,
        Self::SecretRotated,
        Self::VendorSet,
        Self::EndpointSet,
        Self::EndpointTested,
        Self::NotificationFailed,
        Self::KeyCreated,
        Self::KeyRevoked,
        Self::TeamChanged,
        Self::CapsuleReplayed,
        Self::RowRepaired,
    ];

    /// The word in the API and in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mint => "mint",
            Self::AccessTokenReleased => "access_token_released",
            Self::Refresh => "refresh",
            Self::Revoke => "revoke",
            Self::StateChange => "state_change",
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::Restored => "restored",
            Self::Purged => "purged",
            Self::UrlCreated => "url_created",
            Self::UrlRevoked => "url_revoked",
            Self::SessionCreated => "session_created",
            Self::SessionRevoked => "session_revoked",
            Self::AppRegistered => "app_registered",
            Self::AppDeleted => "app_deleted",
            Self::SecretRotated => "secret_rotated",
            Self::VendorSet => "vendor_set",
            Self::EndpointSet => "endpoint_set",
            Self::EndpointTested => "endpoint_tested",
            Self::NotificationFailed => "notification_failed",
            Self::KeyCreated => "key_created",
            Self::KeyRevoked => "key_revoked",
            Self::TeamChanged => "team_changed",
            Self::CapsuleReplayed => "capsule_replayed",
            Self::RowRepaired => "row_repaired",
        }
    }
}

impl FromStr for EventKind {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        let mut all = Self::ALL.into_iter();
        all.find(|kind| kind.as_str() == word)
            .ok_or(Invalid(
                // A test compares this list with the kinds.
                "must be mint, access_token_released, refresh, revoke, state_change, created, updated, deleted, restored, \
                 purged, url_created, url_revoked, session_created, session_revoked, app_registered, app_deleted, secret_rotated, vendor_set, \
                 endpoint_set, endpoint_tested, notification_failed, key_created, key_revoked, team_changed, capsule_replayed or \
                 row_repaired",
            ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_an_unknown_kind_lists_every_kind() {
        let Err(Invalid(rule)) = EventKind::from_str("minted") else {
            panic!("it is a kind");
        };
        let listed = rule.trim_start_matches("must be ").replace(" or ", ", ");
        let kinds = EventKind::ALL.map(EventKind::as_str);
        assert_eq!(listed, kinds.join(", "));
    }
}
