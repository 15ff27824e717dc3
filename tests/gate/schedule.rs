//! One schedule: faults at given calls, mints around them; then all is healed, and what is left is judged by what
//! Zoom issued and what the tables hold.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use local::zoom::Mood;
use shared::credential::CredentialId;
use uuid::Uuid;

use crate::earth::{Earth, Seen, Team};
use crate::lambda::{Answer, Lambda, Manner};
use crate::tally::Tally;
use crate::wire::{Call, Fault, TOKEN, Wire};

/// A function's time-out, as the template has it.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);
/// The same where DynamoDB is gone: the least in which a refresh is begun, and a little, so that its end comes soon.
pub(crate) const SHORT: Duration = Duration::from_secs(43);

/// A fault at one call of one mint, with others beside it.
#[derive(Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) manner: Manner,
    /// How many mint: one meets the fault, the others begin when it does.
    pub(crate) callers: usize,
    /// Which of its calls, counted from 1.
    pub(crate) call: usize,
    pub(crate) fault: Fault,
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            manner,
            callers,
            call,
            fault,
        } = self;
        write!(f, "{manner:?}, {callers} callers, {fault:?} at {call}")
    }
}

impl Schedule {
    /// Runs it, and judges.
    pub(crate) async fn run(self, earth: &Earth) -> Tally {
        let mut stage = Stage::new(earth, self.manner).await;
        let id = stage.create().await;
        stage.expire().await;

        let limit = if matches!(self.fault, Fault::Outage | Fault::Stall) {
            SHORT
        } else {
            LIMIT
        };
        let first = stage.begin(id, vec![(self.call, self.fault)], limit).await;
        let wire = first.wire.clone();
        wire.struck().await;
        let mut others = Vec::new();
        for _ in 1..self.callers {
            others.push(stage.begin(id, Vec::new(), LIMIT).await);
        }
        for other in others {
            stage.end(other).await;
        }
        if self.fault == Fault::CrashLate {
            // The lease has ended, another has taken over; only then does what was sent arrive.
            stage.late = true;
            stage.end(first).await;
            stage.heal().await;
            stage.mint(id).await;
            wire.open().await;
        } else if self.fault == Fault::Oversleep {
            // The same, and whoever sent it is still there.
            stage.late = true;
            stage.overtaken = true;
            stage.heal().await;
            stage.mint(id).await;
            wire.open().await;
            stage.end(first).await;
            stage.heal().await;
        } else {
            wire.open().await;
            stage.end(first).await;
            stage.heal().await;
            stage.replay().await;
        }
        stage.judge(format!("{self:?}")).await
    }
}

/// Whether the app may act for the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consent {
    /// It may.
    Given,
    /// They removed it.
    TakenBack,
    /// They removed it, and authorized it since.
    GivenAgain,
}

/// A mint under way.
pub(crate) struct Mint {
    number: usize,
    pub(crate) wire: Arc<Wire>,
    task: tokio::task::JoinHandle<Answer>,
}

/// The team whose credentials a schedule is about, and everything that it did.
pub(crate) struct Stage<'a> {
    earth: &'a Earth,
    manner: Manner,
    pub(crate) team: Team,
    pub(crate) credentials: Vec<CredentialId>,
    /// The Lambda of each mint; or what it called, where that is all.
    lambdas: Vec<Result<Vec<Call>, Arc<Lambda>>>,
    /// How mints ended, by their places there.
    answers: BTreeMap<usize, Answer>,
    /// What the user thinks of it.
    pub(crate) consent: Consent,
    /// Whether something reached its service after its sender was gone.
    pub(crate) late: bool,
    /// The refresh tokens that authorizing left.
    issued: HashSet<String>,
    capsules: usize,
    /// Whether others may have sent a token again whose successor was still on its way to its row.
    pub(crate) overtaken: bool,
}

impl<'a> Stage<'a> {
    pub(crate) async fn new(earth: &'a Earth, manner: Manner) -> Self {
        Self {
            earth,
            manner,
            team: earth.team().await,
            credentials: Vec::new(),
            lambdas: Vec::new(),
            answers: BTreeMap::new(),
            consent: Consent::Given,
            late: false,
            issued: HashSet::new(),
            capsules: 0,
            overtaken: false,
        }
    }

    /// Another credential of the same Zoom user.
    pub(crate) async fn create(&mut self) -> CredentialId {
        let id = self.earth.create(&self.team).await;
        self.credentials.push(id);
        self.note_issued().await;
        id
    }

    /// The first credential, or where there is one its sibling.
    pub(crate) fn credential(&self, sibling: bool) -> CredentialId {
        self.credentials[if sibling {
            self.credentials.len() - 1
        } else {
            0
        }]
    }

