//! Updating a credential.

use serde_json::{Value, json};

use crate::updating::{authorization, changed, client_pair};
use crate::vault::Vault;
use crate::world::{CLIENT_ID, CLIENT_SECRET, SCOPES, app_body, id_of, user_body, with};

#[tokio::test]
async fn each_field_is_changed_on_its_own() {
    let vault = Vault::new().await;
    let body = with(
        user_body("bot", &vault.code().await),
        json!({ "extra": { "a": 1 } }),
    );
    let mut last = vault.acme.create(body).await.expect(201);
    let id = id_of(&last);
    for (body, expected) in [
        (json!({ "name": "renamed" }), json!({ "name": "renamed" })),
        (json!({ "name": "renamed" }), json!({})),
        (
            json!({ "extra": { "b": [2] } }),
            json!({ "extra": { "b": [2] } }),
        ),
        (json!({ "extra": {} }), json!({ "extra": {} })),
        (json!({ "extra": null }), json!({ "extra": null })),
        (json!({ "extra": null }), json!({})),
        (
            json!({ "name": "both", "extra": { "c": 3 } }),
            json!({ "name": "both", "extra": { "c": 3 } }),
        ),
        (
            json!({ "state": "invalid", "zoom_user_id": "eve", "credential_type": "app", "created_at": 0 }),
            json!({}),
        ),
    ] {
        let updated = vault.acme.update(&id, body.clone()).await.expect(200);
        assert_eq!(changed(&last, &updated), expected, "{body}");
        assert_eq!(vault.acme.get(&id).await.expect(200), updated);
        last = updated;
    }
}

#[tokio::test]
async fn an_authorization_without_a_readable_profile_does_not_keep_the_old_profile() {
    let vault = Vault::new().await;
    let id = vault.add_user_credential("bot").await;
    let code = vault.code_of("ada", Some(&["user:read:token"])).await;

    let updated = vault
        .acme
        .update(&id, authorization(&code))
        .await
        .expect(200);
    for name in [
        "zoom_user_id",
        "zoom_account_id",
        "zoom_email",
        "zoom_display_name",
    ] {
        assert_eq!(updated[name], Value::Null, "{name}");
    }
    assert_eq!(updated["state"], "active");
    assert_eq!(updated["scopes"], "user:read:token");
    assert_eq!(
        updated["last_error_message"],
        "missing scope user:read:user: the Zoom user's profile cannot be read"
    );

    let updated = vault
        .acme
        .update(&id, authorization(&vault.code().await))
        .await
        .expect(200);
    assert_eq!(updated["last_error_message"], Value::Null);
    assert_eq!(updated["zoom_user_id"], vault.zoom_user("ada"));
}

#[tokio::test]
async fn an_app_credential_becomes_a_user_credential() {
    let vault = Vault::new().await;
    let id = vault.add_app_credential("bot").await;
    let before = vault.acme.get(&id).await.expect(200);
    let updated = vault
        .acme
        .update(&id, authorization(&vault.code().await))
        .await
        .expect(200);

    assert_eq!(
        changed(&before, &updated),
        json!({
            "credential_type": "user",
            "zoom_user_id": vault.zoom_user("ada"),
            "zoom_account_id": "analytical",
            "zoom_email": "ada@example.test",
            "zoom_display_name": "Ada Lovelace",
            "scopes": SCOPES.join(","),
        })
    );
    let listed = vault.acme.list("?credential_type=app").await;
    assert_eq!(listed.expect(200), json!([]));
}

#[tokio::test]
async fn a_change_and_a_delete_at_once_leave_it_deleted() {
    let vault = Vault::new().await;
    for body in [
        json!({ "name": "renamed" }),
        client_pair(CLIENT_ID, CLIENT_SECRET),
    ] {
        let id = vault.add_app_credential("bot").await;
        let (acme, path) = (vault.acme.clone(), id.clone());
        let update = tokio::spawn(async move { acme.update(&path, body).await.status });
        vault.acme.delete(&id).await.expect(200);
        let status = update.await.unwrap();
        assert!([200, 404].contains(&status), "{status}");
        vault
            .acme
            .get(&id)
            .await
            .expect_code(404, "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID");
    }
}

#[tokio::test]
async fn two_credentials_of_one_app_are_independent() {
    let vault = Vault::new().await;
    let first = vault.add_app_credential("bot").await;
    let second = id_of(&vault.acme.create(app_body("bot")).await.expect(201));
    vault
        .acme
        .update(&first, json!({ "name": "first" }))
        .await
        .expect(200);
    assert_eq!(vault.acme.get(&second).await.expect(200)["name"], "bot");
}
