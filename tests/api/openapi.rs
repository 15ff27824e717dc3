//! The OpenAPI document is current, and promises what MeetingBaas publishes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::contract::PUBLISHED;

fn document() -> Value {
    serde_json::to_value(functions::openapi::document()).unwrap()
}

#[test]
fn the_committed_document_is_current() {
    let current = functions::openapi::document().to_pretty_json().unwrap() + "\n";
    let committed = include_str!("../../docs/openapi.json");
    assert!(
        current == committed,
        "docs/openapi.json is stale: cargo run, then curl -s localhost:3000/v2/openapi.json > docs/openapi.json"
    );
}

/// A schema with its references followed, down to what binds a program: shapes, limits, patterns, words.
fn binding(schema: &Value, root: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return binding(
            root.pointer(reference.trim_start_matches('#')).unwrap(),
            root,
        );
    }
    let any: Vec<Value> = schema["anyOf"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| binding(it, root))
        .collect();
    if let [value, null] = any.as_slice()
        && null["type"] == "null"
    {
        // `anyOf: [T, null]` and `type: [T, null]` say the same.
        let mut value = value.clone();
        value["type"] = json!([value["type"], "null"]);
        return value;
    }
    let mut bound = json!({ "type": schema["type"] });
    for key in [
        "minLength",
        "maxLength",
        "enum",
        "required",
        "additionalProperties",
    ] {
        if let Some(value) = schema.get(key) {
            bound[key] = value.clone();
        }
    }
    if bound["required"].is_array() {
        bound["required"]
            .as_array_mut()
            .unwrap()
            .sort_by_key(Value::to_string);
    }
    if let Some(properties) = schema["properties"].as_object() {
        bound["properties"] = properties
            .iter()
            .map(|(name, it)| (name.clone(), binding(it, root)))
            .collect();
    }
    if !schema["items"].is_null() {
        bound["items"] = binding(&schema["items"], root);
    }
    bound
}

/// Every operation's success and body, as they bind a program.
fn promises(root: &Value) -> BTreeMap<String, Value> {
    let mut promises = BTreeMap::new();
    for (path, operations) in root["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            if !body.is_null() {
                promises.insert(format!("{method} {path} body"), binding(body, root));
            }
            for status in ["200", "201"] {
                let answer =
                    &operation["responses"][status]["content"]["application/json"]["schema"];
                if !answer.is_null() {
                    promises.insert(format!("{method} {path} {status}"), binding(answer, root));
                }
            }
        }
    }
    promises
}

#[test]
fn bodies_and_answers_are_those_of_meetingbaas() {
    let (ours, published) = (promises(&document()), promises(&PUBLISHED));
    for (name, promise) in &published {
        assert_eq!(ours.get(name), Some(promise), "{name}");
    }
}

#[test]
fn every_filter_of_meetingbaas_is_there() {
    let names = |root: &Value| -> Vec<String> {
        let parameters = root["paths"]["/v2/zoom-credentials"]["get"]["parameters"]
            .as_array()
            .unwrap();
        parameters
            .iter()
            .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let ours = names(&document());
    for name in names(&PUBLISHED) {
        assert!(ours.contains(&name), "{name}");
    }
}
