//! An import whose program is killed at random times, and started again until it ends. With `GATE=full`: 1,000 rows.
//! `tests/api` imports 10,000 rows without the program: here, the sandbox writes its state to the disk.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use shared::config;
use tokio::process::Command;

use crate::import::{Importing, export};

const FORMATS: [&str; 6] = [
    "nango",
    "authjs",
    "better-auth",
    "calcom",
    "attendee",
    "generic",
];
/// How many users the program imports at the same time. Only their refreshes can be lost in a kill.
const CONCURRENT: usize = 16;
/// How many grants of one run are used afterwards.
const USED: usize = 30;

impl Importing {
    /// Starts an import, and kills it after a while. Returns whether it ended by itself.
    async fn killed(&self, line: &str, after: Duration) -> bool {
        let mut child = Command::new(env!("CARGO_BIN_EXE_zoom-vault"))
            .args(line.split_whitespace())
            .env_clear()
            .envs(self.stack.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ended = tokio::time::timeout(after, child.wait()).await.is_ok();
        child.kill().await.ok();
        ended
    }

    /// The leases of the killed program end, as they would within 92 s.
    async fn end_leases(&self) {
        let dynamodb = self.stack.aws.dynamodb();
        let table = self.stack.variable("SECRETS_TABLE");
        let held = dynamodb
            .scan()
            .table_name(table)
            .filter_expression("attribute_exists(lease_id)");
        let mut held = held.into_paginator().items().send();
        while let Some(row) = held.next().await {
            let key = row.unwrap().remove("secret_id").unwrap();
            let end = dynamodb
                .update_item()
                .table_name(table)
                .key("secret_id", key);
            let end = end
                .update_expression("SET lease_until = :past")
                .condition_expression("attribute_exists(lease_id)")
                .expression_attribute_values(":past", AttributeValue::N("1".to_owned()));
            end.send().await.unwrap();
        }
    }
}

/// The program completes the refreshes that are in progress, whose answers would otherwise be lost.
#[tokio::test]
async fn an_import_that_is_told_to_stop_loses_nothing() {
    let importing = Importing::start().await;
    let mut lines = Vec::new();
    for n in 0..40 {
        let user = format!("user-{n}");
        let token = importing.token_of(&user).await;
        lines.push(export("generic", &user, &token));
    }
    importing.write("export", &lines.join("\n"));
    let line = importing.line("export", "generic", "--yes --rate 20 --json");
    let child = Command::new(env!("CARGO_BIN_EXE_zoom-vault"))
        .args(line.split_whitespace())
        .env_clear()
        .envs(
            importing
                .stack
                .env
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while importing.sent().await < 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let id = child.id().unwrap().to_string();
    let told = Command::new("kill").args(["-INT", &id]).status().await;
    assert!(told.unwrap().success());

    let ended = child.wait_with_output().await.unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let counts = document["counts"].as_object().unwrap();
    let imported = counts["imported"].as_u64().unwrap();
    assert_eq!(
        imported + counts["retry"].as_u64().unwrap(),
        40,
        "{counts:?}"
    );
    assert_eq!(u64::try_from(importing.sent().await).unwrap(), imported);

    let all = importing.stack.json(&line.replace(" --json", "")).await;
    assert_eq!(all["counts"], json!({ "imported": 40 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_is_killed_again_and_again_loses_no_grant_silently() {
    let is_full = config::optional("GATE").is_some_and(|gate| gate == "full");
    let (rows, kills) = if is_full { (1_000, 18) } else { (60, 4) };
    let importing = &Importing::start().await;
    let users: Vec<(usize, String)> = (0..rows).map(|n| (n, format!("user-{n}"))).collect();
    let tokens: Vec<(usize, String, String)> = stream::iter(users)
        .map(|(n, user)| async move {
            let token = importing.token_of(&user).await;
            (n, user, token)
        })
        .buffered(8)
        .collect()
        .await;
    for (position, format) in FORMATS.iter().enumerate() {
        let lines = tokens
            .iter()
            .filter(|(n, ..)| n % FORMATS.len() == position);
        let lines: Vec<String> = lines
            .map(|(_, user, token)| export(format, user, token))
            .collect();
        importing.write(format, &lines.join("\n"));
    }
    let began = Instant::now();
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let mut credentials = Vec::new();
    let mut killed = 0;
    for (position, format) in FORMATS.iter().enumerate() {
        let line = importing.line(format, format, "--yes --rate 1000 --json");
        // The times are spread over a run and are the same in each test.
        for round in 0..=kills / FORMATS.len() {
            let after =
                Duration::from_millis(u64::try_from(150 + 370 * round + 90 * position).unwrap());
            if importing.killed(&line, after).await {
                break;
            }
            killed += 1;
            importing.end_leases().await;
        }
        let done = importing.stack.cli(&line).await;
        let document: Value =
            serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{done:?}"));
        for row in document["rows"].as_array().unwrap() {
            *outcomes
                .entry(row["outcome"].as_str().unwrap().to_owned())
                .or_default() += 1;
            credentials.extend(row["credential_id"].as_str().map(ToOwned::to_owned));
        }
    }
    let seconds = began.elapsed().as_secs();
    println!("{rows} rows, {killed} kills, {seconds} s: {outcomes:?}");

    let imported = outcomes.get("imported").copied().unwrap_or_default();
    let lost = outcomes.get("outcome_lost").copied().unwrap_or_default();
    assert_eq!(imported + lost, rows, "{outcomes:?}");
    assert!(lost <= killed * CONCURRENT, "{outcomes:?}");
    // A token is sent again only if a kill hid what became of it.
    let sent = importing.sent().await;
    assert!(
        (rows..=rows + killed * CONCURRENT).contains(&sent),
        "{sent}"
    );
    credentials.sort();
    credentials.dedup();
    assert_eq!(credentials.len(), imported);
    let key = importing.stack.create_key("acme", "full").await;
    for id in credentials.iter().step_by(credentials.len() / USED + 1) {
        let body = json!({ "credential_id": id, "type": "zak" });
        let (status, body) = importing
            .stack
            .post_json("/v2/zoom-tokens", &key, &body)
            .await;
        assert_eq!(status, 200, "{body}");
    }
    // The grant of a lost outcome stays, because a capsule may bring its tokens back.
    let doctor = importing.stack.cli("doctor --json").await;
    let orphans = doctor
        .stdout
        .contains("secrets that belong to no credential");
    assert_eq!(orphans, lost > 0, "{doctor:?}");
}
