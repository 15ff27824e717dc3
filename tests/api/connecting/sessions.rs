//! Creating and reading a session: permissions, other teams, and the rules of the body.

use reqwest::Method;
use serde_json::json;
use shared::api_key::Permission;
use shared::connect::SessionId;

use super::{
    SESSIONS_PATH, count_session_secrets, create_session, given_session, new_credential_body, world,
};
use crate::world::{Answer, attribute, send, with};

#[tokio::test]
async fn creating_a_session_needs_a_full_key_and_reading_it_needs_a_read_key() {
    let world = world().await;
    let session = given_session(&world, &new_credential_body()).await;
    let path = format!("{SESSIONS_PATH}/{}", session.id);
    for (permission, create_status, read_status) in [
        (Permission::Full, 201, 200),
        (Permission::Read, 403, 200),
        (Permission::Mint, 403, 403),
    ] {
        let caller = world.caller("acme", permission).await;
        assert_eq!(
            create_session(&caller, &new_credential_body()).await.status,
            create_status
        );
        let read = send(caller.request(Method::GET, &path)).await;
        assert_eq!(read.status, read_status);
    }
    let stranger = world.caller_with_key("zcv_acme_nonsense");
    create_session(&stranger, &new_credential_body())
        .await
        .expect_code(401, "FST_ERR_UNAUTHORIZED");
    send(stranger.request(Method::GET, &path))
        .await
        .expect_code(401, "FST_ERR_UNAUTHORIZED");
}

// assures 17
#[tokio::test]
async fn the_credential_and_the_session_of_another_team_are_answered_as_not_found() {
    let world = world().await;
    let (credential, session) = (
        world.add_app_credential("bot").await,
        given_session(&world, &new_credential_body()).await,
    );
    let globex = world.caller("globex", Permission::Full).await;
    let unknown = SessionId::generate().to_string();
    let response = |answer: &Answer| (answer.status, answer.text.clone());
    for field in ["credential_id", "app_credential_id"] {
        let of_acme = create_session(&globex, &json!({ "name": "x", field: credential })).await;
        let absent = create_session(&globex, &json!({ "name": "x", field: unknown })).await;
        of_acme.expect_error(
            404,
            "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID",
            "Zoom credential not found",
        );
        assert_eq!(response(&of_acme), response(&absent));
    }
    let read = |id: &str| send(globex.request(Method::GET, &format!("{SESSIONS_PATH}/{id}")));
    let (of_acme, absent) = (read(&session.id).await, read(&unknown).await);
    of_acme.expect_error(
        404,
        "FST_ERR_ZOOM_CONNECT_SESSION_NOT_FOUND",
        "Connect session not found",
    );
    assert_eq!(response(&of_acme), response(&absent));
    read("nonsense").await.expect_error(
        400,
        "FST_ERR_VALIDATION",
        "params/id must match format \"uuid\"",
    );
}

#[tokio::test]
async fn an_invalid_session_body_is_refused_with_the_field_and_the_rule() {
    let world = world().await;
    let id = world.add_app_credential("bot").await;
    let cases = [
        (json!({ "name": null }), "body/name is required"),
        (
            json!({ "name": "" }),
            "body/name must NOT have fewer than 1 characters",
        ),
        (
            json!({ "name": "x".repeat(101) }),
            "body/name must NOT have more than 100 characters",
        ),
        (
            json!({ "client_id": null }),
            "body/client_id is required with client_secret",
        ),
        (
            json!({ "client_secret": null }),
            "body/client_secret is required with client_id",
        ),
        (
            json!({ "client_id": null, "client_secret": null }),
            "body/client_id is required, unless app_credential_id or credential_id says whose app is used",
        ),
        (
            json!({ "app_credential_id": id }),
            "body/app_credential_id must NOT come with client_id",
        ),
        (
            json!({ "client_id": null, "client_secret": null, "app_credential_id": id, "credential_id": id }),
            "body/app_credential_id must NOT come with credential_id",
        ),
        (
            json!({ "credential_id": "x" }),
            "body/credential_id must match format \"uuid\"",
        ),
        (json!({ "extra": [] }), "body/extra must be object"),
        (json!({ "return_url": 1 }), "body/return_url must be string"),
    ];
    for (changes, message) in cases {
        let answer = create_session(&world.acme, &with(new_credential_body(), changes)).await;
        answer.expect_error(400, "FST_ERR_VALIDATION", message);
    }
    assert_eq!(count_session_secrets(&world).await, 0);
    let rows = world.items("requests").await;
    let mut ids = rows.iter().map(|row| attribute(row, "request_id"));
    assert!(!ids.any(|id| id.starts_with("connect#")));
}
