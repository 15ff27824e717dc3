//! Creates the DynamoDB tables on this machine. On AWS, `template.yaml` creates the same tables.
//!
//! A test of the template reads the schemas below as text and compares them with `template.yaml`.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, StreamSpecification, StreamViewType, TableDescription,
    TimeToLiveSpecification,
};
use shared::cause::chain;
use shared::config;

/// The tables cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A table could not be read or created.
    #[error("cannot create the table {table}: {reason}")]
    Create {
        /// The table.
        table: String,
        /// The error of DynamoDB.
        reason: String,
    },
    /// A table has other keys or indexes than this version creates.
    #[error(
        "the table {0} was created by an earlier version of the vault, which was never released: delete its tables to \
         start with no data"
    )]
    EarlierVersion(String),
}

/// The names of the tables.
#[derive(Clone, Debug)]
pub struct Names {
    /// Credentials, without their secrets.
    pub credentials: String,
    /// The credentials and grants of each Zoom app and user.
    pub pairs: String,
    /// Sealed secrets: grants and client secrets.
    pub secrets: String,
    /// Teams and API keys.
    pub keys: String,
    /// Rate limits and idempotency keys.
    pub requests: String,
    /// Token URLs.
    pub token_urls: String,
    /// The history of each credential, and its use.
    pub events: String,
}

impl Names {
    /// Reads the names from the same environment variables as the functions. A missing variable means the default.
    pub fn from_env() -> Self {
        let name = |variable, default| config::optional(variable).unwrap_or(default);
        let Self {
            credentials,
            pairs,
            secrets,
            keys,
            requests,
            token_urls,
            events,
        } = Self::default();
        Self {
            credentials: name("CREDENTIALS_TABLE", credentials),
            pairs: name("PAIRS_TABLE", pairs),
            secrets: name("SECRETS_TABLE", secrets),
            keys: name("KEYS_TABLE", keys),
            requests: name("REQUESTS_TABLE", requests),
            token_urls: name("TOKEN_URLS_TABLE", token_urls),
            events: name("EVENTS_TABLE", events),
        }
    }
}

impl Default for Names {
    fn default() -> Self {
        Self {
            credentials: "credentials".to_owned(),
            pairs: "pairs".to_owned(),
            secrets: "secrets".to_owned(),
            keys: "keys".to_owned(),
            requests: "requests".to_owned(),
            token_urls: "token-urls".to_owned(),
            events: "events".to_owned(),
        }
    }
}

/// The schema of a table. All key attributes are strings.
#[derive(Default)]
struct Schema {
    partition: &'static str,
    sort: Option<&'static str>,
    ttl: Option<&'static str>,
    indexes: Vec<Index>,
    stream: bool,
}

#[derive(Clone, Copy)]
struct Index {
    name: &'static str,
    partition: &'static str,
    sort: &'static str,
    /// The attributes beside the keys. Every attribute if the list is empty.
    projected: &'static [&'static str],
}

/// Creates the missing tables. Creates none if another table is of an earlier version.
pub async fn create_missing(client: &Client, names: &Names) -> Result<(), Error> {
    let failed = |table: &str| {
        let table = table.to_owned();
        |reason| Error::Create { table, reason }
    };
    for (table, schema) in schemas(names) {
        let is_current = is_current(client, table, &schema).await;
        if !is_current.map_err(failed(table))? {
            return Err(Error::EarlierVersion(table.clone()));
        }
    }
    for (table, schema) in schemas(names) {
        create(client, table, &schema)
            .await
            .map_err(failed(table))?;
    }
    Ok(())
}

/// Whether a table has the indexes of its schema, or is missing.
async fn is_current(client: &Client, table: &str, schema: &Schema) -> Result<bool, String> {
    let described = match client.describe_table().table_name(table).send().await {
        Ok(described) => described
            .table
            .unwrap_or_else(|| TableDescription::builder().build()),
        Err(SdkError::ServiceError(error))
            if matches!(
                error.err(),
                DescribeTableError::ResourceNotFoundException(_)
            ) =>
        {
            return Ok(true);
        }
        Err(error) => return Err(message(error)),
    };
    let indexes = described.global_secondary_indexes();
    Ok(schema.indexes.iter().all(|index| {
        let keys = [index.partition, index.sort];
        let existing = indexes
            .iter()
            .find(|it| it.index_name() == Some(index.name));
        existing.is_some_and(|it| {
            it.key_schema()
                .iter()
                .map(KeySchemaElement::attribute_name)
                .eq(keys)
        })
    }))
}

