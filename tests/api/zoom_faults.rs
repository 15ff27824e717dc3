//! Zoom refusing, failing, silent, huge or hostile: the right answer, nothing half-stored, nothing leaked.

use std::time::Duration;

use hyper::StatusCode;
use local::zoom::{Endpoint, Fault, FaultKind, GrantType, Reply, User};
use serde_json::{Map, Value, json};
use shared::timestamp::Timestamp;
use shared::zoom::ApiUrl;

use crate::proxy::Service;
use crate::world::{
    Answer, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, SPENT, World, ada, attribute, refused_code,
    retry_after, user_body,
};

const REFUSED: &str = "FST_ERR_ZOOM_CODE_EXCHANGE_FAILED";
const FAILED: &str = "Zoom failed. It is safe to retry; if this try used up the authorization code, the answer to the \
                      retry will say so, and the user must authorize again.";
const SILENT: &str = "Zoom did not answer in time. It is safe to retry; if this try used up the authorization code, the \
                      answer to the retry will say so, and the user must authorize again.";

/// The exchange of a code.
const EXCHANGE: Endpoint = Endpoint::Grant(GrantType::AuthorizationCode);

async fn assert_nothing_stored(world: &World) {
    assert_eq!(world.count("credentials").await, 0);
    assert_eq!(world.count("secrets").await, 0);
    assert!(!world.is_running().await);
}

fn reply(status: u16, body: &(impl ToString + ?Sized)) -> FaultKind {
    FaultKind::ReplyBefore(Reply {
        body: Some(body.to_string()),
        ..Reply::status(StatusCode::from_u16(status).unwrap())
    })
}

fn set(field: &str, value: Value) -> FaultKind {
    FaultKind::Override {
        set: Map::from_iter([(field.to_owned(), value)]),
        remove: Vec::new(),
    }
}

fn without(fields: &[&str]) -> FaultKind {
    FaultKind::Override {
        set: Map::new(),
        remove: fields.iter().map(ToString::to_string).collect(),
    }
}

/// Creates a user credential where the exchange meets a fault.
async fn exchange_meeting(world: &World, kind: FaultKind) -> Answer {
    world.zoom.inject(Fault::once(EXCHANGE, kind));
    world.acme.create(user_body("bot", &world.code())).await
}

/// Creates a user credential where the profile meets a fault; its data.
async fn profile_meeting(world: &World, kind: FaultKind) -> Value {
    world.zoom.inject(Fault::once(Endpoint::Profile, kind));
    let answer = world.acme.create(user_body("bot", &world.code())).await;
    answer.expect(201)
}

#[tokio::test]
async fn what_is_sent_to_zoom_is_a_form_and_no_secret_stands_in_a_url() {
    let world = World::new().await;
    let code = world.code();
    world.wire.reset();
    world.acme.create(user_body("bot", &code)).await.expect(201);

    let calls = world.wire.calls();
    let to_zoom: Vec<_> = calls
        .iter()
        .filter(|call| call.service == Service::Zoom)
        .collect();
    let targets: Vec<&str> = to_zoom.iter().map(|call| call.target.as_str()).collect();
    assert_eq!(targets, ["/oauth/token", "/v2/users/me"]);
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&to_zoom[0].body)
        .into_owned()
        .collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    // The sandbox takes the client pair from the Basic authorization and from nowhere else.
    assert_eq!(
        form,
        [
            pair("grant_type", "authorization_code"),
            pair("code", &code),
            pair("redirect_uri", REDIRECT_URI)
        ]
    );
    assert!(to_zoom[1].body.is_empty());
}

#[tokio::test]
async fn a_client_pair_with_any_characters_reaches_zoom_as_it_is() {
    let world = World::new().await;
    let secret = "p:a%ss w+örd&=/\u{1f511}";
    world.zoom.rotate_secret(CLIENT_ID, secret);
    let mut body = user_body("bot", &world.code());
    body["client_secret"] = json!(secret);
    world.acme.create(body).await.expect(201);
}

