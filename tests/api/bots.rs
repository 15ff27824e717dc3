//! Token URLs as bots' vendors call them: every vendor's words, byte for byte, and who gets nothing.

use std::time::{Duration, Instant};

use functions::{runtime, token_urls};
use lambda_http::{Context, LambdaEvent};
use reqwest::{Method, RequestBuilder, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use shared::credential::CredentialId;
use shared::stores::{Credentials, Keys, Requests, Settings, TokenUrls};
use shared::token_url::{UrlId, UrlToken};

use crate::proxy::{Fault, Rule, Service};
use crate::token_urls::{NO_URL, Url};
use crate::world::{Answer, CLIENT_ID, World, id_of, user_body};

/// What Zoom mints here.
const TOKEN: &str = "eyJzdiI6IjAwMDAwMSIsImFsZyI6IkhTMjU2In0.eyJhdWQiOiJjbGllbnRzbSJ9.s1g-n_ature";
const MEETING: &str = "98765432101";
const MINT: &str = "/v2/users/me/token";
const LOCAL_RECORDING: &str = "/v2/meetings/98765432101/jointoken/local_recording";

/// A vendor's call, which no contract of ours is held against.
async fn sent(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}

impl World {
    /// Zoom mints what is known beforehand.
    fn zoom_mints(&self, token: &str) {
        for operation in [MINT, LOCAL_RECORDING] {
            self.wire.inject(Rule {
                service: Some(Service::Zoom),
                operation: Some(operation),
                nth: None,
                fault: Fault::Answer(StatusCode::OK, json!({ "token": token }).to_string()),
            });
        }
    }

    /// A vendor's request, with nothing in it but what is added.
    fn vendor(&self, method: Method, url: &Url, query: &str) -> RequestBuilder {
        let url = format!("{}{query}", url.url);
        self.acme
            .http()
            .request(method, url)
            .timeout(Duration::from_mins(1))
    }

    pub(crate) async fn vendor_gets(&self, url: &Url, query: &str) -> Answer {
        sent(self.vendor(Method::GET, url, query)).await
    }

    async fn vendor_posts(&self, url: &Url, body: &Value) -> Answer {
        sent(self.vendor(Method::POST, url, "").json(body)).await
    }

    /// What Zoom was asked for, since the wire was last reset.
    fn asked_of_zoom(&self) -> Vec<String> {
        let calls = self.wire.calls().into_iter();
        calls
            .filter(|call| call.service == Service::Zoom && call.operation != "/oauth/token")
            .map(|call| call.target)
            .collect()
    }

    /// The newest event of a credential.
    async fn newest_event(&self, id: &str) -> Value {
        self.acme.events(id, "?limit=1").await.expect(200)[0].clone()
    }

    /// A user credential that has minted before, so that its grant is open in memory.
    async fn given_warm_user(&self) -> String {
        let id = self.given_user("bot").await;
        crate::minting::mint_onbehalf(&self.acme, &id)
            .await
            .expect(200);
        id
    }
}

/// A token as text, and nothing around it.
#[track_caller]
fn expect_text(answer: &Answer, token: &str) {
    assert_eq!((answer.status, answer.text.as_str()), (200, token));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    expect_private(answer);
}

/// Exactly this JSON.
#[track_caller]
fn expect_json(answer: &Answer, body: &str) {
    assert_eq!((answer.status, answer.text.as_str()), (200, body));
    assert_eq!(
        answer.header("content-type"),
        Some("application/json; charset=utf-8")
    );
    expect_private(answer);
}

/// An error, in words that a GET hears.
#[track_caller]
fn expect_words(answer: &Answer, status: u16, words: &str) {
    assert_eq!((answer.status, answer.text.as_str()), (status, words));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    expect_private(answer);
}

/// Nothing keeps the answer, and nothing passes the URL on.
#[track_caller]
fn expect_private(answer: &Answer) {
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert!(
        answer
            .header("x-request-id")
            .is_some_and(|id| !id.is_empty())
    );
    assert_eq!(answer.header("location"), None);
}

#[tokio::test]
async fn meetingbaas_gets_the_raw_token() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    for (kind, bot, asked) in [
        ("onbehalf", "bot_uuid", "/v2/users/me/token?type=onbehalf"),
        ("zak", "bot_id", "/v2/users/me/token?type=zak"),
    ] {
        let url = world.given_url(&id, json!({ "type": kind })).await;
        world.wire.reset();
        world.zoom_mints(TOKEN);
        let query = format!("?{bot}=6f7c-42&extra=%7B%22customer%22%3A%22x%26y%22%7D");
        expect_text(&world.vendor_gets(&url, &query).await, TOKEN);
        assert_eq!(world.asked_of_zoom(), [asked]);
        let event = world.newest_event(&id).await;
        assert_eq!(event["bot_id"], "6f7c-42");
        assert_eq!(event["url_id"], url.id);
        assert_eq!(event["asked_by"], "token_url");
        assert_eq!(
            (&event["kind"], &event["type"]),
            (&json!("mint"), &json!(kind))
        );
        assert_eq!(event["outcome"], "succeeded");
    }
}

