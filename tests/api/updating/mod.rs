//! Updating a credential: each field, the client secret, the app, and the authorization.

use aws_sdk_dynamodb::types::AttributeValue;
use hyper::StatusCode;
use local::zoom::{Endpoint, Fault as ZoomFault, FaultKind, GrantType, Reply};
use reqwest::Method;
use serde_json::{Value, json};

use crate::minting::mint;
use crate::proxy::{Fault, Rule, Service};
use crate::world::{CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, World, send, with};

mod authorization;
mod races;

const APP_OF_USER_CREDENTIAL: &str = "body/client_id must be the user credential's own, unless authorization_code \
                        comes with it";

/// The fields that differ between two credentials, except `updated_at`, which never decreases.
#[track_caller]
pub(crate) fn changed(before: &Value, after: &Value) -> Value {
    let (before, after) = (before.as_object().unwrap(), after.as_object().unwrap());
    assert_eq!(before.len(), 14);
    assert_eq!(after.len(), 14);
    assert!(before["updated_at"].as_str() <= after["updated_at"].as_str());
    let differing = after
        .iter()
        .filter(|(name, value)| *name != "updated_at" && before[*name] != **value);
    Value::Object(
        differing
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    )
}

/// The stored row of a credential's sealed client secret.
async fn sealed_secret(world: &World, id: &str) -> String {
    let rows = world.sorted_rows("secrets").await.into_iter();
    let of_app = format!("app#{id}");
    rows.filter(|row| row.contains(&of_app)).collect()
}

pub(crate) fn client_pair(client_id: &str, client_secret: &str) -> Value {
    json!({ "client_id": client_id, "client_secret": client_secret })
}

pub(crate) fn authorization(code: &str) -> Value {
    json!({ "authorization_code": code, "redirect_uri": REDIRECT_URI })
}

#[tokio::test]
async fn an_empty_update_changes_nothing() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let (row, got) = (world.row(&id).await, world.acme.get(&id).await.text);
    let path = format!("/v2/zoom-credentials/{id}");

    for body in [
        "{}",
        " {\n}\t",
        r#"{"unknown":1}"#,
        r#"{"redirect_uri":"https://a.test"}"#,
    ] {
        let answer = world.acme.send_text(Method::PATCH, &path, body).await;
        answer.expect(200);
        assert_eq!(answer.text, got, "{body}");
    }
    let nothing = send(world.acme.request(Method::PATCH, &path)).await;
    nothing.expect(200);
    assert_eq!(nothing.text, got);
    assert_eq!(world.row(&id).await, row);
}

#[tokio::test]
async fn each_field_of_an_update_has_its_rule() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let row = world.row(&id).await;
    let secrets = world.count("secrets").await;
    world.wire.reset();
    for (body, message) in [
        (json!({ "name": null }), "body/name must be string"),
        (
            json!({ "name": "" }),
            "body/name must NOT have fewer than 1 characters",
        ),
        (
            json!({ "name": "x".repeat(101) }),
            "body/name must NOT have more than 100 characters",
        ),
        (
            json!({ "client_id": null }),
            "body/client_id must be string",
        ),
        (
            json!({ "client_id": CLIENT_ID }),
            "body/client_secret is required with client_id",
        ),
        (
            json!({ "client_secret": "x" }),
            "body/client_id is required with client_secret",
        ),
        (
            json!({ "client_id": CLIENT_ID, "client_secret": null }),
            "body/client_secret must be string",
        ),
        (
            client_pair(&"x".repeat(257), "x"),
            "body/client_id must NOT have more than 256 characters",
        ),
        (
            client_pair(CLIENT_ID, ""),
            "body/client_secret must NOT have fewer than 1 characters",
        ),
        (
            json!({ "authorization_code": "x" }),
            "body/redirect_uri is required with authorization_code",
        ),
        (
            json!({ "authorization_code": null, "redirect_uri": REDIRECT_URI }),
            "body/authorization_code must be string",
        ),
        (
            json!({ "authorization_code": "x", "redirect_uri": null }),
            "body/redirect_uri must be string",
        ),
        (
            json!({ "authorization_code": "", "redirect_uri": REDIRECT_URI }),
            "body/authorization_code must NOT have fewer than 1 characters",
        ),
        (
            json!({ "client_id": CLIENT_ID, "authorization_code": "x", "redirect_uri": REDIRECT_URI }),
            "body/client_secret is required with client_id",
        ),
        (json!({ "extra": "text" }), "body/extra must be object"),
        (json!({ "extra": [] }), "body/extra must be object"),
        // A valid field does not make an invalid field acceptable.
        (
            json!({ "name": "good", "extra": 1 }),
            "body/extra must be object",
        ),
        (client_pair("another-app", "x"), APP_OF_USER_CREDENTIAL),
        (
            with(client_pair("another-app", "x"), json!({ "name": "good" })),
            APP_OF_USER_CREDENTIAL,
        ),
        (client_pair("TEST-APP", "x"), APP_OF_USER_CREDENTIAL),
    ] {
        let answer = world.acme.update(&id, body).await;
        answer.expect_error(400, "FST_ERR_VALIDATION", message);
    }
    assert_eq!(world.row(&id).await, row);
    assert_eq!(world.count("secrets").await, secrets);
    assert_eq!(world.wire.count(Service::Kms), 0);
    assert_eq!(world.wire.count(Service::Zoom), 0);
}

