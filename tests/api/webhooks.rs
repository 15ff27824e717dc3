//! What Zoom tells an app: who is believed, for which teams, and what becomes of a user's tokens and name.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use functions::{runtime, zoom_apps};
use lambda_http::{Context, LambdaEvent};
use local::kms::Failure;
use local::zoom::{User, Webhook};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::api_key::Permission;
use shared::envelope::Envelope;
use shared::secret::WebhookSecret;
use shared::stores::{Credentials, Events, RETENTION, Secrets};
use shared::timestamp::Timestamp;
use shared::zoom::webhook::{Challenged, Notice, Signature, WINDOW};
use tokio::task::JoinSet;

use crate::contract;
use crate::minting::mint_onbehalf;
use crate::proxy::{Fault, Service};
use crate::world::{
    Answer, CLIENT_ID, CLIENT_SECRET, Caller, REDIRECT_URI, World, ada, attribute, id_of,
    next_millisecond, test_app, user_body, with,
};

/// What the test app's webhooks are signed with.
pub(crate) const TOKEN: &str = "test-app-secret-token";
const PATH: &str = "/webhooks/zoom/test-app";
const REFUSED: &str = "The request is not signed by Zoom for an app that is registered here";

/// The body that registers the test app.
pub(crate) fn registration(token: &str) -> Value {
    json!({ "client_secret": CLIENT_SECRET, "webhook_secret_token": token })
}

fn now() -> i64 {
    Timestamp::now().as_seconds()
}

fn signed(token: &str, timestamp: i64, body: &[u8]) -> String {
    let webhook = Webhook {
        url: "http://127.0.0.1".parse().unwrap(),
        secret_token: token.to_owned(),
    };
    webhook.signature(timestamp, body)
}

/// A user removes the app now.
fn removal(user: &str) -> Value {
    removal_at(user, Timestamp::now())
}

fn removal_at(user: &str, at: Timestamp) -> Value {
    json!({
        "event": "app_deauthorized",
        "event_ts": at.as_millis(),
        "payload": {
            "account_id": "analytical",
            "user_id": user,
            "signature": "827edc3452044f0bc86bdd5684afb7d1e6becfa1a767f24df1b287853cf73000",
            "deauthorization_time": at.to_string(),
            "client_id": CLIENT_ID,
        },
    })
}

fn departure(event: &str, user: &str, at: Timestamp) -> Value {
    json!({
        "event": event,
        "event_ts": at.as_millis(),
        "payload": { "account_id": "analytical", "object": { "id": user, "type": 1, "email": "a@b.c" } },
    })
}

/// A request as anyone may send it. What comes back keeps the contract, where there is something.
async fn post(world: &World, path: &str, headers: &[(&str, String)], body: Vec<u8>) -> Answer {
    let mut request = world.acme.http().post(world.acme.address(path)).body(body);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let response = request
        .timeout(Duration::from_mins(1))
        .send()
        .await
        .unwrap();
    let answer = Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    };
    match answer.status {
        204 => assert_eq!(answer.text, ""),
        // The gateway's own word, where this machine took too long for it.
        504 => {}
        _ => contract::check("POST", path, &answer),
    }
    answer
}

/// What Zoom tells, signed with `token`, as it does it.
pub(crate) async fn tell_at(world: &World, path: &str, token: &str, event: &Value) -> Answer {
    let body = event.to_string().into_bytes();
    let headers = headers(token, now(), &body);
    post(world, path, &headers, body).await
}

async fn tell(world: &World, event: &Value) -> Answer {
    tell_at(world, PATH, TOKEN, event).await
}