#[tokio::test]
async fn recall_gets_the_raw_token_with_our_own_query_kept() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let obf = world.given_url(&id, json!({ "type": "onbehalf" })).await;
    let join = world
        .given_url(&id, json!({ "type": "local_recording" }))
        .await;
    world.wire.reset();
    world.zoom_mints(TOKEN);

    expect_text(&world.vendor_gets(&obf, "").await, TOKEN);
    let query = format!("?meeting_id={MEETING}&region=eu");
    expect_text(&world.vendor_gets(&join, &query).await, TOKEN);
    assert_eq!(
        world.asked_of_zoom(),
        [
            "/v2/users/me/token?type=onbehalf".to_owned(),
            format!("{LOCAL_RECORDING}?bypass_waiting_room=true"),
        ]
    );
}

#[tokio::test]
async fn attendee_posts_and_finds_the_token_under_its_name() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let body = json!({
        "bot_id": "bot_3hfP0PXEsNinIZmh",
        "bot_metadata": { "customer": "x", "nested": { "a": [1, 2] } },
        "callback_type": "zoom_tokens",
        "meeting_url": format!("https://us02web.zoom.us/j/{MEETING}?pwd=c2VjcmV0#success"),
    });
    for (kind, answer) in [
        (
            "onbehalf",
            format!(r#"{{"onbehalf_token":"{TOKEN}","obf":"{TOKEN}","token":"{TOKEN}"}}"#),
        ),
        (
            "zak",
            format!(r#"{{"zak_token":"{TOKEN}","zak":"{TOKEN}","token":"{TOKEN}"}}"#),
        ),
        (
            "local_recording",
            format!(
                r#"{{"join_token":"{TOKEN}","app_privilege_token":"{TOKEN}","token":"{TOKEN}"}}"#
            ),
        ),
    ] {
        let url = world.given_url(&id, json!({ "type": kind })).await;
        world.wire.reset();
        world.zoom_mints(TOKEN);
        let request = world.vendor(Method::POST, &url, "").json(&body);
        let request = request.header("X-Webhook-Signature", "8m2JH8Y0b3n3qLh4WcVt4A==");
        expect_json(&sent(request).await, &answer);
        let asked = world.asked_of_zoom();
        assert_eq!(asked.len(), 1);
        assert!(kind == "zak" || asked[0].contains(MEETING), "{asked:?}");
        assert_eq!(
            world.newest_event(&id).await["bot_id"],
            "bot_3hfP0PXEsNinIZmh"
        );
    }
}

#[tokio::test]
async fn meetstream_hears_that_head_is_not_allowed_and_gets_or_posts() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let url = world.given_url(&id, json!({ "type": "onbehalf" })).await;
    world.wire.reset();
    world.zoom_mints(TOKEN);
    let asked = format!("/v2/users/me/token?type=onbehalf&meeting_id={MEETING}");

    let head = sent(
        world
            .vendor(Method::HEAD, &url, "")
            .header("X-Bot-Id", "ms-1"),
    )
    .await;
    assert_eq!((head.status, head.text.as_str()), (405, ""));
    assert_eq!(head.header("allow"), Some("GET, POST"));
    assert_eq!(world.wire.calls().len(), 0);

    let get = world.vendor(Method::GET, &url, &format!("?meeting_number={MEETING}"));
    expect_text(&sent(get.header("X-Bot-Id", "ms-1")).await, TOKEN);
    assert_eq!(world.asked_of_zoom(), [asked.as_str()]);
    assert_eq!(world.newest_event(&id).await["bot_id"], "ms-1");

    world.wire.reset();
    world.zoom_mints(TOKEN);
    for number in [json!(MEETING), json!(98_765_432_101_u64)] {
        let body = json!({ "bot_id": "ms-2", "meeting_number": number, "webhook_secret": "whsec" });
        let post = world.vendor(Method::POST, &url, "").json(&body);
        let answer = format!(r#"{{"onbehalf_token":"{TOKEN}","obf":"{TOKEN}","token":"{TOKEN}"}}"#);
        expect_json(&sent(post.header("X-Bot-Id", "ms-1")).await, &answer);
    }
    assert_eq!(world.asked_of_zoom(), [asked.clone(), asked]);
    let event = world.newest_event(&id).await;
    assert_eq!(
        (&event["bot_id"], &event["meeting_id"]),
        (&json!("ms-2"), &json!(MEETING))
    );
}

#[tokio::test]
async fn other_methods_are_refused_without_a_read() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let url = world.given_url(&id, json!({ "type": "onbehalf" })).await;
    world.wire.reset();
    for method in [Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
        let answer = sent(world.vendor(method, &url, "").body("{}")).await;
        answer.expect_error(
            405,
            "FST_ERR_METHOD_NOT_ALLOWED",
            "Method not allowed: use GET, POST",
        );
        assert_eq!(answer.header("allow"), Some("GET, POST"));
        expect_private(&answer);
    }
    assert_eq!(world.wire.calls().len(), 0);
}

