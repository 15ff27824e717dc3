//! Several candidates: who comes first, who is refreshed, and what the events say about the others.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use local::zoom::{Endpoint, Fault as ZoomFault, FaultKind, GrantType, Reply};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{Connected, tokens_in};
use crate::proxy::{Fault, Rule, Service};
use crate::vendors::answer_to;
use crate::world::{CLIENT_ID, World};

impl World {
    /// Connects three users, in this order: ada, bob, cid.
    async fn three(&self) -> [Connected; 3] {
        [
            self.connect("ada", Value::Null).await,
            self.connect("bob", Value::Null).await,
            self.connect("cid", Value::Null).await,
        ]
    }

    /// Makes the access token of one credential too old to be used.
    async fn expire_access_token(&self, user: &Connected) {
        let past = aws_sdk_dynamodb::types::AttributeValue::N("0".to_owned());
        self.set_in_grant(&user.credential, "access_expires_at", past)
            .await;
    }
}

fn names(users: &[Connected]) -> String {
    let names: Vec<&str> = users.iter().map(|it| it.user.as_str()).collect();
    names.join(",")
}

#[tokio::test]
async fn attendee_gets_the_tokens_of_all_and_a_text_has_the_first() {
    let world = World::new().await;
    let [ada, bob, cid] = world.three().await;
    let list = json!([cid.credential, ada.credential, bob.credential]);
    let body = json!({ "types": ["onbehalf"], "credentials": list, "unverified": true });
    let url = world.given_choosing(body).await;
    let answer = world.vendor_posts(&url, &json!({})).await;
    let tokens = tokens_in(&answer);
    assert_eq!(
        world.users_of(&tokens["onbehalf_token"]),
        ["cid", "ada", "bob"]
    );
    assert_eq!(world.users_of(&tokens["obf"]), ["cid"]);
    assert_eq!(tokens["obf"], tokens["token"]);
    for user in [&ada, &bob, &cid] {
        assert_eq!(world.mints_of(&user.credential).await, ["succeeded"]);
    }

    let answer = world.vendor_gets(&url, "").await;
    assert_eq!(world.user_of(&answer.text), "cid");
    assert_eq!(world.mints_of(&cid.credential).await, ["succeeded"; 2]);
    // The tokens of the others were minted at the same time, and nobody got them.
    for user in [&ada, &bob] {
        let mints = world.mints_of(&user.credential).await;
        assert_eq!(mints, ["NOT_CHOSEN", "succeeded", "succeeded"]);
    }
    assert_eq!(world.uses(&url.id).await, "2");
}

#[tokio::test]
async fn the_first_that_mints_is_used_and_the_events_say_why_the_others_were_not() {
    let world = World::new().await;
    let [ada, bob, cid] = world.three().await;
    let deleted = world.connect("dee", Value::Null).await;
    world.acme.delete(&deleted.credential).await.expect(200);
    world.zoom.remove_app(CLIENT_ID, "ada");
    world.expire_access_token(&ada).await;
    let url = world.given_open_url(&["zak"], json!({})).await;
    let ids = [
        &deleted.credential,
        &ada.credential,
        &bob.credential,
        &cid.credential,
    ];
    let ids = ids.map(String::as_str).join(",");
    let query = [("credential_id", ids.as_str())];
    let answer = answer_to(world.meetingbaas(&url, &query, &json!({}))).await;
    assert_eq!(world.user_of(&answer.text), "bob");
    assert_eq!(world.mints_of(&bob.credential).await, ["succeeded"]);
    assert_eq!(world.mints_of(&ada.credential).await, ["NOT_CHOSEN"]);
    assert_eq!(
        world.mints_of(&cid.credential).await,
        ["NOT_CHOSEN", "succeeded"]
    );
    assert_eq!(world.mints_of(&deleted.credential).await, ["DELETED"]);
}

#[tokio::test]
async fn whoever_needs_a_refresh_comes_last_and_one_at_a_time() {
    let world = World::new().await;
    let users = world.three().await;
    let [ada, bob, _] = &users;
    world.expire_access_token(ada).await;
    world.expire_access_token(bob).await;
    let url = world.given_open_url(&["onbehalf"], json!({})).await;
    world.wire.reset();
    let body = json!({ "zoom_user_id": names(&users) });
    let tokens = tokens_in(&world.vendor_posts(&url, &body).await);
    assert_eq!(
        world.users_of(&tokens["onbehalf_token"]),
        ["ada", "bob", "cid"]
    );
    let zoom = world.wire.calls().into_iter();
    let zoom = zoom.filter(|call| call.service == Service::Zoom);
    let paths: Vec<String> = zoom.map(|call| call.operation).collect();
    let (refresh, mint) = ("/oauth/token", "/v2/users/me/token");
    assert_eq!(paths, [mint, refresh, mint, refresh, mint]);
    // Each refresh is recorded once, by its own credential.
    for (user, refreshes) in users.iter().zip([1, 1, 0]) {
        let events = world.acme.events(&user.credential, "").await.expect(200);
        let events = events.as_array().unwrap().iter();
        let found = events.filter(|event| event["kind"] == "refresh");
        assert_eq!(found.count(), refreshes);
    }
}

