//! The published contract. Every answer that a test receives is checked against it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::world::Answer;

/// MeetingBaas's schema, without its prose.
pub(crate) static PUBLISHED: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../contract/meetingbaas-v2.schema.json")).unwrap()
});

/// The vault's own OpenAPI document, for the endpoints that MeetingBaas does not publish.
static OWN: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(functions::openapi::document()).unwrap());

/// The name of an HTTP status in the envelope.
fn status_name(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Payload Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Entity",
        429 => "Rate Limited",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => panic!("status {status} is not in the contract"),
    }
}

/// The compiled validators. Compiling one takes longer than the call whose answer is checked.
type Compiled = HashMap<(String, &'static str, u16), Arc<Validator>>;

/// The validator for an answer.
fn validator(method: &str, path: &str, status: u16) -> Arc<Validator> {
    static COMPILED: LazyLock<Mutex<Compiled>> = LazyLock::new(Mutex::default);

    let template = template(path);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let validator = compiled
        .entry((method.to_owned(), template, status))
        .or_insert_with(|| {
            let schema = schema(method, template, status);
            let options = jsonschema::options().should_validate_formats(true);
            Arc::new(options.build(&schema).unwrap())
        });
    validator.clone()
}

/// The path template in the vault's own document that matches this path. If none matches, the template of one
/// credential.
fn template(path: &str) -> &'static str {
    static KNOWN: LazyLock<Vec<String>> = LazyLock::new(|| {
        let mut known: Vec<String> = OWN["paths"].as_object().unwrap().keys().cloned().collect();
        // The longest template comes first, because a path can end like a shorter template too.
        known.sort_by_key(|path| std::cmp::Reverse(path.len()));
        known
    });
    let fits = |template: &&String| {
        let (mut given, wanted) = (path.rsplit('/'), template.rsplit('/'));
        wanted.filter(|segment| !segment.is_empty()).all(|segment| {
            given
                .next()
                .is_some_and(|it| segment.starts_with('{') || segment == it)
        })
    };
    KNOWN
        .iter()
        .find(fits)
        .map_or("/v2/zoom-credentials/{id}", String::as_str)
}

/// The schema of an answer. For a status that the published schema does not name, its `ErrorResponse`.
fn schema(method: &str, template: &str, status: u16) -> Value {
    let of = |document: &Value| document["paths"][template][method.to_lowercase()].clone();
    let document = if of(&PUBLISHED).is_null() {
        &*OWN
    } else {
        &*PUBLISHED
    };
    let operation = of(document);
    let answer =
        &operation["responses"][status.to_string()]["content"]["application/json"]["schema"];
    let mut schema = if answer.is_null() {
        json!({ "$ref": "#/components/schemas/ErrorResponse" })
    } else {
        answer.clone()
    };
    schema["components"] = document["components"].clone();
    if schema["$ref"] == "#/components/schemas/ErrorResponse" {
        schema["components"] = PUBLISHED["components"].clone();
    }
    schema
}

/// Panics if an answer breaks the contract.
#[track_caller]
pub(crate) fn check(method: &str, path: &str, answer: &Answer) {
    let body = answer.json();
    if let Err(error) = validator(method, path, answer.status).validate(&body) {
        panic!(
            "{method} {path} {}: {error} in {}",
            answer.status, answer.text
        );
    }

    let kind = answer.header("content-type").unwrap();
    // An answer of API Gateway itself names no charset. JSON needs none.
    let is_gateways = body["code"] == "FST_ERR_NOT_FOUND" && kind == "application/json";
    assert!(
        kind == "application/json; charset=utf-8" || is_gateways,
        "{kind}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(
        answer.header("strict-transport-security"),
        Some("max-age=63072000")
    );
    assert!(
        answer
            .header("x-request-id")
            .is_some_and(|id| !id.is_empty())
    );
    if answer.status >= 400 {
        assert_eq!(body["statusCode"], answer.status);
        assert_eq!(body["error"], status_name(answer.status));
        let codes = &OWN["components"]["schemas"]["ErrorBody"]["properties"]["code"]["enum"];
        assert!(
            codes.as_array().unwrap().contains(&body["code"]),
            "the document lacks the code {}: add it to CODES",
            body["code"]
        );
        assert!(
            body["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty())
        );
        // Among the published 400s none has `details`. Among ours, those have `details` that say who must act.
        let published = !PUBLISHED["paths"][template(path)].is_null();
        let ours = [
            "FST_ERR_ZOOM_MISSING_SCOPE",
            "FST_ERR_ZOOM_NOT_A_USER_CREDENTIAL",
            "FST_ERR_ZOOM_REFUSED",
        ]
        .map(Value::from)
        .contains(&body["code"]);
        let has_details = answer.status != 400 || (!published && ours);
        assert_eq!(body.get("details").is_some(), has_details);
        assert_eq!(body.get("retryAfter").is_some(), answer.status == 429);
    }
    if matches!(answer.status, 429 | 502 | 503 | 504) {
        assert!(
            answer
                .header("retry-after")
                .is_some_and(|wait| wait.parse::<u64>().is_ok_and(|wait| wait > 0))
        );
    }
}

/// The names of fields that hold prose. The prose is not ours to copy.
const PROSE: [&str; 6] = [
    "description",
    "example",
    "summary",
    "tags",
    "$id",
    "$schema",
];

fn without_prose(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let facts = fields
                .iter()
                .filter(|(name, _)| !PROSE.contains(&name.as_str()));
            let facts = facts.map(|(name, value)| (name.clone(), without_prose(value)));
            Value::Object(facts.collect())
        }
        Value::Array(items) => items.iter().map(without_prose).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[test]
fn the_committed_schema_is_the_published_one_without_its_prose() {
    let committed: Value =
        serde_json::from_str(include_str!("../contract/meetingbaas-v2.schema.json")).unwrap();
    assert_eq!(without_prose(&committed), committed);

    // The published file is not part of a clone. It is compared only where it lies beside the repository.
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let file = "contract/meetingbaas-v2-zoom-credentials.openapi.json";
    let published = [beside.as_path(), Path::new("/work/shared")]
        .map(|at| at.join(file))
        .into_iter()
        .find(|file| file.is_file());
    let Some(published) = published else { return };
    let published: Value =
        serde_json::from_str(&std::fs::read_to_string(published).unwrap()).unwrap();
    for part in ["paths", "components"] {
        assert_eq!(without_prose(&published[part]), committed[part], "{part}");
    }
}