/// Calls a URL with this query and body; answers the meeting that Zoom was then asked for.
async fn meeting_of(world: &World, url: &Url, query: &str, body: Option<&str>) -> Option<String> {
    world.wire.reset();
    world.zoom_mints(TOKEN);
    let request = match body {
        Some(body) => world.vendor(Method::POST, url, query).body(body.to_owned()),
        None => world.vendor(Method::GET, url, query),
    };
    let answer = sent(request.header("content-type", "application/json")).await;
    assert_eq!(answer.status, 200, "{query} {body:?}");
    let asked = world.asked_of_zoom().pop().unwrap();
    match asked
        .strip_prefix("/v2/users/me/token?type=onbehalf")
        .unwrap()
    {
        "" => None,
        query => Some(query.strip_prefix("&meeting_id=").unwrap().to_owned()),
    }
}

#[tokio::test]
async fn the_meeting_comes_from_the_first_parameter_that_names_one() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let url = world.given_url(&id, json!({ "type": "onbehalf" })).await;
    for (query, meeting) in [
        ("?meeting_number=123-456%20789", Some("123456789")),
        ("?meeting_id=2&meeting_number=1", Some("1")),
        ("?meeting_id=2&meeting_url=https://zoom.us/j/3", Some("2")),
        (
            "?meeting_url=https%3A%2F%2Fzoom.us%2Fj%2F3%3Fpwd%3Dx",
            Some("3"),
        ),
        // The first of a repeated one counts.
        ("?meeting_number=1&meeting_number=2", Some("1")),
        // What names no meeting is as good as nothing.
        ("?meeting_number=", None),
        ("?meeting_number=abc&meeting_id=2", Some("2")),
        ("?meeting=1&number=2&MEETING_ID=3", None),
    ] {
        let asked = meeting_of(&world, &url, query, None).await;
        assert_eq!(asked.as_deref(), meeting, "{query}");
    }
    // A GET's body is none of its parameters.
    let body = r#"{"meeting_number":"1"}"#;
    world.wire.reset();
    let get = world.vendor(Method::GET, &url, "").body(body);
    assert_eq!(sent(get).await.status, 200);
    assert_eq!(world.asked_of_zoom(), ["/v2/users/me/token?type=onbehalf"]);
}

