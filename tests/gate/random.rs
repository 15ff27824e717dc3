//! Random schedules: several mints of one or two credentials with several faults. The user may remove the app or
//! authorize it again while mints run. A seed fixes the plan. The operating system still decides which of two
//! concurrent calls comes first.

use std::sync::Arc;

use fastrand::Rng;

use crate::ZOOM_BEHAVIOURS;
use crate::backend::{Backend, CLIENT_ID, ZoomBehaviour};
use crate::execution::{Execution, RunningMint, UserConsent};
use crate::fault::{Fault, SHORT_FAULTS};
use crate::judge;
use crate::lambda::RefreshMethod;
use crate::schedule::{INVOCATION_TIME_OUT, OUTAGE_TIME_OUT};
use crate::summary::Summary;
use crate::wire::Wire;

/// The number of calls in a mint, and some more for retries.
const MAX_CALLS: usize = 16;

/// A random schedule.
#[derive(Debug)]
pub(crate) struct Plan {
    seed: u64,
    pub(crate) behaviour: ZoomBehaviour,
    /// Whether a second credential shares the user.
    siblings: bool,
    rounds: [Round; 2],
    /// Requests of crashed mints reach the service only after another mint.
    late_arrivals: bool,
    /// Capsules are replayed only after another mint.
    late_replay: bool,
}

/// Mints that run at the same time. After each round, leases and access tokens expire.
#[derive(Debug)]
struct Round {
    mints: Vec<PlannedMint>,
    user_actions: Vec<(Moment, UserAction)>,
    /// At this moment all leases expire although their holders still run, and another mint starts.
    leases_expire: Option<Moment>,
}

#[derive(Debug)]
struct PlannedMint {
    sibling: bool,
    /// When the mint starts. The first mint of a round starts immediately.
    start: Moment,
    faults: Vec<(usize, Fault)>,
    /// When held requests and answers are released.
    release: Moment,
}

/// The moment when a mint of the round has made this many calls, or has ended.
#[derive(Clone, Copy, Debug)]
struct Moment {
    mint: usize,
    calls: usize,
}

#[derive(Clone, Copy, Debug)]
enum UserAction {
    RemoveApp,
    Reauthorize { sibling: bool },
}

impl Plan {
    pub(crate) fn from_seed(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        Self {
            seed,
            behaviour: ZOOM_BEHAVIOURS[rng.usize(..ZOOM_BEHAVIOURS.len())],
            siblings: rng.u8(..3) == 0,
            rounds: [Round::random(rng), Round::random(rng)],
            late_arrivals: rng.bool(),
            late_replay: rng.u8(..4) == 0,
        }
    }

    /// Runs the plan and judges the result.
    pub(crate) async fn run(self, backend: Arc<Backend>) -> Summary {
        let mut execution = Execution::new(&backend, RefreshMethod::Vault).await;
        execution.create_credential().await;
        if self.siblings {
            execution.create_credential().await;
        }
        for round in &self.rounds {
            execution.expire_access_tokens().await;
            self.run_round(round, &mut execution).await;
            execution.heal().await;
            if !self.late_replay {
                execution.replay_capsules().await;
            }
        }
        let id = execution.credentials[0];
        if self.late_arrivals {
            execution.mint(id).await;
        }
        for wire in execution.busy_wires() {
            wire.release_and_wait().await;
        }
        // A late request may have taken a lease.
        execution.expire_leases().await;
        if self.late_replay {
            execution.mint(id).await;
            execution.replay_capsules().await;
        }
        judge::judge(execution, format!("GATE_SEED={}: {self:?}", self.seed)).await
    }

    async fn run_round(&self, round: &Round, execution: &mut Execution<'_>) {
        let running = start_mints(round, execution).await;
        let wires: Vec<_> = running.iter().map(|mint| mint.wire.clone()).collect();
        self.schedule_releases(round, &wires);
        for (moment, action) in &round.user_actions {
            moment.wait(&wires).await;
            action.run(execution).await;
        }
        if let Some(moment) = round.leases_expire {
            moment.wait(&wires).await;
            execution.expire_leases().await;
            execution.mint(execution.credentials[0]).await;
        }
        for mint in running {
            execution.finish_mint(mint).await;
        }
    }

