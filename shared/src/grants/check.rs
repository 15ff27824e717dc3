//! Finds out what a credential can be used for, by using it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::credential::{CredentialId, CredentialType};
use crate::error::{Down, Error};
use crate::event::{EventDetails, EventOutcome};
use crate::grants::Context;
use crate::grants::app::App;
use crate::grants::call::{CallOutcome, Caller};
use crate::grants::mint::ANSWER_TIME;
use crate::grants::profile::{UserFinder, WorkingGrant};
use crate::grants::record::Recorder;
use crate::profile::Profile;
use crate::stores::StoredCredential;
use crate::token::{MeetingId, TokenType};
use crate::zoom::{self, MintRequest};

/// The scopes that let a bot record locally. One is enough: the granular ones, and those of older apps.
const LOCAL_RECORDING: [&str; 4] = [
    "meeting:read:local_recording_token",
    "meeting:read:local_recording_token:admin",
    "meeting_token:read:local_recording",
    "meeting_token:read:admin:local_recording",
];

/// What a credential can be used for. Null if its type has no such use.
#[derive(Default, Serialize, ToSchema)]
pub struct Capabilities {
    /// For an app credential: whether Zoom accepts its client id and secret.
    #[schema(required = true)]
    app: Option<Capability>,
    /// Tokens to join on behalf of the user. The check mints one and drops it.
    #[schema(required = true)]
    onbehalf: Option<Capability>,
    /// The user's access key (ZAK). The check mints one and drops it.
    #[schema(required = true)]
    zak: Option<Capability>,
    /// Tokens to record locally. With `meeting_id` the check mints one and drops it. Without, the scopes that the user
    /// consented to decide.
    #[schema(required = true)]
    local_recording: Option<Capability>,
    /// The user's profile. The check reads it.
    #[schema(required = true)]
    profile: Option<Capability>,
}

/// Whether one use of a credential works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
struct Capability {
    /// Whether it works.
    status: CapabilityStatus,
    /// The scope that is missing.
    #[schema(required = true, example = "user:read:zak")]
    scope: Option<String>,
    /// The `code` that a mint would answer.
    #[schema(required = true)]
    code: Option<&'static str>,
    /// What is wrong and what to do.
    #[schema(required = true)]
    reason: Option<String>,
}

/// Whether one use of a credential works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum CapabilityStatus {
    /// It works.
    Granted,
    /// The app or the user's consent lacks `scope`.
    MissingScope,
    /// It does not work: `code` and `reason` say why.
    Failing,
    /// Zoom does not say.
    Unknown,
}

impl Capability {
    fn of(status: CapabilityStatus) -> Self {
        Self {
            status,
            scope: None,
            code: None,
            reason: None,
        }
    }

    fn missing(scope: &str) -> Self {
        let error = Error::MissingScope {
            scope: scope.to_owned(),
        };
        Self {
            status: CapabilityStatus::MissingScope,
            scope: Some(scope.to_owned()),
            code: Some(error.code()),
            reason: Some(error.to_string()),
        }
    }

    /// What an error says about the credential. An error that says nothing about it fails the check.
    fn from_error(error: Error) -> Result<Self, Error> {
        if let Error::MissingScope { scope } = &error {
            return Ok(Self::missing(scope));
        }
        let is_zooms = matches!(
            error,
            Error::ReconnectRequired { .. }
                | Error::AppMisconfigured { .. }
                | Error::ZoomRefused { .. }
                | Error::ZoomUnavailable { .. }
                | Error::ZoomTimeout { .. }
                | Error::Unavailable {
                    source: Down::Zoom(_),
                    ..
                }
        );
        if !is_zooms {
            return Err(error);
        }
        let reason = if let Error::ZoomUnavailable {
            source: refusal @ zoom::Error::AccessTokenRefused { .. },
            ..
        } = &error
        {
            format!("{refusal}.")
        } else {
            error.to_string()
        };
        Ok(Self {
            status: CapabilityStatus::Failing,
            scope: None,
            code: Some(error.code()),
            reason: Some(reason),
        })
    }

    fn from_answer<T>(answer: Result<T, zoom::Error>) -> Result<Self, Error> {
        match answer {
            Ok(_) => Ok(Self::of(CapabilityStatus::Granted)),
            Err(error) => Self::from_error(Error::from_grant_use(error)),
        }
    }
}

/// Tries everything that the credential's type can be used for. `meeting` is the meeting for a local recording token.
pub async fn check(
    context: Context<'_>,
    stored: StoredCredential,
    meeting: Option<MeetingId>,
) -> Result<Capabilities, Error> {
    let check = Check {
        context,
        id: stored.credential.credential_id,
    };
    match stored.credential.credential_type {
        CredentialType::App => check.app(&stored).await,
        CredentialType::User => check.user(stored, meeting).await,
    }
}

/// One check of one credential.
struct Check<'a> {
    context: Context<'a>,
    id: CredentialId,
}

/// What reading the profile showed, once Zoom has accepted the access token.
#[derive(Clone)]
enum ProfileAnswer {
    Read(Profile),
    MissingScope(String),
}