#[tokio::test]
async fn a_body_names_the_meeting_where_the_query_does_not() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let url = world.given_url(&id, json!({ "type": "onbehalf" })).await;
    let link = |url: &str| json!({ "meeting_url": url }).to_string();
    let repeated = r#"{"meeting_number":"1","meeting_number":"2"}"#.to_owned();
    for (query, body, meeting) in [
        ("", json!({ "meeting_number": "1" }).to_string(), Some("1")),
        (
            "",
            json!({ "meeting_id": 2, "bot_id": 7 }).to_string(),
            Some("2"),
        ),
        ("", repeated, Some("1")),
        // What is in the URL itself was put there by its owner.
        (
            "?meeting_number=1",
            json!({ "meeting_number": "2" }).to_string(),
            Some("1"),
        ),
        (
            "?meeting_number=",
            json!({ "meeting_number": "2" }).to_string(),
            Some("2"),
        ),
        ("", link("https://acme.zoom.us/j/3?pwd=x"), Some("3")),
        ("", link("https://acme.zoom.us/w/4?tk=x"), Some("4")),
        ("", link("https://app.zoom.us/wc/5/join"), Some("5")),
        ("", link("https://zoom.us/wc/join/6"), Some("6")),
        ("", link("https://zoom.us/s/7"), Some("7")),
        ("", link("https://zoom.us/my/jane"), None),
        ("", link("https://meet.example.com/j/8"), None),
        (
            "",
            json!({ "meeting_number": 1.5, "meeting_id": ["2"] }).to_string(),
            None,
        ),
    ] {
        let asked = meeting_of(&world, &url, query, Some(&body)).await;
        assert_eq!(asked.as_deref(), meeting, "{query} {body}");
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_says_nothing_and_is_no_error() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let url = world.given_url(&id, json!({ "type": "onbehalf" })).await;
    let deep = format!(
        r#"{{"meeting_number":"1","x":{}{}}}"#,
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    let large = format!(
        r#"{{"meeting_number":"1","x":"{}"}}"#,
        "x".repeat(256 * 1024)
    );
    let bodies: [(&[u8], bool); 15] = [
        (b"", false),
        (b"{", false),
        (b"null", false),
        (b"[]", false),
        (b"\"meeting_number\"", false),
        (b"meeting_number=1", false),
        (b"\xff\xfe{}", false),
        (b"{\"meeting_number\":\"\xff\"}", false),
        (br#"{"meeting_number":"\ud800"}"#, false),
        (br#"{"meeting_number":"1\u0000"}"#, false),
        (br#"{"meeting_number":{"meeting_number":"1"}}"#, false),
        (br#"{"meeting_number":null,"bot_id":null}"#, false),
        (br#"{"meeting_number":"1"} trailing"#, false),
        (large.as_bytes(), false),
        (deep.as_bytes(), true),
    ];
    for (body, named) in bodies {
        for kind in [
            None,
            Some("application/json"),
            Some("text/plain"),
            Some("multipart/form-data"),
        ] {
            world.wire.reset();
            world.zoom_mints(TOKEN);
            let request = world.vendor(Method::POST, &url, "").body(body.to_vec());
            let answer = sent(match kind {
                Some(kind) => request.header("content-type", kind),
                None => request,
            })
            .await;
            let start = String::from_utf8_lossy(body)
                .chars()
                .take(60)
                .collect::<String>();
            assert_eq!(answer.status, 200, "{start} {}", answer.text);
            let asked = world.asked_of_zoom();
            assert_eq!(asked[0].contains("meeting_id="), named, "{start}");
        }
    }
}

#[tokio::test]
async fn a_bots_name_is_kept_where_it_is_one() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let url = world.given_url(&id, json!({ "type": "zak" })).await;
    let long = format!("?bot_id={}", "x".repeat(129));
    for (query, header, bot) in [
        ("?bot_uuid=a&bot_id=b", Some("c"), json!("a")),
        ("?bot_id=b", Some("c"), json!("b")),
        ("", Some("c"), json!("c")),
        ("?bot_uuid=", None, Value::Null),
        ("?bot_id=with%20space", Some("c"), json!("c")),
        ("?bot_id=%0d%0aX:1", None, Value::Null),
        (long.as_str(), None, Value::Null),
    ] {
        let request = world.vendor(Method::GET, &url, query);
        let answer = sent(match header {
            Some(header) => request.header("x-bot-id", header),
            None => request,
        });
        assert_eq!(answer.await.status, 200);
        assert_eq!(world.newest_event(&id).await["bot_id"], bot, "{query}");
    }
}

#[tokio::test]
async fn a_url_for_one_meeting_refuses_every_other() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let body = json!({ "type": "onbehalf", "meeting_id": MEETING, "max_uses": 10 });
    let url = world.given_url(&id, body).await;
    let asked = format!("/v2/users/me/token?type=onbehalf&meeting_id={MEETING}");
    world.wire.reset();
    world.zoom_mints(TOKEN);

    let refused = world.vendor_gets(&url, "?meeting_number=1").await;
    expect_words(&refused, 403, "The token URL is for another meeting");
    let refused = world
        .vendor_posts(&url, &json!({ "meeting_url": "https://zoom.us/j/1" }))
        .await;
    refused.expect_error(
        403,
        "FST_ERR_ZOOM_ANOTHER_MEETING",
        "The token URL is for another meeting",
    );
    assert_eq!(world.asked_of_zoom(), [""; 0]);
    assert_eq!(world.uses(&url.id).await, "0");

    expect_text(
        &world
            .vendor_gets(&url, "?meeting_number=987%206543%202101")
            .await,
        TOKEN,
    );
    // Where none is named it is for its own.
    expect_text(&world.vendor_gets(&url, "").await, TOKEN);
    assert_eq!(world.asked_of_zoom(), [asked.clone(), asked]);
    assert_eq!(world.uses(&url.id).await, "2");
}

#[tokio::test]
async fn a_local_recording_token_needs_a_meeting() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let url = world
        .given_url(&id, json!({ "type": "local_recording" }))
        .await;
    world.wire.reset();
    let words = "meeting_id is required for a local recording token: send meeting_number, meeting_id or meeting_url";
    expect_words(&world.vendor_gets(&url, "").await, 400, words);
    let refused = world.vendor_posts(&url, &json!({})).await;
    refused.expect_error(400, "FST_ERR_VALIDATION", words);
    assert_eq!(
        world.wire.operations(Service::DynamoDb),
        ["GetItem", "GetItem"]
    );
    assert_eq!(
        world.wire.count(Service::Kms) + world.wire.count(Service::Zoom),
        0
    );
}

/// A well-formed token that nobody made.
fn unknown(credential: CredentialId, url: UrlId) -> String {
    text_of(UrlToken::generate(credential, url).unwrap())
}

#[expect(clippy::disallowed_methods, reason = "a vendor sends the token")]
pub(crate) fn text_of(token: UrlToken) -> String {
    token.into_text().expose_secret().to_owned()
}

#[tokio::test]
async fn whoever_has_no_url_hears_one_answer() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let zak = json!({ "type": "zak", "max_uses": 1 });
    let base = world.given_url(&id, zak.clone()).await;
    let at = |token: &str| Url {
        id: String::new(),
        url: base.url.replace(base.token(), token),
    };
    let (revoked, expired) = (
        world.given_url(&id, zak.clone()).await,
        world.given_url(&id, zak.clone()).await,
    );
    world.acme.delete_url(&id, &revoked.id).await.expect(200);
    world.expire_url(&expired.id).await;
    let used = world.given_url(&id, zak.clone()).await;
    assert_eq!(world.vendor_gets(&used, "").await.status, 200);
    let other = user_body("other", &world.code_of("grace-sandbox-user", None));
    let other = id_of(&world.acme.create(other).await.expect(201));
    let orphan = world.given_url(&other, zak).await;
    world.acme.delete(&other).await.expect(200);
    let credential: CredentialId = id.parse().unwrap();
    let known: UrlId = base.id.parse().unwrap();
    let (head, sum) = base.token().split_at(base.token().len() - 6);

    for (what, url) in [
        ("revoked", revoked),
        ("expired", expired),
        ("used up", used),
        ("its credential is gone", orphan),
        ("unknown", at(&unknown(credential, UrlId::generate()))),
        ("of a known URL", at(&unknown(credential, known))),
        (
            "nobody's",
            at(&unknown(CredentialId::generate(), UrlId::generate())),
        ),
        ("bad checksum", at(&format!("{head}000000"))),
        ("one byte more", at(&format!("{head}A{sum}"))),
        ("other case", at(&base.token().to_uppercase())),
        ("cut", at(head)),
        ("no token", at("x")),
        ("an API key", at(world.acme.key())),
        ("encoded", at("%00%ff%2e%2e")),
    ] {
        world.wire.reset();
        let get = world.vendor_gets(&url, "").await;
        assert_eq!((get.status, get.text.as_str()), (404, NO_URL), "{what}");
        expect_words(&get, 404, NO_URL);
        let post = world
            .vendor_posts(&url, &json!({ "meeting_number": "1" }))
            .await;
        post.expect_error(404, "FST_ERR_ZOOM_TOKEN_URL_NOT_FOUND", NO_URL);
        expect_private(&post);
        assert_eq!(
            world.wire.count(Service::Kms) + world.wire.count(Service::Zoom),
            0,
            "{what}"
        );
    }
    // And the one that was there all the time still works.
    assert_eq!(world.vendor_gets(&base, "").await.status, 200);
}

#[tokio::test]
async fn a_thousand_bogus_urls_cause_no_kms_call_no_write_and_no_read_where_the_checksum_is_wrong()
{
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let url = world.given_url(&id, json!({ "type": "zak" })).await;
    let before = (
        world.contents("token-urls").await,
        world.contents("requests").await,
    );
    let at = |token: &str| Url {
        id: String::new(),
        url: url.url.replace(url.token(), token),
    };
    let credential: CredentialId = id.parse().unwrap();
    world.wire.reset();

    for count in 0..500 {
        let token = unknown(credential, UrlId::generate());
        let broken = token.split_at(token.len() - 1).0.to_owned() + ["-", "_"][count % 2];
        assert_eq!(world.vendor_gets(&at(&broken), "").await.status, 404);
    }
    assert_eq!(world.wire.calls().len(), 0);

    for _ in 0..500 {
        let token = unknown(credential, UrlId::generate());
        assert_eq!(world.vendor_gets(&at(&token), "").await.status, 404);
    }
    assert_eq!(
        world.wire.operations(Service::DynamoDb),
        vec!["GetItem"; 500]
    );
    assert_eq!(
        world.wire.count(Service::Kms) + world.wire.count(Service::Zoom),
        0
    );
    let after = (
        world.contents("token-urls").await,
        world.contents("requests").await,
    );
    assert_eq!(before, after);
}

#[tokio::test]
async fn of_32_calls_at_once_one_gets_the_one_token() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let url = world
        .given_url(&id, json!({ "type": "onbehalf", "max_uses": 1 }))
        .await;
    let calls = (0..32).map(|count| {
        let method = if count % 2 == 0 {
            Method::GET
        } else {
            Method::POST
        };
        tokio::spawn(sent(world.vendor(method, &url, "")))
    });
    let calls: Vec<_> = calls.collect();
    let mut statuses = Vec::new();
    for call in calls {
        statuses.push(call.await.unwrap().status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![200], vec![404; 31]].concat());
    assert_eq!(world.uses(&url.id).await, "1");
}

#[tokio::test]
async fn a_use_is_taken_for_every_token_and_shown() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let url = world
        .given_url(&id, json!({ "type": "onbehalf", "max_uses": 3 }))
        .await;
    let endless = world.given_url(&id, json!({ "type": "onbehalf" })).await;
    let statuses = async |url: &Url| {
        let mut statuses = Vec::new();
        for _ in 0..5 {
            statuses.push(world.vendor_gets(url, "").await.status);
        }
        statuses
    };
    assert_eq!(statuses(&url).await, [200, 200, 200, 404, 404]);
    assert_eq!(statuses(&endless).await, [200; 5]);
    let listed = world.acme.urls(&id, "").await.expect(200);
    assert_eq!(
        (&listed[0]["uses"], &listed[1]["uses"]),
        (&json!(5), &json!(3))
    );
}

