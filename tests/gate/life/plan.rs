//! Random plans. A seed fixes the plan. The operating system still decides which of two concurrent calls comes first.

use std::ops::RangeInclusive;
use std::time::Duration;

use fastrand::Rng;

use crate::ZOOM_BEHAVIOURS;
use crate::backend::ZoomBehaviour;
use crate::fault::Fault;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Longer than a lease or a lock lasts, and longer than an access token is new.
pub(crate) const PAST_LEASES: Duration = Duration::from_mins(2);

/// How many pairs of operations a schedule may contain.
const PHASE_STEP: u64 = 3;
/// An outage after which the operation goes on.
const SHORT_OUTAGE: Duration = Duration::from_secs(1);

/// A random life of the grants of one team.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) behaviour: ZoomBehaviour,
    /// Whether the team wants grants revoked when their last credential is deleted.
    pub(crate) revoke_on_delete: bool,
    /// The users whose credentials exist at the beginning. The second user is 1.
    pub(crate) credentials: Vec<usize>,
    /// The time between the set-up and the first phase.
    pub(crate) idle: Duration,
    pub(crate) phases: Vec<Phase>,
    /// Whether all credentials are deleted after the phases.
    pub(crate) ends_deleted: bool,
    /// Whether the credentials mint before keep-alive has run for the first time after the faults.
    pub(crate) mints_before_keep_alive: bool,
}

/// Operations that overlap.
#[derive(Debug)]
pub(crate) struct Phase {
    pub(crate) steps: Vec<Step>,
    /// Whether requests of crashed operations arrive before this phase. Otherwise they arrive later.
    pub(crate) late_requests_arrive: bool,
    /// How much time passes after the phase.
    pub(crate) idle: Duration,
}

/// One operation.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) action: Action,
    /// The step begins when the operation before it has made this many calls, or has ended.
    pub(crate) start: usize,
    /// The number of a call, and what it meets.
    pub(crate) faults: Vec<(usize, Fault)>,
    /// What the first call of an operation of AWS or Zoom meets.
    pub(crate) by_name: Option<(&'static str, Fault)>,
    /// Whether the step begins when a call of the operation before it has met a fault.
    pub(crate) starts_at_fault: bool,
    /// Held calls go on when the next operation has made so many calls, or has ended.
    pub(crate) release: usize,
    /// Whether a request of a crashed operation arrives at that moment, too. Otherwise it arrives in a later phase.
    pub(crate) arrives_soon: bool,
    /// When an outage ends. `None`: not before the operation has ended, which takes its whole time.
    pub(crate) outage_ends: Option<Duration>,
}

/// What a step does. Credentials and users have a number, which is taken modulo how many there are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Create {
        user: usize,
    },
    Reauthorize {
        credential: usize,
        user: usize,
    },
    Delete {
        credential: usize,
    },
    Restore {
        credential: usize,
    },
    /// `credentials purge --now`.
    PurgeNow {
        credential: usize,
    },
    Mint {
        credential: usize,
    },
    Check {
        credential: usize,
    },
    KeepAlive,
    /// The stream's function gets these records, out of order. Some were delivered before.
    Stream {
        order: u64,
    },
    /// Zoom tells that a user removed the app, or tells it again.
    Webhook {
        number: usize,
    },
    Replay {
        number: usize,
    },
    /// The user removes the app at Zoom.
    RemoveApp {
        user: usize,
    },
    /// The operator switches revocation on or off for the team.
    SetRevocation(bool),
    /// The retention of a deleted credential ends.
    EndRetention {
        credential: usize,
    },
    /// DynamoDB's TTL removes what has expired.
    SweepTtl,
}

