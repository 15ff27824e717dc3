//! `doctor`: looks at everything that can go wrong without anybody being told, and says what to do about it.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use clap::Args;
use reqwest::{Client, StatusCode};
use serde::Serialize;
use shared::credential::{CredentialId, GrantId};
use shared::envelope::{Envelope, SecretId};
use shared::stores::{self, Holding, Inspection, SealedRow, Secrets, TableHealth};
use shared::timestamp::Timestamp;

use crate::PROGRAM;
use crate::error::{Error, chain};
use crate::output::{self, Output};
use crate::place::Part;

/// Clocks that differ by more are wrong: the vault allows for 5 s at most.
const CLOCKS: Duration = Duration::from_secs(4);
/// A grant that was not refreshed for longer should have been kept alive by now.
const OVERDUE: Duration = Duration::from_hours(24 * 65);
/// Version and suite of the envelope that this program knows.
const FORMAT: (u8, u8) = (1, 1);
/// So many rows are named, and the others counted.
const NAMED: usize = 5;

/// Look for what is wrong: tables, key, stream, clock, API and webhooks, and rows that belong together and do not
///
/// Changes nothing and opens nothing; the policy in the stack's output `DoctorPolicy` allows it. Ends with 1 where
/// something has to be done.
#[derive(Debug, Args)]
pub(crate) struct Doctor {}

/// Where everything is.
pub(crate) struct Vault {
    /// Each table, and what it is called.
    pub(crate) tables: Vec<(Part, String)>,
    /// Where the API answers.
    pub(crate) api: String,
    /// Whether AWS runs it: backups and the like are its affair.
    pub(crate) is_deployed: bool,
    pub(crate) inspection: Inspection,
    pub(crate) secrets: Secrets,
    pub(crate) envelope: Envelope,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// As it should be.
    Good,
    /// Nothing to mend; good to know.
    Note,
    /// Something has to be done.
    Bad,
}

/// What was found, and what to do about it.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_do: Option<String>,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn good(&mut self, check: &'static str, found: impl Into<String>) {
        self.add(check, Verdict::Good, found.into(), None);
    }

    fn note(&mut self, check: &'static str, found: impl Into<String>) {
        self.add(check, Verdict::Note, found.into(), None);
    }

    fn bad(&mut self, check: &'static str, found: impl Into<String>, to_do: impl Into<String>) {
        self.add(check, Verdict::Bad, found.into(), Some(to_do.into()));
    }

    fn add(&mut self, check: &'static str, verdict: Verdict, found: String, to_do: Option<String>) {
        self.0.push(Finding {
            check,
            verdict,
            found,
            to_do,
        });
    }
}

pub(crate) async fn run(vault: &Vault, output: Output) -> Result<(), Error> {
    let mut findings = Findings::default();
    tables(vault, &mut findings).await?;
    let key = key(vault, &mut findings).await;
    rows(vault, key.as_deref(), &mut findings).await?;
    api(vault, &mut findings).await;

    let Findings(findings) = findings;
    output.print(&findings, &text(&findings))?;
    let bad = findings.iter().filter(|it| it.verdict == Verdict::Bad);
    match bad.count() {
        0 => Ok(()),
        count => Err(Error::Unwell { count }),
    }
}

