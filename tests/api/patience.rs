//! How long is waited, for whom, and what is not begun when there is too little time.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use hyper::StatusCode;
use local::zoom::{Endpoint, Fault as ZoomFault, FaultKind, GrantType, Reply};
use reqwest::Method;
use serde_json::{Value, json};
use shared::timestamp::Timestamp;

use crate::minting::mint_onbehalf;
use crate::proxy::{Fault, Rule, Service};
use crate::world::{World, attribute};

const REFRESH: Endpoint = Endpoint::Grant(GrantType::RefreshToken);

/// Zoom's answer to every call to an endpoint.
fn says(status: u16, body: &Value) -> FaultKind {
    FaultKind::ReplyBefore(Reply {
        body: Some(body.to_string()),
        ..Reply::status(StatusCode::from_u16(status).unwrap())
    })
}

/// A user's credential, and a Zoom that answers every mint so.
async fn given_mints_that_say(status: u16, body: &Value) -> (World, String) {
    let world = World::new().await;
    let id = world.given_user("desk").await;
    world
        .zoom
        .inject(ZoomFault::always(Endpoint::Mint, says(status, body)));
    (world, id)
}

/// Everything of one kind fails in the same way from now on.
fn always(world: &World, service: Service, operation: &'static str, fault: Fault) {
    world.wire.inject(Rule {
        service: Some(service),
        operation: Some(operation),
        nth: None,
        fault,
    });
}

/// Every failure of a refresh that `zoom.md` knows, and who has to act.
#[tokio::test]
async fn each_failure_of_a_refresh_is_told_to_whom_it_concerns() {
    let user = (409, json!("FST_ERR_ZOOM_RECONNECT_REQUIRED"), "invalid");
    let operator = (409, json!("FST_ERR_ZOOM_APP_MISCONFIGURED"), "active");
    let nobody = (502, json!("FST_ERR_ZOOM_UNAVAILABLE"), "active");
    let mut table = Vec::new();
    for status in [400, 401] {
        for code in [4711, 4735, 4737, 4738, 4740, 4741] {
            table.push((status, json!({ "code": code, "message": "no" }), &user));
            table.push((status, json!({ "errorCode": code.to_string() }), &user));
        }
        let words = json!({ "reason": "Invalid Token!", "error": "invalid_grant" });
        table.push((status, words, &user));
        for code in [4702, 4704, 4706, 4709, 4717] {
            table.push((status, json!({ "code": code, "message": "no" }), &operator));
        }
        let words =
            json!({ "reason": "Invalid client_id or client_secret", "error": "invalid_client" });
        table.push((status, words, &operator));
        table.push((status, json!({ "code": 4732, "message": "busy" }), &nobody));
        table.push((status, json!({ "code": 4700 }), &nobody));
    }
    table.push((401, json!({}), &operator));
    table.push((400, json!({}), &nobody));
    table.push((
        400,
        json!({ "code": 9999, "message": "unheard of" }),
        &nobody,
    ));
    table.push((403, json!({ "error": "access_denied" }), &nobody));

    let world = World::new().await;
    for (status, body, expected) in table {
        let id = world.given_user("desk").await;
        world.expire_access().await;
        world
            .zoom
            .inject(ZoomFault::always(REFRESH, says(status, &body)));
        let answer = mint_onbehalf(&world.acme, &id).await;
        world.zoom.clear_faults();

        let state = world.acme.get(&id).await.expect(200)["state"].clone();
        let got = (
            answer.status,
            answer.json()["code"].clone(),
            state.as_str().unwrap(),
        );
        assert_eq!(got, *expected, "{status} {body}");
        world.acme.delete(&id).await.expect(200);
    }
}

#[tokio::test]
async fn a_token_that_stays_refused_is_refreshed_once_and_no_more() {
    let dead = json!({ "code": 124, "message": "Invalid access token." });
    let (world, id) = given_mints_that_say(401, &dead).await;

    let answer = mint_onbehalf(&world.acme, &id).await;

    answer.expect_code(502, "FST_ERR_ZOOM_UNAVAILABLE");
    // That of the authorization, and one more.
    assert_eq!(world.zoom.grants()[0].generation, 2);
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");
}

