//! The keep-alive schedule: it refreshes grants that nobody uses before Zoom ends them.

mod failures;

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use hyper::StatusCode;
use local::zoom::{Endpoint, Fault as ZoomFault, FaultKind, Reply};
use serde_json::{Value, json};
use shared::config::{KEEP_ALIVE_AFTER, REVOKE_AFTER};
use shared::keep_alive::Report;
use uuid::Uuid;

use crate::minting::mint_onbehalf;
use crate::proxy::{Fault, Service};
use crate::world::{CLIENT_ID, Item, World, attribute};

/// Longer than the schedule leaves an unused grant alone, and shorter than Zoom's idle limit.
const IDLE_TIME: Duration = Duration::from_hours(60 * 24);
const DAY: Duration = Duration::from_hours(24);

const NOTHING: Report = Report {
    refreshed: 0,
    dead: 0,
    unwanted: 0,
    revoked: 0,
    failed: 0,
    put_off: 0,
    left: 0,
    destroyed: 0,
    overdue: 0,
};
/// By how many seconds a grant is overdue after [`IDLE_TIME`].
const OVERDUE: u64 = 40 * 24 * 3600;

const LEFT: Report = Report {
    left: 1,
    overdue: OVERDUE,
    ..NOTHING
};

/// The rows of all grants.
async fn grants(world: &World) -> Vec<Item> {
    let mut rows = world.items("secrets").await;
    rows.retain(|row| attribute(row, "secret_id").starts_with("grant#"));
    rows
}

/// How many grants are in the index that the schedule queries.
async fn count_indexed(world: &World) -> usize {
    let rows = grants(world).await;
    rows.iter()
        .filter(|row| row.contains_key("due_shard"))
        .count()
}

/// Two credentials of `acme` that share one grant. The first of them was authorized last.
async fn given_shared_grant(world: &World) -> (String, String) {
    let other = world.add_user_credential("other").await;
    world.backdate_authorization(&other).await;
    let owner = world.add_user_credential("owner").await;
    let (a, b) = (world.row(&owner).await, world.row(&other).await);
    assert_eq!(attribute(&a, "grant_id"), attribute(&b, "grant_id"));
    (owner, other)
}

#[tokio::test]
async fn an_unused_grant_is_refreshed() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    world.age_grants_by(IDLE_TIME).await;

    let refreshed = Report {
        refreshed: 1,
        ..NOTHING
    };
    assert_eq!(world.keep_alive().await, refreshed);
    assert_eq!(world.keep_alive().await, NOTHING);
    assert_eq!(world.refresh_calls(), 1);

    // Without the run the grant would now be past Zoom's idle limit.
    world.age_grants_by(IDLE_TIME).await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

/// The control for the test above: without a run of the schedule, Zoom ends the grant.
#[tokio::test]
async fn a_grant_that_is_not_refreshed_ends_at_zoom() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    world.age_grants_by(IDLE_TIME).await;
    world.age_grants_by(IDLE_TIME).await;
    let refused = mint_onbehalf(&world.acme, &id).await;
    refused.expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");
}

#[tokio::test]
async fn a_run_with_nothing_to_do_takes_sixteen_queries_and_changes_nothing() {
    let world = World::new().await;
    world.add_user_credential("bot").await;
    world.add_app_credential("app").await;
    world.age_grants_by(DAY * 19).await;
    let before = world.sorted_rows("secrets").await;
    world.wire.reset();

    assert_eq!(world.keep_alive().await, NOTHING);

    assert_eq!(
        world.wire.operations(Service::DynamoDb),
        vec!["Query"; 16],
        "the run queries an index and scans nothing"
    );
    assert_eq!(world.wire.count(Service::Kms), 0);
    assert_eq!(world.wire.count(Service::Zoom), 0);
    assert_eq!(world.sorted_rows("secrets").await, before);
}

#[tokio::test]
async fn each_refresh_has_an_event() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    world.age_grants_by(IDLE_TIME).await;
    world.keep_alive().await;

    let events = world.acme.events(&id, "").await.expect(200);
    assert_eq!(events.as_array().unwrap().len(), 2);
    assert_eq!(events[1]["kind"], "created");
    let event = &events[0];
    assert_eq!(event["kind"], "refresh");
    assert_eq!(event["outcome"], "succeeded");
    assert_eq!(event["actor"], json!({ "type": "schedule", "id": null }));
}

