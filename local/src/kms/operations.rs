//! The operations. One that may not change a key receives a ring it cannot change.

use std::ops::RangeInclusive;

use aws_lc_rs::rand;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

use super::{
    Refusal,
    blob::{Base64, Context},
    ring::{ACCOUNT, Key, KeyState, Ring},
};

/// A JSON object, or nothing at all where AWS answers an empty body.
pub(super) type Answer = Result<Option<Value>, Refusal>;

#[derive(Clone, Copy)]
pub(super) enum Handler {
    Reads(fn(&Ring, &Request) -> Answer),
    Changes(fn(&mut Ring, &Request) -> Answer),
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

/// The only kind of key and the only algorithm here.
const SYMMETRIC: &str = "SYMMETRIC_DEFAULT";

/// By the value of `X-Amz-Target`.
pub(super) fn find(target: Option<&str>) -> Option<(&'static str, Handler)> {
    let name = target?.strip_prefix("TrentService.")?;
    OPERATIONS
        .into_iter()
        .find(|(operation, _)| *operation == name)
}

/// Any operation's input: AWS gives a member the same name and type wherever it appears, so one
/// type reads them all, each operation takes what it needs, and what none knows is ignored. Not
/// `Debug`: it may hold a plaintext.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Request {
    pub(super) key_id: Option<String>,
    pub(super) source_key_id: Option<String>,
    pub(super) destination_key_id: Option<String>,
    pub(super) target_key_id: Option<String>,
    pub(super) encryption_context: Option<Context>,
    pub(super) source_encryption_context: Option<Context>,
    pub(super) destination_encryption_context: Option<Context>,
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

impl Request {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let request: Self = serde_json::from_slice(body).map_err(|_| Refusal::Serialization)?;
        if request.dry_run == Some(true) {
            return Err(Refusal::Unsupported("DryRun"));
        }
        if request.recipient.is_some() {
            return Err(Refusal::Unsupported("Recipient"));
        }
        Ok(request)
    }

    fn key_id(&self) -> Result<&str, Refusal> {
        required(self.key_id.as_deref(), "keyId")
    }

    fn ciphertext(&self) -> Result<&[u8], Refusal> {
        sized(self.ciphertext_blob.as_deref(), 1..=6144, "ciphertextBlob")
    }

