//! Zoom apps: registering an app for its webhooks, and rotating the client secret of its credentials.

use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::api_key::Permission;
use shared::credential::CredentialId;
use shared::secret::ClientSecret;

use crate::envelope;
use crate::life::crash_at_call;
use crate::minting::mint_onbehalf;
use crate::proxy::{Fault, Rule, Service};
use crate::webhooks::{SECRET_TOKEN, register_app, registration};
use crate::world::{
    Answer, CLIENT_ID, CLIENT_SECRET, Caller, World, app_body, attribute, id_of, next_millisecond,
    send, test_app, with,
};

const APP_PATH: &str = "/v2/zoom-apps/test-app";
pub(crate) const ROTATE_PATH: &str = "/v2/zoom-apps/test-app/rotate-secret";
const NEW_SECRET: &str = "the-new-client-secret";

impl Caller {
    /// `PUT /v2/zoom-apps/{client_id}` of the test app.
    pub(crate) async fn register(&self, body: Value) -> Answer {
        self.register_app(CLIENT_ID, body).await
    }

    /// `PUT /v2/zoom-apps/{client_id}`
    pub(crate) async fn register_app(&self, client_id: &str, body: Value) -> Answer {
        let path = format!("/v2/zoom-apps/{client_id}");
        send(self.request(Method::PUT, &path).json(&body)).await
    }

    /// `DELETE /v2/zoom-apps/{client_id}` of the test app.
    pub(crate) async fn forget(&self) -> Answer {
        send(self.request(Method::DELETE, APP_PATH)).await
    }

    async fn app(&self) -> Answer {
        send(self.request(Method::GET, APP_PATH)).await
    }

    pub(crate) async fn rotate(&self, secret: &str, query: &str) -> Answer {
        let request = self.request(Method::POST, &format!("{ROTATE_PATH}{query}"));
        send(request.json(&json!({ "client_secret": secret }))).await
    }
}

/// The id and the client secret of each credential. A client secret that the tests do not know is `?`.
async fn client_secrets(world: &World) -> Vec<(String, String)> {
    let mut secrets = Vec::new();
    for (id, _, text) in envelope::open_all(world).await {
        if let Some(id) = id.strip_prefix("app#") {
            let secret = ClientSecret::try_from(text).unwrap();
            let fingerprint = secret.fingerprint();
            let known = [CLIENT_SECRET, NEW_SECRET].into_iter().find(|known| {
                ClientSecret::try_from((*known).to_owned())
                    .unwrap()
                    .fingerprint()
                    == fingerprint
            });
            secrets.push((id.to_owned(), known.unwrap_or("?").to_owned()));
        }
    }
    secrets.sort();
    secrets
}

#[tokio::test]
async fn an_app_can_be_registered_read_replaced_and_deleted_and_no_answer_has_its_secrets() {
    let world = World::new().await;
    let absent = "Zoom app not found: register it with PUT first";
    world
        .acme
        .app()
        .await
        .expect_error(404, "FST_ERR_ZOOM_APP_NOT_FOUND", absent);
    world
        .acme
        .forget()
        .await
        .expect_error(404, "FST_ERR_ZOOM_APP_NOT_FOUND", absent);

    let body = with(
        registration(SECRET_TOKEN),
        json!({ "name": "Our bot", "unknown": 1 }),
    );
    let answer = world.acme.register(body).await;
    let app = answer.expect(200);

    assert_eq!(
        app,
        json!({
            "client_id": CLIENT_ID,
            "name": "Our bot",
            "webhook_url": world.acme.address("/webhooks/zoom/test-app"),
            "created_at": app["created_at"],
            "updated_at": app["created_at"],
        })
    );
    assert_eq!(world.acme.app().await.expect(200), app);
    // The vault tried the client secret at Zoom, but does not store it.
    let rows = world.items("secrets").await;
    assert_eq!(rows.len(), 1);
    assert_eq!(attribute(&rows[0], "secret_id"), "webhook#acme#test-app");
    let sealed = &envelope::open_all(&world).await[0];
    assert_eq!(sealed.0, "webhook#acme#test-app");

    // The generation of a secret is a time in milliseconds.
    next_millisecond().await;
    let replaced = world
        .acme
        .register(registration("another"))
        .await
        .expect(200);
    assert_eq!(
        (&replaced["name"], &replaced["created_at"]),
        (&json!(null), &app["created_at"])
    );
    assert!(replaced["updated_at"].as_str() > app["updated_at"].as_str());

    let message = json!({ "message": "Zoom app deleted successfully" });
    assert_eq!(world.acme.forget().await.expect(200), message);
    world
        .acme
        .app()
        .await
        .expect_code(404, "FST_ERR_ZOOM_APP_NOT_FOUND");
    assert_eq!(world.count("secrets").await, 0);
}

