//! Bad input: the answer is a 400 that names the rule. It repeats nothing of the input, and nothing is stored.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use reqwest::Method;

use crate::proxy::Service;
use crate::world::{Answer, CLIENT_ID, Item, REDIRECT_URI, World, is_count};

mod body;
mod characters;
mod json;
mod limits;
mod path_and_query;

/// A marker in the input that no answer may repeat.
pub(crate) const MARKER: &str = "m4rk3r";
pub(crate) const CREATE: &str = "/v2/zoom-credentials";
const INVALID: &str = "FST_ERR_VALIDATION";
const NOT_JSON: &str = "body must be valid JSON (line ";

/// A world with one credential, to which bad requests are sent.
struct Target {
    world: World,
    id: String,
    row: Item,
    stored: (usize, usize),
}

impl Target {
    async fn new() -> Self {
        let world = World::new().await;
        let id = world.add_user_credential("bot").await;
        // The secret of `app`.
        world.zoom.rotate_secret(CLIENT_ID, "x");
        let row = world.row(&id).await;
        let stored = (world.count("secrets").await, world.count("requests").await);
        world.wire.reset();
        Self {
            world,
            id,
            row,
            stored,
        }
    }

    fn path(&self) -> String {
        format!("{CREATE}/{}", self.id)
    }

    /// Sends a body to create and to update, and expects the same refusal from both.
    async fn refuses(&self, body: impl Into<Vec<u8>>, status: u16, code: &str, message: &str) {
        let body = body.into();
        for (method, path) in [
            (Method::POST, CREATE),
            (Method::PATCH, self.path().as_str()),
        ] {
            let answer = self.world.acme.send_text(method, path, body.clone()).await;
            expect_refusal(&answer, status, code, message, &body);
        }
    }

    /// Sends a valid body to create and to update.
    async fn takes(&self, body: &str) {
        for (method, path, status) in [
            (Method::POST, CREATE, 201),
            (Method::PATCH, self.path().as_str(), 200),
        ] {
            let answer = self
                .world
                .acme
                .send_text(method, path, body.to_owned())
                .await;
            answer.expect(status);
        }
    }

    /// Checks that nothing was stored or changed, and that neither KMS nor Zoom was called.
    async fn expect_untouched(self) {
        let world = &self.world;
        assert_eq!(world.row(&self.id).await, self.row);
        assert_eq!(world.count("credentials").await, 1);
        assert_eq!(world.count("secrets").await, self.stored.0);
        let requests = world.rows("requests").await.into_iter();
        let claims = requests.filter(|row| !is_count(row)).count();
        assert!(claims < self.stored.1);
        assert_eq!(world.wire.count(Service::Kms), 0);
        assert_eq!(world.wire.count(Service::Zoom), 0);
    }
}

#[track_caller]
fn expect_refusal(answer: &Answer, status: u16, code: &str, message: &str, body: &[u8]) {
    let sent = String::from_utf8_lossy(body);
    let sent: String = sent.chars().take(300).collect();
    let said = answer.json();
    assert_eq!(answer.status, status, "{sent}: {}", answer.text);
    assert_eq!(said["code"], code, "{sent}");
    let text = said["message"].as_str().unwrap();
    if message.ends_with("(line ") {
        assert!(text.starts_with(message), "{sent}: {text}");
    } else {
        assert_eq!(text, message, "{sent}");
    }
    assert!(!answer.text.contains(MARKER), "{sent}: {text}");
    for (name, value) in &answer.headers {
        assert!(!value.to_str().unwrap().contains(MARKER), "{name}");
    }
}

/// A body that authorizes a user. `raw` JSON replaces the field, or is added as a new field.
fn body(field: &str, raw: &str) -> String {
    let uri = format!("\"{REDIRECT_URI}\"");
    let mut fields = vec![
        ("name", "\"bot\""),
        ("client_id", "\"test-app\""),
        ("client_secret", "\"m4rk3r-secret\""),
        ("authorization_code", "\"m4rk3r-code\""),
        ("redirect_uri", uri.as_str()),
    ];
    fields.retain(|(name, _)| *name != field);
    fields.push((field, raw));
    object(&fields)
}

/// A body that creates or updates an app credential, with one more field of `raw` JSON.
fn app(field: &str, raw: &str) -> String {
    object(&[
        ("name", "\"bot\""),
        ("client_id", "\"test-app\""),
        ("client_secret", "\"x\""),
        (field, raw),
    ])
}

fn object(fields: &[(&str, &str)]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, raw)| format!("\"{name}\":{raw}"))
        .collect();
    format!("{{{}}}", fields.join(","))
}

/// Generated values, the same in every run.
fn generated<S: Strategy>(count: usize, strategy: S) -> Vec<S::Value> {
    let mut runner = TestRunner::deterministic();
    (0..count)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .collect()
}