#[tokio::test]
async fn a_use_is_given_back_where_no_token_was_released() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let url = world
        .given_url(&id, json!({ "type": "onbehalf", "max_uses": 1 }))
        .await;
    let broken = |service, operation| Rule {
        service: Some(service),
        operation,
        nth: None,
        fault: Fault::DropBefore,
    };
    for (what, rule, status) in [
        ("KMS", broken(Service::Kms, None), 503),
        ("Zoom", broken(Service::Zoom, None), 502),
        // The usage record: no token leaves without one.
        (
            "the record",
            broken(Service::DynamoDb, Some("PutItem")),
            503,
        ),
    ] {
        world.wire.reset();
        world.wire.inject(rule);
        let answer = world.vendor_gets(&url, "").await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text);
        assert!(answer.header("retry-after").is_some(), "{what}");
        assert!(!answer.text.contains('{'), "{what}: {}", answer.text);
        assert_eq!(world.uses(&url.id).await, "0", "{what}");
    }
    world.wire.reset();
    assert_eq!(world.vendor_gets(&url, "").await.status, 200);
    assert_eq!(world.vendor_gets(&url, "").await.status, 404);
    assert_eq!(world.uses(&url.id).await, "1");
}

#[tokio::test]
async fn whose_user_must_reconnect_the_bot_hears_that_and_no_use_is_lost() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let url = world
        .given_url(&id, json!({ "type": "onbehalf", "max_uses": 1 }))
        .await;
    world.expire_access().await;
    world.zoom.remove_app(CLIENT_ID, "ada");
    for _ in 0..2 {
        let answer = world.vendor_gets(&url, "").await;
        assert_eq!(answer.status, 409);
        assert!(answer.text.contains("(revoked)"), "{}", answer.text);
        let answer = world.vendor_posts(&url, &json!({})).await;
        answer.expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");
        assert_eq!(answer.json()["details"], "revoked");
    }
    assert_eq!(world.uses(&url.id).await, "0");
}

