//! A credential that leaves the filter of a key while the key changes it.

use std::sync::Arc;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::scope::{for_tenant, with_extra};
use crate::life::sealed_secrets;
use crate::proxy::{Fault, Rule, Service};
use crate::world::{
    Answer, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, World, attribute, id_of, send, user_body,
};

const TENANT_B: &str = r#"{"tenant":"b"}"#;

/// Sends a request, and moves the credential to another tenant after this call, when the request has read it.
async fn while_it_moves(
    world: &World,
    id: &str,
    (operation, nth): (&'static str, u64),
    request: RequestBuilder,
) -> Answer {
    let bell = Arc::new(Notify::new());
    world.wire.inject(Rule {
        service: Some(Service::DynamoDb),
        operation: Some(operation),
        nth: Some(nth),
        fault: Fault::Hold(bell.clone()),
    });
    let changing = tokio::spawn(send(request));
    world.wire.stalled().await;
    world.set_texts(id, &[("extra", TENANT_B)]).await;
    bell.notify_one();
    changing.await.unwrap()
}

/// Counts the call, after the credential was read.
const COUNT: (&str, u64) = ("UpdateItem", 1);

async fn given_credential(world: &World) -> String {
    let body = with_extra(user_body("bot", &world.code()), json!({ "tenant": "a" }));
    id_of(&world.acme.create(body).await.expect(201))
}

#[tokio::test]
async fn no_change_reaches_a_credential_that_has_left_the_keys_filter() {
    let world = World::new().await;
    let caller = world.caller_with_terms(for_tenant("a")).await;
    let changes: [fn(&World) -> Value; 4] = [
        |_| json!({ "name": "taken" }),
        |_| json!({ "extra": { "tenant": "a" }, "name": "taken" }),
        |_| json!({ "name": "taken", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET }),
        |world| json!({ "name": "taken", "authorization_code": world.code(), "redirect_uri": REDIRECT_URI }),
    ];
    for change in changes {
        let id = given_credential(&world).await;
        let path = format!("/v2/zoom-credentials/{id}");
        let body = change(&world);
        let update = caller.request(Method::PATCH, &path).json(&body);
        let answer = while_it_moves(&world, &id, COUNT, update).await;
        assert_eq!(answer.status, 404, "{body}: {}", answer.text);
        let row = world.row(&id).await;
        let kept = (attribute(&row, "name"), attribute(&row, "extra"));
        assert_eq!(kept, ("bot", TENANT_B), "{body}");
    }
}

#[tokio::test]
async fn a_credential_that_has_left_the_keys_filter_is_neither_deleted_nor_restored() {
    let world = World::new().await;
    let caller = world.caller_with_terms(for_tenant("a")).await;
    let (kept, deleted) = (
        given_credential(&world).await,
        given_credential(&world).await,
    );
    world.acme.delete(&deleted).await.expect(200);
    let path = format!("/v2/zoom-credentials/{kept}");
    let delete = caller.request(Method::DELETE, &path);
    let answer = while_it_moves(&world, &kept, COUNT, delete).await;
    assert_eq!(answer.status, 404, "{}", answer.text);
    let path = format!("/v2/zoom-credentials/{deleted}/restore");
    let restore = caller.request(Method::POST, &path);
    // The reads of the key and of the team come first.
    let answer = while_it_moves(&world, &deleted, ("GetItem", 3), restore).await;
    assert_eq!(answer.status, 404, "{}", answer.text);
    world.acme.get(&kept).await.expect(200);
    world.acme.restore(&deleted).await.expect(200);
}

/// The tokens of a spent code are worth more than the answer: other credentials of the user need them.
#[tokio::test]
async fn the_tokens_of_a_refused_change_are_kept() {
    let world = World::new().await;
    let caller = world.caller_with_terms(for_tenant("a")).await;
    let id = given_credential(&world).await;
    let before = sealed_secrets(&world).await.len();
    let body = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    let path = format!("/v2/zoom-credentials/{id}");
    let update = caller.request(Method::PATCH, &path).json(&body);
    while_it_moves(&world, &id, COUNT, update)
        .await
        .expect_code(404, "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID");
    assert_eq!(sealed_secrets(&world).await.len(), before + 1);
}

#[tokio::test]
async fn a_repeated_code_shows_no_credential_that_the_key_cannot_see() {
    let world = World::new().await;
    let caller = world.caller_with_terms(for_tenant("a")).await;
    let body = user_body("bot", &world.code());
    let others = with_extra(body.clone(), json!({ "tenant": "b" }));
    world.acme.create(others).await.expect(201);
    let mut own = with_extra(body, json!({ "tenant": "a" }));
    own["client_secret"] = json!("guessed");
    caller
        .create(own)
        .await
        .expect_code(404, "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID");
}
