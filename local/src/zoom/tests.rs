//! Tests of the sandbox over real HTTP. Each test starts its own sandbox.

mod account;
mod consent;
mod control;
mod faults;
mod ledger;
mod persistence;
mod refresh;
mod rest;
mod token;
mod webhook;

use std::sync::Once;

use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

use super::{App, Consent, Meeting, Sandbox, User};

const CLIENT_SECRET: &str = "correct-horse";
const REDIRECT_URI: &str = "https://app.example.com/zoom/callback?tenant=1";
const ALL_SCOPES: [&str; 5] = [
    "user:read:user",
    "user:read:token",
    "user:read:zak",
    "meeting:read:local_recording_token",
    "webinar:read:local_recording_token",
];

/// A running sandbox with one app, `app`, and one user, `user`.
struct TestZoom {
    sandbox: Sandbox,
    http: Client,
    origin: String,
}

impl TestZoom {
    async fn new() -> Self {
        Self::with(Sandbox::open(None).unwrap()).await
    }

    async fn with(sandbox: Sandbox) -> Self {
        static TLS: Once = Once::new();
        // reqwest needs a TLS provider, even for plain HTTP.
        TLS.call_once(|| drop(rustls::crypto::aws_lc_rs::default_provider().install_default()));

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        sandbox.set_origin(Url::parse(&origin).unwrap());
        sandbox.register_app(app("app"));
        sandbox.register_user(user("user"));
        let router = sandbox.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let http = Client::builder()
            .redirect(redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            sandbox,
            http,
            origin,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    fn new_code(&self) -> String {
        self.sandbox.authorize(consent()).unwrap()
    }

    fn post_token(&self, form: &[(&str, &str)]) -> RequestBuilder {
        self.post_token_as("app", CLIENT_SECRET, form)
    }

    fn post_token_as(
        &self,
        client_id: &str,
        secret: &str,
        form: &[(&str, &str)],
    ) -> RequestBuilder {
        self.http
            .post(self.url("/oauth/token"))
            .basic_auth(client_id, Some(secret))
            .form(form)
    }

    fn exchange(&self, code: &str) -> RequestBuilder {
        self.post_token(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT_URI),
        ])
    }

    fn refresh(&self, refresh_token: &str) -> RequestBuilder {
        self.post_token(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
        ])
    }

    /// Starts a grant, and returns its tokens.
    async fn connect(&self) -> Tokens {
        Tokens::from(expect_ok(self.exchange(&self.new_code())).await)
    }

    async fn refresh_ok(&self, tokens: &Tokens) -> Tokens {
        Tokens::from(expect_ok(self.refresh(&tokens.refresh)).await)
    }

    fn get(&self, path: &str, access_token: &str) -> RequestBuilder {
        self.http.get(self.url(path)).bearer_auth(access_token)
    }

    fn profile(&self, tokens: &Tokens) -> RequestBuilder {
        self.get("/v2/users/me", &tokens.access)
    }

    fn control(&self, path: &str, body: &Value) -> RequestBuilder {
        self.http.post(self.url(path)).json(body)
    }
}

struct Tokens {
    access: String,
    refresh: String,
}

impl From<Value> for Tokens {
    fn from(answer: Value) -> Self {
        let text = |field: &str| answer[field].as_str().unwrap().to_owned();
        Self {
            access: text("access_token"),
            refresh: text("refresh_token"),
        }
    }
}

fn app(client_id: &str) -> App {
    App {
        client_id: client_id.to_owned(),
        client_secret: CLIENT_SECRET.to_owned(),
        redirect_uris: vec![
            REDIRECT_URI.to_owned(),
            "https://app.example.com/other".to_owned(),
        ],
        scopes: ALL_SCOPES.map(str::to_owned).to_vec(),
    }
}

fn user(id: &str) -> User {
    User {
        id: id.to_owned(),
        email: Some("user@example.com".to_owned()),
        ..User::default()
    }
}

fn consent() -> Consent {
    Consent {
        client_id: "app".to_owned(),
        redirect_uri: REDIRECT_URI.to_owned(),
        user_id: "user".to_owned(),
        scopes: None,
        code_challenge: None,
    }
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.unwrap()
}

async fn answer_of(request: RequestBuilder) -> (StatusCode, Value) {
    let response = send(request).await;
    assert!(response.headers().contains_key("x-zm-trackingid"));
    (response.status(), response.json().await.unwrap())
}

async fn expect_ok(request: RequestBuilder) -> Value {
    let (status, body) = answer_of(request).await;
    assert_eq!(status, StatusCode::OK);
    body
}

async fn expect_answer(request: RequestBuilder, status: u16, body: Value) {
    let (given_status, given_body) = answer_of(request).await;
    assert_eq!((given_status.as_u16(), given_body), (status, body));
}

fn invalid_client() -> Value {
    json!({ "reason": "Invalid client_id or client_secret", "error": "invalid_client" })
}

fn invalid_token() -> Value {
    json!({ "reason": "Invalid Token!", "error": "invalid_grant" })
}

fn expired_access_token() -> Value {
    json!({ "code": 124, "message": "Access token is expired." })
}
