//! What Zoom refuses an account-level credential, and who must act.

use hyper::StatusCode;
use local::zoom::{Endpoint, Fault, FaultKind, Meeting, Reply};
use serde_json::{Value, json};

use super::{APP, KURT, SCOPES, SECRET};
use crate::minting::mint;
use crate::proxy::{Fault as WireFault, Service};
use crate::world::{Answer, World, with};

async fn zak(world: &World, id: &str, changes: Value) -> Answer {
    let body = with(json!({ "credential_id": id, "type": "zak" }), changes);
    mint(&world.acme, body).await
}

#[tokio::test]
async fn a_user_who_is_gone_or_of_another_account_is_the_callers_mistake() {
    let (world, id) = World::with_account(&SCOPES).await;
    world.register_grace();
    world.zoom.set_user_deactivated("kurt", true);
    for user in [
        json!({ "zoom_email": KURT }),
        json!({ "zoom_user_id": "kurt" }),
        json!({ "zoom_user_id": "grace" }),
        json!({ "zoom_email": "nobody@example.test" }),
    ] {
        let refused = zak(&world, &id, user).await;
        let message = refused.expect_code(400, "FST_ERR_ZOOM_REFUSED");
        assert_eq!(refused.json()["details"], "caller");
        assert!(
            message.starts_with("Zoom knows no such user in this account: User does not exist"),
            "{message}"
        );
        assert!(message.ends_with(
            ". Check zoom_user_id, zoom_email or the meeting: the user may have been deleted or deactivated, or belong \
             to another account."
        ));
    }
    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(
        (&credential["state"], &credential["last_error_message"]),
        (&json!("active"), &Value::Null)
    );
    zak(&world, &id, json!({ "zoom_user_id": "ada" }))
        .await
        .expect(200);
    let events = world.acme.events(&id, "").await.expect(200);
    let failed = events
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["code"] == "FST_ERR_ZOOM_REFUSED");
    assert_eq!(failed.count(), 4);
}

#[tokio::test]
async fn a_meeting_of_another_account_is_the_callers_mistake() {
    let (world, id) = World::with_account(&SCOPES).await;
    world.register_grace();
    world.zoom.register_meeting(Meeting {
        id: "98765432101".to_owned(),
        webinar: false,
        host_id: "grace".to_owned(),
        forbids_recording: false,
    });
    for body in [
        json!({ "meeting_id": "98765432101" }),
        json!({ "meeting_id": "11111111111" }),
        json!({ "type": "local_recording", "meeting_id": "98765432101" }),
        json!({ "type": "local_recording", "meeting_id": "11111111111" }),
    ] {
        let refused = zak(&world, &id, body).await;
        refused.expect_code(400, "FST_ERR_ZOOM_REFUSED");
        assert_eq!(refused.json()["details"], "caller");
    }
}

#[tokio::test]
async fn a_missing_admin_scope_is_named_and_an_admin_of_the_account_must_act() {
    for (missing, body) in [
        ("user:read:token:admin", json!({ "zoom_user_id": "ada" })),
        (
            "meeting:read:meeting:admin",
            json!({ "meeting_id": "98765432101" }),
        ),
        (
            "meeting:read:local_recording_token:admin",
            json!({ "type": "local_recording", "meeting_id": "98765432101" }),
        ),
    ] {
        let scopes: Vec<&str> = SCOPES
            .into_iter()
            .filter(|scope| *scope != missing)
            .collect();
        let (world, id) = World::with_account(&scopes).await;
        world.zoom.register_meeting(Meeting {
            id: "98765432101".to_owned(),
            webinar: false,
            host_id: "kurt".to_owned(),
            forbids_recording: false,
        });
        let refused = zak(&world, &id, body.clone()).await;
        let message = format!(
            "The account-level app lacks the scope {missing}: an admin of the Zoom account must add it to the app, and \
             activate the app again. No user need authorize."
        );
        refused.expect_error(400, "FST_ERR_ZOOM_MISSING_SCOPE", &message);
        assert_eq!(refused.json()["details"], missing);
        let credential = world.acme.get(&id).await.expect(200);
        assert_eq!(
            credential["last_error_message"],
            format!("missing scope {missing}")
        );
        assert_eq!(credential["state"], "active");

        // The access token in memory does not have the new scope.
        world.register_account_app(SECRET, &SCOPES);
        zak(&world, &id, body).await.expect(200);
        let credential = world.acme.get(&id).await.expect(200);
        assert_eq!(credential["last_error_message"], Value::Null);
    }
}

#[tokio::test]
async fn an_app_that_was_disabled_or_has_another_secret_is_the_operators_and_the_credential_stays()
{
    let (world, id) = World::with_account(&SCOPES).await;
    let ada = || zak(&world, &id, json!({ "zoom_user_id": "ada" }));
    ada().await.expect(200);
    world.zoom.set_app_disabled(APP, true);
    let refused = ada().await;
    let message = refused.expect_code(409, "FST_ERR_ZOOM_APP_MISCONFIGURED");
    assert!(
        message.contains("The app has been disabled (4717)"),
        "{message}"
    );
    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(credential["state"], "active");
    let stored = credential["last_error_message"].as_str().unwrap();
    assert!(stored.starts_with("app refused: "), "{stored}");
    world.zoom.set_app_disabled(APP, false);
    ada().await.expect(200);
    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(credential["last_error_message"], Value::Null);

    // A new secret at Zoom does not end the access token that is in memory.
    world.zoom.rotate_secret(APP, "rotated");
    ada().await.expect(200);
    world.zoom.end_account_tokens(APP);
    ada()
        .await
        .expect_code(409, "FST_ERR_ZOOM_APP_MISCONFIGURED");
    let rotated = json!({ "client_id": APP, "client_secret": "rotated" });
    world.acme.update(&id, rotated).await.expect(200);
    ada().await.expect(200);
}

