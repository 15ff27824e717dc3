//! The connect page and the console in Chromium, against the stack that `cargo run` starts. The tests use a desktop and
//! a phone screen, light and dark colours, mouse and keyboard.
//!
//! `SCREENSHOTS=docs/screenshots cargo test -p browser` replaces the pictures in the docs. `CHROME` names another
//! browser binary. If there is no Chromium, or it does not start, the tests print that they are skipped. If
//! `CHROMIUM_REQUIRED` is set, they fail instead. No other test needs a browser.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "test harness: a broken assumption is a failed test"
)]

mod console;
mod visitor;
mod world;

use headless_chrome::protocol::cdp::Network;
use local::zoom::DEMO_CLIENT_ID;
use serde_json::{Value, json};
use url::Url;

use crate::world::World;

#[test]
fn user_connects() {
    let Some(world) = World::new() else { return };
    let session = world.create_session(json!({}));
    let visitor = world.new_visitor();
    visitor.open(&session.link);
    visitor.expect_page("Connect your Zoom account");
    assert!(
        visitor.cookies().is_empty(),
        "opening the page sets no cookie"
    );
    visitor.take_screenshot("connect");
    visitor.click("button");
    visitor.decide("allow");
    visitor.expect_page("Zoom is connected");
    assert_eq!(
        visitor.eval("document.querySelector('.tick').getBoundingClientRect().width"),
        48.0
    );
    visitor.take_screenshot("connect-success");
    assert_eq!(
        world.status_and_error(&session),
        ("connected".to_owned(), Value::Null)
    );

    let cookies = visitor.cookies();
    let [cookie] = cookies.as_slice() else {
        panic!("{cookies:?}")
    };
    assert_eq!(cookie.name, "__Host-zoom-connect");
    assert!(cookie.secure && cookie.http_only && !cookie.session);
    assert_eq!(cookie.same_site, Some(Network::CookieSameSite::Lax));
    assert_eq!(
        (cookie.path.as_str(), cookie.domain.as_str()),
        ("/", "127.0.0.1")
    );
    assert_eq!(visitor.eval("document.cookie"), "");

    // A reload shows the same page and sends nothing twice.
    visitor.tab.reload(true, None).unwrap();
    visitor.expect_page("Zoom is connected");
    visitor.open(&session.link);
    visitor.expect_page("Already connected");
    visitor.assert_no_browser_errors();
}

#[test]
fn user_declines_and_then_allows() {
    let Some(world) = World::new() else { return };
    let session = world.create_session(json!({}));
    let visitor = world.new_visitor();
    visitor.open(&session.link);
    visitor.click("button");
    visitor.decide("deny");
    visitor.expect_page("Nothing was connected");
    visitor.take_screenshot("connect-denied");
    assert_eq!(
        world.status_and_error(&session),
        ("failed".to_owned(), json!("access_denied"))
    );

    visitor.click("button");
    visitor.decide("allow");
    visitor.expect_page("Zoom is connected");
    visitor.assert_no_browser_errors();
}

/// The browser's policy lets the script and the logo through, and nothing else.
#[test]
fn page_shows_the_logo_and_the_time_in_the_readers_zone() {
    let Some(world) = World::new() else { return };
    let logo = "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIHdpZHRoPSI4MCIgaGVpZ2h0PSI0MCI+PHJlY3Qgd2lkdGg9IjgwIiBoZWlnaHQ9IjQwIiByeD0iOCIgZmlsbD0iIzBhN2Q1NSIvPjxwYXRoIGQ9Ik0xMiAzMCAyOCAxMGwxNiAyMG00LTE4aDIwTTQ4IDIxaDE0TTQ4IDMwaDIwIiBzdHJva2U9IiNmZmYiIHN0cm9rZS13aWR0aD0iNCIgZmlsbD0ibm9uZSIvPjwvc3ZnPg==";
    world.set_brand("Acme Notes", logo, "help@acme.example");
    let session = world.create_session(json!({}));
    let visitor = world.new_visitor();
    visitor.use_time_zone("Asia/Tokyo");
    visitor.open(&session.link);
    visitor.expect_page("Connect your Zoom account");
    assert_eq!(
        visitor.eval("document.querySelector('img').naturalWidth"),
        80
    );
    let utc = visitor.eval("document.querySelector('time').title");
    let local = visitor.eval("document.querySelector('time').textContent");
    let (utc, local) = (utc.as_str().unwrap(), local.as_str().unwrap());
    assert!(utc.ends_with(" UTC"), "{utc}");
    assert!(local.ends_with(" GMT+9"), "{local}");
    visitor.take_screenshot("connect-brand");
    visitor.assert_no_browser_errors();
}

#[test]
fn page_says_what_to_do_after_the_app_was_added_in_the_marketplace() {
    let Some(world) = World::new() else { return };
    let visitor = world.new_visitor();
    visitor.open(&format!("{}/connect/callback?code=c", world.api));
    visitor.expect_page("One step is missing");
    visitor.take_screenshot("connect-added");
    visitor.assert_no_browser_errors();
}

