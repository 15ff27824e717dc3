//! What keep-alive does when Zoom, DynamoDB or KMS fails for many grants.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use hyper::StatusCode;
use local::zoom::{Consent, Endpoint, Fault as ZoomFault, FaultKind, GrantType, Reply, User};
use serde_json::json;
use shared::api_key::Permission;
use shared::keep_alive::Report;

use super::{DAY, IDLE_TIME, NOTHING, OVERDUE};
use crate::minting::mint_onbehalf;
use crate::proxy::{Fault, Service};
use crate::world::{Caller, REDIRECT_URI, World, ada, id_of};

/// How often a refresh token is sent to a Zoom that fails before the vault gives up.
const TRIES: u32 = 2;

const HOUR: Duration = Duration::from_hours(1);

/// Asserts how often a refresh token was sent.
fn assert_refresh_calls(world: &World, expected: u32) {
    assert_eq!(u32::try_from(world.refresh_calls()), Ok(expected));
}

/// Zoom is unavailable for refreshes.
fn unavailable() -> ZoomFault {
    let reply = Reply::status(StatusCode::SERVICE_UNAVAILABLE);
    ZoomFault::always(
        Endpoint::Grant(GrantType::RefreshToken),
        FaultKind::ReplyBefore(reply),
    )
}

#[tokio::test]
async fn while_zoom_is_unavailable_three_grants_are_tried_and_no_credential_becomes_invalid() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for number in 0..12 {
        let user = format!("user-{number}");
        ids.push(world.add_credential_for_user(&user).await);
    }
    world.age_grants_by(IDLE_TIME).await;
    world.zoom.inject(unavailable());

    let report = world.keep_alive().await;
    let expected = Report {
        failed: 3,
        put_off: 9,
        overdue: report.overdue,
        ..NOTHING
    };
    assert_eq!(report, expected);
    assert!(report.overdue >= OVERDUE, "{report:?}");
    assert_refresh_calls(&world, 3 * TRIES);
    for id in &ids {
        assert_eq!(world.acme.get(id).await.expect(200)["state"], "active");
    }

    world.zoom.clear_faults();
    assert_eq!(world.keep_alive().await, NOTHING);
    world.age_grants_by(DAY).await;
    assert_eq!(world.keep_alive().await.refreshed, 12);
}

/// The client secret of the apps that [`add_credential`] registers.
const SECRET: &str = "another";

/// Creates a credential of this team for this app and Zoom user.
async fn add_credential(world: &World, team: &Caller, app: &str, user: &str) -> String {
    world.zoom.register_user(User {
        id: user.to_owned(),
        ..ada()
    });
    world.register_app(app, SECRET);
    let code = world.zoom.authorize(Consent {
        client_id: app.to_owned(),
        redirect_uri: REDIRECT_URI.to_owned(),
        user_id: user.to_owned(),
        scopes: None,
        code_challenge: None,
    });
    let body = json!({
        "name": user,
        "client_id": app,
        "client_secret": SECRET,
        "authorization_code": code.unwrap(),
        "redirect_uri": REDIRECT_URI,
    });
    id_of(&team.create(body).await.expect(201))
}

/// Makes the grants of these credentials due. A run comes to them in this order, because they are in one shard of the
/// index.
async fn make_due(world: &World, ids: &[String]) {
    world.age_grants_by(IDLE_TIME).await;
    for (number, id) in ids.iter().enumerate() {
        for (name, value) in [
            ("due_shard", "0".to_owned()),
            ("idle_since", format!("2020-01-01T00:00:00.{number:03}Z")),
        ] {
            let value = AttributeValue::S(value);
            world.set_in_grant(id, name, value).await;
        }
    }
}

/// Creates a credential of `acme` with a due grant for each of these apps, each of another Zoom user.
async fn add_due_credentials(world: &World, apps: &[&str]) -> Vec<String> {
    let mut ids = Vec::new();
    for (number, app) in apps.iter().enumerate() {
        let user = format!("user-{number}");
        ids.push(add_credential(world, &world.acme, app, &user).await);
    }
    make_due(world, &ids).await;
    ids
}

