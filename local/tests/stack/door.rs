//! Every web page that a developer opens can send requests to the ports of the stack. None of them gets in.

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response};

use crate::process::{Env, RunningStack, command};

const OTHER_HOST: &str = "This port answers only requests to this machine. To allow another host name, restart with --allow-host NAME.";
const OTHER_SITE: &str = "This port refuses requests that a page of another site makes. Use a program, or open the address in the browser.";

/// The name and the base URL of each port.
fn ports(stack: &RunningStack) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("API", stack.api.clone()),
        ("DynamoDB", stack.env["AWS_ENDPOINT_URL_DYNAMODB"].clone()),
        ("KMS", stack.env["AWS_ENDPOINT_URL_KMS"].clone()),
        ("Zoom", stack.zoom.clone()),
    ])
}

/// Headers of a request that a client may send to each port.
fn accepted_headers(stack: &RunningStack, port: &str) -> HeaderMap {
    let key = &stack.env["AWS_ACCESS_KEY_ID"];
    let (service, target) = match port {
        "DynamoDB" => ("dynamodb", "DynamoDB_20120810.ListTables"),
        "KMS" => ("kms", "TrentService.ListKeys"),
        _ => return HeaderMap::new(),
    };
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
    );
    headers(&[
        ("authorization", &authorization),
        ("x-amz-target", target),
        ("x-amz-date", "20260101T000000Z"),
        ("content-type", "application/x-amz-json-1.0"),
    ])
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        let name: HeaderName = name.parse().unwrap();
        (name, HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(pair).collect()
}

async fn send(http: &Client, method: Method, url: &str, headers: HeaderMap) -> Response {
    let request = http.request(method, url).headers(headers).body("{}");
    request.send().await.unwrap()
}

#[track_caller]
fn expect_no_cors(answer: &Response) {
    let mut names = answer.headers().keys();
    assert!(!names.any(|name| name.as_str().starts_with("access-control-")));
}

async fn expect_refused(answer: Response, message: &str, what: &str) {
    expect_no_cors(&answer);
    assert_eq!(answer.status(), 403, "{what}");
    assert_eq!(answer.text().await.unwrap(), message, "{what}");
}

/// A page of another site sends a request to a port, with and without a preflight, in each way that browsers have.
// assures 55
#[tokio::test]
async fn no_port_answers_a_page_of_another_site() {
    let data = tempfile::tempdir().unwrap();
    let stack = RunningStack::start(data.path()).await;
    for (port, url) in ports(&stack) {
        let other_port = format!("http://127.0.0.1:{}", 1);
        for foreign in [
            vec![("origin", "https://evil.test")],
            vec![("origin", other_port.as_str())],
            vec![("origin", "null")],
            vec![("origin", "null"), ("sec-fetch-site", "cross-site")],
            vec![("origin", "http://localhost")],
            vec![
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "no-cors"),
            ],
            vec![("sec-fetch-site", "same-site"), ("sec-fetch-mode", "cors")],
        ] {
            for method in [Method::POST, Method::OPTIONS] {
                let mut sent = accepted_headers(&stack, port);
                sent.extend(headers(&foreign));
                let answer = send(&stack.http, method, &url, sent).await;
                expect_refused(answer, OTHER_SITE, &format!("{port} {foreign:?}")).await;
            }
        }
    }
    let faults = format!("{}/sandbox/faults", stack.zoom);
    let sent = headers(&[
        ("origin", "https://evil.test"),
        ("content-type", "text/plain"),
    ]);
    let answer = send(&stack.http, Method::POST, &faults, sent).await;
    expect_refused(answer, OTHER_SITE, "a control route of the sandbox").await;
}

/// DNS rebinding: the name of another site resolves to this machine.
// assures 55
#[tokio::test]
async fn no_port_answers_to_a_name_that_is_not_this_machines() {
    let data = tempfile::tempdir().unwrap();
    let stack = RunningStack::start(data.path()).await;
    for (port, url) in ports(&stack) {
        for host in [
            "evil.test",
            "127.0.0.1.evil.test",
            "localhost.evil.test:3000",
            "10.0.0.1",
            "a@127.0.0.1",
            "127.0.0.1, evil.test",
            "",
        ] {
            let mut sent = accepted_headers(&stack, port);
            sent.extend(headers(&[("host", host)]));
            let answer = send(&stack.http, Method::POST, &url, sent).await;
            expect_refused(answer, OTHER_HOST, &format!("{port} {host:?}")).await;
        }
        for host in [
            "127.0.0.1",
            "localhost:3000",
            "LocalHost",
            "[::1]:80",
            "127.9.9.9",
        ] {
            let mut sent = accepted_headers(&stack, port);
            sent.extend(headers(&[("host", host)]));
            let answer = send(&stack.http, Method::POST, &url, sent).await;
            assert_ne!(answer.status(), 403, "{port} {host:?}");
        }
    }
}

