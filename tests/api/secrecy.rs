//! Secrets go to Zoom and into the table of secrets, sealed. Canaries are looked for everywhere else.

use std::cell::RefCell;
use std::io::Write;
use std::process::Command;
use std::sync::{Arc, Mutex, Once};

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use functions::metrics::EmbeddedMetrics;
use functions::runtime;
use lambda_http::{Context, LambdaEvent};
use local::kms::Failure;
use local::zoom::{App, Consent, Endpoint, Fault, FaultKind, Reply};
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use shared::secret::{AppCredentials, AuthorizationCode, ClientSecret, Plaintext, TokenPair};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};
use url::form_urlencoded;

use crate::envelope;
use crate::proxy::{self, Service};
use crate::webhooks;
use crate::world::{Answer, REDIRECT_URI, SCOPES, World, send};

const APP: &str = "canary-app";
/// Encoded, every one of its parts changes.
const CLIENT_SECRET: &str = "canary client+secret/of é the app";

/// What Zoom signs the app's webhooks with.
const SECRET_TOKEN: &str = "canary webhook+token/of é the app";

/// What must not be found, and what it is.
struct Canary {
    name: String,
    forms: Vec<String>,
}

impl Canary {
    /// A secret as it is, in base64 at each of the three offsets, in hex, URL-encoded, and its first characters.
    fn new(name: &str, secret: &str) -> Self {
        let mut forms = vec![
            secret.to_owned(),
            secret.chars().take(12).collect(),
            form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
            form_urlencoded::byte_serialize(secret.as_bytes())
                .collect::<String>()
                .replace('+', "%20"),
            hex(secret.as_bytes()),
            hex(secret.as_bytes()).to_uppercase(),
        ];
        for offset in 0..3 {
            let padded = [&vec![0; offset], secret.as_bytes()].concat();
            let encoded = STANDARD.encode(padded);
            // Without the characters that hold bits of what stands before and after.
            let end = encoded.trim_end_matches('=').len() - 1;
            let inner = encoded.get(2 * offset..end).unwrap();
            forms.push(inner.to_owned());
            forms.push(inner.replace('+', "-").replace('/', "_"));
        }
        Self {
            name: name.to_owned(),
            forms,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

#[track_caller]
fn assert_absent(canaries: &[Canary], place: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for canary in canaries {
        for form in &canary.forms {
            let found = text.contains(form);
            assert!(!found, "{} is in {place}, as {form:?}", canary.name);
        }
    }
}

thread_local! {
    /// What this thread's log is written to, and from which level up. A test has its thread to itself.
    static RECORDING: RefCell<Option<(Level, Log)>> = const { RefCell::new(None) };
}

/// Everything that is logged on this thread while it is recorded.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

/// Ends the recording when it goes.
struct Recording;

impl Drop for Recording {
    fn drop(&mut self) {
        RECORDING.set(None);
    }
}

impl Log {
    /// Logs as the functions do, into this, until the guard is dropped.
    ///
    /// One subscriber serves all tests: those that come and go with a thread make `tracing` forget, for moments,
    /// what other threads want to hear.
    fn record(&self, level: Level) -> Recording {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            let heard = |metadata: &Metadata<'_>| {
                RECORDING.with_borrow(|it| {
                    it.as_ref()
                        .is_some_and(|(level, _)| metadata.level() <= level)
                })
            };
            let format = EmbeddedMetrics::new(Some("f".to_owned()));
            let lines = fmt::layer().event_format(format).with_writer(|| {
                RECORDING
                    .with_borrow(|it| it.as_ref().map(|(_, log)| log.clone()).unwrap_or_default())
            });
            let filter = dynamic_filter_fn(move |metadata, _| heard(metadata));
            tracing_subscriber::registry()
                .with(lines.with_filter(filter))
                .init();
        });
        RECORDING.set(Some((level, self.clone())));
        Recording
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    /// The lines that are about a request.
    fn requests(&self) -> Vec<Value> {
        let lines: Vec<Value> = String::from_utf8(self.bytes())
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        lines
            .into_iter()
            .filter(|line| line.get("route").is_some())
            .collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Every attribute of every row of every table, text as text and bytes as bytes.
async fn dump(world: &World) -> Vec<u8> {
    let mut dump = Vec::new();
    for table in ["credentials", "secrets", "keys", "requests", "token-urls"] {
        let answer = world.dynamodb.scan().table_name(table).send().await;
        let rows = answer.unwrap().items.unwrap();
        assert!(!rows.is_empty(), "{table}");
        for (name, value) in rows.into_iter().flatten() {
            dump.extend(name.as_bytes());
            if let AttributeValue::B(bytes) = &value {
                dump.extend(bytes.as_ref());
            }
            dump.extend(format!("{value:?}").as_bytes());
            dump.push(b'\n');
        }
    }
    dump
}

/// What a round of calls met.
struct Round {
    world: World,
    answers: Vec<Answer>,
    /// How many answers more there were, in which secrets belong.
    bots: usize,
    canaries: Vec<Canary>,
}

impl Round {
    async fn new() -> Self {
        let world = World::new().await;
        world.zoom.register_app(App {
            client_id: APP.to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            redirect_uris: vec![REDIRECT_URI.to_owned()],
            scopes: SCOPES.iter().map(ToString::to_string).collect(),
        });
        let random = world.acme.key().strip_prefix("zcv_acme_").unwrap();
        let canaries = vec![
            Canary::new("the client secret", CLIENT_SECRET),
            Canary::new("the webhooks' secret token", SECRET_TOKEN),
            Canary::new("the API key", world.acme.key()),
            Canary::new("the API key's random part", random),
        ];
        Self {
            world,
            answers: Vec::new(),
            bots: 0,
            canaries,
        }
    }

    fn code(&mut self) -> String {
        let consent = Consent {
            client_id: APP.to_owned(),
            redirect_uri: REDIRECT_URI.to_owned(),
            user_id: "ada".to_owned(),
            scopes: None,
            code_challenge: None,
        };
        let code = self.world.zoom.authorize(consent).unwrap();
        self.canaries.push(Canary::new("a code", &code));
        code
    }

    fn body(&mut self) -> Value {
        json!({
            "name": "canary",
            "client_id": APP,
            "client_secret": CLIENT_SECRET,
            "authorization_code": self.code(),
            "redirect_uri": REDIRECT_URI,
        })
    }

    fn saw(&mut self, status: u16, answer: Answer) -> Answer {
        assert_eq!(answer.status, status, "{}", answer.text);
        self.answers.push(answer.clone());
        answer
    }

    async fn create(&mut self, status: u16, body: Value) -> Answer {
        let answer = self.world.acme.create(body).await;
        self.saw(status, answer)
    }

    /// Sent with the canaries where they do not belong.
    async fn raw(&mut self, status: u16, method: Method, path: &str, body: String) {
        let request = self.world.acme.request(method, path);
        let request = request.header("content-type", "application/json");
        let answer = send(request.body(body)).await;
        self.saw(status, answer);
    }

    async fn successes(&mut self) -> String {
        let body = self.body();
        let created = self.create(201, body).await.json();
        let id = created["data"]["credential_id"]
            .as_str()
            .unwrap()
            .to_owned();
        let app = json!({ "name": "app", "client_id": APP, "client_secret": CLIENT_SECRET });
        self.create(201, app).await;
        for query in ["", "?name=canary&limit=1"] {
            let answer = self.world.acme.list(query).await;
            self.saw(200, answer);
        }
        let answer = self.world.acme.get(&id).await;
        self.saw(200, answer);
        // Re-authorized with the stored client secret, and with one that is sent.
        let code = self.code();
        let stored = json!({ "authorization_code": code, "redirect_uri": REDIRECT_URI });
        let sent = self.body();
        for body in [json!({ "name": "again" }), stored, sent] {
            let answer = self.world.acme.update(&id, body).await;
            self.saw(200, answer);
        }
        id
    }

    /// Token URLs, whose secret stands in their path, and a token that one of them gave.
    async fn bots(&mut self, id: &str) {
        let url = self.world.given_url(id, json!({ "type": "zak" })).await;
        let token = url.token().to_owned();
        let random = token.get(47..90).unwrap();
        self.canaries.push(Canary::new("a URL's token", &token));
        self.canaries.push(Canary::new("its random part", random));
        let cut = token.get(1..).unwrap();
        for (status, method, token) in [
            (200, Method::GET, &*token),
            (200, Method::POST, &token),
            (404, Method::GET, cut),
            (404, Method::POST, cut),
            (405, Method::PUT, &token),
        ] {
            let url = url.url.replace(url.token(), token);
            let request = self
                .world
                .acme
                .http()
                .request(method, format!("{url}?bot_id=b"));
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), status);
            assert!(!format!("{:?}", answer.headers()).contains(random));
            let text = answer.text().await.unwrap();
            assert!(!text.contains(random));
            if status == 200 {
                let text = text
                    .rsplit_once(r#""token":""#)
                    .map_or(&*text, |(_, it)| it);
                self.canaries
                    .push(Canary::new("a bot's token", text.trim_end_matches("\"}")));
            }
            self.bots += 1;
        }
        let answer = self.world.acme.urls(id, "").await;
        self.saw(200, answer);
        let answer = self.world.acme.delete_url(id, &url.id).await;
        self.saw(200, answer);
        // It made the URL.
        self.bots += 1;
    }

    /// The app's webhooks, and a rotation of its secret.
    async fn webhooks(&mut self) {
        let body = json!({ "client_secret": CLIENT_SECRET, "webhook_secret_token": SECRET_TOKEN });
        let too_long = SECRET_TOKEN.repeat(20);
        let bad = json!({ "client_secret": CLIENT_SECRET, "webhook_secret_token": too_long });
        let wrong = json!({ "client_secret": SECRET_TOKEN, "webhook_secret_token": SECRET_TOKEN });
        for (status, body) in [(200, body), (400, bad), (409, wrong)] {
            let answer = self.world.acme.register_app(APP, body).await;
            self.saw(status, answer);
        }
        let path = format!("/webhooks/zoom/{APP}");
        let challenge =
            json!({ "event": "endpoint.url_validation", "payload": { "plainToken": "p" } });
        for (status, token, event) in [
            (200, SECRET_TOKEN, challenge.clone()),
            (401, "another", challenge),
            (204, SECRET_TOKEN, json!({ "event": "meeting.started" })),
            (400, SECRET_TOKEN, json!(SECRET_TOKEN)),
        ] {
            let answer = webhooks::tell_at(&self.world, &path, token, &event).await;
            self.saw(status, answer);
        }
        for (status, secret) in [(200, CLIENT_SECRET), (409, SECRET_TOKEN)] {
            let path = format!("/v2/zoom-apps/{APP}/rotate-secret");
            let body = json!({ "client_secret": secret }).to_string();
            self.raw(status, Method::POST, &path, body).await;
        }
    }

    /// A user's way to Zoom and back: refused, echoed at by Zoom, and at last connected. The link, the state and the cookie
    /// are each where they belong once.
    async fn connects(&mut self) {
        let callback = self.world.acme.address("/connect/callback");
        self.world.zoom.register_app(App {
            client_id: APP.to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            redirect_uris: vec![REDIRECT_URI.to_owned(), callback.clone()],
            scopes: SCOPES.iter().map(ToString::to_string).collect(),
        });
        let body = json!({ "name": "canary", "client_id": APP, "client_secret": CLIENT_SECRET });
        let request = self
            .world
            .acme
            .request(Method::POST, "/v2/zoom-connect-sessions");
        let made = send(request.json(&body)).await.expect(201);
        self.bots += 1;
        let link = made["connect_url"].as_str().unwrap().to_owned();
        let token = link.rsplit('/').next().unwrap();
        // The session's id stands in it, which is no secret.
        self.canaries.push(Canary::new(
            "a link's random part",
            token.get(26..).unwrap(),
        ));
        let http = self.world.acme.http().clone();
        for last in [false, true] {
            let page = http.get(&link).send().await.unwrap();
            assert_absent(
                &self.canaries,
                "the page",
                page.text().await.unwrap().as_bytes(),
            );
            let page = http.post(&link).send().await.unwrap();
            let cookie = page.headers()["set-cookie"].to_str().unwrap();
            let cookie = cookie.split(';').next().unwrap().to_owned();
            let page = page.text().await.unwrap();
            let address = page
                .split("href=\"")
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap();
            let address: url::Url = address.replace("&#38;", "&").parse().unwrap();
            let asked = |name: &str| {
                let found = address.query_pairs().find(|(asked, _)| asked == name);
                found.unwrap().1.into_owned()
            };
            let state = asked("state");
            let code = self.world.zoom.authorize(Consent {
                client_id: APP.to_owned(),
                redirect_uri: callback.clone(),
                user_id: "ada".to_owned(),
                scopes: None,
                code_challenge: Some(asked("code_challenge")),
            });
            let code = code.unwrap();
            self.canaries.push(Canary::new("a code", &code));
            self.canaries.push(Canary::new(
                "a state's random part",
                state.get(26..).unwrap(),
            ));
            self.canaries.push(Canary::new(
                "a browser's key",
                cookie.split_once('=').unwrap().1,
            ));
            if !last {
                let echo = format!("no such code: {code}, {CLIENT_SECRET}, {cookie}, {state}");
                self.world.zoom.inject(Fault::once(
                    Endpoint::Token,
                    FaultKind::ReplyBefore(Reply {
                        status: StatusCode::BAD_REQUEST,
                        retry_after: None,
                        body: Some(json!({ "error": "invalid_grant", "reason": echo }).to_string()),
                    }),
                ));
            }
            let back = format!("{callback}?code={code}&state={state}");
            let (cut, _) = state.split_at(60);
            let status = if last { 200 } else { 400 };
            for (status, url, cookie) in [
                (403, format!("{callback}?code={code}&state={cut}"), &*cookie),
                (403, back.clone(), "theme=dark"),
                (status, back, &cookie),
            ] {
                let answer = http.get(url).header("cookie", cookie).send().await.unwrap();
                assert_eq!(answer.status(), status);
                let headers = format!("{:?}", answer.headers());
                assert_absent(&self.canaries, "a header", headers.as_bytes());
                let text = answer.text().await.unwrap();
                assert_absent(&self.canaries, "a page", text.as_bytes());
            }
            self.bots += 5;
        }
    }

    async fn refusals(&mut self, id: &str) {
        let path = format!("/v2/zoom-credentials/{id}");
        let body = self.body();
        let code = body["authorization_code"].as_str().unwrap().to_owned();
        let long = CLIENT_SECRET.repeat(20);
        for (at, value) in [
            ("name", json!(long)),
            ("name", json!([CLIENT_SECRET])),
            ("client_id", json!(long)),
            ("client_secret", json!(long)),
            ("client_secret", json!({ CLIENT_SECRET: CLIENT_SECRET })),
            ("redirect_uri", json!(format!("{CLIENT_SECRET} {code}"))),
            ("authorization_code", json!(code.repeat(100))),
            ("extra", json!(CLIENT_SECRET)),
        ] {
            let mut bad = body.clone();
            bad[at] = value;
            self.create(400, bad).await;
        }
        let cut = body.to_string();
        for text in [
            cut.strip_suffix('}').unwrap(),
            CLIENT_SECRET,
            &json!(CLIENT_SECRET).to_string(),
        ] {
            self.raw(400, Method::POST, "/v2/zoom-credentials", text.to_owned())
                .await;
            self.raw(400, Method::PATCH, &path, text.to_owned()).await;
        }
        let encoded: String = form_urlencoded::byte_serialize(CLIENT_SECRET.as_bytes()).collect();
        for query in ["state", "credential_type", "extra", "cursor", "limit"] {
            let path = format!("/v2/zoom-credentials?{query}={encoded}");
            self.raw(400, Method::GET, &path, String::new()).await;
        }
        let answer = self.world.acme.get(&encoded).await;
        self.saw(400, answer);
        let shape = self.world.acme.key().to_owned();
        for key in [CLIENT_SECRET.replace('é', "e"), shape.to_uppercase()] {
            let answer = self.world.stranger(&key).list("").await;
            self.saw(401, answer);
        }
    }

    /// Zoom refuses, and says whatever it was told.
    async fn echoes(&mut self) {
        for form in 0..7 {
            let body = self.body();
            let code = body["authorization_code"].as_str().unwrap().to_owned();
            let basic = STANDARD.encode(format!("{APP}:{CLIENT_SECRET}"));
            let echo = match form {
                0 => code.clone(),
                1 => CLIENT_SECRET.to_owned(),
                2 => format!("Authorization: Basic {basic}"),
                3 => hex(code.as_bytes()),
                4 => form_urlencoded::Serializer::new(String::new())
                    .append_pair("client_secret", CLIENT_SECRET)
                    .finish(),
                5 => STANDARD.encode(format!("code={code}")),
                // Whole again once what cannot be printed is left out.
                _ => CLIENT_SECRET.split("").collect::<Vec<_>>().join("\u{7}"),
            };
            for reply in [
                json!({ "error": "invalid_grant", "reason": format!("no such code: {echo}") }),
                json!({ "error": echo, "error_description": echo, "message": echo, "code": 4735 }),
                json!({ "error": "invalid_client", "message": echo }),
            ] {
                self.world.zoom.inject(Fault::once(
                    Endpoint::Token,
                    FaultKind::ReplyBefore(Reply {
                        status: StatusCode::BAD_REQUEST,
                        retry_after: None,
                        body: Some(reply.to_string()),
                    }),
                ));
                let answer = self.create(400, body.clone()).await;
                answer.expect_code(400, "FST_ERR_ZOOM_CODE_EXCHANGE_FAILED");
            }
        }
    }

    /// The vault's own surroundings fail; each cause is logged.
    async fn outages(&mut self) {
        let zoom = [
            (FaultKind::Garbage, 502),
            (FaultKind::Truncate, 502),
            (FaultKind::DropAfter, 502),
            (FaultKind::Huge { megabytes: 1 }, 502),
            (
                FaultKind::ReplyAfter(Reply::status(StatusCode::BAD_GATEWAY)),
                502,
            ),
            (
                FaultKind::ReplyAfter(Reply::status(StatusCode::TOO_MANY_REQUESTS)),
                503,
            ),
        ];
        for (kind, status) in zoom {
            self.world.zoom.inject(Fault::once(Endpoint::Token, kind));
            let body = self.body();
            self.create(status, body).await;
        }
        // The code is good, and the profile is not to be had.
        for kind in [FaultKind::Garbage, FaultKind::DropAfter] {
            self.world.zoom.inject(Fault::once(Endpoint::Profile, kind));
            let body = self.body();
            self.create(201, body).await;
        }
        self.world.kms.fail_next(usize::MAX, Failure::Throttling);
        let body = self.body();
        self.create(503, body).await;
        self.world.kms.stop_failing();

        let down = proxy::Fault::Answer(StatusCode::BAD_REQUEST, "{}".to_owned());
        self.world.wire.break_service(Service::DynamoDb, down);
        let body = self.body();
        self.create(500, body).await;
        self.world.wire.heal();
    }

    /// What was in the tables: both tokens of every grant, and every data key.
    #[expect(
        clippy::disallowed_methods,
        reason = "what is looked for must be known"
    )]
    async fn learn_what_is_sealed(&mut self, grants: usize) {
        let mut opened = 0;
        for (id, key, text) in envelope::open_all(&self.world).await {
            self.canaries.push(Canary::new(
                &format!("the data key of {id}"),
                &STANDARD.encode(key),
            ));
            if id.starts_with("grant#") {
                let pair = TokenPair::try_from(text).unwrap();
                let (access, refresh) = (pair.access.expose_secret(), pair.refresh.expose_secret());
                self.canaries.push(Canary::new("an access token", access));
                self.canaries.push(Canary::new("a refresh token", refresh));
                opened += 1;
            }
        }
        assert_eq!(opened, grants);
    }
}

