//! Ids in the path, and queries.

#![expect(clippy::string_slice, reason = "every cut is at a character boundary")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;

use super::{CREATE, INVALID, MARKER, Target, expect_refusal, generated};
use crate::proxy::Service;
use crate::world::{World, send};

#[tokio::test]
async fn an_id_that_is_not_a_uuid_is_refused_before_any_credential_is_read() {
    let target = Target::new().await;
    let id = &target.id;
    let upper = id.to_uppercase();
    let plain = id.replace('-', "");
    let ids = [
        "m4rk3r".to_owned(),
        "1".to_owned(),
        "null".to_owned(),
        "undefined".to_owned(),
        "{id}".to_owned(),
        "-".to_owned(),
        "m4rk3r".repeat(43)[..257].to_owned(),
        "a".repeat(257),
        "a".repeat(6_000),
        plain.clone(),
        format!("{{{id}}}"),
        format!("%7B{id}%7D"),
        format!("urn:uuid:{id}"),
        format!("{id}0"),
        format!("0{id}"),
        id[..35].to_owned(),
        format!("{id}{id}"),
        format!("{id}-"),
        format!("{id}%20"),
        format!("%20{id}"),
        format!("{id}%00"),
        format!("{id}%0a"),
        format!("{id}+"),
        format!("{id};m4rk3r"),
        format!("{id}=m4rk3r"),
        format!("{id}="),
        format!("{id}&m4rk3r"),
        format!("{id}&id={upper}"),
        format!("{id},{id}"),
        format!("{id}%2F"),
        format!("..%2F{id}"),
        format!("{id}%3Fm4rk3r"),
        format!("{id}%23"),
        format!("{id}."),
        format!("{}%EF%BC%90", &id[..35]),
        format!("{}%D9%A0", &id[..35]),
        format!("{}%FF", &id[..35]),
        format!("{}%", &id[..35]),
        format!("{}g", &id[..35]),
        plain[..8].to_owned() + "-" + &plain[8..],
        format!("{}-{}", &plain[..16], &plain[16..]),
        // UUID versions 0 and 9 to 15, and variants that the standard does not define.
        "a1b2c3d4-e5f6-0890-abcd-ef1234567890".to_owned(),
        "a1b2c3d4-e5f6-9890-abcd-ef1234567890".to_owned(),
        "a1b2c3d4-e5f6-f890-abcd-ef1234567890".to_owned(),
        "a1b2c3d4-e5f6-4890-7bcd-ef1234567890".to_owned(),
        "a1b2c3d4-e5f6-4890-cbcd-ef1234567890".to_owned(),
        "00000000-0000-0000-0000-000000000001".to_owned(),
        "ffffffff-ffff-ffff-ffff-fffffffffffe".to_owned(),
    ];
    for wrong in &ids {
        for method in [Method::GET, Method::PATCH, Method::DELETE] {
            let path = format!("{CREATE}/{wrong}");
            let body = r#"{"name":"renamed"}"#;
            let answer = target.world.acme.send_text(method, &path, body).await;
            let message = "params/id must match format \"uuid\"";
            expect_refusal(&answer, 400, INVALID, message, wrong.as_bytes());
        }
    }
    let bodies: Vec<String> = target
        .world
        .wire
        .calls()
        .into_iter()
        .map(|call| String::from_utf8(call.body.to_vec()).unwrap())
        .collect();
    assert!(
        !bodies
            .iter()
            .any(|body| body.contains("\"TableName\":\"credentials\""))
    );
    target.expect_untouched().await;
}

