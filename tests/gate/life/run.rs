//! Runs a plan: the phases with their faults, and then the way to rest.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::backend::{CLIENT_ID, CLIENT_SECRET, REDIRECT_URI};
use crate::fault::Fault;
use crate::life::history::{History, Running};
use crate::life::job::{Job, Outcome};
use crate::life::judge::Judge;
use crate::life::plan::{Action, Phase, Plan, Step};
use crate::life::summary::Summary;
use crate::life::world::World;
use crate::wire::Wire;

const CREDENTIALS: &str = "/v2/zoom-credentials";
/// Until so much time has passed, requests of crashed operations may arrive.
const LATEST_ARRIVAL: Duration = Duration::from_mins(20);
/// Until so much time has passed, Zoom repeats a webhook, and Lambda a record.
const LATEST_DELIVERY: Duration = Duration::from_hours(24);
/// Until so much time has passed, a record that was handled may come again. The queue of failed records keeps it so
/// long.
const LATEST_REPETITION: Duration = Duration::from_hours(14 * 24);
/// After so much time, keep-alive has run.
const LONG: Duration = Duration::from_hours(20 * 24);
/// A held call goes on after this time, if no other operation runs beside it.
const RELEASE_AFTER: Duration = Duration::from_millis(50);
/// How often an operation without faults is repeated. On a busy machine, an answer may come too late.
const MAX_REPETITIONS: usize = 6;
/// A step that starts later waits for the end of the operation before it.
const MAX_START: usize = 50;

/// The life of the grants of one team.
pub(crate) struct Life {
    pub(crate) world: World,
    pub(crate) history: History,
    pub(crate) judge: Judge,
}

/// What is done once an operation has succeeded.
#[derive(Debug)]
enum OnSuccess {
    Nothing,
    /// These records were handled.
    Handled(Vec<Value>),
    /// The webhook of this removal was accepted.
    Told(usize),
    /// This capsule was replayed.
    Replayed(usize),
}

/// An operation that can be started.
struct Resolved {
    kind: &'static str,
    job: Job,
    on_success: OnSuccess,
}

impl Plan {
    /// Runs the plan and judges the result.
    pub(crate) async fn run(self) -> Summary {
        let mut life = Life {
            world: Box::pin(World::new(self.behaviour)).await,
            history: History::default(),
            judge: Judge::new(format!("LIFE_SEED={}: {self:?}", self.seed)),
        };
        life.set_up(&self).await;
        for phase in &self.phases {
            if phase.late_requests_arrive {
                life.history.release_late_requests(&life.world).await;
            }
            life.run_phase(phase).await;
            life.check().await;
            life.pass(phase.idle).await;
        }
        if self.ends_deleted {
            life.delete_all().await;
        }
        life.come_to_rest(self.mints_before_keep_alive).await;
        life.judge.finish(&life.world, &life.history)
    }
}

impl Life {
    async fn set_up(&mut self, plan: &Plan) {
        self.do_now("register", World::registration()).await;
        self.world.set_revocation(plan.revoke_on_delete).await;
        for user in &plan.credentials {
            let job = self.create(*user);
            self.do_now("create", job).await;
        }
        self.check().await;
        self.pass(plan.idle).await;
    }

    async fn delete_all(&mut self) {
        let (live, _) = self.world.credential_ids();
        for id in live {
            let job = Job::api("DELETE", &format!("{CREDENTIALS}/{id}"), &Value::Null);
            self.do_now("delete", job).await;
        }
        self.check().await;
    }

    /// Runs a job without faults.
    pub(crate) async fn do_now(&mut self, kind: &'static str, job: Job) -> Outcome {
        self.history.run(&self.world, kind, job).await
    }

    /// Compares the tables with Zoom. No operation is running.
    pub(crate) async fn check(&mut self) {
        let snapshot = self.world.snapshot().await;
        self.judge.check(&self.world, &self.history, snapshot);
    }

    /// Lets time pass without an operation. It rewrites the rows, so no request may change one meanwhile.
    pub(crate) async fn advance(&mut self, by: Duration) {
        self.history.settle().await;
        self.world.advance(by);
    }

    /// Lets time pass. What cannot be later arrives before.
    pub(crate) async fn pass(&mut self, time: Duration) {
        if time >= LATEST_ARRIVAL {
            self.history.release_late_requests(&self.world).await;
        }
        if time >= LATEST_DELIVERY {
            self.deliver_webhooks().await;
            self.deliver_records().await;
        }
        self.advance(time).await;
        if time >= LONG {
            self.do_now("keep-alive", Job::KeepAlive).await;
        }
        self.check().await;
    }

