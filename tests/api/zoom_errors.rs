//! Errors of Zoom when a grant is used: who has to act, and what the credential says.

use hyper::StatusCode;
use local::zoom::{Endpoint, Fault, FaultKind, GrantType, Reply};
use serde_json::{Value, json};

use crate::minting::mint_onbehalf;
use crate::world::{World, user_body};

/// The endpoint that refreshes a grant.
const REFRESH: Endpoint = Endpoint::Grant(GrantType::RefreshToken);

/// A fault: Zoom answers with this status and body.
fn answers(status: u16, body: &Value) -> FaultKind {
    FaultKind::ReplyBefore(Reply {
        body: Some(body.to_string()),
        ..Reply::status(StatusCode::from_u16(status).unwrap())
    })
}

/// A world with a user credential, in which Zoom answers every mint with this status and body.
async fn world_where_mints_get(status: u16, body: &Value) -> (World, String) {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    world
        .zoom
        .inject(Fault::always(Endpoint::Mint, answers(status, body)));
    (world, id)
}

/// All known failures of a refresh, and who has to act: the user, the operator, or nobody.
// assures 48
#[tokio::test]
async fn each_failure_of_a_refresh_says_who_must_act() {
    let user = (409, json!("FST_ERR_ZOOM_RECONNECT_REQUIRED"), "invalid");
    let operator = (409, json!("FST_ERR_ZOOM_APP_MISCONFIGURED"), "active");
    let nobody = (502, json!("FST_ERR_ZOOM_UNAVAILABLE"), "active");
    let mut table = Vec::new();
    for status in [400, 401] {
        for code in [4711, 4735, 4737, 4738, 4740, 4741] {
            table.push((status, json!({ "code": code, "message": "no" }), &user));
            table.push((status, json!({ "errorCode": code.to_string() }), &user));
        }
        let words = json!({ "reason": "Invalid Token!", "error": "invalid_grant" });
        table.push((status, words, &user));
        table.push((status, json!({ "error": "invalid_grant" }), &user));
        for code in [4702, 4704, 4706, 4709, 4717] {
            table.push((status, json!({ "code": code, "message": "no" }), &operator));
        }
        let words =
            json!({ "reason": "Invalid client_id or client_secret", "error": "invalid_client" });
        table.push((status, words, &operator));
        let words = json!({ "reason": "Invalid Token!", "error": "invalid_request" });
        table.push((status, words, &user));
        let words = json!({ "reason": "Missing grant type.", "error": "invalid_request" });
        table.push((status, words, &nobody));
        table.push((status, json!({ "error": "invalid_request" }), &nobody));
        table.push((
            status,
            json!({ "reason": "Invalid Token!" }),
            if status == 400 { &nobody } else { &operator },
        ));
        let words =
            json!({ "reason": "unsupported grant type", "error": "unsupported_grant_type" });
        table.push((status, words, &operator));
        table.push((status, json!({ "errorCode": 4705 }), &operator));
        table.push((status, json!({ "code": 4732, "message": "busy" }), &nobody));
        table.push((status, json!({ "code": 4700 }), &nobody));
    }
    table.push((401, json!({}), &operator));
    table.push((400, json!({}), &nobody));
    table.push((
        400,
        json!({ "code": 9999, "message": "unheard of" }),
        &nobody,
    ));
    table.push((403, json!({ "error": "access_denied" }), &nobody));

    let world = World::new().await;
    for (status, body, expected) in table {
        let id = world.add_user_credential("desk").await;
        world.expire_access_tokens().await;
        world
            .zoom
            .inject(Fault::always(REFRESH, answers(status, &body)));
        let answer = mint_onbehalf(&world.acme, &id).await;
        world.zoom.clear_faults();

        let state = world.acme.get(&id).await.expect(200)["state"].clone();
        let got = (
            answer.status,
            answer.json()["code"].clone(),
            state.as_str().unwrap(),
        );
        assert_eq!(got, *expected, "{status} {body}");
        world.acme.delete(&id).await.expect(200);
    }
}

