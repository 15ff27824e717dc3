//! Users, and sets of grants. Grants and credentials are numbers.

/// How many grants there can be: up to two in the first state, a spare one, and one for each of two authorizations.
pub(crate) const GRANTS: usize = 5;
/// How many credentials there can be.
pub(crate) const CREDENTIALS: usize = 3;
/// How many Zoom users there are.
pub(crate) const USERS: usize = 2;

/// The number of a grant.
pub(crate) type GrantId = u8;
/// The number of a credential.
pub(crate) type CredentialId = u8;

/// A Zoom user. All credentials have the same app, so a user is a pair of app and user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum User {
    #[default]
    A,
    B,
}

impl User {
    pub(crate) const ALL: [Self; USERS] = [Self::A, Self::B];

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }
}

/// A set of grants.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GrantSet(u8);

impl GrantSet {
    pub(crate) const EMPTY: Self = Self(0);

    pub(crate) const fn contains(self, grant: GrantId) -> bool {
        self.0 & (1 << grant) != 0
    }

    pub(crate) const fn insert(&mut self, grant: GrantId) {
        self.0 |= 1 << grant;
    }

    pub(crate) const fn remove(&mut self, grant: GrantId) {
        self.0 &= !(1 << grant);
    }

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The grants, the oldest first.
    pub(crate) fn iter(self) -> impl DoubleEndedIterator<Item = GrantId> {
        grants().filter(move |grant| self.contains(*grant))
    }
}

impl FromIterator<GrantId> for GrantSet {
    fn from_iter<I: IntoIterator<Item = GrantId>>(grants: I) -> Self {
        let mut set = Self::EMPTY;
        grants.into_iter().for_each(|grant| set.insert(grant));
        set
    }
}

impl std::fmt::Debug for GrantSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// All grants.
pub(crate) fn grants() -> std::ops::Range<GrantId> {
    0..5
}

/// All credentials.
pub(crate) fn credentials() -> std::ops::Range<CredentialId> {
    0..3
}
