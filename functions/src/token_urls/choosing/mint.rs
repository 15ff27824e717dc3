//! Mints tokens with the candidates of a call.
//!
//! Candidates whose access token is good are tried at the same time. Those that need a refresh come after them, one at
//! a time. Last come those whose access token Zoom refuses although it seemed good. No answer leaves while a refresh is
//! open: nothing here drops a future that has begun to mint.

use std::time::Duration;

use futures_util::future::join_all;
use shared::credential::CredentialId;
use shared::error::Error;
use shared::event::EventId;
use shared::grants::Context;
use shared::grants::mint::{MintedToken, PreparedMint, mint, record_unused};
use shared::grants::token_request::TokenRequest;
use shared::invocation::Invocation;
use shared::stores::StoredCredential;
use shared::timestamp::Timestamp;

/// Another candidate is begun only if the caller can wait this long: a refresh and a mint take about a second.
const MIN_TIME: Duration = Duration::from_secs(4);
/// The code of a mint whose token nobody needed, because a candidate before it gave one.
const NOT_CHOSEN: &str = "NOT_CHOSEN";
/// The code of a mint that would have made the caller wait too long.
const OUT_OF_TIME: &str = "OUT_OF_TIME";
/// The code of a mint with a deleted credential.
const DELETED: &str = "DELETED";

/// A credential that a call can use, and its first mint.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) stored: StoredCredential,
    /// The mint of the first type. The rows that it needs are read.
    pub(crate) prepared: Result<PreparedMint, Error>,
}

/// What to mint, and how many tokens the answer has room for.
#[derive(Debug)]
pub(crate) struct Order {
    /// The tokens, one of each type. Never empty.
    pub(crate) wanted: Vec<Wanted>,
    /// The longest lifetime of a token that the team allows, in seconds.
    pub(crate) max_lifetime: u32,
}

/// A token that the answer has room for.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) request: TokenRequest,
    /// Whether the answer takes the token of every candidate. Otherwise it takes the first.
    pub(crate) of_all: bool,
}

/// The tokens of one type, those of the preferred candidates first.
pub(crate) type Tokens = Vec<(CredentialId, MintedToken)>;

/// A candidate, and what became of its mints.
struct Attempt {
    stored: StoredCredential,
    /// The first mint, until it is begun.
    prepared: Option<Result<PreparedMint, Error>>,
    /// Whether the first mint begins with a refresh.
    begins_with_refresh: bool,
    /// One for each token that is wanted.
    outcomes: Vec<Outcome>,
}