#[tokio::test]
async fn no_secret_is_in_any_answer_log_line_table_or_url() {
    let log = Log::default();
    let recording = log.record(Level::INFO);
    let mut round = Round::new().await;
    let id = round.successes().await;
    round.bots(&id).await;
    round.webhooks().await;
    round.connects().await;
    round.refusals(&id).await;
    round.echoes().await;
    round.outages().await;
    let answer = round.world.acme.delete(&id).await;
    round.saw(200, answer);
    drop(recording);
    round.learn_what_is_sealed(6).await;

    assert!(round.answers.len() > 50);
    for answer in &round.answers {
        assert_absent(&round.canaries, "a body", answer.text.as_bytes());
        let headers = format!("{:?}", answer.headers);
        assert_absent(&round.canaries, "a header", headers.as_bytes());
    }
    // One line a request, more where something failed.
    assert_eq!(log.requests().len(), round.answers.len() + round.bots);
    assert_absent(&round.canaries, "the log", &log.bytes());
    assert_absent(&round.canaries, "a table", &dump(&round.world).await);
    let calls = round.world.wire.calls();
    for call in calls.iter().filter(|call| call.service == Service::Zoom) {
        assert_absent(&round.canaries, "a URL", call.target.as_bytes());
    }
}

/// `AWS_LAMBDA_LOG_LEVEL` is the operator's to set, and what the libraries say then is not ours to choose.
#[tokio::test]
async fn no_secret_is_logged_at_any_level() {
    let log = Log::default();
    let mut round = Round::new().await;
    let recording = log.record(Level::TRACE);
    let id = round.successes().await;
    round.bots(&id).await;
    round.webhooks().await;
    round.connects().await;
    let answer = round.world.acme.delete(&id).await;
    round.saw(200, answer);
    drop(recording);
    round.learn_what_is_sealed(4).await;
    assert!(log.bytes().len() > 10_000);
    assert_absent(&round.canaries, "the log", &log.bytes());
}

