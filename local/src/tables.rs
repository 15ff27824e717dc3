//! The tables, where no template has made them.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, StreamSpecification, StreamViewType,
    TimeToLiveSpecification,
};
use shared::cause::chain;
use shared::config;

/// A table could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot create the table {table}: {reason}")]
pub struct Error {
    table: String,
    reason: String,
}

/// What the tables are called.
#[derive(Clone, Debug)]
pub struct Names {
    /// What may be shown of credentials.
    pub credentials: String,
    /// What is sealed.
    pub secrets: String,
    /// API keys and teams.
    pub keys: String,
    /// Rate windows and idempotency.
    pub requests: String,
    /// Token URLs.
    pub token_urls: String,
    /// Usage and history.
    pub events: String,
}

impl Names {
    /// As the functions' environment names them, or by their own names.
    pub fn from_env() -> Self {
        let named = |variable, name| config::optional(variable).unwrap_or(name);
        let Self {
            credentials,
            secrets,
            keys,
            requests,
            token_urls,
            events,
        } = Self::default();
        Self {
            credentials: named("CREDENTIALS_TABLE", credentials),
            secrets: named("SECRETS_TABLE", secrets),
            keys: named("KEYS_TABLE", keys),
            requests: named("REQUESTS_TABLE", requests),
            token_urls: named("TOKEN_URLS_TABLE", token_urls),
            events: named("EVENTS_TABLE", events),
        }
    }
}

impl Default for Names {
    fn default() -> Self {
        Self {
            credentials: "credentials".to_owned(),
            secrets: "secrets".to_owned(),
            keys: "keys".to_owned(),
            requests: "requests".to_owned(),
            token_urls: "token-urls".to_owned(),
            events: "events".to_owned(),
        }
    }
}

/// A table's keys, all of them strings.
struct Schema {
    partition: &'static str,
    sort: Option<&'static str>,
    ttl: Option<&'static str>,
    indexes: Vec<Index>,
    stream: bool,
}

struct Index {
    name: &'static str,
    partition: &'static str,
    sort: &'static str,
    projected: &'static [&'static str],
}

/// Creates the tables that are missing.
pub async fn create_missing(client: &Client, names: &Names) -> Result<(), Error> {
    let by_zoom_user = Index {
        name: "by-zoom-user",
        partition: "zoom_user_id",
        sort: "team_id",
        projected: &["client_id", "grant_id", "state", "deleted", "updated_at"],
    };
    let by_due = Index {
        name: "by-due",
        partition: "due_shard",
        sort: "refreshed_at",
        projected: &["team_id"],
    };
    let by_webhook_app = Index {
        name: "by-webhook-app",
        partition: "webhook_app",
        sort: "team_id",
        projected: &["name", "created_at", "updated_at"],
    };
    let tables = [
        (
            &names.credentials,
            Schema {
                partition: "team_id",
                sort: Some("credential_id"),
                ttl: Some("purge_at"),
                indexes: vec![by_zoom_user],
                stream: true,
            },
        ),
        (
            &names.secrets,
            Schema {
                partition: "secret_id",
                sort: None,
                ttl: Some("purge_at"),
                indexes: vec![by_due, by_webhook_app],
                stream: false,
            },
        ),
        (
            &names.keys,
            Schema {
                partition: "team_id",
                sort: Some("record"),
                ttl: None,
                indexes: Vec::new(),
                stream: false,
            },
        ),
        (
            &names.requests,
            Schema {
                partition: "request_id",
                sort: None,
                ttl: Some("expires_at"),
                indexes: Vec::new(),
                stream: false,
            },
        ),
        (
            &names.token_urls,
            Schema {
                partition: "credential_id",
                sort: Some("url_id"),
                ttl: Some("purge_at"),
                indexes: Vec::new(),
                stream: false,
            },
        ),
        (
            &names.events,
            Schema {
                partition: "credential_id",
                sort: Some("event_id"),
                ttl: Some("purge_at"),
                indexes: Vec::new(),
                stream: false,
            },
        ),
    ];
    for (table, schema) in tables {
        create(client, table, &schema)
            .await
            .map_err(|reason| Error {
                table: table.clone(),
                reason,
            })?;
    }
    Ok(())
}

async fn create(client: &Client, table: &str, schema: &Schema) -> Result<(), String> {
    let mut request = client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .set_key_schema(Some(key_schema(schema.partition, schema.sort)?));
    let mut attributes = vec![schema.partition];
    attributes.extend(schema.sort);
    let indexes = &schema.indexes;
    attributes.extend(
        indexes
            .iter()
            .flat_map(|index| [index.partition, index.sort]),
    );
    attributes.sort_unstable();
    attributes.dedup();
    for attribute in attributes {
        let definition = AttributeDefinition::builder()
            .attribute_name(attribute)
            .attribute_type(ScalarAttributeType::S)
            .build();
        request = request.attribute_definitions(definition.map_err(said)?);
    }
    for index in indexes {
        let projection = Projection::builder()
            .projection_type(ProjectionType::Include)
            .set_non_key_attributes(Some(
                index.projected.iter().map(ToString::to_string).collect(),
            ))
            .build();
        let index = GlobalSecondaryIndex::builder()
            .index_name(index.name)
            .set_key_schema(Some(key_schema(index.partition, Some(index.sort))?))
            .projection(projection)
            .build();
        request = request.global_secondary_indexes(index.map_err(said)?);
    }
    if schema.stream {
        let stream = StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(StreamViewType::NewAndOldImages)
            .build();
        request = request.stream_specification(stream.map_err(said)?);
    }
    match request.send().await {
        Ok(_) => {}
        Err(SdkError::ServiceError(refused))
            if matches!(refused.err(), CreateTableError::ResourceInUseException(_)) =>
        {
            return Ok(());
        }
        Err(error) => return Err(said(error)),
    }
    let Some(ttl) = schema.ttl else { return Ok(()) };
    let ttl = TimeToLiveSpecification::builder()
        .attribute_name(ttl)
        .enabled(true)
        .build()
        .map_err(said)?;
    let enabled = client
        .update_time_to_live()
        .table_name(table)
        .time_to_live_specification(ttl)
        .send()
        .await;
    enabled.map(drop).map_err(said)
}

fn key_schema(partition: &str, sort: Option<&str>) -> Result<Vec<KeySchemaElement>, String> {
    let keys = [(Some(partition), KeyType::Hash), (sort, KeyType::Range)];
    keys.into_iter()
        .filter_map(|(name, kind)| Some((name?, kind)))
        .map(|(name, kind)| {
            KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(kind)
                .build()
                .map_err(said)
        })
        .collect()
}

fn said(error: impl std::error::Error + 'static) -> String {
    chain(&error)
}
