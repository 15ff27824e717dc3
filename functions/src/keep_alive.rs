//! The scheduled function: refreshes grants that nobody has used for a while, so that none idles out at Zoom.
//!
//! It finds them by the index `by-due`, the longest unused of each shard first. Whatever it does with one takes that
//! one out of what is due: refreshed, it is due again in weeks; refused by Zoom or wanted by nobody, never; and where
//! it failed, in a day. One whose last credential was deleted is revoked at Zoom, where its team wants that. So each run goes on where the one before ended, and no grant keeps the others waiting.
//!
//! A grant has months until it idles out, and a refresh whose outcome is lost costs its user a reconnect. So there is
//! no hurry: where Zoom is in trouble, the run ends.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use shared::cause::chain;
use shared::credential::Reconnect;
use shared::event::{By, Event, Happened, Outcome};
use shared::stores::{self, Due, GrantState, Keys, Stored, StoredGrant, due_shards};
use shared::timestamp::Timestamp;
use shared::zoom;
use uuid::Uuid;

use crate::app::App;
use crate::error::{ApiError, Down};
use crate::grants::{Grants, Terms, Use};
use crate::minting::MARGIN;
use crate::refresh::{Refresh, Stop};
use crate::request::{self, Request};

/// What the logs call it.
pub const NAME: &str = "keep-alive";

/// Grants of one shard in one run: with 16 shards and a run an hour, some 12,000 a day.
const PER_SHARD: u16 = 32;
/// Grants that are refreshed at a time.
const AT_ONCE: usize = 4;
/// With less time left, none is begun.
const LEAST: Duration = Duration::from_mins(1);
/// How long one may take, at most; its lease ends then.
const LONGEST: Duration = Duration::from_secs(90);
/// When a grant is tried again that could not be refreshed.
const AGAIN: Duration = Duration::from_hours(24);
/// How long an access token must still live to revoke with it.
const LIVES: Duration = Duration::from_mins(1);
/// How often a revocation is tried that Zoom refuses the access token of.
const REVOKES: usize = 2;
/// After so many refreshes whose outcome is unknown, the run ends.
const TROUBLES: u32 = 3;
/// What a run did, in grants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Refreshed.
    pub refreshed: u32,
    /// Refused by Zoom for good: their credentials are invalid now.
    pub dead: u32,
    /// Wanted by no credential that is left: not looked at any more.
    pub unwanted: u32,
    /// Of those, revoked at Zoom, or found to be, and their tokens destroyed.
    pub revoked: u32,
    /// Failed, to be tried again in a day.
    pub failed: u32,
    /// Left for the next run, or found in use.
    pub left: u32,
}

/// What became of one grant.
#[derive(Clone, Copy, Debug)]
enum Became {
    Refreshed,
    Dead,
    Unwanted,
    Revoked,
    Failed,
    Left,
}

impl Report {
    fn count(mut self, became: Became) -> Self {
        self.revoked += u32::from(matches!(became, Became::Revoked));
        let count = match became {
            Became::Refreshed => &mut self.refreshed,
            Became::Dead => &mut self.dead,
            Became::Unwanted | Became::Revoked => &mut self.unwanted,
            Became::Failed => &mut self.failed,
            Became::Left => &mut self.left,
        };
        *count += 1;
        self
    }
}

/// Refreshes what has not been used for `unused`, until shortly before `deadline`. `id` names the run in the logs.
pub async fn handle(
    keys: &Keys,
    grants: &Grants,
    unused: Duration,
    deadline: Timestamp,
    id: &str,
) -> Result<Report, stores::Error> {
    let run = Run {
        keys,
        grants,
        before: Timestamp::now().minus(unused),
        deadline,
        id,
        troubles: AtomicU32::new(0),
    };
    let shards = stream::iter(due_shards().collect::<Vec<_>>());
    let due: Vec<Vec<Due>> = shards
        .map(|shard| grants.secrets.due(shard, run.before, PER_SHARD))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    // Each ends by itself: one that is dropped could be a lost refresh.
    let report = stream::iter(due.into_iter().flatten())
        .map(|due| run.keep(due))
        .buffer_unordered(AT_ONCE)
        .fold(Report::default(), async |report, became| {
            report.count(became)
        })
        .await;
    tracing::info!(
        request_id = id,
        kept_alive = report.refreshed,
        keep_alive_dead = report.dead,
        keep_alive_unwanted = report.unwanted,
        keep_alive_revoked = report.revoked,
        keep_alive_failed = report.failed,
        keep_alive_left = report.left,
        "kept alive"
    );
    Ok(report)
}

/// One run.
struct Run<'a> {
    keys: &'a Keys,
    grants: &'a Grants,
    /// What was refreshed since is in use.
    before: Timestamp,
    deadline: Timestamp,
    id: &'a str,
    /// Refreshes whose outcome is unknown.
    troubles: AtomicU32,
}

