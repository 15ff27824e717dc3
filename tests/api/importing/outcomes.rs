//! The outcome of the import of one token, and of a second run.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use axum::http::StatusCode;
use functions::powers::{Environment, Table};
use serde_json::json;
use shared::import::ImportOutcome;
use shared::secret::AppCredentials;
use shared::stores::TeamAdmin;
use shared::timestamp::Timestamp;

use super::{app, given, revealed};
use crate::minting::mint_onbehalf;
use crate::proxy::{Fault, Rule, Service};
use crate::world::{CLIENT_ID, CLIENT_SECRET, World, attribute};

#[tokio::test]
async fn a_token_becomes_a_credential_of_its_user_and_the_other_systems_copy_is_spent() {
    let world = World::new().await;
    let old = world.user_of_old_system("ada").await;
    let mut given = given(&old.refresh);
    given.scopes = Some("user:read:user,user:read:zak".to_owned());
    given.extra = Some(json!({ "user": "u_42" }).to_string().try_into().unwrap());

    let result = world.importer().import(&world, &given).await;

    assert_eq!(result.outcome, ImportOutcome::Imported, "{result:?}");
    assert!(!result.earlier);
    assert!(!world.is_live(&old.refresh));
    assert_eq!(world.sent(&old.refresh), [1, 0]);
    let id = result.credential.unwrap().to_string();
    let read = world.acme.get(&id).await.expect(200);
    assert_eq!(
        (&read["state"], &read["zoom_user_id"], &read["name"]),
        (&json!("active"), &json!("ada"), &json!("Ada Lovelace"))
    );
    assert_eq!(read["extra"], json!({ "user": "u_42" }));
    assert_eq!(read["scopes"], "user:read:user,user:read:zak");
    assert_eq!(mint_onbehalf(&world.acme, &id).await.status, 200);
    // A call of a token URL finds the user by the email address.
    assert_eq!(
        attribute(&world.row(&id).await, "zoom_email_key"),
        "ada@example.test"
    );
    let pair = world.pair_of("ada").await;
    assert_eq!(
        (attribute(&pair, "members"), attribute(&pair, "live")),
        ("1", "1")
    );
    let row = world.row_of_grant(given.id().grant()).await.unwrap();
    assert!(!row.contains_key("importing"));
    assert!(row.contains_key("pair_id") && row.contains_key("due_shard"));
    let events = world.acme.events(&id, "").await.expect(200);
    let created = events
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["kind"] == "created");
    assert_eq!(
        created.unwrap()["actor"],
        json!({ "type": "operator", "id": "local" })
    );
}

#[tokio::test]
async fn a_second_run_answers_the_same_and_sends_nothing() {
    let world = World::new().await;
    let old = world.user_of_old_system("ada").await;
    let gone = world.user_of_old_system("grace").await;
    world.zoom.remove_app(CLIENT_ID, "grace");
    for token in [&old.refresh, &gone.refresh] {
        let first = world.importer().import(&world, &given(token)).await;
        let sent = world.refresh_calls();

        let second = world.importer().import(&world, &given(token)).await;

        assert_eq!(
            (second.outcome, second.credential, &second.reason),
            (first.outcome, first.credential, &first.reason)
        );
        assert_eq!(
            first.reason.is_some(),
            first.outcome == ImportOutcome::Dead,
            "{first:?}"
        );
        assert!(second.earlier && !first.earlier);
        assert_eq!(world.refresh_calls(), sent);
    }
}

#[tokio::test]
async fn a_token_is_in_the_vault_for_another_team_only_if_its_import_there_succeeded() {
    let world = World::new().await;
    let [good, gone, open] = ["ada", "grace", "hedy"];
    let good = world.user_of_old_system(good).await;
    let gone_token = world.user_of_old_system(gone).await;
    world.zoom.remove_app(CLIENT_ID, gone);
    let open = world.user_of_old_system(open).await;
    for (token, first, second) in [
        (&good, ImportOutcome::Imported, ImportOutcome::AlreadyThere),
        (&gone_token, ImportOutcome::Dead, ImportOutcome::Dead),
        (&open, ImportOutcome::Retry, ImportOutcome::Retry),
    ] {
        if first == ImportOutcome::Retry {
            world
                .wire
                .inject_once(Service::Zoom, "/oauth/token", Fault::DropBefore);
            world.wire.inject(Rule {
                service: Some(Service::Zoom),
                operation: Some("/oauth/token"),
                nth: None,
                fault: Fault::Answer(StatusCode::SERVICE_UNAVAILABLE, String::new()),
            });
        }
        let given = given(&token.refresh);
        let result = world.importer().import(&world, &given).await;
        assert_eq!(result.outcome, first, "{result:?}");
        let sent = world.refresh_calls();
        let importer = world.importer();
        let result = importer.import_into("globex", &world, &given).await;
        assert_eq!(result.outcome, second, "{result:?}");
        assert_eq!(world.refresh_calls(), sent);
    }
}

