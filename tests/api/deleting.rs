//! Deleting a credential: no endpoint finds it any more, but its row is kept until the purge.

use aws_sdk_dynamodb::types::AttributeValue;
use shared::timestamp::Timestamp;

use crate::proxy::Service;
use crate::world::{Answer, World};

const NOT_FOUND: &str = "Zoom credential not found";

/// The credential is not found.
#[track_caller]
pub(crate) fn expect_gone(answer: &Answer) {
    answer.expect_error(404, "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID", NOT_FOUND);
}

#[tokio::test]
async fn a_deleted_credential_keeps_its_row_and_its_secrets_and_is_marked_for_the_purge() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let (before, secrets) = (world.row(&id).await, world.sorted_rows("secrets").await);

    world.acme.delete(&id).await.expect(200);

    let mut after = world.row(&id).await;
    assert_eq!(world.sorted_rows("secrets").await, secrets);
    assert_eq!(after.remove("deleted"), Some(AttributeValue::Bool(true)));
    let at = after.remove("deleted_at").unwrap();
    let at = Timestamp::try_from(at.as_s().unwrap().clone()).unwrap();
    let purge = after.remove("purge_at").unwrap();
    let purge: i64 = purge.as_n().unwrap().parse().unwrap();
    assert_eq!(purge - at.as_seconds(), 30 * 24 * 3600);
    assert_eq!(
        after.get("change"),
        Some(&AttributeValue::S("deleted".to_owned()))
    );
    for (name, value) in before {
        let changed = ["deleted", "change", "version", "updated_at", "writer"];
        if !changed.contains(&name.as_str()) {
            assert_eq!(after.get(&name), Some(&value), "{name}");
        }
    }
}

#[tokio::test]
async fn deleting_a_credential_twice_is_not_found_and_changes_nothing() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;
    world.acme.delete(&id).await.expect(200);
    let deleted = world.row(&id).await;

    expect_gone(&world.acme.delete(&id).await);
    expect_gone(&world.acme.delete(&id).await);
    assert_eq!(world.row(&id).await, deleted);
}

#[tokio::test]
async fn deleting_a_credential_calls_neither_zoom_nor_kms_and_keeps_the_grant() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    world.wire.reset();
    world.acme.delete(&id).await.expect(200);

    assert_eq!(world.wire.count(Service::Zoom), 0);
    assert_eq!(world.wire.count(Service::Kms), 0);
    assert!(world.zoom.grants()[0].alive);
}
