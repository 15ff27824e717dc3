//! What the tables, the log and Zoom hold at one moment.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use serde_json::Value;
use shared::credential::GrantId;
use shared::envelope::{Sealed, SecretId};
use shared::grants::capsule::Capsule;
use uuid::Uuid;

use crate::life::history::LiveCredential;
use crate::life::world::{Item, World};

/// A credential's row.
#[derive(Clone, Debug)]
pub(crate) struct CredentialRow {
    pub(crate) is_live: bool,
    pub(crate) pair: Option<String>,
    pub(crate) grant: Option<String>,
    pub(crate) state: String,
}

/// A grant's row.
#[derive(Clone)]
pub(crate) struct GrantRow {
    pub(crate) pair: Option<String>,
    pub(crate) is_closed: bool,
    /// Its refresh tokens, the stashed one too.
    pub(crate) tokens: Vec<String>,
}

impl fmt::Debug for GrantRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pair,
            is_closed,
            tokens,
        } = self;
        let tokens = tokens.len();
        write!(
            f,
            "pair {pair:?}, closed {is_closed}, {tokens} refresh tokens"
        )
    }
}

/// A pair's row.
#[derive(Clone, Debug)]
pub(crate) struct PairRow {
    pub(crate) members: i64,
    pub(crate) live: i64,
    pub(crate) grants: Vec<String>,
    pub(crate) expires: bool,
}

/// Zoom's live grant of a user.
#[derive(Clone)]
pub(crate) struct LiveGrant {
    pub(crate) id: Uuid,
    /// The pair of the user.
    pub(crate) pair: String,
    /// Its refresh token, if the vault has it.
    pub(crate) held: Option<String>,
    /// The rows that have this token. None if only a capsule has it.
    pub(crate) rows: Vec<String>,
}

/// What the tables, the log and Zoom hold at one moment.
#[derive(Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) credentials: BTreeMap<String, CredentialRow>,
    pub(crate) grants: BTreeMap<String, GrantRow>,
    pub(crate) pairs: BTreeMap<String, PairRow>,
    /// The credentials that have a client secret.
    pub(crate) apps: Vec<String>,
    /// Zoom's live grants by user.
    pub(crate) live: HashMap<String, LiveGrant>,
    /// Tokens that are in a capsule which was not replayed yet.
    pub(crate) in_capsules: HashSet<String>,
}

impl Snapshot {
    /// The credentials that need the grants of a pair, or that use one of these rows.
    pub(crate) fn users_of(&self, grant: &LiveGrant) -> HashSet<&str> {
        let mut users = HashSet::new();
        for (id, row) in &self.credentials {
            let of_pair = row.pair.as_ref() == Some(&grant.pair);
            let points_at = row.grant.as_ref().is_some_and(|it| grant.rows.contains(it));
            if of_pair || points_at {
                users.insert(id.as_str());
            }
        }
        users
    }

    /// Whether a row or a capsule has this token.
    pub(crate) fn has_token(&self, token: &String) -> bool {
        let mut rows = self.grants.values();
        self.in_capsules.contains(token) || rows.any(|row| row.tokens.contains(token))
    }

    /// How many credentials the pair has that are live, and that are deleted.
    pub(crate) fn members(&self, pair: &str) -> (usize, usize) {
        let rows = self.credentials.values();
        let of_pair = rows.filter(|row| row.pair.as_deref() == Some(pair));
        let (live, deleted): (Vec<_>, Vec<_>) = of_pair.partition(|row| row.is_live);
        (live.len(), deleted.len())
    }
}

impl World {
    /// The ids of the live and of the deleted credentials, the oldest first.
    pub(crate) fn credential_ids(&self) -> (Vec<String>, Vec<String>) {
        let mut rows = self.items("credentials");
        rows.sort_by_key(|row| (text(row, "created_at"), text(row, "credential_id")));
        let (deleted, live): (Vec<Item>, Vec<Item>) = rows.into_iter().partition(is_deleted);
        let ids = |rows: Vec<Item>| {
            rows.iter()
                .filter_map(|it| text(it, "credential_id"))
                .collect()
        };
        (ids(live), ids(deleted))
    }

    /// The credentials that are live now.
    pub(crate) fn live_credentials(&self) -> Vec<LiveCredential> {
        let rows = self.items("credentials").into_iter();
        let live = rows.filter(|row| !is_deleted(row));
        live.map(|row| LiveCredential {
            id: text(&row, "credential_id").unwrap(),
            pair: text(&row, "pair_id"),
        })
        .collect()
    }

