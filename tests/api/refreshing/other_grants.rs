//! A credential moves to another grant of the same app and Zoom user if its own is dead.

use reqwest::StatusCode;
use serde_json::Value;

use crate::minting::mint_onbehalf;
use crate::proxy::{Fault, Rule, Service};
use crate::world::{World, attribute};

#[tokio::test]
async fn a_credential_whose_grant_zoom_replaced_moves_to_the_grant_that_works() {
    let world = World::new().await;
    // The two authorizations are so close that nobody can tell which grant Zoom keeps.
    let older = world.add_user_credential("older").await;
    let newer = world.add_user_credential("newer").await;
    assert_ne!(
        attribute(&world.row(&older).await, "grant_id"),
        attribute(&world.row(&newer).await, "grant_id")
    );
    world.expire_access_tokens().await;

    mint_onbehalf(&world.acme, &older).await.expect(200);

    assert_eq!(
        attribute(&world.row(&older).await, "grant_id"),
        attribute(&world.row(&newer).await, "grant_id")
    );
    mint_onbehalf(&world.acme, &newer).await.expect(200);
    assert_eq!(world.acme.get(&older).await.expect(200)["state"], "active");
}

/// Zoom ends the older grant within the minute in which its access token is new.
#[tokio::test]
async fn a_credential_whose_new_access_token_zoom_refuses_moves_to_the_grant_that_works_without_a_refresh()
 {
    let world = World::new().await;
    let older = world.add_user_credential("older").await;
    let newer = world.add_user_credential("newer").await;

    mint_onbehalf(&world.acme, &older).await.expect(200);

    assert_eq!(
        attribute(&world.row(&older).await, "grant_id"),
        attribute(&world.row(&newer).await, "grant_id")
    );
    assert_eq!(world.refresh_calls(), 0);
}

#[tokio::test]
async fn a_credential_moves_to_another_grant_only_after_zoom_accepted_that_grants_token() {
    let world = World::new().await;
    let older = world.add_user_credential("older").await;
    let newer = world.add_user_credential("newer").await;
    let grant_of = async |id: &str| attribute(&world.row(id).await, "grant_id").to_owned();
    let (own, works) = (grant_of(&older).await, grant_of(&newer).await);
    world.expire_access_tokens().await;
    world.wire.reset();
    world.wire.inject(Rule {
        service: Some(Service::Zoom),
        operation: Some("/v2/users/me/token"),
        nth: None,
        fault: Fault::Answer(StatusCode::BAD_GATEWAY, "<html>".to_owned()),
    });

    let answer = mint_onbehalf(&world.acme, &older).await;

    // The other grant was refreshed, but no mint with its token has succeeded yet.
    answer.expect_code(502, "FST_ERR_ZOOM_UNAVAILABLE");
    assert_eq!(grant_of(&older).await, own);
    assert_eq!(world.acme.get(&older).await.expect(200)["state"], "active");
    world.wire.heal();
    mint_onbehalf(&world.acme, &older).await.expect(200);
    assert_eq!(grant_of(&older).await, works);
}

/// A release that comes late must not end a later lease of the same invocation.
#[tokio::test]
async fn each_lease_of_one_mint_has_its_own_id() {
    let world = World::new().await;
    let older = world.add_user_credential("older").await;
    world.postdate_authorization(&older).await;
    world.add_user_credential("newer").await;
    world.expire_access_tokens().await;
    world.wire.reset();
    // Zoom refuses the grant of the older credential, and accepts the other one.
    mint_onbehalf(&world.acme, &older).await.expect(200);

    let calls = world.wire.calls();
    let leases = calls.iter().filter_map(|call| {
        let body: Value = serde_json::from_slice(&call.body).ok()?;
        let (_, set) = body["UpdateExpression"]
            .as_str()?
            .split_once("#lease_id = ")?;
        let placeholder = set.split(',').next()?;
        Some(body["ExpressionAttributeValues"][placeholder]["S"].to_string())
    });
    let leases: Vec<String> = leases.collect();
    assert_eq!(leases.len(), 2);
    assert_ne!(leases[0], leases[1]);
}