#[tokio::test]
async fn a_refusal_nobody_has_seen_before_is_zooms_and_blames_nobody() {
    let odd =
        json!({ "code": 3161, "message": "Your user account is not allowed meeting hosting." });
    let (world, id) = given_mints_that_say(400, &odd).await;

    let answer = mint_onbehalf(&world.acme, &id).await;

    answer.expect_code(502, "FST_ERR_ZOOM_UNAVAILABLE");
    let details = answer.json()["details"].as_str().unwrap().to_owned();
    assert!(
        details.contains("(3161)") && details.contains("tracking id"),
        "{details}"
    );
    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(credential["last_error_message"], Value::Null);
}

#[tokio::test]
async fn what_zooms_support_asks_for_is_in_the_details_of_a_limit() {
    let limited = json!({ "code": 429, "message": "You have exceeded the rate." });
    let (world, id) = given_mints_that_say(429, &limited).await;

    let answer = mint_onbehalf(&world.acme, &id).await;

    answer.expect_code(503, "FST_ERR_UNAVAILABLE");
    let details = answer.json()["details"].as_str().unwrap().to_owned();
    assert!(details.starts_with("code 429 (tracking id "), "{details}");
}

/// `user_gone` is a change of state like others: once, with its event.
#[tokio::test]
async fn a_user_who_is_gone_is_said_to_be_in_the_state_and_among_the_events() {
    let gone = json!({ "code": 1001, "message": "User does not exist." });
    let (world, id) = given_mints_that_say(404, &gone).await;

    for _ in 0..2 {
        let answer = mint_onbehalf(&world.acme, &id).await;
        answer.expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");
        assert_eq!(answer.json()["details"], "user_gone");
    }

    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(credential["state"], "invalid");
    let message = credential["last_error_message"].as_str().unwrap();
    assert!(message.starts_with("user_gone"), "{message}");
    assert_eq!(world.state_changes(&id).await, ["invalid user_gone"]);

    world.zoom.clear_faults();
    mint_onbehalf(&world.acme, &id).await.expect(200);
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");
    assert_eq!(
        world.state_changes(&id).await,
        ["active", "invalid user_gone"]
    );
}

impl World {
    /// The changes of a credential's state among its events, newest first.
    pub(crate) async fn state_changes(&self, id: &str) -> Vec<String> {
        let events = self.acme.events(id, "").await.expect(200);
        let changes = events.as_array().unwrap().iter();
        let changes = changes.filter(|event| event["kind"] == "state_change");
        let words = changes.map(|event| {
            let (state, reason) = (&event["state"], event["reason"].as_str());
            format!("{} {}", state.as_str().unwrap(), reason.unwrap_or_default())
        });
        words.map(|words| words.trim_end().to_owned()).collect()
    }

    /// Changes what the row of a credential's grant says.
    async fn alter_grant(&self, id: &str, name: &str, value: AttributeValue) {
        let grant = format!("grant#{}", attribute(&self.row(id).await, "grant_id"));
        let rows = self.items("secrets").await.into_iter();
        let mut rows = rows.filter(|row| attribute(row, "secret_id") == grant);
        let mut row = rows.next().unwrap();
        row.insert(name.to_owned(), value);
        self.put("secrets", row).await;
    }
}

/// An invalid credential's grant is what its row says, whatever memory has.
#[tokio::test]
async fn a_grant_that_is_open_in_memory_is_not_used_for_a_credential_that_turned_invalid() {
    let world = World::new().await;
    let id = world.given_user("desk").await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
    // Another function has given it up meanwhile.
    let text = |text: &str| AttributeValue::S(text.to_owned());
    world.alter_grant(&id, "reason", text("revoked")).await;
    world.alter_grant(&id, "state", text("reconnect")).await;
    world.alter(&id, &[("state", "invalid")]).await;

    let answer = mint_onbehalf(&world.acme, &id).await;

    answer.expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");
    assert_eq!(answer.json()["details"], "revoked");
}

