//! Button presses and callbacks that overlap.

use serde_json::json;
use tokio::task::JoinSet;

use super::{Browser, given_session, new_credential_body, read_session, world};
use crate::proxy::Service;
use crate::world::{Item, attribute};

#[tokio::test]
async fn of_parallel_button_presses_one_leads_to_a_connection() {
    let world = world().await;
    let session = given_session(&world, &new_credential_body()).await;
    let mut browser = Browser::new(&world);
    browser.press_button(&session).await;
    let mut presses = JoinSet::new();
    for _ in 0..6 {
        let (mut browser, session) = (browser.clone(), session.clone());
        presses.spawn(async move { browser.press_button(&session).await.zoom_url() });
    }
    let mut connected = 0;
    for zoom_url in presses.join_all().await {
        let callback = browser.decide_at_zoom(&zoom_url, Some("ada")).await;
        let page = browser.open(&callback).await;
        connected += usize::from(page.status == 200);
        assert!(matches!(page.status, 200 | 403), "{page:?}");
    }
    assert_eq!((connected, world.exchange_calls()), (1, 1));
}

#[tokio::test]
async fn of_parallel_callbacks_one_exchanges_the_code() {
    let world = world().await;
    let session = given_session(&world, &new_credential_body()).await;
    let mut browser = Browser::new(&world);
    let callback = browser.authorize(&session, Some("ada")).await;
    let mut visits = JoinSet::new();
    for _ in 0..12 {
        let (browser, callback) = (browser.clone(), callback.clone());
        visits.spawn(async move { browser.open(&callback).await });
    }
    let pages = visits.join_all().await;
    for page in &pages {
        match page.status {
            200 => page.expect(200, "Zoom is connected"),
            409 => {
                page.expect(409, "One moment");
                assert!(
                    page.text
                        .contains("<meta http-equiv=\"refresh\" content=\"3\">")
                );
            }
            _ => panic!("{page:?}"),
        }
    }
    assert!(pages.iter().any(|page| page.status == 200));
    assert_eq!(
        (world.exchange_calls(), world.count("credentials").await),
        (1, 1)
    );
    browser
        .open(&callback)
        .await
        .expect(200, "Zoom is connected");
}

#[tokio::test]
async fn while_the_code_is_exchanged_the_session_cannot_be_started_again() {
    let world = world().await;
    let session = given_session(&world, &new_credential_body()).await;
    let mut browser = Browser::new(&world);
    let callback = browser.authorize(&session, Some("ada")).await;
    let held = world.wire.hold(Service::Zoom, "/oauth/token");
    let visit = tokio::spawn({
        let (browser, callback) = (browser.clone(), callback.clone());
        async move { browser.open(&callback).await }
    });
    world.wire.stalled().await;
    let mut other = Browser::new(&world);
    other.press_button(&session).await.expect(409, "One moment");
    other.open(&session.link).await.expect(409, "One moment");
    browser.open(&callback).await.expect(409, "One moment");
    assert_eq!(read_session(&world, &session).await["status"], "pending");
    held.notify_one();
    visit.await.unwrap().expect(200, "Zoom is connected");
}

#[tokio::test]
async fn two_sessions_of_one_credential_reconnect_it_one_after_the_other() {
    let world = world().await;
    let id = world.add_user_credential("bot").await;
    let sessions = [
        given_session(&world, &json!({ "credential_id": id })).await,
        given_session(&world, &json!({ "credential_id": id })).await,
    ];
    let (mut first, mut second) = (Browser::new(&world), Browser::new(&world));
    let first_callback = first.authorize(&sessions[0], Some("ada")).await;
    let second_callback = second.authorize(&sessions[1], Some("ada")).await;
    let held = world.wire.hold(Service::Zoom, "/oauth/token");
    let visit = tokio::spawn(async move { first.open(&first_callback).await });
    world.wire.stalled().await;
    second
        .open(&second_callback)
        .await
        .expect(409, "One moment");
    held.notify_one();
    visit.await.unwrap().expect(200, "Zoom is connected");
    second
        .open(&second_callback)
        .await
        .expect(200, "Zoom is connected");
    assert!(!world.has_running_request().await);
}

/// The code is spent, so the grant is kept although nobody takes it. Nobody else of this user has a credential, so
/// keep-alive deletes the grant later.
#[tokio::test]
async fn a_credential_that_is_deleted_while_its_user_connects_loses_no_tokens() {
    let world = world().await;
    let id = world.add_user_credential("bot").await;
    world.register_grace();
    let session = given_session(&world, &json!({ "credential_id": id })).await;
    let mut browser = Browser::new(&world);
    let callback = browser.authorize(&session, Some("grace")).await;
    let grants = async || {
        let rows = world.items("secrets").await;
        let is_grant = |row: &&Item| attribute(row, "secret_id").starts_with("grant#");
        rows.iter().filter(is_grant).count()
    };
    assert_eq!(grants().await, 1);
    let bell = world.wire.hold(Service::Zoom, "/oauth/token");
    let visit = tokio::spawn(async move { browser.open(&callback).await });
    world.wire.stalled().await;
    world.acme.delete(&id).await.expect(200);
    bell.notify_one();

    let page = visit.await.unwrap();
    page.expect(404, "The connection has changed");
    assert_eq!(grants().await, 2);
}