#[tokio::test]
async fn a_use_that_was_taken_unheard_is_not_refused_for_itself() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let single = world
        .given_url(&id, json!({ "type": "onbehalf", "max_uses": 1 }))
        .await;
    let endless = world.given_url(&id, json!({ "type": "onbehalf" })).await;
    for url in [single, endless] {
        world.wire.reset();
        world
            .wire
            .inject_once(Service::DynamoDb, "UpdateItem", Fault::DropAfter);
        assert_eq!(world.vendor_gets(&url, "").await.status, 200);
        assert_eq!(world.uses(&url.id).await, "1");
    }
}

#[tokio::test]
async fn a_use_that_was_given_back_unheard_is_not_given_back_twice() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let url = world
        .given_url(&id, json!({ "type": "onbehalf", "max_uses": 5 }))
        .await;
    assert_eq!(world.vendor_gets(&url, "").await.status, 200);
    assert_eq!(world.vendor_gets(&url, "").await.status, 200);
    world.wire.reset();
    world.wire.break_service(
        Service::Zoom,
        Fault::Answer(StatusCode::BAD_GATEWAY, String::new()),
    );
    // The use is the first update, the rate the second, and the third gives back.
    world.wire.inject(Rule {
        service: Some(Service::DynamoDb),
        operation: Some("UpdateItem"),
        nth: Some(3),
        fault: Fault::DropAfter,
    });
    assert_eq!(world.vendor_gets(&url, "").await.status, 502);
    assert_eq!(world.uses(&url.id).await, "2");
}