#[tokio::test]
async fn zooms_reason_for_refusing_a_code_is_passed_on() {
    let world = World::new().await;
    let code = || json!(world.code());
    let used = code();
    let first = user_body("first", used.as_str().unwrap());
    let first = world.acme.create(first).await.expect(201);
    world
        .acme
        .delete(first["credential_id"].as_str().unwrap())
        .await
        .expect(200);
    let rows = (
        world.count("credentials").await,
        world.count("secrets").await,
    );

    let invalid_client = "invalid_client: Invalid client_id or client_secret";
    let cases = [
        (
            "authorization_code",
            json!("no-such-code"),
            "invalid_grant: Invalid authorization code (4734)",
        ),
        ("client_secret", json!("wrong"), invalid_client),
        ("client_id", json!("no-such-app"), invalid_client),
        (
            "redirect_uri",
            json!("https://example.test/other"),
            "invalid_request: Invalid request : Redirect URI mismatch. (4709)",
        ),
    ];
    for (field, value, reason) in cases {
        let mut body = user_body("bot", code().as_str().unwrap());
        body[field] = value;
        let answer = world.acme.create(body).await;
        answer.expect_error(400, REFUSED, &refused_code(reason));
    }

    // Not a repeat: another name for the request.
    let again = user_body("bot", used.as_str().unwrap());
    let answer = world.acme.create_as("key", again).await;
    answer.expect_error(400, REFUSED, &refused_code(SPENT));

    world.zoom.set_app_disabled(CLIENT_ID, true);
    let answer = world.acme.create(user_body("bot", "any")).await;
    let reason = "invalid_client: The app has been disabled (4717)";
    answer.expect_error(400, REFUSED, &refused_code(reason));
    world.zoom.set_app_disabled(CLIENT_ID, false);

    let late = user_body("bot", code().as_str().unwrap());
    world.zoom.advance(Duration::from_mins(5));
    let answer = world.acme.create(late).await;
    answer.expect_error(400, REFUSED, &refused_code(SPENT));

    let now = (
        world.count("credentials").await,
        world.count("secrets").await,
    );
    assert_eq!(now, rows);
}

#[tokio::test]
async fn a_refused_re_authorization_changes_nothing() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let before = world.row(&id).await;

    let body =
        json!({ "name": "robot", "authorization_code": "wrong", "redirect_uri": REDIRECT_URI });
    let answer = world.acme.update(&id, body).await;
    let reason = "invalid_grant: Invalid authorization code (4734)";
    answer.expect_error(400, REFUSED, &refused_code(reason));
    assert_eq!(world.row(&id).await, before);
    assert_eq!(world.count("secrets").await, 2);
    assert!(!world.is_running().await);
}

#[tokio::test]
async fn a_reason_is_whatever_zoom_says_in_whichever_field() {
    let world = World::new().await;
    let long = "x".repeat(10_000);
    let cut = "x".repeat(200);
    let cases = [
        (
            400,
            json!({ "error": "invalid_grant" }).to_string(),
            "invalid_grant",
        ),
        (400, json!({ "reason": "Bad" }).to_string(), "Bad"),
        (
            400,
            json!({ "message": "Bad", "code": 4735 }).to_string(),
            "Bad (4735)",
        ),
        (
            400,
            json!({ "errorCode": "4735" }).to_string(),
            "status 400 (4735)",
        ),
        (
            400,
            json!({ "error": "a", "error_description": "a" }).to_string(),
            "a",
        ),
        (
            403,
            json!({ "error": "a", "reason": "b", "error_description": "c", "message": "d" })
                .to_string(),
            "a: b: c: d",
        ),
        (
            400,
            json!({ "error": { "nested": true }, "reason": 7 }).to_string(),
            "status 400",
        ),
        (
            400,
            json!({ "error": "line\nbreak\u{0}" }).to_string(),
            "linebreak",
        ),
        (400, json!({ "error": long }).to_string(), &cut),
    ];
    for (status, body, reason) in cases {
        let answer = exchange_meeting(&world, reply(status, &body)).await;
        answer.expect_error(400, REFUSED, &refused_code(reason));
    }
    assert_nothing_stored(&world).await;
}

