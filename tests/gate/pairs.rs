//! Which of the token pairs that Zoom issued could be kept, and which requests came late. Everything is judged for one
//! grant of Zoom, by the ticks of the recorded calls.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use uuid::Uuid;

use crate::backend::ZoomBehaviour;
use crate::execution::Execution;
use crate::wire::{Call, REFRESH_PATH};

/// A refresh that a mint sent, and what followed.
pub(crate) struct SentRefresh {
    pub(crate) mint: usize,
    /// The refresh token that was sent.
    pub(crate) sent_token: String,
    /// Zoom's grant of that token.
    grant: Option<Uuid>,
    /// When the mint began to take the lease.
    leased_at: u64,
    pub(crate) started_at: u64,
    executed_at: Option<u64>,
    /// When the sender no longer waited: the answer came, or the mint ended or was killed.
    pub(crate) left_at: u64,
    /// The refresh token that Zoom issued, if Zoom accepted the refresh.
    issued_token: Option<String>,
    is_delivered: bool,
    /// When the commits of the same mint that followed were executed.
    committed_at: Vec<u64>,
}

/// What Zoom issued, and what became of it.
pub(crate) struct IssuedPairs {
    sent: Vec<SentRefresh>,
    /// Refresh tokens that reached a process which lived on, or which committed them before it was killed.
    pub(crate) received: HashSet<String>,
    /// For each of Zoom's grants, when a pair was last received.
    last_received: HashMap<Uuid, u64>,
    /// For each of Zoom's grants, when a loss was last unavoidable.
    last_lost: HashMap<Uuid, u64>,
    /// From when to when leases were made to expire although their holders may still run.
    lease_expiries: Vec<Range<u64>>,
    /// When capsules were replayed, and the refresh token in each.
    replays: Vec<(u64, String)>,
}

impl IssuedPairs {
    pub(crate) fn of(execution: &Execution<'_>) -> Self {
        let sent = execution.calls();
        let sent = sent.iter().enumerate();
        let sent = sent.flat_map(|(mint, calls)| sent_refreshes(execution, mint, calls));
        let mut pairs = Self {
            sent: sent.collect(),
            received: execution.authorized_tokens.clone(),
            last_received: HashMap::new(),
            last_lost: HashMap::new(),
            lease_expiries: execution.lease_expiries.clone(),
            replays: execution.replays.clone(),
        };
        for index in 0..pairs.sent.len() {
            pairs.sort(execution, index);
        }
        pairs
    }

    /// Records whether the pair of one refresh was received, or whether the refresh did harm that no protocol prevents.
    fn sort(&mut self, execution: &Execution<'_>, index: usize) {
        let refresh = &self.sent[index];
        let (Some(executed_at), Some(grant)) = (refresh.executed_at, refresh.grant) else {
            return;
        };
        let killed_at = execution.killed_at(refresh.mint);
        let Some(token) = refresh.issued_token.clone() else {
            // A refused request did harm if reuse ends the grant. Nobody could prevent that if the request came late,
            // or if the token had to be sent again because its successor was not stored yet.
            let reuse_ends_grant = execution.backend.behaviour == ZoomBehaviour::ReuseRevokesFamily;
            let came_late = executed_at > refresh.left_at;
            if came_late || (reuse_ends_grant && self.had_to_resend(refresh)) {
                let lost = self.last_lost.entry(grant).or_default();
                *lost = executed_at.max(*lost);
            }
            return;
        };
        let survived = |at: &u64| killed_at.is_none_or(|killed_at| *at < killed_at);
        let was_committed = refresh.committed_at.iter().any(survived);
        let is_received = refresh.is_delivered && (killed_at.is_none() || was_committed);
        let last = if is_received {
            self.received.insert(token);
            self.last_received.entry(grant).or_default()
        } else {
            self.last_lost.entry(grant).or_default()
        };
        *last = executed_at.max(*last);
    }

    /// Whether the token had been spent by another mint whose pair was not stored: its lease had expired although the
    /// mint still ran, or its pair was in a capsule.
    fn had_to_resend(&self, refresh: &SentRefresh) -> bool {
        self.sent.iter().any(|other| {
            let Some(token) = &other.issued_token else {
                return false;
            };
            let is_earlier = other.started_at < refresh.started_at;
            let same_token = other.sent_token == refresh.sent_token;
            let mut replays = self.replays.iter();
            let came_by_capsule =
                replays.any(|(at, replayed)| replayed == token && *at > refresh.started_at);
            is_earlier && same_token && (came_by_capsule || self.lease_expired(other, refresh))
        })
    }

