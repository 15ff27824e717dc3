//! Faults on order.

use std::time::{Duration, Instant};

use super::super::{Endpoint, Fault, GrantType, Kind, Reply};
use super::*;

const REFRESH: Endpoint = Endpoint::Grant(GrantType::RefreshToken);
const TICK: Duration = Duration::from_millis(250);

impl World {
    fn is_live(&self, pair: &Pair) -> bool {
        self.sandbox.is_live_refresh_token(&pair.refresh)
    }

    /// Whether no call is being served.
    fn is_idle(&self) -> bool {
        let calls = self.sandbox.ledger();
        calls.last().is_none_or(|call| call.ended.is_some())
    }

    /// A world whose next refresh meets a fault.
    async fn with_fault(kind: Kind) -> (Self, Pair) {
        let world = Self::new().await;
        let pair = world.connect().await;
        world.sandbox.inject(Fault::once(REFRESH, kind));
        (world, pair)
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
async fn a_connection_dropped_before_the_effect_spends_nothing() {
    let (world, pair) = World::with_fault(Kind::DropBefore).await;
    assert!(world.refresh(&pair.refresh).send().await.is_err());
    assert!(world.is_live(&pair));
    world.refreshed(&pair).await;
}

#[tokio::test]
async fn a_connection_dropped_after_the_effect_loses_the_grant() {
    let (world, pair) = World::with_fault(Kind::DropAfter).await;
    assert!(world.refresh(&pair.refresh).send().await.is_err());
    assert!(!world.is_live(&pair));
    let [grant] = world.sandbox.grants().try_into().unwrap();
    assert_eq!(
        (grant.generation, grant.refreshes, grant.posts),
        (2, 1, vec![1, 0])
    );
    expect(world.refresh(&pair.refresh), 400, invalid_token()).await;
}

#[tokio::test]
async fn a_dropped_connection_carries_no_byte_of_answer() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let (world, pair) = World::with_fault(Kind::DropAfter).await;
    let request = world.refresh(&pair.refresh).build().unwrap();
    let body = std::str::from_utf8(request.body().unwrap().as_bytes().unwrap()).unwrap();
    let authorization = request.headers()["authorization"].to_str().unwrap();
    let mut socket = tokio::net::TcpStream::connect(world.origin.trim_start_matches("http://"))
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
    assert!(!world.is_live(&pair));
}

#[tokio::test]
async fn a_truncated_answer_breaks_off_after_half_of_the_body() {
    let (world, pair) = World::with_fault(Kind::Truncate).await;
    let mut response = send(world.refresh(&pair.refresh)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let promised = usize::try_from(response.content_length().unwrap()).unwrap();
    let mut received = 0;
    let broken = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => received += chunk.len(),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken);
    assert_eq!(received, promised / 2);
    assert!(!world.is_live(&pair));
}

#[tokio::test]
async fn a_reply_before_the_effect_spends_nothing() {
    let (world, pair) =
        World::with_fault(Kind::ReplyBefore(reply(StatusCode::TOO_MANY_REQUESTS))).await;
    let response = send(world.refresh(&pair.refresh)).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "2026-01-01T00:00:00Z");
    assert!(response.headers().contains_key("x-zm-trackingid"));
    assert_eq!(response.text().await.unwrap(), "{\"mine\":true}");
    assert!(world.is_live(&pair));
}

#[tokio::test]
async fn a_reply_after_the_effect_hides_it() {
    let (world, pair) = World::with_fault(Kind::ReplyAfter(Reply::status(
        StatusCode::SERVICE_UNAVAILABLE,
    )))
    .await;
    let (status, body) = answer(world.refresh(&pair.refresh)).await;
    assert_eq!((status.as_u16(), &body["code"]), (503, &json!(503)));
    assert!(!world.is_live(&pair));
}

#[tokio::test]
async fn garbage_is_a_200_that_is_no_json() {
    let (world, pair) = World::with_fault(Kind::Garbage).await;
    let response = send(world.refresh(&pair.refresh)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.json::<Value>().await.is_err());
    assert!(!world.is_live(&pair));
}

#[tokio::test]
async fn a_huge_answer_is_the_real_one_with_padding() {
    let (world, pair) = World::with_fault(Kind::Huge { megabytes: 3 }).await;
    let body = ok(world.refresh(&pair.refresh)).await;
    assert_eq!(body["padding"].as_str().unwrap().len(), 3_000_000);
    assert!(world.is_live(&Pair::from(body)));
}

