//! Injected faults.

use std::time::{Duration, Instant};

use super::super::{Endpoint, Fault, FaultKind, GrantType, Reply};
use super::*;

const REFRESH: Endpoint = Endpoint::Grant(GrantType::RefreshToken);
const FAULT_DELAY: Duration = Duration::from_millis(250);

impl TestZoom {
    fn is_live(&self, tokens: &Tokens) -> bool {
        self.sandbox.is_live_refresh_token(&tokens.refresh)
    }

    /// Whether no call is running.
    fn is_idle(&self) -> bool {
        let calls = self.sandbox.ledger();
        calls.last().is_none_or(|call| call.ended.is_some())
    }

    /// Starts a sandbox with a fault for the next refresh.
    async fn with_fault(kind: FaultKind) -> (Self, Tokens) {
        let zoom = Self::new().await;
        let tokens = zoom.connect().await;
        zoom.sandbox.inject(Fault::once(REFRESH, kind));
        (zoom, tokens)
    }
}

fn reply(status: StatusCode) -> Reply {
    Reply {
        retry_after: Some("2026-01-01T00:00:00Z".to_owned()),
        body: Some("{\"mine\":true}".to_owned()),
        ..Reply::status(status)
    }
}

#[tokio::test]
async fn a_connection_dropped_before_the_effect_leaves_the_token_live() {
    let (zoom, tokens) = TestZoom::with_fault(FaultKind::DropBefore).await;
    assert!(zoom.refresh(&tokens.refresh).send().await.is_err());
    assert!(zoom.is_live(&tokens));
    zoom.refresh_ok(&tokens).await;
}

#[tokio::test]
async fn a_connection_dropped_after_the_effect_uses_up_the_token() {
    let (zoom, tokens) = TestZoom::with_fault(FaultKind::DropAfter).await;
    assert!(zoom.refresh(&tokens.refresh).send().await.is_err());
    assert!(!zoom.is_live(&tokens));
    let [grant] = zoom.sandbox.grants().try_into().unwrap();
    assert_eq!(
        (grant.generation, grant.refreshes, grant.posts),
        (2, 1, vec![1, 0])
    );
    expect_answer(zoom.refresh(&tokens.refresh), 400, invalid_token()).await;
}

#[tokio::test]
async fn a_dropped_connection_carries_no_byte_of_answer() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let (zoom, tokens) = TestZoom::with_fault(FaultKind::DropAfter).await;
    let request = zoom.refresh(&tokens.refresh).build().unwrap();
    let body = std::str::from_utf8(request.body().unwrap().as_bytes().unwrap()).unwrap();
    let authorization = request.headers()["authorization"].to_str().unwrap();
    let mut socket = tokio::net::TcpStream::connect(zoom.origin.trim_start_matches("http://"))
        .await
        .unwrap();
    let request = format!(
        "POST /oauth/token HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\ncontent-length: {}\r\n\
         content-type: application/x-www-form-urlencoded\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    socket.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"");
    assert!(!zoom.is_live(&tokens));
}

#[tokio::test]
async fn a_truncated_answer_ends_after_half_of_the_body() {
    let (zoom, tokens) = TestZoom::with_fault(FaultKind::Truncate).await;
    let mut response = send(zoom.refresh(&tokens.refresh)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let declared = usize::try_from(response.content_length().unwrap()).unwrap();
    let mut received = 0;
    let is_broken = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => received += chunk.len(),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(is_broken);
    assert_eq!(received, declared / 2);
    assert!(!zoom.is_live(&tokens));
}

#[tokio::test]
async fn a_reply_before_the_effect_leaves_the_token_live() {
    let (zoom, tokens) =
        TestZoom::with_fault(FaultKind::ReplyBefore(reply(StatusCode::TOO_MANY_REQUESTS))).await;
    let response = send(zoom.refresh(&tokens.refresh)).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "2026-01-01T00:00:00Z");
    assert!(response.headers().contains_key("x-zm-trackingid"));
    assert_eq!(response.text().await.unwrap(), "{\"mine\":true}");
    assert!(zoom.is_live(&tokens));
}

