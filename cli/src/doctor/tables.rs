//! Checks that each table exists and has the settings of the template.

use shared::stores::{self, TableHealth};

use super::Vault;
use super::findings::Findings;
use crate::error::store_message;
use crate::resources::Resource;

/// Whether the rows of the tables can be checked.
pub(super) enum Tables {
    Usable,
    /// A table is missing, or is another table.
    Wrong,
    /// DynamoDB does not answer.
    Silent,
}

pub(super) async fn check(vault: &Vault, findings: &mut Findings) -> Tables {
    let mut tables = Tables::Usable;
    for (table, name) in &vault.tables {
        let health = match vault.inspection.describe_table(name).await {
            Ok(health) => health,
            Err(stores::Error::NoTable { .. }) => {
                let to_do = format!(
                    "deploy again, restore the table from a backup, or check the name in {}",
                    table.option()
                );
                findings.bad("table", format!("{name} does not exist"), to_do);
                if holds_rows(*table) {
                    tables = Tables::Wrong;
                }
                continue;
            }
            Err(error) => {
                let is_silent = matches!(error, stores::Error::Unavailable { .. });
                let to_do = "the other tables are checked, but check this one again later";
                if is_silent {
                    let to_do = "no table and no row was checked: run doctor again";
                    findings.bad("table", store_message(&error), to_do);
                    return Tables::Silent;
                }
                findings.bad("table", format!("{name}: {}", store_message(&error)), to_do);
                continue;
            }
        };
        if let Some(problem) = table.other_keys(&health.keys) {
            let to_do = format!("check the name in {}", table.option());
            findings.bad("table", format!("{name} {problem}"), to_do);
            if holds_rows(*table) {
                tables = Tables::Wrong;
            }
            continue;
        }
        let problems = problems(*table, &health, vault.is_deployed);
        if problems.is_empty() {
            findings.good("table", format!("{name} is {}", health.status));
        }
        for problem in problems {
            let to_do = "deploy again: somebody changed this setting of the template by hand";
            findings.bad("table", format!("{name} {problem}"), to_do);
        }
    }
    tables
}

/// Whether the doctor checks the rows of the table.
fn holds_rows(table: Resource) -> bool {
    matches!(
        table,
        Resource::Credentials | Resource::Secrets | Resource::Pairs
    )
}

/// The differences between a table and the template.
fn problems(table: Resource, health: &TableHealth, is_deployed: bool) -> Vec<String> {
    let mut problems = Vec::new();
    if health.status != "ACTIVE" {
        problems.push(format!("is {}", health.status));
    }
    let ttl = match table {
        Resource::Credentials | Resource::Secrets | Resource::TokenUrls | Resource::Events => {
            Some("purge_at")
        }
        Resource::Pairs | Resource::Requests => Some("expires_at"),
        Resource::Keys | Resource::EnvelopeKey | Resource::Api | Resource::LostNotifications => {
            None
        }
    };
    if health.ttl.as_deref() != ttl {
        let has = health.ttl.as_deref().unwrap_or("no attribute");
        let wants = ttl.unwrap_or("no attribute");
        problems.push(format!(
            "has {has} as its TTL attribute, but should have {wants}"
        ));
    }
    if table == Resource::Credentials && !health.streams && is_deployed {
        problems.push("has no stream: no notifications are sent, and nothing is purged".to_owned());
    }
    if is_deployed && !health.is_protected {
        problems.push("can be deleted by mistake: deletion protection is off".to_owned());
    }
    if is_deployed && health.recovers == Some(false) {
        problems.push("cannot be restored: point-in-time recovery is off".to_owned());
    }
    problems
}
