//! A user removes the app: the vault destroys the tokens and deletes the profile.

use aws_sdk_dynamodb::types::AttributeValue;
use local::zoom::User;
use reqwest::{Method, StatusCode};
use serde_json::json;
use shared::timestamp::Timestamp;
use tokio::task::JoinSet;

use super::{
    OTHER_APP_PATH, PATH, SECRET_TOKEN, app_deauthorized, deliver, deliver_accepted,
    deliver_until_available, expect_destroyed, expect_state, expect_unauthorized, grant_of,
    has_tokens, headers, now_in_seconds, post, register_app, state_changes, tell_at, webhook,
};
use crate::minting::mint_onbehalf;
use crate::proxy::{Fault, Service};
use crate::world::{CLIENT_ID, Item, REDIRECT_URI, World, ada, attribute, next_millisecond};

#[tokio::test]
async fn after_a_user_removes_the_app_the_tokens_and_the_profile_are_deleted_and_mints_are_refused()
{
    let world = World::new().await;
    register_app(&world).await;
    let id = world.add_user_credential("desk").await;
    let grace = world.add_credential_for_user("grace").await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
    let grant = grant_of(&world, &id).await;
    assert!(has_tokens(&world, &grant).await);
    world
        .zoom
        .set_webhook(CLIENT_ID, webhook(&world, SECRET_TOKEN));
    assert_eq!(world.zoom.validate_webhook(CLIENT_ID).await, Some(true));

    let delivery = world.zoom.deauthorize(CLIENT_ID, "ada").await.unwrap();

    assert_eq!((delivery.attempts, delivery.heard), (vec![Some(204)], true));
    expect_destroyed(&world, &id).await;
    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(
        json!([
            credential["state"],
            credential["zoom_user_id"],
            credential["zoom_email"],
            credential["zoom_display_name"]
        ]),
        json!(["invalid", "ada", null, null])
    );
    assert_eq!(
        state_changes(&world.acme, &id).await,
        [json!(["invalid", "deauthorized"])]
    );

    // The function still has the grant in its memory, but does not use it, and calls neither KMS nor Zoom.
    world.wire.reset();
    let refused = mint_onbehalf(&world.acme, &id).await;
    refused.expect_error(
        409,
        "FST_ERR_ZOOM_RECONNECT_REQUIRED",
        "The user must authorize the Zoom app again (deauthorized): create a connect session with this credential_id (POST \
         /v2/zoom-connect-sessions), and let the user open its link",
    );
    assert_eq!(refused.json()["details"], "deauthorized");
    assert_eq!(world.wire.count(Service::Kms), 0);
    assert_eq!(world.wire.count(Service::Zoom), 0);

    // The credential of another user is unchanged.
    mint_onbehalf(&world.acme, &grace).await.expect(200);
    expect_state(&world, &grace, "active").await;

    let new_code = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    let reconnected = world.acme.update(&id, new_code).await.expect(200);
    assert_eq!(
        json!([
            reconnected["state"],
            reconnected["zoom_email"],
            reconnected["last_error_message"]
        ]),
        json!(["active", "ada@example.test", null])
    );
    mint_onbehalf(&world.acme, &id).await.expect(200);
    assert!(!has_tokens(&world, &grant).await);
}

// assures 25
#[tokio::test]
async fn a_hundred_parallel_deliveries_make_one_change_and_one_event() {
    let world = World::new().await;
    register_app(&world).await;
    let id = world.add_user_credential("desk").await;
    let version = |row: &Item| attribute(row, "version").parse::<u64>().unwrap();
    let before = version(&world.row(&id).await);
    let event = app_deauthorized("ada");
    world.wire.reset();

    let world = std::sync::Arc::new(world);
    let mut deliveries = JoinSet::new();
    for _ in 0..100 {
        let (world, event) = (world.clone(), event.clone());
        deliveries.spawn(async move { deliver_until_available(&world, &event).await.status });
    }
    assert!(
        deliveries
            .join_all()
            .await
            .into_iter()
            .all(|status| status == 204)
    );

    expect_destroyed(&world, &id).await;
    assert_eq!(version(&world.row(&id).await), before + 1);
    assert_eq!(
        state_changes(&world.acme, &id).await,
        [json!(["invalid", "deauthorized"])]
    );

    // Another delivery of the same event changes nothing.
    let row = world.row(&id).await;
    world.wire.reset();
    deliver_accepted(&world, &event).await;
    assert_eq!(world.row(&id).await, row);
    assert_eq!(
        world.wire.count(Service::Kms),
        0,
        "the function has the secret token in its memory"
    );
}

