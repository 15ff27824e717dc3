//! A restore. It reads the credential and its grant, then runs T5.

use crate::ids::{CredentialId, GrantId, User};
use crate::turn::Turn;
use crate::write::{Outcome, Write};

/// The next step of a restore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Restore {
    #[default]
    Idle,
    /// Read the credential and its grant.
    Read(CredentialId),
    /// T5.
    Write {
        credential: CredentialId,
        grant: GrantId,
        pair: Option<User>,
        usable: bool,
    },
}

impl Restore {
    /// The write of the next step.
    pub(crate) const fn write(self) -> Option<Write> {
        match self {
            Self::Idle | Self::Read(_) => None,
            Self::Write {
                credential,
                grant,
                pair,
                usable,
            } => Some(Write::Restore {
                credential,
                grant,
                pair,
                usable,
            }),
        }
    }
}

impl Turn<'_> {
    /// The next step of the restore.
    pub(crate) fn step_restore(&mut self) {
        self.state.restore = match self.state.restore {
            Restore::Idle => Restore::Idle,
            Restore::Read(credential) => match self.state.credential(credential) {
                Some(row) if row.deleted => Restore::Write {
                    credential,
                    grant: row.grant,
                    pair: row.pair,
                    usable: self.state.is_usable(row.grant),
                },
                _ => Restore::Idle,
            },
            it @ Restore::Write { credential, .. } => {
                let outcome = it.write().map(|write| self.write(write));
                if outcome == Some(Outcome::Refused) {
                    Restore::Read(credential)
                } else {
                    Restore::Idle
                }
            }
        };
    }
}
