//! Every row moves to another KMS key while traffic runs, and whoever moves them can open none.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use shared::credential::CredentialId;
use shared::envelope::{Binding, Envelope, SecretId};
use shared::grants::capsule::Capsule;
use shared::secret::{ClientSecret, Plaintext};
use shared::stores::{AppSecret, Kept, Secrets};
use shared::timestamp::Timestamp;
use tokio::net::TcpListener;

use super::{Running, World, env};

/// What a role that may only move keys is let through; and how many moves, before KMS is gone.
struct Gate {
    kms: String,
    http: reqwest::Client,
    moves: AtomicUsize,
    denied: Mutex<Vec<String>>,
}

/// KMS, as who may only `ReEncrypt` sees it: its URL.
async fn mover(kms: &str, moves: usize) -> (Arc<Gate>, String) {
    let gate = Arc::new(Gate {
        kms: kms.to_owned(),
        http: reqwest::Client::new(),
        moves: AtomicUsize::new(moves),
        denied: Mutex::default(),
    });
    let router = Router::new()
        .fallback(routing::any(relay))
        .with_state(gate.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (gate, url)
}

async fn relay(
    State(gate): State<Arc<Gate>>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = headers.get("x-amz-target").unwrap().to_str().unwrap();
    let operation = target.rsplit('.').next().unwrap().to_owned();
    let refuse = |code: &str, message: &str| {
        let body = json!({ "__type": code, "message": message }).to_string();
        (StatusCode::BAD_REQUEST, body).into_response()
    };
    match operation.as_str() {
        "DescribeKey" => {}
        "ReEncrypt" => {
            let left = gate
                .moves
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                    left.checked_sub(1)
                });
            if left.is_err() {
                return refuse("DisabledException", "the key is disabled");
            }
        }
        _ => {
            gate.denied.lock().unwrap().push(operation);
            return refuse("AccessDeniedException", "not authorized");
        }
    }
    let request = gate
        .http
        .request(method, &gate.kms)
        .headers(headers)
        .body(body);
    let answer = request.send().await.unwrap();
    (answer.status(), answer.bytes().await.unwrap()).into_response()
}

impl World {
    fn secrets(&self) -> Secrets {
        Secrets::new(
            self.aws().dynamodb(),
            self.variable("SECRETS_TABLE").to_owned(),
        )
    }

    pub(crate) fn envelope(&self) -> Envelope {
        let key = self.variable("ENVELOPE_KEY_ID").to_owned();
        Envelope::new(self.aws().kms(), key, Secrets::NAME)
    }

    /// Seals so many client secrets of a team that has no credentials, past the API.
    pub(crate) async fn fill(&self, rows: usize) -> Vec<Binding> {
        let (envelope, dynamodb) = (self.envelope(), self.aws().dynamodb());
        let table = self.variable("SECRETS_TABLE");
        let bindings = (0..rows).map(|_| Binding {
            team: "filled".parse().unwrap(),
            secret: SecretId::App(CredentialId::generate()),
        });
        let bindings: Vec<Binding> = bindings.collect();
        let batches = bindings.chunks(25).map(|batch| {
            let (envelope, dynamodb) = (&envelope, &dynamodb);
            async move {
                let mut writes = Vec::new();
                for binding in batch {
                    let key = envelope.data_key(binding.clone()).await.unwrap();
                    let sealed = key.seal(1, &Plaintext::from(&secret())).unwrap();
                    let secret = AppSecret {
                        team_id: binding.team.clone(),
                        sealed,
                    };
                    let mut item: HashMap<_, _> = serde_dynamo::to_item(secret).unwrap();
                    item.insert(
                        "secret_id".to_owned(),
                        AttributeValue::S(binding.secret.to_string()),
                    );
                    let put = PutRequest::builder().set_item(Some(item)).build().unwrap();
                    writes.push(WriteRequest::builder().put_request(put).build());
                }
                let write = dynamodb.batch_write_item().request_items(table, writes);
                write.send().await.unwrap();
            }
        });
        stream::iter(batches)
            .buffer_unordered(8)
            .collect::<()>()
            .await;
        bindings
    }
}