#[tokio::test]
async fn bots_count_against_the_teams_rate_of_mints() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let url = world
        .given_url(&id, json!({ "type": "onbehalf", "max_uses": 1 }))
        .await;
    let acme = "acme".parse().unwrap();
    let limited = world
        .operator
        .set(
            &acme,
            Settings {
                mint_rate: Some(0),
                ..Settings::default()
            },
        )
        .await;
    assert_eq!(limited.unwrap().mint_rate, 0);
    world.wire.reset();

    let answer = world.vendor_gets(&url, "").await;
    expect_words(
        &answer,
        429,
        "Rate limit exceeded: try again after retry-after",
    );
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(world.uses(&url.id).await, "0");
    assert_eq!(
        world.wire.count(Service::Kms) + world.wire.count(Service::Zoom),
        0
    );
}

/// The table of bounds: as a mint, with url │ credential in place of key ‖ credential. The last is the usage record,
/// beside Zoom's answer.
#[tokio::test]
async fn a_token_url_is_three_round_trips_and_its_record() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let url = world.given_url(&id, json!({ "type": "onbehalf" })).await;
    assert_eq!(world.vendor_gets(&url, "").await.status, 200);
    world.wire.reset();
    world.wire.inject(Rule {
        service: None,
        operation: None,
        nth: None,
        fault: Fault::Delay(Duration::from_millis(200)),
    });

    assert_eq!(world.vendor_gets(&url, "").await.status, 200);
    world.wire.heal();
    assert_eq!(world.wire.in_series(&[Service::DynamoDb, Service::Kms]), 4);
    assert_eq!(world.wire.count(Service::DynamoDb), 6);
    assert_eq!(world.wire.count(Service::Kms), 0);
    assert_eq!(world.wire.count(Service::Zoom), 1);
}

