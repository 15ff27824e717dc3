//! How keys end: by their time, by a rotation, and when the operator suspends the team.

use std::time::Duration;

use functions::powers::Environment as _;
use reqwest::Method;
use serde_json::{Value, json};
use shared::api_key::{KeyTerms, Permission};
use shared::stores::{Requests, TeamAdmin};
use shared::timestamp::Timestamp;

use super::{all_endpoints, with_app};
use crate::access::{call, expect_refused};
use crate::minting::mint_onbehalf;
use crate::proxy::Service;
use crate::world::{CLIENT_ID, CLIENT_SECRET, World, app_body, send, text_of};

// assures 52
#[tokio::test]
async fn a_key_works_until_it_expires() {
    let world = World::new().await;
    let terms = |expires_at| KeyTerms {
        expires_at: Some(expires_at),
        ..KeyTerms::of(Permission::Full)
    };
    let later = Timestamp::now().plus(Duration::from_hours(1));
    let caller = world.caller_with_terms(terms(later)).await;
    caller.create(app_body("bot")).await.expect(201);
    let caller = world.caller_with_terms(terms(Timestamp::now())).await;
    expect_refused(&caller.create(app_body("bot")).await, "an expired key");
}

#[tokio::test]
async fn a_rotation_makes_a_second_key_with_the_same_terms_and_sets_the_end_of_the_first() {
    let world = World::new().await;
    let team = world.team("acme");
    let terms = KeyTerms {
        extra: "tenant:a".parse().unwrap(),
        rate: Some(9),
        ..KeyTerms::of(Permission::Read)
    };
    let (first, listing) = world
        .operator
        .create_key(&team, terms.clone())
        .await
        .unwrap();
    let first = world.caller_with_key(&text_of(first));
    let old = &listing.key_id;

    let end = Timestamp::now().plus(Duration::from_hours(24));
    let rotation = world.operator.rotate_key(&team, old, end).await.unwrap();
    let second = world.caller_with_key(&text_of(rotation.key));
    for caller in [&first, &second] {
        caller.list("").await.expect(200);
    }
    let keys = world.operator.keys(&team).await.unwrap().rows;
    let find = |id| keys.iter().find(|key| key.key_id == id).unwrap();
    let new = rotation.new.key_id;
    assert_eq!(find(new.clone()).terms, terms);
    let first_row = find(old.clone());
    assert_eq!(first_row.terms.expires_at, Some(end));
    assert_eq!(first_row.replaced_by, Some(new.clone()));

    // The end of the first key is the rotation's now, and a third key must not inherit it.
    let again = world.operator.rotate_key(&team, old, end).await;
    assert!(matches!(again, Err(shared::stores::Error::Conflict)));
    let third = world.operator.rotate_key(&team, &new, Timestamp::now());
    assert_eq!(third.await.unwrap().new.terms, terms);
    expect_refused(&second.list("").await, "the second key");
    first.list("").await.expect(200);
}

/// A key takes its state from the team's settings, which are read before the key is stored.
#[tokio::test]
async fn a_key_that_is_created_while_its_team_is_suspended_does_not_work() {
    for rotates in [false, true] {
        let world = World::new().await;
        let team = world.team("acme");
        let terms = KeyTerms::of(Permission::Full);
        let old = world.operator.create_key(&team, terms.clone());
        let old = old.await.unwrap().1.key_id;
        let environment = world.services.environment("OperatorPolicy");
        let slow = TeamAdmin::new(environment.dynamodb(), "keys".to_owned());
        let held = world.wire.hold(Service::DynamoDb, "GetItem");
        let create = async {
            if rotates {
                let end = Timestamp::now().plus(Duration::from_hours(1));
                slow.rotate_key(&team, &old, end).await.unwrap().key
            } else {
                slow.create_key(&team, terms.clone()).await.unwrap().0
            }
        };
        let suspend = async {
            world.wire.stalled().await;
            world.operator.suspend(&team, true).await.unwrap();
            held.notify_one();
        };
        let (key, ()) = tokio::join!(create, suspend);
        let caller = world.caller_with_key(&text_of(key));
        expect_refused(&caller.list("").await, "a key of a suspended team");
    }
}