    async fn run_phase(&mut self, phase: &Phase) {
        let mut started: Vec<(Running, OnSuccess, &Step)> = Vec::new();
        let mut releases = Vec::new();
        for step in &phase.steps {
            if let Some((before, _, held)) = started.last() {
                if step.start > MAX_START {
                    releases.extend(schedule_release(held, &before.wire, None));
                }
                if step.starts_at_fault {
                    before.wire.wait_for_fault().await;
                } else {
                    before.wire.wait_for_calls(step.start).await;
                }
            }
            self.world.read_streams();
            let Some(resolved) = self.resolve(step.action).await else {
                continue;
            };
            let Resolved {
                kind,
                job,
                on_success,
            } = resolved;
            let faults = step.faults.clone();
            let started_now = self
                .history
                .start(&self.world, kind, job, faults, step.by_name);
            let running = started_now.await;
            schedule_outage_end(step, &running.wire);
            if let Some((before, _, held)) = started.last() {
                releases.extend(schedule_release(held, &before.wire, Some(&running.wire)));
            }
            started.push((running, on_success, step));
        }
        if let Some((last, _, held)) = started.last() {
            releases.extend(schedule_release(held, &last.wire, None));
        }
        for (running, on_success, _) in started {
            let outcome = self.history.finish(&self.world, running).await;
            if outcome.succeeded() {
                self.after_success(on_success);
            }
        }
        for release in releases {
            release.await.unwrap();
        }
        self.world.read_streams();
    }

    fn after_success(&mut self, on_success: OnSuccess) {
        let world = &mut self.world;
        match on_success {
            OnSuccess::Nothing => {}
            OnSuccess::Handled(records) => {
                world.records.retain(|record| !records.contains(record));
                let now = world.elapsed;
                let handled = records.into_iter().map(|record| (record, now));
                world.handled.extend(handled);
            }
            OnSuccess::Told(removal) => world.removals[removal].is_told = true,
            OnSuccess::Replayed(capsule) => world.capsules[capsule].is_replayed = true,
        }
    }

    /// Does what takes no operation. Returns the operation otherwise, unless there is nothing to do.
    async fn resolve(&mut self, action: Action) -> Option<Resolved> {
        let (live, deleted) = self.world.credential_ids();
        // Most actions need a credential that is live, or one that is deleted.
        let (wanted, others) = if action.needs_deleted() {
            (deleted, live)
        } else {
            (live, deleted)
        };
        let ids = if wanted.is_empty() { others } else { wanted };
        let id = |credential: usize| ids.get(credential.checked_rem(ids.len())?).cloned();
        let at = |credential| id(credential).map(|id| format!("{CREDENTIALS}/{id}"));
        let none = &Value::Null;
        let job = match action {
            Action::Create { user } => self.create(user),
            Action::Reauthorize { credential, user } => self.reauthorize(&at(credential)?, user),
            Action::Delete { credential } => Job::api("DELETE", &at(credential)?, none),
            Action::Restore { credential } => {
                Job::api("POST", &format!("{}/restore", at(credential)?), none)
            }
            Action::PurgeNow { credential } => Job::PurgeNow(id(credential)?.parse().unwrap()),
            Action::Mint { credential } => Job::mint(&id(credential)?),
            Action::Check { credential } => {
                Job::api("POST", &format!("{}/check", at(credential)?), none)
            }
            Action::KeepAlive => Job::KeepAlive,
            Action::Stream { order } => return self.some_records(order),
            Action::Webhook { number } => return self.some_webhook(number),
            Action::Replay { number } => {
                let capsule = number.checked_rem(self.world.capsules.len())?;
                return Some(self.replay(capsule));
            }
            Action::RemoveApp { user } => {
                self.world.remove_app(user).await;
                return None;
            }
            Action::SetRevocation(wanted) => {
                self.world.set_revocation(wanted).await;
                return None;
            }
            Action::EndRetention { credential } => {
                self.world.end_retention(&id(credential)?);
                return None;
            }
            Action::SweepTtl => {
                self.world.sweep_ttl();
                return None;
            }
        };
        Some(Resolved {
            kind: action.kind(),
            job,
            on_success: OnSuccess::Nothing,
        })
    }

    fn create(&self, user: usize) -> Job {
        let code = self
            .world
            .backend
            .authorization_code(&self.world.users[user]);
        let body = json!({
            "name": "bot",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "authorization_code": code,
            "redirect_uri": REDIRECT_URI,
        });
        Job::api("POST", CREDENTIALS, &body)
    }

    fn reauthorize(&self, path: &str, user: usize) -> Job {
        let code = self
            .world
            .backend
            .authorization_code(&self.world.users[user]);
        let body = json!({ "authorization_code": code, "redirect_uri": REDIRECT_URI });
        Job::api("PATCH", path, &body)
    }

