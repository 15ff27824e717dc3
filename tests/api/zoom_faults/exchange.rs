//! Zoom fails, is silent or answers oddly when a code is exchanged.

use std::time::Duration;

use hyper::StatusCode;
use local::zoom::{Endpoint, Fault, FaultKind, Reply};
use serde_json::{Value, json};
use shared::timestamp::Timestamp;

use super::{
    EXCHANGE, LONG_DELAY, REFUSED, SHORT_TIME_OUT, assert_nothing_stored,
    create_while_profiles_fail, create_with_exchange_fault, reply, set, without,
};
use crate::world::{CODE_SPENT, World, code_refused, retry_after, user_body};

const FAILED: &str = "Zoom failed. It is safe to retry; if this try used up the authorization code, the answer to the \
                      retry will say so, and the user must authorize again.";
const SILENT: &str = "Zoom did not answer in time. It is safe to retry; if this try used up the authorization code, the \
                      answer to the retry will say so, and the user must authorize again.";

#[tokio::test]
async fn an_answer_that_is_not_from_zooms_api_does_not_refuse_the_code() {
    let world = World::new().await;
    let nested = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let cases = [
        (401, String::new()),
        (404, "<html>".to_owned()),
        (403, "\"Forbidden\"".to_owned()),
        (400, nested.clone()),
        (400, format!("{{\"error\":{nested}}}")),
        (408, json!({ "error": "timeout" }).to_string()),
    ];
    for (status, body) in cases {
        let answer = create_with_exchange_fault(&world, reply(status, &body)).await;
        answer.expect_error(502, "FST_ERR_ZOOM_UNAVAILABLE", FAILED);
    }
    assert_nothing_stored(&world).await;
}

#[tokio::test]
async fn a_failure_of_zoom_does_not_spend_the_code() {
    let world = World::new().await;
    let bare =
        |status| FaultKind::ReplyBefore(Reply::status(StatusCode::from_u16(status).unwrap()));
    let faults = [
        bare(500),
        bare(502),
        bare(503),
        bare(504),
        bare(304),
        bare(204),
        reply(400, &json!({ "code": 4732, "message": "busy" })),
        reply(400, &json!({ "errorCode": 4700 })),
        FaultKind::DropBefore,
        FaultKind::Redirect("https://zoom.us/elsewhere".parse().unwrap()),
    ];
    for fault in faults {
        let body = user_body("bot", &world.code());
        world.zoom.inject(Fault::once(EXCHANGE, fault.clone()));
        let answer = world.acme.create(body.clone()).await;
        answer.expect_error(502, "FST_ERR_ZOOM_UNAVAILABLE", FAILED);
        if !matches!(fault, FaultKind::DropBefore) {
            let ledger = world.zoom.ledger();
            let tracked = &ledger[ledger.len() - 1].tracking_id;
            let details = answer.json()["details"].as_str().unwrap().to_owned();
            assert!(details.contains(tracked.as_str()), "{details}");
        }
        assert_nothing_stored(&world).await;

        let retried = world.acme.create(body).await.expect(201);
        let id = retried["credential_id"].as_str().unwrap();
        world.acme.delete(id).await.expect(200);
        for table in ["credentials", "secrets"] {
            clear(&world, table).await;
        }
    }
}

/// Removes every row of a table.
async fn clear(world: &World, table: &str) {
    let keys: &[&str] = if table == "credentials" {
        &["team_id", "credential_id"]
    } else {
        &["secret_id"]
    };
    for row in world.items(table).await {
        let key = keys
            .iter()
            .map(|key| ((*key).to_owned(), row[*key].clone()));
        world
            .dynamodb
            .delete_item()
            .table_name(table)
            .set_key(Some(key.collect()))
            .send()
            .await
            .unwrap();
    }
}

// assures 29
#[tokio::test]
async fn an_unusable_answer_stores_nothing_and_a_retry_says_that_the_code_is_spent() {
    let world = World::new().await;
    let faults = [
        FaultKind::DropAfter,
        FaultKind::Truncate,
        FaultKind::Garbage,
        FaultKind::Huge { megabytes: 10 },
        FaultKind::ReplyAfter(Reply::status(StatusCode::BAD_GATEWAY)),
        without(&["access_token"]),
        without(&["refresh_token"]),
        set("access_token", Value::Null),
        set("refresh_token", json!(7)),
        set("access_token", json!("")),
        set("refresh_token", json!("")),
    ];
    for fault in faults {
        let body = user_body("bot", &world.code());
        world.zoom.inject(Fault::once(EXCHANGE, fault.clone()));
        let answer = world.acme.create(body.clone()).await;
        assert_eq!(answer.status, 502, "{fault:?}: {}", answer.text);
        answer.expect_error(502, "FST_ERR_ZOOM_UNAVAILABLE", FAILED);
        assert_nothing_stored(&world).await;

        let retried = world.acme.create(body).await;
        retried.expect_error(400, REFUSED, &code_refused(CODE_SPENT));
    }
}

/// The code is spent and both tokens are in the answer, so odd other fields must not lose them.
// assures 29
#[tokio::test]
async fn an_answer_with_both_tokens_is_used_whatever_the_other_fields_are() {
    let world = World::new().await;
    let faults = [
        without(&["scope", "api_url", "expires_in", "token_type"]),
        set("expires_in", json!("3599")),
        set("expires_in", json!(-1)),
        set("expires_in", json!(3599.5)),
        set("expires_in", json!(u64::MAX)),
        set("api_url", json!(7)),
        set("api_url", Value::Null),
        set("scope", json!(["user:read:user"])),
        set("unknown", json!({ "a": [1] })),
        FaultKind::Nested { depth: 100_000 },
    ];
    for fault in faults {
        let answer = create_with_exchange_fault(&world, fault.clone()).await;
        assert_eq!(answer.status, 201, "{fault:?}: {}", answer.text);
        assert_eq!(answer.expect(201)["zoom_user_id"], "ada");
    }
}