impl Run<'_> {
    async fn keep(&self, due: Due) -> Became {
        let in_trouble = self.troubles.load(Ordering::Relaxed) >= TROUBLES;
        if in_trouble || Timestamp::now().until(self.deadline) < LEAST {
            return Became::Left;
        }
        match self.refresh(&due).await {
            Ok(became) => became,
            Err(error) => self.failed(&due, &error).await,
        }
    }

    /// Refreshes a grant with the app of a credential that has it; with the next one's, where Zoom refuses the app.
    async fn refresh(&self, due: &Due) -> Result<Became, ApiError> {
        let Grants {
            secrets,
            credentials,
            ..
        } = self.grants;
        let row = match secrets.grant(due.grant).await {
            Err(stores::Error::NotFound) => return Ok(Became::Left),
            row => row?,
        };
        // The index is a moment behind.
        let is_used = row.refreshed_at.is_none_or(|at| at >= self.before);
        if row.state != GrantState::Active || is_used {
            return Ok(Became::Left);
        }

        let owner = row.credential_id;
        let mut refused = None;
        match credentials.get(&due.team, owner).await {
            Ok(stored) if stored.grant.is_some_and(|grant| grant.id == due.grant) => {
                match self.refresh_for(due, stored).await {
                    Err(error @ ApiError::AppMisconfigured { .. }) => refused = Some(error),
                    outcome => return outcome,
                }
            }
            Ok(_) | Err(stores::Error::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        let holders = credentials.with_grant(&due.team, due.grant).await?;
        for stored in holders.live {
            if stored.credential.credential_id == owner {
                continue;
            }
            match self.refresh_for(due, stored).await {
                Err(error @ ApiError::AppMisconfigured { .. }) => refused = Some(error),
                outcome => return outcome,
            }
        }
        if let Some(error) = refused {
            return Err(error);
        }
        self.leave(due, &row, holders.deleted).await
    }

    /// Lets go of a grant that nobody mints with. Those in `deleted` may be restored, and mint with it then; unless it
    /// is to be revoked.
    async fn leave(
        &self,
        due: &Due,
        row: &StoredGrant,
        deleted: Vec<Stored>,
    ) -> Result<Became, ApiError> {
        let secrets = &self.grants.secrets;
        if deleted.is_empty() {
            secrets
                .destroy(&due.team, due.grant, Reconnect::Revoked)
                .await?;
            return Ok(Became::Unwanted);
        }
        if !self.keys.revokes_on_delete(&due.team).await?
            || self.may_be_adopted(due, &deleted).await?
        {
            secrets.rest(due.grant, row).await?;
            return Ok(Became::Unwanted);
        }
        let mut outcome = Ok(Became::Left);
        for stored in &deleted {
            outcome = self.revoke(due, stored).await;
            if !matches!(outcome, Err(ApiError::AppMisconfigured { .. })) {
                break;
            }
        }
        let revoked = match &outcome {
            Ok(Became::Revoked) => Outcome::Succeeded,
            Ok(_) => return outcome,
            Err(error) => Outcome::Failed { code: error.code() },
        };
        for stored in &deleted {
            let (id, event) = (
                stored.credential.credential_id,
                Event::new(Happened::Revoke { outcome: revoked }),
            );
            if let Err(error) = self.grants.events.record(&due.team, id, &event).await {
                let cause = chain(&error);
                tracing::warn!(
                    request_id = self.id,
                    cause,
                    "a revocation is missing among the events"
                );
            }
        }
        outcome
    }

    /// Whether a credential that is left is of the same Zoom app and user as one of the `deleted`. Its own grant may be
    /// one that this one replaced at Zoom, without its knowing yet: then it will adopt this one.
    async fn may_be_adopted(&self, due: &Due, deleted: &[Stored]) -> Result<bool, ApiError> {
        for stored in deleted {
            let credentials = &self.grants.credentials;
            if credentials.is_wanted(&due.team, due.grant, stored).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Revokes a grant at Zoom with the app of a deleted credential that has it, and destroys its tokens. Zoom wants a
    /// live access token for that, so the grant may be refreshed first; and where Zoom refuses that, it is dead already.
    async fn revoke(&self, due: &Due, stored: &Stored) -> Result<Became, ApiError> {
        let (grants, team) = (self.grants, &due.team);
        let deadline = self.deadline.min(Timestamp::now().plus(LONGEST));
        let request = &Request::new(request::Event::default(), self.id.to_owned(), deadline);
        let refresh = Refresh {
            grants,
            request,
            team,
            me: Uuid::new_v4(),
            margin: LIVES,
            give_up: deadline,
            refreshed: AtomicU32::new(0),
            revived: AtomicBool::new(false),
            // Whatever keeps it from being revoked after that, a crash too: it comes up again.
            sorted_by: Some(self.before.plus(AGAIN)),
        };
        let app = App::new(grants, team, stored, None);
        let mut refused = None;
        for _ in 0..REVOKES {
            let access = match refresh.access(due.grant, None, refused, &app).await {
                Ok(access) => access,
                Err(Stop::Dead(dead)) => {
                    grants.secrets.destroy(team, due.grant, dead.reason).await?;
                    return Ok(Became::Revoked);
                }
                Err(Stop::Failed(error)) => return Err(error),
            };
            // Asked again as late as can be: one that was restored meanwhile keeps it.
            if grants
                .credentials
                .is_wanted(team, due.grant, stored)
                .await?
            {
                return Ok(Became::Left);
            }
            let time_left = request.time_left(Duration::ZERO);
            let app = app.open().await?;
            match grants.zoom.revoke(&app, &access.token, time_left).await {
                Ok(()) => {
                    grants.opened.forget(&due.grant);
                    grants
                        .secrets
                        .destroy(team, due.grant, Reconnect::Revoked)
                        .await?;
                    return Ok(Became::Revoked);
                }
                Err(zoom::Error::Grant { .. }) => {
                    grants.opened.forget(&due.grant);
                    refused = Some(access.generation);
                }
                Err(error) => return Err(ApiError::of_minting(error)),
            }
        }
        Err(ApiError::of_minting(zoom::Error::DeadAccess))
    }

    /// Refreshes a grant with this credential's app.
    async fn refresh_for(&self, due: &Due, stored: Stored) -> Result<Became, ApiError> {
        let (grants, team, id) = (self.grants, &due.team, stored.credential.credential_id);
        let deadline = self.deadline.min(Timestamp::now().plus(LONGEST));
        let request = &Request::new(request::Event::default(), self.id.to_owned(), deadline);
        let grant = Use {
            grants,
            request,
            team,
            terms: &Terms {
                asked: By::KeepAlive.into(),
                margin: MARGIN,
                answer_by: deadline,
            },
        };
        let used = grant.call(stored.clone(), None, async |_| Ok(())).await;
        let error = used.as_ref().err();
        let code = error.map(ApiError::code);
        grant.note_refresh(id, error).await;
        let deeds = &request.trail().deeds;
        let outcome = match used {
            Ok(used) => {
                grant.learn_user(&used.stored, &used.access).await;
                Ok(if deeds.has_refreshed() {
                    Became::Refreshed
                } else {
                    Became::Left
                })
            }
            Err(ApiError::ReconnectRequired { .. }) => Ok(Became::Dead),
            Err(error) => {
                grant.note_failure(&stored, &error).await;
                Err(error)
            }
        };
        let counts = deeds.counts();
        tracing::info!(
            request_id = self.id,
            route = NAME,
            team = %team,
            credential_id = %id,
            code,
            refreshed = counts.refreshed,
            turned_invalid = counts.turned_invalid,
            refresh_outcome_lost = counts.outcome_lost,
            "grant"
        );
        outcome
    }

    /// Puts off what failed, and ends the run where more would fail.
    async fn failed(&self, due: &Due, error: &ApiError) -> Became {
        let cause = error.cause();
        tracing::warn!(
            request_id = self.id,
            route = NAME,
            team = %due.team,
            grant_id = %due.grant,
            code = error.code(),
            cause,
            "a grant is not refreshed"
        );
        let down = if let ApiError::Unavailable { source, .. } = error {
            Some(source)
        } else {
            None
        };
        let in_doubt = matches!(
            error,
            ApiError::ZoomUnavailable { .. } | ApiError::ZoomTimeout { .. }
        );
        match down {
            Some(Down::OutOfTime | Down::RefreshElsewhere) => return Became::Left,
            // Ours are down: the next run finds everything as it is.
            Some(Down::DynamoDb(_) | Down::Kms(_) | Down::Silent) => {
                self.troubles.store(TROUBLES, Ordering::Relaxed);
                return Became::Left;
            }
            Some(Down::Zoom(_)) => {
                self.troubles.fetch_add(1, Ordering::Relaxed);
            }
            None if in_doubt => {
                self.troubles.fetch_add(1, Ordering::Relaxed);
            }
            None => {}
        }
        let again = self.before.plus(AGAIN);
        if let Err(error) = self.grants.secrets.put_off(due.grant, again).await {
            tracing::warn!(
                request_id = self.id,
                cause = chain(&error),
                "a grant is not put off"
            );
            self.troubles.store(TROUBLES, Ordering::Relaxed);
        }
        Became::Failed
    }
}
