//! The execution of one schedule: the mints that it runs, and everything that the judge must know about them.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use shared::credential::CredentialId;

use crate::backend::{Backend, StoredCredential, Team};
use crate::fault::Fault;
use crate::lambda::{Lambda, MintAnswer, RefreshMethod};
use crate::schedule::INVOCATION_TIME_OUT;
use crate::wire::{Call, Wire, next_tick};

/// Whether the user lets the app act for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserConsent {
    Given,
    /// The user removed the app.
    Withdrawn,
    /// The user removed the app, and authorized it again later.
    GivenAgain,
}

/// A mint that was started.
pub(crate) struct RunningMint {
    number: usize,
    pub(crate) wire: Arc<Wire>,
    task: tokio::task::JoinHandle<MintAnswer>,
}

/// The Lambda of a mint.
enum MintLambda {
    /// A request may still be on the Lambda's wire.
    Busy(Arc<Lambda>),
    /// Nothing is on the Lambda's wire any more. Only the calls of the mint are kept.
    Returned(Vec<Call>),
}

/// The execution of one schedule, with a team of its own.
pub(crate) struct Execution<'a> {
    pub(crate) backend: &'a Backend,
    pub(crate) method: RefreshMethod,
    pub(crate) team: Team,
    pub(crate) credentials: Vec<CredentialId>,
    /// One for each mint, in the order of the starts.
    lambdas: Vec<MintLambda>,
    /// The answers of the finished mints, by the number of the mint.
    pub(crate) answers: BTreeMap<usize, MintAnswer>,
    pub(crate) consent: UserConsent,
    /// The refresh tokens that authorizations brought. They did not come through a wire.
    pub(crate) authorized_tokens: HashSet<String>,
    /// When capsules were replayed, and the refresh token in each.
    pub(crate) replays: Vec<(u64, String)>,
    /// From when to when leases were made to expire.
    pub(crate) lease_expiries: Vec<Range<u64>>,
}

impl<'a> Execution<'a> {
    pub(crate) async fn new(backend: &'a Backend, method: RefreshMethod) -> Self {
        Self {
            backend,
            method,
            team: backend.create_team().await,
            credentials: Vec::new(),
            lambdas: Vec::new(),
            answers: BTreeMap::new(),
            consent: UserConsent::Given,
            authorized_tokens: HashSet::new(),
            replays: Vec::new(),
            lease_expiries: Vec::new(),
        }
    }

    /// Creates a credential. All credentials of one execution share the Zoom user.
    pub(crate) async fn create_credential(&mut self) -> CredentialId {
        let id = self.backend.create_credential(&self.team).await;
        self.credentials.push(id);
        self.record_authorized_tokens().await;
        id
    }

    /// The last credential for `sibling`, else the first. Both are the same if there is only one.
    pub(crate) fn credential(&self, sibling: bool) -> CredentialId {
        let index = if sibling {
            self.credentials.len() - 1
        } else {
            0
        };
        self.credentials[index]
    }

    /// Records the refresh tokens that are stored now. Call this after an authorization.
    pub(crate) async fn record_authorized_tokens(&mut self) {
        let stored = self.stored_tokens().await;
        self.authorized_tokens.extend(stored);
    }

    /// Makes all access tokens look expired.
    pub(crate) async fn expire_access_tokens(&mut self) {
        for id in &self.credentials {
            self.backend.expire_access_token(&self.team, *id).await;
        }
    }

    /// Starts a mint on its own Lambda.
    pub(crate) async fn start_mint(
        &mut self,
        id: CredentialId,
        faults: Vec<(usize, Fault)>,
        time_out: Duration,
    ) -> RunningMint {
        let lambda = Arc::new(Box::pin(self.backend.lambda()).await);
        lambda.wire.reset(faults);
        self.lambdas.push(MintLambda::Busy(lambda.clone()));
        let wire = lambda.wire.clone();
        let mint = lambda.mint_until_killed(self.method, self.team.clone(), id, time_out);
        RunningMint {
            number: self.lambdas.len() - 1,
            wire,
            task: tokio::spawn(mint),
        }
    }

