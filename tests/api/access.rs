//! Access control: API keys, permissions, and the separation of teams.

#![expect(clippy::string_slice, reason = "API keys are ASCII")]

use aws_lc_rs::digest::{SHA256, digest};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use shared::api_key::{ApiKey, KeyTerms, Permission};
use shared::credential::CredentialId;

use crate::proxy::Service;
use crate::world::{
    Answer, CLIENT_ID, Caller, REDIRECT_URI, World, app_body, id_of, is_count, send, text_of,
    user_body, with,
};

const REFUSED: &str = r#"{"success":false,"error":"Unauthorized","code":"FST_ERR_UNAUTHORIZED","statusCode":401,"message":"Invalid or missing API key: send it in the header x-meeting-baas-api-key","details":null}"#;

/// The endpoints of credentials, each with a body where the endpoint takes one.
pub(crate) fn endpoints(id: &str) -> Vec<(Method, String, Option<Value>)> {
    let one = format!("/v2/zoom-credentials/{id}");
    let all = "/v2/zoom-credentials".to_owned();
    vec![
        (Method::POST, all.clone(), Some(app_body("bot"))),
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

/// The headers of an answer, without those that differ from call to call.
fn comparable_headers(answer: &Answer) -> HeaderMap {
    let mut headers = answer.headers.clone();
    // The number of calls that the caller has left says nothing about a credential.
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

/// The text with the case of its last letter changed.
fn with_last_letter_in_other_case(text: &str) -> String {
    let at = text.rfind(|it: char| it.is_ascii_alphabetic()).unwrap();
    let turned = |(index, it): (usize, char)| match index == at {
        true if it.is_ascii_lowercase() => it.to_ascii_uppercase(),
        true => it.to_ascii_lowercase(),
        false => it,
    };
    text.char_indices().map(turned).collect()
}

// assures 19
#[tokio::test]
async fn a_malformed_key_is_refused_without_reading_the_database() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;
    let good = world.acme.key().to_owned();
    let (head, checksum) = good.split_at(good.len() - 6);
    let keys = [
        ("empty", String::new()),
        ("no key at all", "x".to_owned()),
        ("other case", with_last_letter_in_other_case(&good)),
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
        let caller = world.caller_with_key(&key);
        for endpoint in endpoints(&id) {
            expect_refused(&send(call(&caller, &endpoint)).await, what);
        }
    }
    // The vault checks the key first: a bad request with a bad key gets a 401.
    let caller = world.caller_with_key("x");
    expect_refused(&caller.list("?limit=0").await, "a bad query");
    expect_refused(&caller.get("no-id").await, "a bad id");
    expect_refused(&caller.create(json!([])).await, "a bad body");
    assert!(world.wire.calls().is_empty());
}

// assures 19
#[tokio::test]
async fn a_missing_or_misplaced_key_is_refused_without_reading_the_database() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;
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
async fn a_key_header_that_comes_twice_is_refused_without_reading_the_database() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;
    world.wire.reset();
    for second in [world.acme.key(), "", "x"] {
        for endpoint in endpoints(&id) {
            let request = call(&world.acme, &endpoint);
            let answer = send(request.header("X-Meeting-Baas-Api-Key", second)).await;
            expect_refused(&answer, second);
            let request = call(&world.caller_with_key(second), &endpoint);
            let answer = send(request.header("x-meeting-baas-api-key", world.acme.key())).await;
            expect_refused(&answer, second);
        }
    }
    assert!(world.wire.calls().is_empty());
}

// assures 19, 21
#[tokio::test]
async fn unknown_and_revoked_keys_get_the_same_answer_and_do_not_count_against_the_rate() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let acme = "acme".parse().unwrap();
    let (revoked, listing) = world
        .operator
        .create_key(&acme, KeyTerms::of(Permission::Full))
        .await
        .unwrap();
    let revoked = world.caller_with_key(&text_of(revoked));
    revoked.list("").await.expect(200);
    world
        .operator
        .revoke_key(&acme, &listing.key_id)
        .await
        .unwrap();
    // Well-formed keys that were never created: one for a team that exists, one for a team that does not.
    let unknown = [acme.clone(), "nobody".parse().unwrap()]
        .map(|team| world.caller_with_key(&text_of(ApiKey::generate(team).unwrap())));
    // A key of another team with this team's name in it needs a new checksum. It is then an unknown key.

    let before = (
        world.sorted_rows("credentials").await,
        world.count("secrets").await,
    );
    let counted = world.sorted_rows("requests").await;
    world.wire.reset();
    for caller in [&revoked, &unknown[0], &unknown[1]] {
        for endpoint in endpoints(&id) {
            for _ in 0..5 {
                expect_refused(&send(call(caller, &endpoint)).await, "an unknown key");
            }
        }
        expect_refused(&caller.get("no-id").await, "a bad id");
        expect_refused(&caller.list("?limit=0").await, "a bad query");
        expect_refused(&caller.create(json!({})).await, "a bad body");
    }
    let operations = world.wire.operations(Service::DynamoDb);
    let read_only = |it: &String| matches!(it.as_str(), "GetItem" | "BatchGetItem" | "Query");
    assert!(operations.iter().all(read_only), "{operations:?}");
    // The vault reads at most one small page of the team's credentials. It reads no events and no token URLs.
    let history = [
        &b"\"TableName\":\"events\""[..],
        b"\"TableName\":\"token-urls\"",
    ];
    let calls = world.wire.calls();
    let mut calls = calls.iter().filter(|call| call.operation == "Query");
    assert!(calls.all(|call| history.iter().all(|table| !contains(&call.body, table))));
    assert_eq!(counted, world.sorted_rows("requests").await);
    assert_eq!(world.wire.count(Service::Kms), 0);
    assert_eq!(world.wire.count(Service::Zoom), 0);
    assert_eq!(before.0, world.sorted_rows("credentials").await);
    assert_eq!(before.1, world.count("secrets").await);
}

