//! Operations for the operator: wrap data keys with another KMS key, and describe the current KMS key.

use aws_sdk_kms::primitives::Blob;

use super::client::{Binding, Envelope, Error, kms_error};
use super::sealed::WrappedKey;

/// The KMS key that wraps new data keys.
#[derive(Clone, Debug)]
pub struct EnvelopeKey {
    /// The ARN of the key, as it is stored in rows.
    pub arn: String,
    /// The state of the key in KMS. Only an `Enabled` key can be used.
    pub state: String,
}

impl Envelope {
    /// Wraps the data key of the row `binding` with this envelope's KMS key. Makes one KMS call.
    ///
    /// The plain key never leaves KMS. The ciphertext that the key opens does not change.
    pub async fn rewrap(
        &self,
        binding: &Binding,
        wrapped: &WrappedKey,
    ) -> Result<WrappedKey, Error> {
        let answer = self
            .kms
            .re_encrypt()
            .ciphertext_blob(Blob::new(wrapped.dek.clone()))
            .source_key_id(&wrapped.kid)
            .set_source_encryption_context(Some(binding.encryption_context()))
            .destination_key_id(&self.key_id)
            .set_destination_encryption_context(Some(binding.encryption_context()))
            .send()
            .await
            .map_err(|source| kms_error("ReEncrypt", source))?;
        Ok(WrappedKey {
            dek: answer
                .ciphertext_blob
                .ok_or(Error::MalformedKey)?
                .into_inner(),
            kid: answer.key_id.ok_or(Error::MalformedKey)?,
        })
    }

    /// Describes the KMS key that wraps new data keys.
    pub async fn describe(&self) -> Result<EnvelopeKey, Error> {
        let described = self.kms.describe_key().key_id(&self.key_id).send().await;
        let answer = described.map_err(|source| kms_error("DescribeKey", source))?;
        let key = answer.key_metadata.ok_or(Error::MalformedKey)?;
        Ok(EnvelopeKey {
            arn: key.arn.ok_or(Error::MalformedKey)?,
            state: key
                .key_state
                .map_or_else(|| "Unknown".to_owned(), |state| state.as_str().to_owned()),
        })
    }
}
