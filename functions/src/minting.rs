//! From a credential to the token that a bot joins with.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use shared::credential::CredentialId;
use shared::event::{Asked, Event, Happened, Outcome};
use shared::sdk_jwt::{self, MeetingRole};
use shared::stores::{self, AppSecret, Stored};
use shared::timestamp::Timestamp;
use shared::token::{MeetingId, TokenType};
use shared::zoom;
use tokio::time::timeout;

use crate::app::App;
use crate::error::ApiError;
use crate::grants::{Grants, Rows, Terms, Use, Used};
use crate::opened::Access;

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
                let app = grants.app_secret(stored.credential.credential_id).await?;
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

impl Use<'_> {
    /// Mints a token. It is on record before it is released; a mint that fails is on record as that.
    pub(crate) async fn mint(&self, stored: Stored, ready: Ready) -> Result<Minted, ApiError> {
        let (token_type, meeting_id) = (ready.token_type(), ready.meeting().cloned());
        let event = |outcome| Happened::Mint {
            token_type,
            meeting_id: meeting_id.clone(),
            asked: self.terms.asked.clone(),
            outcome,
        };
        let record = Event::new(event(Outcome::Succeeded));
        let id = stored.credential.credential_id;
        let minted = match ready {
            Ready::SdkJwt { meeting, ttl, app } => {
                let app = App::new(self.grants, self.team, &stored, Some(app));
                self.sign(app, meeting, ttl, &record).await
            }
            Ready::Zoom { wanted, rows } => {
                let rows = rows.map(|rows| *rows);
                // A future of many kilobytes, of which a debug build copies every one from frame to frame.
                Box::pin(self.mint_at_zoom(stored, rows, &wanted, &record)).await
            }
        };
        match &minted {
            Ok(_) => self.request.trail().deeds.minted(),
            Err(error) => {
                let outcome = Outcome::Failed { code: error.code() };
                let failed = Event {
                    id: record.id,
                    what: event(outcome),
                };
                tokio::join!(self.note(id, &failed), self.note_refresh(id, Some(error)));
            }
        }
        minted
    }

    async fn sign(
        &self,
        app: App<'_>,
        meeting: Option<(MeetingId, MeetingRole)>,
        ttl: Duration,
        record: &Event,
    ) -> Result<Minted, ApiError> {
        let id = app.credential();
        let recorded = self.grants.events.record(self.team, id, record);
        let (app, recorded) = tokio::join!(app.open(), recorded);
        let app = app?;
        recorded?;
        let (token, expires_at) = sdk_jwt::sign(&app, meeting.as_ref(), ttl);
        Ok(Minted {
            token_type: TokenType::SdkJwt,
            token,
            expires_at,
        })
    }

    async fn mint_at_zoom(
        &self,
        seen: Stored,
        rows: Option<Rows>,
        wanted: &zoom::Wanted,
        record: &Event,
    ) -> Result<Minted, ApiError> {
        let id = seen.credential.credential_id;
        let used = self
            .call(seen.clone(), rows, |access| {
                self.ask(id, access, wanted, record)
            })
            .await;
        let Used {
            outcome,
            stored,
            access,
        } = match used {
            Ok(used) => used,
            Err(error) => {
                self.note_failure(&seen, &error).await;
                return Err(error);
            }
        };
        let (minted, recorded, asked_at) = match outcome {
            Ok(released) => released,
            Err(error) => {
                let error = ApiError::of_minting(error);
                self.note_failure(&stored, &error).await;
                return Err(error);
            }
        };
        recorded?;
        self.learn_user(&stored, &access).await;
        Ok(Minted {
            token_type: wanted.token_type(),
            token: minted.token,
            expires_at: asked_at.plus(minted.lives.unwrap_or(LIFETIME)),
        })
    }

    /// Asks Zoom and writes the record, both at once: whether the token may be released, they say together.
    async fn ask(
        &self,
        id: CredentialId,
        access: Arc<Access>,
        wanted: &zoom::Wanted,
        record: &Event,
    ) -> Result<(zoom::Minted, Result<(), stores::Error>, Timestamp), zoom::Error> {
        let Self {
            grants, request, ..
        } = self;
        let asked_at = Timestamp::now();
        let patience = asked_at.until(self.terms.answer_by).max(LEAST);
        let time_left = request.time_left(RESERVE).min(patience);
        let api_url = access.api_url.as_ref();
        let recorded = async {
            let recorded = grants.events.record(self.team, id, record);
            timeout(time_left, recorded)
                .await
                .unwrap_or_else(|elapsed| Err(stores::Error::silent("PutItem", elapsed)))
        };
        let (minted, recorded, ()) = tokio::join!(
            grants.zoom.mint(api_url, &access.token, wanted, time_left),
            recorded,
            self.note_refresh(id, None),
        );
        Ok((minted?, recorded, asked_at))
    }
}
