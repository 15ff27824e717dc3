//! Token URLs that do not work all get one answer, and cost little.

use reqwest::Method;
use serde_json::json;
use shared::credential::CredentialId;
use shared::token_url::{UrlId, UrlToken};

use super::{expect_plain_text, expect_private, send_as_vendor, text_of};
use crate::proxy::Service;
use crate::token_urls::{NO_URL, Url};
use crate::world::{CLIENT_ID, World, id_of, user_body};

/// A well-formed token of no stored URL.
fn unknown_token(credential: CredentialId, url: UrlId) -> String {
    text_of(UrlToken::generate(credential.into(), url).unwrap())
}

// assures 22, 23, 57
#[tokio::test]
async fn every_invalid_token_url_gets_the_same_answer() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let zak = json!({ "type": "zak", "max_uses": 1 });
    let base = world.given_url(&id, zak.clone()).await;
    let at = |token: &str| Url {
        id: String::new(),
        url: base.url.replace(base.token(), token),
    };
    let (revoked, expired) = (
        world.given_url(&id, zak.clone()).await,
        world.given_url(&id, zak.clone()).await,
    );
    world.acme.delete_url(&id, &revoked.id).await.expect(200);
    world.expire_url(&expired.id).await;
    let used = world.given_url(&id, zak.clone()).await;
    assert_eq!(world.vendor_gets(&used, "").await.status, 200);
    let other = user_body("other", &world.code_of("grace-sandbox-user", None));
    let other = id_of(&world.acme.create(other).await.expect(201));
    let orphan = world.given_url(&other, zak).await;
    world.acme.delete(&other).await.expect(200);
    let credential: CredentialId = id.parse().unwrap();
    let known: UrlId = base.id.parse().unwrap();
    let (head, checksum) = base.token().split_at(base.token().len() - 6);

    for (case, url) in [
        ("revoked", revoked),
        ("expired", expired),
        ("used up", used),
        ("its credential is deleted", orphan),
        ("unknown", at(&unknown_token(credential, UrlId::generate()))),
        (
            "a wrong token of a stored URL",
            at(&unknown_token(credential, known)),
        ),
        (
            "of an unknown credential",
            at(&unknown_token(CredentialId::generate(), UrlId::generate())),
        ),
        ("bad checksum", at(&format!("{head}000000"))),
        ("one byte more", at(&format!("{head}A{checksum}"))),
        ("in upper case", at(&base.token().to_uppercase())),
        ("cut", at(head)),
        ("no token", at("x")),
        ("an API key", at(world.acme.key())),
        ("encoded", at("%00%ff%2e%2e")),
    ] {
        world.wire.reset();
        let get = world.vendor_gets(&url, "").await;
        assert_eq!((get.status, get.text.as_str()), (404, NO_URL), "{case}");
        expect_plain_text(&get, 404, NO_URL);
        let post = world
            .vendor_posts(&url, &json!({ "meeting_number": "1" }))
            .await;
        post.expect_error(404, "FST_ERR_ZOOM_TOKEN_URL_NOT_FOUND", NO_URL);
        expect_private(&post);
        assert_eq!(world.kms_and_zoom_calls(), 0, "{case}");
    }
    // The URL that stays valid still works.
    assert_eq!(world.vendor_gets(&base, "").await.status, 200);
}

/// The vendor learns nothing that another call would not tell.
#[tokio::test]
async fn a_credential_that_is_deleted_during_the_call_gets_the_answer_of_a_deleted_credential() {
    for method in [Method::GET, Method::POST] {
        let world = World::new().await;
        let id = world.add_user_credential("bot").await;
        let url = world.given_url(&id, json!({ "type": "zak" })).await;
        world.expire_access_tokens().await;
        world.zoom.remove_app(CLIENT_ID, "ada");
        let refusal = world.wire.hold(Service::Zoom, "/oauth/token");
        let request = world.vendor_request(method.clone(), &url, "");
        let call = tokio::spawn(send_as_vendor(request));
        world.wire.stalled().await;
        world.acme.delete(&id).await.expect(200);
        refusal.notify_one();

        let answer = call.await.unwrap();
        if method == Method::GET {
            expect_plain_text(&answer, 404, NO_URL);
        } else {
            answer.expect_error(404, "FST_ERR_ZOOM_TOKEN_URL_NOT_FOUND", NO_URL);
        }
    }
}

// assures 24, 49
#[tokio::test]
async fn invalid_token_urls_cause_no_kms_call_and_no_write_and_a_wrong_checksum_causes_no_read() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let url = world.given_url(&id, json!({ "type": "zak" })).await;
    let before = (
        world.sorted_rows("token-urls").await,
        world.sorted_rows("requests").await,
    );
    let at = |token: &str| Url {
        id: String::new(),
        url: url.url.replace(url.token(), token),
    };
    let credential: CredentialId = id.parse().unwrap();
    world.wire.reset();

    for count in 0..500 {
        let token = unknown_token(credential, UrlId::generate());
        let broken = token.split_at(token.len() - 1).0.to_owned() + ["-", "_"][count % 2];
        assert_eq!(world.vendor_gets(&at(&broken), "").await.status, 404);
    }
    assert_eq!(world.wire.calls().len(), 0);

    for _ in 0..500 {
        let token = unknown_token(credential, UrlId::generate());
        assert_eq!(world.vendor_gets(&at(&token), "").await.status, 404);
    }
    assert_eq!(
        world.wire.operations(Service::DynamoDb),
        vec!["GetItem"; 500]
    );
    assert_eq!(world.kms_and_zoom_calls(), 0);
    let after = (
        world.sorted_rows("token-urls").await,
        world.sorted_rows("requests").await,
    );
    assert_eq!(before, after);
}
