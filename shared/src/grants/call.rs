//! A call to Zoom with a live access token of a credential's user.
//!
//! Zoom keeps one live grant per app and user, so the credentials of one app and user must end up on the same grant.
//! When Zoom refuses a credential's grant, the other grants of its app and user are tried. Only if none works does the
//! credential become invalid.

use std::cmp::Reverse;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::credential::{GrantId, State};
use crate::envelope;
use crate::error::{Down, Error, Missing};
use crate::grants::access::{AccessTokens, RefusedToken};
use crate::grants::app::App;
use crate::grants::cache::Access;
use crate::grants::hand_over::HandOver;
use crate::grants::profile::MAX_PROFILE_TIME;
use crate::grants::record::Recorder;
use crate::grants::refresh::{NoAccess, Refresher};
use crate::grants::state::{CredentialStates, Declaration};
use crate::grants::{Context, Rows};
use crate::pair::PairId;
use crate::profile::Profile;
use crate::secret;
use crate::stores::{
    self, AuthorizedGrant, GrantState, Holder, StoredCredential, StoredGrant, TRANSACTION_TIMEOUT,
};
use crate::time_limit;
use crate::timestamp::Timestamp;
use crate::zoom;

/// How often a call starts over because the grant or the credential has changed.
const MAX_ROUNDS: usize = 5;
/// How often one grant is tried after Zoom refused its access token: the token at hand, another invocation's, our own.
const MAX_TOKENS: usize = 3;
/// How long a call waits for another invocation's refresh.
const MAX_WAIT: Duration = Duration::from_secs(12);
/// A call stops after it found so many other grants of the app and user dead. They are marked, so the next call skips
/// them. Grants that fail otherwise do not count: the next call would try them first again.
const MAX_CANDIDATES: usize = 8;
/// How many grants are read at a time.
const CONCURRENT_READS: usize = 16;
/// Time kept for the answer to the caller after a wait that brought no token.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// Zoom's answer to a call, and what the call was made with.
pub(crate) struct CallOutcome<T> {
    /// Zoom's answer. Zoom has accepted the access token, but may have refused the call for another reason. For a
    /// release, Zoom may not have been asked.
    pub(crate) answer: Result<T, zoom::Error>,
    /// The credential as it is after the call.
    pub(crate) stored: StoredCredential,
    pub(crate) access: Arc<Access>,
}

/// The access token of a grant that was tested, and the profile of its user. Zoom has accepted the token, but may have
/// refused to show the profile.
pub(crate) type Tested = Result<(Arc<Access>, Result<Profile, zoom::Error>), NoAccess>;

/// The other grants of the app and user that one call has tried.
#[derive(Default)]
struct Tried {
    grants: Vec<GrantId>,
    /// How many of them are dead.
    dead: usize,
}