#[tokio::test]
async fn nobody_is_refreshed_for_a_text_if_another_access_token_is_good() {
    let world = World::new().await;
    let users = world.three().await;
    let [ada, ..] = &users;
    world.expire_access_token(ada).await;
    let url = world.given_open_url(&["onbehalf"], json!({})).await;
    let query = format!("?zoom_user_id={}", names(&users));
    let answer = world.vendor_gets(&url, &query).await;
    assert_eq!(world.user_of(&answer.text), "bob");
    assert_eq!(world.refresh_calls(), 0);
    assert_eq!(world.mints_of(&ada.credential).await, ["NOT_CHOSEN"]);
}

/// Zoom gets a refresh token, and keeps the answer back. The call must not answer, although its vendor waits no longer.
async fn expect_no_answer_during_refresh<F: Future>(world: &World, mut call: Pin<&mut F>) {
    const EARLY: &str = "it answered while Zoom had a refresh token";
    tokio::select! {
        _ = &mut call => panic!("{EARLY}"),
        () = world.wire.stalled() => {}
    }
    // Longer than the time that the vendor waits.
    let waited = tokio::time::timeout(Duration::from_secs(15), call).await;
    assert!(waited.is_err(), "{EARLY}");
}

#[tokio::test]
async fn no_answer_leaves_while_a_refresh_is_open() {
    let world = World::new().await;
    let users = world.three().await;
    let [ada, bob, _] = &users;
    world.expire_access_token(ada).await;
    world.expire_access_token(bob).await;
    let url = world.given_open_url(&["onbehalf"], json!({})).await;
    world.wire.reset();
    let told = Arc::new(Notify::new());
    let hold = Fault::Hold(told.clone());
    world.wire.inject_once(Service::Zoom, "/oauth/token", hold);
    let body = json!({ "zoom_user_id": names(&users) });
    let call = world.vendor_posts(&url, &body);
    tokio::pin!(call);
    expect_no_answer_during_refresh(&world, call.as_mut()).await;
    told.notify_one();
    let tokens = tokens_in(&call.await);
    // The refresh of ada is stored. There was no time for the one of bob.
    assert_eq!(world.users_of(&tokens["onbehalf_token"]), ["ada", "cid"]);
    assert_eq!(world.mints_of(&bob.credential).await, ["OUT_OF_TIME"]);
    let sent = world.zoom.ledger().into_iter();
    let sent = sent.filter(|call| call.grant_type == Some(GrantType::RefreshToken));
    assert_eq!(sent.count(), 1);
}

impl World {
    /// Lets Zoom refuse the access tokens of ada and bob, which the vault takes for good. Zoom accepts the one of cid.
    async fn three_of_whom_zoom_refuses_two(&self) -> [Connected; 3] {
        let ada = self.connect("ada", Value::Null).await;
        let bob = self.connect("bob", Value::Null).await;
        self.zoom.advance(Duration::from_hours(1));
        self.age_access_tokens().await;
        let cid = self.connect("cid", Value::Null).await;
        [ada, bob, cid]
    }
}

// Seen to fail: the refreshes ran at the same time
#[tokio::test]
async fn whoever_has_an_access_token_that_zoom_refuses_is_refreshed_last_and_one_at_a_time() {
    let world = World::new().await;
    let users = world.three_of_whom_zoom_refuses_two().await;
    let [ada, bob, cid] = &users;
    let url = world.given_open_url(&["onbehalf", "zak"], json!({})).await;
    let body = json!({ "zoom_user_id": names(&users) });
    let answer = tokens_in(&world.vendor_posts(&url, &body).await);
    let of_all = world.users_of(&answer["onbehalf_token"]);
    assert_eq!(of_all, ["ada", "bob", "cid"]);
    assert_eq!(world.users_of(&answer["zak_token"]), ["ada"]);
    for user in [ada, bob] {
        let mints = world.mints_of(&user.credential).await;
        let refused = mints.iter().filter(|it| *it == "NEEDS_REFRESH");
        assert_eq!(refused.count(), 1, "{mints:?}");
        let events = world.acme.events(&user.credential, "").await.expect(200);
        let events = events.as_array().unwrap().iter();
        let refreshes = events.filter(|event| event["kind"] == "refresh");
        assert_eq!(refreshes.count(), 1);
    }
    let mints = world.mints_of(&cid.credential).await;
    assert_eq!(mints, ["NOT_CHOSEN", "succeeded", "succeeded"]);
}

// Seen to fail: ada was refreshed
#[tokio::test]
async fn a_text_refreshes_nobody_whose_access_token_zoom_refuses_if_another_is_good() {
    let world = World::new().await;
    let users = world.three_of_whom_zoom_refuses_two().await;
    let [ada, ..] = &users;
    let url = world.given_open_url(&["zak"], json!({})).await;
    world.wire.reset();
    let query = format!("?zoom_user_id={}", names(&users));
    let answer = world.vendor_gets(&url, &query).await;
    assert_eq!(world.user_of(&answer.text), "cid");
    assert_eq!(world.refresh_calls(), 0);
    let mints = world.mints_of(&ada.credential).await;
    assert_eq!(mints, ["NOT_CHOSEN", "NEEDS_REFRESH", "succeeded"]);
}

