//! The operations of KMS. A read-only operation gets the keys by shared reference, so it cannot change them.

use std::ops::RangeInclusive;

use aws_lc_rs::rand;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

use super::{
    ServiceError,
    blob::{Base64, EncryptionContext},
    key_ring::{ACCOUNT, Key, KeyRing, KeyState},
};

/// A JSON object, or `None` where AWS returns an empty body.
pub(super) type Answer = Result<Option<Value>, ServiceError>;

#[derive(Clone, Copy)]
pub(super) enum Handler {
    Reads(fn(&KeyRing, &OperationInput) -> Answer),
    Changes(fn(&mut KeyRing, &OperationInput) -> Answer),
}

const OPERATIONS: [(&str, Handler); 14] = [
    ("GenerateDataKey", Handler::Reads(generate_data_key)),
    ("Encrypt", Handler::Reads(encrypt)),
    ("Decrypt", Handler::Reads(decrypt)),
    ("ReEncrypt", Handler::Reads(re_encrypt)),
    ("DescribeKey", Handler::Reads(describe_key)),
    ("ListKeys", Handler::Reads(list_keys)),
    ("ListAliases", Handler::Reads(list_aliases)),
    ("CreateKey", Handler::Changes(create_key)),
    ("EnableKey", Handler::Changes(enable_key)),
    ("DisableKey", Handler::Changes(disable_key)),
    (
        "ScheduleKeyDeletion",
        Handler::Changes(schedule_key_deletion),
    ),
    ("CancelKeyDeletion", Handler::Changes(cancel_key_deletion)),
    ("CreateAlias", Handler::Changes(create_alias)),
    ("RotateKeyOnDemand", Handler::Changes(rotate_key_on_demand)),
];

/// The only supported key spec and algorithm.
const SYMMETRIC: &str = "SYMMETRIC_DEFAULT";

/// Finds an operation by the value of the header `X-Amz-Target`.
pub(super) fn find(target: Option<&str>) -> Option<(&'static str, Handler)> {
    let name = target?.strip_prefix("TrentService.")?;
    OPERATIONS
        .into_iter()
        .find(|(operation, _)| *operation == name)
}

/// The input of any operation.
///
/// AWS uses the same name and type for a member in all operations, so one struct can parse each of them. Unknown
/// members are ignored. Not `Debug`, because the input may hold a plaintext.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct OperationInput {
    pub(super) key_id: Option<String>,
    pub(super) source_key_id: Option<String>,
    pub(super) destination_key_id: Option<String>,
    pub(super) target_key_id: Option<String>,
    pub(super) encryption_context: Option<EncryptionContext>,
    pub(super) source_encryption_context: Option<EncryptionContext>,
    pub(super) destination_encryption_context: Option<EncryptionContext>,
    pub(super) ciphertext_blob: Option<Base64>,
    plaintext: Option<Base64>,
    encryption_algorithm: Option<String>,
    source_encryption_algorithm: Option<String>,
    destination_encryption_algorithm: Option<String>,
    key_spec: Option<String>,
    customer_master_key_spec: Option<String>,
    key_usage: Option<String>,
    origin: Option<String>,
    multi_region: Option<bool>,
    description: Option<String>,
    number_of_bytes: Option<i64>,
    pending_window_in_days: Option<i64>,
    alias_name: Option<String>,
    limit: Option<i64>,
    marker: Option<String>,
    dry_run: Option<bool>,
    recipient: Option<IgnoredAny>,
}

impl OperationInput {
    pub(super) fn parse(body: &[u8]) -> Result<Self, ServiceError> {
        let input: Self = serde_json::from_slice(body).map_err(|_| ServiceError::Serialization)?;
        if input.dry_run == Some(true) {
            return Err(ServiceError::Unsupported("DryRun"));
        }
        if input.recipient.is_some() {
            return Err(ServiceError::Unsupported("Recipient"));
        }
        Ok(input)
    }

    fn key_id(&self) -> Result<&str, ServiceError> {
        required(self.key_id.as_deref(), "keyId")
    }

    fn ciphertext(&self) -> Result<&[u8], ServiceError> {
        sized(self.ciphertext_blob.as_deref(), 1..=6144, "ciphertextBlob")
    }

    /// Answers one page of a list. The marker of a page is the number of items before it.
    fn page(&self, member: &str, default: u16, max: u16, items: Vec<Value>) -> Answer {
        let limit = self
            .limit
            .map_or(Ok(default), |limit| within(limit, 1..=max, "limit"))?;
        let start: usize = self
            .marker
            .as_deref()
            .map_or(Ok(0), str::parse)
            .map_err(|_| ServiceError::InvalidMarker)?;
        let end = start.saturating_add(limit.into());
        let truncated = end < items.len();
        let page: Vec<_> = items.into_iter().skip(start).take(limit.into()).collect();
        let mut answer = json!({ member: page, "Truncated": truncated });
        if let (true, Some(members)) = (truncated, answer.as_object_mut()) {
            members.insert("NextMarker".to_owned(), end.to_string().into());
        }
        Ok(Some(answer))
    }
}

