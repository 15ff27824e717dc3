//! Account-level apps: their access tokens, and what these are for.

use std::time::Duration;

use super::*;

const ZAK: &str = "type=zak";

fn account_app() -> App {
    App {
        client_id: "account-app".to_owned(),
        client_secret: CLIENT_SECRET.to_owned(),
        redirect_uris: Vec::new(),
        scopes: [
            "user:read:token:admin",
            "meeting:read:meeting:admin",
            "meeting:read:local_recording_token:admin",
        ]
        .map(str::to_owned)
        .to_vec(),
    }
}

impl TestZoom {
    async fn with_account_app() -> Self {
        let zoom = Self::new().await;
        zoom.sandbox.register_account_app(account_app(), "account");
        zoom.sandbox.register_user(User {
            account_id: Some("account".to_owned()),
            ..user("user")
        });
        zoom
    }

    fn ask_account_token(&self, account_id: &str) -> RequestBuilder {
        let form = [
            ("grant_type", "account_credentials"),
            ("account_id", account_id),
        ];
        self.post_token_as("account-app", CLIENT_SECRET, &form)
    }

    async fn account_token(&self) -> String {
        let answer = expect_ok(self.ask_account_token("account")).await;
        assert_eq!(answer.get("refresh_token"), None);
        answer["access_token"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn an_account_level_app_gets_a_token_for_its_account_only_and_in_no_other_way() {
    let zoom = TestZoom::with_account_app().await;
    let (first, second) = (zoom.account_token().await, zoom.account_token().await);
    for token in [first, second] {
        expect_ok(zoom.get(&format!("/v2/users/user/token?{ZAK}"), &token)).await;
    }
    let unknown = json!({ "reason": "Bad Request", "error": "invalid_request" });
    expect_answer(zoom.ask_account_token("other"), 400, unknown).await;
    let unsupported = json!({
        "reason": "unsupported grant type", "error": "unsupported_grant_type", "errorCode": 4705,
    });
    let form = [("grant_type", "client_credentials")];
    let other_way = zoom.post_token_as("account-app", CLIENT_SECRET, &form);
    expect_answer(other_way, 400, unsupported.clone()).await;
    let form = [
        ("grant_type", "account_credentials"),
        ("account_id", "account"),
    ];
    expect_answer(zoom.post_token(&form), 400, unsupported).await;
    let wrong = zoom.post_token_as("account-app", "wrong", &form);
    expect_answer(wrong, 400, invalid_client()).await;
}

#[tokio::test]
async fn a_users_path_names_a_user_of_the_account_by_id_or_address_and_never_me() {
    let zoom = TestZoom::with_account_app().await;
    zoom.sandbox.register_user(User {
        email: Some("other@example.com".to_owned()),
        ..user("other")
    });
    let token = zoom.account_token().await;
    for name in ["user", "user%40example.com", "USER@example.com"] {
        expect_ok(zoom.get(&format!("/v2/users/{name}/token?{ZAK}"), &token)).await;
    }
    for name in ["me", "other", "other%40example.com", "nobody"] {
        let (status, body) =
            answer_of(zoom.get(&format!("/v2/users/{name}/token?{ZAK}"), &token)).await;
        assert_eq!(
            (status.as_u16(), &body["code"]),
            (404, &json!(1001)),
            "{name}"
        );
    }
    for name in ["me", "user"] {
        let (status, _) = answer_of(zoom.get(&format!("/v2/users/{name}/zak"), &token)).await;
        assert_eq!(status.as_u16(), 400, "{name}");
    }
    let onbehalf = zoom.get("/v2/users/user/token?type=onbehalf", &token);
    let (status, body) = answer_of(onbehalf).await;
    assert_eq!((status.as_u16(), &body["code"]), (400, &json!(300)));
}

#[tokio::test]
async fn only_a_registered_meeting_of_the_account_is_found_and_it_names_its_host() {
    let zoom = TestZoom::with_account_app().await;
    let token = zoom.account_token().await;
    let meeting = |host: &str| Meeting {
        id: "91111111111".to_owned(),
        webinar: false,
        host_id: host.to_owned(),
        forbids_recording: false,
    };
    let paths = [
        "/v2/meetings/91111111111",
        "/v2/meetings/91111111111/jointoken/local_recording",
    ];
    let unknown = json!({ "code": 3001, "message": "Meeting does not exist: 91111111111." });
    for path in paths {
        expect_answer(zoom.get(path, &token), 404, unknown.clone()).await;
    }
    zoom.sandbox.register_meeting(meeting("nobody"));
    for path in paths {
        expect_answer(zoom.get(path, &token), 404, unknown.clone()).await;
    }
    zoom.sandbox.register_meeting(meeting("user"));
    let found = expect_ok(zoom.get(paths[0], &token)).await;
    assert_eq!(found["host_id"], "user");
    expect_ok(zoom.get(paths[1], &token)).await;
    let scope = "webinar:read:webinar:admin";
    let message = format!("Invalid access token, does not contain scopes:[{scope}]");
    let missing = json!({ "code": 4711, "message": message });
    expect_answer(zoom.get("/v2/webinars/91111111111", &token), 400, missing).await;
}

#[tokio::test]
async fn a_token_ends_after_an_hour_and_when_the_app_is_disabled() {
    let zoom = TestZoom::with_account_app().await;
    let path = format!("/v2/users/user/token?{ZAK}");
    let token = zoom.account_token().await;
    zoom.sandbox.set_app_disabled("account-app", true);
    expect_answer(zoom.get(&path, &token), 401, expired_access_token()).await;
    zoom.sandbox.set_app_disabled("account-app", false);
    expect_ok(zoom.get(&path, &token)).await;
    zoom.sandbox.advance(Duration::from_hours(1));
    expect_answer(zoom.get(&path, &token), 401, expired_access_token()).await;
}

#[tokio::test]
async fn an_account_level_app_is_registered_over_http() {
    let zoom = TestZoom::with_account_app().await;
    let body = json!({
        "client_id": "account-app", "client_secret": CLIENT_SECRET, "redirect_uris": [],
        "scopes": ["user:read:token:admin"], "account_id": "other-account",
    });
    let (status, _) = answer_of(zoom.control("/sandbox/apps", &body)).await;
    assert_eq!(status.as_u16(), 201);
    expect_ok(zoom.ask_account_token("other-account")).await;
}