/// From now on, Zoom fails whenever the grant of one of these users is refreshed.
fn break_grants(world: &World, users: &[String]) {
    for grant in world.zoom.grants() {
        if users.contains(&grant.user_id) {
            let fault = Fault::Answer(StatusCode::SERVICE_UNAVAILABLE, "{}".to_owned());
            let grant = grant.id.simple().to_string();
            world.wire.break_calls_with(Service::Zoom, grant, fault);
        }
    }
}

/// Before, three failures ended the run for all apps.
#[tokio::test]
async fn zoom_that_fails_for_one_app_holds_up_no_grant_of_another_app() {
    let world = World::new().await;
    let apps = [["limited"; 6], ["healthy"; 6]].concat();
    add_due_credentials(&world, &apps).await;
    world.zoom.inject(unavailable().times(3 * TRIES));

    let report = world.keep_alive().await;
    assert_eq!((report.refreshed, report.failed), (6, 3), "{report:?}");
    assert_eq!((report.put_off, report.left), (3, 0), "{report:?}");
    // Zoom would have accepted the other three of the limited app, too.
    assert_refresh_calls(&world, 3 * TRIES + 6);
    world.age_grants_by(DAY).await;
    assert_eq!(world.keep_alive().await.refreshed, 6);
}

#[tokio::test]
async fn a_run_ends_when_zoom_fails_for_three_apps() {
    let world = World::new().await;
    add_due_credentials(&world, &["one", "two", "three", "four"]).await;
    world.zoom.inject(unavailable());

    let report = world.keep_alive().await;
    assert_eq!((report.failed, report.left), (3, 1));
    assert_refresh_calls(&world, 3 * TRIES);
    world.zoom.clear_faults();
    assert_eq!(world.keep_alive().await.refreshed, 1);
}

/// Each run tries the grants that it did not try for the longest time.
#[tokio::test]
async fn no_number_of_grants_that_always_fail_holds_up_the_others_for_ever() {
    let world = World::new().await;
    add_due_credentials(&world, &["app"; 11]).await;
    let broken: Vec<String> = (0..9).map(|number| format!("user-{number}")).collect();
    break_grants(&world, &broken);

    for _ in 0..3 {
        let report = world.keep_alive().await;
        assert_eq!((report.failed, report.put_off), (3, 8), "{report:?}");
        world.age_grants_by(DAY).await;
    }
    // Zoom works, so the run may try more than three broken ones at the same time.
    let report = world.keep_alive().await;
    assert_eq!(report.refreshed, 2, "{report:?}");
    assert_eq!(report.failed + report.put_off, 9, "{report:?}");
}

#[tokio::test]
async fn grants_that_were_put_off_are_tried_within_an_hour_and_grants_that_failed_are_not() {
    let world = World::new().await;
    add_due_credentials(&world, &["app"; 5]).await;
    world.zoom.inject(unavailable().times(3 * TRIES));
    let report = world.keep_alive().await;
    assert_eq!((report.failed, report.put_off), (3, 2), "{report:?}");
    assert_eq!(world.keep_alive().await, NOTHING);

    world.age_grants_by(HOUR).await;
    let report = world.keep_alive().await;
    assert_eq!((report.refreshed, report.failed), (2, 0), "{report:?}");
    world.age_grants_by(DAY).await;
    assert_eq!(world.keep_alive().await.refreshed, 3);
}

/// After a rotation of the secret at Zoom, every refresh of the team would fail.
#[tokio::test]
async fn a_client_secret_that_zoom_refuses_is_sent_three_times_and_holds_up_no_other_team() {
    let world = World::new().await;
    let globex = world.caller("globex", Permission::Full).await;
    let mut ids = Vec::new();
    for number in 0..6 {
        let user = format!("user-{number}");
        ids.push(add_credential(&world, &world.acme, "app", &user).await);
    }
    let theirs = add_credential(&world, &globex, "app", "theirs").await;
    world.zoom.rotate_secret("app", "rotated");
    let right = json!({ "client_id": "app", "client_secret": "rotated" });
    globex.update(&theirs, right.clone()).await.expect(200);
    ids.push(theirs);
    make_due(&world, &ids).await;

    let report = world.keep_alive().await;
    assert_eq!((report.refreshed, report.failed), (1, 3), "{report:?}");
    assert_eq!(report.put_off, 3, "{report:?}");
    assert_refresh_calls(&world, 3 + 1);

    for id in ids.iter().take(6) {
        world.acme.update(id, right.clone()).await.expect(200);
    }
    world.age_grants_by(DAY).await;
    assert_eq!(world.keep_alive().await.refreshed, 6);
}