#[tokio::test]
async fn a_removal_takes_ten_calls_and_none_to_zoom() {
    let world = World::new().await;
    register_app(&world).await;
    world.add_user_credential("desk").await;
    world.wire.reset();
    let calls = || -> Vec<String> {
        let calls = world.wire.calls().into_iter();
        calls.map(|call| call.operation).collect()
    };

    let event = app_deauthorized("ada");
    deliver_accepted(&world, &event).await;

    // The calls find the app's teams, and read and decrypt the secret token. Then they mark the pair, and read the
    // pair's grant and destroy its tokens. Then they find and read the user's credentials, record the event, and update
    // the credential last.
    let expected = [
        "Query",
        "GetItem",
        "Decrypt",
        "UpdateItem",
        "GetItem",
        "UpdateItem",
        "Query",
        "GetItem",
        "PutItem",
        "UpdateItem",
    ];
    assert_eq!(calls(), expected);
    world.wire.reset();
    deliver_accepted(&world, &event).await;
    let again = [
        "Query",
        "GetItem",
        "UpdateItem",
        "GetItem",
        "Query",
        "GetItem",
    ];
    assert_eq!(calls(), again);
    world.wire.reset();
    let forged = tell_at(&world, PATH, "another", &event).await;
    expect_unauthorized(&forged);
    assert_eq!(calls(), ["Query", "GetItem"]);
    world.wire.reset();
    let unknown = tell_at(
        &world,
        OTHER_APP_PATH,
        SECRET_TOKEN,
        &json!({ "event": "x" }),
    )
    .await;
    expect_unauthorized(&unknown);
    assert_eq!(calls(), ["Query"]);
}

#[tokio::test]
async fn a_removal_older_than_the_last_authorization_destroys_nothing() {
    let world = World::new().await;
    register_app(&world).await;
    let id = world.add_user_credential("desk").await;
    let older = app_deauthorized("ada");
    next_millisecond().await;
    let new_code = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    world.acme.update(&id, new_code).await.expect(200);
    let row = world.row(&id).await;

    deliver_accepted(&world, &older).await;

    assert_eq!(world.row(&id).await, row);
    mint_onbehalf(&world.acme, &id).await.expect(200);
    assert!(state_changes(&world.acme, &id).await.is_empty());
    // Without `deauthorization_time` the removal happened at `event_ts`. Without both it happened at the signature's
    // time.
    let mut without_time = older.clone();
    without_time["payload"]
        .as_object_mut()
        .unwrap()
        .remove("deauthorization_time");
    deliver_accepted(&world, &without_time).await;
    assert_eq!(world.row(&id).await, row);
    without_time.as_object_mut().unwrap().remove("event_ts");
    let body = without_time.to_string().into_bytes();
    let answer = post(
        &world,
        PATH,
        &headers(SECRET_TOKEN, now_in_seconds() + 2, &body),
        body,
    )
    .await;
    assert_eq!(answer.status, 204);
    expect_destroyed(&world, &id).await;
}

/// Zoom's example of the event. Its only time is a text inside the payload.
fn removal_at(text: &str) -> serde_json::Value {
    json!({
        "event": "app_deauthorized",
        "payload": {
            "account_id": "analytical",
            "user_id": "ada",
            "signature": "827edc3452044f0bc86bdd5684afb7d1e6becfa1a767f24df1b287853cf73000",
            "client_id": CLIENT_ID,
            "event_ts": text,
        },
    })
}

