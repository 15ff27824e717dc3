//! From a grant's row to a live access token: fenced by generation, never abandoned.
//!
//! Zoom's refresh token works once. Losing the answer, or refreshing twice, costs the end user a reconnect;
//! everything here exists for that. The order is: keys, lease and attempt, refresh, commit. Nothing is spent before
//! the keys to seal its successor are at hand, no network call stands between Zoom's answer and the commit, and the
//! commit is conditional on the generation alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use shared::credential::{GrantId, Reconnect, TeamId};
use shared::envelope::{Binding, DataKey, SecretId};
use shared::secret::{AppCredentials, Plaintext, TokenPair};
use shared::stores::{self, Acquired, GrantState, Kept, Lease, NewPair, Secrets, StoredGrant};
use shared::timestamp::Timestamp;
use shared::zoom::{self, ApiUrl, Tokens};
use tokio::time::timeout;
use uuid::Uuid;

use crate::app::App;
use crate::capsule::Capsule;
use crate::error::{ApiError, Down, RETRY_AFTER};
use crate::grants::{Grants, found};
use crate::opened::Access;
use crate::patience;
use crate::request::Request;

/// Less than this is no time to begin a refresh in.
const LEAST: Duration = Duration::from_secs(40);
/// Kept for the commit after Zoom's answer.
const RESERVE: Duration = Duration::from_secs(8);
/// Kept for the answer after a commit that took all the time there was.
const LAST_ANSWER: Duration = Duration::from_secs(1);
/// How much longer than the invocation its lease lasts: clocks differ.
const CLOCKS: Duration = Duration::from_secs(2);
/// An acquire that took longer has used up the time that was measured before it.
const SLOW_ACQUIRE: Duration = Duration::from_secs(5);
/// A refresh is sent again only where Zoom would have so long to answer it.
const AGAIN: Duration = Duration::from_secs(20);
/// How long an access token must live to be tried while another refreshes.
const LAST_USE: Duration = Duration::from_secs(5);

/// Why there is no access token.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Zoom refuses the grant, or has before.
    Dead(Box<Dead>),
    /// Anything else. Nothing is said of the grant.
    Failed(ApiError),
}

impl<E: Into<ApiError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Stop {
    /// The grant has no row any more.
    fn gone() -> Self {
        Self::Dead(Box::new(Dead {
            row: None,
            reason: Reconnect::Revoked,
            words: None,
        }))
    }
}

/// A grant that Zoom refuses.
#[derive(Debug)]
pub(crate) struct Dead {
    /// The row as it was read after the refusal. Its stash, if it has one, was refused too. None where there is no row:
    /// that grant is destroyed, and as dead as one that Zoom refuses.
    pub(crate) row: Option<StoredGrant>,
    /// Why the user has to authorize again.
    pub(crate) reason: Reconnect,
    /// Zoom's words, where it said any.
    pub(crate) words: Option<String>,
}

/// One grant in the hands of one invocation.
pub(crate) struct Refresh<'a> {
    pub(crate) grants: &'a Grants,
    pub(crate) request: &'a Request,
    pub(crate) team: &'a TeamId,
    /// Names this invocation in leases, attempts and commits.
    pub(crate) me: Uuid,
    /// How long an access token must still live to be used.
    pub(crate) margin: Duration,
    /// Until when another's refresh is waited for.
    pub(crate) give_up: Timestamp,
    /// How many pairs we have had from Zoom and stored.
    pub(crate) refreshed: AtomicU32,
    /// Whether a grant lives that was declared dead: its credentials have to be told.
    pub(crate) revived: AtomicBool,
    /// What the schedule is to sort a refreshed grant by, where it is not to be left alone for weeks.
    pub(crate) sorted_by: Option<Timestamp>,
}

/// What was had before anything was spent.
struct Keys {
    pair: TokenPair,
    app: AppCredentials,
    /// Seals the pair that follows.
    next: DataKey,
}

