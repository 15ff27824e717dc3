//! Updates at the same time, and updates that meet a transaction or a failing database.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;

use super::{authorization, client_pair, sealed_secret};
use crate::connecting::nothing_after_the_commit;
use crate::proxy::{Fault, Rule, Service};
use crate::world::{CLIENT_ID, CLIENT_SECRET, World, attribute, with};

/// KMS's answer is held after the update has read the credential, until other changes are stored.
#[tokio::test]
async fn changes_during_the_replacement_of_the_client_secret_are_kept() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let sealed = sealed_secret(&world, &id).await;
    world.zoom.rotate_secret(CLIENT_ID, "rotated");
    let extra = json!({ "a": 1 });
    let answer = world.wire.hold(Service::Kms, "GenerateDataKey");
    let (acme, path) = (world.acme.clone(), id.clone());
    let replacing =
        tokio::spawn(async move { acme.update(&path, client_pair(CLIENT_ID, "rotated")).await });
    world.wire.stalled().await;

    for body in [json!({ "name": "renamed" }), json!({ "extra": extra })] {
        world.acme.update(&id, body).await.expect(200);
    }
    assert_eq!(sealed_secret(&world, &id).await, sealed);
    answer.notify_one();

    let updated = replacing.await.unwrap().expect(200);
    assert_eq!(
        (&updated["name"], &updated["extra"]),
        (&json!("renamed"), &extra)
    );
    assert_eq!(world.acme.get(&id).await.expect(200), updated);
    assert_ne!(sealed_secret(&world, &id).await, sealed);
    // Created, profile, and the three updates.
    assert_eq!(attribute(&world.row(&id).await, "version"), "5");
}

/// Zoom's answer is held until the other updates are stored.
#[tokio::test]
async fn changes_during_a_re_authorization_are_kept() {
    let theirs = json!({ "by": "the other update" });
    let own = json!({ "by": "the re-authorization" });
    for (with_code, others, expected) in [
        (
            json!({}),
            vec![json!({ "name": "renamed" }), json!({ "extra": theirs })],
            &theirs,
        ),
        (
            json!({ "extra": own }),
            vec![json!({ "name": "renamed" })],
            &own,
        ),
        (
            json!({ "extra": own }),
            vec![json!({ "name": "renamed", "extra": theirs })],
            &own,
        ),
    ] {
        let world = World::new().await;
        let id = world.add_user_credential("bot").await;
        let before = world.row(&id).await["grant_id"].clone();
        world.register_grace();
        let body = with(authorization(&world.code_of("grace", None)), with_code);
        let answer = world.wire.hold(Service::Zoom, "/oauth/token");
        let (acme, path) = (world.acme.clone(), id.clone());
        let authorizing = tokio::spawn(async move { acme.update(&path, body).await });
        world.wire.stalled().await;

        for body in others {
            world.acme.update(&id, body).await.expect(200);
        }
        assert_eq!(world.row(&id).await["grant_id"], before);
        answer.notify_one();

        let updated = authorizing.await.unwrap().expect(200);
        assert_eq!(updated["name"], "renamed");
        assert_eq!(&updated["extra"], expected);
        assert_eq!(updated["zoom_user_id"], "grace");
        assert_eq!(world.acme.get(&id).await.expect(200), updated);
        assert_ne!(world.row(&id).await["grant_id"], before);
    }
}

#[tokio::test]
async fn of_parallel_moves_to_other_apps_each_succeeds_or_gets_a_conflict() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;
    let calls: Vec<_> = (0..6)
        .map(|number| {
            let (acme, id) = (world.acme.clone(), id.clone());
            let app = format!("app-{number}");
            world.register_app(&app, "x");
            let body = client_pair(&app, "x");
            tokio::spawn(async move { acme.update(&id, body).await })
        })
        .collect();
    let mut won = Vec::new();
    for (number, call) in calls.into_iter().enumerate() {
        let answer = call.await.unwrap();
        if answer.status == 200 {
            won.push(AttributeValue::S(format!("app-{number}")));
        } else {
            answer.expect_code(409, "FST_ERR_CONFLICT");
        }
    }
    let stored = world.row(&id).await["client_id"].clone();
    assert!(won.contains(&stored), "{stored:?} of {won:?}");
}

#[tokio::test]
async fn an_update_that_conflicts_with_a_transaction_is_retried() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;
    let met = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionConflictException",
        "message": "Transaction is ongoing for the item",
    });
    world.wire.inject(Rule {
        service: Some(Service::DynamoDb),
        operation: Some("UpdateItem"),
        // The first UpdateItem counts the rate.
        nth: Some(2),
        fault: Fault::Answer(hyper::StatusCode::BAD_REQUEST, met.to_string()),
    });
    let updated = world.acme.update(&id, json!({ "name": "renamed" })).await;
    assert_eq!(updated.expect(200)["name"], "renamed");
}

#[tokio::test]
async fn a_committed_update_is_answered_even_if_nothing_can_be_read_after_the_commit() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let code = world.code();
    let secret = client_pair(CLIENT_ID, CLIENT_SECRET);
    for body in [
        with(
            with(authorization(&code), secret.clone()),
            json!({ "name": "new", "extra": { "a": 1 } }),
        ),
        with(secret, json!({ "name": "newer", "extra": null })),
    ] {
        let bell = world.wire.hold(Service::DynamoDb, "TransactWriteItems");
        let (answer, ()) = tokio::join!(
            world.acme.update(&id, body),
            nothing_after_the_commit(&world, &bell)
        );
        world.wire.heal();
        let answered = answer.expect(200);
        assert_eq!(answered, world.acme.get(&id).await.expect(200));
    }
}
