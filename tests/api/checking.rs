//! `POST /v2/zoom-credentials/{id}/check`: which tokens a credential can mint.

use hyper::StatusCode;
use local::zoom::{Endpoint, Fault as ZoomFault, FaultKind, GrantType, Reply, User};
use reqwest::Method;
use serde_json::{Value, json};
use shared::api_key::Permission;
use shared::credential::CredentialId;

use crate::proxy::{Fault, Service};
use crate::world::{
    CLIENT_ID, CLIENT_SECRET, SCOPES, World, ada, app_body, attribute, id_of, send, user_body, with,
};

const MEETING: &str = "123 4567 8901";

fn granted() -> Value {
    json!({ "status": "granted", "scope": null, "code": null, "reason": null })
}

fn unknown() -> Value {
    json!({ "status": "unknown", "scope": null, "code": null, "reason": null })
}

fn missing(scope: &str) -> Value {
    json!({
        "status": "missing_scope",
        "scope": scope,
        "code": "FST_ERR_ZOOM_MISSING_SCOPE",
        "reason": format!(
            "The Zoom app or the user's consent lacks the scope {scope}: add it to the app, then let the user \
             authorize again"
        ),
    })
}

fn failing(code: &str, reason: &str) -> Value {
    json!({ "status": "failing", "scope": null, "code": code, "reason": reason })
}

/// The capabilities of a user credential: all of them `common`, except for the `exceptions`.
fn of_user(common: &Value, exceptions: Value) -> Value {
    let capabilities = json!({
        "onbehalf": common, "zak": common, "local_recording": common, "profile": common,
    });
    let mut capabilities = with(capabilities, exceptions);
    capabilities["app"] = Value::Null;
    capabilities
}

/// The capabilities of an app credential.
fn of_app(app: &Value) -> Value {
    json!({ "app": app, "onbehalf": null, "zak": null, "local_recording": null, "profile": null })
}

/// A user credential of `ada`, who consented to these scopes.
pub(crate) async fn given_scopes(world: &World, scopes: &[&str]) -> String {
    let code = world.code_of("ada", Some(scopes));
    id_of(&world.acme.create(user_body("bot", &code)).await.expect(201))
}

/// The paths of all calls to Zoom, sorted.
fn zoom_paths(world: &World) -> Vec<String> {
    let mut paths = world.wire.operations(Service::Zoom);
    paths.sort();
    paths
}

#[tokio::test]
async fn a_check_of_a_working_credential_grants_every_capability_and_changes_nothing() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let before = (world.row(&id).await, world.sorted_rows("secrets").await);
    world.wire.reset();

    let check = world.acme.check_with(&id, json!({ "meeting_id": MEETING }));
    let checked = check.await.expect(200);

    let expected = json!({
        "credential_id": id,
        "checked_at": checked["checked_at"],
        "state": "active",
        "capabilities": of_user(&granted(), json!({})),
    });
    assert_eq!(checked, expected);
    assert_eq!(
        zoom_paths(&world),
        [
            "/v2/meetings/12345678901/jointoken/local_recording",
            "/v2/users/me",
            "/v2/users/me/token",
            "/v2/users/me/token",
        ]
    );
    let after = (world.row(&id).await, world.sorted_rows("secrets").await);
    assert_eq!(after, before);
}

#[tokio::test]
async fn each_token_that_a_check_mints_has_an_event() {
    let world = World::new().await;
    let id = given_scopes(&world, &["user:read:user", "user:read:zak"]).await;
    world
        .acme
        .check_with(&id, json!({ "meeting_id": MEETING }))
        .await
        .expect(200);

    let listed = world.operator.keys(&"acme".parse().unwrap()).await.unwrap();
    let events = world.acme.events(&id, "").await.expect(200);
    let mut minted: Vec<Value> = events
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["kind"] != "created")
        .map(|event| {
            assert_eq!(event["kind"], "mint");
            let key = listed.rows[0].key_id.as_str();
            assert_eq!(event["actor"], json!({ "type": "key", "id": key }));
            json!([
                event["type"],
                event["meeting_id"],
                event["outcome"],
                event["code"]
            ])
        })
        .collect();
    minted.sort_by_key(Value::to_string);
    let scope = "FST_ERR_ZOOM_MISSING_SCOPE";
    assert_eq!(
        json!(minted),
        json!([
            ["local_recording", "12345678901", "failed", scope],
            ["onbehalf", "12345678901", "failed", scope],
            ["zak", null, "succeeded", null],
        ])
    );
}