#[tokio::test]
async fn a_reply_after_the_effect_uses_up_the_token() {
    let (zoom, tokens) = TestZoom::with_fault(FaultKind::ReplyAfter(Reply::status(
        StatusCode::SERVICE_UNAVAILABLE,
    )))
    .await;
    let (status, body) = answer_of(zoom.refresh(&tokens.refresh)).await;
    assert_eq!((status.as_u16(), &body["code"]), (503, &json!(503)));
    assert!(!zoom.is_live(&tokens));
}

#[tokio::test]
async fn garbage_is_a_200_that_is_not_json() {
    let (zoom, tokens) = TestZoom::with_fault(FaultKind::Garbage).await;
    let response = send(zoom.refresh(&tokens.refresh)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.json::<Value>().await.is_err());
    assert!(!zoom.is_live(&tokens));
}

#[tokio::test]
async fn a_huge_answer_is_the_real_answer_with_padding() {
    let (zoom, tokens) = TestZoom::with_fault(FaultKind::Huge { megabytes: 3 }).await;
    let body = expect_ok(zoom.refresh(&tokens.refresh)).await;
    assert_eq!(body["padding"].as_str().unwrap().len(), 3_000_000);
    assert!(zoom.is_live(&Tokens::from(body)));
}

#[tokio::test]
async fn a_nested_answer_is_the_real_answer_with_nested_arrays() {
    let (zoom, tokens) = TestZoom::with_fault(FaultKind::Nested { depth: 100_000 }).await;
    let body = send(zoom.refresh(&tokens.refresh))
        .await
        .text()
        .await
        .unwrap();
    assert!(body.starts_with(&format!("{{\"nested\":{}", "[".repeat(100_000))));
    assert!(body.contains("\"refresh_token\""));
    assert_eq!(body.matches('[').count(), body.matches(']').count());
}

#[tokio::test]
async fn an_override_replaces_adds_and_removes_fields() {
    let set = json!({ "api_url": "https://evil.example", "expires_in": null })
        .as_object()
        .unwrap()
        .clone();
    let remove = vec!["refresh_token".to_owned(), "scope".to_owned()];
    let (zoom, tokens) = TestZoom::with_fault(FaultKind::Override { set, remove }).await;
    let body = expect_ok(zoom.refresh(&tokens.refresh)).await;
    let mut fields: Vec<_> = body
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        ["access_token", "api_url", "expires_in", "token_type"]
    );
    assert_eq!(
        (&body["api_url"], &body["expires_in"]),
        (&json!("https://evil.example"), &Value::Null)
    );
}

#[tokio::test]
async fn a_redirect_leaves_the_token_live() {
    let to = Url::parse("https://evil.example/token").unwrap();
    let (zoom, tokens) = TestZoom::with_fault(FaultKind::Redirect(to)).await;
    let response = send(zoom.refresh(&tokens.refresh)).await;
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(response.headers()["location"], "https://evil.example/token");
    assert!(zoom.is_live(&tokens));
}

#[tokio::test]
async fn delay_waits_before_the_effect_and_delay_answer_after_it() {
    let zoom = TestZoom::new().await;
    for (fault, is_live_meanwhile) in [
        (
            Fault::once(REFRESH, FaultKind::Delay).delayed(FAULT_DELAY),
            true,
        ),
        (
            Fault::once(REFRESH, FaultKind::DelayAnswer(FAULT_DELAY)),
            false,
        ),
    ] {
        let tokens = zoom.connect().await;
        zoom.sandbox.inject(fault);
        let started = Instant::now();
        let refresh = tokio::spawn(send(zoom.refresh(&tokens.refresh)));
        while zoom.is_idle() || zoom.is_live(&tokens) != is_live_meanwhile {
            tokio::task::yield_now().await;
        }
        assert!(!zoom.is_idle(), "the token was checked during the call");
        assert_eq!(refresh.await.unwrap().status(), StatusCode::OK);
        assert!(started.elapsed() >= FAULT_DELAY);
        assert!(!zoom.is_live(&tokens));
    }
}