    /// Whether leases were made to expire after one of the two took its lease, and before both had begun to send.
    fn lease_expired(&self, first: &SentRefresh, second: &SentRefresh) -> bool {
        let taken_at = first.leased_at.min(second.leased_at);
        let sent_at = first.started_at.max(second.started_at);
        let mut expiries = self.lease_expiries.iter();
        expiries.any(|expiry| expiry.start < sent_at && taken_at < expiry.end)
    }

    /// Whether the grant could not be kept: a pair was lost, and no later pair of the grant was received.
    pub(crate) fn is_unavoidable_loss(&self, grant: Option<Uuid>) -> bool {
        let at = |of: &HashMap<Uuid, u64>| grant.and_then(|grant| of.get(&grant).copied());
        at(&self.last_lost).is_some_and(|lost| at(&self.last_received).is_none_or(|it| it < lost))
    }

    /// Whether a refresh, a commit or a capsule of this grant arrived only after another mint had begun a refresh of
    /// the grant. The reason of a loss is then not always known, and a credential may learn from its next mint only
    /// that its grant lives.
    pub(crate) fn arrived_late(&self, grant: Option<Uuid>) -> bool {
        let of_grant = |refresh: &&SentRefresh| grant.is_some() && refresh.grant == grant;
        self.sent.iter().filter(of_grant).any(|refresh| {
            let replays = self.replays.iter();
            let replays = replays.filter(|(_, token)| refresh.issued_token.as_ref() == Some(token));
            let mut arrivals: Vec<u64> = replays.map(|(at, _)| *at).collect();
            arrivals.extend(refresh.executed_at);
            arrivals.extend(&refresh.committed_at);
            let latest = arrivals.into_iter().max().unwrap_or_default();
            let taken_over = refresh.started_at + 1..latest;
            let mut others = self.sent.iter().filter(of_grant);
            others.any(|other| other.mint != refresh.mint && taken_over.contains(&other.started_at))
        })
    }

    /// How many refresh tokens were in flight twice, although no lease had been made to expire (I2). A late request of
    /// a sender that was killed counts from its arrival.
    pub(crate) fn overlaps(&self) -> usize {
        let overlap = |first: &&SentRefresh| {
            let mut others = self.sent.iter();
            others.any(|other| {
                let starts_within = first.started_at < other.started_at
                    && (other.started_at < first.left_at || arrives_within(first, other));
                first.sent_token == other.sent_token
                    && starts_within
                    && !self.lease_expired(first, other)
            })
        };
        self.sent.iter().filter(overlap).count()
    }

    pub(crate) fn posts(&self) -> usize {
        self.sent.len()
    }
}

/// Whether a request arrived after its sender's end while another one was in flight.
fn arrives_within(late: &SentRefresh, other: &SentRefresh) -> bool {
    let arrival = late.executed_at.filter(|at| *at > late.left_at);
    arrival.is_some_and(|at| (other.started_at..other.left_at).contains(&at))
}

fn sent_refreshes(execution: &Execution<'_>, mint: usize, calls: &[Call]) -> Vec<SentRefresh> {
    let answer = execution.answers.get(&mint);
    let ended_at = answer.map_or(u64::MAX, |answer| answer.ended_at);
    let refreshes = calls.iter().enumerate();
    let refreshes = refreshes.filter(|(_, call)| call.operation == REFRESH_PATH);
    let sent = refreshes.map(|(index, call)| {
        let sent_token = sent_token(call);
        let mut earlier = calls.iter().take(index);
        let lease = earlier.rfind(|call| call.is_lease());
        let later = calls.iter().skip(index + 1);
        let commits = later.filter(|call| call.succeeded() && call.is_commit());
        let answered_at = call.delivered_at.or(call.executed_at());
        SentRefresh {
            mint,
            grant: execution.backend.zoom.grant_of(&sent_token),
            sent_token,
            leased_at: lease.map_or(call.started_at, |lease| lease.started_at),
            started_at: call.started_at,
            executed_at: call.executed_at(),
            left_at: answered_at.unwrap_or(call.started_at).min(ended_at),
            issued_token: issued_token(call),
            is_delivered: call.delivered_at.is_some(),
            committed_at: commits.filter_map(Call::executed_at).collect(),
        }
    });
    sent.collect()
}

/// The refresh token that a refresh sent.
fn sent_token(refresh: &Call) -> String {
    let mut fields = url::form_urlencoded::parse(&refresh.request);
    let token = fields.find(|(name, _)| name == "refresh_token");
    token.unwrap().1.into_owned()
}

/// The refresh token in Zoom's answer to a refresh.
pub(crate) fn issued_token(call: &Call) -> Option<String> {
    if call.operation != REFRESH_PATH || !call.succeeded() {
        return None;
    }
    let executed = call.executed.as_ref()?;
    let body: serde_json::Value = serde_json::from_slice(&executed.body).ok()?;
    body["refresh_token"].as_str().map(str::to_owned)
}
