//! The refresh protocol: lease, send, commit. See docs/protocol.md.
//!
//! Zoom accepts a refresh token once. If an answer is lost, or two refreshes run at once, the user may
//! have to authorize again. So:
//!
//! 1. All keys that seal the successor are at hand, and the connection to Zoom is open, before the lease is taken.
//! 2. Nothing is sent without the lease.
//! 3. No network call stands between Zoom's answer and the commit.
//! 4. The commit is conditional on the generation alone, so an expired lease cannot drop a pair.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tokio::time::timeout;
use uuid::Uuid;

use crate::cause::chain;
use crate::credential::{GrantId, ReconnectReason, TeamId};
use crate::envelope::{DataKey, Sealed};
use crate::error::{Down, Error};
use crate::grants::cache::Access;
use crate::grants::capsule::{Capsule, RefreshCapsule};
use crate::grants::commit::{StoredPair, store};
use crate::grants::{Grants, grant_binding};
use crate::invocation::Invocation;
use crate::secret::{AppCredentials, Plaintext, TokenPair};
use crate::stores::{self, AcquireOutcome, AcquiredLease, Lease, NewPair, StoredGrant};
use crate::timestamp::Timestamp;
use crate::zoom::{self, ApiUrl, Tokens};

/// With less time left, no refresh is begun.
pub(crate) const MIN_REFRESH_TIME: Duration = Duration::from_secs(40);
/// Time kept for the commit after Zoom's answer.
const COMMIT_TIME: Duration = Duration::from_secs(8);
/// Time kept for the answer to the caller after the commit.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// How much longer than the invocation its lease lasts, because clocks differ.
const CLOCK_SKEW: Duration = Duration::from_secs(2);
/// A slower acquire has used up the time that was measured before it, so its lease is given back.
const MAX_ACQUIRE_TIME: Duration = Duration::from_secs(5);
/// A refresh is sent a second time only if Zoom has at least this long to answer.
const MIN_RESEND_TIME: Duration = Duration::from_secs(20);

/// Why there is no access token.
#[derive(Debug)]
pub(crate) enum NoAccess {
    /// Zoom refuses the grant now, or did before.
    Dead(Box<DeadGrant>),
    /// Zoom refuses an access token that is new, for this reason. A refresh would only bring another new token.
    NewTokenRefused(zoom::Error),
    /// Anything else. It says nothing about the grant.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for NoAccess {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl NoAccess {
    /// The grant has no row any more.
    pub(crate) fn destroyed() -> Self {
        Self::Dead(Box::new(DeadGrant {
            row: None,
            reason: ReconnectReason::Revoked,
            zoom_reason: None,
        }))
    }
}

/// A grant that Zoom refuses.
#[derive(Debug)]
pub(crate) struct DeadGrant {
    /// The row, read after the refusal. Zoom has refused its stash too, if it has one. `None` if the grant was
    /// destroyed, which counts as a refusal.
    pub(crate) row: Option<StoredGrant>,
    /// Why the user has to authorize again.
    pub(crate) reason: ReconnectReason,
    /// Zoom's own reason, if it gave one.
    pub(crate) zoom_reason: Option<String>,
}

/// Everything that one refresh needs. It is at hand before the lease is taken.
pub(crate) struct PreparedRefresh {
    pub(crate) pair: TokenPair,
    pub(crate) app: AppCredentials,
    /// Seals the successor of `pair`.
    pub(crate) next: DataKey,
    /// An open connection to Zoom.
    pub(crate) connection: zoom::Connection,
}

/// A lease that this invocation holds.
struct HeldLease {
    grant: GrantId,
    row: StoredGrant,
    lease: AcquiredLease,
    /// Whether a stashed pair was there when the lease was taken, or has been sent since.
    stash: bool,
    /// Whether a refresh that this invocation sent has an unknown outcome.
    outcome_unknown: bool,
}

/// The result of a refresh.
pub(crate) enum RefreshOutcome {
    /// A new pair is stored.
    Done(Arc<Access>),
    /// Another invocation has changed the row, so the row must be read again.
    RowChanged,
}

/// What Zoom answered to a refresh token.
enum RefreshAnswer {
    Tokens(Tokens),
    /// Zoom refuses the token, with this reason.
    Refused(String),
}