#[tokio::test]
async fn a_nested_answer_is_the_real_one_with_depth() {
    let (world, pair) = World::with_fault(Kind::Nested { depth: 100_000 }).await;
    let body = send(world.refresh(&pair.refresh))
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
    let (world, pair) = World::with_fault(Kind::Override { set, remove }).await;
    let body = ok(world.refresh(&pair.refresh)).await;
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
async fn a_redirect_spends_nothing() {
    let to = Url::parse("https://evil.example/token").unwrap();
    let (world, pair) = World::with_fault(Kind::Redirect(to)).await;
    let response = send(world.refresh(&pair.refresh)).await;
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(response.headers()["location"], "https://evil.example/token");
    assert!(world.is_live(&pair));
}

#[tokio::test]
async fn a_delay_comes_before_the_effect_and_a_slow_answer_after_it() {
    let world = World::new().await;
    for (fault, is_live_meanwhile) in [
        (Fault::once(REFRESH, Kind::Delay).delayed(TICK), true),
        (Fault::once(REFRESH, Kind::DelayAnswer(TICK)), false),
    ] {
        let pair = world.connect().await;
        world.sandbox.inject(fault);
        let started = Instant::now();
        let refresh = tokio::spawn(send(world.refresh(&pair.refresh)));
        while world.is_idle() || world.is_live(&pair) != is_live_meanwhile {
            tokio::task::yield_now().await;
        }
        assert!(!world.is_idle(), "looked while the call was held");
        assert_eq!(refresh.await.unwrap().status(), StatusCode::OK);
        assert!(started.elapsed() >= TICK);
        assert!(!world.is_live(&pair));
    }
}

#[tokio::test]
async fn the_effect_takes_place_although_the_client_hung_up() {
    let world = World::new().await;
    let pair = world.connect().await;
    world
        .sandbox
        .inject(Fault::once(REFRESH, Kind::Delay).delayed(TICK));
    assert!(
        world
            .refresh(&pair.refresh)
            .timeout(TICK / 4)
            .send()
            .await
            .is_err()
    );
    assert!(world.is_live(&pair));
    let deadline = Instant::now() + Duration::from_secs(5);
    while world.is_live(&pair) && Instant::now() < deadline {
        tokio::time::sleep(TICK / 8).await;
    }
    assert!(!world.is_live(&pair));
}

#[tokio::test]
async fn a_fault_meets_its_endpoint_only() {
    let world = World::new().await;
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
        let code = world.code();
        let old = world.connect().await;
        let new = world.refreshed(&old).await;
        let latest = world.refreshed(&new).await;
        world.sandbox.inject(Fault::always(
            endpoint,
            Kind::ReplyAfter(Reply::status(StatusCode::INTERNAL_SERVER_ERROR)),
        ));
        let mut statuses = Vec::new();
        for request in [world.exchange(&code), world.refresh(&latest.refresh)] {
            statuses.push(send(request).await.status().as_u16());
        }
        // The exchange ended the grant above, so the refresh is refused wherever no fault meets it.
        if let Some(refresh @ 400) = statuses.last_mut() {
            *refresh = 200;
        }
        world.sandbox.clear_faults();
        let pair = world.connect().await;
        world.sandbox.inject(Fault::always(
            endpoint,
            Kind::ReplyAfter(Reply::status(StatusCode::INTERNAL_SERVER_ERROR)),
        ));
        let revoke = world
            .http
            .post(world.url("/oauth/revoke"))
            .basic_auth("app", Some(SECRET));
        let revoke = revoke.form(&[("token", &pair.access)]);
        let mint = world.get("/v2/users/me/token?type=onbehalf", &pair.access);
        for request in [world.profile(&pair), mint, revoke] {
            statuses.push(send(request).await.status().as_u16());
        }
        world.sandbox.clear_faults();
        assert_eq!(statuses, expected, "{endpoint:?}");
    }
}

#[tokio::test]
async fn faults_are_met_in_order_and_as_often_as_ordered() {
    let world = World::new().await;
    let pair = world.connect().await;
    let fault = |status| Fault::once(Endpoint::Profile, Kind::ReplyBefore(Reply::status(status)));
    world
        .sandbox
        .inject(fault(StatusCode::BAD_GATEWAY).times(2));
    world.sandbox.inject(fault(StatusCode::SERVICE_UNAVAILABLE));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(send(world.profile(&pair)).await.status().as_u16());
    }
    assert_eq!(statuses, [502, 502, 503, 200]);
}
