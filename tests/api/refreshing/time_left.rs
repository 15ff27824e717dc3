//! What a refresh does when the invocation has little time left, or another refresh is running.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use functions::{runtime, tokens};
use lambda_http::{Context, LambdaEvent};
use local::zoom::{Endpoint, Fault as ZoomFault, FaultKind, GrantType};
use serde_json::json;
use shared::envelope::Envelope;
use shared::grants::Grants;
use shared::stores::{Credentials, Events, Keys, PairWrite, Pairs, RETENTION, Requests, Secrets};
use shared::timestamp::Timestamp;

use super::{Peer, invoke};
use crate::minting::mint_onbehalf;
use crate::proxy::Service;
use crate::world::World;

/// A function begins no refresh if its invocation has less time left than this.
const MIN_REFRESH_TIME: Duration = Duration::from_secs(40);

/// Mints in a function whose invocation ends at `deadline`, and returns the status.
async fn mint_until(world: &World, id: &str, deadline: Timestamp) -> u16 {
    let db = &world.dynamodb;
    let grants = Grants::new(
        Credentials::new(db.clone(), "credentials".to_owned()),
        Pairs::new(db.clone(), "pairs".to_owned()),
        Secrets::new(db.clone(), "secrets".to_owned()),
        Events::new(db.clone(), "events".to_owned(), RETENTION),
        Envelope::new(
            world.kms_client().await,
            world.kms.default_key(),
            Secrets::NAME,
        ),
        world.zoom_client.clone(),
        true,
    );
    let keys = Keys::new(db.clone(), "keys".to_owned());
    let requests = Requests::new(db.clone(), "requests".to_owned());
    let event = json!({
        "httpMethod": "POST",
        "headers": { "x-meeting-baas-api-key": world.acme.key(), "content-type": "application/json" },
        "body": json!({ "credential_id": id, "type": "onbehalf" }).to_string(),
    });
    let mut context = Context::default();
    context.deadline = deadline.as_millis().try_into().unwrap();
    let event = LambdaEvent::new(serde_json::from_value(event).unwrap(), context);
    let answer = runtime::invoke(tokens::mint::ROUTE, event, async |request| {
        tokens::mint::handle(&keys, &requests, &grants, &request).await
    });
    answer.await.status_code.try_into().unwrap()
}

/// The refresh protocol sends a token only if there is time to wait for the answer.
#[tokio::test]
async fn a_stashed_token_is_not_sent_if_too_little_time_is_left_for_the_answer() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    let peer = Peer::of(&world, &id).await;
    let live = peer.refresh(&world).await;
    let lost = peer.made_up_pair().await;
    assert!(matches!(
        peer.commit(1, &lost, false).await,
        PairWrite::Written { .. }
    ));
    assert!(matches!(peer.stash(&live).await, PairWrite::Written { .. }));

    let mut spare = Duration::from_secs(2);
    let status = loop {
        world.wire.reset();
        let refusal = world.wire.hold(Service::Zoom, "/oauth/token");
        let deadline = Timestamp::now().plus(MIN_REFRESH_TIME + spare);
        let mint = mint_until(&world, &id, deadline);
        tokio::pin!(mint);
        tokio::select! {
            () = world.wire.stalled() => {}
            // The machine is too slow: the time was over before the function could send the pair of the row.
            status = &mut mint => {
                assert_eq!(status, 503);
                spare *= 2;
                assert!(spare < Duration::from_mins(5));
                continue;
            }
        }
        // Zoom's refusal of the first pair arrives when there is no time for the second.
        while Timestamp::now().until(deadline) >= MIN_REFRESH_TIME {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        refusal.notify_one();
        break mint.await;
    };

    assert_eq!(status, 503);
    let posts = world.zoom.ledger().into_iter();
    let posts = posts.filter(|call| call.path == "/oauth/token").count();
    // One to authorize, one by the peer, and the refused one.
    assert_eq!(posts, 3);
    assert_eq!(peer.row().await.stash, Some(live.sealed));
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

/// While another function refreshes, a mint with the old access token opens it once and writes nothing.
#[tokio::test]
async fn a_mint_during_another_functions_refresh_opens_the_old_access_token_and_writes_nothing() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    let soon = Timestamp::now().plus(Duration::from_mins(5)).as_millis();
    let soon = AttributeValue::N(soon.to_string());
    world.set_in_grant(&id, "access_expires_at", soon).await;
    world.wire.reset();
    let refresh = Endpoint::Grant(GrantType::RefreshToken);
    let slow = ZoomFault::once(refresh, FaultKind::Delay);
    world.zoom.inject(slow.delayed(Duration::from_mins(5)));
    let refreshing = invoke(&world, &id);
    world.wire.called("/oauth/token", 1).await;
    let updates = || {
        let operations = world.wire.operations(Service::DynamoDb);
        operations.iter().filter(|it| *it == "UpdateItem").count()
    };
    let before = (world.wire.count(Service::Kms), updates());

    for _ in 0..5 {
        mint_onbehalf(&world.acme, &id).await.expect(200);
    }

    // The only write of each mint counts the rate.
    let after = (world.wire.count(Service::Kms), updates());
    assert_eq!(after, (before.0 + 5, before.1 + 5));
    refreshing.abort();
}
