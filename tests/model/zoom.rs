//! Zoom: one grant for each authorization of the (app, user) pair.

/// What Zoom does with a refresh token that was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ZoomBehaviour {
    /// Zoom refuses the token. The grant stays alive.
    Strict,
    /// Zoom refuses the token and ends the grant.
    ReuseRevokesFamily,
    /// Zoom accepts the token once more, and the pair that it issued before stops working. This is the worst reading of
    /// Zoom's documentation.
    OldTokenOnceMore,
}

/// A grant as Zoom knows it. Refresh tokens are numbered in the order in which Zoom issued them.
///
/// A ghost field exists for the rules only: no step of the protocol reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ZoomGrant {
    /// Whether the grant is neither revoked, nor replaced by a newer authorization, nor ended by reuse.
    pub(crate) alive: bool,
    /// The only refresh token that works.
    pub(crate) current: u8,
    /// The tokens that were used once, as a bit set.
    pub(crate) used_once: u8,
    /// The tokens that were used a second time, as a bit set.
    pub(crate) used_twice: u8,
    /// Ghost: the user ended the grant, by revoking it or by authorizing again.
    pub(crate) ended: bool,
    /// Ghost: the grant ended because a token was sent twice.
    pub(crate) reused: bool,
    /// Ghost: a pair was lost between Zoom's rotation and the commit, where no protocol helps.
    pub(crate) unavoidable_loss: bool,
    /// Ghost: a refresh reached Zoom after its sender had given up.
    pub(crate) late_refresh: bool,
}

impl ZoomGrant {
    /// A new authorization.
    pub(crate) const fn new() -> Self {
        Self {
            alive: true,
            current: 0,
            used_once: 0,
            used_twice: 0,
            ended: false,
            reused: false,
            unavoidable_loss: false,
            late_refresh: false,
        }
    }

    /// The user revokes the grant, or authorizes again.
    pub(crate) const fn end(&mut self) {
        self.alive = false;
        self.ended = true;
    }

    /// Uses a refresh token. Returns the new token, or `None` for `invalid_grant`.
    pub(crate) fn refresh(&mut self, behaviour: ZoomBehaviour, token: u8) -> Option<u8> {
        let bit = 1 << token;
        if !self.alive {
            return None;
        }
        if token == self.current {
            self.used_once |= bit;
        } else {
            match behaviour {
                ZoomBehaviour::OldTokenOnceMore
                    if self.used_once & bit != 0 && self.used_twice & bit == 0 =>
                {
                    self.used_twice |= bit;
                }
                ZoomBehaviour::Strict | ZoomBehaviour::OldTokenOnceMore => return None,
                ZoomBehaviour::ReuseRevokesFamily => {
                    self.alive = false;
                    self.reused = true;
                    return None;
                }
            }
        }
        self.current += 1;
        Some(self.current)
    }

    /// Whether Zoom accepts the access token that came with this refresh token.
    pub(crate) const fn accepts_access_token_of(self, token: u8) -> bool {
        self.alive && token == self.current
    }
}
