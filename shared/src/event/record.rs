//! The flat form in which an event is stored and shown.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::details::{
    Actor, BotId, Change, Event, EventDetails, EventId, EventKind, EventOutcome, Target,
};
use crate::credential::{CredentialId, State};
use crate::invalid::Invalid;
use crate::timestamp::Timestamp;
use crate::token::{MeetingId, TokenType};

/// The outcome of a mint, a refresh or a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = EventOutcome)]
pub enum RecordedOutcome {
    /// The token was released, the new tokens were stored, the grant was revoked, or the change was made.
    Succeeded,
    /// The action failed. `code` says why.
    Failed,
}

/// The kinds of actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A caller of the API. `id` is the id of the API key, as the operator lists it.
    Key,
    /// A caller of a token URL. `id` is the id of the URL.
    TokenUrl,
    /// A person who opened a connect link. `id` is the id of the session.
    ConnectSession,
    /// Zoom, by a webhook. `id` is the client id of the app.
    Webhook,
    /// The vault itself. `id` is null.
    Schedule,
    /// An operator of the vault. `id` is their identity in AWS, or `local`.
    Operator,
}

impl ActorKind {
    /// The word in the API and in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::TokenUrl => "token_url",
            Self::ConnectSession => "connect_session",
            Self::Webhook => "webhook",
            Self::Schedule => "schedule",
            Self::Operator => "operator",
        }
    }
}

impl FromStr for ActorKind {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        [
            Self::Key,
            Self::TokenUrl,
            Self::ConnectSession,
            Self::Webhook,
            Self::Schedule,
            Self::Operator,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == word)
        .ok_or(Invalid(
            "must be key, token_url, connect_session, webhook, schedule or operator, and may have :ID after it, as in key:0123456789ab",
        ))
    }
}

impl ActorKind {
    /// Reads a filter: `type`, or `type:id`.
    pub fn with_id(text: &str) -> Result<(Self, Option<String>), Invalid> {
        match text.split_once(':') {
            Some((kind, id)) => Ok((kind.parse()?, Some(id.to_owned()))),
            None => Ok((text.parse()?, None)),
        }
    }
}

/// Who caused an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = EventActor)]
pub struct ActorView {
    /// The kind of actor.
    #[serde(rename = "type")]
    pub kind: ActorKind,
    /// Which one.
    #[schema(required = true)]
    pub id: Option<String>,
}

impl From<Actor> for ActorView {
    fn from(actor: Actor) -> Self {
        let (kind, id) = match actor {
            Actor::Key(id) => (ActorKind::Key, Some(id.into())),
            Actor::TokenUrl(id) => (ActorKind::TokenUrl, Some(id.to_string())),
            Actor::ConnectSession(id) => (ActorKind::ConnectSession, Some(id.to_string())),
            Actor::Webhook(app) => (ActorKind::Webhook, Some(app.as_str().to_owned())),
            Actor::Schedule => (ActorKind::Schedule, None),
            Actor::Operator(identity) => (ActorKind::Operator, Some(identity)),
        };
        Self { kind, id }
    }
}

/// The kinds of targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// A token URL. `id` is its `url_id`.
    TokenUrl,
    /// A connect session. `id` is its `session_id`.
    ConnectSession,
    /// An API key. `id` is the id of the key, as the operator lists it.
    Key,
    /// A bot vendor. `id` is the vendor's name.
    Vendor,
    /// A Zoom app. `id` is the app's client id.
    ZoomApp,
}

impl TargetKind {
    /// The word in the API and in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TokenUrl => "token_url",
            Self::ConnectSession => "connect_session",
            Self::Key => "key",
            Self::Vendor => "vendor",
            Self::ZoomApp => "zoom_app",
        }
    }
}

/// What a change is about, besides a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = EventTarget)]
pub struct TargetView {
    /// The kind of target.
    #[serde(rename = "type")]
    pub kind: TargetKind,
    /// Which one.
    pub id: String,
}