#[tokio::test]
async fn a_token_of_a_user_with_a_credential_is_merged_into_that_credential() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    world.backdate_authorization(&id).await;
    let old = world.user_of_old_system("ada").await;
    let given = given(&old.refresh);

    let result = world.importer().import(&world, &given).await;

    assert_eq!(result.outcome, ImportOutcome::Merged, "{result:?}");
    assert_eq!(result.credential.unwrap().to_string(), id);
    assert_eq!(world.count("credentials").await, 1);
    let grant = given.id().grant().to_string();
    assert_eq!(attribute(&world.row(&id).await, "grant_id"), grant);
    world.expire_access_tokens().await;
    assert_eq!(mint_onbehalf(&world.acme, &id).await.status, 200);
}

#[tokio::test]
async fn a_user_whose_credentials_are_all_deleted_gets_a_new_one() {
    let world = World::new().await;
    let deleted = world.add_user_credential("desk").await;
    world.acme.delete(&deleted).await.expect(200);
    let old = world.user_of_old_system("ada").await;

    let result = world.importer().import(&world, &given(&old.refresh)).await;

    assert_eq!(result.outcome, ImportOutcome::Imported, "{result:?}");
    let id = result.credential.unwrap().to_string();
    assert_ne!(id, deleted);
    assert_eq!(mint_onbehalf(&world.acme, &id).await.status, 200);
    let pair = world.pair_of("ada").await;
    assert_eq!(
        (attribute(&pair, "members"), attribute(&pair, "live")),
        ("2", "1")
    );
}

#[tokio::test]
async fn a_token_that_zoom_refuses_is_dead_and_leaves_no_tokens() {
    let world = World::new().await;
    let old = world.user_of_old_system("ada").await;
    world.zoom.remove_app(CLIENT_ID, "ada");

    let result = world.importer().import(&world, &given(&old.refresh)).await;

    assert_eq!(result.outcome, ImportOutcome::Dead, "{result:?}");
    assert_eq!(world.count("secrets").await, 0);
    assert_eq!(world.count("credentials").await, 0);
}

#[tokio::test]
async fn a_token_whose_answer_was_lost_is_not_called_dead() {
    let world = World::new().await;
    let old = world.user_of_old_system("ada").await;
    let given = given(&old.refresh);
    world.wire.reset();
    world
        .wire
        .inject_once(Service::Zoom, "/oauth/token", Fault::DropAfter);
    let lost = world.importer().import(&world, &given).await;

    // The token is sent once more after the broken connection, and Zoom refuses it.
    assert_eq!(lost.outcome, ImportOutcome::OutcomeLost, "{lost:?}");
    assert_eq!(world.sent(&old.refresh), [2, 0]);

    let again = world.importer().import(&world, &given).await;
    assert_eq!(again.outcome, ImportOutcome::OutcomeLost);
    assert_eq!(world.sent(&old.refresh), [2, 0]);
    assert_eq!(world.count("credentials").await, 0);
}

#[tokio::test]
async fn a_refused_app_spends_no_token() {
    let world = World::new().await;
    let old = world.user_of_old_system("ada").await;
    let mut wrong = given(&old.refresh);
    wrong.app = AppCredentials {
        client_secret: "wrong".to_owned().try_into().unwrap(),
        ..app()
    };

    let refused = world.importer().import(&world, &wrong).await;
    assert_eq!(refused.outcome, ImportOutcome::AppRefused, "{refused:?}");
    assert!(world.is_live(&old.refresh));

    let right = world.importer().import(&world, &given(&old.refresh)).await;
    assert_eq!(right.outcome, ImportOutcome::Imported, "{right:?}");
}