/// Does not compile where `$type` implements `$trait`.
macro_rules! assert_is_not {
    ($($trait:path),+ => $($type:ty),+ $(,)?) => { assert_is_not!(@each [$($trait),+] $($type),+) };
    (@each $traits:tt $($type:ty),+) => { $(assert_is_not!(@one $type, $traits);)+ };
    (@one $type:ty, [$($trait:path),+]) => { $({
        trait Either<Which> {
            fn is_unambiguous() {}
        }
        struct Implements;
        impl<T: ?Sized> Either<()> for T {}
        impl<T: ?Sized + $trait> Either<Implements> for T {}
        <$type as Either<_>>::is_unambiguous();
    })+ };
}

#[test]
fn secret_types_can_be_neither_serialized_nor_displayed_nor_compared() {
    assert_is_not!(
        serde::Serialize, std::fmt::Display, PartialEq, Into<String>, AsRef<str>, AsRef<[u8]> =>
        ClientSecret,
        AuthorizationCode,
        TokenPair,
        AppCredentials,
        Plaintext,
        shared::secret::WebhookSecret,
        shared::api_key::ApiKey,
        shared::token_url::UrlToken,
        shared::connect::LinkToken,
        shared::connect::OAuthState,
        shared::connect::BrowserKey,
        shared::secret::CodeVerifier,
        shared::secret::SessionSecret,
        shared::envelope::DataKey,
        shared::zoom::Tokens,
        functions::http::request::Request,
    );
}