#[tokio::test]
async fn a_zoom_that_refuses_every_access_token_is_asked_twice_and_costs_no_state() {
    let (world, id) = World::with_account(&SCOPES).await;
    let refusal = json!({ "code": 124, "message": "Invalid access token." }).to_string();
    for status in [StatusCode::UNAUTHORIZED, StatusCode::BAD_REQUEST] {
        let reply = Reply {
            body: Some(refusal.clone()),
            ..Reply::status(status)
        };
        world
            .zoom
            .inject(Fault::always(Endpoint::Mint, FaultKind::ReplyBefore(reply)));
        let before = world.account_tokens();
        world.wire.reset();
        let refused = zak(&world, &id, json!({ "zoom_user_id": "ada" })).await;
        refused.expect_code(502, "FST_ERR_ZOOM_UNAVAILABLE");
        assert_eq!(world.zoom_api_calls().len(), 2);
        assert_eq!(world.account_tokens(), before + 2);
        world.zoom.clear_faults();
    }
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");
    zak(&world, &id, json!({ "zoom_user_id": "ada" }))
        .await
        .expect(200);
}

#[tokio::test]
async fn a_failure_of_zoom_can_be_retried() {
    let (world, id) = World::with_account(&SCOPES).await;
    for endpoint in [Endpoint::Token, Endpoint::Mint] {
        let reply = FaultKind::ReplyBefore(Reply::status(StatusCode::BAD_GATEWAY));
        world.zoom.inject(Fault::once(endpoint, reply));
        let refused = zak(&world, &id, json!({ "zoom_user_id": "ada" })).await;
        refused.expect_code(502, "FST_ERR_ZOOM_UNAVAILABLE");
        zak(&world, &id, json!({ "zoom_user_id": "ada" }))
            .await
            .expect(200);
        world.zoom.end_account_tokens(APP);
        zak(&world, &id, json!({ "zoom_user_id": "ada" }))
            .await
            .expect(200);
    }
    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(credential["last_error_message"], Value::Null);
}

/// The ZAK of `me` would be that of the account's owner.
#[tokio::test]
async fn an_account_never_gets_the_zak_of_the_user_itself() {
    for scopes in [["user:read:zak:admin"], ["user:read:zak"]] {
        let (world, id) = World::with_account(&scopes).await;
        world.wire.reset();
        let refused = zak(&world, &id, json!({ "zoom_user_id": "ada" })).await;
        refused.expect_code(400, "FST_ERR_ZOOM_MISSING_SCOPE");
        assert_eq!(refused.json()["details"], "user:read:token:admin");
        let calls = world.zoom_api_calls();
        assert_eq!(calls, ["/v2/users/ada/token?type=zak"]);
    }
}

/// An answer that names no usable host must not decide whose token is minted.
#[tokio::test]
async fn a_meeting_whose_host_zoom_does_not_name_mints_nothing() {
    let (world, id) = World::with_account(&SCOPES).await;
    let meeting = "/v2/meetings/98765432101";
    for body in [
        "{}",
        r#"{"host_id":null}"#,
        r#"{"host_id":""}"#,
        r#"{"host_id":"me"}"#,
        r#"{"host_id":"Me"}"#,
        r#"{"host_id":"../x"}"#,
        r#"{"host_id":"ada/token"}"#,
        r#"{"host_id":"ada?x"}"#,
        r#"{"host_id":"ada@example.test"}"#,
        r#"{"host_id":7}"#,
        r#"{"host_id":["ada"]}"#,
        r#"["ada"]"#,
        "<html>Zoom</html>",
        "",
    ] {
        let answer = WireFault::Answer(StatusCode::OK, body.to_owned());
        world.wire.reset();
        world.wire.inject_once(Service::Zoom, meeting, answer);
        let refused = zak(&world, &id, json!({ "meeting_id": "98765432101" })).await;
        refused.expect_code(502, "FST_ERR_ZOOM_UNAVAILABLE");
        assert_eq!(world.zoom_api_calls(), [meeting], "{body}");
    }
    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(credential["state"], "active");
}

#[tokio::test]
async fn a_rate_limit_and_a_forbidden_account_say_who_must_act() {
    let (world, id) = World::with_account(&SCOPES).await;
    let limited = json!({ "code": 429, "message": "You have exceeded the rate." });
    let denied = json!({ "code": 403, "message": "Access to the Zoom REST API has been denied." });
    for endpoint in ["/v2/users/ada/token", "/v2/meetings/98765432101"] {
        let named = if endpoint.contains("users") {
            json!({ "zoom_user_id": "ada" })
        } else {
            json!({ "meeting_id": "98765432101" })
        };
        let fault = WireFault::Answer(StatusCode::TOO_MANY_REQUESTS, limited.to_string());
        world.wire.inject_once(Service::Zoom, endpoint, fault);
        let refused = zak(&world, &id, named.clone()).await;
        refused.expect_code(503, "FST_ERR_UNAVAILABLE");
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert_eq!(refused.json()["details"], "zoom_rate: code 429");

        let fault = WireFault::Answer(StatusCode::FORBIDDEN, denied.to_string());
        world.wire.inject_once(Service::Zoom, endpoint, fault);
        let refused = zak(&world, &id, named).await;
        let message = refused.expect_code(400, "FST_ERR_ZOOM_REFUSED");
        assert_eq!(refused.json()["details"], "account_admin");
        let advice = "An admin of the user's Zoom account must allow this in Zoom.";
        assert!(message.contains(advice), "{message}");
    }
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");
}
