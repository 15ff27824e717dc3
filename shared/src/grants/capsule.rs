//! The recovery capsule: tokens that DynamoDB did not store, as text in a log line.
//!
//! A capsule holds ciphertext and ids only. It is CBOR in base64url, a third longer than its bytes, so that CloudWatch
//! does not cut the line. `zoom-vault capsule replay` stores the tokens once DynamoDB is back. Only the vault can open
//! them.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::counted;
use crate::credential::{CredentialId, GrantId, TeamId};
use crate::grants::commit::{StoredPair, store};
use crate::grants::stray::{Registered, register};
use crate::pair::{Pair, PairId};
use crate::stores::{
    self, AuthorizedGrant, CountChange, CredentialChanges, Credentials, GrantRef, GrantSecret,
    NewPair, Pairs, Secrets, StoredCredential,
};
use crate::timestamp::Timestamp;

/// Tokens that DynamoDB did not store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Capsule {
    /// A refreshed pair of a grant that has a row.
    Refresh(RefreshCapsule),
    /// A new grant.
    Authorization(AuthorizationCapsule),
}

/// A new token pair and the grant that it belongs to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RefreshCapsule {
    /// The team that owns the grant.
    pub team: TeamId,
    /// The grant.
    pub grant: GrantId,
    /// The sealed pair, with the other attributes of its row.
    pub pair: NewPair,
    /// Names the invocation that could not store the pair.
    pub writer: Uuid,
}

/// The tokens of a new authorization.
///
/// The name, `extra` and the client secret of a new credential are not in it: a data key seals once, and nothing is
/// logged in clear. So the replay of a create stores the tokens alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuthorizationCapsule {
    /// The team that owns the grant.
    pub team: TeamId,
    /// The grant.
    pub grant: GrantId,
    /// The grant's row, with the sealed tokens.
    pub row: GrantSecret,
    /// The user, if Zoom has said who it is. The user's other credentials then find the grant after the replay.
    pub zoom_user_id: Option<String>,
    /// The credential that was authorized again, as it was seen. `None` for a new credential, and for one that did not
    /// take the authorization.
    pub seen: Option<SeenCredential>,
}

/// What a credential had before its new authorization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenCredential {
    /// Its grant.
    pub grant: Option<GrantId>,
    /// Its pair.
    pub pair: Option<PairId>,
}

/// What a replay did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// The pair is the grant's pair now.
    Stored,
    /// A newer pair is stored. This pair is stashed, and used if Zoom refuses the newer pair.
    Stashed,
    /// The grant is stored without a credential, and the user's credentials find it at their next use. If the user is
    /// not known, keep-alive asks Zoom first, in its next run.
    Stray,
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

    /// The team that owns the grant.
    pub fn team(&self) -> &TeamId {
        match self {
            Self::Refresh(capsule) => &capsule.team,
            Self::Authorization(capsule) => &capsule.team,
        }
    }

    /// The grant.
    pub fn grant(&self) -> GrantId {
        match self {
            Self::Refresh(capsule) => capsule.grant,
            Self::Authorization(capsule) => capsule.grant,
        }
    }

    /// The credential that was authorized. `None` for a refresh.
    pub fn credential(&self) -> Option<CredentialId> {
        match self {
            Self::Refresh(_) => None,
            Self::Authorization(capsule) => Some(capsule.row.credential_id),
        }
    }

    /// Logs one line at error. Without `with_capsule` the line holds no capsule, and the pair is lost.
    pub(crate) fn log(&self, request_id: &str, with_capsule: bool) {
        let (team, grant_id) = (self.team().as_str(), self.grant().to_string());
        if with_capsule {
            let capsule = self.to_string();
            tracing::error!(
                request_id,
                team,
                grant_id,
                capsule,
                grants_not_stored = 1_u32,
                "tokens of a grant could not be stored: once DynamoDB is back, pipe this line into `zoom-vault capsule replay`"
            );
        } else {
            tracing::error!(
                request_id,
                team,
                grant_id,
                grants_not_stored = 1_u32,
                "tokens of a grant could not be stored and are lost, since RECOVERY_CAPSULES is off: its user has to authorize again"
            );
        }
    }

    /// Stores the tokens as the request would have. Idempotent.
    pub async fn replay(
        &self,
        credentials: &Credentials,
        pairs: &Pairs,
        secrets: &Secrets,
        until: Timestamp,
    ) -> Result<Replayed, stores::Error> {
        match self {
            Self::Refresh(capsule) => capsule.replay(secrets, until).await,
            Self::Authorization(capsule) => {
                capsule.replay(credentials, pairs, secrets, until).await
            }
        }
    }
}