/// Refreshes grants in one invocation.
pub(crate) struct Refresher<'a> {
    pub(crate) grants: &'a Grants,
    pub(crate) invocation: &'a Invocation,
    pub(crate) team: &'a TeamId,
    /// Names this invocation in commits.
    writer: Uuid,
    /// Since when keep-alive should count a refreshed grant as unused. `None` is the moment of Zoom's answer.
    pub(crate) idle_since: Option<Timestamp>,
    /// Whether this is the revocation, which alone may use a closed grant.
    pub(crate) revokes: bool,
    /// Whether a grant that had been declared dead lives again, so that its credentials must become active.
    reactivated: AtomicBool,
}

impl<'a> Refresher<'a> {
    pub(crate) fn new(grants: &'a Grants, invocation: &'a Invocation, team: &'a TeamId) -> Self {
        Self {
            grants,
            invocation,
            team,
            writer: Uuid::new_v4(),
            idle_since: None,
            revokes: false,
            reactivated: AtomicBool::new(false),
        }
    }

    /// Whether a grant that had been declared dead lives again.
    pub(crate) fn has_revived(&self) -> bool {
        self.reactivated.load(Ordering::Relaxed)
    }

    /// A data key for the next pair of the grant. One KMS call.
    pub(crate) async fn next_key(&self, id: GrantId) -> Result<DataKey, Error> {
        let binding = grant_binding(self.team, id);
        Ok(self.grants.envelope.data_key(binding).await?)
    }

    /// Opens a connection to Zoom. Tries once more if no connection was made.
    pub(crate) async fn connect(&self) -> Result<zoom::Connection, Error> {
        let zoom = &self.grants.zoom;
        let connection = match zoom.connect().await {
            Err(_) => zoom.connect().await,
            connection => connection,
        };
        connection.map_err(Error::from_grant_use)
    }

    /// Takes the lease on the grant, if it is free and the row has not changed since `row`.
    pub(crate) async fn acquire(
        &self,
        id: GrantId,
        row: &StoredGrant,
    ) -> Result<AcquireOutcome, NoAccess> {
        let lease = Lease {
            id: Uuid::new_v4(),
            taken_at: Timestamp::now().as_millis(),
            until: self.invocation.deadline().plus(CLOCK_SKEW).as_millis(),
        };
        let began = Instant::now();
        let secrets = &self.grants.secrets;
        let acquired = secrets.acquire_lease(id, row.generation(), lease, self.revokes);
        let acquired = timeout(MAX_ACQUIRE_TIME, acquired)
            .await
            .unwrap_or_else(|elapsed| Err(stores::Error::timed_out("UpdateItem", elapsed)));
        let give_back = match &acquired {
            Err(stores::Error::NotFound) => return Err(NoAccess::destroyed()),
            // The write may have succeeded although its answer was lost. Nothing was sent to Zoom.
            Err(_) => Some(false),
            Ok(AcquireOutcome::Acquired(lease)) if began.elapsed() > MAX_ACQUIRE_TIME => {
                Some(lease.earlier_attempt)
            }
            Ok(_) => None,
        };
        if let Some(earlier_attempt) = give_back {
            let forget = acquired.is_ok() && !earlier_attempt;
            self.release(id, lease.id, forget).await;
            acquired?;
            return Err(Error::unavailable(Down::OutOfTime).into());
        }
        Ok(match acquired? {
            AcquireOutcome::Refused(now) if self.revokes => {
                AcquireOutcome::Refused(Box::new(now.opened_for_revocation()))
            }
            outcome @ (AcquireOutcome::Acquired(_) | AcquireOutcome::Refused(_)) => outcome,
        })
    }

    /// Releases the lease, best effort: a lease that stays ends by itself. `forget` also removes the attempt.
    async fn release(&self, id: GrantId, lease: Uuid, forget: bool) {
        let secrets = &self.grants.secrets;
        if let Err(error) = secrets.release_lease(id, lease, forget).await {
            let cause = chain(&error);
            tracing::warn!(
                request_id = self.invocation.id(),
                cause,
                "a lease is not released and ends by itself"
            );
        }
    }

    /// Releases the lease. Also removes the attempt, if this invocation made it and knows the outcome of every send.
    async fn release_held(&self, held: &HeldLease) {
        let forget = !held.lease.earlier_attempt && !held.outcome_unknown;
        self.release(held.grant, held.lease.id, forget).await;
    }

