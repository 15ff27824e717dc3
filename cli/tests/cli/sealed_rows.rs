//! Direct access to the table `secrets` and its envelope: fill it, read it, and change single rows.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use futures_util::{StreamExt, stream};
use shared::credential::CredentialId;
use shared::envelope::{Binding, Envelope, SecretId};
use shared::secret::{ClientSecret, Plaintext};
use shared::stores::{AppSecret, Secrets};

use crate::TestStack;

/// DynamoDB's limit for one `BatchWriteItem`.
const ROWS_PER_BATCH: usize = 25;

impl TestStack {
    pub(crate) fn secrets(&self) -> Secrets {
        Secrets::new(
            self.aws.dynamodb(),
            self.variable("SECRETS_TABLE").to_owned(),
        )
    }

    pub(crate) fn envelope(&self) -> Envelope {
        let key = self.variable("ENVELOPE_KEY_ID").to_owned();
        Envelope::new(self.aws.kms(), key, Secrets::NAME)
    }

    /// Writes `count` sealed client secrets of a team without credentials, directly into the table.
    pub(crate) async fn seal_rows(&self, count: usize) -> Vec<Binding> {
        let bindings = (0..count).map(|_| Binding {
            team: "filled".parse().unwrap(),
            secret: SecretId::App(CredentialId::generate()),
        });
        let bindings: Vec<Binding> = bindings.collect();
        let batches = bindings
            .chunks(ROWS_PER_BATCH)
            .map(|batch| self.seal_batch(batch));
        stream::iter(batches)
            .buffer_unordered(8)
            .collect::<()>()
            .await;
        bindings
    }

    async fn seal_batch(&self, batch: &[Binding]) {
        let (envelope, dynamodb) = (self.envelope(), self.aws.dynamodb());
        let client_secret: ClientSecret = "filled-secret".to_owned().try_into().unwrap();
        let plaintext = Plaintext::from(&client_secret);
        let mut writes = Vec::new();
        for binding in batch {
            let key = envelope.data_key(binding.clone()).await.unwrap();
            let secret = AppSecret {
                team_id: binding.team.clone(),
                sealed: key.seal(1, &plaintext).unwrap(),
            };
            let mut item: HashMap<_, _> = serde_dynamo::to_item(secret).unwrap();
            let id = AttributeValue::S(binding.secret.to_string());
            item.insert("secret_id".to_owned(), id);
            let put = PutRequest::builder().set_item(Some(item)).build().unwrap();
            writes.push(WriteRequest::builder().put_request(put).build());
        }
        let table = self.variable("SECRETS_TABLE");
        let write = dynamodb.batch_write_item().request_items(table, writes);
        write.send().await.unwrap();
    }

    /// All rows of the table, with all attributes.
    pub(crate) async fn secret_rows(&self) -> Vec<HashMap<String, AttributeValue>> {
        let scan = self.aws.dynamodb().scan();
        let scan = scan.table_name(self.variable("SECRETS_TABLE"));
        let items = scan.into_paginator().items().send();
        items.try_collect().await.unwrap()
    }

    /// The id of the first row whose id starts with `prefix`.
    pub(crate) async fn secret_id(&self, prefix: &str) -> String {
        let rows = self.secret_rows().await.into_iter();
        let mut ids = rows.map(|row| row["secret_id"].as_s().unwrap().clone());
        ids.find(|id| id.starts_with(prefix)).unwrap()
    }

    /// Sets one attribute of a row.
    pub(crate) async fn set_secret_attribute(&self, id: &str, name: &str, value: AttributeValue) {
        let update = self.aws.dynamodb().update_item();
        let update = update
            .table_name(self.variable("SECRETS_TABLE"))
            .key("secret_id", AttributeValue::S(id.to_owned()))
            .update_expression("SET #name = :value")
            .expression_attribute_names("#name", name)
            .expression_attribute_values(":value", value);
        update.send().await.unwrap();
    }

    /// Deletes the first row whose id starts with `prefix`. Returns its id.
    pub(crate) async fn delete_secret(&self, prefix: &str) -> String {
        let id = self.secret_id(prefix).await;
        let delete = self.aws.dynamodb().delete_item();
        let delete = delete
            .table_name(self.variable("SECRETS_TABLE"))
            .key("secret_id", AttributeValue::S(id.clone()));
        delete.send().await.unwrap();
        id
    }

    /// Expires all access tokens, so that the next mint refreshes each grant.
    pub(crate) async fn expire_access_tokens(&self) {
        for row in self.secret_rows().await {
            let id = row["secret_id"].as_s().unwrap();
            if id.starts_with("grant#") {
                let past = AttributeValue::N("0".to_owned());
                self.set_secret_attribute(id, "access_expires_at", past)
                    .await;
            }
        }
    }

    /// The KMS keys that wrap the rows' data keys.
    pub(crate) async fn wrapping_keys(&self) -> BTreeSet<String> {
        let rows = self.secret_rows().await.into_iter();
        rows.map(|row| row["kid"].as_s().unwrap().clone()).collect()
    }

    pub(crate) async fn disable_kms_key(&self, key: &str) {
        let disable = self.aws.kms().disable_key().key_id(key);
        disable.send().await.unwrap();
    }
}
