//! Judges a schedule by the rules L1 to L7 of docs/life.md.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::backend::ZoomBehaviour;
use crate::life::cost;
use crate::life::history::{History, Operation};
use crate::life::snapshot::{LiveGrant, Snapshot};
use crate::life::summary::Summary;
use crate::life::tokens::{IssuedTokens, last_issued, revoked_token};
use crate::life::world::World;

/// What the judge remembers between two moments.
pub(crate) struct Judge {
    name: String,
    previous: Snapshot,
    /// Zoom's live grants whose loss was judged.
    judged_losses: HashSet<Uuid>,
    /// The revocations that were judged: the operation and its call.
    judged_revocations: HashSet<(usize, usize)>,
    /// Zoom's grants that the vault has revoked.
    revoked: HashSet<Uuid>,
    /// Zoom's grants that nobody has refreshed for 90 days.
    idle: HashSet<Uuid>,
    violations: Vec<String>,
}

impl Judge {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            previous: Snapshot::default(),
            judged_losses: HashSet::new(),
            judged_revocations: HashSet::new(),
            revoked: HashSet::new(),
            idle: HashSet::new(),
            violations: Vec::new(),
        }
    }

    pub(crate) fn violation(&mut self, text: &str) {
        self.violations.push(format!("{text}: {}", self.name));
    }

    /// Compares two moments. No operation is running.
    pub(crate) fn check(&mut self, world: &World, history: &History, now: Snapshot) {
        for (user, grant) in &now.live {
            let before = self.previous.live.get(user);
            let before = before.filter(|it| it.id == grant.id);
            let before = before.and_then(|it| it.held.as_ref());
            if grant.held.is_some() {
                self.judged_losses.remove(&grant.id);
            } else if before.is_some_and(|token| now.has_token(token)) {
                // Nobody has refreshed it for so long that Zoom refuses it now.
                self.idle.insert(grant.id);
            } else if !self.idle.contains(&grant.id) && self.judged_losses.insert(grant.id) {
                self.judge_loss(world, history, user, grant, &now);
            }
        }
        self.judge_revocations(world, history, &now);
        self.judge_pointers(world, &now);
        self.previous = now;
    }

    /// L1 and L2: the vault does not have the tokens of a live grant.
    fn judge_loss(
        &mut self,
        world: &World,
        history: &History,
        user: &str,
        grant: &LiveGrant,
        now: &Snapshot,
    ) {
        let before = self.previous.live.get(user);
        let before = before.filter(|it| it.id == grant.id && it.held.is_some());
        // A credential that needed the grant before and that needs it now.
        let is_needed = before.is_none_or(|before| {
            let users = self.previous.users_of(before);
            users.intersection(&now.users_of(before)).next().is_some()
        });
        let issued = last_issued(world, history, grant.id);
        let was_removed = was_sent_before_removal(world, user, issued.as_ref());
        if !is_needed || was_removed {
            return;
        }
        let held = before.and_then(|it| it.held.as_ref());
        let zoom = &world.backend.zoom;
        if held.is_some_and(|token| zoom.is_live_refresh_token(token)) {
            self.violation("L2: live tokens were destroyed that a credential needs");
        } else if issued.is_some_and(|it| it.is_received) {
            self.violation(
                "L1: tokens that reached a living process are neither stored nor logged",
            );
        }
    }

    /// L5: a grant is revoked only in a team that wants that, and only without a live credential of the pair.
    fn judge_revocations(&mut self, world: &World, history: &History, now: &Snapshot) {
        for (number, operation) in history.operations.iter().enumerate() {
            for (index, call) in operation.calls().iter().enumerate() {
                let Some(token) = revoked_token(call) else {
                    continue;
                };
                if !self.judged_revocations.insert((number, index)) {
                    continue;
                }
                let zoom = &world.backend.zoom;
                let grant = zoom.grant_of(&token).unwrap();
                self.revoked.insert(grant);
                let mut grants = zoom.grants().into_iter();
                let user = grants.find(|it| it.id == grant).unwrap().user_id;
                let pair = world.pair_id(&user);
                if !operation.revocation_wanted {
                    self.violation("L5: a grant was revoked in a team that does not want that");
                }
                let is_live = |id: &String| now.credentials.get(id).is_some_and(|it| it.is_live);
                let of_pair = |it: &Option<String>| it.as_ref() == Some(&pair);
                let mut live = operation.live_at_start.iter();
                if live.any(|it| of_pair(&it.pair) && is_live(&it.id)) {
                    self.violation("L5: a grant was revoked that a live credential needs");
                }
            }
        }
    }

    /// L5: no active credential points at tokens that the vault has destroyed. After a removal of the app, the tokens
    /// are destroyed before the credentials change.
    fn judge_pointers(&mut self, world: &World, now: &Snapshot) {
        let is_destroyed = |id: &String| now.grants.get(id).is_none_or(|it| it.tokens.is_empty());
        for row in now.credentials.values() {
            let is_usable = row.is_live && row.state == "active";
            if is_usable
                && row.grant.as_ref().is_some_and(is_destroyed)
                && world.removals.is_empty()
            {
                self.violation("L5: an active credential points at tokens that were destroyed");
            }
        }
    }

    /// L3: a live credential mints if the vault has the live grant of its pair. `before` is from before the mints.
    pub(crate) fn check_mints(
        &mut self,
        when: &str,
        before: &Snapshot,
        statuses: &HashMap<String, u16>,
    ) {
        for (id, status) in statuses {
            let row = &before.credentials[id];
            let mut grants = before.live.values().filter(|grant| !grant.rows.is_empty());
            let usable = grants.any(|grant| {
                let named = |row: &String| before.grants[row].pair.is_some();
                let is_open = |row: &String| !before.grants[row].is_closed;
                let of_pair = row.pair.as_ref() == Some(&grant.pair);
                let of_pair = of_pair && grant.rows.iter().any(|it| named(it) && is_open(it));
                let points_at = row.grant.as_ref().is_some_and(|it| grant.rows.contains(it));
                of_pair || points_at
            });
            if usable && *status != 200 {
                let text = format!("L3: {when}, a mint answers {status} although a grant lives");
                self.violation(&text);
            }
        }
    }

    /// After a mint, the credential is active if it got a token.
    pub(crate) fn check_states(
        &mut self,
        when: &str,
        after: &Snapshot,
        statuses: &HashMap<String, u16>,
    ) {
        for (id, status) in statuses {
            let state = after.credentials.get(id).map(|row| row.state.as_str());
            if *status == 200 && state != Some("active") {
                let text = format!("L3: {when}, a credential that mints is {state:?}");
                self.violation(&text);
            }
        }
    }

    /// A team that wants revocation gets it.
    pub(crate) fn check_revoked(&mut self, world: &World, now: &Snapshot) {
        for grant in now.live.values() {
            let (live, deleted) = now.members(&grant.pair);
            let is_stored = !grant.rows.is_empty();
            if world.revoke_on_delete && is_stored && live == 0 && deleted > 0 {
                self.violation("L5: a grant is not revoked although the team wants that");
            }
        }
    }

    /// The counts of the pairs are those of the rows.
    pub(crate) fn check_counts(&mut self, now: &Snapshot) {
        for (id, pair) in &now.pairs {
            let (live, deleted) = now.members(id);
            let counted = (live + deleted, live);
            let counts = (usize::try_from(pair.members), usize::try_from(pair.live));
            if counts != (Ok(counted.0), Ok(counted.1)) {
                let text = format!("the counts of a pair are {pair:?}, but should be {counted:?}");
                self.violation(&text);
            }
        }
        for row in now.credentials.values() {
            let is_counted = row
                .pair
                .as_ref()
                .is_none_or(|it| now.pairs.contains_key(it));
            if !is_counted {
                self.violation("the pair of a credential has no row");
            }
        }
    }

    /// L4 and L6: nothing without an owner is left, 90 days later.
    pub(crate) fn check_remains(&mut self, world: &World, now: &Snapshot) {
        for (id, grant) in &now.grants {
            let mut credentials = now.credentials.values();
            let is_used = credentials.any(|row| row.grant.as_ref() == Some(id));
            let members = grant.pair.as_ref().map(|pair| now.members(pair));
            // The grants of a pair with deleted credentials wait for a restore or for the purge.
            let waits = members.is_some_and(|(live, deleted)| live == 0 && deleted > 0);
            if !is_used && !waits {
                let rule = match members {
                    Some((0, 0)) => "L6: a grant stays although its pair has no credential",
                    Some(_) | None => "L4: a grant without an owner stays",
                };
                self.violation(&format!("{rule}: {grant:?}"));
            }
        }
        for credential in &now.apps {
            if !now.credentials.contains_key(credential) {
                self.violation("L6: the client secret of a purged credential stays");
            }
        }
        for (id, pair) in &now.pairs {
            let is_empty = pair.members == 0 && pair.grants.is_empty();
            if pair.members == 0 && !(is_empty && pair.expires) {
                self.violation(&format!("L6: the row of an empty pair stays: {pair:?}"));
            }
            let mut listed = pair.grants.iter();
            if listed.any(|grant| !now.grants.contains_key(grant)) {
                self.violation(&format!("L4: the pair {id} lists a grant without a row"));
            }
        }
        if world.capsules.iter().any(|logged| !logged.is_replayed) {
            self.violation("a capsule was not replayed");
        }
    }

    /// Judges the costs and what Zoom has ended. Returns all counts.
    pub(crate) fn finish(mut self, world: &World, history: &History) -> Summary {
        let mut summary = Summary::of(world, history);
        summary.trace = history.operations.iter().map(Operation::trace).collect();
        for operation in &history.operations {
            if let Some(text) = cost::violation(operation) {
                self.violation(&text);
            }
        }
        let last: HashSet<_> = self.previous.live.values().map(|grant| grant.id).collect();
        for user in &world.users {
            let grants = world.backend.zoom.grants().into_iter();
            let mut of_user = grants.filter(|grant| grant.user_id == *user);
            let Some(newest) = of_user.next_back() else {
                continue;
            };
            let has_credential = self.previous.members(&world.pair_id(user)).0 > 0;
            if last.contains(&newest.id) {
                summary.lost += usize::from(self.judged_losses.contains(&newest.id));
            } else if newest.spent_posts > 0
                && world.backend.behaviour == ZoomBehaviour::ReuseRevokesFamily
            {
                summary.lost += usize::from(has_credential);
                if has_credential && !self.is_reuse_excused(world, history, newest.id, user) {
                    self.violation("a grant ended because its spent token was sent again");
                }
            }
        }
        summary.revoked = self.revoked.len();
        summary.violations = self.violations;
        summary
    }

    /// Whether a spent token may have been sent, because its successor was lost or came late.
    fn is_reuse_excused(&self, world: &World, history: &History, grant: Uuid, user: &str) -> bool {
        let ended_otherwise = self.revoked.contains(&grant)
            || world.removals.iter().any(|removal| removal.user == user);
        let came_late = |operation: &Operation| {
            let issued = IssuedTokens::of(world, operation, grant);
            operation.has_faults && !issued.is_empty()
        };
        ended_otherwise || history.operations.iter().any(came_late)
    }
}

/// Whether the user removed the app while the operation ran that spent the code. Then its tokens may be destroyed,
/// although Zoom has issued them after the removal.
fn was_sent_before_removal(world: &World, user: &str, issued: Option<&IssuedTokens>) -> bool {
    let Some(issued) = issued else {
        return false;
    };
    let mut removals = world.removals.iter().filter(|it| it.user == user);
    removals.any(|it| issued.code_sent_after < it.tick)
}