impl Plan {
    pub(crate) fn from_seed(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let users = 1 + usize::from(rng.u8(..3) == 0);
        let credentials = 1 + rng.usize(..3).max(rng.usize(..3));
        let mut phases: Vec<Phase> = (0..rng.u64(2..=4))
            .map(|number| Phase::random(rng, users, PHASE_STEP * seed + number))
            .collect();
        if seed.is_multiple_of(4) {
            phases.extend(revocation(rng));
        }
        Self {
            seed,
            behaviour: ZOOM_BEHAVIOURS[rng.usize(..ZOOM_BEHAVIOURS.len())],
            revoke_on_delete: rng.bool(),
            credentials: (0..credentials).map(|_| rng.usize(..users)).collect(),
            idle: random_idle(rng),
            phases,
            ends_deleted: rng.u8(..4) == 0,
            mints_before_keep_alive: rng.bool(),
        }
    }
}

impl Phase {
    /// Phases with successive numbers have successive pairs of operations, so that few schedules contain each pair.
    fn random(rng: &mut Rng, users: usize, number: u64) -> Self {
        let mut steps: Vec<Step> = (0..rng.usize(0..=2))
            .map(|_| Step::random(rng, users))
            .collect();
        if rng.u8(..4) > 0 {
            steps.extend(overlap(rng, users, number));
        } else {
            steps.push(Step::random(rng, users));
        }
        Self {
            steps,
            late_requests_arrive: rng.bool(),
            idle: random_idle(rng),
        }
    }
}

/// All credentials are deleted, and a day later keep-alive revokes their grants while one of them is restored.
fn revocation(rng: &mut Rng) -> [Phase; 2] {
    let mut plain = |action| Step {
        faults: Vec::new(),
        start: usize::MAX,
        outage_ends: Some(SHORT_OUTAGE),
        ..Step::of(action, rng)
    };
    let delete = Action::Delete { credential: 0 };
    let deletions = [Action::SetRevocation(true), delete, delete, delete, delete];
    let deletions = deletions.map(&mut plain);
    let mut keep_alive = plain(Action::KeepAlive);
    let mut restore = plain(Action::Restore { credential: 0 });
    let faults = [
        Fault::HoldBefore,
        Fault::HoldAfter,
        Fault::CrashInFlight,
        Fault::CrashAfter,
    ];
    keep_alive.by_name = Some(("/oauth/revoke", faults[rng.usize(..faults.len())]));
    keep_alive.release = usize::MAX;
    restore.starts_at_fault = true;
    let phase = |steps: Vec<Step>, idle| Phase {
        steps,
        late_requests_arrive: true,
        idle,
    };
    [
        phase(Vec::from(deletions), 26 * HOUR),
        phase(vec![keep_alive, restore], PAST_LEASES),
    ]
}

/// Two operations that can harm each other. The second one runs while a call of the first one is held, or after the
/// first one has crashed.
fn overlap(rng: &mut Rng, users: usize, number: u64) -> [Step; 2] {
    let (user, credential) = (rng.usize(..users), rng.usize(..3));
    let other = rng.usize(..3);
    let reauthorize = Action::Reauthorize { credential, user };
    let (create, delete) = (Action::Create { user }, Action::Delete { credential });
    let (restore, purge_now) = (
        Action::Restore { credential },
        Action::PurgeNow { credential },
    );
    let (mint, remove_app) = (Action::Mint { credential }, Action::RemoveApp { user });
    let webhook = Action::Webhook { number: 0 };
    let stream = Action::Stream { order: rng.u64(..) };
    let reauthorize_other = Action::Reauthorize {
        credential: other,
        user,
    };
    let pairs = [
        (reauthorize, delete),
        (reauthorize, delete),
        (reauthorize, reauthorize_other),
        (reauthorize, reauthorize),
        (reauthorize, remove_app),
        (reauthorize, webhook),
        (reauthorize, Action::KeepAlive),
        (create, create),
        (create, delete),
        (create, purge_now),
        (create, remove_app),
        (create, Action::KeepAlive),
        (delete, reauthorize),
        (delete, restore),
        (restore, purge_now),
        (restore, Action::KeepAlive),
        (purge_now, restore),
        (purge_now, create),
        (mint, reauthorize),
        (mint, reauthorize_other),
        (mint, delete),
        (stream, restore),
        (stream, create),
        (webhook, reauthorize),
        (webhook, mint),
        (Action::KeepAlive, restore),
        (Action::KeepAlive, restore),
        (Action::KeepAlive, reauthorize),
        (Action::KeepAlive, reauthorize),
        (Action::KeepAlive, create),
        (Action::KeepAlive, mint),
        (Action::KeepAlive, Action::KeepAlive),
    ];
    let number = usize::try_from(number).unwrap();
    let (first, second) = pairs[number % pairs.len()];
    let (mut first, mut second) = (Step::of(first, rng), Step::of(second, rng));
    let call = random_call(rng, first.action);
    let fault = match rng.u8(..8) {
        0..2 => Fault::HoldBefore,
        2..4 => Fault::HoldAfter,
        4 | 5 => Fault::CrashInFlight,
        6 => Fault::CrashBefore,
        _ => Fault::CrashAfter,
    };
    first.faults = vec![(call, fault)];
    first.outage_ends = Some(SHORT_OUTAGE);
    if rng.bool() {
        first.release = usize::MAX;
    }
    second.start = call;
    if rng.bool() {
        first.faults = Vec::new();
        first.by_name = Some((first.action.fateful_call(), fault));
        second.starts_at_fault = true;
    }
    if rng.u8(..3) > 0 {
        second.faults = Vec::new();
        second.outage_ends = Some(SHORT_OUTAGE);
    }
    [first, second]
}

