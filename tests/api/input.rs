//! Bad input: refused in the envelope by the name of the rule, without an echo and without a trace.

#![expect(clippy::string_slice, reason = "where it is cut has been looked at")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use crate::proxy::Service;
use crate::world::{Answer, REDIRECT_URI, Row, World, an_app, send, with};

/// What no answer may repeat.
pub(crate) const MARKER: &str = "m4rk3r";
pub(crate) const CREATE: &str = "/v2/zoom-credentials";
const INVALID: &str = "FST_ERR_VALIDATION";
const NOT_JSON: &str = "body must be valid JSON (line ";

/// A world with one credential, that bad requests are thrown at.
struct Target {
    world: World,
    id: String,
    row: Row,
    stored: (usize, usize),
}

impl Target {
    async fn new() -> Self {
        let world = World::new().await;
        let id = world.given_user("bot").await;
        let row = world.stored_row(&id).await;
        let stored = (world.count("secrets").await, world.count("requests").await);
        world.wire.reset();
        Self {
            world,
            id,
            row,
            stored,
        }
    }

    fn path(&self) -> String {
        format!("{CREATE}/{}", self.id)
    }

    /// Sends a body to create and to change, and hears the same of both.
    async fn refuses(&self, body: impl Into<Vec<u8>>, status: u16, code: &str, message: &str) {
        let body = body.into();
        for (method, path) in [
            (Method::POST, CREATE),
            (Method::PATCH, self.path().as_str()),
        ] {
            let answer = self.world.acme.send_text(method, path, body.clone()).await;
            expect_refusal(&answer, status, code, message, &body);
        }
    }

    /// Sends a body to create and to change, of which nothing is wrong.
    async fn takes(&self, body: &str) {
        for (method, path, status) in [
            (Method::POST, CREATE, 201),
            (Method::PATCH, self.path().as_str(), 200),
        ] {
            let answer = self
                .world
                .acme
                .send_text(method, path, body.to_owned())
                .await;
            answer.expect(status);
        }
    }

    /// Nothing was stored, changed or asked for.
    async fn expect_untouched(self) {
        let world = &self.world;
        assert_eq!(world.stored_row(&self.id).await, self.row);
        assert_eq!(world.count("credentials").await, 1);
        assert_eq!(world.count("secrets").await, self.stored.0);
        let requests = world.rows("requests").await.into_iter();
        let claims = requests.filter(|row| !row.contains("rate#")).count();
        assert!(claims < self.stored.1);
        assert_eq!(world.wire.count(Service::Kms), 0);
        assert_eq!(world.wire.count(Service::Zoom), 0);
    }
}

#[track_caller]
fn expect_refusal(answer: &Answer, status: u16, code: &str, message: &str, body: &[u8]) {
    let sent = String::from_utf8_lossy(body);
    let sent: String = sent.chars().take(300).collect();
    let said = answer.json();
    assert_eq!(answer.status, status, "{sent}: {}", answer.text);
    assert_eq!(said["code"], code, "{sent}");
    let text = said["message"].as_str().unwrap();
    if message.ends_with("(line ") {
        assert!(text.starts_with(message), "{sent}: {text}");
    } else {
        assert_eq!(text, message, "{sent}");
    }
    assert!(!answer.text.contains(MARKER), "{sent}: {text}");
    for (name, value) in &answer.headers {
        assert!(!value.to_str().unwrap().contains(MARKER), "{name}");
    }
}

/// A body that would authorize, with `raw` JSON in place of a field or beside the fields.
fn body(field: &str, raw: &str) -> String {
    let uri = format!("\"{REDIRECT_URI}\"");
    let mut fields = vec![
        ("name", "\"bot\""),
        ("client_id", "\"test-app\""),
        ("client_secret", "\"m4rk3r-secret\""),
        ("authorization_code", "\"m4rk3r-code\""),
        ("redirect_uri", uri.as_str()),
    ];
    fields.retain(|(name, _)| *name != field);
    fields.push((field, raw));
    object(&fields)
}

/// A body that creates or changes an app, with `raw` JSON beside the fields.
fn app(field: &str, raw: &str) -> String {
    object(&[
        ("name", "\"bot\""),
        ("client_id", "\"test-app\""),
        ("client_secret", "\"x\""),
        (field, raw),
    ])
}

fn object(fields: &[(&str, &str)]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, raw)| format!("\"{name}\":{raw}"))
        .collect();
    format!("{{{}}}", fields.join(","))
}

const TEXTS: [&str; 5] = [
    "name",
    "client_id",
    "client_secret",
    "authorization_code",
    "redirect_uri",
];

