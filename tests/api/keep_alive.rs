//! The schedule: grants that nobody uses are refreshed before Zoom ends them.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use hyper::StatusCode;
use local::zoom::{Endpoint, Fault as ZoomFault, GrantType, Kind, Reply};
use serde_json::{Value, json};
use shared::config::KEEP_ALIVE_AFTER;
use shared::keep_alive::Report;
use uuid::Uuid;

use crate::minting::mint_onbehalf;
use crate::proxy::{Fault, Service};
use crate::world::{CLIENT_ID, CLIENT_SECRET, Item, World, attribute};

/// Longer than grants are left alone, and shorter than Zoom lets them idle.
const LONG: Duration = Duration::from_hours(60 * 24);
const DAY: Duration = Duration::from_hours(24);

const NOTHING: Report = Report {
    refreshed: 0,
    dead: 0,
    unwanted: 0,
    revoked: 0,
    failed: 0,
    left: 0,
};

/// The rows of grants.
async fn grants(world: &World) -> Vec<Item> {
    let mut rows = world.items("secrets").await;
    rows.retain(|row| attribute(row, "secret_id").starts_with("grant#"));
    rows
}

/// How many grants the index has.
async fn indexed(world: &World) -> usize {
    let rows = grants(world).await;
    rows.iter()
        .filter(|row| row.contains_key("due_shard"))
        .count()
}

/// Two credentials of `acme` that have one grant: that which was authorized for it, and another.
async fn given_shared_grant(world: &World) -> (String, String) {
    let other = world.given_user("other").await;
    world.age_grant(&other).await;
    let owner = world.given_user("owner").await;
    let (a, b) = (world.row(&owner).await, world.row(&other).await);
    assert_eq!(attribute(&a, "grant_id"), attribute(&b, "grant_id"));
    (owner, other)
}

#[tokio::test]
async fn a_grant_that_nobody_uses_is_kept_alive() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    world.idle(LONG).await;

    let refreshed = Report {
        refreshed: 1,
        ..NOTHING
    };
    assert_eq!(world.keep_alive().await, refreshed);
    assert_eq!(world.keep_alive().await, NOTHING);
    assert_eq!(world.refreshes(), 1);

    // Past what Zoom lets a grant idle, had there been no run.
    world.idle(LONG).await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

/// What the test above would be without the schedule.
#[tokio::test]
async fn a_grant_that_is_not_kept_alive_idles_out() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    world.idle(LONG).await;
    world.idle(LONG).await;
    let refused = mint_onbehalf(&world.acme, &id).await;
    refused.expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");
}

#[tokio::test]
async fn what_was_used_lately_is_left_alone_and_costs_sixteen_queries() {
    let world = World::new().await;
    world.given_user("bot").await;
    world.given_app("app").await;
    world.idle(DAY * 19).await;
    let before = world.contents("secrets").await;
    world.wire.reset();

    assert_eq!(world.keep_alive().await, NOTHING);

    assert_eq!(
        world.wire.operations(Service::DynamoDb),
        vec!["Query"; 16],
        "an index, and no scan"
    );
    assert_eq!(world.wire.count(Service::Kms), 0);
    assert_eq!(world.wire.count(Service::Zoom), 0);
    assert_eq!(world.contents("secrets").await, before);
}

#[tokio::test]
async fn each_refresh_is_among_the_events() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    world.idle(LONG).await;
    world.keep_alive().await;

    let events = world.acme.events(&id, "").await.expect(200);
    assert_eq!(events.as_array().unwrap().len(), 1);
    let event = &events[0];
    assert_eq!(event["kind"], "refresh");
    assert_eq!(event["outcome"], "succeeded");
    assert_eq!(event["asked_by"], "keep_alive");
    assert_eq!(event["key_id"], Value::Null);
}

