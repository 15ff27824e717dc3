//! A crash after any network call, and a connection that breaks at any: the whole credential or none of it,
//! and a retry that ends well.

use reqwest::Method;
use serde_json::{Value, json};

use crate::proxy::Fault;
use crate::world::{
    Answer, REDIRECT_URI, SPENT, World, app_body, attribute, refused_code, retry_after, user_body,
};

const ALL: &str = "/v2/zoom-credentials";

fn at(id: &str) -> String {
    format!("{ALL}/{id}")
}

/// Kills the function after its `n`th network call was acted on, before it is answered. Whether there was one.
async fn crashes(world: &World, n: u64, method: Method, path: &str, body: &Value) -> bool {
    world.wire.reset();
    world.wire.inject_nth(n, Fault::Stall);
    let mut invocation = world.invoke(method, path, body);
    let crashed = tokio::select! {
        () = world.wire.stalled() => true,
        status = &mut invocation => {
            assert!(matches!(status, Ok(200 | 201)), "{status:?}");
            false
        }
    };
    if crashed {
        invocation.abort();
        assert!(invocation.await.unwrap_err().is_cancelled());
    }
    world.wire.heal();
    crashed
}

/// Every credential has its secrets. With `exactly`, no secrets are there that belong to none.
async fn assert_whole(world: &World, exactly: bool) {
    let secrets = world.items("secrets").await;
    let secrets: Vec<&str> = secrets
        .iter()
        .map(|row| attribute(row, "secret_id"))
        .collect();
    let mut needed = Vec::new();
    for row in world.items("credentials").await {
        needed.push(format!("app#{}", attribute(&row, "credential_id")));
        assert_eq!(
            row.contains_key("grant_id"),
            attribute(&row, "credential_type") == "user"
        );
        if row.contains_key("grant_id") {
            needed.push(format!("grant#{}", attribute(&row, "grant_id")));
        }
    }
    for id in &needed {
        assert!(secrets.contains(&id.as_str()), "{id} is missing");
    }
    if exactly {
        needed.sort();
        needed.dedup();
        assert_eq!(secrets.len(), needed.len());
    }
}

/// Asks again as a client would: while the dead function's hold lasts the answer says so, then it ends.
async fn ask_again<F: Future<Output = Answer>>(world: &World, ask: impl Fn() -> F) -> Answer {
    if !world.is_running().await {
        return ask().await;
    }
    let early = ask().await;
    early.expect_error(
        409,
        "FST_ERR_CONFLICT",
        "The same request is still being processed: try again after retry-after",
    );
    assert!((1..=29).contains(&retry_after(&early)));
    world.outlast_the_running().await;
    ask().await
}

/// How a retry after a crash ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    /// Nothing had been done; the retry did it.
    Fresh,
    /// It had been done; the retry answered what it made.
    Same,
    /// The code was spent and its answer died with the function.
    CodeLost,
}
use Retry::{CodeLost, Fresh, Same};

