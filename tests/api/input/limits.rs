//! Limits of size and depth, and the media type.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use super::{CREATE, INVALID, Target, app, body, expect_refusal};
use crate::proxy::Service;
use crate::world::send;

// assures 30
#[tokio::test]
async fn the_size_and_depth_of_extra_are_limited_exactly() {
    let target = Target::new().await;
    let sized = |bytes: usize| format!(r#"{{"a":"m4rk3r{}"}}"#, "x".repeat(bytes - 14));
    let wide = format!(r#"{{"m4rk3r":{}1}}"#, " ".repeat(16 * 1024));
    let too_large = "body/extra must NOT be larger than 16384 bytes of JSON";
    assert_eq!(sized(100).len(), 100);
    for extra in [sized(16 * 1024 + 1), sized(100_000), wide] {
        target
            .refuses(body("extra", &extra), 400, INVALID, too_large)
            .await;
    }
    let deep = format!(
        r#"{{"m4rk3r":{}{}}}"#,
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    target
        .refuses(body("extra", &deep), 400, INVALID, too_large)
        .await;

    let too_deep = "body/extra must NOT be nested deeper than 32 levels";
    let arrays = |levels: usize| {
        format!(
            r#"{{"m4rk3r":{}{}}}"#,
            "[".repeat(levels - 1),
            "]".repeat(levels - 1)
        )
    };
    let objects = |levels: usize| {
        format!(
            "{}{{}}{}",
            r#"{"a":"#.repeat(levels - 1),
            "}".repeat(levels - 1)
        )
    };
    for levels in [33, 34, 127, 128, 129, 2_000] {
        for extra in [arrays(levels), objects(levels)] {
            target
                .refuses(body("extra", &extra), 400, INVALID, too_deep)
                .await;
        }
    }
    let late = format!(
        r#"{{"a":[[[]]],"b":{{}},"c":{}{}}}"#,
        "[".repeat(32),
        "]".repeat(32)
    );
    target
        .refuses(body("extra", &late), 400, INVALID, too_deep)
        .await;
    let world = &target.world;
    assert_eq!(world.wire.count(Service::Kms), 0);
    assert_eq!(world.count("credentials").await, 1);

    for extra in [sized(16 * 1024), arrays(32), objects(32), arrays(1 + 1)] {
        target.takes(&app("extra", &extra)).await;
    }
    // Spaces around `extra` do not count. Unknown fields are not inspected.
    target
        .takes(&app(
            "extra",
            &format!("{}{{}}{}", " ".repeat(20_000), "\n".repeat(20_000)),
        ))
        .await;
    let nested = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    target.takes(&app("unknown", &nested)).await;
    target
        .takes(&app(
            "unknown",
            r#"[1e999,"\ud800","\u0000",{"a":1,"a":1}]"#,
        ))
        .await;
}

// assures 30
#[tokio::test]
async fn the_size_of_a_body_is_limited_exactly() {
    let target = Target::new().await;
    let sized = |bytes: usize| {
        let fixed = app("padding", r#""""#).len();
        app("padding", &format!("\"{}\"", "x".repeat(bytes - fixed)))
    };
    let bytes = 256 * 1024;
    assert_eq!(sized(bytes).len(), bytes);
    let too_large = "Request body is too large: at most 262144 bytes";
    let code = "FST_ERR_CTP_BODY_TOO_LARGE";
    for length in [bytes + 1, 300_000, 10 * 1024 * 1024, 10 * 1024 * 1024 + 1] {
        target.refuses(sized(length), 413, code, too_large).await;
    }
    // The size is checked first, whatever the bytes are.
    target
        .refuses("m4rk3r".repeat(50_000), 413, code, too_large)
        .await;
    target
        .refuses(vec![0xff; bytes + 1], 413, code, too_large)
        .await;
    target
        .refuses("[".repeat(1_000_000), 413, code, too_large)
        .await;
    let row = target.world.row(&target.id).await;
    assert_eq!(row, target.row);
    assert_eq!(target.world.count("credentials").await, 1);
    assert_eq!(target.world.wire.count(Service::Kms), 0);

    target.takes(&sized(bytes)).await;
    // The decoded bytes count. This body travels as base64, and only the base64 text is over the limit.
    let invalid = [vec![b' '; bytes - 1], vec![0xff]].concat();
    target
        .refuses(invalid, 400, INVALID, "body must be UTF-8")
        .await;
}

#[tokio::test]
async fn a_compressed_body_is_refused() {
    let target = Target::new().await;
    let text = body("name", "\"m4rk3r\"");
    let path = target.path();
    let send_as = async |method: Method, path: &str, encoding: &str, body: &[u8]| {
        let request = target.world.acme.request(method, path);
        let request = request.header(CONTENT_TYPE, "application/json");
        send(
            request
                .header("content-encoding", encoding)
                .body(body.to_vec()),
        )
        .await
    };
    for encoding in [
        "gzip",
        "GZIP",
        "deflate",
        "br",
        "zstd",
        "identity, gzip",
        "gzip, identity",
        "m4rk3r",
    ] {
        for (method, path) in [(Method::POST, CREATE), (Method::PATCH, path.as_str())] {
            for body in [text.as_bytes(), b"\x1f\x8b\x08\0m4rk3r"] {
                let answer = send_as(method.clone(), path, encoding, body).await;
                let message = "Unsupported content-encoding: send the body without compression";
                expect_refusal(&answer, 415, "FST_ERR_CTP_INVALID_MEDIA_TYPE", message, b"");
            }
        }
    }
    assert_eq!(target.world.row(&target.id).await, target.row);
    assert_eq!(target.world.wire.count(Service::Kms), 0);

    for encoding in ["", "identity", "Identity", "identity, identity"] {
        let named = r#"{"name":"robot"}"#;
        send_as(Method::PATCH, &path, encoding, named.as_bytes())
            .await
            .expect(200);
    }
    // A call without a body is not compressed, whatever it says.
    send_as(Method::PATCH, &path, "gzip", b"").await.expect(200);
}

#[tokio::test]
async fn only_the_json_media_type_is_accepted() {
    let target = Target::new().await;
    let text = body("name", "\"m4rk3r\"");
    for kind in [
        None,
        Some(""),
        Some("text/plain"),
        Some("text/json"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=m4rk3r"),
        Some("application/jsonp"),
        Some("application/json-m4rk3r"),
        Some("application/problem+json"),
        Some("application/json, text/plain"),
        Some("application/*"),
        Some("*/*"),
        Some("json"),
        Some("application / json"),
        Some("m4rk3r; application/json"),
        Some(";application/json"),
    ] {
        for (method, path) in [
            (Method::POST, CREATE),
            (Method::PATCH, target.path().as_str()),
        ] {
            let request = target.world.acme.request(method, path);
            let request = match kind {
                Some(kind) => request.header(CONTENT_TYPE, kind),
                None => request,
            };
            let answer = send(request.body(text.clone())).await;
            let message = "Unsupported media type: send application/json";
            expect_refusal(&answer, 415, "FST_ERR_CTP_INVALID_MEDIA_TYPE", message, b"");
        }
    }
    let world = &target.world;
    let all = world.acme.request(Method::POST, CREATE);
    send(all)
        .await
        .expect_code(415, "FST_ERR_CTP_INVALID_MEDIA_TYPE");
    assert_eq!(world.row(&target.id).await, target.row);
    assert_eq!(world.wire.count(Service::Kms), 0);

    for kind in [
        "application/json",
        "Application/JSON",
        "application/json;charset=utf-8",
        "application/json ; charset=UTF-8; a=b",
        " application/json ",
        "application/json;",
    ] {
        let request = world.acme.request(Method::PATCH, &target.path());
        let answer = send(request.header(CONTENT_TYPE, kind).body(r#"{"name":"x"}"#)).await;
        answer.expect(200);
    }
}