// Seen to fail: two refreshes were open
#[tokio::test]
async fn of_two_refused_access_tokens_one_is_refreshed_and_no_answer_leaves_meanwhile() {
    let world = World::new().await;
    let users = world.three_of_whom_zoom_refuses_two().await;
    let [_, bob, _] = &users;
    let url = world.given_open_url(&["onbehalf"], json!({})).await;
    world.wire.reset();
    let told = Arc::new(Notify::new());
    world.wire.inject(Rule {
        service: Some(Service::Zoom),
        operation: Some("/oauth/token"),
        nth: None,
        fault: Fault::Hold(told.clone()),
    });
    let body = json!({ "zoom_user_id": names(&users) });
    let call = world.vendor_posts(&url, &body);
    tokio::pin!(call);
    expect_no_answer_during_refresh(&world, call.as_mut()).await;
    assert_eq!(world.refresh_calls(), 1);
    told.notify_one();
    let tokens = tokens_in(&call.await);
    // There was no time for the refresh of bob.
    assert_eq!(world.users_of(&tokens["onbehalf_token"]), ["ada", "cid"]);
    let mints = world.mints_of(&bob.credential).await;
    assert_eq!(mints, ["OUT_OF_TIME", "NEEDS_REFRESH", "succeeded"]);
    assert_eq!(world.refresh_calls(), 1);
}

// Seen to fail: a 502 without the ZAK
#[tokio::test]
async fn if_zoom_fails_to_mint_one_type_the_answer_has_the_others() {
    let world = World::new().await;
    let [ada, ..] = world.three().await;
    let url = world.given_open_url(&["onbehalf", "zak"], json!({})).await;
    let body = json!({ "zoom_user_id": ada.user });
    for status in [StatusCode::BAD_GATEWAY, StatusCode::INTERNAL_SERVER_ERROR] {
        let reply = FaultKind::ReplyBefore(Reply::status(status));
        world.zoom.inject(ZoomFault::once(Endpoint::Mint, reply));
        let tokens = tokens_in(&world.vendor_posts(&url, &body).await);
        assert_eq!(tokens.get("onbehalf_token"), None, "{tokens}");
        assert_eq!(world.users_of(&tokens["zak_token"]), ["ada"]);
        world.zoom.clear_faults();
    }
    let mints = world.mints_of(&ada.credential).await;
    let failed = mints.iter().filter(|it| *it == "FST_ERR_ZOOM_UNAVAILABLE");
    assert_eq!(failed.count(), 2, "{mints:?}");
}

/// One refresh is sent twice. The next type would have sent it a third time, and Zoom would have answered.
#[tokio::test]
async fn a_refresh_that_zoom_fails_is_not_begun_again_for_the_next_type() {
    let world = World::new().await;
    let [ada, ..] = world.three().await;
    let url = world.given_open_url(&["onbehalf", "zak"], json!({})).await;
    world.expire_access_token(&ada).await;
    let reply = FaultKind::ReplyBefore(Reply::status(StatusCode::BAD_GATEWAY));
    let refresh = Endpoint::Grant(GrantType::RefreshToken);
    world.zoom.inject(ZoomFault::once(refresh, reply).times(2));
    let body = json!({ "zoom_user_id": ada.user });
    let answer = world.vendor_posts(&url, &body).await;
    answer.expect_code(502, "FST_ERR_ZOOM_UNAVAILABLE");
    let mints = world.mints_of(&ada.credential).await;
    assert_eq!(mints, ["FST_ERR_ZOOM_UNAVAILABLE"]);
}

#[tokio::test]
async fn if_nobody_can_mint_the_answer_is_the_error_of_the_first_and_the_use_is_given_back() {
    let world = World::new().await;
    let [ada, bob, _] = world.three().await;
    for user in [&ada, &bob] {
        world.zoom.remove_app(CLIENT_ID, &user.user);
        world.expire_access_token(user).await;
    }
    let url = world
        .given_open_url(&["zak"], json!({ "max_uses": 1 }))
        .await;
    let query = format!("?zoom_user_id={}", names(&[ada.clone(), bob.clone()]));
    for _ in 0..2 {
        let answer = world.vendor_gets(&url, &query).await;
        assert_eq!(answer.status, 409, "{}", answer.text);
        assert!(answer.text.contains("must authorize the Zoom app again"));
    }
    assert_eq!(world.uses(&url.id).await, "0");
}

#[tokio::test]
async fn the_same_credential_under_two_names_is_tried_once() {
    let world = World::new().await;
    let [ada, ..] = world.three().await;
    let url = world.given_open_url(&["onbehalf"], json!({})).await;
    let body = json!({
        "credential_id": ada.credential,
        "zoom_user_id": ada.user,
        "zoom_email": [ada.email, ada.email.to_lowercase()],
    });
    let tokens = tokens_in(&world.vendor_posts(&url, &body).await);
    assert_eq!(world.users_of(&tokens["onbehalf_token"]), ["ada"]);
}
