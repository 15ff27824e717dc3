//! Mints the token that a bot joins a meeting with. For a vendor that asks for the user's access token, releases that.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::account::AccountOwner;
use crate::credential::{CredentialId, TeamId};
use crate::error::Error;
use crate::event::{Event, EventId, EventOutcome};
use crate::grants::account::AccountCaller;
use crate::grants::app::App;
use crate::grants::app::sealed_secret;
use crate::grants::cache::{Access, AccountAccess};
use crate::grants::call::{CallOutcome, Caller};
use crate::grants::profile::learn_user;
use crate::grants::record::Recorder;
use crate::grants::release::Release;
use crate::grants::token_request::{AccountMint, Subject, TokenRequest};
use crate::grants::{Context, Grants, Rows, Terms};
use crate::rtms::{self, RtmsStream};
use crate::sdk_jwt::{self, MeetingRole};
use crate::secret::AppCredentials;
use crate::stores::{self, AppSecret, GrantState, StoredCredential};
use crate::timestamp::Timestamp;
use crate::token::{MeetingId, TokenType};
use crate::zoom::{self, ApiUrl, TokenOwner};

/// Time kept for the answer to the caller after Zoom's answer.
pub const ANSWER_TIME: Duration = Duration::from_secs(2);
/// How long an access token must still live to mint with it. An older one is refreshed first.
pub const ACCESS_MARGIN: Duration = Duration::from_mins(10);
/// Zoom gets at least this long to mint, so that an access token that took long to get is still tried.
const MIN_MINT_TIME: Duration = Duration::from_secs(2);
/// The code of a mint that needed a refresh, and might not begin one. It may be done again later.
const NEEDS_REFRESH: &str = "NEEDS_REFRESH";
/// How long a token lives if nobody named a lifetime.
const DEFAULT_LIFETIME: Duration = Duration::from_hours(2);

/// The token would live longer than the team allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LifetimeTooLong {
    /// The longest lifetime that the team allows, in seconds.
    pub max: u32,
}

/// A token for a bot.
#[derive(Debug)]
pub struct MintedToken {
    /// Its type.
    pub token_type: TokenType,
    /// The token itself.
    pub token: SecretString,
    /// When it expires. `None`: the token does not say.
    pub expires_at: Option<Timestamp>,
    /// The usage record, which says that the caller received the token.
    pub record: EventId,
}

/// A mint whose rows were read while the call was counted against the team's rate.
#[derive(Debug)]
pub struct PreparedMint {
    subject: Subject,
    prepared: Prepared,
}

#[derive(Debug)]
enum Prepared {
    Zoom {
        wanted: zoom::MintRequest,
        /// `None` if the access token is in memory.
        rows: Option<Box<Rows>>,
    },
    SdkJwt {
        meeting: Option<(MeetingId, MeetingRole)>,
        ttl: Option<Duration>,
        app: AppSecret,
    },
    RtmsSignature {
        stream: RtmsStream,
        app: AppSecret,
    },
    /// The client secret is read only if no access token is in memory.
    OfAccount(AccountMint),
    /// The row tells whether the token in memory is still the grant's.
    AccessToken {
        rows: Box<Rows>,
    },
}

impl PreparedMint {
    /// Reads what the mint needs. Changes nothing, and asks neither KMS nor Zoom.
    pub async fn read(
        grants: &Grants,
        team: &TeamId,
        stored: &StoredCredential,
        request: TokenRequest,
        terms: &Terms,
    ) -> Result<Self, Error> {
        let subject = request.subject();
        let rows = async {
            let rows = grants.read_ahead(team, stored, terms.margin).await?;
            Ok::<_, Error>(rows.map(Box::new))
        };
        let prepared = match request {
            TokenRequest::Zoom(wanted) => Prepared::Zoom {
                wanted,
                rows: rows.await?,
            },
            TokenRequest::AccessToken(_) => Prepared::AccessToken {
                rows: Box::new(grants.read_rows(team, stored).await?),
            },
            TokenRequest::SdkJwt { meeting, ttl } => {
                let app = sealed_secret(&grants.secrets, stored.credential.credential_id).await?;
                Prepared::SdkJwt { meeting, ttl, app }
            }
            TokenRequest::RtmsSignature(stream) => {
                let app = sealed_secret(&grants.secrets, stored.credential.credential_id).await?;
                Prepared::RtmsSignature { stream, app }
            }
            TokenRequest::OfAccount(mint) => Prepared::OfAccount(mint),
        };
        Ok(Self { subject, prepared })
    }