// assures 52
#[tokio::test]
async fn a_suspended_team_gets_401_on_every_endpoint_and_its_token_urls_are_unknown() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let other_team = world.caller("globex", Permission::Full).await;
    let body = json!({ "type": "onbehalf", "max_uses": 2 });
    let url = world.given_url(&id, body).await;
    assert_eq!(world.vendor_gets(&url, "").await.status, 200);
    let team = world.team("acme");

    world.operator.suspend(&team, true).await.unwrap();
    let new = world
        .caller_with_terms(KeyTerms::of(Permission::Full))
        .await;
    for caller in [&world.acme, &new] {
        for endpoint in all_endpoints(&id) {
            expect_refused(&send(call(caller, &endpoint)).await, &endpoint.1);
        }
    }
    world.wire.reset();
    let refused = world.vendor_gets(&url, "").await;
    let mut unknown = url.clone();
    let last = if url.url.ends_with('0') { "1" } else { "0" };
    unknown.url.replace_range(url.url.len() - 1.., last);
    let expected = world.vendor_gets(&unknown, "").await;
    assert_eq!((refused.status, &refused.text), (404, &expected.text));
    assert_eq!(world.wire.count(Service::Zoom), 0);
    other_team.list("").await.expect(200);

    world.operator.suspend(&team, false).await.unwrap();
    for caller in [&world.acme, &new] {
        mint_onbehalf(caller, &id).await.expect(200);
    }
    // The refused call has given its use back.
    assert_eq!(world.vendor_gets(&url, "").await.status, 200);
}

/// Each function has a role of its own, which must allow this write.
#[tokio::test]
async fn every_function_that_changes_something_notes_the_use_of_the_key() {
    let world = World::new().await;
    let team = world.team("acme");
    let requests = Requests::new(world.dynamodb.clone(), "requests".to_owned());
    let id = world.add_user_credential("bot").await;
    let deleted = world.add_app_credential("deleted").await;
    world.acme.delete(&deleted).await.expect(200);
    let url = world.given_url(&id, json!({ "type": "zak" })).await;
    let credential = format!("/v2/zoom-credentials/{id}");
    let app = format!("/v2/zoom-apps/{CLIENT_ID}");
    let vendor = "/v2/vendors/meetstream".to_owned();
    let endpoint = "/v2/notification-endpoint".to_owned();
    let secrets =
        json!({ "client_secret": CLIENT_SECRET, "webhook_secret_token": "a-token-of-the-app" });
    for (method, path, body) in [
        (
            Method::POST,
            "/v2/zoom-credentials".to_owned(),
            app_body("new"),
        ),
        (
            Method::PATCH,
            credential.clone(),
            json!({ "name": "renamed" }),
        ),
        (Method::POST, format!("{credential}/check"), json!({})),
        (
            Method::POST,
            format!("{credential}/token-urls"),
            json!({ "type": "zak" }),
        ),
        (
            Method::DELETE,
            format!("{credential}/token-urls/{}", url.id),
            Value::Null,
        ),
        (
            Method::POST,
            format!("/v2/zoom-credentials/{deleted}/restore"),
            Value::Null,
        ),
        (
            Method::POST,
            "/v2/zoom-tokens".to_owned(),
            json!({ "credential_id": id, "type": "zak" }),
        ),
        (
            Method::POST,
            "/v2/zoom-connect-sessions".to_owned(),
            with_app(json!({ "name": "desk" })),
        ),
        (
            Method::PUT,
            vendor.clone(),
            json!({ "secrets": ["a-shared-secret-of-a-vendor"] }),
        ),
        (Method::DELETE, vendor, Value::Null),
        (
            Method::PUT,
            endpoint.clone(),
            json!({ "url": "https://notify.example.com/zoom" }),
        ),
        (Method::POST, format!("{endpoint}/test"), Value::Null),
        (Method::DELETE, endpoint, Value::Null),
        (Method::PUT, app.clone(), secrets),
        (
            Method::POST,
            format!("{app}/rotate-secret"),
            json!({ "client_secret": CLIENT_SECRET }),
        ),
        (Method::DELETE, app, Value::Null),
        (Method::DELETE, credential, Value::Null),
    ] {
        let created = world
            .operator
            .create_key(&team, KeyTerms::of(Permission::Full));
        let (key, listing) = created.await.unwrap();
        let request = world.caller_with_key(&text_of(key)).request(method, &path);
        let request = if body.is_null() {
            request
        } else {
            request.json(&body)
        };
        let answer = send(request).await;
        assert!(answer.status < 300, "{path}: {}", answer.text);
        let used = requests.last_use(&team, &listing.key_id).await.unwrap();
        assert!(used.is_some(), "{path}");
    }
}

#[tokio::test]
async fn the_last_use_of_a_key_is_its_last_change_or_mint() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let team = world.team("acme");
    let requests = Requests::new(world.dynamodb.clone(), "requests".to_owned());
    let (key, listing) = world
        .operator
        .create_key(&team, KeyTerms::of(Permission::Full))
        .await
        .unwrap();
    let caller = world.caller_with_key(&text_of(key));
    let last_use = async || requests.last_use(&team, &listing.key_id).await.unwrap();
    caller.get(&id).await.expect(200);
    caller
        .update(&id, json!({ "name": 1 }))
        .await
        .expect_code(400, "FST_ERR_VALIDATION");
    assert_eq!(last_use().await, None);
    mint_onbehalf(&caller, &id).await.expect(200);
    let used = last_use().await.unwrap();
    assert!(used.until(Timestamp::now()) < Duration::from_mins(1));
}
