//! Grants: refreshes, reused refresh tokens, and what ends a grant.

use std::time::Duration;

use super::super::{GrantRecord, RefreshBehaviour};
use super::*;

const DAY: Duration = Duration::from_hours(24);

fn superseded() -> Value {
    json!({ "reason": "Invalid Token!", "error": "invalid_grant", "errorCode": 4741 })
}

fn only_grant(zoom: &TestZoom) -> GrantRecord {
    let [grant] = zoom.sandbox.grants().try_into().unwrap();
    grant
}

#[tokio::test]
async fn a_refresh_returns_new_tokens_and_ends_the_old_ones() {
    let zoom = TestZoom::new().await;
    let old = zoom.connect().await;
    expect_ok(zoom.profile(&old)).await;
    let body = expect_ok(zoom.refresh(&old.refresh)).await;
    assert_eq!(body["scope"], ALL_SCOPES.join(" "));
    assert_eq!(body["expires_in"], 3599);
    let new = Tokens::from(body);

    expect_answer(zoom.profile(&old), 401, expired_access_token()).await;
    expect_ok(zoom.profile(&new)).await;
    expect_answer(zoom.refresh(&old.refresh), 400, invalid_token()).await;
    assert!(!zoom.sandbox.is_live_refresh_token(&old.refresh));
    zoom.refresh_ok(&new).await;
}

#[tokio::test]
async fn the_record_counts_posts_by_generation_and_reused_tokens() {
    let zoom = TestZoom::new().await;
    let first = zoom.connect().await;
    let second = zoom.refresh_ok(&first).await;
    let third = zoom.refresh_ok(&second).await;
    expect_answer(zoom.refresh(&first.refresh), 400, invalid_token()).await;
    expect_answer(zoom.refresh(&first.refresh), 400, invalid_token()).await;

    let grant = only_grant(&zoom);
    assert_eq!(Some(grant.id), zoom.sandbox.grant_of(&third.refresh));
    let expected = GrantRecord {
        id: grant.id,
        client_id: "app".to_owned(),
        user_id: "user".to_owned(),
        generation: 3,
        alive: true,
        refreshes: 2,
        spent_posts: 2,
        posts: vec![3, 1, 0],
    };
    assert_eq!(grant, expected);
    assert!(zoom.sandbox.is_live_refresh_token(&third.refresh));
}

#[tokio::test]
async fn only_one_of_many_concurrent_refreshes_succeeds() {
    let zoom = TestZoom::new().await;
    let tokens = zoom.connect().await;
    let tries = (0..8)
        .map(|_| tokio::spawn(send(zoom.refresh(&tokens.refresh))))
        .collect::<Vec<_>>();
    let mut successes = 0;
    for attempt in tries {
        successes += u32::from(attempt.await.unwrap().status().is_success());
    }
    assert_eq!(successes, 1);
    assert_eq!(only_grant(&zoom).spent_posts, 7);
}

#[tokio::test]
async fn a_refresh_token_works_only_for_its_app() {
    let zoom = TestZoom::new().await;
    zoom.sandbox.register_app(app("other"));
    let tokens = zoom.connect().await;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens.refresh.as_str()),
    ];
    expect_answer(
        zoom.post_token_as("other", CLIENT_SECRET, &form),
        400,
        invalid_token(),
    )
    .await;
    expect_answer(zoom.refresh(&tokens.access), 400, invalid_token()).await;
    expect_answer(zoom.refresh("nonsense"), 400, invalid_token()).await;
    zoom.refresh_ok(&tokens).await;
}

#[tokio::test]
async fn reuse_revokes_family_ends_the_grant_when_a_token_is_reused() {
    let zoom = TestZoom::new().await;
    zoom.sandbox
        .set_refresh_behaviour(RefreshBehaviour::ReuseRevokesFamily);
    let old = zoom.connect().await;
    let new = zoom.refresh_ok(&old).await;
    expect_answer(zoom.refresh(&old.refresh), 400, invalid_token()).await;
    expect_answer(zoom.refresh(&new.refresh), 400, invalid_token()).await;
    expect_answer(zoom.profile(&new), 401, expired_access_token()).await;
    assert!(!only_grant(&zoom).alive);
}

#[tokio::test]
async fn old_token_once_more_accepts_the_previous_token_once() {
    let zoom = TestZoom::new().await;
    zoom.sandbox
        .set_refresh_behaviour(RefreshBehaviour::OldTokenOnceMore);
    let first = zoom.connect().await;
    let second = zoom.refresh_ok(&first).await;
    let third = zoom.refresh_ok(&first).await;
    expect_answer(zoom.refresh(&first.refresh), 400, invalid_token()).await;
    expect_answer(zoom.profile(&second), 401, expired_access_token()).await;
    expect_ok(zoom.profile(&third)).await;

    let fourth = zoom.refresh_ok(&third).await;
    expect_answer(zoom.refresh(&second.refresh), 400, invalid_token()).await;
    assert!(zoom.sandbox.is_live_refresh_token(&fourth.refresh));
}