impl Step {
    fn random(rng: &mut Rng, users: usize) -> Self {
        let action = Action::random(rng, users);
        Self::of(action, rng)
    }

    fn of(action: Action, rng: &mut Rng) -> Self {
        let faults = match rng.u8(..20) {
            0..6 => 0,
            6..15 => 1,
            _ => 2,
        };
        let calls = action.calls();
        let mut step = Self {
            action,
            start: if rng.bool() { 99 } else { rng.usize(..=calls) },
            faults: (0..faults)
                .map(|_| (random_call(rng, action), random_fault(rng)))
                .collect(),
            by_name: None,
            starts_at_fault: false,
            release: rng.usize(..20),
            arrives_soon: rng.bool(),
            outage_ends: Some(Duration::from_millis(rng.u64(200..2500))),
        };
        if let Some(call) = action.commit_of_code()
            && rng.u8(..10) == 0
        {
            // DynamoDB is down when the tokens of the code are stored, so that a capsule is logged.
            step.faults = vec![(call, Fault::Outage)];
            step.outage_ends = None;
        }
        step
    }
}

impl Action {
    fn random(rng: &mut Rng, users: usize) -> Self {
        let (user, credential) = (rng.usize(..users), rng.usize(..4));
        match rng.u8(..34) {
            0..3 => Self::Create { user },
            3..8 => Self::Reauthorize { credential, user },
            8..13 => Self::Delete { credential },
            13..16 => Self::Restore { credential },
            16 => Self::PurgeNow { credential },
            17..20 => Self::Mint { credential },
            20 => Self::Check { credential },
            21..25 => Self::KeepAlive,
            25..28 => Self::Stream { order: rng.u64(..) },
            28 => Self::RemoveApp { user },
            29 => Self::Webhook {
                number: rng.usize(..4),
            },
            30 => Self::Replay {
                number: rng.usize(..4),
            },
            31 => Self::SetRevocation(rng.bool()),
            32 => Self::EndRetention { credential },
            _ => Self::SweepTtl,
        }
    }

    /// The numbers of the operation's calls that read or write what the rules are about.
    fn critical_calls(self) -> RangeInclusive<usize> {
        match self {
            Self::Create { .. } => 6..=12,
            Self::Reauthorize { .. } => 8..=14,
            Self::Delete { .. } => 4..=6,
            Self::Restore { .. } => 4..=8,
            Self::Mint { .. } | Self::Check { .. } => 9..=14,
            // The first 16 calls only look for due grants.
            Self::KeepAlive => 16..=30,
            Self::PurgeNow { .. } | Self::Webhook { .. } | Self::Stream { .. } => 1..=8,
            Self::Replay { .. } => 1..=6,
            Self::RemoveApp { .. }
            | Self::SetRevocation(_)
            | Self::EndRetention { .. }
            | Self::SweepTtl => 1..=1,
        }
    }

