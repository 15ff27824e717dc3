//! The recovery capsule: a pair of tokens that DynamoDB would not take, as one word in the log.
//!
//! It holds ciphertext and ids only, as CBOR in base64url: a third longer than the bytes, so that no log cuts it off. `cli capsule replay` writes it where it belongs, once DynamoDB is back; it opens
//! nowhere else.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use shared::credential::{GrantId, TeamId};
use shared::stores::{self, NewPair, Secrets};
use shared::timestamp::Timestamp;
use uuid::Uuid;

use crate::grants::found;
use crate::refresh::{Landed, store};

/// A new pair and the grant that it is for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Capsule {
    /// Whose.
    pub team: TeamId,
    /// Which grant's.
    pub grant: GrantId,
    /// The pair, sealed, and what goes with it.
    pub pair: NewPair,
    /// Who could not write it.
    writer: Uuid,
}

/// What became of a capsule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// It is the grant's pair.
    Stored,
    /// Another pair was stored since: this one is kept beside it, and tried should Zoom refuse the other.
    Stashed,
    /// It had been stored, and only the answer was lost.
    Known,
    /// The grant's tokens were destroyed since, on purpose: it was not stored.
    Refused,
}

/// The text is no capsule.
#[derive(Debug, thiserror::Error)]
#[error("not a capsule")]
pub struct NoCapsule;

impl Capsule {
    /// What its text begins with.
    pub const PREFIX: &str = "zcvcap1_";

    /// Of the pair that `writer` could not write.
    pub fn new(team: &TeamId, grant: GrantId, pair: NewPair, writer: Uuid) -> Self {
        Self {
            team: team.clone(),
            grant,
            pair,
            writer,
        }
    }

    /// One line, at error. Unless it is `shown` there, the pair is lost with it.
    pub(crate) fn log(&self, request_id: &str, shown: bool) {
        let (team, grant_id) = (self.team.as_str(), self.grant.to_string());
        if shown {
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

    /// Stores the pair as the refresh would have. That it comes late is written down with it: someone may have sent
    /// its predecessor again meanwhile; so a stashed pair stays too. Again and again it does no more than once.
    pub async fn replay(
        &self,
        secrets: &Secrets,
        until: Timestamp,
    ) -> Result<Replayed, stores::Error> {
        let Some(row) = found(secrets.grant(self.grant).await)? else {
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
            Landed::Current { .. } => Replayed::Stored,
            Landed::Beside { .. } => Replayed::Stashed,
            Landed::Nowhere => Replayed::Refused,
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
    type Err = NoCapsule;

    fn from_str(text: &str) -> Result<Self, NoCapsule> {
        let encoded = text.strip_prefix(Self::PREFIX).ok_or(NoCapsule)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| NoCapsule)?;
        ciborium::from_reader(&*bytes).map_err(|_| NoCapsule)
    }
}