/// The user cannot authorize again before an admin has approved the app.
// Seen to fail: no message named the admin
#[tokio::test]
async fn an_app_whose_approval_an_admin_withdrew_is_for_the_user_and_for_an_admin() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    world.expire_access_tokens().await;
    let refusal = json!({ "errorCode": 4738, "reason": "The app is not pre-approved." });
    world
        .zoom
        .inject(Fault::always(REFRESH, answers(400, &refusal)));
    for _ in 0..2 {
        let answer = mint_onbehalf(&world.acme, &id).await;
        answer.expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");
        assert_eq!(answer.json()["details"], "revoked");
    }
    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(
        credential["last_error_message"],
        "revoked: Zoom refuses the grant: it was revoked or replaced (Zoom says: The app is not pre-approved. (4738): an \
         admin of the user's Zoom account must approve the app first). The user must authorize again."
    );
}

// Seen to fail: no message named the admin
#[tokio::test]
async fn a_code_for_an_app_that_no_admin_approved_names_the_admin() {
    let world = World::new().await;
    let refusal = json!({ "errorCode": 4738, "reason": "The app is not pre-approved." });
    let code = Endpoint::Grant(GrantType::AuthorizationCode);
    world.zoom.inject(Fault::once(code, answers(400, &refusal)));
    let refused = world.acme.create(user_body("desk", &world.code())).await;
    let message = refused.expect_code(400, "FST_ERR_ZOOM_CODE_EXCHANGE_FAILED");
    let advice = "(4738): an admin of the user's Zoom account must approve the app first. ";
    assert!(message.contains(advice), "{message}");
}

/// Zoom's refusal of an access token. A refresh would not help if the token is new.
fn token_refusal() -> Value {
    json!({ "code": 124, "message": "Invalid access token." })
}

/// What the vault says about [`token_refusal`]. Zoom's tracking id follows.
const TOKEN_REFUSED: &str = "Invalid access token. (124) (tracking id ";

#[tokio::test]
async fn a_new_access_token_that_zoom_refuses_costs_no_refresh_and_the_refusal_is_recorded() {
    let (world, id) = world_where_mints_get(401, &token_refusal()).await;
    let url = world.given_url(&id, json!({ "type": "onbehalf" })).await;

    for _ in 0..3 {
        let answer = mint_onbehalf(&world.acme, &id).await;
        answer.expect_code(502, "FST_ERR_ZOOM_UNAVAILABLE");
        let details = answer.json()["details"].as_str().unwrap().to_owned();
        assert!(details.starts_with(TOKEN_REFUSED), "{details}");
        assert_eq!(world.vendor_gets(&url, "").await.status, 502);
    }

    assert_eq!(world.refresh_calls(), 0);
    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(credential["state"], "active");
    let message = credential["last_error_message"].as_str().unwrap();
    let expected = format!("access token refused: {TOKEN_REFUSED}");
    assert!(message.starts_with(&expected), "{message}");
    // The tracking id differs each time. Only the first refusal is stored.
    let row = world.row(&id).await;
    mint_onbehalf(&world.acme, &id).await;
    assert_eq!(world.row(&id).await, row);

    world.zoom.clear_faults();
    mint_onbehalf(&world.acme, &id).await.expect(200);
    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(credential["last_error_message"], Value::Null);
}

#[tokio::test]
async fn an_older_access_token_that_zoom_refuses_is_refreshed_once() {
    let (world, id) = world_where_mints_get(401, &token_refusal()).await;
    world.age_access_tokens().await;

    for _ in 0..3 {
        let answer = mint_onbehalf(&world.acme, &id).await;
        answer.expect_code(502, "FST_ERR_ZOOM_UNAVAILABLE");
    }

    assert_eq!(world.refresh_calls(), 1);
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");
}

