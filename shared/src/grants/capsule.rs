//! The recovery capsule: a new token pair that DynamoDB did not store, as text in a log line.
//!
//! A capsule holds ciphertext and ids only. It is CBOR in base64url, a third longer than its bytes, so that CloudWatch
//! does not cut the line. `cli capsule replay` stores the pair once DynamoDB is back. Only the vault can open the pair.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::credential::{GrantId, TeamId};
use crate::grants::commit::{StoredPair, store};
use crate::stores::{self, NewPair, Secrets};
use crate::timestamp::Timestamp;

/// A new token pair and the grant that it belongs to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Capsule {
    /// The team that owns the grant.
    pub team: TeamId,
    /// The grant.
    pub grant: GrantId,
    /// The sealed pair, with the other attributes of its row.
    pub pair: NewPair,
    /// Names the invocation that could not store the pair.
    writer: Uuid,
}

/// What a replay did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// The pair is the grant's pair now.
    Stored,
    /// A newer pair is stored. This pair is stashed, and used if Zoom refuses the newer pair.
    Stashed,
    /// The pair was stored before. Only the answer to that write was lost.
    Known,
    /// The grant's tokens were destroyed on purpose, so the pair was not stored.
    Refused,
}

/// The text is not a capsule.
#[derive(Debug, thiserror::Error)]
#[error("not a capsule")]
pub struct NotACapsule;

impl Capsule {
    /// The prefix of every capsule's text.
    pub const PREFIX: &str = "zcvcap1_";

    /// A capsule for the pair that `writer` could not store.
    pub fn new(team: &TeamId, grant: GrantId, pair: NewPair, writer: Uuid) -> Self {
        Self {
            team: team.clone(),
            grant,
            pair,
            writer,
        }
    }

    /// Logs one line at error. Without `with_capsule` the line holds no capsule, and the pair is lost.
    pub(crate) fn log(&self, request_id: &str, with_capsule: bool) {
        let (team, grant_id) = (self.team.as_str(), self.grant.to_string());
        if with_capsule {
            let capsule = self.to_string();
            tracing::error!(
                request_id,
                team,
                grant_id,
                capsule,
                grants_not_stored = 1_u32,
                "a refreshed grant could not be stored: once DynamoDB is back, pipe this line into `cli capsule replay`"
            );
        } else {
            tracing::error!(
                request_id,
                team,
                grant_id,
                grants_not_stored = 1_u32,
                "a refreshed grant could not be stored and is lost, since RECOVERY_CAPSULES is off: its user has to authorize again"
            );
        }
    }

    /// Stores the pair as the refresh would have. Idempotent.
    ///
    /// The pair is marked as late, because another invocation may have sent its predecessor to Zoom in the meantime.
    /// For the same reason a stashed pair stays.
    pub async fn replay(
        &self,
        secrets: &Secrets,
        until: Timestamp,
    ) -> Result<Replayed, stores::Error> {
        let Some(row) = secrets.grant(self.grant).await? else {
            return Ok(Replayed::Refused);
        };
        let mut kept = row.sealed.iter().chain(&row.stash);
        if kept.any(|sealed| *sealed == self.pair.sealed) {
            return Ok(Replayed::Known);
        }
        let pair = NewPair {
            late: true,
            ..self.pair.clone()
        };
        let stored = store(secrets, self.grant, &pair, self.writer, false, until);
        Ok(match stored.await? {
            StoredPair::Current { .. } => Replayed::Stored,
            StoredPair::Stashed { .. } => Replayed::Stashed,
            StoredPair::GrantDestroyed => Replayed::Refused,
        })
    }
}

impl fmt::Display for Capsule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::new();
        ciborium::into_writer(self, &mut bytes).map_err(|_| fmt::Error)?;
        write!(f, "{}{}", Self::PREFIX, URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Capsule {
    type Err = NotACapsule;

    fn from_str(text: &str) -> Result<Self, NotACapsule> {
        let encoded = text.strip_prefix(Self::PREFIX).ok_or(NotACapsule)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| NotACapsule)?;
        ciborium::from_reader(&*bytes).map_err(|_| NotACapsule)
    }
}
