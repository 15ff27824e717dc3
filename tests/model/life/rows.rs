//! The rows of the tables `credentials`, `secrets` and `pairs`, the index, and the records of the stream.

use crate::ids::{CredentialId, GrantId, GrantSet, User};
use crate::process::ProcessSet;

/// A row of `credentials`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Credential {
    /// Soft-deleted: a restore or a purge may follow.
    pub(crate) deleted: bool,
    /// `grant_id`.
    pub(crate) grant: GrantId,
    /// `pair_id`: the pair in which the credential is counted. Today's protocol: the `zoom_user_id` of the profile.
    pub(crate) pair: Option<User>,
    /// The state is `invalid`.
    pub(crate) invalid: bool,
    /// Ghost: a restore answered that the grant is revoked.
    pub(crate) told: bool,
}

/// Which worker closed a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Closer {
    /// This worker of keep-alive, which still runs.
    Worker(u8),
    /// A worker that has ended. `closed` may be older than Q by now.
    Ended,
}

/// A row `grant#…` of `secrets`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct GrantRow {
    /// The row has tokens. A destroyed grant has none.
    pub(crate) sealed: bool,
    /// The state is `reconnect`, not `active`.
    pub(crate) reconnect: bool,
    /// `pair_id`: absent while the user is not known. Today's protocol does not use it.
    pub(crate) pair: Option<User>,
    /// `credential_id`: the credential for which the user authorized.
    pub(crate) credential: CredentialId,
    /// `closed`: the grant is given up for revocation.
    pub(crate) closed: Option<Closer>,
    /// Ghost: the processes that ran when the grant was closed and that still run. `closed` is older than Q only if
    /// there are none.
    pub(crate) closed_during: ProcessSet,
    /// A refresh was sent whose tokens are in a capsule in the log. The tokens of the row do not work any more.
    pub(crate) attempt: bool,
    /// Rises when the capsule of a refresh is replayed.
    pub(crate) generation: u8,
    /// `due_shard` is present: keep-alive looks at the grant in time.
    pub(crate) due: bool,
    /// `adoptions`, in today's protocol only.
    pub(crate) adoptions: u8,
}

impl GrantRow {
    /// The row that an authorization writes: the user is not known, and the grant is due now.
    pub(crate) const fn new(credential: CredentialId) -> Self {
        Self {
            sealed: true,
            reconnect: false,
            pair: None,
            credential,
            closed: None,
            closed_during: ProcessSet::EMPTY,
            attempt: false,
            generation: 0,
            due: true,
            adoptions: 0,
        }
    }

    /// Whether `closed` may be older than Q: its writer has ended, and so has every process that ran at the time.
    pub(crate) fn may_be_old(&self) -> bool {
        self.closed == Some(Closer::Ended) && self.closed_during.is_empty()
    }

    /// A row without tokens. It stays due: if its pair has no members, keep-alive deletes it.
    pub(crate) const fn destroyed(self) -> Self {
        Self {
            sealed: false,
            reconnect: true,
            closed: None,
            closed_during: ProcessSet::EMPTY,
            attempt: false,
            generation: 0,
            ..self
        }
    }
}

/// A row `pair#…` of `pairs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct PairRow {
    /// The row exists.
    pub(crate) exists: bool,
    /// How many credentials of the pair have a row. A count may fall below 0, as in DynamoDB.
    pub(crate) members: i8,
    /// How many of them are not deleted.
    pub(crate) live: i8,
    /// The pair's grants.
    pub(crate) grants: GrantSet,
    /// `deauthorized_at`, as the grants whose code was sent before that time.
    pub(crate) deauthorized: GrantSet,
    /// The TTL `expires_at` is set.
    pub(crate) expires: bool,
}

/// What the index `by-zoom-user` shows of a credential. The index may lag behind the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct IndexEntry {
    pub(crate) user: Option<User>,
    pub(crate) deleted: bool,
    pub(crate) grant: GrantId,
}

impl From<Credential> for IndexEntry {
    fn from(row: Credential) -> Self {
        Self {
            user: row.pair,
            deleted: row.deleted,
            grant: row.grant,
        }
    }
}

/// What a record of the stream tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum RecordKind {
    /// The credential was deleted.
    Deleted,
    /// The credential left this grant for another.
    Left,
    /// The TTL or an operator removed the row of the credential.
    Purged,
}

/// A record of the stream of `credentials`. Records may come late, in any order, and more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Record {
    pub(crate) kind: RecordKind,
    pub(crate) credential: CredentialId,
    /// The grant in the old image.
    pub(crate) grant: GrantId,
    /// The pair in the old image.
    pub(crate) pair: Option<User>,
}