#[tokio::test]
async fn a_new_secret_that_zoom_accepts_clears_the_error_of_an_active_credential() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let failed = [
        ("last_error_message", "invalid_client"),
        ("last_error_at", "2026-01-02T03:04:05.678Z"),
    ];
    world.set_texts(&id, &failed).await;
    let before = world.acme.get(&id).await.expect(200);
    assert_eq!(before["last_error_message"], "invalid_client");
    let sealed = sealed_secret(&world, &id).await;
    let secrets = world.count("secrets").await;
    world.zoom.rotate_secret(CLIENT_ID, "rotated");

    let updated = world
        .acme
        .update(&id, client_pair(CLIENT_ID, "rotated"))
        .await;
    assert_eq!(
        changed(&before, &updated.expect(200)),
        json!({ "last_error_message": null, "last_error_at": null })
    );
    assert_ne!(sealed_secret(&world, &id).await, sealed);
    assert_eq!(world.count("secrets").await, secrets);
    assert!(!updated.text.contains("rotated"));
}

#[tokio::test]
async fn a_secret_that_zoom_refuses_or_cannot_check_is_not_stored() {
    let world = World::new().await;
    let user = world.add_user_credential("user").await;
    let app = world.add_app_credential("app").await;
    let (rows, secrets) = (
        world.sorted_rows("credentials").await,
        world.sorted_rows("secrets").await,
    );
    for (id, pair) in [
        (&user, client_pair(CLIENT_ID, "wrong")),
        (&app, client_pair(CLIENT_ID, "wrong")),
        (&app, client_pair("no-app", CLIENT_SECRET)),
    ] {
        let body = with(pair, json!({ "name": "renamed" }));
        let answer = world.acme.update(id, body).await;
        answer.expect_code(409, "FST_ERR_ZOOM_APP_MISCONFIGURED");
    }
    world.wire.inject(Rule {
        service: Some(Service::Zoom),
        operation: None,
        nth: None,
        fault: Fault::Answer(StatusCode::INTERNAL_SERVER_ERROR, "{}".to_owned()),
    });
    let answer = world
        .acme
        .update(&user, client_pair(CLIENT_ID, CLIENT_SECRET));
    answer.await.expect_code(502, "FST_ERR_ZOOM_UNAVAILABLE");
    assert_eq!(world.sorted_rows("credentials").await, rows);
    assert_eq!(world.sorted_rows("secrets").await, secrets);
    assert!(!world.has_running_request().await);
}

/// Nothing speaks against the secret, and a secret that can never be stored could never be repaired.
#[tokio::test]
async fn a_secret_of_an_app_that_zoom_cannot_check_is_stored() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let sealed = sealed_secret(&world, &id).await;
    world.zoom.rotate_secret(CLIENT_ID, "rotated");
    let refusal = Reply {
        body: Some(json!({ "error": "unsupported_grant_type" }).to_string()),
        ..Reply::status(StatusCode::BAD_REQUEST)
    };
    world.zoom.inject(ZoomFault::once(
        Endpoint::Grant(GrantType::ClientCredentials),
        FaultKind::ReplyBefore(refusal),
    ));

    let updated = world.acme.update(&id, client_pair(CLIENT_ID, "rotated"));
    updated.await.expect(200);
    assert_ne!(sealed_secret(&world, &id).await, sealed);
    world.expire_access_tokens().await;
    let body = json!({ "credential_id": id, "type": "zak" });
    mint(&world.acme, body).await.expect(200);
}

#[tokio::test]
async fn a_new_secret_does_not_repair_an_invalid_grant() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let failed = [
        ("state", "invalid"),
        (
            "last_error_message",
            "revoked: the user must authorize again",
        ),
        ("last_error_at", "2026-01-02T03:04:05.678Z"),
    ];
    world.set_texts(&id, &failed).await;
    let before = world.acme.get(&id).await.expect(200);
    world.zoom.rotate_secret(CLIENT_ID, "rotated");

    let updated = world
        .acme
        .update(&id, client_pair(CLIENT_ID, "rotated"))
        .await;
    assert_eq!(changed(&before, &updated.expect(200)), json!({}));
    // A new name does not repair the grant either.
    let updated = world.acme.update(&id, json!({ "name": "bot" })).await;
    assert_eq!(changed(&before, &updated.expect(200)), json!({}));
}

#[tokio::test]
async fn an_app_credential_may_move_to_another_app() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;
    let before = world.acme.get(&id).await.expect(200);
    world.register_app("another-app", "x");

    let body = with(client_pair("another-app", "x"), json!({ "name": "moved" }));
    let updated = world.acme.update(&id, body).await.expect(200);
    assert_eq!(changed(&before, &updated), json!({ "name": "moved" }));
    assert_eq!(
        world.row(&id).await["client_id"],
        AttributeValue::S("another-app".to_owned())
    );
}
