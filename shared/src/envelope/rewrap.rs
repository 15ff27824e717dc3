//! What only an operator does: have another KMS key wrap data keys, and look at the one that does.

use aws_sdk_kms::primitives::Blob;

use super::{Binding, Envelope, Error, refused};

/// A data key as KMS wrapped it: nothing can be opened with it but by KMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// The wrapped bytes.
    pub dek: Vec<u8>,
    /// The ARN of the KMS key that wrapped them.
    pub kid: String,
}

/// The KMS key that seals now.
#[derive(Clone, Debug)]
pub struct EnvelopeKey {
    /// Its ARN, as rows name it.
    pub arn: String,
    /// KMS's word for its state: `Enabled` is the one in which it can be used.
    pub state: String,
}

impl Envelope {
    /// The data key of the row `binding`, wrapped by this envelope's KMS key: one KMS call, and no key leaves KMS.
    /// What it opens stays as it is.
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
            .set_source_encryption_context(Some(binding.context()))
            .destination_key_id(&self.key_id)
            .set_destination_encryption_context(Some(binding.context()))
            .send()
            .await
            .map_err(|source| refused("ReEncrypt", source))?;
        Ok(WrappedKey {
            dek: answer
                .ciphertext_blob
                .ok_or(Error::MalformedKey)?
                .into_inner(),
            kid: answer.key_id.ok_or(Error::MalformedKey)?,
        })
    }

    /// What KMS says of the key that seals now.
    pub async fn describe(&self) -> Result<EnvelopeKey, Error> {
        let asked = self.kms.describe_key().key_id(&self.key_id).send().await;
        let answer = asked.map_err(|source| refused("DescribeKey", source))?;
        let key = answer.key_metadata.ok_or(Error::MalformedKey)?;
        Ok(EnvelopeKey {
            arn: key.arn.ok_or(Error::MalformedKey)?,
            state: key.key_state.map_or_else(
                || "of no state".to_owned(),
                |state| state.as_str().to_owned(),
            ),
        })
    }
}