    /// One page of a list, in AWS's shape. The marker is the number of items before it.
    fn page(&self, member: &str, default: u16, max: u16, items: Vec<Value>) -> Answer {
        let limit = self
            .limit
            .map_or(Ok(default), |limit| within(limit, 1..=max, "limit"))?;
        let start: usize = self
            .marker
            .as_deref()
            .map_or(Ok(0), str::parse)
            .map_err(|_| Refusal::InvalidMarker)?;
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

fn generate_data_key(ring: &Ring, request: &Request) -> Answer {
    let len = match (request.key_spec.as_deref(), request.number_of_bytes) {
        (Some("AES_256"), None) => 32,
        (Some("AES_128"), None) => 16,
        (None, Some(bytes)) => within(bytes, 1..=1024, "numberOfBytes")?,
        (Some(_), None) => {
            return Err(Refusal::Validation(
                "keySpec",
                "Member must satisfy enum value set: [AES_256, AES_128]",
            ));
        }
        (None, None) | (Some(_), Some(_)) => {
            return Err(Refusal::Validation(
                "keySpec",
                "Specify either number of bytes or key spec",
            ));
        }
    };
    let key = ring.key(request.key_id()?)?;
    let mut data_key = vec![0; len.into()];
    rand::fill(&mut data_key).map_err(|_| Refusal::Internal("no random bytes".to_owned()))?;
    let blob = key.seal(&bound(request.encryption_context.as_ref()), &data_key)?;

    Ok(Some(
        json!({ "CiphertextBlob": Base64(blob), "Plaintext": Base64(data_key), "KeyId": key.arn }),
    ))
}

fn encrypt(ring: &Ring, request: &Request) -> Answer {
    symmetric(request.encryption_algorithm.as_deref())?;
    let plaintext = sized(request.plaintext.as_deref(), 1..=4096, "plaintext")?;
    let key = ring.key(request.key_id()?)?;
    let blob = key.seal(&bound(request.encryption_context.as_ref()), plaintext)?;

    Ok(Some(json!({
        "CiphertextBlob": Base64(blob),
        "KeyId": key.arn,
        "EncryptionAlgorithm": SYMMETRIC,
    })))
}

fn decrypt(ring: &Ring, request: &Request) -> Answer {
    symmetric(request.encryption_algorithm.as_deref())?;
    let context = bound(request.encryption_context.as_ref());
    let (key, plaintext) = ring.open(request.ciphertext()?, request.key_id.as_deref(), &context)?;

    Ok(Some(json!({
        "Plaintext": Base64(plaintext),
        "KeyId": key.arn,
        "EncryptionAlgorithm": SYMMETRIC,
    })))
}

fn re_encrypt(ring: &Ring, request: &Request) -> Answer {
    symmetric(request.source_encryption_algorithm.as_deref())?;
    symmetric(request.destination_encryption_algorithm.as_deref())?;
    let destination = ring
        .key(required(
            request.destination_key_id.as_deref(),
            "destinationKeyId",
        )?)?
        .usable()?;
    let context = bound(request.source_encryption_context.as_ref());
    let (source, plaintext) = ring.open(
        request.ciphertext()?,
        request.source_key_id.as_deref(),
        &context,
    )?;
    let blob = destination.seal(
        &bound(request.destination_encryption_context.as_ref()),
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

fn describe_key(ring: &Ring, request: &Request) -> Answer {
    Ok(Some(
        json!({ "KeyMetadata": metadata(ring.key(request.key_id()?)?) }),
    ))
}

fn list_keys(ring: &Ring, request: &Request) -> Answer {
    let keys = ring
        .keys()
        .map(|key| json!({ "KeyId": key.id, "KeyArn": key.arn }));
    request.page("Keys", 100, 1000, keys.collect())
}

fn list_aliases(ring: &Ring, request: &Request) -> Answer {
    let only = request
        .key_id
        .as_deref()
        .map(|name| ring.key(name))
        .transpose()?;
    let aliases = ring
        .aliases()
        .filter(|(_, _, id)| only.is_none_or(|key| key.id == *id))
        .map(|(name, arn, id)| json!({ "AliasName": name, "AliasArn": arn, "TargetKeyId": id }));
    request.page("Aliases", 50, 100, aliases.collect())
}

fn create_key(ring: &mut Ring, request: &Request) -> Answer {
    let spec = request
        .key_spec
        .as_deref()
        .or(request.customer_master_key_spec.as_deref());
    let wishes = [
        (spec, SYMMETRIC),
        (request.key_usage.as_deref(), "ENCRYPT_DECRYPT"),
        (request.origin.as_deref(), "AWS_KMS"),
    ];
    if request.multi_region == Some(true)
        || wishes
            .iter()
            .any(|(wish, granted)| wish.is_some_and(|wish| wish != *granted))
    {
        return Err(Refusal::Unsupported(
            "A key that is not symmetric, for encryption, of one region and from KMS",
        ));
    }
    let description = request.description.clone().unwrap_or_default();
    if description.chars().count() > 8192 {
        return Err(Refusal::Validation(
            "description",
            "Member must have length less than or equal to 8192",
        ));
    }

    Ok(Some(
        json!({ "KeyMetadata": metadata(ring.create(description)?) }),
    ))
}

fn enable_key(ring: &mut Ring, request: &Request) -> Answer {
    ring.key_mut(request.key_id()?)?.set_enabled(true)?;
    Ok(None)
}

fn disable_key(ring: &mut Ring, request: &Request) -> Answer {
    ring.key_mut(request.key_id()?)?.set_enabled(false)?;
    Ok(None)
}

fn schedule_key_deletion(ring: &mut Ring, request: &Request) -> Answer {
    let days = request
        .pending_window_in_days
        .map_or(Ok(30), |days| within(days, 7..=30, "pendingWindowInDays"))?;
    let key = ring.key_mut(request.key_id()?)?;
    let date = key.schedule_deletion(days)?;

    Ok(Some(json!({
        "KeyId": key.arn,
        "DeletionDate": date,
        "KeyState": "PendingDeletion",
        "PendingWindowInDays": days,
    })))
}

fn cancel_key_deletion(ring: &mut Ring, request: &Request) -> Answer {
    let key = ring.key_mut(request.key_id()?)?;
    key.cancel_deletion()?;

    Ok(Some(json!({ "KeyId": key.arn })))
}

fn create_alias(ring: &mut Ring, request: &Request) -> Answer {
    let alias = required(request.alias_name.clone(), "aliasName")?;
    ring.name(
        alias,
        required(request.target_key_id.as_deref(), "targetKeyId")?,
    )?;
    Ok(None)
}

fn rotate_key_on_demand(ring: &mut Ring, request: &Request) -> Answer {
    let key = ring.key_mut(request.key_id()?)?;
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

/// No context is the empty one.
fn bound(context: Option<&Context>) -> Context {
    context.cloned().unwrap_or_default()
}

fn symmetric(algorithm: Option<&str>) -> Result<(), Refusal> {
    algorithm
        .is_none_or(|algorithm| algorithm == SYMMETRIC)
        .then_some(())
        .ok_or(Refusal::InvalidKeyUsage)
}

fn required<T>(value: Option<T>, member: &'static str) -> Result<T, Refusal> {
    value.ok_or(Refusal::Validation(member, "Member must not be null"))
}

fn sized<'a>(
    bytes: Option<&'a [u8]>,
    sizes: RangeInclusive<usize>,
    member: &'static str,
) -> Result<&'a [u8], Refusal> {
    let bytes = required(bytes, member)?;
    sizes
        .contains(&bytes.len())
        .then_some(bytes)
        .ok_or(Refusal::Validation(
            member,
            "Member must have a length within its limits",
        ))
}

fn within(value: i64, range: RangeInclusive<u16>, member: &'static str) -> Result<u16, Refusal> {
    let value = u16::try_from(value)
        .ok()
        .filter(|value| range.contains(value));
    value.ok_or(Refusal::Validation(
        member,
        "Member must be within its limits",
    ))
}