async fn tables(vault: &Vault, findings: &mut Findings) -> Result<(), Error> {
    for (part, name) in &vault.tables {
        let health = match vault.inspection.table(name).await {
            Ok(health) => health,
            Err(stores::Error::NoTable { .. }) => {
                let to_do = format!(
                    "deploy again, or restore it from a backup; {} names it",
                    part.option()
                );
                findings.bad("table", format!("{name} is not there"), to_do);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let wrong = wrong(*part, &health, vault.is_deployed);
        if wrong.is_empty() {
            findings.good("table", format!("{name} is {}", health.status));
        }
        for what in wrong {
            let to_do = "deploy again: the template sets it, and somebody has changed it by hand";
            findings.bad("table", format!("{name} {what}"), to_do);
        }
    }
    Ok(())
}

/// What of a table is not as the template has it.
fn wrong(part: Part, health: &TableHealth, is_deployed: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    if health.status != "ACTIVE" {
        wrong.push(format!("is {}", health.status));
    }
    let ttl = match part {
        Part::Credentials | Part::Secrets | Part::TokenUrls | Part::Events => Some("purge_at"),
        Part::Requests => Some("expires_at"),
        Part::Keys | Part::EnvelopeKey | Part::Api => None,
    };
    if health.ttl.as_deref() != ttl {
        let has = health.ttl.as_deref().unwrap_or("nothing");
        let wants = ttl.unwrap_or("nothing");
        wrong.push(format!("ends rows by {has}, and should by {wants}"));
    }
    if part == Part::Credentials && !health.streams && is_deployed {
        wrong.push("has no stream: nothing is told of changes, and nothing is purged".to_owned());
    }
    if is_deployed && !health.is_protected {
        wrong.push("can be deleted by mistake: deletion protection is off".to_owned());
    }
    if is_deployed && health.recovers == Some(false) {
        wrong.push("cannot be restored: point-in-time recovery is off".to_owned());
    }
    wrong
}

/// The ARN of the key that seals.
async fn key(vault: &Vault, findings: &mut Findings) -> Option<String> {
    match vault.envelope.describe().await {
        Ok(key) if key.state == "Enabled" => {
            findings.good("envelope key", format!("{} is enabled", key.arn));
            Some(key.arn)
        }
        Ok(key) => {
            let to_do = "nothing can be sealed or opened with it: `aws kms cancel-key-deletion`, \
                         `aws kms enable-key`";
            findings.bad(
                "envelope key",
                format!("{} is {}", key.arn, key.state),
                to_do,
            );
            Some(key.arn)
        }
        Err(error) => {
            let to_do = "check its id, the region and the account, and that you may describe it";
            findings.bad("envelope key", chain(&error), to_do);
            None
        }
    }
}

async fn rows(vault: &Vault, key: Option<&str>, findings: &mut Findings) -> Result<(), Error> {
    let name = |part| {
        let mut tables = vault.tables.iter();
        let found = tables.find(|(it, _)| *it == part);
        found.map(|(_, name)| name.as_str()).unwrap_or_default()
    };
    // What belongs first, then what it could belong to: a credential that is new since has nothing in the list.
    let sealed = vault.inspection.sealed(name(Part::Secrets)).await?;
    let holdings = vault.inspection.holdings(name(Part::Credentials)).await?;
    formats(&sealed, findings);
    wrapped(&sealed, key, findings);
    orphans(&sealed, &holdings, findings);
    missing(vault, &sealed, &holdings, findings).await?;
    grants(&sealed, findings);
    Ok(())
}

fn formats(sealed: &[SealedRow], findings: &mut Findings) {
    let mut counts: BTreeMap<(u8, u8), usize> = BTreeMap::new();
    for format in sealed.iter().flat_map(|row| &row.formats) {
        *counts.entry(*format).or_default() += 1;
    }
    for ((version, suite), count) in counts {
        let found = format!("{count} ciphertexts of version {version}, suite {suite}");
        if (version, suite) == FORMAT {
            findings.good("envelope", found);
        } else {
            let to_do =
                "this program does not know it: use the one of the version that is deployed";
            findings.bad("envelope", found, to_do);
        }
    }
}

fn wrapped(sealed: &[SealedRow], key: Option<&str>, findings: &mut Findings) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for kid in sealed.iter().flat_map(|row| &row.kids) {
        *counts.entry(kid).or_default() += 1;
    }
    for (kid, count) in counts {
        let found = format!("{count} rows under {kid}");
        match key {
            Some(key) if key != kid => findings.bad(
                "wrapping key",
                found,
                format!(
                    "`{PROGRAM} rewrap` moves them to the current key; until then, keep that one"
                ),
            ),
            Some(_) | None => findings.good("wrapping key", found),
        }
    }
}

/// What secrets belong to no credential.
fn orphans(sealed: &[SealedRow], holdings: &[Holding], findings: &mut Findings) {
    let credentials: HashSet<CredentialId> = holdings.iter().map(|it| it.credential).collect();
    let grants: HashSet<GrantId> = holdings.iter().filter_map(|it| it.grant).collect();
    let is_orphan = |row: &&SealedRow| match row.secret_id.parse() {
        Ok(SecretId::App(id)) => !credentials.contains(&id),
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
            "`{PROGRAM} credentials sweep --destroy` destroys them. What is being purged, or was authorized anew a moment ago, leaves some for a moment"
        );
        findings.bad(
            "orphans",
            format!("secrets that belong to no credential: {}", named(&orphans)),
            to_do,
        );
    }
}

/// What credentials lack.
async fn missing(
    vault: &Vault,
    sealed: &[SealedRow],
    holdings: &[Holding],
    findings: &mut Findings,
) -> Result<(), Error> {
    let known: HashSet<&str> = sealed.iter().map(|row| row.secret_id.as_str()).collect();
    let mut missing = Vec::new();
    for holding in holdings {
        let app = SecretId::App(holding.credential);
        let lacks = |id: &SecretId| !known.contains(id.to_string().as_str());
        // One that is new since the list was made is there by now.
        if lacks(&app) && absent(vault.secrets.app(app.clone()).await)? {
            missing.push(format!("{}/{app}", holding.team));
        }
        if let Some(grant) = holding.grant
            && lacks(&SecretId::Grant(grant))
            && absent(vault.secrets.grant(grant).await)?
        {
            missing.push(format!("{}/{}", holding.team, SecretId::Grant(grant)));
        }
    }
    if missing.is_empty() {
        findings.good("dangling", "every credential has its secrets");
    } else {
        let to_do = "restore these rows of `secrets` from a backup, none that lives (docs/operate.md, Restore); or have \
                     the users authorize again";
        findings.bad(
            "dangling",
            format!(
                "credentials point at secrets that are not there: {}",
                named(&missing)
            ),
            to_do,
        );
    }
    Ok(())
}

