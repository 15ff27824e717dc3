//! Names the live credentials that a person must mend, and those with a second token pair.

use std::collections::BTreeMap;

use shared::attention::Attention;
use shared::credential::ReconnectReason;
use shared::stores::CredentialLinks;

use super::census::SecretCensus;
use super::findings::Findings;
use crate::PROGRAM;
use crate::output::{count, list_ids, printable};

/// The credentials, as `TEAM/ID (NAME)`.
#[derive(Default)]
pub(super) struct AttentionCensus {
    by_class: BTreeMap<Attention, Vec<String>>,
    with_stash: Vec<String>,
}

impl AttentionCensus {
    /// Notes a credential. All secrets must have been counted.
    pub(super) fn count(&mut self, credential: &CredentialLinks, secrets: &SecretCensus) {
        if credential.deleted {
            return;
        }
        let (ids, name) = (&credential.ids, printable(&credential.name));
        let named = || format!("{}/{} ({name})", ids.team, ids.credential);
        // A credential learns at its next use that its grant is dead.
        let dead = ids.grant.and_then(|grant| secrets.dead.get(&grant));
        let of_grant = dead.map(|reason| match reason {
            ReconnectReason::UserGone => Attention::UserGone,
            ReconnectReason::Revoked
            | ReconnectReason::RefreshOutcomeLost
            | ReconnectReason::Deauthorized => Attention::Reconnect,
        });
        if let Some(class) = credential.attention().or(of_grant) {
            self.by_class.entry(class).or_default().push(named());
        }
        if ids.grant.is_some_and(|it| secrets.stashed.contains(&it)) {
            self.with_stash.push(named());
        }
    }

    pub(super) fn report(&self, findings: &mut Findings) {
        if self.by_class.is_empty() {
            findings.good("attention", "no credential needs attention");
        }
        for (class, credentials) in &self.by_class {
            let found = format!(
                "{}: {}: {}",
                class.label(),
                count(credentials.len(), "credential"),
                list_ids(credentials)
            );
            // Nobody reports a refused app to its owner, and every bot of the app fails.
            if *class == Attention::AppRefused {
                let to_do = format!(
                    "{}. {} `{PROGRAM} credentials list --all-teams --needs-attention` lists them",
                    class.who(),
                    class.to_do()
                );
                findings.bad("attention", found, to_do);
            } else {
                let found = format!("{found}. {} must act", class.who());
                findings.note("attention", found);
            }
        }
        if !self.with_stash.is_empty() {
            let found = format!(
                "{} with a second token pair, which the vault tries if Zoom refuses the first: {}",
                count(self.with_stash.len(), "credential"),
                list_ids(&self.with_stash)
            );
            findings.note("grants", found);
        }
    }
}