fn generate_data_key(key_ring: &KeyRing, input: &OperationInput) -> Answer {
    let len = match (input.key_spec.as_deref(), input.number_of_bytes) {
        (Some("AES_256"), None) => 32,
        (Some("AES_128"), None) => 16,
        (None, Some(bytes)) => within(bytes, 1..=1024, "numberOfBytes")?,
        (Some(_), None) => {
            return Err(ServiceError::Validation(
                "keySpec",
                "Member must satisfy enum value set: [AES_256, AES_128]",
            ));
        }
        (None, None) | (Some(_), Some(_)) => {
            return Err(ServiceError::Validation(
                "keySpec",
                "Specify either number of bytes or key spec",
            ));
        }
    };
    let key = key_ring.key(input.key_id()?)?;
    let mut data_key = vec![0; len.into()];
    rand::fill(&mut data_key).map_err(|_| ServiceError::Internal("no random bytes".to_owned()))?;
    let blob = key.seal(
        &context_or_empty(input.encryption_context.as_ref()),
        &data_key,
    )?;

    Ok(Some(
        json!({ "CiphertextBlob": Base64(blob), "Plaintext": Base64(data_key), "KeyId": key.arn }),
    ))
}

fn encrypt(key_ring: &KeyRing, input: &OperationInput) -> Answer {
    symmetric(input.encryption_algorithm.as_deref())?;
    let plaintext = sized(input.plaintext.as_deref(), 1..=4096, "plaintext")?;
    let key = key_ring.key(input.key_id()?)?;
    let blob = key.seal(
        &context_or_empty(input.encryption_context.as_ref()),
        plaintext,
    )?;

    Ok(Some(json!({
        "CiphertextBlob": Base64(blob),
        "KeyId": key.arn,
        "EncryptionAlgorithm": SYMMETRIC,
    })))
}

fn decrypt(key_ring: &KeyRing, input: &OperationInput) -> Answer {
    symmetric(input.encryption_algorithm.as_deref())?;
    let context = context_or_empty(input.encryption_context.as_ref());
    let (key, plaintext) = key_ring.open(input.ciphertext()?, input.key_id.as_deref(), &context)?;

    Ok(Some(json!({
        "Plaintext": Base64(plaintext),
        "KeyId": key.arn,
        "EncryptionAlgorithm": SYMMETRIC,
    })))
}

fn re_encrypt(key_ring: &KeyRing, input: &OperationInput) -> Answer {
    symmetric(input.source_encryption_algorithm.as_deref())?;
    symmetric(input.destination_encryption_algorithm.as_deref())?;
    let destination = key_ring
        .key(required(
            input.destination_key_id.as_deref(),
            "destinationKeyId",
        )?)?
        .usable()?;
    let context = context_or_empty(input.source_encryption_context.as_ref());
    let (source, plaintext) = key_ring.open(
        input.ciphertext()?,
        input.source_key_id.as_deref(),
        &context,
    )?;
    let blob = destination.seal(
        &context_or_empty(input.destination_encryption_context.as_ref()),
        &plaintext,
    )?;

    Ok(Some(json!({
        "CiphertextBlob": Base64(blob),
        "SourceKeyId": source.arn,
        "KeyId": destination.arn,
        "SourceEncryptionAlgorithm": SYMMETRIC,
        "DestinationEncryptionAlgorithm": SYMMETRIC,
    })))
}

fn describe_key(key_ring: &KeyRing, input: &OperationInput) -> Answer {
    Ok(Some(
        json!({ "KeyMetadata": metadata(key_ring.key(input.key_id()?)?) }),
    ))
}

fn list_keys(key_ring: &KeyRing, input: &OperationInput) -> Answer {
    let keys = key_ring
        .keys()
        .map(|key| json!({ "KeyId": key.id, "KeyArn": key.arn }));
    input.page("Keys", 100, 1000, keys.collect())
}

fn list_aliases(key_ring: &KeyRing, input: &OperationInput) -> Answer {
    let only = input
        .key_id
        .as_deref()
        .map(|name| key_ring.key(name))
        .transpose()?;
    let aliases = key_ring
        .aliases()
        .filter(|(_, _, id)| only.is_none_or(|key| key.id == *id))
        .map(|(name, arn, id)| json!({ "AliasName": name, "AliasArn": arn, "TargetKeyId": id }));
    input.page("Aliases", 50, 100, aliases.collect())
}