impl RefreshCapsule {
    /// Stores the pair as the refresh would have.
    ///
    /// The pair is marked as late, because another invocation may have sent its predecessor to Zoom in the meantime.
    /// For the same reason a stashed pair stays.
    async fn replay(&self, secrets: &Secrets, until: Timestamp) -> Result<Replayed, stores::Error> {
        let Some(row) = secrets.grant(&self.team, self.grant).await? else {
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

impl AuthorizationCapsule {
    /// Gives the credential the grant, if it still has the grant and the pair that were seen. Otherwise stores the
    /// grant alone, and adds it to the pair of its user. The grant's id is fixed, so a second replay finds its row.
    async fn replay(
        &self,
        credentials: &Credentials,
        pairs: &Pairs,
        secrets: &Secrets,
        until: Timestamp,
    ) -> Result<Replayed, stores::Error> {
        if let Some(row) = secrets.grant(&self.team, self.grant).await? {
            if row.pair.is_none() && !self.is_taken(credentials).await? {
                // A crash may have cut an earlier replay in two.
                self.register(pairs, secrets, until).await?;
            }
            return Ok(Replayed::Known);
        }
        if let Some(stored) = self.taker(credentials).await? {
            let authorized = AuthorizedGrant {
                grant: GrantRef {
                    id: self.grant,
                    authorized_at: self.row.authorized_at,
                },
                scopes: self.row.scopes.clone(),
            };
            let changes = CredentialChanges::default();
            let (_, given) =
                credentials.reauthorize(&self.team, &stored, None, &authorized, changes)?;
            let left = match &stored.pair {
                Some(pair) => Some(pairs.count(&self.team, pair, CountChange::Left)?),
                None => None,
            };
            let given = given
                .and(secrets.insert_grant(self.grant, &self.row)?)
                .and_maybe(left);
            let id = stored.credential.credential_id;
            if counted::commit(given, &self.team, id, until)
                .await?
                .is_committed()
            {
                return Ok(Replayed::Stored);
            }
        }
        secrets
            .insert_stray_grant(self.grant, &self.row, until)
            .await?;
        Ok(match self.register(pairs, secrets, until).await? {
            Some(Registered::Deauthorized) => Replayed::Refused,
            Some(Registered::InPair | Registered::NoMembers | Registered::Gone) | None => {
                Replayed::Stray
            }
        })
    }

    /// Adds the grant to the pair of its user. Does nothing if the user is not known.
    async fn register(
        &self,
        pairs: &Pairs,
        secrets: &Secrets,
        until: Timestamp,
    ) -> Result<Option<Registered>, stores::Error> {
        let Some(zoom_user_id) = self.zoom_user_id.clone() else {
            return Ok(None);
        };
        let pair = Pair {
            team: self.team.clone(),
            client_id: self.row.client_id.clone(),
            zoom_user_id,
        };
        let sent_at = self.row.authorize_sent_at;
        let registered = register(pairs, secrets, &pair, self.grant, sent_at, until);
        Ok(Some(registered.await?))
    }

    /// Whether the credential that was authorized has the grant.
    async fn is_taken(&self, credentials: &Credentials) -> Result<bool, stores::Error> {
        let id = self.row.credential_id;
        let owner = credentials.get_including_deleted(&self.team, id).await?;
        Ok(owner.is_some_and(|owner| owner.has_grant(self.grant)))
    }

    /// The credential that may still take the grant.
    async fn taker(
        &self,
        credentials: &Credentials,
    ) -> Result<Option<StoredCredential>, stores::Error> {
        let Some(seen) = &self.seen else {
            return Ok(None);
        };
        let now = credentials.get(&self.team, self.row.credential_id).await?;
        Ok(now.filter(|now| {
            now.grant.map(|grant| grant.id) == seen.grant
                && now.pair == seen.pair
                && now.client_id == self.row.client_id
        }))
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
