//! The KMS key that wraps data keys.

use aws_sdk_kms::Client;
use aws_sdk_kms::operation::describe_key::DescribeKeyError;
use shared::cause::chain;

use super::Error;

/// The alias of the envelope key at an external KMS.
const KEY_ALIAS: &str = "alias/zoom-credential-vault";

/// Checks that KMS has this key.
pub(super) async fn existing(kms: &Client, key: String) -> Result<String, Error> {
    let described = kms.describe_key().key_id(&key).send().await;
    described.map(|_| key).map_err(unusable)
}

/// The ARN of the key behind our alias. Creates the key and the alias if they are missing.
pub(super) async fn by_alias(kms: &Client) -> Result<String, Error> {
    let key = match kms.describe_key().key_id(KEY_ALIAS).send().await {
        Ok(answer) => answer.key_metadata.and_then(|key| key.arn),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(DescribeKeyError::is_not_found_exception) =>
        {
            create(kms).await?
        }
        Err(error) => return Err(unusable(error)),
    };
    key.ok_or_else(|| Error::EnvelopeKey("KMS returned no key ARN".to_owned()))
}

async fn create(kms: &Client) -> Result<Option<String>, Error> {
    let created = kms.create_key().send().await.map_err(unusable)?;
    let key = created.key_metadata.and_then(|key| key.arn);
    let alias = kms
        .create_alias()
        .alias_name(KEY_ALIAS)
        .set_target_key_id(key.clone());
    alias.send().await.map_err(unusable)?;
    Ok(key)
}

fn unusable(error: impl std::error::Error + 'static) -> Error {
    Error::EnvelopeKey(chain(&error))
}
