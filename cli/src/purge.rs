//! `credentials purge`: destroys the data of a deleted credential now.

use serde::Serialize;
use serde_json::json;
use shared::credential::{CredentialId, TeamId};
use shared::pair_end::PairEnd;
use shared::purge_now::{PurgeNow, PurgedGrants};
use shared::stores::CredentialIds;

use crate::credentials::{Stores, confirm, not_deleted};
use crate::error::Error;
use crate::output::{Output, printable};

/// What a purge did, in the output.
#[derive(Serialize)]
struct PurgeView {
    #[serde(flatten)]
    ids: CredentialIds,
    /// What became of the grants of the credential's app and user.
    grants: &'static str,
}

pub(crate) async fn run(
    team: &TeamId,
    id: CredentialId,
    yes: bool,
    stores: &Stores,
    output: Output,
) -> Result<(), Error> {
    let seen = stores.credentials.get_including_deleted(team, id).await?;
    match seen {
        Some(seen) if seen.is_live() => {
            let team = team.clone();
            return Err(Error::CredentialIsLive { team, id });
        }
        Some(seen) => confirm(
            yes,
            &id.to_string(),
            &format!(
                "This destroys the data of the deleted credential `{}` and cannot be undone. Type the credential's id: ",
                printable(seen.credential.name.as_str())
            ),
        )?,
        None => return purged_before(team, id, stores, output).await,
    }
    let purge = PurgeNow {
        credentials: &stores.credentials,
        pairs: &stores.pairs,
        secrets: &stores.secrets,
        token_urls: &stores.token_urls,
        removal: &stores.removal,
        trail: &stores.trail,
    };
    let purged = purge.purge(team, id).await?;
    let purged = purged.ok_or_else(|| not_deleted(team, id))?;

    let (name, explanation) = outcome(purged.grants);
    let view = PurgeView {
        ids: purged.ids,
        grants: name,
    };
    output.print(&view, "")?;
    output.note(&format!("purged{explanation}; nothing was revoked at Zoom"));
    match purged.grants {
        PurgedGrants::NoPairRow | PurgedGrants::OfPair(PairEnd::CountsWrong) => {
            Err(Error::CountsWrong)
        }
        PurgedGrants::None | PurgedGrants::UserUnknown | PurgedGrants::OfPair(_) => Ok(()),
    }
}

/// A second purge does no harm. A credential that never existed is an error.
async fn purged_before(
    team: &TeamId,
    id: CredentialId,
    stores: &Stores,
    output: Output,
) -> Result<(), Error> {
    if !stores.pairs.is_gone(id).await? {
        let team = team.clone();
        return Err(Error::NoCredential { team, id });
    }
    let document = json!({ "team_id": team, "credential_id": id, "grants": "purged_before" });
    output.print(&document, "")?;
    output.note(&format!(
        "credential {id} was purged before; nothing was done"
    ));
    Ok(())
}

/// What became of the grants: in JSON, and for people.
fn outcome(grants: PurgedGrants) -> (&'static str, &'static str) {
    match grants {
        PurgedGrants::None => ("none", ""),
        PurgedGrants::UserUnknown => (
            "user_unknown",
            ". The grant stays for now, because its Zoom user is not known: keep-alive sees to it",
        ),
        PurgedGrants::OfPair(PairEnd::Dropped(_)) => ("destroyed", ". The grant is destroyed too"),
        PurgedGrants::OfPair(PairEnd::GrantLeft) => (
            "kept",
            ". A grant stays for now, because it was authorized less than 20 minutes ago, or because its row has an \
             unknown shape: keep-alive tries again within about an hour",
        ),
        PurgedGrants::OfPair(PairEnd::StillNeeded) => (
            "still_needed",
            ". The grant stays, because another credential of the same Zoom app and user exists",
        ),
        PurgedGrants::OfPair(PairEnd::CountsWrong) | PurgedGrants::NoPairRow => {
            ("counts_wrong", ". The grant stays")
        }
    }
}
