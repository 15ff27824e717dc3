//! What Zoom issued and revoked, according to the recorded calls.

use std::time::Duration;

use uuid::Uuid;

use crate::life::history::{History, Operation};
use crate::life::world::World;
use crate::wire::{Call, REFRESH_PATH};

/// Less than the time-out of the functions' Zoom clients.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// Tokens that Zoom issued.
#[derive(Clone, Debug)]
pub(crate) struct IssuedTokens {
    /// Whether they reached a process that lived on.
    pub(crate) is_received: bool,
    /// The tick at which the operation began that spent the grant's code. Zoom has issued the grant later.
    pub(crate) code_sent_after: u64,
    at: u64,
}

impl IssuedTokens {
    /// The tokens of one of Zoom's grants that one operation got.
    pub(crate) fn of(world: &World, operation: &Operation, grant: Uuid) -> Vec<Self> {
        let calls = operation.calls().into_iter();
        let issued = calls.filter_map(|call| {
            let token = issued_token(&call)?;
            (world.backend.zoom.grant_of(&token) == Some(grant)).then(|| Self {
                is_received: is_in_time(&call) && !operation.is_killed(),
                code_sent_after: operation.started_at,
                at: call.executed_at().unwrap(),
            })
        });
        issued.collect()
    }
}

/// Whether the caller got Zoom's answer before it stopped waiting. On a busy machine, the answer may come too late.
fn is_in_time(call: &Call) -> bool {
    call.waited.is_some_and(|waited| waited < MAX_WAIT)
}

/// The newest tokens of one of Zoom's grants.
pub(crate) fn last_issued(world: &World, history: &History, grant: Uuid) -> Option<IssuedTokens> {
    let operations = history.operations.iter();
    let all = operations.flat_map(|operation| IssuedTokens::of(world, operation, grant));
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|issued| issued.at);
    let code_sent_after = all.first()?.code_sent_after;
    all.pop().map(|last| IssuedTokens {
        code_sent_after,
        ..last
    })
}

/// The refresh token in Zoom's answer to a code or a refresh.
fn issued_token(call: &Call) -> Option<String> {
    if call.operation != REFRESH_PATH || !call.succeeded() {
        return None;
    }
    let body: serde_json::Value = serde_json::from_slice(&call.executed.as_ref()?.body).ok()?;
    body["refresh_token"].as_str().map(str::to_owned)
}

/// The access token of a grant that the call has revoked.
pub(crate) fn revoked_token(call: &Call) -> Option<String> {
    if call.operation != "/oauth/revoke" || !call.succeeded() {
        return None;
    }
    let mut fields = url::form_urlencoded::parse(&call.request);
    let token = fields.find(|(name, _)| name == "token")?;
    Some(token.1.into_owned())
}
