//! Calls the API and its webhook endpoint, and compares this machine's clock with the API's.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use shared::timestamp::Timestamp;

use super::findings::Findings;
use crate::error::chain;

const TIMEOUT: Duration = Duration::from_secs(15);
/// The vault tolerates a difference of 5 s.
const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(4);

pub(super) async fn check(url: &str, findings: &mut Findings) {
    let base = url.trim_end_matches('/');
    // Fails if a provider is installed already. That provider works as well.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let client = match Client::builder().timeout(TIMEOUT).build() {
        Ok(client) => client,
        Err(error) => {
            let to_do =
                "check this machine's TLS configuration: this program cannot make HTTP calls";
            return findings.bad("api", chain(&error), to_do);
        }
    };
    if check_endpoint(&client, base, findings).await {
        check_webhooks(&client, base, findings).await;
    }
}

/// Sends a request without an API key, which the API must refuse. Returns whether the API answered.
async fn check_endpoint(client: &Client, base: &str, findings: &mut Findings) -> bool {
    let to_do =
        "check the URL, DNS, the certificate, the API's stage, and the logs of its functions";
    let request = client.get(format!("{base}/v2/zoom-credentials"));
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => {
            findings.bad("api", chain(&error.without_url()), to_do);
            return false;
        }
    };
    check_clock(&answer, findings);
    match answer.status() {
        StatusCode::UNAUTHORIZED => findings.good("api", format!("{base} answers")),
        status => findings.bad(
            "api",
            format!("{base} answers {status} to a request without an API key, instead of 401"),
            to_do,
        ),
    }
    true
}

/// Sends an unsigned webhook for an app that does not exist. Only the vault itself answers it with 401.
async fn check_webhooks(client: &Client, base: &str, findings: &mut Findings) {
    let request = client
        .post(format!("{base}/webhooks/zoom/doctor"))
        .header("content-type", "application/json")
        .body("{}");
    let to_do = "Zoom cannot tell the vault when a user removes an app: check the route, a WAF in front of it, and the \
                 function zoom-webhook";
    match request.send().await {
        Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED => {
            findings.good("webhooks", "the endpoint refuses unsigned webhooks");
        }
        Ok(answer) => findings.bad(
            "webhooks",
            format!("the endpoint answers {}, instead of 401", answer.status()),
            to_do,
        ),
        Err(error) => findings.bad("webhooks", chain(&error.without_url()), to_do),
    }
}

/// Compares this machine's clock with the answer's `date` header.
fn check_clock(answer: &reqwest::Response, findings: &mut Findings) {
    let now = Timestamp::now();
    let date = answer
        .headers()
        .get("date")
        .and_then(|date| date.to_str().ok());
    let Some(date) = date.and_then(Timestamp::from_http_date) else {
        return findings.note("clock", "the API's answer has no date to compare with");
    };
    let difference = now.until(date).max(date.until(now));
    if difference > MAX_CLOCK_DIFFERENCE {
        let found = format!(
            "this machine's clock and the API's differ by {} s",
            difference.as_secs()
        );
        let to_do = "set this machine's clock (NTP): AWS refuses calls if the clock is minutes off";
        findings.bad("clock", found, to_do);
    } else {
        findings.good("clock", "this machine's clock and the API's agree");
    }
}