#[tokio::test]
async fn a_field_of_the_wrong_type_is_named() {
    let target = Target::new().await;
    for field in TEXTS {
        let message = format!("body/{field} must be string");
        for raw in [
            "null",
            "true",
            "0",
            "-1.5e3",
            "1e999",
            "[]",
            "{}",
            r#"["m4rk3r"]"#,
            r#"{"m4rk3r":"m4rk3r"}"#,
        ] {
            target
                .refuses(body(field, raw), 400, INVALID, &message)
                .await;
        }
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        target
            .refuses(body(field, &deep), 400, INVALID, &message)
            .await;
    }
    for raw in [
        r#""m4rk3r""#,
        "false",
        "1",
        "1e999",
        "[]",
        r#"[{"m4rk3r":1}]"#,
        r#""{}""#,
    ] {
        let message = "body/extra must be object";
        target
            .refuses(body("extra", raw), 400, INVALID, message)
            .await;
    }
    target.expect_untouched().await;
}

#[tokio::test]
async fn a_text_is_one_too_long_or_it_fits() {
    let target = Target::new().await;
    for (field, most) in [
        ("name", 100),
        ("client_id", 256),
        ("client_secret", 256),
        ("authorization_code", 2000),
    ] {
        let message = format!("body/{field} must NOT have more than {most} characters");
        for filler in ["x", "é", "🦀", r"\u00e9", r"\ud83e\udd80"] {
            let text = format!("\"m4rk3r{}\"", filler.repeat(most + 1 - MARKER.len()));
            target
                .refuses(body(field, &text), 400, INVALID, &message)
                .await;
        }
        let long = format!("\"{}\"", "x".repeat(200_000));
        target
            .refuses(body(field, &long), 400, INVALID, &message)
            .await;
    }
    target.expect_untouched().await;
}

