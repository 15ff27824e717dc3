//! Deliberate mistakes: each undoes one condition or one effect of the protocol. The rules must notice them.

/// A deliberate mistake. T1 to T10 are the transitions in docs/protocol.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// The protocol as it is.
    None,

    // T1: a credential learns its user.
    /// T1 writes although the credential has another grant by now.
    LearnIgnoresGrant,
    /// T1 counts a credential that is counted already.
    LearnCountsTwice,
    /// T1 refuses a deleted credential.
    LearnRefusesDeleted,
    /// T1 counts a deleted credential as live.
    LearnCountsDeletedAsLive,
    /// T1 writes although the grant has no row.
    LearnIgnoresMissingGrant,
    /// T1 does not add the grant to the pair.
    LearnLeavesGrantOut,
    /// T1 leaves the TTL of the pair's row.
    LearnKeepsExpiry,
    /// T1 ignores that the user deauthorized the app.
    LearnIgnoresDeauthorization,

    // T2: a code was exchanged.
    /// T2 ignores which grant the credential has by now.
    AuthorizeIgnoresSeenGrant,
    /// T2 ignores in which pair the credential is counted by now.
    AuthorizeIgnoresSeenPair,
    /// T2 writes to a deleted credential.
    AuthorizeIgnoresDeletion,
    /// T2 does not count the credential out of its old pair.
    AuthorizeKeepsOldCount,
    /// T2 replaces a row of the same grant.
    AuthorizeReplacesGrant,
    /// T2 and T2′ write a grant that is not due.
    AuthorizeIsNotDue,
    /// If T2 is refused, the tokens are dropped (no T2′).
    RefusedTokensDropped,
    /// If DynamoDB is down at T2, the tokens are dropped (no capsule).
    NoCapsule,
    /// T2″ ignores that the user deauthorized the app.
    RegisterIgnoresDeauthorization,
    /// T2″ adds a grant to a pair without members.
    RegisterIgnoresMembers,
    /// T2″ updates a row that does not exist.
    RegisterIgnoresMissingGrant,

    // T3: a credential moves to another grant.
    /// T3 ignores which grant the credential has by now.
    MoveIgnoresFrom,
    /// T3 has no condition on the grant that it moves to.
    MoveIgnoresTarget,
    /// T3 moves to a closed grant.
    MoveIgnoresClosed,
    /// T3 moves a deleted credential.
    MoveIgnoresDeletion,
    /// An authorizer moves siblings that were authorized at about the same time.
    MoveIgnoresAge,

    // T4 to T6: delete, restore, purge.
    /// T4 does not change the count of live credentials.
    DeleteKeepsLive,
    /// T4 ignores in which pair the credential is counted by now.
    DeleteIgnoresSeenPair,
    /// T5 does not change the count of live credentials.
    RestoreKeepsLive,
    /// T5 ignores in which pair the credential is counted by now.
    RestoreIgnoresSeenPair,
    /// T5 does not ask whether the grant is closed.
    RestoreIgnoresClosed,
    /// T6 does not ask whether the credential was counted out.
    CountOutIgnoresGone,
    /// T6 writes `gone#` and the count in two writes.
    CountOutInTwoWrites,
    /// T6 leaves the client secret.
    PurgeKeepsApp,
    /// T6′ removes a credential that was restored meanwhile.
    PurgeIgnoresRestore,

    // T7, T8: rows of grants are deleted.
    /// T7 deletes a grant whose tokens may be in a capsule.
    DropIgnoresAttempt,
    /// T7 deletes a grant that has new tokens since the refusal.
    DropIgnoresGeneration,
    /// Keep-alive deletes a refused nameless grant although its credential points at it.
    DropIgnoresPointer,
    /// T7 deletes the last grant of a pair without members, whose row then gets no TTL.
    DropIgnoresMembers,
    /// T8 ignores the count of members.
    DropPairIgnoresMembers,
    /// T8 deletes young grants.
    DropPairIgnoresYoung,
    /// T8 sets no TTL on the pair's row.
    DropPairKeepsRow,
    /// The pair's row gets no TTL if its last member leaves no grant.
    CountOutKeepsRow,
    /// T8′ ignores the count of members.
    DropStrayIgnoresMembers,
    /// T8′ deletes young grants.
    DropStrayIgnoresYoung,
    /// T8′ ignores that a credential points at the grant.
    DropStrayIgnoresPointer,
    /// Keep-alive deletes a nameless stray without asking Zoom for its user.
    StrayDroppedUnasked,
    /// No grant counts as young.
    NothingIsYoung,
    /// A grant counts as young only while an authorizer runs.
    YoungForAuthorizersOnly,

    // T9: a pair is closed and revoked.
    /// T9 ignores the count of live credentials.
    CloseIgnoresLive,
    /// T9 ignores that the pair changed since it was read.
    CloseIgnoresVersion,
    /// T9 closes young grants.
    CloseIgnoresYoung,
    /// T9 closes a grant that another worker is about to revoke.
    CloseIgnoresCloser,
    /// T9 closes one grant, not all of the pair.
    CloseOnlyOne,
    /// The worker does not read the pair again before it revokes.
    NoSecondLook,
    /// `CloseIgnoresLive` and `CloseIgnoresVersion`.
    CloseIgnoresBoth,
    /// `CloseIgnoresBoth` and `NoSecondLook`.
    RevokeIgnoresLive,
    /// A worker reopens what another worker closed.
    AnyoneReopens,
    /// T9′ reopens the grants of a pair in one write for each.
    ReopenOneByOne,
    /// Nobody reopens a pair whose closer has ended.
    NobodyReopens,
    /// A mint uses a closed grant.
    MintIgnoresClosed,

    // T10: the user deauthorized the app.
    /// The webhook destroys the tokens and leaves no mark.
    NoMark,
    /// The webhook destroys the tokens first, and marks the pair after that.
    MarkAfterShred,
    /// T10 sets a TTL on a row with members.
    MarkSetsExpiry,

    // Keep-alive, the search, and the stream.
    /// The stream handler destroys a grant that no credential points at.
    LeftDestroys,
    /// The search tries only grants that a credential points at.
    SearchOverlooksStrays,
    /// Keep-alive gives a stray that works to nobody.
    StrayGivenToNobody,
    /// Keep-alive moves members that were authorized after the proof, too.
    ProofMovesLater,
    /// The stream handler hastens nothing.
    NothingIsHastened,
    /// The purge of a credential hastens nothing while its pair has members.
    PurgeHastensPairOnly,
    /// Without a live credential, a grant rests although no credential points at it.
    StraysRest,
    /// A grant whose tokens were destroyed is not due any more.
    DestroyRemovesDue,
    /// A refused candidate of a search is not due any more.
    SearchRemovesDue,
}