    /// Whether the mint begins with a refresh, or finds out that the grant is dead.
    pub fn needs_refresh(&self, margin: Duration) -> bool {
        let rows = match &self.prepared {
            Prepared::Zoom { rows, .. } => rows.as_ref(),
            Prepared::AccessToken { rows } => Some(rows),
            Prepared::SdkJwt { .. } | Prepared::RtmsSignature { .. } | Prepared::OfAccount(_) => {
                None
            }
        };
        let Some(rows) = rows else { return false };
        let enough = Timestamp::now().plus(margin).as_millis();
        let grant = rows.grant.as_ref();
        grant.is_none_or(|grant| {
            grant.state != GrantState::Active || grant.access_expires_at <= enough
        })
    }

    /// Makes the token live for `max` seconds at most. Fails if the caller asked for more. A signature for a stream has
    /// no lifetime, and the lifetime of an access token is Zoom's.
    pub fn with_max_lifetime(mut self, max: u32) -> Result<Self, LifetimeTooLong> {
        let limit = Duration::from_secs(max.into());
        let asked = match &self.prepared {
            Prepared::Zoom { wanted, .. } | Prepared::OfAccount(AccountMint { wanted, .. }) => {
                wanted.ttl().map(|ttl| Duration::from_secs(ttl.into()))
            }
            Prepared::SdkJwt { ttl, .. } => *ttl,
            Prepared::RtmsSignature { .. } | Prepared::AccessToken { .. } => None,
        };
        if asked.is_some_and(|asked| asked > limit) {
            return Err(LifetimeTooLong { max });
        }
        if asked.is_none() && limit < DEFAULT_LIFETIME {
            match &mut self.prepared {
                Prepared::Zoom { wanted, .. } | Prepared::OfAccount(AccountMint { wanted, .. }) => {
                    wanted.limit_ttl(max);
                }
                Prepared::SdkJwt { ttl, .. } => *ttl = Some(limit),
                Prepared::RtmsSignature { .. } | Prepared::AccessToken { .. } => {}
            }
        }
        Ok(self)
    }
}

/// Mints a token. The mint is in the usage record before the token is released. A failed mint is recorded as failed.
pub async fn mint(
    context: Context<'_>,
    stored: StoredCredential,
    PreparedMint { subject, prepared }: PreparedMint,
) -> Result<MintedToken, Error> {
    let record = subject.event(context, EventOutcome::Succeeded, None);
    let id = stored.credential.credential_id;
    let mint = Mint {
        context,
        id,
        token_type: subject.token_type(),
        record: &record,
    };
    let minted = match prepared {
        Prepared::SdkJwt { meeting, ttl, app } => {
            let ttl = ttl.unwrap_or(DEFAULT_LIFETIME);
            let sign = |app: &AppCredentials| {
                let (token, expires_at) = sdk_jwt::sign(app, meeting.as_ref(), ttl);
                (token, Some(expires_at))
            };
            mint.sign(&stored, app, sign).await
        }
        Prepared::RtmsSignature { stream, app } => {
            let sign = |app: &AppCredentials| (rtms::sign(app, &stream), None);
            mint.sign(&stored, app, sign).await
        }
        Prepared::OfAccount(wanted) => Box::pin(mint.of_account(&stored, &wanted)).await,
        // Boxed: the future is many kilobytes, and a debug build copies it from frame to frame.
        Prepared::Zoom { wanted, rows } => {
            Box::pin(mint.at_zoom(stored, rows.map(|rows| *rows), &wanted)).await
        }
        Prepared::AccessToken { rows } => {
            let record = &record;
            let release = Release { context, record };
            let access = Box::pin(release.run(stored, *rows)).await;
            access.map(|access| MintedToken {
                token_type: mint.token_type,
                token: access.token.clone(),
                expires_at: Some(access.expires_at),
                record: record.id,
            })
        }
    };
    match &minted {
        Ok(_) => context.invocation.activity().token_minted(),
        Err(error) => {
            let code = if error.needs_refresh() {
                NEEDS_REFRESH
            } else {
                error.code()
            };
            let outcome = EventOutcome::Failed { code };
            // The first event may be stored, and events are never changed.
            let failed = subject.event(context, outcome, Some(record.id));
            let recorder = Recorder(context);
            tokio::join!(
                recorder.event(id, &failed),
                recorder.refresh(id, Some(error))
            );
        }
    }
    minted
}

/// Records that the caller did not receive a token of a credential, and why. `corrects` is the usage record that says
/// otherwise, if the token was minted.
pub async fn record_unused(
    context: Context<'_>,
    id: CredentialId,
    request: &TokenRequest,
    corrects: Option<EventId>,
    code: &'static str,
) {
    let failed = EventOutcome::Failed { code };
    let event = request.subject().event(context, failed, corrects);
    Recorder(context).event(id, &event).await;
}

/// One mint of one credential.
struct Mint<'a> {
    context: Context<'a>,
    id: CredentialId,
    token_type: TokenType,
    /// The event of the successful mint.
    record: &'a Event,
}

/// An access token, and the host that it is sent to.
#[derive(Clone, Copy)]
struct Bearer<'a> {
    api_url: Option<&'a ApiUrl>,
    token: &'a SecretString,
}

