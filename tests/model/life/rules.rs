//! The rules. L1 to L6 are those of docs/protocol.md (The life of a grant). L7 is about cost, so a model cannot check
//! it.

use crate::ids::{User, credentials, grants};
use crate::rows::{PairRow, RecordKind};
use crate::scenario::{Protocol, Scenario};
use crate::state::State;
use stateright::Property;

/// A rule whose violation is recorded in the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    L1,
    L2Held,
    L2Needed,
    L3,
    L4,
    L5,
    L6,
    Deauthorized,
    Revoked,
    Moved,
}

impl Rule {
    pub(crate) const fn bit(self) -> u16 {
        match self {
            Self::L1 => 1,
            Self::L2Held => 2,
            Self::L2Needed => 4,
            Self::L3 => 8,
            Self::L4 => 16,
            Self::L5 => 32,
            Self::L6 => 64,
            Self::Deauthorized => 128,
            Self::Revoked => 256,
            Self::Moved => 512,
        }
    }
}

/// All rules. Each must hold in every state.
pub(crate) fn properties() -> Vec<Property<Scenario>> {
    vec![
        Property::always("L1 tokens are stored or logged", |_, state: &State| {
            state.keeps(Rule::L1)
        }),
        Property::always(
            "L2a no grant is destroyed that a credential points at",
            |_, state: &State| state.keeps(Rule::L2Held),
        ),
        Property::always(
            "L2b no grant is destroyed that works and that the pair needs",
            |_, state: &State| state.keeps(Rule::L2Needed),
        ),
        Property::always(
            "L3 a live credential of a pair with a live grant can mint",
            |_, state: &State| state.keeps(Rule::L3),
        ),
        Property::always("L4 nothing without owner stays", |_, state: &State| {
            state.keeps(Rule::L4)
        }),
        Property::always(
            "L5 no grant is revoked that is needed",
            |_, state: &State| state.keeps(Rule::L5) && !needs_revoked(state),
        ),
        Property::always("L6 a purge is complete", |_, state: &State| {
            state.keeps(Rule::L6)
        }),
        Property::always(
            "LS deauthorized tokens are destroyed",
            |_, state: &State| state.keeps(Rule::Deauthorized),
        ),
        Property::always(
            "LR a team that revokes on delete gets its revocation",
            |_, state: &State| state.keeps(Rule::Revoked),
        ),
        Property::always("LC the counts are those of the rows", |scenario, state| {
            scenario.protocol == Protocol::TeamScan || counts_are_right(state)
        }),
        Property::always(
            "LP no active credential points at tokens that were destroyed",
            |_, state: &State| !points_at_destroyed(state),
        ),
        Property::always(
            "LE no pair with members or grants expires",
            |_, state: &State| {
                let unused = |it: &PairRow| it.members <= 0 && it.grants.is_empty();
                state.pairs.iter().all(|it| !it.expires || unused(it))
            },
        ),
        Property::always("LM no move takes a live grant away", |_, state: &State| {
            state.keeps(Rule::Moved)
        }),
        Property::always(
            "LG no row of a grant is made by an update",
            |_, state: &State| {
                let mut rows = state.grants.iter().flatten();
                rows.all(|row| row.sealed || row.reconnect)
            },
        ),
    ]
}

/// A credential is counted while it has a row, and after that until its record was handled.
fn counts_are_right(state: &State) -> bool {
    User::ALL.into_iter().all(|user| {
        let is_counted = |id: &u8| {
            let row = state.credential(*id);
            let waits = state.records.iter().flatten().any(|it| {
                it.kind == RecordKind::Purged && it.credential == *id && it.pair == Some(user)
            });
            let gone = state.gone[usize::from(*id)];
            row.map_or(waits && !gone, |row| row.pair == Some(user))
        };
        let is_live = |id: &u8| {
            let row = state.live_credential(*id);
            row.is_some_and(|row| row.pair == Some(user))
        };
        let pair = state.pair(user);
        let members = credentials().filter(is_counted).count();
        let live = credentials().filter(is_live).count();
        i8::try_from(members) == Ok(pair.members) && i8::try_from(live) == Ok(pair.live)
    })
}

/// Whether a live credential needs a grant that the vault revoked. A restore tells whose grant is given up.
fn needs_revoked(state: &State) -> bool {
    let revoked = |user: Option<User>| user.is_some_and(|it| state.ghost.revoked[it.index()]);
    let mut rows = state.credentials.iter().flatten();
    rows.any(|row| !row.deleted && !row.told && revoked(row.pair))
}

/// A grant that Zoom refused or that the user deauthorized may be destroyed while credentials point at it.
fn points_at_destroyed(state: &State) -> bool {
    let destroyed = |grant| {
        let revoked = state.grant(grant).is_some_and(|row| !row.sealed);
        state.ghost.unneeded.contains(grant)
            || (revoked && !state.ghost.deauthorized.contains(grant))
    };
    let mut rows = state.credentials.iter().flatten();
    rows.any(|row| !row.deleted && !row.invalid && destroyed(row.grant))
}

/// Checks L4, L6, and what deauthorization and revocation must leave. All work has come to rest.
pub(crate) fn check_remains(scenario: Scenario, state: &mut State) {
    let rows = state.credentials;
    let any_row = rows.iter().any(Option::is_some);
    for id in credentials() {
        let purged = state.credential(id).is_none() && state.gone[usize::from(id)];
        if purged && state.apps[usize::from(id)] {
            state.violate(Rule::L6);
        }
    }
    for grant in grants() {
        let Some(row) = state.sealed(grant) else {
            continue;
        };
        let user = state.zoom.user(grant);
        let held = state.holders(grant).next().is_some();
        let of_pair = |deleted: bool| {
            let mut rows = rows.iter().flatten();
            rows.any(|it| it.pair.is_some() && it.pair == user && it.deleted == deleted)
        };
        let known = row.pair.is_some() || scenario.protocol == Protocol::TeamScan;
        // The grants of a pair whose members are deleted wait for a restore or for the purge.
        let waits = known && of_pair(true) && !of_pair(false);
        if !held && !waits {
            state.violate(Rule::L4);
        }
        if !any_row || (known && !of_pair(true) && !of_pair(false) && !held) {
            state.violate(Rule::L6);
        }
        let shown = rows
            .iter()
            .flatten()
            .any(|it| it.grant == grant && it.pair == Some(User::A));
        let named = row.pair.is_some() || (scenario.protocol == Protocol::TeamScan && shown);
        if state.ghost.deauthorized.contains(grant) && named {
            state.violate(Rule::Deauthorized);
        }
        let live_holder = state
            .holders(grant)
            .any(|it| state.live_credential(it).is_some());
        let deleted_holder = state.holders(grant).any(|it| {
            state
                .credential(it)
                .is_some_and(|it| it.deleted && it.pair == user)
        });
        if scenario.revokes
            && state.zoom.is_live(grant)
            && deleted_holder
            && !live_holder
            && !of_pair(false)
        {
            state.violate(Rule::Revoked);
        }
    }
    let unused = |user: &User| {
        let pair = state.pair(*user);
        pair.exists && pair.members == 0 && !(pair.expires && pair.grants.is_empty())
    };
    if User::ALL.iter().any(unused) {
        state.violate(Rule::L6);
    }
}
