//! What the purge deletes, and what it keeps.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;
use shared::keep_alive::Report;

use super::{
    HOUR, authorize_again, dump, dump_without_memory, enable_revocation, grant_secret_id,
    sealed_secrets, settle, spawn_mint,
};
use crate::deleting::expect_gone;
use crate::minting::mint_onbehalf;
use crate::proxy::Service;
use crate::world::{Item, REDIRECT_URI, World, attribute};

// assures 41. Seen to fail: the purge deleted young grants too (docs/reliability.md)
#[tokio::test]
async fn a_purge_deletes_everything_of_a_credential() {
    let world = World::new().await;
    let kept = world.add_credential_for_user("bob").await;
    let before = (
        sealed_secrets(&world).await,
        dump_without_memory(&world).await.lines().count(),
    );
    let id = world.add_user_credential("bot").await;
    world
        .given_url(&id, json!({ "name": "vendor", "type": "onbehalf" }))
        .await;
    let row = world.row(&id).await;
    world.acme.delete(&id).await.expect(200);
    assert!(world.drain_stream().await);

    world.expire_deleted().await;
    // TTL has deleted the credential's row. The purge deletes what belongs to the credential alone when it reads the
    // stream, and keep-alive deletes the grant once no invocation can need it.
    assert_eq!(sealed_secrets(&world).await.len(), 4);
    assert!(world.drain_stream().await);
    assert_eq!(sealed_secrets(&world).await.len(), 3);
    let left = world.keep_alive().await;
    assert_eq!((left.left, left.destroyed), (1, 0), "the grant is young");
    world.age_grants_by(HOUR).await;
    world.backdate_grants().await;
    assert_eq!(world.keep_alive().await.destroyed, 1);
    world.expire_pairs().await;

    let dump = dump_without_memory(&world).await;
    for purged in [id.as_str(), attribute(&row, "grant_id")] {
        assert!(!dump.contains(purged), "{purged}");
    }
    assert_eq!((sealed_secrets(&world).await, dump.lines().count()), before);
    expect_gone(&world.acme.restore(&id).await);
    mint_onbehalf(&world.acme, &kept).await.expect(200);
}

#[tokio::test]
async fn a_grant_is_kept_until_every_credential_that_uses_it_is_purged() {
    let world = World::new().await;
    let older = world.add_user_credential("older").await;
    world.backdate_authorization(&older).await;
    let newer = world.add_user_credential("newer").await;
    let grant = grant_secret_id(&world, &newer).await;
    assert_eq!(grant, grant_secret_id(&world, &older).await);

    // The newer credential is purged. The older one is deleted, restored, deleted again, and purged.
    world.acme.delete(&newer).await.expect(200);
    world.expire_deleted().await;
    world.acme.delete(&older).await.expect(200);
    assert!(world.drain_stream().await);
    assert!(sealed_secrets(&world).await.contains(&grant));
    world.acme.restore(&older).await.expect(200);
    mint_onbehalf(&world.acme, &older).await.expect(200);
    world.acme.delete(&older).await.expect(200);
    world.expire_deleted().await;
    settle(&world).await;
    assert_eq!(sealed_secrets(&world).await, [""; 0]);
}

#[tokio::test]
async fn a_grant_that_its_last_credential_left_is_tried_once_and_then_deleted() {
    let world = World::new().await;
    let older = world.add_user_credential("older").await;
    let old_grant = grant_secret_id(&world, &older).await;
    world.backdate_authorization(&older).await;
    let newer = world.add_user_credential("newer").await;
    assert!(world.drain_stream().await);
    assert!(sealed_secrets(&world).await.contains(&old_grant));
    let destroyed = Report {
        unwanted: 1,
        destroyed: 1,
        ..Report::default()
    };
    world.age_access_tokens().await;
    assert_eq!(world.keep_alive().await, destroyed);
    assert!(!sealed_secrets(&world).await.contains(&old_grant));
    assert_eq!(world.refresh_calls(), 1);

    // Another user authorizes one of the credentials. The other one keeps the first user's grant.
    world.add_credential_for_user("bob").await;
    let body =
        json!({ "authorization_code": world.code_of("bob", None), "redirect_uri": REDIRECT_URI });
    world.acme.update(&newer, body).await.expect(200);
    settle(&world).await;
    for id in [&older, &newer] {
        mint_onbehalf(&world.acme, id).await.expect(200);
    }
}

