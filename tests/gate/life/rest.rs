//! The way to rest: faults end, everything outstanding is delivered, and keep-alive runs until nothing is left to do.

use std::collections::HashMap;
use std::time::Duration;

use crate::life::job::Job;
use crate::life::plan::PAST_LEASES;
use crate::life::run::Life;

/// A grant that was taken is due again, and no grant is young any more.
const NEXT_RUN: Duration = Duration::from_hours(1);
/// A grant that failed is due again, and grants may be revoked.
const NEXT_DAY: Duration = Duration::from_hours(25);
/// Shorter than the time in which a grant becomes due.
const LONG: Duration = Duration::from_hours(19 * 24);
/// So many of them are longer than Zoom keeps an idle grant, and than the vault keeps a grant for a capsule.
const LONG_TIMES: usize = 5;
/// How often keep-alive runs before the first judgement.
const FIRST_RUNS: usize = 3;
/// How often a credential mints. One call tries a limited number of grants, and on a busy machine an answer may come
/// too late.
const MAX_MINTS: usize = 4;

impl Life {
    /// Ends all faults, lets the work come to rest, and judges what is left: once soon, and once after 90 days.
    pub(crate) async fn come_to_rest(&mut self, mints_before_keep_alive: bool) {
        self.history.release_late_requests(&self.world).await;
        // After the arrivals, because a late request may take a lease.
        self.pass(PAST_LEASES).await;
        self.deliver_webhooks().await;
        self.replay_capsules().await;
        self.deliver_records().await;
        self.check().await;
        if mints_before_keep_alive {
            self.judge_mints("before keep-alive").await;
        }
        for _ in 0..FIRST_RUNS {
            self.advance(NEXT_RUN).await;
            self.keep_alive().await;
        }
        self.judge_mints("after keep-alive").await;
        for _ in 0..2 {
            self.advance(NEXT_DAY).await;
            self.keep_alive().await;
            self.advance(NEXT_RUN).await;
            self.keep_alive().await;
        }
        let snapshot = self.world.snapshot().await;
        self.judge.check_revoked(&self.world, &snapshot);
        self.judge.check_counts(&snapshot);
        for _ in 0..LONG_TIMES {
            self.advance(LONG).await;
            self.world.sweep_ttl();
            self.deliver_records().await;
            self.keep_alive().await;
        }
        for _ in 0..2 {
            self.advance(NEXT_DAY).await;
            self.keep_alive().await;
        }
        self.judge_mints("after 90 days").await;
        let snapshot = self.world.snapshot().await;
        self.judge.check_remains(&self.world, &snapshot);
        self.judge.check_counts(&snapshot);
    }

    async fn keep_alive(&mut self) {
        self.repeat_job("keep-alive", Job::KeepAlive).await;
        self.deliver_records().await;
        self.check().await;
    }

    /// L3: each live credential mints if the vault has Zoom's live grant of its pair.
    async fn judge_mints(&mut self, when: &str) {
        let snapshot = self.world.snapshot().await;
        let ids = snapshot.credentials.iter();
        let live: Vec<String> = ids
            .filter(|(_, row)| row.is_live)
            .map(|(id, _)| id.clone())
            .collect();
        let mut statuses = HashMap::new();
        for id in live {
            let mut status = 0;
            for _ in 0..MAX_MINTS {
                status = self.do_now("mint", Job::mint(&id)).await.status;
                if status < 500 {
                    break;
                }
            }
            statuses.insert(id, status);
        }
        self.judge.check_mints(when, &snapshot, &statuses);
        self.check().await;
        let after = self.world.snapshot().await;
        self.judge.check_states(when, &after, &statuses);
    }
}
