//! The requests of each vendor, and the answers that the vendor expects.

use reqwest::Method;
use serde_json::json;

use super::{
    LOCAL_RECORDING_PATH, MEETING, TOKEN, expect_json, expect_private, expect_text, send_as_vendor,
};
use crate::world::World;

#[tokio::test]
async fn meetingbaas_gets_the_token_as_text() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    for (kind, bot, zoom_call) in [
        ("onbehalf", "bot_uuid", "/v2/users/me/token?type=onbehalf"),
        ("zak", "bot_id", "/v2/users/me/token?type=zak"),
    ] {
        let url = world.given_url(&id, json!({ "type": kind })).await;
        world.wire.reset();
        world.zoom_mints(TOKEN);
        let query = format!("?{bot}=6f7c-42&extra=%7B%22customer%22%3A%22x%26y%22%7D");
        expect_text(&world.vendor_gets(&url, &query).await, TOKEN);
        assert_eq!(world.zoom_api_calls(), [zoom_call]);
        let event = world.newest_event(&id).await;
        assert_eq!(event["bot_id"], "6f7c-42");
        assert_eq!(event["actor"], json!({ "type": "token_url", "id": url.id }));
        assert_eq!(
            (&event["kind"], &event["type"]),
            (&json!("mint"), &json!(kind))
        );
        assert_eq!(event["outcome"], "succeeded");
    }
}

#[tokio::test]
async fn recall_gets_the_token_as_text_and_the_bypass_parameter_is_kept() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let obf = world.given_url(&id, json!({ "type": "onbehalf" })).await;
    let join = world
        .given_url(&id, json!({ "type": "local_recording" }))
        .await;
    world.wire.reset();
    world.zoom_mints(TOKEN);

    expect_text(&world.vendor_gets(&obf, "").await, TOKEN);
    let query = format!("?meeting_id={MEETING}&region=eu");
    expect_text(&world.vendor_gets(&join, &query).await, TOKEN);
    assert_eq!(
        world.zoom_api_calls(),
        [
            "/v2/users/me/token?type=onbehalf".to_owned(),
            format!("{LOCAL_RECORDING_PATH}?bypass_waiting_room=true"),
        ]
    );
}

#[tokio::test]
async fn attendee_posts_and_gets_the_token_in_json_under_the_expected_name() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let body = json!({
        "bot_id": "bot_3hfP0PXEsNinIZmh",
        "bot_metadata": { "customer": "x", "nested": { "a": [1, 2] } },
        "callback_type": "zoom_tokens",
        "meeting_url": format!("https://us02web.zoom.us/j/{MEETING}?pwd=c2VjcmV0#success"),
    });
    for (kind, answer) in [
        (
            "onbehalf",
            format!(r#"{{"onbehalf_token":"{TOKEN}","obf":"{TOKEN}","token":"{TOKEN}"}}"#),
        ),
        (
            "zak",
            format!(r#"{{"zak_token":"{TOKEN}","zak":"{TOKEN}","token":"{TOKEN}"}}"#),
        ),
        (
            "local_recording",
            format!(r#"{{"app_privilege_token":"{TOKEN}","token":"{TOKEN}"}}"#),
        ),
    ] {
        let url = world.given_url(&id, json!({ "type": kind })).await;
        world.wire.reset();
        world.zoom_mints(TOKEN);
        let request = world.vendor_request(Method::POST, &url, "").json(&body);
        let request = request.header("X-Webhook-Signature", "8m2JH8Y0b3n3qLh4WcVt4A==");
        expect_json(&send_as_vendor(request).await, &answer);
        let zoom_calls = world.zoom_api_calls();
        assert_eq!(zoom_calls.len(), 1);
        assert!(
            kind == "zak" || zoom_calls[0].contains(MEETING),
            "{zoom_calls:?}"
        );
        assert_eq!(
            world.newest_event(&id).await["bot_id"],
            "bot_3hfP0PXEsNinIZmh"
        );
    }
}

#[tokio::test]
async fn meetstream_is_refused_a_head_and_can_get_or_post() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let url = world.given_url(&id, json!({ "type": "onbehalf" })).await;
    world.wire.reset();
    world.zoom_mints(TOKEN);
    let zoom_call = format!("/v2/users/me/token?type=onbehalf&meeting_id={MEETING}");

    let head = send_as_vendor(
        world
            .vendor_request(Method::HEAD, &url, "")
            .header("X-Bot-Id", "ms-1"),
    )
    .await;
    assert_eq!((head.status, head.text.as_str()), (405, ""));
    assert_eq!(head.header("allow"), Some("GET, POST"));
    assert_eq!(world.wire.calls().len(), 0);

    let get = world.vendor_request(Method::GET, &url, &format!("?meeting_number={MEETING}"));
    expect_text(&send_as_vendor(get.header("X-Bot-Id", "ms-1")).await, TOKEN);
    assert_eq!(world.zoom_api_calls(), [zoom_call.as_str()]);
    assert_eq!(world.newest_event(&id).await["bot_id"], "ms-1");

    world.wire.reset();
    world.zoom_mints(TOKEN);
    for number in [json!(MEETING), json!(98_765_432_101_u64)] {
        let body = json!({ "bot_id": "ms-2", "meeting_number": number, "webhook_secret": "whsec" });
        let post = world.vendor_request(Method::POST, &url, "").json(&body);
        let answer = format!(r#"{{"onbehalf_token":"{TOKEN}","obf":"{TOKEN}","token":"{TOKEN}"}}"#);
        expect_json(
            &send_as_vendor(post.header("X-Bot-Id", "ms-1")).await,
            &answer,
        );
    }
    assert_eq!(world.zoom_api_calls(), [zoom_call.clone(), zoom_call]);
    let event = world.newest_event(&id).await;
    assert_eq!(
        (&event["bot_id"], &event["meeting_id"]),
        (&json!("ms-2"), &json!(MEETING))
    );
}

#[tokio::test]
async fn other_methods_are_refused_without_a_read() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let url = world.given_url(&id, json!({ "type": "onbehalf" })).await;
    world.wire.reset();
    for method in [Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
        let answer = send_as_vendor(world.vendor_request(method, &url, "").body("{}")).await;
        answer.expect_error(
            405,
            "FST_ERR_METHOD_NOT_ALLOWED",
            "Method not allowed: use GET, POST",
        );
        assert_eq!(answer.header("allow"), Some("GET, POST"));
        expect_private(&answer);
    }
    assert_eq!(world.wire.calls().len(), 0);
}
