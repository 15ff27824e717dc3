//! The callback accepts one state, once, in the browser that pressed the button.

use serde_json::json;
use shared::connect::OAuthState;

use super::{
    Browser, COOKIE_NAME, RETURN_ORIGIN, Session, callback_url, expire_session, given_session,
    kms_and_zoom_calls, new_credential_body, session_outcome, session_row, state_of, text_of,
    world,
};
use crate::proxy::Service;
use crate::world::{World, with};

/// Panics unless the callback is refused with at most one read, no call to Zoom or KMS, and no change to the session.
async fn expect_refused(world: &World, session: &Session, browser: &Browser, url: &str, why: &str) {
    let before = session_row(world, session).await;
    world.wire.reset();
    let page = browser.open(url).await;
    page.expect(403, "The connection cannot continue here");
    assert!(!page.headers.contains_key("set-cookie"), "{why}");
    assert_eq!(kms_and_zoom_calls(world), (0, 0), "{why}");
    assert!(world.wire.count(Service::DynamoDb) <= 1, "{why}");
    assert_eq!(session_row(world, session).await, before, "{why}");
    assert_eq!(world.count("credentials").await, 0, "{why}");
}

// assures 27
#[tokio::test]
async fn a_callback_with_a_wrong_state_or_a_wrong_cookie_is_refused_before_any_token_call() {
    let world = world().await;
    let session = given_session(&world, &new_credential_body()).await;
    let mut browser = Browser::new(&world);
    let callback = browser.authorize(&session, Some("ada")).await;
    let other_session = given_session(&world, &new_credential_body()).await;
    let mut other_browser = Browser::new(&world);
    let other_callback = other_browser.authorize(&other_session, Some("ada")).await;
    let same_browser_session = given_session(&world, &new_credential_body()).await;
    let state_of_same_browser = state_of(
        browser
            .clone()
            .press_button(&same_browser_session)
            .await
            .zoom_url()
            .as_str(),
    );

    let state = state_of(&callback);
    let guessed = OAuthState::generate(session.id.parse().unwrap()).unwrap();
    let swap = |to: &str| callback.replace(&state, to);
    let cases = [
        ("a cut state", swap(state.split_at(70).0)),
        (
            "a guessed state of the right session",
            swap(&text_of(&guessed.into_text())),
        ),
        (
            "the state of another session in another browser",
            swap(&state_of(&other_callback)),
        ),
        (
            "the link token instead of the state",
            swap(session.link.rsplit('/').next().unwrap()),
        ),
        (
            "no code and no error",
            callback.split('?').next().unwrap().to_owned() + "?state=" + &state,
        ),
    ];
    for (why, url) in &cases {
        expect_refused(&world, &session, &browser, url, why).await;
    }
    // The browser has a second session. Its state selects that session's PKCE verifier, which does not match this code.
    let url = swap(&state_of_same_browser);
    let page = browser.open(&url).await;
    page.expect(400, "Zoom did not complete the connection");
    assert_eq!(session_outcome(&world, &session).await.0, "pending");

    let without_cookie = Browser::new(&world);
    expect_refused(&world, &session, &without_cookie, &callback, "no cookie").await;
    expect_refused(
        &world,
        &session,
        &other_browser,
        &callback,
        "another browser's cookie",
    )
    .await;
    for cookie in ["", "x", &"A".repeat(43), &"A".repeat(44), "%00"] {
        let forged = Browser {
            cookie: Some(cookie.to_owned()),
            ..without_cookie.clone()
        };
        expect_refused(&world, &session, &forged, &callback, cookie).await;
    }
    let cookie = browser.cookie.clone().unwrap();
    let two_cookies = Browser {
        cookie: Some(format!("{cookie}; {COOKIE_NAME}={}", "A".repeat(43))),
        ..without_cookie
    };
    expect_refused(&world, &session, &two_cookies, &callback, "two cookies").await;

    browser
        .open(&callback)
        .await
        .expect(200, "Zoom is connected");
}

// assures 27
#[tokio::test]
async fn a_state_works_once() {
    let world = world().await;
    let session = given_session(&world, &new_credential_body()).await;
    let mut browser = Browser::new(&world);
    let callback = browser.authorize(&session, Some("ada")).await;
    browser
        .open(&callback)
        .await
        .expect(200, "Zoom is connected");
    let state = state_of(&callback);
    let unused_code = world.code();
    let replayed = format!("{}?code={unused_code}&state={state}", callback_url(&world));
    browser
        .open(&replayed)
        .await
        .expect(200, "Zoom is connected");
    assert_eq!(
        (world.exchange_calls(), world.count("credentials").await),
        (1, 1)
    );
}

#[tokio::test]
async fn a_callback_after_the_session_has_expired_is_refused() {
    let world = world().await;
    for return_url in [None, Some(format!("{RETURN_ORIGIN}/"))] {
        let session = given_session(
            &world,
            &with(new_credential_body(), json!({ "return_url": return_url })),
        )
        .await;
        let mut browser = Browser::new(&world);
        let callback = browser.authorize(&session, Some("ada")).await;
        expire_session(&world, &session).await;
        world.wire.reset();
        let page = browser.open(&callback).await;
        match return_url {
            None => page.expect(410, "The link has expired"),
            Some(url) => {
                let expected = format!("{url}?session_id={}&error=expired", session.id);
                assert_eq!(page.location().as_str(), expected);
            }
        }
        assert_eq!(world.wire.operations(Service::DynamoDb), ["GetItem"]);
        assert_eq!(kms_and_zoom_calls(&world), (0, 0));
        assert_eq!(
            session_outcome(&world, &session).await,
            ("expired".to_owned(), json!("expired"), false)
        );
        browser
            .open(&session.link)
            .await
            .expect(410, "The link has expired");
        browser
            .press_button(&session)
            .await
            .expect(410, "The link has expired");
    }
    assert_eq!(world.count("credentials").await, 0);
}

#[tokio::test]
async fn the_browser_that_pressed_the_button_last_owns_the_session() {
    let world = world().await;
    let session = given_session(&world, &new_credential_body()).await;
    let (mut first, mut second) = (Browser::new(&world), Browser::new(&world));
    let first_callback = first.authorize(&session, Some("ada")).await;
    let second_callback = second.authorize(&session, Some("ada")).await;
    expect_refused(
        &world,
        &session,
        &first,
        &first_callback,
        "another browser started last",
    )
    .await;
    expect_refused(
        &world,
        &session,
        &first,
        &second_callback,
        "the state of another browser",
    )
    .await;
    second
        .open(&second_callback)
        .await
        .expect(200, "Zoom is connected");
    first
        .open(&first_callback)
        .await
        .expect(403, "The connection cannot continue here");
}
