//! Token URLs of a team, which choose the credential when a bot calls them.

mod addresses;
mod bad_calls;
mod calls;
mod managing;
mod matrix;
mod order;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::token_urls::Url;
use crate::vendors::{
    ATTENDEE, MEETSTREAM, RECALL, hmac, now_in_seconds, python_json, recall_headers,
};
use crate::world::{Answer, Caller, World, id_of, send, user_body, with};

/// The text of the answer to a call that names nobody whom the URL may choose.
const NO_CREDENTIAL: &str = "Zoom credential not found";

impl Caller {
    /// `POST /v2/token-urls`
    pub(crate) async fn create_choosing(&self, body: Value) -> Answer {
        send(self.request(Method::POST, "/v2/token-urls").json(&body)).await
    }

    /// `GET /v2/token-urls` and a query, `?` included.
    async fn choosing_urls(&self, query: &str) -> Answer {
        send(self.request(Method::GET, &format!("/v2/token-urls{query}"))).await
    }

    /// `DELETE /v2/token-urls/{url_id}`
    async fn delete_choosing(&self, url: &str) -> Answer {
        send(self.request(Method::DELETE, &format!("/v2/token-urls/{url}"))).await
    }
}

/// The tokens in an answer of 200.
#[track_caller]
fn tokens_in(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

/// The address of a call with this query.
fn with_query<'a>(
    url: &Url,
    query: impl IntoIterator<Item = &'a (&'a str, &'a str)>,
) -> reqwest::Url {
    reqwest::Url::parse_with_params(&url.url, query).unwrap()
}

/// A Zoom user who is connected.
#[derive(Clone, Debug)]
pub(crate) struct Connected {
    pub(crate) credential: String,
    pub(crate) user: String,
    email: String,
}

impl World {
    /// Creates a token URL of `acme` that chooses.
    pub(crate) async fn given_choosing(&self, body: Value) -> Url {
        let created = self.acme.create_choosing(body).await.expect(201);
        let text = |name: &str| created[name].as_str().unwrap().to_owned();
        Url {
            id: text("url_id"),
            url: text("url"),
        }
    }

    /// A URL that answers every call and takes the user from it. `changes` are further fields.
    async fn given_open_url(&self, types: &[&str], changes: Value) -> Url {
        let body = json!({ "types": types, "choose": "from_call", "unverified": true });
        self.given_choosing(with(body, changes)).await
    }

    /// Connects a Zoom user, whose email address has a plus and upper case.
    pub(crate) async fn connect(&self, user: &str, extra: Value) -> Connected {
        let email = format!("Bot+{user}@Example.test");
        self.zoom.register_user(local::zoom::User {
            id: user.to_owned(),
            email: Some(email.clone()),
            ..crate::world::ada()
        });
        let body = user_body(user, &self.code_of(user, None));
        let body = with(body, json!({ "extra": extra }));
        Connected {
            credential: id_of(&self.acme.create(body).await.expect(201)),
            user: user.to_owned(),
            email,
        }
    }

    /// Stores the secrets of all vendors.
    pub(crate) async fn store_vendors(&self) {
        let secrets = [
            ("recall", RECALL),
            ("attendee", ATTENDEE),
            ("meetstream", MEETSTREAM),
        ];
        for (vendor, secret) in secrets {
            let body = json!({ "secrets": [secret] });
            self.acme.put_vendor(vendor, body).await.expect(200);
        }
    }

    /// The Zoom user whose grant minted a token.
    pub(crate) fn user_of(&self, token: &str) -> String {
        let grant = self.zoom.grant_of(token);
        let grants = self.zoom.grants();
        let grant = grants.iter().find(|it| Some(it.id) == grant);
        grant
            .unwrap_or_else(|| panic!("no grant: {token}"))
            .user_id
            .clone()
    }

    /// The Zoom users of tokens that are joined by commas.
    fn users_of(&self, tokens: &Value) -> Vec<String> {
        let tokens = tokens.as_str().unwrap().split(',');
        tokens.map(|token| self.user_of(token)).collect()
    }

    /// The codes of a credential's mints, the newest first. `succeeded` stands for a token that was given.
    async fn mints_of(&self, id: &str) -> Vec<String> {
        let events = self.team_events("?limit=1000").await.expect(200);
        let events = events.as_array().unwrap().iter();
        let events = events.filter(|event| event["credential_id"] == id && event["kind"] == "mint");
        let words = events.map(|event| match event["code"].as_str() {
            Some(code) => code.to_owned(),
            None => event["outcome"].as_str().unwrap().to_owned(),
        });
        words.collect()
    }

    /// The request of MeetingBaas, whose customer gave the bot this `extra`.
    fn meetingbaas(&self, url: &Url, query: &[(&str, &str)], extra: &Value) -> RequestBuilder {
        let extra = extra.to_string();
        let added = [("bot_uuid", "6f7c-42"), ("extra", extra.as_str())];
        let http = self.acme.http();
        http.get(with_query(url, query.iter().chain(&added)))
    }

    /// The signed request of Recall.ai. Its customer wrote the query.
    pub(crate) fn recall(&self, url: &Url, query: &[(&str, &str)]) -> RequestBuilder {
        let mut call = self.acme.http().get(with_query(url, query));
        for (name, value) in recall_headers(RECALL, "msg_1", now_in_seconds(), "") {
            call = call.header(name, value);
        }
        call
    }

    /// The signed request of Attendee, in Python's form. The signature is that of the canonical JSON.
    fn attendee(&self, url: &Url, metadata: &Value, meeting_url: &str) -> RequestBuilder {
        let bot = "bot_3hfP0PXEsNinIZmh";
        let sent = format!(
            r#"{{"bot_id": "{bot}", "bot_metadata": {}, "callback_type": "zoom_tokens", "meeting_url": {}}}"#,
            python_json(metadata),
            python_json(&json!(meeting_url)),
        );
        let signed: Value = serde_json::from_str(&sent).unwrap();
        // `Value` sorts its keys and writes no blanks and no escapes, as Attendee does before it signs.
        let signature = hmac(ATTENDEE, signed.to_string().as_bytes());
        let call = self.acme.http().post(&url.url);
        call.header("x-webhook-signature", signature)
            .header("content-type", "application/json")
            .header("user-agent", "Attendee-Callback/1.0")
            .body(sent)
    }

    /// The first request of MeetStream, with its secret. Its customer wrote the query, to which MeetStream adds the
    /// number of the meeting for an `onbehalf` token.
    fn meetstream_gets(&self, url: &Url, query: &[(&str, &str)]) -> RequestBuilder {
        let call = self.acme.http().get(with_query(url, query));
        call.header("X-Bot-Id", "b-1")
            .header("X-Webhook-Secret", MEETSTREAM)
    }

    /// The second request of MeetStream, with its secret.
    fn meetstream_posts(&self, url: &Url, fields: &Value) -> RequestBuilder {
        let body = with(
            json!({ "bot_id": "b-1", "webhook_secret": MEETSTREAM }),
            fields.clone(),
        );
        let call = self.acme.http().post(&url.url);
        call.header("X-Bot-Id", "b-1").json(&body)
    }
}
