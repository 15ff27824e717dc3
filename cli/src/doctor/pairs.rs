//! Checks the rows of `pairs`: whether each counts the credentials that there are. Reports rows of an older format.

use super::Vault;
use super::findings::Findings;
use crate::PROGRAM;
use crate::error::Error;
use crate::output::list_ids;
use crate::recount::{PairProblem, Recount};

/// Compares the rows with the credentials.
pub(super) async fn check_counts(
    vault: &Vault,
    mut recount: Recount,
    findings: &mut Findings,
) -> Result<(), Error> {
    let foreign = std::mem::take(&mut recount.foreign);
    let comparison = recount.compare(&vault.pairs).await?;
    let (mut wrong, mut ended) = (Vec::new(), Vec::new());
    for problem in &comparison.problems {
        match problem {
            PairProblem::NoCredential(_) => ended.push(problem.name()),
            PairProblem::WrongCounts { .. } | PairProblem::NoRow { .. } => {
                wrong.push(format!("{} ({})", problem.name(), problem.description()));
            }
        }
    }
    if wrong.is_empty() {
        let compared = comparison.compared - comparison.changed;
        let found = format!("{compared} pairs of an app and a user count their credentials");
        findings.good("counts", found);
    } else {
        let found = format!("{} pairs count wrong: {}", wrong.len(), list_ids(&wrong));
        let to_do = format!("run `{PROGRAM} credentials sweep --repair`");
        findings.bad("counts", found, to_do);
    }
    if !foreign.is_empty() {
        let found = format!(
            "credentials that name the pair of another app or user: {}",
            list_ids(&foreign)
        );
        let to_do = "somebody changed these rows by hand: let the users authorize again";
        findings.bad("counts", found, to_do);
    }
    if !ended.is_empty() {
        let found = format!(
            "{} pairs have grants but no credential; keep-alive destroys the grants",
            ended.len()
        );
        findings.note("counts", found);
    }
    if comparison.changed > 0 {
        let changed = comparison.changed;
        let found = format!("{changed} pairs changed while they were counted; run doctor again");
        findings.note("counts", found);
    }
    Ok(())
}

/// Reports rows that an older version of the vault wrote. No function can use them.
pub(super) fn report_old_format(
    grants: &[String],
    credentials: &[String],
    findings: &mut Findings,
) {
    let to_do = "an older version of the vault wrote these rows, before it counted the credentials of each app and user. \
                 This version refuses them, and cannot convert them: let the users authorize again, or start with empty \
                 tables";
    for (what, ids) in [
        ("grants whose row names no app", grants),
        (
            "credentials whose user is known, but that no pair counts",
            credentials,
        ),
    ] {
        if !ids.is_empty() {
            findings.bad("format", format!("{what}: {}", list_ids(ids)), to_do);
        }
    }
}
