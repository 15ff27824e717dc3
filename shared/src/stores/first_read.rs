//! The first read of a request that names a credential: the row of its API key and the row of the credential, in one
//! call.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::KeysAndAttributes;

use super::credentials::{Credentials, StoredCredential};
use super::error::{Error, failed};
use super::item::Item;
use super::keys::{self, Keys, KnownKey, parse, record};
use crate::api_key::ApiKey;
use crate::credential::CredentialId;

/// What the first read has found. One row may be unreadable while the other is not.
#[derive(Debug)]
pub struct FirstRead {
    /// As [`Keys::known`] returns it.
    pub key: Result<Option<KnownKey>, Error>,
    /// As [`Credentials::get`] returns it. Also `None` if the key is not known.
    pub credential: Result<Option<StoredCredential>, Error>,
}

impl Keys {
    /// Reads a key, and a credential of the key's team. One call takes less work and fewer connections than two.
    ///
    /// Reads the rows one by one if DynamoDB does not give both: `BatchGetItem` may leave out rows of a busy table, and
    /// a role may not allow it yet while a new version is installed.
    pub async fn known_with(
        &self,
        key: &ApiKey,
        credentials: &Credentials,
        id: CredentialId,
    ) -> Result<FirstRead, Error> {
        let of_key = consistent(keys::key(key.team(), &record(&key.hash())))?;
        let of_credential = consistent(Credentials::key(key.team(), id))?;
        let read = self
            .client
            .batch_get_item()
            .request_items(&self.table, of_key)
            .request_items(&credentials.table, of_credential);
        let read = read.send().await;
        let answer = match read.map_err(|error| failed("BatchGetItem", error)) {
            Err(error) if !matches!(error, Error::Denied { .. }) => return Err(error),
            Ok(answer)
                if answer
                    .unprocessed_keys
                    .as_ref()
                    .is_none_or(HashMap::is_empty) =>
            {
                answer
            }
            Ok(_) | Err(_) => return Ok(self.one_by_one(key, credentials, id).await),
        };
        let mut rows = answer.responses.unwrap_or_default();
        let mut row_of = |table| {
            rows.remove(table)
                .and_then(|mut rows: Vec<Item>| rows.pop())
        };
        let credential = Credentials::parse(row_of(&credentials.table));
        Ok(FirstRead {
            key: parse(key, row_of(&self.table)),
            credential: credential.map(|stored| stored.filter(StoredCredential::is_live)),
        })
    }

    /// Reads the key first: a caller whose key is not known causes no further read.
    async fn one_by_one(
        &self,
        key: &ApiKey,
        credentials: &Credentials,
        id: CredentialId,
    ) -> FirstRead {
        let known = self.known(key).await;
        let credential = match known {
            Ok(Some(_)) => credentials.get(key.team(), id).await,
            Ok(None) | Err(_) => Ok(None),
        };
        FirstRead {
            key: known,
            credential,
        }
    }
}

fn consistent(key: Item) -> Result<KeysAndAttributes, Error> {
    let read = KeysAndAttributes::builder().keys(key).consistent_read(true);
    read.build().map_err(|error| Error::Refused {
        operation: "BatchGetItem",
        source: error.into(),
    })
}
