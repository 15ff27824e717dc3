//! Finds and updates siblings: credentials of the same team, Zoom app and Zoom user.
//!
//! The index may be stale. Reads therefore load the rows themselves, and updates check their condition on the row.

use std::cmp::Reverse;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt, stream};
use serde::Deserialize;

use super::row::{AuthorizedGrant, Change, StoredCredential};
use super::table::{Credentials, MAX_CONCURRENT_CALLS, set_grant, touch};
use crate::credential::{ClientId, CredentialId, GrantId, State, TeamId};
use crate::stores::error::{Error, failed};
use crate::stores::item::{from_item, number, text};
use crate::timestamp::Timestamp;

/// The least time between two authorizations for which the vault calls the later one newer. Zoom may have handled
/// closer ones in either order, so both keep their grants.
const MIN_AUTHORIZATION_GAP: Duration = Duration::from_secs(5);

/// The siblings that were pointed at a new grant.
#[derive(Debug, Default)]
pub struct UpdatedSiblings {
    /// How many siblings have the new grant now.
    pub count: usize,
    /// The siblings that were invalid before, according to the index.
    pub reactivated: Vec<CredentialId>,
}

impl UpdatedSiblings {
    fn add(&mut self, sibling: &IndexedSibling) {
        self.count += 1;
        if sibling.state == State::Invalid {
            self.reactivated.push(sibling.credential_id);
        }
    }
}

/// A sibling as the index shows it.
#[derive(Deserialize)]
struct IndexedSibling {
    credential_id: CredentialId,
    grant_id: GrantId,
    state: State,
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
        let mut found = self.read_all(team, query).await?;
        found.retain(|stored| {
            stored.is_live() && stored.credential.zoom_user_id.as_deref() == Some(zoom_user_id)
        });
        found.sort_by_key(|stored| {
            let authorized_at = stored.grant.map(|grant| grant.authorized_at);
            Reverse((stored.credential.state == State::Active, authorized_at))
        });
        Ok(found)
    }

    /// Finds the siblings of a credential. With `deleted`, finds those that are soft-deleted and can be restored
    /// instead.
    pub async fn siblings_of(
        &self,
        team: &TeamId,
        stored: &StoredCredential,
        deleted: bool,
    ) -> Result<Vec<StoredCredential>, Error> {
        let Some(zoom_user_id) = &stored.credential.zoom_user_id else {
            return Ok(Vec::new());
        };
        let query = self
            .by_zoom_user(team, zoom_user_id)
            .filter_expression("client_id = :app AND deleted = :deleted")
            .expression_attribute_values(":app", text(stored.client_id.as_str()))
            .expression_attribute_values(":deleted", AttributeValue::Bool(deleted));
        let mut found = self.read_all(team, query).await?;
        let id = stored.credential.credential_id;
        found.retain(|other| {
            let usable = if deleted {
                other.is_restorable()
            } else {
                other.is_live()
            };
            usable
                && other.credential.credential_id != id
                && other.is_of(&stored.client_id, zoom_user_id)
        });
        Ok(found)
    }

    /// Points the siblings that have an older grant at the new grant, because Zoom has revoked their grants.
    ///
    /// Each sibling is updated on its own. Returns the updated siblings, or the last error if any update failed.
    pub async fn repoint_siblings(
        &self,
        team: &TeamId,
        client_id: &ClientId,
        zoom_user_id: &str,
        authorized: &AuthorizedGrant,
        code_sent_at: Timestamp,
    ) -> Result<UpdatedSiblings, Error> {
        let siblings = self
            .outdated_siblings(team, client_id, zoom_user_id, authorized.grant.id)
            .await?;
        let updates = siblings.into_iter().map(|sibling| {
            let update = set_grant(touch(Change::Active), authorized)
                .when_equal("grant_id", text(&sibling.grant_id))
                .when_less(
                    "grant_authorized_at",
                    number(&code_sent_at.minus(MIN_AUTHORIZATION_GAP).as_millis()),
                );
            async move {
                let outcome = self.update(team, sibling.credential_id, update).await;
                (sibling, outcome)
            }
        });
        let mut outcomes = stream::iter(updates).buffer_unordered(MAX_CONCURRENT_CALLS);
        let mut changed = UpdatedSiblings::default();
        let mut failure = None;
        while let Some((sibling, outcome)) = outcomes.next().await {
            match outcome {
                Ok(_) => changed.add(&sibling),
                // The sibling was deleted or authorized concurrently, or its authorization is too recent.
                Err(Error::NotFound | Error::Conflict) => {}
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(changed), Err)
    }

    /// Queries the index for siblings that are not deleted and do not have the grant `newest`.
    async fn outdated_siblings(
        &self,
        team: &TeamId,
        client_id: &ClientId,
        zoom_user_id: &str,
        newest: GrantId,
    ) -> Result<Vec<IndexedSibling>, Error> {
        let mut pages = self
            .by_zoom_user(team, zoom_user_id)
            .filter_expression("client_id = :app AND deleted = :no AND grant_id <> :newest")
            .expression_attribute_values(":no", AttributeValue::Bool(false))
            .expression_attribute_values(":app", text(client_id.as_str()))
            .expression_attribute_values(":newest", text(&newest))
            .into_paginator()
            .items()
            .send();
        let mut siblings = Vec::new();
        while let Some(item) = pages.next().await {
            siblings.push(from_item(item.map_err(|error| failed("Query", error))?)?);
        }
        Ok(siblings)
    }
}
