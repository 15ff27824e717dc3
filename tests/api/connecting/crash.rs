//! Crashes and dropped connections during the callback, and commits whose answer is lost.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use url::Url;

use super::{
    Browser, COOKIE_NAME, RETURN_ORIGIN, count_session_secrets, credential_of, end_locks,
    expect_connected, given_session, mint_zak, new_credential_body, session_outcome, world,
};
use crate::life::crash_at_call;
use crate::proxy::{Fault, Rule, Service};
use crate::world::{World, with};

/// Waits until the answer to a commit is held back. Then makes all reads of the profile and of the tables fail, and
/// releases the answer.
pub(crate) async fn nothing_after_the_commit(world: &World, held: &Notify) {
    world.wire.stalled().await;
    for (service, operation, status) in [
        (Service::Zoom, "/v2/users/me", StatusCode::BAD_GATEWAY),
        (
            Service::DynamoDb,
            "GetItem",
            StatusCode::INTERNAL_SERVER_ERROR,
        ),
    ] {
        world.wire.inject(Rule {
            service: Some(service),
            operation: Some(operation),
            nth: None,
            fault: Fault::Answer(status, "{}".to_owned()),
        });
    }
    held.notify_one();
}

#[tokio::test]
async fn a_committed_connection_is_reported_although_all_reads_after_the_commit_fail() {
    let world = world().await;
    let id = world.add_user_credential("bot").await;
    for return_url in [None, Some(format!("{RETURN_ORIGIN}/"))] {
        let requested = with(
            json!({ "credential_id": id }),
            json!({ "return_url": return_url }),
        );
        let session = given_session(&world, &requested).await;
        let mut browser = Browser::new(&world);
        let callback = browser.authorize(&session, Some("ada")).await;
        let held = world.wire.hold(Service::DynamoDb, "TransactWriteItems");
        let (page, ()) = tokio::join!(
            browser.open(&callback),
            nothing_after_the_commit(&world, &held)
        );
        world.wire.heal();
        match return_url {
            None => page.expect(200, "Zoom is connected"),
            Some(url) => assert_eq!(
                page.location().as_str(),
                format!("{url}?session_id={}&credential_id={id}", session.id)
            ),
        }
        expect_connected(&world, &session).await;
    }
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_reported_as_connected() {
    for reconnects in [false, true] {
        let world = world().await;
        let requested = if reconnects {
            json!({ "credential_id": world.add_user_credential("bot").await })
        } else {
            new_credential_body()
        };
        let return_url = json!({ "return_url": format!("{RETURN_ORIGIN}/") });
        let session = given_session(&world, &with(requested, return_url)).await;
        let mut browser = Browser::new(&world);
        let callback = browser.authorize(&session, Some("ada")).await;
        let denied = json!({ "__type": "AccessDeniedException" }).to_string();
        let denied = Fault::Answer(StatusCode::BAD_REQUEST, denied);
        // The commit is the first transaction, or the second one if the vault locks a credential first. The SDK retries
        // the commit, and the retry is denied.
        let commit = if reconnects { 2 } else { 1 };
        for (nth, fault) in [(commit, Fault::DropAfter), (commit + 1, denied)] {
            world.wire.inject(Rule {
                service: Some(Service::DynamoDb),
                operation: Some("TransactWriteItems"),
                nth: Some(nth),
                fault,
            });
        }
        let location = browser.open(&callback).await.location();
        world.wire.heal();
        let id = credential_of(&world, &session).await;
        let expected = format!(
            "{RETURN_ORIGIN}/?session_id={}&credential_id={id}",
            session.id
        );
        assert_eq!(location.as_str(), expected);
        assert_eq!(count_session_secrets(&world).await, 0);
        assert!(!world.has_running_request().await);
    }
}

/// Invokes the callback as a task that can be aborted, as a crash does. The task returns the status.
fn invoke_callback(world: &World, browser: &Browser, url: &str) -> JoinHandle<u16> {
    let url: Url = url.parse().unwrap();
    let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
    let cookie = browser.cookie.as_ref().unwrap();
    let request = axum::http::Request::builder()
        .uri(path)
        .header("cookie", format!("{COOKIE_NAME}={cookie}"))
        .body(())
        .unwrap();
    let (parts, ()) = request.into_parts();
    let gateway = world.gateway.clone();
    tokio::spawn(async move { gateway.answer(parts, Vec::new()).await.status().as_u16() })
}

/// The session's status and error after a crash, and whether the code was sent to Zoom.
type AfterCrash = (String, Value, bool);

/// Crashes the callback at each of its network calls in turn, and collects the state of the session after each crash.
/// After each crash the user opens the link again, and must get connected.
async fn crash_at_each_call(reconnects: bool) -> Vec<AfterCrash> {
    let mut outcomes = Vec::new();
    for n in 1.. {
        let world = world().await;
        let requested = if reconnects {
            let id = world.add_user_credential("bot").await;
            world.backdate_authorization(&id).await;
            json!({ "credential_id": id })
        } else {
            new_credential_body()
        };
        let session = given_session(&world, &requested).await;
        let mut browser = Browser::new(&world);
        let callback = browser.authorize(&session, Some("ada")).await;
        let before = world.exchange_calls();
        let begin = || invoke_callback(&world, &browser, &callback);
        if let Some(status) = crash_at_call(&world, n, begin).await {
            assert_eq!(status, 200);
            break;
        }
        let code_was_sent = world.exchange_calls() - before == 1;
        let credentials = world.count("credentials").await;
        end_locks(&world, &session).await;
        let (status, error, connected) = session_outcome(&world, &session).await;
        assert_eq!(credentials, usize::from(reconnects || connected), "{n}");

        match status.as_str() {
            // Already connected, so a reload shows that. Or not started, so a reload connects.
            "connected" | "pending" => browser
                .open(&callback)
                .await
                .expect(200, "Zoom is connected"),
            "failed" => {
                browser
                    .open(&callback)
                    .await
                    .expect(400, "Your account was not connected");
                browser
                    .connect(&session, "ada")
                    .await
                    .expect(200, "Zoom is connected");
            }
            other => panic!("{other}"),
        }
        expect_connected(&world, &session).await;
        let id = credential_of(&world, &session).await;
        assert_eq!(world.count("credentials").await, 1, "{n}");
        assert_eq!(count_session_secrets(&world).await, 0, "{n}");
        assert!(!world.has_running_request().await, "{n}");
        mint_zak(&world, &id).await;
        outcomes.push((status, error, code_was_sent));
    }
    outcomes
}

fn after_crash(status: &str, error: Value, code_was_sent: bool) -> AfterCrash {
    (status.to_owned(), error, code_was_sent)
}

#[tokio::test]
async fn after_a_crash_at_any_call_of_the_callback_the_link_still_connects() {
    let not_started = after_crash("pending", Value::Null, false);
    let connected = after_crash("connected", Value::Null, true);
    // The calls: read the session, read its secrets, decrypt them, generate two data keys, lock the session, send the
    // code, commit, read the profile, store the profile and move siblings, delete the session's secrets.
    let expected = [
        vec![not_started.clone(); 5],
        vec![after_crash("failed", json!("interrupted"), false)],
        vec![after_crash("failed", json!("interrupted"), true)],
        vec![connected; 5],
    ];
    assert_eq!(crash_at_each_call(false).await, expected.concat());
}

#[tokio::test]
async fn after_a_crash_at_any_call_of_a_reconnection_the_link_still_connects() {
    let not_started = after_crash("pending", Value::Null, false);
    let connected = after_crash("connected", Value::Null, true);
    // The calls: read the session, read the credential and the session's secrets, decrypt them, read the app's secret
    // and generate a data key, decrypt the app's secret, lock the credential, lock the session, send the code, commit,
    // read the profile and the credential, store the profile and query siblings, delete the session's secrets.
    let expected = [
        vec![not_started.clone(); 8],
        vec![after_crash("failed", json!("interrupted"), false)],
        vec![after_crash("failed", json!("interrupted"), true)],
        vec![connected; 6],
    ];
    assert_eq!(crash_at_each_call(true).await, expected.concat());
}

#[tokio::test]
async fn a_dropped_connection_at_any_call_of_the_callback_costs_at_most_one_attempt() {
    for fault in [Fault::DropBefore, Fault::DropAfter] {
        for n in 1.. {
            let world = world().await;
            let session = given_session(&world, &new_credential_body()).await;
            let mut browser = Browser::new(&world);
            let callback = browser.authorize(&session, Some("ada")).await;
            world.wire.reset();
            world.wire.inject_nth(n, fault.clone());
            let page = browser.open(&callback).await;
            let calls = world.wire.calls();
            let Some(broken_call) = usize::try_from(n).ok().and_then(|n| calls.get(n - 1)) else {
                page.expect(200, "Zoom is connected");
                break;
            };
            let broken = broken_call.operation.clone();
            if broken == "/oauth/token" {
                page.expect(502, "Zoom did not answer");
                browser
                    .connect(&session, "ada")
                    .await
                    .expect(200, "Zoom is connected");
            } else {
                page.expect(200, "Zoom is connected");
            }
            let (status, ..) = session_outcome(&world, &session).await;
            assert_eq!(
                (status.as_str(), world.count("credentials").await),
                ("connected", 1),
                "{fault:?} {broken}"
            );
            assert_eq!(count_session_secrets(&world).await, 0);
        }
    }
}