#[tokio::test]
async fn each_capability_names_its_missing_scope() {
    let world = World::new().await;
    let [user, token, zak, recording, _] = SCOPES;
    for (lacking, failing) in [
        (vec![user], vec!["profile"]),
        (vec![token], vec!["onbehalf"]),
        // The other scope for a ZAK is enough.
        (vec![zak], vec![]),
        (vec![token, zak], vec!["onbehalf", "zak"]),
        (vec![recording], vec!["local_recording"]),
    ] {
        let exceptions = failing.into_iter().map(|it| (it, missing(lacking[0])));
        let expected = of_user(&granted(), exceptions.collect());
        let mut consented = SCOPES.to_vec();
        consented.retain(|scope| !lacking.contains(scope));
        let id = given_scopes(&world, &consented).await;
        let body = json!({ "meeting_id": MEETING });
        let checked = world.acme.check_with(&id, body).await.expect(200);
        assert_eq!(checked["capabilities"], expected, "{lacking:?}");
        assert_eq!(checked["state"], "active");
    }
}

#[tokio::test]
async fn a_check_does_not_store_a_missing_scope_as_an_error() {
    let world = World::new().await;
    let id = given_scopes(&world, &["user:read:user", "user:read:zak"]).await;
    world.acme.check(&id).await.expect(200);

    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(credential["last_error_message"], Value::Null);
}

#[tokio::test]
async fn without_a_meeting_local_recording_is_judged_by_the_scopes() {
    let world = World::new().await;
    let recording = "meeting:read:local_recording_token";
    for (scopes, expected) in [
        (SCOPES.to_vec(), granted()),
        (vec!["user:read:user"], missing(recording)),
    ] {
        let id = given_scopes(&world, &scopes).await;
        world.wire.reset();
        let checked = world.acme.check(&id).await.expect(200);
        assert_eq!(checked["capabilities"]["local_recording"], expected);
        assert!(
            !zoom_paths(&world)
                .iter()
                .any(|path| path.contains("meetings"))
        );
    }
    // The scope of an older app counts, too. Without a list of scopes the vault cannot know the answer.
    let id = world.add_user_credential("bot").await;
    for (scopes, expected) in [
        (
            Some("user:read,meeting_token:read:local_recording"),
            granted(),
        ),
        (None, unknown()),
    ] {
        let mut row = world.row(&id).await;
        row.remove("scopes");
        world.put_rows(vec![row]).await;
        if let Some(scopes) = scopes {
            world.set_texts(&id, &[("scopes", scopes)]).await;
        }
        let checked = world.acme.check(&id).await.expect(200);
        assert_eq!(checked["capabilities"]["local_recording"], expected);
    }
}

#[tokio::test]
async fn a_check_refreshes_an_expired_grant_once() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    world.expire_access_tokens().await;

    let checked = world.acme.check(&id).await.expect(200);

    assert_eq!(checked["capabilities"], of_user(&granted(), json!({})));
    assert_eq!(world.refresh_calls(), 1);
    let events = world.acme.events(&id, "").await.expect(200);
    let mut kinds: Vec<&str> = events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["created", "mint", "mint", "refresh"]);
}

#[tokio::test]
async fn a_check_of_a_revoked_grant_fails_every_capability_and_makes_the_credential_invalid() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    world.expire_access_tokens().await;
    world.zoom.remove_app(CLIENT_ID, "ada");

    let lost = failing(
        "FST_ERR_ZOOM_RECONNECT_REQUIRED",
        "The user must authorize the Zoom app again (revoked): create a connect session with this credential_id (POST \
         /v2/zoom-connect-sessions), and let the user open its link",
    );
    // The second check finds the credential invalid, and does not refresh again.
    for _ in 0..2 {
        let checked = world.acme.check(&id).await.expect(200);
        assert_eq!(checked["capabilities"], of_user(&lost, json!({})));
        assert_eq!(checked["state"], "invalid");
    }
    assert_eq!(world.refresh_calls(), 1);
}

#[tokio::test]
async fn a_check_of_an_invalid_credential_whose_grant_works_makes_it_active() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let invalid = [
        ("state", "invalid"),
        ("last_error_message", "revoked: it was not"),
        ("last_error_at", "2026-01-01T00:00:00.000Z"),
    ];
    world.set_texts(&id, &invalid).await;

    let checked = world.acme.check(&id).await.expect(200);

    assert_eq!(checked["state"], "active");
    assert_eq!(checked["capabilities"], of_user(&granted(), json!({})));
    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(credential["last_error_message"], Value::Null);
    let events = world.acme.events(&id, "").await.expect(200);
    let changes = events.as_array().unwrap().iter();
    let changes = changes.filter(|event| event["kind"] == "state_change");
    assert_eq!(changes.count(), 1, "{events}");
}

