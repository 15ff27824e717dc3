//! Finds out what a credential can be used for, by using it.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use crate::account::AccountId;
use crate::credential::{CredentialId, CredentialType};
use crate::error::{Down, Error};
use crate::event::{EventDetails, EventOutcome};
use crate::grants::Context;
use crate::grants::account::AccountCaller;
use crate::grants::app::App;
use crate::grants::cache::AccountAccess;
use crate::grants::call::{CallOutcome, Caller};
use crate::grants::mint::ANSWER_TIME;
use crate::grants::profile::{UserFinder, WorkingGrant};
use crate::grants::record::Recorder;
use crate::profile::Profile;
use crate::stores::StoredCredential;
use crate::token::MeetingId;
use crate::zoom::{self, MintRequest, TokenOwner};

/// The scopes that let a bot record locally. One is enough: the granular ones, and those of older apps.
const LOCAL_RECORDING: [&str; 4] = [
    "meeting:read:local_recording_token",
    "meeting:read:local_recording_token:admin",
    "meeting_token:read:local_recording",
    "meeting_token:read:admin:local_recording",
];

/// The scopes with which an account-level app records locally. One is enough.
const ACCOUNT_RECORDING: [&str; 2] = [
    "meeting:read:local_recording_token:admin",
    "meeting_token:read:admin:local_recording",
];

/// The scope with which an account-level app mints a ZAK. `user:read:zak:admin` is for the ZAK of `me`, who would be
/// the owner of the account.
const ACCOUNT_ZAK: [&str; 1] = ["user:read:token:admin"];

