//! The real SDK against the emulator over HTTP, and raw requests where the SDK is too well-behaved.

use std::{
    collections::HashMap,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

use aws_sdk_kms::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
    error::{ProvideErrorMetadata, SdkError},
    primitives::Blob,
    types::KeyMetadata,
};
use serde_json::Value;

use super::Emulator;

mod ciphertext;
mod key_file;
mod keys;
mod protocol;

type Pairs<'a> = &'a [(&'a str, &'a str)];

const CONTEXT: Pairs<'static> = &[("app", "test"), ("id", "1")];

/// An emulator of its own on a port of its own, and the SDK pointed at it.
struct World {
    emulator: Emulator,
    key: String,
    address: SocketAddr,
    kms: Client,
}

impl World {
    async fn new() -> Self {
        Self::of(Emulator::open(None).unwrap()).await
    }

    async fn of(emulator: Emulator) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let router = emulator.router();
        tokio::spawn(async move { axum::serve(listener, router).await });

        let credentials = Credentials::builder()
            .access_key_id("id")
            .secret_access_key("secret");
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(format!("http://{address}"))
            .credentials_provider(credentials.provider_name("test").build())
            .retry_config(RetryConfig::disabled())
            .http_client(aws_smithy_http_client::Builder::new().build_http());
        let kms = Client::from_conf(config.build());
        Self {
            key: emulator.default_key(),
            emulator,
            address,
            kms,
        }
    }

    async fn seal(&self, key: &str, context: Pairs<'_>, plaintext: &[u8]) -> Blob {
        let call = self
            .kms
            .encrypt()
            .key_id(key)
            .set_encryption_context(map(context));
        let answer = call.plaintext(Blob::new(plaintext)).send().await.unwrap();
        answer.ciphertext_blob.unwrap()
    }

    /// What the blob holds, or AWS's name of the error.
    async fn open(&self, blob: &Blob, context: Pairs<'_>) -> Result<Vec<u8>, String> {
        let call = self.kms.decrypt().ciphertext_blob(blob.clone());
        let answer = call.set_encryption_context(map(context)).send().await;
        let plaintext = answer.map(|answer| answer.plaintext.unwrap().into_inner());
        plaintext.map_err(|error| error.code().unwrap().to_owned())
    }

    async fn opens(&self, blob: &Blob, context: Pairs<'_>, plaintext: &[u8]) {
        assert_eq!(self.open(blob, context).await.as_deref(), Ok(plaintext));
    }

    async fn stays_shut(&self, blob: &Blob, context: Pairs<'_>, error: &str) {
        assert_eq!(
            self.open(blob, context).await,
            Err(error.to_owned()),
            "{context:?}"
        );
    }

    async fn describe(&self, key: &str) -> KeyMetadata {
        let answer = self.kms.describe_key().key_id(key).send().await.unwrap();
        answer.key_metadata.unwrap()
    }

    async fn alias(&self, alias: &str) {
        let call = self
            .kms
            .create_alias()
            .alias_name(alias)
            .target_key_id(&self.key);
        call.send().await.unwrap();
    }

    async fn rotate(&self) {
        self.kms
            .rotate_key_on_demand()
            .key_id(&self.key)
            .send()
            .await
            .unwrap();
    }

    /// Status, head and body of what answers a request that no SDK would send.
    async fn raw(
        &self,
        method: &str,
        target: &str,
        body: impl Into<Vec<u8>>,
    ) -> (u16, String, Value) {
        let (address, body) = (self.address, body.into());
        let head = format!(
            "{method} / HTTP/1.1\r\nhost: kms\r\nconnection: close\r\nx-amz-target: {target}\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let answer = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream
                .write_all(&[head.as_bytes(), &body].concat())
                .unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let answer = answer.await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (
            status,
            head.to_lowercase(),
            serde_json::from_str(body).unwrap(),
        )
    }
}

fn map(context: Pairs<'_>) -> Option<HashMap<String, String>> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    (!context.is_empty()).then(|| context.iter().map(own).collect())
}

/// Status and AWS's name of the error that the call must have ended in.
fn error<T, E: ProvideErrorMetadata>(result: Result<T, SdkError<E>>) -> (u16, String) {
    let error = result.map(drop).unwrap_err();
    (
        error.raw_response().unwrap().status().as_u16(),
        error.code().unwrap().to_owned(),
    )
}

/// An error as nearly all are, with status 400.
#[track_caller]
fn refused<T, E: ProvideErrorMetadata>(result: Result<T, SdkError<E>>, name: &str) {
    assert_eq!(error(result), (400, name.to_owned()));
}