#[tokio::test]
async fn an_outage_is_a_retry_and_the_next_run_goes_on() {
    let unspent = "This run spent no token";
    for (service, sent) in [
        (Service::Kms, unspent),
        (Service::DynamoDb, unspent),
        (
            Service::Zoom,
            "The token was sent, and Zoom's answer is not known",
        ),
    ] {
        let world = World::new().await;
        let old = world.user_of_old_system("ada").await;
        world.wire.reset();
        world.wire.break_service(
            service,
            Fault::Answer(StatusCode::SERVICE_UNAVAILABLE, "{}".to_owned()),
        );

        let failed = world.importer().import(&world, &given(&old.refresh)).await;
        assert_eq!(
            failed.outcome,
            ImportOutcome::Retry,
            "{service:?} {failed:?}"
        );
        assert!(failed.reason.unwrap().ends_with(sent), "{service:?}");
        assert!(world.is_live(&old.refresh));
        world.wire.heal();

        let done = world.importer().import(&world, &given(&old.refresh)).await;
        assert_eq!(
            done.outcome,
            ImportOutcome::Imported,
            "{service:?} {done:?}"
        );
    }
}

#[tokio::test]
async fn a_profile_that_fails_for_now_is_asked_for_by_the_next_run_without_another_refresh() {
    let world = World::new().await;
    let old = world.user_of_old_system("ada").await;
    world.wire.reset();
    world.wire.inject_once(
        Service::Zoom,
        "/v2/users/me",
        Fault::Answer(StatusCode::SERVICE_UNAVAILABLE, "{}".to_owned()),
    );
    let failed = world.importer().import(&world, &given(&old.refresh)).await;
    assert_eq!(failed.outcome, ImportOutcome::Retry, "{failed:?}");
    let reason = failed.reason.unwrap();
    assert!(reason.ends_with("new tokens are stored"), "{reason}");
    assert_eq!(world.count("credentials").await, 0);

    let done = world.importer().import(&world, &given(&old.refresh)).await;

    assert_eq!(done.outcome, ImportOutcome::Imported, "{done:?}");
    assert_eq!(world.sent(&old.refresh), [1, 0]);
}

#[tokio::test]
async fn a_user_whose_profile_no_scope_shows_gets_a_credential_that_says_so() {
    let world = World::new().await;
    let scopes = Some(["user:read:token"].as_slice());
    let old = world.user_of_old_system_with("ada", scopes).await;

    let result = world.importer().import(&world, &given(&old.refresh)).await;

    assert_eq!(result.outcome, ImportOutcome::Imported, "{result:?}");
    let id = result.credential.unwrap().to_string();
    let read = world.acme.get(&id).await.expect(200);
    assert_eq!(
        (&read["state"], &read["zoom_user_id"]),
        (&json!("active"), &json!(null))
    );
    assert_eq!(read["name"], "Zoom user");
    let message = read["last_error_message"].as_str().unwrap().to_owned();
    assert!(
        message.starts_with("missing scope user:read:user"),
        "{message}"
    );
}

#[tokio::test]
async fn a_user_who_removes_the_app_during_the_import_is_dead() {
    let world = World::new().await;
    let old = world.user_of_old_system("ada").await;
    let given = given(&old.refresh);
    world.wire.reset();
    let bell = world.wire.hold(Service::Zoom, "/v2/users/me");
    let (importer, pair) = (world.importer(), world.pair_id("ada"));
    let importing = importer.import(&world, &given);
    let removed = async {
        world.wire.stalled().await;
        let at = Timestamp::now().plus(Duration::from_secs(1)).as_millis();
        let row = [
            ("pair_id", pair.as_str()),
            ("team_id", "acme"),
            ("client_id", CLIENT_ID),
            ("zoom_user_id", "ada"),
        ];
        let row = row.map(|(name, text)| (name.to_owned(), AttributeValue::S(text.to_owned())));
        let numbers = [("version", 1), ("deauthorized_at", at)];
        let numbers =
            numbers.map(|(name, number)| (name.to_owned(), AttributeValue::N(number.to_string())));
        world
            .put("pairs", row.into_iter().chain(numbers).collect())
            .await;
        bell.notify_one();
    };
    let (result, ()) = tokio::join!(importing, removed);

    assert_eq!(result.outcome, ImportOutcome::Dead, "{result:?}");
    assert_eq!(world.count("credentials").await, 0);
    assert!(world.row_of_grant(given.id().grant()).await.is_none());
}

