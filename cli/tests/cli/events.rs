//! `events`: what an operator and a key have changed, and which token went to whom.

use std::future::ready;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::TestStack;
use crate::harness::serve;

impl TestStack {
    /// The events of `acme`, oldest first: kind, target and changed fields.
    async fn changes(&self) -> Vec<(Value, Value, Value)> {
        let events = self.json("events --team acme").await;
        let events = events.as_array().unwrap().iter().rev();
        events
            .map(|event| {
                assert_eq!(event["actor"], json!({ "type": "operator", "id": "local" }));
                let [kind, target, changed] = ["kind", "target", "changed"];
                (
                    event[kind].clone(),
                    event[target].clone(),
                    event[changed].clone(),
                )
            })
            .collect()
    }
}

#[tokio::test]
async fn events_of_the_operator_name_the_key_and_say_whether_a_team_was_suspended_or_resumed() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let created = stack
        .json("keys create --team acme --permission full")
        .await;
    let first = created["key_id"].as_str().unwrap();
    let second = stack
        .json(&format!("keys rotate --team acme {first}"))
        .await;
    let second = second["key_id"].as_str().unwrap();
    stack.ok(&format!("keys revoke --team acme {second}")).await;
    stack.ok("teams suspend acme").await;
    stack.ok("teams resume acme").await;

    let key = |id: &str| json!({ "type": "key", "id": id });
    let team = || (json!("team_changed"), json!(null));
    let of = |(kind, target), changed: &[&str]| (kind, target, json!(changed));
    assert_eq!(
        stack.changes().await,
        [
            of(team(), &["rate", "mint_rate"]),
            of((json!("key_created"), key(first)), &["permission"]),
            of((json!("key_created"), key(second)), &["permission"]),
            of(
                (json!("key_revoked"), key(first)),
                &["replaced_by", "expires_at"]
            ),
            of((json!("key_revoked"), key(second)), &["revoked_at"]),
            of(team(), &["suspended"]),
            of(team(), &["resumed"]),
        ]
    );
}

#[tokio::test]
async fn the_table_says_which_token_went_to_whom_and_what_was_changed() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let created = stack
        .json("keys create --team acme --permission full")
        .await;
    let (key, key_id) = (
        created["key"].as_str().unwrap(),
        created["key_id"].as_str().unwrap(),
    );
    let id = stack.connect_user(key, "ada-sandbox-user").await;
    let path = format!("/v2/zoom-credentials/{id}/token-urls");
    let (_, url) = stack
        .post_json(&path, key, &json!({ "type": "onbehalf" }))
        .await;
    let url = &url["data"];
    let call = format!(
        "{}?meeting_id=98765432101&bot_id=bot-7",
        url["url"].as_str().unwrap()
    );
    assert_eq!(stack.http.get(call).send().await.unwrap().status(), 200);

    let url_id = url["url_id"].as_str().unwrap();
    let table = stack
        .ok(&format!("events --team acme --actor token_url:{url_id}"))
        .await;
    for word in ["mint", "succeeded", "onbehalf", "98765432101", "bot-7"] {
        assert!(table.contains(word), "{word}: {table}");
    }
    assert!(!table.contains("url_created"), "{table}");
    let table = stack
        .ok(&format!("events --team acme --actor key:{key_id}"))
        .await;
    assert!(table.contains(&format!("token_url:{url_id}")), "{table}");
    assert!(table.contains(&format!("key:{key_id}")), "{table}");
    assert!(!table.contains("mint"), "{table}");

    let line = "connect-sessions revoke --team acme --yes";
    let body = json!({ "name": "desk", "client_id": "c", "client_secret": "s" });
    let (_, session) = stack
        .post_json("/v2/zoom-connect-sessions", key, &body)
        .await;
    let ended = stack.cli(line).await;
    assert!(
        ended.stderr.contains("1 connect session revoked"),
        "{ended:?}"
    );
    let table = stack.ok("events --team acme --kind session_revoked").await;
    let session = session["data"]["session_id"].as_str().unwrap();
    assert!(
        table.contains(&format!("connect_session:{session}")),
        "{table}"
    );

    let refused = stack.fails(2, "events --team acme --kind minted").await;
    assert!(refused.contains("url_created"), "{refused}");
    let refused = stack.fails(2, "events --team acme --actor bot").await;
    assert!(refused.contains("as in key:0123456789ab"), "{refused}");
}

