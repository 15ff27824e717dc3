//! A mint. The refresh itself is not modelled here: a grant works if Zoom accepts the tokens on its row.

use crate::ids::{CredentialId, GrantId, GrantSet, User, credentials};
use crate::mistake::Mistake;
use crate::turn::{Cause, Turn};
use crate::write::{Outcome, Write};

/// The next step of a mint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum MintStep {
    #[default]
    Idle,
    /// Use the credential's own grant.
    Use,
    /// T1. The grant works, and the user is not known yet.
    Learn,
    /// T1 was refused: the user has deauthorized the app.
    Shred,
    /// Read the pair.
    Search,
    /// Try the newest grant of the pair that was not tried.
    Try,
    /// T3. The other grant works.
    Adopt(GrantId),
    /// Nothing works.
    Declare,
    /// The mint has ended. True: with a token.
    Ended(bool),
}

/// A mint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Mint {
    pub(crate) step: MintStep,
    credential: CredentialId,
    pub(crate) grant: GrantId,
    pair: Option<User>,
    /// The credential was read as `invalid`.
    read_invalid: bool,
    /// The generation that Zoom refused, if Zoom was asked.
    refused: Option<u8>,
    candidates: GrantSet,
    pub(crate) young: GrantSet,
}

impl Mint {
    pub(crate) const fn is_running(&self) -> bool {
        !matches!(self.step, MintStep::Idle | MintStep::Ended(_))
    }

    /// The write of the next step.
    pub(crate) fn write(&self) -> Option<Write> {
        match self.step {
            MintStep::Learn => self.pair.map(|user| Write::Learn {
                credential: self.credential,
                grant: self.grant,
                user,
            }),
            MintStep::Shred => Some(Write::Destroy {
                grant: self.grant,
                cause: Cause::Deauthorized,
            }),
            MintStep::Adopt(to) => Some(Write::Move {
                credential: self.credential,
                from: self.grant,
                to,
            }),
            MintStep::Declare => Some(Write::Declare {
                grant: self.grant,
                refused: self.refused,
                credential: Some(self.credential),
                stays_due: false,
            }),
            _ => None,
        }
    }

    fn end(&mut self, token: bool) {
        *self = Self {
            step: MintStep::Ended(token),
            ..Self::default()
        };
    }
}

impl Turn<'_> {
    /// A mint begins: it reads the credential.
    pub(crate) fn begin_mint(&mut self, credential: CredentialId) {
        let Some(row) = self.state.live_credential(credential) else {
            return;
        };
        self.state.mint = Mint {
            step: MintStep::Use,
            credential,
            grant: row.grant,
            pair: row.pair,
            read_invalid: row.invalid,
            ..Mint::default()
        };
    }

    /// The next step of the mint.
    pub(crate) fn step_mint(&mut self) {
        let mint = self.state.mint;
        match mint.step {
            MintStep::Idle | MintStep::Ended(_) => {}
            MintStep::Use => self.use_own_grant(),
            MintStep::Learn | MintStep::Shred | MintStep::Adopt(_) | MintStep::Declare => {
                self.write_of_mint();
            }
            MintStep::Search => {
                let candidates = self.search_candidates(Some(mint.credential), mint.pair);
                let mint = &mut self.state.mint;
                mint.candidates = candidates;
                mint.candidates.remove(mint.grant);
                mint.step = MintStep::Try;
            }
            MintStep::Try => match self.try_newest(mint.candidates) {
                Some((candidate, true)) => self.state.mint.step = MintStep::Adopt(candidate),
                Some((candidate, false)) => self.state.mint.candidates.remove(candidate),
                None => self.state.mint.step = MintStep::Declare,
            },
        }
    }

    /// Whether the mint's own grant works.
    pub(crate) fn own_grant_works(&self) -> bool {
        let grant = self.state.mint.grant;
        let sealed = self.state.sealed(grant);
        let closed_is_open = self.undone(Mistake::MintIgnoresClosed);
        let usable = self.state.is_usable(grant)
            || (closed_is_open && sealed.is_some_and(|it| !it.reconnect));
        usable && self.state.works(grant)
    }

    /// The mint succeeded. A credential that was `invalid` becomes active.
    fn mint_works(&mut self) {
        let mint = self.state.mint;
        if let Some(row) = &mut self.state.credentials[usize::from(mint.credential)] {
            let repaired = row.grant == mint.grant && mint.read_invalid;
            row.invalid &= !repaired;
            row.told &= !repaired;
        }
        self.state.mint.end(true);
    }

    fn use_own_grant(&mut self) {
        let works = self.own_grant_works();
        let asked = self.state.is_usable(self.state.mint.grant);
        let sealed = self.state.sealed(self.state.mint.grant);
        let user = self.state.zoom.user(self.state.mint.grant);
        let mint = &mut self.state.mint;
        if !works {
            mint.refused = asked.then(|| sealed.map_or(0, |it| it.generation));
            mint.step = MintStep::Search;
        } else if mint.pair.is_none() {
            mint.pair = user;
            mint.step = MintStep::Learn;
        } else {
            self.mint_works();
        }
    }

    fn write_of_mint(&mut self) {
        let Mint {
            step,
            credential,
            grant,
            ..
        } = self.state.mint;
        let Some(write) = self.state.mint.write() else {
            return;
        };
        let outcome = self.write(write);
        match (step, outcome) {
            (MintStep::Learn, Outcome::Deauthorized) => self.state.mint.step = MintStep::Shred,
            (MintStep::Shred, _) => {
                self.mark_invalid(credential, grant);
                self.state.mint.end(false);
            }
            (MintStep::Learn, _) => self.mint_works(),
            (MintStep::Adopt(_), Outcome::Applied) => self.state.mint.end(true),
            _ => self.state.mint.end(false),
        }
    }

    /// The grants that a search may try.
    pub(crate) fn search_candidates(
        &self,
        credential: Option<CredentialId>,
        pair: Option<User>,
    ) -> GrantSet {
        let Some(user) = pair else {
            return GrantSet::EMPTY;
        };
        if self.is_today() {
            return credentials()
                .filter(|id| Some(*id) != credential)
                .filter_map(|id| self.state.index[usize::from(id)].map(|entry| (id, entry)))
                .filter(|(_, entry)| entry.user == Some(user))
                .filter_map(|(id, _)| self.state.credential(id).map(|row| row.grant))
                .collect();
        }
        let strays_too = !self.undone(Mistake::SearchOverlooksStrays);
        let grants = self.state.pair(user).grants.iter();
        grants
            .filter(|it| strays_too || self.state.holders(*it).next().is_some())
            .collect()
    }

    /// Tries the newest candidate, and tells whether it works. A candidate that Zoom refuses is declared, and
    /// stays due: it may be a stray, which only keep-alive can delete.
    pub(crate) fn try_newest(&mut self, candidates: GrantSet) -> Option<(GrantId, bool)> {
        let candidate = candidates.iter().next_back()?;
        let usable = self.state.is_usable(candidate);
        let works = usable && self.state.works(candidate);
        let stays_due = !self.undone(Mistake::SearchRemovesDue);
        if let (Some(row), true) = (self.state.grant_mut(candidate), usable && !works) {
            row.reconnect = true;
            row.due &= stays_due;
        }
        Some((candidate, works))
    }
}
