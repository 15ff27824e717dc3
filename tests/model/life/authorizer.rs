//! An authorization: create, update or connect. A code is exchanged, and the tokens are stored.

use crate::ids::{CredentialId, GrantSet, credentials};
use crate::mistake::Mistake;
use crate::rules::Rule;
use crate::turn::{Cause, Turn};
use crate::write::{Code, Outcome, Write};

/// The next step of an authorization.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum AuthorizerStep {
    /// There is no authorization, or it has ended.
    #[default]
    Ended,
    /// The user has not authorized yet.
    Waiting,
    /// The code is on its way to Zoom.
    CodeSent,
    /// The tokens are on their way to the vault.
    Answered,
    /// T2. The tokens are in memory.
    Authorize,
    /// T2′. T2 was refused.
    StoreStray,
    /// Read the profile. The credential has the grant.
    Profile,
    /// Read the profile of a stray.
    StrayProfile,
    /// T1.
    Learn,
    /// T2″.
    Register,
    /// T1 or T2″ was refused: the user has deauthorized the app.
    Shred,
    /// T3 for the siblings, one after another.
    Siblings,
    /// The process has ended. The tokens are in a capsule, which may be replayed so often.
    Capsule(u8),
}

/// An authorization.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Authorizer {
    pub(crate) step: AuthorizerStep,
    pub(crate) code: Code,
    /// The siblings below this number have been seen to.
    pub(crate) next: CredentialId,
    /// The grants that were authorized while this process ran.
    pub(crate) young: GrantSet,
}

impl Authorizer {
    /// Whether the process runs.
    pub(crate) const fn is_running(&self) -> bool {
        !matches!(
            self.step,
            AuthorizerStep::Ended | AuthorizerStep::Waiting | AuthorizerStep::Capsule(_)
        )
    }

    /// The write of the next step.
    pub(crate) const fn write(&self) -> Option<Write> {
        let code = self.code;
        match self.step {
            AuthorizerStep::Authorize => Some(Write::Authorize(code)),
            AuthorizerStep::StoreStray => Some(Write::StoreStray(code)),
            AuthorizerStep::Learn => Some(Write::Learn {
                credential: code.credential,
                grant: code.grant,
                user: code.user,
            }),
            AuthorizerStep::Register => Some(Write::Register {
                grant: code.grant,
                user: code.user,
            }),
            AuthorizerStep::Shred => Some(Write::Destroy {
                grant: code.grant,
                cause: Cause::Deauthorized,
            }),
            _ => None,
        }
    }

    /// Whether the next step stores tokens that are only in memory.
    pub(crate) const fn holds_tokens(&self) -> bool {
        matches!(
            self.step,
            AuthorizerStep::Authorize | AuthorizerStep::StoreStray
        )
    }

    fn end(&mut self) {
        *self = Self::default();
    }
}

