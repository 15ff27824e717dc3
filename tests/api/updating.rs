//! Changing: every field on its own, another secret, another app, another authorization.

use aws_sdk_dynamodb::types::AttributeValue;
use local::zoom::{App, Consent, User};
use reqwest::Method;
use serde_json::{Value, json};

use crate::connecting::nothing_after_the_commit;
use crate::proxy::{Fault, Rule, Service};
use crate::world::{CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, SCOPES, World, send, with};

const ORPHANED: &str = "body/client_id must be the user credential's own, unless authorization_code \
                        comes with it";

/// What differs between two credentials, `updated_at` left out: it never runs backwards.
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

/// The sealed client secret of a credential, as its row has it.
async fn sealed_secret(world: &World, id: &str) -> String {
    let rows = world.contents("secrets").await.into_iter();
    let of_app = format!("app#{id}");
    rows.filter(|row| row.contains(&of_app)).collect()
}

pub(crate) fn pair(client_id: &str, client_secret: &str) -> Value {
    json!({ "client_id": client_id, "client_secret": client_secret })
}

pub(crate) fn authorization(code: &str) -> Value {
    json!({ "authorization_code": code, "redirect_uri": REDIRECT_URI })
}

impl World {
    /// Another app that Zoom knows; the code of a user who allowed it.
    fn code_of_another_app(&self, client_id: &str, client_secret: &str, user: &str) -> String {
        self.zoom.register_app(App {
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
            redirect_uris: vec![REDIRECT_URI.to_owned()],
            scopes: SCOPES.iter().map(ToString::to_string).collect(),
        });
        self.zoom
            .authorize(Consent {
                client_id: client_id.to_owned(),
                redirect_uri: REDIRECT_URI.to_owned(),
                user_id: user.to_owned(),
                scopes: None,
                code_challenge: None,
            })
            .unwrap()
    }

    pub(crate) fn register_grace(&self) {
        self.zoom.register_user(User {
            id: "grace".to_owned(),
            email: Some("grace@example.test".to_owned()),
            ..User::default()
        });
    }
}

#[tokio::test]
async fn an_empty_change_changes_nothing_at_all() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let (row, got) = (world.stored_row(&id).await, world.acme.get(&id).await.text);
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
    assert_eq!(world.stored_row(&id).await, row);
}

#[tokio::test]
async fn every_field_of_a_change_has_its_rule() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let row = world.stored_row(&id).await;
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
            pair(&"x".repeat(257), "x"),
            "body/client_id must NOT have more than 256 characters",
        ),
        (
            pair(CLIENT_ID, ""),
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
        // A good field does not save a bad one.
        (
            json!({ "name": "good", "extra": 1 }),
            "body/extra must be object",
        ),
        (pair("another-app", "x"), ORPHANED),
        (
            with(pair("another-app", "x"), json!({ "name": "good" })),
            ORPHANED,
        ),
        (pair("TEST-APP", "x"), ORPHANED),
    ] {
        let answer = world.acme.update(&id, body).await;
        answer.expect_error(400, "FST_ERR_VALIDATION", message);
    }
    assert_eq!(world.stored_row(&id).await, row);
    assert_eq!(world.count("secrets").await, secrets);
    assert_eq!(world.wire.count(Service::Kms), 0);
    assert_eq!(world.wire.count(Service::Zoom), 0);
}

#[tokio::test]
async fn another_secret_heals_an_active_credential_and_asks_nothing_of_zoom() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let failed = [
        ("last_error_message", "invalid_client"),
        ("last_error_at", "2026-01-02T03:04:05.678Z"),
    ];
    world.alter(&id, &failed).await;
    let before = world.acme.get(&id).await.expect(200);
    assert_eq!(before["last_error_message"], "invalid_client");
    let sealed = sealed_secret(&world, &id).await;
    let (secrets, calls) = (world.count("secrets").await, world.zoom.ledger().len());

    let updated = world.acme.update(&id, pair(CLIENT_ID, "rotated")).await;
    assert_eq!(
        changed(&before, &updated.expect(200)),
        json!({ "last_error_message": null, "last_error_at": null })
    );
    assert_ne!(sealed_secret(&world, &id).await, sealed);
    assert_eq!(world.count("secrets").await, secrets);
    assert_eq!(world.zoom.ledger().len(), calls);
    assert!(!updated.text.contains("rotated"));
}

