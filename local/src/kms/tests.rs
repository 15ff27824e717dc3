//! Tests with the real SDK over HTTP. Raw requests cover what the SDK never sends.

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

type ContextPairs<'a> = &'a [(&'a str, &'a str)];

const CONTEXT: ContextPairs<'static> = &[("app", "test"), ("id", "1")];

/// An emulator on its own port, and an SDK client of that port.
struct TestKms {
    emulator: Emulator,
    key: String,
    address: SocketAddr,
    kms: Client,
}

impl TestKms {
    async fn new() -> Self {
        Self::with(Emulator::open(None).unwrap()).await
    }

    async fn with(emulator: Emulator) -> Self {
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

    async fn encrypt(&self, key: &str, context: ContextPairs<'_>, plaintext: &[u8]) -> Blob {
        let call = self
            .kms
            .encrypt()
            .key_id(key)
            .set_encryption_context(context_map(context));
        let answer = call.plaintext(Blob::new(plaintext)).send().await.unwrap();
        answer.ciphertext_blob.unwrap()
    }

    /// The plaintext, or AWS's name of the error.
    async fn decrypt(&self, blob: &Blob, context: ContextPairs<'_>) -> Result<Vec<u8>, String> {
        let call = self.kms.decrypt().ciphertext_blob(blob.clone());
        let answer = call
            .set_encryption_context(context_map(context))
            .send()
            .await;
        let plaintext = answer.map(|answer| answer.plaintext.unwrap().into_inner());
        plaintext.map_err(|error| error.code().unwrap().to_owned())
    }

    async fn assert_decrypts(&self, blob: &Blob, context: ContextPairs<'_>, plaintext: &[u8]) {
        assert_eq!(self.decrypt(blob, context).await.as_deref(), Ok(plaintext));
    }

    async fn assert_refuses(&self, blob: &Blob, context: ContextPairs<'_>, error: &str) {
        assert_eq!(
            self.decrypt(blob, context).await,
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

    /// Sends a request that no SDK would send. Returns the status, head and body of the answer.
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

fn context_map(context: ContextPairs<'_>) -> Option<HashMap<String, String>> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    (!context.is_empty()).then(|| context.iter().map(owned).collect())
}

/// The status and AWS's name of the error. Panics if the call succeeded.
fn error_of<T, E: ProvideErrorMetadata>(result: Result<T, SdkError<E>>) -> (u16, String) {
    let error = result.map(drop).unwrap_err();
    (
        error.raw_response().unwrap().status().as_u16(),
        error.code().unwrap().to_owned(),
    )
}

/// Expects this error, with status 400.
#[track_caller]
fn assert_error<T, E: ProvideErrorMetadata>(result: Result<T, SdkError<E>>, name: &str) {
    assert_eq!(error_of(result), (400, name.to_owned()));
}