impl Turn<'_> {
    fn authorizer(&mut self, id: usize) -> &mut Authorizer {
        &mut self.state.authorizers[id]
    }

    /// Whether the user may authorize now.
    pub(crate) fn may_authorize(&self, code: Code) -> bool {
        let id = usize::from(code.credential);
        if code.creates {
            self.state.credentials[id].is_none() && !self.state.gone[id]
        } else {
            self.state.live_credential(code.credential).is_some()
        }
    }

    /// The next step of an authorization.
    pub(crate) fn step_authorizer(&mut self, id: usize) {
        let Authorizer { step, code, .. } = self.state.authorizers[id];
        match step {
            AuthorizerStep::Ended | AuthorizerStep::Capsule(_) => {}
            AuthorizerStep::Waiting => {
                self.see_credential(id);
                self.state.older[usize::from(code.grant)] = self.state.answered;
                self.authorizer(id).step = AuthorizerStep::CodeSent;
            }
            AuthorizerStep::CodeSent => {
                self.state.zoom.authorize(code.grant, code.user);
                self.authorize_at_zoom(code.grant);
                self.authorizer(id).step = AuthorizerStep::Answered;
            }
            AuthorizerStep::Answered => {
                self.state.answered.insert(code.grant);
                self.authorizer(id).step = AuthorizerStep::Authorize;
            }
            AuthorizerStep::Authorize => self.store_tokens(id),
            AuthorizerStep::StoreStray => {
                self.write(Write::StoreStray(code));
                self.authorizer(id).step = AuthorizerStep::StrayProfile;
            }
            AuthorizerStep::Profile => self.read_profile(id, AuthorizerStep::Learn),
            AuthorizerStep::StrayProfile => self.read_profile(id, AuthorizerStep::Register),
            AuthorizerStep::Learn | AuthorizerStep::Register | AuthorizerStep::Shred => {
                self.register_user(id, step);
            }
            AuthorizerStep::Siblings => match self.next_sibling(id) {
                Some((credential, write)) => {
                    self.write(write);
                    self.authorizer(id).next = credential + 1;
                }
                None => self.authorizer(id).end(),
            },
        }
    }

    /// T1 or T2″, or the destruction if one of them was refused.
    fn register_user(&mut self, id: usize, step: AuthorizerStep) {
        let Some(write) = self.authorizer(id).write() else {
            return;
        };
        let code = self.authorizer(id).code;
        let outcome = self.write(write);
        match (step, outcome) {
            (AuthorizerStep::Shred, _) => {
                self.mark_invalid(code.credential, code.grant);
                self.authorizer(id).end();
            }
            (_, Outcome::Deauthorized) => self.authorizer(id).step = AuthorizerStep::Shred,
            (AuthorizerStep::Learn, _) => self.authorizer(id).step = AuthorizerStep::Siblings,
            _ => self.authorizer(id).end(),
        }
    }

    /// Remembers what the credential points at. T2 requires that this has not changed.
    fn see_credential(&mut self, id: usize) {
        let credential = self.authorizer(id).code.credential;
        if let Some(row) = self.state.credential(credential) {
            let code = &mut self.authorizer(id).code;
            code.seen_grant = row.grant;
            code.seen_pair = row.pair;
        }
    }

    /// T2.
    fn store_tokens(&mut self, id: usize) {
        let code = self.authorizer(id).code;
        match self.write(Write::Authorize(code)) {
            Outcome::Applied => self.authorizer(id).step = AuthorizerStep::Profile,
            Outcome::Refused => self.see_credential(id),
            Outcome::Gone | Outcome::Deauthorized => {
                if self.is_today() || self.undone(Mistake::RefusedTokensDropped) {
                    self.drop_tokens(id);
                } else {
                    self.authorizer(id).step = AuthorizerStep::StoreStray;
                }
            }
        }
    }

    /// The process ends without storing the tokens (L1).
    fn drop_tokens(&mut self, id: usize) {
        let grant = self.authorizer(id).code.grant;
        if !self.state.ghost.deauthorized.contains(grant) {
            self.state.violate(Rule::L1);
        }
        self.authorizer(id).end();
    }

    /// DynamoDB is down to the deadline.
    pub(crate) fn log_authorization(&mut self, id: usize) {
        if self.is_today() || self.undone(Mistake::NoCapsule) {
            self.drop_tokens(id);
        } else {
            let it = self.authorizer(id);
            it.step = AuthorizerStep::Capsule(2);
            it.next = 0;
            it.young = GrantSet::EMPTY;
        }
    }

    /// Replays the capsule: T2 for an update, if nothing changed, else T2′.
    pub(crate) fn replay_authorization(&mut self, id: usize) {
        let Authorizer { step, code, .. } = self.state.authorizers[id];
        if code.creates || self.write(Write::Authorize(code)) != Outcome::Applied {
            self.write(Write::StoreStray(code));
        }
        match step {
            AuthorizerStep::Capsule(left) if left > 1 => {
                self.authorizer(id).step = AuthorizerStep::Capsule(left - 1);
            }
            _ => self.authorizer(id).end(),
        }
    }

    fn read_profile(&mut self, id: usize, next: AuthorizerStep) {
        if self.state.works(self.state.authorizers[id].code.grant) {
            self.authorizer(id).step = next;
        } else {
            self.authorizer(id).end();
        }
    }

    pub(crate) fn mark_invalid(&mut self, credential: CredentialId, grant: u8) {
        if let Some(row) = &mut self.state.credentials[usize::from(credential)] {
            row.invalid |= row.grant == grant;
        }
    }

    /// The next sibling that the index shows and that was authorized before, and its T3.
    fn next_sibling(&self, id: usize) -> Option<(CredentialId, Write)> {
        let Authorizer { code, next, .. } = self.state.authorizers[id];
        let older = self.state.older[usize::from(code.grant)];
        let any_age = self.undone(Mistake::MoveIgnoresAge);
        credentials().skip(next.into()).find_map(|sibling| {
            let entry = self.state.index[usize::from(sibling)]?;
            let row = self.state.live_credential(sibling)?;
            let moves = sibling != code.credential
                && entry.user == Some(code.user)
                && !entry.deleted
                && row.grant != code.grant
                && (older.contains(row.grant) || any_age);
            let write = Write::Move {
                credential: sibling,
                from: row.grant,
                to: code.grant,
            };
            moves.then_some((sibling, write))
        })
    }

    /// T3 for the next sibling.
    pub(crate) fn write_to_sibling(&self, id: usize) -> Option<Write> {
        if self.state.authorizers[id].step != AuthorizerStep::Siblings {
            return None;
        }
        self.next_sibling(id).map(|(_, write)| write)
    }

    /// The authorizer has no time for more siblings.
    pub(crate) fn skip_siblings(&mut self, id: usize) {
        self.authorizer(id).end();
    }
}
