//! Controlling the sandbox over HTTP.

use super::*;

async fn expect_invalid(zoom: &TestZoom, path: &str, body: &Value, field: &str, rule: &str) {
    let message = format!("{field}: {rule}");
    let expected =
        json!({ "error": { "code": "invalid_request", "field": field, "message": message } });
    expect_answer(zoom.control(path, body), 400, expected).await;
}

fn put_user(zoom: &TestZoom) -> RequestBuilder {
    zoom.control(
        "/sandbox/users",
        &json!({ "id": "u", "email": "u@example.com", "first_name": "U" }),
    )
}

fn put_app(zoom: &TestZoom) -> RequestBuilder {
    let body = json!({
        "client_id": "mine", "client_secret": "hush", "redirect_uris": ["https://mine.example/cb"],
        "scopes": ["user:read:user", "user:read:token"],
    });
    zoom.control("/sandbox/apps", &body)
}

fn code_request() -> Value {
    json!({ "client_id": "mine", "redirect_uri": "https://mine.example/cb", "user_id": "u", "scopes": ["user:read:user"] })
}

#[tokio::test]
async fn a_registered_app_and_user_get_a_working_code() {
    let zoom = TestZoom::new().await;
    expect_answer(put_app(&zoom), 201, json!({ "client_id": "mine" })).await;
    expect_answer(put_user(&zoom), 201, json!({ "id": "u" })).await;
    let (status, body) = answer_of(zoom.control("/sandbox/codes", &code_request())).await;
    assert_eq!(status, StatusCode::CREATED);

    let code = body["code"].as_str().unwrap();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", "https://mine.example/cb"),
    ];
    let body = expect_ok(zoom.post_token_as("mine", "hush", &form)).await;
    assert_eq!(body["scope"], "user:read:user");
    let profile = expect_ok(zoom.profile(&Tokens::from(body))).await;
    assert_eq!(
        (&profile["email"], profile.get("last_name")),
        (&json!("u@example.com"), None)
    );
}

#[tokio::test]
async fn faults_are_injected_and_cleared() {
    let zoom = TestZoom::new().await;
    let form = [("grant_type", "client_credentials")];
    let order = json!({
        "endpoint": "token", "grant_type": "client_credentials", "times": "always", "delay_ms": 1,
        "kind": "reply_before", "status": 429, "retry_after": "7", "body": "{}",
    });
    let response = send(zoom.control("/sandbox/faults", &order)).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    for _ in 0..3 {
        let response = send(zoom.post_token(&form)).await;
        assert_eq!(
            (
                response.status().as_u16(),
                &response.headers()["retry-after"]
            ),
            (429, &"7".parse().unwrap())
        );
    }
    send(zoom.http.delete(zoom.url("/sandbox/faults"))).await;
    expect_ok(zoom.post_token(&form)).await;
}

#[tokio::test]
async fn every_kind_of_fault_can_be_injected() {
    let zoom = TestZoom::new().await;
    for order in [
        json!({ "endpoint": "any", "kind": "delay", "delay_ms": 5 }),
        json!({ "endpoint": "any", "kind": "delay_answer", "answer_delay_ms": 5 }),
        json!({ "endpoint": "token", "kind": "drop_before", "times": 3 }),
        json!({ "endpoint": "profile", "kind": "drop_after" }),
        json!({ "endpoint": "mint", "kind": "truncate" }),
        json!({ "endpoint": "revoke", "kind": "reply_after", "status": 500 }),
        json!({ "endpoint": "any", "kind": "garbage" }),
        json!({ "endpoint": "any", "kind": "huge", "megabytes": 2 }),
        json!({ "endpoint": "any", "kind": "nested", "depth": 9 }),
        json!({ "endpoint": "any", "kind": "override", "set": { "api_url": null }, "remove": ["scope"] }),
        json!({ "endpoint": "any", "kind": "redirect", "location": "https://x.example" }),
    ] {
        let response = send(zoom.control("/sandbox/faults", &order)).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{order}");
    }
}

