//! `credentials sweep`: finds rows that belong to no credential and pairs whose counts are wrong. Corrects or destroys
//! them if asked to.

mod repair;
mod rows;

use serde::Serialize;
use shared::credential::{CredentialId, GrantId, TeamId};
use shared::envelope::SecretId;
use shared::event::{Change, EventKind};

use crate::credentials::{Stores, confirm};
use crate::error::Error;
use crate::output::{self, Output};
use crate::recount::{PairProblem, Recount};
use repair::{Outcome, Repair};
use rows::OwnerlessRows;

/// What the sweep does about the problems that it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing.
    Report,
    /// Corrects what can be corrected, and destroys nothing.
    Repair,
    /// Also destroys what belongs to no credential.
    Destroy,
}

/// A problem that the sweep found.
enum Problem {
    /// The client secret of a credential that does not exist.
    App(TeamId, CredentialId),
    /// The token URLs of a credential that does not exist.
    TokenUrls(TeamId, CredentialId),
    /// A grant that no credential and no pair has.
    StrayGrant(TeamId, GrantId),
    Pair(PairProblem),
    /// A credential that no pair counts, although its user is known.
    Uncounted(String),
    /// A credential that names another pair than its own.
    ForeignPair(String),
}

/// A problem in the output.
#[derive(Serialize)]
struct ProblemView {
    what: String,
    problem: String,
    /// What the sweep did about it. `None` if nothing was to be done.
    outcome: Option<&'static str>,
}

impl Problem {
    /// The row, as `TEAM/ID`.
    fn what(&self) -> String {
        match self {
            Self::App(team, id) => format!("{team}/{}", SecretId::App(*id)),
            Self::TokenUrls(team, id) => format!("{team}/token URLs of {id}"),
            Self::StrayGrant(team, id) => format!("{team}/{}", SecretId::Grant(*id)),
            Self::Pair(problem) => problem.name(),
            Self::Uncounted(credential) | Self::ForeignPair(credential) => credential.clone(),
        }
    }

    /// The team, and the credential if it is known. `None` if the sweep cannot solve the problem.
    fn about(&self) -> Option<(TeamId, Option<CredentialId>)> {
        match self {
            Self::App(team, id) | Self::TokenUrls(team, id) => Some((team.clone(), Some(*id))),
            Self::StrayGrant(team, _) => Some((team.clone(), None)),
            Self::Pair(problem) => Some((problem.team().clone(), None)),
            Self::Uncounted(_) | Self::ForeignPair(_) => None,
        }
    }

    fn problem(&self) -> String {
        match self {
            Self::App(..) | Self::TokenUrls(..) => "belongs to no credential".to_owned(),
            Self::StrayGrant(..) => "no credential and no pair has this grant".to_owned(),
            Self::Pair(problem) => problem.description(),
            Self::Uncounted(_) => {
                "an older version of the vault wrote this credential: no pair counts it. Authorize it again".to_owned()
            }
            Self::ForeignPair(_) => {
                "this credential names the pair of another app or user. Authorize it again".to_owned()
            }
        }
    }
}

/// The numbers in the note after the list.
struct Summary {
    owned_rows: usize,
    ownerless_rows: usize,
    due_grants: usize,
    pairs: usize,
    changed_pairs: usize,
}

impl Summary {
    fn text(&self) -> String {
        let mut parts = vec![
            format!(
                "{} rows belong to credentials, {} to none",
                self.owned_rows, self.ownerless_rows
            ),
            format!("{} pairs compared", self.pairs),
        ];
        if self.due_grants > 0 {
            let due = self.due_grants;
            parts.push(format!(
                "{due} grants without a credential wait for the next run of keep-alive"
            ));
        }
        if self.changed_pairs > 0 {
            let changed = self.changed_pairs;
            parts.push(format!(
                "{changed} pairs changed during the sweep: run it again to compare them"
            ));
        }
        parts.join("; ")
    }
}