/// A lease that is ours.
struct Held {
    id: GrantId,
    row: StoredGrant,
    /// Whether a refresh of this generation was left unfinished by another.
    after_another: bool,
    /// Whether a stashed pair was there when it was taken, or was sent since.
    stash: bool,
    /// Whether a refresh that we sent ended unknown.
    unknown: bool,
}

/// What came of a lease.
enum Outcome {
    Done(Arc<Access>),
    /// The row has moved: it is read again.
    Moved,
}

impl Refresh<'_> {
    /// An access token of the grant that Zoom takes, as far as anyone knows. `row` is the row where it was read
    /// already; `refused` the generation whose access token Zoom has just refused; `app` what the refresh needs.
    pub(crate) async fn access(
        &self,
        id: GrantId,
        mut row: Option<StoredGrant>,
        refused: Option<u64>,
        app: &App<'_>,
    ) -> Result<Arc<Access>, Stop> {
        loop {
            let read = match row.take() {
                Some(row) => row,
                None => self.read(id).await?,
            };
            if let GrantState::Reconnect(reason) = read.state {
                return Err(Stop::Dead(Box::new(Dead {
                    row: Some(read),
                    reason,
                    words: None,
                })));
            }
            let accepted = refused != Some(read.generation());
            if accepted && lasts(&read, self.margin) {
                let pair = self.open(id, &read).await?;
                return Ok(self.opened(id, &read, pair));
            }
            let is_leased = read.lease.is_some_and(|lease| lease.holder != self.me)
                && read.is_leased(Timestamp::now());
            if is_leased {
                // An old access token may do until the other's refresh kills it.
                if accepted && lasts(&read, LAST_USE) {
                    return Ok(Arc::new(access(&read, self.open(id, &read).await?)));
                }
                row = Some(self.wait(id, read).await?);
                continue;
            }
            if self.request.time_left(Duration::ZERO) < LEAST {
                // An old access token is better than none.
                if accepted && lasts(&read, LAST_USE) {
                    return Ok(Arc::new(access(&read, self.open(id, &read).await?)));
                }
                return Err(unavailable(Down::OutOfTime).into());
            }

            let keys = self.keys(id, &read, app).await?;
            match self.acquire(id, &read).await? {
                Acquired::Ours {
                    after_another,
                    stash,
                } => {
                    let held = Held {
                        id,
                        row: read,
                        after_another,
                        stash,
                        unknown: false,
                    };
                    match self.refresh(held, keys).await? {
                        Outcome::Done(access) => return Ok(access),
                        Outcome::Moved => {}
                    }
                }
                Acquired::Refused(now) if now.generation() == read.generation() => {
                    // Another was first, since we looked.
                    if accepted && lasts(&read, LAST_USE) {
                        return Ok(Arc::new(access(&read, keys.pair)));
                    }
                    row = Some(self.wait(id, *now).await?);
                }
                Acquired::Refused(now) => row = Some(*now),
            }
        }
    }

    fn opened(&self, id: GrantId, row: &StoredGrant, pair: TokenPair) -> Arc<Access> {
        let access = Arc::new(access(row, pair));
        self.grants.opened.keep(id, access.clone());
        access
    }

    async fn read(&self, id: GrantId) -> Result<StoredGrant, Stop> {
        let row = async { found(self.grants.secrets.grant(id).await) };
        let row = patience::until(self.give_up, row).await?;
        row.ok_or_else(Stop::gone)
    }

    fn binding(&self, id: GrantId) -> Binding {
        Binding {
            team: self.team.clone(),
            secret: SecretId::Grant(id),
        }
    }

    async fn open(&self, id: GrantId, row: &StoredGrant) -> Result<TokenPair, ApiError> {
        // An active grant has them.
        let gone = || ApiError::Internal("the tokens are destroyed".into());
        let sealed = row.sealed.as_ref().ok_or_else(gone)?;
        let binding = self.binding(id);
        let opened = self.grants.envelope.open(&binding, sealed);
        Ok(patience::until(self.give_up, opened).await?.try_into()?)
    }

    /// All that KMS has to give, before anything is spent.
    async fn keys(&self, id: GrantId, row: &StoredGrant, app: &App<'_>) -> Result<Keys, ApiError> {
        let next = self.grants.envelope.data_key(self.binding(id));
        let (pair, app, next) = tokio::try_join!(
            self.open(id, row),
            patience::until(self.give_up, app.open()),
            patience::until(self.give_up, next),
        )?;
        Ok(Keys { pair, app, next })
    }

    async fn acquire(&self, id: GrantId, row: &StoredGrant) -> Result<Acquired, Stop> {
        let lease = Lease {
            holder: self.me,
            until: self.request.deadline().plus(CLOCKS).as_millis(),
        };
        let began = Instant::now();
        let acquired = self
            .grants
            .secrets
            .acquire(id, row.generation(), lease, Timestamp::now());
        let acquired = timeout(SLOW_ACQUIRE, acquired)
            .await
            .unwrap_or_else(|elapsed| Err(stores::Error::silent("UpdateItem", elapsed)));
        let ours = match &acquired {
            Err(stores::Error::NotFound) => return Err(Stop::gone()),
            // It may have been taken and the answer lost; nothing was sent.
            Err(_) => Some(false),
            Ok(Acquired::Ours { after_another, .. }) if began.elapsed() > SLOW_ACQUIRE => {
                Some(*after_another)
            }
            Ok(_) => None,
        };
        if let Some(after_another) = ours {
            self.release(id, acquired.is_ok() && !after_another).await;
            acquired?;
            return Err(unavailable(Down::OutOfTime).into());
        }
        Ok(acquired?)
    }

    /// Lets go, best effort: a lease that stays ends by itself.
    async fn release(&self, id: GrantId, forget: bool) {
        if let Err(error) = self.grants.secrets.release(id, self.me, forget).await {
            let cause = shared::cause::chain(&error);
            tracing::warn!(
                request_id = self.request.id(),
                cause,
                "a lease is not released and ends by itself"
            );
        }
    }

    /// Waits for another's refresh: the row once it has moved or the lease is free.
    async fn wait(&self, id: GrantId, held: StoredGrant) -> Result<StoredGrant, Stop> {
        let mut pause = Duration::from_millis(100);
        let mut row = held;
        while row.state == GrantState::Active && row.is_leased(Timestamp::now()) {
            let until = row.lease.map_or(0, |lease| lease.until);
            let rest = Timestamp::now().until(Timestamp::from_millis(until));
            if Timestamp::now().plus(pause) >= self.give_up {
                let elsewhere = ApiError::Unavailable {
                    retry_after: rest.clamp(Duration::from_secs(1), Duration::from_secs(5)),
                    source: Down::RefreshElsewhere,
                };
                return Err(elsewhere.into());
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 3 / 2).min(Duration::from_millis(500));
            let now = self.read(id).await?;
            let moved = now.generation() != row.generation();
            row = now;
            if moved {
                break;
            }
        }
        Ok(row)
    }

    /// Spends the refresh token, and after it the stashed one, where there is one.
    async fn refresh(&self, mut held: Held, keys: Keys) -> Result<Outcome, Stop> {
        let Keys { pair, app, next } = keys;
        let refused = match self.send(&mut held, &app, &pair.refresh).await? {
            Ok(tokens) => return self.keep(held, next, tokens).await,
            Err(reason) => reason,
        };
        drop(pair);

        let now = self.read_after(&held).await?;
        if now.generation() != held.row.generation() {
            return Ok(Outcome::Moved);
        }
        if let Some(stash) = &now.stash {
            // Another token to spend: its answer too must be waited for.
            if self.request.time_left(Duration::ZERO) < LEAST {
                self.let_go(&held).await;
                return Err(unavailable(Down::OutOfTime).into());
            }
            let opened = self
                .grants
                .envelope
                .open(&self.binding(held.id), stash)
                .await;
            let stashed: TokenPair = match opened.map_err(ApiError::from) {
                Ok(opened) => opened.try_into()?,
                Err(error) => {
                    self.let_go(&held).await;
                    return Err(error.into());
                }
            };
            held.stash = true;
            if let Ok(tokens) = self.send(&mut held, &app, &stashed.refresh).await? {
                return self.keep(held, next, tokens).await;
            }
        }
        self.let_go(&held).await;
        let lost = held.after_another || held.unknown;
        Err(Stop::Dead(Box::new(Dead {
            row: Some(now),
            reason: if lost {
                Reconnect::RefreshOutcomeLost
            } else {
                Reconnect::Revoked
            },
            words: Some(refused),
        })))
    }

    /// The row, read after Zoom's refusal.
    async fn read_after(&self, held: &Held) -> Result<StoredGrant, Stop> {
        match self.grants.secrets.grant(held.id).await {
            Ok(now) => Ok(now),
            Err(stores::Error::NotFound) => Err(Stop::gone()),
            Err(error) => {
                self.let_go(held).await;
                Err(error.into())
            }
        }
    }

    /// Releases the lease; and the attempt, where it is ours and no send of ours ended unknown.
    async fn let_go(&self, held: &Held) {
        let forget = !held.after_another && !held.unknown;
        self.release(held.id, forget).await;
    }

    /// Posts a refresh: the tokens, or Zoom's words where it refuses the token. Whatever else comes ends the lease.
    async fn send(
        &self,
        held: &mut Held,
        app: &AppCredentials,
        refresh: &SecretString,
    ) -> Result<Result<Tokens, String>, Stop> {
        let mut again = true;
        let error = loop {
            let time_left = self.request.time_left(RESERVE);
            self.request.trail().deeds.refresh_sent();
            let error = match self.grants.zoom.refresh(app, refresh, time_left).await {
                Ok(tokens) => return Ok(Ok(tokens)),
                Err(zoom::Error::Grant { reason }) => return Ok(Err(reason)),
                Err(error) => error,
            };
            // Unknown: the token may be spent.
            held.unknown |= !error.spends_nothing();
            // Silence is not repeated: the first may still be under way.
            let pause = match &error {
                zoom::Error::Unreachable(_) => Duration::ZERO,
                zoom::Error::Failed { .. } => {
                    jittered(Duration::from_secs(1)) + Duration::from_secs(1)
                }
                zoom::Error::App { .. }
                | zoom::Error::Grant { .. }
                | zoom::Error::DeadAccess
                | zoom::Error::NoUser { .. }
                | zoom::Error::Request { .. }
                | zoom::Error::MissingScope { .. }
                | zoom::Error::Limited { .. }
                | zoom::Error::Silent => break error,
            };
            let in_time = |pause| self.request.time_left(RESERVE) >= pause + AGAIN;
            if !again || !in_time(pause) {
                break error;
            }
            again = false;
            tokio::time::sleep(pause).await;
            // We may have slept longer, frozen.
            if !in_time(Duration::ZERO) {
                break error;
            }
        };
        self.let_go(held).await;
        Err(Stop::Failed(ApiError::of_minting(error)))
    }

    fn stored(&self) {
        self.refreshed.fetch_add(1, Ordering::Relaxed);
        self.request.trail().deeds.refreshed();
    }

    /// Commits the pair that Zoom gave, or sees to it that it is not lost.
    async fn keep(&self, held: Held, next: DataKey, tokens: Tokens) -> Result<Outcome, Stop> {
        let answered = Timestamp::now();
        let generation = held.row.generation();
        let expires_at = answered.plus(tokens.expires_in);
        let pair = NewPair {
            sealed: next.seal(generation + 1, &Plaintext::try_from(&tokens.pair)?)?,
            access_expires_at: expires_at.as_millis(),
            api_url: tokens.api_url.as_ref().map(|url| url.as_str().to_owned()),
            refreshed_at: self.sorted_by.unwrap_or(answered),
            late: false,
        };
        let until = self.request.deadline().minus(LAST_ANSWER);
        match store(
            &self.grants.secrets,
            held.id,
            &pair,
            self.me,
            held.stash,
            until,
        )
        .await
        {
            Ok(Landed::Current { revived }) => {
                self.stored();
                self.revived.fetch_or(revived, Ordering::Relaxed);
                let access = Arc::new(Access {
                    token: tokens.pair.access,
                    generation: generation + 1,
                    expires_at,
                    api_url: tokens.api_url.or_else(|| api_url(&held.row)),
                    authorize_sent_at: Timestamp::from_millis(held.row.authorize_sent_at),
                });
                self.grants.opened.keep(held.id, access.clone());
                Ok(Outcome::Done(access))
            }
            Ok(Landed::Beside { revived }) => {
                self.stored();
                self.revived.fetch_or(revived, Ordering::Relaxed);
                Ok(Outcome::Moved)
            }
            Ok(Landed::Nowhere) => Ok(Outcome::Moved),
            Err(error) => {
                let capsule = Capsule::new(self.team, held.id, pair, self.me);
                capsule.log(self.request.id(), self.grants.capsules);
                Err(Stop::Failed(ApiError::Internal(error.into())))
            }
        }
    }
}

