//! Bad input.

use reqwest::Method;
use shared::credential::CredentialId;

use crate::input::{CREATE, MARKER};
use crate::vault::Vault;
use crate::world::send;

#[tokio::test]
async fn unusual_headers_do_no_harm() {
    let vault = Vault::new().await;
    for (name, value) in [
        ("host", "m4rk3r.test"),
        ("host", "a b"),
        ("host", ""),
        ("x-forwarded-proto", "javascript"),
        ("x-forwarded-proto", "\u{e9}"),
        ("x-forwarded-host", "m4rk3r.test"),
        ("x-forwarded-for", "m4rk3r"),
        ("x-amzn-trace-id", "m4rk3r"),
        ("x-request-id", "m4rk3r"),
        ("user-agent", "\u{e9}\u{7f00}"),
        ("accept", "text/html"),
        ("x-http-method-override", "DELETE"),
    ] {
        let request = vault.acme.request(Method::GET, CREATE);
        let value = reqwest::header::HeaderValue::from_bytes(value.as_bytes()).unwrap();
        let answer = send(request.header(name, value)).await;
        assert_eq!(answer.expect(200), serde_json::json!([]), "{name}");
        for value in answer.headers.values() {
            assert!(!value.to_str().unwrap().contains(MARKER), "{name}");
        }
    }
    let absent = vault.acme.get(&CredentialId::generate().to_string()).await;
    absent.expect_code(404, "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID");
}
