//! The store of the table: what the other files build on.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::due_shard::{DUE_AT_ONCE, due_shard};
use crate::connect::SessionId;
use crate::credential::{ClientId, CredentialId, GrantId, State, TeamId};
use crate::envelope::sealed::{Sealed, SecretId};
use crate::stores::error::{Error, failed};
use crate::stores::item::{Item, from_item, text, to_item};
use crate::stores::transaction::{RowKind, Transaction, Write};
use crate::timestamp::Timestamp;

/// The sealed client secret of a credential.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AppSecret {
    /// The credential's team. The ciphertext is bound to the team.
    pub team_id: TeamId,
    /// The client secret.
    #[serde(flatten)]
    pub sealed: Sealed,
}

/// The sealed tokens of a new grant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GrantSecret {
    /// The credential's team. The ciphertext is bound to the team.
    pub team_id: TeamId,
    /// The Zoom app that the user authorized.
    pub client_id: ClientId,
    /// The scopes that the user consented to, separated by commas. `None` if Zoom did not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<String>,
    /// The credential that the user authorized. Later, other credentials may use the grant too, or instead.
    pub credential_id: CredentialId,
    /// The access token and the refresh token.
    #[serde(flatten)]
    pub sealed: Sealed,
    /// When the access token expires, in milliseconds.
    pub access_expires_at: i64,
    /// When the vault sent the authorization code to Zoom, in milliseconds.
    pub authorize_sent_at: i64,
    /// When Zoom answered, in milliseconds.
    pub authorized_at: i64,
    /// The host of Zoom's REST API for this user, if Zoom named a host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_url: Option<String>,
}

/// The sealed secrets of a connect session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionSecretRow {
    /// The session's team. The ciphertext is bound to the team.
    pub team_id: TeamId,
    /// The secrets.
    #[serde(flatten)]
    pub sealed: Sealed,
    /// When DynamoDB may remove the row, in seconds.
    pub purge_at: i64,
}

#[derive(Serialize)]
struct SecretRow<'a, T> {
    secret_id: String,
    #[serde(flatten)]
    secret: &'a T,
}

#[derive(Serialize)]
struct NewGrantRow<'a> {
    #[serde(flatten)]
    grant: &'a GrantSecret,
    state: State,
    due_shard: String,
    refreshed_at: Timestamp,
    /// A new grant is due at once. Whoever learns its user puts it off.
    idle_since: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    importing: Option<bool>,
}

impl<'a> NewGrantRow<'a> {
    fn new(id: GrantId, grant: &'a GrantSecret) -> Self {
        Self {
            state: State::Active,
            due_shard: due_shard(id),
            refreshed_at: Timestamp::from_millis(grant.authorized_at),
            idle_since: DUE_AT_ONCE,
            importing: None,
            grant,
        }
    }

    /// A grant of an import that has just begun. It is not due: no credential has its app, so keep-alive could not use
    /// it.
    fn importing(id: GrantId, grant: &'a GrantSecret) -> Self {
        Self {
            idle_since: Timestamp::from_millis(grant.authorized_at),
            importing: Some(true),
            ..Self::new(id, grant)
        }
    }
}

/// The table `secrets`.
#[derive(Clone, Debug)]
pub struct Secrets {
    pub(super) client: Client,
    pub(super) table: String,
}

impl Secrets {
    /// The name of the table in the additional data of its ciphertexts. The name in AWS would not do: a table that is
    /// restored from a backup gets a new name, and its rows must still open.
    pub const NAME: &str = "secrets";

    /// Creates a store for the table that is named `table` in AWS.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Reads the sealed client secret of a credential.
    pub async fn app_secret(&self, id: SecretId) -> Result<Option<AppSecret>, Error> {
        self.read(id).await
    }

    /// Reads the sealed secrets of a connect session. Returns `None` after the session has connected.
    pub async fn session_secret(&self, id: SecretId) -> Result<Option<SessionSecretRow>, Error> {
        self.read(id).await
    }

    pub(super) async fn read<T: DeserializeOwned>(&self, id: SecretId) -> Result<Option<T>, Error> {
        self.read_item(id).await?.map(from_item).transpose()
    }

    pub(super) async fn read_item(&self, id: SecretId) -> Result<Option<Item>, Error> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key(id)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("GetItem", error))?;
        Ok(answer.item)
    }

    /// The write that inserts or replaces a credential's client secret.
    ///
    /// The write has no condition. It belongs in one transaction with the update of the credential's `client_id`,
    /// whose conditions protect both.
    pub fn put_app_secret(&self, id: CredentialId, app: &AppSecret) -> Result<Write, Error> {
        self.put(RowKind::App, SecretId::App(id), app, None)
    }

    /// The write that inserts the tokens of a new grant.
    pub fn insert_grant(&self, id: GrantId, grant: &GrantSecret) -> Result<Write, Error> {
        self.put(
            RowKind::Grant,
            SecretId::Grant(id),
            &NewGrantRow::new(id, grant),
            Some("attribute_not_exists(secret_id)"),
        )
    }

    /// The write that inserts the token of another system, before it is sent to Zoom.
    pub fn insert_importing(&self, id: GrantId, grant: &GrantSecret) -> Result<Write, Error> {
        self.put(
            RowKind::Grant,
            SecretId::Grant(id),
            &NewGrantRow::importing(id, grant),
            Some("attribute_not_exists(secret_id)"),
        )
    }

    /// Inserts the tokens of a new grant that no credential takes. Retries every error until `until`. Does nothing if
    /// the row exists.
    pub async fn insert_stray_grant(
        &self,
        id: GrantId,
        grant: &GrantSecret,
        until: Timestamp,
    ) -> Result<(), Error> {
        let insert = Transaction::new(&self.client, self.insert_grant(id, grant)?);
        // Refused if an earlier try was applied: the id is new.
        insert.commit(until).await.map(drop)
    }

    /// Deletes a secret, if the team owns it. Idempotent.
    ///
    /// A secret of another team stays: a forged grant id in a credential's row must not destroy another team's grant.
    /// The delete runs outside of transactions, so that an IAM role can be limited to one kind of secret.
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

    /// The write that inserts the secrets of a new connect session.
    pub fn insert_session_secret(
        &self,
        id: SessionId,
        session: &SessionSecretRow,
    ) -> Result<Write, Error> {
        self.put(
            RowKind::SessionSecret,
            SecretId::Session(id),
            session,
            Some("attribute_not_exists(secret_id)"),
        )
    }

    pub(super) fn put<T: Serialize>(
        &self,
        kind: RowKind,
        id: SecretId,
        secret: &T,
        condition: Option<&str>,
    ) -> Result<Write, Error> {
        let item = to_item(SecretRow {
            secret_id: id.into(),
            secret,
        })?;
        Write::put(kind, &self.table, item, condition, HashMap::new())
    }
}

pub(super) fn attributes(sealed: &Sealed) -> [(&'static str, AttributeValue); 3] {
    let (dek, kid, bytes) = sealed.parts();
    [
        ("dek", AttributeValue::B(Blob::new(dek))),
        ("kid", text(kid)),
        ("sealed", AttributeValue::B(Blob::new(bytes))),
    ]
}

pub(super) fn key(id: SecretId) -> Item {
    HashMap::from([("secret_id".to_owned(), AttributeValue::S(id.into()))])
}
