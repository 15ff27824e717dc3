//! Checks the rows of `secrets` and `credentials`: envelope format, wrapping key, orphans, missing secrets and grants.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use shared::credential::{CredentialId, GrantId};
use shared::envelope::SecretId;
use shared::stores::{CredentialIds, SealedRow};
use shared::timestamp::Timestamp;

use super::Vault;
use super::findings::{Findings, list_ids};
use crate::PROGRAM;
use crate::error::Error;
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
    // this list, so they cannot look like orphans.
    let secrets_table = vault.table_name(Resource::Secrets);
    let sealed = vault.inspection.sealed_rows(secrets_table).await?;
    let credentials_table = vault.table_name(Resource::Credentials);
    let holdings = vault.inspection.credential_ids(credentials_table).await?;
    check_formats(&sealed, findings);
    check_wrapping_keys(&sealed, current_key, findings);
    check_orphans(&sealed, &holdings, findings);
    check_missing_secrets(vault, &sealed, &holdings, findings).await?;
    check_keep_alive(&sealed, findings);
    note_grant_states(&sealed, findings);
    Ok(())
}

fn check_formats(sealed: &[SealedRow], findings: &mut Findings) {
    let mut counts: BTreeMap<(u8, u8), usize> = BTreeMap::new();
    for format in sealed.iter().flat_map(|row| &row.formats) {
        *counts.entry(*format).or_default() += 1;
    }
    for ((version, suite), count) in counts {
        let found = format!("{count} ciphertexts of version {version}, suite {suite}");
        if (version, suite) == KNOWN_FORMAT {
            findings.good("envelope", found);
        } else {
            let to_do = "this program does not know this format: use the program of the version that is deployed";
            findings.bad("envelope", found, to_do);
        }
    }
}

fn check_wrapping_keys(sealed: &[SealedRow], current_key: Option<&str>, findings: &mut Findings) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for kid in sealed.iter().flat_map(|row| &row.kids) {
        *counts.entry(kid).or_default() += 1;
    }
    for (kid, count) in counts {
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

/// Finds secrets that belong to no credential.
fn check_orphans(sealed: &[SealedRow], holdings: &[CredentialIds], findings: &mut Findings) {
    let credentials: HashSet<CredentialId> = holdings.iter().map(|it| it.credential).collect();
    let grants: HashSet<GrantId> = holdings.iter().filter_map(|it| it.grant).collect();
    let is_orphan = |row: &&SealedRow| match row.secret_id.parse() {
        Ok(SecretId::App(id)) => !credentials.contains(&id),
        // The row of a destroyed grant has no data key. It stays and says why the grant was destroyed.
        Ok(SecretId::Grant(id)) => !grants.contains(&id) && !row.kids.is_empty(),
        Ok(SecretId::Webhook(..) | SecretId::Session(_)) => false,
        Err(_) => true,
    };
    let orphans = sealed.iter().filter(is_orphan);
    let orphans: Vec<String> = orphans.map(|row| row.secret_id.clone()).collect();
    if orphans.is_empty() {
        findings.good("orphans", "every secret belongs to a credential");
    } else {
        let to_do = format!(
            "run doctor again first: a purge or a new authorization in progress can leave such rows for a moment. Then \
             destroy them with `{PROGRAM} credentials sweep --destroy`"
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
    sealed: &[SealedRow],
    holdings: &[CredentialIds],
    findings: &mut Findings,
) -> Result<(), Error> {
    let known: HashSet<&str> = sealed.iter().map(|row| row.secret_id.as_str()).collect();
    let is_listed = |id: &SecretId| known.contains(id.to_string().as_str());
    let mut missing = Vec::new();
    for holding in holdings {
        // A secret that was created after the list was read is no problem, so read each row that is not listed.
        let app = SecretId::App(holding.credential);
        if !is_listed(&app) && vault.secrets.app_secret(app.clone()).await?.is_none() {
            missing.push(format!("{}/{app}", holding.team));
        }
        if let Some(grant) = holding.grant
            && !is_listed(&SecretId::Grant(grant))
            && vault.secrets.grant(grant).await?.is_none()
        {
            missing.push(format!("{}/{}", holding.team, SecretId::Grant(grant)));
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

fn check_keep_alive(sealed: &[SealedRow], findings: &mut Findings) {
    let limit = Timestamp::now().minus(MAX_TIME_WITHOUT_REFRESH);
    let overdue = sealed
        .iter()
        .filter(|row| row.due_since.is_some_and(|since| since < limit));
    let overdue: Vec<String> = overdue.map(|row| row.secret_id.clone()).collect();
    if overdue.is_empty() {
        findings.good("keep-alive", "no grant is overdue for a refresh");
    } else {
        let found = format!("grants not refreshed for 65 days: {}", list_ids(&overdue));
        let to_do = "Zoom ends an unused grant after about 90 days: the log of the function keep-alive says why it does \
                     not refresh these grants";
        findings.bad("keep-alive", found, to_do);
    }
}

/// Notes grants that need a new authorization, and grants with a second token pair.
fn note_grant_states(sealed: &[SealedRow], findings: &mut Findings) {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in sealed.iter().filter_map(|row| row.reason) {
        *reasons.entry(reason.as_str()).or_default() += 1;
    }
    for (reason, count) in reasons {
        findings.note(
            "grants",
            format!("{count} grants need a new authorization: {reason}"),
        );
    }
    let stashed = sealed.iter().filter(|row| row.has_stash).count();
    if stashed > 0 {
        let found = format!(
            "{stashed} grants have a second token pair, which the vault tries if Zoom refuses the first"
        );
        findings.note("grants", found);
    }
}
