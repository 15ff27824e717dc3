//! One Lambda sandbox: the vault's clients, connected through a wire of their own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use functions::{runtime, tokens};
use lambda_http::{Context, LambdaEvent};
use local::gateway::Services;
use serde_json::{Value, json};
use shared::credential::CredentialId;
use shared::envelope::Envelope;
use shared::grants::Grants;
use shared::stores::{Credentials, Events, Keys, Pairs, Requests, Secrets, TokenUrls};
use shared::timestamp::Timestamp;
use shared::zoom::Zoom;
use tokio::task::JoinSet;

use crate::backend::Team;
use crate::baselines;
use crate::wire::{Wire, next_tick};

/// How much later than at its time-out an invocation is killed. The vault keeps a second for its answer, and a busy
/// machine may take longer.
const SLOWNESS: Duration = Duration::from_secs(2);

/// How a mint refreshes an expired access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefreshMethod {
    /// The production code of this repository.
    Vault,
    /// Baseline: read, refresh and write, without a lock.
    Naive,
    /// Baseline: a lock that expires after ten seconds, and an unconditional write.
    TtlLock,
}

/// One Lambda sandbox.
pub(crate) struct Lambda {
    pub(crate) wire: Arc<Wire>,
    /// Builds the clients of any function, which call through the wire.
    pub(crate) services: Services,
    pub(crate) token_urls: TokenUrls,
    pub(crate) keys: Keys,
    pub(crate) requests: Requests,
    pub(crate) events: Events,
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) credentials: Credentials,
    pub(crate) pairs: Pairs,
    pub(crate) secrets: Secrets,
    pub(crate) envelope: Envelope,
    pub(crate) zoom: Zoom,
    pub(crate) _proxies: JoinSet<()>,
}

/// The result of a mint.
#[derive(Clone, Debug, Default)]
pub(crate) struct MintAnswer {
    pub(crate) status: u16,
    /// The minted token.
    pub(crate) token: Option<String>,
    /// The `details` of an error answer.
    pub(crate) details: Option<String>,
    pub(crate) duration: Duration,
    /// Whether the invocation was killed, by a fault or by its time-out.
    pub(crate) killed: bool,
    /// Whether the invocation was killed by its time-out.
    pub(crate) timed_out: bool,
    /// The tick at which the invocation ended.
    pub(crate) ended_at: u64,
}

impl Lambda {
    /// Mints an `onbehalf` token. The invocation has `time_out` left.
    pub(crate) async fn mint(
        &self,
        method: RefreshMethod,
        team: &Team,
        id: CredentialId,
        time_out: Duration,
    ) -> MintAnswer {
        let start = Instant::now();
        let answer = match method {
            RefreshMethod::Vault => self.invoke_vault(team, id, time_out).await,
            RefreshMethod::Naive => baselines::mint_naive(self, team, id).await,
            RefreshMethod::TtlLock => baselines::mint_with_ttl_lock(self, team, id).await,
        };
        MintAnswer {
            duration: start.elapsed(),
            ..answer
        }
    }

    /// Mints like [`Self::mint`]. A crash fault or the time-out kills the invocation.
    pub(crate) async fn mint_until_killed(
        self: Arc<Self>,
        method: RefreshMethod,
        team: Team,
        id: CredentialId,
        time_out: Duration,
    ) -> MintAnswer {
        let lambda = self.clone();
        let mut invocation =
            tokio::spawn(async move { lambda.mint(method, &team, id, time_out).await });
        let answer = tokio::select! {
            answer = &mut invocation => answer.unwrap(),
            () = self.wire.wait_for_crash() => {
                invocation.abort();
                invocation.await.ok();
                MintAnswer { killed: true, ..MintAnswer::default() }
            }
            // AWS kills an invocation at its time-out, too.
            () = tokio::time::sleep(time_out + SLOWNESS) => {
                invocation.abort();
                invocation.await.ok();
                MintAnswer { killed: true, timed_out: true, ..MintAnswer::default() }
            }
        };
        self.wire.finish();
        MintAnswer {
            ended_at: next_tick(),
            ..answer
        }
    }

    async fn invoke_vault(&self, team: &Team, id: CredentialId, time_out: Duration) -> MintAnswer {
        let body = json!({ "credential_id": id, "type": "onbehalf" }).to_string();
        let headers =
            json!({ "x-meeting-baas-api-key": team.key, "content-type": "application/json" });
        let event = json!({ "headers": headers, "body": body });
        let mut context = Context::default();
        let deadline = Timestamp::now().plus(time_out).as_millis();
        context.deadline = deadline.try_into().unwrap();
        let event = LambdaEvent::new(serde_json::from_value(event).unwrap(), context);
        let Self { keys, requests, .. } = self;
        // New `Grants` have an empty cache of opened grants, so every mint is a cold start.
        let grants = Grants::new(
            self.credentials.clone(),
            self.pairs.clone(),
            self.secrets.clone(),
            self.events.clone(),
            self.envelope.clone(),
            self.zoom.clone(),
            true,
        );
        let answer = runtime::invoke(tokens::mint::ROUTE, event, async |request| {
            tokens::mint::handle(keys, requests, &grants, &request).await
        });
        let answer = answer.await;
        let text = answer.body.map_or_else(Vec::new, |body| body.to_vec());
        let body: Value = serde_json::from_slice(&text).unwrap();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        MintAnswer {
            status: answer.status_code.try_into().unwrap(),
            token: text(&body["data"]["token"]),
            details: text(&body["details"]),
            ..MintAnswer::default()
        }
    }
}