#[tokio::test]
async fn a_crash_anywhere_in_creating_a_user_credential_leaves_it_whole_or_absent() {
    let mut retries = Vec::new();
    for n in 1.. {
        let world = World::new().await;
        let body = user_body("bot", &world.code());
        if !crashes(&world, n, Method::POST, ALL, &body).await {
            break;
        }
        assert_whole(&world, true).await;
        let (stored, exchanged) = (world.items("credentials").await, world.exchanges());

        let retry = ask_again(&world, || world.acme.create(body.clone())).await;
        assert_whole(&world, true).await;
        retries.push(match (stored.as_slice(), exchanged) {
            ([], 0) => {
                retry.expect(201);
                assert_eq!(world.exchanges(), 1);
                Fresh
            }
            ([row], 1) => {
                let data = retry.expect(201);
                assert_eq!(data["credential_id"], attribute(row, "credential_id"));
                assert_eq!(world.exchanges(), 1);
                Same
            }
            ([], 1) => {
                let code = "FST_ERR_ZOOM_CODE_EXCHANGE_FAILED";
                retry.expect_error(400, code, &refused_code(SPENT));
                assert_eq!(world.count("credentials").await, 0);
                let again = user_body("bot", &world.code());
                world.acme.create(again).await.expect(201);
                CodeLost
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(world.count("credentials").await, 1);
    }
    // Key │ rate, settings, two data keys │ claim │ code │ commit │ profile │ update, siblings.
    let expected = [[Fresh; 6].as_slice(), &[CodeLost], &[Same; 4]].concat();
    assert_eq!(retries, expected);
}

#[tokio::test]
async fn a_crash_anywhere_in_creating_an_app_credential_leaves_it_whole_or_absent() {
    let mut retries = Vec::new();
    for n in 1.. {
        let world = World::new().await;
        let body = app_body("bot");
        if !crashes(&world, n, Method::POST, ALL, &body).await {
            break;
        }
        assert_whole(&world, true).await;
        let stored = world.count("credentials").await;

        // Without a key or a code, a repeat is another request: this one just has to work.
        ask_again(&world, || world.acme.create(body.clone()))
            .await
            .expect(201);
        assert_whole(&world, true).await;
        assert_eq!(world.count("credentials").await, stored + 1);
        retries.push(stored);
    }
    // Key │ rate, settings, data key │ commit.
    assert_eq!(retries, [0, 0, 0, 0, 1]);
}

#[tokio::test]
async fn a_crash_anywhere_in_re_authorizing_leaves_the_old_grant_or_the_new() {
    let mut retries = Vec::new();
    for n in 1.. {
        let world = World::new().await;
        let id = world.given_user("bot").await;
        let body = json!({ "name": "robot", "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
        let before = world.row(&id).await;
        if !crashes(&world, n, Method::PATCH, &at(&id), &body).await {
            break;
        }
        assert_whole(&world, false).await;
        let (row, exchanged) = (world.row(&id).await, world.exchanges() - 1);
        let moved = attribute(&row, "grant_id") != attribute(&before, "grant_id");
        if !moved {
            assert_eq!(row, before);
        }

        let retry = ask_again(&world, || world.acme.update(&id, body.clone())).await;
        assert_whole(&world, false).await;
        retries.push(match (moved, exchanged) {
            (false, 0) => {
                retry.expect(200);
                assert_eq!(world.exchanges(), 2);
                Fresh
            }
            (true, 1) => {
                retry.expect(200);
                assert_eq!(world.exchanges(), 2);
                let now = world.row(&id).await;
                assert_eq!(attribute(&now, "grant_id"), attribute(&row, "grant_id"));
                Same
            }
            (false, 1) => {
                let code = "FST_ERR_ZOOM_CODE_EXCHANGE_FAILED";
                retry.expect_error(400, code, &refused_code(SPENT));
                assert_eq!(world.row(&id).await, before);
                let again =
                    json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
                world.acme.update(&id, again).await.expect(200);
                CodeLost
            }
            other => panic!("{other:?}"),
        });
        if retries.last() != Some(&CodeLost) {
            let read = world.acme.get(&id).await.expect(200);
            assert_eq!(read["name"], "robot");
        }
        assert!(
            !world.is_running().await,
            "the lock goes with what it guarded"
        );
    }
    // Key, row │ rate, settings, data key, stored app │ opened app │ claim │ code │ commit │ profile │ update, siblings.
    let expected = [[Fresh; 8].as_slice(), &[CodeLost], &[Same; 4]].concat();
    assert_eq!(retries, expected);
}

#[tokio::test]
async fn a_crash_anywhere_in_a_delete_leaves_it_done_or_undone() {
    let mut deleted = Vec::new();
    for n in 1.. {
        let world = World::new().await;
        let id = world.given_user("bot").await;
        if !crashes(&world, n, Method::DELETE, &at(&id), &Value::Null).await {
            break;
        }
        assert_whole(&world, true).await;

        let gone = world.acme.get(&id).await.status == 404;
        let retry = world.acme.delete(&id).await;
        assert_eq!(retry.status, if gone { 404 } else { 200 });
        assert_eq!(world.acme.get(&id).await.status, 404);
        assert_whole(&world, true).await;
        deleted.push(gone);
    }
    // Key │ rate, settings │ update.
    assert_eq!(deleted, [false, false, false, true]);
}

/// What is asked in a world where a connection breaks.
#[derive(Clone, Copy, Debug)]
enum Ask {
    CreateApp,
    CreateUser,
    Rename,
    ReAuthorize,
    ReplaceSecret,
    Delete,
}

impl Ask {
    const ALL: [Self; 6] = [
        Self::CreateApp,
        Self::CreateUser,
        Self::Rename,
        Self::ReAuthorize,
        Self::ReplaceSecret,
        Self::Delete,
    ];

    fn status(self) -> u16 {
        match self {
            Self::CreateApp | Self::CreateUser => 201,
            Self::Rename | Self::ReAuthorize | Self::ReplaceSecret | Self::Delete => 200,
        }
    }

    async fn of(self, world: &World, id: &str, code: &str) -> Answer {
        let mut authorized = user_body("robot", code);
        match self {
            Self::CreateApp => world.acme.create(app_body("new")).await,
            Self::CreateUser => world.acme.create(user_body("new", code)).await,
            Self::Rename => world.acme.update(id, json!({ "name": "robot" })).await,
            Self::ReAuthorize => world.acme.update(id, authorized).await,
            Self::ReplaceSecret => {
                let fields = authorized.as_object_mut().unwrap();
                fields.remove("authorization_code");
                fields.remove("redirect_uri");
                world.acme.update(id, authorized).await
            }
            Self::Delete => world.acme.delete(id).await,
        }
    }
}

/// Breaks the connection of every call in turn. AWS's are made again; Zoom's code is not.
async fn broken_connections(ask: Ask, fault: Fault) {
    let acted = matches!(fault, Fault::DropAfter);
    for n in 1.. {
        let world = World::new().await;
        let id = world.given_user("bot").await;
        let code = world.code();
        world.wire.reset();
        world.wire.inject_nth(n, fault.clone());

        let answer = ask.of(&world, &id, &code).await;
        let calls = world.wire.calls();
        let Some(broken) = usize::try_from(n).ok().and_then(|n| calls.get(n - 1)) else {
            assert!(n > 3);
            answer.expect(ask.status());
            return;
        };
        let context = format!("{ask:?} {fault:?} at {n}: {}", broken.operation);
        assert_whole(&world, !matches!(ask, Ask::ReAuthorize)).await;
        if broken.operation == "/oauth/token" {
            answer.expect_code(502, "FST_ERR_ZOOM_UNAVAILABLE");
            assert!(!world.is_running().await, "{context}");
            let retry = ask.of(&world, &id, &code).await;
            if acted {
                let code = "FST_ERR_ZOOM_CODE_EXCHANGE_FAILED";
                retry.expect_error(400, code, &refused_code(SPENT));
            } else {
                retry.expect(ask.status());
            }
            continue;
        }

        assert_eq!(answer.status, ask.status(), "{context}: {}", answer.text);
        let credentials = match ask {
            Ask::CreateApp | Ask::CreateUser => 2,
            Ask::Rename | Ask::ReAuthorize | Ask::ReplaceSecret | Ask::Delete => 1,
        };
        assert_eq!(world.count("credentials").await, credentials, "{context}");
        assert!(!world.is_running().await, "{context}");
        if broken.operation == "/v2/users/me" {
            let data = answer.expect(ask.status());
            assert_eq!(data["zoom_user_id"], Value::Null, "{context}");
        } else if matches!(ask, Ask::CreateUser | Ask::ReAuthorize) {
            let data = answer.expect(ask.status());
            assert_eq!(data["zoom_user_id"], "ada", "{context}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_service_hears_loses_nothing() {
    let all = Ask::ALL.map(|ask| tokio::spawn(broken_connections(ask, Fault::DropBefore)));
    for one in all {
        one.await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_service_acted_does_nothing_twice() {
    let all = Ask::ALL.map(|ask| tokio::spawn(broken_connections(ask, Fault::DropAfter)));
    for one in all {
        one.await.unwrap();
    }
}