fn create_key(key_ring: &mut KeyRing, input: &OperationInput) -> Answer {
    let spec = input
        .key_spec
        .as_deref()
        .or(input.customer_master_key_spec.as_deref());
    let requested = [
        (spec, SYMMETRIC),
        (input.key_usage.as_deref(), "ENCRYPT_DECRYPT"),
        (input.origin.as_deref(), "AWS_KMS"),
    ];
    if input.multi_region == Some(true)
        || requested
            .iter()
            .any(|(value, supported)| value.is_some_and(|value| value != *supported))
    {
        return Err(ServiceError::Unsupported(
            "A key that is asymmetric, multi-region, imported or not for encryption",
        ));
    }
    let description = input.description.clone().unwrap_or_default();
    if description.chars().count() > 8192 {
        return Err(ServiceError::Validation(
            "description",
            "Member must have length less than or equal to 8192",
        ));
    }

    Ok(Some(
        json!({ "KeyMetadata": metadata(key_ring.create(description)?) }),
    ))
}

fn enable_key(key_ring: &mut KeyRing, input: &OperationInput) -> Answer {
    key_ring.key_mut(input.key_id()?)?.set_enabled(true)?;
    Ok(None)
}

fn disable_key(key_ring: &mut KeyRing, input: &OperationInput) -> Answer {
    key_ring.key_mut(input.key_id()?)?.set_enabled(false)?;
    Ok(None)
}

fn schedule_key_deletion(key_ring: &mut KeyRing, input: &OperationInput) -> Answer {
    let days = input
        .pending_window_in_days
        .map_or(Ok(30), |days| within(days, 7..=30, "pendingWindowInDays"))?;
    let key = key_ring.key_mut(input.key_id()?)?;
    let date = key.schedule_deletion(days)?;

    Ok(Some(json!({
        "KeyId": key.arn,
        "DeletionDate": date,
        "KeyState": "PendingDeletion",
        "PendingWindowInDays": days,
    })))
}

fn cancel_key_deletion(key_ring: &mut KeyRing, input: &OperationInput) -> Answer {
    let key = key_ring.key_mut(input.key_id()?)?;
    key.cancel_deletion()?;

    Ok(Some(json!({ "KeyId": key.arn })))
}

fn create_alias(key_ring: &mut KeyRing, input: &OperationInput) -> Answer {
    let alias = required(input.alias_name.clone(), "aliasName")?;
    key_ring.create_alias(
        alias,
        required(input.target_key_id.as_deref(), "targetKeyId")?,
    )?;
    Ok(None)
}

fn rotate_key_on_demand(key_ring: &mut KeyRing, input: &OperationInput) -> Answer {
    let key = key_ring.key_mut(input.key_id()?)?;
    key.rotate()?;

    Ok(Some(json!({ "KeyId": key.arn })))
}

fn metadata(key: &Key) -> Value {
    let (state, deletion) = match key.state {
        KeyState::Enabled => ("Enabled", None),
        KeyState::Disabled => ("Disabled", None),
        KeyState::PendingDeletion { date } => ("PendingDeletion", Some(date)),
    };
    json!({
        "AWSAccountId": ACCOUNT,
        "KeyId": key.id,
        "Arn": key.arn,
        "Description": key.description,
        "CreationDate": key.created,
        "DeletionDate": deletion,
        "Enabled": key.state == KeyState::Enabled,
        "KeyState": state,
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeySpec": SYMMETRIC,
        "CustomerMasterKeySpec": SYMMETRIC,
        "EncryptionAlgorithms": [SYMMETRIC],
        "KeyManager": "CUSTOMER",
        "Origin": "AWS_KMS",
        "MultiRegion": false,
    })
}

/// A missing context is the same as an empty context.
fn context_or_empty(context: Option<&EncryptionContext>) -> EncryptionContext {
    context.cloned().unwrap_or_default()
}

fn symmetric(algorithm: Option<&str>) -> Result<(), ServiceError> {
    algorithm
        .is_none_or(|algorithm| algorithm == SYMMETRIC)
        .then_some(())
        .ok_or(ServiceError::InvalidKeyUsage)
}

fn required<T>(value: Option<T>, member: &'static str) -> Result<T, ServiceError> {
    value.ok_or(ServiceError::Validation(member, "Member must not be null"))
}

fn sized<'a>(
    bytes: Option<&'a [u8]>,
    sizes: RangeInclusive<usize>,
    member: &'static str,
) -> Result<&'a [u8], ServiceError> {
    let bytes = required(bytes, member)?;
    sizes
        .contains(&bytes.len())
        .then_some(bytes)
        .ok_or(ServiceError::Validation(
            member,
            "Member must have a length within its limits",
        ))
}

fn within(
    value: i64,
    range: RangeInclusive<u16>,
    member: &'static str,
) -> Result<u16, ServiceError> {
    let value = u16::try_from(value)
        .ok()
        .filter(|value| range.contains(value));
    value.ok_or(ServiceError::Validation(
        member,
        "Member must be within its limits",
    ))
}
