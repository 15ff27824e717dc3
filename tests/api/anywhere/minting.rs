//! Minting tokens for bots.

use serde_json::{Value, json};

use crate::minting::{mint, mint_onbehalf};
use crate::vault::Vault;

#[tokio::test]
async fn each_mint_returns_another_token() {
    let vault = Vault::new().await;
    let id = vault.add_user_credential("desk").await;
    let first = mint_onbehalf(&vault.acme, &id).await.expect(200);
    let second = mint_onbehalf(&vault.acme, &id).await.expect(200);
    assert_ne!(first["token"], second["token"]);
    assert_eq!(first["credential_id"], id.as_str());
    let jwt = mint(
        &vault.acme,
        json!({ "credential_id": id, "type": "sdk_jwt" }),
    )
    .await;
    assert_eq!(
        jwt.expect(200)["token"]
            .as_str()
            .unwrap()
            .split('.')
            .count(),
        3
    );
}

#[tokio::test]
async fn a_deleted_credential_mints_nothing() {
    let vault = Vault::new().await;
    let id = vault.add_user_credential("desk").await;
    vault.acme.delete(&id).await.expect(200);
    let answer = mint_onbehalf(&vault.acme, &id).await;
    answer.expect_code(404, "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID");
}

#[tokio::test]
async fn an_app_credential_mints_no_user_token() {
    let vault = Vault::new().await;
    let id = vault.add_app_credential("bot").await;
    let answer = mint_onbehalf(&vault.acme, &id).await;
    answer.expect_code(400, "FST_ERR_ZOOM_NOT_A_USER_CREDENTIAL");
    assert_eq!(answer.json()["details"], Value::Null);
}

#[tokio::test]
async fn a_mint_appears_in_the_events_and_a_check_finds_the_credential_healthy() {
    let vault = Vault::new().await;
    let id = vault.add_user_credential("desk").await;
    mint_onbehalf(&vault.acme, &id).await.expect(200);
    let events = vault.acme.events(&id, "").await.expect(200);
    assert_eq!(
        (&events[0]["kind"], &events[0]["outcome"]),
        (&json!("mint"), &json!("succeeded"))
    );
    let health = vault.acme.check(&id).await.expect(200);
    for capability in ["onbehalf", "zak", "local_recording", "profile"] {
        assert_eq!(
            health["capabilities"][capability]["status"], "granted",
            "{capability}"
        );
    }
}

#[tokio::test]
async fn a_token_url_gives_a_bot_its_token_until_the_url_is_revoked() {
    let vault = Vault::new().await;
    let id = vault.add_user_credential("desk").await;
    let path = format!("/v2/zoom-credentials/{id}/token-urls");
    let made = vault.acme.request(reqwest::Method::POST, &path);
    let made = crate::world::send(made.json(&json!({ "type": "onbehalf" })))
        .await
        .expect(201);
    // Behind an emulator, the host in the URL may not be reachable from here. The path is the same everywhere.
    let (_, token) = made["url"].as_str().unwrap().rsplit_once("/t/").unwrap();
    let call = vault
        .acme
        .http()
        .get(vault.acme.address(&format!("/t/{token}")));
    let answer = call.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/plain");
    assert!(answer.text().await.unwrap().len() > 20);

    let path = format!("{path}/{}", made["url_id"].as_str().unwrap());
    crate::world::send(vault.acme.request(reqwest::Method::DELETE, &path))
        .await
        .expect(200);
    let call = vault
        .acme
        .http()
        .get(vault.acme.address(&format!("/t/{token}")));
    assert_eq!(call.send().await.unwrap().status(), 404);
}
