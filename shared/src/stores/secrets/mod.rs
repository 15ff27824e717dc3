//! The table `secrets`: sealed bytes and what is needed to use them. Partition key `secret_id`, TTL `purge_at`, which
//! connect sessions alone have.

mod apps;
mod grants;

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::apps::ZoomApp;
pub use self::grants::{
    Acquired, Attempt, Due, GrantState, Kept, Lease, Moment, NewPair, StoredGrant, due_shards,
};
use super::transaction::Write;
use super::{Error, Item, Part, failed, from_item, text, to_item};
use crate::connect::SessionId;
use crate::credential::{CredentialId, GrantId, State, TeamId};
use crate::envelope::{Sealed, SecretId};
use crate::timestamp::Timestamp;

/// The sealed client secret of one credential.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AppSecret {
    /// Whose it is: part of what the ciphertext is bound to.
    pub team_id: TeamId,
    /// The client secret.
    #[serde(flatten)]
    pub sealed: Sealed,
}

/// The sealed tokens of one authorization.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GrantSecret {
    /// Whose it is: part of what the ciphertext is bound to.
    pub team_id: TeamId,
    /// The credential it was authorized for. Others may point at it too, and this one may have left it.
    pub credential_id: CredentialId,
    /// The token pair.
    #[serde(flatten)]
    pub sealed: Sealed,
    /// When the access token ends, in milliseconds.
    pub access_expires_at: i64,
    /// When the code was sent to Zoom, in milliseconds.
    pub authorize_sent_at: i64,
    /// When Zoom answered, in milliseconds.
    pub authorized_at: i64,
    /// The user's REST host, where Zoom named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_url: Option<String>,
}

/// The sealed secrets of one connect session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionRow {
    /// Whose it is: part of what the ciphertext is bound to.
    pub team_id: TeamId,
    /// The secrets.
    #[serde(flatten)]
    pub sealed: Sealed,
    /// When the row may go, in seconds.
    pub purge_at: i64,
}

#[derive(Serialize)]
struct Row<'a, T> {
    secret_id: String,
    #[serde(flatten)]
    secret: &'a T,
}

#[derive(Serialize)]
struct LiveGrant<'a> {
    #[serde(flatten)]
    grant: &'a GrantSecret,
    state: State,
    due_shard: String,
    refreshed_at: Timestamp,
}

/// The table `secrets`.
#[derive(Clone, Debug)]
pub struct Secrets {
    client: Client,
    table: String,
}

impl Secrets {
    /// What the table is called in the additional data of its rows. Not its name in AWS: a table restored from a
    /// backup has another, and its rows must open.
    pub const NAME: &str = "secrets";

    /// `table` is the table's name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// The sealed client secret of a credential.
    pub async fn app(&self, id: SecretId) -> Result<AppSecret, Error> {
        self.read(id).await
    }

    /// The sealed secrets of a connect session; `NotFound` once it has ended well.
    pub async fn session(&self, id: SecretId) -> Result<SessionRow, Error> {
        self.read(id).await
    }

    async fn read<T: DeserializeOwned>(&self, id: SecretId) -> Result<T, Error> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key(id)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("GetItem", error))?;
        from_item(answer.item.ok_or(Error::NotFound)?)
    }

    /// The write of a credential's client secret, in place of an older one. It belongs in one transaction with
    /// the credential's `client_id`, whose conditions guard both.
    pub fn put_app(&self, id: CredentialId, app: &AppSecret) -> Result<Write, Error> {
        self.put(Part::App, SecretId::App(id), app, None)
    }

    /// The write of a new authorization's tokens.
    pub fn insert_grant(&self, id: GrantId, grant: &GrantSecret) -> Result<Write, Error> {
        let grant = LiveGrant {
            state: State::Active,
            due_shard: grants::due_shard(id),
            refreshed_at: Timestamp::from_millis(grant.authorized_at),
            grant,
        };
        self.put(
            Part::Grant,
            SecretId::Grant(id),
            &grant,
            Some("attribute_not_exists(secret_id)"),
        )
    }

    /// Deletes a row of a team for good, if it is there. One of another team's stays: whoever wrote into a credential
    /// that it has a grant of theirs is not to have that destroyed with it. In no transaction, so that a role can be limited
    /// to rows of one kind.
    pub async fn purge(&self, team: &TeamId, id: SecretId) -> Result<(), Error> {
        let delete = self.client.delete_item().table_name(&self.table);
        let sent = delete
            .set_key(Some(key(id)))
            .condition_expression("team_id = :team")
            .expression_attribute_values(":team", text(team))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(failed("DeleteItem", error)),
            },
        }
    }

    /// The write of a new connect session's secrets.
    pub fn insert_session(&self, id: SessionId, session: &SessionRow) -> Result<Write, Error> {
        self.put(
            Part::SessionSecret,
            SecretId::Session(id),
            session,
            Some("attribute_not_exists(secret_id)"),
        )
    }

    fn put<T: Serialize>(
        &self,
        part: Part,
        id: SecretId,
        secret: &T,
        condition: Option<&str>,
    ) -> Result<Write, Error> {
        let item = to_item(Row {
            secret_id: id.into(),
            secret,
        })?;
        Write::put(part, &self.table, item, condition, HashMap::new())
    }
}

fn attributes(sealed: &Sealed) -> [(&'static str, AttributeValue); 3] {
    let (dek, kid, bytes) = sealed.parts();
    [
        ("dek", AttributeValue::B(Blob::new(dek))),
        ("kid", text(kid)),
        ("sealed", AttributeValue::B(Blob::new(bytes))),
    ]
}

fn key(id: SecretId) -> Item {
    HashMap::from([("secret_id".to_owned(), AttributeValue::S(id.into()))])
}
