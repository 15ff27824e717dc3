//! The record of the AWS calls that each function makes while the whole API suite runs.
//!
//! A test in tests/template compares the record with the roles in template.yaml. The record is a file of JSON lines,
//! since that test runs in another process. A run that leaves tests out writes no record: it would lack their calls.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};

use hyper::HeaderMap;
use serde::Serialize;
use serde_json::Value;

use crate::proxy::Service;

/// One right that a call needs, as IAM checks it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
struct Row {
    /// The application id of the caller's client: a function's name, or an operator's policy.
    function: String,
    service: &'static str,
    /// The action that IAM checks. A transaction's members are checked one by one.
    operation: String,
    table: Option<String>,
    index: Option<String>,
    /// The rows that the call is about, as a pattern of IAM's `LeadingKeys`: `grant#*`.
    rows: Option<String>,
    /// The transaction that the call is a member of, as IAM's `EnclosingOperation` names it: `TransactWriteItems`.
    enclosing: Option<&'static str>,
    /// What the encryption context names as the application.
    app: Option<String>,
    /// What the encryption context names as the secret's purpose.
    purpose: Option<String>,
}

/// The rows so far, and the file that holds each of them once.
struct Record {
    seen: HashSet<Row>,
    file: File,
}

/// None where the run leaves tests out.
static RECORD: LazyLock<Option<Mutex<Record>>> = LazyLock::new(|| {
    has_all_tests().then(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("aws-calls.jsonl");
        Mutex::new(Record {
            seen: HashSet::new(),
            file: File::create(path).unwrap(),
        })
    })
});

/// Whether the test program was started without a filter. An unknown argument counts as a filter.
fn has_all_tests() -> bool {
    const HARMLESS: [&str; 7] = [
        "--nocapture",
        "--no-capture",
        "--show-output",
        "--quiet",
        "-q",
        "--test-threads=",
        "--color=",
    ];
    std::env::args().skip(1).all(|argument| {
        HARMLESS.iter().any(|known| {
            argument == *known || (known.ends_with('=') && argument.starts_with(known))
        })
    })
}

/// Records a call to AWS.
pub(crate) fn record(service: Service, operation: &str, headers: &HeaderMap, body: &[u8]) {
    if service == Service::Zoom {
        return;
    }
    let Some(record) = &*RECORD else {
        return;
    };
    // A warm-up opens connections to KMS by requests without a signature. They need no right.
    if !headers.contains_key("authorization") {
        return;
    }
    let function = application_id(headers).unwrap_or_default();
    let body: Value = serde_json::from_slice(body).unwrap();
    let rows = if service == Service::Kms {
        vec![kms_row(function, operation, &body)]
    } else {
        dynamodb_rows(&function, operation, &body)
    };
    let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
    for row in rows {
        if !record.seen.contains(&row) {
            let line = serde_json::to_string(&row).unwrap() + "\n";
            record.file.write_all(line.as_bytes()).unwrap();
            record.seen.insert(row);
        }
    }
}

/// The application id in the SDK's User-Agent: `app/mint-token`.
fn application_id(headers: &HeaderMap) -> Option<String> {
    let names = ["x-amz-user-agent", "user-agent"];
    let words = names
        .into_iter()
        .filter_map(|name| headers.get(name)?.to_str().ok())
        .flat_map(str::split_whitespace);
    let mut ids = words.filter_map(|word| word.strip_prefix("app/"));
    ids.next().map(ToOwned::to_owned)
}

fn dynamodb_rows(function: &str, operation: &str, body: &Value) -> Vec<Row> {
    let row = |operation: &str, table: &Value, index: &Value, keys: &Value| Row {
        function: function.to_owned(),
        service: "dynamodb",
        operation: operation.to_owned(),
        table: table.as_str().map(ToOwned::to_owned),
        index: index.as_str().map(ToOwned::to_owned),
        rows: pattern_of_rows(keys),
        enclosing: None,
        app: None,
        purpose: None,
    };
    match operation {
        "TransactWriteItems" | "TransactGetItems" => {
            let enclosing = Some(match operation {
                "TransactGetItems" => "TransactGetItems",
                _ => "TransactWriteItems",
            });
            let members = body["TransactItems"].as_array().unwrap();
            let members = members.iter().flat_map(|item| item.as_object().unwrap());
            members
                .map(|(kind, member)| {
                    let checked = match kind.as_str() {
                        "Put" => "PutItem",
                        "Update" => "UpdateItem",
                        "Delete" => "DeleteItem",
                        "ConditionCheck" => "ConditionCheckItem",
                        "Get" => "GetItem",
                        other => panic!("a transaction with {other}"),
                    };
                    let keys = if kind == "Put" { "Item" } else { "Key" };
                    let table = &member["TableName"];
                    Row {
                        enclosing,
                        ..row(checked, table, &Value::Null, &member[keys])
                    }
                })
                .collect()
        }
        "BatchGetItem" | "BatchWriteItem" => {
            let tables = body["RequestItems"].as_object().unwrap().keys();
            tables
                .map(|table| {
                    let table = Value::String(table.clone());
                    row(operation, &table, &Value::Null, &Value::Null)
                })
                .collect()
        }
        _ => {
            let keys = if operation == "PutItem" {
                "Item"
            } else {
                "Key"
            };
            vec![row(
                operation,
                &body["TableName"],
                &body["IndexName"],
                &body[keys],
            )]
        }
    }
}

/// The kind of row that a key or an item names, in the tables whose partition key begins with the kind.
fn pattern_of_rows(keys: &Value) -> Option<String> {
    let key = ["secret_id", "request_id"]
        .into_iter()
        .find_map(|name| keys[name]["S"].as_str())?;
    let (kind, _) = key.split_once('#')?;
    Some(format!("{kind}#*"))
}

fn kms_row(function: String, operation: &str, body: &Value) -> Row {
    let context = |name: &str| {
        body["EncryptionContext"][name]
            .as_str()
            .map(ToOwned::to_owned)
    };
    Row {
        function,
        service: "kms",
        operation: operation.to_owned(),
        table: None,
        index: None,
        rows: None,
        enclosing: None,
        app: context("app"),
        purpose: context("purpose"),
    }
}
