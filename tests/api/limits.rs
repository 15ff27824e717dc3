//! The rate limit of a team: which calls count, and the headers of every answer.
//!
//! A window is a second of the wall clock, so no test assumes that two calls are in one window. Instead the tests read
//! from the table afterwards how many calls each window has counted.

use reqwest::Method;
use serde_json::{Value, json};
use shared::api_key::{ApiKey, Permission};
use shared::credential::CredentialId;
use shared::stores::TeamSettingsChange;

use crate::world::{Answer, Caller, World, app_body, id_of, is_count, send, text_of, user_body};

const HEADERS: [&str; 3] = [
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];

impl World {
    /// A caller of a new team that has this rate.
    async fn caller_with_rate(&self, team: &str, rate: u32) -> Caller {
        let caller = self.caller(team, Permission::Full).await;
        self.set_rate(team, rate).await;
        caller
    }

    async fn set_rate(&self, team: &str, rate: u32) {
        let settings = TeamSettingsChange {
            rate: Some(rate),
            ..TeamSettingsChange::default()
        };
        let team = team.parse().unwrap();
        self.operator.set(&team, settings).await.unwrap();
    }

    /// How many calls each window of a team has counted for the team's keys.
    async fn windows(&self, team: &str) -> Vec<u32> {
        let scanned = self.dynamodb.scan().table_name("requests").send().await;
        let rows = scanned.unwrap().items.unwrap().into_iter();
        let prefix = format!("rate#{team}#");
        rows.filter(|row| row["request_id"].as_s().unwrap().starts_with(&prefix))
            .map(|row| {
                let keys = row.iter().filter(|(name, _)| name.starts_with("key_"));
                let hits = keys.map(|(_, hits)| hits.as_n().unwrap().parse::<u32>().unwrap());
                hits.sum()
            })
            .collect()
    }
}

/// The limit, the remaining calls and the seconds until the reset, from the headers of an answer.
#[track_caller]
pub(crate) fn told(answer: &Answer) -> [u32; 3] {
    HEADERS.map(|name| answer.header(name).unwrap().parse().unwrap())
}