/// What became of one mint.
enum Outcome {
    /// It was not begun yet, or has to be done again with a refresh.
    Open,
    Minted(MintedToken),
    Failed(Error),
    /// It was not begun. The code says why.
    Skipped(&'static str),
    /// It was not begun, because it would meet the error of another token of this credential.
    Blocked,
}

/// Mints with the candidates. The result has the tokens of each type that the order wants. Fails with the error of the
/// first candidate if no candidate gave a token.
pub(crate) async fn mint_with(
    context: Context<'_>,
    candidates: Vec<Candidate>,
    deleted: &[CredentialId],
    order: &Order,
) -> Result<Vec<Tokens>, Error> {
    let margin = context.terms.margin;
    let attempts = candidates.into_iter();
    let mut attempts: Vec<Attempt> = attempts.map(|it| Attempt::new(it, margin, order)).collect();

    let at_once = attempts.iter_mut().filter(|it| !it.begins_with_refresh);
    join_all(at_once.map(|it| it.mint(context, order, Refresh::Later))).await;
    // Last come those whose access token Zoom has just refused.
    for index in late(&attempts) {
        let has_time = Timestamp::now().until(context.terms.answer_by) > MIN_TIME;
        let is_first = attempts.iter().all(Attempt::is_open);
        let skipped = if !order.has_room(&attempts) {
            Some(NOT_CHOSEN)
        } else if !has_time && !is_first {
            Some(OUT_OF_TIME)
        } else {
            None
        };
        let Some(attempt) = attempts.get_mut(index) else {
            continue;
        };
        match skipped {
            Some(code) => attempt.skip(code),
            None => attempt.mint(context, order, Refresh::Now).await,
        }
    }

    let mut tokens: Vec<Tokens> = order.wanted.iter().map(|_| Vec::new()).collect();
    let (mut unused, mut first_error) = (Vec::new(), None);
    for attempt in attempts {
        let id = attempt.stored.credential.credential_id;
        let outcomes = attempt.outcomes.into_iter();
        for ((wanted, tokens), outcome) in order.wanted.iter().zip(&mut tokens).zip(outcomes) {
            match outcome {
                Outcome::Minted(minted) if wanted.of_all || tokens.is_empty() => {
                    tokens.push((id, minted));
                }
                Outcome::Minted(minted) => {
                    unused.push((id, wanted, Some(minted.record), NOT_CHOSEN));
                }
                Outcome::Failed(error) => _ = first_error.get_or_insert(error),
                Outcome::Skipped(code) => unused.push((id, wanted, None, code)),
                Outcome::Open | Outcome::Blocked => {}
            }
        }
    }
    record_others(context, order, unused, deleted).await;
    if tokens.iter().all(Vec::is_empty)
        && let Some(error) = first_error
    {
        return Err(error);
    }
    Ok(tokens)
}

/// The attempts that need a refresh, in the order in which they are refreshed: those that were known to need one, and
/// then those whose access token Zoom has refused.
fn late(attempts: &[Attempt]) -> Vec<usize> {
    let open = |known: bool| {
        let attempts = attempts.iter().enumerate();
        let open = attempts.filter(move |(_, it)| it.is_open() && it.begins_with_refresh == known);
        open.map(|(index, _)| index)
    };
    open(true).chain(open(false)).collect()
}

impl Order {
    /// Whether the answer has room for a token of another candidate.
    fn has_room(&self, attempts: &[Attempt]) -> bool {
        let mut wanted = self.wanted.iter().enumerate();
        wanted.any(|(index, wanted)| {
            let mut given = attempts.iter().filter_map(|it| it.outcomes.get(index));
            wanted.of_all || !given.any(|it| matches!(it, Outcome::Minted(_)))
        })
    }
}

/// When a mint may refresh the grant.
#[derive(Clone, Copy, Debug)]
enum Refresh {
    /// At once.
    Now,
    /// Not now. A mint that needs a refresh stays open.
    Later,
}

impl Attempt {
    fn new(candidate: Candidate, margin: Duration, order: &Order) -> Self {
        let Candidate { stored, prepared } = candidate;
        let first = prepared.as_ref();
        Self {
            begins_with_refresh: first.is_ok_and(|it| it.needs_refresh(margin)),
            stored,
            prepared: Some(prepared),
            outcomes: order.wanted.iter().map(|_| Outcome::Open).collect(),
        }
    }

    fn is_open(&self) -> bool {
        self.outcomes.iter().any(|it| matches!(it, Outcome::Open))
    }

    /// Mints every token that is still open: one first, which may refresh the grant, and then the others.
    async fn mint(&mut self, context: Context<'_>, order: &Order, refresh: Refresh) {
        let Self {
            stored,
            prepared,
            outcomes,
            ..
        } = self;
        let wanted = order.wanted.iter().zip(outcomes);
        let mut open = wanted.filter(|(_, it)| matches!(it, Outcome::Open));
        let Some((wanted, outcome)) = open.next() else {
            return;
        };
        let part = Part {
            context,
            stored,
            order,
            refresh,
        };
        let next;
        (*outcome, next) = part.mint(wanted, prepared.take()).await;
        match next {
            Next::Others => {
                // The access token is in memory now.
                let others = open.map(async |(wanted, outcome)| {
                    (*outcome, _) = part.mint(wanted, None).await;
                });
                join_all(others).await;
            }
            Next::Wait => {}
            Next::Stop => open.for_each(|(_, outcome)| *outcome = Outcome::Blocked),
        }
    }