    /// Remembers the refresh tokens that are stored now: they came without a wire.
    pub(crate) async fn note_issued(&mut self) {
        let stored = self.stored().await;
        self.issued.extend(stored);
    }

    /// Time passes: the access tokens have ended.
    pub(crate) async fn expire(&mut self) {
        for id in &self.credentials {
            self.earth.expire(&self.team, *id).await;
        }
    }

    /// A mint begins, on a Lambda of its own, and meets its faults.
    pub(crate) async fn begin(
        &mut self,
        id: CredentialId,
        faults: Vec<(usize, Fault)>,
        limit: Duration,
    ) -> Mint {
        let lambda = Arc::new(Box::pin(self.earth.lambda()).await);
        lambda.wire.reset(faults);
        self.lambdas.push(Err(lambda.clone()));
        Mint {
            number: self.lambdas.len() - 1,
            wire: lambda.wire.clone(),
            task: tokio::spawn(lambda.mint_or_die(self.manner, self.team.clone(), id, limit)),
        }
    }

    /// Waits for its end.
    pub(crate) async fn end(&mut self, mint: Mint) -> Answer {
        let answer = mint.task.await.unwrap();
        self.answers.insert(mint.number, answer.clone());
        // Nothing of it is under way any more: it can do another's work.
        if mint.wire.is_quiet() {
            self.retire(mint.number);
        }
        answer
    }

    fn retire(&mut self, number: usize) {
        let lambda = &mut self.lambdas[number];
        let Err(busy) = lambda else { return };
        let calls = busy.wire.calls();
        // What the dead have left in their sockets must not come up in another's schedule.
        let crashed = self.answers.get(&number).is_none_or(|it| it.crashed);
        if let (Err(idle), false) = (std::mem::replace(lambda, Ok(calls)), crashed) {
            self.earth.give_back(Arc::into_inner(idle).unwrap());
        }
    }

    /// The wires on which something may be held.
    pub(crate) fn busy(&self) -> impl Iterator<Item = Arc<Wire>> {
        let busy = self.lambdas.iter().filter_map(|it| it.as_ref().err());
        busy.map(|lambda| lambda.wire.clone())
    }

    /// A mint that nothing disturbs.
    pub(crate) async fn mint(&mut self, id: CredentialId) -> Answer {
        let mint = self.begin(id, Vec::new(), LIMIT).await;
        self.end(mint).await
    }

    /// Every fault ends, and time passes until no invocation can hold anything. What is held stays held.
    pub(crate) async fn heal(&mut self) {
        for wire in self.busy() {
            wire.heal();
        }
        self.outlast().await;
    }

    /// Time passes until no invocation can hold anything, though some may sleep.
    pub(crate) async fn outlast(&mut self) {
        for id in &self.credentials {
            self.earth.outlast(&self.team, *id).await;
        }
    }

    /// The operator replays the capsules.
    pub(crate) async fn replay(&mut self) {
        self.capsules += self.earth.replay(&self.team).await;
    }

    /// The same, when others have minted meanwhile and may have spent a token again.
    pub(crate) async fn replay_late(&mut self) {
        let replayed = self.earth.replay(&self.team).await;
        self.capsules += replayed;
        self.overtaken |= replayed > 0;
    }

    /// When the mint of a Lambda was killed, if it was.
    fn crashed(&self, lambda: usize) -> Option<u64> {
        let answer = self.answers.get(&lambda).filter(|answer| answer.crashed);
        answer.map(|answer| answer.ended)
    }

    /// What every Lambda called.
    fn calls(&self) -> Vec<Vec<Call>> {
        let calls = self.lambdas.iter().map(|lambda| match lambda {
            Ok(calls) => calls.clone(),
            Err(busy) => busy.wire.calls(),
        });
        calls.collect()
    }

    async fn seen(&self) -> Vec<Seen> {
        let mut seen = Vec::new();
        for id in &self.credentials {
            seen.push(self.earth.see(&self.team, *id).await);
        }
        seen
    }

    /// The refresh tokens on all rows of the team's grants.
    async fn stored(&self) -> HashSet<String> {
        let seen = self.seen().await;
        let tokens = seen.into_iter().flat_map(|seen| seen.refresh_tokens);
        tokens.collect()
    }

