//! The read of one credential with the AWS SDK and nothing else: no log, no metrics, no limits of time.

use std::collections::HashMap;
use std::time::SystemTime;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use lambda_http::http::StatusCode;
use lambda_http::{Error, Request, Response, service_fn};
use peers::{Row, Wanted, answer, refusal, variable};

struct Item(HashMap<String, AttributeValue>);

impl Row for Item {
    fn text(&self, name: &str) -> Option<&str> {
        Some(self.0.get(name)?.as_s().ok()?)
    }

    fn is_set(&self, name: &str) -> bool {
        self.0.get(name).and_then(|it| it.as_bool().ok()) == Some(&true)
    }
}

struct Tables {
    client: Client,
    keys: String,
    credentials: String,
}

impl Tables {
    fn from_env() -> Result<Self, Error> {
        let credentials = Credentials::new(
            variable("AWS_ACCESS_KEY_ID")?,
            variable("AWS_SECRET_ACCESS_KEY")?,
            variable("AWS_SESSION_TOKEN").ok(),
            None,
            "environment",
        );
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .build_https();
        let mut config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(variable("AWS_REGION")?))
            .credentials_provider(credentials)
            .http_client(http);
        config.set_endpoint_url(variable("AWS_ENDPOINT_URL_DYNAMODB").ok());
        Ok(Self {
            client: Client::from_conf(config.build()),
            keys: variable("KEYS_TABLE")?,
            credentials: variable("CREDENTIALS_TABLE")?,
        })
    }

    /// The rows of the key and of the credential.
    async fn read(&self, wanted: &Wanted) -> Result<[Option<Item>; 2], Error> {
        let row = |name: &str, value: &str| {
            let key = [("team_id", &*wanted.team), (name, value)];
            let key =
                key.map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned())));
            KeysAndAttributes::builder()
                .keys(key.into())
                .consistent_read(true)
                .build()
        };
        let read = self.client.batch_get_item();
        let read = read.request_items(&self.keys, row("record", &wanted.key_record)?);
        let read = read.request_items(&self.credentials, row("credential_id", &wanted.credential)?);
        let mut rows = read.send().await?.responses.unwrap_or_default();
        Ok([&self.keys, &self.credentials].map(|table| rows.remove(table)?.pop().map(Item)))
    }

    async fn handle(&self, request: Request) -> Result<Response<String>, Error> {
        let Some(wanted) = Wanted::of(&request) else {
            return refusal(StatusCode::UNAUTHORIZED);
        };
        let [key, credential] = self.read(&wanted).await?;
        let now = DateTime::from(SystemTime::now()).fmt(DateTimeFormat::DateTime)?;
        answer(key.as_ref(), credential.as_ref(), &now)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let tables = &Tables::from_env()?;
    lambda_http::run(service_fn(|request| tables.handle(request))).await
}
