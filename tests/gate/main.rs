//! The fault gate: every call of a mint that refreshes fails in every way, with others beside it, in every mood of
//! Zoom. Then all is healed, and the next mint must give a token, or say that what was lost could not be kept.
//!
//! `GATE=full` runs every schedule; without it, those with many callers are thinned. `GATE_SEEDS=1000` runs as many
//! schedules by chance, `GATE_SEED=17` only that one.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "test harness: a broken assumption is a failed test"
)]

mod baselines;
mod earth;
mod lambda;
mod random;
mod schedule;
mod tally;
mod wire;

use std::sync::Arc;

use local::zoom::Mood;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::earth::Earth;
use crate::lambda::Manner;
use crate::random::Plan;
use crate::schedule::Schedule;
use crate::tally::Tally;
use crate::wire::Fault;

/// How many mints run at once, most of them waiting: each has sockets of its own.
const AT_ONCE: usize = 96;

const MOODS: [Mood; 3] = [
    Mood::Strict,
    Mood::ReuseRevokesFamily,
    Mood::OldTokenOnceMore,
];

/// Those that take a minute, or most of one, because the vault waits and tries.
const SLOW: [Fault; 3] = [Fault::Outage, Fault::Stall, Fault::Silence];

const QUICK: [Fault; 12] = [
    Fault::CrashBefore,
    Fault::CrashAfter,
    Fault::CrashLate,
    Fault::HoldBefore,
    Fault::HoldAfter,
    Fault::Oversleep,
    Fault::DropBefore,
    Fault::DropAfter,
    Fault::ErrorBefore,
    Fault::ErrorAfter,
    Fault::Throttle,
    Fault::Conflict,
];

/// The faults that a refresh is lost to, where anything is: for schedules of which not all are run.
const GRAVE: [Fault; 4] = [
    Fault::CrashAfter,
    Fault::CrashLate,
    Fault::DropAfter,
    Fault::HoldAfter,
];

/// Schedules of one kind.
#[derive(Clone, Copy)]
struct Kind {
    manner: Manner,
    callers: usize,
    faults: &'static [Fault],
    /// Every which call meets them.
    step: usize,
}

/// Runs every fault at every call, in every mood; a row of the table for each mood.
async fn run(kinds: &[Kind]) -> Vec<(Mood, Tally)> {
    let lanes = Arc::new(Semaphore::new(AT_ONCE));
    let mut sums = Vec::new();
    let mut running = JoinSet::new();
    for mood in MOODS {
        let earth = Box::pin(Earth::new(mood)).await;
        for kind in kinds {
            let Kind {
                manner, callers, ..
            } = *kind;
            let schedule = move |call, fault| Schedule {
                manner,
                callers,
                call,
                fault,
            };
            // Undisturbed, it tells how many calls there are.
            let undisturbed = Schedule {
                callers: 1,
                ..schedule(0, Fault::DropBefore)
            };
            let calls = Box::pin(undisturbed.run(&earth)).await.calls;
            let row = sums.len();
            sums.push((mood, Tally::default()));
            for fault in kind.faults {
                for call in (1..=calls).step_by(kind.step) {
                    let (earth, lanes) = (earth.clone(), lanes.clone());
                    let lane = u32::try_from(callers).unwrap();
                    running.spawn(async move {
                        let _lane = lanes.acquire_many(lane).await.unwrap();
                        (row, schedule(call, *fault).run(&earth).await)
                    });
                }
            }
        }
    }
    while let Some(done) = running.join_next().await {
        let (row, tally) = done.unwrap();
        sums[row].1.add(tally);
    }
    let names = MOODS.iter().flat_map(|_| kinds);
    for (
        Kind {
            manner, callers, ..
        },
        (mood, tally),
    ) in names.zip(&sums)
    {
        println!("| {manner:?} | {callers} | {mood:?} {tally}");
    }
    sums
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_at_any_call_loses_a_grant_that_could_be_kept() {
    let all = shared::config::optional("GATE").is_some_and(|gate| gate == "full");
    let kind = |callers, faults, step| Kind {
        manner: Manner::Vault,
        callers,
        faults: if all { &QUICK } else { faults },
        step: if all { 1 } else { step },
    };
    let kinds = [
        kind(1, &QUICK, 1),
        Kind {
            faults: &SLOW,
            ..kind(1, &QUICK, 1)
        },
        kind(2, &QUICK, 1),
        kind(8, &GRAVE, 3),
        kind(32, &GRAVE, 5),
    ];
    for (mood, tally) in run(&kinds).await {
        assert!(tally.is_green(), "{mood:?}: {:#?}", tally.faults);
    }
}

/// Of which most mix several faults. `GATE_SEEDS` says how many, `GATE_SEED` which one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_that_could_be_kept_by_chance() {
    let number = |name| shared::config::optional(name).map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("GATE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("GATE_SEEDS").unwrap_or(300),
    };
    let lanes = Arc::new(Semaphore::new(AT_ONCE));
    let mut earths = Vec::new();
    for mood in MOODS {
        earths.push((mood, Box::pin(Earth::new(mood)).await));
    }
    let mut running = JoinSet::new();
    for seed in seeds {
        let plan = Plan::of(seed);
        let (_, earth) = earths.iter().find(|(mood, _)| *mood == plan.mood).unwrap();
        let (earth, lanes) = (earth.clone(), lanes.clone());
        running.spawn(async move {
            let _lane = lanes.acquire_many(4).await.unwrap();
            plan.run(earth).await
        });
    }
    let mut sum = Tally::default();
    while let Some(done) = running.join_next().await {
        sum.add(done.unwrap());
    }
    println!("| Vault | by chance {sum}");
    println!("revoked {}, capsules {}", sum.revoked, sum.capsules);
    assert!(sum.is_green(), "{:#?}", sum.faults);
}

/// The gate can fail: two ways to refresh that others use do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_do_loses_grants() {
    for manner in [Manner::Naive, Manner::TtlLock] {
        let kind = Kind {
            manner,
            callers: 2,
            faults: &GRAVE,
            step: 1,
        };
        for (mood, tally) in run(&[kind]).await {
            let lost = tally.lost_elsewhere + tally.wrongly_invalidated + tally.dropped;
            assert!(
                lost > 0,
                "{manner:?} passes in {mood:?}: the gate is too weak"
            );
        }
    }
}