#[tokio::test]
async fn another_secret_does_not_heal_an_invalid_grant() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let failed = [
        ("state", "invalid"),
        (
            "last_error_message",
            "revoked: the user must authorize again",
        ),
        ("last_error_at", "2026-01-02T03:04:05.678Z"),
    ];
    world.alter(&id, &failed).await;
    let before = world.acme.get(&id).await.expect(200);

    let updated = world.acme.update(&id, pair(CLIENT_ID, "rotated")).await;
    assert_eq!(changed(&before, &updated.expect(200)), json!({}));
    // Nor does a new name.
    let updated = world.acme.update(&id, json!({ "name": "bot" })).await;
    assert_eq!(changed(&before, &updated.expect(200)), json!({}));
}

#[tokio::test]
async fn an_app_credential_may_move_to_another_app() {
    let world = World::new().await;
    let id = world.given_app("bot").await;
    let before = world.acme.get(&id).await.expect(200);

    let body = with(pair("another-app", "x"), json!({ "name": "moved" }));
    let updated = world.acme.update(&id, body).await.expect(200);
    assert_eq!(changed(&before, &updated), json!({ "name": "moved" }));
    assert_eq!(
        world.stored_row(&id).await["client_id"],
        AttributeValue::S("another-app".to_owned())
    );
}

#[tokio::test]
async fn a_new_authorization_with_the_stored_app_makes_everything_good() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let failed = [
        ("state", "invalid"),
        ("last_error_message", "revoked"),
        ("last_error_at", "2026-01-02T03:04:05.678Z"),
        ("zoom_email", "old@example.test"),
    ];
    world.alter(&id, &failed).await;
    let before = world.acme.get(&id).await.expect(200);
    let sealed = sealed_secret(&world, &id).await;
    let old_grant = world.stored_row(&id).await["grant_id"].clone();

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
    assert_ne!(world.stored_row(&id).await["grant_id"], old_grant);
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
async fn another_zoom_user_may_authorize_and_the_profile_is_all_theirs() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
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
    // Ada's grant is another user's: Zoom lets it live, and so do we.
    assert!(world.zoom.grants().iter().all(|grant| grant.alive));
    assert_eq!(
        world.acme.list("?zoom_user_id=ada").await.expect(200),
        json!([])
    );
}

#[tokio::test]
async fn a_new_authorization_may_bring_another_app() {
    let world = World::new().await;
    for id in [world.given_user("user").await, world.given_app("app").await] {
        let code = world.code_of_another_app("another-app", "another-secret", "ada");
        let body = with(authorization(&code), pair("another-app", "another-secret"));
        let updated = world.acme.update(&id, body).await.expect(200);
        assert_eq!(updated["credential_type"], "user");
        assert_eq!(
            world.stored_row(&id).await["client_id"],
            AttributeValue::S("another-app".to_owned())
        );

        // From now on that is the stored app.
        let code = world.code_of_another_app("another-app", "another-secret", "ada");
        world
            .acme
            .update(&id, authorization(&code))
            .await
            .expect(200);
        let answer = world.acme.update(&id, pair(CLIENT_ID, CLIENT_SECRET)).await;
        answer.expect_error(400, "FST_ERR_VALIDATION", ORPHANED);
    }
}

#[tokio::test]
async fn a_refused_authorization_changes_nothing() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let row = world.stored_row(&id).await;
    let secrets = world.contents("secrets").await;
    let code = world.code();
    for body in [
        authorization("made-up"),
        with(
            authorization(&code),
            json!({ "redirect_uri": "https://elsewhere.test/" }),
        ),
        with(authorization(&code), pair(CLIENT_ID, "wrong")),
        with(authorization(&code), pair("no-app", CLIENT_SECRET)),
        with(
            authorization("made-up"),
            json!({ "name": "renamed", "extra": {} }),
        ),
    ] {
        let answer = world.acme.update(&id, body).await;
        answer.expect_code(400, "FST_ERR_ZOOM_CODE_EXCHANGE_FAILED");
    }
    assert_eq!(world.stored_row(&id).await, row);
    assert_eq!(world.contents("secrets").await, secrets);

    // The code was not spent and nothing is held: the corrected request goes through.
    world
        .acme
        .update(&id, authorization(&code))
        .await
        .expect(200);
}

#[tokio::test]
async fn a_corrected_secret_that_comes_with_a_code_is_kept() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    world.zoom.rotate_secret(CLIENT_ID, "rotated");
    world
        .acme
        .update(&id, authorization(&world.code()))
        .await
        .expect_code(400, "FST_ERR_ZOOM_CODE_EXCHANGE_FAILED");

    let body = with(authorization(&world.code()), pair(CLIENT_ID, "rotated"));
    world.acme.update(&id, body).await.expect(200);
    world
        .acme
        .update(&id, authorization(&world.code()))
        .await
        .expect(200);
}