#[tokio::test]
async fn a_check_whose_new_access_token_zoom_refuses_says_so_and_refreshes_nothing() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    let refusal = answers(401, &token_refusal());
    world.zoom.inject(Fault::always(Endpoint::Profile, refusal));

    let checked = world.acme.check(&id).await.expect(200);

    for capability in ["onbehalf", "zak", "local_recording", "profile"] {
        let capability = &checked["capabilities"][capability];
        assert_eq!(capability["code"], "FST_ERR_ZOOM_UNAVAILABLE");
        let reason = capability["reason"].as_str().unwrap();
        assert!(reason.contains(TOKEN_REFUSED), "{reason}");
    }
    assert_eq!(world.refresh_calls(), 0);
    let credential = world.acme.get(&id).await.expect(200);
    let message = credential["last_error_message"].as_str().unwrap();
    assert!(message.contains(TOKEN_REFUSED), "{message}");
}

#[tokio::test]
async fn an_unknown_refusal_is_a_failure_of_zoom_and_does_not_change_the_credential() {
    let odd = json!({ "code": 9999, "message": "Nobody has heard of this." });
    let (world, id) = world_where_mints_get(400, &odd).await;

    let answer = mint_onbehalf(&world.acme, &id).await;

    answer.expect_code(502, "FST_ERR_ZOOM_UNAVAILABLE");
    let details = answer.json()["details"].as_str().unwrap().to_owned();
    assert!(
        details.contains("(9999)") && details.contains("tracking id"),
        "{details}"
    );
    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(credential["last_error_message"], Value::Null);
}

/// What a caller gets: status, code and `details`.
type Expected<'a> = (u16, &'a str, &'a str);

/// Expects this answer to a mint that Zoom refuses with each status, code and message. No refusal spends a refresh.
async fn expect_refusals(expected: Expected<'_>, refusals: &[(u16, i64, &str)]) {
    let (wanted, name, details) = expected;
    let world = World::new().await;
    for (status, code, message) in refusals {
        let id = world.add_user_credential("desk").await;
        let body = json!({ "code": code, "message": message });
        world
            .zoom
            .inject(Fault::always(Endpoint::Mint, answers(*status, &body)));

        let answer = mint_onbehalf(&world.acme, &id).await;

        world.zoom.clear_faults();
        answer.expect_code(wanted, name);
        assert_eq!(answer.json()["details"], details, "{status} {body}");
        assert_eq!(world.refresh_calls(), 0, "{status} {body}");
        let is_gone = details == "user_gone";
        let state = if is_gone { "invalid" } else { "active" };
        assert_eq!(world.acme.get(&id).await.expect(200)["state"], state);
        world.acme.delete(&id).await.expect(200);
    }
}

// assures 48
#[tokio::test]
async fn each_permanent_refusal_of_a_mint_says_who_must_act() {
    let recording = "Not allowed to start local recording. Enable the \"Local Recording\" setting.";
    let caller = (400, "FST_ERR_ZOOM_REFUSED", "caller");
    let refusals = [
        (400, 300, "Invalid meeting ID."),
        (404, 300, "Meeting does not exist."),
        (404, 3001, "Meeting does not exist: 1."),
        (400, 3000, "Cannot access Webinar information."),
    ];
    expect_refusals(caller, &refusals).await;
    let host = (400, "FST_ERR_ZOOM_REFUSED", "host");
    expect_refusals(host, &[(400, 3000, recording)]).await;
    let account_admin = (400, "FST_ERR_ZOOM_REFUSED", "account_admin");
    let refusals = [
        (400, 3161, "Meeting hosting is not allowed."),
        (400, 200, "No permission."),
        (200, 200, "No permission."),
        (401, 200, "Account does not enabled REST API."),
        (403, 403, "Access to the Zoom REST API has been denied."),
    ];
    expect_refusals(account_admin, &refusals).await;
}

/// The text decides, since the codes differ.
#[tokio::test]
async fn a_missing_scope_is_named_whatever_code_comes_with_it() {
    let scopes = "Invalid access token, does not contain scopes:[user:read:token].";
    let refusals = [
        (400, 4711, scopes),
        (403, 4700, scopes),
        (401, 201, scopes),
        (401, 124, scopes),
    ];
    let expected = (400, "FST_ERR_ZOOM_MISSING_SCOPE", "user:read:token");
    expect_refusals(expected, &refusals).await;
}