#[tokio::test]
async fn an_access_token_lives_for_an_hour() {
    let zoom = TestZoom::new().await;
    let tokens = zoom.connect().await;
    zoom.sandbox.advance(Duration::from_mins(59));
    expect_ok(zoom.profile(&tokens)).await;
    zoom.sandbox.advance(Duration::from_mins(1));
    expect_answer(zoom.profile(&tokens), 401, expired_access_token()).await;
    let tokens = zoom.refresh_ok(&tokens).await;
    expect_ok(zoom.profile(&tokens)).await;
}

#[tokio::test]
async fn a_refresh_token_expires_after_ninety_days_without_a_refresh() {
    let zoom = TestZoom::new().await;
    let tokens = zoom.connect().await;
    zoom.sandbox.advance(DAY * 89);
    let tokens = zoom.refresh_ok(&tokens).await;
    zoom.sandbox.advance(DAY * 89);
    assert!(zoom.sandbox.is_live_refresh_token(&tokens.refresh));
    zoom.sandbox.advance(DAY);
    assert!(!zoom.sandbox.is_live_refresh_token(&tokens.refresh));
    expect_answer(zoom.refresh(&tokens.refresh), 400, invalid_token()).await;
}

#[tokio::test]
async fn a_new_authorization_ends_the_older_grant_of_the_same_app_and_user() {
    let zoom = TestZoom::new().await;
    zoom.sandbox.register_user(user("colleague"));
    let colleague = Consent {
        user_id: "colleague".to_owned(),
        ..consent()
    };
    let colleague = expect_ok(zoom.exchange(&zoom.sandbox.authorize(colleague).unwrap())).await;
    let old = zoom.connect().await;

    let code = zoom.new_code();
    expect_ok(zoom.profile(&old)).await;
    let new = Tokens::from(expect_ok(zoom.exchange(&code)).await);
    expect_answer(zoom.profile(&old), 401, expired_access_token()).await;
    expect_answer(zoom.refresh(&old.refresh), 400, superseded()).await;
    zoom.refresh_ok(&new).await;
    zoom.refresh_ok(&Tokens::from(colleague)).await;
    let alive: Vec<_> = zoom
        .sandbox
        .grants()
        .iter()
        .map(|grant| grant.alive)
        .collect();
    assert_eq!(alive, [true, false, true]);
}

#[tokio::test]
async fn grants_of_the_same_user_with_two_apps_are_independent() {
    let zoom = TestZoom::new().await;
    zoom.sandbox.register_app(app("other"));
    let tokens = zoom.connect().await;
    let code = zoom
        .sandbox
        .authorize(Consent {
            client_id: "other".to_owned(),
            ..consent()
        })
        .unwrap();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", REDIRECT_URI),
    ];
    expect_ok(zoom.post_token_as("other", CLIENT_SECRET, &form)).await;
    zoom.refresh_ok(&tokens).await;
}

#[tokio::test]
async fn revoking_a_live_access_token_ends_the_grant() {
    let zoom = TestZoom::new().await;
    let old = zoom.connect().await;
    let tokens = zoom.refresh_ok(&old).await;
    let revoke = |client_id, token: &str| {
        zoom.http
            .post(zoom.url("/oauth/revoke"))
            .basic_auth(client_id, Some(CLIENT_SECRET))
            .form(&[("token", token)])
    };
    zoom.sandbox.register_app(app("other"));

    expect_answer(revoke("app", &old.access), 400, invalid_token()).await;
    expect_answer(revoke("app", &tokens.refresh), 400, invalid_token()).await;
    expect_answer(revoke("other", &tokens.access), 400, invalid_token()).await;
    expect_answer(revoke("nobody", &tokens.access), 400, invalid_client()).await;
    expect_answer(
        revoke("app", &tokens.access),
        200,
        json!({ "status": "success" }),
    )
    .await;
    expect_answer(revoke("app", &tokens.access), 400, invalid_token()).await;
    expect_answer(zoom.profile(&tokens), 401, expired_access_token()).await;
    expect_answer(zoom.refresh(&tokens.refresh), 400, invalid_token()).await;
}

#[tokio::test]
async fn removing_the_app_ends_its_grant() {
    let zoom = TestZoom::new().await;
    let tokens = zoom.connect().await;
    zoom.sandbox.remove_app("app", "user");
    expect_answer(zoom.refresh(&tokens.refresh), 400, invalid_token()).await;
    assert!(!zoom.sandbox.is_live_refresh_token(&tokens.refresh));
}
