//! A user connects, and the team gets a credential.

use std::collections::BTreeMap;

use local::zoom::App;
use serde_json::{Value, json};

use super::{
    Browser, RETURN_ORIGIN, Session, callback_url, count_session_secrets, create_session,
    credential_of, expect_connected, given_session, mint_zak, new_credential_body, read_session,
    session_row, world,
};
use crate::world::{CLIENT_ID, CLIENT_SECRET, Item, app_body, attribute, id_of, test_app, with};

#[tokio::test]
async fn a_user_connects_and_the_new_credential_mints_a_token() {
    let world = world().await;
    let requested = with(
        new_credential_body(),
        json!({ "extra": { "tenant": "acme" } }),
    );
    let created = create_session(&world.acme, &requested).await.expect(201);
    assert_eq!(created["redirect_uri"], callback_url(&world));
    let link = created["connect_url"].as_str().unwrap();
    assert!(link.starts_with(&world.acme.address("/connect/zcl_")));
    assert_eq!(link.rsplit('/').next().unwrap().len(), 4 + 64 + 6);
    let session = Session {
        id: created["session_id"].as_str().unwrap().to_owned(),
        link: link.to_owned(),
    };
    let pending = read_session(&world, &session).await;
    let expected = json!({
        "session_id": session.id, "status": "pending", "credential_id": null, "user_changed": null, "error": null,
        "created_at": pending["created_at"], "expires_at": created["expires_at"], "finished_at": null,
    });
    assert_eq!(pending, expected);

    let mut browser = Browser::new(&world);
    let page = browser.open(&session.link).await;
    page.expect(200, "Connect your Zoom account");
    assert!(page.text.contains("<html lang=\"en\">"));
    let request = "The team <strong><bdi>acme</bdi></strong> asks you to connect a Zoom account for <strong><bdi>Ada&#39;s bot</bdi></strong>.";
    assert!(page.text.contains(request), "{}", page.text);
    let client_id = format!("The Zoom app's client ID: <bdi>{CLIENT_ID}</bdi>");
    assert!(page.text.contains(&client_id));
    let page = browser.press_button(&session).await;
    page.expect(200, "Taking you to Zoom");
    let zoom_url = page.zoom_url();
    let sent: BTreeMap<String, String> = zoom_url.query_pairs().into_owned().collect();
    assert_eq!(sent["response_type"], "code");
    assert_eq!(sent["client_id"], CLIENT_ID);
    assert_eq!(sent["redirect_uri"], callback_url(&world));
    assert_eq!(sent["code_challenge_method"], "S256");
    assert_eq!(sent["code_challenge"].len(), 43);
    assert_eq!(read_session(&world, &session).await["status"], "pending");
    let callback = browser.decide_at_zoom(&zoom_url, Some("ada")).await;
    let page = browser.open(&callback).await;
    page.expect(200, "Zoom is connected");
    assert!(
        page.text.contains(
            "<strong><bdi>Ada Lovelace</bdi></strong> is connected for <strong><bdi>Ada&#39;s bot</bdi></strong> of the team <strong><bdi>acme</bdi></strong>."
        )
    );
    assert!(!page.text.contains("A permission is missing"));

    let connected = read_session(&world, &session).await;
    assert_eq!(
        (&connected["status"], &connected["error"]),
        (&json!("connected"), &Value::Null)
    );
    assert!(connected["finished_at"].is_string());
    let id = connected["credential_id"].as_str().unwrap();
    let credential = world.acme.get(id).await.expect(200);
    assert_eq!(credential["name"], "Ada's bot");
    assert_eq!(credential["credential_type"], "user");
    assert_eq!(credential["zoom_user_id"], "ada");
    assert_eq!(credential["extra"], json!({ "tenant": "acme" }));
    mint_zak(&world, id).await;
    assert_eq!(
        count_session_secrets(&world).await,
        0,
        "the secrets of the session are deleted"
    );
    assert_eq!(world.exchange_calls(), 1);
}

#[tokio::test]
async fn a_session_can_use_the_app_of_an_app_credential_without_sending_the_client_secret() {
    let world = world().await;
    let app = world.add_app_credential("the app").await;
    let session = given_session(&world, &json!({ "name": "Ada", "app_credential_id": app })).await;
    let page = Browser::new(&world).connect(&session, "ada").await;
    page.expect(200, "Zoom is connected");

    let id = read_session(&world, &session).await["credential_id"].clone();
    assert_ne!(id, app.as_str());
    let id = id.as_str().unwrap();
    assert_eq!(
        world.acme.get(&app).await.expect(200)["credential_type"],
        "app"
    );
    // The new credential has its own copy of the client secret, so the app credential can be deleted.
    world.acme.delete(&app).await.expect(200);
    world.expire_access_tokens().await;
    world.acme.check(id).await.expect(200);
    mint_zak(&world, id).await;
}

#[tokio::test]
async fn an_invalid_credential_is_reconnected_and_keeps_its_id() {
    let world = world().await;
    let id = world.add_user_credential("bot").await;
    let before = world.acme.get(&id).await.expect(200);
    world.zoom.remove_app(CLIENT_ID, "ada");
    world.expire_access_tokens().await;
    world.acme.check(&id).await;
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "invalid");

    let session = given_session(&world, &json!({ "credential_id": id })).await;
    let page = Browser::new(&world).open(&session.link).await;
    assert!(page.text.contains(
        "The team <strong><bdi>acme</bdi></strong> asks you to connect <strong><bdi>bot</bdi></strong> to Zoom again."
    ));
    let page = Browser::new(&world).connect(&session, "ada").await;
    page.expect(200, "Zoom is connected");

    let after = world.acme.get(&id).await.expect(200);
    let expected = with(before, json!({ "updated_at": after["updated_at"] }));
    assert_eq!(after, expected);
    assert_eq!(
        read_session(&world, &session).await["credential_id"],
        id.as_str()
    );
    assert_eq!(world.count("credentials").await, 1);
    assert!(!world.has_running_request().await, "the lock is released");
    mint_zak(&world, &id).await;
}

