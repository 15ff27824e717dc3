//! The URL that the browser is redirected to after the callback.

use serde_json::json;
use shared::api_key::Permission;
use shared::connect::{ReturnOrigin, ReturnUrl};

use super::{Browser, RETURN_ORIGIN, create_session, given_session, new_credential_body, world};
use crate::world::with;

const OTHER_ORIGIN: &str = "body/return_url must be of an origin that the team has allowed: the operator allows it with teams set \
                       --return-origin";
const BAD_URL: &str =
    "body/return_url must be an https URL without user and fragment; http only for localhost";
const BLANK: &str = "body/return_url must NOT begin or end with a blank, a line break or an invisible character: remove it";
const NO_URL: &str = "body/return_url must match format \"uri\"";
const RESERVED_PARAMETER: &str =
    "body/return_url must NOT have session_id, credential_id, user_changed or error in its query";

#[tokio::test]
async fn a_return_url_must_have_an_origin_that_the_team_has_allowed() {
    let world = world().await;
    let cases = [
        ("https://evil.example", OTHER_ORIGIN),
        ("https://app.example.com.evil.example/", OTHER_ORIGIN),
        ("https://evil.example/app.example.com", OTHER_ORIGIN),
        ("https://evil.example/https://app.example.com", OTHER_ORIGIN),
        ("https://app.example.com:8443/", OTHER_ORIGIN),
        ("https://sub.app.example.com/", OTHER_ORIGIN),
        ("https://app.example.comevil.example/", OTHER_ORIGIN),
        ("https:evil.example", OTHER_ORIGIN),
        (r"https:\\evil.example\app.example.com", OTHER_ORIGIN),
        (r"https://evil.example\@app.example.com/", OTHER_ORIGIN),
        ("http://localhost:8081/", OTHER_ORIGIN),
        ("http://127.0.0.1:8080/", OTHER_ORIGIN),
        ("https://ａpp.example.org/", OTHER_ORIGIN),
        ("http://app.example.com/", BAD_URL),
        ("https://app.example.com@evil.example/", BAD_URL),
        ("https://user:password@app.example.com/", BAD_URL),
        ("https://app.example.com/#credential_id=1", BAD_URL),
        ("javascript:alert(1)", BAD_URL),
        ("data:text/html,hello", BAD_URL),
        ("file:///etc/passwd", BAD_URL),
        ("//app.example.com/", NO_URL),
        ("/path", NO_URL),
        ("", NO_URL),
        ("https://", NO_URL),
        (" https://app.example.com/", BLANK),
        ("https://app.exam\nple.com/", NO_URL),
        ("https://app.example.com/\r\nset-cookie: x=1", NO_URL),
        ("https://app.example.com/\tx", NO_URL),
        ("https://app.example.com/?error=none", RESERVED_PARAMETER),
        (
            "https://app.example.com/?credential%5Fid=1",
            RESERVED_PARAMETER,
        ),
        (
            "https://app.example.com/?user_changed=false",
            RESERVED_PARAMETER,
        ),
    ];
    for (url, message) in cases {
        let answer = create_session(
            &world.acme,
            &with(new_credential_body(), json!({ "return_url": url })),
        )
        .await;
        assert_eq!(
            (answer.status, answer.json()["message"].as_str().unwrap()),
            (400, message),
            "{url}"
        );
    }
    let globex = world.caller("globex", Permission::Full).await;
    let answer = create_session(
        &globex,
        &with(
            new_credential_body(),
            json!({ "return_url": RETURN_ORIGIN }),
        ),
    )
    .await;
    answer.expect_error(400, "FST_ERR_VALIDATION", OTHER_ORIGIN);
}

#[tokio::test]
async fn a_return_url_is_limited_to_2000_characters_and_its_origin_is_normalized() {
    let world = world().await;
    let too_long = format!("{RETURN_ORIGIN}/{}", "x".repeat(2000));
    let answer = create_session(
        &world.acme,
        &with(new_credential_body(), json!({ "return_url": too_long })),
    )
    .await;
    answer.expect_error(
        400,
        "FST_ERR_VALIDATION",
        "body/return_url must NOT have more than 2000 characters",
    );
    for allowed in [
        "https://APP.example.com/x",
        "https://app.example.com:443",
        r"https://app.example.com\@evil.example/",
    ] {
        create_session(
            &world.acme,
            &with(new_credential_body(), json!({ "return_url": allowed })),
        )
        .await
        .expect(201);
    }
}

#[tokio::test]
async fn the_redirect_goes_to_the_host_that_was_compared() {
    let world = world().await;
    // Other parsers may take `evil.example` for the host of this URL.
    let ambiguous = r"https://app.example.com\@evil.example/?a=b%0d%0ac";
    let session = given_session(
        &world,
        &with(new_credential_body(), json!({ "return_url": ambiguous })),
    )
    .await;
    let location = Browser::new(&world)
        .connect(&session, "ada")
        .await
        .location();
    assert_eq!(
        (location.host_str(), location.path()),
        (Some("app.example.com"), "/@evil.example/")
    );
}

#[test]
fn a_return_origin_must_be_spelled_as_browsers_spell_it() {
    let is_origin = |text: &str| text.parse::<ReturnOrigin>().is_ok();
    for good in [
        "https://app.example.com",
        "https://app.example.com:8443",
        "http://localhost",
        "http://localhost:3000",
        "http://127.0.0.1:3000",
        "http://[::1]:3000",
        "https://xn--bcher-kva.example",
    ] {
        assert!(is_origin(good), "{good}");
    }
    for bad in [
        "",
        "app.example.com",
        "https://app.example.com/",
        "https://app.example.com/x",
        "https://app.example.com:443",
        "https://APP.example.com",
        "https://u@app.example.com",
        "http://app.example.com",
        "ftp://app.example.com",
        "null",
        "https://bücher.example",
        "https://app.example.com?x",
        "https://app.example.com#x",
    ] {
        assert!(!is_origin(bad), "{bad}");
    }
}

/// The row of a session holds the encoded URL, and is read with the same check.
#[test]
fn a_return_url_that_is_too_long_once_it_is_encoded_is_refused() {
    let url = |length| ReturnUrl::try_from(format!("{RETURN_ORIGIN}/{}", "é".repeat(length)));
    let refused = url(1000).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "must NOT have more than 2000 characters when characters outside ASCII are percent-encoded"
    );
    let accepted = url(300).unwrap();
    assert_eq!(
        ReturnUrl::try_from(String::from(accepted.clone())),
        Ok(accepted)
    );
}