impl Mistake {
    /// All mistakes.
    pub(crate) const ALL: &[Self] = &[
        Self::LearnIgnoresGrant,
        Self::LearnCountsTwice,
        Self::LearnRefusesDeleted,
        Self::LearnCountsDeletedAsLive,
        Self::LearnIgnoresMissingGrant,
        Self::LearnLeavesGrantOut,
        Self::LearnKeepsExpiry,
        Self::LearnIgnoresDeauthorization,
        Self::AuthorizeIgnoresSeenGrant,
        Self::AuthorizeIgnoresSeenPair,
        Self::AuthorizeIgnoresDeletion,
        Self::AuthorizeKeepsOldCount,
        Self::AuthorizeReplacesGrant,
        Self::AuthorizeIsNotDue,
        Self::RefusedTokensDropped,
        Self::NoCapsule,
        Self::RegisterIgnoresDeauthorization,
        Self::RegisterIgnoresMembers,
        Self::RegisterIgnoresMissingGrant,
        Self::MoveIgnoresFrom,
        Self::MoveIgnoresTarget,
        Self::MoveIgnoresClosed,
        Self::MoveIgnoresDeletion,
        Self::MoveIgnoresAge,
        Self::DeleteKeepsLive,
        Self::DeleteIgnoresSeenPair,
        Self::RestoreKeepsLive,
        Self::RestoreIgnoresSeenPair,
        Self::RestoreIgnoresClosed,
        Self::CountOutIgnoresGone,
        Self::CountOutInTwoWrites,
        Self::PurgeKeepsApp,
        Self::PurgeIgnoresRestore,
        Self::DropIgnoresAttempt,
        Self::DropIgnoresGeneration,
        Self::DropIgnoresPointer,
        Self::DropIgnoresMembers,
        Self::DropPairIgnoresMembers,
        Self::DropPairIgnoresYoung,
        Self::DropPairKeepsRow,
        Self::CountOutKeepsRow,
        Self::DropStrayIgnoresMembers,
        Self::DropStrayIgnoresYoung,
        Self::DropStrayIgnoresPointer,
        Self::StrayDroppedUnasked,
        Self::NothingIsYoung,
        Self::YoungForAuthorizersOnly,
        Self::CloseIgnoresLive,
        Self::CloseIgnoresVersion,
        Self::CloseIgnoresYoung,
        Self::CloseIgnoresCloser,
        Self::CloseOnlyOne,
        Self::NoSecondLook,
        Self::CloseIgnoresBoth,
        Self::RevokeIgnoresLive,
        Self::AnyoneReopens,
        Self::ReopenOneByOne,
        Self::NobodyReopens,
        Self::MintIgnoresClosed,
        Self::NoMark,
        Self::MarkAfterShred,
        Self::MarkSetsExpiry,
        Self::LeftDestroys,
        Self::SearchOverlooksStrays,
        Self::StrayGivenToNobody,
        Self::ProofMovesLater,
        Self::NothingIsHastened,
        Self::PurgeHastensPairOnly,
        Self::StraysRest,
        Self::DestroyRemovesDue,
        Self::SearchRemovesDue,
    ];
}
