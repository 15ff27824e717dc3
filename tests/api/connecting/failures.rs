//! A session fails, and the user opens the same link again.

use reqwest::StatusCode;
use serde_json::json;
use shared::api_key::{KeyTerms, Permission};
use url::Url;

use super::{
    Browser, LINK_COOKIE, RETURN_ORIGIN, Session, callback_url, create_session, expect_connected,
    expect_failed, given_session, new_credential_body, session_row, state_of, world,
};
use crate::proxy::{Fault, Service};
use crate::world::{text_of, with};

#[tokio::test]
async fn a_user_who_denied_the_app_can_open_the_link_again_and_connect() {
    let world = world().await;
    let session = given_session(&world, &new_credential_body()).await;
    let mut browser = Browser::new(&world);
    let callback = browser.authorize(&session, None).await;
    let page = browser.open(&callback).await;
    page.expect(400, "Nothing was connected");
    assert!(page.text.contains("The link works until "));
    expect_failed(&world, &session, "access_denied").await;
    assert_eq!(world.exchange_calls(), 0);

    // The button goes to Zoom at once. Only the browser that has opened the link gets the button.
    let started = browser.try_again(&session, &page).await;
    started.expect(200, "Taking you to Zoom");
    let stranger = Browser {
        link: None,
        ..browser.clone()
    };
    let callback_again = browser.decide_at_zoom(&started.zoom_url(), None).await;
    let page = stranger.open(&callback_again).await;
    page.expect(400, "Nothing was connected");
    assert!(!page.text.contains("<form"));
    browser
        .open(&session.link)
        .await
        .expect(200, "Connect your Zoom account");
    let callback = browser.authorize(&session, Some("ada")).await;
    let connected = browser.open(&callback).await;
    connected.expect(200, "Zoom is connected");
    assert_eq!(
        connected.header("set-cookie"),
        format!("{LINK_COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
    );
    expect_connected(&world, &session).await;
    browser
        .open(&session.link)
        .await
        .expect(410, "Already connected");
    browser
        .press_button(&session)
        .await
        .expect(410, "Already connected");
    browser
        .open(&callback_again)
        .await
        .expect(403, "The connection cannot continue here");
}

#[tokio::test]
async fn a_session_that_connects_leaves_the_button_to_another_session_of_the_browser() {
    let world = world().await;
    let first = given_session(&world, &new_credential_body()).await;
    let second = given_session(&world, &new_credential_body()).await;
    let mut browser = Browser::new(&world);
    let first_callback = browser.authorize(&first, Some("ada")).await;
    let second_callback = browser.authorize(&second, None).await;

    let connected = browser.open(&first_callback).await;
    connected.expect(200, "Zoom is connected");
    assert!(!connected.headers.contains_key("set-cookie"));
    let denied = browser.open(&second_callback).await;
    denied.expect(400, "Nothing was connected");
    let started = browser.try_again(&second, &denied).await;
    started.expect(200, "Taking you to Zoom");
}

#[tokio::test]
async fn an_error_that_zoom_sends_to_the_callback_fails_the_session() {
    let world = world().await;
    for (zoom_error, session_error, heading) in [
        (
            "invalid_scope",
            "missing_scope",
            "The Zoom app lacks a permission",
        ),
        ("server_error", "zoom_refused", "Zoom reported an error"),
        ("<script>", "zoom_refused", "Zoom reported an error"),
    ] {
        let session = given_session(&world, &new_credential_body()).await;
        let mut browser = Browser::new(&world);
        let state = state_of(browser.press_button(&session).await.zoom_url().as_str());
        let mut callback: Url = callback_url(&world).parse().unwrap();
        callback
            .query_pairs_mut()
            .append_pair("error", zoom_error)
            .append_pair("state", &state);
        browser.open(callback.as_str()).await.expect(400, heading);
        expect_failed(&world, &session, session_error).await;
    }
    assert_eq!(world.exchange_calls(), 0);
}

#[tokio::test]
async fn a_wrong_client_secret_fails_the_session_with_app_misconfigured() {
    let world = world().await;
    let session = given_session(
        &world,
        &with(
            new_credential_body(),
            json!({ "client_secret": "wrong", "return_url": format!("{RETURN_ORIGIN}/") }),
        ),
    )
    .await;
    let mut browser = Browser::new(&world);
    let location = browser.connect(&session, "ada").await.location();
    assert!(
        location.as_str().ends_with("&error=app_misconfigured"),
        "{location}"
    );
    let session = given_session(
        &world,
        &with(new_credential_body(), json!({ "client_secret": "wrong" })),
    )
    .await;
    browser
        .connect(&session, "ada")
        .await
        .expect(400, "The Zoom app is not set up correctly");
    expect_failed(&world, &session, "app_misconfigured").await;
    assert_eq!(world.count("credentials").await, 0);
}

#[tokio::test]
async fn after_an_expired_code_the_link_can_be_used_again() {
    let world = world().await;
    let session = given_session(&world, &new_credential_body()).await;
    let mut browser = Browser::new(&world);
    let callback = browser.authorize(&session, Some("ada")).await;
    world.zoom.advance(std::time::Duration::from_mins(6));
    browser
        .open(&callback)
        .await
        .expect(400, "Zoom did not complete the connection");
    expect_failed(&world, &session, "code_refused").await;
    browser
        .connect(&session, "ada")
        .await
        .expect(200, "Zoom is connected");
}

#[tokio::test]
async fn after_a_failure_of_zoom_the_link_can_be_used_again() {
    let world = world().await;
    let session = given_session(&world, &new_credential_body()).await;
    let mut browser = Browser::new(&world);
    for (zoom_status, page_status) in [
        (StatusCode::BAD_GATEWAY, 502),
        (StatusCode::TOO_MANY_REQUESTS, 503),
    ] {
        let callback = browser.authorize(&session, Some("ada")).await;
        world.wire.inject_once(
            Service::Zoom,
            "/oauth/token",
            Fault::Answer(zoom_status, "{}".to_owned()),
        );
        browser
            .open(&callback)
            .await
            .expect(page_status, "Zoom did not answer");
        expect_failed(&world, &session, "zoom_unavailable").await;
        world.wire.heal();
    }
    browser
        .connect(&session, "ada")
        .await
        .expect(200, "Zoom is connected");
}

#[tokio::test]
async fn while_kms_is_down_the_code_is_not_sent_and_a_later_reload_connects() {
    let world = world().await;
    let session = given_session(&world, &new_credential_body()).await;
    let mut browser = Browser::new(&world);
    let callback = browser.authorize(&session, Some("ada")).await;
    let before = session_row(&world, &session).await;
    world.wire.break_service(
        Service::Kms,
        Fault::Answer(
            StatusCode::BAD_REQUEST,
            json!({ "__type": "DisabledException" }).to_string(),
        ),
    );
    browser
        .open(&callback)
        .await
        .expect(503, "Temporarily unavailable");
    assert_eq!(
        create_session(&world.acme, &new_credential_body())
            .await
            .status,
        503
    );
    assert_eq!(session_row(&world, &session).await, before);
    world.wire.heal();
    browser
        .open(&callback)
        .await
        .expect(200, "Zoom is connected");
}

#[tokio::test]
async fn a_credential_that_has_left_the_filter_of_the_sessions_key_is_not_connected() {
    let world = world().await;
    let acme = world.team("acme");
    let created = world.operator.create_key(
        &acme,
        KeyTerms {
            extra: "tenant:a".parse().unwrap(),
            ..KeyTerms::of(Permission::Full)
        },
    );
    let caller = world.caller_with_key(&text_of(created.await.unwrap().0));
    let extra = |tenant: &str| json!({ "extra": { "tenant": tenant } });
    let id = world.add_user_credential("bot").await;
    world.acme.update(&id, extra("a")).await.expect(200);
    let requested = json!({ "credential_id": id, "name": "taken", "extra": { "tenant": "a" } });
    let created = create_session(&caller, &requested).await.expect(201);
    let session = Session {
        id: created["session_id"].as_str().unwrap().to_owned(),
        link: created["connect_url"].as_str().unwrap().to_owned(),
    };
    world.acme.update(&id, extra("b")).await.expect(200);
    let before = world.row(&id).await;

    let mut browser = Browser::new(&world);
    let callback = browser.authorize(&session, Some("ada")).await;
    browser
        .open(&callback)
        .await
        .expect(400, "The connection has changed");
    assert_eq!(world.row(&id).await, before);
}

#[tokio::test]
async fn a_credential_that_was_deleted_or_changed_during_the_session_is_not_connected() {
    let world = world().await;
    let mut browser = Browser::new(&world);
    let deleted = world.add_app_credential("deleted").await;
    let changed = world.add_app_credential("changed").await;
    for (id, requested) in [
        (
            &deleted,
            json!({ "name": "Ada", "app_credential_id": deleted }),
        ),
        (&changed, json!({ "credential_id": changed })),
    ] {
        let session = given_session(&world, &requested).await;
        let callback = browser.authorize(&session, Some("ada")).await;
        if id == &deleted {
            world.acme.delete(id).await.expect(200);
        } else {
            world.register_app("another", "another");
            let other = json!({ "client_id": "another", "client_secret": "another" });
            world.acme.update(id, other).await.expect(200);
        }
        browser
            .open(&callback)
            .await
            .expect(400, "The connection has changed");
        expect_failed(&world, &session, "credential_changed").await;
    }
    assert_eq!(world.exchange_calls(), 0);
}
