//! The operations that ran, and their calls.

use std::sync::Arc;

use crate::fault::Fault;
use crate::lambda::Lambda;
use crate::life::job::{Job, Outcome};
use crate::life::world::World;
use crate::wire::{Call, Wire, next_tick};

/// A credential that was live when an operation began.
#[derive(Clone, Debug)]
pub(crate) struct LiveCredential {
    pub(crate) id: String,
    pub(crate) pair: Option<String>,
}

/// An operation that was started.
pub(crate) struct Running {
    pub(crate) number: usize,
    pub(crate) wire: Arc<Wire>,
    task: tokio::task::JoinHandle<Outcome>,
}

/// An operation, and what it called.
pub(crate) struct Operation {
    pub(crate) kind: &'static str,
    /// The Lambda, while a request may be on its wire.
    lambda: Option<Arc<Lambda>>,
    calls: Vec<Call>,
    pub(crate) has_faults: bool,
    pub(crate) has_outage: bool,
    pub(crate) started_at: u64,
    /// `None` while it runs.
    pub(crate) outcome: Option<Outcome>,
    /// How many records the operation handles, or how many grants keep-alive may look at.
    pub(crate) units: usize,
    /// Recorded for keep-alive only.
    pub(crate) live_at_start: Vec<LiveCredential>,
    pub(crate) revocation_wanted: bool,
}

impl Operation {
    pub(crate) fn calls(&self) -> Vec<Call> {
        match &self.lambda {
            Some(lambda) => lambda.wire.calls(),
            None => self.calls.clone(),
        }
    }

    /// The operation, its outcome and its calls, for a person.
    pub(crate) fn trace(&self) -> String {
        let calls = self.calls();
        let calls: Vec<_> = calls.iter().map(|call| call.operation.as_str()).collect();
        let outcome = self.outcome.unwrap_or_default();
        let end = if outcome.is_killed {
            "killed".to_owned()
        } else {
            outcome.status.to_string()
        };
        format!("{}: {end}, {}", self.kind, calls.join(" "))
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.outcome.is_some_and(|it| it.is_killed)
    }
}

/// All operations of a schedule, in the order of their starts.
#[derive(Default)]
pub(crate) struct History {
    pub(crate) operations: Vec<Operation>,
}

impl History {
    /// Starts a job on a Lambda of its own.
    pub(crate) async fn start(
        &mut self,
        world: &World,
        kind: &'static str,
        job: Job,
        faults: Vec<(usize, Fault)>,
        by_name: Option<(&'static str, Fault)>,
    ) -> Running {
        let (live_at_start, units) = match &job {
            Job::KeepAlive => (world.live_credentials(), world.items("secrets").len()),
            Job::Stream(batch) => (Vec::new(), batch["Records"].as_array().unwrap().len()),
            Job::Http { .. } | Job::PurgeNow(_) | Job::Replay(_) => (Vec::new(), 0),
        };
        let lambda = Arc::new(Box::pin(world.backend.lambda()).await);
        let has_faults = !faults.is_empty() || by_name.is_some();
        let has_outage = faults.iter().any(|(_, fault)| fault.is_outage());
        self.operations.push(Operation {
            kind,
            lambda: Some(lambda.clone()),
            calls: Vec::new(),
            has_faults,
            has_outage,
            started_at: next_tick(),
            outcome: None,
            units,
            live_at_start,
            revocation_wanted: world.revoke_on_delete,
        });
        lambda.wire.reset(faults);
        if let Some((operation, fault)) = by_name {
            lambda.wire.plan_by_name(operation, fault);
        }
        Running {
            number: self.operations.len() - 1,
            wire: lambda.wire.clone(),
            task: tokio::spawn(job.run_until_killed(lambda, world.team.clone())),
        }
    }

    /// Waits until the operation ends.
    pub(crate) async fn finish(&mut self, world: &World, running: Running) -> Outcome {
        let outcome = running.task.await.unwrap();
        let operation = &mut self.operations[running.number];
        operation.outcome = Some(outcome);
        operation.revocation_wanted |= world.revoke_on_delete;
        self.return_idle_lambdas(world);
        outcome
    }

    /// Runs a job without faults.
    pub(crate) async fn run(&mut self, world: &World, kind: &'static str, job: Job) -> Outcome {
        let running = self.start(world, kind, job, Vec::new(), None).await;
        self.finish(world, running).await
    }

    /// Waits until the services have executed every request that is not held.
    pub(crate) async fn settle(&self) {
        for operation in &self.operations {
            if let Some(lambda) = &operation.lambda {
                lambda.wire.settle().await;
            }
        }
    }

    /// Lets the held requests of ended operations arrive, and removes all faults.
    pub(crate) async fn release_late_requests(&mut self, world: &World) {
        for operation in &self.operations {
            if let (Some(lambda), Some(_)) = (&operation.lambda, operation.outcome) {
                lambda.wire.remove_faults();
                lambda.wire.release_and_wait().await;
            }
        }
        self.return_idle_lambdas(world);
    }

    fn return_idle_lambdas(&mut self, world: &World) {
        for operation in &mut self.operations {
            let is_idle = |lambda: &Arc<Lambda>| lambda.wire.is_idle();
            if operation.outcome.is_none() || !operation.lambda.as_ref().is_some_and(is_idle) {
                continue;
            }
            if let Some(lambda) = operation.lambda.take() {
                operation.calls = lambda.wire.calls();
                // The sockets of a killed process may hold leftovers that would disturb another operation.
                if let (Some(lambda), false) = (Arc::into_inner(lambda), operation.is_killed()) {
                    world.backend.give_back(lambda);
                }
            }
        }
    }
}