#[tokio::test]
async fn a_revoked_grant_makes_the_credential_invalid_and_leaves_the_index_later() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    world.age_grants_by(IDLE_TIME).await;
    world.zoom.remove_app(CLIENT_ID, "ada");

    assert_eq!(world.keep_alive().await, Report { dead: 1, ..NOTHING });

    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(credential["state"], "invalid");
    let message = credential["last_error_message"].as_str().unwrap();
    assert!(message.starts_with("revoked: "), "{message}");
    let events = world.acme.events(&id, "").await.expect(200);
    let kinds: Vec<&Value> = events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["kind"])
        .collect();
    assert_eq!(kinds, ["refresh", "state_change", "created"]);
    assert_eq!(events[0]["code"], "FST_ERR_ZOOM_RECONNECT_REQUIRED");
    // The next time it is due, the run sees that its credential uses the dead grant, and lets it rest.
    world.age_grants_by(IDLE_TIME).await;
    let unwanted = Report {
        unwanted: 1,
        ..NOTHING
    };
    assert_eq!(world.keep_alive().await, unwanted);
    assert_eq!(count_indexed(&world).await, 0);
    assert_eq!(world.refresh_calls(), 1);
}

#[tokio::test]
async fn a_grant_without_a_credential_leaves_the_index_and_is_not_refreshed() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    world.acme.delete(&id).await.expect(200);
    world.age_grants_by(IDLE_TIME).await;

    let unwanted = Report {
        unwanted: 1,
        ..NOTHING
    };
    assert_eq!(world.keep_alive().await, unwanted);
    assert_eq!(count_indexed(&world).await, 0);
    assert_eq!(world.keep_alive().await, NOTHING);
    assert_eq!(world.refresh_calls(), 0);
}

#[tokio::test]
async fn a_grant_that_a_new_authorization_replaced_leaves_the_index() {
    let world = World::new().await;
    given_shared_grant(&world).await;
    assert_eq!(count_indexed(&world).await, 2);
    world.age_grants_by(IDLE_TIME).await;

    // Nobody uses the older grant. It is tried once, and Zoom refuses it.
    let expected = Report {
        refreshed: 1,
        unwanted: 1,
        destroyed: 1,
        ..NOTHING
    };
    assert_eq!(world.keep_alive().await, expected);
    assert_eq!(count_indexed(&world).await, 1);
    assert_eq!(grants(&world).await.len(), 1);
}

#[tokio::test]
async fn a_shared_grant_is_refreshed_with_the_app_of_a_remaining_credential() {
    let world = World::new().await;
    let (owner, other) = given_shared_grant(&world).await;
    world.acme.delete(&owner).await.expect(200);
    world.age_grants_by(IDLE_TIME).await;

    assert_eq!(world.keep_alive().await.refreshed, 1);
    mint_onbehalf(&world.acme, &other).await.expect(200);
}

#[tokio::test]
async fn if_zoom_refuses_the_app_of_one_credential_the_app_of_the_next_is_used() {
    let world = World::new().await;
    let (owner, other) = given_shared_grant(&world).await;
    world.zoom.rotate_secret(CLIENT_ID, "rotated");
    let right = json!({ "client_id": CLIENT_ID, "client_secret": "rotated" });
    world.acme.update(&other, right).await.expect(200);
    world.age_grants_by(IDLE_TIME).await;

    let report = world.keep_alive().await;
    assert_eq!((report.refreshed, report.failed), (1, 0));
    mint_onbehalf(&world.acme, &other).await.expect(200);
    let noted = world.acme.get(&owner).await.expect(200);
    assert_eq!(noted["state"], "active");
    let message = noted["last_error_message"].as_str().unwrap();
    assert!(message.starts_with("app refused: "), "{message}");
}

#[tokio::test]
async fn a_refused_app_does_not_make_the_credential_invalid_and_is_retried_a_day_later() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    world.age_grants_by(IDLE_TIME).await;
    world.zoom.set_app_disabled(CLIENT_ID, true);

    let failed = Report {
        failed: 1,
        overdue: OVERDUE,
        ..NOTHING
    };
    assert_eq!(world.keep_alive().await, failed);
    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(credential["state"], "active");
    // The next run does not retry before a day has passed.
    assert_eq!(world.keep_alive().await, NOTHING);
    assert_eq!(world.refresh_calls(), 1);

    world.zoom.set_app_disabled(CLIENT_ID, false);
    world.age_grants_by(DAY).await;
    assert_eq!(world.keep_alive().await.refreshed, 1);
    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(credential["last_error_message"], Value::Null);
}

#[tokio::test]
async fn while_kms_is_down_no_refresh_token_is_sent_and_the_next_run_refreshes() {
    let world = World::new().await;
    world.add_user_credential("bot").await;
    world.age_grants_by(IDLE_TIME).await;
    let down = Fault::Answer(StatusCode::INTERNAL_SERVER_ERROR, "{}".to_owned());
    world.wire.break_service(Service::Kms, down);

    assert_eq!(world.keep_alive().await, LEFT);
    assert_eq!(world.refresh_calls(), 0);

    world.wire.heal();
    assert_eq!(world.keep_alive().await.refreshed, 1);
}

