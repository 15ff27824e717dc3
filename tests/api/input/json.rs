//! JSON that is not valid, or not an object.

use reqwest::Method;

use super::{CREATE, INVALID, NOT_JSON, Target};

// assures 30
#[tokio::test]
async fn a_body_that_is_not_a_json_object_is_refused() {
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
    // An empty body creates nothing. An update with an empty body changes nothing.
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
