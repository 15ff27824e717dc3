//! A DynamoDB that answers at once, from memory: one API key, and the credentials of its team, page by page. Nothing is
//! sent over a socket. The SDK signs the requests and reads the answers as always.

use std::collections::HashMap;

use aws_sdk_dynamodb::config::http::{HttpRequest, HttpResponse};
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_sdk_dynamodb::{Client, Config};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use serde_json::{Value, json};

/// DynamoDB sends at most 1 MB of rows in an answer, and a row of [`row`] has about 500 bytes.
const ROWS_A_PAGE: usize = 2_000;

/// A client for a table with this many credentials.
pub(crate) fn client(credentials: usize) -> Client {
    let connector = SharedHttpConnector::new(Memory {
        pages: pages(credentials),
    });
    let credentials = Credentials::new("id", "secret", None, None, "benchmark");
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-central-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .build();
    Client::from_conf(config)
}

/// The answers to a query, by the id after which the page begins. The first page begins after no id.
#[derive(Debug)]
struct Memory {
    pages: HashMap<Option<String>, Vec<u8>>,
}

impl HttpConnector for Memory {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = request.body().bytes().unwrap_or_default();
        let body: Value = serde_json::from_slice(body).unwrap();
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let answer = match target {
            "DynamoDB_20120810.Query" => {
                let after = text(body.pointer("/ExclusiveStartKey/credential_id/S"));
                self.pages.get(&after).unwrap().clone()
            }
            "DynamoDB_20120810.GetItem" => key_row(&body),
            "DynamoDB_20120810.UpdateItem" => b"{}".to_vec(),
            other => panic!("no answer to {other}"),
        };
        let mut response = HttpResponse::new(200.try_into().unwrap(), answer.into());
        let kind = "application/x-amz-json-1.0";
        response.headers_mut().insert("content-type", kind);
        HttpConnectorFuture::ready(Ok(response))
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    value?.as_str().map(str::to_owned)
}

/// Every API key exists.
fn key_row(request: &Value) -> Vec<u8> {
    let mut row = request.get("Key").unwrap().clone();
    let rest =
        json!({"permission": {"S": "full"}, "created_at": {"S": "2026-01-01T00:00:00.000Z"}});
    row.as_object_mut()
        .unwrap()
        .extend(rest.as_object().unwrap().clone());
    json!({"Item": row}).to_string().into_bytes()
}

/// The pages, newest first.
fn pages(credentials: usize) -> HashMap<Option<String>, Vec<u8>> {
    let mut pages = HashMap::new();
    let (mut after, mut left) = (None, credentials);
    while left > 0 {
        let numbers = left.saturating_sub(ROWS_A_PAGE)..left;
        left = numbers.start;
        let end = id(left);
        let (count, key) = (
            numbers.len(),
            json!({"team_id": {"S": "acme"}, "credential_id": {"S": end}}),
        );
        // The memory of this process is measured, and text takes little.
        let rows: Vec<String> = numbers
            .rev()
            .map(|number| row(number).to_string())
            .collect();
        let rows = rows.join(",");
        let end_key = if left > 0 {
            format!(r#","LastEvaluatedKey":{key}"#)
        } else {
            String::new()
        };
        let answer =
            format!(r#"{{"Count":{count},"ScannedCount":{count},"Items":[{rows}]{end_key}}}"#);
        pages.insert(after, answer.into_bytes());
        after = Some(end);
    }
    pages
}

fn id(number: usize) -> String {
    format!("01890a5d-ac96-774b-bcce-{number:012x}")
}

/// A row of the table `credentials`: a user's credential without `extra`.
fn row(number: usize) -> Value {
    let at = "2026-01-01T00:00:00.000Z";
    json!({
        "team_id": {"S": "acme"},
        "credential_id": {"S": id(number)},
        "name": {"S": name(number)},
        "credential_type": {"S": "user"},
        "client_id": {"S": "ADZ9k9bTWmGUoUbECUKU_a"},
        "grant_id": {"S": id(number)},
        "grant_authorized_at": {"N": "1767225600000"},
        "pair_id": {"S": "pair#6Yw7rZ1kVQ2vX0mJb8nT5cLhGfDsAaPoIuYtReWq123"},
        "zoom_user_id": {"S": format!("KdYKjnimT4KPd8{number:08}")},
        "zoom_account_id": {"S": "EAAAAbbbbbCCCCHMA"},
        "zoom_email": {"S": format!("ada{number}@acme.example")},
        "zoom_display_name": {"S": format!("Ada {number}")},
        "state": {"S": "active"},
        "created_at": {"S": at},
        "updated_at": {"S": at},
        "version": {"N": "3"},
        "change": {"S": "updated"},
        "deleted": {"BOOL": false},
        "writer": {"S": "0b6b4f0e-6b0e-4f0e-8b0e-6b0e4f0e8b0e"},
    })
}

/// The name of a credential.
pub(crate) fn name(number: usize) -> String {
    format!("Bot {number}")
}