#[tokio::test]
async fn a_run_starts_no_refresh_that_its_time_out_may_interrupt() {
    let world = World::new().await;
    world.add_user_credential("bot").await;
    world.age_grants_by(IDLE_TIME).await;

    let short = world
        .gateway
        .keep_alive(KEEP_ALIVE_AFTER, REVOKE_AFTER, Duration::from_secs(59));
    assert_eq!(short.await.unwrap(), LEFT);
    assert_eq!(world.refresh_calls(), 0);
    assert_eq!(world.keep_alive().await.refreshed, 1);
}

#[tokio::test]
async fn two_parallel_runs_refresh_each_grant_once() {
    let world = World::new().await;
    for number in 0..6 {
        world
            .add_credential_for_user(&format!("user-{number}"))
            .await;
    }
    world.age_grants_by(IDLE_TIME).await;

    let (one, other) = tokio::join!(world.keep_alive(), world.keep_alive());
    assert_eq!(one.refreshed + other.refreshed, 6, "{one:?} {other:?}");
    assert_eq!(one.failed + other.failed, 0, "{one:?} {other:?}");
    assert_eq!(world.refresh_calls(), 6);
}

/// Copies the grant of a credential, as grants that Zoom has ended long ago and whose pair has no row. All copies are
/// in the first shard of the index.
async fn add_dead_grants(world: &World, number: usize) {
    let row = grants(world).await.remove(0);
    for _ in 0..number {
        let mut copy = row.clone();
        for (name, value) in [
            ("secret_id", format!("grant#{}", Uuid::new_v4())),
            ("due_shard", "0".to_owned()),
            ("pair_id", "pair#gone".to_owned()),
            ("refreshed_at", "2020-01-01T00:00:00.000Z".to_owned()),
        ] {
            copy.insert(name.to_owned(), AttributeValue::S(value));
        }
        world.put("secrets", copy).await;
    }
    world.backdate_grants().await;
}

#[tokio::test]
async fn a_run_reads_the_due_grants_page_after_page() {
    let world = World::new().await;
    world.add_user_credential("bot").await;
    world.age_grants_by(IDLE_TIME).await;
    add_dead_grants(&world, 200).await;

    let report = world.keep_alive().await;
    let expected = Report {
        refreshed: 1,
        unwanted: 200,
        destroyed: 200,
        ..NOTHING
    };
    assert_eq!(report, expected);
    assert_eq!(world.keep_alive().await, NOTHING);
}

#[tokio::test]
async fn a_run_that_ends_early_reports_the_grants_that_it_did_not_read() {
    let world = World::new().await;
    world.add_user_credential("bot").await;
    world.age_grants_by(IDLE_TIME).await;
    add_dead_grants(&world, 200).await;

    let short = world
        .gateway
        .keep_alive(KEEP_ALIVE_AFTER, REVOKE_AFTER, Duration::from_secs(59));
    let report = short.await.unwrap();
    assert_eq!((report.destroyed, report.left), (0, 201));
    // Some of those that wait are years late.
    assert!(report.overdue > 5 * 365 * 24 * 3600, "{report:?}");
    assert_eq!(world.refresh_calls(), 0);
}

#[tokio::test]
async fn a_refresh_completes_a_missing_profile() {
    let world = World::new().await;
    let fault = FaultKind::ReplyBefore(Reply::status(StatusCode::BAD_GATEWAY));
    world
        .zoom
        .inject(ZoomFault::always(Endpoint::Profile, fault));
    let id = world.add_user_credential("bot").await;
    world.zoom.clear_faults();
    assert_eq!(
        world.acme.get(&id).await.expect(200)["zoom_user_id"],
        Value::Null
    );
    world.age_grants_by(IDLE_TIME).await;

    assert_eq!(world.keep_alive().await.refreshed, 1);
    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(credential["zoom_user_id"], "ada");
    assert_eq!(credential["last_error_message"], Value::Null);
}

#[tokio::test]
async fn after_the_client_secret_is_corrected_a_run_refreshes_the_grant() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    world.zoom.rotate_secret(CLIENT_ID, "rotated");
    world.age_grants_by(IDLE_TIME).await;
    assert_eq!(world.keep_alive().await.failed, 1);

    let right = json!({ "client_id": CLIENT_ID, "client_secret": "rotated" });
    world.acme.update(&id, right).await.expect(200);
    world.age_grants_by(DAY).await;
    assert_eq!(world.keep_alive().await.refreshed, 1);
}
