//! `import --dry-run`: what would be done with each line, and what earlier runs have done.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use shared::credential::TeamId;
use shared::stores::{self, ImportVerdict, Requests};

use super::plan::Plan;
use crate::error::Error;
use crate::output::{Output, count};

/// How many rows are read at a time.
const CONCURRENT_READS: usize = 16;
/// The word for an import that an earlier run has begun and not ended.
const NOT_ENDED: &str = "not_ended";

/// A line whose token an earlier run has imported, or has begun to import.
struct KnownLine {
    line: usize,
    team: TeamId,
    outcome: &'static str,
}

/// What earlier runs have stored about the tokens, in the order of the file.
async fn known_lines(plan: &Plan, requests: &Requests) -> Result<Vec<KnownLine>, Error> {
    let rows = plan.users.iter().flatten();
    let known: Vec<Option<KnownLine>> = stream::iter(rows)
        .map(|row| async move {
            let known = requests.import(&row.given.id()).await?;
            Ok::<_, stores::Error>(known.map(|known| KnownLine {
                line: row.line,
                team: known.team,
                outcome: known.verdict.map_or(NOT_ENDED, ImportVerdict::as_str),
            }))
        })
        .buffer_unordered(CONCURRENT_READS)
        .try_collect()
        .await?;
    let mut known: Vec<KnownLine> = known.into_iter().flatten().collect();
    known.sort_by_key(|known| known.line);
    Ok(known)
}

/// Says what would be done, and what earlier runs have done.
pub(super) async fn run(plan: &Plan, requests: &Requests, output: Output) -> Result<(), Error> {
    let known = known_lines(plan, requests).await?;
    output.print(&document(plan, &known), &text(plan, &known))?;
    output.note("dry run: nothing was sent and nothing was stored");
    match plan.malformed.len() {
        0 => Ok(()),
        lines => Err(Error::MalformedLines(lines)),
    }
}

/// The lines of each user that has several.
fn same_users(plan: &Plan) -> Vec<Vec<usize>> {
    let several = plan.users.iter().filter(|rows| rows.len() > 1);
    several
        .map(|rows| rows.iter().map(|row| row.line).collect())
        .collect()
}

fn document(plan: &Plan, known: &[KnownLine]) -> Value {
    let apps = plan.apps();
    let malformed: Vec<_> = plan
        .malformed
        .iter()
        .map(|it| json!({ "line": it.line, "reason": it.reason }))
        .collect();
    let same: Vec<_> = plan
        .same
        .iter()
        .map(|it| json!({ "line": it.line, "of": it.of }))
        .collect();
    let known: Vec<_> = known
        .iter()
        .map(|it| json!({ "line": it.line, "outcome": it.outcome, "team": it.team }))
        .collect();
    json!({
        "grants": plan.rows(),
        "apps": apps.iter().map(|(id, rows)| json!({ "client_id": id, "rows": rows })).collect::<Vec<_>>(),
        "same_token": same,
        "same_user": same_users(plan),
        "malformed": malformed,
        "earlier": known,
    })
}

fn text(plan: &Plan, known: &[KnownLine]) -> String {
    let mut text = vec![format!(
        "{} would be taken over",
        count(plan.rows(), "grant")
    )];
    for (id, rows) in plan.apps() {
        text.push(format!(
            "  {} of the app {}",
            count(rows, "grant"),
            id.as_str()
        ));
    }
    let mut outcomes: BTreeMap<(&str, &TeamId), usize> = BTreeMap::new();
    for it in known {
        *outcomes.entry((it.outcome, &it.team)).or_default() += 1;
    }
    for ((outcome, team), lines) in outcomes {
        let lines = count(lines, "line");
        text.push(if outcome == NOT_ENDED {
            format!(
                "  {lines}: an earlier run has begun the import into team {team}, and did not end"
            )
        } else {
            format!("  {lines}: {outcome} by an earlier run, in team {team}, and not sent again")
        });
    }
    for it in &plan.same {
        text.push(format!(
            "line {}: has the token of line {}, and is not sent",
            it.line, it.of
        ));
    }
    for lines in same_users(plan) {
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        text.push(format!(
            "lines {}: the same user. They are tried in this order, until one works",
            lines.join(", ")
        ));
    }
    for it in &plan.malformed {
        text.push(format!("line {}: {}", it.line, it.reason));
    }
    text.join("\n")
}