/// While another refreshes, an old access token costs one opening of it and no write.
#[tokio::test]
async fn whoever_waits_for_anothers_refresh_asks_kms_for_no_more_than_it_uses() {
    let world = World::new().await;
    let id = world.given_user("desk").await;
    let soon = Timestamp::now().plus(Duration::from_mins(5)).as_millis();
    let soon = AttributeValue::N(soon.to_string());
    world.alter_grant(&id, "access_expires_at", soon).await;
    world.wire.reset();
    let slow = ZoomFault::once(REFRESH, FaultKind::Delay);
    world.zoom.inject(slow.delayed(Duration::from_mins(5)));
    let body = json!({ "credential_id": id, "type": "onbehalf" });
    let holder = world.invoke(Method::POST, "/v2/zoom-tokens", &body);
    world.wire.called("/oauth/token", 1).await;
    let (kms, writes) = (
        world.wire.count(Service::Kms),
        world.wire.operations(Service::DynamoDb),
    );
    let updates =
        |operations: &[String]| operations.iter().filter(|it| *it == "UpdateItem").count();
    let writes = updates(&writes);

    for _ in 0..5 {
        mint_onbehalf(&world.acme, &id).await.expect(200);
    }

    assert_eq!(world.wire.count(Service::Kms), kms + 5);
    // Each counts its call against the rate, and that is all.
    assert_eq!(
        updates(&world.wire.operations(Service::DynamoDb)),
        writes + 5
    );
    holder.abort();
}

/// Takes as long as it says: the waits are the vault's own.
#[tokio::test]
async fn a_bot_is_answered_within_15_seconds_though_events_and_profile_are_silent() {
    let events = async {
        let world = World::new().await;
        let id = world.given_user("bot").await;
        let url = world
            .given_url(&id, json!({ "type": "onbehalf", "max_uses": 1 }))
            .await;
        always(&world, Service::DynamoDb, "PutItem", Fault::Stall);
        let started = Instant::now();
        assert_eq!(world.vendor_gets(&url, "").await.status, 503);
        assert!(
            started.elapsed() < Duration::from_secs(15),
            "{:?}",
            started.elapsed()
        );
        assert_eq!(world.uses(&url.id).await, "0");
    };
    let profile = async {
        let world = World::new().await;
        world
            .zoom
            .inject(ZoomFault::always(Endpoint::Profile, says(500, &json!({}))));
        let id = world.given_user("bot").await;
        world.zoom.clear_faults();
        assert!(!world.row(&id).await.contains_key("zoom_user_id"));
        let url = world.given_url(&id, json!({ "type": "onbehalf" })).await;
        let late = ZoomFault::always(Endpoint::Mint, FaultKind::Delay);
        world.zoom.inject(late.delayed(Duration::from_secs(11)));
        always(&world, Service::Zoom, "/v2/users/me", Fault::Stall);
        let started = Instant::now();
        assert_eq!(world.vendor_gets(&url, "").await.status, 200);
        assert!(
            started.elapsed() < Duration::from_secs(15),
            "{:?}",
            started.elapsed()
        );
    };
    let kms = async {
        let world = World::new().await;
        let id = world.given_user("bot").await;
        let url = world
            .given_url(&id, json!({ "type": "onbehalf", "max_uses": 1 }))
            .await;
        world.wire.break_service(Service::Kms, Fault::Stall);
        let started = Instant::now();
        assert_eq!(world.vendor_gets(&url, "").await.status, 503);
        assert!(
            started.elapsed() < Duration::from_secs(15),
            "{:?}",
            started.elapsed()
        );
        assert_eq!(world.uses(&url.id).await, "0");
    };
    let database = async {
        let world = World::new().await;
        let id = world.given_user("bot").await;
        let url = world.given_url(&id, json!({ "type": "onbehalf" })).await;
        world.wire.break_service(Service::DynamoDb, Fault::Stall);
        let started = Instant::now();
        assert_eq!(world.vendor_gets(&url, "").await.status, 503);
        assert!(
            started.elapsed() < Duration::from_secs(15),
            "{:?}",
            started.elapsed()
        );
    };
    tokio::join!(events, profile, kms, database);
}
