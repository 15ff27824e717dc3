//! What may happen in an exploration, and how often.

/// How often something may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    pub(crate) deletes: u8,
    pub(crate) restores: u8,
    /// The TTL removes a deleted credential.
    pub(crate) expiries: u8,
    /// An operator purges a deleted credential.
    pub(crate) purges: u8,
    pub(crate) mints: u8,
    /// Keep-alive takes a grant.
    pub(crate) takes: u8,
    pub(crate) crashes: u8,
    /// A write arrives after its process has died, or never.
    pub(crate) late_writes: u8,
    /// A record of the stream comes again.
    pub(crate) repeats: u8,
    /// User A removes the app.
    pub(crate) removals: u8,
    /// DynamoDB is down when the tokens of an authorization are stored.
    pub(crate) outages: u8,
    /// DynamoDB is down when the tokens of a refresh are stored.
    pub(crate) refresh_outages: u8,
    /// The index may lag behind the table.
    pub(crate) index_lags: bool,
}

/// Nothing happens.
pub(crate) const NOTHING: Budget = Budget {
    deletes: 0,
    restores: 0,
    expiries: 0,
    purges: 0,
    mints: 0,
    takes: 0,
    crashes: 0,
    late_writes: 0,
    repeats: 0,
    removals: 0,
    outages: 0,
    refresh_outages: 0,
    index_lags: false,
};

impl Budget {
    pub(crate) const fn deletes(self, deletes: u8) -> Self {
        Self { deletes, ..self }
    }

    pub(crate) const fn restores(self, restores: u8) -> Self {
        Self { restores, ..self }
    }

    pub(crate) const fn expiries(self, expiries: u8) -> Self {
        Self { expiries, ..self }
    }

    pub(crate) const fn purges(self, purges: u8) -> Self {
        Self { purges, ..self }
    }

    pub(crate) const fn mints(self, mints: u8) -> Self {
        Self { mints, ..self }
    }

    pub(crate) const fn takes(self, takes: u8) -> Self {
        Self { takes, ..self }
    }

    pub(crate) const fn crashes(self, crashes: u8) -> Self {
        Self { crashes, ..self }
    }

    pub(crate) const fn late_writes(self, late_writes: u8) -> Self {
        Self {
            late_writes,
            ..self
        }
    }

    pub(crate) const fn repeats(self, repeats: u8) -> Self {
        Self { repeats, ..self }
    }

    pub(crate) const fn removals(self, removals: u8) -> Self {
        Self { removals, ..self }
    }

    pub(crate) const fn outages(self, outages: u8) -> Self {
        Self { outages, ..self }
    }

    pub(crate) const fn refresh_outages(self, refresh_outages: u8) -> Self {
        Self {
            refresh_outages,
            ..self
        }
    }

    pub(crate) const fn index_lags(self, index_lags: bool) -> Self {
        Self { index_lags, ..self }
    }
}
