//! A crash after any network call, and a connection that breaks at any call. The vault stores the whole credential or
//! none of it, and a retry succeeds or says why not.

use reqwest::Method;
use serde_json::{Value, json};

use crate::proxy::Fault;
use crate::world::{
    Answer, CODE_SPENT, REDIRECT_URI, World, app_body, attribute, code_refused, retry_after,
    user_body,
};

const ALL: &str = "/v2/zoom-credentials";

fn at(id: &str) -> String {
    format!("{ALL}/{id}")
}

/// Lets the function's `n`th network call take effect, then aborts the function before the answer arrives. Returns
/// false if there is no `n`th call.
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

/// Checks that every credential has its secrets. With `exactly`, checks also that no other secrets are stored.
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

/// Retries as a client would. While the claim of the crashed function lasts, the answer is a 409. Then the claim
/// expires.
async fn retry<F: Future<Output = Answer>>(world: &World, request: impl Fn() -> F) -> Answer {
    if !world.has_running_request().await {
        return request().await;
    }
    let early = request().await;
    early.expect_error(
        409,
        "FST_ERR_CONFLICT",
        "The same request is still being processed: try again after retry-after",
    );
    assert!((1..=29).contains(&retry_after(&early)));
    world.expire_claims().await;
    request().await
}

/// The result of a retry after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    /// The crash came before the work was done. The retry does the work.
    DoneNow,
    /// The work was done. The retry answers with its result.
    DoneBefore,
    /// The code was spent, and the tokens were lost with the function.
    CodeLost,
}
use Retry::{CodeLost, DoneBefore, DoneNow};

