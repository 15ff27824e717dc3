//! Idempotency: a request that is sent twice is done once.

use reqwest::Method;
use serde_json::json;
use shared::api_key::Permission;

use crate::idempotency::REFUSED;
use crate::vault::Vault;
use crate::world::{
    CLIENT_ID, CLIENT_SECRET, CODE_SPENT, REDIRECT_URI, app_body, code_refused, send, user_body,
};

#[tokio::test]
async fn a_repeat_answers_with_the_credential_as_it_is_now() {
    let vault = Vault::new().await;
    let first = vault
        .acme
        .create_as("key", app_body("bot"))
        .await
        .expect(201);
    let id = first["credential_id"].as_str().unwrap();
    let renamed = vault.acme.update(id, json!({ "name": "robot" })).await;

    let repeated = vault.acme.create_as("key", app_body("bot")).await;
    assert_eq!(repeated.expect(201), renamed.expect(200));
}

#[tokio::test]
async fn a_repeat_whose_credential_was_deleted_is_not_found() {
    let vault = Vault::new().await;
    let first = vault
        .acme
        .create_as("key", app_body("bot"))
        .await
        .expect(201);
    vault
        .acme
        .delete(first["credential_id"].as_str().unwrap())
        .await
        .expect(200);

    let repeated = vault.acme.create_as("key", app_body("bot")).await;
    repeated.expect_error(
        404,
        "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID",
        "Zoom credential not found",
    );
    let deleted = vault.acme.list("?deleted=true").await.expect(200);
    assert_eq!(deleted.as_array().unwrap().len(), 1);
    assert_eq!(vault.acme.list("").await.expect(200), json!([]));
}

#[tokio::test]
async fn ignored_fields_and_formatting_do_not_make_another_body() {
    let vault = Vault::new().await;
    let first = vault
        .acme
        .create_as("key", app_body("bot"))
        .await
        .expect(201);

    let mut same = app_body("bot");
    same["unknown"] = json!([1, 2]);
    same["redirect_uri"] = json!(REDIRECT_URI);
    assert_eq!(vault.acme.create_as("key", same).await.expect(201), first);

    let text = format!(
        "{{ \"client_secret\" : \"{CLIENT_SECRET}\",\n \"name\":\"\\u0062ot\", \"client_id\": \"{CLIENT_ID}\" }}"
    );
    let request = vault
        .acme
        .request(Method::POST, "/v2/zoom-credentials")
        .header("idempotency-key", "key")
        .header("content-type", "application/json")
        .body(text);
    assert_eq!(send(request).await.expect(201), first);
}

#[tokio::test]
async fn an_invalid_request_is_not_remembered() {
    let vault = Vault::new().await;
    let mut invalid = app_body("bot");
    invalid["name"] = json!("");
    let answer = vault.acme.create_as("key", invalid).await;
    answer.expect_error(
        400,
        "FST_ERR_VALIDATION",
        "body/name must NOT have fewer than 1 characters",
    );

    vault
        .acme
        .create_as("key", app_body("bot"))
        .await
        .expect(201);
}

#[tokio::test]
async fn a_refusal_by_zoom_releases_the_key() {
    let vault = Vault::new().await;
    let wrong = user_body("bot", "no-such-code");
    let answer = vault.acme.create_as("key", wrong).await;
    answer.expect_code(400, REFUSED);

    let right = user_body("bot", &vault.code().await);
    vault.acme.create_as("key", right).await.expect(201);
}

#[tokio::test]
async fn keys_belong_to_a_team() {
    let vault = Vault::new().await;
    let zeta = vault.caller("zeta", Permission::Full).await;
    let ours = vault
        .acme
        .create_as("key", app_body("bot"))
        .await
        .expect(201);
    let theirs = zeta.create_as("key", app_body("theirs")).await.expect(201);

    assert_ne!(ours["credential_id"], theirs["credential_id"]);
    assert_eq!(
        zeta.create_as("key", app_body("theirs")).await.expect(201),
        theirs
    );
}

#[tokio::test]
async fn a_corrected_request_with_the_same_code_goes_through() {
    let vault = Vault::new().await;
    let right = user_body("bot", &vault.code().await);
    let mut wrong = right.clone();
    wrong["client_secret"] = json!("mistyped");
    vault.acme.create(wrong).await.expect_code(400, REFUSED);
    let mut wrong = right.clone();
    wrong["redirect_uri"] = json!("https://example.test/other");
    vault.acme.create(wrong).await.expect_code(400, REFUSED);

    vault.acme.create(right).await.expect(201);
}

#[tokio::test]
async fn a_code_that_another_team_used_does_not_reveal_that_teams_credential() {
    let vault = Vault::new().await;
    let zeta = vault.caller("zeta", Permission::Full).await;
    let body = user_body("bot", &vault.code().await);
    vault.acme.create(body.clone()).await.expect(201);

    let theirs = zeta.create(body).await;
    theirs.expect_error(400, REFUSED, &code_refused(CODE_SPENT));
    assert_eq!(zeta.list("").await.expect(200), json!([]));
}

#[tokio::test]
async fn keys_are_compared_exactly() {
    let vault = Vault::new().await;
    for key in ["key", "Key", "key."] {
        vault.acme.create_as(key, app_body(key)).await.expect(201);
    }
    let made = vault.acme.list("").await.expect(200);
    assert_eq!(made.as_array().unwrap().len(), 3);
}
