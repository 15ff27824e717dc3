//! A reconnection by another Zoom user than before.

use aws_sdk_dynamodb::types::AttributeValue;
use local::zoom::User;
use reqwest::StatusCode;
use serde_json::{Value, json};
use shared::stores::DUE_AT_ONCE;

use super::{
    Browser, RETURN_ORIGIN, Session, given_session, mint_zak, new_credential_body, read_session,
    session_row, world,
};
use crate::life::sealed_secrets;
use crate::proxy::{Fault, Service};
use crate::world::{World, ada, attribute};

const USER_CHANGED_NOTICE: &str = "You connected a different Zoom account";

/// The session's `user_changed`: whether the credential had another Zoom user before.
async fn user_changed(world: &World, session: &Session) -> Value {
    read_session(world, session).await["user_changed"].clone()
}

#[tokio::test]
async fn the_page_and_the_session_say_when_another_zoom_user_connected() {
    let world = world().await;
    world.register_grace();
    let id = world.add_user_credential("bot").await;
    // Ada is the first user. When she repairs the mix-up, the page does not warn her. The team is told each time.
    for (user, is_another, is_warned) in [
        ("ada", false, false),
        ("grace", true, true),
        ("grace", false, false),
        ("ada", true, false),
        ("grace", true, true),
    ] {
        let session = given_session(&world, &json!({ "credential_id": id })).await;
        assert_eq!(user_changed(&world, &session).await, Value::Null);
        let mut browser = Browser::new(&world);
        let callback = browser.authorize(&session, Some(user)).await;
        // The second visit is a reload.
        for _ in 0..2 {
            let page = browser.open(&callback).await;
            page.expect(200, "Zoom is connected");
            assert_eq!(page.text.contains(USER_CHANGED_NOTICE), is_warned, "{user}");
            let named = ["Ada Lovelace", "grace@example.test"].map(|name| page.text.contains(name));
            assert_eq!(named, [user == "ada", user == "grace"]);
        }
        assert_eq!(user_changed(&world, &session).await, json!(is_another));
        let credential = world.acme.get(&id).await.expect(200);
        assert_eq!(credential["zoom_user_id"], user);
    }
}

#[tokio::test]
async fn the_return_url_says_when_another_zoom_user_connected() {
    let world = world().await;
    world.register_grace();
    let id = world.add_user_credential("bot").await;
    let requested = json!({ "credential_id": id, "return_url": format!("{RETURN_ORIGIN}/") });
    for (user, parameter) in [("ada", ""), ("grace", "&user_changed=true")] {
        let session = given_session(&world, &requested).await;
        let mut browser = Browser::new(&world);
        let location = browser.connect(&session, user).await.location();
        let expected = format!(
            "{RETURN_ORIGIN}/?session_id={}&credential_id={id}{parameter}",
            session.id
        );
        assert_eq!(location.as_str(), expected);
    }
}

#[tokio::test]
async fn user_changed_is_null_while_the_old_or_the_new_user_is_unknown() {
    let world = world().await;
    world.register_grace();
    let user = world.add_user_credential("bot").await;
    let session = given_session(&world, &json!({ "credential_id": user })).await;
    let down = Fault::Answer(StatusCode::BAD_GATEWAY, "{}".to_owned());
    // The vault asks Zoom twice.
    for _ in 0..2 {
        world
            .wire
            .inject_once(Service::Zoom, "/v2/users/me", down.clone());
    }
    let page = Browser::new(&world).connect(&session, "grace").await;
    page.expect(200, "Zoom is connected");
    assert!(!page.text.contains(USER_CHANGED_NOTICE));
    assert_eq!(user_changed(&world, &session).await, Value::Null);
    // The credential has no known user now. A session created now can therefore never compare two users.
    let later = given_session(&world, &json!({ "credential_id": user })).await;
    world.acme.check(&user).await.expect(200);
    assert_eq!(user_changed(&world, &session).await, json!(true));
    Browser::new(&world)
        .connect(&later, "ada")
        .await
        .expect(200, "Zoom is connected");
    assert_eq!(user_changed(&world, &later).await, Value::Null);
    world.acme.delete(&user).await.expect(200);
    assert_eq!(user_changed(&world, &session).await, Value::Null);

    // A new credential and an app credential have no earlier user.
    let app = world.add_app_credential("app").await;
    for requested in [new_credential_body(), json!({ "credential_id": app })] {
        let session = given_session(&world, &requested).await;
        Browser::new(&world)
            .connect(&session, "ada")
            .await
            .expect(200, "Zoom is connected");
        assert_eq!(user_changed(&world, &session).await, Value::Null);
    }
}

/// Makes a taken grant due again, as after an hour.
async fn make_due(world: &World, grant: &str) {
    let rows = world.items("secrets").await.into_iter();
    let mut rows = rows.filter(|row| attribute(row, "secret_id") == grant);
    let mut row = rows.next().unwrap();
    let long_ago = AttributeValue::S(DUE_AT_ONCE.to_string());
    row.insert("idle_since".to_owned(), long_ago);
    world.put("secrets", row).await;
}

#[tokio::test]
async fn when_another_user_connects_the_tokens_of_the_first_user_are_destroyed() {
    let world = world().await;
    world.register_grace();
    let id = world.add_user_credential("bot").await;
    let current_grant = async || format!("grant#{}", attribute(&world.row(&id).await, "grant_id"));
    let grant_of_ada = current_grant().await;
    let session = given_session(&world, &json!({ "credential_id": id })).await;
    let page = Browser::new(&world).connect(&session, "grace").await;
    page.expect(200, "Zoom is connected");
    let grant_of_grace = current_grant().await;
    let sealed = sealed_secrets(&world).await;
    assert!(
        sealed.contains(&grant_of_ada),
        "the purge has not read the stream yet"
    );
    // The purge makes Ada's grant due. Keep-alive does not destroy it while it is young.
    assert!(world.drain_stream().await);
    world.keep_alive().await;
    assert_eq!(sealed_secrets(&world).await, sealed);
    world.backdate_grants().await;
    assert!(world.drain_stream().await);
    make_due(&world, &grant_of_ada).await;
    assert_eq!(world.keep_alive().await.destroyed, 1);
    assert_eq!(
        sealed_secrets(&world).await,
        [format!("app#{id}"), grant_of_grace]
    );
    // The vault does not revoke Ada's grant at Zoom: only Ada may remove the app there.
    assert!(world.zoom.grants().iter().all(|grant| grant.alive));

    let connected = read_session(&world, &session).await;
    let outcome =
        ["status", "credential_id", "user_changed", "error"].map(|name| connected[name].clone());
    assert_eq!(
        outcome,
        [json!("connected"), json!(id), json!(true), Value::Null]
    );
    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(
        (&credential["state"], &credential["zoom_user_id"]),
        (&json!("active"), &json!("grace"))
    );
    world.expire_access_tokens().await;
    mint_zak(&world, &id).await;
}

#[tokio::test]
async fn the_row_of_a_session_has_a_hash_of_the_expected_user_and_not_the_user_id() {
    let world = world().await;
    world.zoom.register_user(User {
        id: "a-zoom-user-id".to_owned(),
        ..ada()
    });
    let id = world.add_credential_for_user("a-zoom-user-id").await;
    let session = given_session(&world, &json!({ "credential_id": id, "name": "bot" })).await;
    let row = session_row(&world, &session).await;
    assert_eq!(attribute(&row, "known_user").len(), 64);
    assert!(!format!("{row:?}").contains("a-zoom-user-id"));
}
