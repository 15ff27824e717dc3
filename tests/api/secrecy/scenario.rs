//! Calls of every kind, by a client whose secrets are known.

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use local::kms::Failure;
use local::zoom::{App, Consent, Endpoint, Fault, FaultKind, Reply};
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use shared::secret::{CodeVerifier, TokenPair};
use url::form_urlencoded;

use super::canary::{Canary, assert_absent, hex};
use super::{APP, CLIENT_SECRET, SECRET_TOKEN};
use crate::envelope;
use crate::proxy::{self, Service};
use crate::webhooks;
use crate::world::{Answer, REDIRECT_URI, SCOPES, World, send};

/// Every attribute of every row of every table, as text. Binary attributes are added as raw bytes too.
pub(super) async fn dump(world: &World) -> Vec<u8> {
    let mut dump = Vec::new();
    for table in "credentials secrets keys requests token-urls events".split(' ') {
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

/// A world, and the answers and secrets of the calls that were made in it.
pub(super) struct Scenario {
    pub(super) world: World,
    pub(super) answers: Vec<Answer>,
    /// How many more requests were made. Their answers may hold secrets.
    pub(super) other_requests: usize,
    pub(super) canaries: Vec<Canary>,
}

/// What a user's browser holds after the user allowed the app at Zoom.
struct Visit {
    code: String,
    state: String,
    cookie: String,
}

impl Scenario {
    pub(super) async fn new() -> Self {
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
            other_requests: 0,
            canaries,
        }
    }

    fn code(&mut self) -> String {
        self.code_with_challenge(None)
    }

    fn code_with_challenge(&mut self, code_challenge: Option<String>) -> String {
        let consent = Consent {
            client_id: APP.to_owned(),
            redirect_uri: REDIRECT_URI.to_owned(),
            user_id: "ada".to_owned(),
            scopes: None,
            code_challenge,
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

    /// A body with the verifier of the caller's own PKCE challenge.
    fn body_with_verifier(&mut self) -> Value {
        let verifier = "canary-verifier-of-an-authorization-at-zoom";
        self.canaries.push(Canary::new("a verifier", verifier));
        let challenge = CodeVerifier::try_from(verifier.to_owned())
            .unwrap()
            .challenge();
        let code = self.code_with_challenge(Some(challenge));
        json!({ "authorization_code": code, "redirect_uri": REDIRECT_URI, "code_verifier": verifier })
    }

    pub(super) fn keep(&mut self, status: u16, answer: Answer) -> Answer {
        assert_eq!(answer.status, status, "{}", answer.text);
        self.answers.push(answer.clone());
        answer
    }

    async fn create(&mut self, status: u16, body: Value) -> Answer {
        let answer = self.world.acme.create(body).await;
        self.keep(status, answer)
    }

    /// Sends a raw body and records the answer.
    async fn raw(&mut self, status: u16, method: Method, path: &str, body: String) {
        let request = self.world.acme.request(method, path);
        let request = request.header("content-type", "application/json");
        let answer = send(request.body(body)).await;
        self.keep(status, answer);
    }

    pub(super) async fn successes(&mut self) -> String {
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
            self.keep(200, answer);
        }
        let answer = self.world.acme.get(&id).await;
        self.keep(200, answer);
        // Re-authorizes with the stored client secret, then with a client secret in the body.
        let code = self.code();
        let stored = json!({ "authorization_code": code, "redirect_uri": REDIRECT_URI });
        let sent = self.body();
        let with_verifier = self.body_with_verifier();
        for body in [json!({ "name": "again" }), stored, sent, with_verifier] {
            let answer = self.world.acme.update(&id, body).await;
            self.keep(200, answer);
        }
        id
    }

    /// Token URLs hold a secret in their path. One of them returns a token.
    pub(super) async fn use_token_url(&mut self, id: &str) {
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
            self.other_requests += 1;
        }
        let answer = self.world.acme.urls(id, "").await;
        self.keep(200, answer);
        let answer = self.world.acme.delete_url(id, &url.id).await;
        self.keep(200, answer);
        // The request that created the URL.
        self.other_requests += 1;
    }

    /// The app's webhooks, and a rotation of the client secret.
    pub(super) async fn webhooks(&mut self) {
        let body = json!({ "client_secret": CLIENT_SECRET, "webhook_secret_token": SECRET_TOKEN });
        let too_long = SECRET_TOKEN.repeat(20);
        let bad = json!({ "client_secret": CLIENT_SECRET, "webhook_secret_token": too_long });
        let wrong = json!({ "client_secret": SECRET_TOKEN, "webhook_secret_token": SECRET_TOKEN });
        for (status, body) in [(200, body), (400, bad), (409, wrong)] {
            let answer = self.world.acme.register_app(APP, body).await;
            self.keep(status, answer);
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
            self.keep(status, answer);
        }
        for (status, secret) in [(200, CLIENT_SECRET), (409, SECRET_TOKEN)] {
            let path = format!("/v2/zoom-apps/{APP}/rotate-secret");
            let body = json!({ "client_secret": secret }).to_string();
            self.raw(status, Method::POST, &path, body).await;
        }
    }

    /// A user connects at Zoom. First Zoom refuses and repeats the secrets, then the connection succeeds. The link, the
    /// state and the cookie may each appear in one place.
    pub(super) async fn connects(&mut self) {
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
        self.other_requests += 1;
        let link = made["connect_url"].as_str().unwrap().to_owned();
        let token = link.rsplit('/').next().unwrap();
        // The session's id is in the link and is no secret.
        self.canaries.push(Canary::new(
            "a link's random part",
            token.get(26..).unwrap(),
        ));
        for refused in [true, false] {
            let visit = self.allow(&link, &callback).await;
            if refused {
                let Visit {
                    code,
                    state,
                    cookie,
                } = &visit;
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
            self.come_back(&visit, &callback, if refused { 400 } else { 200 })
                .await;
        }
    }

    /// The user opens the link, goes to Zoom and allows the app.
    async fn allow(&mut self, link: &str, callback: &str) -> Visit {
        let http = self.world.acme.http().clone();
        let page = http.get(link).send().await.unwrap();
        let page = page.text().await.unwrap();
        assert_absent(&self.canaries, "the page", page.as_bytes());
        let page = http.post(link).send().await.unwrap();
        let cookie = page.headers()["set-cookie"].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let page = page.text().await.unwrap();
        self.other_requests += 2;

        let address = page.split("href=\"").nth(1).unwrap();
        let address = address.split('"').next().unwrap();
        let address: url::Url = address.replace("&#38;", "&").parse().unwrap();
        let parameter = |name: &str| {
            let found = address.query_pairs().find(|(it, _)| it == name);
            found.unwrap().1.into_owned()
        };
        let state = parameter("state");
        let code = self.world.zoom.authorize(Consent {
            client_id: APP.to_owned(),
            redirect_uri: callback.to_owned(),
            user_id: "ada".to_owned(),
            scopes: None,
            code_challenge: Some(parameter("code_challenge")),
        });
        let code = code.unwrap();
        let random = state.get(26..).unwrap();
        let browser_key = cookie.split_once('=').unwrap().1;
        for (name, secret) in [
            ("a code", code.as_str()),
            ("a state's random part", random),
            ("a browser's key", browser_key),
        ] {
            self.canaries.push(Canary::new(name, secret));
        }
        Visit {
            code,
            state,
            cookie,
        }
    }

    /// The browser comes back from Zoom: with a wrong state, with a wrong cookie, and with both as they should be.
    async fn come_back(&mut self, visit: &Visit, callback: &str, status: u16) {
        let Visit {
            code,
            state,
            cookie,
        } = visit;
        let back = format!("{callback}?code={code}&state={state}");
        let (cut, _) = state.split_at(60);
        for (status, url, cookie) in [
            (
                403,
                format!("{callback}?code={code}&state={cut}"),
                &**cookie,
            ),
            (403, back.clone(), "theme=dark"),
            (status, back, cookie),
        ] {
            let request = self.world.acme.http().get(url).header("cookie", cookie);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), status);
            let headers = format!("{:?}", answer.headers());
            assert_absent(&self.canaries, "a header", headers.as_bytes());
            let text = answer.text().await.unwrap();
            assert_absent(&self.canaries, "a page", text.as_bytes());
        }
        self.other_requests += 3;
    }

    pub(super) async fn refusals(&mut self, id: &str) {
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
        self.keep(400, answer);
        let shape = self.world.acme.key().to_owned();
        for key in [CLIENT_SECRET.replace('é', "e"), shape.to_uppercase()] {
            let answer = self.world.caller_with_key(&key).list("").await;
            self.keep(401, answer);
        }
    }

    /// Zoom refuses and repeats what it was sent.
    pub(super) async fn echoes(&mut self) {
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
                // The secret is whole again without its unprintable characters.
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

    /// The services that the vault calls fail. The cause of each failure is logged.
    pub(super) async fn outages(&mut self) {
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
        // The code is valid, but the profile cannot be read.
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

    /// Adds everything that is sealed in the tables: both tokens of every grant, and every data key.
    #[expect(
        clippy::disallowed_methods,
        reason = "the test must know what to search for"
    )]
    pub(super) async fn learn_what_is_sealed(&mut self, grants: usize) {
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