/// Zoom's token, and whether the usage record was written. The token may be released only with its usage record.
struct ZoomMint {
    minted: zoom::ZoomToken,
    usage_record: Result<(), stores::Error>,
    asked_at: Timestamp,
}

impl Mint<'_> {
    /// Signs a token with the client secret, and writes the usage record.
    async fn sign(
        &self,
        stored: &StoredCredential,
        secret: AppSecret,
        sign: impl FnOnce(&AppCredentials) -> (SecretString, Option<Timestamp>),
    ) -> Result<MintedToken, Error> {
        let Context { grants, team, .. } = self.context;
        let app = App::new(grants, team, stored, Some(secret));
        let recorded = grants.events.record(team, self.id, self.record);
        let (app, recorded) = tokio::join!(app.open(), recorded);
        let app = app?;
        recorded?;
        let (token, expires_at) = sign(&app);
        Ok(MintedToken {
            token_type: self.token_type,
            token,
            expires_at,
            record: self.record.id,
        })
    }

    async fn at_zoom(
        &self,
        seen: StoredCredential,
        rows: Option<Rows>,
        wanted: &zoom::MintRequest,
    ) -> Result<MintedToken, Error> {
        let recorder = Recorder(self.context);
        let outcome = Caller::new(self.context)
            .call(seen.clone(), rows, async |access: Arc<Access>| {
                let bearer = Bearer {
                    api_url: access.api_url.as_ref(),
                    token: &access.token,
                };
                self.ask_zoom(bearer, &TokenOwner::Me, wanted).await
            })
            .await;
        let CallOutcome {
            answer,
            stored,
            access,
        } = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                recorder.failure(&seen, &error).await;
                return Err(error);
            }
        };
        let ZoomMint {
            minted,
            usage_record,
            asked_at,
        } = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let error = Error::from_grant_use(error);
                recorder.failure(&stored, &error).await;
                return Err(error);
            }
        };
        usage_record?;
        learn_user(self.context, &stored, &access).await;
        Ok(self.minted(minted, asked_at))
    }

    /// Mints with an account-level credential. If the meeting's host is wanted, Zoom is asked for the host first.
    async fn of_account(
        &self,
        stored: &StoredCredential,
        mint: &AccountMint,
    ) -> Result<MintedToken, Error> {
        let Context {
            grants, invocation, ..
        } = self.context;
        let caller = AccountCaller::new(self.context, stored, &mint.account);
        let answer = caller
            .call(async |access: Arc<AccountAccess>| {
                let api_url = access.api_url.as_ref();
                let owner = match &mint.owner {
                    None => TokenOwner::Me,
                    Some(AccountOwner::User(user)) => TokenOwner::User(user.clone()),
                    Some(AccountOwner::HostOf(meeting)) => {
                        let time_left = invocation.time_left(ANSWER_TIME);
                        let host = grants
                            .zoom
                            .host_of(api_url, &access.token, meeting, time_left);
                        TokenOwner::User(host.await?)
                    }
                };
                let bearer = Bearer {
                    api_url,
                    token: &access.token,
                };
                self.ask_zoom(bearer, &owner, &mint.wanted).await
            })
            .await;
        let ZoomMint {
            minted,
            usage_record,
            asked_at,
        } = match answer {
            Ok(answer) => answer,
            Err(error) => {
                Recorder(self.context).failure(stored, &error).await;
                return Err(error);
            }
        };
        usage_record?;
        Ok(self.minted(minted, asked_at))
    }

    fn minted(&self, minted: zoom::ZoomToken, asked_at: Timestamp) -> MintedToken {
        let lifetime = minted.lifetime.unwrap_or(DEFAULT_LIFETIME);
        MintedToken {
            token_type: self.token_type,
            token: minted.token,
            expires_at: Some(asked_at.plus(lifetime)),
            record: self.record.id,
        }
    }

    /// Asks Zoom and writes the usage record at the same time.
    async fn ask_zoom(
        &self,
        bearer: Bearer<'_>,
        owner: &TokenOwner,
        wanted: &zoom::MintRequest,
    ) -> Result<ZoomMint, zoom::Error> {
        let Context {
            grants,
            invocation,
            terms,
            ..
        } = self.context;
        let asked_at = Timestamp::now();
        let caller_time = asked_at.until(terms.answer_by).max(MIN_MINT_TIME);
        let time_left = invocation.time_left(ANSWER_TIME).min(caller_time);
        let Bearer { api_url, token } = bearer;
        let recorder = Recorder(self.context);
        let (minted, usage_record, ()) = tokio::join!(
            grants.zoom.mint(api_url, token, owner, wanted, time_left),
            recorder.usage(self.id, self.record, time_left),
            recorder.refresh(self.id, None),
        );
        Ok(ZoomMint {
            minted: minted?,
            usage_record,
            asked_at,
        })
    }
}
