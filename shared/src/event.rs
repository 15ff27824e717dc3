//! What happens to a credential, as it is kept for its owner: who had which token, and what went wrong.
//!
//! No type here can hold a token or another secret.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::{Builder, Uuid};

use crate::api_key::{ApiKey, KeyId};
use crate::credential::{Invalid, Reconnect, State, created_at};
use crate::timestamp::Timestamp;
use crate::token::{MeetingId, TokenType};

/// Names an event. A UUIDv7, so that the ids of a credential's events sort by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(Uuid);

impl EventId {
    /// A new id, greater than every one this process has made before.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id of what happened `at` that time and has this `name`: the same, however often one is told of it.
    pub fn told(at: Timestamp, name: &str) -> Self {
        let millis = u64::try_from(at.as_millis()).unwrap_or(0);
        let hash = digest(&SHA256, name.as_bytes());
        // A SHA-256 has them.
        let bytes = hash.as_ref().first_chunk().copied().unwrap_or_default();
        Self(Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid())
    }

    /// When the event was begun.
    pub fn at(self) -> Timestamp {
        created_at(self.0)
    }

    /// The 16 bytes, for a cursor.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Back from a cursor's 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// What a vendor calls the bot that asked: 1 to 128 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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

/// On whose behalf the vault acted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// The holder of an API key.
    ApiKey(KeyId),
    /// Whoever called a token URL, by the URL's id: never by its token.
    TokenUrl(String),
    /// The schedule that keeps grants alive.
    KeepAlive,
    /// A health check.
    Check(KeyId),
}

/// Who asked, and for which bot where they said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Who.
    pub by: By,
    /// For which bot.
    pub bot: Option<BotId>,
}

impl Asked {
    /// The holder of `key`, for no bot in particular.
    pub fn with(key: &ApiKey) -> Self {
        By::ApiKey(key.hash().id()).into()
    }
}

impl From<By> for Asked {
    fn from(by: By) -> Self {
        Self { by, bot: None }
    }
}

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well. A mint is recorded so before its token is released: a crash may leave a record of a token that
    /// nobody got, but no token without a record.
    Succeeded,
    /// With this code, of those that the API answers.
    Failed {
        /// The code.
        code: &'static str,
    },
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// A token was asked for.
    Mint {
        /// Of which type.
        token_type: TokenType,
        /// For which meeting, where that was said.
        meeting_id: Option<MeetingId>,
        /// Who asked.
        asked: Asked,
        /// Whether they had it.
        outcome: Outcome,
    },
    /// The grant was refreshed at Zoom, or was to be.
    Refresh {
        /// Who needed it.
        asked: Asked,
        /// Whether new tokens are stored.
        outcome: Outcome,
    },
    /// The grant was to be revoked at Zoom, since its last credential was deleted.
    Revoke {
        /// Whether it is.
        outcome: Outcome,
    },
    /// The credential's state is another.
    StateChange {
        /// Why it is invalid; none where all is well again, and it is active.
        reason: Option<Reconnect>,
    },
}

/// Something that happened, and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub id: EventId,
    /// What it was.
    pub what: Happened,
}

impl Event {
    /// It happens now.
    pub fn new(what: Happened) -> Self {
        Self {
            id: EventId::generate(),
            what,
        }
    }
}

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = EventKind)]
pub enum Kind {
    /// A token was asked for.
    Mint,
    /// The grant was refreshed at Zoom, or was to be.
    Refresh,
    /// The grant was revoked at Zoom, or was to be.
    Revoke,
    /// The credential's state is another.
    StateChange,
}

/// How a mint, a refresh or a revocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = EventOutcome)]
pub enum Ended {
    /// Well: the token was released, the new grant stored, the grant ended.
    Succeeded,
    /// Not so: `code` says why.
    Failed,
}

/// On whose behalf the vault acted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AskedBy {
    /// The holder of an API key, `key_id`.
    ApiKey,
    /// Whoever called a token URL, `url_id`.
    TokenUrl,
    /// The schedule that keeps grants alive.
    KeepAlive,
    /// A health check, with the API key `key_id`.
    Check,
}

/// An event as it is stored and shown: one shape for all kinds, null where a kind has no such thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Event)]
pub struct Record {
    /// Names the event. Ids sort by age.
    #[schema(value_type = String, format = "uuid")]
    pub event_id: EventId,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What it was.
    pub kind: Kind,
    /// How a mint, a refresh or a revocation ended.
    #[schema(required = true)]
    pub outcome: Option<Ended>,
    /// Why it failed: the `code` of the error that was answered.
    #[schema(required = true, example = "FST_ERR_ZOOM_RECONNECT_REQUIRED")]
    pub code: Option<String>,
    /// Which type of token was minted.
    #[serde(rename = "type")]
    #[schema(required = true)]
    pub token_type: Option<TokenType>,
    /// For which meeting.
    #[schema(value_type = Option<String>, required = true)]
    pub meeting_id: Option<MeetingId>,
    /// Who asked for the mint or needed the refresh.
    #[schema(required = true)]
    pub asked_by: Option<AskedBy>,
    /// With which API key: its id, as the operator lists it.
    #[schema(required = true)]
    pub key_id: Option<String>,
    /// With which token URL.
    #[schema(required = true)]
    pub url_id: Option<String>,
    /// For which bot, as its vendor named it.
    #[schema(value_type = Option<String>, required = true, max_length = 128)]
    pub bot_id: Option<BotId>,
    /// What the credential's state became.
    #[schema(required = true)]
    pub state: Option<State>,
    /// Why it became so.
    #[schema(required = true, example = "revoked")]
    pub reason: Option<String>,
}

impl Record {
    /// An event of `kind` of which nothing else is known.
    fn of(id: EventId, kind: Kind) -> Self {
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

    fn ended(self, asked: Asked, outcome: Outcome) -> Self {
        let (outcome, code) = match outcome {
            Outcome::Succeeded => (Ended::Succeeded, None),
            Outcome::Failed { code } => (Ended::Failed, Some(code.to_owned())),
        };
        let (by, key, url) = match asked.by {
            By::ApiKey(key) => (AskedBy::ApiKey, Some(key), None),
            By::TokenUrl(url) => (AskedBy::TokenUrl, None, Some(url)),
            By::KeepAlive => (AskedBy::KeepAlive, None, None),
            By::Check(key) => (AskedBy::Check, Some(key), None),
        };
        Self {
            outcome: Some(outcome),
            code,
            asked_by: Some(by),
            key_id: key.map(String::from),
            url_id: url,
            bot_id: asked.bot,
            ..self
        }
    }
}

impl From<Event> for Record {
    fn from(Event { id, what }: Event) -> Self {
        match what {
            Happened::Mint {
                token_type,
                meeting_id,
                asked,
                outcome,
            } => Self {
                token_type: Some(token_type),
                meeting_id,
                ..Self::of(id, Kind::Mint).ended(asked, outcome)
            },
            Happened::Refresh { asked, outcome } => {
                Self::of(id, Kind::Refresh).ended(asked, outcome)
            }
            Happened::Revoke { outcome } => {
                Self::of(id, Kind::Revoke).ended(By::KeepAlive.into(), outcome)
            }
            Happened::StateChange { reason } => Self {
                state: Some(match reason {
                    Some(_) => State::Invalid,
                    None => State::Active,
                }),
                reason: reason.map(|reason| reason.as_str().to_owned()),
                ..Self::of(id, Kind::StateChange)
            },
        }
    }
}
