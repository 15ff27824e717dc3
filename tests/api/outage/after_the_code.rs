//! DynamoDB fails after the code was sent to Zoom.

use serde_json::{Value, json};

use super::ApiRequest::{self, CreateUser, ReAuthorize};
use super::{conflict, temporary_faults, world_with_credential};
use crate::proxy::{Fault, Service};
use crate::world::{REDIRECT_URI, attribute, user_body};

/// The code is spent and the tokens are in memory only, so the vault retries the commit.
async fn dynamodb_fails_at_the_commit(request: ApiRequest, fault: Fault) {
    let (world, id) = world_with_credential().await;
    let code = world.code();
    let before = world.count("credentials").await;
    let bell = world.wire.hold(Service::Zoom, "/oauth/token");
    let asked = {
        let (acme, id, code) = (world.acme.clone(), id.clone(), code.clone());
        tokio::spawn(async move {
            if request == CreateUser {
                acme.create(user_body("new", &code)).await
            } else {
                let body = json!({ "authorization_code": code, "redirect_uri": REDIRECT_URI });
                acme.update(&id, body).await
            }
        })
    };
    world.wire.stalled().await;
    world.wire.break_service(Service::DynamoDb, fault.clone());
    bell.notify_one();
    // The claim, and then more tries than the SDK makes by itself.
    world.wire.called("TransactWriteItems", 6).await;
    world.wire.heal();

    let answer = asked.await.unwrap();
    assert_eq!(answer.status, request.status(), "{request:?} {fault:?}");
    let made = usize::from(request == CreateUser);
    assert_eq!(world.count("credentials").await, before + made);
    assert_eq!(world.exchange_calls(), 2);
    assert!(!world.has_running_request().await);
    let again = request.of(&world, &id, &code).await;
    assert_eq!(
        again.expect(request.status()),
        answer.expect(request.status())
    );
}

#[tokio::test]
async fn an_outage_at_the_commit_delays_the_answer_but_loses_no_code() {
    let mut all = Vec::new();
    for request in [CreateUser, ReAuthorize] {
        for fault in temporary_faults()
            .into_iter()
            .chain([Fault::DropAfter, conflict(3)])
        {
            all.push(tokio::spawn(dynamodb_fails_at_the_commit(request, fault)));
        }
    }
    for one in all {
        one.await.unwrap();
    }
}

/// The work after the commit is best effort.
#[tokio::test]
async fn an_outage_after_the_commit_leaves_only_the_profile_missing() {
    let (world, _) = world_with_credential().await;
    let bell = world.wire.hold(Service::Zoom, "/v2/users/me");
    let (acme, body) = (world.acme.clone(), user_body("new", &world.code()));
    let sent = body.clone();
    let created = tokio::spawn(async move { acme.create(sent).await });
    world.wire.stalled().await;
    world
        .wire
        .break_service(Service::DynamoDb, Fault::DropBefore);
    bell.notify_one();

    let data = created.await.unwrap().expect(201);
    assert_eq!(data["zoom_user_id"], Value::Null);
    assert_eq!(data["state"], "active");
    world.wire.heal();
    assert_eq!(world.acme.create(body).await.expect(201), data);
}

/// Neither the profile nor the row can be read back. The grant is stored, so the answer is a success.
#[tokio::test]
async fn an_outage_after_the_commit_of_a_re_authorization_leaves_only_the_profile_missing() {
    let (world, id) = world_with_credential().await;
    let before = world.row(&id).await;
    let bell = world.wire.hold(Service::Zoom, "/v2/users/me");
    let body = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    let (acme, path, sent) = (world.acme.clone(), id.clone(), body.clone());
    let updated = tokio::spawn(async move { acme.update(&path, sent).await });
    world.wire.stalled().await;
    world
        .wire
        .break_service(Service::DynamoDb, Fault::DropBefore);
    bell.notify_one();

    let data = updated.await.unwrap().expect(200);
    assert_eq!(
        (&data["state"], &data["zoom_user_id"]),
        (&json!("active"), &Value::Null)
    );
    world.wire.heal();
    assert_eq!(world.acme.update(&id, body).await.expect(200), data);
    let after = world.row(&id).await;
    assert_ne!(
        attribute(&before, "grant_id"),
        attribute(&after, "grant_id")
    );
    assert_eq!(world.exchange_calls(), 2);
}