fn secret() -> ClientSecret {
    "filled-secret".to_owned().try_into().unwrap()
}

impl World {
    /// Makes another KMS key, and starts the stack anew with it. What was sealed stays under the first.
    pub(crate) async fn change_key(mut self) -> Self {
        let made = self.aws().kms().create_key().send().await.unwrap();
        let new = made.key_metadata.and_then(|key| key.arn).unwrap();
        self.running.stop.send(()).unwrap();
        self.running.served.await.unwrap();
        self.running = Running::start(self.data.path(), Some(new.clone())).await;
        self.api.clone_from(&self.running.api);
        self.env = env(self.data.path());
        assert_eq!(self.variable("ENVELOPE_KEY_ID"), new);
        self
    }

    async fn post(&self, path: &str, key: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.api));
        let request = request.header("x-meeting-baas-api-key", key).json(body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// A credential of one of the sandbox's users.
    pub(crate) async fn connect(&self, key: &str, user: &str) -> String {
        let redirect_uri = "http://localhost:3000/callback";
        let consent =
            json!({ "client_id": "sandbox-app", "redirect_uri": redirect_uri, "user_id": user });
        let codes = format!("{}/sandbox/codes", self.variable("ZOOM_OAUTH_BASE_URL"));
        let code = self.http.post(codes).json(&consent).send().await.unwrap();
        let code: Value = code.json().await.unwrap();
        let body = json!({
            "name": user, "client_id": "sandbox-app", "client_secret": "sandbox-secret",
            "authorization_code": code["code"], "redirect_uri": redirect_uri,
        });
        let (status, body) = self.post("/v2/zoom-credentials", key, &body).await;
        assert_eq!(status, 201, "{body}");
        body["data"]["credential_id"].as_str().unwrap().to_owned()
    }

    /// Every row's attributes of the table of secrets.
    pub(crate) async fn rows(&self) -> Vec<HashMap<String, AttributeValue>> {
        let scan = self.aws().dynamodb().scan();
        let scan = scan.table_name(self.variable("SECRETS_TABLE"));
        let items = scan.into_paginator().items().send();
        items.try_collect().await.unwrap()
    }

    /// Lets every access token end, so that the next mint refreshes.
    async fn expire(&self) {
        let dynamodb = self.aws().dynamodb();
        for row in self.rows().await {
            let id = row["secret_id"].clone();
            if id.as_s().unwrap().starts_with("grant#") {
                let update = dynamodb
                    .update_item()
                    .table_name(self.variable("SECRETS_TABLE"))
                    .key("secret_id", id)
                    .update_expression("SET access_expires_at = :past")
                    .expression_attribute_values(":past", AttributeValue::N("0".to_owned()));
                update.send().await.unwrap();
            }
        }
    }

    /// Which KMS keys wrap the rows' keys.
    async fn kids(&self) -> BTreeSet<String> {
        let rows = self.rows().await.into_iter();
        rows.map(|row| row["kid"].as_s().unwrap().clone()).collect()
    }

    async fn rewrap(&self, kms: &str, options: &str) -> (i32, Value, String) {
        let kms = [("AWS_ENDPOINT_URL_KMS", kms)];
        let line = format!("rewrap --json --rate 5000 {options}");
        let said = self.cli_with(&line, "", &kms).await;
        let document = serde_json::from_str(&said.out).unwrap_or_default();
        (said.code, document, said.err)
    }
}

