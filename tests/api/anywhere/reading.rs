//! Reading and listing credentials.

use serde_json::json;
use shared::api_key::Permission;
use shared::credential::CredentialId;

use crate::reading::{down, names, pages, query};
use crate::vault::Vault;
use crate::world::{app_body, user_body};

/// Creates app credentials named `0`, `1`, … and returns their ids.
async fn add_app_credentials(vault: &Vault, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..count {
        ids.push(vault.add_app_credential(&number.to_string()).await);
    }
    ids
}

#[tokio::test]
async fn a_created_credential_can_be_read() {
    let vault = Vault::new().await;
    let created = vault
        .acme
        .create(user_body("bot", &vault.code().await))
        .await
        .expect(201);
    let id = created["credential_id"].as_str().unwrap();

    assert_eq!(vault.acme.get(id).await.expect(200), created);
    assert_eq!(
        vault.acme.get(&id.to_uppercase()).await.expect(200),
        created
    );
    assert_eq!(vault.acme.list("").await.expect(200), json!([created]));
}

#[tokio::test]
async fn an_unknown_id_is_not_found() {
    let vault = Vault::new().await;
    for id in [
        CredentialId::generate().to_string(),
        "00000000-0000-0000-0000-000000000000".to_owned(),
        "ffffffff-ffff-ffff-ffff-ffffffffffff".to_owned(),
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF".to_owned(),
        "a1b2c3d4-e5f6-1890-8bcd-ef1234567890".to_owned(),
        "a1b2c3d4-e5f6-8890-bbcd-ef1234567890".to_owned(),
    ] {
        vault.acme.get(&id).await.expect_error(
            404,
            "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID",
            "Zoom credential not found",
        );
    }
}

#[tokio::test]
async fn an_invalid_query_is_refused_with_its_rule() {
    const TYPES: &str = "querystring/credential_type must be a comma-separated list of app, user";
    const STATES: &str = "querystring/state must be a comma-separated list of active, invalid";
    const PAIRS: &str = "querystring/extra must be key:value pairs, separated by commas";
    const DELETED: &str = "querystring/deleted must be true or false";
    const ATTENTION: &str = "querystring/needs_attention must be true or false";
    const LIMIT: &str = "querystring/limit must be an integer from 1 to 1000";
    const CURSOR: &str = "querystring/cursor must be a cursor from the header x-next-cursor";
    let vault = Vault::new().await;
    for (name, message, values) in [
        (
            "credential_type",
            TYPES,
            vec![
                "bot", "App", "app,", ",user", "app,bot", "app;user", "app\0", "null", "aрp",
            ],
        ),
        (
            "state",
            STATES,
            vec!["Active", "active,deleted", ",", "*", "active invalid"],
        ),
        (
            "extra",
            PAIRS,
            vec!["env", "a:b,", ",a:b", "a:b,c", "{\"a\""],
        ),
        (
            "deleted",
            DELETED,
            vec!["yes", "1", "TRUE", "True", "true,false", " true"],
        ),
        (
            "needs_attention",
            ATTENTION,
            vec!["yes", "1", "TRUE", "invalid", "true,false", "true "],
        ),
        (
            "limit",
            LIMIT,
            vec![
                "0",
                "1001",
                "-1",
                "+1",
                "1.0",
                "1e2",
                "0x10",
                "ten",
                " 1",
                "١",
                "1_0",
                "NaN",
                "18446744073709551617",
                "99999999999999999999999999",
            ],
        ),
        (
            "cursor",
            CURSOR,
            vec![
                "x",
                "null",
                "AQ",
                "AQ==",
                // A cursor is a version and an id, 17 bytes in 23 characters. Each of these has one mistake.
                "AAAAAAAAAAAAAAAAAAAAAAA",
                "AgAAAAAAAAAAAAAAAAAAAAA",
                "_wAAAAAAAAAAAAAAAAAAAAA",
                "AQAAAAAAAAAAAAAAAAAAAA",
                "AQAAAAAAAAAAAAAAAAAAAAAA",
                "AQAAAAAAAAAAAAAAAAAAAAB",
                "AQAAAAAAAAAAAAAAAAAAAAA=",
                "AQAAAAAAAAAAAAAAAAAAAA+",
                "AQ AAAAAAAAAAAAAAAAAAAA",
                "01941f29-7c00-7000-8000-000000000000",
                "../../etc",
                "é",
                "\0",
            ],
        ),
    ] {
        for value in values {
            let answer = vault.acme.list(&query(&[(name, value)])).await;
            assert_eq!(answer.status, 400, "{name}={value}: {}", answer.text);
            answer.expect_error(400, "FST_ERR_VALIDATION", message);
        }
    }
}