#[tokio::test]
async fn an_import_that_stopped_is_left_alone_by_keep_alive_as_long_as_zoom_may_accept_the_grant() {
    let world = World::new().await;
    let old = world.user_of_old_system("ada").await;
    let given = given(&old.refresh);
    world.wire.reset();
    world.wire.inject(Rule {
        service: Some(Service::Zoom),
        operation: Some("/v2/users/me"),
        nth: None,
        fault: Fault::Answer(StatusCode::SERVICE_UNAVAILABLE, "{}".to_owned()),
    });
    let stopped = world.importer().import(&world, &given).await;
    assert_eq!(stopped.outcome, ImportOutcome::Retry);
    world.wire.heal();

    world.age_grants_by(Duration::from_hours(24 * 31)).await;
    world.keep_alive().await;
    assert!(world.row_of_grant(given.id().grant()).await.is_some());

    let done = world.importer().import(&world, &given).await;
    assert_eq!(done.outcome, ImportOutcome::Imported, "{done:?}");
}

#[tokio::test]
async fn two_runs_at_once_make_one_credential_and_send_the_token_once() {
    let world = World::new().await;
    let old = world.user_of_old_system("ada").await;
    let given = given(&old.refresh);
    let (one, two) = (world.importer(), world.importer());

    let (one, two) = tokio::join!(one.import(&world, &given), two.import(&world, &given));

    assert_eq!(
        (one.outcome, two.outcome),
        (ImportOutcome::Imported, ImportOutcome::Imported)
    );
    assert_eq!(one.credential, two.credential);
    assert_eq!(world.sent(&old.refresh), [1, 0]);
    assert_eq!(world.count("credentials").await, 1);
}

#[tokio::test]
async fn no_row_holds_a_token_or_a_client_secret_in_clear() {
    let world = World::new().await;
    let old = world.user_of_old_system("ada").await;
    let result = world.importer().import(&world, &given(&old.refresh)).await;
    assert_eq!(result.outcome, ImportOutcome::Imported);
    for table in ["secrets", "credentials", "pairs", "requests", "events"] {
        for row in world.rows(table).await {
            assert!(!row.contains(&revealed(&old.refresh)), "{table}");
            assert!(!row.contains(CLIENT_SECRET), "{table}");
        }
    }
}

/// The calls of the operators' program before an import. Its role must allow them.
#[tokio::test]
async fn the_team_and_the_tables_are_looked_at_first() {
    let world = World::new().await;
    let tables = [
        Table::Keys,
        Table::Credentials,
        Table::Pairs,
        Table::Secrets,
        Table::Requests,
        Table::Events,
    ];
    world.describe("ImportRole", &tables).await;
    let environment = world.operator("ImportRole");
    let Ok(keys) = environment.table(Table::Keys);
    let teams = TeamAdmin::new(environment.dynamodb(), keys);
    let team = world.team("acme");
    assert_eq!(teams.team(&team).await.unwrap().team_id, team);
}

#[tokio::test]
async fn a_token_makes_the_invalid_credential_of_its_user_active_again() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    world.backdate_authorization(&id).await;
    world.expire_access_tokens().await;
    let old = world.user_of_old_system("ada").await;
    assert_eq!(mint_onbehalf(&world.acme, &id).await.status, 409);
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "invalid");

    let result = world.importer().import(&world, &given(&old.refresh)).await;

    assert_eq!(result.outcome, ImportOutcome::Merged, "{result:?}");
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");
    assert_eq!(world.state_changes(&id).await.first().unwrap(), "active");
    assert_eq!(mint_onbehalf(&world.acme, &id).await.status, 200);
}

#[tokio::test]
async fn a_merge_that_stopped_is_completed_by_the_next_run() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    world.backdate_authorization(&id).await;
    let old = world.user_of_old_system("ada").await;
    let given = given(&old.refresh);
    world.wire.reset();
    let unavailable = Fault::Answer(StatusCode::SERVICE_UNAVAILABLE, "{}".to_owned());
    world.wire.inject(Rule {
        service: Some(Service::DynamoDb),
        operation: Some("Query"),
        nth: None,
        fault: unavailable,
    });
    let stopped = world.importer().import(&world, &given).await;
    assert_eq!(stopped.outcome, ImportOutcome::Retry, "{stopped:?}");
    let row = world.row_of_grant(given.id().grant()).await.unwrap();
    assert!(!row.contains_key("importing"));
    world.wire.heal();
    // Longer ago than the refresh could have taken.
    for _ in 0..7 {
        world.backdate_authorization(&id).await;
    }

    let done = world.importer().import(&world, &given).await;

    assert_eq!(done.outcome, ImportOutcome::Merged, "{done:?}");
    let grant = given.id().grant().to_string();
    assert_eq!(attribute(&world.row(&id).await, "grant_id"), grant);
    assert_eq!(world.sent(&old.refresh), [1, 0]);
}