fn headers(token: &str, timestamp: i64, body: &[u8]) -> [(&'static str, String); 3] {
    [
        ("content-type", "application/json; charset=utf-8".to_owned()),
        ("x-zm-signature", signed(token, timestamp, body)),
        ("x-zm-request-timestamp", timestamp.to_string()),
    ]
}

impl World {
    /// The test app is registered by `acme`.
    pub(crate) async fn given_webhook(&self) {
        self.acme.register(registration(TOKEN)).await.expect(200);
    }

    /// The sealed rows and what becomes of them: whether a grant's row has tokens.
    async fn has_tokens(&self, grant: &str) -> bool {
        let rows = self.items("secrets").await;
        let id = format!("grant#{grant}");
        let row = rows.iter().find(|row| attribute(row, "secret_id") == id);
        let row = row.unwrap();
        let sealed = ["sealed", "dek", "kid", "alt_sealed", "alt_dek", "alt_kid"];
        let held: Vec<&str> = sealed
            .into_iter()
            .filter(|it| row.contains_key(*it))
            .collect();
        assert!(
            held.is_empty() || held.len() >= 3,
            "half of a pair: {held:?}"
        );
        !held.is_empty()
    }

    async fn grant_of(&self, id: &str) -> String {
        attribute(&self.row(id).await, "grant_id").to_owned()
    }

    /// The changes of state among a credential's events, newest first.
    async fn changes_of(&self, caller: &Caller, id: &str) -> Vec<Value> {
        let events = caller.events(id, "").await.expect(200);
        let changes = events.as_array().unwrap().iter();
        let changes = changes.filter(|event| event["kind"] == "state_change");
        changes
            .map(|event| json!([event["state"], event["reason"]]))
            .collect()
    }
}

/// Its user has removed the app, and nothing is left of them but the id.
async fn assert_destroyed(world: &World, id: &str) {
    let row = world.row(id).await;
    assert!(!world.has_tokens(attribute(&row, "grant_id")).await);
    assert!(!row.contains_key("zoom_email") && !row.contains_key("zoom_display_name"));
    assert_eq!(attribute(&row, "state"), "invalid");
    assert_eq!(attribute(&row, "zoom_user_id"), "ada");
    let says = attribute(&row, "last_error_message");
    assert!(says.starts_with("deauthorized: "), "{says}");
}

#[tokio::test]
async fn a_user_who_removes_the_app_leaves_no_tokens_no_name_and_no_way_to_mint() {
    let world = World::new().await;
    world.given_webhook().await;
    let id = world.given_user("desk").await;
    let grace = world.given_user_of("grace").await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
    let grant = world.grant_of(&id).await;
    assert!(world.has_tokens(&grant).await);
    let url = world.acme.address(PATH).parse().unwrap();
    let secret_token = TOKEN.to_owned();
    world
        .zoom
        .set_webhook(CLIENT_ID, Webhook { url, secret_token });
    assert_eq!(world.zoom.validate_webhook(CLIENT_ID).await, Some(true));

    let delivery = world.zoom.deauthorize(CLIENT_ID, "ada").await.unwrap();

    assert_eq!((delivery.attempts, delivery.heard), (vec![Some(204)], true));
    assert_destroyed(&world, &id).await;
    let shown = world.acme.get(&id).await.expect(200);
    assert_eq!(
        json!([
            shown["state"],
            shown["zoom_user_id"],
            shown["zoom_email"],
            shown["zoom_display_name"]
        ]),
        json!(["invalid", "ada", null, null])
    );
    assert_eq!(
        world.changes_of(&world.acme, &id).await,
        [json!(["invalid", "deauthorized"])]
    );

    // The grant was open in memory: nothing of it is used, and nothing is opened to find out.
    world.wire.reset();
    let refused = mint_onbehalf(&world.acme, &id).await;
    refused.expect_error(
        409,
        "FST_ERR_ZOOM_RECONNECT_REQUIRED",
        "The user must authorize the Zoom app again (deauthorized): reconnect the credential with a new authorization \
         code",
    );
    assert_eq!(refused.json()["details"], "deauthorized");
    assert_eq!(
        (
            world.wire.count(Service::Kms),
            world.wire.count(Service::Zoom)
        ),
        (0, 0)
    );

    // Whoever did not remove it is as before.
    mint_onbehalf(&world.acme, &grace).await.expect(200);
    assert_eq!(world.acme.get(&grace).await.expect(200)["state"], "active");

    let again = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    let back = world.acme.update(&id, again).await.expect(200);
    assert_eq!(
        json!([
            back["state"],
            back["zoom_email"],
            back["last_error_message"]
        ]),
        json!(["active", "ada@example.test", null])
    );
    mint_onbehalf(&world.acme, &id).await.expect(200);
    assert!(!world.has_tokens(&grant).await);
}

#[tokio::test]
async fn the_challenge_is_answered_to_those_alone_who_hold_the_secret_token() {
    let world = World::new().await;
    let challenge = json!({
        "event": "endpoint.url_validation",
        "event_ts": now() * 1000,
        "payload": { "plainToken": "qgg8vlvZRS6UYooatFL8Aw" },
    });
    tell(&world, &challenge)
        .await
        .expect_error(401, "FST_ERR_UNAUTHORIZED", REFUSED);
    assert_eq!(
        world.wire.count(Service::Kms),
        0,
        "an app that nobody registered costs no key"
    );
    world.given_webhook().await;

    let stranger = tell_at(&world, PATH, "another", &challenge).await;
    stranger.expect_error(401, "FST_ERR_UNAUTHORIZED", REFUSED);
    let other_app = tell_at(&world, "/webhooks/zoom/other-app", TOKEN, &challenge).await;
    other_app.expect_error(401, "FST_ERR_UNAUTHORIZED", REFUSED);
    let unsigned = post(&world, PATH, &[], challenge.to_string().into()).await;
    unsigned.expect_error(401, "FST_ERR_UNAUTHORIZED", REFUSED);

    let answer = tell(&world, &challenge).await;
    assert_eq!(answer.status, 200);
    let expected = signed(TOKEN, 0, b"");
    assert_eq!(answer.json()["plainToken"], "qgg8vlvZRS6UYooatFL8Aw");
    assert_eq!(
        answer.json()["encryptedToken"].as_str().unwrap().len() + 3,
        expected.len()
    );

    // Computed elsewhere.
    let secret = WebhookSecret::try_from("secret-token".to_owned()).unwrap();
    let challenged = Challenged::by(&secret, "qgg8vlvZRS6UYooatFL8Aw".to_owned());
    assert_eq!(
        serde_json::to_value(challenged).unwrap()["encryptedToken"],
        "5b72bd117f184f54093c1c3c11499c1d13e6d56dc0d96e6b78fbfecedc953b75"
    );
    let signature = Signature::parse(
        "v0=19f9e2015051282506c33fcea6b62b2993a91afaacf90c499c594a1cafde1ba2",
        "1700000000",
    );
    let body = br#"{"event":"x.y","payload":{}}"#;
    assert!(signature.unwrap().verifies(&secret, body));
}

#[tokio::test]
async fn headers_that_zoom_does_not_send_are_refused_before_anything_is_read() {
    let world = World::new().await;
    world.given_webhook().await;
    let id = world.given_user("desk").await;
    let body = removal("ada").to_string().into_bytes();
    let good = signed(TOKEN, now(), &body);
    let hex = good.trim_start_matches("v0=");
    let at = now().to_string();
    let mut bad: Vec<Vec<(&str, String)>> = vec![
        vec![],
        vec![("x-zm-signature", good.clone())],
        vec![("x-zm-request-timestamp", at.clone())],
        // Which of two counts would be a guess.
        vec![
            ("x-zm-signature", good.clone()),
            ("x-zm-signature", good.clone()),
            ("x-zm-request-timestamp", at.clone()),
        ],
        vec![
            ("x-zm-signature", good.clone()),
            ("x-zm-request-timestamp", at.clone()),
            ("x-zm-request-timestamp", at.clone()),
        ],
    ];
    for signature in [
        "",
        "v0=",
        hex,
        &format!("v1={hex}"),
        &format!("v0={}", hex.to_uppercase()),
        &format!("v0={hex}00"),
        good.strip_suffix(|_: char| true).unwrap(),
        &format!("v0={}", "g".repeat(64)),
    ] {
        bad.push(vec![
            ("x-zm-signature", signature.to_owned()),
            ("x-zm-request-timestamp", at.clone()),
        ]);
    }
    for timestamp in [
        "",
        "x",
        "-1",
        "+1",
        "1e9",
        "0x1",
        "99999999999999999999",
        &format!("{at}.0"),
    ] {
        let signature = ("x-zm-signature", good.clone());
        bad.push(vec![
            signature,
            ("x-zm-request-timestamp", timestamp.to_owned()),
        ]);
    }
    // Signed well, but long ago or in a while.
    for drift in [-3600, -302, 302, 3600] {
        bad.push(headers(TOKEN, now() + drift, &body).to_vec());
    }
    world.wire.reset();

    for headers in bad {
        let answer = post(&world, PATH, &headers, body.clone()).await;
        answer.expect_error(401, "FST_ERR_UNAUTHORIZED", REFUSED);
    }

    assert!(world.wire.calls().is_empty());
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");
    // Within the window it is believed.
    for drift in [-290, 290] {
        let headers = headers(TOKEN, now() + drift, &body);
        assert_eq!(post(&world, PATH, &headers, body.clone()).await.status, 204);
    }
}

#[tokio::test]
async fn the_signature_is_over_the_bytes_as_they_came() {
    let world = World::new().await;
    world.given_webhook().await;
    let id = world.given_user("desk").await;
    let body = serde_json::to_vec_pretty(&removal("ada")).unwrap();
    let compact = removal("ada").to_string().into_bytes();
    let at = now();

    for (signed_body, sent) in [(&body, &compact), (&compact, &body)] {
        let answer = post(&world, PATH, &headers(TOKEN, at, signed_body), sent.clone()).await;
        answer.expect_error(401, "FST_ERR_UNAUTHORIZED", REFUSED);
    }
    let mut longer = body.clone();
    longer.push(b'\n');
    let answer = post(&world, PATH, &headers(TOKEN, at, &body), longer).await;
    answer.expect_error(401, "FST_ERR_UNAUTHORIZED", REFUSED);
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");

    // In base64, as API Gateway may have it: the bytes under it are what was signed.
    let [_, signature, timestamp] = headers(TOKEN, at, &body);
    let event = json!({
        "httpMethod": "POST",
        "headers": { "X-Zm-Signature": signature.1, "X-Zm-Request-Timestamp": timestamp.1 },
        "pathParameters": { "client_id": CLIENT_ID },
        "body": STANDARD.encode(&body),
        "isBase64Encoded": true,
    });
    let dynamodb = world.dynamodb.clone();
    let credentials = Credentials::new(dynamodb.clone(), "credentials".to_owned());
    let secrets = Secrets::new(dynamodb.clone(), "secrets".to_owned());
    let events = Events::new(dynamodb, "events".to_owned(), RETENTION);
    let envelope = Envelope::new(
        world.kms_client().await,
        world.kms.default_key(),
        Secrets::NAME,
    );
    let opened = zoom_apps::webhook::Opened::default();
    let invoke = async |mut event: Value, encoded: bool| {
        event["isBase64Encoded"] = encoded.into();
        let event = LambdaEvent::new(serde_json::from_value(event).unwrap(), Context::default());
        let answer = runtime::invoke(zoom_apps::webhook::ROUTE, event, async |request| {
            zoom_apps::webhook::handle(
                &credentials,
                &secrets,
                &events,
                &envelope,
                &opened,
                WINDOW,
                &request,
            )
            .await
        });
        answer.await.status_code
    };
    assert_eq!(invoke(event.clone(), false).await, 400);
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");
    assert_eq!(invoke(event, true).await, 204);
    assert_destroyed(&world, &id).await;
}

#[tokio::test]
async fn what_is_no_event_of_this_app_is_refused_before_any_key_is_used() {
    let world = World::new().await;
    world.given_webhook().await;
    let id = world.given_user("desk").await;
    let of_other = with(removal("ada"), json!({}));
    let mut of_other = of_other;
    of_other["payload"]["client_id"] = json!("other-app");
    let mut nobodys = removal("ada");
    nobodys["payload"]
        .as_object_mut()
        .unwrap()
        .remove("user_id");
    let mut empty = removal("ada");
    empty["payload"]["user_id"] = json!("");
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"{}".to_vec(),
        b"{\"event\": 1}".to_vec(),
        b"\xff\xfe".to_vec(),
        br#"{"event":"app_deauthorized"}"#.to_vec(),
        br#"{"event":"endpoint.url_validation","payload":{}}"#.to_vec(),
        br#"{"event":"endpoint.url_validation","payload":{"plainToken":""}}"#.to_vec(),
        br#"{"event":"user.deleted","payload":{"object":{}}}"#.to_vec(),
        format!(
            r#"{{"event":{}1{}}}"#,
            "[".repeat(10_000),
            "]".repeat(10_000)
        )
        .into(),
        of_other.to_string().into(),
        nobodys.to_string().into(),
        empty.to_string().into(),
    ];
    world.wire.reset();

    for body in bodies {
        let answer = post(&world, PATH, &headers(TOKEN, now(), &body), body).await;
        answer.expect_code(400, "FST_ERR_VALIDATION");
    }
    let huge = vec![b' '; 256 * 1024 + 1];
    let answer = post(&world, PATH, &headers(TOKEN, now(), &huge), huge).await;
    answer.expect_code(413, "FST_ERR_CTP_BODY_TOO_LARGE");

    assert!(world.wire.calls().is_empty());
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");
}

