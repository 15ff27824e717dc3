//! One Lambda: a vault with clients and a wire of its own, as each sandbox of AWS's has.

use std::sync::Arc;
use std::time::{Duration, Instant};

use functions::{runtime, tokens};
use lambda_http::{Context, LambdaEvent};
use serde_json::{Value, json};
use shared::credential::CredentialId;
use shared::envelope::Envelope;
use shared::grants::Grants;
use shared::stores::{Credentials, Events, Keys, Requests, Secrets};
use shared::timestamp::Timestamp;
use shared::zoom::Zoom;
use tokio::task::JoinSet;

use crate::baselines;
use crate::earth::Team;
use crate::wire::{Wire, tick};

/// How tokens are refreshed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// The vault's: what this repository ships.
    Vault,
    /// Read, refresh, write.
    Naive,
    /// A lock that lasts ten seconds, and an unconditional write.
    TtlLock,
}

/// One Lambda.
pub(crate) struct Lambda {
    pub(crate) wire: Arc<Wire>,
    pub(crate) keys: Keys,
    pub(crate) requests: Requests,
    pub(crate) events: Events,
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) credentials: Credentials,
    pub(crate) secrets: Secrets,
    pub(crate) envelope: Envelope,
    pub(crate) zoom: Zoom,
    pub(crate) _proxies: JoinSet<()>,
}

/// How a mint ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The token that was handed out.
    pub(crate) token: Option<String>,
    /// Zoom's reason or the vault's, of a failure.
    pub(crate) details: Option<String>,
    pub(crate) took: Duration,
    /// Whether its invocation was killed.
    pub(crate) crashed: bool,
    /// Whether it was killed for not ending in time.
    pub(crate) overran: bool,
    /// When its invocation ended.
    pub(crate) ended: u64,
}

impl Lambda {
    /// Mints an `onbehalf` token, within `limit`.
    pub(crate) async fn mint(
        &self,
        manner: Manner,
        team: &Team,
        id: CredentialId,
        limit: Duration,
    ) -> Answer {
        let began = Instant::now();
        let answer = match manner {
            Manner::Vault => self.invoke(team, id, limit).await,
            Manner::Naive => baselines::naive(self, team, id).await,
            Manner::TtlLock => baselines::ttl_lock(self, team, id).await,
        };
        Answer {
            took: began.elapsed(),
            ..answer
        }
    }

    /// The same, unless a fault on the wire kills it, or its time is over.
    pub(crate) async fn mint_or_die(
        self: Arc<Self>,
        manner: Manner,
        team: Team,
        id: CredentialId,
        limit: Duration,
    ) -> Answer {
        let lambda = self.clone();
        let mut invocation =
            tokio::spawn(async move { lambda.mint(manner, &team, id, limit).await });
        let answer = tokio::select! {
            answer = &mut invocation => answer.unwrap(),
            () = self.wire.crashed() => {
                invocation.abort();
                invocation.await.ok();
                Answer { crashed: true, ..Answer::default() }
            }
            // As AWS does.
            () = tokio::time::sleep(limit) => {
                invocation.abort();
                invocation.await.ok();
                Answer { crashed: true, overran: true, ..Answer::default() }
            }
        };
        self.wire.end();
        Answer {
            ended: tick(),
            ..answer
        }
    }

    async fn invoke(&self, team: &Team, id: CredentialId, limit: Duration) -> Answer {
        let body = json!({ "credential_id": id, "type": "onbehalf" }).to_string();
        let headers =
            json!({ "x-meeting-baas-api-key": team.key, "content-type": "application/json" });
        let event = json!({ "headers": headers, "body": body });
        let mut context = Context::default();
        let deadline = Timestamp::now().plus(limit).as_millis();
        context.deadline = deadline.try_into().unwrap();
        let event = LambdaEvent::new(serde_json::from_value(event).unwrap(), context);
        let Self { keys, requests, .. } = self;
        // It remembers no grant: every mint is a cold one.
        let grants = Grants::new(
            self.credentials.clone(),
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
        Answer {
            status: answer.status_code.try_into().unwrap(),
            token: text(&body["data"]["token"]),
            details: text(&body["details"]),
            ..Answer::default()
        }
    }
}
