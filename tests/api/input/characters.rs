//! Characters that nobody sees: in names that people read, and around identifiers and secrets that people paste.

use reqwest::Method;
use serde_json::{Value, json};

use super::{CREATE, INVALID, Target, body, expect_refusal};
use crate::apps::ROTATE_PATH;
use crate::webhooks::{SECRET_TOKEN, register_app};
use crate::world::{CLIENT_ID, CLIENT_SECRET, World, app_body, send, with};

const SHOWN: &str =
    "must NOT contain line breaks, control characters or invisible format characters: remove them";
const PASTED: &str =
    "must NOT begin or end with a blank, a line break or an invisible character: remove it";

/// Characters that hide in a text, or change how the text around them looks.
const HIDDEN: [&str; 12] = [
    "\n",
    "\t",
    "\u{1b}",
    "\u{85}",
    "\u{ad}",
    "\u{200b}",
    "\u{202e}",
    "\u{2028}",
    "\u{2029}",
    "\u{2066}",
    "\u{feff}",
    "\u{e0041}",
];
/// Characters that come along when a text is copied from a page, a terminal or a file.
const AROUND: [&str; 12] = [
    " ", "\n", "\r\n", "\t", "\u{b}", "\u{85}", "\u{a0}", "\u{2003}", "\u{2028}", "\u{200b}",
    "\u{200d}", "\u{feff}",
];

fn json_text(text: &str) -> String {
    Value::from(text).to_string()
}

/// Sends a body and expects the refusal of one field.
async fn expect_refused(world: &World, method: Method, path: &str, body: &Value, message: &str) {
    let text = body.to_string();
    let answer = world.acme.send_text(method, path, text.clone()).await;
    expect_refusal(&answer, 400, INVALID, message, text.as_bytes());
}

// assures 57
#[tokio::test]
async fn hidden_characters_are_refused_in_the_names_of_a_credential_and_of_its_app() {
    let target = Target::new().await;
    for hidden in HIDDEN {
        let text = json_text(&format!("m4rk3r{hidden}m4rk3r"));
        for field in ["name", "client_id"] {
            let message = format!("body/{field} {SHOWN}");
            target
                .refuses(body(field, &text), 400, INVALID, &message)
                .await;
        }
    }
    target.expect_untouched().await;
}

// assures 57
#[tokio::test]
async fn hidden_characters_are_refused_in_every_other_name() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let session = json!({ "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET });
    let app = json!({ "client_secret": CLIENT_SECRET, "webhook_secret_token": SECRET_TOKEN });
    for hidden in HIDDEN {
        let name = format!("m4rk3r{hidden}");
        let urls = format!("{CREATE}/{id}/token-urls");
        let label = json!({ "type": "zak", "label": name });
        let message = format!("body/label {SHOWN}");
        expect_refused(&world, Method::POST, &urls, &label, &message).await;

        let message = format!("body/name {SHOWN}");
        let body = with(session.clone(), json!({ "name": name }));
        let path = "/v2/zoom-connect-sessions";
        expect_refused(&world, Method::POST, path, &body, &message).await;
        let body = with(app.clone(), json!({ "name": name }));
        let path = "/v2/zoom-apps/test-app";
        expect_refused(&world, Method::PUT, path, &body, &message).await;
    }
    assert_eq!(world.count("token-urls").await, 0);
}

/// Persian needs U+200C between letters. Emoji of families and professions need U+200D.
#[tokio::test]
async fn a_name_may_have_every_character_that_people_write() {
    let world = World::new().await;
    for name in [
        "می\u{200c}خواهم",
        "👩\u{200d}💻 ❤\u{fe0f}",
        "क्\u{200d}ष",
        "שלום",
        "日本語　の名前",
        "Zoë d’Été",
        " spaced\u{a0}name ",
    ] {
        let created = world.acme.create(app_body(name)).await.expect(201);
        assert_eq!(created["name"], name);
    }
}

// assures 58
#[tokio::test]
async fn blanks_around_a_pasted_identifier_or_secret_of_a_credential_are_refused() {
    let target = Target::new().await;
    for around in AROUND {
        for text in [
            format!("m4rk3r{around}"),
            format!("{around}m4rk3r"),
            around.to_owned(),
        ] {
            for field in ["client_id", "client_secret", "authorization_code"] {
                let message = format!("body/{field} {PASTED}");
                target
                    .refuses(body(field, &json_text(&text)), 400, INVALID, &message)
                    .await;
            }
        }
        for uri in [
            format!("https://m4rk3r.test/{around}"),
            format!("{around}https://m4rk3r.test/"),
        ] {
            let message = format!("body/redirect_uri {PASTED}");
            let body = body("redirect_uri", &json_text(&uri));
            target.refuses(body, 400, INVALID, &message).await;
        }
    }
    target.expect_untouched().await;
}

// assures 58
#[tokio::test]
async fn blanks_around_every_other_pasted_identifier_or_secret_are_refused() {
    let world = World::new().await;
    register_app(&world).await;
    for around in AROUND {
        let pasted = format!("m4rk3r{around}");
        let valid = json!({
            "name": "Ada", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "return_url": "https://a.test/",
            "webhook_secret_token": SECRET_TOKEN,
        });
        for (method, path, field) in [
            (Method::POST, "/v2/zoom-connect-sessions", "client_id"),
            (Method::POST, "/v2/zoom-connect-sessions", "client_secret"),
            (Method::PUT, "/v2/zoom-apps/test-app", "client_secret"),
            (
                Method::PUT,
                "/v2/zoom-apps/test-app",
                "webhook_secret_token",
            ),
            (Method::POST, ROTATE_PATH, "client_secret"),
        ] {
            let body = with(valid.clone(), json!({ field: pasted }));
            let message = format!("body/{field} {PASTED}");
            expect_refused(&world, method, path, &body, &message).await;
        }
        let body = with(
            valid.clone(),
            json!({ "return_url": format!("https://m4rk3r.test/{around}") }),
        );
        let message = format!("body/return_url {PASTED}");
        let path = "/v2/zoom-connect-sessions";
        expect_refused(&world, Method::POST, path, &body, &message).await;
        let body = json!({ "type": "zak", "credential_user_id": pasted });
        let message = format!("body/credential_user_id {PASTED}");
        expect_refused(&world, Method::POST, "/v2/zoom-tokens", &body, &message).await;
    }
}

#[tokio::test]
async fn a_blank_inside_a_secret_is_kept_as_it_is() {
    let world = World::new().await;
    let body = with(app_body("bot"), json!({ "client_secret": "two words" }));
    world.acme.create(body).await.expect(201);
}

/// The rule is for what callers send. A row with such a name is still the caller's credential.
#[tokio::test]
async fn a_credential_that_was_stored_with_a_hidden_character_can_be_read_and_renamed() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;
    let stored = [("name", "two\nlines"), ("client_id", "test-app\n")];
    world.set_texts(&id, &stored).await;

    assert_eq!(world.acme.get(&id).await.expect(200)["name"], "two\nlines");
    let path = format!("{CREATE}/{id}");
    let rename = world.acme.request(Method::PATCH, &path);
    let renamed = send(rename.json(&json!({ "name": "one line" }))).await;
    assert_eq!(renamed.expect(200)["name"], "one line");
}