/// What a credential can be used for. Null if its type has no such use.
#[derive(Default, Serialize, ToSchema)]
pub struct Capabilities {
    /// For an app credential: whether Zoom accepts its client id and secret. For an account-level credential: whether
    /// Zoom gives the app an access token for its account.
    #[schema(required = true)]
    app: Option<Capability>,
    /// Tokens to join on behalf of the user. The check mints one and drops it. For an account-level credential it mints
    /// none: they are refused, or not known if the team may try them.
    #[schema(required = true)]
    onbehalf: Option<Capability>,
    /// The user's access key (ZAK). The check mints one and drops it. For an account-level credential, the app's scopes
    /// decide.
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
        let scope = scope.to_owned();
        Self::without(&scope.clone(), &Error::MissingScope { scope })
    }

    fn missing_admin(scope: &str) -> Self {
        let scope = scope.to_owned();
        Self::without(&scope.clone(), &Error::MissingAdminScope { scope })
    }

    fn without(scope: &str, error: &Error) -> Self {
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
        if let Error::MissingAdminScope { scope } = &error {
            return Ok(Self::missing_admin(scope));
        }
        let is_zooms = matches!(
            error,
            Error::ReconnectRequired { .. }
                | Error::AppMisconfigured { .. }
                | Error::ZoomRefused { .. }
                | Error::UnknownAccountUser { .. }
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
/// `account_onbehalf` says whether the team may try `onbehalf` tokens of account-level apps.
pub async fn check(
    context: Context<'_>,
    stored: StoredCredential,
    meeting: Option<MeetingId>,
    account_onbehalf: bool,
) -> Result<Capabilities, Error> {
    let check = Check {
        context,
        id: stored.credential.credential_id,
    };
    match (stored.credential.credential_type, stored.account()) {
        (CredentialType::App, Some(account)) => {
            let capabilities = check.account(&stored, &account, meeting).await?;
            Ok(capabilities.with_account_onbehalf(account_onbehalf))
        }
        (CredentialType::App, None) => check.app(&stored).await,
        (CredentialType::User, _) => check.user(stored, meeting).await,
    }
}

impl Capabilities {
    fn with_account_onbehalf(self, is_allowed: bool) -> Self {
        let error = Error::OnbehalfOfAccount;
        let onbehalf = if is_allowed {
            Capability::of(CapabilityStatus::Unknown)
        } else {
            Capability {
                status: CapabilityStatus::Failing,
                scope: None,
                code: Some(error.code()),
                reason: Some(error.to_string()),
            }
        };
        Self {
            onbehalf: Some(onbehalf),
            ..self
        }
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

    /// Tries an account-level app. No user is known to mint a ZAK for, so the app's scopes decide.
    async fn account(
        &self,
        stored: &StoredCredential,
        account: &AccountId,
        meeting: Option<MeetingId>,
    ) -> Result<Capabilities, Error> {
        let caller = AccountCaller::new(self.context, stored, account);
        let access = match caller.access().await {
            Ok(access) => access,
            Err(error) => {
                Recorder(self.context).failure(stored, &error).await;
                let failing = Some(Capability::from_error(error)?);
                return Ok(Capabilities {
                    app: failing.clone(),
                    zak: failing.clone(),
                    local_recording: failing,
                    ..Capabilities::default()
                });
            }
        };
        Recorder(self.context).app_accepted(stored).await;
        let scopes = access.scopes.as_deref();
        let local_recording = match meeting {
            None => by_scopes(scopes, &ACCOUNT_RECORDING, Capability::missing_admin),
            Some(meeting) => {
                let wanted = MintRequest::LocalRecording {
                    meeting: meeting.into(),
                };
                self.mint_of_account(&caller, &wanted).await?
            }
        };
        Ok(Capabilities {
            app: Some(Capability::of(CapabilityStatus::Granted)),
            zak: Some(by_scopes(scopes, &ACCOUNT_ZAK, Capability::missing_admin)),
            local_recording: Some(local_recording),
            ..Capabilities::default()
        })
    }

    /// Mints a token of an account-level app and drops it.
    async fn mint_of_account(
        &self,
        caller: &AccountCaller<'_>,
        wanted: &MintRequest,
    ) -> Result<Capability, Error> {
        let Context {
            grants, invocation, ..
        } = self.context;
        let minted = caller
            .call(async |access: Arc<AccountAccess>| {
                let time_left = invocation.time_left(ANSWER_TIME);
                let (api_url, token) = (access.api_url.as_ref(), &access.token);
                let owner = TokenOwner::Me;
                grants
                    .zoom
                    .mint(api_url, token, &owner, wanted, time_left)
                    .await
            })
            .await;
        let minted = match minted {
            Ok(_) => Capability::of(CapabilityStatus::Granted),
            Err(error) => Capability::from_error(error)?,
        };
        self.record_mint(wanted, &minted).await;
        Ok(minted)
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
            grants, invocation, ..
        } = self.context;
        let access = &outcome.access;
        let api_url = access.api_url.as_ref();
        let time_left = invocation.time_left(ANSWER_TIME);
        let minted = grants
            .zoom
            .mint(api_url, &access.token, &TokenOwner::Me, &wanted, time_left)
            .await;
        let minted = Capability::from_answer(minted)?;
        self.record_mint(&wanted, &minted).await;
        Ok(minted)
    }

    /// Writes the event of a token that the check minted and dropped.
    async fn record_mint(&self, wanted: &MintRequest, minted: &Capability) {
        let Context {
            invocation, terms, ..
        } = self.context;
        let event = invocation.event(EventDetails::Mint {
            token_type: wanted.token_type(),
            meeting_id: wanted.meeting().cloned(),
            bot: terms.bot.clone(),
            corrects: None,
            outcome: match minted.code {
                None => EventOutcome::Succeeded,
                Some(code) => EventOutcome::Failed { code },
            },
        });
        Recorder(self.context).event(self.id, &event).await;
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
    let scopes = stored.credential.scopes.as_deref();
    by_scopes(scopes, &LOCAL_RECORDING, Capability::missing)
}

/// Whether one of the scopes that are `enough` is among the comma-separated `scopes`. If not, the first one is missing.
fn by_scopes<const N: usize>(
    scopes: Option<&str>,
    enough: &[&str; N],
    missing: impl FnOnce(&str) -> Capability,
) -> Capability {
    let Some(scopes) = scopes else {
        return Capability::of(CapabilityStatus::Unknown);
    };
    if scopes.split(',').any(|scope| enough.contains(&scope)) {
        Capability::of(CapabilityStatus::Granted)
    } else {
        missing(enough.first().copied().unwrap_or_default())
    }
}