#[test]
fn another_user_replaces_the_first() {
    let Some(world) = World::new() else { return };
    let visitor = world.new_visitor();
    let first = world.create_session(json!({}));
    visitor.open(&first.link);
    visitor.click("button");
    visitor.decide("allow");
    visitor.expect_page("Zoom is connected");
    let id = world.session(&first)["credential_id"].clone();

    let again = world.create_session(json!({ "credential_id": id }));
    visitor.open(&again.link);
    visitor.click("button");
    visitor.decide_as("grace-sandbox-user", "allow");
    visitor.expect_page("Zoom is connected");
    assert_eq!(
        visitor.eval("document.querySelector('h2').textContent"),
        "You connected a different Zoom account"
    );
    visitor.take_screenshot("connect-another");
    assert_eq!(world.session(&again)["user_changed"], json!(true));
    visitor.assert_no_browser_errors();
}

#[test]
fn link_expires_while_the_user_decides() {
    let Some(world) = World::new() else { return };
    let session = world.create_session(json!({}));
    let visitor = world.new_visitor();
    visitor.open(&session.link);
    visitor.click("button");
    visitor.wait_for_heading(&format!("Allow {DEMO_CLIENT_ID} to use your Zoom account?"));
    world.expire_session(&session);
    visitor.decide("allow");
    visitor.expect_page("The link has expired");
    visitor.take_screenshot("connect-expired");
    visitor.open(&session.link);
    visitor.expect_page("The link has expired");
    assert_eq!(
        world.status_and_error(&session),
        ("expired".to_owned(), json!("expired"))
    );
    visitor.assert_no_browser_errors();
}

#[test]
fn page_works_on_a_phone_in_dark_mode_with_a_long_name_and_by_keyboard() {
    let Some(world) = World::new() else { return };
    let visitor = world.new_visitor();
    visitor.use_phone_screen();
    let session = world.create_session(json!({}));
    visitor.open(&session.link);
    visitor.expect_page("Connect your Zoom account");
    visitor.take_screenshot("connect-phone");
    visitor.use_dark_colours();
    visitor.expect_page("Connect your Zoom account");
    assert_eq!(
        visitor.eval("getComputedStyle(document.body).backgroundColor"),
        "rgb(20, 23, 26)"
    );
    visitor.take_screenshot("connect-phone-dark");

    let session = world.create_session(json!({ "name": "W".repeat(100) }));
    visitor.open(&session.link);
    visitor.expect_page("Connect your Zoom account");
    visitor.tab.press_key("Tab").unwrap();
    assert_eq!(
        visitor.eval("document.activeElement.textContent"),
        "Continue to Zoom"
    );
    assert_eq!(
        visitor.eval("getComputedStyle(document.activeElement).outlineStyle"),
        "solid"
    );
    assert_eq!(
        visitor.eval("document.activeElement.getBoundingClientRect().height >= 44"),
        true
    );
    visitor.tab.press_key("Enter").unwrap();
    visitor.decide("allow");
    visitor.expect_page("Zoom is connected");
    visitor.assert_no_browser_errors();
}

#[test]
fn user_returns_to_the_teams_site() {
    let Some(world) = World::new() else { return };
    for (decision, outcome) in [("allow", "credential_id"), ("deny", "error")] {
        let session =
            world.create_session(json!({ "return_url": format!("{}/done?step=2", world.site) }));
        let visitor = world.new_visitor();
        visitor.open(&session.link);
        visitor.expect_page("Connect your Zoom account");
        visitor.click("button");
        visitor.decide(decision);
        visitor.wait_for_heading("Welcome back");
        assert_eq!(
            visitor.eval("document.querySelector('p').textContent"),
            "no referer"
        );
        let url: Url = visitor.tab.get_url().parse().unwrap();
        let names: Vec<String> = url
            .query_pairs()
            .map(|(name, _)| name.into_owned())
            .collect();
        assert_eq!(names, ["step", "session_id", outcome]);
        visitor.assert_no_browser_errors();
    }
}

#[test]
fn another_browser_cannot_finish_the_session() {
    let Some(world) = World::new() else { return };
    let session = world.create_session(json!({}));
    let (visitor, other) = (world.new_visitor(), world.new_visitor());
    visitor.open(&session.link);
    visitor.click("button");
    visitor.wait_for_heading(&format!("Allow {DEMO_CLIENT_ID} to use your Zoom account?"));
    // The other browser opens the same address of Zoom's page, including `state`.
    other.open(&visitor.tab.get_url());
    other.decide("allow");
    other.expect_page("The connection cannot continue here");
    assert_eq!(
        world.status_and_error(&session),
        ("pending".to_owned(), Value::Null)
    );
    visitor.decide("allow");
    visitor.expect_page("Zoom is connected");
    visitor.assert_no_browser_errors();
}
