//! Which rule notices which mistake, and in which exploration.

use crate::budget::NOTHING;
use crate::ids::User::{A, B};
use crate::mistake::Mistake::{self, *};
use crate::scenario::Authorize::{Create, Update};
use crate::scenario::{Scenario, Start};

const SHARED: Scenario = Scenario::new(
    Start::Shared,
    &[Update(1, A)],
    NOTHING
        .deletes(2)
        .restores(1)
        .expiries(1)
        .mints(1)
        .takes(1)
        .crashes(1),
);
const PURGED: Scenario = Scenario::new(
    Start::Shared,
    &[Update(1, A)],
    NOTHING.deletes(2).expiries(2).takes(1),
);
const PURGED_NOW: Scenario = Scenario::new(
    Start::Shared,
    &[Update(1, A)],
    NOTHING.deletes(2).restores(1).purges(1).crashes(1),
);
const TWICE: Scenario = Scenario::new(
    Start::Shared,
    &[Update(1, A), Update(1, B)],
    NOTHING.deletes(1).mints(1).takes(1),
);
/// Small enough to be explored to the end.
const TWICE_MINTED: Scenario = Scenario::new(
    Start::Shared,
    &[Update(1, A), Update(1, B)],
    NOTHING.mints(1),
);
/// A deletion and a restore in every place, small enough to be explored to the end.
const RESTORED: Scenario = Scenario::new(
    Start::Shared,
    &[Update(1, A)],
    NOTHING.deletes(1).restores(1).mints(1).takes(1),
);
const TWO_NEW: Scenario = Scenario::new(
    Start::One,
    &[Create(1, A), Create(2, A)],
    NOTHING.mints(1).takes(1),
);
/// Two authorizations of a user who had no credential.
const NEW_USER: Scenario = Scenario::new(
    Start::One,
    &[Update(0, B), Create(1, B)],
    NOTHING.deletes(1).takes(1),
);
const NEW_USER_PURGED: Scenario = Scenario::new(
    Start::One,
    &[Update(0, B), Create(1, B)],
    NOTHING.deletes(1).purges(1).mints(1).crashes(1),
);
const ONE_PURGED: Scenario = Scenario::new(
    Start::One,
    &[Update(0, A)],
    NOTHING.deletes(1).expiries(1).takes(1),
);
const SWAPPED: Scenario = Scenario::new(
    Start::NewerLives,
    &[Update(1, B), Update(0, B)],
    NOTHING.mints(1).takes(1).crashes(1),
);
const LEFT: Scenario = Scenario::new(Start::NewerLives, &[Update(1, B)], NOTHING);
const OUTAGE: Scenario = Scenario::new(
    Start::Shared,
    &[Update(1, A)],
    NOTHING.deletes(1).restores(1).takes(1).outages(1),
);
const REFRESH_OUTAGE: Scenario = Scenario::new(
    Start::NewerLives,
    &[Update(1, B)],
    NOTHING.deletes(1).mints(1).takes(2).refresh_outages(1),
);
const REMOVED: Scenario = Scenario::new(
    Start::Shared,
    &[Update(1, A)],
    NOTHING.deletes(1).takes(1).removals(1),
);
const REVOKED: Scenario = Scenario::new(
    Start::NewerDeleted,
    &[],
    NOTHING.deletes(1).restores(1).mints(1).takes(2),
)
.revoking();
const REVOKED_YOUNG: Scenario = Scenario::new(
    Start::One,
    &[Update(0, A), Create(1, A)],
    NOTHING.deletes(1).takes(1),
)
.revoking();
const REVOKED_TWICE: Scenario = Scenario::new(
    Start::SharedDeleted,
    &[Update(0, A), Update(1, A)],
    NOTHING.deletes(1).restores(1).takes(1),
)
.revoking();
const REOPENED: Scenario = Scenario::new(
    Start::SharedDeleted,
    &[Update(0, A)],
    NOTHING.deletes(1).restores(2).takes(1).crashes(1),
)
.revoking();
const DUE: Scenario = Scenario::new(
    Start::Shared,
    &[Update(1, A)],
    NOTHING.deletes(1).restores(1).takes(1),
)
.tracking_due();
const DUE_OTHER_USER: Scenario = Scenario::new(
    Start::NewerLives,
    &[Update(0, B)],
    NOTHING.deletes(1).restores(1).expiries(1).takes(1),
)
.tracking_due();
const DUE_PURGED: Scenario = Scenario::new(
    Start::NewerLives,
    &[],
    NOTHING.deletes(2).restores(1).expiries(1).takes(1),
)
.tracking_due();
const DUE_REMOVED: Scenario = Scenario::new(
    Start::NewerLives,
    &[Update(0, A)],
    NOTHING.deletes(2).expiries(2).takes(1).removals(1),
)
.tracking_due();
const DUE_SEARCH: Scenario = Scenario::new(
    Start::NewerLives,
    &[Update(0, B), Update(1, A)],
    NOTHING.mints(1).crashes(1),
)
.tracking_due();