// Seen to fail: the time of the signature counted
#[tokio::test]
async fn a_removal_whose_time_is_a_text_happened_at_that_time() {
    let world = World::new().await;
    register_app(&world).await;
    let id = world.add_user_credential("desk").await;
    let row = world.row(&id).await;
    for older in [
        "2024-09-08 15:58:40",
        "2024-09-08T15:58:40Z",
        "1725811120000",
    ] {
        deliver_accepted(&world, &removal_at(older)).await;
        assert_eq!(world.row(&id).await, row, "{older}");
    }
    let mut at_the_top = removal_at("m4rk3r");
    at_the_top["event_ts"] = json!("2024-09-08 15:58:40");
    deliver_accepted(&world, &at_the_top).await;
    assert_eq!(world.row(&id).await, row);

    // The text names no milliseconds. A removal in the same second as the authorization came after it.
    let now = Timestamp::now().to_string().replace('T', " ");
    let (second, _) = now.split_once('.').unwrap();
    deliver_accepted(&world, &removal_at(second)).await;
    expect_destroyed(&world, &id).await;
}

#[tokio::test]
async fn a_removal_whose_time_is_no_time_happened_when_it_was_signed() {
    for odd in [
        "yesterday",
        "",
        "2024-13-08 15:58:40",
        "0000-00-00 00:00:00",
    ] {
        let world = World::new().await;
        register_app(&world).await;
        let id = world.add_user_credential("desk").await;
        let body = removal_at(odd).to_string().into_bytes();
        let headers = headers(SECRET_TOKEN, now_in_seconds() + 2, &body);
        assert_eq!(post(&world, PATH, &headers, body).await.status, 204);
        expect_destroyed(&world, &id).await;
    }
}

#[tokio::test]
async fn a_removal_also_destroys_the_tokens_of_deleted_credentials_and_of_a_shared_grant() {
    let world = World::new().await;
    register_app(&world).await;
    let deleted = world.add_user_credential("deleted").await;
    let first = world.add_user_credential("first").await;
    let second = world.add_user_credential("second").await;
    // Two credentials share one grant, as after a new authorization.
    let shared = world.row(&first).await;
    let mut row = world.row(&second).await;
    for name in ["grant_id", "grant_authorized_at"] {
        row.insert(name.to_owned(), shared[name].clone());
    }
    world.put("credentials", row).await;
    world.acme.delete(&deleted).await.expect(200);
    let before = world.row(&deleted).await;

    deliver_accepted(&world, &app_deauthorized("ada")).await;

    for id in [&deleted, &first, &second] {
        expect_destroyed(&world, id).await;
    }
    let row = world.row(&deleted).await;
    assert_eq!(
        (&row["deleted"], &row["purge_at"]),
        (&before["deleted"], &before["purge_at"])
    );
    assert_eq!(
        row["change"],
        AttributeValue::S("quiet".to_owned()),
        "a change of a deleted credential notifies nobody"
    );
    world
        .acme
        .get(&deleted)
        .await
        .expect_code(404, "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID");
}

#[tokio::test]
async fn a_refresh_that_overlaps_a_removal_does_not_store_tokens() {
    let world = World::new().await;
    register_app(&world).await;
    let id = world.add_user_credential("desk").await;
    world.expire_access_tokens().await;
    let held = world.wire.hold(Service::Zoom, "/oauth/token");
    let body = json!({ "credential_id": id, "type": "onbehalf" });
    let minting = world.invoke(Method::POST, "/v2/zoom-tokens", &body);
    world.wire.stalled().await;

    deliver_accepted(&world, &app_deauthorized("ada")).await;
    held.notify_one();

    assert_eq!(minting.await.unwrap(), 409);
    expect_destroyed(&world, &id).await;
}

#[tokio::test]
async fn a_check_that_overlaps_a_removal_does_not_store_the_profile() {
    let world = World::new().await;
    register_app(&world).await;
    let id = world.add_user_credential("desk").await;
    // The profile at Zoom has changed, so the check has something to store.
    world.zoom.register_user(User {
        email: Some("countess@example.test".to_owned()),
        ..ada()
    });
    let held = world.wire.hold(Service::Zoom, "/v2/users/me");
    let path = format!("/v2/zoom-credentials/{id}/check");
    let checking = world.invoke(Method::POST, &path, &json!({}));
    world.wire.stalled().await;

    deliver_accepted(&world, &app_deauthorized("ada")).await;
    held.notify_one();

    checking.await.unwrap();
    expect_destroyed(&world, &id).await;
}