    /// Mints once more from everything, as it is and with another refresh, and says what was lost and why.
    pub(crate) async fn judge(mut self, name: String) -> Tally {
        let mut tally = Tally::new(name);
        self.note_transient(&mut tally).await;
        let mut last = Vec::new();
        for id in self.credentials.clone() {
            last.push(self.mint(id).await);
            self.earth.expire(&self.team, id).await;
            last.push(self.mint(id).await);
        }
        self.note_outcome(&mut tally, &last).await;
        self.note_calls(&mut tally);
        self.note_answers(&mut tally);
        tally.capsules += self.capsules;
        tally.calls = self.calls()[0].len();
        for number in 0..self.lambdas.len() {
            self.retire(number);
        }
        tally
    }

    /// Before anything mends it: a state that changed although nothing was lost (I7), and a pair that is nowhere.
    async fn note_transient(&mut self, tally: &mut Tally) {
        let (stored, fate) = (self.stored().await, self.fate());
        let live = self.live();
        for seen in self.seen().await {
            // A grant that the dead revived has nobody yet to tell its credentials: the next mint does (I8).
            let untold = self.late && !is_dead(&seen);
            let declared = is_dead(&seen) || (seen.state == "invalid" && !untold);
            let lives = live.iter().any(|token| seen.refresh_tokens.contains(token));
            if declared && lives {
                tally.fault("a live grant is declared dead", &mut |it| {
                    it.wrongly_invalidated += 1;
                });
            }
            // What Zoom replaced or the user took back is gone for good.
            let zooms = self.zooms(&seen.refresh_tokens[0]);
            let gone = self.consent != Consent::Given || zooms != self.newest();
            if declared && !lives && !gone && !fate.is_irreducible(zooms) {
                tally.fault("a state changed and nothing was lost", &mut |it| {
                    it.wrongly_invalidated += 1;
                });
            }
        }
        for token in &live {
            if fate.delivered.contains(token) && !stored.contains(token) {
                tally.fault("a pair is dropped", &mut |it| it.dropped += 1);
            }
        }
    }

    async fn note_outcome(&mut self, tally: &mut Tally, last: &[Answer]) {
        let fate = self.fate();
        let works = last.iter().all(|answer| answer.token.is_some());
        if !works {
            let reasons: Vec<_> = last
                .iter()
                .map(|answer| (answer.status, answer.details.clone()))
                .collect();
            let honest = last
                .iter()
                .any(|answer| answer.details.as_deref() == Some("refresh_outcome_lost"));
            if last
                .iter()
                .any(|answer| answer.status != 409 && answer.token.is_none())
            {
                let what = format!("healed, and yet {reasons:?}");
                tally.fault(&what, &mut |it| it.lost_elsewhere += 1);
            } else if self.consent == Consent::TakenBack {
                tally.revoked += 1;
            } else if fate.is_irreducible(self.newest()) {
                tally.lost_irreducibly += 1;
                if !honest && !self.late {
                    tally.mislabelled += 1;
                }
            } else {
                let what = format!("lost, and it need not have been: {reasons:?}");
                tally.fault(&what, &mut |it| it.lost_elsewhere += 1);
            }
        }
        let live = self.live();
        for seen in self.seen().await {
            let lives = live.iter().any(|token| seen.refresh_tokens.contains(token));
            let declared = is_dead(&seen);
            if declared && lives {
                tally.fault("a live grant stays declared dead", &mut |it| {
                    it.wrongly_invalidated += 1;
                });
            }
            if self.manner == Manner::Vault && declared != (seen.state == "invalid") {
                tally.fault("I8: credential and grant differ", &mut |it| it.broken += 1);
            }
        }
    }

    /// The refresh tokens that Zoom takes now.
    fn live(&self) -> HashSet<String> {
        let calls = self.calls();
        let answers = calls.iter().flatten().filter_map(issued);
        let all = answers.chain(self.issued.iter().cloned());
        all.filter(|token| self.earth.zoom.is_live_refresh_token(token))
            .collect()
    }

    /// Zoom's grant that a token is of.
    fn zooms(&self, token: &str) -> Option<Uuid> {
        self.earth.zoom.grant_of(token)
    }

    /// Zoom's newest grant of the user: the others are dead.
    fn newest(&self) -> Option<Uuid> {
        let grants = self.earth.zoom.grants().into_iter();
        let mut grants = grants.filter(|grant| grant.user_id == self.team.user);
        grants.next_back().map(|grant| grant.id)
    }