    /// Sends the refresh token under a lease that was just taken. If Zoom refuses it, sends the stashed refresh token,
    /// if there is one.
    pub(crate) async fn refresh(
        &self,
        grant: GrantId,
        row: StoredGrant,
        lease: AcquiredLease,
        prepared: PreparedRefresh,
    ) -> Result<RefreshOutcome, NoAccess> {
        let mut held = HeldLease {
            grant,
            row,
            lease,
            stash: lease.stash,
            outcome_unknown: false,
        };
        let PreparedRefresh {
            pair,
            app,
            next,
            connection,
        } = prepared;
        let sent = self.send(&mut held, Some(connection), &app, &pair.refresh);
        let refused = match sent.await? {
            RefreshAnswer::Tokens(tokens) => return self.keep(held, next, tokens).await,
            RefreshAnswer::Refused(reason) => reason,
        };
        drop(pair);

        let now = self.read_after_refusal(&held).await?;
        if now.generation() != held.row.generation() {
            self.record_spent_send(&held, &now).await;
            return Ok(RefreshOutcome::RowChanged);
        }
        if let Some(stash) = &now.stash {
            let stashed = self.open_stash(&held, stash).await?;
            held.stash = true;
            let answer = self.send(&mut held, None, &app, &stashed.refresh).await?;
            if let RefreshAnswer::Tokens(tokens) = answer {
                return self.keep(held, next, tokens).await;
            }
        }
        self.release_held(&held).await;
        let lost = held.lease.earlier_attempt || held.outcome_unknown;
        Err(NoAccess::Dead(Box::new(DeadGrant {
            row: Some(now),
            reason: if lost {
                ReconnectReason::RefreshOutcomeLost
            } else {
                ReconnectReason::Revoked
            },
            zoom_reason: Some(refused),
        })))
    }

    /// The row, read after Zoom refused the refresh token.
    async fn read_after_refusal(&self, held: &HeldLease) -> Result<StoredGrant, NoAccess> {
        match self.grants.grant_row(self.team, held.grant).await {
            Ok(Some(row)) => Ok(row),
            Ok(None) => Err(NoAccess::destroyed()),
            Err(error) => {
                self.release_held(held).await;
                Err(error.into())
            }
        }
    }

    /// Records that this invocation has sent a refresh token that another one had spent, best effort. If Zoom refuses
    /// the newer pair too, that is the likely reason, and not the user.
    async fn record_spent_send(&self, held: &HeldLease, now: &StoredGrant) {
        let secrets = &self.grants.secrets;
        let recorded = secrets.record_spent_send(held.grant, now.generation(), held.lease.id);
        if let Err(error) = recorded.await {
            let cause = chain(&error);
            tracing::warn!(
                request_id = self.invocation.id(),
                cause,
                "failed to record that a spent refresh token was sent"
            );
        }
    }

    /// Opens the stashed pair, if there is time to send it and to wait for the answer.
    async fn open_stash(&self, held: &HeldLease, stash: &Sealed) -> Result<TokenPair, NoAccess> {
        if self.invocation.time_left(Duration::ZERO) < MIN_REFRESH_TIME {
            self.release_held(held).await;
            return Err(Error::unavailable(Down::OutOfTime).into());
        }
        let binding = grant_binding(self.team, held.grant);
        let opened = self.grants.envelope.open(&binding, stash).await;
        let pair = opened
            .map_err(Error::from)
            .and_then(|opened| Ok(TokenPair::try_from(opened)?));
        if pair.is_err() {
            self.release_held(held).await;
        }
        Ok(pair?)
    }

    /// Posts a refresh token, on `connection` if it is open already. An answer that is neither tokens nor a refusal
    /// ends the lease.
    async fn send(
        &self,
        held: &mut HeldLease,
        mut connection: Option<zoom::Connection>,
        app: &AppCredentials,
        refresh: &SecretString,
    ) -> Result<RefreshAnswer, NoAccess> {
        let zoom = &self.grants.zoom;
        let mut may_resend = true;
        let error = loop {
            self.invocation.activity().refresh_sent();
            let opened = match connection.take() {
                Some(connection) => Ok(connection),
                None => zoom.connect().await,
            };
            let time_left = self.invocation.time_left(COMMIT_TIME);
            let answer = match opened {
                Ok(connection) => zoom.refresh(connection, app, refresh, time_left).await,
                Err(error) => Err(error),
            };
            let error = match answer {
                Ok(tokens) => return Ok(RefreshAnswer::Tokens(tokens)),
                Err(zoom::Error::GrantRefused { reason }) => {
                    return Ok(RefreshAnswer::Refused(reason));
                }
                Err(error) => error,
            };
            held.outcome_unknown |= !error.leaves_token_unspent();
            let Some(pause) = pause_before_resend(&error) else {
                break error;
            };
            let in_time = |pause| self.invocation.time_left(COMMIT_TIME) >= pause + MIN_RESEND_TIME;
            if !may_resend || !in_time(pause) {
                break error;
            }
            may_resend = false;
            tokio::time::sleep(pause).await;
            // Lambda may have frozen the sandbox during the pause.
            if !in_time(Duration::ZERO) {
                break error;
            }
        };
        if held.outcome_unknown {
            self.invocation.activity().answer_to_refresh_unknown();
        }
        self.release_held(held).await;
        Err(NoAccess::Failed(Error::from_grant_use(error)))
    }