/// Sets the number of credentials in the row of Ada's pair.
async fn set_members(world: &World, members: &str) {
    let mut row = world.pair_of("ada").await;
    let members = AttributeValue::N(members.to_owned());
    row.insert("members".to_owned(), members);
    world.put("pairs", row).await;
}

#[tokio::test]
async fn a_removal_also_destroys_the_grants_that_no_credential_uses_any_more() {
    let world = World::new().await;
    register_app(&world).await;
    let first = world.add_user_credential("first").await;
    let left = grant_of(&world, &first).await;
    world.backdate_authorization(&first).await;
    // The new authorization moves the first credential to its own grant.
    let second = world.add_user_credential("second").await;
    assert_ne!(grant_of(&world, &first).await, left);
    assert!(has_tokens(&world, &left).await);

    deliver_accepted(&world, &app_deauthorized("ada")).await;

    assert!(!has_tokens(&world, &left).await);
    for id in [&first, &second] {
        expect_destroyed(&world, id).await;
    }
}

#[tokio::test]
async fn a_removal_for_which_not_all_credentials_are_found_is_told_again() {
    let world = World::new().await;
    register_app(&world).await;
    let id = world.add_user_credential("desk").await;
    set_members(&world, "2").await;
    let event = app_deauthorized("ada");

    let answer = deliver(&world, &event).await;

    answer.expect_code(503, "FST_ERR_UNAVAILABLE");
    expect_destroyed(&world, &id).await;
    set_members(&world, "1").await;
    deliver_accepted(&world, &event).await;
    assert_eq!(
        state_changes(&world.acme, &id).await,
        [json!(["invalid", "deauthorized"])]
    );
}

#[tokio::test]
async fn a_removal_marks_the_pair_and_no_row_with_members_expires() {
    let world = World::new().await;
    register_app(&world).await;
    world.add_user_credential("desk").await;
    let event = app_deauthorized("ada");
    deliver_accepted(&world, &event).await;
    let marked = world.pair_of("ada").await;
    let at = event["event_ts"].as_i64().unwrap().to_string();
    assert_eq!(attribute(&marked, "deauthorized_at"), at);
    assert!(!marked.contains_key("expires_at"));

    // An older removal keeps the later mark.
    let mut older = event.clone();
    older["payload"]["deauthorization_time"] = json!("2020-01-01T00:00:00Z");
    deliver_accepted(&world, &older).await;
    assert_eq!(world.pair_of("ada").await, marked);

    // The row of a user without credentials expires.
    deliver_accepted(&world, &app_deauthorized("nobody")).await;
    let marked = world.pair_of("nobody").await;
    assert!(marked.contains_key("deauthorized_at") && marked.contains_key("expires_at"));
}

/// Zoom's event arrives after the exchange of the code, and before the vault has asked who the user is.
#[tokio::test]
async fn a_removal_ends_a_grant_whose_user_is_learnt_only_later() {
    let world = World::new().await;
    register_app(&world).await;
    // The vault asks twice.
    for _ in 0..2 {
        let down = Fault::Answer(StatusCode::BAD_GATEWAY, "{}".to_owned());
        world.wire.inject_once(Service::Zoom, "/v2/users/me", down);
    }
    let id = world.add_user_credential("desk").await;
    assert_eq!(
        world.acme.get(&id).await.expect(200)["zoom_user_id"],
        json!(null)
    );
    deliver_accepted(&world, &app_deauthorized("ada")).await;
    let grant = grant_of(&world, &id).await;
    assert!(has_tokens(&world, &grant).await);

    // The mint learns the user. Here Zoom has not yet ended the grant.
    mint_onbehalf(&world.acme, &id).await;

    assert!(!has_tokens(&world, &grant).await);
    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(
        json!([
            credential["state"],
            credential["zoom_email"],
            credential["zoom_display_name"]
        ]),
        json!(["invalid", null, null])
    );
    let refused = mint_onbehalf(&world.acme, &id).await;
    refused.expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");
}
