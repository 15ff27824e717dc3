//! A row that names another team's grant leads nowhere, also while that team's access token is in memory.

use aws_sdk_dynamodb::types::AttributeValue;
use shared::api_key::Permission;

use crate::minting::mint_onbehalf;
use crate::proxy::Service;
use crate::world::{World, attribute, id_of, user_body};

// assures 50
#[tokio::test]
async fn a_row_that_names_the_grant_of_another_team_mints_nothing_warm_or_cold() {
    let world = World::new().await;
    let own = world.add_user_credential("bot").await;
    let globex = world.caller("globex", Permission::Full).await;
    world.register_grace();
    let body = user_body("bot", &world.code_of("grace", None));
    let others = id_of(&globex.create(body).await.expect(201));
    let grant = attribute(&world.row(&own).await, "grant_id").to_owned();
    let mut row = world.row(&others).await;
    let left = row.insert("grant_id".to_owned(), AttributeValue::S(grant.clone()));
    world.put("credentials", row).await;
    // Otherwise the mint would find the credential's own grant again.
    let left = format!("grant#{}", left.unwrap().as_s().unwrap());
    let delete = world.dynamodb.delete_item().table_name("secrets");
    let delete = delete.key("secret_id", AttributeValue::S(left));
    delete.send().await.unwrap();

    // The access token of the grant is in memory after this.
    mint_onbehalf(&world.acme, &own).await.expect(200);
    world.wire.reset();
    for _ in 0..2 {
        let answer = mint_onbehalf(&globex, &others).await;
        answer.expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");
    }
    assert_eq!(world.wire.count(Service::Zoom), 0);
    mint_onbehalf(&world.acme, &own).await.expect(200);
}
