//! `credentials purge`: destroys the data of a deleted credential now.

use serde::Serialize;
use shared::credential::{CredentialId, TeamId};
use shared::pair_end::PairEnd;
use shared::purge_now::{PurgeNow, PurgedGrants};
use shared::stores::CredentialIds;

use crate::credentials::{Stores, confirm, not_deleted};
use crate::error::Error;
use crate::output::Output;

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
    confirm(
        yes,
        &id.to_string(),
        "This cannot be undone. Type the credential's id to destroy its data: ",
    )?;
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
