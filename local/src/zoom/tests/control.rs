//! Arranging the sandbox over HTTP.

use super::*;

async fn refused(world: &World, path: &str, body: &Value, field: &str, rule: &str) {
    let message = format!("{field}: {rule}");
    let expected =
        json!({ "error": { "code": "invalid_request", "field": field, "message": message } });
    expect(world.control(path, body), 400, expected).await;
}

fn a_user(world: &World) -> RequestBuilder {
    world.control(
        "/sandbox/users",
        &json!({ "id": "u", "email": "u@example.com", "first_name": "U" }),
    )
}

fn an_app(world: &World) -> RequestBuilder {
    let body = json!({
        "client_id": "mine", "client_secret": "hush", "redirect_uris": ["https://mine.example/cb"],
        "scopes": ["user:read:user", "user:read:token"],
    });
    world.control("/sandbox/apps", &body)
}

fn a_code() -> Value {
    json!({ "client_id": "mine", "redirect_uri": "https://mine.example/cb", "user_id": "u", "scopes": ["user:read:user"] })
}

#[tokio::test]
async fn an_app_a_user_and_a_code_are_all_it_takes() {
    let world = World::new().await;
    expect(an_app(&world), 201, json!({ "client_id": "mine" })).await;
    expect(a_user(&world), 201, json!({ "id": "u" })).await;
    let (status, body) = answer(world.control("/sandbox/codes", &a_code())).await;
    assert_eq!(status, StatusCode::CREATED);

    let code = body["code"].as_str().unwrap();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", "https://mine.example/cb"),
    ];
    let body = ok(world.post_token_as("mine", "hush", &form)).await;
    assert_eq!(body["scope"], "user:read:user");
    let profile = ok(world.profile(&Pair::from(body))).await;
    assert_eq!(
        (&profile["email"], profile.get("last_name")),
        (&json!("u@example.com"), None)
    );
}

#[tokio::test]
async fn faults_are_ordered_and_cleared() {
    let world = World::new().await;
    let form = [("grant_type", "client_credentials")];
    let order = json!({
        "endpoint": "token", "grant_type": "client_credentials", "times": "always", "delay_ms": 1,
        "kind": "reply_before", "status": 429, "retry_after": "7", "body": "{}",
    });
    let response = send(world.control("/sandbox/faults", &order)).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    for _ in 0..3 {
        let response = send(world.post_token(&form)).await;
        assert_eq!(
            (
                response.status().as_u16(),
                &response.headers()["retry-after"]
            ),
            (429, &"7".parse().unwrap())
        );
    }
    send(world.http.delete(world.url("/sandbox/faults"))).await;
    ok(world.post_token(&form)).await;
}

#[tokio::test]
async fn every_kind_of_fault_can_be_ordered() {
    let world = World::new().await;
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
        let response = send(world.control("/sandbox/faults", &order)).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{order}");
    }
}

#[tokio::test]
async fn the_clock_is_advanced() {
    let world = World::new().await;
    let code = world.code();
    assert!(
        ok(world.control("/sandbox/clock", &json!({ "advance_seconds": 300 }))).await["now"]
            .is_string()
    );
    let (status, _) = answer(world.exchange(&code)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_ledger_leaves_out_the_sandboxs_own_calls() {
    let world = World::new().await;
    a_user(&world).send().await.unwrap();
    world.connect().await;
    let body = ok(world.http.get(world.url("/sandbox/ledger"))).await;
    let [call] = body["calls"].as_array().unwrap().as_slice() else {
        panic!("one call")
    };
    assert_eq!(
        (&call["path"], &call["grant_type"]),
        (&json!("/oauth/token"), &json!("authorization_code"))
    );
}

#[tokio::test]
async fn bad_apps_and_users_are_refused_by_field_and_rule() {
    let world = World::new().await;
    let text = "must be a string that is not empty";
    let texts = "must be an array of strings that are not empty";
    let base = json!({ "client_id": "a", "client_secret": "b", "redirect_uris": [], "scopes": [] });
    for (field, value, rule) in [
        ("client_id", Value::Null, "is required"),
        ("client_id", json!(7), text),
        (
            "client_id",
            json!("a:b"),
            "must not contain a colon: HTTP Basic cannot carry it",
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
        refused(&world, "/sandbox/apps", &body, field, rule).await;
    }
    refused(&world, "/sandbox/users", &json!({}), "id", "is required").await;
    refused(
        &world,
        "/sandbox/users",
        &json!({ "id": "u", "email": 1 }),
        "email",
        text,
    )
    .await;
    let body = json!({ "id": "u", "deactivated": "yes" });
    refused(
        &world,
        "/sandbox/users",
        &body,
        "deactivated",
        "must be true or false",
    )
    .await;
}

#[tokio::test]
async fn bad_consents_are_refused_by_field_and_rule() {
    let world = World::new().await;
    an_app(&world).send().await.unwrap();
    a_user(&world).send().await.unwrap();
    for (field, value, rule) in [
        ("client_id", "nobody", "no app has the client_id \"nobody\""),
        ("user_id", "nobody", "no active user has the id \"nobody\""),
        (
            "code_challenge",
            "short",
            "code_challenge must be 43 characters of unpadded base64url (S256)",
        ),
    ] {
        let mut body = a_code();
        body[field] = json!(value);
        refused(&world, "/sandbox/codes", &body, field, rule).await;
    }
    let mut body = a_code();
    body["scopes"] = json!(["meeting:write"]);
    refused(
        &world,
        "/sandbox/codes",
        &body,
        "scopes",
        "the app does not have the scope \"meeting:write\"",
    )
    .await;
}

#[tokio::test]
async fn bad_faults_and_clocks_are_refused_by_field_and_rule() {
    let world = World::new().await;
    let base = json!({ "endpoint": "token", "kind": "reply_before", "status": 500 });
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
        (
            "times",
            json!(0),
            "must be a whole number from 1, or always",
        ),
        (
            "times",
            json!("often"),
            "must be a whole number from 1, or always",
        ),
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
        refused(&world, "/sandbox/faults", &body, field, rule).await;
    }
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
            "goes with the endpoint token only",
        ),
    ] {
        refused(&world, "/sandbox/faults", &body, field, rule).await;
    }
    let range = "must be a whole number from 1 to 3162240000";
    refused(
        &world,
        "/sandbox/clock",
        &json!({ "advance_seconds": 0 }),
        "advance_seconds",
        range,
    )
    .await;
    refused(
        &world,
        "/sandbox/clock",
        &json!({ "advance_seconds": 1.5 }),
        "advance_seconds",
        range,
    )
    .await;
    let (_, body) = answer(world.control(
        "/sandbox/faults",
        &json!({ "endpoint": "any", "kind": "fire" }),
    ))
    .await;
    assert_eq!(body["error"]["field"], "kind");
}

#[tokio::test]
async fn a_body_that_a_web_page_could_send_is_refused() {
    let world = World::new().await;
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
        let request = world
            .http
            .post(world.url("/sandbox/apps"))
            .header("content-type", content_type)
            .body(body);
        let (status, answer) = answer(request).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(answer["error"]["message"], format!("{field}: {rule}"));
    }
}
