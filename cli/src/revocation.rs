//! Revokes several things of a team, after a confirmation: token URLs, or connect sessions.

use serde::Serialize;
use shared::credential::TeamId;

use crate::credentials::confirm;
use crate::error::Error;
use crate::output::{Output, count};

/// What a command revokes.
pub(crate) struct Revocation<'a> {
    /// The team, whose name the operator types to confirm.
    pub(crate) team: &'a TeamId,
    /// Whether the operator has confirmed already.
    pub(crate) yes: bool,
    /// The name of one of the things.
    pub(crate) thing: &'static str,
    pub(crate) output: Output,
}

impl Revocation<'_> {
    /// Revokes each of the things, and prints those that were revoked. `revoke` returns `false` for a thing that has
    /// ended since the list was read.
    pub(crate) async fn run<T: Serialize>(
        self,
        found: Vec<T>,
        rows: impl Fn(&[T]) -> String,
        revoke: impl AsyncFn(&T) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let (team, things) = (self.team, count(found.len(), self.thing));
        let question =
            format!("{things} of team {team} will stop. Type the team's name to revoke: ");
        confirm(self.yes || found.is_empty(), team.as_str(), &question)?;
        let mut revoked = Vec::new();
        for thing in found {
            if revoke(&thing).await? {
                revoked.push(thing);
            }
        }
        self.output.print(&revoked, &rows(&revoked))?;
        let note = format!("{} revoked", count(revoked.len(), self.thing));
        self.output.note(&note);
        Ok(())
    }
}
