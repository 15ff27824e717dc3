//! [`Envelope`]: makes data keys at KMS, seals with them and opens what was sealed.

use std::collections::HashMap;
use std::fmt;

use aws_sdk_kms::Client;
use aws_sdk_kms::config::http::HttpRequest;
use aws_sdk_kms::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_kms::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kms::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use futures_util::future::join_all;
use zeroize::Zeroizing;

use super::format;
use super::sealed::{Sealed, SecretId};
use crate::credential::TeamId;
use crate::secret::Plaintext;

/// Why a secret could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// KMS did not answer or refused the call: an outage, throttling, a disabled key or missing access.
    #[error("KMS {operation} failed")]
    Kms {
        /// The KMS operation.
        operation: &'static str,
        /// Whether KMS refuses this key: it is disabled, about to be deleted, unknown, or not allowed. Other keys may
        /// work.
        refuses_key: bool,
        /// The error of the AWS SDK.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// KMS refuses to unwrap the data key for this row. The row was moved, or its wrapped key was altered.
    #[error("KMS refuses the wrapped key for this row")]
    WrongRow,
    /// KMS answered without a key, or with a key of the wrong size.
    #[error("KMS answered with a malformed key")]
    MalformedKey,
    /// The sealed bytes cannot be opened.
    #[error("sealed bytes cannot be opened")]
    Sealed(#[from] format::Error),
}

/// The row that a ciphertext is bound to. The ciphertext cannot be opened for another row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The team that owns the row.
    pub team: TeamId,
    /// The key of the row.
    pub secret: SecretId,
}

impl Binding {
    /// The row of a team with this key.
    pub fn new(team: &TeamId, secret: SecretId) -> Self {
        Self {
            team: team.clone(),
            secret,
        }
    }

    pub(super) fn encryption_context(&self) -> HashMap<String, String> {
        HashMap::from([
            ("app".to_owned(), format::APPLICATION.to_owned()),
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

/// Seals and opens the secrets of one table, with one KMS key.
#[derive(Clone, Debug)]
pub struct Envelope {
    pub(super) kms: Client,
    pub(super) key_id: String,
    table: &'static str,
}

impl Envelope {
    /// `key_id` is the id, ARN or alias of the KMS key. `table` is the name of the table in the additional data.
    pub fn new(kms: Client, key_id: String, table: &'static str) -> Self {
        Self { kms, key_id, table }
    }

    /// Makes a data key that can seal the row `binding` once. Makes one KMS call.
    pub async fn data_key(&self, binding: Binding) -> Result<DataKey, Error> {
        let answer = self
            .kms
            .generate_data_key()
            .key_id(&self.key_id)
            .key_spec(DataKeySpec::Aes256)
            .set_encryption_context(Some(binding.encryption_context()))
            .send()
            .await
            .map_err(|error| kms_failed("GenerateDataKey", error))?;
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

    /// Opens so many connections to KMS, by unsigned requests without effect.
    ///
    /// A request to the vault makes at most two data keys at once, and an HTTP/1 connection carries one call.
    pub async fn warm(&self, connections: usize) {
        let connect = async |_| {
            let call = self.kms.generate_data_key().customize();
            // The answer does not matter. The connection stays open.
            call.interceptor(UnsignedGet).send().await.ok();
        };
        join_all((0..connections).map(connect)).await;
    }

    /// Opens a secret of the row `binding`. Makes one KMS call.
    pub async fn open(&self, binding: &Binding, sealed: &Sealed) -> Result<Plaintext, Error> {
        let answer = self
            .kms
            .decrypt()
            .key_id(&sealed.kid)
            .ciphertext_blob(Blob::new(sealed.dek.clone()))
            .set_encryption_context(Some(binding.encryption_context()))
            .send()
            .await
            .map_err(|source| kms_error("Decrypt", source))?;
        let key = key_bytes(answer.plaintext)?;
        let additional_data = binding.additional_data(self.table, sealed.generation);
        Ok(Plaintext::new(format::open(
            &key,
            &additional_data,
            &sealed.bytes,
        )?))
    }
}

/// Separates a wrong row from all other errors of KMS.
pub(super) fn kms_error<E>(operation: &'static str, error: SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match error.as_service_error().and_then(E::code) {
        Some("InvalidCiphertextException" | "IncorrectKeyException") => Error::WrongRow,
        _ => kms_failed(operation, error),
    }
}

fn kms_failed<E>(operation: &'static str, error: SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let code = error.as_service_error().and_then(E::code);
    Error::Kms {
        operation,
        refuses_key: matches!(
            code,
            Some(
                "DisabledException"
                    | "KMSInvalidStateException"
                    | "AccessDeniedException"
                    | "NotFoundException"
            )
        ),
        source: error.into(),
    }
}

/// Replaces a signed call by an unsigned `GET`, just before it is sent.
#[derive(Debug)]
struct UnsignedGet;

impl Intercept for UnsignedGet {
    fn name(&self) -> &'static str {
        "UnsignedGet"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let unsigned = HttpRequest::get(context.request().uri())?;
        *context.request_mut() = unsigned;
        Ok(())
    }
}

/// Takes the key out of KMS's answer without a copy, and checks its length.
fn key_bytes(blob: Option<Blob>) -> Result<Zeroizing<Vec<u8>>, Error> {
    let bytes = Zeroizing::new(blob.ok_or(Error::MalformedKey)?.into_inner());
    if bytes.len() == format::KEY_BYTES {
        Ok(bytes)
    } else {
        Err(Error::MalformedKey)
    }
}

/// An unused data key. Sealing consumes the key, so each key seals one ciphertext.
pub struct DataKey {
    key: Zeroizing<Vec<u8>>,
    dek: Vec<u8>,
    kid: String,
    binding: Binding,
    table: &'static str,
}

impl DataKey {
    /// Seals `plaintext` as `generation` of the row that the key was made for. Makes no network call.
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
