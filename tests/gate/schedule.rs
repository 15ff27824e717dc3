//! Planned schedules: one fault at one call of one mint, with other mints beside it.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::ZOOM_BEHAVIOURS;
use crate::backend::{Backend, ZoomBehaviour};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::judge;
use crate::lambda::RefreshMethod;
use crate::summary::Summary;
use crate::wire::REFRESH_PATH;

/// The time-out of the function in the template.
pub(crate) const INVOCATION_TIME_OUT: Duration = Duration::from_secs(90);
/// The time-out for a mint during an outage. The vault starts no refresh with less than 40 s left, so a refresh still
/// starts, and the mint ends soon.
pub(crate) const OUTAGE_TIME_OUT: Duration = Duration::from_secs(43);

/// How many mints may run at the same time. Most of them wait, and each has its own sockets.
const MAX_CONCURRENT_MINTS: usize = 96;

/// Limits the mints that run at the same time, in all tests together.
pub(crate) fn mint_permits() -> Arc<Semaphore> {
    static PERMITS: LazyLock<Arc<Semaphore>> =
        LazyLock::new(|| Arc::new(Semaphore::new(MAX_CONCURRENT_MINTS)));
    PERMITS.clone()
}

/// A fault at one call of one mint, with other mints beside it.
#[derive(Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) method: RefreshMethod,
    /// How many mints run. The first one meets the fault; the others start when it does.
    pub(crate) mints: usize,
    /// The number of the first mint's call that meets the fault, from 1.
    pub(crate) call: usize,
    pub(crate) fault: Fault,
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            method,
            mints,
            call,
            fault,
        } = self;
        write!(f, "{method:?}, {mints} mints, {fault:?} at call {call}")
    }
}

impl Schedule {
    /// Runs the schedule and judges the result.
    pub(crate) async fn run(self, backend: &Backend) -> Summary {
        let mut execution = Execution::new(backend, self.method).await;
        let id = execution.create_credential().await;
        execution.expire_access_tokens().await;

        let time_out = if self.fault.is_outage() {
            OUTAGE_TIME_OUT
        } else {
            INVOCATION_TIME_OUT
        };
        let faults = vec![(self.call, self.fault)];
        let first = execution.start_mint(id, faults, time_out).await;
        let wire = first.wire.clone();
        wire.wait_for_fault().await;
        let mut others = Vec::new();
        for _ in 1..self.mints {
            let other = execution.start_mint(id, Vec::new(), INVOCATION_TIME_OUT);
            others.push(other.await);
        }
        for other in others {
            execution.finish_mint(other).await;
        }
        if self.fault == Fault::CrashInFlight {
            // Another mint takes over after the lease has expired. Only then does the held request arrive.
            execution.finish_mint(first).await;
            execution.heal().await;
            execution.mint(id).await;
            wire.release_and_wait().await;
        } else if self.fault == Fault::HoldPastLease {
            // Another mint takes over after the lease has expired, and the first mint is still running.
            execution.heal().await;
            execution.mint(id).await;
            wire.release_and_wait().await;
            execution.finish_mint(first).await;
            execution.heal().await;
        } else {
            wire.release_and_wait().await;
            execution.finish_mint(first).await;
            execution.heal().await;
            execution.replay_capsules().await;
        }
        judge::judge(execution, format!("{self:?}")).await
    }
}

/// The calls of a mint that meet a fault.
#[derive(Clone, Copy)]
pub(crate) enum FaultyCalls {
    All,
    /// Every third call. Each behaviour of Zoom starts at another call, so each call meets each fault with one
    /// behaviour.
    Third,
    /// The refresh, and some calls before and after the refresh.
    NearRefresh {
        before: usize,
        after: usize,
    },
}

impl FaultyCalls {
    /// The numbers of the calls, from 1. `operations` are those that an undisturbed mint calls. `behaviour` is the
    /// index of Zoom's behaviour.
    fn numbers(self, operations: &[String], behaviour: usize) -> Vec<usize> {
        let all = 1..=operations.len();
        match self {
            Self::All => all.collect(),
            Self::Third => all.skip(behaviour).step_by(3).collect(),
            Self::NearRefresh { before, after } => {
                let mut operations = operations.iter();
                let refresh = operations.position(|it| it == REFRESH_PATH).unwrap() + 1;
                all.filter(|call| (refresh - before..=refresh + after).contains(call))
                    .collect()
            }
        }
    }
}

/// Schedules that differ in the fault and in the call that meets the fault.
#[derive(Clone, Copy)]
pub(crate) struct ScheduleGroup {
    pub(crate) method: RefreshMethod,
    pub(crate) mints: usize,
    pub(crate) faults: &'static [Fault],
    pub(crate) calls: FaultyCalls,
}

impl ScheduleGroup {
    fn schedule(self, call: usize, fault: Fault) -> Schedule {
        Schedule {
            method: self.method,
            mints: self.mints,
            call,
            fault,
        }
    }

    /// The operations that an undisturbed mint calls.
    async fn undisturbed_operations(self, backend: &Backend) -> Vec<String> {
        let undisturbed = Schedule {
            mints: 1,
            // Call numbers start at 1, so no call meets this fault.
            ..self.schedule(0, Fault::DropBefore)
        };
        undisturbed.run(backend).await.first_mint_operations
    }
}

/// Runs the groups with every behaviour of Zoom. Returns one summary for each behaviour and group, and prints them.
pub(crate) async fn run_groups(groups: &[ScheduleGroup]) -> Vec<(ZoomBehaviour, Summary)> {
    let permits = mint_permits();
    let mut rows = Vec::new();
    let mut running = JoinSet::new();
    for (index, behaviour) in ZOOM_BEHAVIOURS.into_iter().enumerate() {
        let backend = Box::pin(Backend::new(behaviour)).await;
        for group in groups {
            let group = *group;
            let operations = Box::pin(group.undisturbed_operations(&backend)).await;
            let row = rows.len();
            rows.push((behaviour, Summary::default()));
            for fault in group.faults {
                for call in group.calls.numbers(&operations, index) {
                    let (backend, permits) = (backend.clone(), permits.clone());
                    let mints = u32::try_from(group.mints).unwrap();
                    running.spawn(async move {
                        let _permits = permits.acquire_many(mints).await.unwrap();
                        (row, group.schedule(call, *fault).run(&backend).await)
                    });
                }
            }
        }
    }
    while let Some(done) = running.join_next().await {
        let (row, summary) = done.unwrap();
        rows[row].1.add(summary);
    }
    print(groups, &rows);
    rows
}

fn print(groups: &[ScheduleGroup], rows: &[(ZoomBehaviour, Summary)]) {
    println!(
        "| refreshed by | concurrent mints | Zoom | {}",
        Summary::COLUMNS
    );
    let groups = ZOOM_BEHAVIOURS.iter().flat_map(|_| groups);
    for (group, (behaviour, summary)) in groups.zip(rows) {
        let ScheduleGroup { method, mints, .. } = group;
        println!("| {method:?} | {mints} | {behaviour:?} {summary}");
    }
}
