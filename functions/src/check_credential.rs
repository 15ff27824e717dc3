//! `POST /v2/zoom-credentials/{id}/check`

use serde::Serialize;
use shared::credential::{Credential, CredentialId, CredentialType, State};
use shared::event::{By, Event, Happened, Outcome};
use shared::stores::{Keys, Profile, Requests, Stored};
use shared::timestamp::Timestamp;
use shared::token::{MeetingId, TokenType};
use shared::zoom::{self, Wanted};
use utoipa::ToSchema;

use crate::access;
use crate::app::App;
use crate::body::Fields;
use crate::error::{ApiError, Down};
use crate::grants::{Grants, Terms, Use, Used};
use crate::minting::RESERVE;
use crate::openapi::{
    BodyErrors, CheckCredential, CheckedCredential, MissingError, ReadErrors, WriteErrors,
};
use crate::reply::{self, Reply};
use crate::request::Request;

/// What the logs call it.
pub const ROUTE: &str = "POST /v2/zoom-credentials/{id}/check";

/// The scopes of which one lets a bot record locally: granular ones, and those that older apps have.
const LOCAL_RECORDING: [&str; 4] = [
    "meeting:read:local_recording_token",
    "meeting:read:local_recording_token:admin",
    "meeting_token:read:local_recording",
    "meeting_token:read:admin:local_recording",
];

/// How a credential is, found out by using it.
#[derive(Serialize, ToSchema)]
#[schema(as = CredentialHealth)]
pub(crate) struct Health {
    /// Which credential.
    #[schema(value_type = String, format = "uuid")]
    credential_id: CredentialId,
    /// When it was found out.
    #[schema(value_type = String, format = DateTime)]
    checked_at: Timestamp,
    /// The credential's state after it: a check mends what it finds.
    state: State,
    /// What the credential can be used for, one by one.
    capabilities: Capabilities,
}

/// What a credential can be used for; null where its type has no such use.
#[derive(Default, Serialize, ToSchema)]
struct Capabilities {
    /// Of an app credential: whether Zoom takes its client id and secret.
    #[schema(required = true)]
    app: Option<Capability>,
    /// Tokens to join on behalf of the user: one was minted and thrown away.
    #[schema(required = true)]
    onbehalf: Option<Capability>,
    /// The user's access key: one was minted and thrown away.
    #[schema(required = true)]
    zak: Option<Capability>,
    /// Tokens to record locally: one was minted and thrown away where `meeting_id` was given; without it, what the
    /// user consented to says.
    #[schema(required = true)]
    local_recording: Option<Capability>,
    /// Who the user is: it was read.
    #[schema(required = true)]
    profile: Option<Capability>,
}

/// Whether one use of a credential works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
struct Capability {
    /// Whether it works.
    status: Status,
    /// The scope that is missing.
    #[schema(required = true, example = "user:read:zak")]
    scope: Option<String>,
    /// The `code` that a mint would be answered.
    #[schema(required = true)]
    code: Option<&'static str>,
    /// In words, and what to do.
    #[schema(required = true)]
    reason: Option<String>,
}

/// Whether one use of a credential works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CapabilityStatus)]
enum Status {
    /// It works.
    Granted,
    /// The app or the user's consent lacks `scope`.
    MissingScope,
    /// It does not: `code` and `reason` say why.
    Failing,
    /// Zoom does not say.
    Unknown,
}

impl Capability {
    fn of(status: Status) -> Self {
        Self {
            status,
            scope: None,
            code: None,
            reason: None,
        }
    }

    fn missing(scope: &str) -> Self {
        let error = ApiError::MissingScope {
            scope: scope.to_owned(),
        };
        Self {
            status: Status::MissingScope,
            scope: Some(scope.to_owned()),
            code: Some(error.code()),
            reason: Some(error.to_string()),
        }
    }

