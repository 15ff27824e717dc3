//! Secrets appear only in calls to Zoom and, sealed, in the secrets table. The tests search every other place for them.

use tracing::Level;

use crate::proxy::Service;

mod canary;
pub(crate) mod log;
mod panics;
mod scenario;
mod tokens;
mod types;
mod vendors;

use canary::assert_absent;
use log::Log;
use scenario::{Scenario, dump};

/// The client id of the Zoom app whose secrets are searched for.
const APP: &str = "canary-app";
/// URL encoding changes every part of this secret.
const CLIENT_SECRET: &str = "canary client+secret/of é the app";
/// The secret with which Zoom signs the app's webhooks.
const SECRET_TOKEN: &str = "canary webhook+token/of é the app";

// assures 12, 13, 14, 16
#[tokio::test]
async fn no_secret_is_in_any_answer_log_line_table_or_url() {
    let log = Log::default();
    let recording = log.record(Level::INFO);
    let mut scenario = Scenario::new().await;
    let id = scenario.successes().await;
    scenario.use_token_url(&id).await;
    scenario.verified_calls(&id).await;
    scenario.account_tokens().await;
    scenario.signatures_and_choices(&id).await;
    scenario.webhooks().await;
    scenario.connects().await;
    scenario.refusals(&id).await;
    scenario.echoes().await;
    scenario.outages().await;
    let answer = scenario.world.acme.delete(&id).await;
    scenario.keep(200, answer);
    drop(recording);
    scenario.learn_what_is_sealed(7).await;

    assert!(scenario.answers.len() > 50);
    for answer in &scenario.answers {
        assert_absent(&scenario.canaries, "a body", answer.text.as_bytes());
        let headers = format!("{:?}", answer.headers);
        assert_absent(&scenario.canaries, "a header", headers.as_bytes());
    }
    // Each request has exactly one such line.
    assert_eq!(
        log.requests().len(),
        scenario.answers.len() + scenario.other_requests
    );
    assert_absent(&scenario.canaries, "the log", &log.bytes());
    assert_absent(&scenario.canaries, "a table", &dump(&scenario.world).await);
    let calls = scenario.world.wire.calls();
    for call in calls.iter().filter(|call| call.service == Service::Zoom) {
        assert_absent(&scenario.canaries, "a URL", call.target.as_bytes());
    }
}

/// The operator sets `AWS_LAMBDA_LOG_LEVEL`, and then the libraries log too.
// assures 12
#[tokio::test]
async fn no_secret_is_logged_at_any_level() {
    let log = Log::default();
    let mut scenario = Scenario::new().await;
    let recording = log.record(Level::TRACE);
    let id = scenario.successes().await;
    scenario.use_token_url(&id).await;
    scenario.verified_calls(&id).await;
    scenario.account_tokens().await;
    scenario.signatures_and_choices(&id).await;
    scenario.webhooks().await;
    scenario.connects().await;
    let answer = scenario.world.acme.delete(&id).await;
    scenario.keep(200, answer);
    drop(recording);
    scenario.learn_what_is_sealed(5).await;
    assert!(log.bytes().len() > 10_000);
    assert_absent(&scenario.canaries, "the log", &log.bytes());
}