#[track_caller]
fn expect_limited(answer: &Answer, limit: u32) {
    let body: Value = answer.json();
    assert_eq!(
        body,
        json!({
            "success": false,
            "error": "Rate Limited",
            "code": "FST_ERR_TOO_MANY_REQUESTS",
            "statusCode": 429,
            "message": "Rate limit exceeded: try again after retry-after",
            "details": null,
            "retryAfter": 1,
        })
    );
    assert_eq!(answer.status, 429);
    assert_eq!(told(answer), [limit, 0, 1]);
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn a_call_above_the_rate_is_refused_with_retry_after_and_changes_nothing() {
    let world = World::new().await;
    let caller = world.caller_with_rate("slow", 1_000_000).await;
    let id = id_of(&caller.create(app_body("bot")).await.expect(201));
    let secrets = world.sorted_rows("secrets").await;
    world.set_rate("slow", 0).await;
    let before = caller.get(&id).await.expect(200);

    expect_limited(&caller.create(app_body("more")).await, 0);
    expect_limited(&caller.create(user_body("bot", &world.code())).await, 0);
    expect_limited(&caller.update(&id, json!({ "name": "renamed" })).await, 0);
    let app = json!({ "client_id": "other", "client_secret": "x" });
    expect_limited(&caller.update(&id, app).await, 0);
    expect_limited(&caller.delete(&id).await, 0);
    // The rate is checked before the rest of the request.
    expect_limited(&caller.create(json!([])).await, 0);
    expect_limited(&caller.delete("no-id").await, 0);
    expect_limited(
        &caller.delete(&CredentialId::generate().to_string()).await,
        0,
    );
    expect_limited(&caller.update(&id, json!({ "name": 1 })).await, 0);

    // Reads do not count against the rate.
    assert_eq!(caller.get(&id).await.expect(200), before);
    assert_eq!(caller.list("").await.expect(200), json!([before]));
    assert_eq!(world.sorted_rows("secrets").await, secrets);
    assert_eq!(world.zoom.ledger(), []);
    let rows = world.rows("requests").await;
    assert!(rows.iter().all(|row| is_count(row)), "{rows:?}");
}

#[tokio::test]
async fn the_answers_of_mutating_calls_have_rate_limit_headers_and_no_other_answers_do() {
    let world = World::new().await;
    let caller = world.caller_with_rate("busy", 5_000).await;
    let id = id_of(&caller.create(app_body("bot")).await.expect(201));
    let path = format!("/v2/zoom-credentials/{id}");
    let all = "/v2/zoom-credentials";
    let text = |method: Method, path: &str, kind: &str, body: &'static str| {
        let request = caller.request(method, path);
        request.header("content-type", kind).body(body)
    };
    let large = caller.request(Method::POST, all);
    let large = large
        .header("content-type", "application/json")
        .body("x".repeat(256 * 1024 + 1));
    let absent = format!("{all}/{}", CredentialId::generate());
    let malformed = format!("{all}/no-id");
    let json_type = "application/json";
    for (request, status) in [
        (
            caller.request(Method::POST, all).json(&app_body("bot")),
            201,
        ),
        (caller.request(Method::POST, all).json(&json!({})), 400),
        (text(Method::POST, all, json_type, "{"), 400),
        (text(Method::POST, all, "text/plain", "{}"), 415),
        (caller.request(Method::POST, all), 415),
        (large, 413),
        (text(Method::PATCH, &path, json_type, "{}"), 200),
        (text(Method::PATCH, &path, json_type, r#"{"name":1}"#), 400),
        (text(Method::PATCH, &path, "text/plain", "{}"), 415),
        (text(Method::PATCH, &absent, json_type, "{}"), 404),
        (text(Method::PATCH, &malformed, json_type, "{}"), 400),
        (caller.request(Method::DELETE, &absent), 404),
        (caller.request(Method::DELETE, &malformed), 400),
        (caller.request(Method::DELETE, &path), 200),
        (caller.request(Method::DELETE, &path), 404),
    ] {
        let answer = send(request).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        let [limit, remaining, reset] = told(&answer);
        assert_eq!((limit, reset), (5_000, 1), "{}", answer.text);
        assert!((4_900..5_000).contains(&remaining), "{}", answer.text);
        assert_eq!(answer.header("retry-after"), None);
    }
    assert_eq!(world.windows("busy").await.iter().sum::<u32>(), 16);

    let unknown =
        world.caller_with_key(&text_of(ApiKey::generate("busy".parse().unwrap()).unwrap()));
    for answer in [
        caller.list("").await,
        caller.list("?limit=0").await,
        caller.get(&id).await,
        caller.get("no-id").await,
        unknown.create(app_body("bot")).await,
        unknown.delete(&id).await,
        world.caller_with_key("x").create(app_body("bot")).await,
    ] {
        for name in HEADERS {
            assert_eq!(answer.header(name), None, "{}", answer.text);
        }
    }
    assert_eq!(world.windows("busy").await.iter().sum::<u32>(), 16);
}

#[tokio::test]
async fn the_remaining_calls_count_down_within_each_window() {
    let world = World::new().await;
    let caller = world.caller_with_rate("busy", 1_000).await;
    let mut remaining = Vec::new();
    for _ in 0..20 {
        let [_, left, _] = told(&caller.delete("no-id").await);
        remaining.push(left);
    }
    let windows = world.windows("busy").await;
    assert_eq!(windows.iter().sum::<u32>(), 20);
    // Each window counts down from 999 by one for each of its calls.
    let mut expected: Vec<u32> = windows
        .iter()
        .flat_map(|hits| (1..=*hits).map(|hit| 1_000 - hit))
        .collect();
    let steps = remaining
        .windows(2)
        .filter(|pair| pair[1] == pair[0].wrapping_sub(1));
    assert_eq!(steps.count(), 20 - windows.len());
    remaining.sort_unstable();
    expected.sort_unstable();
    assert_eq!(remaining, expected);
}

#[tokio::test]
async fn of_parallel_calls_each_window_admits_at_most_its_rate() {
    let world = World::new().await;
    let caller = world.caller_with_rate("busy", 3).await;
    let calls: Vec<_> = (0..24)
        .map(|_| {
            let caller = caller.clone();
            tokio::spawn(async move { caller.create(app_body("bot")).await })
        })
        .collect();
    let mut admitted = 0;
    for call in calls {
        let answer = call.await.unwrap();
        if answer.status == 201 {
            admitted += 1;
        } else {
            expect_limited(&answer, 3);
        }
    }
    let windows = world.windows("busy").await;
    assert_eq!(windows.iter().sum::<u32>(), 24);
    let allowed: u32 = windows.iter().map(|hits| (*hits).min(3)).sum();
    assert_eq!(admitted, allowed);
    let created = caller.list("").await.expect(200);
    assert_eq!(
        u32::try_from(created.as_array().unwrap().len()).unwrap(),
        admitted
    );
}

#[tokio::test]
async fn after_the_end_of_a_window_calls_are_admitted_again() {
    let world = World::new().await;
    let caller = world.caller_with_rate("slow", 1).await;
    for status in [429, 404, 429, 404] {
        // At some time two calls are in one window, and every window ends.
        let absent = CredentialId::generate().to_string();
        while caller.delete(&absent).await.status != status {}
    }
    assert!(world.windows("slow").await.len() > 1);
}

#[tokio::test]
async fn each_team_has_its_own_rate_and_its_keys_share_it() {
    let world = World::new().await;
    let slow = world.caller_with_rate("slow", 0).await;
    let slow_too = world.caller("slow", Permission::Full).await;
    let fast = world.caller_with_rate("slo", 7).await;

    for _ in 0..3 {
        expect_limited(&slow.create(app_body("bot")).await, 0);
        expect_limited(&slow_too.create(app_body("bot")).await, 0);
    }
    let answer = fast.create(app_body("bot")).await;
    answer.expect(201);
    assert_eq!(told(&answer), [7, 6, 1]);
    assert_eq!(world.windows("slow").await.iter().sum::<u32>(), 6);
    assert_eq!(world.windows("slo").await, [1]);
}

// assures 21
#[tokio::test]
async fn calls_with_an_unknown_key_do_not_count_against_the_rate() {
    let world = World::new().await;
    let caller = world.caller_with_rate("busy", 1).await;
    let id = CredentialId::generate().to_string();
    let stranger =
        world.caller_with_key(&text_of(ApiKey::generate("busy".parse().unwrap()).unwrap()));
    for _ in 0..10 {
        stranger
            .create(app_body("bot"))
            .await
            .expect_code(401, "FST_ERR_UNAUTHORIZED");
        stranger
            .update(&id, json!({}))
            .await
            .expect_code(401, "FST_ERR_UNAUTHORIZED");
        stranger
            .delete(&id)
            .await
            .expect_code(401, "FST_ERR_UNAUTHORIZED");
    }
    assert_eq!(world.windows("busy").await, [0; 0]);
    caller.create(app_body("bot")).await.expect(201);
    assert_eq!(world.windows("busy").await, [1]);
}