/// Takes as long as it says: the waits are the vault's own.
#[tokio::test]
async fn a_bot_is_answered_within_15_seconds_whoever_is_silent() {
    let refreshing = async {
        let world = World::new().await;
        let id = world.given_user("bot").await;
        let url = world
            .given_url(&id, json!({ "type": "onbehalf", "max_uses": 1 }))
            .await;
        world.expire_access().await;
        world
            .wire
            .inject_once(Service::Zoom, "/oauth/token", Fault::Stall);
        let body = json!({ "credential_id": id, "type": "onbehalf" });
        let holder = world.invoke(Method::POST, "/v2/zoom-tokens", &body);
        world.wire.stalled().await;

        let started = Instant::now();
        let answer = world.vendor_gets(&url, "").await;
        expect_words(
            &answer,
            503,
            "Temporarily unavailable: try again after retry-after",
        );
        assert!(started.elapsed() < Duration::from_secs(15));
        assert_eq!(world.uses(&url.id).await, "0");
        holder.abort();
    };
    let minting = async {
        let world = World::new().await;
        let id = world.given_warm_user().await;
        let url = world
            .given_url(&id, json!({ "type": "onbehalf", "max_uses": 1 }))
            .await;
        world.wire.inject_once(Service::Zoom, MINT, Fault::Stall);

        let started = Instant::now();
        let answer = world.vendor_gets(&url, "").await;
        expect_words(
            &answer,
            504,
            "Zoom did not answer in time. It is safe to retry.",
        );
        assert!(started.elapsed() < Duration::from_secs(15));
        assert_eq!(world.uses(&url.id).await, "0");
    };
    tokio::join!(refreshing, minting);
}

/// Where the URL leads, is what the gateway says of itself; the Host header is not asked.
#[tokio::test]
async fn a_url_begins_as_the_gateway_says_whatever_the_host_header_is() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let db = &world.dynamodb;
    let table = |name: &str| (db.clone(), name.to_owned());
    let (keys, requests) = (table("keys"), table("requests"));
    let (keys, requests) = (
        &Keys::new(keys.0, keys.1),
        &Requests::new(requests.0, requests.1),
    );
    let credentials = &Credentials::new(db.clone(), "credentials".to_owned());
    let token_urls = &TokenUrls::new(db.clone(), "token-urls".to_owned());
    let made = async |public: Option<&str>, context: Value| {
        let event = json!({
            "httpMethod": "POST",
            "headers": {
                "x-meeting-baas-api-key": world.acme.key(),
                "content-type": "application/json",
                "Host": "evil.example",
                "X-Forwarded-Host": "evil.example",
            },
            "pathParameters": { "id": id },
            "requestContext": context,
            "body": r#"{"type":"zak"}"#,
        });
        let mut invocation = Context::default();
        invocation.deadline = u64::MAX;
        let event = LambdaEvent::new(serde_json::from_value(event).unwrap(), invocation);
        let public = public.map(|url| url.parse().unwrap());
        let answer = runtime::invoke(token_urls::create::ROUTE, event, async |request| {
            let public = public.as_ref();
            token_urls::create::handle(keys, requests, credentials, token_urls, public, &request)
                .await
        })
        .await;
        let answer: Value = serde_json::to_value(answer).unwrap();
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        let url = body["data"]["url"].as_str().map(str::to_owned);
        url.map(|url| url.rsplit_once("ztu_").unwrap().0.to_owned())
            .ok_or(body["code"].clone())
    };
    let path = format!("/v2/zoom-credentials/{id}/token-urls");
    let context = |domain: &str, before: &str| json!({ "domainName": domain, "stage": "live", "path": format!("{before}{path}") });
    for (public, context, expected) in [
        (
            None,
            context("abc123.execute-api.eu-central-1.amazonaws.com", "/live"),
            "https://abc123.execute-api.eu-central-1.amazonaws.com/live/t/",
        ),
        (
            None,
            context("vault.example.com", ""),
            "https://vault.example.com/t/",
        ),
        (
            None,
            context("api.example.com", "/zoom/vault"),
            "https://api.example.com/zoom/vault/t/",
        ),
        (
            Some("https://tokens.example.com"),
            context("x", ""),
            "https://tokens.example.com/t/",
        ),
        (
            Some("https://tokens.example.com/zoom/"),
            context("x", "/live"),
            "https://tokens.example.com/zoom/t/",
        ),
        (
            Some("http://127.0.0.1:3000"),
            Value::Null,
            "http://127.0.0.1:3000/t/",
        ),
    ] {
        assert_eq!(made(public, context).await.unwrap(), expected);
    }
    let before = world.count("token-urls").await;
    for context in [
        Value::Null,
        json!({}),
        json!({ "domainName": "x" }),
        json!({ "domainName": "x", "path": "/" }),
    ] {
        assert_eq!(made(None, context).await.unwrap_err(), "FST_ERR_INTERNAL");
    }
    assert_eq!(world.count("token-urls").await, before);
}