#[tokio::test]
async fn a_grant_that_zoom_refuses_turns_invalid_and_is_not_looked_at_again() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    world.idle(LONG).await;
    world.zoom.remove_app(CLIENT_ID, "ada");

    assert_eq!(world.keep_alive().await, Report { dead: 1, ..NOTHING });

    let shown = world.acme.get(&id).await.expect(200);
    assert_eq!(shown["state"], "invalid");
    let message = shown["last_error_message"].as_str().unwrap();
    assert!(message.starts_with("revoked: "), "{message}");
    let events = world.acme.events(&id, "").await.expect(200);
    let kinds: Vec<&Value> = events
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["kind"])
        .collect();
    assert_eq!(kinds, ["refresh", "state_change"]);
    assert_eq!(events[0]["code"], "FST_ERR_ZOOM_RECONNECT_REQUIRED");
    assert_eq!(indexed(&world).await, 0);

    world.idle(LONG).await;
    assert_eq!(world.keep_alive().await, NOTHING);
    assert_eq!(world.refreshes(), 1);
}

#[tokio::test]
async fn a_grant_that_no_credential_has_any_more_is_taken_out_unspent() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    world.acme.delete(&id).await.expect(200);
    world.idle(LONG).await;

    let unwanted = Report {
        unwanted: 1,
        ..NOTHING
    };
    assert_eq!(world.keep_alive().await, unwanted);
    assert_eq!(indexed(&world).await, 0);
    assert_eq!(world.keep_alive().await, NOTHING);
    assert_eq!(world.refreshes(), 0);
}

#[tokio::test]
async fn a_grant_that_a_new_authorization_replaced_is_taken_out() {
    let world = World::new().await;
    given_shared_grant(&world).await;
    assert_eq!(indexed(&world).await, 2);
    world.idle(LONG).await;

    let expected = Report {
        refreshed: 1,
        unwanted: 1,
        ..NOTHING
    };
    assert_eq!(world.keep_alive().await, expected);
    assert_eq!(indexed(&world).await, 1);
}

#[tokio::test]
async fn a_shared_grant_is_kept_with_the_app_of_a_credential_that_is_left() {
    let world = World::new().await;
    let (owner, other) = given_shared_grant(&world).await;
    world.acme.delete(&owner).await.expect(200);
    world.idle(LONG).await;

    assert_eq!(world.keep_alive().await.refreshed, 1);
    mint_onbehalf(&world.acme, &other).await.expect(200);
}

#[tokio::test]
async fn where_zoom_refuses_the_app_the_next_credentials_app_is_used() {
    let world = World::new().await;
    let (owner, other) = given_shared_grant(&world).await;
    let wrong = json!({ "client_id": CLIENT_ID, "client_secret": "wrong" });
    world.acme.update(&owner, wrong).await.expect(200);
    world.idle(LONG).await;

    assert_eq!(world.keep_alive().await.refreshed, 1);
    assert_eq!(world.refreshes(), 2);
    mint_onbehalf(&world.acme, &other).await.expect(200);
    let noted = world.acme.get(&owner).await.expect(200);
    assert_eq!(noted["state"], "active");
    let message = noted["last_error_message"].as_str().unwrap();
    assert!(message.starts_with("app refused: "), "{message}");
}

#[tokio::test]
async fn a_refused_app_costs_no_grant_and_is_tried_again_a_day_later() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    world.idle(LONG).await;
    world.zoom.refuse_app(CLIENT_ID, true);

    let failed = Report {
        failed: 1,
        ..NOTHING
    };
    assert_eq!(world.keep_alive().await, failed);
    let shown = world.acme.get(&id).await.expect(200);
    assert_eq!(shown["state"], "active");
    // The next run has other things to do.
    assert_eq!(world.keep_alive().await, NOTHING);
    assert_eq!(world.refreshes(), 1);

    world.zoom.refuse_app(CLIENT_ID, false);
    world.idle(DAY).await;
    assert_eq!(world.keep_alive().await.refreshed, 1);
    let shown = world.acme.get(&id).await.expect(200);
    assert_eq!(shown["last_error_message"], Value::Null);
}

#[tokio::test]
async fn where_zoom_is_in_trouble_the_run_ends_and_nothing_is_declared() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for number in 0..12 {
        ids.push(world.given_user_of(&format!("user-{number}")).await);
    }
    world.idle(LONG).await;
    world.zoom.inject(ZoomFault::always(
        Endpoint::Grant(GrantType::RefreshToken),
        Kind::ReplyBefore(Reply::status(StatusCode::SERVICE_UNAVAILABLE)),
    ));

    let report = world.keep_alive().await;
    // Those that were under way when the third failed end as they end.
    assert!((3..=6).contains(&report.failed), "{report:?}");
    assert_eq!(report.failed + report.left, 12, "{report:?}");
    for id in &ids {
        assert_eq!(world.acme.get(id).await.expect(200)["state"], "active");
    }

    world.zoom.clear_faults();
    assert_eq!(world.keep_alive().await.refreshed, report.left);
    world.idle(DAY).await;
    assert_eq!(world.keep_alive().await.refreshed, report.failed);
}

