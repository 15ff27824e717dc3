//! Tokens, client secrets and names: what the tables, the pages and debug output contain.

use local::zoom::User;
use serde_json::json;
use shared::connect::{BrowserKey, LinkToken, OAuthState, SessionId};
use shared::timestamp::Timestamp;

use super::{
    Browser, RETURN_ORIGIN, count_session_secrets, given_session, new_credential_body,
    read_session, session_row, state_of, text_of, world,
};
use crate::world::{CLIENT_SECRET, ada, attribute, with};

#[tokio::test]
async fn names_with_markup_are_escaped_on_every_page() {
    let world = world().await;
    let markup = "</strong><script>alert(1)</script><img src=x onerror=alert(2)>\" '";
    world.zoom.register_user(User {
        display_name: Some(markup.to_owned()),
        ..ada()
    });
    let session = given_session(
        &world,
        &with(new_credential_body(), json!({ "name": markup })),
    )
    .await;
    let mut browser = Browser::new(&world);
    let page = browser.open(&session.link).await;
    page.expect(200, "Connect your Zoom account");
    let last_page = browser.connect(&session, "ada").await;
    last_page.expect(200, "Zoom is connected");
    for page in [&page, &last_page] {
        assert!(
            page.text.contains("&#60;script&#62;alert(1)"),
            "{}",
            page.text
        );
        assert!(!page.text.contains("<img"));
    }
    assert_eq!(last_page.text.matches("&#60;script&#62;").count(), 2);

    let session = given_session(
        &world,
        &with(new_credential_body(), json!({ "client_id": markup })),
    )
    .await;
    let page = browser.open(&session.link).await;
    page.expect(200, "Connect your Zoom account");
    assert_eq!(page.text.matches("&#60;script&#62;").count(), 1);
}

// assures 20
#[tokio::test]
async fn no_table_contains_a_token_of_the_session_or_the_client_secret_in_plain_text() {
    let world = world().await;
    let session = given_session(&world, &new_credential_body()).await;
    let mut browser = Browser::new(&world);
    let callback = browser.authorize(&session, Some("ada")).await;
    let state = state_of(&callback);
    let secrets = [
        session.link.rsplit('/').next().unwrap().to_owned(),
        state,
        browser.cookie.clone().unwrap(),
        CLIENT_SECRET.to_owned(),
    ];
    for table in ["requests", "secrets", "credentials", "events"] {
        let rows = world.rows(table).await.concat();
        for secret in &secrets {
            assert!(!rows.contains(secret.as_str()), "{secret} in {table}");
        }
    }
    assert_eq!(count_session_secrets(&world).await, 1);
    let rows = world.items("secrets").await;
    let row = rows
        .iter()
        .find(|row| attribute(row, "secret_id").starts_with("session#"))
        .unwrap();
    let mut names: Vec<&str> = row.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "dek",
            "generation",
            "kid",
            "purge_at",
            "sealed",
            "secret_id",
            "team_id"
        ]
    );
    let session = session_row(&world, &session).await;
    let end = Timestamp::try_from(attribute(&session, "ends_at").to_owned()).unwrap();
    let purge: i64 = attribute(row, "purge_at").parse().unwrap();
    assert_eq!(purge - end.as_seconds(), 3600);
    browser
        .open(&callback)
        .await
        .expect(200, "Zoom is connected");
}

#[tokio::test]
async fn a_connected_session_keeps_only_what_a_reload_needs() {
    let world = world().await;
    let requested =
        json!({ "extra": { "tenant": "acme" }, "return_url": format!("{RETURN_ORIGIN}/") });
    let session = given_session(&world, &with(new_credential_body(), requested)).await;
    let mut browser = Browser::new(&world);
    let attributes = async || {
        let row = session_row(&world, &session).await;
        ["name", "extra", "label", "return_url"].map(|name| row.contains_key(name))
    };
    // A user who denied the app may still allow it later, so the session keeps all attributes.
    let callback = browser.authorize(&session, None).await;
    browser.open(&callback).await.location();
    assert_eq!(attributes().await, [true; 4]);
    // A reload needs the label and the return URL, to show the same page.
    let callback = browser.authorize(&session, Some("ada")).await;
    let location = browser.open(&callback).await.location();
    assert_eq!(attributes().await, [false, false, true, true]);
    assert_eq!(browser.open(&callback).await.location(), location);
    let id = read_session(&world, &session).await["credential_id"].clone();
    let credential = world.acme.get(id.as_str().unwrap()).await.expect(200);
    assert_eq!(
        (&credential["name"], &credential["extra"]),
        (&json!("Ada's bot"), &json!({ "tenant": "acme" }))
    );
}

#[test]
fn debug_output_contains_no_token() {
    let id = SessionId::generate();
    let (link, state, browser) = (
        LinkToken::generate(id).unwrap(),
        OAuthState::generate(id).unwrap(),
        BrowserKey::generate().unwrap(),
    );
    let printed = format!("{link:?} {state:?} {browser:?}");
    for secret in [
        text_of(&link.into_text()),
        text_of(&state.into_text()),
        text_of(browser.text()),
    ] {
        let (_, tail) = secret.split_at(secret.len() / 2);
        assert!(!printed.contains(tail));
    }
}
