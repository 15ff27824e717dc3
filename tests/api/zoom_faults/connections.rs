//! A connection to Zoom breaks. A call that may be repeated is sent once more; a code or a refresh token is not.

use std::time::{Duration, Instant};

use hyper::StatusCode;
use secrecy::SecretString;
use serde_json::Value;
use shared::secret::AppCredentials;
use shared::zoom::Authorization;

use super::assert_nothing_stored;
use crate::minting::mint_onbehalf;
use crate::proxy::{Fault, Rule, Service};
use crate::world::{CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, World, app_body, id_of, user_body};

const MINT_PATH: &str = "/v2/users/me/token";
const PROFILE_PATH: &str = "/v2/users/me";
const TOKEN_PATH: &str = "/oauth/token";

/// How often a path of Zoom was called since the last reset.
fn calls(world: &World, path: &str) -> usize {
    let operations = world.wire.operations(Service::Zoom).into_iter();
    operations.filter(|operation| operation == path).count()
}

/// Every call to a path of Zoom meets a fault.
fn break_path(world: &World, path: &'static str, fault: Fault) {
    world.wire.inject(Rule {
        service: Some(Service::Zoom),
        operation: Some(path),
        nth: None,
        fault,
    });
}

fn app() -> AppCredentials {
    AppCredentials {
        client_id: CLIENT_ID.to_owned().try_into().unwrap(),
        client_secret: CLIENT_SECRET.to_owned().try_into().unwrap(),
    }
}

#[tokio::test]
async fn a_mint_whose_connection_breaks_is_repeated_once() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    for fault in [Fault::DropBefore, Fault::DropAfter] {
        world.wire.reset();
        world
            .wire
            .inject_once(Service::Zoom, MINT_PATH, fault.clone());

        mint_onbehalf(&world.acme, &id).await.expect(200);

        assert_eq!(calls(&world, MINT_PATH), 2, "{fault:?}");
        assert_eq!(calls(&world, TOKEN_PATH), 0, "{fault:?}");
    }
}

#[tokio::test]
async fn a_mint_is_not_repeated_twice_and_not_after_an_answer() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    let failed = Fault::Answer(StatusCode::BAD_GATEWAY, "<html>".to_owned());
    for (fault, sent) in [(Fault::DropBefore, 2), (failed, 1)] {
        world.wire.reset();
        break_path(&world, MINT_PATH, fault);

        let answer = mint_onbehalf(&world.acme, &id).await;

        answer.expect_code(502, "FST_ERR_ZOOM_UNAVAILABLE");
        assert_eq!(calls(&world, MINT_PATH), sent);
    }
}

#[tokio::test]
async fn a_profile_whose_connection_breaks_is_read_all_the_same() {
    let world = World::new().await;
    for fault in [Fault::DropBefore, Fault::DropAfter] {
        world.wire.reset();
        world.wire.inject_once(Service::Zoom, PROFILE_PATH, fault);

        let body = user_body("desk", &world.code());
        let data = world.acme.create(body).await.expect(201);

        assert_eq!(data["zoom_user_id"], "ada");
        assert_eq!(data["last_error_message"], Value::Null);
        assert_eq!(calls(&world, PROFILE_PATH), 2);
    }
}

#[tokio::test]
async fn the_check_of_an_app_whose_connection_breaks_is_repeated_once() {
    let world = World::new().await;
    let id = id_of(&world.acme.create(app_body("app")).await.expect(201));
    for fault in [Fault::DropBefore, Fault::DropAfter] {
        world.wire.reset();
        world.wire.inject_once(Service::Zoom, TOKEN_PATH, fault);

        let checked = world.acme.check(&id).await.expect(200);

        assert_eq!(checked["capabilities"]["app"]["status"], "granted");
        assert_eq!(calls(&world, TOKEN_PATH), 2);
    }
}

#[tokio::test]
async fn a_code_is_sent_once_on_a_connection_that_breaks() {
    let world = World::new().await;
    for fault in [Fault::DropBefore, Fault::DropAfter] {
        world.wire.reset();
        break_path(&world, TOKEN_PATH, fault);

        let answer = world.acme.create(user_body("desk", &world.code())).await;

        answer.expect_code(502, "FST_ERR_ZOOM_UNAVAILABLE");
        assert_eq!(calls(&world, TOKEN_PATH), 1);
        assert_nothing_stored(&world).await;
    }
}

/// The refresh protocol sends the token again, step 7. It waits first, and it sends the token no third time.
#[tokio::test]
async fn a_refresh_whose_connection_breaks_is_sent_again_only_by_the_protocol() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    world.expire_access_tokens().await;
    world.wire.reset();
    break_path(&world, TOKEN_PATH, Fault::DropBefore);
    let began = Instant::now();

    let answer = mint_onbehalf(&world.acme, &id).await;

    answer.expect_code(502, "FST_ERR_ZOOM_UNAVAILABLE");
    assert_eq!(calls(&world, TOKEN_PATH), 2);
    assert!(began.elapsed() >= Duration::from_millis(1500));
    world.wire.heal();
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

#[tokio::test]
async fn the_zoom_client_sends_a_code_a_refresh_token_and_a_revocation_once() {
    let world = World::new().await;
    let (app, time) = (app(), Duration::from_secs(10));
    let token = SecretString::from("token".to_owned());
    for fault in [Fault::DropBefore, Fault::DropAfter] {
        world.wire.reset();
        world.wire.break_service(Service::Zoom, fault);
        let authorization = Authorization {
            code: world.code().try_into().unwrap(),
            redirect_uri: REDIRECT_URI.to_owned().try_into().unwrap(),
            code_verifier: None,
        };
        let zoom = &world.zoom_client;

        assert!(zoom.exchange(&app, &authorization, time).await.is_err());
        assert_eq!(world.wire.count(Service::Zoom), 1);
        let connection = zoom.connect().await.unwrap();
        let refreshed = zoom.refresh(connection, &app, &token, time).await;
        assert!(refreshed.is_err());
        assert_eq!(world.wire.count(Service::Zoom), 2);
        assert!(zoom.revoke(&app, &token, time).await.is_err());
        assert_eq!(world.wire.count(Service::Zoom), 3);
    }
}

/// The second try gets no longer than what the first one has left.
#[tokio::test]
async fn a_repeated_mint_that_zoom_does_not_answer_times_out() {
    let world = World::with_zoom_time_out(Duration::from_secs(3)).await;
    let id = world.add_user_credential("desk").await;
    world.wire.reset();
    world
        .wire
        .inject_once(Service::Zoom, MINT_PATH, Fault::DropBefore);
    break_path(&world, MINT_PATH, Fault::Stall);

    let answer = mint_onbehalf(&world.acme, &id).await;

    answer.expect_code(504, "FST_ERR_ZOOM_TIMEOUT");
    assert_eq!(calls(&world, MINT_PATH), 2);
}
