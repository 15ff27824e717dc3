//! The stored data: the credentials of the pair, and one row for each grant.

/// The number of a caller. [`ENDED_CALLER`] stands for every caller that has ended.
pub(crate) type Id = u8;

/// The id of every caller that has ended.
pub(crate) const ENDED_CALLER: Id = u8::MAX;

/// Why a row is in the state `reconnect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reason {
    /// Zoom or the user ended the grant.
    Revoked,
    /// The vault may have lost a pair.
    RefreshOutcomeLost,
}

/// A row `grant#…`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Row {
    /// Rises with every committed pair.
    pub(crate) generation: u8,
    /// The sealed refresh token.
    pub(crate) token: u8,
    /// The stashed refresh token.
    pub(crate) stash: Option<u8>,
    /// The reason if the state is `reconnect`, and `None` if the state is `active`.
    pub(crate) reconnect: Option<Reason>,
    /// The caller that holds the lease. The lease ends with this caller.
    pub(crate) lease: Option<Id>,
    /// The caller of the first attempt of this generation whose result is not known.
    pub(crate) attempt: Option<Id>,
    /// The caller that committed this generation.
    pub(crate) writer: Option<Id>,
    /// Whether an access token was stored since the model began. Such a token may still be valid.
    pub(crate) fresh: bool,
    /// Ghost: how many pairs were committed.
    pub(crate) stored: u8,
}

impl Row {
    /// A row as an authorization writes it.
    pub(crate) const fn new(fresh: bool) -> Self {
        Self {
            generation: 1,
            token: 0,
            stash: None,
            reconnect: None,
            lease: None,
            attempt: None,
            writer: None,
            fresh,
            stored: 1,
        }
    }

    /// The write of a commit whose condition holds.
    pub(crate) const fn commit(&mut self, generation: u8, pair: u8, writer: Id) {
        *self = Self {
            generation: generation + 1,
            token: pair,
            stash: None,
            reconnect: None,
            lease: None,
            attempt: None,
            writer: Some(writer),
            fresh: true,
            stored: self.stored + 1,
        };
    }

    /// Releases the lease if `me` holds it, and clears the attempt by the rule of step 7. `outcome_unknown`: a refresh
    /// of `me` ended with an unknown outcome.
    pub(crate) fn release(&mut self, me: Id, outcome_unknown: bool) {
        if self.lease == Some(me) {
            self.lease = None;
            if self.attempt == Some(me) && !outcome_unknown {
                self.attempt = None;
            }
        }
    }
}

/// A user credential of the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Credential {
    /// The row of the credential's grant.
    pub(crate) grant: u8,
    /// Whether the state is `active`. Otherwise the state is `invalid`.
    pub(crate) active: bool,
}
