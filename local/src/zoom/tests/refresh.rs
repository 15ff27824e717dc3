//! Grants: rotation, moods, and all that ends them.

use std::time::Duration;

use super::super::{GrantRecord, Mood};
use super::*;

const DAY: Duration = Duration::from_hours(24);

fn superseded() -> Value {
    json!({ "reason": "Invalid Token!", "error": "invalid_grant", "errorCode": 4741 })
}

fn only_grant(world: &World) -> GrantRecord {
    let [grant] = world.sandbox.grants().try_into().unwrap();
    grant
}

#[tokio::test]
async fn a_refresh_answers_a_new_pair_and_kills_the_old_one() {
    let world = World::new().await;
    let old = world.connect().await;
    ok(world.profile(&old)).await;
    let body = ok(world.refresh(&old.refresh)).await;
    assert_eq!(body["scope"], ALL_SCOPES.join(" "));
    assert_eq!(body["expires_in"], 3599);
    let new = Pair::from(body);

    expect(world.profile(&old), 401, expired_access_token()).await;
    ok(world.profile(&new)).await;
    expect(world.refresh(&old.refresh), 400, invalid_token()).await;
    assert!(!world.sandbox.is_live_refresh_token(&old.refresh));
    world.refreshed(&new).await;
}

#[tokio::test]
async fn the_record_counts_refreshes_by_generation_and_spent_tokens() {
    let world = World::new().await;
    let first = world.connect().await;
    let second = world.refreshed(&first).await;
    let third = world.refreshed(&second).await;
    expect(world.refresh(&first.refresh), 400, invalid_token()).await;
    expect(world.refresh(&first.refresh), 400, invalid_token()).await;

    let grant = only_grant(&world);
    assert_eq!(Some(grant.id), world.sandbox.grant_of(&third.refresh));
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
    assert!(world.sandbox.is_live_refresh_token(&third.refresh));
}

#[tokio::test]
async fn of_many_refreshes_at_once_one_succeeds() {
    let world = World::new().await;
    let pair = world.connect().await;
    let tries = (0..8)
        .map(|_| tokio::spawn(send(world.refresh(&pair.refresh))))
        .collect::<Vec<_>>();
    let mut successes = 0;
    for attempt in tries {
        successes += u32::from(attempt.await.unwrap().status().is_success());
    }
    assert_eq!(successes, 1);
    assert_eq!(only_grant(&world).spent_posts, 7);
}

#[tokio::test]
async fn a_refresh_token_is_bound_to_its_app() {
    let world = World::new().await;
    world.sandbox.register_app(app("other"));
    let pair = world.connect().await;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", pair.refresh.as_str()),
    ];
    expect(
        world.post_token_as("other", SECRET, &form),
        400,
        invalid_token(),
    )
    .await;
    expect(world.refresh(&pair.access), 400, invalid_token()).await;
    expect(world.refresh("nonsense"), 400, invalid_token()).await;
    world.refreshed(&pair).await;
}

#[tokio::test]
async fn in_the_mood_that_revokes_the_family_a_spent_token_kills_the_grant() {
    let world = World::new().await;
    world.sandbox.set_mood(Mood::ReuseRevokesFamily);
    let old = world.connect().await;
    let new = world.refreshed(&old).await;
    expect(world.refresh(&old.refresh), 400, invalid_token()).await;
    expect(world.refresh(&new.refresh), 400, invalid_token()).await;
    expect(world.profile(&new), 401, expired_access_token()).await;
    assert!(!only_grant(&world).alive);
}

#[tokio::test]
async fn in_the_mood_that_forgives_the_previous_token_works_one_more_time() {
    let world = World::new().await;
    world.sandbox.set_mood(Mood::OldTokenOnceMore);
    let first = world.connect().await;
    let second = world.refreshed(&first).await;
    let third = world.refreshed(&first).await;
    expect(world.refresh(&first.refresh), 400, invalid_token()).await;
    expect(world.profile(&second), 401, expired_access_token()).await;
    ok(world.profile(&third)).await;

    let fourth = world.refreshed(&third).await;
    expect(world.refresh(&second.refresh), 400, invalid_token()).await;
    assert!(world.sandbox.is_live_refresh_token(&fourth.refresh));
}

