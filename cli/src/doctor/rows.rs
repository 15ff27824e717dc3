//! Checks the rows of `secrets` and `credentials`: envelope format, wrapping key, orphans, missing secrets and grants.

use std::time::Duration;

use shared::envelope::SecretId;
use shared::timestamp::Timestamp;

use super::attention::AttentionCensus;
use super::census::{OwnerCensus, SecretCensus};
use super::findings::Findings;
use super::{Vault, pairs};
use crate::PROGRAM;
use crate::error::Error;
use crate::output::list_ids;
use crate::recount::Recount;
use crate::resources::Resource;

/// Keep-alive refreshes every grant long before this time.
const MAX_TIME_WITHOUT_REFRESH: Duration = Duration::from_hours(24 * 65);
/// The only envelope version and suite that this program knows.
const KNOWN_FORMAT: (u8, u8) = (1, 1);

pub(super) async fn check(
    vault: &Vault,
    current_key: Option<&str>,
    findings: &mut Findings,
) -> Result<(), Error> {
    // Read the secrets before the credentials. The secrets of a credential that is created in between are then not in
    // the census, so they cannot look like orphans.
    let secrets_table = vault.table_name(Resource::Secrets);
    let mut secrets = SecretCensus::new(Timestamp::now().minus(MAX_TIME_WITHOUT_REFRESH));
    let visit = |row| secrets.count(row);
    let unreadable = vault.inspection.visit_sealed_rows(secrets_table, visit);
    let unreadable_secrets = unreadable.await?;
    secrets.count_unreadable(&unreadable_secrets);

    let pairs_table = vault.table_name(Resource::Pairs);
    let mut recount = Recount::default();
    let visited = vault.inspection.visit_pairs(pairs_table, |pair| {
        secrets.count_pair(&pair);
        recount.add_row(&pair);
    });
    let unreadable_pairs = visited.await?;

    let credentials_table = vault.table_name(Resource::Credentials);
    let mut owners = OwnerCensus::default();
    let mut attention = AttentionCensus::default();
    let visited = vault.inspection.visit_credentials(credentials_table, |it| {
        owners.count(&it.ids, &mut secrets);
        attention.count(&it, &secrets);
        recount.add_credential(&it);
    });
    let unreadable_credentials = visited.await?;

    report_unreadable(secrets_table, &unreadable_secrets, findings);
    report_unreadable(pairs_table, &unreadable_pairs, findings);
    report_unreadable(credentials_table, &unreadable_credentials, findings);
    pairs::report_old_format(&secrets.of_old_format, &recount.uncounted, findings);
    check_formats(&secrets, findings);
    check_wrapping_keys(&secrets, current_key, findings);
    if unreadable_credentials.is_empty() {
        check_orphans(&secrets, findings);
    } else {
        let found = "not checked, because the credentials of unknown shape may own secrets";
        findings.note("orphans", found);
    }
    check_missing_secrets(vault, owners, findings).await?;
    if unreadable_credentials.is_empty() && unreadable_pairs.is_empty() {
        pairs::check_counts(vault, recount, findings).await?;
    } else {
        let found = "not checked, because rows of unknown shape may belong to a pair";
        findings.note("counts", found);
    }
    check_keep_alive(&secrets, findings);
    attention.report(findings);
    Ok(())
}

fn report_unreadable(table: &str, ids: &[String], findings: &mut Findings) {
    if ids.is_empty() {
        return;
    }
    let found = format!(
        "{} rows of unknown shape in {table}: {}",
        ids.len(),
        list_ids(ids)
    );
    let to_do = "another version of the vault wrote these rows, or somebody changed them by hand: use the program of the \
                 version that is deployed, or restore these rows from a backup";
    findings.bad("rows", found, to_do);
}

fn check_formats(secrets: &SecretCensus, findings: &mut Findings) {
    for ((version, suite), count) in &secrets.formats {
        let found = format!("{count} ciphertexts of version {version}, suite {suite}");
        if (*version, *suite) == KNOWN_FORMAT {
            findings.good("envelope", found);
        } else {
            let to_do = "this program does not know this format: use the program of the version that is deployed";
            findings.bad("envelope", found, to_do);
        }
    }
}

fn check_wrapping_keys(secrets: &SecretCensus, current_key: Option<&str>, findings: &mut Findings) {
    for (kid, count) in &secrets.rows_by_key {
        let found = format!("{count} rows under {kid}");
        match current_key {
            Some(key) if key != kid => findings.bad(
                "wrapping key",
                found,
                format!("run `{PROGRAM} rewrap` to move these rows to the current key; until then, keep the old key"),
            ),
            Some(_) | None => findings.good("wrapping key", found),
        }
    }
}

/// Finds client secrets that belong to no credential, and grants that neither a credential nor a pair has.
fn check_orphans(secrets: &SecretCensus, findings: &mut Findings) {
    let orphans = secrets.orphans();
    if orphans.is_empty() {
        findings.good("orphans", "every secret belongs to a credential");
    } else {
        let to_do = format!(
            "run doctor again first: a purge or a new authorization in progress can leave such rows for a moment. Then \
             run `{PROGRAM} credentials sweep --destroy`"
        );
        findings.bad(
            "orphans",
            format!(
                "secrets that belong to no credential: {}",
                list_ids(&orphans)
            ),
            to_do,
        );
    }
}

/// Finds credentials whose client secret or grant is missing.
async fn check_missing_secrets(
    vault: &Vault,
    owners: OwnerCensus,
    findings: &mut Findings,
) -> Result<(), Error> {
    let mut missing = Vec::new();
    for (team, id) in owners.without_secret {
        // A secret that was created after its table was read is no problem, so read each row that is not in the census.
        let exists = if let SecretId::Grant(grant) = &id {
            vault.secrets.grant(&team, *grant).await?.is_some()
        } else {
            vault.secrets.app_secret(id.clone()).await?.is_some()
        };
        if !exists {
            missing.push(format!("{team}/{id}"));
        }
    }
    if missing.is_empty() {
        findings.good("dangling", "every credential has its secrets");
    } else {
        let to_do = "restore only these missing rows of the table `secrets` from a backup (docs/operate.md, \
                     Restore), or ask the users to authorize again";
        findings.bad(
            "dangling",
            format!(
                "credentials whose secrets do not exist: {}",
                list_ids(&missing)
            ),
            to_do,
        );
    }
    Ok(())
}

fn check_keep_alive(secrets: &SecretCensus, findings: &mut Findings) {
    if secrets.overdue.is_empty() {
        let longest = secrets.longest_unrefreshed.map(|since| {
            let days = since.until(Timestamp::now()).as_secs() / (24 * 60 * 60);
            format!("; the longest unrefreshed was refreshed {days} days ago")
        });
        let longest = longest.unwrap_or_default();
        findings.good(
            "keep-alive",
            format!("no grant is overdue for a refresh{longest}"),
        );
    } else {
        let overdue = list_ids(&secrets.overdue);
        let found = format!("grants not refreshed for 65 days: {overdue}");
        let to_do = "Zoom ends an unused grant after about 90 days: the log of the function keep-alive says why it does \
                     not refresh these grants";
        findings.bad("keep-alive", found, to_do);
    }
}