#[tokio::test]
async fn what_is_not_an_answer_of_zooms_api_refuses_nothing() {
    let world = World::new().await;
    let nested = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let cases = [
        (401, String::new()),
        (404, "<html>".to_owned()),
        (403, "\"Forbidden\"".to_owned()),
        (400, nested.clone()),
        (400, format!("{{\"error\":{nested}}}")),
        (408, json!({ "error": "timeout" }).to_string()),
    ];
    for (status, body) in cases {
        let answer = exchange_meeting(&world, reply(status, &body)).await;
        answer.expect_error(502, "FST_ERR_ZOOM_UNAVAILABLE", FAILED);
    }
    assert_nothing_stored(&world).await;
}

#[tokio::test]
async fn a_reason_that_echoes_a_secret_is_dropped() {
    let world = World::new().await;
    let code = "a-telling-authorization-code";
    let broken_up = |text: &str| text.chars().flat_map(|c| [c, '\u{1}']).collect::<String>();
    let pair = format!("{CLIENT_ID}:{CLIENT_SECRET}");
    let basic = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, pair);
    let echoes = [
        code.to_owned(),
        format!("Code {code} is bad"),
        code.chars().skip(5).take(10).collect(),
        format!("secret {CLIENT_SECRET}"),
        broken_up(code),
    ];
    for echo in echoes {
        for field in ["error", "reason", "error_description", "message"] {
            let body = json!({ field: echo });
            world.zoom.inject(Fault::once(EXCHANGE, reply(400, &body)));
            let answer = world.acme.create(user_body("bot", code)).await;
            answer.expect_error(400, REFUSED, &refused_code("status 400"));
        }
    }

    let body = json!({ "error": format!("Authorization: Basic {basic}") });
    let answer = exchange_meeting(&world, reply(400, &body)).await;
    let reason = "Authorization: Basic …";
    answer.expect_error(400, REFUSED, &refused_code(reason));
}

#[tokio::test]
async fn a_failing_zoom_is_zooms_fault_and_the_code_is_kept() {
    let world = World::new().await;
    let bare =
        |status| FaultKind::ReplyBefore(Reply::status(StatusCode::from_u16(status).unwrap()));
    let faults = [
        bare(500),
        bare(502),
        bare(503),
        bare(504),
        bare(304),
        bare(204),
        reply(400, &json!({ "code": 4732, "message": "busy" })),
        reply(400, &json!({ "errorCode": 4700 })),
        FaultKind::DropBefore,
        FaultKind::Redirect("https://zoom.us/elsewhere".parse().unwrap()),
    ];
    for fault in faults {
        let body = user_body("bot", &world.code());
        world.zoom.inject(Fault::once(EXCHANGE, fault.clone()));
        let answer = world.acme.create(body.clone()).await;
        answer.expect_error(502, "FST_ERR_ZOOM_UNAVAILABLE", FAILED);
        if !matches!(fault, FaultKind::DropBefore) {
            let ledger = world.zoom.ledger();
            let tracked = &ledger[ledger.len() - 1].tracking_id;
            let details = answer.json()["details"].as_str().unwrap().to_owned();
            assert!(details.contains(tracked.as_str()), "{details}");
        }
        assert_nothing_stored(&world).await;

        let retried = world.acme.create(body).await.expect(201);
        let id = retried["credential_id"].as_str().unwrap();
        world.acme.delete(id).await.expect(200);
        for table in ["credentials", "secrets"] {
            clear(&world, table).await;
        }
    }
}

