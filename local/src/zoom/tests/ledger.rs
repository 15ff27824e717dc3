//! The ledger: it records every call, and no secret.

use super::super::{Endpoint, Fault, FaultKind, GrantType};
use super::*;

#[tokio::test]
async fn the_ledger_records_every_call_and_no_secret() {
    let zoom = TestZoom::new().await;
    let tokens = zoom.connect().await;
    zoom.sandbox
        .inject(Fault::once(Endpoint::Mint, FaultKind::DropAfter));
    assert!(
        zoom.get("/v2/users/me/token?type=onbehalf", &tokens.access)
            .send()
            .await
            .is_err()
    );
    let misplaced = format!("/oauth/token?refresh_token={}", tokens.refresh);
    send(
        zoom.http
            .post(zoom.url(&misplaced))
            .form(&[("grant_type", "refresh_token")]),
    )
    .await;
    let tracking_id =
        send(zoom.http.get(zoom.url("/nothing"))).await.headers()["x-zm-trackingid"].clone();

    let calls = zoom.sandbox.ledger();
    let recorded: Vec<_> = calls
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
    let exchange = Some(GrantType::AuthorizationCode);
    let refresh = Some(GrantType::RefreshToken);
    let expected = [
        ("POST", "/oauth/token", exchange, Some(200), false),
        ("GET", "/v2/users/me/token", None, None, true),
        ("POST", "/oauth/token", refresh, Some(400), false),
        ("GET", "/nothing", None, Some(404), false),
    ];
    assert_eq!(recorded, expected);
    assert_eq!(calls[1].query, [("type".to_owned(), "onbehalf".to_owned())]);
    assert_eq!(
        calls[2].query,
        [("refresh_token".to_owned(), "…".to_owned())]
    );
    assert_eq!(calls[3].tracking_id, tracking_id.to_str().unwrap());
    assert_eq!((calls[3].began, calls[3].ended), (7, Some(8)));
    let debug = format!("{calls:?}");
    assert!(!debug.contains(&tokens.refresh) && !debug.contains(&tokens.access));
}

#[tokio::test]
async fn the_debug_text_of_an_app_has_no_client_secret() {
    let printed = format!("{:?}", app("app"));
    assert!(printed.contains("redirect_uris") && !printed.contains(CLIENT_SECRET));
}