#[tokio::test]
async fn a_call_has_its_effect_after_the_client_disconnects() {
    let zoom = TestZoom::new().await;
    let tokens = zoom.connect().await;
    zoom.sandbox
        .inject(Fault::once(REFRESH, FaultKind::Delay).delayed(FAULT_DELAY));
    assert!(
        zoom.refresh(&tokens.refresh)
            .timeout(FAULT_DELAY / 4)
            .send()
            .await
            .is_err()
    );
    assert!(zoom.is_live(&tokens));
    let deadline = Instant::now() + Duration::from_secs(5);
    while zoom.is_live(&tokens) && Instant::now() < deadline {
        tokio::time::sleep(FAULT_DELAY / 8).await;
    }
    assert!(!zoom.is_live(&tokens));
}

#[tokio::test]
async fn a_fault_affects_only_its_endpoint() {
    let zoom = TestZoom::new().await;
    for (endpoint, expected) in [
        (Endpoint::Any, [500, 500, 500, 500, 500]),
        (Endpoint::Token, [500, 500, 200, 200, 200]),
        (
            Endpoint::Grant(GrantType::AuthorizationCode),
            [500, 200, 200, 200, 200],
        ),
        (REFRESH, [200, 500, 200, 200, 200]),
        (
            Endpoint::Grant(GrantType::ClientCredentials),
            [200, 200, 200, 200, 200],
        ),
        (Endpoint::Profile, [200, 200, 500, 200, 200]),
        (Endpoint::Mint, [200, 200, 200, 500, 200]),
        (Endpoint::Revoke, [200, 200, 200, 200, 500]),
    ] {
        let statuses = statuses_with_fault(&zoom, endpoint).await;
        assert_eq!(statuses, expected, "{endpoint:?}");
    }
}

/// The statuses of an exchange, a refresh, a profile, a mint and a revocation while a fault answers 500.
async fn statuses_with_fault(zoom: &TestZoom, endpoint: Endpoint) -> Vec<u16> {
    let fault = || {
        let reply = Reply::status(StatusCode::INTERNAL_SERVER_ERROR);
        Fault::always(endpoint, FaultKind::ReplyAfter(reply))
    };
    let code = zoom.new_code();
    let first = zoom.connect().await;
    let second = zoom.refresh_ok(&first).await;
    let latest = zoom.refresh_ok(&second).await;
    zoom.sandbox.inject(fault());
    let mut statuses = Vec::new();
    for request in [zoom.exchange(&code), zoom.refresh(&latest.refresh)] {
        statuses.push(send(request).await.status().as_u16());
    }
    // The exchange ended the grant, so Zoom refuses the refresh with 400 unless the fault replaces the answer.
    if let Some(refresh @ 400) = statuses.last_mut() {
        *refresh = 200;
    }
    zoom.sandbox.clear_faults();
    let tokens = zoom.connect().await;
    zoom.sandbox.inject(fault());
    let revoke = zoom.http.post(zoom.url("/oauth/revoke"));
    let revoke = revoke.basic_auth("app", Some(CLIENT_SECRET));
    let revoke = revoke.form(&[("token", &tokens.access)]);
    let mint = zoom.get("/v2/users/me/token?type=onbehalf", &tokens.access);
    for request in [zoom.profile(&tokens), mint, revoke] {
        statuses.push(send(request).await.status().as_u16());
    }
    zoom.sandbox.clear_faults();
    statuses
}

#[tokio::test]
async fn faults_apply_in_order_and_as_often_as_requested() {
    let zoom = TestZoom::new().await;
    let tokens = zoom.connect().await;
    let fault = |status| {
        Fault::once(
            Endpoint::Profile,
            FaultKind::ReplyBefore(Reply::status(status)),
        )
    };
    zoom.sandbox.inject(fault(StatusCode::BAD_GATEWAY).times(2));
    zoom.sandbox.inject(fault(StatusCode::SERVICE_UNAVAILABLE));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(send(zoom.profile(&tokens)).await.status().as_u16());
    }
    assert_eq!(statuses, [502, 502, 503, 200]);
}