#[tokio::test]
async fn changes_of_different_fields_at_once_lose_none() {
    let world = World::new().await;
    for round in 0..5 {
        let id = world.given_user("bot").await;
        let secret = format!("secret-{round}");
        let sealed = sealed_secret(&world, &id).await;
        let bodies = [
            json!({ "name": "renamed" }),
            json!({ "extra": { "round": round } }),
            pair(CLIENT_ID, &secret),
            json!({}),
        ];
        let calls: Vec<_> = bodies
            .map(|body| {
                let (acme, id) = (world.acme.clone(), id.clone());
                tokio::spawn(async move { acme.update(&id, body).await })
            })
            .into();
        for call in calls {
            call.await.unwrap().expect(200);
        }
        let updated = world.acme.get(&id).await.expect(200);
        assert_eq!(updated["name"], "renamed");
        assert_eq!(updated["extra"], json!({ "round": round }));
        assert_ne!(sealed_secret(&world, &id).await, sealed);
        let version = world.stored_row(&id).await["version"]
            .as_n()
            .unwrap()
            .clone();
        // Created, profile, and the three that change something.
        assert_eq!(version, "5");
    }
}

#[tokio::test]
async fn changes_while_an_authorization_runs_are_kept() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let before = world.stored_row(&id).await["grant_id"].clone();
    world.register_grace();
    let code = world.code_of("grace", None);
    // Zoom's answer is held back until the others are through: their calls make no call to Zoom.
    world.wire.inject(Rule {
        service: Some(Service::Zoom),
        operation: Some("/oauth/token"),
        nth: Some(1),
        fault: Fault::Delay(std::time::Duration::from_millis(300)),
    });
    let (acme, path) = (world.acme.clone(), id.clone());
    let running = tokio::spawn(async move { acme.update(&path, authorization(&code)).await });

    world
        .acme
        .update(&id, json!({ "name": "renamed" }))
        .await
        .expect(200);
    world
        .acme
        .update(&id, json!({ "extra": { "a": 1 } }))
        .await
        .expect(200);
    running.await.unwrap().expect(200);

    let updated = world.acme.get(&id).await.expect(200);
    assert_eq!(updated["name"], "renamed");
    assert_eq!(updated["extra"], json!({ "a": 1 }));
    assert_eq!(updated["zoom_user_id"], "grace");
    assert_ne!(world.stored_row(&id).await["grant_id"], before);
}

#[tokio::test]
async fn of_many_moves_to_other_apps_each_wins_or_hears_that_it_lost() {
    let world = World::new().await;
    let id = world.given_app("bot").await;
    let calls: Vec<_> = (0..6)
        .map(|number| {
            let (acme, id) = (world.acme.clone(), id.clone());
            let body = pair(&format!("app-{number}"), "x");
            tokio::spawn(async move { acme.update(&id, body).await })
        })
        .collect();
    let mut won = Vec::new();
    for (number, call) in calls.into_iter().enumerate() {
        let answer = call.await.unwrap();
        if answer.status == 200 {
            won.push(AttributeValue::S(format!("app-{number}")));
        } else {
            answer.expect_code(409, "FST_ERR_CONFLICT");
        }
    }
    let stored = world.stored_row(&id).await["client_id"].clone();
    assert!(won.contains(&stored), "{stored:?} of {won:?}");
}

#[tokio::test]
async fn a_change_that_meets_a_transaction_is_tried_again() {
    let world = World::new().await;
    let id = world.given_app("bot").await;
    let met = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionConflictException",
        "message": "Transaction is ongoing for the item",
    });
    world.wire.inject(Rule {
        service: Some(Service::DynamoDb),
        operation: Some("UpdateItem"),
        // The first counts the call against the rate.
        nth: Some(2),
        fault: Fault::Answer(hyper::StatusCode::BAD_REQUEST, met.to_string()),
    });
    let updated = world.acme.update(&id, json!({ "name": "renamed" })).await;
    assert_eq!(updated.expect(200)["name"], "renamed");
}

#[tokio::test]
async fn what_was_committed_is_answered_though_nothing_can_be_read_after_it() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let code = world.code();
    let secret = pair(CLIENT_ID, CLIENT_SECRET);
    for body in [
        with(
            with(authorization(&code), secret.clone()),
            json!({ "name": "new", "extra": { "a": 1 } }),
        ),
        with(secret, json!({ "name": "newer", "extra": null })),
    ] {
        let bell = world.wire.hold(Service::DynamoDb, "TransactWriteItems");
        let (answer, ()) = tokio::join!(
            world.acme.update(&id, body),
            nothing_after_the_commit(&world, &bell)
        );
        world.wire.heal();
        let answered = answer.expect(200);
        assert_eq!(answered, world.acme.get(&id).await.expect(200));
    }
}
