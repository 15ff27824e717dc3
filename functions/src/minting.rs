//! From a credential to the token that a bot joins with.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use shared::cause::chain;
use shared::credential::{CredentialId, Reconnect, TeamId};
use shared::envelope::SecretId;
use shared::event::{Asked, Event, Happened, Outcome};
use shared::sdk_jwt::{self, MeetingRole};
use shared::stores::{self, AppSecret, Authorized, Stored};
use shared::timestamp::Timestamp;
use shared::token::{MeetingId, TokenType};
use shared::zoom;

use crate::app::App;
use crate::authorization::Unread;
use crate::error::ApiError;
use crate::grants::{Grants, Rows, UNREADABLE_PROFILE, Use, Used};
use crate::opened::Access;
use crate::request::Request;

/// Kept for the answer after Zoom's.
pub(crate) const RESERVE: Duration = Duration::from_secs(2);
/// How long an access token must still live to be used: beyond that it is refreshed first.
pub(crate) const MARGIN: Duration = Duration::from_mins(10);
/// Zoom's token is waited for at least this long: an access token that took long to get is worth a try.
const LEAST: Duration = Duration::from_secs(2);
/// How long API Gateway waits for an answer, less the way there.
const GATEWAY: Duration = Duration::from_secs(27);
/// How long a token lives for which Zoom was asked for no lifetime.
const LIFETIME: Duration = Duration::from_hours(2);

/// What `last_error_message` begins with where Zoom refuses the app: another client secret may heal it.
pub(crate) const APP_REFUSED: &str = "app refused: ";

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// What Zoom mints for the user.
    Zoom(zoom::Wanted),
    /// What is signed here, for the app.
    SdkJwt {
        /// The one meeting it is good for, and the bot's role there.
        meeting: Option<(MeetingId, MeetingRole)>,
        /// How long it lives.
        ttl: Duration,
    },
}

/// How soon the answer is needed, and by whom.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// Who asked.
    pub(crate) asked: Asked,
    /// How long an access token must still live to be used: beyond that it is refreshed first.
    pub(crate) margin: Duration,
    /// When the caller has to have an answer: Zoom's token is waited for no longer, but for [`LEAST`] in any case.
    pub(crate) answer_by: Timestamp,
}

impl Terms {
    /// Those of the API.
    pub(crate) fn of_the_api(asked: Asked) -> Self {
        Self {
            asked,
            margin: MARGIN,
            answer_by: Timestamp::now().plus(GATEWAY),
        }
    }
}

/// A token for a bot.
#[derive(Debug)]
pub(crate) struct Minted {
    pub(crate) token_type: TokenType,
    pub(crate) token: SecretString,
    pub(crate) expires_at: Timestamp,
}

/// A mint, with what was read for it while its call was counted.
#[derive(Debug)]
pub(crate) enum Ready {
    /// Zoom mints.
    Zoom {
        wanted: zoom::Wanted,
        /// None where the grant is open in memory.
        rows: Option<Box<Rows>>,
    },
    /// It is signed here.
    SdkJwt {
        meeting: Option<(MeetingId, MeetingRole)>,
        ttl: Duration,
        app: AppSecret,
    },
}

impl Ready {
    /// Reads what the mint needs. Changes nothing and asks neither KMS nor Zoom.
    pub(crate) async fn of(
        grants: &Grants,
        stored: &Stored,
        wanted: Wanted,
        terms: &Terms,
    ) -> Result<Self, ApiError> {
        match wanted {
            Wanted::Zoom(wanted) => {
                let rows = grants.rows(stored, terms.margin).await?.map(Box::new);
                Ok(Self::Zoom { wanted, rows })
            }
            Wanted::SdkJwt { meeting, ttl } => {
                let id = SecretId::App(stored.credential.credential_id);
                let app = grants.secrets.app(id).await?;
                Ok(Self::SdkJwt { meeting, ttl, app })
            }
        }
    }

