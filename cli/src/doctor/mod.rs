//! `doctor`: checks everything that can go wrong without an alarm, and prints how to solve each problem.

mod api;
mod census;
mod findings;
mod pairs;
mod rows;
mod tables;

use clap::Args;
use shared::envelope::Envelope;
use shared::stores::{self, Pairs, Secrets, TableInspector};

use crate::error::{Error, chain};
use crate::output::Output;
use crate::resources::Resource;
use findings::Findings;

/// Check the vault for problems, and print how to solve each
///
/// Checks tables, KMS key, stream, clock, API, webhooks, rows that do not belong together, and the counts of
/// credentials. Changes nothing and decrypts nothing. The policy in the stack's output `DoctorPolicy` allows this
/// command. Ends with exit code 1 if it finds a problem.
#[derive(Debug, Args)]
pub(crate) struct Doctor {}

/// What the doctor checks, and the clients for it.
pub(crate) struct Vault {
    /// Each table with its name.
    pub(crate) tables: Vec<(Resource, String)>,
    pub(crate) api_url: String,
    /// Whether the vault runs in AWS. The local stack has no backups and no deletion protection.
    pub(crate) is_deployed: bool,
    pub(crate) inspection: TableInspector,
    pub(crate) pairs: Pairs,
    pub(crate) secrets: Secrets,
    pub(crate) envelope: Envelope,
}

impl Vault {
    fn table_name(&self, table: Resource) -> &str {
        let mut tables = self.tables.iter();
        let found = tables.find(|(resource, _)| *resource == table);
        found.map(|(_, name)| name.as_str()).unwrap_or_default()
    }
}

pub(crate) async fn run(vault: &Vault, output: Output) -> Result<(), Error> {
    let mut findings = Findings::default();
    tables::check(vault, &mut findings).await?;
    let key = check_envelope_key(vault, &mut findings).await;
    match rows::check(vault, key.as_deref(), &mut findings).await {
        Err(Error::Store(stores::Error::NoTable { .. })) => {
            findings.note("rows", "not checked, because a table does not exist");
        }
        checked => checked?,
    }
    api::check(&vault.api_url, &mut findings).await;

    output.print(&findings, &findings.text())?;
    match findings.count_bad() {
        0 => Ok(()),
        count => Err(Error::ProblemsFound { count }),
    }
}

/// Returns the ARN of the current key.
async fn check_envelope_key(vault: &Vault, findings: &mut Findings) -> Option<String> {
    match vault.envelope.describe().await {
        Ok(key) if key.state == "Enabled" => {
            findings.good("envelope key", format!("{} is enabled", key.arn));
            Some(key.arn)
        }
        Ok(key) => {
            let to_do = "the vault can neither seal nor open anything with this key: \
                         use `aws kms cancel-key-deletion` or `aws kms enable-key`";
            findings.bad(
                "envelope key",
                format!("{} is {}", key.arn, key.state),
                to_do,
            );
            Some(key.arn)
        }
        Err(error) => {
            let to_do =
                "check the key's id, the region, the account, and your right to describe the key";
            findings.bad("envelope key", chain(&error), to_do);
            None
        }
    }
}
