//! Which meeting and which bot a call names.

use reqwest::Method;
use serde_json::{Value, json};

use super::{MEETING, TOKEN, expect_plain_text, expect_text, send_as_vendor};
use crate::proxy::Service;
use crate::token_urls::Url;
use crate::world::World;

/// Calls a token URL with this query and body. Answers the meeting id in the vault's call to Zoom.
async fn meeting_of(world: &World, url: &Url, query: &str, body: Option<&str>) -> Option<String> {
    world.wire.reset();
    world.zoom_mints(TOKEN);
    let request = match body {
        Some(body) => world
            .vendor_request(Method::POST, url, query)
            .body(body.to_owned()),
        None => world.vendor_request(Method::GET, url, query),
    };
    let answer = send_as_vendor(request.header("content-type", "application/json")).await;
    assert_eq!(answer.status, 200, "{query} {body:?}");
    let zoom_call = world.zoom_api_calls().pop().unwrap();
    match zoom_call
        .strip_prefix("/v2/users/me/token?type=onbehalf")
        .unwrap()
    {
        "" => None,
        query => Some(query.strip_prefix("&meeting_id=").unwrap().to_owned()),
    }
}

#[tokio::test]
async fn the_meeting_comes_from_the_first_parameter_that_names_one() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let url = world.given_url(&id, json!({ "type": "onbehalf" })).await;
    for (query, meeting) in [
        ("?meeting_number=123-456%20789", Some("123456789")),
        ("?meeting_id=2&meeting_number=1", Some("1")),
        ("?meeting_id=2&meeting_url=https://zoom.us/j/3", Some("2")),
        (
            "?meeting_url=https%3A%2F%2Fzoom.us%2Fj%2F3%3Fpwd%3Dx",
            Some("3"),
        ),
        // If a parameter is repeated, the first value counts.
        ("?meeting_number=1&meeting_number=2", Some("1")),
        // A parameter that names no meeting is ignored.
        ("?meeting_number=", None),
        ("?meeting_number=abc&meeting_id=2", Some("2")),
        ("?meeting=1&number=2&MEETING_ID=3", None),
    ] {
        let requested = meeting_of(&world, &url, query, None).await;
        assert_eq!(requested.as_deref(), meeting, "{query}");
    }
    // The body of a GET is ignored.
    let body = r#"{"meeting_number":"1"}"#;
    world.wire.reset();
    let get = world.vendor_request(Method::GET, &url, "").body(body);
    assert_eq!(send_as_vendor(get).await.status, 200);
    assert_eq!(world.zoom_api_calls(), ["/v2/users/me/token?type=onbehalf"]);
}