#[tokio::test]
async fn where_kms_is_down_nothing_is_spent_and_the_next_run_does_it() {
    let world = World::new().await;
    world.given_user("bot").await;
    world.idle(LONG).await;
    let down = Fault::Answer(StatusCode::INTERNAL_SERVER_ERROR, "{}".to_owned());
    world.wire.break_service(Service::Kms, down);

    assert_eq!(world.keep_alive().await, Report { left: 1, ..NOTHING });
    assert_eq!(world.refreshes(), 0);

    world.wire.heal();
    assert_eq!(world.keep_alive().await.refreshed, 1);
}

#[tokio::test]
async fn a_run_begins_nothing_that_it_may_not_end() {
    let world = World::new().await;
    world.given_user("bot").await;
    world.idle(LONG).await;

    let short = world
        .gateway
        .keep_alive(KEEP_ALIVE_AFTER, Duration::from_secs(59));
    assert_eq!(short.await.unwrap(), Report { left: 1, ..NOTHING });
    assert_eq!(world.refreshes(), 0);
    assert_eq!(world.keep_alive().await.refreshed, 1);
}

#[tokio::test]
async fn two_runs_at_once_refresh_each_grant_once() {
    let world = World::new().await;
    for number in 0..6 {
        world.given_user_of(&format!("user-{number}")).await;
    }
    world.idle(LONG).await;

    let (one, other) = tokio::join!(world.keep_alive(), world.keep_alive());
    assert_eq!(one.refreshed + other.refreshed, 6, "{one:?} {other:?}");
    assert_eq!(one.failed + other.failed, 0, "{one:?} {other:?}");
    assert_eq!(world.refreshes(), 6);
}

#[tokio::test]
async fn a_run_is_bounded_and_the_next_goes_on() {
    let world = World::new().await;
    world.given_user("bot").await;
    world.idle(LONG).await;
    let row = grants(&world).await.remove(0);
    // Rows that no credential points at, all in one shard.
    for _ in 0..40 {
        let mut copy = row.clone();
        for (name, value) in [
            ("secret_id", format!("grant#{}", Uuid::new_v4())),
            ("due_shard", "0".to_owned()),
        ] {
            copy.insert(name.to_owned(), AttributeValue::S(value));
        }
        world.put("secrets", copy).await;
    }

    let mut unwanted = Vec::new();
    for _ in 0..3 {
        unwanted.push(world.keep_alive().await.unwanted);
    }
    assert_eq!(unwanted.iter().sum::<u32>(), 40, "{unwanted:?}");
    assert!(unwanted.iter().all(|count| *count <= 32), "{unwanted:?}");
    assert_eq!(world.refreshes(), 1);
}

#[tokio::test]
async fn a_profile_that_could_not_be_read_is_completed() {
    let world = World::new().await;
    let fault = Kind::ReplyBefore(Reply::status(StatusCode::BAD_GATEWAY));
    world.zoom.inject(ZoomFault::once(Endpoint::Profile, fault));
    let id = world.given_user("bot").await;
    assert_eq!(
        world.acme.get(&id).await.expect(200)["zoom_user_id"],
        Value::Null
    );
    world.idle(LONG).await;

    assert_eq!(world.keep_alive().await.refreshed, 1);
    assert_eq!(world.acme.get(&id).await.expect(200)["zoom_user_id"], "ada");
}

#[tokio::test]
async fn a_secret_that_was_mended_heals_what_the_schedule_found() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let wrong = json!({ "client_id": CLIENT_ID, "client_secret": "wrong" });
    world.acme.update(&id, wrong).await.expect(200);
    world.idle(LONG).await;
    assert_eq!(world.keep_alive().await.failed, 1);

    let right = json!({ "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET });
    world.acme.update(&id, right).await.expect(200);
    world.idle(DAY).await;
    assert_eq!(world.keep_alive().await.refreshed, 1);
}