#[tokio::test]
async fn each_permission_allows_only_its_operations() {
    let world = World::new().await;
    let read = world.caller("acme", Permission::Read).await;
    let mint = world.caller("acme", Permission::Mint).await;
    let full = world.caller("acme", Permission::Full).await;
    let id = world.add_app_credential("bot").await;
    let before = world.sorted_rows("credentials").await;

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
    // Without the permission, a key learns nothing and changes nothing.
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
    assert_eq!(world.sorted_rows("credentials").await, before);
    // A forbidden call is charged to its key. Otherwise such a key could call without limit.
    let counted = world.sorted_rows("requests").await;
    assert!(counted.iter().all(|row| is_count(row)), "{counted:?}");

    for endpoint in endpoints(&id) {
        let status = send(call(&full, &endpoint)).await.status;
        let made = u16::from(endpoint.0 == Method::POST && endpoint.2.is_some());
        assert_eq!(status, 200 + made, "{endpoint:?}");
    }
}

// assures 17
#[tokio::test]
async fn a_credential_of_another_team_gets_the_same_404_as_a_missing_one() {
    let world = World::new().await;
    let rival = world.caller("rival", Permission::Full).await;
    let deleted = world.add_app_credential("deleted").await;
    world.acme.delete(&deleted).await.expect(200);
    let (app, user) = (
        world.add_app_credential("app").await,
        world.add_user_credential("user").await,
    );
    let own = id_of(&rival.create(app_body("own")).await.expect(201));
    rival.delete(&own).await.expect(200);
    let before = (
        world.row(&app).await,
        world.row(&user).await,
        world.row(&deleted).await,
    );
    let (secrets, code) = (world.count("secrets").await, world.code());
    let claimed = |rows: Vec<String>| rows.into_iter().filter(|it| !is_count(it)).count();
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
            assert_eq!(
                comparable_headers(&answer),
                comparable_headers(first),
                "{endpoint:?}"
            );
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
            world.row(&app).await,
            world.row(&user).await,
            world.row(&deleted).await
        ),
        before
    );
    assert_eq!(world.count("secrets").await, secrets);
    assert_eq!(claimed(world.rows("requests").await), claims);
    // The code that the other team tried is not spent.
    world
        .acme
        .create(user_body("mine", &code))
        .await
        .expect(201);
}

// assures 17
#[tokio::test]
async fn every_404_makes_the_same_database_calls() {
    let world = World::new().await;
    let rival = world.caller("rival", Permission::Full).await;
    let id = world.add_app_credential("bot").await;
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
async fn an_authorization_by_one_team_does_not_change_another_teams_credential_of_the_same_zoom_user()
 {
    let world = World::new().await;
    let rival = world.caller("rival", Permission::Full).await;
    let id = world.add_user_credential("bot").await;
    let row = world.row(&id).await;
    rival
        .create(user_body("theirs", &world.code()))
        .await
        .expect(201);
    assert_eq!(world.row(&id).await, row);
}

// assures 20
#[tokio::test]
async fn keys_are_stored_only_as_hashes() {
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
            // No 12 characters of the key are stored either. The characters after `zcv_acme_` are random.
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
