//! Zoom: of all grants of a user, only the one of the last authorization works.

use crate::ids::{GRANTS, GrantId, USERS, User};

/// Zoom's own state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Zoom {
    /// The grant of each user that works.
    live: [Option<GrantId>; USERS],
    /// Who authorized each grant.
    user: [Option<User>; GRANTS],
}

impl Zoom {
    /// The user authorizes the app. The grant replaces the user's older grants.
    pub(crate) fn authorize(&mut self, grant: GrantId, user: User) {
        self.live[user.index()] = Some(grant);
        self.user[usize::from(grant)] = Some(user);
    }

    /// A grant that another one replaced before the model begins.
    pub(crate) fn add_replaced(&mut self, grant: GrantId, user: User) {
        self.user[usize::from(grant)] = Some(user);
    }

    /// Who authorized the grant. The vault learns it only from a profile.
    pub(crate) fn user(&self, grant: GrantId) -> Option<User> {
        self.user[usize::from(grant)]
    }

    /// The grant of this user that works.
    pub(crate) fn live_grant(&self, user: User) -> Option<GrantId> {
        self.live[user.index()]
    }

    /// Whether the grant works.
    pub(crate) fn is_live(&self, grant: GrantId) -> bool {
        self.user(grant)
            .is_some_and(|user| self.live_grant(user) == Some(grant))
    }

    /// The vault revokes the grant. A grant that does not work any more stays as it is.
    pub(crate) fn revoke(&mut self, grant: GrantId) {
        if let (Some(user), true) = (self.user(grant), self.is_live(grant)) {
            self.live[user.index()] = None;
        }
    }

    /// The user removes the app.
    pub(crate) fn remove_app(&mut self, user: User) {
        self.live[user.index()] = None;
    }
}
