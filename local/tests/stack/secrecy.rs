//! No secret leaks into the output or the files.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::json;

use crate::process::{RunningStack, credential_body};

// assures 12
#[tokio::test]
async fn output_and_files_hold_no_secret_except_the_api_key_file() {
    const SECRET: &str = "canary of the client secret";
    let data = tempfile::tempdir().unwrap();
    let stack = RunningStack::start(data.path()).await;
    let mut canaries = vec![SECRET.to_owned(), stack.key.clone()];
    stack.create(&credential_body("app")).await;
    for fault in [None, Some("garbage"), Some("truncate"), Some("drop_after")] {
        if let Some(kind) = fault {
            stack
                .control_zoom("faults", &json!({ "endpoint": "token", "kind": kind }))
                .await;
        }
        let body = stack.user_credential_body().await;
        canaries.push(body["authorization_code"].as_str().unwrap().to_owned());
        let request = stack.request(Method::POST, "/v2/zoom-credentials");
        let status = request.json(&body).send().await.unwrap().status();
        assert_eq!(status.as_u16(), if fault.is_some() { 502 } else { 201 });
    }
    let bad = stack.request(Method::POST, "/v2/zoom-credentials");
    let bad = bad.json(&json!({ "name": [SECRET], "client_secret": SECRET.repeat(50) }));
    assert_eq!(bad.send().await.unwrap().status(), 400);
    let output = stack.interrupt().await;
    assert!(output.contains("request failed"), "{output}");

    let mut places = vec![("the output".to_owned(), output.into_bytes())];
    for entry in std::fs::read_dir(data.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name != "api-key" {
            places.push((name, std::fs::read(entry.path()).unwrap()));
        }
    }
    assert!(places.iter().any(|(name, _)| name == "dynamodb.sqlite"));
    for (place, bytes) in places {
        let text = String::from_utf8_lossy(&bytes);
        for encoding in canaries.iter().flat_map(|canary| encodings(canary)) {
            assert!(!text.contains(&encoding), "{encoding} is in {place}");
        }
    }
}

/// The ways in which a secret could leak: as it is, its end, in base64, in hex and with encoded spaces.
fn encodings(secret: &str) -> [String; 6] {
    let hex: Vec<String> = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    [
        secret.to_owned(),
        secret.chars().skip(secret.len() - 12).collect(),
        STANDARD.encode(secret).get(..16).unwrap().to_owned(),
        hex.concat(),
        secret.replace(' ', "+"),
        secret.replace(' ', "%20"),
    ]
}