#[tokio::test]
async fn an_app_that_zoom_refuses_is_not_registered() {
    let world = World::new().await;
    let wrong = with(
        registration(SECRET_TOKEN),
        json!({ "client_secret": "guessed" }),
    );
    let refused = world.acme.register(wrong).await;
    refused.expect_code(409, "FST_ERR_ZOOM_APP_MISCONFIGURED");
    assert!(
        refused.json()["details"]
            .as_str()
            .unwrap()
            .starts_with("invalid_client")
    );
    let unknown = world
        .acme
        .register_app("nobodys-app", registration(SECRET_TOKEN))
        .await;
    unknown.expect_code(409, "FST_ERR_ZOOM_APP_MISCONFIGURED");

    let down = Fault::Answer(StatusCode::BAD_GATEWAY, String::new());
    world.wire.break_service(Service::Zoom, down);
    let answer = world.acme.register(registration(SECRET_TOKEN)).await;
    answer.expect_code(502, "FST_ERR_ZOOM_UNAVAILABLE");
    assert_eq!(world.count("secrets").await, 0);
}

#[tokio::test]
async fn an_invalid_app_body_is_refused_with_the_field_and_the_rule() {
    let world = World::new().await;
    for (changes, message) in [
        (
            json!({ "client_secret": null }),
            "body/client_secret is required",
        ),
        (
            json!({ "webhook_secret_token": null }),
            "body/webhook_secret_token is required",
        ),
        (
            json!({ "webhook_secret_token": "" }),
            "body/webhook_secret_token must NOT have fewer than 1 characters",
        ),
        (
            json!({ "webhook_secret_token": "x".repeat(257) }),
            "body/webhook_secret_token must NOT have more than 256 characters",
        ),
        (
            json!({ "name": "" }),
            "body/name must NOT have fewer than 1 characters",
        ),
        (json!({ "name": 1 }), "body/name must be string"),
    ] {
        let answer = world
            .acme
            .register(with(registration(SECRET_TOKEN), changes))
            .await;
        answer.expect_error(400, "FST_ERR_VALIDATION", message);
    }
    for client_id in ["a%20b", "a%2Fb", "a%23b", "%C3%A9", "a.b", &"x".repeat(129)] {
        let answer = world
            .acme
            .register_app(client_id, registration(SECRET_TOKEN))
            .await;
        let message = "params/client_id must be 1 to 128 of A-Z, a-z, 0-9, - and _";
        answer.expect_error(400, "FST_ERR_VALIDATION", message);
    }
    let rotation = send(
        world
            .acme
            .request(Method::POST, ROTATE_PATH)
            .json(&json!({})),
    )
    .await;
    rotation.expect_error(400, "FST_ERR_VALIDATION", "body/client_secret is required");
    let cursor = world.acme.rotate(CLIENT_SECRET, "?cursor=nonsense").await;
    cursor.expect_code(400, "FST_ERR_VALIDATION");
    assert_eq!(world.wire.count(Service::Zoom), 0);
}

#[tokio::test]
async fn an_app_belongs_to_one_team_and_changing_it_needs_a_full_key() {
    let world = World::new().await;
    let rival = world.caller("rival", Permission::Full).await;
    register_app(&world).await;
    rival
        .app()
        .await
        .expect_code(404, "FST_ERR_ZOOM_APP_NOT_FOUND");
    rival
        .forget()
        .await
        .expect_code(404, "FST_ERR_ZOOM_APP_NOT_FOUND");
    let id = world.add_app_credential("theirs").await;

    assert_eq!(
        rival.rotate(CLIENT_SECRET, "").await.expect(200)["credentials"],
        0
    );
    for permission in [Permission::Read, Permission::Mint] {
        let caller = world.caller("acme", permission).await;
        caller
            .register(registration(SECRET_TOKEN))
            .await
            .expect_code(403, "FST_ERR_FORBIDDEN");
        caller.forget().await.expect_code(403, "FST_ERR_FORBIDDEN");
        caller
            .rotate(CLIENT_SECRET, "")
            .await
            .expect_code(403, "FST_ERR_FORBIDDEN");
        match permission {
            Permission::Read => assert_eq!(caller.app().await.expect(200)["client_id"], CLIENT_ID),
            Permission::Full | Permission::Mint => {
                caller.app().await.expect_code(403, "FST_ERR_FORBIDDEN");
            }
        }
    }
    let stranger = world.caller_with_key("zcv_acme_nonsense");
    stranger
        .app()
        .await
        .expect_code(401, "FST_ERR_UNAUTHORIZED");
    stranger
        .register(registration(SECRET_TOKEN))
        .await
        .expect_code(401, "FST_ERR_UNAUTHORIZED");
    assert_eq!(
        client_secrets(&world).await,
        [(id, CLIENT_SECRET.to_owned())]
    );
}

