//! Deliberate mistakes in the protocol. The rules must detect each of them.

/// A deliberate mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// No mistake: the protocol of docs/protocol.md.
    None,
    /// The commit also requires the lease.
    CommitRequiresLease,
    /// The commit has no condition.
    CommitUnconditionally,
    /// The commit removes a stash that the caller did not see before its refresh.
    CommitRemovesAnyStash,
    /// A pair is stashed on the next generation only, and dropped on a later one.
    StashOnNextGenerationOnly,
    /// A pair is dropped if the generation has changed.
    NoStash,
    /// The declaring transaction does not check that the stash is the one that was read.
    DeclareIgnoresStash,
    /// `invalid_grant` leads to the declaration without another read.
    DeclareWithoutReading,
    /// The acquire replaces an older unfinished attempt.
    AttemptOverwritten,
    /// The replay of a capsule removes the attempt, like a commit.
    ReplayRemovesAttempt,
    /// The lease may end before its holder.
    LeaseEndsBeforeHolder,
    /// A release names its invocation, not its lease.
    ReleaseNamesInvocation,
    /// The acquire does not check the generation.
    AcquireWithoutGeneration,
    /// A short time-out drops slow answers.
    SlowAnswerDropped,
    /// The search keeps the lease on the home row.
    SearchKeepsLease,
    /// A transient failure of a candidate counts as a refusal.
    TransientFailureSkipsCandidate,
    /// A row in `reconnect` ends the mint without a search.
    ReconnectEndsMint,
    /// The read before the declaration ignores a new stash.
    RereadIgnoresStash,
    /// A mint that found nothing leaves its credential `active` although the row is in `reconnect`.
    CredentialStaysActive,
    /// A successful mint leaves its credential `invalid`.
    CredentialStaysInvalid,
    /// A mint that leaves a row for the search removes the attempt of any caller.
    SearchRemovesAttempt,
    /// The commit fails on a row in `reconnect`.
    ReconnectBlocksCommit,
    /// The search adopts its first candidate without a trial.
    AdoptWithoutTrial,
}