#[tokio::test]
async fn the_meeting_comes_from_the_body_if_the_query_names_none() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let url = world.given_url(&id, json!({ "type": "onbehalf" })).await;
    let link = |url: &str| json!({ "meeting_url": url }).to_string();
    let repeated = r#"{"meeting_number":"1","meeting_number":"2"}"#.to_owned();
    for (query, body, meeting) in [
        ("", json!({ "meeting_number": "1" }).to_string(), Some("1")),
        (
            "",
            json!({ "meeting_id": 2, "bot_id": 7 }).to_string(),
            Some("2"),
        ),
        ("", repeated, Some("1")),
        // The query wins, because the owner of the token URL wrote it.
        (
            "?meeting_number=1",
            json!({ "meeting_number": "2" }).to_string(),
            Some("1"),
        ),
        (
            "?meeting_number=",
            json!({ "meeting_number": "2" }).to_string(),
            Some("2"),
        ),
        ("", link("https://acme.zoom.us/j/3?pwd=x"), Some("3")),
        ("", link("https://acme.zoom.us/w/4?tk=x"), Some("4")),
        ("", link("https://app.zoom.us/wc/5/join"), Some("5")),
        ("", link("https://zoom.us/wc/join/6"), Some("6")),
        ("", link("https://zoom.us/s/7"), Some("7")),
        ("", link("https://zoom.us/my/jane"), None),
        ("", link("https://meet.example.com/j/8"), None),
        (
            "",
            json!({ "meeting_number": 1.5, "meeting_id": ["2"] }).to_string(),
            None,
        ),
    ] {
        let requested = meeting_of(&world, &url, query, Some(&body)).await;
        assert_eq!(requested.as_deref(), meeting, "{query} {body}");
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_parsed_is_ignored() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let url = world.given_url(&id, json!({ "type": "onbehalf" })).await;
    let deep = format!(
        r#"{{"meeting_number":"1","x":{}{}}}"#,
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    let large = format!(
        r#"{{"meeting_number":"1","x":"{}"}}"#,
        "x".repeat(256 * 1024)
    );
    let bodies: [(&[u8], bool); 15] = [
        (b"", false),
        (b"{", false),
        (b"null", false),
        (b"[]", false),
        (b"\"meeting_number\"", false),
        (b"meeting_number=1", false),
        (b"\xff\xfe{}", false),
        (b"{\"meeting_number\":\"\xff\"}", false),
        (br#"{"meeting_number":"\ud800"}"#, false),
        (br#"{"meeting_number":"1\u0000"}"#, false),
        (br#"{"meeting_number":{"meeting_number":"1"}}"#, false),
        (br#"{"meeting_number":null,"bot_id":null}"#, false),
        (br#"{"meeting_number":"1"} trailing"#, false),
        (large.as_bytes(), false),
        (deep.as_bytes(), true),
    ];
    for (body, names_meeting) in bodies {
        for kind in [
            None,
            Some("application/json"),
            Some("text/plain"),
            Some("multipart/form-data"),
        ] {
            world.wire.reset();
            world.zoom_mints(TOKEN);
            let request = world
                .vendor_request(Method::POST, &url, "")
                .body(body.to_vec());
            let answer = send_as_vendor(match kind {
                Some(kind) => request.header("content-type", kind),
                None => request,
            })
            .await;
            let start = String::from_utf8_lossy(body)
                .chars()
                .take(60)
                .collect::<String>();
            assert_eq!(answer.status, 200, "{start} {}", answer.text);
            let zoom_calls = world.zoom_api_calls();
            assert_eq!(
                zoom_calls[0].contains("meeting_id="),
                names_meeting,
                "{start}"
            );
        }
    }
}

#[tokio::test]
async fn the_event_of_a_mint_has_the_bot_id_if_it_is_valid() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let url = world.given_url(&id, json!({ "type": "zak" })).await;
    let long = format!("?bot_id={}", "x".repeat(129));
    for (query, header, bot) in [
        ("?bot_uuid=a&bot_id=b", Some("c"), json!("a")),
        ("?bot_id=b", Some("c"), json!("b")),
        ("", Some("c"), json!("c")),
        ("?bot_uuid=", None, Value::Null),
        ("?bot_id=with%20space", Some("c"), json!("c")),
        ("?bot_id=%0d%0aX:1", None, Value::Null),
        (long.as_str(), None, Value::Null),
    ] {
        let request = world.vendor_request(Method::GET, &url, query);
        let answer = send_as_vendor(match header {
            Some(header) => request.header("x-bot-id", header),
            None => request,
        });
        assert_eq!(answer.await.status, 200);
        assert_eq!(world.newest_event(&id).await["bot_id"], bot, "{query}");
    }
}

// assures 22
#[tokio::test]
async fn a_url_for_one_meeting_refuses_every_other_meeting() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let body = json!({ "type": "onbehalf", "meeting_id": MEETING, "max_uses": 10 });
    let url = world.given_url(&id, body).await;
    let zoom_call = format!("/v2/users/me/token?type=onbehalf&meeting_id={MEETING}");
    world.wire.reset();
    world.zoom_mints(TOKEN);

    let refused = world.vendor_gets(&url, "?meeting_number=1").await;
    expect_plain_text(&refused, 403, "The token URL is for another meeting");
    let refused = world
        .vendor_posts(&url, &json!({ "meeting_url": "https://zoom.us/j/1" }))
        .await;
    refused.expect_error(
        403,
        "FST_ERR_ZOOM_ANOTHER_MEETING",
        "The token URL is for another meeting",
    );
    assert_eq!(world.zoom_api_calls(), [""; 0]);
    assert_eq!(world.uses(&url.id).await, "0");

    expect_text(
        &world
            .vendor_gets(&url, "?meeting_number=987%206543%202101")
            .await,
        TOKEN,
    );
    // A call that names no meeting gets a token for the URL's own meeting.
    expect_text(&world.vendor_gets(&url, "").await, TOKEN);
    assert_eq!(world.zoom_api_calls(), [zoom_call.clone(), zoom_call]);
    assert_eq!(world.uses(&url.id).await, "2");
}

/// Whoever has a URL without a use left learns nothing about it.
#[tokio::test]
async fn a_used_up_url_is_unknown_also_for_another_meeting() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let body = json!({ "type": "onbehalf", "meeting_id": MEETING, "max_uses": 1 });
    let url = world.given_url(&id, body).await;
    world.zoom_mints(TOKEN);
    expect_text(&world.vendor_gets(&url, "").await, TOKEN);
    let unknown = world.vendor_gets(&url, "").await;
    let other = world.vendor_gets(&url, "?meeting_number=1").await;
    assert_eq!((other.status, other.text), (404, unknown.text));
}

#[tokio::test]
async fn a_local_recording_token_needs_a_meeting() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let url = world
        .given_url(&id, json!({ "type": "local_recording" }))
        .await;
    world.wire.reset();
    let message = "meeting_id is required for a local recording token: send meeting_number, meeting_id or meeting_url";
    expect_plain_text(&world.vendor_gets(&url, "").await, 400, message);
    let refused = world.vendor_posts(&url, &json!({})).await;
    refused.expect_error(400, "FST_ERR_VALIDATION", message);
    assert_eq!(
        world.wire.operations(Service::DynamoDb),
        ["GetItem", "GetItem"]
    );
    assert_eq!(world.kms_and_zoom_calls(), 0);
}