#[tokio::test]
async fn a_re_authorization_counts_its_credential_out_of_its_old_pair() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    world.add_user_credential("other").await;
    let bob = world.add_credential_for_user("bob").await;
    let code = world.code_of("bob", None);
    let body = json!({ "authorization_code": code, "redirect_uri": REDIRECT_URI });
    world.acme.update(&id, body).await.expect(200);
    world.acme.delete(&bob).await.expect(200);

    for (user, counts) in [("ada", ("1", "1")), ("bob", ("2", "1"))] {
        let pair = world.pair_of(user).await;
        let counted = (attribute(&pair, "members"), attribute(&pair, "live"));
        assert_eq!(counted, counts, "{user}");
    }
}

#[tokio::test]
async fn after_a_re_authorization_no_table_names_the_old_grant() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let old_grant = attribute(&world.row(&id).await, "grant_id").to_owned();
    authorize_again(&world, &id).await;
    settle(&world).await;
    assert!(!dump(&world).await.contains(&old_grant));
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

/// The mint has read the old grant, and is about to refresh that grant or waits for Zoom's answer.
#[tokio::test]
async fn a_mint_that_a_re_authorization_overtakes_uses_the_new_grant() {
    for (service, operation) in [(Service::Kms, "Decrypt"), (Service::Zoom, "/oauth/token")] {
        let world = World::new().await;
        let id = world.add_user_credential("bot").await;
        world.expire_access_tokens().await;
        let held = world.wire.hold(service, operation);
        let mint = spawn_mint(&world, &id);
        world.wire.stalled().await;
        authorize_again(&world, &id).await;
        assert!(world.drain_stream().await);
        held.notify_one();
        mint.await.unwrap().expect(200);
        assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");
    }
}

/// A person who can write rows of one team must not be able to destroy the grant of another team.
#[tokio::test]
async fn a_purge_does_not_destroy_the_grant_of_another_team() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let mut forged = world.row(&id).await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    forged.insert("team_id".to_owned(), text("zeta"));
    forged.insert(
        "credential_id".to_owned(),
        text(&uuid::Uuid::now_v7().to_string()),
    );
    forged.insert("deleted".to_owned(), AttributeValue::Bool(true));
    forged.insert("purge_at".to_owned(), AttributeValue::N("1".to_owned()));
    world.put("credentials", forged).await;
    world.expire_deleted().await;
    assert!(world.drain_stream().await);

    mint_onbehalf(&world.acme, &id).await.expect(200);
    assert_eq!(sealed_secrets(&world).await.len(), 2);
}

#[tokio::test]
async fn a_forged_credential_that_leaves_or_deletes_a_grant_does_not_destroy_it_for_another_team() {
    let world = World::new().await;
    enable_revocation(&world).await;
    let (id, own) = (
        world.add_user_credential("bot").await,
        world.add_credential_for_user("bob").await,
    );
    let mut forged = world.row(&own).await;
    let mut other = world.row(&id).await;
    for row in [&mut forged, &mut other] {
        row.insert("team_id".to_owned(), AttributeValue::S("zeta".to_owned()));
    }
    // The credential of `zeta` moves to the grant of `acme`, leaves it, moves to it again, and is deleted.
    let put = async |row: &Item, version: u32, deleted: bool| {
        let mut row = row.clone();
        let text = |text: &str| AttributeValue::S(text.to_owned());
        row.insert("credential_id".to_owned(), text(&own));
        row.insert("version".to_owned(), AttributeValue::N(version.to_string()));
        row.insert("deleted".to_owned(), AttributeValue::Bool(deleted));
        let change = if deleted { "deleted" } else { "active" };
        row.insert("change".to_owned(), text(change));
        world.put("credentials", row).await;
    };
    put(&other, 5, false).await;
    put(&forged, 6, false).await;
    put(&other, 7, false).await;
    put(&other, 8, true).await;
    let before = world.sorted_rows("secrets").await;
    assert!(world.drain_stream().await);
    assert_eq!(world.sorted_rows("secrets").await, before);
    assert_eq!(world.keep_alive().await, Report::default());
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

#[tokio::test]
async fn a_row_copied_from_a_backup_destroys_no_grant() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let backup = world.row(&id).await;
    authorize_again(&world, &id).await;
    assert!(world.drain_stream().await);
    let live = world.row(&id).await;
    let grant = format!("grant#{}", attribute(&live, "grant_id"));

    world.put("credentials", backup).await;
    assert!(world.drain_stream().await);
    assert!(sealed_secrets(&world).await.contains(&grant));
    // Putting the live row back undoes the mistake.
    world.put("credentials", live).await;
    assert!(world.drain_stream().await);
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

#[tokio::test]
async fn a_row_deleted_by_hand_causes_no_purge() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let row = world.row(&id).await;
    let mut delete = world.dynamodb.delete_item().table_name("credentials");
    for key in ["team_id", "credential_id"] {
        delete = delete.key(key, row[key].clone());
    }
    delete.send().await.unwrap();
    assert!(world.drain_stream().await);

    world.put("credentials", row).await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
}