#[tokio::test]
async fn an_access_token_lives_for_an_hour() {
    let world = World::new().await;
    let pair = world.connect().await;
    world.sandbox.advance(Duration::from_mins(59));
    ok(world.profile(&pair)).await;
    world.sandbox.advance(Duration::from_mins(1));
    expect(world.profile(&pair), 401, expired_access_token()).await;
    let pair = world.refreshed(&pair).await;
    ok(world.profile(&pair)).await;
}

#[tokio::test]
async fn a_refresh_token_idles_out_after_ninety_days() {
    let world = World::new().await;
    let pair = world.connect().await;
    world.sandbox.advance(DAY * 89);
    let pair = world.refreshed(&pair).await;
    world.sandbox.advance(DAY * 89);
    assert!(world.sandbox.is_live_refresh_token(&pair.refresh));
    world.sandbox.advance(DAY);
    assert!(!world.sandbox.is_live_refresh_token(&pair.refresh));
    expect(world.refresh(&pair.refresh), 400, invalid_token()).await;
}

#[tokio::test]
async fn a_newer_authorization_of_the_pair_kills_the_older_grant() {
    let world = World::new().await;
    world.sandbox.register_user(user("colleague"));
    let colleague = Consent {
        user_id: "colleague".to_owned(),
        ..consent()
    };
    let colleague = ok(world.exchange(&world.sandbox.authorize(colleague).unwrap())).await;
    let old = world.connect().await;

    let code = world.code();
    ok(world.profile(&old)).await;
    let new = Pair::from(ok(world.exchange(&code)).await);
    expect(world.profile(&old), 401, expired_access_token()).await;
    expect(world.refresh(&old.refresh), 400, superseded()).await;
    world.refreshed(&new).await;
    world.refreshed(&Pair::from(colleague)).await;
    let alive: Vec<_> = world
        .sandbox
        .grants()
        .iter()
        .map(|grant| grant.alive)
        .collect();
    assert_eq!(alive, [true, false, true]);
}

#[tokio::test]
async fn the_same_user_may_use_two_apps() {
    let world = World::new().await;
    world.sandbox.register_app(app("other"));
    let pair = world.connect().await;
    let code = world
        .sandbox
        .authorize(Consent {
            client_id: "other".to_owned(),
            ..consent()
        })
        .unwrap();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", REDIRECT),
    ];
    ok(world.post_token_as("other", SECRET, &form)).await;
    world.refreshed(&pair).await;
}

#[tokio::test]
async fn revoking_a_live_access_token_kills_the_grant() {
    let world = World::new().await;
    let old = world.connect().await;
    let pair = world.refreshed(&old).await;
    let revoke = |client_id, token: &str| {
        world
            .http
            .post(world.url("/oauth/revoke"))
            .basic_auth(client_id, Some(SECRET))
            .form(&[("token", token)])
    };
    world.sandbox.register_app(app("other"));

    expect(revoke("app", &old.access), 400, invalid_token()).await;
    expect(revoke("app", &pair.refresh), 400, invalid_token()).await;
    expect(revoke("other", &pair.access), 400, invalid_token()).await;
    expect(revoke("nobody", &pair.access), 400, invalid_client()).await;
    expect(
        revoke("app", &pair.access),
        200,
        json!({ "status": "success" }),
    )
    .await;
    expect(revoke("app", &pair.access), 400, invalid_token()).await;
    expect(world.profile(&pair), 401, expired_access_token()).await;
    expect(world.refresh(&pair.refresh), 400, invalid_token()).await;
}

#[tokio::test]
async fn a_user_who_removes_the_app_ends_its_grant() {
    let world = World::new().await;
    let pair = world.connect().await;
    world.sandbox.remove_app("app", "user");
    expect(world.refresh(&pair.refresh), 400, invalid_token()).await;
    assert!(!world.sandbox.is_live_refresh_token(&pair.refresh));
}
