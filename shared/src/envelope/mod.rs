//! The envelope: every secret is sealed with a data key of its own, which KMS wraps.
//!
//! This module alone talks to KMS and holds AES. A ciphertext is bound to its row twice: KMS refuses to
//! unwrap the data key under another encryption context, and GCM refuses another row's additional data.
//!
//! Key bytes live in [`Zeroizing`], are moved and never copied. The buffers in which the SDK receives
//! them from KMS are out of our reach and are not wiped.

pub mod format;
mod rewrap;

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use aws_sdk_kms::Client;
use aws_sdk_kms::config::http::HttpRequest;
use aws_sdk_kms::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_kms::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kms::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use self::rewrap::{EnvelopeKey, WrappedKey};
use crate::connect::SessionId;
use crate::credential::{ClientId, CredentialId, GrantId, TeamId};
use crate::secret::Plaintext;

/// Why something could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// KMS did not answer, or refused: down, throttling, key disabled, access denied. Nothing was done.
    #[error("KMS {operation} failed")]
    Kms {
        /// Which call.
        operation: &'static str,
        /// KMS's own words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// KMS will not unwrap this key in this context: the row was moved or its wrapped key altered.
    #[error("KMS refuses the wrapped key for this row")]
    Misplaced,
    /// KMS answered with a key of the wrong size.
    #[error("KMS answered with a malformed key")]
    MalformedKey,
    /// The sealed bytes cannot be opened.
    #[error("sealed bytes cannot be opened")]
    Sealed(#[from] format::Error),
}

/// What kind of secret a row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A Zoom app's client secret.
    App,
    /// The tokens of one authorization.
    Grant,
    /// What Zoom signs an app's webhooks with.
    Webhook,
    /// What a connect session needs until the user is back.
    Session,
}

impl Purpose {
    /// The word in the encryption context and in the additional data.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Grant => "grant",
            Self::Webhook => "webhook",
            Self::Session => "session",
        }
    }
}

/// The key of a row in the table of secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretId {
    /// The client secret of one credential.
    App(CredentialId),
    /// The tokens of one authorization.
    Grant(GrantId),
    /// What Zoom signs the webhooks of a team's app with.
    Webhook(TeamId, ClientId),
    /// The secrets of one connect session.
    Session(SessionId),
}

impl SecretId {
    /// What the row holds.
    pub fn purpose(&self) -> Purpose {
        match self {
            Self::App(_) => Purpose::App,
            Self::Grant(_) => Purpose::Grant,
            Self::Webhook(..) => Purpose::Webhook,
            Self::Session(_) => Purpose::Session,
        }
    }
}

/// The text names no row that holds a secret.
#[derive(Debug, thiserror::Error)]
#[error("not the key of a secret")]
pub struct NoSecretId;

impl FromStr for SecretId {
    type Err = NoSecretId;

    fn from_str(text: &str) -> Result<Self, NoSecretId> {
        let (kind, id) = text.split_once('#').ok_or(NoSecretId)?;
        let read = match kind {
            "app" => id.parse().ok().map(Self::App),
            "grant" => id.parse().ok().map(Self::Grant),
            "session" => id.parse().ok().map(Self::Session),
            "webhook" => id.split_once('#').and_then(|(team, app)| {
                let app = ClientId::try_from(app.to_owned()).ok()?;
                Some(Self::Webhook(team.parse().ok()?, app))
            }),
            _ => None,
        };
        read.ok_or(NoSecretId)
    }
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App(id) => write!(f, "app#{id}"),
            Self::Grant(id) => write!(f, "grant#{id}"),
            // No team has a `#` in it, so no two read alike.
            Self::Webhook(team, app) => write!(f, "webhook#{team}#{}", app.as_str()),
            Self::Session(id) => write!(f, "session#{id}"),
        }
    }
}

impl From<SecretId> for String {
    fn from(id: SecretId) -> Self {
        id.to_string()
    }
}

/// The row a ciphertext belongs to. It opens nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Whose it is.
    pub team: TeamId,
    /// Which row, and so which purpose.
    pub secret: SecretId,
}

impl Binding {
    fn context(&self) -> HashMap<String, String> {
        HashMap::from([
            ("app".to_owned(), format::APP.to_owned()),
            (
                "purpose".to_owned(),
                self.secret.purpose().as_str().to_owned(),
            ),
            ("team".to_owned(), self.team.as_str().to_owned()),
            ("id".to_owned(), self.secret.to_string()),
        ])
    }

    fn additional_data(&self, table: &str, generation: u64) -> Vec<u8> {
        format::additional_data(
            table,
            self.team.as_str(),
            &self.secret.to_string(),
            self.secret.purpose().as_str(),
            generation,
        )
    }
}

/// Ciphertext bound to one row and one generation. Only [`DataKey::seal`] makes one; `Deserialize` is
/// how the store reads rows back. Two are equal that hold the same ciphertext, whichever KMS key wraps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sealed {
    /// The data key, wrapped by KMS.
    #[serde(with = "serde_bytes")]
    dek: Vec<u8>,
    /// The ARN of the KMS key that wrapped it.
    kid: String,
    /// Header, ciphertext and tag: see [`mod@format`].
    #[serde(with = "serde_bytes", rename = "sealed")]
    bytes: Vec<u8>,
    /// Which version of the secret this is.
    generation: u64,
}