fn absent<T>(read: Result<T, stores::Error>) -> Result<bool, Error> {
    match read {
        Ok(_) => Ok(false),
        Err(stores::Error::NotFound) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn grants(sealed: &[SealedRow], findings: &mut Findings) {
    let overdue = Timestamp::now().minus(OVERDUE);
    let overdue = sealed
        .iter()
        .filter(|row| row.due_since.is_some_and(|since| since < overdue));
    let overdue: Vec<String> = overdue.map(|row| row.secret_id.clone()).collect();
    if overdue.is_empty() {
        findings.good("keep-alive", "no grant is near its end");
    } else {
        let found = format!(
            "grants that nobody refreshed for 65 days: {}",
            named(&overdue)
        );
        let to_do = "Zoom ends a grant after about 90: see why the function keep-alive leaves them, in its log";
        findings.bad("keep-alive", found, to_do);
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in sealed.iter().filter_map(|row| row.reason) {
        *reasons.entry(reason.as_str()).or_default() += 1;
    }
    for (reason, count) in reasons {
        findings.note(
            "grants",
            format!("{count} to be authorized again: {reason}"),
        );
    }
    let stashed = sealed.iter().filter(|row| row.has_stash).count();
    if stashed > 0 {
        let found = format!("{stashed} with a second pair, tried should Zoom refuse the first");
        findings.note("grants", found);
    }
}

async fn api(vault: &Vault, findings: &mut Findings) {
    let base = vault.api.trim_end_matches('/');
    // Fails where one is installed already, which is as good.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let client = Client::builder().timeout(Duration::from_secs(15)).build();
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            return findings.bad("api", chain(&error), "this program cannot call anybody");
        }
    };
    let to_do = "check the URL, DNS and the certificate, the API's stage, and its functions' logs";
    let asked = client.get(format!("{base}/v2/zoom-credentials")).send();
    match asked.await {
        Ok(answer) => {
            clock(&answer, findings);
            match answer.status() {
                StatusCode::UNAUTHORIZED => findings.good("api", format!("{base} answers")),
                status => findings.bad(
                    "api",
                    format!("{base} answers {status} to who has no key, and not 401"),
                    to_do,
                ),
            }
        }
        Err(error) => return findings.bad("api", chain(&error.without_url()), to_do),
    }
    // Signed by nobody, for an app that cannot be: it is the vault that says so, if it can be reached.
    let told = client
        .post(format!("{base}/webhooks/zoom/doctor"))
        .header("content-type", "application/json")
        .body("{}");
    let to_do = "Zoom cannot tell what users take back: check the route, a WAF before it, and the function zoom-webhook";
    match told.send().await {
        Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED => {
            findings.good(
                "webhooks",
                "the endpoint answers, and refuses what is not signed",
            );
        }
        Ok(answer) => findings.bad(
            "webhooks",
            format!("the endpoint answers {}, and not 401", answer.status()),
            to_do,
        ),
        Err(error) => findings.bad("webhooks", chain(&error.without_url()), to_do),
    }
}

/// This machine's against the one that answered.
fn clock(answer: &reqwest::Response, findings: &mut Findings) {
    let now = Timestamp::now();
    let date = answer
        .headers()
        .get("date")
        .and_then(|date| date.to_str().ok());
    let Some(date) = date.and_then(Timestamp::from_http_date) else {
        return findings.note("clock", "the API names no time to compare with");
    };
    let apart = now.until(date).max(date.until(now));
    if apart > CLOCKS {
        let found = format!("this machine and the API are {} s apart", apart.as_secs());
        findings.bad(
            "clock",
            found,
            "set this machine's clock (NTP): AWS refuses calls that are minutes off",
        );
    } else {
        findings.good("clock", "this machine and the API agree");
    }
}

/// A few of them, and how many more.
fn named(all: &[String]) -> String {
    let few = all
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match all.len().saturating_sub(NAMED) {
        0 => few,
        more => format!("{few}, and {more} more"),
    }
}

fn text(findings: &[Finding]) -> String {
    let rows = findings.iter().map(|it| {
        let verdict = match it.verdict {
            Verdict::Good => "ok",
            Verdict::Note => "note",
            Verdict::Bad => "BAD",
        };
        let to_do = it.to_do.iter().map(|to_do| format!(" -> {to_do}"));
        let found: String = std::iter::once(it.found.clone()).chain(to_do).collect();
        [verdict.to_owned(), it.check.to_owned(), found]
    });
    output::table(["", "CHECK", "FOUND"], rows.collect())
}