#[tokio::test]
async fn scopes_are_shown_with_commas() {
    let world = World::new().await;
    for (zooms, ours) in [
        (
            json!("user:read:user user:read:zak"),
            json!("user:read:user,user:read:zak"),
        ),
        (json!("  a   b\tc "), json!("a,b,c")),
        (json!("a"), json!("a")),
        (json!("a, b"), json!("a,b")),
        (json!("a,b"), json!("a,b")),
        (json!(", a ,,b\u{a0}c,"), json!("a,b,c")),
        (json!(" , "), Value::Null),
        (json!(""), Value::Null),
        (Value::Null, Value::Null),
    ] {
        let answer = create_with_exchange_fault(&world, set("scope", zooms.clone())).await;
        assert_eq!(answer.expect(201)["scopes"], ours, "{zooms}");
    }
}

#[tokio::test]
async fn long_tokens_are_stored() {
    let world = World::new().await;
    // The last length almost fills the longest answer that is read.
    for length in [8_000, 60_000, 130_000] {
        let token = json!("t".repeat(length));
        let tokens = FaultKind::Override {
            set: ["access_token", "refresh_token"]
                .map(|name| (name.to_owned(), token.clone()))
                .into_iter()
                .collect(),
            remove: Vec::new(),
        };
        let profile = reply(200, &json!({ "id": "ada" }));
        world.zoom.inject(Fault::once(Endpoint::Profile, profile));
        let answer = create_with_exchange_fault(&world, tokens).await;
        assert_eq!(answer.expect(201)["zoom_user_id"], "ada");
    }
}

/// The grant would end with its access token, after an hour. So it is not stored, and the answer says why.
#[tokio::test]
async fn a_code_for_which_zoom_sends_no_refresh_token_stores_nothing_and_says_so() {
    let world = World::new().await;
    for fault in [
        without(&["refresh_token"]),
        set("refresh_token", Value::Null),
        set("refresh_token", json!("")),
    ] {
        let answer = create_with_exchange_fault(&world, fault).await;
        answer.expect_error(502, "FST_ERR_ZOOM_UNAVAILABLE", FAILED);
        let ledger = world.zoom.ledger();
        let tracked = &ledger[ledger.len() - 1].tracking_id;
        let details = format!("the answer has no refresh token (tracking id {tracked})");
        assert_eq!(answer.json()["details"], details);
        assert_nothing_stored(&world).await;
    }
}

// assures 28
#[tokio::test]
async fn a_redirect_is_never_followed() {
    let world = World::new().await;
    let trap = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let there: url::Url = format!("http://{}/stolen", trap.local_addr().unwrap())
        .parse()
        .unwrap();

    let answer = create_with_exchange_fault(&world, FaultKind::Redirect(there.clone())).await;
    answer.expect_error(502, "FST_ERR_ZOOM_UNAVAILABLE", FAILED);
    let data = create_while_profiles_fail(&world, FaultKind::Redirect(there)).await;
    assert_eq!(data["zoom_user_id"], Value::Null);

    let nobody = trap.accept().unwrap_err().kind();
    assert_eq!(nobody, std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_rate_limit_of_zoom_says_when_to_come_back() {
    let world = World::new().await;
    let soon = Timestamp::now().plus(Duration::from_secs(100));
    let http_date = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&soon.to_string().parse().unwrap())
        .unwrap();
    let cases = [
        (Some("7".to_owned()), 7..=7),
        (Some(" 7 ".to_owned()), 7..=7),
        (Some("0".to_owned()), 1..=1),
        (Some(http_date), 60..=100),
        (Some(soon.to_string()), 60..=100),
        (Some("2020-01-01T00:00:00Z".to_owned()), 1..=1),
        (Some("Wed, 01 Jan 2020 00:00:00 GMT".to_owned()), 1..=1),
        (Some("soon".to_owned()), 1..=1),
        (Some("-5".to_owned()), 1..=1),
        (None, 1..=1),
    ];
    for (retry, expected) in cases {
        let body = user_body("bot", &world.code());
        let limited = FaultKind::ReplyBefore(Reply {
            retry_after: retry.clone(),
            ..Reply::status(StatusCode::TOO_MANY_REQUESTS)
        });
        world.zoom.inject(Fault::once(EXCHANGE, limited));
        let answer = world.acme.create(body.clone()).await;
        let message = "Temporarily unavailable: try again after retry-after";
        answer.expect_error(503, "FST_ERR_UNAVAILABLE", message);
        let wait = retry_after(&answer);
        assert!(expected.contains(&wait), "{retry:?} became {wait}");
        world.acme.create(body).await.expect(201);
    }
}

// assures 29
#[tokio::test]
async fn a_silent_zoom_times_out_and_a_retry_says_whether_the_code_is_spent() {
    let world = World::with_zoom_time_out(SHORT_TIME_OUT).await;
    let body = user_body("bot", &world.code());
    let silence = FaultKind::DelayAnswer(LONG_DELAY);
    world.zoom.inject(Fault::once(EXCHANGE, silence));
    let answer = world.acme.create(body.clone()).await;
    answer.expect_error(504, "FST_ERR_ZOOM_TIMEOUT", SILENT);
    assert_nothing_stored(&world).await;

    let retried = world.acme.create(body).await;
    retried.expect_error(400, REFUSED, &code_refused(CODE_SPENT));
}
