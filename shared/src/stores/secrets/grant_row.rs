//! The types of a grant's row in the table `secrets`.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::table::attributes;
use crate::credential::{ClientId, CredentialId, GrantId, ReconnectReason, TeamId};
use crate::envelope::sealed::Sealed;
use crate::pair::PairId;
use crate::stores::credentials::{AuthorizedGrant, GrantRef};
use crate::stores::error::Error;
use crate::stores::item::{Item, from_item, number};
use crate::timestamp::Timestamp;

/// The prefix of the attributes of a second sealed secret in a row: the stashed pair of a grant, the previous secret of
/// a vendor.
pub(super) const STASH_PREFIX: &str = "alt_";
/// The attributes of the stashed pair.
pub(super) const STASH_ATTRIBUTES: [&str; 4] =
    ["alt_dek", "alt_kid", "alt_sealed", "alt_generation"];
/// The attributes of a sealed secret.
const SEALED_ATTRIBUTES: [&str; 4] = ["dek", "kid", "sealed", "generation"];

/// Whether a grant can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantState {
    /// The grant works, as far as the vault knows.
    Active,
    /// The user must authorize again, for this reason.
    Reconnect(ReconnectReason),
}

/// The exclusive right to refresh a grant. It lasts as long as an invocation can last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Names this lease. The next lease of the same invocation has another id, so that a late release cannot end it.
    pub id: Uuid,
    /// When the lease was taken, in milliseconds.
    pub taken_at: i64,
    /// When the lease ends, in milliseconds. The holder's invocation has ended by then.
    pub until: i64,
}

/// A record that a generation's refresh token may have been sent to Zoom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshAttempt {
    /// The lease under which the token may have been sent.
    pub id: Uuid,
    /// The generation whose refresh token may have been sent.
    pub generation: u64,
    /// When the attempt was recorded, in milliseconds.
    pub at: i64,
}

/// A grant's row.
#[derive(Clone, Debug)]
pub struct StoredGrant {
    /// The team of the grant.
    pub team_id: TeamId,
    /// The Zoom app that the user authorized.
    pub client_id: ClientId,
    /// The scopes that the user consented to, separated by commas. `None` if Zoom did not say.
    pub scopes: Option<String>,
    /// The pair of the app and the user. `None` while the vault does not know the user. Then only `credential_id` can
    /// have this grant.
    pub pair: Option<PairId>,
    /// When the grant was given up for revocation, in milliseconds. Only the revocation may use a closed grant.
    pub closed: Option<i64>,
    /// The credential that the user authorized. Other credentials may use the grant too, or instead.
    pub credential_id: CredentialId,
    /// The tokens. `None` after they were destroyed; then the user must authorize again.
    pub sealed: Option<Sealed>,
    /// When the access token expires, in milliseconds.
    pub access_expires_at: i64,
    /// When the vault sent the authorization code to Zoom, in milliseconds.
    pub authorize_sent_at: i64,
    /// When Zoom answered the authorization, in milliseconds.
    pub authorized_at: i64,
    /// When the vault stored the tokens, in milliseconds.
    pub committed_at: i64,
    /// When Zoom last issued tokens. `None` after they were destroyed.
    pub refreshed_at: Option<Timestamp>,
    /// Since when the keep-alive schedule counts the grant as unused. `None` after the tokens were destroyed.
    pub idle_since: Option<Timestamp>,
    /// The host of Zoom's REST API for this user, if Zoom named a host.
    pub api_url: Option<String>,
    /// Whether the grant can be used.
    pub state: GrantState,
    /// Whether an import has stored the grant and has not given it to a credential yet.
    pub importing: bool,
    /// The lease, if a request took it.
    pub lease: Option<Lease>,
    /// An unfinished refresh of this generation.
    pub attempt: Option<RefreshAttempt>,
    /// A pair that came too late to be committed. Zoom may accept this pair instead of the committed one. It is
    /// sealed with the generation that it would have had, which may be much lower than the row's.
    pub stash: Option<Sealed>,
    generation: u64,
    is_marked_active: bool,
    pub(super) writer: Option<Uuid>,
}

