//! The writes: each is one conditional write, or one transaction. This file has the writes that begin with a
//! credential; `write_grant.rs` has the others.

use crate::ids::{CredentialId, GrantId, GrantSet, User};
use crate::mistake::Mistake;
use crate::rows::{Closer, Credential, GrantRow, Record, RecordKind};
use crate::rules::Rule;
use crate::turn::{Cause, Turn};

/// What the write of an authorization contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Code {
    /// The code is for a new credential.
    pub(crate) creates: bool,
    pub(crate) credential: CredentialId,
    pub(crate) grant: GrantId,
    /// Who authorized. The vault does not know it before it reads the profile.
    pub(crate) user: User,
    /// The grant of the credential when it was read.
    pub(crate) seen_grant: GrantId,
    /// The pair of the credential when it was read.
    pub(crate) seen_pair: Option<User>,
}

/// A write that a process is about to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Write {
    /// T1: the credential learns its user, and is counted in the pair.
    Learn {
        credential: CredentialId,
        grant: GrantId,
        user: User,
    },
    /// T2: the credential points at a new grant.
    Authorize(Code),
    /// T2′: the row of the grant alone.
    StoreStray(Code),
    /// T2″: a stray becomes a grant of its pair.
    Register { grant: GrantId, user: User },
    /// T3: the credential moves to another grant of its pair.
    Move {
        credential: CredentialId,
        from: GrantId,
        to: GrantId,
    },
    /// T4.
    Delete {
        credential: CredentialId,
        pair: Option<User>,
    },
    /// T5. `usable`: the grant was read as active and not closed.
    Restore {
        credential: CredentialId,
        grant: GrantId,
        pair: Option<User>,
        usable: bool,
    },
    /// T6: a credential that the TTL removed is counted out.
    CountOut {
        credential: CredentialId,
        pair: Option<User>,
    },
    /// T6, with a mistake: the second of two writes.
    CountMember { pair: Option<User> },
    /// T6: the client secret and the token URLs.
    DeleteApp { credential: CredentialId },
    /// T6′: an operator removes a deleted credential.
    PurgeNow { credential: CredentialId },
    /// Marks a grant `reconnect` if Zoom refused this generation, and the credential that points at it `invalid`.
    Declare {
        grant: GrantId,
        refused: Option<u8>,
        credential: Option<CredentialId>,
        stays_due: bool,
    },
    /// T7. `superseded`: another grant of the pair was proven to work.
    DropDead {
        grant: GrantId,
        user: User,
        generation: u8,
        superseded: bool,
    },
    /// T7 for a grant without pair.
    DropNameless { grant: GrantId, generation: u8 },
    /// T8: the grants of a pair without members. `all`: the pair had no other grants, so its row gets a TTL.
    DropPair {
        user: User,
        grants: GrantSet,
        all: bool,
    },
    /// A pair without members and without grants gets a TTL.
    ExpirePair { user: User },
    /// T8′: a stray whose pair has no members.
    DropStray { grant: GrantId, user: User },
    /// T9. `pair_changed`: the version of the pair is not the one that was read.
    Close {
        user: User,
        grants: GrantSet,
        closer: Closer,
        pair_changed: bool,
    },
    /// T9′.
    Reopen { grants: GrantSet, closer: Closer },
    /// Removes the tokens from a row.
    Destroy { grant: GrantId, cause: Cause },
    /// T10: the mark `deauthorized_at`.
    Mark { user: User, grants: GrantSet },
}

/// The result of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Applied,
    /// A condition failed: something changed since it was read.
    Refused,
    /// The credential is deleted or has no row.
    Gone,
    /// The user deauthorized the app after the code was sent.
    Deauthorized,
}

/// `Applied` if the condition holds.
pub(crate) const fn applied_if(condition: bool) -> Outcome {
    if condition {
        Outcome::Applied
    } else {
        Outcome::Refused
    }
}

