//! The writes that begin with a grant or a pair.

use crate::ids::{CredentialId, GrantId, GrantSet, User};
use crate::mistake::Mistake;
use crate::process::ProcessSet;
use crate::rows::{Closer, GrantRow, PairRow};
use crate::state::State;
use crate::turn::{Cause, Turn};
use crate::write::{Outcome, Write, applied_if};

impl Turn<'_> {
    pub(crate) fn write_grant(&mut self, write: Write) -> Outcome {
        match write {
            Write::Register { grant, user } => self.register(grant, user),
            Write::Declare {
                grant,
                refused,
                credential,
                stays_due,
            } => self.declare(grant, refused, credential, stays_due),
            Write::DropDead {
                grant,
                user,
                generation,
                superseded,
            } => self.drop_dead(grant, user, generation, superseded),
            Write::DropNameless { grant, generation } => self.drop_nameless(grant, generation),
            Write::DropPair { user, grants, all } => self.drop_pair(user, grants, all),
            Write::ExpirePair { user } => self.expire_pair(user),
            Write::DropStray { grant, user } => self.drop_stray(grant, user),
            Write::Close {
                user,
                grants,
                closer,
                pair_changed,
            } => self.close(user, grants, closer, pair_changed),
            Write::Reopen { grants, closer } => self.reopen(grants, closer),
            Write::Destroy { grant, cause } => {
                self.destroy(grant, cause);
                Outcome::Applied
            }
            Write::Mark { user, grants } => self.mark(user, grants),
            _ => Outcome::Refused,
        }
    }

    /// T2″.
    fn register(&mut self, grant: GrantId, user: User) -> Outcome {
        let sealed = self.state.sealed(grant);
        let fits = sealed.is_some_and(|it| it.pair.is_none() || it.pair == Some(user));
        let absent = self.state.grant(grant).is_none();
        if absent && self.undone(Mistake::RegisterIgnoresMissingGrant) {
            // An update of a row that does not exist creates the row.
            self.state.grants[usize::from(grant)] = Some(GrantRow {
                sealed: false,
                ..GrantRow::new(0)
            });
        } else if !fits {
            return Outcome::Refused;
        }
        if self.is_barred(user, grant, Mistake::RegisterIgnoresDeauthorization) {
            return Outcome::Deauthorized;
        }
        let pair = self.state.pair(user);
        let has_members = pair.exists && pair.members > 0;
        if !has_members && !self.undone(Mistake::RegisterIgnoresMembers) {
            return Outcome::Refused;
        }
        self.state.pairs[user.index()].exists = true;
        self.state.pairs[user.index()].grants.insert(grant);
        self.state.pair_written(user);
        if let Some(row) = self.state.grant_mut(grant) {
            row.pair = Some(user);
        }
        Outcome::Applied
    }

    fn declare(
        &mut self,
        grant: GrantId,
        refused: Option<u8>,
        credential: Option<CredentialId>,
        stays_due: bool,
    ) -> Outcome {
        let sealed = self.state.sealed(grant);
        let moved = credential.is_some_and(|it| !self.state.points_at(it, grant));
        let refreshed = refused.is_some() && sealed.map(|it| it.generation) != refused;
        if moved || refreshed {
            return Outcome::Refused;
        }
        if let (Some(row), Some(_)) = (self.state.grant_mut(grant), refused) {
            row.reconnect = true;
            row.due &= stays_due;
        }
        if let Some(id) = credential {
            self.mark_invalid(id, grant);
        }
        Outcome::Applied
    }

    /// T7.
    fn drop_dead(
        &mut self,
        grant: GrantId,
        user: User,
        generation: u8,
        superseded: bool,
    ) -> Outcome {
        // The last grant of a pair without members goes with T8, which sets the TTL.
        let has_members = self.state.pair(user).members > 0;
        let leaves_row = !has_members && !self.undone(Mistake::DropIgnoresMembers);
        if leaves_row || !self.may_drop(grant, generation, superseded) {
            return Outcome::Refused;
        }
        self.destroy(grant, Cause::Refused);
        self.state.pairs[user.index()].grants.remove(grant);
        self.state.pair_written(user);
        Outcome::Applied
    }

    /// T7 for a grant without pair.
    fn drop_nameless(&mut self, grant: GrantId, generation: u8) -> Outcome {
        let nameless = self.state.sealed(grant).is_some_and(|it| it.pair.is_none());
        if !nameless || !self.may_drop(grant, generation, false) {
            return Outcome::Refused;
        }
        let pointed_at = self.state.holders(grant).next().is_some();
        if pointed_at && self.undone(Mistake::DropIgnoresPointer) {
            self.destroy(grant, Cause::Unneeded);
        }
        self.destroy(grant, Cause::Refused);
        Outcome::Applied
    }

    fn may_drop(&self, grant: GrantId, generation: u8, superseded: bool) -> bool {
        let ignores_attempt = superseded || self.undone(Mistake::DropIgnoresAttempt);
        let ignores_generation = self.undone(Mistake::DropIgnoresGeneration);
        self.state.sealed(grant).is_some_and(|it| {
            (it.generation == generation || ignores_generation) && (!it.attempt || ignores_attempt)
        })
    }

    /// T8.
    fn drop_pair(&mut self, user: User, grants: GrantSet, all: bool) -> Outcome {
        let pair = self.state.pair(user);
        let unneeded = pair.members == 0 || self.undone(Mistake::DropPairIgnoresMembers);
        let ignores_young = self.undone(Mistake::DropPairIgnoresYoung);
        let deletable = grants.iter().all(|grant| {
            let fits = |it: GrantRow| it.pair == Some(user);
            self.state.grant(grant).is_none_or(fits) && (ignores_young || !self.is_young(grant))
        });
        let as_seen = !all || pair.grants == grants;
        if !pair.exists || !unneeded || !deletable || !as_seen {
            return Outcome::Refused;
        }
        for grant in grants.iter() {
            self.destroy(grant, Cause::Unneeded);
            self.state.grants[usize::from(grant)] = None;
        }
        let pair = &mut self.state.pairs[user.index()];
        pair.grants = pair.grants.without(grants);
        pair.expires |= all;
        self.state.pair_written(user);
        Outcome::Applied
    }

    fn expire_pair(&mut self, user: User) -> Outcome {
        let PairRow {
            members, grants, ..
        } = self.state.pair(user);
        let unused = members == 0 && grants.is_empty();
        let pair = &mut self.state.pairs[user.index()];
        pair.expires |= unused && pair.exists;
        applied_if(unused)
    }

    /// T8′.
    fn drop_stray(&mut self, grant: GrantId, user: User) -> Outcome {
        let Some(row) = self.state.sealed(grant) else {
            return Outcome::Refused;
        };
        let pair = self.state.pair(user);
        let unneeded = pair.members == 0 || self.undone(Mistake::DropStrayIgnoresMembers);
        let old = !self.is_young(grant) || self.undone(Mistake::DropStrayIgnoresYoung);
        let stray = !self.state.points_at(row.credential, grant)
            || self.undone(Mistake::DropStrayIgnoresPointer);
        if row.pair.is_some() || !unneeded || !old || !stray {
            return Outcome::Refused;
        }
        self.destroy(grant, Cause::Unneeded);
        Outcome::Applied
    }

    /// T9.
    fn close(
        &mut self,
        user: User,
        grants: GrantSet,
        closer: Closer,
        pair_changed: bool,
    ) -> Outcome {
        let deleted = self.state.pair(user).live == 0 || self.undone(Mistake::CloseIgnoresLive);
        let as_read = !pair_changed || self.undone(Mistake::CloseIgnoresVersion);
        let ignores_young = self.undone(Mistake::CloseIgnoresYoung);
        let ignores_closer = self.undone(Mistake::CloseIgnoresCloser);
        let closable = grants.iter().all(|grant| {
            let free = |it: GrantRow| it.closed.is_none() || it.may_be_old() || ignores_closer;
            let row = self.state.sealed(grant);
            row.is_some_and(|it| it.pair == Some(user) && free(it))
                && (ignores_young || !self.is_young(grant))
        });
        if !deleted || !as_read || !closable {
            return Outcome::Refused;
        }
        let running = ProcessSet::running(self.state);
        for grant in grants.iter() {
            if let Some(row) = self.state.grant_mut(grant) {
                row.closed_during = running;
                row.closed = Some(closer);
            }
        }
        Outcome::Applied
    }

    /// T9′.
    fn reopen(&mut self, grants: GrantSet, closer: Closer) -> Outcome {
        let anyone = self.undone(Mistake::AnyoneReopens);
        let mine = |state: &State, grant| {
            let row = state.sealed(grant);
            row.is_some_and(|it| it.closed == Some(closer) || (anyone && it.closed.is_some()))
        };
        if !grants.iter().all(|grant| mine(self.state, grant)) {
            return Outcome::Refused;
        }
        for grant in grants.iter() {
            if let Some(row) = self.state.grant_mut(grant) {
                row.closed = None;
                row.closed_during = ProcessSet::EMPTY;
            }
        }
        Outcome::Applied
    }

    /// T10. A row without members gets a TTL, a row with members never.
    fn mark(&mut self, user: User, grants: GrantSet) -> Outcome {
        let sets_expiry = self.undone(Mistake::MarkSetsExpiry);
        let pair = &mut self.state.pairs[user.index()];
        pair.expires |= !pair.exists || sets_expiry;
        pair.exists = true;
        pair.deauthorized = pair.deauthorized.with(grants);
        self.state.pair_written(user);
        Outcome::Applied
    }
}
