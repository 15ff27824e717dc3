//! `credentials purge` and the grants of the credential's app and user.

use serde_json::{Value, json};

use crate::TestStack;

const USER: &str = "ada-sandbox-user";

impl TestStack {
    async fn start_with_team() -> (Self, String) {
        let stack = Self::start().await;
        stack.ok("teams create acme --rate 1000").await;
        let key = stack.create_key("acme", "full").await;
        (stack, key)
    }

    /// Purges a credential. Returns what became of the grants.
    async fn purge(&self, id: &str) -> Value {
        let line = format!("credentials purge --team acme {id} --now --yes");
        let purged = self.json(&line).await;
        assert_eq!(purged["credential_id"], id);
        purged["grants"].clone()
    }

    /// Purges a credential of a pair whose counts are wrong.
    async fn purge_finds_wrong_counts(&self, id: &str) {
        let line = format!("credentials purge --team acme {id} --now --yes --json");
        let result = self.cli(&line).await;
        let purged: Value = serde_json::from_str(&result.stdout).unwrap();
        assert_eq!(
            (result.code, &purged["grants"]),
            (1, &json!("counts_wrong"))
        );
        assert!(
            result.stderr.contains("the purge is complete"),
            "{result:?}"
        );
        assert!(result.stderr.contains("sweep --repair"), "{result:?}");
        let deleted = self.json("credentials list --team acme --deleted").await;
        assert_eq!(deleted, json!([]));
    }
}

#[tokio::test]
async fn grants_are_destroyed_with_the_last_credential_which_the_stream_does_not_count_again() {
    let (stack, key) = TestStack::start_with_team().await;
    let first = stack.connect_user(&key, USER).await;
    let second = stack.connect_user(&key, USER).await;
    stack.delete_credential(&key, &first).await;
    stack.delete_credential(&key, &second).await;
    stack.age_grants().await;
    assert_eq!(
        (stack.pair().await.members, stack.pair().await.live),
        (2, 0)
    );

    assert_eq!(stack.purge(&first).await, "still_needed");
    assert_eq!(stack.pair().await.members, 1);
    let pair = stack.pair().await;
    stack.wait_for_stream(&key).await;
    let counted = stack.pairs().await;
    let counted = counted.iter().find(|it| it.id == pair.id).unwrap();
    assert_eq!((counted.members, counted.live), (1, 0));
    assert_eq!(counted.grants.len(), 2);

    assert_eq!(stack.purge(&second).await, "destroyed");
    for grant in &pair.grants {
        assert_eq!(stack.grant_row(*grant).await, None);
    }
    stack.wait_for_stream(&key).await;
    let counted = stack.pairs().await;
    let counted = counted.iter().find(|it| it.id == pair.id).unwrap();
    assert_eq!((counted.members, counted.grants.len()), (0, 0));
    assert!(counted.expires_at.is_some());
}

#[tokio::test]
async fn young_grant_is_left_to_keep_alive() {
    let (stack, key) = TestStack::start_with_team().await;
    let id = stack.connect_user(&key, USER).await;
    stack.delete_credential(&key, &id).await;
    let grant = stack.pair().await.grants.first().copied().unwrap();

    assert_eq!(stack.purge(&id).await, "kept");

    assert!(stack.is_due(grant).await);
    assert_eq!(stack.pair().await.expires_at, None);
    let sweep = stack.cli("credentials sweep").await;
    assert!(
        sweep.stdout.contains("it has no credential, but 1 grants"),
        "{sweep:?}"
    );
}

#[tokio::test]
async fn pair_without_a_row_is_reported_and_its_grant_stays() {
    let (stack, key) = TestStack::start_with_team().await;
    let id = stack.connect_user(&key, USER).await;
    stack.delete_credential(&key, &id).await;
    stack.age_grants().await;
    let pair = stack.pair().await;
    stack.delete_pair(&pair).await;

    stack.purge_finds_wrong_counts(&id).await;

    let grant = pair.grants.first().copied().unwrap();
    assert!(stack.is_due(grant).await);
}

#[tokio::test]
async fn credential_that_its_pair_does_not_count_keeps_its_grant() {
    let (stack, key) = TestStack::start_with_team().await;
    let kept = stack.connect_user(&key, USER).await;
    let purged = stack.connect_user(&key, USER).await;
    stack.delete_credential(&key, &purged).await;
    stack.age_grants().await;
    let pair = stack.pair().await;
    stack.change_pair(&pair, "SET members = :value", 1).await;

    stack.purge_finds_wrong_counts(&purged).await;

    for grant in &pair.grants {
        assert!(stack.grant_row(*grant).await.is_some());
    }
    let sweep = stack.cli("credentials sweep").await;
    let words = "its row counts 0 credentials (1 live), but there are 1 (1 live)";
    assert!(sweep.stdout.contains(words), "{sweep:?}");
    stack.ok("credentials sweep --repair").await;
    let corrected = stack.pair().await;
    assert_eq!((corrected.members, corrected.live), (1, 1));
    assert_eq!(stack.json("credentials sweep").await, json!([]));
    let listed = stack.json("credentials list --team acme").await;
    assert_eq!(listed[0]["credential_id"], kept);
}