#[tokio::test]
async fn a_page_of_the_port_itself_and_a_link_from_another_site_get_in() {
    let data = tempfile::tempdir().unwrap();
    let stack = RunningStack::start(data.path()).await;
    for (port, url) in ports(&stack) {
        for own in [
            vec![("origin", url.as_str())],
            vec![("origin", "null"), ("sec-fetch-site", "same-origin")],
            vec![("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")],
            vec![
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
            ],
        ] {
            let mut sent = accepted_headers(&stack, port);
            sent.extend(headers(&own));
            let answer = send(&stack.http, Method::POST, &url, sent).await;
            assert_ne!(answer.status(), 403, "{port} {own:?}");
            expect_no_cors(&answer);
        }
    }
}

#[tokio::test]
async fn dynamodb_and_kms_need_the_access_key_id_of_the_stack() {
    let data = tempfile::tempdir().unwrap();
    let stack = RunningStack::start(data.path()).await;
    let other = tempfile::tempdir().unwrap();
    let other = RunningStack::start(other.path()).await;
    assert_ne!(
        stack.env["AWS_ACCESS_KEY_ID"],
        other.env["AWS_ACCESS_KEY_ID"]
    );
    for port in ["DynamoDB", "KMS"] {
        let url = &ports(&stack)[port];
        let right = accepted_headers(&stack, port);
        let answer = send(&stack.http, Method::POST, url, right.clone()).await;
        assert_eq!(answer.status(), 200, "{port}");

        let of_other_stack = accepted_headers(&other, port)["authorization"].clone();
        let wrong = ["AWS4-HMAC-SHA256 Credential=local/x", "Basic eDp5", ""];
        let wrong = wrong.map(|text| HeaderValue::from_str(text).unwrap());
        for authorization in wrong.into_iter().chain([of_other_stack]) {
            let mut sent = right.clone();
            sent.insert("authorization", authorization);
            let answer = send(&stack.http, Method::POST, url, sent).await;
            assert_eq!(answer.status(), 403, "{port}");
            let refusal: serde_json::Value = answer.json().await.unwrap();
            assert_eq!(refusal["__type"], "UnrecognizedClientException");
            assert_eq!(
                refusal["message"],
                "The access key id is not the one of this stack: load the file env in its data directory again"
            );
        }
        let mut none = right;
        none.remove("authorization");
        let answer = send(&stack.http, Method::POST, url, none).await;
        assert_eq!(answer.status(), 403, "{port}");
    }
}

#[tokio::test]
async fn a_host_that_the_developer_allows_gets_in() {
    let data = tempfile::tempdir().unwrap();
    let arguments = [
        "--port",
        "0",
        "--allow-host",
        "172.17.0.1",
        "--allow-host",
        "Vault.Test",
    ];
    let stack =
        RunningStack::start_command(data.path(), command(data.path(), &arguments, &Env::new()))
            .await;
    for (port, url) in ports(&stack) {
        for (host, refused) in [
            ("172.17.0.1:80", false),
            ("vault.test", false),
            ("172.17.0.2", true),
        ] {
            let mut sent = accepted_headers(&stack, port);
            sent.extend(headers(&[("host", host)]));
            let answer = send(&stack.http, Method::POST, &url, sent).await;
            assert_eq!(answer.status() == 403, refused, "{port} {host}");
        }
    }
}

/// A developer's tunnel makes the local vault public, for example for Zoom's webhooks.
#[tokio::test]
async fn the_host_of_the_public_base_url_gets_in() {
    let data = tempfile::tempdir().unwrap();
    let name = "PUBLIC_BASE_URL".to_owned();
    let env = Env::from([(name, "https://tunnel.test/vault".to_owned())]);
    let stack = RunningStack::start_with(data.path(), &env).await;
    for (host, origin) in [
        ("tunnel.test", "https://tunnel.test"),
        ("127.0.0.1", "https://tunnel.test"),
    ] {
        let sent = headers(&[("host", host), ("origin", origin)]);
        let answer = send(&stack.http, Method::GET, &stack.api, sent).await;
        assert_ne!(answer.status(), 403, "{host}");
    }
}