impl PartialEq for Sealed {
    fn eq(&self, other: &Self) -> bool {
        (self.generation, &self.bytes) == (other.generation, &other.bytes)
    }
}

impl Eq for Sealed {}

impl Sealed {
    /// Which version of the secret this is.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The wrapped data key, the ARN of the key that wrapped it, and the sealed bytes.
    pub fn parts(&self) -> (&[u8], &str, &[u8]) {
        (&self.dek, &self.kid, &self.bytes)
    }
}

/// Seals and opens, with one KMS key, for one table.
#[derive(Clone, Debug)]
pub struct Envelope {
    kms: Client,
    key_id: String,
    table: &'static str,
}

impl Envelope {
    /// `key_id` is the KMS key's id, ARN or alias; `table` what the table of the sealed rows is called
    /// in their additional data.
    pub fn new(kms: Client, key_id: String, table: &'static str) -> Self {
        Self { kms, key_id, table }
    }

    /// A fresh data key for one seal of the row `binding`: one KMS call.
    pub async fn data_key(&self, binding: Binding) -> Result<DataKey, Error> {
        let answer = self
            .kms
            .generate_data_key()
            .key_id(&self.key_id)
            .key_spec(DataKeySpec::Aes256)
            .set_encryption_context(Some(binding.context()))
            .send()
            .await
            .map_err(|source| Error::Kms {
                operation: "GenerateDataKey",
                source: source.into(),
            })?;
        let key = key_bytes(answer.plaintext)?;
        let dek = answer
            .ciphertext_blob
            .ok_or(Error::MalformedKey)?
            .into_inner();
        let kid = answer.key_id.ok_or(Error::MalformedKey)?;
        Ok(DataKey {
            key,
            dek,
            kid,
            binding,
            table: self.table,
        })
    }

    /// Opens connections to KMS, by requests that bear no signature and so ask for nothing. Two, since that
    /// is how many data keys a request makes at once, and an HTTP/1 connection carries one.
    pub async fn warm(&self) {
        let get = async || {
            let call = self.kms.generate_data_key().customize();
            // Whatever comes back, it comes over a connection that then is open.
            call.interceptor(Bare).send().await.ok();
        };
        tokio::join!(get(), get());
    }

    /// Opens what was sealed for the row `binding`: one KMS call.
    pub async fn open(&self, binding: &Binding, sealed: &Sealed) -> Result<Plaintext, Error> {
        let answer = self
            .kms
            .decrypt()
            .key_id(&sealed.kid)
            .ciphertext_blob(Blob::new(sealed.dek.clone()))
            .set_encryption_context(Some(binding.context()))
            .send()
            .await
            .map_err(|source| refused("Decrypt", source))?;
        let key = key_bytes(answer.plaintext)?;
        let additional_data = binding.additional_data(self.table, sealed.generation);
        Ok(Plaintext::new(format::open(
            &key,
            &additional_data,
            &sealed.bytes,
        )?))
    }
}

/// Sorts a failed call by whose the fault is.
fn refused<E>(operation: &'static str, error: SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match error.as_service_error().and_then(E::code) {
        Some("InvalidCiphertextException" | "IncorrectKeyException") => Error::Misplaced,
        _ => Error::Kms {
            operation,
            source: error.into(),
        },
    }
}

/// Leaves nothing of a call but `GET /`, after it was signed.
#[derive(Debug)]
struct Bare;

impl Intercept for Bare {
    fn name(&self) -> &'static str {
        "Bare"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let bare = HttpRequest::get(context.request().uri())?;
        *context.request_mut() = bare;
        Ok(())
    }
}

/// Hands over the allocation KMS's answer came in and checks its length.
fn key_bytes(blob: Option<Blob>) -> Result<Zeroizing<Vec<u8>>, Error> {
    let bytes = Zeroizing::new(blob.ok_or(Error::MalformedKey)?.into_inner());
    if bytes.len() == format::KEY_BYTES {
        Ok(bytes)
    } else {
        Err(Error::MalformedKey)
    }
}

/// A data key that has sealed nothing yet. Sealing consumes it: one key, one ciphertext.
pub struct DataKey {
    key: Zeroizing<Vec<u8>>,
    dek: Vec<u8>,
    kid: String,
    binding: Binding,
    table: &'static str,
}

impl DataKey {
    /// Seals `plaintext` as `generation` of the row this key was made for. No network call.
    pub fn seal(self, generation: u64, plaintext: &Plaintext) -> Result<Sealed, Error> {
        let additional_data = self.binding.additional_data(self.table, generation);
        let bytes = format::seal(&self.key, &additional_data, plaintext.as_bytes())?;
        Ok(Sealed {
            dek: self.dek,
            kid: self.kid,
            bytes,
            generation,
        })
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKey")
            .field("binding", &self.binding)
            .finish_non_exhaustive()
    }
}