/// A mistake, the beginning of the name of the rule that notices it, and where.
pub(crate) const NOTICED: &[(Mistake, &str, Scenario)] = &[
    (LearnIgnoresGrant, "L4", TWICE),
    (LearnCountsTwice, "LC", SHARED),
    (LearnRefusesDeleted, "L3", SHARED),
    (LearnCountsDeletedAsLive, "LC", SHARED),
    (LearnLeavesGrantOut, "L3", SHARED),
    (LearnKeepsExpiry, "LE", SHARED),
    (LearnIgnoresDeauthorization, "LS", REMOVED),
    (AuthorizeIgnoresSeenPair, "LC", TWICE),
    (AuthorizeIgnoresDeletion, "LC", SHARED),
    (AuthorizeKeepsOldCount, "LC", SHARED),
    (AuthorizeReplacesGrant, "L3", OUTAGE),
    (AuthorizeIsNotDue, "L4", DUE),
    (RefusedTokensDropped, "L1", SHARED),
    (NoCapsule, "L1", OUTAGE),
    (RegisterIgnoresDeauthorization, "LS", REMOVED),
    (RegisterIgnoresMembers, "LE", ONE_PURGED),
    (RegisterIgnoresMissingGrant, "LG", REMOVED),
    (MoveIgnoresFrom, "LM", TWO_NEW),
    (MoveIgnoresTarget, "LP", REVOKED),
    (MoveIgnoresClosed, "LP", REVOKED),
    (MoveIgnoresAge, "LM", TWO_NEW),
    (DeleteKeepsLive, "LC", SHARED),
    (DeleteIgnoresSeenPair, "LC", SHARED),
    (RestoreKeepsLive, "LC", SHARED),
    (RestoreIgnoresSeenPair, "LC", SHARED),
    (RestoreIgnoresClosed, "L5", REVOKED),
    (CountOutIgnoresGone, "LC", SHARED),
    (CountOutInTwoWrites, "LC", SHARED),
    (PurgeKeepsApp, "L6", SHARED),
    (PurgeIgnoresRestore, "LC", PURGED_NOW),
    (DropIgnoresAttempt, "L2b", REFRESH_OUTAGE),
    (DropIgnoresGeneration, "L2b", REFRESH_OUTAGE),
    (DropIgnoresPointer, "L2a", SWAPPED),
    (DropIgnoresMembers, "L6", PURGED),
    (DropPairIgnoresMembers, "L2b", SHARED),
    (DropPairIgnoresYoung, "L2b", NEW_USER_PURGED),
    (DropPairKeepsRow, "L6", PURGED),
    (CountOutKeepsRow, "L6", PURGED),
    (DropStrayIgnoresMembers, "L2b", NEW_USER),
    (DropStrayIgnoresYoung, "L2b", NEW_USER),
    (StrayDroppedUnasked, "L2b", SHARED),
    (NothingIsYoung, "L2b", NEW_USER),
    (YoungForAuthorizersOnly, "L2b", NEW_USER_PURGED),
    (CloseIgnoresBoth, "L3", REOPENED),
    (CloseIgnoresYoung, "L5", REVOKED_YOUNG),
    (CloseIgnoresCloser, "L5", REVOKED),
    (CloseOnlyOne, "L5", REVOKED),
    (RevokeIgnoresLive, "L5", REVOKED),
    (AnyoneReopens, "L5", REVOKED),
    (ReopenOneByOne, "L3", REOPENED),
    (NobodyReopens, "L4", REOPENED),
    (MintIgnoresClosed, "L5", REVOKED),
    (NoMark, "LS", REMOVED),
    (MarkAfterShred, "LS", REMOVED),
    (MarkSetsExpiry, "LE", REMOVED),
    (LeftDestroys, "L2b", LEFT),
    (SearchOverlooksStrays, "L3", SHARED),
    (StrayGivenToNobody, "L4", SHARED),
    (ProofMovesLater, "LM", TWO_NEW),
    (NothingIsHastened, "L4", DUE),
    (PurgeHastensPairOnly, "L4", DUE_PURGED),
    (StraysRest, "L4", DUE_OTHER_USER),
    (DestroyRemovesDue, "L6", DUE_REMOVED),
    (SearchRemovesDue, "L4", DUE_SEARCH),
];

/// A mistake that no rule notices, why, and where it was looked for.
pub(crate) const COVERED: &[(Mistake, &str, Scenario)] = &[
    (
        AuthorizeIgnoresSeenGrant,
        "`pair_id` as seen keeps the counts right, and the grant that was left stays in its pair",
        TWICE_MINTED,
    ),
    (
        LearnIgnoresMissingGrant,
        "nothing deletes a nameless grant that its credential points at",
        REMOVED,
    ),
    (
        MoveIgnoresDeletion,
        "a restore reads the grant that the credential has by then",
        RESTORED,
    ),
    (
        DropStrayIgnoresPointer,
        "a credential begins to point at a grant only with the write that makes the grant's row",
        NEW_USER,
    ),
    (
        CloseIgnoresLive,
        "the version of the pair covers it: see CloseIgnoresBoth",
        REVOKED,
    ),
    (
        CloseIgnoresVersion,
        "the count and the age of the grants cover it: see CloseIgnoresBoth",
        REVOKED_TWICE,
    ),
    (
        NoSecondLook,
        "a restore tells of the closed grant: see RevokeIgnoresLive",
        REVOKED,
    ),
];
