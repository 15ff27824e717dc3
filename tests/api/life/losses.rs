//! Grants that the vault lost before it asked the pair of an app and a user who needs them.

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kms::primitives::Blob;
use serde_json::json;
use tokio::task::JoinHandle;

use super::{
    HOUR, IDLE_TIME, given_deleted, grant_secret_id, overtake, sealed_secrets, spawn_keep_alive,
};
use crate::minting::mint_onbehalf;
use crate::proxy::Service;
use crate::world::{Answer, REDIRECT_URI, World, attribute, user_body};

/// Authorizes a credential again, with a code of `user`, in a task of its own.
fn spawn_authorization(world: &World, id: &str, user: &str) -> JoinHandle<Answer> {
    let body =
        json!({ "authorization_code": world.code_of(user, None), "redirect_uri": REDIRECT_URI });
    let (acme, id) = (world.acme.clone(), id.to_owned());
    tokio::spawn(async move { acme.update(&id, body).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_for_a_credential_that_is_deleted_meanwhile_serve_the_users_other_credentials() {
    let world = World::new().await;
    let sibling = world.add_user_credential("sibling").await;
    let deleted = world.add_user_credential("deleted").await;
    let bell = world.wire.hold(Service::Zoom, "/oauth/token");
    let authorizing = spawn_authorization(&world, &deleted, "ada");
    world.wire.stalled().await;
    world.acme.delete(&deleted).await.expect(200);
    bell.notify_one();
    authorizing
        .await
        .unwrap()
        .expect_code(404, "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID");

    // Zoom has ended the sibling's own grant.
    mint_onbehalf(&world.acme, &sibling).await.expect(200);
}

/// The user `grace` authorizes a credential that is deleted meanwhile. She has no credential, so her tokens are stored
/// as a stray grant, whose pair nobody knows.
async fn given_stray_of_grace(world: &World) {
    let deleted = world.add_user_credential("deleted").await;
    world.register_grace();
    let bell = world.wire.hold(Service::Zoom, "/oauth/token");
    let authorizing = spawn_authorization(world, &deleted, "grace");
    world.wire.stalled().await;
    world.acme.delete(&deleted).await.expect(200);
    bell.notify_one();
    authorizing
        .await
        .unwrap()
        .expect_code(404, "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID");
    assert!(world.drain_stream().await);
}

/// Whether there is a grant whose pair nobody knows.
async fn has_nameless_grant(world: &World) -> bool {
    let rows = world.items("secrets").await;
    rows.iter().any(|row| {
        attribute(row, "secret_id").starts_with("grant#") && !row.contains_key("pair_id")
    })
}

/// The tokens belong to a user who has no credential. Nobody can need them, once no invocation runs that could.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_a_user_without_credentials_are_kept_until_nobody_can_need_them() {
    let world = World::new().await;
    given_stray_of_grace(&world).await;
    assert_eq!(world.keep_alive().await.destroyed, 0);
    assert!(has_nameless_grant(&world).await);

    world.age_grants_by(HOUR).await;
    world.backdate_grants().await;
    assert_eq!(world.keep_alive().await.destroyed, 1);
    assert!(!has_nameless_grant(&world).await);
}

/// The run has asked Zoom for the user, and has read that the user has no credential.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_a_user_who_gets_a_credential_before_they_are_deleted_are_kept() {
    let world = World::new().await;
    given_stray_of_grace(&world).await;
    world.keep_alive().await;
    world.age_grants_by(HOUR).await;
    world.backdate_grants().await;
    let join = async {
        let body = user_body("new", &world.code_of("grace", None));
        world.acme.create(body).await.expect(201);
    };
    // The first transaction would add the grant to the pair, and is refused.
    overtake(&world, 2, || spawn_keep_alive(&world), join).await;

    assert!(has_nameless_grant(&world).await);
}

/// No transition leaves a grant like this. But if there is one, an invocation that still runs may need it.
#[tokio::test]
async fn a_grant_that_its_pair_without_credentials_does_not_list_is_deleted_when_it_is_not_young() {
    let world = World::new().await;
    let id = given_deleted(&world, "purged").await;
    let grant = grant_secret_id(&world, &id).await;
    world.expire_deleted().await;
    assert!(world.drain_stream().await);
    let mut pair = world.pair_of("ada").await;
    pair.remove("grants");
    world.put("pairs", pair).await;

    let report = world.keep_alive().await;
    assert_eq!((report.left, report.destroyed), (1, 0));
    assert_eq!(sealed_secrets(&world).await, [grant]);

    world.age_grants_by(HOUR).await;
    world.backdate_grants().await;
    assert_eq!(world.keep_alive().await.destroyed, 1);
    assert_eq!(sealed_secrets(&world).await, [""; 0]);
}

#[tokio::test]
async fn the_grant_that_a_credential_leaves_serves_a_credential_of_the_same_user() {
    let world = World::new().await;
    let sibling = world.add_user_credential("sibling").await;
    // Within five seconds, so the sibling stays on its own grant, which Zoom has ended.
    let leaver = world.add_user_credential("leaver").await;
    world.add_credential_for_user("bob").await;
    spawn_authorization(&world, &leaver, "bob")
        .await
        .unwrap()
        .expect(200);
    assert!(world.drain_stream().await);

    mint_onbehalf(&world.acme, &sibling).await.expect(200);
    world.keep_alive().await;
    world.expire_access_tokens().await;
    mint_onbehalf(&world.acme, &sibling).await.expect(200);
    mint_onbehalf(&world.acme, &leaver).await.expect(200);
}

/// Wraps the data keys of these credentials' grants by another KMS key, and disables that key.
async fn lock_grants(world: &World, ids: &[String]) {
    let kms = world.kms_client().await;
    let key = kms.create_key().send().await.unwrap();
    let key = key.key_metadata.unwrap().key_id;
    for id in ids {
        let grant = format!("grant#{}", attribute(&world.row(id).await, "grant_id"));
        let mut rows = world.items("secrets").await.into_iter();
        let row = rows
            .find(|row| attribute(row, "secret_id") == grant)
            .unwrap();
        let AttributeValue::B(dek) = &row["dek"] else {
            panic!("a data key is binary");
        };
        let mut call = kms
            .re_encrypt()
            .ciphertext_blob(Blob::new(dek.as_ref()))
            .destination_key_id(&key);
        let team = attribute(&row, "team_id").to_owned();
        for (name, value) in [
            ("app", "zoom-credentials"),
            ("purpose", "grant"),
            ("team", &team),
            ("id", &grant),
        ] {
            call = call
                .source_encryption_context(name, value)
                .destination_encryption_context(name, value);
        }
        let answer = call.send().await.unwrap();
        let mut row = row.clone();
        let dek = AttributeValue::B(Blob::new(answer.ciphertext_blob.unwrap()));
        row.insert("dek".to_owned(), dek);
        row.insert("kid".to_owned(), AttributeValue::S(answer.key_id.unwrap()));
        world.put("secrets", row).await;
    }
    kms.disable_key().key_id(&key).send().await.unwrap();
}

#[tokio::test]
async fn grants_whose_key_kms_refuses_do_not_keep_the_other_grants_from_being_refreshed() {
    for locked in [1, 3, 5] {
        let world = World::new().await;
        let mut ids = Vec::new();
        for number in 0..12 {
            let user = format!("user-{number}");
            ids.push(world.add_credential_for_user(&user).await);
        }
        lock_grants(&world, &ids[..locked]).await;
        world.age_grants_by(IDLE_TIME).await;

        let report = world.keep_alive().await;
        let locked = u32::try_from(locked).unwrap();
        assert_eq!((report.refreshed, report.failed), (12 - locked, locked));
        // The next run does not try them again before a day has passed.
        assert_eq!(world.keep_alive().await.failed, 0);
    }
}
