//! What an accepted body promises, checked with a second parser of JSON.

use functions::http::error::ApiError;
use serde_json::{Map, Value};

use super::requests::refused;

/// The fields that hold secrets.
const SECRETS: [&str; 4] = [
    "client_secret",
    "authorization_code",
    "code_verifier",
    "webhook_secret_token",
];

pub(super) fn check(name: &str, body: &[u8], read: &Result<String, ApiError>) {
    let value = serde_json::from_slice::<Value>(body).ok();
    let shown = match read {
        Ok(shown) => shown.clone(),
        Err(error) => {
            refused(error, &[400, 413, 415]);
            format!("{error:?} {error}")
        }
    };
    if let Some(Value::Object(fields)) = &value {
        hides_secrets(fields, body, &shown);
    }
    if read.is_err() {
        return;
    }
    assert!(body.len() <= 256 * 1024);
    assert!(str::from_utf8(body).is_ok());
    if body.is_empty() {
        assert_eq!(name, "UpdateCredential", "only this body may be missing");
        return;
    }
    // The second parser refuses numbers that are too large. A field that is ignored may have one.
    let Some(value) = value else { return };
    let Value::Object(fields) = value else {
        panic!("{name} is no object");
    };
    limits(name, &fields);
    match name {
        "CreateCredential" => {
            required(&fields, &["name", "client_id", "client_secret"]);
            let both = ["account_id", "authorization_code"];
            assert!(!both.iter().all(|field| fields.contains_key(*field)));
        }
        "MintToken" => minted(&fields),
        "CreateTokenUrl" => {
            required(&fields, &["type"]);
            let signed = ["sdk_jwt", "rtms_signature"];
            assert!(text(&fields, "type").is_some_and(|it| !signed.contains(&it)));
            if text(&fields, "type") == Some("access_token") {
                assert_eq!(text(&fields, "verify"), Some("recall"));
                assert!(text(&fields, "meeting_id").is_none());
            }
            number(&fields, "max_uses", 1, 1_000_000);
            number(&fields, "expires_in", 60, 315_360_000);
        }
        "CreateChoosingUrl" => choosing(&fields),
        "PutZoomApp" => required(&fields, &["client_secret", "webhook_secret_token"]),
        "RotateSecret" => required(&fields, &["client_secret"]),
        "PutNotificationEndpoint" => {
            required(&fields, &["url"]);
        }
        name if name.starts_with("PutVendorSecrets") => {
            let secrets = fields.get("secrets").and_then(Value::as_array);
            let secrets = secrets.map(Vec::as_slice).unwrap_or_default();
            assert!((1..=2).contains(&secrets.len()));
            let fits = |it: &Value| {
                let text = it.as_str().unwrap_or_default();
                (16..=256).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_graphic())
            };
            assert!(secrets.iter().all(fits));
        }
        _ => {}
    }
}

/// A secret that the body holds once does not appear in what was read, and not in the refusal.
fn hides_secrets(fields: &Map<String, Value>, body: &[u8], shown: &str) {
    let body = String::from_utf8_lossy(body);
    let list = fields.get("secrets").and_then(Value::as_array);
    let list = list.into_iter().flatten();
    let secrets = SECRETS.iter().filter_map(|name| fields.get(*name));
    for secret in secrets.chain(list).filter_map(Value::as_str) {
        let is_marked = secret.contains("FAKE") && secret.len() >= 16;
        if is_marked && body.matches(secret).count() == 1 {
            assert!(!shown.contains(secret), "a secret is shown");
        }
    }
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name)?.as_str()
}

fn required(fields: &Map<String, Value>, names: &[&str]) {
    for name in names {
        assert!(
            text(fields, name).is_some_and(|it| !it.is_empty()),
            "{name} is missing"
        );
    }
}

fn number(fields: &Map<String, Value>, name: &str, min: u64, max: u64) {
    if let Some(value) = fields.get(name) {
        let fits = value.as_u64().is_some_and(|it| (min..=max).contains(&it));
        assert!(fits, "{name} is {value}");
    }
}