#[tokio::test]
async fn a_rotation_reaches_every_credential_of_the_app_and_clears_the_error_of_the_old_secret() {
    let world = World::new().await;
    let rival = world.caller("rival", Permission::Full).await;
    world.zoom.register_app(local::zoom::App {
        client_id: "other-app".to_owned(),
        ..test_app()
    });
    let broken = world.add_user_credential("broken").await;
    let app = world.add_app_credential("app").await;
    let deleted = world.add_app_credential("deleted").await;
    world.acme.delete(&deleted).await.expect(200);
    let other = with(app_body("other"), json!({ "client_id": "other-app" }));
    let other = id_of(&world.acme.create(other).await.expect(201));
    let rivals = id_of(&rival.create(app_body("rivals")).await.expect(201));
    world.zoom.rotate_secret(CLIENT_ID, NEW_SECRET);
    world.expire_access_tokens().await;
    let failed = mint_onbehalf(&world.acme, &broken).await;
    failed.expect_code(409, "FST_ERR_ZOOM_APP_MISCONFIGURED");
    let (row, deleted_row) = (world.row(&broken).await, world.row(&deleted).await);
    assert!(attribute(&row, "last_error_message").starts_with("app refused: "));

    let answer = world.acme.rotate(NEW_SECRET, "").await;

    assert_eq!(answer.header("x-next-cursor"), None);
    assert_eq!(
        answer.expect(200),
        json!({ "credentials": 3, "resealed": 3, "healed": 1, "failed": 0, "unreadable": 0, "done": true })
    );
    let mut expected = vec![
        (broken.clone(), NEW_SECRET.to_owned()),
        (app, NEW_SECRET.to_owned()),
        (deleted.clone(), NEW_SECRET.to_owned()),
        (other, CLIENT_SECRET.to_owned()),
        (rivals, CLIENT_SECRET.to_owned()),
    ];
    expected.sort();
    assert_eq!(client_secrets(&world).await, expected);
    let credential = world.acme.get(&broken).await.expect(200);
    assert_eq!(
        json!([
            credential["state"],
            credential["last_error_message"],
            credential["last_error_at"]
        ]),
        json!(["active", null, null])
    );
    let resealed = world.row(&deleted).await;
    assert_eq!(
        (&resealed["deleted"], &resealed["purge_at"]),
        (&deleted_row["deleted"], &deleted_row["purge_at"])
    );
    // A new secret does not change the credential for the customer, so it causes no notification.
    assert_eq!(resealed["change"], AttributeValue::S("quiet".to_owned()));
    mint_onbehalf(&world.acme, &broken).await.expect(200);
}

#[tokio::test]
async fn a_rotation_does_not_clear_other_errors() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    for (state, message) in [
        ("active", "missing scope user:read:zak"),
        ("invalid", "revoked: Zoom refuses the grant"),
    ] {
        world
            .set_texts(&id, &[("state", state), ("last_error_message", message)])
            .await;
        assert_eq!(
            world.acme.rotate(CLIENT_SECRET, "").await.expect(200)["healed"],
            0
        );
        let credential = world.acme.get(&id).await.expect(200);
        assert_eq!(
            (&credential["state"], &credential["last_error_message"]),
            (&json!(state), &json!(message))
        );
    }
}

#[tokio::test]
async fn a_client_secret_that_zoom_refuses_is_not_stored() {
    let world = World::new().await;
    let id = world.add_app_credential("app").await;
    let refused = world.acme.rotate("guessed", "").await;
    refused.expect_code(409, "FST_ERR_ZOOM_APP_MISCONFIGURED");
    assert_eq!(
        client_secrets(&world).await,
        [(id, CLIENT_SECRET.to_owned())]
    );
}

/// Creates this many app credentials of `acme`, as copies of the first.
pub(crate) async fn given_app_credentials(world: &World, count: usize) {
    let id = world.add_app_credential("first").await;
    let row = world.row(&id).await;
    let copies = (1..count).map(|_| {
        let mut row = row.clone();
        let id = CredentialId::generate().to_string();
        row.insert("credential_id".to_owned(), AttributeValue::S(id));
        row
    });
    world.put_rows(copies.collect()).await;
}