#[tokio::test]
async fn no_text_holds_nul_or_half_a_character() {
    let target = Target::new().await;
    let halves = [
        r#""m4rk3r\ud800""#,
        r#""\udc00m4rk3r""#,
        r#""m4rk3r\ud800\u0041""#,
        r#""\udfff\ud800""#,
        r#""\ud83e\\udd80""#,
    ];
    for field in TEXTS {
        let message = format!("body/{field} must NOT contain NUL characters");
        for raw in [
            r#""m4rk3r\u0000""#,
            r#""\u0000""#,
            r#""\u0000https://m4rk3r.test""#,
        ] {
            target
                .refuses(body(field, raw), 400, INVALID, &message)
                .await;
        }
        let message = format!("body/{field} must be valid Unicode");
        for raw in halves {
            target
                .refuses(body(field, raw), 400, INVALID, &message)
                .await;
        }
    }

    for raw in [
        r#""m4rk3r\u0000""#,
        r#"["\u0000"]"#,
        r#"{"\u0000m4rk3r":1}"#,
        r#"{"a":[{"b":"\u0000"}]}"#,
    ] {
        let message = "body/extra must NOT contain NUL characters";
        let extra = format!(r#"{{"m4rk3r":{raw}}}"#);
        target
            .refuses(body("extra", &extra), 400, INVALID, message)
            .await;
    }
    let message = "body/extra must be JSON with valid Unicode and representable numbers";
    for raw in halves {
        for extra in [
            format!(r#"{{"a":{raw}}}"#),
            format!("{{{raw}:1}}"),
            format!(r#"{{"a":[{{"b":{raw}}}]}}"#),
        ] {
            target
                .refuses(body("extra", &extra), 400, INVALID, message)
                .await;
        }
    }
    for number in ["1e999", "-1e999", "1e309", "[1,[2e400]]"] {
        let extra = format!(r#"{{"m4rk3r":{number}}}"#);
        target
            .refuses(body("extra", &extra), 400, INVALID, message)
            .await;
    }
    target.expect_untouched().await;
}

#[tokio::test]
async fn no_key_comes_twice() {
    let target = Target::new().await;
    for twice in [
        ("name", r#""a","name":"m4rk3r""#),
        ("name", r#""a","n\u0061me":"m4rk3r""#),
        ("m4rk3r", r#"1,"m4rk3r":1"#),
        ("", r#"1,"":2"#),
        ("extra", r#"null,"extra":{"a":"m4rk3r"}"#),
        ("client_secret", r#""a","client_secret":"a""#),
    ] {
        let message = "body must NOT have duplicate keys";
        target
            .refuses(body(twice.0, twice.1), 400, INVALID, message)
            .await;
    }
    for extra in [
        r#"{"m4rk3r":1,"m4rk3r":1}"#,
        r#"{"a":1,"\u0061":"m4rk3r"}"#,
        r#"{"a":{"b":[{"c":1,"d":2,"c":3}]}}"#,
        r#"{"":1,"":2}"#,
    ] {
        let message = "body/extra must NOT have duplicate keys";
        target
            .refuses(body("extra", extra), 400, INVALID, message)
            .await;
    }
    target.expect_untouched().await;
}

#[tokio::test]
async fn what_is_no_json_object_is_refused_where_it_stops_being_one() {
    let target = Target::new().await;
    let unclosed = "[".repeat(100_000);
    let unclosed_object = r#"{"a":"#.repeat(40_000);
    for text in [
        " ",
        "{",
        "}",
        "m4rk3r",
        "'m4rk3r'",
        r#"{"name":"m4rk3r""#,
        r#"{"name":"m4rk3r"#,
        r#"{"name":"m4rk3r",}"#,
        r#"{"name":"m4rk3r"}}"#,
        r#"{"name":"m4rk3r"}{"name":"m4rk3r"}"#,
        r#"{"name":"m4rk3r"} trailing m4rk3r"#,
        r#"{"name" "m4rk3r"}"#,
        r#"{"name":"m4rk3r" "client_id":"x"}"#,
        "{'name':'m4rk3r'}",
        "{name:m4rk3r}",
        "// m4rk3r\n{}",
        "/* m4rk3r */ {}",
        r#"{"name":NaN}"#,
        r#"{"name":undefined}"#,
        r#"{"name":Infinity}"#,
        r#"{"name":True}"#,
        r#"{"extra":{"a":01}}"#,
        r#"{"extra":{"a":.5}}"#,
        r#"{"extra":{"a":5.}}"#,
        r#"{"extra":{"a":+5}}"#,
        r#"{"extra":{"a":0x10}}"#,
        r#"{"extra":{"a":1e}}"#,
        r#"{"name":"\m4rk3r"}"#,
        r#"{"name":"\x41"}"#,
        r#"{"name":"\u12"}"#,
        r#"{"name":"\u{41}"}"#,
        "{\"name\":\"m4rk3r\nm4rk3r\"}",
        "{\"name\":\"\tm4rk3r\"}",
        "{\"name\":\"\0m4rk3r\"}",
        r#"{"\ud800":"m4rk3r"}"#,
        "{\0}",
        "\0",
        "\u{feff}{}",
        "\u{a0}{}",
        "{}\u{feff}",
        "{1:2}",
        "{null:1}",
        "[1,]",
        "name=m4rk3r&client_id=x",
        "<xml>m4rk3r</xml>",
        "--boundary\r\nm4rk3r",
        &unclosed,
        &unclosed_object,
    ] {
        target.refuses(text, 400, INVALID, NOT_JSON).await;
    }
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for text in [
        "[]",
        "null",
        "true",
        "0",
        "1e999",
        r#""m4rk3r""#,
        r#"[{"name":"m4rk3r"}]"#,
        "\n \t[1]",
        &nested,
    ] {
        target
            .refuses(text, 400, INVALID, "body must be object")
            .await;
    }
    for bytes in [
        b"\xff\xfe{\0}\0".as_slice(),
        b"\xff",
        b"{\"name\":\"m4rk3r\xff\"}",
        b"{\"name\":\"\xc0\xafm4rk3r\"}",
        b"{\"name\":\"\xed\xa0\x80m4rk3r\"}",
        b"{\"name\":\"m4rk3r\xf0\x9f\xa6\"}",
        b"{\"name\":\"\xf4\x90\x80\x80\"}",
        b"{\"m4rk3r\x80\":1}",
        b"{}\xbf",
    ] {
        target
            .refuses(bytes, 400, INVALID, "body must be UTF-8")
            .await;
    }
    // No body at all changes nothing, and creates nothing.
    let nothing = target.world.acme.send_text(Method::POST, CREATE, "").await;
    nothing.expect_error(400, INVALID, "body must be valid JSON (line 1, column 0)");
    let nothing = target
        .world
        .acme
        .send_text(Method::PATCH, &target.path(), "")
        .await;
    nothing.expect(200);
    target.expect_untouched().await;
}

#[tokio::test]
async fn an_extra_is_bounded_to_the_byte_and_to_the_level() {
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
    // Spaces around it are not part of it, and what is ignored is not looked into.
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

#[tokio::test]
async fn a_body_is_bounded_to_the_byte() {
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
    // Whatever it is: no JSON, no UTF-8, nothing but brackets.
    target
        .refuses("m4rk3r".repeat(50_000), 413, code, too_large)
        .await;
    target
        .refuses(vec![0xff; bytes + 1], 413, code, too_large)
        .await;
    target
        .refuses("[".repeat(1_000_000), 413, code, too_large)
        .await;
    let row = target.world.stored_row(&target.id).await;
    assert_eq!(row, target.row);
    assert_eq!(target.world.count("credentials").await, 1);
    assert_eq!(target.world.wire.count(Service::Kms), 0);

    target.takes(&sized(bytes)).await;
    // A size is counted in bytes after decoding: these travel as base64, and are over only there.
    let invalid = [vec![b' '; bytes - 1], vec![0xff]].concat();
    target
        .refuses(invalid, 400, INVALID, "body must be UTF-8")
        .await;
}

#[tokio::test]
async fn only_json_is_read() {
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
    assert_eq!(world.stored_row(&target.id).await, target.row);
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

#[tokio::test]
async fn an_id_that_is_no_uuid_is_refused_before_anything_is_read_of_it() {
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
        // Versions 0 and 9 to 15, and variants that are not the standard's.
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
async fn a_refused_query_echoes_nothing_and_reads_no_credential() {
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

/// The same values in every run.
fn some<S: Strategy>(count: usize, strategy: S) -> Vec<S::Value> {
    let mut runner = TestRunner::deterministic();
    (0..count)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .collect()
}

fn query(name: &str, value: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new("?".to_owned());
    query.append_pair(name, value).finish()
}

#[tokio::test]
async fn any_text_in_a_filter_is_a_filter_or_a_400() {
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
    for (index, value) in some(200, word).into_iter().enumerate() {
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
async fn a_cursor_is_a_version_and_an_id_and_nothing_else() {
    let target = Target::new().await;
    let bytes = proptest::collection::vec(proptest::prelude::any::<u8>(), 0..24);
    let version = proptest::prop_oneof![proptest::strategy::Just(1_u8), 0..=255_u8];
    for (version, mut id) in some(150, (version, bytes)) {
        if id.len() % 2 == 0 {
            id.resize(16, 0);
        }
        let fits = version == 1 && id.len() == 16;
        let cursor = URL_SAFE_NO_PAD.encode([&[version], id.as_slice()].concat());
        let answer = target.world.acme.list(&query("cursor", &cursor)).await;
        if fits {
            // Newest first: what is listed is older than the cursor.
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

#[tokio::test]
async fn a_body_with_a_flaw_creates_the_whole_or_nothing() {
    let target = Target::new().await;
    let whole = with(
        an_app("bot"),
        serde_json::json!({ "extra": { "a": [1, "é", null] } }),
    )
    .to_string();
    let flaw = (
        0..whole.len(),
        proptest::prop_oneof![
            "[\"\\\\{}\\[\\]:,0-9a-z\u{0} ]",
            proptest::prelude::any::<String>()
        ],
        0..3_usize,
    );
    let (mut created, mut refused) = (0, 0);
    for (at, text, cut) in some(150, flaw) {
        let at = (0..=at)
            .rev()
            .find(|at| whole.is_char_boundary(*at))
            .unwrap();
        let rest: String = whole[at..].chars().skip(cut).collect();
        let flawed = format!("{}{text}{rest}", &whole[..at]);
        let answer = target
            .world
            .acme
            .send_text(Method::POST, CREATE, flawed.clone())
            .await;
        if answer.status == 201 {
            created += 1;
            let meant: Value = serde_json::from_str(&flawed).unwrap();
            let made = answer.expect(201);
            assert_eq!(made["name"], meant["name"], "{flawed}");
            assert_eq!(made["extra"], meant["extra"], "{flawed}");
        } else {
            refused += 1;
            let message = answer.expect_code(400, INVALID);
            assert!(message.starts_with("body"), "{message}");
        }
    }
    assert!(
        created > 10 && refused > 50,
        "{created} created, {refused} refused"
    );
    assert_eq!(target.world.count("credentials").await, 1 + created);
    assert_eq!(
        target.world.count("secrets").await,
        target.stored.0 + created
    );
    assert_eq!(target.world.wire.count(Service::Zoom), 0);
}

#[tokio::test]
async fn a_refused_idempotency_key_costs_nothing() {
    let target = Target::new().await;
    let long = format!("{MARKER}{}", "x".repeat(250));
    for key in ["", " ", "m4rk3r m4rk3r", "m4rk3r\u{e9}", &long] {
        for (method, path) in [
            (Method::POST, CREATE),
            (Method::PATCH, target.path().as_str()),
        ] {
            let request = target.world.acme.request(method, path);
            let request = request
                .header("idempotency-key", key.as_bytes())
                .header(CONTENT_TYPE, "application/json")
                .body(body("extra", "null"));
            let message = "headers/idempotency-key must be 1 to 255 visible ASCII characters";
            expect_refusal(&send(request).await, 400, INVALID, message, key.as_bytes());
        }
    }
    target.expect_untouched().await;
}

/// Not so behind API Gateway, which does not count the last slash.
#[tokio::test]
async fn a_slash_too_many_is_no_route_of_the_local_gateway() {
    let world = World::new().await;
    let answer = send(world.acme.request(Method::POST, "/v2/zoom-credentials/")).await;
    answer.expect_error(404, "FST_ERR_NOT_FOUND", "Route not found");
}
