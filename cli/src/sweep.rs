//! `credentials sweep`: finds rows that belong to no credential, and destroys them if asked to.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use shared::credential::{CredentialId, GrantId, TeamId};
use shared::envelope::SecretId;
use shared::stores::{self, Credentials, OwnedRow, OwnedRowId};

use crate::credentials::{Stores, confirm};
use crate::error::Error;
use crate::output::{self, Output};

/// A row that belongs to no credential, in the output.
#[derive(Serialize)]
struct OrphanView {
    team: TeamId,
    what: String,
}

impl From<&OwnedRow> for OrphanView {
    fn from(orphan: &OwnedRow) -> Self {
        let what = match &orphan.id {
            OwnedRowId::Secret(id) => id.to_string(),
            OwnedRowId::TokenUrls(id) => format!("token URLs of {id}"),
        };
        Self {
            team: orphan.team.clone(),
            what,
        }
    }
}

/// The credentials and grants of one team.
#[derive(Default)]
struct Owners {
    credentials: HashSet<CredentialId>,
    grants: HashSet<GrantId>,
}

impl Owners {
    /// Reads live and deleted credentials in one pass, so that a credential that changes between the two states during
    /// the read is not missed.
    async fn read(credentials: &Credentials, team: &TeamId) -> Result<Self, stores::Error> {
        let mut owners = Self::default();
        for owner in credentials.secret_owners(team).await? {
            owners.credentials.insert(owner.credential);
            owners.grants.extend(owner.grant);
        }
        Ok(owners)
    }

    fn own(&self, id: &OwnedRowId) -> bool {
        match id {
            OwnedRowId::Secret(SecretId::App(id)) | OwnedRowId::TokenUrls(id) => {
                self.credentials.contains(id)
            }
            OwnedRowId::Secret(SecretId::Grant(id)) => self.grants.contains(id),
            // These belong to a team, not to a credential.
            OwnedRowId::Secret(SecretId::Webhook(..) | SecretId::Session(_)) => true,
        }
    }
}

pub(crate) async fn run(
    destroy: bool,
    yes: bool,
    stores: &Stores,
    output: Output,
) -> Result<(), Error> {
    // Read the rows before their owners. A credential that is created in between then has no row in this list, so its
    // rows cannot look like orphans.
    let all = stores.removal.owned_rows().await?;
    let orphans = find_orphans(&all, &stores.credentials).await?;
    let views: Vec<OrphanView> = orphans.iter().copied().map(OrphanView::from).collect();
    let rows = views
        .iter()
        .map(|view| [view.team.to_string(), view.what.clone()]);
    let table = output::table(["TEAM", "BELONGS TO NO CREDENTIAL"], rows.collect());
    output.print(&views, &table)?;
    output.note(&format!(
        "{} rows belong to credentials, {} to none",
        all.len() - orphans.len(),
        orphans.len()
    ));
    if orphans.is_empty() {
        return Ok(());
    }
    if !destroy {
        return Err(Error::Orphans(orphans.len()));
    }
    let question = "This cannot be undone. Type `destroy` to destroy these rows: ";
    confirm(yes, "destroy", question)?;
    for orphan in orphans {
        destroy_orphan(orphan, stores, output).await?;
    }
    output.note("destroyed");
    Ok(())
}

async fn find_orphans<'a>(
    all: &'a [OwnedRow],
    credentials: &Credentials,
) -> Result<Vec<&'a OwnedRow>, Error> {
    let mut owners: HashMap<&TeamId, Owners> = HashMap::new();
    for row in all {
        if !owners.contains_key(&row.team) {
            let of_team = Owners::read(credentials, &row.team).await?;
            owners.insert(&row.team, of_team);
        }
    }
    let is_orphan = |row: &&OwnedRow| {
        owners
            .get(&row.team)
            .is_none_or(|owners| !owners.own(&row.id))
    };
    Ok(all.iter().filter(is_orphan).collect())
}

/// Reads the owners again first: the confirmation may have taken minutes.
async fn destroy_orphan(orphan: &OwnedRow, stores: &Stores, output: Output) -> Result<(), Error> {
    let owners = Owners::read(&stores.credentials, &orphan.team).await?;
    if owners.own(&orphan.id) {
        let what = OrphanView::from(orphan).what;
        output.note(&format!("{what} belongs to a credential now; kept"));
        return Ok(());
    }
    match orphan.id.clone() {
        OwnedRowId::Secret(id) => stores.secrets.purge(&orphan.team, id).await?,
        OwnedRowId::TokenUrls(credential) => stores.token_urls.purge(credential).await?,
    }
    Ok(())
}
