//! Schedules by chance: several mints of one or two credentials, several faults, a crash here and there, a user who
//! removes the app or authorizes again in the middle. A seed makes the plan; which call of two that are under way at
//! once comes first is the operating system's choice.

use std::sync::Arc;

use fastrand::Rng;
use local::zoom::Mood;

use crate::earth::{CLIENT_ID, Earth, Team};
use crate::lambda::Manner;
use crate::schedule::{Consent, LIMIT, Mint, SHORT, Stage};
use crate::tally::Tally;
use crate::wire::Fault;
use crate::{MOODS, QUICK};

/// As many calls as a mint makes, and a few that are made again.
const CALLS: usize = 16;

/// What happens, as a seed has it.
#[derive(Debug)]
pub(crate) struct Plan {
    seed: u64,
    pub(crate) mood: Mood,
    /// Whether a second credential shares the user.
    siblings: bool,
    rounds: [Round; 2],
    /// Requests of the dead arrive only after another mint.
    arrives_late: bool,
    /// Capsules are replayed only after another mint.
    replays_late: bool,
}

/// Mints that run at once. After them time passes.
#[derive(Debug)]
struct Round {
    mints: Vec<Planned>,
    user: Vec<(When, Act)>,
    /// Those who mint oversleep: their leases have ended then, and a mint more begins.
    oversleeps: Option<When>,
}

#[derive(Debug)]
struct Planned {
    sibling: bool,
    /// It begins then; the first at once.
    begins: When,
    faults: Vec<(usize, Fault)>,
    /// What is held is let go then.
    releases: When,
}

/// When a mint has made so many calls or ended.
#[derive(Clone, Copy, Debug)]
struct When {
    mint: usize,
    calls: usize,
}

/// What a user does.
#[derive(Clone, Copy, Debug)]
enum Act {
    RemoveApp,
    Reauthorize { sibling: bool },
}

impl Plan {
    /// The plan of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        Self {
            seed,
            mood: MOODS[rng.usize(..MOODS.len())],
            siblings: rng.u8(..3) == 0,
            rounds: [Round::by(rng), Round::by(rng)],
            arrives_late: rng.bool(),
            replays_late: rng.u8(..4) == 0,
        }
    }

    /// Runs it, and judges.
    pub(crate) async fn run(self, earth: Arc<Earth>) -> Tally {
        let mut stage = Stage::new(&earth, Manner::Vault).await;
        stage.late = self.crosses();
        stage.create().await;
        if self.siblings {
            stage.create().await;
        }
        for round in &self.rounds {
            stage.expire().await;
            self.play(round, &earth, &mut stage).await;
            stage.heal().await;
            if !self.replays_late {
                stage.replay().await;
            }
        }
        let id = stage.credentials[0];
        if self.arrives_late {
            stage.mint(id).await;
        }
        let busy: Vec<_> = stage.busy().collect();
        for wire in busy {
            wire.open().await;
        }
        if self.replays_late {
            stage.mint(id).await;
            stage.replay_late().await;
        }
        stage
            .judge(format!("GATE_SEED={}: {self:?}", self.seed))
            .await
    }

    /// Whether anything may reach its service when others have gone on: then why a grant was lost cannot always be
    /// told, and a credential may hear of its grant only by the next mint.
    fn crosses(&self) -> bool {
        let mints = self.rounds.iter().flat_map(|round| &round.mints);
        let mut faults = mints.flat_map(|mint| &mint.faults);
        self.replays_late
            || self.rounds.iter().any(|round| round.oversleeps.is_some())
            || faults.any(|(_, fault)| matches!(fault, Fault::CrashLate | Fault::HoldBefore))
    }

    async fn play(&self, round: &Round, earth: &Arc<Earth>, stage: &mut Stage<'_>) {
        let mut running: Vec<Mint> = Vec::new();
        for mint in &round.mints {
            if let Some(other) = running.get(mint.begins.mint) {
                other.wire.reached(mint.begins.calls).await;
            }
            let mut faults = mint.faults.iter();
            let outage = faults.any(|(_, fault)| matches!(fault, Fault::Outage | Fault::Stall));
            let limit = if outage { SHORT } else { LIMIT };
            let id = stage.credential(mint.sibling);
            running.push(stage.begin(id, mint.faults.clone(), limit).await);
        }

        let wires: Vec<_> = running.iter().map(|mint| mint.wire.clone()).collect();
        for (mint, wire) in round.mints.iter().zip(&wires) {
            let late =
                self.arrives_late && mint.faults.iter().any(|(_, it)| *it == Fault::CrashLate);
            if late {
                continue;
            }
            let (other, calls) = (
                wires[mint.releases.mint % wires.len()].clone(),
                mint.releases.calls,
            );
            let wire = wire.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = other.reached(calls) => {}
                    () = wire.ended() => {}
                }
                wire.release();
            });
        }
        for (when, act) in &round.user {
            wires[when.mint % wires.len()].reached(when.calls).await;
            match act {
                Act::RemoveApp => {
                    earth.zoom.remove_app(CLIENT_ID, &stage.team.user);
                    stage.consent = Consent::TakenBack;
                }
                Act::Reauthorize { sibling } => {
                    let (team, id): (Team, _) = (stage.team.clone(), stage.credential(*sibling));
                    earth.reauthorize(&team, id).await;
                    if stage.consent == Consent::TakenBack {
                        stage.consent = Consent::GivenAgain;
                    }
                    stage.note_issued().await;
                }
            }
        }
        if let Some(when) = round.oversleeps {
            wires[when.mint % wires.len()].reached(when.calls).await;
            stage.overtaken = true;
            stage.outlast().await;
            stage.mint(stage.credentials[0]).await;
        }
        for mint in running {
            stage.end(mint).await;
        }
    }
}

impl Round {
    fn by(rng: &mut Rng) -> Self {
        let mints = rng.usize(1..=4);
        let mut user = Vec::new();
        if rng.u8(..4) == 0 {
            user.push((When::by(rng, mints), Act::RemoveApp));
        }
        if rng.u8(..3) == 0 {
            let sibling = rng.bool();
            user.push((When::by(rng, mints), Act::Reauthorize { sibling }));
        }
        Self {
            oversleeps: (rng.u8(..4) == 0).then(|| When::by(rng, mints)),
            mints: (0..mints)
                .map(|mint| Planned::by(rng, mint, mints))
                .collect(),
            user,
        }
    }
}

impl Planned {
    fn by(rng: &mut Rng, mint: usize, mints: usize) -> Self {
        let faults = rng.usize(..=2);
        Self {
            sibling: rng.bool(),
            begins: When::by(rng, mint.max(1)),
            faults: (0..faults).map(|_| (call(rng), fault(rng))).collect(),
            releases: When::by(rng, mints),
        }
    }
}

/// Half of them from the lease to the commit and what follows it.
fn call(rng: &mut Rng) -> usize {
    if rng.bool() {
        rng.usize(9..=13)
    } else {
        rng.usize(1..=CALLS)
    }
}

/// Most are quick: the others take most of a minute each.
fn fault(rng: &mut Rng) -> Fault {
    match rng.u8(..60) {
        0 => Fault::Outage,
        1 => Fault::Stall,
        2 => Fault::Silence,
        _ => QUICK[rng.usize(..QUICK.len())],
    }
}

impl When {
    fn by(rng: &mut Rng, mints: usize) -> Self {
        Self {
            mint: rng.usize(..mints),
            calls: rng.usize(..CALLS),
        }
    }
}
