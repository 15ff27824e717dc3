//! One mint: the step that it is at, and what it knows.

use crate::store::Row;

/// The next step of a mint, with the step's number in docs/protocol.md (Refresh).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Step {
    /// The mint was not requested yet.
    #[default]
    Idle,
    /// 0. Read the credential.
    Credential,
    /// 0. Read the row.
    Read,
    /// 1, 2. The keys are available. Acquire the lease.
    Acquire,
    /// 3. The refresh with this token is on its way.
    SendRefresh(u8),
    /// 4. Zoom answered with this pair. Commit the pair.
    Commit(u8),
    /// 4. The generation has changed. Stash the pair.
    Stash(u8),
    /// 4. The row was in `reconnect`. Set its credentials to `active`. Then mint if true, else read again.
    Reactivate(bool),
    /// 5. The capsule is in the log and the invocation has ended.
    Capsule(u8),
    /// 6. Zoom answered `invalid_grant`. Read the row.
    Refused,
    /// 6. Search the other active grants of the pair.
    Search,
    /// 6. The search found nothing. Read the home row again.
    Reread,
    /// 6. Run the declaring transaction, with the stash of the read before.
    Declare(Option<u8>),
    /// 6. Set the grant's other credentials to `invalid`.
    InvalidateOthers,
    /// 6. A candidate works. Move the credential to it.
    Adopt,
    /// Correct the credential's state: `active` if true, else `invalid`.
    Repair(bool),
    /// The mint has ended.
    Ended(Outcome),
}

/// The answer of a mint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Outcome {
    /// A token.
    Token,
    /// The user must connect again.
    Reconnect,
    /// A retry may succeed.
    Transient,
    /// No answer: the mint was killed, or nobody waits for the answer.
    Nothing,
}

/// What a mint knows about a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RowView {
    /// The number of the row.
    pub(crate) row: u8,
    /// The generation that the mint read last.
    pub(crate) generation: u8,
    /// The refresh token of that generation.
    pub(crate) token: u8,
    /// The stashed token that Zoom refused to this mint.
    pub(crate) tried_stash: Option<u8>,
    /// Whether the row had a stash before the last refresh. A pair from that refresh supersedes the stash.
    pub(crate) saw_stash: bool,
    /// Whether a refresh of this mint ended with an unknown outcome.
    pub(crate) outcome_unknown: bool,
    /// The evidence of step 6: `outcome_unknown`, or the row had an older attempt at the acquire.
    pub(crate) may_be_lost: bool,
    /// Ghost: the generation that Zoom refused last.
    pub(crate) refused: Option<u8>,
}

/// One invocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Caller {
    pub(crate) step: Step,
    /// The credential to mint with.
    pub(crate) credential: u8,
    /// The row of the credential.
    pub(crate) home: RowView,
    /// The candidate of the search that the mint tries now.
    pub(crate) candidate: Option<RowView>,
    /// The candidates that the invocation has tried, as a bit set. It tries each only once.
    pub(crate) tried: u8,
    /// The candidates that the search has not tried yet, as a bit set. `None` before the search.
    pub(crate) left: Option<u8>,
    /// The home row was read in `reconnect`: the mint searches and declares nothing.
    pub(crate) read_reconnect: bool,
    /// The credential was read as `active`.
    pub(crate) read_active: bool,
    /// The refresh was sent a second time.
    pub(crate) sent_twice: bool,
    /// This caller is the CLI, which replays a capsule from step 4.
    pub(crate) replay: bool,
    /// The invocation has ended. Its last message may still arrive.
    pub(crate) ended_in_flight: bool,
    /// The row whose release has a second copy on its way.
    pub(crate) late_release: Option<u8>,
    /// Ghost: a transient failure occurred.
    pub(crate) failed_transiently: bool,
}

impl Caller {
    /// A new mint with this credential.
    pub(crate) fn new(credential: u8) -> Self {
        Self {
            step: Step::Credential,
            credential,
            ..Self::default()
        }
    }

    /// Whether the process runs, so its lease cannot have ended.
    pub(crate) const fn is_running(&self) -> bool {
        !matches!(self.step, Step::Idle | Step::Capsule(_) | Step::Ended(_))
            && !self.replay
            && !self.ended_in_flight
    }

    /// The pair that the mint holds and has not stored.
    pub(crate) const fn pair(&self) -> Option<u8> {
        match self.step {
            Step::Commit(pair) | Step::Stash(pair) => Some(pair),
            _ => None,
        }
    }

    /// The row that the mint works on: the candidate if there is one, else the home row.
    pub(crate) const fn view(&self) -> &RowView {
        match &self.candidate {
            Some(view) => view,
            None => &self.home,
        }
    }

    /// Clears knowledge that no later step uses. `ended`: which grants the user has ended.
    pub(crate) fn clear_unused(&mut self, ended: &[bool]) {
        let sends_refresh = matches!(self.step, Step::SendRefresh(_));
        let may_commit = sends_refresh || matches!(self.step, Step::Commit(_) | Step::Capsule(_));
        let refused = matches!(
            self.step,
            Step::Refused | Step::Declare(_) | Step::Search | Step::Reread
        );
        let on_candidate = self.candidate.is_some();
        self.sent_twice &= sends_refresh;
        self.home.saw_stash &= may_commit && !on_candidate;
        if !refused && !on_candidate {
            self.home.refused = None;
        }
        let view = self.view_mut();
        view.saw_stash &= may_commit;
        view.refused = view.refused.filter(|_| refused);
        if sends_refresh && ended[usize::from(view.row)] {
            self.step = Step::SendRefresh(0);
        }
        for view in [Some(&mut self.home), self.candidate.as_mut()]
            .into_iter()
            .flatten()
        {
            if ended[usize::from(view.row)] {
                view.token = 0;
                view.outcome_unknown = false;
                view.may_be_lost = false;
            }
        }
    }

    pub(crate) fn view_mut(&mut self) -> &mut RowView {
        self.candidate.as_mut().unwrap_or(&mut self.home)
    }

    pub(crate) fn end(&mut self, outcome: Outcome) {
        self.step = Step::Ended(outcome);
    }

    /// Leaves the row, and continues with the next candidate.
    pub(crate) fn search(&mut self) {
        self.candidate = None;
        self.step = Step::Search;
    }

    /// Takes over what was read from the row. A new generation makes older knowledge obsolete.
    pub(crate) fn learn(&mut self, row: &Row) {
        let view = self.view_mut();
        if view.generation != row.generation {
            *view = RowView {
                row: view.row,
                ..RowView::default()
            };
        }
        view.generation = row.generation;
        view.token = row.token;
    }
}
