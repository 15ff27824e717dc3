//! Getting and listing.

use serde_json::json;

use crate::world::{World, user_body};

#[tokio::test]
async fn a_created_credential_can_be_read() {
    let world = World::new().await;
    let created = world
        .acme
        .create(user_body("bot", &world.code()))
        .await
        .expect(201);
    let id = created["credential_id"].as_str().unwrap();

    assert_eq!(world.acme.get(id).await.expect(200), created);
    assert_eq!(world.acme.list("").await.expect(200), json!([created]));
}
