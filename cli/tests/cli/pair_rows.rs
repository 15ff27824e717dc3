//! Direct access to the table `pairs`, and to the rows that a pair names.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use shared::credential::GrantId;
use shared::stores::{StoredPair, TableInspector};

use crate::TestStack;

impl TestStack {
    pub(crate) async fn pairs(&self) -> Vec<StoredPair> {
        let mut pairs = Vec::new();
        let inspector = TableInspector::new(self.aws.dynamodb());
        let unreadable = inspector
            .visit_pairs(self.variable("PAIRS_TABLE"), |pair| pairs.push(pair))
            .await;
        assert_eq!(unreadable.unwrap(), Vec::<String>::new());
        pairs
    }

    /// The only pair.
    pub(crate) async fn pair(&self) -> StoredPair {
        let pairs = self.pairs().await;
        let [pair] = pairs.as_slice() else {
            panic!("{pairs:?}")
        };
        pair.clone()
    }

    /// Changes the row of a pair by an update expression with `:value`.
    pub(crate) async fn change_pair(&self, pair: &StoredPair, expression: &str, value: i64) {
        let update = self.aws.dynamodb().update_item();
        let update = update
            .table_name(self.variable("PAIRS_TABLE"))
            .key("pair_id", AttributeValue::S(pair.id.to_string()))
            .update_expression(expression)
            .expression_attribute_values(":value", AttributeValue::N(value.to_string()));
        update.send().await.unwrap();
    }

    pub(crate) async fn delete_pair(&self, pair: &StoredPair) {
        let delete = self.aws.dynamodb().delete_item();
        let delete = delete
            .table_name(self.variable("PAIRS_TABLE"))
            .key("pair_id", AttributeValue::S(pair.id.to_string()));
        delete.send().await.unwrap();
    }

    /// The row of a grant.
    pub(crate) async fn grant_row(
        &self,
        grant: GrantId,
    ) -> Option<HashMap<String, AttributeValue>> {
        let id = format!("grant#{grant}");
        let mut rows = self.secret_rows().await.into_iter();
        rows.find(|row| row["secret_id"].as_s().unwrap() == &id)
    }

    /// Makes all grants old enough to be destroyed when nobody needs them.
    pub(crate) async fn age_grants(&self) {
        for pair in self.pairs().await {
            for grant in pair.grants {
                let long_ago = AttributeValue::N("1".to_owned());
                let id = format!("grant#{grant}");
                self.set_secret_attribute(&id, "authorized_at", long_ago)
                    .await;
            }
        }
    }

    async fn all_grants(&self) -> BTreeSet<GrantId> {
        let pairs = self.pairs().await.into_iter();
        pairs.flat_map(|pair| pair.grants).collect()
    }

    /// Whether keep-alive handles the grant in its next run.
    pub(crate) async fn is_due(&self, grant: GrantId) -> bool {
        let row = self.grant_row(grant).await.unwrap();
        row["idle_since"].as_s().unwrap().starts_with("1970-01-01")
    }

    /// Waits until the function `purge` has handled every change of a credential so far. It handles them in order, so
    /// this deletes a credential of another user, and waits until that is handled.
    pub(crate) async fn wait_for_stream(&self, key: &str) {
        let before = self.all_grants().await;
        let id = self.connect_user(key, "grace-sandbox-user").await;
        let after = self.all_grants().await;
        let grant = after.difference(&before).next().copied().unwrap();
        self.delete_credential(key, &id).await;
        let handled = async {
            while !self.is_due(grant).await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let time_limit = Duration::from_mins(1);
        tokio::time::timeout(time_limit, handled).await.unwrap();
    }
}