#[tokio::test]
async fn a_crash_at_any_point_of_creating_a_user_credential_stores_all_of_it_or_nothing() {
    let mut retries = Vec::new();
    for n in 1.. {
        let world = World::new().await;
        let body = user_body("bot", &world.code());
        if !crashes(&world, n, Method::POST, ALL, &body).await {
            break;
        }
        assert_whole(&world, true).await;
        let (stored, exchanged) = (world.items("credentials").await, world.exchange_calls());

        let retry = retry(&world, || world.acme.create(body.clone())).await;
        assert_whole(&world, true).await;
        retries.push(match (stored.as_slice(), exchanged) {
            ([], 0) => {
                retry.expect(201);
                assert_eq!(world.exchange_calls(), 1);
                DoneNow
            }
            ([row], 1) => {
                let data = retry.expect(201);
                assert_eq!(data["credential_id"], attribute(row, "credential_id"));
                assert_eq!(world.exchange_calls(), 1);
                DoneBefore
            }
            ([], 1) => {
                let code = "FST_ERR_ZOOM_CODE_EXCHANGE_FAILED";
                retry.expect_error(400, code, &code_refused(CODE_SPENT));
                assert_eq!(world.count("credentials").await, 0);
                let again = user_body("bot", &world.code());
                world.acme.create(again).await.expect(201);
                CodeLost
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(world.count("credentials").await, 1);
    }
    // The network calls; a bar separates round trips: key │ rate, settings, two data keys │ claim │ code │ commit │
    // profile │ update, siblings.
    let expected = [[DoneNow; 6].as_slice(), &[CodeLost], &[DoneBefore; 4]].concat();
    assert_eq!(retries, expected);
}

#[tokio::test]
async fn a_crash_at_any_point_of_creating_an_app_credential_stores_all_of_it_or_nothing() {
    let mut retries = Vec::new();
    for n in 1.. {
        let world = World::new().await;
        let body = app_body("bot");
        if !crashes(&world, n, Method::POST, ALL, &body).await {
            break;
        }
        assert_whole(&world, true).await;
        let stored = world.count("credentials").await;

        // Without an idempotency key or a code, a repeat is a new request. The repeat only has to succeed.
        retry(&world, || world.acme.create(body.clone()))
            .await
            .expect(201);
        assert_whole(&world, true).await;
        assert_eq!(world.count("credentials").await, stored + 1);
        retries.push(stored);
    }
    // The network calls: key │ rate, settings, data key │ commit.
    assert_eq!(retries, [0, 0, 0, 0, 1]);
}

#[tokio::test]
async fn a_crash_at_any_point_of_re_authorizing_leaves_the_old_grant_or_the_new_one() {
    let mut retries = Vec::new();
    for n in 1.. {
        let world = World::new().await;
        let id = world.add_user_credential("bot").await;
        let body = json!({ "name": "robot", "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
        let before = world.row(&id).await;
        if !crashes(&world, n, Method::PATCH, &at(&id), &body).await {
            break;
        }
        assert_whole(&world, false).await;
        let (row, exchanged) = (world.row(&id).await, world.exchange_calls() - 1);
        let moved = attribute(&row, "grant_id") != attribute(&before, "grant_id");
        if !moved {
            assert_eq!(row, before);
        }

        let retry = retry(&world, || world.acme.update(&id, body.clone())).await;
        assert_whole(&world, false).await;
        retries.push(match (moved, exchanged) {
            (false, 0) => {
                retry.expect(200);
                assert_eq!(world.exchange_calls(), 2);
                DoneNow
            }
            (true, 1) => {
                retry.expect(200);
                assert_eq!(world.exchange_calls(), 2);
                let now = world.row(&id).await;
                assert_eq!(attribute(&now, "grant_id"), attribute(&row, "grant_id"));
                DoneBefore
            }
            (false, 1) => {
                let code = "FST_ERR_ZOOM_CODE_EXCHANGE_FAILED";
                retry.expect_error(400, code, &code_refused(CODE_SPENT));
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
            !world.has_running_request().await,
            "the claim ends with the request"
        );
    }
    // The network calls: key with row │ rate, settings, data key, stored app │ opened app │ claim │ code │ commit │
    // profile, row │ transaction, siblings.
    let expected = [[DoneNow; 7].as_slice(), &[CodeLost], &[DoneBefore; 5]].concat();
    assert_eq!(retries, expected);
}

#[tokio::test]
async fn a_crash_at_any_point_of_a_delete_leaves_it_done_or_not_done() {
    let mut deleted = Vec::new();
    for n in 1.. {
        let world = World::new().await;
        let id = world.add_user_credential("bot").await;
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
    // The network calls: key with row │ rate, settings │ transaction.
    assert_eq!(deleted, [false, false, false, true]);
}

/// The requests that are tried while a connection breaks.
#[derive(Clone, Copy, Debug)]
enum ApiRequest {
    CreateApp,
    CreateUser,
    Rename,
    ReAuthorize,
    ReplaceSecret,
    Delete,
}

impl ApiRequest {
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

/// Breaks the connection of each network call in turn. The vault repeats calls to AWS, but never sends a code twice.
async fn broken_connections(request: ApiRequest, fault: Fault) {
    let acted = matches!(fault, Fault::DropAfter);
    for n in 1.. {
        let world = World::new().await;
        let id = world.add_user_credential("bot").await;
        // The second authorization must not replace the first grant, however slow the machine is.
        world.postdate_authorization(&id).await;
        let code = world.code();
        world.wire.reset();
        world.wire.inject_nth(n, fault.clone());

        let answer = request.of(&world, &id, &code).await;
        let calls = world.wire.calls();
        let Some(broken) = usize::try_from(n).ok().and_then(|n| calls.get(n - 1)) else {
            assert!(n > 3);
            answer.expect(request.status());
            return;
        };
        let context = format!("{request:?} {fault:?} at {n}: {}", broken.operation);
        assert_whole(&world, !matches!(request, ApiRequest::ReAuthorize)).await;
        // The proof of a secret may be sent again. A code may not.
        let spends_code = !matches!(request, ApiRequest::ReplaceSecret);
        if broken.operation == "/oauth/token" && spends_code {
            answer.expect_code(502, "FST_ERR_ZOOM_UNAVAILABLE");
            assert!(!world.has_running_request().await, "{context}");
            let retry = request.of(&world, &id, &code).await;
            if acted {
                let code = "FST_ERR_ZOOM_CODE_EXCHANGE_FAILED";
                retry.expect_error(400, code, &code_refused(CODE_SPENT));
            } else {
                retry.expect(request.status());
            }
            continue;
        }

        assert_eq!(
            answer.status,
            request.status(),
            "{context}: {}",
            answer.text
        );
        let credentials = match request {
            ApiRequest::CreateApp | ApiRequest::CreateUser => 2,
            ApiRequest::Rename
            | ApiRequest::ReAuthorize
            | ApiRequest::ReplaceSecret
            | ApiRequest::Delete => 1,
        };
        assert_eq!(world.count("credentials").await, credentials, "{context}");
        assert!(!world.has_running_request().await, "{context}");
        if matches!(request, ApiRequest::CreateUser | ApiRequest::ReAuthorize) {
            let data = answer.expect(request.status());
            assert_eq!(data["zoom_user_id"], "ada", "{context}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_service_receives_the_call_loses_nothing() {
    let all =
        ApiRequest::ALL.map(|request| tokio::spawn(broken_connections(request, Fault::DropBefore)));
    for one in all {
        one.await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_service_acted_does_nothing_twice() {
    let all =
        ApiRequest::ALL.map(|request| tokio::spawn(broken_connections(request, Fault::DropAfter)));
    for one in all {
        one.await.unwrap();
    }
}
