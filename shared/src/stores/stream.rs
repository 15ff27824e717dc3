//! The stream of the table `credentials`: what it says of credentials that go, and of grants that they leave.

use serde::{Deserialize, Serialize};

use super::{Error, from_item};
use crate::credential::{CredentialId, GrantId, TeamId};

/// A record of the stream, as Lambda is given it.
#[derive(Debug, Deserialize)]
pub struct Record {
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

/// What a credential leaves behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remains {
    /// Whose it was.
    #[serde(rename = "team_id")]
    pub team: TeamId,
    /// Which it was.
    #[serde(rename = "credential_id")]
    pub credential: CredentialId,
    /// The grant it had. Others may have it too.
    #[serde(rename = "grant_id")]
    pub grant: Option<GrantId>,
}

/// How a credential went, or what it left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passed {
    /// It was deleted, and can be restored for a while.
    Deleted(Remains),
    /// After that: its row is gone for good.
    Purged(Remains),
    /// It has another grant now, and left this one. Not where its row is older than the one it replaced: somebody copied
    /// that from a backup, and the grant that it does not know of may be the one that lives.
    Left(Remains),
}

#[derive(Deserialize)]
struct Image {
    #[serde(flatten)]
    remains: Remains,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    version: u64,
}

impl Record {
    /// Names the record in its shard.
    pub fn sequence_number(&self) -> &str {
        &self.dynamodb.sequence_number
    }

    /// How a credential went or what it left, if that is what the record says. A row that was never deleted and is not
    /// there any more was taken by someone's hand, who may want to put it back: that is none.
    pub fn passed(self) -> Result<Option<Passed>, Error> {
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
                Some(Passed::Deleted(new.remains))
            }
            ("MODIFY", Some(old), Some(new))
                if old.remains.grant != new.remains.grant && new.version > old.version =>
            {
                Some(Passed::Left(old.remains))
            }
            ("REMOVE", Some(old), None) if old.deleted => Some(Passed::Purged(old.remains)),
            _ => None,
        })
    }
}