    /// Waits until the mint ends.
    pub(crate) async fn finish_mint(&mut self, mint: RunningMint) -> MintAnswer {
        let answer = mint.task.await.unwrap();
        self.answers.insert(mint.number, answer.clone());
        if mint.wire.is_idle() {
            self.return_lambda(mint.number);
        }
        answer
    }

    fn return_lambda(&mut self, number: usize) {
        let lambda = &mut self.lambdas[number];
        let MintLambda::Busy(busy) = lambda else {
            return;
        };
        let calls = MintLambda::Returned(busy.wire.calls());
        let returned = std::mem::replace(lambda, calls);
        // The sockets of a killed mint may hold leftovers that would disturb another schedule.
        let killed = self.answers.get(&number).is_none_or(|it| it.killed);
        if let (MintLambda::Busy(idle), false) = (returned, killed) {
            self.backend.give_back(Arc::into_inner(idle).unwrap());
        }
    }

    /// Returns all Lambdas to the backend.
    pub(crate) fn return_lambdas(&mut self) {
        for number in 0..self.lambdas.len() {
            self.return_lambda(number);
        }
    }

    /// The wires that may hold requests or answers.
    pub(crate) fn busy_wires(&self) -> Vec<Arc<Wire>> {
        let wires = self.lambdas.iter().filter_map(|lambda| match lambda {
            MintLambda::Busy(lambda) => Some(lambda.wire.clone()),
            MintLambda::Returned(_) => None,
        });
        wires.collect()
    }

    /// Runs a mint without faults.
    pub(crate) async fn mint(&mut self, id: CredentialId) -> MintAnswer {
        let mint = self.start_mint(id, Vec::new(), INVOCATION_TIME_OUT).await;
        self.finish_mint(mint).await
    }

    /// Removes all faults and expires all leases. Held requests and answers stay held.
    pub(crate) async fn heal(&mut self) {
        for wire in self.busy_wires() {
            wire.remove_faults();
        }
        self.expire_leases().await;
    }

    /// Makes all leases look expired, even if their holders still run. A lease lasts longer than an access token is
    /// new.
    pub(crate) async fn expire_leases(&mut self) {
        let began = next_tick();
        for id in &self.credentials {
            self.backend.age_access_token(&self.team, *id).await;
            self.backend.expire_leases(&self.team, *id).await;
        }
        self.lease_expiries.push(began..next_tick());
    }

    /// Replays the logged capsules, as an operator does.
    pub(crate) async fn replay_capsules(&mut self) {
        let replayed = self.backend.replay_capsules(&self.team).await;
        self.replays.extend(replayed);
    }

    /// The tick at which the mint was killed. `None` if it ended by itself or still runs.
    pub(crate) fn killed_at(&self, mint: usize) -> Option<u64> {
        let answer = self.answers.get(&mint).filter(|answer| answer.killed);
        answer.map(|answer| answer.ended_at)
    }

    /// The calls of each mint, in the order of the starts.
    pub(crate) fn calls(&self) -> Vec<Vec<Call>> {
        let calls = self.lambdas.iter().map(|lambda| match lambda {
            MintLambda::Returned(calls) => calls.clone(),
            MintLambda::Busy(busy) => busy.wire.calls(),
        });
        calls.collect()
    }

    /// What the tables hold about each credential.
    pub(crate) async fn stored_credentials(&self) -> Vec<StoredCredential> {
        let mut stored = Vec::new();
        for id in &self.credentials {
            stored.push(self.backend.stored(&self.team, *id).await);
        }
        stored
    }

    /// The refresh tokens on all grant rows of the team, stashed ones included.
    pub(crate) async fn stored_tokens(&self) -> HashSet<String> {
        let stored = self.stored_credentials().await;
        let tokens = stored.into_iter().flat_map(|it| it.refresh_tokens);
        tokens.collect()
    }
}
