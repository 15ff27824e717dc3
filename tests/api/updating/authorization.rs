//! Updates with a new authorization.

use aws_sdk_dynamodb::types::AttributeValue;
use local::zoom::Consent;
use serde_json::{Value, json};
use tracing::Level;

use super::{APP_OF_USER_CREDENTIAL, authorization, changed, client_pair, sealed_secret};
use crate::proxy::Service;
use crate::secrecy::log::Log;
use crate::world::{CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, World, code_refused, with};

const REFUSED: &str = "FST_ERR_ZOOM_CODE_EXCHANGE_FAILED";

/// Registers another app at Zoom, and returns a code of a user who allowed the app.
fn code_of_another_app(world: &World, client_id: &str, client_secret: &str, user: &str) -> String {
    world.register_app(client_id, client_secret);
    world
        .zoom
        .authorize(Consent {
            client_id: client_id.to_owned(),
            redirect_uri: REDIRECT_URI.to_owned(),
            user_id: user.to_owned(),
            scopes: None,
            code_challenge: None,
        })
        .unwrap()
}

#[tokio::test]
async fn a_new_authorization_with_the_stored_app_repairs_the_credential() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let failed = [
        ("state", "invalid"),
        ("last_error_message", "revoked"),
        ("last_error_at", "2026-01-02T03:04:05.678Z"),
        ("zoom_email", "old@example.test"),
    ];
    world.set_texts(&id, &failed).await;
    let before = world.acme.get(&id).await.expect(200);
    let sealed = sealed_secret(&world, &id).await;
    let old_grant = world.row(&id).await["grant_id"].clone();

    let updated = world.acme.update(&id, authorization(&world.code())).await;
    assert_eq!(
        changed(&before, &updated.expect(200)),
        json!({
            "state": "active",
            "last_error_message": null,
            "last_error_at": null,
            "zoom_email": "ada@example.test",
        })
    );
    assert_eq!(world.acme.get(&id).await.expect(200), updated.expect(200));
    assert_ne!(world.row(&id).await["grant_id"], old_grant);
    assert_eq!(sealed_secret(&world, &id).await, sealed);
    let alive: Vec<bool> = world.zoom.grants().iter().map(|it| it.alive).collect();
    assert_eq!(alive, [false, true]);
    let exchanges = world.wire.operations(Service::Zoom);
    assert_eq!(
        exchanges,
        [
            "/oauth/token",
            "/v2/users/me",
            "/oauth/token",
            "/v2/users/me"
        ]
    );
}

#[tokio::test]
async fn another_zoom_user_may_authorize_and_replaces_the_whole_profile() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let before = world.acme.get(&id).await.expect(200);
    world.register_grace();
    let code = world.code_of("grace", Some(&["user:read:user"]));

    let body = with(authorization(&code), json!({ "name": "hers", "extra": {} }));
    let updated = world.acme.update(&id, body).await.expect(200);
    assert_eq!(
        changed(&before, &updated),
        json!({
            "name": "hers",
            "extra": {},
            "zoom_user_id": "grace",
            "zoom_account_id": null,
            "zoom_email": "grace@example.test",
            "zoom_display_name": null,
            "scopes": "user:read:user",
        })
    );
    // Ada's grant belongs to another user. Zoom keeps the grant, and so does the vault.
    assert!(world.zoom.grants().iter().all(|grant| grant.alive));
    assert_eq!(
        world.acme.list("?zoom_user_id=ada").await.expect(200),
        json!([])
    );

    // Without the scope for the profile, nothing remains of Grace's profile either.
    let code = world.code_of("ada", Some(&["user:read:zak"]));
    let updated = world.acme.update(&id, authorization(&code)).await;
    let updated = updated.expect(200);
    for field in ["zoom_user_id", "zoom_email"] {
        assert_eq!(updated[field], Value::Null, "{field}");
    }
}

#[tokio::test]
async fn a_new_authorization_may_bring_another_app() {
    let world = World::new().await;
    for id in [
        world.add_user_credential("user").await,
        world.add_app_credential("app").await,
    ] {
        let code = code_of_another_app(&world, "another-app", "another-secret", "ada");
        let body = with(
            authorization(&code),
            client_pair("another-app", "another-secret"),
        );
        let updated = world.acme.update(&id, body).await.expect(200);
        assert_eq!(updated["credential_type"], "user");
        assert_eq!(
            world.row(&id).await["client_id"],
            AttributeValue::S("another-app".to_owned())
        );

        // From now on, the other app is the stored app.
        let code = code_of_another_app(&world, "another-app", "another-secret", "ada");
        world
            .acme
            .update(&id, authorization(&code))
            .await
            .expect(200);
        let answer = world
            .acme
            .update(&id, client_pair(CLIENT_ID, CLIENT_SECRET))
            .await;
        answer.expect_error(400, "FST_ERR_VALIDATION", APP_OF_USER_CREDENTIAL);
    }
}

#[tokio::test]
async fn a_refused_authorization_changes_nothing() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let row = world.row(&id).await;
    let secrets = world.sorted_rows("secrets").await;
    let code = world.code();
    for body in [
        authorization("made-up"),
        with(
            authorization(&code),
            json!({ "redirect_uri": "https://elsewhere.test/" }),
        ),
        with(authorization(&code), client_pair(CLIENT_ID, "wrong")),
        with(authorization(&code), client_pair("no-app", CLIENT_SECRET)),
    ] {
        let answer = world.acme.update(&id, body).await;
        answer.expect_code(400, REFUSED);
    }
    let renamed = json!({ "name": "renamed", "extra": {} });
    let body = with(authorization("made-up"), renamed);
    let answer = world.acme.update(&id, body).await;
    let reason = "invalid_grant: Invalid authorization code (4734)";
    answer.expect_error(400, REFUSED, &code_refused(reason));
    assert_eq!(world.row(&id).await, row);
    assert!(!world.has_running_request().await);
    assert_eq!(world.sorted_rows("secrets").await, secrets);

    // The refusals did not spend the code and left no claim, so the corrected request succeeds.
    world
        .acme
        .update(&id, authorization(&code))
        .await
        .expect(200);
}

#[tokio::test]
async fn a_corrected_secret_that_comes_with_a_code_is_stored() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    world.zoom.rotate_secret(CLIENT_ID, "rotated");
    world
        .acme
        .update(&id, authorization(&world.code()))
        .await
        .expect_code(400, REFUSED);

    let body = with(
        authorization(&world.code()),
        client_pair(CLIENT_ID, "rotated"),
    );
    world.acme.update(&id, body).await.expect(200);
    world
        .acme
        .update(&id, authorization(&world.code()))
        .await
        .expect(200);
}

#[tokio::test]
async fn the_log_counts_each_authorization_that_takes_a_credential_from_its_user() {
    let log = Log::default();
    let world = World::new().await;
    world.register_grace();
    for (user, scopes, replaced) in [
        ("grace", None, json!(1)),
        // Nobody can tell whose the new grant is, and the old one is lost all the same.
        ("ada", Some(["user:read:zak"]), json!(1)),
        ("ada", None, Value::Null),
    ] {
        let id = world.add_user_credential("bot").await;
        let code = world.code_of(user, scopes.as_ref().map(<[_; 1]>::as_slice));
        let recording = log.record(Level::INFO);
        let updated = world.acme.update(&id, authorization(&code)).await;
        updated.expect(200);
        drop(recording);
        let lines = log.requests();
        assert_eq!(
            lines.last().unwrap()["user_replaced"],
            replaced,
            "{user}, {scopes:?}"
        );
    }
}
