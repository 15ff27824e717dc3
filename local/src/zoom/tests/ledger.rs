//! What is told of calls and apps, and what is not.

use super::super::{Endpoint, Fault, GrantType, Kind};
use super::*;

#[tokio::test]
async fn the_ledger_tells_every_call_and_no_secret() {
    let world = World::new().await;
    let pair = world.connect().await;
    world
        .sandbox
        .inject(Fault::once(Endpoint::Mint, Kind::DropAfter));
    assert!(
        world
            .get("/v2/users/me/token?type=onbehalf", &pair.access)
            .send()
            .await
            .is_err()
    );
    let misplaced = format!("/oauth/token?refresh_token={}", pair.refresh);
    send(
        world
            .http
            .post(world.url(&misplaced))
            .form(&[("grant_type", "refresh_token")]),
    )
    .await;
    let tracking_id =
        send(world.http.get(world.url("/nothing"))).await.headers()["x-zm-trackingid"].clone();

    let calls = world.sandbox.ledger();
    let told: Vec<_> = calls
        .iter()
        .map(|call| {
            (
                call.method.as_str(),
                call.path.as_str(),
                call.grant_type,
                call.status,
                call.faulted,
            )
        })
        .collect();
    let expected = [
        (
            "POST",
            "/oauth/token",
            Some(GrantType::AuthorizationCode),
            Some(200),
            false,
        ),
        ("GET", "/v2/users/me/token", None, None, true),
        (
            "POST",
            "/oauth/token",
            Some(GrantType::RefreshToken),
            Some(400),
            false,
        ),
        ("GET", "/nothing", None, Some(404), false),
    ];
    assert_eq!(told, expected);
    assert_eq!(calls[1].query, [("type".to_owned(), "onbehalf".to_owned())]);
    assert_eq!(
        calls[2].query,
        [("refresh_token".to_owned(), "…".to_owned())]
    );
    assert_eq!(calls[3].tracking_id, tracking_id.to_str().unwrap());
    assert_eq!((calls[3].began, calls[3].ended), (7, Some(8)));
    let debug = format!("{calls:?}");
    assert!(!debug.contains(&pair.refresh) && !debug.contains(&pair.access));
}

#[tokio::test]
async fn nothing_that_can_be_printed_holds_a_client_secret() {
    let printed = format!("{:?}", app("app"));
    assert!(printed.contains("redirect_uris") && !printed.contains(SECRET));
}