#[tokio::test]
async fn events_of_the_operator_are_kept_for_the_configured_time() {
    let stack = TestStack::start().await;
    let days = [("EVENTS_RETENTION_DAYS", "1000")];
    let created = stack.cli_with("teams create acme", &[], &days).await;
    assert_eq!(created.code, 0, "{created:?}");
    stack.ok("teams create globex").await;
    let rows = stack
        .aws
        .dynamodb()
        .scan()
        .table_name(stack.variable("EVENTS_TABLE"));
    let rows = rows.send().await.unwrap().items.unwrap();
    let days_of = |team: &str| {
        let row = rows
            .iter()
            .find(|row| row["team_id"].as_s().unwrap() == team)
            .unwrap();
        let purge_at: i64 = row["purge_at"].as_n().unwrap().parse().unwrap();
        (purge_at - shared::timestamp::Timestamp::now().as_seconds() + 3600) / 86_400
    };
    assert_eq!((days_of("acme"), days_of("globex")), (1000, 90));
    let days = [("EVENTS_RETENTION_DAYS", "long")];
    let refused = stack.cli_with("teams create other", &[], &days).await;
    assert!(
        refused
            .stderr
            .contains("EVENTS_RETENTION_DAYS is not a number of days"),
        "{refused:?}"
    );
}

/// The credentials of a person in AWS.
const AWS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const ARN: &str = "arn:aws:iam::123456789012:user/ada";

impl TestStack {
    /// The URL of a tunnel to DynamoDB that accepts a person's credentials.
    async fn tunnel(&self) -> String {
        let local = self.variable("AWS_ACCESS_KEY_ID").to_owned();
        let url = self.variable("AWS_ENDPOINT_URL_DYNAMODB").to_owned();
        let http = self.http.clone();
        let forward = move |mut headers: HeaderMap, body: Bytes| {
            let signed = headers["authorization"].to_str().unwrap();
            assert!(signed.contains(AWS_KEY));
            let signed = signed.replace(AWS_KEY, &local).parse().unwrap();
            headers.insert("authorization", signed);
            let call = http.post(&url).headers(headers).body(body);
            async move {
                let answer = call.send().await.unwrap();
                (answer.status(), answer.bytes().await.unwrap())
            }
        };
        serve(Router::new().fallback(forward)).await
    }
}

/// An STS that answers every call like this.
async fn sts(status: StatusCode, body: String) -> String {
    serve(Router::new().fallback(move || ready((status, body.clone())))).await
}

#[tokio::test]
async fn an_operator_who_comes_through_a_tunnel_is_named_by_aws_and_is_local_only_without_an_answer()
 {
    let stack = TestStack::start().await;
    let tunnel = stack.tunnel().await;
    let known = format!(
        "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>{ARN}</Arn></GetCallerIdentityResult>\
         </GetCallerIdentityResponse>"
    );
    let unknown = "<ErrorResponse><Error><Code>InvalidClientTokenId</Code></Error></ErrorResponse>";
    for (team, sts, actor) in [
        ("acme", sts(StatusCode::OK, known).await, ARN),
        (
            "globex",
            sts(StatusCode::FORBIDDEN, unknown.to_owned()).await,
            "local",
        ),
    ] {
        let person = [
            ("AWS_ACCESS_KEY_ID", AWS_KEY),
            ("AWS_ENDPOINT_URL_DYNAMODB", tunnel.as_str()),
            ("AWS_ENDPOINT_URL_STS", sts.as_str()),
        ];
        let created = stack
            .cli_with(&format!("teams create {team}"), &[], &person)
            .await;
        assert_eq!(created.code, 0, "{created:?}");
        let events = stack.json(&format!("events --team {team}")).await;
        assert_eq!(
            events[0]["actor"],
            json!({ "type": "operator", "id": actor })
        );
    }
}