    /// What an error says of the credential; the error itself where it says nothing of that.
    fn lost_to(error: ApiError) -> Result<Self, ApiError> {
        if let ApiError::MissingScope { scope } = &error {
            return Ok(Self::missing(scope));
        }
        let is_zooms = matches!(
            error,
            ApiError::ReconnectRequired { .. }
                | ApiError::AppMisconfigured { .. }
                | ApiError::ZoomRefused { .. }
                | ApiError::ZoomUnavailable { .. }
                | ApiError::ZoomTimeout { .. }
                | ApiError::Unavailable {
                    source: Down::Zoom(_),
                    ..
                }
        );
        if !is_zooms {
            return Err(error);
        }
        Ok(Self {
            status: Status::Failing,
            scope: None,
            code: Some(error.code()),
            reason: Some(error.to_string()),
        })
    }

    fn came_to<T>(outcome: Result<T, zoom::Error>) -> Result<Self, ApiError> {
        match outcome {
            Ok(_) => Ok(Self::of(Status::Granted)),
            Err(error) => Self::lost_to(ApiError::of_minting(error)),
        }
    }
}

/// Checks a credential
///
/// Without a bot: refreshes the grant if that is due, reads the user's profile, and mints and throws away one token of
/// each kind. A profile that was not known yet, or has changed, is stored. An app credential's client id and secret
/// are tried.
#[utoipa::path(
    post,
    path = "/v2/zoom-credentials/{id}/check",
    operation_id = "checkZoomCredential",
    tag = "Zoom credentials",
    params(
        ("id" = String, Path, format = "uuid", description = "The credential's id"),
    ),
    request_body(content = Option<CheckCredential>, content_type = "application/json"),
    responses(
        (status = 200, description = "How the credential is: good or bad, the check itself went well", body = CheckedCredential),
        ReadErrors,
        MissingError,
        WriteErrors,
        BodyErrors,
    )
)]
pub async fn handle(keys: &Keys, requests: &Requests, grants: &Grants, request: &Request) -> Reply {
    let key = access::api_key(request)?;
    let team = key.team();
    let permission = access::verify(keys, &key, request).await?;
    let (stored, meeting) = access::admitted(keys, requests, team, request, permission, async {
        let id = request.credential_id()?;
        let meeting = Fields::of_optional(request)?.optional("body/meeting_id")?;
        Ok((grants.credentials.get(team, id).await?, meeting))
    })
    .await?;
    let id = stored.credential.credential_id;
    let grant = Use {
        grants,
        request,
        team,
        terms: &Terms::of_the_api(By::Check(key.hash().id()).into()),
    };

    let capabilities = match stored.credential.credential_type {
        CredentialType::App => grant.check_app(&stored).await?,
        CredentialType::User => grant.check_user(stored, meeting).await?,
    };

    let state = grants.credentials.get(team, id).await?.credential.state;
    reply::ok(Health {
        credential_id: id,
        checked_at: Timestamp::now(),
        state,
        capabilities,
    })
}