/// Checklist 38.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_moves_to_the_new_key_while_grants_are_minted_from_and_refreshed() {
    let world = World::new().await;
    world.ok("teams create acme").await;
    let key = world.key("acme", "full").await;
    let mut ids = Vec::new();
    for user in [
        "ada-sandbox-user",
        "grace-sandbox-user",
        "bare-sandbox-user",
    ] {
        ids.push(world.connect(&key, user).await);
    }
    let filled = world.fill(10_000).await;
    let old = world.variable("ENVELOPE_KEY_ID").to_owned();
    let world = world.change_key().await;
    let new = world.variable("ENVELOPE_KEY_ID").to_owned();
    assert_eq!(world.kids().await, [old.clone()].into());
    let (gate, kms) = mover(world.variable("AWS_ENDPOINT_URL_KMS"), usize::MAX).await;

    let (code, document, err) = world.rewrap(&kms, "--dry-run").await;
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(
        (&document["rows"], &document["moved"]),
        (&json!(10_006), &json!(0))
    );
    assert_eq!(world.kids().await, [old.clone()].into());

    let done = AtomicBool::new(false);
    let traffic = async {
        let mut mints = 0;
        while !done.load(Ordering::SeqCst) {
            world.expire().await;
            for id in &ids {
                let body = json!({ "credential_id": id, "type": "onbehalf" });
                let (status, body) = world.post("/v2/zoom-tokens", &key, &body).await;
                assert_eq!(status, 200, "{body}");
                mints += 1;
            }
            assert_eq!(world.create(&key).await.0, 201);
        }
        mints
    };
    let moving = async {
        let moved = world.rewrap(&kms, "").await;
        done.store(true, Ordering::SeqCst);
        moved
    };
    let (mints, (code, document, err)) = tokio::join!(traffic, moving);
    println!("{document}, and {mints} mints with a refresh beside it");

    assert_eq!((code, err.as_str()), (0, ""), "{document}");
    assert_eq!(
        (&document["key"], &document["left"]),
        (&json!(new), &json!(0))
    );
    // A grant that was refreshed first has moved by that.
    let moved = document["moved"].as_u64().unwrap();
    assert!(moved >= 10_003, "{document}");
    assert_eq!(*gate.denied.lock().unwrap(), [""; 0]);
    assert_eq!(world.kids().await, [new].into());

    // Nothing needs the old key.
    world
        .aws()
        .kms()
        .disable_key()
        .key_id(old)
        .send()
        .await
        .unwrap();
    let (envelope, secrets) = (world.envelope(), world.secrets());
    let opened = filled.iter().map(|binding| {
        let (envelope, secrets) = (&envelope, &secrets);
        async move {
            let row = secrets.app(binding.secret.clone()).await.unwrap();
            let opened = envelope.open(binding, &row.sealed).await;
            opened.is_ok_and(|opened| ClientSecret::try_from(opened).is_ok())
        }
    });
    let unreadable = stream::iter(opened)
        .buffer_unordered(8)
        .filter(|readable| std::future::ready(!readable));
    assert_eq!(unreadable.count().await, 0);
    world.expire().await;
    for id in &ids {
        let body = json!({ "credential_id": id, "type": "zak" });
        let (status, body) = world.post("/v2/zoom-tokens", &key, &body).await;
        assert_eq!(status, 200, "{body}");
    }
}

#[tokio::test]
async fn a_rewrap_that_stops_half_way_goes_on_where_it_stopped() {
    let world = World::new().await;
    world.fill(60).await;
    let world = world.change_key().await;
    let kms = world.variable("AWS_ENDPOINT_URL_KMS").to_owned();

    let (_, fails) = mover(&kms, 25).await;
    let (code, document, err) = world.rewrap(&fails, "").await;
    assert_eq!((code, document), (1, Value::Null));
    assert!(
        err.contains("run it again, and it goes on where it stopped"),
        "{err}"
    );
    assert!(err.contains("the key is disabled"), "{err}");
    let (code, document, _) = world.rewrap(&kms, "").await;
    assert_eq!(code, 0);
    // What was under way when it stopped may or may not have been written.
    let rest = document["moved"].as_u64().unwrap();
    assert!(
        (35..=60).contains(&rest) && document["rows"] == rest,
        "{document}"
    );
    assert_eq!(
        (document["left"].as_u64(), world.kids().await.len()),
        (Some(0), 1)
    );

    let (code, document, _) = world.rewrap(&kms, "").await;
    assert_eq!(
        (code, &document["rows"], &document["moved"]),
        (0, &json!(0), &json!(0))
    );
}