#[tokio::test]
async fn an_app_credential_becomes_a_user_credential_with_a_new_name_extra_and_app() {
    let world = world().await;
    let body = with(
        app_body("old"),
        json!({ "client_id": "another", "extra": { "a": 1 } }),
    );
    let id = id_of(&world.acme.create(body).await.expect(201));
    let requested = json!({
        "credential_id": id, "name": "new", "extra": null, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET,
    });
    let session = given_session(&world, &requested).await;
    Browser::new(&world)
        .connect(&session, "ada")
        .await
        .expect(200, "Zoom is connected");

    let after = world.acme.get(&id).await.expect(200);
    assert_eq!(
        (&after["name"], &after["extra"]),
        (&json!("new"), &Value::Null)
    );
    assert_eq!(after["credential_type"], "user");
    world.expire_access_tokens().await;
    assert_eq!(
        world.acme.check(&id).await.expect(200)["credential_id"],
        id.as_str()
    );
}

#[tokio::test]
async fn an_older_credential_of_the_same_user_moves_to_the_new_grant() {
    let world = world().await;
    let older = world.add_user_credential("older").await;
    world.backdate_authorization(&older).await;
    let session = given_session(&world, &new_credential_body()).await;
    Browser::new(&world)
        .connect(&session, "ada")
        .await
        .expect(200, "Zoom is connected");
    let newer = credential_of(&world, &session).await;
    let (older, newer) = (world.row(&older).await, world.row(&newer).await);
    assert_eq!(attribute(&older, "grant_id"), attribute(&newer, "grant_id"));
}

#[tokio::test]
async fn the_browser_is_redirected_to_the_return_url_with_the_outcome() {
    let world = world().await;
    let url = format!("{RETURN_ORIGIN}:443/done?step=2");
    let session = given_session(
        &world,
        &with(new_credential_body(), json!({ "return_url": url })),
    )
    .await;
    let mut browser = Browser::new(&world);
    let page = browser.open(&session.link).await;
    assert!(
        page.text
            .contains("You return to <strong><bdi>app.example.com</bdi></strong>.")
    );
    let location = browser.connect(&session, "ada").await.location();
    let id = credential_of(&world, &session).await;
    let expected = format!(
        "{RETURN_ORIGIN}/done?step=2&session_id={}&credential_id={id}",
        session.id
    );
    assert_eq!(location.as_str(), expected);

    let session = given_session(
        &world,
        &with(
            new_credential_body(),
            json!({ "return_url": "http://localhost:8080/" }),
        ),
    )
    .await;
    let callback = browser.authorize(&session, None).await;
    let location = browser.open(&callback).await.location();
    let expected = format!(
        "http://localhost:8080/?session_id={}&error=access_denied",
        session.id
    );
    assert_eq!(location.as_str(), expected);
    // A reload redirects to the same URL.
    assert_eq!(browser.open(&callback).await.location().as_str(), expected);
}

#[tokio::test]
async fn one_browser_can_connect_two_sessions_at_the_same_time() {
    let world = world().await;
    let (first, second) = (
        given_session(&world, &new_credential_body()).await,
        given_session(&world, &new_credential_body()).await,
    );
    let mut browser = Browser::new(&world);
    let first_callback = browser.authorize(&first, Some("ada")).await;
    let cookie = browser.cookie.clone();
    let second_callback = browser.authorize(&second, Some("ada")).await;
    assert_eq!(browser.cookie, cookie);
    browser
        .open(&first_callback)
        .await
        .expect(200, "Zoom is connected");
    browser
        .open(&second_callback)
        .await
        .expect(200, "Zoom is connected");
    let hash = |row: &Item| attribute(row, "browser_hash").to_owned();
    let rows = (
        session_row(&world, &first).await,
        session_row(&world, &second).await,
    );
    assert_ne!(
        hash(&rows.0),
        hash(&rows.1),
        "the rows do not show that one browser opened both sessions"
    );
}

#[tokio::test]
async fn reloading_the_callback_shows_the_same_page_and_sends_the_code_once() {
    let world = world().await;
    let session = given_session(&world, &new_credential_body()).await;
    let mut browser = Browser::new(&world);
    let callback = browser.authorize(&session, Some("ada")).await;
    for _ in 0..3 {
        browser
            .open(&callback)
            .await
            .expect(200, "Zoom is connected");
    }
    let id = credential_of(&world, &session).await;
    world.acme.delete(&id).await.expect(200);
    browser
        .open(&callback)
        .await
        .expect(200, "Zoom is connected");
    assert_eq!(
        (world.exchange_calls(), world.count("credentials").await),
        (1, 1)
    );
}

#[tokio::test]
async fn the_page_names_a_missing_scope_and_the_credential_is_connected() {
    let world = world().await;
    world.zoom.register_app(App {
        redirect_uris: vec![callback_url(&world)],
        scopes: vec!["user:read:zak".to_owned()],
        ..test_app()
    });
    let session = given_session(&world, &new_credential_body()).await;
    let page = Browser::new(&world).connect(&session, "ada").await;
    page.expect(200, "Zoom is connected");
    assert!(page.text.contains("A permission is missing"));
    assert!(page.text.contains("<bdi>missing scope user:read:user"));
    expect_connected(&world, &session).await;
}
