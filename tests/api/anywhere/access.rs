//! Access control.

use reqwest::Method;
use shared::api_key::{ApiKey, KeyTerms, Permission};

use crate::access::{call, endpoints, expect_refused};
use crate::vault::Vault;
use crate::world::{send, text_of};

#[tokio::test]
async fn the_header_name_ignores_case_and_spaces_around_the_key_are_ignored() {
    let vault = Vault::new().await;
    let url = vault
        .acme
        .request(Method::GET, "/v2/zoom-credentials")
        .build()
        .unwrap()
        .url()
        .clone();
    let request = reqwest::Client::new().get(url);
    let key = format!("  {}\t", vault.acme.key());
    send(request.header("X-MEETING-BAAS-API-KEY", key))
        .await
        .expect(200);
}

#[tokio::test]
async fn revoking_one_key_leaves_the_others_valid() {
    let vault = Vault::new().await;
    let acme = vault.team("acme");
    let (other, listing) = vault
        .operator
        .create_key(&acme, KeyTerms::of(Permission::Full))
        .await
        .unwrap();
    let other = vault.caller_with_key(&text_of(other));
    other.list("").await.expect(200);
    vault
        .operator
        .revoke_key(&acme, &listing.key_id)
        .await
        .unwrap();
    expect_refused(&other.list("").await, "revoked");
    vault.acme.list("").await.expect(200);
}

#[tokio::test]
async fn a_key_that_was_never_created_is_refused() {
    let vault = Vault::new().await;
    let id = vault.add_app_credential("bot").await;
    for key in [
        String::new(),
        "x".to_owned(),
        text_of(ApiKey::generate(vault.team("acme")).unwrap()),
        text_of(ApiKey::generate(vault.team("nobody")).unwrap()),
    ] {
        for endpoint in endpoints(&id) {
            let answer = send(call(&vault.caller_with_key(&key), &endpoint)).await;
            expect_refused(&answer, "nobody's");
        }
    }
}