/// Removes every row of a table.
async fn clear(world: &World, table: &str) {
    let keys: &[&str] = if table == "credentials" {
        &["team_id", "credential_id"]
    } else {
        &["secret_id"]
    };
    for row in world.items(table).await {
        let key = keys
            .iter()
            .map(|key| ((*key).to_owned(), row[*key].clone()));
        world
            .dynamodb
            .delete_item()
            .table_name(table)
            .set_key(Some(key.collect()))
            .send()
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_used_stores_nothing_and_a_retry_says_that_the_code_is_used() {
    let world = World::new().await;
    let faults = [
        FaultKind::DropAfter,
        FaultKind::Truncate,
        FaultKind::Garbage,
        FaultKind::Huge { megabytes: 10 },
        FaultKind::ReplyAfter(Reply::status(StatusCode::BAD_GATEWAY)),
        without(&["access_token"]),
        without(&["refresh_token"]),
        set("access_token", Value::Null),
        set("refresh_token", json!(7)),
        set("access_token", json!("")),
        set("refresh_token", json!("")),
    ];
    for fault in faults {
        let body = user_body("bot", &world.code());
        world.zoom.inject(Fault::once(EXCHANGE, fault.clone()));
        let answer = world.acme.create(body.clone()).await;
        assert_eq!(answer.status, 502, "{fault:?}: {}", answer.text);
        answer.expect_error(502, "FST_ERR_ZOOM_UNAVAILABLE", FAILED);
        assert_nothing_stored(&world).await;

        let retried = world.acme.create(body).await;
        retried.expect_error(400, REFUSED, &refused_code(SPENT));
    }
}

/// The code is spent and the tokens are there: what is odd about the rest must not cost them.
#[tokio::test]
async fn an_answer_with_both_tokens_is_used_however_odd_the_rest_is() {
    let world = World::new().await;
    let faults = [
        without(&["scope", "api_url", "expires_in", "token_type"]),
        set("expires_in", json!("3599")),
        set("expires_in", json!(-1)),
        set("expires_in", json!(3599.5)),
        set("expires_in", json!(u64::MAX)),
        set("api_url", json!(7)),
        set("api_url", Value::Null),
        set("scope", json!(["user:read:user"])),
        set("unknown", json!({ "a": [1] })),
        FaultKind::Nested { depth: 100_000 },
    ];
    for fault in faults {
        let answer = exchange_meeting(&world, fault.clone()).await;
        assert_eq!(answer.status, 201, "{fault:?}: {}", answer.text);
        assert_eq!(answer.expect(201)["zoom_user_id"], "ada");
    }
}

#[tokio::test]
async fn scopes_are_shown_with_commas() {
    let world = World::new().await;
    for (zooms, ours) in [
        (
            json!("user:read:user user:read:zak"),
            json!("user:read:user,user:read:zak"),
        ),
        (json!("  a   b\tc "), json!("a,b,c")),
        (json!("a"), json!("a")),
        (json!(""), Value::Null),
        (Value::Null, Value::Null),
    ] {
        let answer = exchange_meeting(&world, set("scope", zooms.clone())).await;
        assert_eq!(answer.expect(201)["scopes"], ours, "{zooms}");
    }
}

#[tokio::test]
async fn tokens_of_several_kilobytes_are_stored() {
    let world = World::new().await;
    let token = json!("t".repeat(8_000));
    let answer = exchange_meeting(&world, set("refresh_token", token)).await;
    assert_eq!(answer.expect(201)["zoom_user_id"], "ada");
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let world = World::new().await;
    let trap = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let there: url::Url = format!("http://{}/stolen", trap.local_addr().unwrap())
        .parse()
        .unwrap();

    let answer = exchange_meeting(&world, FaultKind::Redirect(there.clone())).await;
    answer.expect_error(502, "FST_ERR_ZOOM_UNAVAILABLE", FAILED);
    let data = profile_meeting(&world, FaultKind::Redirect(there)).await;
    assert_eq!(data["zoom_user_id"], Value::Null);

    let nobody = trap.accept().unwrap_err().kind();
    assert_eq!(nobody, std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_zoom_that_limits_us_says_when_to_come_back() {
    let world = World::new().await;
    let soon = Timestamp::now().plus(Duration::from_secs(100));
    let http_date = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&soon.to_string().parse().unwrap())
        .unwrap();
    let cases = [
        (Some("7".to_owned()), 7..=7),
        (Some(" 7 ".to_owned()), 7..=7),
        (Some("0".to_owned()), 1..=1),
        (Some(http_date), 60..=100),
        (Some(soon.to_string()), 60..=100),
        (Some("2020-01-01T00:00:00Z".to_owned()), 1..=1),
        (Some("Wed, 01 Jan 2020 00:00:00 GMT".to_owned()), 1..=1),
        (Some("soon".to_owned()), 1..=1),
        (Some("-5".to_owned()), 1..=1),
        (None, 1..=1),
    ];
    for (retry, expected) in cases {
        let body = user_body("bot", &world.code());
        let limited = FaultKind::ReplyBefore(Reply {
            retry_after: retry.clone(),
            ..Reply::status(StatusCode::TOO_MANY_REQUESTS)
        });
        world.zoom.inject(Fault::once(EXCHANGE, limited));
        let answer = world.acme.create(body.clone()).await;
        let message = "Temporarily unavailable: try again after retry-after";
        answer.expect_error(503, "FST_ERR_UNAVAILABLE", message);
        let wait = retry_after(&answer);
        assert!(expected.contains(&wait), "{retry:?} became {wait}");
        world.acme.create(body).await.expect(201);
    }
}

/// Long enough for a busy machine's honest answers.
const SHORT: Duration = Duration::from_secs(2);
/// Longer than any test.
const FOR_EVER: Duration = Duration::from_mins(10);

#[tokio::test]
async fn a_silent_zoom_is_given_up_on_and_a_retry_says_whether_the_code_is_used() {
    let world = World::with_patience(SHORT).await;
    let body = user_body("bot", &world.code());
    let silence = FaultKind::DelayAnswer(FOR_EVER);
    world.zoom.inject(Fault::once(EXCHANGE, silence));
    let answer = world.acme.create(body.clone()).await;
    answer.expect_error(504, "FST_ERR_ZOOM_TIMEOUT", SILENT);
    assert_nothing_stored(&world).await;

    let retried = world.acme.create(body).await;
    retried.expect_error(400, REFUSED, &refused_code(SPENT));
}

#[tokio::test]
async fn a_silent_profile_keeps_the_grant() {
    let world = World::with_patience(SHORT).await;
    let data = profile_meeting(&world, FaultKind::DelayAnswer(FOR_EVER)).await;
    assert_grant_without_profile(&world, &data).await;
}

async fn assert_grant_without_profile(world: &World, data: &Value) {
    for field in [
        "zoom_user_id",
        "zoom_account_id",
        "zoom_email",
        "zoom_display_name",
        "last_error_message",
        "last_error_at",
    ] {
        assert_eq!(data[field], Value::Null, "{field}");
    }
    assert_eq!(data["credential_type"], "user");
    assert_eq!(data["state"], "active");
    let id = data["credential_id"].as_str().unwrap();
    assert_eq!(world.acme.get(id).await.expect(200), *data);
    let grant = format!("grant#{}", attribute(&world.row(id).await, "grant_id"));
    let secrets = world.items("secrets").await;
    assert!(
        secrets
            .iter()
            .any(|row| attribute(row, "secret_id") == grant)
    );
}

#[tokio::test]
async fn a_profile_that_cannot_be_read_keeps_the_grant() {
    let world = World::new().await;
    let faults = [
        reply(500, "{}"),
        reply(
            404,
            &json!({ "code": 1001, "message": "User does not exist" }),
        ),
        reply(
            401,
            &json!({ "code": 124, "message": "Invalid access token." }),
        ),
        reply(429, "{}"),
        reply(204, ""),
        FaultKind::Garbage,
        FaultKind::Truncate,
        FaultKind::DropBefore,
        FaultKind::DropAfter,
        FaultKind::Huge { megabytes: 10 },
        reply(200, "[]"),
        reply(200, "null"),
        reply(200, "{}"),
    ];
    for fault in faults {
        let data = profile_meeting(&world, fault).await;
        assert_grant_without_profile(&world, &data).await;
    }
}

#[tokio::test]
async fn a_missing_profile_scope_keeps_the_grant_and_is_named() {
    let world = World::new().await;
    let code = world.code_of("ada", Some(&["user:read:token"]));
    let data = world.acme.create(user_body("bot", &code)).await.expect(201);
    assert_eq!(data["zoom_user_id"], Value::Null);
    assert_eq!(data["scopes"], "user:read:token");
    assert_eq!(data["state"], "active");
    assert_eq!(
        data["last_error_message"],
        "missing scope user:read:user: the Zoom user's profile cannot be read"
    );
    assert!(data["last_error_at"].is_string());
    let id = data["credential_id"].as_str().unwrap();
    assert_eq!(world.acme.get(id).await.expect(200), data);

    // With the scope, all is well again.
    let body = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    let data = world.acme.update(id, body).await.expect(200);
    assert_eq!(data["zoom_user_id"], "ada");
    assert_eq!(data["last_error_message"], Value::Null);
    assert_eq!(data["last_error_at"], Value::Null);
}

#[tokio::test]
async fn a_re_authorization_by_another_user_leaves_nothing_of_the_first() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    world.zoom.register_user(User {
        id: "bob".to_owned(),
        ..User::default()
    });

    let body =
        json!({ "authorization_code": world.code_of("bob", None), "redirect_uri": REDIRECT_URI });
    let data = world.acme.update(&id, body).await.expect(200);
    assert_eq!(data["zoom_user_id"], "bob");
    for field in ["zoom_account_id", "zoom_email", "zoom_display_name"] {
        assert_eq!(data[field], Value::Null, "{field}");
    }

    let blind = json!({ "authorization_code": world.code_of("ada", Some(&["user:read:zak"])), "redirect_uri": REDIRECT_URI });
    let data = world.acme.update(&id, blind).await.expect(200);
    assert_eq!(data["zoom_user_id"], Value::Null);
}

#[tokio::test]
async fn a_display_name_is_zooms_or_composed() {
    let world = World::new().await;
    let name = |display: Option<&str>, first: Option<&str>, last: Option<&str>| User {
        display_name: display.map(str::to_owned),
        first_name: first.map(str::to_owned),
        last_name: last.map(str::to_owned),
        ..ada()
    };
    let cases = [
        (
            name(Some("Ada L."), Some("Ada"), Some("Lovelace")),
            json!("Ada L."),
        ),
        (
            name(None, Some("Ada"), Some("Lovelace")),
            json!("Ada Lovelace"),
        ),
        (
            name(Some(""), Some("Ada"), Some("Lovelace")),
            json!("Ada Lovelace"),
        ),
        (name(None, Some("Ada"), None), json!("Ada")),
        (name(None, Some(""), Some("Lovelace")), json!("Lovelace")),
        (name(None, None, None), Value::Null),
        (name(Some(""), Some(""), Some("")), Value::Null),
    ];
    for (user, shown) in cases {
        world.zoom.register_user(user);
        let body = user_body("bot", &world.code());
        let data = world.acme.create(body).await.expect(201);
        assert_eq!(data["zoom_display_name"], shown);
        assert_eq!(data["zoom_account_id"], "analytical");
        assert_eq!(data["zoom_email"], "ada@example.test");
    }
}

#[tokio::test]
async fn a_profiles_odd_fields_do_not_cost_the_others() {
    let world = World::new().await;
    for (field, ours) in [
        ("email", "zoom_email"),
        ("account_id", "zoom_account_id"),
        ("display_name", "zoom_display_name"),
    ] {
        let odd = FaultKind::Override {
            set: Map::from_iter([(field.to_owned(), json!({ "a": 1 }))]),
            remove: vec!["first_name".to_owned(), "last_name".to_owned()],
        };
        let data = profile_meeting(&world, odd).await;
        assert_eq!(data["zoom_user_id"], "ada", "{field}");
        assert_eq!(data[ours], Value::Null);
    }
}

/// What a forged token answer might name in place of Zoom's REST host.
const HOSTILE: [&str; 27] = [
    "",
    "api.zoom.us",
    "//api.zoom.us",
    "http://api.zoom.us",
    "ftp://api.zoom.us",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "data:text/plain,zoom.us",
    "https://",
    "https://127.0.0.1",
    "https://[::1]",
    "https://169.254.169.254",
    "https://2130706433",
    "https://localhost",
    "https://evilzoom.us",
    "https://zoom.us.evil",
    "https://zoom.us.evil.test",
    "https://zoom.us%2eevil.test",
    "https://evil.test/zoom.us",
    "https://evil.test?zoom.us",
    "https://evil.test#.zoom.us",
    "https://zoom.us@evil.test",
    "https://evil.test\\@api.zoom.us",
    "https://user@api.zoom.us",
    "https://user:password@api.zoom.us",
    "https://api.zoom.us:8443",
    "https://api.zoom.uſ.evil.test",
];

#[test]
fn only_zooms_own_hosts_are_accepted_from_a_token_answer() {
    let accepted = [
        ("https://zoom.us", "https://zoom.us"),
        ("https://api.zoom.us", "https://api.zoom.us"),
        ("https://api.zoom.us/", "https://api.zoom.us"),
        ("https://api.zoom.us:443", "https://api.zoom.us"),
        ("HTTPS://API-EU.Zoom.US", "https://api-eu.zoom.us"),
        ("https://a.b.zoom.us", "https://a.b.zoom.us"),
    ];
    for (text, stored) in accepted {
        let url = ApiUrl::from_zoom(text);
        assert_eq!(
            url.as_ref().map(ApiUrl::as_str),
            Some(stored),
            "{text} is Zoom's"
        );
    }

    let also = [
        "https://api.zoom.us/v2",
        "https://api.zoom.us//",
        "https://api.zoom.us/?",
        "https://api.zoom.us/?a=b",
        "https://api.zoom.us/#",
        "https://api.zoom.us:80",
        "https://zoom.us.",
        "https://zoom.com",
        "https://zoom\u{2e}us\u{3002}evil.test",
        "https://us",
        "wss://api.zoom.us",
        "https://xn--zoom-us.test",
        "https://z\u{43e}om.us",
    ];
    for text in HOSTILE.into_iter().chain(also) {
        assert_eq!(ApiUrl::from_zoom(text), None, "{text:?} is not Zoom's");
    }
}

/// The REST host of the newest grant, where one is stored.
async fn stored_api_url(world: &World, data: &Value) -> Option<String> {
    let id = data["credential_id"].as_str().unwrap();
    let grant = format!("grant#{}", attribute(&world.row(id).await, "grant_id"));
    let mut secrets = world.items("secrets").await.into_iter();
    let row = secrets
        .find(|row| attribute(row, "secret_id") == grant)
        .unwrap();
    row.contains_key("api_url")
        .then(|| attribute(&row, "api_url").to_owned())
}

#[tokio::test]
async fn a_forged_rest_host_is_neither_stored_nor_connected_to() {
    let world = World::new().await;
    let trap = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let port = trap.local_addr().unwrap().port();
    let traps = [
        format!("http://127.0.0.1:{port}"),
        format!("https://127.0.0.1:{port}"),
        format!("https://localhost:{port}"),
        format!("https://api.zoom.us@127.0.0.1:{port}"),
    ];
    let hostile = HOSTILE.into_iter().map(str::to_owned).chain(traps);
    for api_url in hostile {
        let forged = set("api_url", json!(api_url));
        let data = exchange_meeting(&world, forged).await.expect(201);
        assert_eq!(data["zoom_user_id"], "ada", "{api_url}: asked elsewhere");
        assert_eq!(stored_api_url(&world, &data).await, None, "{api_url}");
    }
    let nobody = trap.accept().unwrap_err().kind();
    assert_eq!(nobody, std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn zooms_regional_host_is_stored_but_a_configured_host_is_asked() {
    let world = World::new().await;
    let regional = set("api_url", json!("https://api-eu.zoom.us/"));
    let data = exchange_meeting(&world, regional).await.expect(201);
    assert_eq!(data["zoom_user_id"], "ada");
    let stored = stored_api_url(&world, &data).await;
    assert_eq!(stored.as_deref(), Some("https://api-eu.zoom.us"));
}