/// Makes calls for one invocation.
pub(crate) struct Caller<'a> {
    context: Context<'a>,
    recorder: Recorder<'a>,
    states: CredentialStates<'a>,
    tokens: AccessTokens<'a>,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(context: Context<'a>) -> Self {
        let Context {
            grants,
            invocation,
            team,
            terms,
        } = context;
        let tokens = AccessTokens {
            refresher: Refresher::new(grants, invocation, team),
            margin: terms.margin,
            stored_since: None,
            give_up_at: Timestamp::now()
                .plus(MAX_WAIT)
                .min(terms.answer_by.minus(ANSWER_TIME)),
            for_release: false,
        };
        Self {
            context,
            recorder: Recorder(context),
            states: CredentialStates::new(context),
            tokens,
        }
    }

    /// Uses no access token that was stored before. It may outlive a grant that a newer authorization has ended.
    pub(crate) fn with_new_token(mut self) -> Self {
        self.tokens.stored_since = Some(Timestamp::now());
        self
    }

    /// Gets an access token to give away. Success does not prove that the credential works, because Zoom may not have
    /// been called.
    pub(crate) fn for_release(mut self) -> Self {
        self.tokens.for_release = true;
        self
    }

    /// Makes `call` with an access token of the credential's user. `rows` are what was read ahead.
    ///
    /// `call` may run more than once, each time with another token. The result is `Ok` once no token was refused, also
    /// if Zoom refused the call for another reason.
    pub(crate) async fn call<T, F>(
        &self,
        mut stored: StoredCredential,
        rows: Option<Rows>,
        call: impl Fn(Arc<Access>) -> F,
    ) -> Result<CallOutcome<T>, Error>
    where
        F: Future<Output = Result<T, zoom::Error>>,
    {
        let Context { grants, team, .. } = self.context;
        let (grant_row, app_row) = rows.map(|rows| (rows.grant, rows.app)).unzip();
        let mut grant_row = grant_row.flatten();
        let mut app = App::new(grants, team, &stored, app_row);
        let mut tried = Tried::default();
        for _ in 0..MAX_ROUNDS {
            let id = stored.grant.ok_or(Error::NotAUserCredential)?.id;
            let attempt = self.try_grant(id, grant_row.take(), &app, &call).await;
            let no_access = match attempt {
                Ok((access, answer)) => {
                    let reactivated = self.tokens.refresher.has_revived();
                    let is_healthy = reactivated
                        || stored.credential.state == State::Invalid
                        || !self.tokens.for_release;
                    if answer.is_ok() && is_healthy {
                        self.states.after_success(&stored, id, reactivated).await;
                    }
                    return Ok(CallOutcome {
                        answer,
                        stored,
                        access,
                    });
                }
                Err(no_access) => no_access,
            };
            if let NoAccess::Failed(error) = no_access {
                return Err(error);
            }
            // Boxed: the search is rare, and its future is large.
            let search = Box::pin(self.search(&stored, &mut tried, &app, &call));
            if let Some(outcome) = search.await? {
                return Ok(outcome);
            }
            let dead = match no_access {
                NoAccess::Dead(dead) => dead,
                NoAccess::NewTokenRefused(refusal) => {
                    self.recorder.new_token_refused(&stored, &refusal).await;
                    return Err(Error::from_grant_use(refusal));
                }
                NoAccess::Failed(error) => return Err(error),
            };
            match self.states.declare_dead(&stored, id, &dead).await? {
                Declaration::Dead(reason) => return Err(Error::ReconnectRequired { reason }),
                Declaration::GrantChanged => {}
                Declaration::CredentialChanged => {
                    let id = stored.credential.credential_id;
                    let now = grants.credentials.get(team, id).await?;
                    stored = now.ok_or(Missing::Credential)?;
                    app = App::new(grants, team, &stored, None);
                }
            }
        }
        Err(Error::unavailable(Down::RefreshElsewhere))
    }

    /// Finds out whether Zoom accepts a grant, by reading the profile of its user. The grant's app must be `app`.
    pub(crate) async fn test(&self, id: GrantId, app: &App<'_>) -> Tested {
        let Context {
            grants, invocation, ..
        } = self.context;
        let row = self.tokens.read(id).await?;
        let profile = async |access: Arc<Access>| {
            let time_left = invocation.time_left(ANSWER_TIME).min(MAX_PROFILE_TIME);
            let api_url = access.api_url.as_ref();
            grants.zoom.profile(api_url, &access.token, time_left).await
        };
        self.try_grant(id, Some(row), app, &profile).await
    }

    /// Makes the call with one grant. If Zoom refuses the access token, the grant is refreshed once. If the refused
    /// token is new, something else is wrong at Zoom, and nothing is refreshed.
    async fn try_grant<T, F>(
        &self,
        id: GrantId,
        mut row: Option<StoredGrant>,
        app: &App<'_>,
        call: &impl Fn(Arc<Access>) -> F,
    ) -> Result<(Arc<Access>, Result<T, zoom::Error>), NoAccess>
    where
        F: Future<Output = Result<T, zoom::Error>>,
    {
        let Context { grants, terms, .. } = self.context;
        let mut refused: Option<RefusedToken> = None;
        let mut cached = match row {
            // A row was read ahead because the cache has no token that can be trusted.
            Some(_) => None,
            None => grants.cached(self.context.team, id, terms.margin),
        };
        for _ in 0..MAX_TOKENS {
            let access = if let Some(access) = cached.take() {
                access
            } else {
                let refused = refused.take();
                self.tokens.get(id, row.take(), refused, app).await?
            };
            match call(access.clone()).await {
                Err(refusal @ zoom::Error::AccessTokenRefused { .. }) => {
                    grants.cache.remove(&(self.context.team.clone(), id));
                    refused = Some(RefusedToken {
                        generation: access.generation,
                        refusal,
                    });
                }
                answer => return Ok((access, answer)),
            }
        }
        Err(match refused {
            Some(refused) => NoAccess::NewTokenRefused(refused.refusal),
            None => Error::unavailable(Down::RefreshElsewhere).into(),
        })
    }

    /// Tries the other grants of the credential's pair, the most recently authorized first, and points the credential
    /// at the one that Zoom accepts. No credential need use that grant.
    async fn search<T, F>(
        &self,
        stored: &StoredCredential,
        tried: &mut Tried,
        app: &App<'_>,
        call: &impl Fn(Arc<Access>) -> F,
    ) -> Result<Option<CallOutcome<T>>, Error>
    where
        F: Future<Output = Result<T, zoom::Error>>,
    {
        let Some(pair) = &stored.pair else {
            return Ok(None);
        };
        for (id, row) in self.candidates(stored, pair, &tried.grants).await? {
            if tried.dead >= MAX_CANDIDATES {
                return Err(Error::unavailable(Down::GrantsLeft));
            }
            tried.grants.push(id);
            let authorized = row.authorized(id);
            let (access, answer) = match self.try_grant(id, Some(row), app, call).await {
                Ok(accepted) => accepted,
                Err(NoAccess::Dead(dead)) => {
                    tried.dead += 1;
                    self.states.declare_only_grant(id, &dead).await;
                    continue;
                }
                Err(NoAccess::Failed(error)) if is_unreadable(&error) => {
                    self.report_unreadable(id, &error);
                    continue;
                }
                Err(NoAccess::NewTokenRefused(_)) => continue,
                Err(NoAccess::Failed(error)) => return Err(error),
            };
            let stored = if proves_the_grant(&answer) {
                self.adopt(stored, pair, &authorized, &access).await
            } else {
                stored.clone()
            };
            return Ok(Some(CallOutcome {
                answer,
                stored,
                access,
            }));
        }
        Ok(None)
    }

    /// The pair's usable grants that were not tried yet, the most recently authorized first.
    async fn candidates(
        &self,
        stored: &StoredCredential,
        pair: &PairId,
        tried: &[GrantId],
    ) -> Result<Vec<(GrantId, StoredGrant)>, Error> {
        let Context { grants, terms, .. } = self.context;
        let read = async { Ok::<_, Error>(grants.pairs.get(pair).await?) };
        let known = time_limit::until(terms.answer_by, read).await?;
        let known = known.filter(|known| known.pair.team == *self.context.team);
        let ids = known.map(|known| known.grants).unwrap_or_default();
        let ids = ids
            .into_iter()
            .filter(|id| !stored.has_grant(*id) && !tried.contains(id));
        let rows = stream::iter(ids)
            .map(|id| async move {
                match time_limit::until(terms.answer_by, grants.grant_row(self.context.team, id))
                    .await
                {
                    Err(error) if is_unreadable(&error) => {
                        self.report_unreadable(id, &error);
                        Ok(None)
                    }
                    row => Ok::<_, Error>(row?.map(|row| (id, row))),
                }
            })
            .buffer_unordered(CONCURRENT_READS);
        let rows: Vec<Option<(GrantId, StoredGrant)>> = rows.try_collect().await?;
        let mut found: Vec<_> = rows.into_iter().flatten().collect();
        found.retain(|(_, row)| row.state == GrantState::Active && row.pair.as_ref() == Some(pair));
        found.sort_by_key(|(_, row)| Reverse(row.authorized_at));
        Ok(found)
    }

    fn report_unreadable(&self, id: GrantId, error: &Error) {
        tracing::error!(
            request_id = self.context.invocation.id(),
            team = %self.context.team,
            grant_id = %id,
            cause = error.cause(),
            "a grant cannot be opened, so the other credentials of its user cannot use it"
        );
    }

    /// Points the credential at another grant of its pair. Returns the credential as it is then.
    async fn adopt(
        &self,
        stored: &StoredCredential,
        pair: &PairId,
        authorized: &AuthorizedGrant,
        access: &Access,
    ) -> StoredCredential {
        let Context { grants, team, .. } = self.context;
        let id = stored.credential.credential_id;
        let hand_over = HandOver {
            credentials: &grants.credentials,
            secrets: &grants.secrets,
            team,
            pair,
            authorized,
            idle_since: access.expires_at,
        };
        let adopted = async {
            let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
            let holder = Holder::of(stored).ok_or(stores::Error::NotFound)?;
            if hand_over.to(&[holder], None, until).await?.is_empty() {
                return Err(stores::Error::Conflict);
            }
            let adopted = grants.credentials.get(team, id).await?;
            adopted.ok_or(stores::Error::NotFound)
        };
        let adopted = self
            .recorder
            .best_effort("a working grant is not adopted yet", adopted);
        // Without the adoption the token works all the same, and the next mint finds the grant again.
        let Some(adopted) = adopted.await else {
            return stored.clone();
        };
        if stored.credential.state == State::Invalid {
            self.recorder.state_change(id, None).await;
        }
        adopted
    }
}

/// Whether the error says that a grant can never be opened: its row or its tokens were altered.
fn is_unreadable(error: &Error) -> bool {
    let Error::Internal(source) = error else {
        return false;
    };
    let is_of_unknown_shape = matches!(source.downcast_ref(), Some(stores::Error::Shape(_)));
    is_of_unknown_shape || source.is::<envelope::Error>() || source.is::<secret::UnknownFormat>()
}

/// Whether Zoom's answer proves that the grant works. A failure that says nothing about the token proves nothing.
fn proves_the_grant<T>(answer: &Result<T, zoom::Error>) -> bool {
    matches!(
        answer,
        Ok(_) | Err(zoom::Error::MissingScope { .. } | zoom::Error::RequestRefused { .. })
    )
}