    fn token_type(&self) -> TokenType {
        match self {
            Self::Zoom { wanted, .. } => wanted.token_type(),
            Self::SdkJwt { .. } => TokenType::SdkJwt,
        }
    }

    fn meeting(&self) -> Option<&MeetingId> {
        match self {
            Self::Zoom { wanted, .. } => wanted.meeting(),
            Self::SdkJwt { meeting, .. } => meeting.as_ref().map(|(meeting, _)| meeting),
        }
    }
}

/// Mints a token. It is on record before it is released; a mint that fails is on record as that.
pub(crate) async fn mint(
    grants: &Grants,
    request: &Request,
    team: &TeamId,
    stored: Stored,
    ready: Ready,
    terms: &Terms,
) -> Result<Minted, ApiError> {
    let (token_type, meeting_id) = (ready.token_type(), ready.meeting().cloned());
    let event = |outcome| Happened::Mint {
        token_type,
        meeting_id: meeting_id.clone(),
        asked: terms.asked.clone(),
        outcome,
    };
    let record = Event::new(event(Outcome::Succeeded));
    let id = stored.credential.credential_id;
    let minted = match ready {
        Ready::SdkJwt { meeting, ttl, app } => {
            let app = App::new(grants, team, &stored, Some(app));
            let (app, recorded) = tokio::join!(app.open(), grants.events.record(team, id, &record));
            app.and_then(|app| {
                recorded?;
                let (token, expires_at) = sdk_jwt::sign(&app, meeting.as_ref(), ttl);
                Ok(Minted {
                    token_type,
                    token,
                    expires_at,
                })
            })
        }
        Ready::Zoom { wanted, rows } => {
            let mint = AtZoom {
                grants,
                request,
                team,
                wanted: &wanted,
                terms,
                record: &record,
            };
            mint.mint(stored, rows.map(|rows| *rows)).await
        }
    };
    match &minted {
        Ok(_) => request.trail().deeds.minted(),
        Err(error) => {
            let outcome = Outcome::Failed { code: error.code() };
            let failed = Event {
                id: record.id,
                what: event(outcome),
            };
            note(grants, request, team, id, &failed).await;
            note_refresh(grants, request, team, id, &terms.asked, Some(error)).await;
        }
    }
    minted
}

/// Writes down that this request has refreshed the grant; or with the `error` that was answered, that it failed to.
pub(crate) async fn note_refresh(
    grants: &Grants,
    request: &Request,
    team: &TeamId,
    id: CredentialId,
    asked: &Asked,
    error: Option<&ApiError>,
) {
    let deeds = &request.trail().deeds;
    let outcome = match error {
        None if deeds.has_refreshed() => Outcome::Succeeded,
        Some(error) if deeds.has_failed_to_refresh() => Outcome::Failed { code: error.code() },
        None | Some(_) => return,
    };
    let refresh = Event::new(Happened::Refresh {
        asked: asked.clone(),
        outcome,
    });
    note(grants, request, team, id, &refresh).await;
}

/// Writes an event that nothing depends on.
pub(crate) async fn note(
    grants: &Grants,
    request: &Request,
    team: &TeamId,
    id: CredentialId,
    event: &Event,
) {
    if let Err(error) = grants.events.record(team, id, event).await {
        let cause = chain(&error);
        tracing::warn!(request_id = request.id(), cause, "an event is missing");
    }
}

/// One mint at Zoom.
struct AtZoom<'a> {
    grants: &'a Grants,
    request: &'a Request,
    team: &'a TeamId,
    wanted: &'a zoom::Wanted,
    terms: &'a Terms,
    /// Says that the token was released.
    record: &'a Event,
}

