//! How long a bot waits for its token when a service is silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hyper::StatusCode;
use local::zoom::{Endpoint, Fault as ZoomFault, FaultKind, Reply};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::proxy::{Fault, Rule, Service};
use crate::world::World;

/// Zoom gives a bot this long to send its token.
const BOT_TIME_OUT: Duration = Duration::from_secs(15);

/// Counts the time in which the machine lets this test run. If the machine is busy with something else, the vault's
/// timers fire late, and that time does not count.
struct RunningTime {
    started: Instant,
    ticks: Arc<AtomicU32>,
    ticker: JoinHandle<()>,
}

impl RunningTime {
    const TICK: Duration = Duration::from_millis(10);

    fn start() -> Self {
        let ticks = Arc::new(AtomicU32::new(0));
        let counted = ticks.clone();
        let mut interval = tokio::time::interval_at(Instant::now() + Self::TICK, Self::TICK);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ticker = tokio::spawn(async move {
            loop {
                interval.tick().await;
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self {
            started: Instant::now(),
            ticks,
            ticker,
        }
    }

    fn elapsed(&self) -> Duration {
        Self::TICK * self.ticks.load(Ordering::SeqCst)
    }

    /// How long the machine did not let the test run.
    fn paused(&self) -> Duration {
        self.started.elapsed().saturating_sub(self.elapsed())
    }
}

impl Drop for RunningTime {
    fn drop(&mut self) {
        self.ticker.abort();
    }
}

/// Every call of an operation meets a fault.
fn break_operation(world: &World, service: Service, operation: &'static str, fault: Fault) {
    world.wire.inject(Rule {
        service: Some(service),
        operation: Some(operation),
        nth: None,
        fault,
    });
}

/// Calls a token URL while `silence` stops all answers of a service. The bot gets a 503 in time, and the URL's use is
/// given back.
async fn expect_unavailable_in_time(silence: impl FnOnce(&World), use_is_counted: bool) {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let mut body = json!({ "type": "onbehalf" });
    if use_is_counted {
        body["max_uses"] = json!(1);
    }
    let url = world.given_url(&id, body).await;
    silence(&world);
    let time = RunningTime::start();

    assert_eq!(world.vendor_gets(&url, "").await.status, 503);

    let elapsed = time.elapsed();
    assert!(elapsed < BOT_TIME_OUT, "{elapsed:?}");
    if use_is_counted {
        assert_eq!(world.uses(&url.id).await, "0");
    }
}

/// A token that arrives late leaves little time to read the missing profile. The profile call is silent.
async fn expect_token_in_time_without_profile() {
    let world = World::new().await;
    let unreadable = FaultKind::ReplyBefore(Reply {
        body: Some("{}".to_owned()),
        ..Reply::status(StatusCode::INTERNAL_SERVER_ERROR)
    });
    world
        .zoom
        .inject(ZoomFault::always(Endpoint::Profile, unreadable));
    let id = world.add_user_credential("bot").await;
    world.zoom.clear_faults();
    assert!(!world.row(&id).await.contains_key("zoom_user_id"));
    let url = world.given_url(&id, json!({ "type": "onbehalf" })).await;

    for attempt in 1.. {
        world.wire.heal();
        let token = world.wire.hold(Service::Zoom, "/v2/users/me/token");
        break_operation(&world, Service::Zoom, "/v2/users/me", Fault::Stall);
        let time = RunningTime::start();
        let late = time.started + Duration::from_secs(11);
        let (answer, ()) = tokio::join!(world.vendor_gets(&url, ""), async {
            world.wire.stalled().await;
            tokio::time::sleep_until(late).await;
            token.notify_one();
        });

        // The vault waits two more seconds for the token. A machine that pauses in these seconds makes the token late.
        if answer.status == 503 && time.paused() > Duration::from_secs(1) && attempt < 5 {
            continue;
        }
        assert_eq!(answer.status, 200);
        let elapsed = time.elapsed();
        assert!(elapsed < BOT_TIME_OUT, "{elapsed:?}");
        assert!(!world.row(&id).await.contains_key("zoom_user_id"));
        return;
    }
}

/// This test takes about 13 seconds, because the vault waits that long.
#[tokio::test]
async fn a_bot_is_answered_within_15_seconds_when_any_service_is_silent() {
    let events = |world: &World| {
        break_operation(world, Service::DynamoDb, "PutItem", Fault::Stall);
    };
    let kms = |world: &World| world.wire.break_service(Service::Kms, Fault::Stall);
    let dynamodb = |world: &World| world.wire.break_service(Service::DynamoDb, Fault::Stall);
    tokio::join!(
        expect_unavailable_in_time(events, true),
        expect_token_in_time_without_profile(),
        expect_unavailable_in_time(kms, true),
        expect_unavailable_in_time(dynamodb, false),
    );
}
