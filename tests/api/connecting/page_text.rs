//! What the pages do with texts of the team, of Zoom and of the Zoom user, and which headers keep other pages away.

use aws_sdk_dynamodb::types::AttributeValue;
use local::zoom::User;

use super::{Browser, given_session, new_credential_body, set_attribute, world};
use crate::world::ada;

/// A text that begins a run from right to left and does not end the run.
const REVERSING: &str = "Evil \u{202e}toB";

#[tokio::test]
async fn a_text_that_changes_the_direction_of_writing_changes_only_itself() {
    let world = world().await;
    world.zoom.register_user(User {
        display_name: Some(REVERSING.to_owned()),
        ..ada()
    });
    let session = given_session(&world, &new_credential_body()).await;
    // No request can store such a name. An earlier version could.
    let label = AttributeValue::S(REVERSING.to_owned());
    set_attribute(&world, &session, "label", label).await;

    let mut browser = Browser::new(&world);
    let asked = browser.open(&session.link).await;
    asked.expect(200, "Connect your Zoom account");
    let connected = browser.connect(&session, "ada").await;
    connected.expect(200, "Zoom is connected");

    let isolated = format!("<bdi>{REVERSING}</bdi>");
    for (page, times) in [(&asked, 2), (&connected, 2)] {
        assert_eq!(page.text.matches(&isolated).count(), times, "{}", page.text);
        assert_eq!(page.text.matches(REVERSING).count(), times);
        assert!(
            page.text.contains("client ID: <bdi>test-app</bdi>"),
            "{}",
            page.text
        );
    }
}

// assures 57
#[tokio::test]
async fn a_page_is_cut_off_from_the_window_that_opened_it() {
    let world = world().await;
    let session = given_session(&world, &new_credential_body()).await;
    let mut browser = Browser::new(&world);

    let unknown = browser.open(&world.acme.address("/connect/zcl_x")).await;
    let asked = browser.open(&session.link).await;
    let pages = [unknown, asked, browser.connect(&session, "ada").await];
    for page in pages {
        assert_eq!(page.header("cross-origin-opener-policy"), "same-origin");
    }
}