impl Use<'_> {
    /// Tries an app's id and secret.
    async fn check_app(&self, stored: &Stored) -> Result<Capabilities, ApiError> {
        let app = App::new(self.grants, self.team, stored, None);
        let app = app.open().await?;
        let time_left = self.request.time_left(RESERVE);
        let accepted = match self.grants.zoom.check_app(&app, time_left).await {
            // A refusal of this way to ask, and not of the app.
            Err(zoom::Error::Failed {
                source: zoom::Fault::Refused(_),
                ..
            }) => Capability::of(Status::Unknown),
            outcome => Capability::came_to(outcome)?,
        };
        Ok(Capabilities {
            app: Some(accepted),
            ..Capabilities::default()
        })
    }

    /// Tries everything that a user's credential is for, with one access token.
    async fn check_user(
        &self,
        stored: Stored,
        meeting: Option<MeetingId>,
    ) -> Result<Capabilities, ApiError> {
        let Self {
            grants, request, ..
        } = self;
        let id = stored.credential.credential_id;
        let used = self
            .call(stored, None, async |access| {
                let time_left = request.time_left(RESERVE);
                let api_url = access.api_url.as_ref();
                match grants.zoom.profile(api_url, &access.token, time_left).await {
                    // Zoom took the access token.
                    Err(zoom::Error::MissingScope { scope }) => Ok(Err(scope)),
                    profile => profile.map(Ok),
                }
            })
            .await;
        self.note_refresh(id, used.as_ref().err()).await;
        let used = match used {
            Ok(used) => used,
            Err(error) => {
                let lost = Some(Capability::lost_to(error)?);
                return Ok(Capabilities {
                    app: None,
                    onbehalf: lost.clone(),
                    zak: lost.clone(),
                    local_recording: lost.clone(),
                    profile: lost,
                });
            }
        };

        let onbehalf = Wanted::Onbehalf {
            meeting: meeting.clone(),
            ttl: None,
        };
        let local_recording = meeting.map(|meeting| Wanted::LocalRecording { meeting });
        let (onbehalf, zak, local_recording, ()) = tokio::join!(
            self.check_mint(&used, onbehalf),
            self.check_mint(&used, Wanted::Zak { ttl: None }),
            async {
                match local_recording {
                    Some(wanted) => self.check_mint(&used, wanted).await,
                    None => Ok(by_consent(&used.stored)),
                }
            },
            self.learn_profile(&used),
        );
        let profile = match used.outcome {
            Ok(Err(scope)) => Capability::missing(&scope),
            outcome => Capability::came_to(outcome)?,
        };
        Ok(Capabilities {
            app: None,
            onbehalf: Some(onbehalf?),
            zak: Some(zak?),
            local_recording: Some(local_recording?),
            profile: Some(profile),
        })
    }

    /// Mints a token and throws it away.
    async fn check_mint<T>(&self, used: &Used<T>, wanted: Wanted) -> Result<Capability, ApiError> {
        let Self {
            grants, request, ..
        } = self;
        let Used { stored, access, .. } = used;
        let api_url = access.api_url.as_ref();
        let time_left = request.time_left(RESERVE);
        let minted = grants
            .zoom
            .mint(api_url, &access.token, &wanted, time_left)
            .await;
        let minted = Capability::came_to(minted)?;
        let (token_type, meeting_id) = match wanted {
            Wanted::Onbehalf { meeting, .. } => (TokenType::Onbehalf, meeting),
            Wanted::Zak { .. } => (TokenType::Zak, None),
            Wanted::LocalRecording { meeting } => (TokenType::LocalRecording, Some(meeting)),
        };
        let event = Event::new(Happened::Mint {
            token_type,
            meeting_id,
            asked: self.terms.asked.clone(),
            outcome: match minted.code {
                None => Outcome::Succeeded,
                Some(code) => Outcome::Failed { code },
            },
        });
        let id = stored.credential.credential_id;
        self.note(id, &event).await;
        Ok(minted)
    }

    /// Writes down who the user is, where that was not known or has changed.
    async fn learn_profile(&self, used: &Used<Result<Profile, String>>) {
        let known = &used.stored.credential;
        let read = match &used.outcome {
            Ok(Ok(profile)) if *profile != profile_of(known) => Ok(profile.clone()),
            Ok(Err(scope)) if known.zoom_user_id.is_none() => Err(zoom::Error::MissingScope {
                scope: scope.clone(),
            }),
            Ok(_) | Err(_) => return,
        };
        if let Some(unread) = self.unread(&used.stored, &used.access) {
            unread
                .learn(
                    &self.grants.credentials,
                    &self.grants.events,
                    self.request,
                    read,
                )
                .await;
        }
    }
}

/// What the user consented to says of local recording.
fn by_consent(stored: &Stored) -> Capability {
    let Some(scopes) = &stored.credential.scopes else {
        return Capability::of(Status::Unknown);
    };
    let mut granted = scopes.split(',');
    if granted.any(|scope| LOCAL_RECORDING.contains(&scope)) {
        Capability::of(Status::Granted)
    } else {
        Capability::missing(LOCAL_RECORDING[0])
    }
}

fn profile_of(known: &Credential) -> Profile {
    Profile {
        zoom_user_id: known.zoom_user_id.clone(),
        zoom_account_id: known.zoom_account_id.clone(),
        zoom_email: known.zoom_email.clone(),
        zoom_display_name: known.zoom_display_name.clone(),
    }
}