pub(crate) async fn run(
    mode: Mode,
    yes: bool,
    stores: &Stores,
    output: Output,
) -> Result<(), Error> {
    let (problems, summary) = find(stores).await?;
    let mut views: Vec<ProblemView> = problems.iter().map(ProblemView::new).collect();
    // In JSON the answer is one document, which also says what was done.
    if !output.is_json() || mode == Mode::Report || problems.is_empty() {
        output.print(&views, &table(&views))?;
    }
    output.note(&summary.text());
    if problems.is_empty() {
        return Ok(());
    }
    if mode == Mode::Report {
        return Err(Error::SweepFound(problems.len()));
    }
    if mode == Mode::Destroy {
        let question =
            "This cannot be undone. Type `destroy` to destroy what belongs to no credential: ";
        confirm(yes, "destroy", question)?;
    }
    let repair = Repair { stores, mode };
    let mut left = 0;
    for (problem, view) in problems.into_iter().zip(&mut views) {
        let about = problem.about();
        let outcome = repair.solve(problem).await?;
        if let (Some((team, credential)), Outcome::Repaired(_)) = (about, &outcome) {
            let change = Change::new(EventKind::RowRepaired, Vec::new());
            stores.trail.record(&team, credential, change).await?;
        }
        left += usize::from(matches!(outcome, Outcome::Left(_)));
        output.note(&format!("{}: {}", view.what, outcome.text()));
        view.outcome = Some(outcome.text());
    }
    if output.is_json() {
        output.print(&views, "")?;
    }
    match left {
        0 => Ok(()),
        left => Err(Error::SweepLeft(left)),
    }
}

/// Reads the tables completely, each once.
///
/// The rows are read before their owners. A credential that is created in between then has no row in the list, so its
/// rows cannot look ownerless. Live and deleted credentials are read in one pass, so that a credential that changes
/// between the two states is not missed.
async fn find(stores: &Stores) -> Result<(Vec<Problem>, Summary), Error> {
    let mut rows = OwnerlessRows::default();
    let visited = stores.removal.visit_owned_rows(|row| rows.add(row));
    let mut unreadable = visited.await?;
    let mut recount = Recount::default();
    let visited = stores.inspector.visit_pairs(&stores.tables.pairs, |pair| {
        rows.remove_grants_of(&pair);
        recount.add_row(&pair);
    });
    unreadable.extend(visited.await?);
    let visited = stores
        .inspector
        .visit_credentials(&stores.tables.credentials, |credential| {
            rows.remove_rows_of(&credential);
            recount.add_credential(&credential);
        });
    unreadable.extend(visited.await?);
    if !unreadable.is_empty() {
        return Err(Error::SweepCannotRead(unreadable));
    }

    let uncounted = std::mem::take(&mut recount.uncounted);
    let foreign = std::mem::take(&mut recount.foreign);
    let comparison = recount.compare(&stores.pairs).await?;
    let read = rows.read;
    let (ownerless, due_grants) = rows.into_problems();
    let summary = Summary {
        owned_rows: read - ownerless.len() - due_grants,
        ownerless_rows: ownerless.len(),
        due_grants,
        pairs: comparison.compared,
        changed_pairs: comparison.changed,
    };
    let mut problems = ownerless;
    problems.extend(comparison.problems.into_iter().map(Problem::Pair));
    problems.extend(uncounted.into_iter().map(Problem::Uncounted));
    problems.extend(foreign.into_iter().map(Problem::ForeignPair));
    Ok((problems, summary))
}

impl ProblemView {
    fn new(problem: &Problem) -> Self {
        Self {
            what: problem.what(),
            problem: problem.problem(),
            outcome: None,
        }
    }
}

fn table(views: &[ProblemView]) -> String {
    let rows = views
        .iter()
        .map(|view| [view.what.clone(), view.problem.clone()]);
    output::table(["ROW", "PROBLEM"], rows.collect())
}
