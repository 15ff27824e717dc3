//! What an operator types at night: which credentials fail, why, since when, and whether they work again.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::TestStack;

const ADA: &str = "ada-sandbox-user";
const GRACE: &str = "grace-sandbox-user";

/// Two teams: `acme` with a revoked and a working credential, and `globex` with an app credential.
struct Night {
    stack: TestStack,
    key: String,
    revoked: String,
    works: String,
    app: String,
}

impl Night {
    async fn start() -> Self {
        let stack = TestStack::start().await;
        stack.ok("teams create acme").await;
        stack.ok("teams create globex").await;
        let key = stack.create_key("acme", "full").await;
        let globex = stack.create_key("globex", "full").await;
        let revoked = stack.connect_user(&key, ADA).await;
        let works = stack.connect_user(&key, GRACE).await;
        let app: Value = stack
            .create_credential(&globex, "bot")
            .await
            .json()
            .await
            .unwrap();
        let app = app["data"]["credential_id"].as_str().unwrap().to_owned();
        stack.remove_app(ADA).await;
        assert_eq!(stack.mint(&key, &revoked).await, 409);
        Self {
            stack,
            key,
            revoked,
            works,
            app,
        }
    }

    async fn listed(&self, options: &str) -> Vec<String> {
        let line = format!("credentials list {options}");
        let listed = self.stack.json(&line).await;
        let ids = listed.as_array().unwrap().iter();
        let ids = ids.map(|it| it["credential_id"].as_str().unwrap().to_owned());
        ids.collect()
    }
}

// assures 59
#[tokio::test]
async fn the_list_filters_by_team_state_attention_and_email_and_says_why_and_since_when() {
    let night = Night::start().await;
    let (revoked, works, app) = (&night.revoked, &night.works, &night.app);
    for (options, expected) in [
        ("--team acme", vec![works, revoked]),
        ("--team globex", vec![app]),
        ("--all-teams", vec![works, revoked, app]),
        ("--all-teams --state invalid", vec![revoked]),
        ("--all-teams --state active", vec![works, app]),
        ("--all-teams --needs-attention", vec![revoked]),
        ("--team globex --needs-attention", vec![]),
        ("--team acme --email GRACE", vec![works]),
        ("--team acme --email nobody", vec![]),
        ("--all-teams --deleted", vec![]),
    ] {
        assert_eq!(
            night.listed(options).await,
            expected.into_iter().cloned().collect::<Vec<_>>(),
            "{options}"
        );
    }
    let listed = night
        .stack
        .json("credentials list --all-teams --needs-attention")
        .await;
    assert_eq!(
        (
            &listed[0]["team"],
            &listed[0]["state"],
            &listed[0]["reason"]
        ),
        (&json!("acme"), &json!("invalid"), &json!("reconnect"))
    );
    assert!(listed[0]["last_error_at"].is_string(), "{listed}");

    let table = night.stack.ok("credentials list --all-teams").await;
    let lines: Vec<&str> = table.lines().collect();
    let cells = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        cells(lines[0]),
        [
            "CREDENTIAL",
            "TEAM",
            "TYPE",
            "STATE",
            "REASON",
            "AGE",
            "EMAIL",
            "NAME"
        ]
    );
    let row = cells(lines[2]);
    assert_eq!(row[..5], [revoked, "acme", "user", "invalid", "Reconnect"]);
    assert!(row[5].ends_with('s') || row[5].ends_with('m'), "{table}");
}

#[tokio::test]
async fn show_finds_a_credential_without_its_team_and_says_what_to_do() {
    let night = Night::start().await;
    let path = format!("/v2/zoom-credentials/{}/token-urls", night.revoked);
    let body = json!({ "type": "zak", "label": "desk" });
    let (status, url) = night.stack.post_json(&path, &night.key, &body).await;
    assert_eq!(status, 201, "{url}");

    let shown = night
        .stack
        .json(&format!("credentials show {}", night.revoked))
        .await;
    assert_eq!(
        json!([
            shown["team"],
            shown["state"],
            shown["reason"],
            shown["client_id"],
            shown["zoom_user_id"],
            shown["grant"]["works"],
            shown["events"][0]["kind"],
            shown["token_urls"][0]["url_id"],
        ]),
        json!([
            "acme",
            "invalid",
            "reconnect",
            "sandbox-app",
            ADA,
            false,
            "url_created",
            url["data"]["url_id"]
        ])
    );
    let text = night
        .stack
        .ok(&format!("credentials show --team acme {}", night.revoked))
        .await;
    for words in [
        "state         invalid",
        "who must act  The Zoom user",
        "grant         dead",
        "authorized ",
        "last events\n",
        "state_change",
        "token URLs\n",
        " desk ",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }

    // Another team's credential, and one that does not exist.
    let line = format!("credentials show --team globex {}", night.revoked);
    let text = night.stack.fails(1, &line).await;
    assert!(
        text.starts_with("error: team globex has no credential"),
        "{text}"
    );
    let line = "credentials show 01a20d6c-8830-7053-9037-e291033ddc44";
    let text = night.stack.fails(1, line).await;
    assert!(
        text.starts_with("error: no team has a credential"),
        "{text}"
    );
}