const BY_ZOOM_USER: Index = Index {
    name: "by-zoom-user",
    partition: "zoom_user_id",
    sort: "team_id",
    projected: &["client_id", "grant_id", "state", "deleted", "updated_at"],
};
const BY_ZOOM_EMAIL: Index = Index {
    name: "by-zoom-email",
    partition: "zoom_email_key",
    sort: "team_id",
    projected: &["deleted"],
};
const BY_DUE: Index = Index {
    name: "by-due",
    partition: "due_shard",
    sort: "idle_since",
    projected: &["team_id", "refreshed_at"],
};
const BY_WEBHOOK_APP: Index = Index {
    name: "by-webhook-app",
    partition: "webhook_app",
    sort: "team_id",
    projected: &["name", "created_at", "updated_at"],
};
const REGISTERED_BY_TEAM: Index = Index {
    name: "by-team",
    partition: "team_id",
    sort: "updated_at",
    projected: &["webhook_app", "name", "created_at", "alt_generation"],
};
const URLS_BY_TEAM: Index = Index {
    name: "by-team",
    partition: "team_id",
    sort: "url_id",
    projected: &[
        "type",
        "label",
        "meeting_id",
        "max_uses",
        "created_at",
        "created_by",
        "expires_at",
        "revoked_at",
    ],
};
const EVENTS_BY_TEAM: Index = Index {
    name: "by-team",
    partition: "team_id",
    sort: "event_id",
    projected: &[],
};

fn schemas(names: &Names) -> [(&String, Schema); 7] {
    let credentials = (
        &names.credentials,
        Schema {
            partition: "team_id",
            sort: Some("credential_id"),
            ttl: Some("purge_at"),
            indexes: vec![BY_ZOOM_USER, BY_ZOOM_EMAIL],
            stream: true,
        },
    );
    let pairs = (
        &names.pairs,
        Schema {
            partition: "pair_id",
            ttl: Some("expires_at"),
            ..Schema::default()
        },
    );
    let secrets = (
        &names.secrets,
        Schema {
            partition: "secret_id",
            ttl: Some("purge_at"),
            indexes: vec![BY_DUE, BY_WEBHOOK_APP, REGISTERED_BY_TEAM],
            ..Schema::default()
        },
    );
    let keys = (
        &names.keys,
        Schema {
            partition: "team_id",
            sort: Some("record"),
            ..Schema::default()
        },
    );
    let requests = (
        &names.requests,
        Schema {
            partition: "request_id",
            ttl: Some("expires_at"),
            ..Schema::default()
        },
    );
    let token_urls = (
        &names.token_urls,
        Schema {
            partition: "credential_id",
            sort: Some("url_id"),
            ttl: Some("purge_at"),
            indexes: vec![URLS_BY_TEAM],
            ..Schema::default()
        },
    );
    let events = (
        &names.events,
        Schema {
            partition: "credential_id",
            sort: Some("event_id"),
            ttl: Some("purge_at"),
            indexes: vec![EVENTS_BY_TEAM],
            stream: true,
        },
    );
    [
        credentials,
        pairs,
        secrets,
        keys,
        requests,
        token_urls,
        events,
    ]
}

/// Creates a table, unless it exists already.
async fn create(client: &Client, table: &str, schema: &Schema) -> Result<(), String> {
    let mut request = client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .set_key_schema(Some(key_schema(schema.partition, schema.sort)?))
        .set_attribute_definitions(Some(attribute_definitions(schema)?));
    for index in &schema.indexes {
        request = request.global_secondary_indexes(secondary_index(index)?);
    }
    if schema.stream {
        let stream = StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(StreamViewType::NewAndOldImages)
            .build();
        request = request.stream_specification(stream.map_err(message)?);
    }
    match request.send().await {
        Ok(_) => {}
        Err(SdkError::ServiceError(error))
            if matches!(error.err(), CreateTableError::ResourceInUseException(_)) =>
        {
            return Ok(());
        }
        Err(error) => return Err(message(error)),
    }
    match schema.ttl {
        Some(attribute) => enable_ttl(client, table, attribute).await,
        None => Ok(()),
    }
}

async fn enable_ttl(client: &Client, table: &str, attribute: &str) -> Result<(), String> {
    let ttl = TimeToLiveSpecification::builder()
        .attribute_name(attribute)
        .enabled(true)
        .build()
        .map_err(message)?;
    let request = client
        .update_time_to_live()
        .table_name(table)
        .time_to_live_specification(ttl);
    request.send().await.map(drop).map_err(message)
}

/// The key attributes of the table and its indexes, each once.
fn attribute_definitions(schema: &Schema) -> Result<Vec<AttributeDefinition>, String> {
    let mut names = vec![schema.partition];
    names.extend(schema.sort);
    let of_indexes = schema.indexes.iter();
    names.extend(of_indexes.flat_map(|index| [index.partition, index.sort]));
    names.sort_unstable();
    names.dedup();
    let definition = |name| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .map_err(message)
    };
    names.into_iter().map(definition).collect()
}

fn secondary_index(index: &Index) -> Result<GlobalSecondaryIndex, String> {
    let projection = if index.projected.is_empty() {
        Projection::builder().projection_type(ProjectionType::All)
    } else {
        let attributes = index.projected.iter().map(ToString::to_string).collect();
        Projection::builder()
            .projection_type(ProjectionType::Include)
            .set_non_key_attributes(Some(attributes))
    }
    .build();
    GlobalSecondaryIndex::builder()
        .index_name(index.name)
        .set_key_schema(Some(key_schema(index.partition, Some(index.sort))?))
        .projection(projection)
        .build()
        .map_err(message)
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
                .map_err(message)
        })
        .collect()
}

fn message(error: impl std::error::Error + 'static) -> String {
    chain(&error)
}
