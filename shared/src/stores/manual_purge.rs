//! The operator's tools to remove data: purge a soft-deleted credential before its time, and find and destroy rows
//! without an owner.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Deserialize;

use super::expression::Update;
use crate::credential::{CredentialId, GrantId, TeamId};
use crate::envelope::sealed::SecretId;
use crate::pair::PairId;
use crate::stores::credentials::{Credentials, StoredCredential};
use crate::stores::error::Error;
use crate::stores::item::{Item, from_item, number, scan_each, text};
use crate::stores::secrets::DUE_AT_ONCE;
use crate::stores::transaction::{RowKind, TRANSACTION_TIMEOUT, Transaction, Write};
use crate::timestamp::Timestamp;
use crate::token_url::UrlPartition;

/// A row that belongs to one or more credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedRow {
    /// The sealed client secret of a credential.
    App {
        /// The team of the row.
        team: TeamId,
        /// The credential.
        credential: CredentialId,
    },
    /// A grant, with or without tokens.
    Grant {
        /// The team of the row.
        team: TeamId,
        /// The grant.
        grant: GrantId,
        /// Whether the row names the grant's pair.
        has_pair: bool,
        /// Whether the next run of keep-alive handles the grant.
        is_due: bool,
    },
    /// A token URL of a credential.
    TokenUrl {
        /// The team of the row.
        team: TeamId,
        /// The credential.
        credential: CredentialId,
    },
}

/// The tables, with the power to delete rows of `credentials` and to scan the other tables. No function has this
/// power.
#[derive(Clone, Debug)]
pub struct ManualPurge {
    client: Client,
    credentials: String,
    secrets: String,
    token_urls: String,
}

#[derive(Deserialize)]
struct ScannedSecret {
    secret_id: String,
    team_id: TeamId,
    pair_id: Option<PairId>,
    due_shard: Option<String>,
    idle_since: Option<Timestamp>,
}

#[derive(Deserialize)]
struct ScannedTokenUrl {
    #[serde(rename = "credential_id")]
    partition: UrlPartition,
    team_id: TeamId,
}

impl ManualPurge {
    /// Creates a store from the names of the tables in AWS.
    pub fn new(client: Client, credentials: String, secrets: String, token_urls: String) -> Self {
        Self {
            client,
            credentials,
            secrets,
            token_urls,
        }
    }

    /// Begins a transaction that removes the row of a soft-deleted credential. Refused if the row differs from `seen`.
    pub fn begin_removal(
        &self,
        team: &TeamId,
        seen: &StoredCredential,
    ) -> Result<Transaction<'_>, Error> {
        let condition = Update::new()
            .when_equal("deleted", AttributeValue::Bool(true))
            .when_equal("version", number(&seen.version));
        let key = Credentials::key(team, seen.credential.credential_id);
        let removal = Write::delete(
            RowKind::Credential,
            &self.credentials,
            key,
            condition.build(),
        )?;
        Ok(Transaction::new(&self.client, removal))
    }

    /// Reads the client secrets, grants and token URLs of all teams, one page at a time, and calls `visit` with each.
    /// Returns the ids of the rows of unknown shape. No sealed attribute is read.
    pub async fn visit_owned_rows(
        &self,
        mut visit: impl FnMut(OwnedRow),
    ) -> Result<Vec<String>, Error> {
        let secrets = self
            .client
            .scan()
            .projection_expression("secret_id, team_id, pair_id, due_shard, idle_since");
        let parse = |item| from_item::<ScannedSecret>(item).map(ScannedSecret::owned);
        let mut unreadable = scan_each(secrets, (&self.secrets, "secret_id"), parse, |row| {
            row.into_iter().for_each(&mut visit);
        })
        .await?;
        let urls = self.client.scan();
        let urls = urls.projection_expression("credential_id, team_id");
        let parse = |item| from_item::<ScannedTokenUrl>(item).map(ScannedTokenUrl::owned);
        let names = (self.token_urls.as_str(), "credential_id");
        unreadable.extend(
            scan_each(urls, names, parse, |row| {
                row.into_iter().for_each(&mut visit);
            })
            .await?,
        );
        Ok(unreadable)
    }

    /// Deletes the client secret of a credential that has no row. Idempotent. Returns `false` if the credential has a
    /// row.
    pub async fn destroy_ownerless_app(
        &self,
        team: &TeamId,
        credential: CredentialId,
    ) -> Result<bool, Error> {
        let no_credential = Update::new().when_absent("credential_id");
        let check = Write::check(
            RowKind::Credential,
            &self.credentials,
            Credentials::key(team, credential),
            no_credential.build(),
        )?;
        let of_team = Update::new()
            .when_equal("team_id", text(team))
            .or_when_row_absent("secret_id");
        let key = AttributeValue::S(SecretId::App(credential).to_string());
        let key = Item::from([("secret_id".to_owned(), key)]);
        let delete = Write::delete(RowKind::App, &self.secrets, key, of_team.build())?;
        let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
        let destroyed = Transaction::new(&self.client, check).and(delete);
        Ok(destroyed.commit(until).await?.is_committed())
    }
}

impl ScannedSecret {
    /// The row, if it belongs to a credential.
    fn owned(self) -> Option<OwnedRow> {
        match self.secret_id.parse() {
            Ok(SecretId::App(credential)) => Some(OwnedRow::App {
                team: self.team_id,
                credential,
            }),
            Ok(SecretId::Grant(grant)) => Some(OwnedRow::Grant {
                team: self.team_id,
                grant,
                has_pair: self.pair_id.is_some(),
                is_due: self.due_shard.is_some() && self.idle_since == Some(DUE_AT_ONCE),
            }),
            Ok(
                SecretId::Webhook(..)
                | SecretId::Session(_)
                | SecretId::Vendor(..)
                | SecretId::Notification(_),
            )
            | Err(_) => None,
        }
    }
}

impl ScannedTokenUrl {
    /// The row, if it belongs to a credential. A team's URLs belong to the team.
    fn owned(self) -> Option<OwnedRow> {
        let is_teams = self.partition == UrlPartition::of_team(&self.team_id);
        (!is_teams).then(|| OwnedRow::TokenUrl {
            team: self.team_id,
            credential: self.partition.credential(),
        })
    }
}
