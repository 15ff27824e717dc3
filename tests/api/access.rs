//! Who may do what: keys, permissions, and the wall between teams.

#![expect(clippy::string_slice, reason = "API keys are ASCII")]

use aws_lc_rs::digest::{SHA256, digest};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use shared::api_key::{ApiKey, Permission};
use shared::credential::CredentialId;

use crate::proxy::Service;
use crate::world::{
    Answer, CLIENT_ID, Caller, REDIRECT_URI, World, an_app, id_of, send, text_of, user_body, with,
};

const REFUSED: &str = r#"{"success":false,"error":"Unauthorized","code":"FST_ERR_UNAUTHORIZED","statusCode":401,"message":"Invalid or missing API key: send it in the header x-meeting-baas-api-key","details":null}"#;

/// Every endpoint that exists, with a body where it takes one.
pub(crate) fn endpoints(id: &str) -> Vec<(Method, String, Option<Value>)> {
    let one = format!("/v2/zoom-credentials/{id}");
    let all = "/v2/zoom-credentials".to_owned();
    vec![
        (Method::POST, all.clone(), Some(an_app("bot"))),
        (Method::GET, all, None),
        (Method::GET, one.clone(), None),
        (
            Method::PATCH,
            one.clone(),
            Some(json!({ "name": "renamed" })),
        ),
        (Method::GET, format!("{one}/events"), None),
        (Method::POST, format!("{one}/check"), None),
        (Method::GET, format!("{one}/token-urls"), None),
        (Method::DELETE, one.clone(), None),
        (Method::POST, format!("{one}/restore"), None),
    ]
}

pub(crate) fn call(
    caller: &Caller,
    (method, path, body): &(Method, String, Option<Value>),
) -> reqwest::RequestBuilder {
    let request = caller.request(method.clone(), path);
    match body {
        Some(body) => request.json(body),
        None => request,
    }
}

/// The headers of an answer that may not depend on what was asked for.
fn telling(answer: &Answer) -> HeaderMap {
    let mut headers = answer.headers.clone();
    // How many calls the caller has made says nothing of anybody else.
    for name in ["x-request-id", "date", "x-ratelimit-remaining"] {
        headers.remove(name);
    }
    headers
}

#[track_caller]
pub(crate) fn expect_refused(answer: &Answer, what: &str) {
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (401, REFUSED),
        "{what}"
    );
    for name in [
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "retry-after",
    ] {
        assert_eq!(answer.header(name), None, "{what}");
    }
}

/// The same text with the case of its last letter turned.
fn other_case(text: &str) -> String {
    let at = text.rfind(|it: char| it.is_ascii_alphabetic()).unwrap();
    let turned = |(index, it): (usize, char)| match index == at {
        true if it.is_ascii_lowercase() => it.to_ascii_uppercase(),
        true => it.to_ascii_lowercase(),
        false => it,
    };
    text.char_indices().map(turned).collect()
}

#[tokio::test]
async fn a_malformed_key_is_refused_without_a_single_read() {
    let world = World::new().await;
    let id = world.given_app("bot").await;
    let good = world.acme.key().to_owned();
    let (head, checksum) = good.split_at(good.len() - 6);
    let keys = [
        ("empty", String::new()),
        ("no key at all", "x".to_owned()),
        ("other case", other_case(&good)),
        ("all lower case", good.to_lowercase()),
        ("prefix", good[..good.len() - 1].to_owned()),
        ("short prefix", good[..10].to_owned()),
        ("without checksum", head.to_owned()),
        ("extra byte", format!("{good}0")),
        ("extra byte in front", format!("z{good}")),
        ("extra byte within", format!("{head}0{checksum}")),
        ("bad checksum", format!("{head}000000")),
        ("another team", good.replacen("acme", "acmf", 1)),
        ("another prefix", good.replacen("zcv_", "zcw_", 1)),
        ("upper-case team", good.replacen("acme", "ACME", 1)),
        ("quoted", format!("\"{good}\"")),
        ("bearer", format!("Bearer {good}")),
        ("twice in one", format!("{good}, {good}")),
        ("long", "a".repeat(7000)),
        ("path", "../../keys".to_owned()),
        ("not ASCII", "zcv_acmé".to_owned()),
    ];
    world.wire.reset();
    for (what, key) in keys {
        let stranger = world.stranger(&key);
        for endpoint in endpoints(&id) {
            expect_refused(&send(call(&stranger, &endpoint)).await, what);
        }
    }
    // A bad request of a bad key is refused for its key.
    let stranger = world.stranger("x");
    expect_refused(&stranger.list("?limit=0").await, "a bad query");
    expect_refused(&stranger.get("no-id").await, "a bad id");
    expect_refused(&stranger.create(json!([])).await, "a bad body");
    assert!(world.wire.calls().is_empty());
}

