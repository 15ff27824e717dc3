//! One schedule: faults at given calls, mints around them; then all is healed, and what is left is judged by what
//! Zoom issued and what the tables hold.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use shared::credential::CredentialId;

use crate::earth::{Earth, Seen, Team};
use crate::lambda::{Answer, Lambda, Manner};
use crate::tally::Tally;
use crate::wire::{Call, Fault, TOKEN};

/// A function's time-out, as the template has it.
const LIMIT: Duration = Duration::from_secs(90);
/// The same where DynamoDB is gone: the least in which a refresh is begun, and a little, so that its end comes soon.
const SHORT: Duration = Duration::from_secs(43);

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

        let limit = if self.fault == Fault::Outage {
            SHORT
        } else {
            LIMIT
        };
        let first = stage.begin(id, vec![(self.call, self.fault)], limit).await;
        let wire = stage.lambdas[0].wire.clone();
        let mut first = first;
        let ended = tokio::select! {
            () = wire.struck() => None,
            answer = &mut first => Some(answer.unwrap()),
        };
        let mut others = Vec::new();
        for _ in 1..self.callers {
            others.push(stage.begin(id, Vec::new(), LIMIT).await);
        }
        for other in others {
            stage.answers.push(other.await.unwrap());
        }
        let late = self.fault == Fault::CrashLate;
        stage.late = late;
        if !late {
            wire.open().await;
        }
        let ended = match ended {
            Some(answer) => answer,
            None => first.await.unwrap(),
        };
        stage.ended.push((0, ended.crashed));
        stage.answers.push(ended);
        stage.heal().await;
        if late {
            // The lease has ended, another has taken over; only then does what was sent arrive.
            let takeover = stage.mint(id).await;
            stage.answers.push(takeover);
            wire.open().await;
        }
        stage.judge(format!("{self:?}")).await
    }
}

/// The team whose credentials a schedule is about, and everything that it did.
pub(crate) struct Stage<'a> {
    earth: &'a Earth,
    manner: Manner,
    pub(crate) team: Team,
    pub(crate) credentials: Vec<CredentialId>,
    pub(crate) lambdas: Vec<Arc<Lambda>>,
    pub(crate) answers: Vec<Answer>,
    /// Which Lambda's mint has ended, and when, where it was killed.
    ended: Vec<(usize, Option<u64>)>,
    /// Whether the user removed the app, and has not authorized since.
    pub(crate) revoked: bool,
    /// Whether something reached its service after its sender was gone.
    pub(crate) late: bool,
    /// The refresh tokens that authorizing left.
    issued: HashSet<String>,
    capsules: usize,
}

impl<'a> Stage<'a> {
    pub(crate) async fn new(earth: &'a Earth, manner: Manner) -> Self {
        Self {
            earth,
            manner,
            team: earth.team().await,
            credentials: Vec::new(),
            lambdas: Vec::new(),
            answers: Vec::new(),
            ended: Vec::new(),
            revoked: false,
            late: false,
            issued: HashSet::new(),
            capsules: 0,
        }
    }

    /// Another credential of the same Zoom user.
    pub(crate) async fn create(&mut self) -> CredentialId {
        let id = self.earth.create(&self.team).await;
        self.credentials.push(id);
        self.note_issued().await;
        id
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
    ) -> tokio::task::JoinHandle<Answer> {
        let lambda = Arc::new(self.earth.lambda().await);
        lambda.wire.reset(faults);
        self.lambdas.push(lambda.clone());
        tokio::spawn(lambda.mint_or_die(self.manner, self.team.clone(), id, limit))
    }

    /// A mint that nothing disturbs.
    pub(crate) async fn mint(&mut self, id: CredentialId) -> Answer {
        self.begin(id, Vec::new(), LIMIT).await.await.unwrap()
    }

    /// Every fault ends, time passes until no invocation can hold anything, and the operator replays capsules.
    pub(crate) async fn heal(&mut self) {
        for lambda in &self.lambdas {
            lambda.wire.heal();
        }
        for id in &self.credentials {
            self.earth.outlast(&self.team, *id).await;
        }
        self.capsules += self.earth.replay(&self.team).await;
    }

    fn crashed(&self, lambda: usize) -> Option<u64> {
        let ended = self.ended.iter().find(|(at, _)| *at == lambda);
        ended.and_then(|(_, crashed)| *crashed)
    }

    /// What every Lambda called.
    fn calls(&self) -> Vec<Vec<Call>> {
        let calls = self.lambdas.iter().map(|lambda| lambda.wire.calls());
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
        self.answers.extend(last);
        self.note_calls(&mut tally);
        self.note_answers(&mut tally);
        tally.capsules += self.capsules;
        tally.calls = self.lambdas[0].wire.calls().len();
        let Self { earth, lambdas, .. } = self;
        for lambda in lambdas {
            lambda.wire.reset(Vec::new());
            // One that is still held by a task is left to it.
            if let Ok(lambda) = Arc::try_unwrap(lambda) {
                earth.give_back(lambda);
            }
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
            if declared && !lives && !self.revoked && !fate.irreducible {
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
            } else if self.revoked {
                tally.revoked += 1;
            } else if fate.irreducible {
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

    /// What became of the pairs that Zoom issued.
    fn fate(&self) -> Fate {
        let mut fate = Fate {
            delivered: self.issued.clone(),
            irreducible: false,
        };
        for (lambda, calls) in self.calls().iter().enumerate() {
            let crashed = self.crashed(lambda);
            for (index, call) in calls.iter().enumerate() {
                if call.operation != TOKEN {
                    continue;
                }
                let Some(token) = issued(call) else {
                    // Sent by the dead, it may yet have done harm: a spent token's reuse can revoke the family.
                    if let (Some(crashed), Some((acted, ..))) = (crashed, &call.acted) {
                        fate.irreducible |= *acted > crashed;
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
                    fate.irreducible = true;
                }
            }
        }
        fate
    }

    /// I1, I2 and I6, and how often tokens were sent.
    fn note_calls(&self, tally: &mut Tally) {
        let all = self.calls();
        let mut sent: BTreeMap<&[u8], Vec<&Call>> = BTreeMap::new();
        for (lambda, calls) in all.iter().enumerate() {
            for (index, call) in calls.iter().enumerate() {
                if call.operation != TOKEN {
                    continue;
                }
                tally.posts += 1;
                if self.crashed(lambda).is_none() {
                    sent.entry(&call.request).or_default().push(call);
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
        for calls in sent.values() {
            let overlap = calls.iter().any(|a| {
                calls.iter().any(|b| {
                    let ended = a.delivered.or(a.acted.as_ref().map(|(at, ..)| *at));
                    a.began < b.began && ended.is_some_and(|ended| b.began < ended)
                })
            });
            if overlap {
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
        for answer in &self.answers {
            tally.longest = tally.longest.max(answer.took);
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
    /// Whether a pair was issued that came to nobody.
    irreducible: bool,
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
