//! The stream of the table `credentials`: which credentials were deleted or removed, and which grants they left.

use serde::{Deserialize, Serialize};

use crate::credential::{CredentialId, GrantId, TeamId};
use crate::pair::PairId;
use crate::stores::error::Error;
use crate::stores::item::from_item;

/// A record of the stream, as Lambda passes it to the function.
#[derive(Debug, Deserialize)]
pub struct StreamRecord {
    #[serde(rename = "eventName")]
    name: String,
    dynamodb: Images,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Images {
    sequence_number: String,
    old_image: Option<serde_dynamo::Item>,
    new_image: Option<serde_dynamo::Item>,
}

/// The ids of a credential, its team and its grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialIds {
    /// The team of the credential.
    #[serde(rename = "team_id")]
    pub team: TeamId,
    /// The credential.
    #[serde(rename = "credential_id")]
    pub credential: CredentialId,
    /// The grant of the credential. Other credentials may use the same grant.
    #[serde(rename = "grant_id")]
    pub grant: Option<GrantId>,
    /// The pair that counts the credential.
    #[serde(rename = "pair_id")]
    pub pair: Option<PairId>,
}

/// A change of a credential after which its pair, its grant or its secrets need attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CleanupTrigger {
    /// The credential was soft-deleted. It can be restored for a while.
    SoftDeleted(CredentialIds),
    /// The row of a soft-deleted credential was removed. Its secrets are of no use any more.
    Purged(CredentialIds),
    /// The credential has another grant now. Holds the ids with the old grant.
    ///
    /// A row that was overwritten with an older row from a backup does not count. The grant that the older row does
    /// not know may be the one that works.
    GrantReplaced(CredentialIds),
}

#[derive(Deserialize)]
struct Image {
    #[serde(flatten)]
    ids: CredentialIds,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    version: u64,
}

impl StreamRecord {
    /// The sequence number of the record in its shard.
    pub fn sequence_number(&self) -> &str {
        &self.dynamodb.sequence_number
    }

    /// The cleanup that the record calls for, if any.
    ///
    /// The removal of a row that was not soft-deleted calls for none. A person removed it by hand and may want to put
    /// it back.
    pub fn cleanup_trigger(self) -> Result<Option<CleanupTrigger>, Error> {
        let Images {
            old_image,
            new_image,
            ..
        } = self.dynamodb;
        let read = |image: Option<serde_dynamo::Item>| {
            let image = image.map(|item| from_item::<Image>(item.into()));
            image.transpose()
        };
        let (old, new) = (read(old_image)?, read(new_image)?);
        let was_deleted = old.as_ref().is_some_and(|old| old.deleted);
        Ok(match (self.name.as_str(), old, new) {
            ("MODIFY", _, Some(new)) if new.deleted && !was_deleted => {
                Some(CleanupTrigger::SoftDeleted(new.ids))
            }
            ("MODIFY", Some(old), Some(new))
                if old.ids.grant != new.ids.grant && new.version > old.version =>
            {
                Some(CleanupTrigger::GrantReplaced(old.ids))
            }
            ("REMOVE", Some(old), None) if old.deleted => Some(CleanupTrigger::Purged(old.ids)),
            _ => None,
        })
    }
}