#[tokio::test]
async fn a_refused_query_repeats_nothing_and_reads_no_credential() {
    let target = Target::new().await;
    for (name, value) in [
        ("credential_type", "m4rk3r"),
        ("credential_type", "app,m4rk3r"),
        ("state", "m4rk3r"),
        ("extra", "m4rk3r"),
        ("extra", "a:b,m4rk3r"),
        ("deleted", "m4rk3r"),
        ("limit", "m4rk3r"),
        ("limit", "1m4rk3r"),
        ("cursor", "m4rk3r"),
        ("cursor", "AQm4rk3rm4rk3rm4rk3rm4rk3r"),
    ] {
        let answer = target.world.acme.list(&format!("?{name}={value}")).await;
        assert_eq!(answer.status, 400, "{value}");
        let message = answer.expect_code(400, INVALID);
        assert!(
            message.starts_with(&format!("querystring/{name} must ")),
            "{message}"
        );
        assert!(!answer.text.contains(MARKER), "{}", answer.text);
    }
    let operations = target.world.wire.operations(Service::DynamoDb);
    assert!(
        operations.iter().all(|it| it == "GetItem"),
        "{operations:?}"
    );
    target.expect_untouched().await;
}

fn query(name: &str, value: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new("?".to_owned());
    query.append_pair(name, value).finish()
}

// assures 8
#[tokio::test]
async fn any_text_in_a_filter_is_accepted_or_a_400() {
    let target = Target::new().await;
    let own = target.world.acme.get(&target.id).await.expect(200);
    let word = proptest::prop_oneof![
        proptest::prelude::any::<String>(),
        "[a-z:,%_*.\\\\\"'{}\\[\\]$#0-9 ]{0,20}",
        "(app|user|active|invalid|,| |\u{0}|true|-?[0-9]{1,25}){0,4}",
    ];
    let names = [
        "name",
        "zoom_email",
        "zoom_display_name",
        "zoom_user_id",
        "credential_type",
        "state",
        "extra",
        "deleted",
        "limit",
        "cursor",
    ];
    for (index, value) in generated(200, word).into_iter().enumerate() {
        let name = names[index % names.len()];
        let answer = target.world.acme.list(&query(name, &value)).await;
        if answer.status == 200 {
            let listed = answer.expect(200);
            let listed = listed.as_array().unwrap();
            assert!(listed.iter().all(|it| *it == own), "{name}={value:?}");
            if name.starts_with("zoom_user") && !value.is_empty() {
                assert_eq!(listed.is_empty(), value != "ada", "{value:?}");
            }
        } else {
            let message = answer.expect_code(400, INVALID);
            assert!(
                message.starts_with(&format!("querystring/{name} must ")),
                "{message}"
            );
        }
    }
    target.expect_untouched().await;
}

#[tokio::test]
async fn a_cursor_is_exactly_a_version_and_an_id() {
    let target = Target::new().await;
    let bytes = proptest::collection::vec(proptest::prelude::any::<u8>(), 0..24);
    let version = proptest::prop_oneof![proptest::strategy::Just(1_u8), 0..=255_u8];
    for (version, mut id) in generated(150, (version, bytes)) {
        if id.len() % 2 == 0 {
            id.resize(16, 0);
        }
        let fits = version == 1 && id.len() == 16;
        let cursor = URL_SAFE_NO_PAD.encode([&[version], id.as_slice()].concat());
        let answer = target.world.acme.list(&query("cursor", &cursor)).await;
        if fits {
            // The list is newest first. It shows the credentials that are older than the cursor.
            let older = uuid::Uuid::parse_str(&target.id).unwrap().as_bytes()
                < id.as_slice().try_into().unwrap();
            assert_eq!(
                answer.expect(200).as_array().unwrap().len(),
                usize::from(older)
            );
            let padded = target
                .world
                .acme
                .list(&query("cursor", &format!("{cursor}=")))
                .await;
            padded.expect_code(400, INVALID);
        } else {
            answer.expect_code(400, INVALID);
        }
    }
    target.expect_untouched().await;
}

/// API Gateway accepts a trailing slash. The local gateway does not.
#[tokio::test]
async fn a_trailing_slash_is_no_route_of_the_local_gateway() {
    let world = World::new().await;
    let answer = send(world.acme.request(Method::POST, "/v2/zoom-credentials/")).await;
    answer.expect_error(404, "FST_ERR_NOT_FOUND", "Route not found");
}
