//! `PUT`, `GET` and `DELETE /v2/vendors/{vendor}`.

use reqwest::Method;
use serde_json::{Value, json};
use shared::api_key::{KeyTerms, Permission};

use super::{ATTENDEE, MEETSTREAM, OTHER_RECALL, RECALL, VENDORS, answer_to};
use crate::envelope;
use crate::proxy::Service;
use crate::world::{World, attribute, next_millisecond, send, text_of};

const ABSENT: &str = "Vendor secret not found: store it with PUT first";
const CODE: &str = "FST_ERR_ZOOM_VENDOR_SECRET_NOT_FOUND";

#[tokio::test]
async fn a_secret_is_stored_sealed_shown_without_itself_and_deleted() {
    let world = World::new().await;
    for (vendor, secret, _) in VENDORS {
        for answer in [
            world.acme.vendor(vendor).await,
            world.acme.delete_vendor(vendor).await,
        ] {
            answer.expect_error(404, CODE, ABSENT);
        }
        let body = json!({ "secrets": [secret], "unknown": 1 });
        let stored = world.acme.put_vendor(vendor, body).await.expect(200);
        let expected = json!({
            "vendor": vendor,
            "secrets": 1,
            "updated_at": stored["updated_at"],
        });
        assert_eq!(stored, expected);
        assert_eq!(world.acme.vendor(vendor).await.expect(200), expected);
        let rows = world.items("secrets").await;
        assert_eq!(rows.len(), 1);
        let id = format!("vendor#acme#{vendor}");
        assert_eq!(attribute(&rows[0], "secret_id"), id);
        assert!(!format!("{rows:?}").contains(secret));
        // Opens only with the binding of this row.
        assert_eq!(envelope::open_all(&world).await[0].0, id);

        let message = json!({ "message": "Vendor secret deleted successfully" });
        let deleted = world.acme.delete_vendor(vendor).await;
        assert_eq!(deleted.expect(200), message);
        assert_eq!(world.count("secrets").await, 0);
        world
            .acme
            .vendor(vendor)
            .await
            .expect_error(404, CODE, ABSENT);
    }
}

#[tokio::test]
async fn a_put_replaces_all_earlier_secrets_by_one_or_two() {
    let world = World::new().await;
    let put = async |secrets: &[&str]| {
        next_millisecond().await;
        let body = json!({ "secrets": secrets });
        world.acme.put_vendor("recall", body).await.expect(200)
    };
    let first = put(&[RECALL, OTHER_RECALL]).await;
    assert_eq!(first["secrets"], 2);
    assert_eq!(world.acme.vendor("recall").await.expect(200), first);
    let second = put(&[OTHER_RECALL]).await;
    assert_eq!(second["secrets"], 1);
    assert!(second["updated_at"].as_str() > first["updated_at"].as_str());
    let row = &world.items("secrets").await[0];
    assert!(!row.keys().any(|name| name.starts_with("alt_")), "{row:?}");
}

#[tokio::test]
async fn an_invalid_body_is_refused_with_the_field_and_the_rule_and_stores_nothing() {
    let world = World::new().await;
    let blank =
        "must NOT begin or end with a blank, a line break or an invisible character: remove it";
    let recall = "must be whsec_ and the base64 of at least 16 bytes, as Recall.ai shows it";
    let ascii = "must be visible ASCII characters, without blanks";
    let attendee = "must be the base64 of at least 16 bytes, as Attendee shows it";
    for (vendor, secret, rule) in [
        ("recall", Value::Null, "is required"),
        ("recall", json!(1), "must be string"),
        (
            "recall",
            json!("whsec_"),
            "must NOT have fewer than 16 characters",
        ),
        ("recall", json!(format!("{RECALL} ")), blank),
        ("recall", json!(format!("\n{RECALL}")), blank),
        ("recall", json!(format!("{RECALL}\u{a0}")), blank),
        ("recall", json!(RECALL.trim_start_matches("whsec_")), recall),
        ("recall", json!(RECALL.to_uppercase()), recall),
        ("recall", json!("whsec_AAECAwQFBgcICQoLDA0O"), recall),
        ("recall", json!(format!("{RECALL}=")), recall),
        (
            "recall",
            json!("whsec_!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!"),
            recall,
        ),
        ("attendee", json!(RECALL), attendee),
        ("attendee", json!(ATTENDEE.trim_end_matches('=')), attendee),
        ("attendee", json!("AAECAwQFBgcICQoLDA0O"), attendee),
        (
            "meetstream",
            json!("x".repeat(15)),
            "must NOT have fewer than 16 characters",
        ),
        (
            "meetstream",
            json!("x".repeat(257)),
            "must NOT have more than 256 characters",
        ),
        ("meetstream", json!(format!("{MEETSTREAM}\t")), blank),
        ("meetstream", json!(format!("{MEETSTREAM}\u{200b}")), blank),
        ("meetstream", json!(format!("\u{202e}{MEETSTREAM}")), blank),
        ("meetstream", json!(format!("a b{MEETSTREAM}")), ascii),
        ("meetstream", json!(format!("é{MEETSTREAM}")), ascii),
        ("meetstream", json!(format!("a\u{200b}{MEETSTREAM}")), ascii),
    ] {
        let body = if secret.is_null() {
            json!({})
        } else {
            json!({ "secrets": [secret] })
        };
        let answer = world.acme.put_vendor(vendor, body).await;
        answer.expect_error(400, "FST_ERR_VALIDATION", &format!("body/secrets {rule}"));
    }
    let rule = "body/secrets must be an array of 1 or 2 strings";
    for secrets in [
        json!(RECALL),
        json!([]),
        json!([RECALL, OTHER_RECALL, RECALL]),
        json!({ "0": RECALL }),
        Value::Null,
    ] {
        let answer = world
            .acme
            .put_vendor("recall", json!({ "secrets": secrets }))
            .await;
        answer.expect_error(400, "FST_ERR_VALIDATION", rule);
    }
    for vendor in ["Recall", "meetingbaas", "a%23b"] {
        let rule = "params/vendor must be one of recall, attendee, meetstream";
        for answer in [
            world
                .acme
                .put_vendor(vendor, json!({ "secrets": [MEETSTREAM] }))
                .await,
            world.acme.vendor(vendor).await,
            world.acme.delete_vendor(vendor).await,
        ] {
            answer.expect_error(400, "FST_ERR_VALIDATION", rule);
        }
    }
    let text = world
        .acme
        .send_text(Method::PUT, "/v2/vendors/recall", "{")
        .await;
    text.expect_code(400, "FST_ERR_VALIDATION");
    let plain = world
        .acme
        .request(Method::PUT, "/v2/vendors/recall")
        .body("{}");
    send(plain)
        .await
        .expect_code(415, "FST_ERR_CTP_INVALID_MEDIA_TYPE");
    world.expect_nothing_done("an invalid body").await;
}