/// Zoom works, although it refuses this secret: so the other grants need not wait for each other.
#[tokio::test]
async fn after_three_refused_client_secrets_a_run_handles_several_grants_at_a_time() {
    let world = World::new().await;
    let ids = add_due_credentials(&world, &["wrong", "wrong", "wrong", "app", "app", "app"]).await;
    world.zoom.rotate_secret("wrong", "rotated");
    let slow = ZoomFault::always(Endpoint::Grant(GrantType::RefreshToken), FaultKind::Delay);
    world.zoom.inject(slow.delayed(Duration::from_millis(200)));

    let report = world.keep_alive().await;
    assert_eq!((report.refreshed, report.failed), (3, 3), "{report:?}");
    let ledger = world.zoom.ledger();
    let refreshes: Vec<_> = ledger
        .iter()
        .filter(|call| call.grant_type == Some(GrantType::RefreshToken))
        .collect();
    assert_eq!(refreshes.len(), ids.len());
    assert!(refreshes[3].ended > Some(refreshes[4].began));
}

/// DynamoDB limits the calls for the rows of one team, when they are in one busy partition.
#[tokio::test]
async fn dynamodb_that_fails_for_one_team_holds_up_no_grant_of_another_team() {
    let world = World::new().await;
    let globex = world.caller("globex", Permission::Full).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let user = format!("user-{number}");
        ids.push(add_credential(&world, &world.acme, "app", &user).await);
    }
    for user in ["hers", "his"] {
        ids.push(add_credential(&world, &globex, "app", user).await);
    }
    make_due(&world, &ids).await;
    let fault = Fault::Answer(StatusCode::INTERNAL_SERVER_ERROR, "{}".to_owned());
    let rows_of_acme = json!({ "S": "acme" }).to_string();
    world
        .wire
        .break_calls_with(Service::DynamoDb, rows_of_acme, fault);

    let report = world.keep_alive().await;
    assert_eq!((report.refreshed, report.left), (2, 5), "{report:?}");
    assert_refresh_calls(&world, 2);

    world.wire.heal();
    assert_eq!(world.keep_alive().await.refreshed, 5);
    mint_onbehalf(&world.acme, &ids[0]).await.expect(200);
}

/// The next run tries those first that this run did not try.
#[tokio::test]
async fn grants_whose_rows_dynamodb_never_reads_hold_up_no_other_grant_of_their_team() {
    let world = World::new().await;
    let ids = add_due_credentials(&world, &["app"; 6]).await;
    for id in ids.iter().take(3) {
        let fault = Fault::Answer(StatusCode::INTERNAL_SERVER_ERROR, "{}".to_owned());
        let wire = &world.wire;
        wire.break_calls_with(Service::DynamoDb, id.clone(), fault);
    }

    let report = world.keep_alive().await;
    assert_eq!((report.refreshed, report.left), (0, 6), "{report:?}");
    let report = world.keep_alive().await;
    assert_eq!((report.refreshed, report.left), (3, 3), "{report:?}");
    world.wire.heal();
    assert_eq!(world.keep_alive().await.refreshed, 3);
}

#[tokio::test]
async fn a_run_ends_when_dynamodb_fails_for_three_teams() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for team in ["one", "two", "three", "four"] {
        let caller = world.caller(team, Permission::Full).await;
        ids.push(add_credential(&world, &caller, "app", team).await);
    }
    make_due(&world, &ids).await;
    for team in ["one", "two", "three"] {
        let fault = Fault::Answer(StatusCode::INTERNAL_SERVER_ERROR, "{}".to_owned());
        let rows = json!({ "S": team }).to_string();
        world.wire.break_calls_with(Service::DynamoDb, rows, fault);
    }

    assert_eq!(world.keep_alive().await.left, 4);
    assert_refresh_calls(&world, 0);
    world.wire.heal();
    assert_eq!(world.keep_alive().await.refreshed, 4);
}