#[derive(Deserialize)]
struct GrantRow {
    team_id: TeamId,
    client_id: ClientId,
    scopes: Option<String>,
    #[serde(rename = "pair_id")]
    pair: Option<PairId>,
    closed: Option<i64>,
    credential_id: CredentialId,
    access_expires_at: i64,
    authorize_sent_at: i64,
    authorized_at: i64,
    /// Absent before the first refresh.
    committed_at: Option<i64>,
    refreshed_at: Option<Timestamp>,
    idle_since: Option<Timestamp>,
    api_url: Option<String>,
    generation: u64,
    state: GrantRowState,
    reason: Option<ReconnectReason>,
    #[serde(default)]
    importing: bool,
    lease_id: Option<Uuid>,
    lease_at: Option<i64>,
    lease_until: Option<i64>,
    attempt: Option<RefreshAttempt>,
    writer: Option<Uuid>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum GrantRowState {
    Active,
    Reconnect,
}

impl StoredGrant {
    pub(super) fn read(item: Item) -> Result<Self, Error> {
        let sealed: Option<Sealed> = sealed_attributes(&item, "").map(from_item).transpose()?;
        let stash = sealed_attributes(&item, STASH_PREFIX)
            .map(from_item)
            .transpose()?;
        if !["client_id", "authorized_at"]
            .iter()
            .all(|name| item.contains_key(*name))
        {
            return Err(Error::earlier_version());
        }
        let row: GrantRow = from_item(item)?;
        let generation = row.generation;
        let is_marked_active = matches!(row.state, GrantRowState::Active);
        Ok(Self {
            is_marked_active,
            state: match row.state {
                GrantRowState::Active if row.closed.is_some() => {
                    GrantState::Reconnect(ReconnectReason::Revoked)
                }
                GrantRowState::Active if sealed.is_none() => {
                    let broken = serde::de::Error::custom("an active grant has no tokens");
                    return Err(Error::Shape(broken));
                }
                GrantRowState::Active => GrantState::Active,
                GrantRowState::Reconnect => {
                    GrantState::Reconnect(row.reason.unwrap_or(ReconnectReason::Revoked))
                }
            },
            lease: row.lease_id.zip(row.lease_at).zip(row.lease_until).map(
                |((id, taken_at), until)| Lease {
                    id,
                    taken_at,
                    until,
                },
            ),
            attempt: row
                .attempt
                .filter(|attempt| attempt.generation == generation),
            team_id: row.team_id,
            client_id: row.client_id,
            scopes: row.scopes,
            pair: row.pair,
            closed: row.closed,
            credential_id: row.credential_id,
            sealed,
            access_expires_at: row.access_expires_at,
            authorize_sent_at: row.authorize_sent_at,
            authorized_at: row.authorized_at,
            committed_at: row.committed_at.unwrap_or(row.authorized_at),
            refreshed_at: row.refreshed_at,
            idle_since: row.idle_since,
            api_url: row.api_url,
            importing: row.importing,
            stash,
            generation,
            writer: row.writer,
        })
    }

    /// The row for the revocation, which may use a closed grant.
    #[must_use]
    pub fn opened_for_revocation(mut self) -> Self {
        if self.closed.is_some() && self.is_marked_active && self.sealed.is_some() {
            self.state = GrantState::Active;
        }
        self
    }

    /// Whether Zoom has refused the grant, or its tokens were destroyed.
    pub(super) fn is_marked_dead(&self) -> bool {
        !self.is_marked_active
    }

    /// What a credential's row says about this grant.
    pub fn authorized(&self, id: GrantId) -> AuthorizedGrant {
        AuthorizedGrant {
            grant: GrantRef {
                id,
                authorized_at: self.authorized_at,
            },
            scopes: self.scopes.clone(),
        }
    }

    /// The generation of the committed pair.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The lease, if it is held at `now`.
    pub fn held_lease(&self, now: Timestamp) -> Option<Lease> {
        self.lease.filter(|lease| lease.until >= now.as_millis())
    }
}

/// The sealed secret whose attributes begin with `prefix`. The result has the names without the prefix.
pub(super) fn sealed_attributes(item: &Item, prefix: &str) -> Option<Item> {
    let mut pair: Item = HashMap::new();
    for name in SEALED_ATTRIBUTES {
        let value = item.get(&format!("{prefix}{name}"))?;
        pair.insert(name.to_owned(), value.clone());
    }
    Some(pair)
}

/// The attributes that store `sealed` as the stashed pair.
pub(super) fn stash_attributes(sealed: &Sealed) -> [(&'static str, AttributeValue); 4] {
    let [(_, dek), (_, kid), (_, bytes)] = attributes(sealed);
    let generation = number(&sealed.generation());
    let [a, b, c, d] = STASH_ATTRIBUTES;
    [(a, dek), (b, kid), (c, bytes), (d, generation)]
}