#[tokio::test]
async fn a_rotation_that_fails_half_way_continues_with_its_cursor() {
    let world = World::new().await;
    given_app_credentials(&world, 130).await;
    world.zoom.rotate_secret(CLIENT_ID, NEW_SECRET);
    let body = json!({ "__type": "KMSInvalidStateException", "message": "as ordered" });
    let kms_fails = |nth| Rule {
        service: Some(Service::Kms),
        operation: Some("GenerateDataKey"),
        nth: Some(nth),
        fault: Fault::Answer(StatusCode::BAD_REQUEST, body.to_string()),
    };

    // All keys of the first page fail, so the rotation is an error and can be repeated.
    for _ in 0..100 {
        world.wire.inject(kms_fails(1));
    }
    let answer = world.acme.rotate(NEW_SECRET, "").await;
    answer.expect_code(503, "FST_ERR_UNAVAILABLE");
    world.wire.heal();

    // One key of the second page fails. The rotation finishes this page and stops.
    world.wire.inject(kms_fails(115));
    let answer = world.acme.rotate(NEW_SECRET, "").await;
    assert_eq!(
        answer.expect(200),
        json!({ "credentials": 130, "resealed": 129, "healed": 0, "failed": 1, "unreadable": 0, "done": false })
    );
    let cursor = answer.header("x-next-cursor").unwrap().to_owned();
    world.wire.heal();

    // The next call begins with the credential that failed, and skips those before it.
    let answer = world
        .acme
        .rotate(NEW_SECRET, &format!("?cursor={cursor}"))
        .await;
    assert_eq!(answer.header("x-next-cursor"), None);
    let data = answer.expect(200);
    assert_eq!((&data["failed"], &data["done"]), (&json!(0), &json!(true)));
    assert!(
        (1..=30).contains(&data["resealed"].as_u64().unwrap()),
        "{data}"
    );
    let sealed = client_secrets(&world).await;
    assert_eq!(sealed.len(), 130);
    assert!(sealed.iter().all(|(_, secret)| secret == NEW_SECRET));
}

#[tokio::test]
async fn after_a_crash_at_any_call_of_a_rotation_a_retry_finishes_it() {
    for n in 1.. {
        let world = World::new().await;
        let ids = [
            world.add_user_credential("user").await,
            world.add_app_credential("app").await,
        ];
        world.zoom.rotate_secret(CLIENT_ID, NEW_SECRET);
        let body = json!({ "client_secret": NEW_SECRET });
        let begin = || world.invoke(Method::POST, ROTATE_PATH, &body);
        if let Some(status) = crash_at_call(&world, n, begin).await {
            assert_eq!(status, 200);
            assert!(n > 8, "{n}");
            break;
        }
        // Each credential has the old client secret or the new one, and the vault can decrypt it.
        let sealed = client_secrets(&world).await;
        assert_eq!(sealed.len(), ids.len());
        assert!(sealed.iter().all(|(_, secret)| secret != "?"), "{sealed:?}");

        let answer = world.acme.rotate(NEW_SECRET, "").await.expect(200);
        assert_eq!(
            (&answer["resealed"], &answer["done"]),
            (&json!(2), &json!(true))
        );
        let sealed = client_secrets(&world).await;
        assert!(
            sealed.iter().all(|(_, secret)| secret == NEW_SECRET),
            "{sealed:?}"
        );
        world.expire_access_tokens().await;
        mint_onbehalf(&world.acme, &ids[0]).await.expect(200);
    }
}

#[tokio::test]
async fn a_credential_that_moves_to_another_app_during_a_rotation_keeps_the_secret_of_that_app() {
    let world = World::new().await;
    world.zoom.register_app(local::zoom::App {
        client_id: "other-app".to_owned(),
        client_secret: NEW_SECRET.to_owned(),
        ..test_app()
    });
    let id = world.add_app_credential("app").await;
    // The rotation has read the row, and waits for the data key.
    let held = world.wire.hold(Service::Kms, "GenerateDataKey");
    let body = json!({ "client_secret": CLIENT_SECRET });
    let rotation = world.invoke(Method::POST, ROTATE_PATH, &body);
    world.wire.stalled().await;
    let moved = json!({ "client_id": "other-app", "client_secret": NEW_SECRET });
    world.acme.update(&id, moved).await.expect(200);
    held.notify_one();

    assert_eq!(rotation.await.unwrap(), 200);

    assert_eq!(
        client_secrets(&world).await,
        [(id.clone(), NEW_SECRET.to_owned())]
    );
    assert_eq!(attribute(&world.row(&id).await, "client_id"), "other-app");
}

#[tokio::test]
async fn mints_and_refreshes_succeed_during_a_rotation() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    given_app_credentials(&world, 40).await;
    world.expire_access_tokens().await;

    let (rotation, minted) = tokio::join!(
        world.acme.rotate(CLIENT_SECRET, ""),
        mint_onbehalf(&world.acme, &id)
    );

    minted.expect(200);
    assert_eq!(rotation.expect(200)["resealed"], 41);
    world.expire_access_tokens().await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
}
