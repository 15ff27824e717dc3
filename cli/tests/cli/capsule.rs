//! `capsule replay` finds capsules in any log text, stores them, and reports the incomplete ones.

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use shared::credential::GrantId;
use shared::envelope::{Binding, SecretId};
use shared::secret::{Plaintext, TokenPair};
use shared::stores::{GrantSecret, NewPair};
use shared::timestamp::Timestamp;

use shared::grants::capsule::{AuthorizationCapsule, Capsule, RefreshCapsule, SeenCredential};

use crate::TestStack;
use crate::harness::{CliResult, serve};

impl TestStack {
    /// A capsule with made-up tokens of this generation, for the only grant in the table.
    pub(crate) async fn capsule(&self, generation: u64) -> String {
        let id = self.secret_id("grant#").await;
        self.capsule_for(&id, generation).await
    }

    /// As [`Self::capsule`], for this grant.
    async fn capsule_for(&self, id: &str, generation: u64) -> String {
        let grant: GrantId = id.strip_prefix("grant#").unwrap().parse().unwrap();
        let binding = Binding {
            team: "acme".parse().unwrap(),
            secret: SecretId::Grant(grant),
        };
        let key = self.envelope().data_key(binding.clone()).await.unwrap();
        let token = || "made-up-token".to_owned().into();
        let pair = TokenPair {
            access: token(),
            refresh: token(),
        };
        let sealed = key.seal(generation, &Plaintext::try_from(&pair).unwrap());
        let pair = NewPair {
            sealed: sealed.unwrap(),
            access_expires_at: 1,
            api_url: None,
            refreshed_at: Timestamp::now(),
            idle_since: Timestamp::now(),
            late: false,
        };
        let capsule = RefreshCapsule {
            team: binding.team,
            grant,
            pair,
            writer: uuid::Uuid::new_v4(),
        };
        Capsule::Refresh(capsule).to_string()
    }

    /// A capsule of a new authorization of this credential, with made-up tokens.
    async fn authorization_capsule(
        &self,
        credential: &str,
        seen: Option<SeenCredential>,
    ) -> String {
        let grant = GrantId::generate();
        let binding = Binding {
            team: "acme".parse().unwrap(),
            secret: SecretId::Grant(grant),
        };
        let key = self.envelope().data_key(binding.clone()).await.unwrap();
        let token = || "made-up-token".to_owned().into();
        let pair = TokenPair {
            access: token(),
            refresh: token(),
        };
        let now = Timestamp::now().as_millis();
        let row = GrantSecret {
            team_id: binding.team.clone(),
            client_id: "sandbox-app".to_owned().try_into().unwrap(),
            scopes: None,
            credential_id: credential.parse().unwrap(),
            sealed: key.seal(1, &Plaintext::try_from(&pair).unwrap()).unwrap(),
            access_expires_at: 1,
            authorize_sent_at: now,
            authorized_at: now,
            api_url: None,
        };
        let capsule = AuthorizationCapsule {
            team: binding.team,
            grant,
            row,
            zoom_user_id: None,
            seen,
        };
        Capsule::Authorization(capsule).to_string()
    }

    async fn replay(&self, input: &str) -> CliResult {
        self.cli_with_stdin("capsule replay", input).await
    }

    /// Starts a proxy in front of the stack's DynamoDB that denies every write of this row. Returns its URL.
    async fn dynamodb_that_denies_writes_of(&self, id: &str) -> String {
        let (upstream, id) = (
            self.variable("AWS_ENDPOINT_URL_DYNAMODB"),
            format!("\"{id}\""),
        );
        let (upstream, http) = (upstream.to_owned(), self.http.clone());
        let router = Router::new().fallback(async move |headers: HeaderMap, body: Bytes| {
            let target = headers["x-amz-target"].to_str().unwrap().to_owned();
            let text = String::from_utf8(body.to_vec()).unwrap();
            if target.ends_with("UpdateItem") && text.contains(&id) {
                let denial = json!({ "__type": "AccessDeniedException", "message": "by a policy" });
                return (StatusCode::BAD_REQUEST, denial.to_string().into_bytes());
            }
            let request = http.post(&upstream).headers(headers).body(body);
            let answer = request.send().await.unwrap();
            (answer.status(), answer.bytes().await.unwrap().to_vec())
        });
        serve(router).await
    }
}

