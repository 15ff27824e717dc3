//! Credentials come back as they were sent, in the published shape.

use reqwest::Method;
use serde_json::json;

use crate::vault::Vault;
use crate::world::{Answer, app_body, id_of, send, user_body};

#[tokio::test]
async fn a_whole_round_of_calls_keeps_the_published_contract() {
    // `send` validates every answer. This test makes one call of each kind.
    let vault = Vault::new().await;
    let acme = &vault.acme;
    let app = id_of(&acme.create(app_body("app")).await.expect(201));
    let code = vault.code().await;
    let user = id_of(&acme.create(user_body("user", &code)).await.expect(201));
    let again = id_of(&acme.create(user_body("user", &code)).await.expect(201));
    assert_eq!(again, user);
    acme.create(json!({}))
        .await
        .expect_code(400, "FST_ERR_VALIDATION");
    acme.create(user_body("user", "made-up"))
        .await
        .expect_code(400, "FST_ERR_ZOOM_CODE_EXCHANGE_FAILED");

    let all = acme.list("").await.expect(200);
    assert_eq!(all.as_array().unwrap().len(), 2);
    acme.list("?limit=1").await.expect(200);
    acme.list("?state=x")
        .await
        .expect_code(400, "FST_ERR_VALIDATION");
    for id in [&app, &user] {
        acme.get(id).await.expect(200);
        acme.update(id, json!({ "name": "renamed" }))
            .await
            .expect(200);
    }
    acme.get("x").await.expect_code(400, "FST_ERR_VALIDATION");
    acme.delete(&app).await.expect(200);
    acme.delete(&app)
        .await
        .expect_code(404, "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID");
    acme.list("?deleted=true").await.expect(200);
    vault
        .caller_with_key("x")
        .list("")
        .await
        .expect_code(401, "FST_ERR_UNAUTHORIZED");
    for (method, path) in [
        (Method::PUT, "/v2/zoom-credentials"),
        (Method::DELETE, "/v2/zoom-credentials"),
        (Method::GET, "/v2/zoom-credentials/a/b"),
        (Method::GET, "/v2/zoom-credentialsx"),
        (Method::GET, "/V2/zoom-credentials"),
        (Method::OPTIONS, "/v2/zoom-credentials"),
        (Method::GET, "/"),
    ] {
        let answer = send(acme.request(method, path)).await;
        answer.expect_error(404, "FST_ERR_NOT_FOUND", "Route not found");
    }
}

/// Checks the raw JSON text of `extra`, the last field of a credential.
#[track_caller]
fn expect_extra(answer: &Answer, status: u16, raw: &str, after: &str) {
    answer.expect(status);
    let end = format!("\"extra\":{raw}}}{after}}}");
    assert!(
        answer.text.ends_with(&end),
        "{raw} is not in {}",
        answer.text
    );
}

#[tokio::test]
async fn extra_comes_back_byte_for_byte() {
    let vault = Vault::new().await;
    let exact = format!(r#"{{"a":"{}"}}"#, "\u{e9}".repeat(8188));
    assert_eq!(exact.len(), 16 * 1024);
    let deepest = format!(
        "{}{}",
        r#"{"a":"#.repeat(31) + "[",
        "]".to_owned() + &"}".repeat(31)
    );
    let mut id = None::<String>;
    for raw in [
        "{}",
        "{ }",
        "{\n\t\r }",
        r#"{"z":1,"a":2,"m":{"y":1,"b":2},"":3}"#,
        r#"{ "a" : 1 ,  "b":[ 1,2 , 3 ] }"#,
        r#"{"int":1,"float":1.0,"long":1.0000,"exp":1E+2,"neg":-0,"negf":-0.0,"small":5e-324}"#,
        r#"{"big":123456789012345678901234567890,"precise":0.1000000000000000055511151231257827}"#,
        r#"{"max":1.7976931348623157e308,"under":1e-999,"u64":18446744073709551615}"#,
        r#"{"escaped":"\u00e9\u0041\/\b\f\n\r\t\"\\","raw":"é/A"}"#,
        r#"{"pair":"\ud83e\udd80","PAIR":"\uD83E\uDD80","raw":"🦀"}"#,
        r#"{"k\u00e9y":1,"kéy2":2,"\u000a":3}"#,
        "{\"separators\":\"\u{2028}\u{2029}\u{feff}\u{7f}\u{200b}\u{fffd}\u{10ffff}\"}",
        r#"{"true":true,"false":false,"null":null,"nested":[[],{},[{}],null]}"#,
        r#"{"__proto__":{"a":1},"constructor":null,"S":"x","NULL":true}"#,
        r#"{"$serde_json::private::RawValue":"{\"a\":1}"}"#,
        r#"{"$serde_json::private::Number":"1"}"#,
        r#"{"quoted":"{\"success\":false}","html":"</script><!--","sql":"' OR 1=1 --"}"#,
        &deepest,
        &exact,
    ] {
        let created = format!(
            r#"{{"name":"bot","client_id":"app","client_secret":"x","extra": {raw}{}}}"#,
            "\n"
        );
        let answer = vault
            .acme
            .send_text(Method::POST, "/v2/zoom-credentials", created)
            .await;
        expect_extra(&answer, 201, raw, "");
        let made = id_of(&answer.expect(201));
        expect_extra(&vault.acme.get(&made).await, 200, raw, "");
        expect_extra(&vault.acme.list("?limit=1").await, 200, raw, "]");

        // The same `extra` replaces the one before.
        let id = id.get_or_insert(made);
        let body = format!(r#"{{"extra":{raw}}}"#);
        let path = format!("/v2/zoom-credentials/{id}");
        let answer = vault.acme.send_text(Method::PATCH, &path, body).await;
        expect_extra(&answer, 200, raw, "");
        expect_extra(&vault.acme.get(id).await, 200, raw, "");
        let renamed = vault.acme.update(id, json!({ "name": "renamed" })).await;
        expect_extra(&renamed, 200, raw, "");
    }
}