    /// Releases what each wire holds at its planned moment, in the background.
    fn schedule_releases(&self, round: &Round, wires: &[Arc<Wire>]) {
        for (mint, wire) in round.mints.iter().zip(wires) {
            let crashes_in_flight = mint
                .faults
                .iter()
                .any(|(_, fault)| *fault == Fault::CrashInFlight);
            if self.late_arrivals && crashes_in_flight {
                continue;
            }
            let (release, wire, wires) = (mint.release, wire.clone(), wires.to_vec());
            tokio::spawn(async move {
                tokio::select! {
                    () = release.wait(&wires) => {}
                    () = wire.wait_for_finish() => {}
                }
                wire.release();
            });
        }
    }
}

async fn start_mints(round: &Round, execution: &mut Execution<'_>) -> Vec<RunningMint> {
    let mut running: Vec<RunningMint> = Vec::new();
    for mint in &round.mints {
        if let Some(other) = running.get(mint.start.mint) {
            other.wire.wait_for_calls(mint.start.calls).await;
        }
        let time_out = if mint.faults.iter().any(|(_, fault)| fault.is_outage()) {
            OUTAGE_TIME_OUT
        } else {
            INVOCATION_TIME_OUT
        };
        let id = execution.credential(mint.sibling);
        let mint = execution.start_mint(id, mint.faults.clone(), time_out);
        running.push(mint.await);
    }
    running
}

impl UserAction {
    async fn run(self, execution: &mut Execution<'_>) {
        let Execution { backend, team, .. } = &*execution;
        match self {
            Self::RemoveApp => {
                backend.zoom.remove_app(CLIENT_ID, &team.user);
                execution.consent = UserConsent::Withdrawn;
            }
            Self::Reauthorize { sibling } => {
                let id = execution.credential(sibling);
                backend.reauthorize(team, id).await;
                if execution.consent == UserConsent::Withdrawn {
                    execution.consent = UserConsent::GivenAgain;
                }
                execution.record_authorized_tokens().await;
            }
        }
    }
}

impl Round {
    fn random(rng: &mut Rng) -> Self {
        let mints = rng.usize(1..=4);
        let mut user_actions = Vec::new();
        if rng.u8(..4) == 0 {
            user_actions.push((Moment::random(rng, mints), UserAction::RemoveApp));
        }
        if rng.u8(..3) == 0 {
            let sibling = rng.bool();
            let action = UserAction::Reauthorize { sibling };
            user_actions.push((Moment::random(rng, mints), action));
        }
        Self {
            leases_expire: (rng.u8(..4) == 0).then(|| Moment::random(rng, mints)),
            mints: (0..mints)
                .map(|mint| PlannedMint::random(rng, mint, mints))
                .collect(),
            user_actions,
        }
    }
}

impl PlannedMint {
    fn random(rng: &mut Rng, mint: usize, mints: usize) -> Self {
        let faults = rng.usize(..=2);
        Self {
            sibling: rng.bool(),
            start: Moment::random(rng, mint.max(1)),
            faults: (0..faults)
                .map(|_| (random_call(rng), random_fault(rng)))
                .collect(),
            release: Moment::random(rng, mints),
        }
    }
}

/// Half of the calls are between the lease and the first calls after the commit.
fn random_call(rng: &mut Rng) -> usize {
    if rng.bool() {
        rng.usize(9..=13)
    } else {
        rng.usize(1..=MAX_CALLS)
    }
}

/// Long faults are rare, because each takes most of a minute.
fn random_fault(rng: &mut Rng) -> Fault {
    match rng.u8(..60) {
        0 => Fault::Outage,
        1 => Fault::Stall,
        2 => Fault::NoAnswer,
        _ => SHORT_FAULTS[rng.usize(..SHORT_FAULTS.len())],
    }
}

impl Moment {
    fn random(rng: &mut Rng, mints: usize) -> Self {
        Self {
            mint: rng.usize(..mints),
            calls: rng.usize(..MAX_CALLS),
        }
    }

    async fn wait(self, wires: &[Arc<Wire>]) {
        wires[self.mint % wires.len()]
            .wait_for_calls(self.calls)
            .await;
    }
}