#[tokio::test]
async fn check_asks_zoom_through_the_api_and_says_what_it_needs() {
    let night = Night::start().await;
    let line = format!("credentials check {}", night.works);
    let text = night.stack.fails(1, &line).await;
    assert!(
        text.contains("set ZOOM_VAULT_API_KEY to an API key of the credential's team"),
        "{text}"
    );
    let check = async |id: &str, key: &str, options: &str| {
        let line = format!("credentials check {id} {options}");
        let key = [("ZOOM_VAULT_API_KEY", key)];
        night.stack.cli_with(&line, &[], &key).await
    };

    let good = check(&night.works, &night.key, "").await;
    assert_eq!(good.code, 0, "{good:?}");
    let mut lines = good.stdout.lines();
    let head: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["USE", "STATUS", "SCOPE", "CODE", "REASON"]);
    assert!(
        lines.any(|line| line.starts_with("zak ") && line.contains("granted")),
        "{good:?}"
    );
    let bad = check(&night.revoked, &night.key, "--json").await;
    let document: Value = serde_json::from_str(&bad.stdout).unwrap();
    assert_eq!(
        (bad.code, &document["capabilities"]["zak"]["status"]),
        (1, &json!("failing"))
    );

    let reader = night.stack.create_key("acme", "read").await;
    for (id, key, options, words) in [
        (
            &night.works,
            reader.as_str(),
            "",
            "the API refuses the key in ZOOM_VAULT_API_KEY",
        ),
        (
            &night.works,
            "nonsense",
            "",
            "the API refuses the key in ZOOM_VAULT_API_KEY",
        ),
        (&night.app, night.key.as_str(), "", "has no credential"),
        (
            &night.works,
            night.key.as_str(),
            "--api-url http://vault.example.com",
            "must be an https URL",
        ),
        (
            &night.works,
            night.key.as_str(),
            "--api-url http://127.0.0.1:1",
            "the API does not answer",
        ),
    ] {
        let result = check(id, key, options).await;
        assert_eq!((result.code, result.stdout.as_str()), (1, ""), "{result:?}");
        assert!(result.stderr.contains(words), "{result:?}");
        assert!(!result.stderr.contains(&night.key), "{result:?}");
    }
}

#[tokio::test]
async fn a_watched_list_is_printed_again_when_it_has_changed() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let key = stack.create_key("acme", "full").await;
    let mut child = Command::new(env!("CARGO_BIN_EXE_zoom-vault"))
        .args([
            "credentials",
            "list",
            "--team",
            "acme",
            "--json",
            "--watch",
            "1",
        ])
        .env_clear()
        .envs(stack.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "[]");

    stack.create_credential(&key, "first").await;
    let line = lines.next_line().await.unwrap().unwrap();
    let listed: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(listed[0]["name"], "first");

    // The table for people has no column for this text.
    let id = listed[0]["credential_id"].as_str().unwrap();
    stack
        .store_text(id, "last_error_message", "profile unknown: Zoom failed")
        .await;
    let next = tokio::time::timeout(Duration::from_secs(10), lines.next_line());
    let line = next.await.unwrap().unwrap().unwrap();
    let listed: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        listed[0]["last_error_message"],
        "profile unknown: Zoom failed"
    );
}

#[tokio::test]
async fn the_program_says_its_version_and_completes_its_commands_without_a_vault() {
    let stack = TestStack::start().await;
    let alone = async |line: &str| {
        let all: Vec<&str> = stack.env.iter().map(|(name, _)| name.as_str()).collect();
        stack.cli_with(line, &all, &[]).await
    };
    for line in [
        "--version",
        "credentials list --version",
        "doctor --version",
    ] {
        let result = alone(line).await;
        let version = env!("CARGO_PKG_VERSION");
        let is_version = result.stdout.trim_end().ends_with(version);
        assert!(result.code == 0 && is_version, "{line}: {result:?}");
        assert!(result.stdout.starts_with("zoom-vault"), "{result:?}");
    }
    for (shell, words) in [
        ("bash", "complete -F _zoom__vault"),
        ("zsh", "#compdef zoom-vault"),
        ("fish", "complete -c zoom-vault"),
    ] {
        let result = alone(&format!("completions {shell}")).await;
        assert_eq!((result.code, result.stderr.as_str()), (0, ""));
        assert!(result.stdout.contains(words), "{shell}");
        assert!(result.stdout.contains("needs-attention"), "{shell}");
    }
}
