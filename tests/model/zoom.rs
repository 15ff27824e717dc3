//! Zoom: families of refresh tokens, one for each authorization of the (app, user) pair.

/// What Zoom does with a refresh token that was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mood {
    /// Refuses it; the grant lives.
    Strict,
    /// Refuses it and kills the grant.
    ReuseRevokesFamily,
    /// Takes it one more time. The pair given before is then dead: the worst reading for us.
    OldTokenOnceMore,
}

/// One grant as Zoom knows it. Refresh tokens are numbered in the order they were issued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Family {
    /// Neither revoked, nor replaced by a newer authorization, nor killed by reuse.
    pub(crate) alive: bool,
    /// The only refresh token that is good.
    pub(crate) current: u8,
    /// Bit set of the tokens used once.
    pub(crate) used: u8,
    /// Bit set of the tokens used once more.
    pub(crate) again: u8,
    /// Ghost: the user ended it, by revoking or by authorizing again.
    pub(crate) ended: bool,
    /// Ghost: it died of a token sent twice.
    pub(crate) reused: bool,
    /// Ghost: a pair of it was lost where nothing can help, between Zoom's rotation and the commit.
    pub(crate) excused: bool,
    /// Ghost: a refresh reached Zoom after its sender had given it up.
    pub(crate) overtaken: bool,
}

impl Family {
    /// A fresh authorization.
    pub(crate) const fn new() -> Self {
        Self {
            alive: true,
            current: 0,
            used: 0,
            again: 0,
            ended: false,
            reused: false,
            excused: false,
            overtaken: false,
        }
    }

    /// The user revokes it, or authorizes again.
    pub(crate) const fn end(&mut self) {
        self.alive = false;
        self.ended = true;
    }

    /// Spends a refresh token: the new one, or `invalid_grant`.
    pub(crate) fn refresh(&mut self, mood: Mood, token: u8) -> Option<u8> {
        let bit = 1 << token;
        if !self.alive {
            return None;
        }
        if token == self.current {
            self.used |= bit;
        } else {
            match mood {
                Mood::OldTokenOnceMore if self.used & bit != 0 && self.again & bit == 0 => {
                    self.again |= bit;
                }
                Mood::Strict | Mood::OldTokenOnceMore => return None,
                Mood::ReuseRevokesFamily => {
                    self.alive = false;
                    self.reused = true;
                    return None;
                }
            }
        }
        self.current += 1;
        Some(self.current)
    }

    /// Whether Zoom mints with the access token that came with this refresh token.
    pub(crate) const fn mints_with(self, token: u8) -> bool {
        self.alive && token == self.current
    }
}
