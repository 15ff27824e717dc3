//! The committed OpenAPI document is current, and matches the document that MeetingBaas publishes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::contract::PUBLISHED;

fn document() -> Value {
    serde_json::to_value(functions::openapi::document()).unwrap()
}

#[test]
fn the_committed_document_is_current() {
    let current = functions::openapi::document().to_pretty_json().unwrap() + "\n";
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    if shared::config::optional("UPDATE_DOCS").is_some_and(|update| update == "1") {
        std::fs::write(file, &current).unwrap();
    }
    assert!(
        std::fs::read_to_string(file).unwrap() == current,
        "docs/openapi.json is stale: run this test with UPDATE_DOCS=1, which writes the file"
    );
}

/// A schema with its references resolved, reduced to what a client depends on: types, limits, enumerations and fields.
fn contract_of(schema: &Value, root: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return contract_of(
            root.pointer(reference.trim_start_matches('#')).unwrap(),
            root,
        );
    }
    let any = ["anyOf", "oneOf"].map(|key| schema[key].as_array());
    let mut any: Vec<Value> = any
        .into_iter()
        .flatten()
        .flatten()
        .map(|schema| contract_of(schema, root))
        .collect();
    any.sort_by_key(|schema| schema["type"] == "null");
    if let [value, null] = any.as_slice()
        && null["type"] == "null"
    {
        // `anyOf: [T, null]`, `oneOf: [null, T]` and `type: [T, null]` mean the same.
        let mut value = value.clone();
        value["type"] = json!([value["type"], "null"]);
        return value;
    }
    let mut contract = json!({ "type": schema["type"] });
    for key in [
        "minLength",
        "maxLength",
        "enum",
        "required",
        "additionalProperties",
    ] {
        if let Some(value) = schema.get(key) {
            contract[key] = value.clone();
        }
    }
    if contract["required"].is_array() {
        contract["required"]
            .as_array_mut()
            .unwrap()
            .sort_by_key(Value::to_string);
    }
    if let Some(properties) = schema["properties"].as_object() {
        contract["properties"] = properties
            .iter()
            .map(|(name, schema)| (name.clone(), contract_of(schema, root)))
            .collect();
    }
    if !schema["items"].is_null() {
        contract["items"] = contract_of(&schema["items"], root);
    }
    contract
}

/// The contract of each operation's request body and of its successful answers.
fn contracts(root: &Value) -> BTreeMap<String, Value> {
    let mut contracts = BTreeMap::new();
    for (path, operations) in root["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            if !body.is_null() {
                contracts.insert(format!("{method} {path} body"), contract_of(body, root));
            }
            for status in ["200", "201"] {
                let answer =
                    &operation["responses"][status]["content"]["application/json"]["schema"];
                if !answer.is_null() {
                    contracts.insert(
                        format!("{method} {path} {status}"),
                        contract_of(answer, root),
                    );
                }
            }
        }
    }
    contracts
}

#[test]
fn bodies_and_answers_match_the_published_document() {
    let (mut ours, mut published) = (contracts(&document()), contracts(&PUBLISHED));
    // The two additions: the verifier of PKCE, and the account of an account-level app.
    for (name, contract) in &mut ours {
        if let Some(fields) = contract["properties"].as_object_mut()
            && published.contains_key(name)
        {
            assert_eq!(
                fields.remove("code_verifier").is_some(),
                name.ends_with(" body"),
                "{name}"
            );
            assert_eq!(
                fields.remove("account_id").is_some(),
                name == "post /v2/zoom-credentials body",
                "{name}"
            );
        }
    }
    // The one deviation: the published schema allows an empty code, and the vault refuses it.
    for (name, contract) in &mut published {
        let code = contract.pointer_mut("/properties/authorization_code");
        if let Some(code) = code.filter(|_| name.ends_with(" body")) {
            code["minLength"] = json!(1);
        }
    }
    for (name, contract) in &published {
        assert_eq!(ours.get(name), Some(contract), "{name}");
    }
}

#[test]
fn the_list_of_credentials_has_every_published_parameter() {
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