#[tokio::test]
async fn debug_shows_no_secret() {
    let world = World::new().await;
    let secret = || ClientSecret::try_from(CLIENT_SECRET.to_owned()).unwrap();
    let app = AppCredentials {
        client_id: APP.to_owned().try_into().unwrap(),
        client_secret: secret(),
    };
    let pair = TokenPair {
        access: CLIENT_SECRET.to_owned().into(),
        refresh: CLIENT_SECRET.to_owned().into(),
    };
    let code = AuthorizationCode::try_from(CLIENT_SECRET.to_owned()).unwrap();
    let key: shared::api_key::ApiKey = shared::api_key::ApiKey::parse(world.acme.key()).unwrap();
    let shown = format!(
        "{:?} {:#?} {:?} {:#?} {:?} {:?} {:?} {:?}",
        secret(),
        app,
        pair,
        code,
        key,
        Plaintext::from(&secret()),
        Plaintext::new(CLIENT_SECRET.into()),
        world.gateway,
    );
    for word in [
        "REDACTED",
        "ClientSecret",
        "AppCredentials",
        "TokenPair",
        "Plaintext",
        "ApiKey",
    ] {
        assert!(shown.contains(word), "{shown}");
    }
    let canaries = [
        Canary::new("the client secret", CLIENT_SECRET),
        Canary::new("the API key", world.acme.key()),
    ];
    assert_absent(&canaries, "what Debug shows", shown.as_bytes());
    let bytes = format!("{:?}", CLIENT_SECRET.as_bytes());
    assert!(!shown.contains(bytes.trim_matches(['[', ']'])));
}

