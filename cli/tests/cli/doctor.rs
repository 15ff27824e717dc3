//! What is wrong is found, named, and said what to do about; and what is well is said to be well.

use axum::Router;
use axum::http::{HeaderName, StatusCode, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::World;

impl World {
    /// How the doctor ends, and what it found that needs something done: check and words.
    async fn doctor(&self, options: &str) -> (i32, Vec<(String, String)>) {
        let said = self.cli(&format!("doctor --json {options}")).await;
        let findings: Vec<Value> = serde_json::from_str(&said.out).unwrap();
        let bad = findings.iter().filter(|it| it["verdict"] == "bad");
        let bad = bad.map(|it| {
            let text = |name: &str| it[name].as_str().unwrap().to_owned();
            assert!(!text("to_do").is_empty());
            (
                text("check"),
                format!("{} -> {}", text("found"), text("to_do")),
            )
        });
        (said.code, bad.collect())
    }

    /// Asserts that one thing is found, in these words.
    async fn finds(&self, options: &str, check: &str, words: &[&str]) {
        let (code, bad) = self.doctor(options).await;
        let [(at, found)] = bad.as_slice() else {
            panic!("{bad:?}")
        };
        assert_eq!((code, at.as_str()), (1, check), "{found}");
        for word in words {
            assert!(found.contains(word), "{word}: {found}");
        }
    }

    async fn user(&self) -> String {
        self.ok("teams create acme").await;
        let key = self.key("acme", "full").await;
        self.connect(&key, "ada-sandbox-user").await
    }

    async fn drop_secret(&self, prefix: &str) -> String {
        let rows = self.rows().await.into_iter();
        let mut ids = rows.map(|row| row["secret_id"].as_s().unwrap().clone());
        let id = ids.find(|id| id.starts_with(prefix)).unwrap();
        let delete = self.aws().dynamodb().delete_item();
        let delete = delete.table_name(self.variable("SECRETS_TABLE")).key(
            "secret_id",
            aws_sdk_dynamodb::types::AttributeValue::S(id.clone()),
        );
        delete.send().await.unwrap();
        id
    }
}

/// An API that answers as it is told, at a moment of its own.
async fn api(status: StatusCode, headers: &'static [(HeaderName, &'static str)]) -> String {
    let headers: axum::http::HeaderMap = headers
        .iter()
        .map(|(name, value)| (name.clone(), value.parse().unwrap()))
        .collect();
    let router = Router::new().fallback(move || std::future::ready((status, headers.clone())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn a_vault_that_is_well_is_said_to_be_in_every_respect() {
    let world = World::new().await;
    world.user().await;

    let document = world.document("doctor").await;

    let mut checks: Vec<&str> = Vec::new();
    for finding in document.as_array().unwrap() {
        assert_eq!(finding["verdict"], "good", "{finding}");
        checks.push(finding["check"].as_str().unwrap());
    }
    let expected = [
        "table",
        "table",
        "table",
        "table",
        "table",
        "table",
        "envelope key",
        "envelope",
        "wrapping key",
        "orphans",
        "dangling",
        "keep-alive",
        "clock",
        "api",
        "webhooks",
    ];
    assert_eq!(checks, expected);
    let columns = world.ok("doctor").await;
    assert!(
        columns.lines().skip(1).all(|line| line.starts_with("ok")),
        "{columns}"
    );
}

#[tokio::test]
async fn secrets_without_a_credential_and_credentials_without_secrets_are_named() {
    let world = World::new().await;
    let id = world.user().await;
    let filled = world.fill(7).await;
    let words = [
        "secrets that belong to no credential",
        "and 2 more",
        "credentials sweep --destroy",
    ];
    world.finds("", "orphans", &words).await;
    world.ok("credentials sweep --destroy --yes").await;
    assert_eq!(filled.len(), 7);
    assert_eq!(world.doctor("").await, (0, Vec::new()));

    let grant = world.drop_secret("grant#").await;
    world
        .finds(
            "",
            "dangling",
            &[&format!("acme/{grant}"), "authorize again"],
        )
        .await;
    world.drop_secret("app#").await;
    world
        .finds("", "dangling", &[&format!("acme/app#{id}"), &grant])
        .await;
}

#[tokio::test]
async fn rows_under_another_key_and_a_key_that_is_off_are_named() {
    let world = World::new().await;
    world.user().await;
    let old = world.variable("ENVELOPE_KEY_ID").to_owned();
    let world = world.change_key().await;
    world
        .finds("", "wrapping key", &["2 rows", &old, "rewrap"])
        .await;
    world.ok("rewrap").await;
    assert_eq!(world.doctor("").await, (0, Vec::new()));

    let new = world.variable("ENVELOPE_KEY_ID").to_owned();
    world
        .aws()
        .kms()
        .disable_key()
        .key_id(&new)
        .send()
        .await
        .unwrap();
    world
        .finds("", "envelope key", &[&new, "is Disabled", "enable-key"])
        .await;
}

#[tokio::test]
async fn a_table_that_is_not_there_is_named_with_the_option_for_it() {
    let world = World::new().await;
    world
        .finds(
            "--events-table nowhere",
            "table",
            &["nowhere is not there", "--events-table"],
        )
        .await;
    // Another table's rows end by another attribute.
    world
        .finds(
            "--events-table keys",
            "table",
            &["keys ends rows by nothing, and should by purge_at"],
        )
        .await;
}

#[tokio::test]
async fn an_api_that_is_gone_wrong_or_late_is_said_to_be() {
    let world = World::new().await;
    world
        .finds(
            "--api-url http://127.0.0.1:1",
            "api",
            &["error sending request"],
        )
        .await;
    let open = api(StatusCode::OK, &[]).await;
    let (code, bad) = world.doctor(&format!("--api-url {open}")).await;
    let checks: Vec<&str> = bad.iter().map(|(check, _)| check.as_str()).collect();
    assert_eq!((code, checks), (1, vec!["api", "webhooks"]));
    assert!(
        bad[0].1.contains("answers 200 OK to who has no key"),
        "{bad:?}"
    );

    let late = api(
        StatusCode::UNAUTHORIZED,
        &[(header::DATE, "Sun, 06 Nov 1994 08:49:37 GMT")],
    )
    .await;
    world
        .finds(&format!("--api-url {late}"), "clock", &["s apart", "NTP"])
        .await;
    assert_eq!(json!(world.doctor("").await.0), json!(0));
}