#[tokio::test]
async fn a_check_completes_a_missing_profile_and_older_siblings_move_to_the_grant() {
    let world = World::new().await;
    let older = world.add_user_credential("older").await;
    world.backdate_authorization(&older).await;
    let fault = FaultKind::ReplyBefore(Reply::status(StatusCode::BAD_GATEWAY));
    world
        .zoom
        .inject(ZoomFault::always(Endpoint::Profile, fault));
    let id = world.add_user_credential("bot").await;
    world.zoom.clear_faults();
    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(credential["zoom_user_id"], Value::Null);

    let checked = world.acme.check(&id).await.expect(200);

    assert_eq!(checked["capabilities"]["profile"], granted());
    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(credential["zoom_user_id"], "ada");
    assert_eq!(credential["last_error_message"], Value::Null);
    let (row, older) = (world.row(&id).await, world.row(&older).await);
    assert_eq!(attribute(&older, "grant_id"), attribute(&row, "grant_id"));
}

#[tokio::test]
async fn a_check_stores_a_changed_profile() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    world.zoom.register_user(User {
        email: Some("countess@example.test".to_owned()),
        ..ada()
    });

    world.acme.check(&id).await.expect(200);

    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(credential["zoom_email"], "countess@example.test");
}

#[tokio::test]
async fn a_failure_of_zoom_is_reported_and_changes_no_state() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let before = world.row(&id).await;
    let fault = FaultKind::ReplyBefore(Reply::status(StatusCode::BAD_GATEWAY));
    let down = failing(
        "FST_ERR_ZOOM_UNAVAILABLE",
        "Zoom failed. It is safe to retry.",
    );

    for (endpoint, expected) in [
        (
            Endpoint::Mint,
            of_user(
                &down,
                json!({ "local_recording": granted(), "profile": granted() }),
            ),
        ),
        (
            Endpoint::Profile,
            of_user(&granted(), json!({ "profile": down })),
        ),
    ] {
        world
            .zoom
            .inject(ZoomFault::always(endpoint, fault.clone()));
        let checked = world.acme.check(&id).await.expect(200);
        assert_eq!(checked["capabilities"], expected);
        assert_eq!(checked["state"], "active");
        world.zoom.clear_faults();
    }
    assert_eq!(world.row(&id).await, before);
}

#[tokio::test]
async fn a_wrong_client_secret_fails_every_capability_and_keeps_the_credential_active() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    world.zoom.rotate_secret(CLIENT_ID, "rotated");
    world.expire_access_tokens().await;

    let checked = world.acme.check(&id).await.expect(200);

    let profile = &checked["capabilities"]["profile"];
    assert_eq!(profile["status"], "failing");
    assert_eq!(profile["code"], "FST_ERR_ZOOM_APP_MISCONFIGURED");
    assert_eq!(checked["capabilities"], of_user(profile, json!({})));
    assert_eq!(checked["state"], "active");
}

#[tokio::test]
async fn a_check_of_an_app_credential_tries_its_client_secret() {
    let world = World::new().await;
    let good = world.add_app_credential("good").await;
    let wrong = with(app_body("wrong"), json!({ "client_secret": "wrong" }));
    let wrong = id_of(&world.acme.create(wrong).await.expect(201));

    let checked = world.acme.check(&good).await.expect(200);
    let expected = json!({
        "credential_id": good,
        "checked_at": checked["checked_at"],
        "state": "active",
        "capabilities": of_app(&granted()),
    });
    assert_eq!(checked, expected);

    let checked = world.acme.check(&wrong).await.expect(200);
    let app = &checked["capabilities"]["app"];
    assert_eq!(app["status"], "failing");
    assert_eq!(app["code"], "FST_ERR_ZOOM_APP_MISCONFIGURED");
    assert_eq!(checked["capabilities"], of_app(app));
    assert!(!checked.to_string().contains(CLIENT_SECRET));
    let stored = world.acme.get(&wrong).await.expect(200);
    let message = stored["last_error_message"].as_str().unwrap();
    assert!(message.starts_with("app refused: "), "{message}");
    let waiting = world.acme.list("?needs_attention=true").await.expect(200);
    assert_eq!(waiting, json!([stored]));

    // A later check that Zoom accepts clears the error.
    world.zoom.rotate_secret(CLIENT_ID, "wrong");
    world.acme.check(&wrong).await.expect(200);
    let stored = world.acme.get(&wrong).await.expect(200);
    assert_eq!(stored["last_error_message"], Value::Null);
    assert_eq!(stored["last_error_at"], Value::Null);
    world.zoom.rotate_secret(CLIENT_ID, CLIENT_SECRET);

    // If Zoom does not support the grant type that the check uses, the vault cannot know the answer.
    let refusal = Reply {
        body: Some(json!({ "error": "unsupported_grant_type" }).to_string()),
        ..Reply::status(StatusCode::BAD_REQUEST)
    };
    world.zoom.inject(ZoomFault::once(
        Endpoint::Grant(GrantType::ClientCredentials),
        FaultKind::ReplyBefore(refusal),
    ));
    let checked = world.acme.check(&good).await.expect(200);
    assert_eq!(checked["capabilities"], of_app(&unknown()));
}