    /// Some records of the stream in any order, also such as were handled before.
    fn some_records(&mut self, order: u64) -> Option<Resolved> {
        let rng = &mut Rng::with_seed(order);
        let World {
            records,
            handled,
            elapsed,
            ..
        } = &mut self.world;
        handled.retain(|(_, at)| elapsed.saturating_sub(*at) < LATEST_REPETITION);
        let handled = handled.iter().map(|(record, _)| record);
        let mut batch: Vec<Value> = Vec::new();
        batch.extend(records.iter().filter(|_| rng.u8(..5) > 0).cloned());
        batch.extend(handled.filter(|_| rng.u8(..4) == 0).cloned());
        rng.shuffle(&mut batch);
        (!batch.is_empty()).then(|| Resolved {
            kind: "stream",
            job: Job::Stream(json!({ "Records": batch })),
            on_success: OnSuccess::Handled(batch),
        })
    }

    fn some_webhook(&self, number: usize) -> Option<Resolved> {
        let removal = number.checked_rem(self.world.removals.len())?;
        Some(Resolved {
            kind: "webhook",
            job: self.world.webhook(removal),
            on_success: OnSuccess::Told(removal),
        })
    }

    fn replay(&self, capsule: usize) -> Resolved {
        Resolved {
            kind: "replay",
            job: Job::Replay(Box::new(self.world.aged_capsule(capsule))),
            on_success: OnSuccess::Replayed(capsule),
        }
    }

    /// Runs an operation without faults, again if it fails, and records its success.
    async fn repeat(&mut self, resolved: impl Fn(&mut Self) -> Option<Resolved>) {
        for _ in 0..MAX_REPETITIONS {
            let Some(Resolved {
                kind,
                job,
                on_success,
            }) = resolved(self)
            else {
                return;
            };
            if self.do_now(kind, job).await.succeeded() {
                self.after_success(on_success);
                return;
            }
        }
        self.judge
            .violation("at rest, the delivery of a record, webhook or capsule fails");
    }

    /// Runs a job without faults, again if it fails. Returns whether it has succeeded.
    pub(crate) async fn repeat_job(&mut self, kind: &'static str, job: Job) -> bool {
        for _ in 0..MAX_REPETITIONS {
            if self.do_now(kind, job.clone()).await.succeeded() {
                return true;
            }
        }
        self.judge.violation(&format!("at rest, a {kind} fails"));
        false
    }

    /// Delivers the webhooks that were not accepted yet.
    pub(crate) async fn deliver_webhooks(&mut self) {
        for removal in 0..self.world.removals.len() {
            if !self.world.removals[removal].is_told {
                self.repeat(|life| life.some_webhook(removal)).await;
            }
        }
    }

    /// Delivers the records that were not handled yet.
    pub(crate) async fn deliver_records(&mut self) {
        self.world.read_streams();
        let order = u64::try_from(self.history.operations.len()).unwrap();
        while !self.world.records.is_empty() {
            let before = self.world.records.len();
            self.repeat(|life| life.some_records(order ^ 1)).await;
            if self.world.records.len() == before {
                let all = self.world.records.clone();
                let job = Job::Stream(json!({ "Records": all }));
                if !self.repeat_job("stream", job).await {
                    return;
                }
                self.after_success(OnSuccess::Handled(all));
            }
        }
    }

    /// Replays the capsules that were not replayed yet.
    pub(crate) async fn replay_capsules(&mut self) {
        self.world.read_streams();
        for capsule in 0..self.world.capsules.len() {
            if !self.world.capsules[capsule].is_replayed {
                self.repeat(|life| Some(life.replay(capsule))).await;
            }
        }
    }
}

/// Lets held calls go on when the `next` operation has come far enough; soon, if there is none. `None` if they arrive
/// late.
fn schedule_release(
    step: &Step,
    wire: &Arc<Wire>,
    next: Option<&Arc<Wire>>,
) -> Option<JoinHandle<()>> {
    let numbered = step.faults.iter().map(|(_, fault)| fault);
    let mut faults = numbered.chain(step.by_name.iter().map(|(_, fault)| fault));
    if faults.any(|fault| *fault == Fault::CrashInFlight) && !step.arrives_soon {
        return None;
    }
    let (wire, next, calls) = (wire.clone(), next.cloned(), step.release);
    Some(tokio::spawn(async move {
        match next {
            Some(next) => next.wait_for_calls(calls).await,
            None => tokio::time::sleep(RELEASE_AFTER).await,
        }
        wire.release();
    }))
}

fn schedule_outage_end(step: &Step, wire: &Arc<Wire>) {
    let mut faults = step.faults.iter();
    if let Some(after) = step.outage_ends
        && faults.any(|(_, fault)| fault.is_outage())
    {
        let wire = wire.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            wire.remove_faults();
        });
    }
}
