//! `capsule replay` finds capsules in any log text, stores them, and reports the incomplete ones.

use serde_json::json;
use shared::credential::GrantId;
use shared::envelope::{Binding, SecretId};
use shared::secret::{Plaintext, TokenPair};
use shared::stores::NewPair;
use shared::timestamp::Timestamp;

use shared::grants::capsule::Capsule;

use crate::TestStack;
use crate::harness::CliResult;

impl TestStack {
    /// A capsule with made-up tokens of this generation, for the only grant in the table.
    pub(crate) async fn capsule(&self, generation: u64) -> String {
        let id = self.secret_id("grant#").await;
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
            late: false,
        };
        let writer = uuid::Uuid::new_v4();
        Capsule::new(&binding.team, grant, pair, writer).to_string()
    }

    async fn replay(&self, input: &str) -> CliResult {
        self.cli_with_stdin("capsule replay", input).await
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
        result.stderr.contains("1 capsules are not stored"),
        "{result:?}"
    );

    // A second replay. The AWS CLI joins messages with tabs.
    let result = stack
        .replay(&format!("{}\t{}", as_json(&first), as_json(&second)))
        .await;
    assert_eq!((result.code, result.stderr.as_str()), (0, ""));
    let count = |outcome: &str| result.stdout.matches(outcome).count();
    assert_eq!(count("kept beside a newer pair"), 1, "{result:?}");
    assert_eq!(count("stored before"), 1, "{result:?}");

    let result = stack.replay("no capsule in it\n").await;
    assert_eq!((result.code, result.stdout.as_str()), (1, ""));
    assert!(result.stderr.contains("contains no capsule"), "{result:?}");
}