    /// Begins no mint that is still open.
    fn skip(&mut self, code: &'static str) {
        let outcomes = self.outcomes.iter_mut();
        let open = outcomes.filter(|it| matches!(it, Outcome::Open));
        open.for_each(|outcome| *outcome = Outcome::Skipped(code));
    }
}

/// What becomes of the other tokens of a credential after a mint.
enum Next {
    /// They can be minted too.
    Others,
    /// They need the same refresh.
    Wait,
    /// They would meet the same error.
    Stop,
}

/// The mints of one credential in one of the two stages.
#[derive(Clone, Copy)]
struct Part<'a> {
    context: Context<'a>,
    stored: &'a StoredCredential,
    order: &'a Order,
    refresh: Refresh,
}

impl Part<'_> {
    /// One mint. What it does to the grant is counted apart, because a refresh is recorded by its own credential.
    async fn mint(
        self,
        wanted: &Wanted,
        prepared: Option<Result<PreparedMint, Error>>,
    ) -> (Outcome, Next) {
        let Self {
            context, stored, ..
        } = self;
        let invocation = match self.refresh {
            Refresh::Now => context.invocation.part(),
            Refresh::Later => context.invocation.part_without_refresh(),
        };
        let minted = async {
            let prepared = if let Some(prepared) = prepared {
                prepared?
            } else {
                let Context {
                    grants,
                    team,
                    terms,
                    ..
                } = context;
                let request = wanted.request.clone();
                PreparedMint::read(grants, team, stored, request, terms).await?
            };
            let prepared = prepared.with_max_lifetime(self.order.max_lifetime);
            let prepared =
                prepared.map_err(|_| Error::Internal("a token URL asks for no lifetime".into()))?;
            let context = Context {
                invocation: &invocation,
                ..context
            };
            // Boxed: the future is large, and each layer would copy it on the stack.
            Box::pin(mint(context, stored.clone(), prepared)).await
        };
        let minted = minted.await;
        context.invocation.add(&invocation);
        match minted {
            Ok(minted) => (Outcome::Minted(minted), Next::Others),
            Err(error) if error.needs_refresh() => (Outcome::Open, Next::Wait),
            Err(error) => {
                let next = if self.concerns_one_type(&error, &invocation) {
                    Next::Others
                } else {
                    Next::Stop
                };
                (Outcome::Failed(error), next)
            }
        }
    }

    /// Whether the next type may be minted although this one failed. It may not if Zoom refuses the grant or the app. A
    /// refresh whose outcome is unknown is not sent again, and a call that Zoom fails takes the caller's time.
    fn concerns_one_type(self, error: &Error, invocation: &Invocation) -> bool {
        if matches!(
            error,
            Error::ZoomUnavailable { .. } | Error::ZoomTimeout { .. }
        ) {
            let time_left = Timestamp::now().until(self.context.terms.answer_by);
            return !invocation.activity().has_failed_to_refresh() && time_left > MIN_TIME;
        }
        matches!(
            error,
            Error::MissingScope { .. } | Error::ZoomRefused { .. }
        )
    }
}

/// Records why the other credentials were not used.
async fn record_others(
    context: Context<'_>,
    order: &Order,
    unused: Vec<(CredentialId, &Wanted, Option<EventId>, &'static str)>,
    deleted: &[CredentialId],
) {
    let first = order.wanted.iter().take(1);
    let deleted = first.flat_map(|wanted| {
        let ids = deleted.iter();
        ids.map(move |id| (*id, wanted, None, DELETED))
    });
    let all = unused.into_iter().chain(deleted);
    let records = all.map(|(id, wanted, record, code)| {
        record_unused(context, id, &wanted.request, record, code)
    });
    join_all(records).await;
}