impl Check<'_> {
    /// Tries an app's id and secret.
    async fn app(&self, stored: &StoredCredential) -> Result<Capabilities, Error> {
        let Context {
            grants,
            invocation,
            team,
            ..
        } = self.context;
        let app = App::new(grants, team, stored, None).open().await?;
        let time_left = invocation.time_left(ANSWER_TIME);
        let recorder = Recorder(self.context);
        let accepted = match grants.zoom.check_app(&app, time_left).await {
            Ok(()) => {
                recorder.app_accepted(stored).await;
                Capability::of(CapabilityStatus::Granted)
            }
            Err(error) if error.is_no_verdict() => Capability::of(CapabilityStatus::Unknown),
            Err(error) => {
                let error = Error::from_grant_use(error);
                recorder.failure(stored, &error).await;
                Capability::from_error(error)?
            }
        };
        Ok(Capabilities {
            app: Some(accepted),
            ..Capabilities::default()
        })
    }

    /// Tries everything that a user's credential is for, with one access token.
    async fn user(
        &self,
        stored: StoredCredential,
        meeting: Option<MeetingId>,
    ) -> Result<Capabilities, Error> {
        let Context {
            grants, invocation, ..
        } = self.context;
        let called = Caller::new(self.context)
            .call(stored, None, async |access| {
                let time_left = invocation.time_left(ANSWER_TIME);
                let api_url = access.api_url.as_ref();
                match grants.zoom.profile(api_url, &access.token, time_left).await {
                    // Zoom accepted the access token.
                    Err(zoom::Error::MissingScope { scope }) => {
                        Ok(ProfileAnswer::MissingScope(scope))
                    }
                    profile => profile.map(ProfileAnswer::Read),
                }
            })
            .await;
        let recorder = Recorder(self.context);
        recorder.refresh(self.id, called.as_ref().err()).await;
        let outcome = match called {
            Ok(outcome) => outcome,
            Err(error) => {
                let failing = Some(Capability::from_error(error)?);
                return Ok(Capabilities {
                    app: None,
                    onbehalf: failing.clone(),
                    zak: failing.clone(),
                    local_recording: failing.clone(),
                    profile: failing,
                });
            }
        };

        let onbehalf = MintRequest::Onbehalf {
            meeting: meeting.clone(),
            ttl: None,
        };
        let local_recording = meeting.map(|meeting| MintRequest::LocalRecording {
            meeting: meeting.into(),
        });
        let (onbehalf, zak, local_recording, ()) = tokio::join!(
            self.mint(&outcome, onbehalf),
            self.mint(&outcome, MintRequest::Zak { ttl: None }),
            async {
                match local_recording {
                    Some(wanted) => self.mint(&outcome, wanted).await,
                    None => Ok(local_recording_by_consent(&outcome.stored)),
                }
            },
            self.learn_profile(&outcome),
        );
        let profile = match outcome.answer {
            Ok(ProfileAnswer::MissingScope(scope)) => Capability::missing(&scope),
            answer => Capability::from_answer(answer)?,
        };
        Ok(Capabilities {
            app: None,
            onbehalf: Some(onbehalf?),
            zak: Some(zak?),
            local_recording: Some(local_recording?),
            profile: Some(profile),
        })
    }

    /// Mints a token and drops it.
    async fn mint<T>(
        &self,
        outcome: &CallOutcome<T>,
        wanted: MintRequest,
    ) -> Result<Capability, Error> {
        let Context {
            grants,
            invocation,
            terms,
            ..
        } = self.context;
        let access = &outcome.access;
        let api_url = access.api_url.as_ref();
        let time_left = invocation.time_left(ANSWER_TIME);
        let minted = grants
            .zoom
            .mint(api_url, &access.token, &wanted, time_left)
            .await;
        let minted = Capability::from_answer(minted)?;
        let (token_type, meeting_id) = match wanted {
            MintRequest::Onbehalf { meeting, .. } => (TokenType::Onbehalf, meeting),
            MintRequest::Zak { .. } => (TokenType::Zak, None),
            MintRequest::LocalRecording { meeting } => {
                (TokenType::LocalRecording, Some(meeting.id))
            }
        };
        let event = invocation.event(EventDetails::Mint {
            token_type,
            meeting_id,
            bot: terms.bot.clone(),
            corrects: None,
            outcome: match minted.code {
                None => EventOutcome::Succeeded,
                Some(code) => EventOutcome::Failed { code },
            },
        });
        Recorder(self.context).event(self.id, &event).await;
        Ok(minted)
    }

    /// Stores who the user is, if that was unknown or has changed.
    async fn learn_profile(&self, outcome: &CallOutcome<ProfileAnswer>) {
        let known = &outcome.stored;
        let read = match &outcome.answer {
            Ok(ProfileAnswer::Read(profile))
                if known.pair.is_none() || *profile != known.credential.profile() =>
            {
                Ok(profile.clone())
            }
            Ok(ProfileAnswer::MissingScope(scope)) if known.pair.is_none() => {
                Err(zoom::Error::MissingScope {
                    scope: scope.clone(),
                })
            }
            Ok(_) | Err(_) => return,
        };
        if let Some(grant) = WorkingGrant::of_use(known, &outcome.access) {
            let found = UserFinder::of_use(self.context);
            found.store(known, &grant, read).await;
        }
    }
}

/// Whether the user consented to local recording.
fn local_recording_by_consent(stored: &StoredCredential) -> Capability {
    let Some(scopes) = &stored.credential.scopes else {
        return Capability::of(CapabilityStatus::Unknown);
    };
    let mut granted = scopes.split(',');
    if granted.any(|scope| LOCAL_RECORDING.contains(&scope)) {
        Capability::of(CapabilityStatus::Granted)
    } else {
        Capability::missing(LOCAL_RECORDING[0])
    }
}
