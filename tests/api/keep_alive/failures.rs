//! What keep-alive does when Zoom, DynamoDB or KMS fails for many grants.

use aws_sdk_dynamodb::types::AttributeValue;
use hyper::StatusCode;
use local::zoom::{Consent, Endpoint, Fault as ZoomFault, FaultKind, GrantType, Reply, User};
use serde_json::json;
use shared::keep_alive::Report;

use super::{DAY, IDLE_TIME, NOTHING, OVERDUE};
use crate::world::{REDIRECT_URI, World, ada, id_of};

/// How often a refresh token is sent to a Zoom that fails before the vault gives up.
const TRIES: u32 = 2;

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

/// Creates a credential with a due grant for each of these apps, each of another Zoom user. A run comes to the grants in
/// this order, because they are in one shard of the index.
async fn add_due_credentials(world: &World, apps: &[&str]) {
    let mut ids = Vec::new();
    for (number, app) in apps.iter().enumerate() {
        let user = format!("user-{number}");
        world.zoom.register_user(User {
            id: user.clone(),
            ..ada()
        });
        world.register_app(app, "another");
        let code = world.zoom.authorize(Consent {
            client_id: (*app).to_owned(),
            redirect_uri: REDIRECT_URI.to_owned(),
            user_id: user.clone(),
            scopes: None,
            code_challenge: None,
        });
        let body = json!({
            "name": user,
            "client_id": app,
            "client_secret": "another",
            "authorization_code": code.unwrap(),
            "redirect_uri": REDIRECT_URI,
        });
        ids.push(id_of(&world.acme.create(body).await.expect(201)));
    }
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