/// Where a new pair is.
pub(crate) enum Landed {
    /// It is the grant's pair.
    Current {
        /// Whether the user was to authorize again.
        revived: bool,
    },
    /// Another pair was first: this one is stashed.
    Beside {
        /// Whether the user was to authorize again.
        revived: bool,
    },
    /// The grant's tokens were destroyed on purpose meanwhile, and so was this pair by not being kept.
    Nowhere,
}

/// Commits a pair, or stashes it where another was first. It may be the only one that lives, however far the row has
/// moved since: Zoom may have taken an old token once more.
pub(crate) async fn store(
    secrets: &Secrets,
    id: GrantId,
    pair: &NewPair,
    writer: Uuid,
    drop_stash: bool,
    until: Timestamp,
) -> Result<Landed, stores::Error> {
    let generation = pair.sealed.generation();
    let before = generation.saturating_sub(1);
    let committed = secrets.commit(id, before, pair, writer, drop_stash, until);
    match committed.await {
        Ok(Kept::Stored { revived }) => return Ok(Landed::Current { revived }),
        Ok(Kept::Moved(_)) => {}
        Err(stores::Error::NotFound) => return Ok(Landed::Nowhere),
        Err(error) => return Err(error),
    }
    match secrets.stash(id, &pair.sealed, until).await {
        Ok(Kept::Stored { revived }) => Ok(Landed::Beside { revived }),
        Ok(Kept::Moved(now)) if now.sealed.is_none() => Ok(Landed::Nowhere),
        Err(stores::Error::NotFound) => Ok(Landed::Nowhere),
        Ok(Kept::Moved(_)) => Err(stores::Error::Conflict),
        Err(error) => Err(error),
    }
}

fn lasts(row: &StoredGrant, margin: Duration) -> bool {
    Timestamp::now().plus(margin).as_millis() < row.access_expires_at
}

fn access(row: &StoredGrant, pair: TokenPair) -> Access {
    Access {
        token: pair.access,
        generation: row.generation(),
        expires_at: Timestamp::from_millis(row.access_expires_at),
        api_url: api_url(row),
        authorize_sent_at: Timestamp::from_millis(row.authorize_sent_at),
    }
}

fn api_url(row: &StoredGrant) -> Option<ApiUrl> {
    row.api_url.as_deref().and_then(ApiUrl::from_zoom)
}

fn unavailable(source: Down) -> ApiError {
    ApiError::Unavailable {
        retry_after: RETRY_AFTER,
        source,
    }
}

/// Half of it to all of it.
fn jittered(pause: Duration) -> Duration {
    let share = u32::from(Uuid::new_v4().as_bytes()[0]);
    pause / 2 + pause / 2 * share / 255
}
