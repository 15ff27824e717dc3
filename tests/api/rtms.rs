//! Signatures for RTMS: a media worker connects to a stream with nothing but the vault's signature.
//!
//! The server here speaks the JSON of Zoom's handshake, one message a line, and not WebSocket. It recomputes the
//! signature from the client secret, as Zoom must. It proves nothing about the rest of Zoom's protocol.

use std::fmt::Write as _;
use std::net::SocketAddr;

use aws_lc_rs::hmac;
use reqwest::Method;
use serde_json::{Value, json};
use shared::api_key::{KeyTerms, Permission};
use shared::token::TokenType;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::account;
use crate::minting::mint;
use crate::proxy::Service;
use crate::world::{Answer, CLIENT_ID, CLIENT_SECRET, World, send, with};

const UUID: &str = "4444AAAiAAAAAiAiAiiAii==";
const STREAM: &str = "609340fb2a7946909659956c8aa9250c";

fn body(id: &str, changes: Value) -> Value {
    let body = json!({
        "credential_id": id, "type": "rtms_signature", "meeting_uuid": UUID, "rtms_stream_id": STREAM,
    });
    with(body, changes)
}

async fn sign(world: &World, id: &str, changes: Value) -> Answer {
    mint(&world.acme, body(id, changes)).await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// What Zoom computes from what it knows about the app and from the ids in the handshake.
fn expected(client_id: &str, client_secret: &str, handshake: &Value) -> String {
    let text = |name: &str| handshake[name].as_str().unwrap();
    let signed = [client_id, text("meeting_uuid"), text("rtms_stream_id")].join(",");
    let key = hmac::Key::new(hmac::HMAC_SHA256, client_secret.as_bytes());
    hex(hmac::sign(&key, signed.as_bytes()).as_ref())
}

/// A server that knows the client secret and accepts a worker only with the right signature.
async fn rtms_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let (read, mut write) = connection.into_split();
            let line = BufReader::new(read).lines().next_line().await.unwrap();
            let handshake: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let is_handshake = matches!(handshake["msg_type"].as_u64(), Some(1 | 3));
            let signature = expected(CLIENT_ID, CLIENT_SECRET, &handshake);
            let is_accepted = is_handshake && handshake["signature"] == signature.as_str();
            let answer = json!({ "accepted": is_accepted });
            write
                .write_all(format!("{answer}\n").as_bytes())
                .await
                .unwrap();
        }
    });
    address
}

/// A media worker. It has no client secret.
async fn worker_is_accepted(server: SocketAddr, handshake: &Value) -> bool {
    let mut connection = TcpStream::connect(server).await.unwrap();
    let line = format!("{handshake}\n");
    connection.write_all(line.as_bytes()).await.unwrap();
    let answer = BufReader::new(connection)
        .lines()
        .next_line()
        .await
        .unwrap();
    let answer: Value = serde_json::from_str(&answer.unwrap()).unwrap();
    answer["accepted"].as_bool().unwrap()
}

#[tokio::test]
async fn a_worker_connects_to_its_stream_and_to_no_other_with_the_vaults_signature_only() {
    let world = World::new().await;
    let server = rtms_server().await;
    let user = world.add_user_credential("desk").await;
    let app = world.add_app_credential("media").await;
    for id in [user, app] {
        world.wire.reset();
        let data = sign(&world, &id, json!({})).await.expect(200);
        assert!(world.zoom_api_calls().is_empty());
        let handshake = |msg_type: u8| {
            json!({
                "msg_type": msg_type, "meeting_uuid": UUID, "rtms_stream_id": STREAM,
                "signature": data["token"],
            })
        };
        for msg_type in [1, 3] {
            assert!(worker_is_accepted(server, &handshake(msg_type)).await);
        }
        for other in [
            json!({ "rtms_stream_id": "609340fb2a7946909659956c8aa9250d" }),
            json!({ "meeting_uuid": "5555AAAiAAAAAiAiAiiAii==" }),
            json!({ "signature": "0".repeat(64) }),
        ] {
            let handshake = with(handshake(1), other);
            assert!(!worker_is_accepted(server, &handshake).await, "{handshake}");
        }
    }
}

#[tokio::test]
async fn an_account_level_credential_signs_streams_with_its_own_client_secret() {
    let (world, id) = World::with_account(&account::SCOPES).await;
    let data = sign(&world, &id, json!({})).await.expect(200);
    let stream = json!({ "meeting_uuid": UUID, "rtms_stream_id": STREAM });
    let token = expected(account::APP, account::SECRET, &stream);
    assert_eq!(
        data,
        json!({ "type": "rtms_signature", "token": token, "expires_at": null, "credential_id": id })
    );
    assert_eq!(world.wire.count(Service::Zoom), 0);
    let event = world.newest_event(&id).await;
    assert_eq!(event["type"], "rtms_signature");
    assert_eq!(event["outcome"], "succeeded");
}