impl From<Target> for TargetView {
    fn from(target: Target) -> Self {
        let (kind, id) = match target {
            Target::TokenUrl(id) => (TargetKind::TokenUrl, id.to_string()),
            Target::ConnectSession(id) => (TargetKind::ConnectSession, id.to_string()),
            Target::Key(id) => (TargetKind::Key, id.into()),
            Target::Vendor(vendor) => (TargetKind::Vendor, vendor.to_string()),
            Target::ZoomApp(app) => (TargetKind::ZoomApp, app.as_str().to_owned()),
        };
        Self { kind, id }
    }
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
    /// The credential, if the event is about one.
    #[serde(deserialize_with = "credential_or_none")]
    #[schema(required = true)]
    pub credential_id: Option<CredentialId>,
    /// What was changed, besides the credential. Null if the event is about the credential or the team alone. For
    /// `access_token_released`, the vendor that asked.
    #[schema(required = true)]
    pub target: Option<TargetView>,
    /// Who caused the event.
    #[schema(required = true)]
    pub actor: Option<ActorView>,
    /// The id of the request or invocation, as in the header `x-request-id` and in the log.
    pub request_id: String,
    /// The names of the fields that were set. `secrets_removed`, `suspended` and `resumed` say what a change of a
    /// vendor's secrets or of a team was.
    #[schema(required = true)]
    pub changed: Option<Vec<String>>,
    /// Whether the action succeeded. Null for a change of state.
    #[schema(required = true)]
    pub outcome: Option<RecordedOutcome>,
    /// Why the action failed: the `code` of the error that the API answered. For `notification_failed`, one of
    /// `ADDRESS_NOT_PUBLIC`, `UNREACHABLE`, `TIMEOUT`, `REDIRECT`, `STATUS` and `VAULT_FAILED`. For a call of a token
    /// URL that chooses, also `NOT_CHOSEN`, `NEEDS_REFRESH`, `OUT_OF_TIME` and `DELETED`.
    #[schema(required = true, example = "FST_ERR_ZOOM_RECONNECT_REQUIRED")]
    pub code: Option<String>,
    /// The earlier event that said that this token was released. The mint failed after that event was written.
    #[schema(required = true)]
    pub corrects: Option<EventId>,
    /// The type of the token.
    #[serde(rename = "type")]
    #[schema(required = true)]
    pub token_type: Option<TokenType>,
    /// The meeting that the token is for.
    #[schema(required = true)]
    pub meeting_id: Option<MeetingId>,
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

/// The partition key of an event of no credential names the team instead.
fn credential_or_none<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<CredentialId>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(text.parse().ok())
}

impl EventRecord {
    /// The record of an event. `credential_id` is the credential that it is about.
    pub fn new(event: Event, credential_id: Option<CredentialId>) -> Self {
        let Event {
            id,
            actor,
            request_id,
            details,
        } = event;
        let empty = |kind| Self {
            event_id: id,
            at: id.at(),
            kind,
            credential_id,
            target: None,
            actor: actor.map(ActorView::from),
            request_id,
            changed: None,
            outcome: None,
            code: None,
            corrects: None,
            token_type: None,
            meeting_id: None,
            bot_id: None,
            state: None,
            reason: None,
        };
        match details {
            EventDetails::Mint {
                token_type,
                meeting_id,
                bot,
                outcome,
                corrects,
            } => Self {
                token_type: Some(token_type),
                meeting_id,
                bot_id: bot,
                corrects,
                ..empty(EventKind::Mint).with_outcome(outcome)
            },
            EventDetails::AccessToken {
                vendor,
                bot,
                outcome,
                corrects,
            } => Self {
                target: Some(Target::Vendor(vendor).into()),
                token_type: Some(TokenType::AccessToken),
                bot_id: bot,
                corrects,
                ..empty(EventKind::AccessTokenReleased).with_outcome(outcome)
            },
            EventDetails::Refresh { bot, outcome } => Self {
                bot_id: bot,
                ..empty(EventKind::Refresh).with_outcome(outcome)
            },
            EventDetails::Revoke { outcome } => empty(EventKind::Revoke).with_outcome(outcome),
            EventDetails::StateChange { reason } => Self {
                state: Some(match reason {
                    Some(_) => State::Invalid,
                    None => State::Active,
                }),
                reason: reason.map(|reason| reason.as_str().to_owned()),
                ..empty(EventKind::StateChange)
            },
            EventDetails::NotificationFailed { code } => {
                empty(EventKind::NotificationFailed).with_outcome(EventOutcome::Failed { code })
            }
            EventDetails::Change(Change {
                kind,
                target,
                fields,
            }) => Self {
                target: target.map(TargetView::from),
                changed: Some(fields.into_iter().map(str::to_owned).collect()),
                ..empty(kind).with_outcome(EventOutcome::Succeeded)
            },
        }
    }

    fn with_outcome(self, outcome: EventOutcome) -> Self {
        let (outcome, code) = match outcome {
            EventOutcome::Succeeded => (RecordedOutcome::Succeeded, None),
            EventOutcome::Failed { code } => (RecordedOutcome::Failed, Some(code.to_owned())),
        };
        Self {
            outcome: Some(outcome),
            code,
            ..self
        }
    }
}
