//! One invocation of the vault: its id, its deadline, and what it has done to grants so far.
//!
//! The runtime turns [`Activity`] into fields of the log line, and CloudWatch turns those into metrics.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::credential::ReconnectReason;
use crate::event::{Actor, Event, EventDetails};
use crate::timestamp::Timestamp;

/// One invocation: a request, or one grant of a scheduled run.
#[derive(Debug)]
pub struct Invocation {
    id: String,
    deadline: Timestamp,
    actor: OnceLock<Actor>,
    activity: Activity,
    may_refresh: bool,
}

impl Invocation {
    /// `id` names the invocation in the logs. Lambda stops the invocation at `deadline`.
    pub fn new(id: String, deadline: Timestamp) -> Self {
        Self {
            id,
            deadline,
            actor: OnceLock::new(),
            activity: Activity::default(),
            may_refresh: true,
        }
    }

    /// An invocation that no caller makes.
    pub fn of_schedule(id: String, deadline: Timestamp) -> Self {
        let invocation = Self::new(id, deadline);
        invocation.act_as(Actor::Schedule);
        invocation
    }

    /// A part of this invocation that uses one credential. What it does to the grant is counted apart, until
    /// [`Self::add`].
    #[must_use]
    pub fn part(&self) -> Self {
        Self {
            id: self.id.clone(),
            deadline: self.deadline,
            actor: self.actor.clone(),
            activity: Activity::default(),
            may_refresh: self.may_refresh,
        }
    }

    /// A part that begins no refresh. Work that needs one fails instead.
    #[must_use]
    pub fn part_without_refresh(&self) -> Self {
        Self {
            may_refresh: false,
            ..self.part()
        }
    }

    /// Counts what a part of this invocation has done.
    pub fn add(&self, part: &Self) {
        self.activity.add(&part.activity);
    }

    /// Notes who causes what happens from now on. Only the first call counts: an invocation has one caller.
    pub fn act_as(&self, actor: Actor) {
        self.actor.get_or_init(|| actor);
    }

    /// An event that this invocation causes now.
    pub fn event(&self, details: EventDetails) -> Event {
        Event::new(self.actor.get().cloned(), self.id.clone(), details)
    }

    /// Names the invocation in the logs.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When Lambda stops the invocation.
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// The time until the deadline, less `reserve`.
    pub fn time_left(&self, reserve: Duration) -> Duration {
        Timestamp::now().until(self.deadline.minus(reserve))
    }

    /// Whether a refresh may begin.
    pub fn may_refresh(&self) -> bool {
        self.may_refresh
    }

    /// What the invocation has done to grants so far.
    pub fn activity(&self) -> &Activity {
        &self.activity
    }
}

/// What an invocation did to grants. Each count is a metric.
#[derive(Debug, Default)]
pub struct Activity {
    refreshes_sent: AtomicU32,
    refreshes_stored: AtomicU32,
    minted: AtomicU32,
    turned_invalid: AtomicU32,
    outcome_lost: AtomicU32,
    deauthorized: AtomicU32,
    user_replaced: AtomicU32,
    answer_unknown: AtomicBool,
    only_in_capsule: AtomicBool,
}

impl Activity {
    /// A token was minted.
    pub fn token_minted(&self) {
        self.minted.fetch_add(1, Ordering::Relaxed);
    }

    /// A refresh token is about to be sent to Zoom.
    pub fn refresh_sent(&self) {
        self.refreshes_sent.fetch_add(1, Ordering::Relaxed);
    }

    /// Zoom gave a new token pair, and it is stored.
    pub fn refresh_stored(&self) {
        self.refreshes_stored.fetch_add(1, Ordering::Relaxed);
    }

