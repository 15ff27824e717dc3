//! The work of one operation: one invocation of a function, or one command of the operator.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::Request;
use local::gateway::Gateway;
use serde_json::{Value, json};
use shared::config::{KEEP_ALIVE_AFTER, REVOKE_AFTER};
use shared::credential::{CredentialId, TeamId};
use shared::event::Actor;
use shared::grants::capsule::Capsule;
use shared::purge_now::PurgeNow;
use shared::stores::{ManualPurge, TRANSACTION_TIMEOUT, Trail};
use shared::timestamp::Timestamp;

use crate::backend::Team;
use crate::lambda::Lambda;
use crate::wire::next_tick;

/// The time that keep-alive has.
const KEEP_ALIVE_TIME_OUT: Duration = Duration::from_mins(5);
/// The time of a mint or a check. With less, no refresh begins.
const REFRESH_TIME_OUT: Duration = Duration::from_secs(90);
/// The time of other operations. It is shorter than in AWS, so that an outage which lasts does not take long.
const TIME_OUT: Duration = Duration::from_secs(13);

/// What an operation does.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    /// A request to a function.
    Http {
        method: &'static str,
        path: String,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    KeepAlive,
    /// The stream's function handles a batch.
    Stream(Value),
    /// `credentials purge --now`.
    PurgeNow(CredentialId),
    /// `capsule replay`.
    Replay(Box<Capsule>),
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    /// The status of the answer. 200 for an operation without status that succeeded, else 500.
    pub(crate) status: u16,
    /// Whether a crash or the time-out killed the process.
    pub(crate) is_killed: bool,
    pub(crate) duration: Duration,
    /// The tick at which the process ended.
    pub(crate) ended_at: u64,
}

impl Outcome {
    pub(crate) fn succeeded(self) -> bool {
        !self.is_killed && (200..300).contains(&self.status)
    }
}

impl Job {
    /// A request with a JSON body.
    pub(crate) fn api(method: &'static str, path: &str, body: &Value) -> Self {
        Self::Http {
            method,
            path: path.to_owned(),
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.to_string(),
        }
    }

    /// Mints an `onbehalf` token.
    pub(crate) fn mint(credential: &str) -> Self {
        let body = json!({ "credential_id": credential, "type": "onbehalf" });
        Self::api("POST", "/v2/zoom-tokens", &body)
    }

    /// When AWS kills the operation.
    fn time_out(&self) -> Duration {
        match self {
            Self::KeepAlive => KEEP_ALIVE_TIME_OUT,
            Self::Http { path, .. } if path.ends_with("/check") || path.ends_with("-tokens") => {
                REFRESH_TIME_OUT
            }
            Self::Http { .. } | Self::Stream(_) | Self::PurgeNow(_) | Self::Replay(_) => TIME_OUT,
        }
    }

    /// Runs the job on a Lambda without memory of earlier invocations. A crash fault or the time-out kills the process.
    pub(crate) async fn run_until_killed(self, lambda: Arc<Lambda>, team: Team) -> Outcome {
        let (began, time_out) = (Instant::now(), self.time_out());
        let wire = lambda.wire.clone();
        let mut process = tokio::spawn(async move { self.run(&lambda, &team).await });
        let mut outcome = Outcome::default();
        tokio::select! {
            status = &mut process => outcome.status = status.unwrap(),
            () = wire.wait_for_crash() => outcome.is_killed = true,
            () = tokio::time::sleep(time_out) => {}
        }
        if outcome.status == 0 {
            process.abort();
            process.await.ok();
        }
        outcome.duration = began.elapsed();
        if outcome.duration >= time_out {
            outcome.is_killed = true;
        }
        wire.finish();
        outcome.ended_at = next_tick();
        outcome
    }

    async fn run(self, lambda: &Lambda, team: &Team) -> u16 {
        let time_out = self.time_out();
        let gateway = Gateway::new(lambda.services.clone());
        let status = |succeeded| if succeeded { 200 } else { 500 };
        match self {
            Self::Http {
                method,
                path,
                headers,
                body,
            } => {
                let request = Request::builder()
                    .method(method)
                    .uri(path)
                    .header("x-meeting-baas-api-key", &team.key);
                let request = headers
                    .into_iter()
                    .fold(request, |it, (name, value)| it.header(name, value));
                let (parts, ()) = request.body(()).unwrap().into_parts();
                let answer = gateway.answer_within(parts, body.into_bytes(), time_out);
                answer.await.status().as_u16()
            }
            Self::KeepAlive => {
                let run = gateway.keep_alive(KEEP_ALIVE_AFTER, REVOKE_AFTER, time_out);
                status(run.await.is_ok())
            }
            Self::Stream(batch) => status(gateway.purge_within(batch, time_out).await.unwrap()),
            Self::PurgeNow(id) => status(purge_now(lambda, &team.id, id).await),
            Self::Replay(capsule) => {
                let Lambda {
                    credentials,
                    pairs,
                    secrets,
                    ..
                } = lambda;
                let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
                let replayed = capsule.replay(credentials, pairs, secrets, until);
                status(replayed.await.is_ok())
            }
        }
    }
}

async fn purge_now(lambda: &Lambda, team: &TeamId, id: CredentialId) -> bool {
    let [credentials, secrets, urls] = ["credentials", "secrets", "token-urls"].map(str::to_owned);
    let removal = ManualPurge::new(lambda.dynamodb.clone(), credentials, secrets, urls);
    let trail = Trail {
        events: lambda.events.clone(),
        actor: Actor::Operator("local".to_owned()),
        request_id: "purge-now".to_owned(),
    };
    let purge = PurgeNow {
        credentials: &lambda.credentials,
        pairs: &lambda.pairs,
        secrets: &lambda.secrets,
        token_urls: &lambda.token_urls,
        removal: &removal,
        trail: &trail,
    };
    purge.purge(team, id).await.is_ok()
}
