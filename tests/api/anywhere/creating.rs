//! Creating a credential.

use local::zoom::User;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::creating::without_times;
use crate::vault::Vault;
use crate::world::{REDIRECT_URI, app_body, id_of, user_body, with};

#[tokio::test]
async fn an_app_credential_shows_the_given_fields_and_null_otherwise() {
    let vault = Vault::new().await;
    let created = vault.acme.create(app_body("bot")).await.expect(201);
    let id = id_of(&created);

    assert_eq!(Uuid::parse_str(&id).unwrap().get_version_num(), 7);
    assert_eq!(created["created_at"], created["updated_at"]);
    let expected = json!({
        "credential_id": id,
        "name": "bot",
        "credential_type": "app",
        "zoom_user_id": null,
        "zoom_account_id": null,
        "zoom_email": null,
        "zoom_display_name": null,
        "scopes": null,
        "state": "active",
        "last_error_message": null,
        "last_error_at": null,
        "extra": null,
    });
    assert_eq!(without_times(created), expected);
}

#[tokio::test]
async fn a_user_credential_shows_the_user_and_the_scopes() {
    let vault = Vault::new().await;
    let body = with(
        user_body("bot", &vault.code().await),
        json!({ "extra": { "a": 1 } }),
    );
    let created = vault.acme.create(body).await.expect(201);

    let expected = json!({
        "credential_id": id_of(&created),
        "name": "bot",
        "credential_type": "user",
        "zoom_user_id": vault.zoom_user("ada"),
        "zoom_account_id": "analytical",
        "zoom_email": "ada@example.test",
        "zoom_display_name": "Ada Lovelace",
        "scopes": "user:read:user,user:read:token,user:read:zak,meeting:read:local_recording_token,webinar:read:local_recording_token",
        "state": "active",
        "last_error_message": null,
        "last_error_at": null,
        "extra": { "a": 1 },
    });
    assert_eq!(without_times(created), expected);
}

#[tokio::test]
async fn a_missing_display_name_is_composed_of_both_names() {
    let vault = Vault::new().await;
    for (first, last, expected) in [
        (Some("Ada"), Some("Lovelace"), json!("Ada Lovelace")),
        (Some("Ada"), None, json!("Ada")),
        (None, Some("Lovelace"), json!("Lovelace")),
        (Some(""), Some("Lovelace"), json!("Lovelace")),
        (None, None, Value::Null),
    ] {
        let user = User {
            display_name: None,
            first_name: first.map(str::to_owned),
            last_name: last.map(str::to_owned),
            ..vault.ada()
        };
        vault.register_user(&user).await;
        let created = vault
            .acme
            .create(user_body("bot", &vault.code().await))
            .await;
        assert_eq!(created.expect(201)["zoom_display_name"], expected);
    }
}

#[tokio::test]
async fn an_empty_profile_field_is_null() {
    let vault = Vault::new().await;
    let nobody = User {
        id: vault.zoom_user("nobody"),
        ..User::default()
    };
    vault.register_user(&nobody).await;
    let code = vault.code_of("nobody", None).await;
    let created = vault.acme.create(user_body("bot", &code)).await.expect(201);

    assert_eq!(created["zoom_user_id"], nobody.id);
    for name in ["zoom_account_id", "zoom_email", "zoom_display_name"] {
        assert_eq!(created[name], Value::Null, "{name}");
    }
}

#[tokio::test]
async fn names_need_not_be_unique_and_unknown_fields_are_ignored() {
    let vault = Vault::new().await;
    let body = with(
        app_body("bot"),
        json!({ "state": "invalid", "credential_id": 7, "": [], "zoom_email": {} }),
    );
    let first = vault.acme.create(body.clone()).await.expect(201);
    let second = vault.acme.create(body).await.expect(201);

    assert_eq!(first["name"], second["name"]);
    assert_eq!(first["state"], "active");
    assert_ne!(id_of(&first), id_of(&second));
}

#[tokio::test]
async fn lengths_are_counted_in_characters_and_the_longest_is_accepted() {
    let vault = Vault::new().await;
    let name = "🦀".repeat(100);
    let body = json!({
        "name": name,
        "client_id": "é".repeat(256),
        "client_secret": "€".repeat(256),
    });
    assert_eq!(vault.acme.create(body).await.expect(201)["name"], name);

    for name in ["x", " ", "null", "\u{10ffff}\u{e000}", "{}"] {
        let created = vault.acme.create(app_body(name)).await.expect(201);
        assert_eq!(created["name"], name);
        let got = vault.acme.get(&id_of(&created)).await.expect(200);
        assert_eq!(got["name"], name);
    }
}

#[tokio::test]
async fn each_field_has_its_rule() {
    let vault = Vault::new().await;
    let user = user_body("bot", "code");
    let long = |count: usize| "é".repeat(count);
    for (changes, message) in [
        (json!({ "name": null }), "body/name is required"),
        (json!({ "client_id": null }), "body/client_id is required"),
        (
            json!({ "client_secret": null }),
            "body/client_secret is required",
        ),
        (
            json!({ "redirect_uri": null }),
            "body/redirect_uri is required with authorization_code",
        ),
        (
            json!({ "name": "" }),
            "body/name must NOT have fewer than 1 characters",
        ),
        (
            json!({ "client_id": "" }),
            "body/client_id must NOT have fewer than 1 characters",
        ),
        (
            json!({ "client_secret": "" }),
            "body/client_secret must NOT have fewer than 1 characters",
        ),
        (
            json!({ "authorization_code": "" }),
            "body/authorization_code must NOT have fewer than 1 characters",
        ),
        (
            json!({ "name": long(101) }),
            "body/name must NOT have more than 100 characters",
        ),
        (
            json!({ "client_id": long(257) }),
            "body/client_id must NOT have more than 256 characters",
        ),
        (
            json!({ "client_secret": long(257) }),
            "body/client_secret must NOT have more than 256 characters",
        ),
        (
            json!({ "authorization_code": long(2001) }),
            "body/authorization_code must NOT have more than 2000 characters",
        ),
        (json!({ "extra": [1] }), "body/extra must be object"),
    ] {
        let answer = vault.acme.create(with(user.clone(), changes)).await;
        answer.expect_error(400, "FST_ERR_VALIDATION", message);
    }
    for uri in [
        "",
        "callback",
        "/callback",
        "https://",
        "https://a b/",
        "http://[::1/",
    ] {
        let answer = vault
            .acme
            .create(with(user.clone(), json!({ "redirect_uri": uri })))
            .await;
        answer.expect_error(
            400,
            "FST_ERR_VALIDATION",
            "body/redirect_uri must match format \"uri\"",
        );
    }
    assert_eq!(vault.acme.list("").await.expect(200), json!([]));
}

#[tokio::test]
async fn a_redirect_uri_without_a_code_is_validated_and_then_ignored() {
    let vault = Vault::new().await;
    let body = with(app_body("bot"), json!({ "redirect_uri": REDIRECT_URI }));
    let created = vault.acme.create(body).await.expect(201);
    assert_eq!(created["credential_type"], "app");

    let body = with(app_body("bot"), json!({ "redirect_uri": "nowhere" }));
    vault.acme.create(body).await.expect_error(
        400,
        "FST_ERR_VALIDATION",
        "body/redirect_uri must match format \"uri\"",
    );
}
