//! The events of a credential, kept for its owner: who received which token, and what went wrong.
//!
//! No type here can hold a token or another secret.
//!
//! [`Event`] is what the vault's code writes. [`EventRecord`] is the flat form in which an event is stored and shown.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::{Builder, Uuid};

use crate::api_key::{ApiKey, KeyId};
use crate::credential::{ReconnectReason, State, created_at, uuid_schema};
use crate::invalid::Invalid;
use crate::timestamp::Timestamp;
use crate::token::{MeetingId, TokenType};

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
    ApiKey(KeyId),
    /// A caller of a token URL, by the id of the URL. The URL's secret is never recorded.
    TokenUrl(String),
    /// The schedule that keeps grants alive.
    KeepAlive,
    /// A caller of the health check, by the id of the API key.
    Check(KeyId),
}

/// Who requested a token or caused a refresh, and for which bot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requester {
    /// The caller.
    pub actor: Actor,
    /// The bot, if the caller named one.
    pub bot: Option<BotId>,
}

impl Requester {
    /// The holder of `key`, for no particular bot.
    pub fn from_key(key: &ApiKey) -> Self {
        Actor::ApiKey(key.hash().id()).into()
    }
}

impl From<Actor> for Requester {
    fn from(actor: Actor) -> Self {
        Self { actor, bot: None }
    }
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
        /// Who requested the token.
        requester: Requester,
        /// Whether the caller received the token.
        outcome: EventOutcome,
    },
    /// The vault tried to refresh the grant at Zoom.
    Refresh {
        /// Whose request made the refresh necessary.
        requester: Requester,
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
}

/// An event before it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The id of the event.
    pub id: EventId,
    /// What happened.
    pub details: EventDetails,
}

impl Event {
    /// An event that happens now.
    pub fn new(details: EventDetails) -> Self {
        Self {
            id: EventId::generate(),
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
    /// The vault tried to refresh the grant at Zoom.
    Refresh,
    /// The vault tried to revoke the grant at Zoom.
    Revoke,
    /// The state of the credential changed.
    StateChange,
}

/// The outcome of a mint, a refresh or a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = EventOutcome)]
pub enum RecordedOutcome {
    /// The token was released, the new tokens were stored, or the grant was revoked.
    Succeeded,
    /// The action failed. `code` says why.
    Failed,
}

/// Who caused an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AskedBy)]
pub enum ActorKind {
    /// A caller of the API, with the API key `key_id`.
    ApiKey,
    /// A caller of the token URL `url_id`.
    TokenUrl,
    /// The schedule that keeps grants alive.
    KeepAlive,
    /// A caller of the health check, with the API key `key_id`.
    Check,
}

/// An event as it is stored and shown. All kinds have the same fields; a field is null if the kind does not use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Event)]
pub struct EventRecord {
    /// The id of the event. Ids sort by age.
    pub event_id: EventId,
    /// When the event happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// The outcome of a mint, a refresh or a revocation.
    #[schema(required = true)]
    pub outcome: Option<RecordedOutcome>,
    /// Why the action failed: the `code` of the error that the API answered.
    #[schema(required = true, example = "FST_ERR_ZOOM_RECONNECT_REQUIRED")]
    pub code: Option<String>,
    /// The type of the minted token.
    #[serde(rename = "type")]
    #[schema(required = true)]
    pub token_type: Option<TokenType>,
    /// The meeting that the token is for.
    #[schema(required = true)]
    pub meeting_id: Option<MeetingId>,
    /// Who requested the token, or whose request made the refresh necessary.
    #[schema(required = true)]
    pub asked_by: Option<ActorKind>,
    /// The id of the API key, as the operator lists it.
    #[schema(required = true)]
    pub key_id: Option<String>,
    /// The id of the token URL.
    #[schema(required = true)]
    pub url_id: Option<String>,
    /// The bot vendor's own id of the bot.
    #[schema(required = true)]
    pub bot_id: Option<BotId>,
    /// The new state of the credential.
    #[schema(required = true)]
    pub state: Option<State>,
    /// Why the state changed.
    #[schema(required = true, example = "revoked")]
    pub reason: Option<String>,
}

impl EventRecord {
    /// An event of `kind` with all other fields empty.
    fn empty(id: EventId, kind: EventKind) -> Self {
        Self {
            event_id: id,
            at: id.at(),
            kind,
            outcome: None,
            code: None,
            token_type: None,
            meeting_id: None,
            asked_by: None,
            key_id: None,
            url_id: None,
            bot_id: None,
            state: None,
            reason: None,
        }
    }

    fn with_outcome(self, requester: Requester, outcome: EventOutcome) -> Self {
        let (outcome, code) = match outcome {
            EventOutcome::Succeeded => (RecordedOutcome::Succeeded, None),
            EventOutcome::Failed { code } => (RecordedOutcome::Failed, Some(code.to_owned())),
        };
        let (actor, key, url) = match requester.actor {
            Actor::ApiKey(key) => (ActorKind::ApiKey, Some(key), None),
            Actor::TokenUrl(url) => (ActorKind::TokenUrl, None, Some(url)),
            Actor::KeepAlive => (ActorKind::KeepAlive, None, None),
            Actor::Check(key) => (ActorKind::Check, Some(key), None),
        };
        Self {
            outcome: Some(outcome),
            code,
            asked_by: Some(actor),
            key_id: key.map(String::from),
            url_id: url,
            bot_id: requester.bot,
            ..self
        }
    }
}

impl From<Event> for EventRecord {
    fn from(Event { id, details }: Event) -> Self {
        match details {
            EventDetails::Mint {
                token_type,
                meeting_id,
                requester,
                outcome,
            } => Self {
                token_type: Some(token_type),
                meeting_id,
                ..Self::empty(id, EventKind::Mint).with_outcome(requester, outcome)
            },
            EventDetails::Refresh { requester, outcome } => {
                Self::empty(id, EventKind::Refresh).with_outcome(requester, outcome)
            }
            EventDetails::Revoke { outcome } => {
                Self::empty(id, EventKind::Revoke).with_outcome(Actor::KeepAlive.into(), outcome)
            }
            EventDetails::StateChange { reason } => Self {
                state: Some(match reason {
                    Some(_) => State::Invalid,
                    None => State::Active,
                }),
                reason: reason.map(|reason| reason.as_str().to_owned()),
                ..Self::empty(id, EventKind::StateChange)
            },
        }
    }
}