    /// A credential became invalid.
    pub fn turned_invalid(&self, reason: ReconnectReason) {
        self.turned_invalid.fetch_add(1, Ordering::Relaxed);
        if reason == ReconnectReason::RefreshOutcomeLost {
            self.outcome_lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A user removed the app at Zoom, and one of the user's credentials became invalid.
    pub fn deauthorized(&self) {
        self.deauthorized.fetch_add(1, Ordering::Relaxed);
    }

    /// A new authorization gave a credential another app or user. Nobody can restore the grant of the user before.
    pub fn user_replaced(&self) {
        self.user_replaced.fetch_add(1, Ordering::Relaxed);
    }

    /// A refresh token was sent, and nobody knows whether Zoom has accepted it.
    pub fn answer_to_refresh_unknown(&self) {
        self.answer_unknown.store(true, Ordering::Relaxed);
    }

    /// Zoom gave a new token pair that only a capsule holds.
    pub fn pair_in_capsule(&self) {
        self.only_in_capsule.store(true, Ordering::Relaxed);
    }

    fn add(&self, other: &Self) {
        let Self {
            refreshes_sent,
            refreshes_stored,
            minted,
            turned_invalid,
            outcome_lost,
            deauthorized,
            user_replaced,
            answer_unknown,
            only_in_capsule,
        } = other;
        let counts = [
            (&self.refreshes_sent, refreshes_sent),
            (&self.refreshes_stored, refreshes_stored),
            (&self.minted, minted),
            (&self.turned_invalid, turned_invalid),
            (&self.outcome_lost, outcome_lost),
            (&self.deauthorized, deauthorized),
            (&self.user_replaced, user_replaced),
        ];
        for (count, more) in counts {
            count.fetch_add(more.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let flags = [
            (&self.answer_unknown, answer_unknown),
            (&self.only_in_capsule, only_in_capsule),
        ];
        for (flag, more) in flags {
            flag.fetch_or(more.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Whether a new token pair is stored.
    pub fn has_refreshed(&self) -> bool {
        self.refreshes_stored.load(Ordering::Relaxed) > 0
    }

    /// Whether nobody knows if Zoom has accepted a refresh token that was sent.
    pub fn has_unknown_answer(&self) -> bool {
        self.answer_unknown.load(Ordering::Relaxed)
    }

    /// Whether only a capsule holds a new token pair.
    pub fn has_pair_in_capsule(&self) -> bool {
        self.only_in_capsule.load(Ordering::Relaxed)
    }

    /// Whether a refresh was sent and no new token pair is stored.
    pub fn has_failed_to_refresh(&self) -> bool {
        self.refreshes_sent.load(Ordering::Relaxed) > 0 && !self.has_refreshed()
    }

    /// The counts for the log line. A count of zero is `None`, so that the line stays short.
    pub fn counts(&self) -> ActivityCounts {
        let some = |count: u32| (count > 0).then_some(count);
        ActivityCounts {
            minted: some(self.minted.load(Ordering::Relaxed)),
            refreshed: some(self.refreshes_stored.load(Ordering::Relaxed)),
            turned_invalid: some(self.turned_invalid.load(Ordering::Relaxed)),
            outcome_lost: some(self.outcome_lost.load(Ordering::Relaxed)),
            deauthorized: some(self.deauthorized.load(Ordering::Relaxed)),
            user_replaced: some(self.user_replaced.load(Ordering::Relaxed)),
        }
    }
}

/// The counts of an [`Activity`] at one moment.
#[derive(Clone, Copy, Debug)]
pub struct ActivityCounts {
    /// Tokens minted.
    pub minted: Option<u32>,
    /// Token pairs that were refreshed and stored.
    pub refreshed: Option<u32>,
    /// Credentials that became invalid.
    pub turned_invalid: Option<u32>,
    /// Those of them that became invalid after a refresh whose outcome is unknown.
    pub outcome_lost: Option<u32>,
    /// Credentials whose user removed the app at Zoom.
    pub deauthorized: Option<u32>,
    /// Credentials that got another app or user.
    pub user_replaced: Option<u32>,
}