#[tokio::test]
async fn capsules_in_any_log_text_are_stored_and_incomplete_ones_reported() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let key = stack.create_key("acme", "full").await;
    stack.connect_user(&key, "ada-sandbox-user").await;
    let (first, second) = (stack.capsule(2).await, stack.capsule(3).await);
    let as_json = |capsule: &str| json!({ "level": "ERROR", "capsule": capsule }).to_string();

    // A text line, a line that is cut off, and a JSON line. The incomplete capsule does not stop the next one.
    let cut_off = second.get(..second.len() - 7).unwrap();
    let input = format!(
        "ERROR a grant capsule=\"{first}\" request_id=\"1\"\n{{\"capsule\":\"{cut_off}\n{}\n",
        as_json(&second)
    );
    let result = stack.replay(&input).await;
    assert_eq!(result.code, 1, "{result:?}");
    let outcomes: Vec<&str> = result.stdout.lines().skip(1).collect();
    assert!(outcomes[0].ends_with("2           stored"), "{result:?}");
    assert!(
        outcomes[1].contains("NOT STORED: the capsule is incomplete"),
        "{result:?}"
    );
    assert!(outcomes[2].ends_with("3           stored"), "{result:?}");
    assert!(
        result.stderr.contains("1 of 3 capsules are not stored"),
        "{result:?}"
    );

    // A second replay. The AWS CLI joins messages with tabs.
    let result = stack
        .replay(&format!("{}\t{}", as_json(&first), as_json(&second)))
        .await;
    let sum = "2 capsules: 1 kept beside a newer pair, 1 stored before\n";
    assert_eq!((result.code, result.stderr.as_str()), (0, sum));
    let count = |outcome: &str| result.stdout.matches(outcome).count();
    assert_eq!(count("kept beside a newer pair"), 1, "{result:?}");
    assert_eq!(count("stored before"), 1, "{result:?}");

    let events = stack.ok("events --team acme --kind capsule_replayed").await;
    assert_eq!(events.matches("capsule_replayed").count(), 3, "{events}");

    let result = stack.replay("no capsule in it\n").await;
    assert_eq!((result.code, result.stdout.as_str()), (1, ""));
    assert!(result.stderr.contains("contains no capsule"), "{result:?}");
}

#[tokio::test]
async fn capsule_that_is_refused_does_not_stop_or_hide_the_others() {
    let mut stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let key = stack.create_key("acme", "full").await;
    stack.connect_user(&key, "ada-sandbox-user").await;
    stack.connect_user(&key, "grace-sandbox-user").await;
    let mut grants = Vec::new();
    for row in stack.secret_rows().await {
        let id = row["secret_id"].as_s().unwrap();
        grants.extend(id.starts_with("grant#").then(|| id.clone()));
    }
    let [good, refused] = grants.as_slice() else {
        panic!("{grants:?}")
    };
    let input = [
        stack.capsule_for(good, 2).await,
        stack.capsule_for(refused, 2).await,
        stack.capsule_for(good, 3).await,
    ]
    .join("\n");
    let direct = stack.env.clone();
    let proxy = stack.dynamodb_that_denies_writes_of(refused).await;
    let is_endpoint = |name: &str| name == "AWS_ENDPOINT_URL_DYNAMODB";
    for (name, value) in &mut stack.env {
        if is_endpoint(name) {
            value.clone_from(&proxy);
        }
    }

    let result = stack.cli_with_stdin("capsule replay --json", &input).await;

    let views: Value = serde_json::from_str(&result.stdout).unwrap();
    let words = |view: &Value| {
        let grant = format!("grant#{}", view["grant"].as_str().unwrap());
        (grant, view["generation"].clone(), view["done"].clone())
    };
    let found: Vec<_> = views.as_array().unwrap().iter().map(words).collect();
    let expected = [
        (good.clone(), json!(2), json!(true)),
        (refused.clone(), json!(2), json!(false)),
        (good.clone(), json!(3), json!(true)),
    ];
    assert_eq!(found, expected);
    let reason = views[1]["outcome"].as_str().unwrap();
    assert!(
        reason.starts_with("NOT STORED: DynamoDB UpdateItem was denied")
            && reason.contains("RecoveryPolicy"),
        "{reason}"
    );
    assert_eq!(result.code, 1);
    assert!(
        result.stderr.contains("1 of 3 capsules are not stored"),
        "{result:?}"
    );

    // The right is granted. A replay of all capsules stores the missing one.
    stack.env = direct;
    let result = stack.replay(&input).await;
    let sum = "3 capsules: 1 kept beside a newer pair, 1 stored, 1 stored before\n";
    assert_eq!(
        (result.code, result.stderr.as_str()),
        (0, sum),
        "{result:?}"
    );
}

#[tokio::test]
async fn capsule_of_an_authorization_goes_to_its_credential_or_to_keep_alive() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let key = stack.create_key("acme", "full").await;
    let id = stack.connect_user(&key, "ada-sandbox-user").await;
    let pair = stack.pair().await;
    let seen = SeenCredential {
        grant: Some(pair.grants.first().copied().unwrap()),
        pair: Some(pair.id.clone()),
    };
    let again = stack.authorization_capsule(&id, Some(seen)).await;
    let new = stack.authorization_capsule(&id, None).await;

    let result = stack.replay(&format!("{again}\n{new}\n")).await;

    assert_eq!(result.code, 0, "{result:?}");
    let outcomes: Vec<&str> = result.stdout.lines().skip(1).collect();
    assert!(
        outcomes[0].ends_with("authorization  1           stored"),
        "{result:?}"
    );
    assert!(
        outcomes[1].contains("stored without a credential: the user's other credentials find it"),
        "{result:?}"
    );
    // The credential has left the pair that counted it, since nobody knows yet whose the new tokens are.
    assert_eq!(
        (stack.pair().await.members, stack.pair().await.live),
        (0, 0)
    );
    let result = stack.replay(&format!("{again}\n{new}\n")).await;
    assert_eq!(
        result.stdout.matches("stored before").count(),
        2,
        "{result:?}"
    );
}