    /// The name of the operation.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Reauthorize { .. } => "re-authorize",
            Self::Delete { .. } => "delete",
            Self::Restore { .. } => "restore",
            Self::PurgeNow { .. } => "purge now",
            Self::Mint { .. } => "mint",
            Self::Check { .. } => "check",
            Self::KeepAlive => "keep-alive",
            Self::Stream { .. } => "stream",
            Self::Webhook { .. } => "webhook",
            Self::Replay { .. } => "replay",
            Self::RemoveApp { .. } => "removal",
            Self::SetRevocation(_) => "setting",
            Self::EndRetention { .. } => "retention",
            Self::SweepTtl => "sweep",
        }
    }

    /// The call after which the operation must not fail.
    fn fateful_call(self) -> &'static str {
        match self {
            Self::Create { .. }
            | Self::Reauthorize { .. }
            | Self::Mint { .. }
            | Self::Check { .. }
            | Self::KeepAlive => "/oauth/token",
            Self::Delete { .. }
            | Self::Restore { .. }
            | Self::PurgeNow { .. }
            | Self::Stream { .. }
            | Self::Webhook { .. }
            | Self::Replay { .. }
            | Self::RemoveApp { .. }
            | Self::SetRevocation(_)
            | Self::EndRetention { .. }
            | Self::SweepTtl => "TransactWriteItems",
        }
    }

    /// The number of the call that stores the tokens of a code, if no call before it is repeated.
    fn commit_of_code(self) -> Option<usize> {
        if matches!(self, Self::Create { .. }) {
            Some(8)
        } else {
            matches!(self, Self::Reauthorize { .. }).then_some(10)
        }
    }

    /// Whether the action is about a deleted credential.
    pub(crate) fn needs_deleted(self) -> bool {
        matches!(
            self,
            Self::Restore { .. } | Self::PurgeNow { .. } | Self::EndRetention { .. }
        )
    }

    /// About how many calls the operation makes.
    pub(crate) fn calls(self) -> usize {
        match self {
            Self::Create { .. } | Self::Reauthorize { .. } => 13,
            Self::Delete { .. } | Self::Replay { .. } | Self::Stream { .. } => 6,
            Self::Restore { .. } | Self::PurgeNow { .. } | Self::Webhook { .. } => 8,
            Self::Mint { .. } | Self::Check { .. } => 14,
            Self::KeepAlive => 30,
            Self::RemoveApp { .. }
            | Self::SetRevocation(_)
            | Self::EndRetention { .. }
            | Self::SweepTtl => 0,
        }
    }
}

/// Most of the calls are critical.
fn random_call(rng: &mut Rng, action: Action) -> usize {
    if rng.u8(..4) > 0 {
        rng.usize(action.critical_calls())
    } else {
        rng.usize(1..=action.calls().max(1))
    }
}

fn random_fault(rng: &mut Rng) -> Fault {
    const FAULTS: [Fault; 11] = [
        Fault::CrashBefore,
        Fault::CrashAfter,
        Fault::CrashAfter,
        Fault::CrashInFlight,
        Fault::HoldBefore,
        Fault::HoldAfter,
        Fault::DropBefore,
        Fault::DropAfter,
        Fault::ErrorBefore,
        Fault::ErrorAfter,
        Fault::Conflict,
    ];
    match rng.u8(..30) {
        0 => Fault::Throttle,
        1 | 2 => Fault::Outage,
        _ => FAULTS[rng.usize(..FAULTS.len())],
    }
}

/// Most phases follow each other at once or after minutes.
fn random_idle(rng: &mut Rng) -> Duration {
    match rng.u8(..20) {
        0..6 => Duration::ZERO,
        6..13 => PAST_LEASES,
        13..15 => 30 * MINUTE,
        15..17 => 26 * HOUR,
        17 | 18 => 21 * DAY,
        _ => 31 * DAY,
    }
}
