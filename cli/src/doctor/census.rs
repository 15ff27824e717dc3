//! What the doctor remembers of the rows that it reads: counts and ids, and no ciphertext. A vault can have more rows
//! than this machine has memory for.

use std::collections::{BTreeMap, HashMap, HashSet};

use shared::credential::{CredentialId, GrantId, ReconnectReason, TeamId};
use shared::envelope::SecretId;
use shared::stores::{CredentialIds, SealedRow, StoredPair};
use shared::timestamp::Timestamp;

/// The rows of `secrets`.
pub(super) struct SecretCensus {
    /// A grant that was last refreshed before this time is overdue.
    overdue_before: Timestamp,
    /// How many ciphertexts have each version and suite.
    pub(super) formats: BTreeMap<(u8, u8), usize>,
    /// How many rows each KMS key wraps.
    pub(super) rows_by_key: BTreeMap<String, usize>,
    /// The grants that need a new authorization.
    pub(super) dead: HashMap<GrantId, ReconnectReason>,
    /// The grants with a second token pair.
    pub(super) stashed: HashSet<GrantId>,
    /// Grants that keep-alive should have refreshed.
    pub(super) overdue: Vec<String>,
    /// The oldest last refresh among the scheduled grants.
    pub(super) longest_unrefreshed: Option<Timestamp>,
    /// Grants whose row does not name their app.
    pub(super) of_old_format: Vec<String>,
    /// Each client secret, and whether its credential exists.
    apps: HashMap<CredentialId, Owner>,
    grants: HashMap<GrantId, Owner>,
    /// Ids of rows that are no secret.
    unknown: Vec<String>,
}

/// Whether a credential or a pair has a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Nobody has the secret, so far.
    None,
    /// A credential or a pair has the secret, or the secret needs none.
    Known,
}

impl SecretCensus {
    pub(super) fn new(overdue_before: Timestamp) -> Self {
        Self {
            overdue_before,
            formats: BTreeMap::new(),
            rows_by_key: BTreeMap::new(),
            dead: HashMap::new(),
            stashed: HashSet::new(),
            overdue: Vec::new(),
            longest_unrefreshed: None,
            of_old_format: Vec::new(),
            apps: HashMap::new(),
            grants: HashMap::new(),
            unknown: Vec::new(),
        }
    }

    pub(super) fn count(&mut self, row: SealedRow) {
        for format in row.formats {
            *self.formats.entry(format).or_default() += 1;
        }
        // The row of a destroyed grant has no data key. It stays and says why the grant was destroyed. Keep-alive
        // handles a due grant in its next run.
        let is_destroyed_or_due = row.kids.is_empty() || row.is_due;
        for kid in row.kids {
            *self.rows_by_key.entry(kid).or_default() += 1;
        }
        if let Some(since) = row.scheduled_since {
            let longest = self.longest_unrefreshed.map_or(since, |it| it.min(since));
            self.longest_unrefreshed = Some(longest);
        }
        let is_overdue = row
            .scheduled_since
            .is_some_and(|since| since < self.overdue_before);
        match row.secret_id.parse() {
            Ok(SecretId::App(id)) => {
                self.apps.insert(id, Owner::None);
            }
            Ok(SecretId::Grant(id)) => {
                let owner = if is_destroyed_or_due {
                    Owner::Known
                } else {
                    Owner::None
                };
                self.grants.insert(id, owner);
                // A vendor's row may have a second secret too. That one is no token pair.
                if row.has_stash {
                    self.stashed.insert(id);
                }
                self.dead.extend(row.reason.map(|reason| (id, reason)));
                if !row.has_app {
                    self.of_old_format.push(row.secret_id.clone());
                }
            }
            Ok(
                SecretId::Webhook(..)
                | SecretId::Session(_)
                | SecretId::Vendor(..)
                | SecretId::Notification(_),
            ) => {}
            Err(_) => self.unknown.push(row.secret_id.clone()),
        }
        if is_overdue {
            self.overdue.push(row.secret_id);
        }
    }

    /// The grants that a pair lists have an owner: one of them works, and the pair says which credentials need it.
    pub(super) fn count_pair(&mut self, pair: &StoredPair) {
        for grant in &pair.grants {
            if let Some(owner) = self.grants.get_mut(grant) {
                *owner = Owner::Known;
            }
        }
    }

    /// A row of unknown shape exists, so what belongs to it is no orphan.
    pub(super) fn count_unreadable(&mut self, ids: &[String]) {
        for id in ids {
            match id.parse() {
                Ok(SecretId::App(id)) => {
                    self.apps.insert(id, Owner::Known);
                }
                Ok(SecretId::Grant(id)) => {
                    self.grants.insert(id, Owner::Known);
                }
                Ok(
                    SecretId::Webhook(..)
                    | SecretId::Session(_)
                    | SecretId::Vendor(..)
                    | SecretId::Notification(_),
                )
                | Err(_) => {}
            }
        }
    }

    /// The ids of the secrets that belong to no credential. All credentials must have been counted.
    pub(super) fn orphans(&self) -> Vec<String> {
        let ownerless = |owner: &Owner| *owner == Owner::None;
        let apps = self.apps.iter().filter(|(_, owner)| ownerless(owner));
        let apps = apps.map(|(id, _)| SecretId::App(*id).to_string());
        let grants = self.grants.iter().filter(|(_, owner)| ownerless(owner));
        let grants = grants.map(|(id, _)| SecretId::Grant(*id).to_string());
        let mut orphans: Vec<String> = apps.chain(grants).collect();
        orphans.extend_from_slice(&self.unknown);
        orphans.sort_unstable();
        orphans
    }
}

/// The rows of `credentials`.
#[derive(Default)]
pub(super) struct OwnerCensus {
    /// Secrets that a credential should have, and that are not among the secrets.
    pub(super) without_secret: Vec<(TeamId, SecretId)>,
}

impl OwnerCensus {
    pub(super) fn count(&mut self, ids: &CredentialIds, secrets: &mut SecretCensus) {
        let mut missing = |id| self.without_secret.push((ids.team.clone(), id));
        match secrets.apps.get_mut(&ids.credential) {
            Some(owner) => *owner = Owner::Known,
            None => missing(SecretId::App(ids.credential)),
        }
        let Some(grant) = ids.grant else { return };
        match secrets.grants.get_mut(&grant) {
            Some(owner) => *owner = Owner::Known,
            None => missing(SecretId::Grant(grant)),
        }
    }
}