impl AtZoom<'_> {
    async fn mint(&self, stored: Stored, rows: Option<Rows>) -> Result<Minted, ApiError> {
        let Self {
            grants,
            request,
            team,
            ..
        } = *self;
        let grant = Use {
            grants,
            request,
            team,
            margin: self.terms.margin,
        };
        let seen = stored.clone();
        let id = stored.credential.credential_id;
        let used = grant
            .call(stored, rows, |access| self.ask(id, access))
            .await;
        let Used {
            outcome,
            stored,
            access,
        } = match used {
            Ok(used) => used,
            Err(error) => return Err(noted(grants, request, team, &seen, error).await),
        };
        let (minted, recorded, asked_at) = match outcome {
            Ok(minted) => minted,
            Err(error) => {
                let error = ApiError::of_minting(error);
                return Err(noted(grants, request, team, &stored, error).await);
            }
        };
        recorded?;
        learn_user(grants, request, team, &stored, &access).await;
        Ok(Minted {
            token_type: self.wanted.token_type(),
            token: minted.token,
            expires_at: asked_at.plus(minted.lives.unwrap_or(LIFETIME)),
        })
    }

    /// Asks Zoom and writes the record, both at once: whether the token may be released, they say together.
    async fn ask(
        &self,
        id: CredentialId,
        access: Arc<Access>,
    ) -> Result<(zoom::Minted, Result<(), stores::Error>, Timestamp), zoom::Error> {
        let Self {
            grants,
            request,
            team,
            ..
        } = *self;
        let asked_at = Timestamp::now();
        let patience = asked_at.until(self.terms.answer_by).max(LEAST);
        let time_left = request.time_left(RESERVE).min(patience);
        let api_url = access.api_url.as_ref();
        let (minted, recorded, ()) = tokio::join!(
            grants
                .zoom
                .mint(api_url, &access.token, self.wanted, time_left),
            grants.events.record(team, id, self.record),
            note_refresh(grants, request, team, id, &self.terms.asked, None),
        );
        Ok((minted?, recorded, asked_at))
    }
}

/// Completes what the authorizing call could not: who the user is.
pub(crate) async fn learn_user(
    grants: &Grants,
    request: &Request,
    team: &TeamId,
    stored: &Stored,
    access: &Access,
) {
    let credential = &stored.credential;
    let unreadable = credential
        .last_error_message
        .as_ref()
        .is_some_and(|message| message.starts_with(UNREADABLE_PROFILE));
    if credential.zoom_user_id.is_some() || unreadable {
        return;
    }
    if let Some(unread) = unread(team, stored, access) {
        unread
            .complete(&grants.credentials, &grants.zoom, request)
            .await;
    }
}

/// What is to be learnt of a credential's grant.
pub(crate) fn unread<'a>(
    team: &'a TeamId,
    stored: &'a Stored,
    access: &'a Access,
) -> Option<Unread<'a>> {
    Some(Unread {
        team,
        client_id: &stored.client_id,
        id: stored.credential.credential_id,
        authorized: Authorized {
            grant: stored.grant?,
            scopes: stored.credential.scopes.clone(),
        },
        sent_at: access.authorize_sent_at,
        access: &access.token,
        api_url: access.api_url.as_ref(),
    })
}

/// Writes down what the team has to do something about, where the credential does not say so already.
pub(crate) async fn noted(
    grants: &Grants,
    request: &Request,
    team: &TeamId,
    stored: &Stored,
    error: ApiError,
) -> ApiError {
    let message = if let ApiError::AppMisconfigured { reason } = &error {
        format!("{APP_REFUSED}{reason}")
    } else if let ApiError::MissingScope { scope } = &error {
        format!("missing scope {scope}")
    } else if let ApiError::ReconnectRequired {
        reason: gone @ Reconnect::UserGone,
    } = &error
    {
        format!("{}: Zoom does not know the user any more", gone.as_str())
    } else {
        return error;
    };
    if stored.credential.last_error_message.as_ref() != Some(&message) {
        let gone = matches!(error, ApiError::ReconnectRequired { .. });
        let noted = grants
            .credentials
            .note_failure(team, stored, &message, gone);
        if let Err(failed) = noted.await {
            let cause = chain(&failed);
            tracing::warn!(request_id = request.id(), cause, "a failure is not noted");
        }
    }
    error
}
