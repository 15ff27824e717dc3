//! A token URL with `max_uses`: each token takes one use.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::send_as_vendor;
use crate::proxy::{Fault, Rule, Service};
use crate::token_urls::Url;
use crate::world::{CLIENT_ID, World};

// assures 22
#[tokio::test]
async fn of_32_parallel_calls_of_a_url_with_one_use_one_gets_a_token() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let url = world.given_limited_url(&id, 1).await;
    let calls = (0..32).map(|count| {
        let method = if count % 2 == 0 {
            Method::GET
        } else {
            Method::POST
        };
        tokio::spawn(send_as_vendor(world.vendor_request(method, &url, "")))
    });
    let calls: Vec<_> = calls.collect();
    let mut statuses = Vec::new();
    for call in calls {
        statuses.push(call.await.unwrap().status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![200], vec![404; 31]].concat());
    assert_eq!(world.uses(&url.id).await, "1");
}

#[tokio::test]
async fn each_token_takes_one_use_and_the_list_shows_the_uses() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let url = world.given_limited_url(&id, 3).await;
    let unlimited = world.given_url(&id, json!({ "type": "onbehalf" })).await;
    let statuses = async |url: &Url| {
        let mut statuses = Vec::new();
        for _ in 0..5 {
            statuses.push(world.vendor_gets(url, "").await.status);
        }
        statuses
    };
    assert_eq!(statuses(&url).await, [200, 200, 200, 404, 404]);
    assert_eq!(statuses(&unlimited).await, [200; 5]);
    let listed = world.acme.urls(&id, "").await.expect(200);
    assert_eq!(
        (&listed[0]["uses"], &listed[1]["uses"]),
        (&json!(5), &json!(3))
    );
}

#[tokio::test]
async fn a_use_is_given_back_if_no_token_was_released() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let url = world.given_limited_url(&id, 1).await;
    let broken = |service, operation| Rule {
        service: Some(service),
        operation,
        nth: None,
        fault: Fault::DropBefore,
    };
    for (failing, rule, status) in [
        ("KMS", broken(Service::Kms, None), 503),
        ("Zoom", broken(Service::Zoom, None), 502),
        // The mint's event: no token is released before its event is stored.
        ("the event", broken(Service::DynamoDb, Some("PutItem")), 503),
    ] {
        world.wire.reset();
        world.wire.inject(rule);
        let answer = world.vendor_gets(&url, "").await;
        assert_eq!(answer.status, status, "{failing}: {}", answer.text);
        assert!(answer.header("retry-after").is_some(), "{failing}");
        assert!(!answer.text.contains('{'), "{failing}: {}", answer.text);
        assert_eq!(world.uses(&url.id).await, "0", "{failing}");
    }
    world.wire.reset();
    assert_eq!(world.vendor_gets(&url, "").await.status, 200);
    assert_eq!(world.vendor_gets(&url, "").await.status, 404);
    assert_eq!(world.uses(&url.id).await, "1");
}

#[tokio::test]
async fn a_revoked_grant_is_answered_with_reconnect_required_and_takes_no_use() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let url = world.given_limited_url(&id, 1).await;
    world.expire_access_tokens().await;
    world.zoom.remove_app(CLIENT_ID, "ada");
    for _ in 0..2 {
        let answer = world.vendor_gets(&url, "").await;
        assert_eq!(answer.status, 409);
        assert!(answer.text.contains("(revoked)"), "{}", answer.text);
        let answer = world.vendor_posts(&url, &json!({})).await;
        answer.expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");
        assert_eq!(answer.json()["details"], "revoked");
    }
    assert_eq!(world.uses(&url.id).await, "0");
}

#[tokio::test]
async fn a_lost_answer_to_taking_the_last_use_does_not_refuse_the_call() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let single = world.given_limited_url(&id, 1).await;
    let unlimited = world.given_url(&id, json!({ "type": "onbehalf" })).await;
    for url in [single, unlimited] {
        world.wire.reset();
        world
            .wire
            .inject_once(Service::DynamoDb, "UpdateItem", Fault::DropAfter);
        assert_eq!(world.vendor_gets(&url, "").await.status, 200);
        assert_eq!(world.uses(&url.id).await, "1");
    }
}

#[tokio::test]
async fn a_lost_answer_to_giving_a_use_back_does_not_give_it_back_twice() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let url = world.given_limited_url(&id, 5).await;
    assert_eq!(world.vendor_gets(&url, "").await.status, 200);
    assert_eq!(world.vendor_gets(&url, "").await.status, 200);
    world.wire.reset();
    world.wire.break_service(
        Service::Zoom,
        Fault::Answer(StatusCode::BAD_GATEWAY, String::new()),
    );
    // The first update takes the use, the second counts the rate, and the third gives the use back.
    world.wire.inject(Rule {
        service: Some(Service::DynamoDb),
        operation: Some("UpdateItem"),
        nth: Some(3),
        fault: Fault::DropAfter,
    });
    assert_eq!(world.vendor_gets(&url, "").await.status, 502);
    assert_eq!(world.uses(&url.id).await, "2");
}

/// The authorizing request could not ask Zoom who the user is. Any use of the grant makes up for that.
#[tokio::test]
async fn a_call_of_a_token_url_learns_the_user() {
    let world = World::new().await;
    for _ in 0..2 {
        let down = Fault::Answer(StatusCode::BAD_GATEWAY, "{}".to_owned());
        world.wire.inject_once(Service::Zoom, "/v2/users/me", down);
    }
    let id = world.add_user_credential("bot").await;
    let url = world.given_url(&id, json!({ "type": "onbehalf" })).await;
    let unknown = world.acme.get(&id).await.expect(200);
    assert_eq!(unknown["zoom_user_id"], json!(null));

    assert_eq!(world.vendor_gets(&url, "").await.status, 200);
    let known = world.acme.get(&id).await.expect(200);
    assert_eq!(known["zoom_user_id"], "ada");
    assert_eq!(known["last_error_message"], json!(null));
}
