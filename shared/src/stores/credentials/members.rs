//! Finds the credentials of a Zoom user, by the indexes `by-zoom-user` and `by-zoom-email`.
//!
//! An index may be stale. So it decides nothing that cannot be undone: reads load the rows themselves, and updates
//! check their condition on the row. What must be certain is asked of the table `pairs`.

use std::cmp::Reverse;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Deserialize;

use super::row::StoredCredential;
use super::table::{BY_ZOOM_EMAIL, Credentials, EMAIL_KEY};
use crate::credential::{CredentialId, GrantId, State, TeamId};
use crate::pair::Pair;
use crate::stores::error::{Error, failed};
use crate::stores::expression::Update;
use crate::stores::item::{from_item, text};
use crate::stores::transaction::{RowKind, Write};

/// The most credentials of a pair or an email address that one operation looks at, if it need not see all of them.
pub const SOME_MEMBERS: usize = 100;

/// A credential of a pair, and the grant that it uses, as the index shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Holder {
    /// The credential.
    pub credential_id: CredentialId,
    /// Its grant.
    pub grant_id: GrantId,
    /// Its state.
    pub state: State,
}

impl Holder {
    /// A credential that was read, if it has a grant.
    pub fn of(stored: &StoredCredential) -> Option<Self> {
        Some(Self {
            credential_id: stored.credential.credential_id,
            grant_id: stored.grant?.id,
            state: stored.credential.state,
        })
    }
}

impl Credentials {
    /// Finds the team's credentials of a Zoom user. Active credentials come first, then the most recently authorized.
    pub async fn of_zoom_user(
        &self,
        team: &TeamId,
        zoom_user_id: &str,
    ) -> Result<Vec<StoredCredential>, Error> {
        let query = self
            .by_zoom_user(team, zoom_user_id)
            .filter_expression("deleted = :no AND attribute_exists(grant_id)")
            .expression_attribute_values(":no", AttributeValue::Bool(false));
        let mut found = self.read_all(team, query, None).await?;
        found.retain(|stored| {
            stored.is_live() && stored.credential.zoom_user_id.as_deref() == Some(zoom_user_id)
        });
        sort_usable_first(&mut found);
        Ok(found)
    }

    /// Finds the team's credentials of the Zoom user with an email address, in any case, in the same order. Credentials
    /// that `is_allowed` refuses do not exist for the caller.
    ///
    /// Finds none if credentials of several Zoom users have the address: nobody knows whose it is now. For the same
    /// reason finds none if more than [`SOME_MEMBERS`] credentials have the address, because not all of them are read.
    pub async fn of_zoom_email(
        &self,
        team: &TeamId,
        email: &str,
        is_allowed: impl Fn(&StoredCredential) -> bool,
    ) -> Result<Vec<StoredCredential>, Error> {
        let email = email.to_lowercase();
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(BY_ZOOM_EMAIL)
            .key_condition_expression("#email = :email AND team_id = :team")
            .filter_expression("deleted = :no")
            .expression_attribute_names("#email", EMAIL_KEY)
            .expression_attribute_values(":email", text(&email))
            .expression_attribute_values(":team", text(team))
            .expression_attribute_values(":no", AttributeValue::Bool(false));
        let mut found = self.read_all(team, query, Some(SOME_MEMBERS + 1)).await?;
        if found.len() > SOME_MEMBERS {
            return Ok(Vec::new());
        }
        let has_email = |stored: &StoredCredential| {
            let known = stored.credential.zoom_email.as_ref();
            known.is_some_and(|known| known.to_lowercase() == email)
        };
        found.retain(|stored| {
            stored.is_live() && stored.grant.is_some() && has_email(stored) && is_allowed(stored)
        });
        // An address can pass from one user to another, and the vault learns that late.
        let user = |stored: &StoredCredential| stored.credential.zoom_user_id.clone();
        let first = found.first().and_then(user);
        if found.iter().any(|stored| user(stored) != first) {
            return Ok(Vec::new());
        }
        sort_usable_first(&mut found);
        Ok(found)
    }

    /// Finds credentials of a pair, soft-deleted or not. At most `limit`, if there is a limit.
    pub async fn members_of(
        &self,
        pair: &Pair,
        limit: Option<usize>,
    ) -> Result<Vec<StoredCredential>, Error> {
        let query = self.of_pair(pair).filter_expression("client_id = :app");
        let mut found = self.read_all(&pair.team, query, limit).await?;
        let id = pair.id();
        found.retain(|stored| stored.pair.as_ref() == Some(&id));
        Ok(found)
    }

    /// Finds up to `limit` live credentials of a pair that do not use the grant `newest`.
    pub async fn holders_of_other_grants(
        &self,
        pair: &Pair,
        newest: GrantId,
        limit: usize,
    ) -> Result<Vec<Holder>, Error> {
        let mut pages = self
            .of_pair(pair)
            .filter_expression("client_id = :app AND deleted = :no AND grant_id <> :newest")
            .expression_attribute_values(":no", AttributeValue::Bool(false))
            .expression_attribute_values(":newest", text(&newest))
            .into_paginator()
            .items()
            .send();
        let mut holders = Vec::new();
        while holders.len() < limit {
            let Some(item) = pages.next().await else {
                break;
            };
            holders.push(from_item(item.map_err(|error| failed("Query", error))?)?);
        }
        Ok(holders)
    }

    /// The check that a credential does not use a grant, or does not exist.
    pub fn check_without_grant(
        &self,
        team: &TeamId,
        id: CredentialId,
        grant: GrantId,
    ) -> Result<Write, Error> {
        let check = Update::new().when_absent_or_not_equal("grant_id", text(&grant));
        let key = Self::key(team, id);
        Write::check(RowKind::Credential, &self.table, key, check.build())
    }

    /// The check that a soft-deleted credential still uses a grant.
    pub fn check_deleted_with_grant(
        &self,
        team: &TeamId,
        id: CredentialId,
        grant: GrantId,
    ) -> Result<Write, Error> {
        let check = Update::new()
            .when_equal("deleted", AttributeValue::Bool(true))
            .when_equal("grant_id", text(&grant));
        let key = Self::key(team, id);
        Write::check(RowKind::Credential, &self.table, key, check.build())
    }

    /// Begins a query for the credentials of a Zoom user. The caller filters by the app, which is `:app`.
    fn of_pair(&self, pair: &Pair) -> QueryFluentBuilder {
        self.by_zoom_user(&pair.team, &pair.zoom_user_id)
            .expression_attribute_values(":app", text(pair.client_id.as_str()))
    }
}

/// Active credentials come first, then the most recently authorized.
fn sort_usable_first(found: &mut [StoredCredential]) {
    found.sort_by_key(|stored| {
        let authorized_at = stored.grant.map(|grant| grant.authorized_at);
        Reverse((stored.credential.state == State::Active, authorized_at))
    });
}