#[tokio::test]
async fn a_row_that_was_tampered_with_is_named_and_the_others_move() {
    let world = World::new().await;
    let filled = world.fill(3).await;
    let broken = filled[1].secret.to_string();
    let update = world.aws().dynamodb().update_item();
    let update = update
        .table_name(world.variable("SECRETS_TABLE"))
        .key("secret_id", AttributeValue::S(broken.clone()))
        .update_expression("SET dek = :other")
        .expression_attribute_values(":other", AttributeValue::B(Blob::new([7; 100])));
    update.send().await.unwrap();
    let world = world.change_key().await;

    let (code, document, err) = world
        .rewrap(world.variable("AWS_ENDPOINT_URL_KMS"), "")
        .await;

    assert_eq!(
        (code, &document["moved"], &document["left"]),
        (1, &json!(2), &json!(1))
    );
    assert!(
        err.contains(&broken) && err.contains("KMS refuses to move"),
        "{err}"
    );
}

#[tokio::test]
async fn a_key_that_cannot_wrap_is_refused_before_anything_moves() {
    let world = World::new().await;
    world.fill(1).await;
    let world = world.change_key().await;
    let new = world.variable("ENVELOPE_KEY_ID").to_owned();
    world
        .aws()
        .kms()
        .disable_key()
        .key_id(&new)
        .send()
        .await
        .unwrap();

    let err = world.failed(1, "rewrap").await;

    assert_eq!(
        err,
        format!(
            "error: key {new} is in state Disabled and cannot wrap anything: enable it, or cancel its deletion (`aws kms enable-key`, `aws kms cancel-key-deletion`)\n"
        )
    );
}

/// Every kind of row, and both keys of one that has two.
#[tokio::test]
async fn stashed_pairs_webhook_secrets_and_connect_sessions_move_too() {
    let world = World::new().await;
    world.ok("teams create acme").await;
    let key = world.key("acme", "full").await;
    world.connect(&key, "ada-sandbox-user").await;
    let stashed: Capsule = world.capsule(1).await.parse().unwrap();
    let secrets = world.secrets();
    let stash = secrets.stash(stashed.grant, &stashed.pair.sealed, Timestamp::now());
    assert!(matches!(stash.await.unwrap(), Kept::Stored { .. }));
    let app = json!({ "client_secret": "sandbox-secret", "webhook_secret_token": "made-up-token" });
    let put = world
        .http
        .put(format!("{}/v2/zoom-apps/sandbox-app", world.api));
    let put = put.header("x-meeting-baas-api-key", &key).json(&app);
    assert_eq!(put.send().await.unwrap().status(), 200);
    let session = json!({ "name": "n", "client_id": "c", "client_secret": "s" });
    let (status, _) = world
        .post("/v2/zoom-connect-sessions", &key, &session)
        .await;
    assert_eq!(status, 201);
    let world = world.change_key().await;

    let (code, document, _) = world
        .rewrap(world.variable("AWS_ENDPOINT_URL_KMS"), "")
        .await;

    assert_eq!(
        (code, &document["moved"], &document["left"]),
        (0, &json!(4), &json!(0))
    );
    let new = world.variable("ENVELOPE_KEY_ID");
    let (mut kinds, mut seconds) = (BTreeSet::new(), 0);
    for row in world.rows().await {
        let id = row["secret_id"].as_s().unwrap().clone();
        kinds.insert(id.split('#').next().unwrap().to_owned());
        assert_eq!(row["kid"].as_s().unwrap(), new, "{id}");
        if let Some(kid) = row.get("alt_kid") {
            assert_eq!(kid.as_s().unwrap(), new, "{id}");
            seconds += 1;
        }
    }
    assert_eq!((kinds.len(), seconds), (4, 1));
    // What is under the keys is what it was, each in its own place.
    let row = world.secrets().grant(stashed.grant).await.unwrap();
    let binding = Binding {
        team: "acme".parse().unwrap(),
        secret: SecretId::Grant(stashed.grant),
    };
    for sealed in [row.sealed.unwrap(), row.stash.unwrap()] {
        world.envelope().open(&binding, &sealed).await.unwrap();
    }
}