#[tokio::test]
async fn a_check_of_a_client_secret_that_is_replaced_meanwhile_stores_no_error() {
    let world = World::new().await;
    let body = with(app_body("bot"), json!({ "client_secret": "wrong" }));
    let id = id_of(&world.acme.create(body).await.expect(201));
    let bell = world.wire.hold(Service::Zoom, "/oauth/token");
    let (acme, checked) = (world.acme.clone(), id.clone());
    let check = tokio::spawn(async move { acme.check(&checked).await });
    world.wire.stalled().await;

    let pair = json!({ "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET });
    world.acme.update(&id, pair).await.expect(200);
    bell.notify_one();
    let checked = check.await.unwrap().expect(200);
    assert_eq!(checked["capabilities"]["app"]["status"], "failing");
    let stored = world.acme.get(&id).await.expect(200);
    assert_eq!(stored["last_error_message"], Value::Null);
}

#[tokio::test]
async fn a_check_is_unavailable_while_kms_is_down() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let down = Fault::Answer(StatusCode::INTERNAL_SERVER_ERROR, "{}".to_owned());
    world.wire.break_service(Service::Kms, down);
    let answer = world.acme.check(&id).await;
    answer.expect_code(503, "FST_ERR_UNAVAILABLE");
}

#[tokio::test]
async fn a_check_needs_a_full_key_and_finds_only_credentials_of_its_team() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let deleted = world.add_app_credential("deleted").await;
    world.acme.delete(&deleted).await.expect(200);
    let rival = world.caller("rival", Permission::Full).await;
    world.wire.reset();

    for permission in [Permission::Read, Permission::Mint] {
        let caller = world.caller("acme", permission).await;
        let answer = caller.check(&id).await;
        answer.expect_code(403, "FST_ERR_FORBIDDEN");
    }
    let absent = CredentialId::generate().to_string();
    for (caller, id) in [
        (&rival, &id),
        (&rival, &absent),
        (&world.acme, &absent),
        (&world.acme, &deleted),
    ] {
        let answer = caller.check(id).await;
        let code = "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID";
        answer.expect_error(404, code, "Zoom credential not found");
    }
    assert_eq!(world.wire.count(Service::Zoom), 0);
    assert_eq!(world.wire.count(Service::Kms), 0);
}

#[tokio::test]
async fn the_body_of_a_check_is_optional_and_its_meeting_id_is_validated() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;
    let meeting = "body/meeting_id must be a Zoom meeting number: 1 to 20 digits";
    for (body, message) in [
        (json!({ "meeting_id": "abc" }), meeting),
        (json!({ "meeting_id": "" }), meeting),
        (json!({ "meeting_id": 7 }), "body/meeting_id must be string"),
        (json!([]), "body must be object"),
    ] {
        let answer = world.acme.check_with(&id, body).await;
        answer.expect_error(400, "FST_ERR_VALIDATION", message);
    }
    let path = format!("/v2/zoom-credentials/{id}/check");
    let text = world.acme.request(Method::POST, &path).body("{}");
    send(text)
        .await
        .expect_code(415, "FST_ERR_CTP_INVALID_MEDIA_TYPE");
    world.acme.check_with(&id, json!({})).await.expect(200);
    world
        .acme
        .check_with(&id, json!({ "other": 1 }))
        .await
        .expect(200);
}