    /// Reads everything. The new records of the stream and the new capsules are read too.
    pub(crate) async fn snapshot(&mut self) -> Snapshot {
        self.read_streams();
        let mut snapshot = Snapshot::default();
        for row in self.items("credentials") {
            let credential = CredentialRow {
                is_live: !is_deleted(&row),
                pair: text(&row, "pair_id"),
                grant: text(&row, "grant_id"),
                state: text(&row, "state").unwrap_or_default(),
            };
            let id = text(&row, "credential_id").unwrap();
            snapshot.credentials.insert(id, credential);
        }
        for row in self.items("pairs") {
            if row.contains_key("client_id") {
                let id = text(&row, "pair_id").unwrap();
                snapshot.pairs.insert(id, pair_row(&row));
            }
        }
        for row in self.items("secrets") {
            let id = text(&row, "secret_id").unwrap();
            if let Some(credential) = id.strip_prefix("app#") {
                snapshot.apps.push(credential.to_owned());
            } else if let Some(grant) = id.strip_prefix("grant#") {
                let read = self.grant_row(grant, &row).await;
                snapshot.grants.insert(grant.to_owned(), read);
            }
        }
        for number in self.opened_capsules.len()..self.capsules.len() {
            let capsule = self.capsules[number].capsule.clone();
            let sealed = match &capsule {
                Capsule::Refresh(capsule) => &capsule.pair.sealed,
                Capsule::Authorization(capsule) => &capsule.row.sealed,
            };
            let token = self.open(capsule.grant(), sealed).await;
            self.opened_capsules.push(token);
        }
        let capsules = self.capsules.iter().zip(&self.opened_capsules);
        let waiting = capsules.filter(|(logged, _)| !logged.is_replayed);
        snapshot.in_capsules = waiting.map(|(_, token)| token.clone()).collect();
        snapshot.live = self.live_grants(&snapshot);
        snapshot
    }

    async fn grant_row(&mut self, id: &str, row: &Item) -> GrantRow {
        let sealed =
            ["sealed", "alt_sealed"].map(|name| row.get(name).cloned().unwrap_or_default());
        if !self.opened_rows.contains_key(&sealed) {
            let id: GrantId = id.parse().unwrap();
            let mut tokens = Vec::new();
            let (secrets, team) = (&self.backend.secrets, &self.team.id);
            let stored = repeat!(secrets.grant(team, id));
            if let Some(stored) = stored {
                for sealed in stored.sealed.iter().chain(&stored.stash) {
                    tokens.push(self.open(id, sealed).await);
                }
            }
            self.opened_rows.insert(sealed.clone(), tokens);
        }
        GrantRow {
            pair: text(row, "pair_id"),
            is_closed: row.contains_key("closed"),
            tokens: self.opened_rows[&sealed].clone(),
        }
    }

    async fn open(&self, grant: GrantId, sealed: &Sealed) -> String {
        let secret = SecretId::Grant(grant);
        let token = self.backend.open_refresh_token(&self.team, secret, sealed);
        token.await
    }

    fn live_grants(&self, snapshot: &Snapshot) -> HashMap<String, LiveGrant> {
        let zoom = &self.backend.zoom;
        let grants = zoom.grants().into_iter();
        let live = grants.filter(|grant| grant.alive && self.users.contains(&grant.user_id));
        live.map(|grant| {
            let is_it = |token: &&String| {
                zoom.grant_of(token) == Some(grant.id) && zoom.is_live_refresh_token(token)
            };
            let rows = snapshot.grants.iter();
            let rows: Vec<_> = rows
                .filter_map(|(id, row)| Some((id, row.tokens.iter().find(is_it)?)))
                .collect();
            let stored = rows.first().map(|(_, token)| *token);
            let live = LiveGrant {
                id: grant.id,
                pair: self.pair_id(&grant.user_id),
                held: stored
                    .or_else(|| snapshot.in_capsules.iter().find(is_it))
                    .cloned(),
                rows: rows.into_iter().map(|(id, _)| id.clone()).collect(),
            };
            (grant.user_id, live)
        })
        .collect()
    }
}

fn pair_row(row: &Item) -> PairRow {
    let number = |name| row.get(name).and_then(|value| value["N"].as_str());
    let count = |name| number(name).map_or(0, |number| number.parse().unwrap());
    let grants = row.get("grants").and_then(|value| value["SS"].as_array());
    let grants = grants.into_iter().flatten().filter_map(Value::as_str);
    PairRow {
        members: count("members"),
        live: count("live"),
        grants: grants.map(str::to_owned).collect(),
        expires: row.contains_key("expires_at"),
    }
}

fn is_deleted(row: &Item) -> bool {
    row.get("deleted")
        .is_some_and(|value| value["BOOL"] == true)
}

fn text(row: &Item, name: &str) -> Option<String> {
    Some(row.get(name)?["S"].as_str()?.to_owned())
}