#[tokio::test]
async fn advancing_the_clock_expires_a_code() {
    let zoom = TestZoom::new().await;
    let code = zoom.new_code();
    assert!(
        expect_ok(zoom.control("/sandbox/clock", &json!({ "advance_seconds": 300 }))).await["now"]
            .is_string()
    );
    let (status, _) = answer_of(zoom.exchange(&code)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_ledger_omits_control_calls() {
    let zoom = TestZoom::new().await;
    put_user(&zoom).send().await.unwrap();
    zoom.connect().await;
    let body = expect_ok(zoom.http.get(zoom.url("/sandbox/ledger"))).await;
    let [call] = body["calls"].as_array().unwrap().as_slice() else {
        panic!("one call")
    };
    assert_eq!(
        (&call["path"], &call["grant_type"]),
        (&json!("/oauth/token"), &json!("authorization_code"))
    );
}

#[tokio::test]
async fn an_invalid_app_or_user_gets_an_error_with_field_and_rule() {
    let zoom = TestZoom::new().await;
    let text = "must be a non-empty string";
    let texts = "must be an array of non-empty strings";
    let base = json!({ "client_id": "a", "client_secret": "b", "redirect_uris": [], "scopes": [] });
    for (field, value, rule) in [
        ("client_id", Value::Null, "is required"),
        ("client_id", json!(7), text),
        (
            "client_id",
            json!("a:b"),
            "must not contain a colon, because HTTP Basic does not allow it",
        ),
        ("client_secret", json!(""), text),
        ("redirect_uris", json!("https://x"), texts),
        (
            "redirect_uris",
            json!(["/relative"]),
            "must be absolute URLs without a fragment",
        ),
        (
            "redirect_uris",
            json!(["https://x.example/#f"]),
            "must be absolute URLs without a fragment",
        ),
        ("scopes", json!([1]), texts),
        ("scopes", json!([""]), texts),
        ("clientid", json!("a"), "is not a field of this request"),
    ] {
        let mut body = base.clone();
        body[field] = value;
        expect_invalid(&zoom, "/sandbox/apps", &body, field, rule).await;
    }
    expect_invalid(&zoom, "/sandbox/users", &json!({}), "id", "is required").await;
    expect_invalid(
        &zoom,
        "/sandbox/users",
        &json!({ "id": "u", "email": 1 }),
        "email",
        text,
    )
    .await;
    let body = json!({ "id": "u", "deactivated": "yes" });
    expect_invalid(
        &zoom,
        "/sandbox/users",
        &body,
        "deactivated",
        "must be true or false",
    )
    .await;
}

#[tokio::test]
async fn an_invalid_consent_gets_an_error_with_field_and_rule() {
    let zoom = TestZoom::new().await;
    put_app(&zoom).send().await.unwrap();
    put_user(&zoom).send().await.unwrap();
    for (field, value, rule) in [
        ("client_id", "nobody", "no app has the client_id \"nobody\""),
        ("user_id", "nobody", "no active user has the id \"nobody\""),
        (
            "code_challenge",
            "short",
            "code_challenge must be 43 characters of unpadded base64url (S256)",
        ),
    ] {
        let mut body = code_request();
        body[field] = json!(value);
        expect_invalid(&zoom, "/sandbox/codes", &body, field, rule).await;
    }
    let mut body = code_request();
    body["scopes"] = json!(["meeting:write"]);
    expect_invalid(
        &zoom,
        "/sandbox/codes",
        &body,
        "scopes",
        "the app does not have the scope \"meeting:write\"",
    )
    .await;
}

#[tokio::test]
async fn an_invalid_fault_gets_an_error_with_field_and_rule() {
    let zoom = TestZoom::new().await;
    let base = json!({ "endpoint": "token", "kind": "reply_before", "status": 500 });
    let times = "must be a whole number from 1, or \"always\"";
    for (field, value, rule) in [
        ("endpoint", Value::Null, "is required"),
        (
            "endpoint",
            json!("page"),
            "must be any, token, profile, mint or revoke",
        ),
        (
            "grant_type",
            json!("password"),
            "must be authorization_code, refresh_token or client_credentials",
        ),
        ("times", json!(0), times),
        ("times", json!("often"), times),
        (
            "delay_ms",
            json!(-1),
            "must be a whole number from 0 to 600000",
        ),
        (
            "status",
            json!(99),
            "must be a whole number from 200 to 599",
        ),
        ("status", Value::Null, "is required"),
        ("depth", json!(3), "is not a field of this request"),
    ] {
        let mut body = base.clone();
        body[field] = value;
        expect_invalid(&zoom, "/sandbox/faults", &body, field, rule).await;
    }
}

#[tokio::test]
async fn an_invalid_kind_of_fault_gets_an_error_with_field_and_rule() {
    let zoom = TestZoom::new().await;
    for (body, field, rule) in [
        (
            json!({ "endpoint": "mint", "kind": "redirect", "location": "/x" }),
            "location",
            "must be an absolute URL",
        ),
        (
            json!({ "endpoint": "mint", "kind": "override", "set": [] }),
            "set",
            "must be an object",
        ),
        (
            json!({ "endpoint": "mint", "kind": "huge" }),
            "megabytes",
            "is required",
        ),
        (
            json!({ "endpoint": "mint", "kind": "delay_answer" }),
            "answer_delay_ms",
            "is required",
        ),
        (
            json!({ "endpoint": "mint", "grant_type": "refresh_token", "kind": "delay" }),
            "grant_type",
            "is allowed only with the endpoint token",
        ),
    ] {
        expect_invalid(&zoom, "/sandbox/faults", &body, field, rule).await;
    }
    let unknown = json!({ "endpoint": "any", "kind": "fire" });
    let (_, body) = answer_of(zoom.control("/sandbox/faults", &unknown)).await;
    assert_eq!(body["error"]["field"], "kind");
}

#[tokio::test]
async fn an_invalid_clock_advance_gets_an_error_with_field_and_rule() {
    let zoom = TestZoom::new().await;
    let rule = "must be a whole number from 1 to 3162240000";
    for seconds in [json!(0), json!(1.5)] {
        let body = json!({ "advance_seconds": seconds });
        expect_invalid(&zoom, "/sandbox/clock", &body, "advance_seconds", rule).await;
    }
}

#[tokio::test]
async fn a_body_that_is_not_declared_as_json_or_no_object_is_refused() {
    let zoom = TestZoom::new().await;
    for (content_type, body, field, rule) in [
        (
            "text/plain",
            "{}",
            "content-type",
            "must be application/json",
        ),
        ("application/json", "[]", "body", "must be a JSON object"),
        ("application/json", "{", "body", "must be a JSON object"),
    ] {
        let request = zoom
            .http
            .post(zoom.url("/sandbox/apps"))
            .header("content-type", content_type)
            .body(body);
        let (status, answer) = answer_of(request).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(answer["error"]["message"], format!("{field}: {rule}"));
    }
}
