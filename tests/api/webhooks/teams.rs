//! An event acts in the teams and the apps that it is meant for.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;
use shared::api_key::Permission;
use tracing::Level;

use super::{
    OTHER_APP_PATH, PATH, SECRET_TOKEN, app_deauthorized, deliver_accepted, expect_destroyed,
    expect_state, expect_unauthorized, register_app, registration, state_changes, tell_at,
};
use crate::minting::mint_onbehalf;
use crate::secrecy::log::Log;
use crate::world::{CLIENT_SECRET, Caller, World, attribute, id_of, test_app, user_body, with};

// assures 26
#[tokio::test]
async fn an_event_acts_only_in_the_teams_whose_secret_token_signed_it() {
    let world = World::new().await;
    let (rival, third) = (
        world.caller("rival", Permission::Full).await,
        world.caller("third", Permission::Full).await,
    );
    register_app(&world).await;
    rival
        .register(registration("rivals-own-token"))
        .await
        .expect(200);
    let given = async |caller: &Caller| {
        let body = user_body("desk", &world.code());
        id_of(&caller.create(body).await.expect(201))
    };
    let (ours, rivals, thirds) = (
        given(&world.acme).await,
        given(&rival).await,
        given(&third).await,
    );
    let states = async || {
        let mut states = Vec::new();
        for (caller, id) in [(&world.acme, &ours), (&rival, &rivals), (&third, &thirds)] {
            states.push(
                caller.get(id).await.expect(200)["state"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            );
        }
        states
    };

    // The rival signs an event of its choice with the secret token that it registered.
    assert_eq!(
        tell_at(&world, PATH, "rivals-own-token", &app_deauthorized("ada"))
            .await
            .status,
        204
    );
    assert_eq!(states().await, ["active", "invalid", "active"]);

    deliver_accepted(&world, &app_deauthorized("ada")).await;
    assert_eq!(states().await, ["invalid", "invalid", "active"]);
    assert!(state_changes(&third, &thirds).await.is_empty());

    // Several teams register the app with Zoom's own secret token. The event acts in all of them.
    rival.register(registration(SECRET_TOKEN)).await.expect(200);
    third.register(registration(SECRET_TOKEN)).await.expect(200);
    deliver_accepted(&world, &app_deauthorized("ada")).await;
    assert_eq!(states().await, ["invalid", "invalid", "invalid"]);
}

/// A retry by Zoom cannot repair a corrupt row, so the vault answers 2xx if another team's row verifies the event.
#[tokio::test]
async fn a_corrupt_row_of_one_team_does_not_stop_an_event_for_another_team() {
    let world = World::new().await;
    register_app(&world).await;
    let rows = world.items("secrets").await.into_iter();
    let mut rows = rows.filter(|row| row.contains_key("webhook_app"));
    let row = rows.next().unwrap();
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let row_of = |team: &str| {
        let mut row = row.clone();
        row.insert("team_id".to_owned(), text(team));
        let id = attribute(&row, "secret_id").replace("acme", team);
        row.insert("secret_id".to_owned(), text(&id));
        row
    };
    // One row was copied from another team. The other row lacks an attribute.
    world.put("secrets", row_of("rival")).await;
    let mut shapeless = row_of("third");
    shapeless.remove("sealed");
    world.put("secrets", shapeless).await;

    let id = world.add_user_credential("desk").await;
    deliver_accepted(&world, &app_deauthorized("ada")).await;
    expect_destroyed(&world, &id).await;
    // If no team verifies the event, the corrupt row may be the reason, so the vault reports an error.
    let forged = tell_at(&world, PATH, "no-token", &app_deauthorized("ada")).await;
    forged.expect_code(500, "FST_ERR_INTERNAL");
}

// assures 26
#[tokio::test]
async fn an_event_of_one_app_does_not_act_on_the_credentials_of_another_app() {
    let world = World::new().await;
    world.zoom.register_app(local::zoom::App {
        client_id: "other-app".to_owned(),
        ..test_app()
    });
    register_app(&world).await;
    let other = json!({ "client_secret": CLIENT_SECRET, "webhook_secret_token": "other-token" });
    world
        .acme
        .register_app("other-app", other)
        .await
        .expect(200);
    let id = world.add_user_credential("desk").await;
    let of_other_app = with(
        app_deauthorized("ada"),
        json!({ "payload": { "client_id": "other-app", "user_id": "ada" } }),
    );

    // Zoom tells the other app that `ada` removed it.
    assert_eq!(
        tell_at(&world, OTHER_APP_PATH, "other-token", &of_other_app)
            .await
            .status,
        204
    );
    // Somebody forwards the event to the URL of the test app.
    let answer = tell_at(&world, PATH, "other-token", &of_other_app).await;
    answer.expect_code(400, "FST_ERR_VALIDATION");
    let answer = tell_at(&world, PATH, "other-token", &app_deauthorized("ada")).await;
    expect_unauthorized(&answer);

    expect_state(&world, &id, "active").await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

/// Each team's secret token must be opened, and Zoom waits for 3 seconds only. So the number of teams has a limit.
#[tokio::test]
async fn beyond_a_hundred_teams_an_event_is_logged_as_not_handled_for_all_of_them() {
    let world = World::new().await;
    let add_team = async |n: u32| {
        let team = world.caller(&format!("team-{n}"), Permission::Full).await;
        let registered = team.register(registration(SECRET_TOKEN)).await;
        registered.expect(200);
    };
    for n in 1..=100 {
        add_team(n).await;
    }
    let log = Log::default();
    let recording = log.record(Level::ERROR);

    deliver_accepted(&world, &app_deauthorized("ada")).await;
    assert_eq!(String::from_utf8(log.bytes()).unwrap(), "");

    add_team(101).await;
    deliver_accepted(&world, &app_deauthorized("ada")).await;
    drop(recording);
    let lines = String::from_utf8(log.bytes()).unwrap();
    let line =
        "too many teams have registered this app: the webhook is not handled for all of them";
    assert_eq!(lines.matches(line).count(), 1, "{lines}");
}