#[tokio::test]
async fn a_mint_that_the_app_may_not_make_is_for_the_operator() {
    for (code, message) in [
        (2300, "This API endpoint is not recognized."),
        (124, "This API only supports OAuth2 authorization"),
    ] {
        let details = format!("{message} ({code})");
        let expected = (409, "FST_ERR_ZOOM_APP_MISCONFIGURED", details.as_str());
        expect_refusals(expected, &[(400, code, message)]).await;
    }
}

#[tokio::test]
async fn a_user_whom_zoom_does_not_know_must_authorize_again() {
    let refusals = [
        (404, 1001, "User does not exist."),
        (400, 1001, "User does not exist."),
        (404, 1010, "User not found on this account."),
        (400, 1010, "User not found on this account."),
    ];
    let expected = (409, "FST_ERR_ZOOM_RECONNECT_REQUIRED", "user_gone");
    expect_refusals(expected, &refusals).await;
}

// assures 48
#[tokio::test]
async fn the_message_of_a_permanent_refusal_says_what_to_do() {
    for (code, message, advice) in [
        (300, "No.", "No. (300). Check meeting_id and ttl."),
        (
            3000,
            "Not allowed to start local recording.",
            "Not allowed to start local recording. (3000). The host of the meeting, or an admin of the host's Zoom account, must change this setting in Zoom.",
        ),
        (
            3161,
            "No.",
            "No. (3161). An admin of the user's Zoom account must allow this in Zoom. The user need not authorize again.",
        ),
    ] {
        let body = json!({ "code": code, "message": message });
        let (world, id) = world_where_mints_get(400, &body).await;

        let answer = mint_onbehalf(&world.acme, &id).await;

        let expected = format!("Zoom refused the request: {advice}");
        answer.expect_error(400, "FST_ERR_ZOOM_REFUSED", &expected);
    }
}

/// Zoom has answered with a text in the place of a token, and with an error object under status 200.
#[tokio::test]
async fn an_answer_without_a_token_is_never_released_as_a_token() {
    for body in [
        json!({ "token": "Token is no longer supported. Please use ZAK token instead." }),
        json!({ "token": "" }),
        json!({}),
        json!({ "code": 9999, "message": "Nobody has heard of this." }),
    ] {
        let (world, id) = world_where_mints_get(200, &body).await;
        let answer = mint_onbehalf(&world.acme, &id).await;
        answer.expect_code(502, "FST_ERR_ZOOM_UNAVAILABLE");
        assert!(answer.json()["details"].is_string(), "{body}");
    }
}

#[tokio::test]
async fn the_details_of_a_rate_limit_hold_what_zooms_support_asks_for() {
    let limited = json!({ "code": 429, "message": "You have exceeded the rate." });
    let (world, id) = world_where_mints_get(429, &limited).await;

    let answer = mint_onbehalf(&world.acme, &id).await;

    answer.expect_code(503, "FST_ERR_UNAVAILABLE");
    let details = answer.json()["details"].as_str().unwrap().to_owned();
    assert!(
        details.starts_with("zoom_rate: code 429 (tracking id "),
        "{details}"
    );
}

/// `user_gone` changes the state once, and one event records the change.
#[tokio::test]
async fn a_user_who_is_gone_shows_in_the_state_and_in_the_events() {
    let gone = json!({ "code": 1001, "message": "User does not exist." });
    let (world, id) = world_where_mints_get(404, &gone).await;

    for _ in 0..2 {
        let answer = mint_onbehalf(&world.acme, &id).await;
        answer.expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");
        assert_eq!(answer.json()["details"], "user_gone");
    }

    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(credential["state"], "invalid");
    let message = credential["last_error_message"].as_str().unwrap();
    assert!(message.starts_with("user_gone"), "{message}");
    assert_eq!(world.state_changes(&id).await, ["invalid user_gone"]);

    world.zoom.clear_faults();
    mint_onbehalf(&world.acme, &id).await.expect(200);
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");
    assert_eq!(
        world.state_changes(&id).await,
        ["active", "invalid user_gone"]
    );
}
