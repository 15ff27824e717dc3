//! A credential after its deletion: restored, or purged. If the team wants that, its grant is revoked at Zoom.

mod capsules;
mod deleted_siblings;
mod large_team;
mod losses;
mod missing_rows;
mod overtaken;
mod purge;
mod restore;
mod revocation;
mod schedule;
mod stream;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::Method;
use serde_json::{Value, json};
use shared::config::{KEEP_ALIVE_AFTER, REVOKE_AFTER};
use shared::keep_alive::Report;
use shared::stores::TeamSettingsChange;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::minting::mint_onbehalf;
use crate::proxy::{Fault, Rule, Service};
use crate::world::{Answer, Item, REDIRECT_URI, World, attribute};

/// Longer than the schedule leaves an unused grant alone.
pub(crate) const IDLE_TIME: Duration = Duration::from_hours(30 * 24);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Lets the stream and keep-alive do what is left to do, when no invocation runs that could need a grant.
pub(crate) async fn settle(world: &World) {
    assert!(world.drain_stream().await);
    world.backdate_grants().await;
    world.keep_alive().await;
    assert!(world.drain_stream().await);
}

/// Lets the stream hasten the grants of deleted credentials. They may be revoked now.
pub(crate) async fn let_revoke(world: &World) {
    assert!(world.drain_stream().await);
    world.backdate_grants().await;
    world.backdate_deletions().await;
}

/// Creates a user credential of `acme`, deletes it, and answers its id.
async fn given_deleted(world: &World, name: &str) -> String {
    let id = world.add_user_credential(name).await;
    world.acme.delete(&id).await.expect(200);
    id
}

/// Sets for `acme` that a grant is revoked when its last credential is deleted.
pub(crate) async fn enable_revocation(world: &World) {
    let settings = TeamSettingsChange {
        revoke_on_delete: Some(true),
        ..TeamSettingsChange::default()
    };
    let acme = world.team("acme");
    let settings = world.operator.set(&acme, settings).await;
    assert!(settings.unwrap().revoke_on_delete);
}

/// The user `ada` authorizes a credential again.
async fn authorize_again(world: &World, id: &str) {
    let body = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    world.acme.update(id, body).await.expect(200);
}

/// How many grants Zoom has revoked at the vault's request.
pub(crate) fn revocations(world: &World) -> usize {
    let ledger = world.zoom.ledger();
    let revocations = ledger
        .iter()
        .filter(|call| call.path == "/oauth/revoke" && call.status == Some(200));
    revocations.count()
}

/// The id of the secret that holds a credential's tokens.
pub(crate) async fn grant_secret_id(world: &World, id: &str) -> String {
    format!("grant#{}", attribute(&world.row(id).await, "grant_id"))
}

/// The ids of the secrets that have sealed attributes.
pub(crate) async fn sealed_secrets(world: &World) -> Vec<String> {
    let rows = world.items("secrets").await.into_iter();
    let rows = rows.filter(|row| {
        row.keys()
            .any(|name| name.contains("sealed") || name.contains("dek"))
    });
    let mut ids: Vec<String> = rows
        .map(|row| attribute(&row, "secret_id").to_owned())
        .collect();
    ids.sort();
    ids
}

/// The rows of all tables that a purge empties. Events are not among them: they have their own retention. Rows of pairs
/// that wait for their TTL are left out.
async fn dump(world: &World) -> String {
    world.expire_pairs().await;
    let mut dump = String::new();
    for table in ["credentials", "pairs", "secrets", "token-urls"] {
        for row in world.sorted_rows(table).await {
            dump += &row;
            dump += "\n";
        }
    }
    dump
}

/// The rows that are left, but for those that remember for a while which credentials were counted out.
async fn dump_without_memory(world: &World) -> String {
    let dump = dump(world).await;
    let rows = dump.lines().filter(|row| !row.contains("gone#"));
    rows.collect::<Vec<_>>().join("\n")
}

/// Moves the end of a deleted credential's retention into the past, but does not run DynamoDB's TTL.
async fn end_retention(world: &World, id: &str) -> Item {
    let mut row = world.row(id).await;
    row.insert("purge_at".to_owned(), AttributeValue::N("1".to_owned()));
    world.put("credentials", row.clone()).await;
    row
}

/// Runs the schedule as a task that can be aborted, as a crash does.
fn spawn_keep_alive(world: &World) -> JoinHandle<Report> {
    let gateway = world.gateway.clone();
    tokio::spawn(async move {
        let run = gateway.keep_alive(KEEP_ALIVE_AFTER, REVOKE_AFTER, Duration::from_mins(5));
        run.await.unwrap()
    })
}

/// Mints an `onbehalf` token in a task of its own.
fn spawn_mint(world: &World, id: &str) -> JoinHandle<Answer> {
    let (acme, id) = (world.acme.clone(), id.to_owned());
    tokio::spawn(async move { mint_onbehalf(&acme, &id).await })
}

/// Restores a credential in a task that can be aborted, as a crash does. The task returns the status.
fn spawn_restore(world: &World, id: &str) -> JoinHandle<u16> {
    let path = format!("/v2/zoom-credentials/{id}/restore");
    world.invoke(Method::POST, &path, &Value::Null)
}

/// Lets the purge process the next batch of the stream, in a task of its own. Answers whether the batch is done.
fn spawn_purge(world: &World) -> JoinHandle<bool> {
    let (gateway, batch) = (world.gateway.clone(), world.next_stream_batch().unwrap());
    tokio::spawn(async move { gateway.purge(batch).await.unwrap() })
}

#[track_caller]
fn expect_reconnect(answer: &Answer, reason: &str) {
    answer.expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");
    assert_eq!(answer.json()["details"], reason);
}

#[track_caller]
fn expect_invalid(credential: &Value, reason: &str) {
    assert_eq!(credential["state"], "invalid");
    let message = credential["last_error_message"].as_str().unwrap();
    assert!(message.starts_with(&format!("{reason}: ")), "{message}");
}

/// Runs a task that `begin` starts. Before its `nth` transaction reaches DynamoDB, `meanwhile` happens. Answers the
/// task's result.
async fn overtake<T>(
    world: &World,
    nth: u64,
    begin: impl FnOnce() -> JoinHandle<T>,
    meanwhile: impl Future<Output = ()>,
) -> T {
    let held = Arc::new(Notify::new());
    world.wire.inject(Rule {
        service: Some(Service::DynamoDb),
        operation: Some("TransactWriteItems"),
        nth: Some(nth),
        fault: Fault::HoldBefore(held.clone()),
    });
    let task = begin();
    world.wire.stalled().await;
    meanwhile.await;
    held.notify_one();
    task.await.unwrap()
}

/// Runs a task that `begin` starts, and kills the task at its `n`th network call: the service has acted, but its answer
/// never arrives. Answers the task's result, or `None` after a crash.
pub(crate) async fn crash_at_call<T: Debug>(
    world: &World,
    n: u64,
    begin: impl FnOnce() -> JoinHandle<T>,
) -> Option<T> {
    world.wire.reset();
    world.wire.inject_nth(n, Fault::Stall);
    let mut task = begin();
    let result = tokio::select! {
        () = world.wire.stalled() => None,
        result = &mut task => Some(result.unwrap()),
    };
    if result.is_none() {
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    world.wire.heal();
    result
}
