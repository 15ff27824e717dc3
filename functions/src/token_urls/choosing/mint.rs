//! Mints tokens with the candidates of a call.
//!
//! Candidates whose access token is good are tried at the same time. Those that need a refresh come after them, one at a
//! time. No answer leaves while a refresh is open: nothing here drops a future that has begun to mint.

use std::time::Duration;

use futures_util::future::join_all;
use shared::credential::CredentialId;
use shared::error::Error;
use shared::event::EventId;
use shared::grants::Context;
use shared::grants::mint::{MintedToken, PreparedMint, mint, record_unused};
use shared::grants::token_request::TokenRequest;
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

/// What one candidate gave.
struct Tried {
    id: CredentialId,
    /// One for each token that is wanted. After an error that the other tokens would meet too, there are no more.
    outcomes: Vec<Outcome>,
}

/// What became of one mint.
enum Outcome {
    Minted(MintedToken),
    Failed(Error),
    /// It was not begun. The code says why.
    Skipped(&'static str),
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
    let is_late = |it: &Candidate| {
        it.prepared
            .as_ref()
            .is_ok_and(|it| it.needs_refresh(margin))
    };
    let ids: Vec<CredentialId> = candidates
        .iter()
        .map(|it| it.stored.credential.credential_id)
        .collect();
    let (late, good): (Vec<_>, Vec<_>) = candidates.into_iter().partition(is_late);

    let at_once = good.into_iter().map(|it| try_candidate(context, it, order));
    let mut tried: Vec<Tried> = join_all(at_once).await;
    for candidate in late {
        let has_time = Timestamp::now().until(context.terms.answer_by) > MIN_TIME;
        let skipped = if !order.has_room(&tried) {
            Some(NOT_CHOSEN)
        } else if !has_time && !tried.is_empty() {
            Some(OUT_OF_TIME)
        } else {
            None
        };
        tried.push(match skipped {
            Some(code) => Tried {
                id: candidate.stored.credential.credential_id,
                outcomes: order
                    .wanted
                    .iter()
                    .map(|_| Outcome::Skipped(code))
                    .collect(),
            },
            None => try_candidate(context, candidate, order).await,
        });
    }
    // In the order of preference again.
    tried.sort_by_key(|it| ids.iter().position(|id| *id == it.id));

    let mut tokens: Vec<Tokens> = order.wanted.iter().map(|_| Vec::new()).collect();
    let (mut unused, mut first_error) = (Vec::new(), None);
    for Tried { id, outcomes } in tried {
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

impl Order {
    /// Whether the answer has room for a token of another candidate.
    fn has_room(&self, tried: &[Tried]) -> bool {
        let mut wanted = self.wanted.iter().enumerate();
        wanted.any(|(index, wanted)| {
            let mut given = tried.iter().filter_map(|it| it.outcomes.get(index));
            wanted.of_all || !given.any(|it| matches!(it, Outcome::Minted(_)))
        })
    }
}

/// Mints every token that is wanted with one candidate. If Zoom refuses the grant or the app, the other tokens are not
/// tried.
async fn try_candidate(context: Context<'_>, candidate: Candidate, order: &Order) -> Tried {
    let Candidate { stored, prepared } = candidate;
    let id = stored.credential.credential_id;
    let first = match prepared {
        Ok(prepared) => mint_part(context, stored.clone(), prepared, order).await,
        Err(error) => Err(error),
    };
    let grant_works = matches!(
        first,
        Ok(_) | Err(Error::MissingScope { .. } | Error::ZoomRefused { .. })
    );
    let mut results = vec![first];
    if grant_works {
        // The access token is in memory now.
        let Context {
            grants,
            team,
            terms,
            ..
        } = context;
        let others = order.wanted.iter().skip(1).map(|wanted| {
            let (stored, request) = (stored.clone(), wanted.request.clone());
            async move {
                let prepared = PreparedMint::read(grants, team, &stored, request, terms).await?;
                mint_part(context, stored, prepared, order).await
            }
        });
        results.extend(join_all(others).await);
    }
    let outcomes = results.into_iter().map(|result| match result {
        Ok(minted) => Outcome::Minted(minted),
        Err(error) => Outcome::Failed(error),
    });
    Tried {
        id,
        outcomes: outcomes.collect(),
    }
}

/// One mint. What it does to the grant is counted apart, because a refresh is recorded by its own credential.
async fn mint_part(
    context: Context<'_>,
    stored: StoredCredential,
    prepared: PreparedMint,
    order: &Order,
) -> Result<MintedToken, Error> {
    let part = context.invocation.part();
    let prepared = prepared.with_max_lifetime(order.max_lifetime);
    let prepared =
        prepared.map_err(|_| Error::Internal("a token URL asks for no lifetime".into()))?;
    let context_of_part = Context {
        invocation: &part,
        ..context
    };
    // Boxed: the future is large, and each layer would copy it on the stack.
    let minted = Box::pin(mint(context_of_part, stored, prepared)).await;
    context.invocation.add(&part);
    minted
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