#[tokio::test]
async fn a_secret_belongs_to_one_team_and_changing_it_needs_a_full_key_of_the_whole_team() {
    let world = World::new().await;
    let body = json!({ "secrets": [MEETSTREAM] });
    world
        .acme
        .put_vendor("meetstream", body.clone())
        .await
        .expect(200);
    let rival = world.caller("rival", Permission::Full).await;
    rival.vendor("meetstream").await.expect_code(404, CODE);
    rival
        .delete_vendor("meetstream")
        .await
        .expect_code(404, CODE);

    let terms = KeyTerms {
        extra: "tenant:a".parse().unwrap(),
        ..KeyTerms::of(Permission::Full)
    };
    let created = world.operator.create_key(&world.team("acme"), terms).await;
    let of_some = world.caller_with_key(&text_of(created.unwrap().0));
    let read = world.caller("acme", Permission::Read).await;
    let mint = world.caller("acme", Permission::Mint).await;
    for (caller, reads, message) in [
        (
            &of_some,
            true,
            "The API key allows only some of the team's credentials, and this operation concerns all of them",
        ),
        (
            &read,
            true,
            "The API key's permission does not cover this operation",
        ),
        (
            &mint,
            false,
            "The API key's permission does not cover this operation",
        ),
    ] {
        for answer in [
            caller.put_vendor("meetstream", body.clone()).await,
            caller.delete_vendor("meetstream").await,
        ] {
            answer.expect_error(403, "FST_ERR_FORBIDDEN", message);
        }
        let answer = caller.vendor("meetstream").await;
        if reads {
            assert_eq!(answer.expect(200)["vendor"], "meetstream");
        } else {
            answer.expect_error(403, "FST_ERR_FORBIDDEN", message);
        }
    }
    assert_eq!(world.count("secrets").await, 1);
}

#[tokio::test]
async fn the_function_that_stores_secrets_can_seal_and_not_open() {
    let world = World::new().await;
    for secret in [RECALL, OTHER_RECALL] {
        world.wire.reset();
        let put = world
            .acme
            .put_vendor("recall", json!({ "secrets": [secret] }));
        put.await.expect(200);
        assert_eq!(world.wire.operations(Service::Kms), ["GenerateDataKey"]);
    }
    world.wire.reset();
    world.acme.vendor("recall").await.expect(200);
    world.acme.delete_vendor("recall").await.expect(200);
    assert_eq!(world.wire.count(Service::Kms), 0);
}

#[tokio::test]
async fn a_url_can_verify_only_a_vendor_whose_secret_the_team_has_stored() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let rival = world.caller("rival", Permission::Full).await;
    let rivals = rival.put_vendor("recall", json!({ "secrets": [RECALL] }));
    rivals.await.expect(200);
    let body = json!({ "type": "zak", "verify": "recall" });
    let refused = "body/verify names a vendor whose secret is not stored: store it with PUT /v2/vendors/{vendor} first";
    let answer = world.acme.create_url(&id, body.clone()).await;
    answer.expect_error(400, "FST_ERR_VALIDATION", refused);
    for (verify, rule) in [
        (json!("zoom"), "must be one of recall, attendee, meetstream"),
        (json!(true), "must be string"),
        (Value::Null, "must be string"),
    ] {
        let body = json!({ "type": "zak", "verify": verify });
        let answer = world.acme.create_url(&id, body).await;
        answer.expect_error(400, "FST_ERR_VALIDATION", &format!("body/verify {rule}"));
    }
    assert_eq!(world.count("token-urls").await, 0);

    world
        .acme
        .put_vendor("recall", json!({ "secrets": [RECALL] }))
        .await
        .expect(200);
    let created = world.acme.create_url(&id, body).await.expect(201);
    assert_eq!(created["verify"], "recall");
    world.given_url(&id, json!({ "type": "zak" })).await;
    let listed = world.acme.urls(&id, "").await.expect(200);
    assert_eq!(
        (&listed[0]["verify"], &listed[1]["verify"]),
        (&json!(null), &json!("recall"))
    );
}

#[tokio::test]
async fn other_methods_are_refused_with_the_methods_that_the_path_has() {
    let world = World::new().await;
    let answer = answer_to(world.acme.request(Method::POST, "/v2/vendors/recall")).await;
    let message = "Method not allowed: use DELETE, GET, PUT";
    answer.expect_error(405, "FST_ERR_METHOD_NOT_ALLOWED", message);
    assert_eq!(answer.header("allow"), Some("DELETE, GET, PUT"));
}