#[tokio::test]
async fn a_missing_key_and_one_that_is_elsewhere_are_refused_without_a_read() {
    let world = World::new().await;
    let id = world.given_app("bot").await;
    let key = world.acme.key().to_owned();
    let url = world
        .acme
        .request(Method::GET, "")
        .build()
        .unwrap()
        .url()
        .clone();
    world.wire.reset();
    for (method, path, body) in endpoints(&id) {
        for (name, value) in [
            ("accept", "*/*".to_owned()),
            ("authorization", format!("Bearer {key}")),
            ("x-api-key", key.clone()),
            ("cookie", format!("x-meeting-baas-api-key={key}")),
        ] {
            let http = reqwest::Client::new();
            let in_query = format!("{path}?x-meeting-baas-api-key={key}");
            let request = http.request(method.clone(), url.join(&in_query).unwrap());
            let request = request.header(name, value);
            let answer = send(match &body {
                Some(body) => request.json(body),
                None => request,
            })
            .await;
            expect_refused(&answer, name);
        }
    }
    assert!(world.wire.calls().is_empty());
}

#[tokio::test]
async fn a_key_that_comes_twice_is_refused_without_a_read() {
    let world = World::new().await;
    let id = world.given_app("bot").await;
    world.wire.reset();
    for second in [world.acme.key(), "", "x"] {
        for endpoint in endpoints(&id) {
            let request = call(&world.acme, &endpoint);
            let answer = send(request.header("X-Meeting-Baas-Api-Key", second)).await;
            expect_refused(&answer, second);
            let request = call(&world.stranger(second), &endpoint);
            let answer = send(request.header("x-meeting-baas-api-key", world.acme.key())).await;
            expect_refused(&answer, second);
        }
    }
    assert!(world.wire.calls().is_empty());
}

#[tokio::test]
async fn unknown_and_revoked_keys_are_refused_alike_and_spend_no_rate() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let acme = "acme".parse().unwrap();
    let (revoked, listing) = world
        .operator
        .create_key(&acme, Permission::Full)
        .await
        .unwrap();
    let revoked = world.stranger(&text_of(revoked));
    revoked.list("").await.expect(200);
    world
        .operator
        .revoke_key(&acme, &listing.key_id)
        .await
        .unwrap();
    // Well-formed keys that nobody made: of a team that exists, and of one that does not.
    let unknown = [acme.clone(), "nobody".parse().unwrap()]
        .map(|team| world.stranger(&text_of(ApiKey::generate(team).unwrap())));
    // Another team's good key under this team's name would need another checksum: as good as unknown.

    let before = (
        world.contents("credentials").await,
        world.count("secrets").await,
    );
    let counted = world.contents("requests").await;
    world.wire.reset();
    for stranger in [&revoked, &unknown[0], &unknown[1]] {
        for endpoint in endpoints(&id) {
            for _ in 0..5 {
                expect_refused(&send(call(stranger, &endpoint)).await, "stranger");
            }
        }
        expect_refused(&stranger.get("no-id").await, "a bad id");
        expect_refused(&stranger.list("?limit=0").await, "a bad query");
        expect_refused(&stranger.create(json!({})).await, "a bad body");
    }
    let operations = world.wire.operations(Service::DynamoDb);
    let read_only = |it: &String| it == "GetItem" || it == "Query";
    assert!(operations.iter().all(read_only), "{operations:?}");
    // No more than a small page of the team that the key claims: not what belongs to a credential, whosever it is.
    let history = [
        &b"\"TableName\":\"events\""[..],
        b"\"TableName\":\"token-urls\"",
    ];
    let calls = world.wire.calls();
    let mut calls = calls.iter().filter(|call| call.operation == "Query");
    assert!(calls.all(|call| history.iter().all(|table| !contains(&call.body, table))));
    assert_eq!(counted, world.contents("requests").await);
    assert_eq!(world.wire.count(Service::Kms), 0);
    assert_eq!(world.wire.count(Service::Zoom), 0);
    assert_eq!(before.0, world.contents("credentials").await);
    assert_eq!(before.1, world.count("secrets").await);
}

