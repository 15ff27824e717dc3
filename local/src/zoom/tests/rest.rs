//! The REST API: profile and minting.

use super::*;

const MINT: &str = "/v2/users/me/token?type=onbehalf";
const RECORDING: &str =
    "/v2/meetings/93123456789/jointoken/local_recording?bypass_waiting_room=true";

async fn connect_with(world: &World, scope: &str) -> Pair {
    let scopes = Some(vec![scope.to_owned()]);
    let code = world
        .sandbox
        .authorize(Consent {
            scopes,
            ..consent()
        })
        .unwrap();
    Pair::from(ok(world.exchange(&code)).await)
}

#[tokio::test]
async fn the_profile_leaves_out_what_the_user_has_not() {
    let world = World::new().await;
    let pair = world.connect().await;
    let bare = json!({ "id": "user", "email": "user@example.com", "type": 2, "status": "active" });
    expect(world.profile(&pair), 200, bare).await;

    let some = |text: &str| Some(text.to_owned());
    world.sandbox.register_user(User {
        id: "user".to_owned(),
        account_id: some("account"),
        email: some("ada@example.com"),
        display_name: some("Ada"),
        first_name: some("Augusta"),
        last_name: some("Lovelace"),
    });
    let full = json!({
        "id": "user", "account_id": "account", "email": "ada@example.com", "display_name": "Ada",
        "first_name": "Augusta", "last_name": "Lovelace", "type": 2, "status": "active",
    });
    expect(world.profile(&pair), 200, full).await;
}

#[tokio::test]
async fn each_endpoint_names_the_scope_it_misses() {
    let world = World::new().await;
    for (path, scope, other) in [
        ("/v2/users/me", "user:read:user", "user:read:token"),
        (MINT, "user:read:token", "user:read:zak"),
        (
            "/v2/users/me/token?type=zak",
            "user:read:zak",
            "user:read:token",
        ),
        (
            RECORDING,
            "meeting:read:local_recording_token",
            "user:read:user",
        ),
    ] {
        let pair = connect_with(&world, other).await;
        let message = format!("Invalid access token, does not contain scopes:[{scope}]");
        expect(
            world.get(path, &pair.access),
            400,
            json!({ "code": 4711, "message": message }),
        )
        .await;
        let pair = connect_with(&world, scope).await;
        ok(world.get(path, &pair.access)).await;
    }
}

#[tokio::test]
async fn no_two_minted_tokens_are_equal() {
    let world = World::new().await;
    let pair = world.connect().await;
    let first = ok(world.get(
        &format!("{MINT}&meeting_id=93123456789&ttl=7200"),
        &pair.access,
    ))
    .await;
    let second = ok(world.get(MINT, &pair.access)).await;
    assert_eq!(first.as_object().unwrap().len(), 1);
    assert!(first["token"].as_str().unwrap().len() > 600);
    assert_ne!(first["token"], second["token"]);
    assert!(ok(world.get(RECORDING, &pair.access)).await["token"].is_string());
}

#[tokio::test]
async fn minting_parameters_are_checked() {
    let world = World::new().await;
    let pair = world.connect().await;
    for path in [
        "/v2/users/me/token",
        "/v2/users/me/token?type=token",
        "/v2/users/me/token?type=onbehalf&type=zak",
        "/v2/users/me/token?type=onbehalf&ttl=soon",
        "/v2/users/me/token?type=onbehalf&ttl=7776001",
        "/v2/users/me/token?type=onbehalf&meeting_id=abc",
        "/v2/meetings/93123456789/jointoken/local_recording?bypass_waiting_room=yes",
    ] {
        let (status, body) = answer(world.get(path, &pair.access)).await;
        assert_eq!(
            (status.as_u16(), &body["code"]),
            (400, &json!(300)),
            "{path}"
        );
    }
    let (status, body) =
        answer(world.get("/v2/meetings/abc/jointoken/local_recording", &pair.access)).await;
    assert_eq!((status.as_u16(), &body["code"]), (404, &json!(3001)));
}

#[tokio::test]
async fn only_a_live_access_token_is_heard() {
    let world = World::new().await;
    let pair = world.connect().await;
    for path in ["/v2/users/me", MINT, RECORDING] {
        let invalid = json!({ "code": 124, "message": "Invalid access token." });
        expect(world.http.get(world.url(path)), 401, invalid.clone()).await;
        expect(
            world
                .http
                .get(world.url(path))
                .basic_auth("app", Some(SECRET)),
            401,
            invalid,
        )
        .await;
        expect(world.get(path, "nonsense"), 401, expired_access_token()).await;
        expect(world.get(path, &pair.refresh), 401, expired_access_token()).await;
        expect(
            world.get(path, &format!("{}x", pair.access)),
            401,
            expired_access_token(),
        )
        .await;
    }
}

#[tokio::test]
async fn a_user_is_me_and_nobody_else() {
    let world = World::new().await;
    let pair = world.connect().await;
    let (status, body) = answer(world.get("/v2/users/user", &pair.access)).await;
    assert_eq!((status.as_u16(), &body["code"]), (404, &json!(1001)));
}

#[tokio::test]
async fn a_deactivated_user_does_not_exist() {
    let world = World::new().await;
    let pair = world.connect().await;
    world.sandbox.deactivate_user("user", true);
    for path in ["/v2/users/me", MINT, RECORDING] {
        let gone = json!({ "code": 1001, "message": "User does not exist: user." });
        expect(world.get(path, &pair.access), 404, gone).await;
    }
    assert!(world.sandbox.authorize(consent()).is_err());
    world.sandbox.deactivate_user("user", false);
    ok(world.profile(&pair)).await;
}

#[tokio::test]
async fn what_zoom_does_not_have_is_a_404_in_json() {
    let world = World::new().await;
    for path in ["/", "/v2/users", "/oauth", "/sandbox/nothing"] {
        let (status, body) = answer(world.http.get(world.url(path))).await;
        assert_eq!(
            (status.as_u16(), &body["code"]),
            (404, &json!(404)),
            "{path}"
        );
    }
    for path in ["/oauth/token", "/oauth/revoke", "/sandbox/apps"] {
        let (status, body) = answer(world.http.get(world.url(path))).await;
        assert_eq!(
            (status.as_u16(), &body["code"]),
            (405, &json!(405)),
            "{path}"
        );
    }
}
