//! Limits: the mint rate, the round trips, and the time that a vendor waits.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use shared::stores::TeamSettingsChange;

use super::{MINT_PATH, expect_plain_text};
use crate::proxy::{Fault, Rule, Service};
use crate::world::World;

#[tokio::test]
async fn token_urls_count_against_the_mint_rate_of_the_team() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let url = world.given_limited_url(&id, 1).await;
    let acme = "acme".parse().unwrap();
    let settings = TeamSettingsChange {
        mint_rate: Some(0),
        ..TeamSettingsChange::default()
    };
    let settings = world.operator.set(&acme, settings).await.unwrap();
    assert_eq!(settings.mint_rate, 0);
    world.wire.reset();

    let answer = world.vendor_gets(&url, "").await;
    expect_plain_text(
        &answer,
        429,
        "Rate limit exceeded: try again after retry-after",
    );
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(world.uses(&url.id).await, "0");
    assert_eq!(world.kms_and_zoom_calls(), 0);
}

/// The round trips are those of a mint, except that the URL is read before the credential. The fourth round trip stores
/// the event, while the vault waits for Zoom.
#[tokio::test]
async fn a_token_url_takes_three_round_trips_and_one_for_its_event() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let url = world.given_url(&id, json!({ "type": "onbehalf" })).await;
    assert_eq!(world.vendor_gets(&url, "").await.status, 200);
    world.wire.reset();
    world.wire.inject(Rule {
        service: None,
        operation: None,
        nth: None,
        fault: Fault::Delay(Duration::from_millis(200)),
    });

    assert_eq!(world.vendor_gets(&url, "").await.status, 200);
    world.wire.heal();
    assert_eq!(world.wire.in_series(&[Service::DynamoDb, Service::Kms]), 4);
    assert_eq!(world.wire.count(Service::DynamoDb), 6);
    assert_eq!(world.wire.count(Service::Kms), 0);
    assert_eq!(world.wire.count(Service::Zoom), 1);
}

/// This test takes several seconds, because the vault really waits.
#[tokio::test]
async fn a_vendor_is_answered_within_15_seconds_although_zoom_does_not_answer() {
    let silent_refresh = async {
        let world = World::new().await;
        let id = world.add_user_credential("bot").await;
        let url = world.given_limited_url(&id, 1).await;
        world.expire_access_tokens().await;
        world
            .wire
            .inject_once(Service::Zoom, "/oauth/token", Fault::Stall);
        let body = json!({ "credential_id": id, "type": "onbehalf" });
        let lease_holder = world.invoke(Method::POST, "/v2/zoom-tokens", &body);
        world.wire.stalled().await;

        let started = Instant::now();
        let answer = world.vendor_gets(&url, "").await;
        expect_plain_text(
            &answer,
            503,
            "Temporarily unavailable: try again after retry-after",
        );
        assert!(started.elapsed() < Duration::from_secs(15));
        assert_eq!(world.uses(&url.id).await, "0");
        lease_holder.abort();
    };
    let silent_mint = async {
        let world = World::new().await;
        let id = world.given_warm_user().await;
        let url = world.given_limited_url(&id, 1).await;
        world
            .wire
            .inject_once(Service::Zoom, MINT_PATH, Fault::Stall);

        let started = Instant::now();
        let answer = world.vendor_gets(&url, "").await;
        expect_plain_text(
            &answer,
            504,
            "Zoom did not answer in time. It is safe to retry.",
        );
        assert!(started.elapsed() < Duration::from_secs(15));
        assert_eq!(world.uses(&url.id).await, "0");
    };
    tokio::join!(silent_refresh, silent_mint);
}