/// The fields of a body that have a greatest length, which docs/limits.md states. A body ignores other fields.
fn limited(name: &str) -> &'static [(&'static str, usize)] {
    match name {
        "CreateCredential" | "UpdateCredential" => &[
            ("name", 100),
            ("client_id", 256),
            ("client_secret", 256),
            ("authorization_code", 2000),
        ],
        "CreateConnectSession" => &[
            ("name", 100),
            ("app_name", 100),
            ("client_id", 256),
            ("client_secret", 256),
            ("return_url", 2000),
        ],
        "CreateTokenUrl" | "CreateChoosingUrl" => &[("label", 100)],
        "PutZoomApp" => &[
            ("name", 100),
            ("client_secret", 256),
            ("webhook_secret_token", 256),
        ],
        "RotateSecret" => &[("client_secret", 256)],
        "PutNotificationEndpoint" => &[("url", 2048)],
        _ => &[],
    }
}

fn limits(name: &str, fields: &Map<String, Value>) {
    for (field, max) in limited(name) {
        if let Some(value) = fields.get(*field) {
            let length = value.as_str().map_or(0, |text| text.chars().count());
            assert!(
                (1..=*max).contains(&length),
                "{field} has {length} characters"
            );
        }
    }
    let has_extra = [
        "CreateCredential",
        "UpdateCredential",
        "CreateConnectSession",
    ];
    if let Some(extra) = fields.get("extra").filter(|_| has_extra.contains(&name)) {
        assert!(extra.is_object() || extra.is_null());
        assert!(depth(extra) <= 32);
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// The body of a URL that chooses: 1 to 3 types, and `access_token` alone. It has a list or takes the names from the
/// call, and says who may call.
fn choosing(fields: &Map<String, Value>) {
    let list = |name: &str| {
        let list = fields.get(name)?.as_array()?;
        let texts = list.iter().map(|it| it.as_str().unwrap_or_default());
        Some(texts.collect::<Vec<_>>())
    };
    let types = list("types").unwrap_or_default();
    let known = ["onbehalf", "zak", "local_recording", "access_token"];
    assert!((1..=3).contains(&types.len()));
    assert!(types.iter().all(|it| known.contains(it)));
    let (credentials, verify) = (list("credentials"), list("verify"));
    let from_call = text(fields, "choose");
    assert!(from_call.is_none_or(|it| it == "from_call"));
    assert_ne!(credentials.is_some(), from_call.is_some());
    let is_unverified = fields.get("unverified") == Some(&Value::Bool(true));
    assert_ne!(verify.is_some(), is_unverified);
    let count = 1..=10;
    assert!(
        credentials
            .as_ref()
            .is_none_or(|it| count.contains(&it.len()))
    );
    assert!(verify.as_ref().is_none_or(|it| (1..=3).contains(&it.len())));
    if types.contains(&"access_token") {
        assert_eq!(types.len(), 1);
        assert_eq!(verify.as_deref(), Some(["recall"].as_slice()));
        assert!(credentials.is_none_or(|it| it.len() == 1));
        assert!(text(fields, "meeting_id").is_none());
    }
    if types.contains(&"zak") {
        assert!(text(fields, "meeting_id").is_none());
    }
    number(fields, "max_uses", 1, 1_000_000);
    number(fields, "expires_in", 60, 315_360_000);
}

fn minted(fields: &Map<String, Value>) {
    let kind = text(fields, "type").unwrap_or_default();
    let ids = ["credential_id", "credential_user_id"];
    let named = ids.iter().filter(|id| fields.contains_key(**id)).count();
    assert_eq!(named, 1, "the body names one credential or one user");
    match kind {
        "sdk_jwt" => {
            number(fields, "ttl", 1800, 172_800);
            number(fields, "role", 0, 1);
        }
        "onbehalf" | "zak" => {
            number(fields, "ttl", 1, 7_776_000);
            let user = ["zoom_user_id", "zoom_email"];
            assert!(!user.iter().all(|field| fields.contains_key(*field)));
            assert!(text(fields, "zoom_user_id").is_none_or(|id| !id.eq_ignore_ascii_case("me")));
        }
        "rtms_signature" => {
            for id in ["meeting_uuid", "rtms_stream_id"] {
                let id = text(fields, id).unwrap_or_default();
                assert!(
                    (1..=128).contains(&id.len()) && !id.contains([',', ' ', '%']),
                    "{id}"
                );
            }
        }
        "local_recording" => {
            assert!(fields.contains_key("meeting_id") || fields.contains_key("meeting_url"));
        }
        _ => panic!("the type {kind:?} is accepted"),
    }
}