    fn count_stored(&self, reactivated: bool) {
        self.reactivated.fetch_or(reactivated, Ordering::Relaxed);
        self.invocation.activity().refresh_stored();
    }

    /// Commits the pair that Zoom gave. If DynamoDB does not store it, logs it as a capsule.
    async fn keep(
        &self,
        held: HeldLease,
        next: DataKey,
        tokens: Tokens,
    ) -> Result<RefreshOutcome, NoAccess> {
        let answered = Timestamp::now();
        let generation = held.row.generation();
        let expires_at = answered.plus(tokens.expires_in);
        let pair = NewPair {
            sealed: next.seal(generation + 1, &Plaintext::try_from(&tokens.pair)?)?,
            access_expires_at: expires_at.as_millis(),
            api_url: tokens.api_url.as_ref().map(|url| url.as_str().to_owned()),
            refreshed_at: answered,
            idle_since: self.idle_since.unwrap_or(answered),
            late: false,
        };
        let until = self.invocation.deadline().minus(ANSWER_TIME);
        let secrets = &self.grants.secrets;
        let stored = store(secrets, held.grant, &pair, self.writer, held.stash, until);
        match stored.await {
            Ok(StoredPair::Current { reactivated }) => {
                self.count_stored(reactivated);
                let access = Arc::new(Access {
                    token: tokens.pair.access,
                    grant: held.grant,
                    generation: generation + 1,
                    expires_at,
                    api_url: tokens.api_url.or_else(|| api_url(&held.row)),
                    authorize_sent_at: Timestamp::from_millis(held.row.authorize_sent_at),
                });
                let key = (self.team.clone(), held.grant);
                self.grants.cache.insert(key, access.clone());
                Ok(RefreshOutcome::Done(access))
            }
            Ok(StoredPair::Stashed { reactivated }) => {
                self.count_stored(reactivated);
                Ok(RefreshOutcome::RowChanged)
            }
            Ok(StoredPair::GrantDestroyed) => Ok(RefreshOutcome::RowChanged),
            Err(error) => {
                let capsule = Capsule::Refresh(RefreshCapsule {
                    team: self.team.clone(),
                    grant: held.grant,
                    pair,
                    writer: self.writer,
                });
                capsule.log(self.invocation.id(), self.grants.capsules);
                self.invocation.activity().pair_in_capsule();
                Err(NoAccess::Failed(Error::Internal(error.into())))
            }
        }
    }
}

/// How long to wait before the same refresh token is sent again. `None` if it must not be sent again. Silence is not
/// followed by a second send, since Zoom may still be working on the first.
fn pause_before_resend(error: &zoom::Error) -> Option<Duration> {
    match error {
        zoom::Error::Unreachable(_) => Some(Duration::ZERO),
        zoom::Error::Failed { .. } => {
            Some(jittered(Duration::from_secs(1)) + Duration::from_secs(1))
        }
        zoom::Error::AppRefused { .. }
        | zoom::Error::GrantRefused { .. }
        | zoom::Error::AccessTokenRefused { .. }
        | zoom::Error::UserNotFound { .. }
        | zoom::Error::RequestRefused { .. }
        | zoom::Error::MissingScope { .. }
        | zoom::Error::RateLimited { .. }
        | zoom::Error::Timeout => None,
    }
}

/// The user's REST host in a grant's row, if it is one of Zoom's.
pub(crate) fn api_url(row: &StoredGrant) -> Option<ApiUrl> {
    row.api_url.as_deref().and_then(ApiUrl::from_zoom)
}

/// A random duration between half of `pause` and all of it.
pub(crate) fn jittered(pause: Duration) -> Duration {
    let share = u32::from(Uuid::new_v4().as_bytes()[0]);
    pause / 2 + pause / 2 * share / 255
}
