//! Deleting a credential.

use serde_json::json;

use crate::deleting::expect_gone;
use crate::vault::Vault;
use crate::world::{id_of, user_body};

#[tokio::test]
async fn a_deleted_credential_is_invisible_everywhere() {
    let vault = Vault::new().await;
    let kept = vault.add_app_credential("kept").await;
    let id = vault.add_user_credential("gone").await;

    let answer = vault.acme.delete(&id).await;
    assert_eq!(
        answer.expect(200),
        json!({ "message": "Zoom credential deleted successfully" })
    );

    expect_gone(&vault.acme.get(&id).await);
    expect_gone(&vault.acme.get(&id.to_uppercase()).await);
    expect_gone(&vault.acme.update(&id, json!({ "name": "back" })).await);
    expect_gone(&vault.acme.update(&id, json!({})).await);
    let app = json!({ "client_id": "test-app", "client_secret": "another" });
    expect_gone(&vault.acme.update(&id, app).await);
    expect_gone(&vault.acme.delete(&id).await);
    for query in ["", "?limit=1", "?limit=1000", "?deleted=false", "?extra="] {
        let listed = vault.acme.list(query).await.expect(200);
        assert_eq!(listed.as_array().unwrap().len(), 1, "{query}");
        assert_eq!(listed[0]["credential_id"], kept, "{query}");
    }
    assert_eq!(vault.acme.list("?name=gone").await.expect(200), json!([]));
}

#[tokio::test]
async fn of_parallel_deletes_one_finds_the_credential() {
    let vault = Vault::new().await;
    let id = vault.add_app_credential("bot").await;
    let calls = (0..8).map(|_| {
        let (acme, id) = (vault.acme.clone(), id.clone());
        tokio::spawn(async move { acme.delete(&id).await.status })
    });
    let mut statuses = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        statuses.push(call.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 404, 404, 404, 404, 404, 404, 404]);
}

#[tokio::test]
async fn a_delete_accepts_an_upper_case_id_and_ignores_the_body() {
    let vault = Vault::new().await;
    let id = vault.add_app_credential("bot").await;
    let path = format!("/v2/zoom-credentials/{}", id.to_uppercase());
    let answer = vault
        .acme
        .send_text(reqwest::Method::DELETE, &path, "{not json")
        .await;
    answer.expect(200);
    expect_gone(&vault.acme.get(&id).await);
}

#[tokio::test]
async fn a_repeat_of_the_create_does_not_restore_a_deleted_credential() {
    let vault = Vault::new().await;
    let body = user_body("bot", &vault.code().await);
    let created = vault.acme.create(body.clone()).await.expect(201);
    let id = id_of(&created);
    vault.acme.delete(&id).await.expect(200);

    // The repeat is the same request. The credential that it made is deleted.
    expect_gone(&vault.acme.create(body).await);
    assert_eq!(vault.acme.list("").await.expect(200), json!([]));
}