const PANIC: &str = "ZCV_TEST_PANICS";

/// Runs itself again: the words of a panic go to standard error of the whole process.
#[test]
fn a_panic_in_a_handler_is_a_500_that_leaks_nothing() {
    if std::env::var_os(PANIC).is_some() {
        runtime::init_logging();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let event = json!({ "headers": { "x-meeting-baas-api-key": CLIENT_SECRET } });
        let mut context = Context::default();
        context.request_id = "the-request".to_owned();
        let event = LambdaEvent::new(serde_json::from_value(event).unwrap(), context);
        let answer = runtime.block_on(runtime::invoke("GET /panic", event, async |request| {
            panic!("{CLIENT_SECRET} {request:?}")
        }));
        let answer = serde_json::to_string(&answer).unwrap();
        writeln!(std::io::stdout(), "{answer}").unwrap();
        return;
    }

    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("secrecy::a_panic_in_a_handler_is_a_500_that_leaks_nothing")
        .env(PANIC, "1")
        .env("RUST_BACKTRACE", "full")
        .output()
        .unwrap();
    assert!(child.status.success());
    let said = String::from_utf8([child.stdout, child.stderr].concat()).unwrap();
    let canary = Canary::new("the client secret", CLIENT_SECRET);
    assert_absent(&[canary], "what the process says", said.as_bytes());

    let line = |with: &str| -> Value {
        let line = said.lines().find(|line| line.contains(with));
        serde_json::from_str(line.unwrap_or_else(|| panic!("{said}"))).unwrap()
    };
    let answer = line("multiValueHeaders");
    assert_eq!(answer["statusCode"], 500);
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["code"], "FST_ERR_INTERNAL");
    assert_eq!(body["message"], "Internal server error");
    let logged = line("request failed");
    assert_eq!(logged["request_id"], "the-request");
    assert_eq!(logged["status"], 500);
    assert_eq!(logged["cause"], "the handler panicked");
    // Where it was is worth knowing, and no secret.
    let place = line(r#""message":"panicked""#);
    assert!(place["at"].as_str().unwrap().contains("secrecy.rs:"));
}