#[tokio::test]
async fn each_permission_covers_its_operations() {
    let world = World::new().await;
    let read = world.caller("acme", Permission::Read).await;
    let mint = world.caller("acme", Permission::Mint).await;
    let full = world.caller("acme", Permission::Full).await;
    let id = world.given_app("bot").await;
    let before = world.contents("credentials").await;

    for endpoint in endpoints(&id) {
        for (caller, covered) in [(&read, endpoint.0 == Method::GET), (&mint, false)] {
            let answer = send(call(caller, &endpoint)).await;
            if covered {
                answer.expect(200);
            } else {
                answer.expect_error(
                    403,
                    "FST_ERR_FORBIDDEN",
                    "The API key's permission does not cover this operation",
                );
                let limited = answer.header("x-ratelimit-limit").is_some();
                assert_eq!(limited, endpoint.0 != Method::GET);
            }
        }
    }
    // Nor does a key learn anything, or change anything, where it may do nothing.
    for path in ["no-id", &CredentialId::generate().to_string()] {
        mint.get(path).await.expect_code(403, "FST_ERR_FORBIDDEN");
        read.delete(path)
            .await
            .expect_code(403, "FST_ERR_FORBIDDEN");
        read.update(path, json!({ "name": 1 }))
            .await
            .expect_code(403, "FST_ERR_FORBIDDEN");
    }
    mint.list("?limit=0")
        .await
        .expect_code(403, "FST_ERR_FORBIDDEN");
    read.create(json!({}))
        .await
        .expect_code(403, "FST_ERR_FORBIDDEN");
    assert_eq!(world.contents("credentials").await, before);
    // It counts against the rate all the same: a key that may do nothing may not do it without end.
    let counted = world.contents("requests").await;
    assert!(
        counted.iter().all(|row| row.contains("rate#acme#")),
        "{counted:?}"
    );

    for endpoint in endpoints(&id) {
        let status = send(call(&full, &endpoint)).await.status;
        let made = u16::from(endpoint.0 == Method::POST && endpoint.2.is_some());
        assert_eq!(status, 200 + made, "{endpoint:?}");
    }
}