#[tokio::test]
async fn pages_are_newest_first_full_and_complete() {
    let vault = Vault::new().await;
    add_app_credentials(&vault, 7).await;
    assert_eq!(names(&vault.acme.list("").await.expect(200)), down(6, 0));

    for (limit, sizes) in [
        (1, vec![1; 7]),
        (2, vec![2, 2, 2, 1]),
        (3, vec![3, 3, 1]),
        (6, vec![6, 1]),
        (7, vec![7]),
        (8, vec![7]),
        (1000, vec![7]),
    ] {
        let pages = pages(&vault.acme, &format!("?limit={limit}")).await;
        let got: Vec<usize> = pages.iter().map(|page| names(page).len()).collect();
        assert_eq!(got, sizes, "limit {limit}");
        let all: Vec<&str> = pages.iter().flat_map(names).collect();
        assert_eq!(all, down(6, 0), "limit {limit}");
    }
}

#[tokio::test]
async fn a_cursor_survives_the_deletion_of_its_credential_and_shows_nothing_newer() {
    let vault = Vault::new().await;
    let ids = add_app_credentials(&vault, 5).await;
    let first = vault.acme.list("?limit=2").await;
    assert_eq!(names(&first.expect(200)), ["4", "3"]);
    let cursor = first.header("x-next-cursor").unwrap();

    vault.acme.delete(&ids[3]).await.expect(200);
    vault.acme.delete(&ids[1]).await.expect(200);
    vault.add_app_credential("newer").await;

    let rest = vault.acme.list(&format!("?cursor={cursor}")).await;
    assert_eq!(names(&rest.expect(200)), ["2", "0"]);
    assert_eq!(rest.header("x-next-cursor"), None);
}

#[tokio::test]
async fn a_cursor_of_another_team_shows_only_the_callers_credentials() {
    let vault = Vault::new().await;
    add_app_credentials(&vault, 3).await;
    let cursor = vault.acme.list("?limit=1").await;
    let cursor = cursor.header("x-next-cursor").unwrap().to_owned();
    let other = vault.caller("other", Permission::Full).await;
    let mine = other.create(app_body("mine")).await.expect(201);

    let listed = other.list(&format!("?cursor={cursor}")).await;
    assert_eq!(listed.expect(200), json!([]));
    assert_eq!(other.list("").await.expect(200), json!([mine]));
}

#[tokio::test]
async fn deleted_credentials_are_listed_only_on_request() {
    let vault = Vault::new().await;
    let ids = add_app_credentials(&vault, 9).await;
    for row in [0, 3, 4, 5, 8] {
        vault.acme.delete(&ids[row]).await.expect(200);
    }

    let deleted = vault.acme.list("?deleted=true").await.expect(200);
    assert_eq!(names(&deleted), ["8", "5", "4", "3", "0"]);
    assert_eq!(
        names(&vault.acme.list("").await.expect(200)),
        ["7", "6", "2", "1"]
    );
    // Hidden rows do not make a page shorter.
    for (query, sizes) in [
        ("?limit=2", vec![2, 2]),
        ("?limit=3&deleted=false", vec![3, 1]),
        ("?limit=2&deleted=true", vec![2, 2, 1]),
        ("?limit=2&deleted=true&name=5", vec![1]),
    ] {
        let pages = pages(&vault.acme, query).await;
        let got: Vec<usize> = pages.iter().map(|page| names(page).len()).collect();
        assert_eq!(got, sizes, "{query}");
    }
    vault
        .acme
        .get(&ids[3])
        .await
        .expect_code(404, "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID");
}
