//! What is stored: the credentials of the pair, and a row for each grant.

/// An invocation; what is left of one that is over is [`GONE`].
pub(crate) type Id = u8;

/// The id of every invocation that is over.
pub(crate) const GONE: Id = u8::MAX;

/// Why a row is in `reconnect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reason {
    /// Zoom or the user ended the grant.
    Revoked,
    /// A pair may have been lost on our side.
    RefreshOutcomeLost,
}

/// A row `grant#…`. `None` in `reconnect` is `active`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Row {
    /// Rises with every stored pair.
    pub(crate) generation: u8,
    /// The sealed refresh token.
    pub(crate) token: u8,
    /// The stash.
    pub(crate) alt: Option<u8>,
    /// The state `reconnect`, with its reason.
    pub(crate) reconnect: Option<Reason>,
    /// Who refreshes; `lease_until` is the end of that invocation.
    pub(crate) lease: Option<Id>,
    /// The first attempt of this generation that nobody saw the end of.
    pub(crate) attempt: Option<Id>,
    /// Who stored this generation.
    pub(crate) writer: Option<Id>,
    /// An access token was stored since the model began, so it may still be good.
    pub(crate) fresh: bool,
    /// Ghost: pairs stored.
    pub(crate) stored: u8,
}

impl Row {
    /// A row as an authorization writes it.
    pub(crate) const fn new(fresh: bool) -> Self {
        Self {
            generation: 1,
            token: 0,
            alt: None,
            reconnect: None,
            lease: None,
            attempt: None,
            writer: None,
            fresh,
            stored: 1,
        }
    }

    /// The commit's write, its condition having held.
    pub(crate) const fn store(&mut self, generation: u8, pair: u8, writer: Id) {
        *self = Self {
            generation: generation + 1,
            token: pair,
            alt: None,
            reconnect: None,
            lease: None,
            attempt: None,
            writer: Some(writer),
            fresh: true,
            stored: self.stored + 1,
        };
    }

    /// `REMOVE lease IF lease_id = :me`, and the attempt under the rule of step 7.
    pub(crate) fn release(&mut self, me: Id, unknown: bool) {
        if self.lease == Some(me) {
            self.lease = None;
            if self.attempt == Some(me) && !unknown {
                self.attempt = None;
            }
        }
    }
}

/// A user credential of the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Credential {
    /// The row it points at.
    pub(crate) grant: u8,
    /// `active`, or `invalid`.
    pub(crate) active: bool,
}