#[tokio::test]
async fn another_teams_credential_is_answered_like_none_at_all() {
    let world = World::new().await;
    let rival = world.caller("rival", Permission::Full).await;
    let deleted = world.given_app("deleted").await;
    world.acme.delete(&deleted).await.expect(200);
    let (app, user) = (world.given_app("app").await, world.given_user("user").await);
    let own = id_of(&rival.create(an_app("own")).await.expect(201));
    rival.delete(&own).await.expect(200);
    let before = (
        world.stored_row(&app).await,
        world.stored_row(&user).await,
        world.stored_row(&deleted).await,
    );
    let (secrets, code) = (world.count("secrets").await, world.code());
    let claimed = |rows: Vec<String>| rows.into_iter().filter(|it| !it.contains("rate#")).count();
    let claims = claimed(world.rows("requests").await);
    world.wire.reset();

    let authorize = json!({ "authorization_code": code, "redirect_uri": REDIRECT_URI });
    let app_change = json!({ "client_id": CLIENT_ID, "client_secret": "x" });
    let absent = CredentialId::generate().to_string();
    let ids = [
        absent.clone(),
        app.clone(),
        app.to_uppercase(),
        user.clone(),
        deleted.clone(),
        own.clone(),
        "00000000-0000-0000-0000-000000000000".to_owned(),
        "ffffffff-ffff-ffff-ffff-ffffffffffff".to_owned(),
    ];
    for (method, body) in [
        (Method::GET, None),
        (Method::DELETE, None),
        (Method::PATCH, None),
        (Method::PATCH, Some(json!({}))),
        (Method::PATCH, Some(json!({ "name": "mine" }))),
        (Method::PATCH, Some(json!({ "extra": null }))),
        (Method::PATCH, Some(app_change.clone())),
        (Method::PATCH, Some(authorize.clone())),
        (Method::PATCH, Some(with(authorize, app_change))),
    ] {
        let mut first = None::<Answer>;
        for id in &ids {
            let path = format!("/v2/zoom-credentials/{id}");
            let endpoint = (method.clone(), path, body.clone());
            let answer = send(call(&rival, &endpoint)).await;
            answer.expect_code(404, "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID");
            let first = first.get_or_insert_with(|| answer.clone());
            assert_eq!(answer.text, first.text, "{endpoint:?}");
            assert_eq!(telling(&answer), telling(first), "{endpoint:?}");
        }
    }
    assert_eq!(rival.list("").await.expect(200), json!([]));
    assert_eq!(
        rival.list("?deleted=true").await.expect(200)[0]["name"],
        "own"
    );
    for filter in [
        "zoom_user_id=ada",
        "name=app",
        "credential_type=user",
        "state=active",
    ] {
        assert_eq!(
            rival.list(&format!("?{filter}")).await.expect(200),
            json!([])
        );
    }

    assert_eq!(world.wire.count(Service::Kms), 0);
    assert_eq!(world.wire.count(Service::Zoom), 0);
    assert_eq!(
        (
            world.stored_row(&app).await,
            world.stored_row(&user).await,
            world.stored_row(&deleted).await
        ),
        before
    );
    assert_eq!(world.count("secrets").await, secrets);
    assert_eq!(claimed(world.rows("requests").await), claims);
    // The code that the rival tried is as good as before.
    world
        .acme
        .create(user_body("mine", &code))
        .await
        .expect(201);
}

#[tokio::test]
async fn the_same_work_goes_into_any_404() {
    let world = World::new().await;
    let rival = world.caller("rival", Permission::Full).await;
    let id = world.given_app("bot").await;
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        let mut calls = Vec::new();
        for id in [&id, &CredentialId::generate().to_string()] {
            world.wire.reset();
            let path = format!("/v2/zoom-credentials/{id}");
            rival
                .send_text(method.clone(), &path, "{}")
                .await
                .expect_code(404, "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID");
            let mut operations = world.wire.operations(Service::DynamoDb);
            operations.sort();
            calls.push(operations);
        }
        assert_eq!(calls[0], calls[1], "{method}");
    }
}

#[tokio::test]
async fn one_teams_authorization_leaves_anothers_credential_of_the_same_user_alone() {
    let world = World::new().await;
    let rival = world.caller("rival", Permission::Full).await;
    let id = world.given_user("bot").await;
    let row = world.stored_row(&id).await;
    rival
        .create(user_body("theirs", &world.code()))
        .await
        .expect(201);
    assert_eq!(world.stored_row(&id).await, row);
}

#[tokio::test]
async fn keys_are_stored_by_their_hash_alone() {
    let world = World::new().await;
    for permission in [Permission::Full, Permission::Read, Permission::Mint] {
        world.caller("acme", permission).await.list("").await;
    }
    let key = world.acme.key();
    let hash = digest(&SHA256, key.as_bytes());
    let hash = format!("{hash:?}").replace("SHA256:", "");
    assert_eq!(hash.len(), 64);
    let mut found = 0;
    for table in ["keys", "requests", "credentials", "secrets"] {
        for row in world.rows(table).await {
            found += row.matches(&hash).count();
            // No stretch of it either: past `zcv_acme_` all is random.
            for at in 9..=key.len() - 12 {
                assert!(!row.contains(&key[at..at + 12]), "{table}");
            }
        }
    }
    assert_eq!(found, 1);
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