#[tokio::test]
async fn an_event_acts_in_those_teams_alone_whose_own_secret_verifies_it() {
    let world = World::new().await;
    let (rival, third) = (
        world.caller("rival", Permission::Full).await,
        world.caller("third", Permission::Full).await,
    );
    world.given_webhook().await;
    rival
        .register(registration("rivals-own-token"))
        .await
        .expect(200);
    let given = async |caller: &Caller| {
        let body = user_body("desk", &world.code());
        id_of(&caller.create(body).await.expect(201))
    };
    let (ours, rivals, thirds) = (
        given(&world.acme).await,
        given(&rival).await,
        given(&third).await,
    );
    let states = async || {
        let mut states = Vec::new();
        for (caller, id) in [(&world.acme, &ours), (&rival, &rivals), (&third, &thirds)] {
            states.push(
                caller.get(id).await.expect(200)["state"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            );
        }
        states
    };

    // A rival signs with what the rival registered, and names what it likes.
    assert_eq!(
        tell_at(&world, PATH, "rivals-own-token", &removal("ada"))
            .await
            .status,
        204
    );
    assert_eq!(states().await, ["active", "invalid", "active"]);

    assert_eq!(tell(&world, &removal("ada")).await.status, 204);
    assert_eq!(states().await, ["invalid", "invalid", "active"]);
    assert!(world.changes_of(&third, &thirds).await.is_empty());

    // Two teams that hold the same app, both with Zoom's own token: both are told.
    rival.register(registration(TOKEN)).await.expect(200);
    third.register(registration(TOKEN)).await.expect(200);
    assert_eq!(tell(&world, &removal("ada")).await.status, 204);
    assert_eq!(states().await, ["invalid", "invalid", "invalid"]);
}

/// However often Zoom tells it again, that row is not readable; and the others are told.
#[tokio::test]
async fn a_teams_row_that_cannot_be_read_is_no_other_teams_trouble() {
    let world = World::new().await;
    world.given_webhook().await;
    let rows = world.items("secrets").await.into_iter();
    let mut rows = rows.filter(|row| row.contains_key("webhook_app"));
    let row = rows.next().unwrap();
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let row_of = |team: &str| {
        let mut row = row.clone();
        row.insert("team_id".to_owned(), text(team));
        let id = attribute(&row, "secret_id").replace("acme", team);
        row.insert("secret_id".to_owned(), text(&id));
        row
    };
    // One that was moved from another team, and one of no known shape.
    world.put("secrets", row_of("rival")).await;
    let mut shapeless = row_of("third");
    shapeless.remove("sealed");
    world.put("secrets", shapeless).await;

    let id = world.given_user("desk").await;
    assert_eq!(tell(&world, &removal("ada")).await.status, 204);
    assert_destroyed(&world, &id).await;
    // Where nobody believed it, it is ours to mend.
    let forged = tell_at(&world, PATH, "no-token", &removal("ada")).await;
    forged.expect_code(500, "FST_ERR_INTERNAL");
}

#[tokio::test]
async fn an_app_hears_of_its_own_users_and_of_no_other_app() {
    let world = World::new().await;
    world.zoom.register_app(local::zoom::App {
        client_id: "other-app".to_owned(),
        ..test_app()
    });
    world.given_webhook().await;
    let other = json!({ "client_secret": CLIENT_SECRET, "webhook_secret_token": "other-token" });
    world
        .acme
        .register_app("other-app", other)
        .await
        .expect(200);
    let id = world.given_user("desk").await;
    let of_other = with(
        removal("ada"),
        json!({ "payload": { "client_id": "other-app", "user_id": "ada" } }),
    );

    // Zoom tells the other app that ada left it.
    let path = "/webhooks/zoom/other-app";
    assert_eq!(
        tell_at(&world, path, "other-token", &of_other).await.status,
        204
    );
    // And somebody sends it on to this app's URL.
    let answer = tell_at(&world, PATH, "other-token", &of_other).await;
    answer.expect_code(400, "FST_ERR_VALIDATION");
    let answer = tell_at(&world, PATH, "other-token", &removal("ada")).await;
    answer.expect_error(401, "FST_ERR_UNAUTHORIZED", REFUSED);

    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

#[tokio::test]
async fn a_hundred_at_once_are_one_change_and_one_event() {
    let world = World::new().await;
    world.given_webhook().await;
    let id = world.given_user("desk").await;
    let version = |row: &crate::world::Item| attribute(row, "version").parse::<u64>().unwrap();
    let before = version(&world.row(&id).await);
    let event = removal("ada");
    world.wire.reset();

    let world = std::sync::Arc::new(world);
    let mut told = JoinSet::new();
    for _ in 0..100 {
        let (world, event) = (world.clone(), event.clone());
        told.spawn(async move {
            // Told again, as Zoom does: a hundred at once may be more than this machine answers in time.
            let mut status = tell(&world, &event).await.status;
            while matches!(status, 503 | 504) {
                status = tell(&world, &event).await.status;
            }
            status
        });
    }
    assert!(
        told.join_all()
            .await
            .into_iter()
            .all(|status| status == 204)
    );

    assert_destroyed(&world, &id).await;
    assert_eq!(version(&world.row(&id).await), before + 1);
    assert_eq!(
        world.changes_of(&world.acme, &id).await,
        [json!(["invalid", "deauthorized"])]
    );

    // And one who is told an hour later does nothing.
    let row = world.row(&id).await;
    world.wire.reset();
    assert_eq!(tell(&world, &event).await.status, 204);
    assert_eq!(world.row(&id).await, row);
    assert_eq!(
        world.wire.count(Service::Kms),
        0,
        "the secret token is open in memory"
    );
}

#[tokio::test]
async fn a_removal_is_nine_calls_one_after_another_and_none_to_zoom() {
    let world = World::new().await;
    world.given_webhook().await;
    world.given_user("desk").await;
    world.wire.reset();
    let calls = || -> Vec<String> {
        let calls = world.wire.calls().into_iter();
        calls.map(|call| call.operation).collect()
    };

    let event = removal("ada");
    assert_eq!(tell(&world, &event).await.status, 204);

    // The app's teams, its secret token; the user's credentials; the tokens, the event, and last the credential.
    let expected = [
        "Query",
        "GetItem",
        "Decrypt",
        "Query",
        "GetItem",
        "GetItem",
        "UpdateItem",
        "PutItem",
        "UpdateItem",
    ];
    assert_eq!(calls(), expected);
    world.wire.reset();
    assert_eq!(tell(&world, &event).await.status, 204);
    assert_eq!(calls(), ["Query", "GetItem", "Query", "GetItem", "GetItem"]);
    world.wire.reset();
    let forged = tell_at(&world, PATH, "another", &event).await;
    forged.expect_error(401, "FST_ERR_UNAUTHORIZED", REFUSED);
    assert_eq!(calls(), ["Query", "GetItem"]);
    world.wire.reset();
    let unknown = tell_at(
        &world,
        "/webhooks/zoom/other-app",
        TOKEN,
        &json!({ "event": "x" }),
    )
    .await;
    unknown.expect_error(401, "FST_ERR_UNAUTHORIZED", REFUSED);
    assert_eq!(calls(), ["Query"]);
}

#[tokio::test]
async fn what_a_user_authorized_since_is_not_destroyed() {
    let world = World::new().await;
    world.given_webhook().await;
    let id = world.given_user("desk").await;
    let late = removal("ada");
    next_millisecond().await;
    let again = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    world.acme.update(&id, again).await.expect(200);
    let row = world.row(&id).await;

    assert_eq!(tell(&world, &late).await.status, 204);

    assert_eq!(world.row(&id).await, row);
    mint_onbehalf(&world.acme, &id).await.expect(200);
    assert!(world.changes_of(&world.acme, &id).await.is_empty());
    // The time at the top counts where the payload has none, and where that has none either, when it was signed.
    let mut bare = late.clone();
    bare["payload"]
        .as_object_mut()
        .unwrap()
        .remove("deauthorization_time");
    assert_eq!(tell(&world, &bare).await.status, 204);
    assert_eq!(world.row(&id).await, row);
    bare.as_object_mut().unwrap().remove("event_ts");
    let body = bare.to_string().into_bytes();
    let told = post(&world, PATH, &headers(TOKEN, now() + 2, &body), body).await;
    assert_eq!(told.status, 204);
    assert_destroyed(&world, &id).await;
}

#[tokio::test]
async fn deleted_credentials_and_those_that_share_the_grant_lose_it_too() {
    let world = World::new().await;
    world.given_webhook().await;
    let deleted = world.given_user("deleted").await;
    let first = world.given_user("first").await;
    let second = world.given_user("second").await;
    // Two credentials on one grant, as after a new authorization of the pair.
    let shared = world.row(&first).await;
    let mut row = world.row(&second).await;
    for name in ["grant_id", "grant_authorized_at"] {
        row.insert(name.to_owned(), shared[name].clone());
    }
    world.put("credentials", row).await;
    world.acme.delete(&deleted).await.expect(200);
    let gone = world.row(&deleted).await;

    assert_eq!(tell(&world, &removal("ada")).await.status, 204);

    for id in [&deleted, &first, &second] {
        assert_destroyed(&world, id).await;
    }
    let row = world.row(&deleted).await;
    assert_eq!(
        (&row["deleted"], &row["purge_at"]),
        (&gone["deleted"], &gone["purge_at"])
    );
    assert_eq!(
        row["change"],
        AttributeValue::S("quiet".to_owned()),
        "it was said to be gone"
    );
    world
        .acme
        .get(&deleted)
        .await
        .expect_code(404, "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID");
}

#[tokio::test]
async fn a_refresh_under_way_brings_nothing_back() {
    let world = World::new().await;
    world.given_webhook().await;
    let id = world.given_user("desk").await;
    world.expire_access().await;
    let answered = world.wire.hold(Service::Zoom, "/oauth/token");
    let body = json!({ "credential_id": id, "type": "onbehalf" });
    let minting = world.invoke(Method::POST, "/v2/zoom-tokens", &body);
    world.wire.stalled().await;

    assert_eq!(tell(&world, &removal("ada")).await.status, 204);
    answered.notify_one();

    assert_eq!(minting.await.unwrap(), 409);
    assert_destroyed(&world, &id).await;
}

#[tokio::test]
async fn a_profile_that_is_being_read_brings_no_name_back() {
    let world = World::new().await;
    world.given_webhook().await;
    let id = world.given_user("desk").await;
    // The check has something to write.
    world.zoom.register_user(User {
        email: Some("countess@example.test".to_owned()),
        ..ada()
    });
    let read = world.wire.hold(Service::Zoom, "/v2/users/me");
    let path = format!("/v2/zoom-credentials/{id}/check");
    let checking = world.invoke(Method::POST, &path, &json!({}));
    world.wire.stalled().await;

    assert_eq!(tell(&world, &removal("ada")).await.status, 204);
    read.notify_one();

    checking.await.unwrap();
    assert_destroyed(&world, &id).await;
}

#[tokio::test]
async fn a_user_who_is_gone_keeps_the_grant_and_heals_when_back() {
    for (event, became) in [
        ("user.deactivated", "deactivated"),
        ("user.deleted", "deleted"),
    ] {
        let world = World::new().await;
        world.given_webhook().await;
        let id = world.given_user("desk").await;
        let early = Timestamp::now().minus(Duration::from_hours(1));

        // Before the user authorized: another life.
        assert_eq!(
            tell(&world, &departure(event, "ada", early)).await.status,
            204
        );
        assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");
        let other = departure(event, "somebody", Timestamp::now());
        assert_eq!(tell(&world, &other).await.status, 204);
        assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");

        let gone = departure(event, "ada", Timestamp::now());
        for _ in 0..2 {
            assert_eq!(tell(&world, &gone).await.status, 204);
        }
        let shown = world.acme.get(&id).await.expect(200);
        assert_eq!(
            json!([
                shown["state"],
                shown["last_error_message"],
                shown["zoom_email"]
            ]),
            json!([
                "invalid",
                format!("user_gone: Zoom says that the user was {became}"),
                "ada@example.test"
            ])
        );
        assert!(world.has_tokens(&world.grant_of(&id).await).await);
        assert_eq!(
            world.changes_of(&world.acme, &id).await,
            [json!(["invalid", "user_gone"])]
        );

        mint_onbehalf(&world.acme, &id).await.expect(200);
        assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");
    }
}

#[tokio::test]
async fn what_nobody_here_acts_on_is_heard_and_changes_nothing() {
    let world = World::new().await;
    world.given_webhook().await;
    world.given_user("desk").await;
    let tables = async || {
        [
            world.contents("credentials").await,
            world.contents("secrets").await,
            world.contents("events").await,
        ]
    };
    let before = tables().await;

    for event in [
        json!({ "event": "meeting.started", "event_ts": 1, "payload": { "object": { "id": "ada" } } }),
        json!({ "event": "user.activated", "payload": { "object": { "id": "ada" } } }),
        json!({ "event": "", "payload": null }),
        json!({ "event": "no payload" }),
        removal("somebody"),
    ] {
        assert_eq!(tell(&world, &event).await.status, 204, "{event}");
    }

    let deep = format!(
        r#"{{"event":"x","payload":{}1{}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let headers = headers(TOKEN, now(), deep.as_bytes());
    assert_eq!(post(&world, PATH, &headers, deep.into()).await.status, 204);

    assert_eq!(tables().await, before);
    // Zoom does not say whose these are, unless the sender shows the secret.
    let event = json!({ "event": "meeting.started" });
    let answer = tell_at(&world, PATH, "another", &event).await;
    answer.expect_error(401, "FST_ERR_UNAUTHORIZED", REFUSED);
}

#[tokio::test]
async fn a_storm_of_forgeries_is_none_at_kms_and_a_new_token_counts_at_once() {
    let world = World::new().await;
    world.given_webhook().await;
    let id = world.given_user("desk").await;
    world.wire.reset();

    for n in 0..50 {
        let answer = tell_at(&world, PATH, &format!("guess {n}"), &removal("ada")).await;
        answer.expect_error(401, "FST_ERR_UNAUTHORIZED", REFUSED);
    }
    assert_eq!(world.wire.operations(Service::Kms), ["Decrypt"]);

    world
        .acme
        .register(registration("a-new-token"))
        .await
        .expect(200);
    let old = tell(&world, &removal("ada")).await;
    old.expect_error(401, "FST_ERR_UNAUTHORIZED", REFUSED);
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");
    let new = tell_at(&world, PATH, "a-new-token", &removal("ada")).await;
    assert_eq!(new.status, 204);
    world.acme.forget().await.expect(200);
    let gone = tell_at(&world, PATH, "a-new-token", &removal("ada")).await;
    gone.expect_error(401, "FST_ERR_UNAUTHORIZED", REFUSED);
}

#[tokio::test]
async fn what_cannot_be_done_now_is_told_again_and_done_then() {
    let world = World::new().await;
    world.given_webhook().await;
    let id = world.given_user("desk").await;
    let event = removal("ada");

    world.kms.fail_next(usize::MAX, Failure::Throttling);
    tell(&world, &event)
        .await
        .expect_code(503, "FST_ERR_UNAVAILABLE");
    world.kms.heal();
    let down = Fault::Answer(StatusCode::INTERNAL_SERVER_ERROR, "{}".to_owned());
    world.wire.break_service(Service::DynamoDb, down);
    tell(&world, &event)
        .await
        .expect_code(503, "FST_ERR_UNAVAILABLE");
    world.wire.heal();
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");

    // Zoom does not get tired at once.
    let url = world.acme.address(PATH).parse().unwrap();
    let secret_token = TOKEN.to_owned();
    world
        .zoom
        .set_webhook(CLIENT_ID, Webhook { url, secret_token });
    for operation in ["Query", "PutItem"] {
        // As often as the SDK tries.
        for _ in 0..3 {
            let down = Fault::Answer(StatusCode::INTERNAL_SERVER_ERROR, "{}".to_owned());
            world.wire.inject_once(Service::DynamoDb, operation, down);
        }
    }
    let delivery = world.zoom.deauthorize(CLIENT_ID, "ada").await.unwrap();
    assert!(
        delivery.heard && delivery.attempts.len() > 1,
        "{delivery:?}"
    );
    assert_destroyed(&world, &id).await;
    assert_eq!(
        world.changes_of(&world.acme, &id).await,
        [json!(["invalid", "deauthorized"])]
    );
}

#[tokio::test]
async fn a_crash_anywhere_is_made_good_when_zoom_tells_it_again() {
    for n in 1.. {
        let world = World::new().await;
        world.given_webhook().await;
        let ids = [
            world.given_user("first").await,
            world.given_user("second").await,
        ];
        world.zoom.remove_app(CLIENT_ID, "ada");
        let event = removal("ada").to_string().into_bytes();
        let mut request = axum::http::Request::builder()
            .method(Method::POST)
            .uri(PATH);
        for (name, value) in headers(TOKEN, now(), &event) {
            request = request.header(name, value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let (gateway, body) = (world.gateway.clone(), event.clone());
        world.wire.reset();
        world.wire.inject_nth(n, Fault::Stall);
        let mut invocation =
            tokio::spawn(async move { gateway.answer(parts, body).await.status().as_u16() });
        let crashed = tokio::select! {
            () = world.wire.stalled() => true,
            status = &mut invocation => {
                assert_eq!(status.unwrap(), 204);
                false
            }
        };
        world.wire.heal();
        if !crashed {
            assert!(n > 10, "{n}");
            break;
        }
        invocation.abort();
        assert!(invocation.await.unwrap_err().is_cancelled());
        // Whoever mints in between hears it from Zoom, or from the row.
        let minted = mint_onbehalf(&world.acme, &ids[0]).await;
        minted.expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");

        let again = headers(TOKEN, now(), &event);
        assert_eq!(post(&world, PATH, &again, event).await.status, 204);
        for id in &ids {
            assert_destroyed(&world, id).await;
            let changes = world.changes_of(&world.acme, id).await;
            let told = changes.iter().filter(|it| it[1] == "deauthorized").count();
            assert!(
                (1..=2).contains(&told) && changes.iter().all(|it| it[0] == "invalid"),
                "{changes:?}"
            );
            let refused = mint_onbehalf(&world.acme, id).await;
            assert_eq!(
                refused.json()["details"],
                "deauthorized",
                "{}",
                refused.text
            );
        }
    }
}

#[test]
fn no_header_and_no_body_makes_a_reader_panic() {
    let secret = WebhookSecret::try_from(TOKEN.to_owned()).unwrap();
    let config = Config {
        rng_seed: RngSeed::Fixed(25),
        failure_persistence: None,
        cases: 4096,
        ..Config::default()
    };
    let near = |seed: &'static str| {
        let edits =
            proptest::collection::vec((any::<proptest::sample::Index>(), any::<char>()), 0..4);
        edits.prop_map(move |edits| {
            let mut text: Vec<char> = seed.chars().collect();
            for (at, character) in edits {
                let at = at.index(text.len());
                text[at] = character;
            }
            text.into_iter().collect::<String>()
        })
    };
    let signature = near("v0=77b4b4c6bd9d66ee3b0e7d1ed1bfc1f5d3b0b0d2d5a1fb4de2f4d7ce3a1f1a90");
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        near(
            r#"{"event":"app_deauthorized","event_ts":1,"payload":{"client_id":"a","user_id":"b"}}"#
        )
        .prop_map(String::into_bytes),
        near(r#"{"event":"user.deleted","payload":{"object":{"id":"b"},"event_ts":9e99}}"#)
            .prop_map(String::into_bytes),
        near(r#"{"event":"endpoint.url_validation","payload":{"plainToken":"x"}}"#)
            .prop_map(String::into_bytes),
    ];
    let inputs = (
        signature,
        prop_oneof![near("1700000000"), any::<String>()],
        body,
    );
    let law = |(signature, timestamp, body): (String, String, Vec<u8>)| {
        if let Some(signature) = Signature::parse(&signature, &timestamp) {
            prop_assert!(timestamp.bytes().all(|byte| byte.is_ascii_digit()));
            prop_assert!(!signature.verifies(&secret, &body));
            signature.is_fresh(Timestamp::now(), WINDOW);
            signature.is_fresh(Timestamp::from_millis(i64::MIN), Duration::MAX);
        }
        if let Ok(Notice::Deauthorized {
            client_id, user_id, ..
        }) = Notice::parse(&body)
        {
            prop_assert!(
                (1..=256).contains(&client_id.len()) && (1..=256).contains(&user_id.len())
            );
        }
        Ok(())
    };
    TestRunner::new(config).run(&inputs, law).unwrap();
}

#[tokio::test]
async fn nothing_that_zoom_could_sign_is_a_500() {
    let world = World::new().await;
    world.given_webhook().await;
    world.given_user("desk").await;
    let odd = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!("x".repeat(300)),
        json!("\u{0}\u{202e}"),
        json!([]),
        json!({ "id": {} }),
        json!(i64::MAX),
        json!(i64::MIN),
        json!("9999-12-31T23:59:59Z"),
        json!("0000-01-01T00:00:00Z"),
    ];
    let places = [
        "/event",
        "/event_ts",
        "/payload",
        "/payload/account_id",
        "/payload/user_id",
        "/payload/client_id",
        "/payload/deauthorization_time",
        "/payload/object",
        "/payload/object/id",
        "/payload/plainToken",
    ];
    for event in [
        "app_deauthorized",
        "user.deleted",
        "endpoint.url_validation",
    ] {
        for place in places {
            for value in &odd {
                let mut told = removal("nobody");
                told["event"] = json!(event);
                told["payload"]["object"] = json!({ "id": "nobody" });
                told["payload"]["plainToken"] = json!("plain");
                *told.pointer_mut(place).unwrap() = value.clone();
                let status = tell(&world, &told).await.status;
                assert!(
                    matches!(status, 200 | 204 | 400),
                    "{status} for {place} {value}"
                );
            }
        }
    }
    // And where there is a user to find.
    for (place, value) in [
        ("/payload/deauthorization_time", 5),
        ("/payload/deauthorization_time", 10),
    ]
    .into_iter()
    .flat_map(|(place, at)| odd.iter().skip(at).take(1).map(move |value| (place, value)))
    {
        let mut told = removal("ada");
        *told.pointer_mut(place).unwrap() = value.clone();
        assert_eq!(tell(&world, &told).await.status, 204);
    }
}
