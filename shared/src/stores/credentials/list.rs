//! Lists the credentials of a team, page by page.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;

use super::row::{CredentialRow, StoredCredential};
use super::table::Credentials;
use crate::credential::{CredentialId, CredentialType, State, TeamId};
use crate::stores::error::{Error, failed};
use crate::stores::item::{Listed, from_item, key_of, parse_rows, text};

/// Which credentials a list has. DynamoDB itself checks these conditions, so the other rows are not sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialFilter {
    /// The soft-deleted credentials, instead of the others.
    pub deleted: bool,
    /// Only credentials of this Zoom user.
    pub zoom_user_id: Option<String>,
    /// Only credentials of this type.
    pub credential_type: Option<CredentialType>,
    /// Only credentials in this state.
    pub state: Option<State>,
}

impl CredentialFilter {
    /// All soft-deleted credentials, or all others.
    pub fn by_deletion(deleted: bool) -> Self {
        Self {
            deleted,
            ..Self::default()
        }
    }

    fn apply(&self, mut query: QueryFluentBuilder) -> Result<QueryFluentBuilder, Error> {
        let conditions = [
            ("deleted", Some(AttributeValue::Bool(self.deleted))),
            ("zoom_user_id", self.zoom_user_id.as_ref().map(text)),
            (
                "credential_type",
                self.credential_type.map(word).transpose()?,
            ),
            ("state", self.state.map(word).transpose()?),
        ];
        let mut terms = Vec::new();
        for (name, value) in conditions {
            let Some(value) = value else { continue };
            // `state` is a reserved word.
            terms.push(format!("#{name} = :{name}"));
            query = query
                .expression_attribute_names(format!("#{name}"), name)
                .expression_attribute_values(format!(":{name}"), value);
        }
        Ok(query.filter_expression(terms.join(" AND ")))
    }
}

fn word(value: impl Serialize) -> Result<AttributeValue, Error> {
    serde_dynamo::to_attribute_value(value).map_err(Error::Shape)
}

/// A page of a team's credentials, newest first.
#[derive(Debug)]
pub struct CredentialPage {
    /// The credentials of this page.
    pub credentials: Vec<StoredCredential>,
    /// The ids of the rows of unknown shape, which are left out.
    pub unreadable: Vec<String>,
    /// The next page begins after this id. `None` on the last page.
    pub next: Option<CredentialId>,
}

impl Credentials {
    /// Reads up to `rows` rows of a team, newest first, starting after `after`. Returns those that match the filter.
    ///
    /// A page may be short or empty and still have a next page, because the filter runs after the limit.
    pub async fn page(
        &self,
        team: &TeamId,
        after: Option<CredentialId>,
        rows: Option<i32>,
        filter: &CredentialFilter,
    ) -> Result<CredentialPage, Error> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("team_id = :team")
            .expression_attribute_values(":team", text(team))
            .set_exclusive_start_key(after.map(|id| Self::key(team, id)))
            .set_limit(rows)
            .scan_index_forward(false)
            .consistent_read(true);
        let answer = filter.apply(query)?.send().await;
        let answer = answer.map_err(|error| failed("Query", error))?;
        let end = answer.last_evaluated_key;
        let next = end.map(|end| key_of(&end, "credential_id")).transpose()?;
        let items = answer.items.unwrap_or_default();
        let Listed { rows, unreadable } =
            parse_rows(items, (&self.table, "credential_id"), |item| {
                from_item::<CredentialRow>(item)?.try_into()
            });
        Ok(CredentialPage {
            credentials: rows,
            unreadable,
            next,
        })
    }
}
