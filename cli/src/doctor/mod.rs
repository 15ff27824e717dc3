//! `doctor`: checks everything that can go wrong without an alarm, and prints how to solve each problem.

mod api;
mod attention;
mod census;
mod findings;
mod pairs;
mod rows;
mod tables;

use clap::Args;
use shared::envelope::Envelope;
use shared::stores::{Pairs, Secrets, TableInspector};

use crate::error::{Error, chain, store_message};
use crate::output::Output;
use crate::resources::Resource;
use findings::Findings;
use tables::Tables;

/// Check the vault for problems, and print how to solve each
///
/// Checks tables, KMS key, stream, clock, API, webhooks, rows that do not belong together, and the counts of
/// credentials. Names the credentials that a person must mend. Changes nothing and decrypts nothing. The policy in the
/// stack's output `DoctorPolicy` allows this command. Ends with exit code 1 if it finds a problem.
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
    let tables = tables::check(vault, &mut findings).await;
    let key = check_envelope_key(vault, &mut findings).await;
    match tables {
        Tables::Usable => check_rows(vault, key.as_deref(), &mut findings).await?,
        Tables::Wrong => findings.note("rows", "not checked, because a table is not usable"),
        Tables::Silent => findings.note("rows", "not checked, because DynamoDB does not answer"),
    }
    api::check(&vault.api_url, &mut findings).await;

    output.print(&findings, &findings.text())?;
    match findings.count_bad() {
        0 => Ok(()),
        count => Err(Error::ProblemsFound { count }),
    }
}

/// The other checks go on if a table cannot be read.
async fn check_rows(
    vault: &Vault,
    key: Option<&str>,
    findings: &mut Findings,
) -> Result<(), Error> {
    match rows::check(vault, key, findings).await {
        Err(Error::Store(error)) => {
            let to_do = "some checks of rows are missing from this list: run doctor again";
            findings.bad("rows", store_message(&error), to_do);
            Ok(())
        }
        checked => checked,
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