#[tokio::test]
async fn a_key_for_some_credentials_signs_streams_only_if_it_names_the_type() {
    let world = World::new().await;
    let id = world.add_app_credential("media").await;
    let extra = json!({ "extra": { "customer": "acme" } });
    world.acme.update(&id, extra).await.expect(200);
    let terms = |token_types| KeyTerms {
        extra: "customer:acme".parse().unwrap(),
        token_types,
        ..KeyTerms::of(Permission::Mint)
    };
    let any = world.caller_with_terms(terms(None)).await;
    let refused = mint(&any, body(&id, json!({}))).await;
    let message = "The API key does not allow this type of token";
    refused.expect_error(403, "FST_ERR_FORBIDDEN", message);
    let named = terms(Some(vec![TokenType::RtmsSignature]));
    let named = world.caller_with_terms(named).await;
    mint(&named, body(&id, json!({}))).await.expect(200);
}

#[tokio::test]
async fn the_signature_of_known_values_is_the_known_one() {
    let world = World::new().await;
    world.register_app("client_id", "client_secret");
    let app =
        json!({ "name": "media", "client_id": "client_id", "client_secret": "client_secret" });
    let created = world.acme.create(app).await.expect(201);
    let id = created["credential_id"].as_str().unwrap();

    let data = sign(&world, id, json!({})).await.expect(200);

    let token = "7f07ddea845c761409cd8fcc5edf13638faa339f636c2951da8fc7496305d5e7";
    assert_eq!(
        data,
        json!({ "type": "rtms_signature", "token": token, "expires_at": null, "credential_id": id })
    );
    let event = world.newest_event(id).await;
    assert_eq!(event["kind"], "mint");
    assert_eq!(event["type"], "rtms_signature");
    assert_eq!(event["outcome"], "succeeded");
}

/// With a comma in an id, one text to sign could stand for two streams.
#[tokio::test]
async fn an_id_with_a_comma_or_another_odd_character_is_refused_and_not_echoed() {
    let world = World::new().await;
    let id = world.add_app_credential("media").await;
    let uuid = "body/meeting_uuid must be 1 to 128 characters of Base64, as the event carries them: not percent-encoded";
    let stream = "body/rtms_stream_id must be 1 to 128 of A-Z, a-z, 0-9, - and _";
    let long = "a".repeat(129);
    for odd in [
        "m4rk3r,x",
        ",",
        "",
        " ",
        "m4rk3r ",
        "m4rk3r\n",
        "m4rk3r%2C",
        "%2F4rk3r%3D%3D",
        "m4=rk3r",
        "m4rk3r===",
        "=",
        "é",
        "m4rk3r.",
        &long,
    ] {
        let answer = sign(&world, &id, json!({ "meeting_uuid": odd })).await;
        answer.expect_error(400, "FST_ERR_VALIDATION", uuid);
        assert!(!answer.text.contains("4rk3r"), "{}", answer.text);
        let answer = sign(&world, &id, json!({ "rtms_stream_id": odd })).await;
        answer.expect_error(400, "FST_ERR_VALIDATION", stream);
        assert!(!answer.text.contains("4rk3r"), "{}", answer.text);
    }
    for (field, message) in [
        (
            "meeting_uuid",
            "body/meeting_uuid is required with the type rtms_signature",
        ),
        (
            "rtms_stream_id",
            "body/rtms_stream_id is required with the type rtms_signature",
        ),
    ] {
        let answer = sign(&world, &id, json!({ field: null })).await;
        answer.expect_error(400, "FST_ERR_VALIDATION", message);
        let answer = sign(&world, &id, json!({ field: 7 })).await;
        let message = format!("body/{field} must be string");
        answer.expect_error(400, "FST_ERR_VALIDATION", &message);
    }
    for uuid in ["a", "/+a-_==", "v3FYA3rrSBSmbpmIHsyOlw", &"a".repeat(128)] {
        sign(&world, &id, json!({ "meeting_uuid": uuid }))
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn the_ids_of_a_stream_are_ignored_by_the_other_types() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    for kind in ["onbehalf", "zak", "local_recording", "sdk_jwt"] {
        let odd = json!({ "type": kind, "meeting_uuid": ",", "rtms_stream_id": [1] });
        let meeting = if kind == "local_recording" {
            json!({ "meeting_id": "1" })
        } else {
            json!({})
        };
        let body = with(body(&id, odd), meeting);
        let data = mint(&world.acme, body).await.expect(200);
        assert!(data["expires_at"].as_str().unwrap().ends_with('Z'));
    }
}

#[tokio::test]
async fn a_key_for_signatures_signs_and_mints_nothing_else() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    let worker = world
        .caller_with_terms(KeyTerms {
            token_types: Some(vec![TokenType::RtmsSignature]),
            ..KeyTerms::of(Permission::Mint)
        })
        .await;
    mint(&worker, body(&id, json!({}))).await.expect(200);
    for kind in ["onbehalf", "zak", "sdk_jwt"] {
        let answer = mint(&worker, body(&id, json!({ "type": kind }))).await;
        answer.expect_code(403, "FST_ERR_FORBIDDEN");
    }
    let url = format!("/v2/zoom-credentials/{id}/token-urls");
    let request = world.acme.request(Method::POST, &url);
    let answer = send(request.json(&json!({ "type": "rtms_signature" }))).await;
    answer.expect_code(400, "FST_ERR_VALIDATION");
}
