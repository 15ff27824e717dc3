//! The REST API: the profile, and minting tokens.

use super::*;

const MINT: &str = "/v2/users/me/token?type=onbehalf";
const RECORDING: &str =
    "/v2/meetings/93123456789/jointoken/local_recording?bypass_waiting_room=true";

async fn connect_with(zoom: &TestZoom, scope: &str) -> Tokens {
    let scopes = Some(vec![scope.to_owned()]);
    let code = zoom
        .sandbox
        .authorize(Consent {
            scopes,
            ..consent()
        })
        .unwrap();
    Tokens::from(expect_ok(zoom.exchange(&code)).await)
}

#[tokio::test]
async fn the_profile_omits_missing_fields() {
    let zoom = TestZoom::new().await;
    let tokens = zoom.connect().await;
    let bare = json!({ "id": "user", "email": "user@example.com", "type": 2, "status": "active" });
    expect_answer(zoom.profile(&tokens), 200, bare).await;

    let some = |text: &str| Some(text.to_owned());
    zoom.sandbox.register_user(User {
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
    expect_answer(zoom.profile(&tokens), 200, full).await;
}

#[tokio::test]
async fn each_endpoint_names_its_missing_scope() {
    let zoom = TestZoom::new().await;
    zoom.sandbox.register_meeting(webinar("user"));
    for (path, scope, other) in [
        ("/v2/users/me", "user:read:user", "user:read:token"),
        (MINT, "user:read:token", "user:read:zak"),
        (
            "/v2/users/me/token?type=zak",
            "user:read:token",
            "user:read:zak",
        ),
        ("/v2/users/me/zak", "user:read:zak", "user:read:token"),
        (
            RECORDING,
            "meeting:read:local_recording_token",
            "user:read:user",
        ),
        (
            WEBINAR,
            "webinar:read:local_recording_token",
            "meeting:read:local_recording_token",
        ),
    ] {
        let tokens = connect_with(&zoom, other).await;
        let message = format!("Invalid access token, does not contain scopes:[{scope}]");
        expect_answer(
            zoom.get(path, &tokens.access),
            400,
            json!({ "code": 4711, "message": message }),
        )
        .await;
        let tokens = connect_with(&zoom, scope).await;
        expect_ok(zoom.get(path, &tokens.access)).await;
    }
}

#[tokio::test]
async fn minted_tokens_are_unique() {
    let zoom = TestZoom::new().await;
    let tokens = zoom.connect().await;
    let first = expect_ok(zoom.get(
        &format!("{MINT}&meeting_id=93123456789&ttl=7200"),
        &tokens.access,
    ))
    .await;
    let second = expect_ok(zoom.get(MINT, &tokens.access)).await;
    assert_eq!(first.as_object().unwrap().len(), 1);
    assert!(first["token"].as_str().unwrap().len() > 600);
    assert_ne!(first["token"], second["token"]);
    assert!(expect_ok(zoom.get(RECORDING, &tokens.access)).await["token"].is_string());
}

#[tokio::test]
async fn minting_parameters_are_checked() {
    let zoom = TestZoom::new().await;
    let tokens = zoom.connect().await;
    for path in [
        "/v2/users/me/token",
        "/v2/users/me/token?type=token",
        "/v2/users/me/token?type=onbehalf&type=zak",
        "/v2/users/me/token?type=onbehalf&ttl=soon",
        "/v2/users/me/token?type=onbehalf&ttl=7776001",
        "/v2/users/me/token?type=onbehalf&meeting_id=abc",
        "/v2/users/me/zak?ttl=300",
        "/v2/meetings/93123456789/jointoken/local_recording?bypass_waiting_room=yes",
    ] {
        let (status, body) = answer_of(zoom.get(path, &tokens.access)).await;
        assert_eq!(
            (status.as_u16(), &body["code"]),
            (400, &json!(300)),
            "{path}"
        );
    }
    let (status, body) =
        answer_of(zoom.get("/v2/meetings/abc/jointoken/local_recording", &tokens.access)).await;
    assert_eq!((status.as_u16(), &body["code"]), (404, &json!(3001)));
}

#[tokio::test]
async fn only_a_live_access_token_is_accepted() {
    let zoom = TestZoom::new().await;
    let tokens = zoom.connect().await;
    for path in ["/v2/users/me", MINT, RECORDING] {
        let invalid = json!({ "code": 124, "message": "Invalid access token." });
        expect_answer(zoom.http.get(zoom.url(path)), 401, invalid.clone()).await;
        expect_answer(
            zoom.http
                .get(zoom.url(path))
                .basic_auth("app", Some(CLIENT_SECRET)),
            401,
            invalid,
        )
        .await;
        expect_answer(zoom.get(path, "nonsense"), 401, expired_access_token()).await;
        expect_answer(zoom.get(path, &tokens.refresh), 401, expired_access_token()).await;
        expect_answer(
            zoom.get(path, &format!("{}x", tokens.access)),
            401,
            expired_access_token(),
        )
        .await;
    }
}

#[tokio::test]
async fn a_user_id_in_the_path_is_not_found() {
    let zoom = TestZoom::new().await;
    let tokens = zoom.connect().await;
    let (status, body) = answer_of(zoom.get("/v2/users/user", &tokens.access)).await;
    assert_eq!((status.as_u16(), &body["code"]), (404, &json!(1001)));
}

#[tokio::test]
async fn a_deactivated_user_is_not_found() {
    let zoom = TestZoom::new().await;
    let tokens = zoom.connect().await;
    zoom.sandbox.set_user_deactivated("user", true);
    for (path, status) in [
        ("/v2/users/me", 404),
        (MINT, 404),
        (RECORDING, 404),
        ("/v2/users/me/zak", 400),
    ] {
        let gone = json!({ "code": 1001, "message": "User does not exist: user." });
        expect_answer(zoom.get(path, &tokens.access), status, gone).await;
    }
    assert!(zoom.sandbox.authorize(consent()).is_err());
    zoom.sandbox.set_user_deactivated("user", false);
    expect_ok(zoom.profile(&tokens)).await;
}

#[tokio::test]
async fn an_unknown_path_or_method_gets_a_json_error() {
    let zoom = TestZoom::new().await;
    for path in ["/", "/v2/users", "/oauth", "/sandbox/nothing"] {
        let (status, body) = answer_of(zoom.http.get(zoom.url(path))).await;
        assert_eq!(
            (status.as_u16(), &body["code"]),
            (404, &json!(404)),
            "{path}"
        );
    }
    for path in ["/oauth/token", "/oauth/revoke", "/sandbox/apps"] {
        let (status, body) = answer_of(zoom.http.get(zoom.url(path))).await;
        assert_eq!(
            (status.as_u16(), &body["code"]),
            (405, &json!(405)),
            "{path}"
        );
    }
}

const WEBINAR: &str = "/v2/webinars/91111111111/jointoken/local_recording";
const WEBINAR_AS_MEETING: &str = "/v2/meetings/91111111111/jointoken/local_recording";

fn webinar(host: &str) -> Meeting {
    Meeting {
        id: "91111111111".to_owned(),
        webinar: true,
        host_id: host.to_owned(),
        forbids_recording: false,
    }
}

#[tokio::test]
async fn meetings_and_webinars_have_endpoints_of_their_own() {
    let zoom = TestZoom::new().await;
    let tokens = zoom.connect().await;
    let unknown = json!({ "code": 3001, "message": "Webinar does not exist: 91111111111." });
    expect_answer(zoom.get(WEBINAR, &tokens.access), 404, unknown.clone()).await;
    expect_ok(zoom.get(WEBINAR_AS_MEETING, &tokens.access)).await;

    zoom.sandbox.register_meeting(webinar("user"));
    let minted = expect_ok(zoom.get(WEBINAR, &tokens.access)).await;
    assert_eq!(minted["expire_in"], 120);
    let other_kind = json!({ "code": 3000, "message": "Cannot access Webinar information." });
    expect_answer(
        zoom.get(WEBINAR_AS_MEETING, &tokens.access),
        400,
        other_kind,
    )
    .await;
    let parameter = format!("{WEBINAR}?bypass_waiting_room=true");
    let (status, body) = answer_of(zoom.get(&parameter, &tokens.access)).await;
    assert_eq!((status.as_u16(), &body["code"]), (400, &json!(300)));

    zoom.sandbox.register_meeting(webinar("somebody-else"));
    expect_answer(zoom.get(WEBINAR, &tokens.access), 404, unknown).await;
}

#[tokio::test]
async fn a_meeting_of_another_host_is_unknown_and_a_setting_can_forbid_recording() {
    let zoom = TestZoom::new().await;
    let tokens = zoom.connect().await;
    let path = WEBINAR_AS_MEETING;
    let meeting = |host: &str, forbids_recording| Meeting {
        webinar: false,
        forbids_recording,
        ..webinar(host)
    };
    zoom.sandbox.register_meeting(meeting("user", true));
    let message = "Not allowed to start local recording. The \"Local Recording\" setting is off.";
    let forbidden = json!({ "code": 3000, "message": message });
    expect_answer(zoom.get(path, &tokens.access), 400, forbidden).await;
    zoom.sandbox
        .register_meeting(meeting("somebody-else", false));
    let unknown = json!({ "code": 3001, "message": "Meeting does not exist: 91111111111." });
    expect_answer(zoom.get(path, &tokens.access), 404, unknown).await;
    zoom.sandbox.register_meeting(meeting("user", false));
    expect_ok(zoom.get(path, &tokens.access)).await;
}

#[tokio::test]
async fn a_webinar_is_registered_over_http() {
    let zoom = TestZoom::new().await;
    let tokens = zoom.connect().await;
    let body = json!({ "id": "91111111111", "host_id": "user", "webinar": true });
    let (status, answer) = answer_of(zoom.control("/sandbox/meetings", &body)).await;
    assert_eq!(
        (status.as_u16(), answer),
        (201, json!({ "id": "91111111111" }))
    );
    expect_ok(zoom.get(WEBINAR, &tokens.access)).await;
    for body in [
        json!({ "id": "911 1111", "host_id": "user" }),
        json!({ "id": "91111111111" }),
        json!({ "id": "91111111111", "host_id": "user", "webinar": "yes" }),
    ] {
        let (status, _) = answer_of(zoom.control("/sandbox/meetings", &body)).await;
        assert_eq!(status.as_u16(), 400, "{body}");
    }
}
