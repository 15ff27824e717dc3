//! The fault gate: every call of a mint that refreshes fails in every way, with others beside it, in every mood of
//! Zoom. Then all is healed, and the next mint must give a token, or say that what was lost could not be kept.
//!
//! `GATE=full` runs every schedule; without it, those with many callers are thinned. `GATE_SEEDS=1000` runs as many
//! random schedules, `GATE_SEED=17` only that one.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "test harness: a broken assumption is a failed test"
)]

mod baselines;
mod earth;
mod lambda;
mod schedule;
mod tally;
mod wire;

use std::future::Future;
use std::sync::Arc;

use local::zoom::Mood;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::earth::Earth;
use crate::lambda::Manner;
use crate::schedule::Schedule;
use crate::tally::Tally;
use crate::wire::Fault;

/// How many schedules run at once, most of them waiting.
const AT_ONCE: usize = 24;

const MOODS: [Mood; 3] = [
    Mood::Strict,
    Mood::ReuseRevokesFamily,
    Mood::OldTokenOnceMore,
];

const FAULTS: [Fault; 13] = [
    Fault::Outage,
    Fault::CrashBefore,
    Fault::CrashAfter,
    Fault::CrashLate,
    Fault::HoldBefore,
    Fault::HoldAfter,
    Fault::Silence,
    Fault::DropBefore,
    Fault::DropAfter,
    Fault::ErrorBefore,
    Fault::ErrorAfter,
    Fault::Throttle,
    Fault::Conflict,
];

/// Runs schedules, some at once, and adds up.
async fn all<F>(schedules: impl IntoIterator<Item = F>) -> Tally
where
    F: Future<Output = Tally> + Send + 'static,
{
    let lanes = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for schedule in schedules {
        let lanes = lanes.clone();
        running.spawn(async move {
            let _lane = lanes.acquire().await.unwrap();
            schedule.await
        });
    }
    let mut sum = Tally::default();
    while let Some(tally) = running.join_next().await {
        sum.add(tally.unwrap());
    }
    sum
}

async fn earths() -> Vec<(Mood, Arc<Earth>)> {
    let mut earths = Vec::new();
    for mood in MOODS {
        earths.push((mood, Earth::new(mood).await));
    }
    earths
}

/// Every fault at every call.
fn schedules(manner: Manner, callers: usize, calls: usize) -> impl Iterator<Item = Schedule> {
    FAULTS.into_iter().flat_map(move |fault| {
        (1..=calls).map(move |call| Schedule {
            manner,
            callers,
            call,
            fault,
        })
    })
}

async fn systematic(manner: Manner, callers: usize) -> Vec<(Mood, Tally)> {
    let mut tallies = Vec::new();
    for (mood, earth) in earths().await {
        let undisturbed = Schedule {
            manner,
            callers: 1,
            call: 0,
            fault: Fault::DropBefore,
        };
        let calls = undisturbed.run(&earth).await.calls;
        let schedules = schedules(manner, callers, calls).map(|schedule| {
            let earth = earth.clone();
            async move { schedule.run(&earth).await }
        });
        let tally = all(schedules).await;
        println!("| {manner:?}, {callers} | {mood:?} {tally}");
        for fault in &tally.faults {
            println!("  {fault}");
        }
        println!("{tally:?}");
        tallies.push((mood, tally));
    }
    tallies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_at_any_call_loses_a_grant_that_could_be_kept() {
    for callers in [1, 2] {
        for (mood, tally) in systematic(Manner::Vault, callers).await {
            assert!(tally.is_green(), "{mood:?}: {:#?}", tally.faults);
        }
    }
}