    /// What became of the pairs that Zoom issued.
    fn fate(&self) -> Fate {
        let mut fate = Fate {
            delivered: self.issued.clone(),
            irreducible: HashSet::new(),
        };
        if self.overtaken && self.earth.mood == Mood::ReuseRevokesFamily {
            fate.irreducible.extend(self.newest());
        }
        for (lambda, calls) in self.calls().iter().enumerate() {
            let crashed = self.crashed(lambda);
            let ended = self.answers.get(&lambda).map_or(u64::MAX, |it| it.ended);
            for (index, call) in calls.iter().enumerate() {
                if call.operation != TOKEN {
                    continue;
                }
                let Some(token) = issued(call) else {
                    // Arrived after its sender's end, it may yet have done harm: reuse can end the grant.
                    if call
                        .acted
                        .as_ref()
                        .is_some_and(|(acted, ..)| *acted > ended)
                    {
                        fate.irreducible.extend(self.zooms(&sent(call)));
                    }
                    continue;
                };
                let written = calls.iter().skip(index + 1).filter(|call| call.succeeded());
                let written = written
                    .filter(|call| call.is_commit())
                    .filter_map(|call| call.acted.as_ref().map(|(at, ..)| *at))
                    .any(|at| crashed.is_none_or(|crashed| at < crashed));
                if call.delivered.is_some() && (crashed.is_none() || written) {
                    fate.delivered.insert(token);
                } else {
                    fate.irreducible.extend(self.zooms(&token));
                }
            }
        }
        fate
    }

    /// I1, I2 and I6, and how often tokens were sent.
    fn note_calls(&self, tally: &mut Tally) {
        let all = self.calls();
        let mut sent: BTreeMap<&[u8], Vec<(u64, u64)>> = BTreeMap::new();
        for (lambda, calls) in all.iter().enumerate() {
            for (index, call) in calls.iter().enumerate() {
                if call.operation != TOKEN {
                    continue;
                }
                tally.posts += 1;
                if let Some(answer) = self.answers.get(&lambda).filter(|answer| !answer.crashed) {
                    let acted = call.acted.as_ref().map(|(at, ..)| *at);
                    // Given up, it may be sent again by whoever comes next.
                    let ended = call.delivered.or(acted).unwrap_or(0).min(answer.ended);
                    let sent = sent.entry(&call.request).or_default();
                    sent.push((call.began, ended));
                }
                // What began before Zoom answered was under way already.
                let Some(answered) = call.delivered.filter(|_| issued(call).is_some()) else {
                    continue;
                };
                let mut later = calls.iter().skip(index + 1);
                let next = later.find(|later| later.began > answered);
                if self.manner == Manner::Vault && next.is_some_and(|next| !next.is_commit()) {
                    let what = format!("I6: between answer and commit: {next:?}");
                    tally.fault(&what, &mut |it| it.broken += 1);
                }
            }
        }
        for sendings in sent.values() {
            let overlap = sendings.iter().any(|(began, ended)| {
                let meanwhile = |(other, _): &(u64, u64)| began < other && other < ended;
                sendings.iter().any(meanwhile)
            });
            if overlap && !self.overtaken {
                tally.fault("I2: one token sent twice at once", &mut |it| {
                    it.overlaps += 1;
                });
            }
        }
        let user = &self.team.user;
        let grants = self.earth.zoom.grants().into_iter();
        for grant in grants.filter(|grant| grant.user_id == *user) {
            tally.spent_posts += usize::try_from(grant.spent_posts).unwrap();
        }
    }

    fn note_answers(&self, tally: &mut Tally) {
        let mut tokens = HashSet::new();
        for answer in self.answers.values() {
            tally.longest = tally.longest.max(answer.took);
            if answer.overran {
                tally.fault("an invocation did not end in time", &mut |it| {
                    it.broken += 1
                });
            }
            if let Some(token) = &answer.token
                && !tokens.insert(token)
            {
                tally.fault("a token is handed out twice", &mut |it| it.broken += 1);
            }
        }
        tally.tokens += tokens.len();
    }
}

/// What became of the pairs that Zoom issued.
struct Fate {
    /// Refresh tokens that came to a process that lived on, or that wrote them before it died.
    delivered: HashSet<String>,
    /// Zoom's grants of which a pair came to nobody.
    irreducible: HashSet<Uuid>,
}

impl Fate {
    fn is_irreducible(&self, grant: Option<Uuid>) -> bool {
        grant.is_some_and(|grant| self.irreducible.contains(&grant))
    }
}

/// The refresh token that a refresh brings.
fn sent(call: &Call) -> String {
    let mut fields = url::form_urlencoded::parse(&call.request);
    let token = fields.find(|(name, _)| name == "refresh_token");
    token.unwrap().1.into_owned()
}

/// The refresh token that Zoom's answer holds.
fn issued(call: &Call) -> Option<String> {
    if call.operation != TOKEN || !call.succeeded() {
        return None;
    }
    let (_, _, body) = call.acted.as_ref()?;
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    body["refresh_token"].as_str().map(str::to_owned)
}

fn is_dead(seen: &Seen) -> bool {
    seen.grant.state != shared::stores::GrantState::Active
}