impl Turn<'_> {
    /// Sends a write.
    pub(crate) fn write(&mut self, write: Write) -> Outcome {
        match write {
            Write::Learn {
                credential,
                grant,
                user,
            } => self.learn(credential, grant, user),
            Write::Authorize(code) => self.authorize(code),
            Write::StoreStray(code) => self.store_stray(code),
            Write::Move {
                credential,
                from,
                to,
            } => self.move_credential(credential, from, to),
            Write::Delete { credential, pair } => self.delete(credential, pair),
            Write::Restore {
                credential,
                grant,
                pair,
                usable,
            } => self.restore_credential(credential, grant, pair, usable),
            Write::CountOut { credential, pair } => self.count_out(credential, pair),
            Write::CountMember { pair } => self.count_member(pair),
            Write::DeleteApp { credential } => {
                self.state.apps[usize::from(credential)] = false;
                Outcome::Applied
            }
            Write::PurgeNow { credential } => self.purge_now(credential),
            other => self.write_grant(other),
        }
    }

    /// T1.
    fn learn(&mut self, id: CredentialId, grant: GrantId, user: User) -> Outcome {
        let Some(mut row) = self.state.credential(id) else {
            return Outcome::Gone;
        };
        let same_grant = row.grant == grant || self.undone(Mistake::LearnIgnoresGrant);
        if self.is_today() {
            if row.deleted || !same_grant {
                return Outcome::Refused;
            }
            row.pair = Some(user);
            self.state.credentials[usize::from(id)] = Some(row);
            return Outcome::Applied;
        }
        let counts = row.pair.is_none() || self.undone(Mistake::LearnCountsTwice);
        let deletion = row.deleted && self.undone(Mistake::LearnRefusesDeleted);
        let sealed = self.state.sealed(grant);
        let has_row = sealed.is_some_and(|it| it.pair.is_none() || it.pair == Some(user));
        if !same_grant || !counts || deletion {
            return Outcome::Refused;
        }
        if !has_row && !self.undone(Mistake::LearnIgnoresMissingGrant) {
            return Outcome::Refused;
        }
        if self.is_barred(user, grant, Mistake::LearnIgnoresDeauthorization) {
            return Outcome::Deauthorized;
        }
        let live = !row.deleted || self.undone(Mistake::LearnCountsDeletedAsLive);
        row.pair = Some(user);
        self.state.credentials[usize::from(id)] = Some(row);
        let leaves_grant_out = self.undone(Mistake::LearnLeavesGrantOut);
        let keeps_expiry = self.undone(Mistake::LearnKeepsExpiry);
        let pair = &mut self.state.pairs[user.index()];
        pair.exists = true;
        pair.members += 1;
        pair.live += i8::from(live);
        pair.expires &= keeps_expiry;
        if !leaves_grant_out {
            pair.grants.insert(grant);
        }
        self.state.pair_written(user);
        if let Some(row) = self.state.grant_mut(grant) {
            row.pair = Some(user);
        }
        Outcome::Applied
    }

    /// T2.
    fn authorize(&mut self, code: Code) -> Outcome {
        let id = usize::from(code.credential);
        let before = self.state.credentials[id];
        if code.creates {
            if before.is_some() || self.state.gone[id] {
                return Outcome::Gone;
            }
        } else {
            let Some(row) = before else {
                return Outcome::Gone;
            };
            if row.deleted && !self.undone(Mistake::AuthorizeIgnoresDeletion) {
                return Outcome::Gone;
            }
            let same_grant =
                row.grant == code.seen_grant || self.undone(Mistake::AuthorizeIgnoresSeenGrant);
            let same_pair =
                row.pair == code.seen_pair || self.undone(Mistake::AuthorizeIgnoresSeenPair);
            if !same_grant || (!same_pair && !self.is_today()) {
                return Outcome::Refused;
            }
        }
        let replaces = self.undone(Mistake::AuthorizeReplacesGrant);
        if self.state.grant(code.grant).is_some() && !replaces {
            return Outcome::Gone;
        }
        let counts = !self.is_today() && !self.undone(Mistake::AuthorizeKeepsOldCount);
        if let (Some(user), true) = (code.seen_pair, counts) {
            let pair = &mut self.state.pairs[user.index()];
            pair.members -= 1;
            pair.live -= 1;
            self.state.pair_written(user);
        }
        if let Some(row) = before {
            self.tell_left(code.credential, row);
        }
        self.state.apps[id] = true;
        self.state.credentials[id] = Some(Credential {
            deleted: false,
            grant: code.grant,
            pair: None,
            invalid: false,
            told: false,
        });
        self.put_grant(code);
        Outcome::Applied
    }

    /// T2′.
    fn store_stray(&mut self, code: Code) -> Outcome {
        let absent = self.state.grant(code.grant).is_none();
        if absent || self.undone(Mistake::AuthorizeReplacesGrant) {
            self.put_grant(code);
        }
        applied_if(absent)
    }

    fn put_grant(&mut self, code: Code) {
        self.state.ghost.unneeded.remove(code.grant);
        self.state.ghost.lost.remove(code.grant);
        self.state.grants[usize::from(code.grant)] = Some(GrantRow {
            due: !self.undone(Mistake::AuthorizeIsNotDue),
            ..GrantRow::new(code.credential)
        });
    }

    fn tell_left(&mut self, credential: CredentialId, row: Credential) {
        self.tell(Record {
            kind: RecordKind::Left,
            credential,
            grant: row.grant,
            pair: row.pair,
        });
    }

    /// T3.
    fn move_credential(&mut self, id: CredentialId, from: GrantId, to: GrantId) -> Outcome {
        let Some(mut row) = self.state.credential(id) else {
            return Outcome::Gone;
        };
        if row.deleted && !self.undone(Mistake::MoveIgnoresDeletion) {
            return Outcome::Gone;
        }
        let same_grant = row.grant == from || self.undone(Mistake::MoveIgnoresFrom);
        if !same_grant || from == to {
            return Outcome::Refused;
        }
        if !self.is_today() {
            let open = |closed: Option<Closer>| {
                closed.is_none() || self.undone(Mistake::MoveIgnoresClosed)
            };
            let target = self.state.sealed(to);
            let usable = target.is_some_and(|it| {
                !it.reconnect && row.pair.is_some() && it.pair == row.pair && open(it.closed)
            });
            if !usable && !self.undone(Mistake::MoveIgnoresTarget) {
                return Outcome::Refused;
            }
            if let Some(target) = self.state.grant_mut(to) {
                target.due = true;
            }
        }
        if self.state.zoom.is_live(row.grant) {
            self.state.violate(Rule::Moved);
        }
        self.tell_left(id, row);
        row.grant = to;
        row.invalid = false;
        row.told = false;
        self.state.credentials[usize::from(id)] = Some(row);
        Outcome::Applied
    }

    /// T4.
    fn delete(&mut self, id: CredentialId, pair: Option<User>) -> Outcome {
        let Some(mut row) = self.state.live_credential(id) else {
            return Outcome::Gone;
        };
        if row.pair != pair && !self.undone(Mistake::DeleteIgnoresSeenPair) {
            return Outcome::Refused;
        }
        row.deleted = true;
        self.state.credentials[usize::from(id)] = Some(row);
        if let (Some(user), false) = (pair, self.is_today()) {
            self.state.pairs[user.index()].live -= i8::from(!self.undone(Mistake::DeleteKeepsLive));
            self.state.pair_written(user);
        }
        self.tell(Record {
            kind: RecordKind::Deleted,
            credential: id,
            grant: row.grant,
            pair: row.pair,
        });
        Outcome::Applied
    }

    /// T5. A credential whose grant cannot be used is restored as `invalid`, and the answer says so.
    fn restore_credential(
        &mut self,
        id: CredentialId,
        grant: GrantId,
        pair: Option<User>,
        usable: bool,
    ) -> Outcome {
        let Some(mut row) = self.state.credential(id).filter(|it| it.deleted) else {
            return Outcome::Gone;
        };
        let same_pair = row.pair == pair || self.undone(Mistake::RestoreIgnoresSeenPair);
        let as_read = self.state.is_usable(grant) == usable;
        let closed = self
            .state
            .sealed(grant)
            .is_some_and(|it| it.closed.is_some());
        let as_read = as_read || (closed && self.undone(Mistake::RestoreIgnoresClosed));
        let same_pair = same_pair || self.is_today();
        if row.grant != grant || !same_pair || !as_read {
            return Outcome::Refused;
        }
        row.deleted = false;
        row.invalid |= !usable;
        row.told = !usable;
        self.state.credentials[usize::from(id)] = Some(row);
        if let (Some(user), false) = (pair, self.is_today()) {
            self.state.pairs[user.index()].live +=
                i8::from(!self.undone(Mistake::RestoreKeepsLive));
            self.state.pair_written(user);
        }
        if let (Some(grant), true) = (self.state.grant_mut(grant), usable) {
            grant.due = true;
        }
        Outcome::Applied
    }

    /// T6.
    fn count_out(&mut self, id: CredentialId, pair: Option<User>) -> Outcome {
        let gone = self.state.gone[usize::from(id)];
        self.state.gone[usize::from(id)] = true;
        let twice = self.undone(Mistake::CountOutIgnoresGone);
        if (gone && !twice) || self.undone(Mistake::CountOutInTwoWrites) {
            return applied_if(!gone);
        }
        self.count_member(pair)
    }

    fn count_member(&mut self, pair: Option<User>) -> Outcome {
        if let Some(user) = pair {
            self.state.pairs[user.index()].members -= 1;
            self.state.pair_written(user);
        }
        Outcome::Applied
    }

    /// T6′.
    fn purge_now(&mut self, id: CredentialId) -> Outcome {
        let Some(row) = self.state.credential(id) else {
            return Outcome::Gone;
        };
        if !row.deleted && !self.undone(Mistake::PurgeIgnoresRestore) {
            return Outcome::Gone;
        }
        self.state.credentials[usize::from(id)] = None;
        self.tell(Record {
            kind: RecordKind::Purged,
            credential: id,
            grant: row.grant,
            pair: row.pair,
        });
        self.state.gone[usize::from(id)] = true;
        self.count_member(row.pair)
    }

    /// Whether the user deauthorized the app after the code of this grant was sent.
    pub(crate) fn is_barred(&self, user: User, grant: GrantId, mistake: Mistake) -> bool {
        self.state.pair(user).deauthorized.contains(grant) && !self.undone(mistake)
    }
}
