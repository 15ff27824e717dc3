//! The keys and their aliases, and what a key can do in each state.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ServiceError,
    blob::{CiphertextBlob, EncryptionContext, KeyMaterial},
};

pub(super) const ACCOUNT: &str = "000000000000";
/// The start of every ARN of the emulator.
const ARN_PREFIX: &str = "arn:aws:kms:us-east-1:000000000000:";
/// AWS's quota of on-demand rotations.
const MAX_ROTATIONS: usize = 25;

/// All keys and aliases: the content of the key file. There is at least one key.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyRing {
    first: Key,
    others: Vec<Key>,
    /// By full name, with the prefix `alias/`.
    aliases: BTreeMap<String, Uuid>,
}

/// One KMS key.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    pub(super) id: Uuid,
    pub(super) arn: String,
    pub(super) description: String,
    /// Seconds since 1970.
    pub(super) created: u64,
    pub(super) state: KeyState,
    /// Encrypts new blobs. Its number is the count of retired materials.
    material: KeyMaterial,
    /// Decrypt old blobs. The oldest material comes first, so that its index is its number.
    retired: Vec<KeyMaterial>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) enum KeyState {
    Enabled,
    Disabled,
    PendingDeletion { date: u64 },
}

impl KeyRing {
    pub(super) fn with_new_key() -> Result<Self, ServiceError> {
        Ok(Self {
            first: Key::new(String::new())?,
            others: Vec::new(),
            aliases: BTreeMap::new(),
        })
    }

    /// The first broken rule, if the keys come from a damaged or edited file.
    pub(super) fn inconsistency(&self) -> Option<&'static str> {
        let ids: BTreeSet<_> = self.keys().map(|key| key.id).collect();
        if ids.len() != self.keys().count() {
            Some("two keys have the same id")
        } else if self.keys().any(|key| key.arn != arn_of_key(key.id)) {
            Some("the ARN of a key does not match its id")
        } else if self.keys().any(|key| key.retired.len() > MAX_ROTATIONS) {
            Some("a key was rotated too often")
        } else if !self
            .aliases
            .iter()
            .all(|(name, id)| is_alias(name) && ids.contains(id))
        {
            Some("an alias has an invalid name or no key")
        } else {
            None
        }
    }

    pub(super) fn first(&self) -> &Key {
        &self.first
    }

    /// In the order of creation.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The name, ARN and key of each alias, sorted by name.
    pub(super) fn aliases(&self) -> impl Iterator<Item = (&str, String, Uuid)> {
        self.aliases
            .iter()
            .map(|(name, key)| (name.as_str(), format!("{ARN_PREFIX}{name}"), *key))
    }

    /// Finds a key by its id, its ARN, an alias or an alias ARN, in any state.
    pub(super) fn key(&self, name: &str) -> Result<&Key, ServiceError> {
        let arn = arn_of_name(name)?;
        let alias = self.alias(&arn);
        self.keys()
            .find(|key| key.arn == arn || Some(key.id) == alias)
            .ok_or(ServiceError::NotFound(arn))
    }

    pub(super) fn key_mut(&mut self, name: &str) -> Result<&mut Key, ServiceError> {
        let id = self.key(name)?.id;
        let mut keys = std::iter::once(&mut self.first).chain(&mut self.others);
        keys.find(|key| key.id == id)
            .ok_or_else(|| ServiceError::NotFound(arn_of_key(id)))
    }

    /// Parses a blob, and finds the key that it names. The name is unverified.
    pub(super) fn key_of<'a>(&self, blob: &'a [u8]) -> Option<(&Key, CiphertextBlob<'a>)> {
        let blob = CiphertextBlob::parse(blob)?;
        self.keys()
            .find(|key| key.id == blob.key)
            .map(|key| (key, blob))
    }

    /// Decrypts a blob. If the caller names an `expected` key, a blob of another key is refused without decryption.
    pub(super) fn open(
        &self,
        blob: &[u8],
        expected: Option<&str>,
        context: &EncryptionContext,
    ) -> Result<(&Key, Vec<u8>), ServiceError> {
        let expected = expected.map(|name| self.key(name)).transpose()?;
        let (key, blob) = self.key_of(blob).ok_or(ServiceError::InvalidCiphertext)?;
        if expected.is_some_and(|expected| expected.id != key.id) {
            return Err(ServiceError::IncorrectKey);
        }

        let mut materials = key.usable()?.retired.iter().chain([&key.material]);
        let material = materials
            .nth(blob.material.into())
            .ok_or(ServiceError::InvalidCiphertext)?;
        let plaintext = material
            .open(&blob, context)
            .map_err(|_| ServiceError::InvalidCiphertext)?;
        Ok((key, plaintext))
    }

    pub(super) fn create(&mut self, description: String) -> Result<&Key, ServiceError> {
        Ok(self.others.push_mut(Key::new(description)?))
    }

    /// Creates an alias. Refuses an existing alias: blobs of its former key could become unreadable.
    pub(super) fn create_alias(&mut self, alias: String, key: &str) -> Result<(), ServiceError> {
        let key = self.key(key)?;
        if matches!(key.state, KeyState::PendingDeletion { .. }) {
            return Err(key.invalid_state());
        }
        if !is_alias(&alias) {
            return Err(ServiceError::InvalidAliasName);
        }

        let id = key.id;
        match self.aliases.entry(alias) {
            Entry::Occupied(taken) => Err(ServiceError::AlreadyExists(format!(
                "{ARN_PREFIX}{}",
                taken.key()
            ))),
            Entry::Vacant(free) => {
                free.insert(id);
                Ok(())
            }
        }
    }

    fn alias(&self, arn: &str) -> Option<Uuid> {
        self.aliases.get(arn.strip_prefix(ARN_PREFIX)?).copied()
    }
}

impl Key {
    fn new(description: String) -> Result<Self, ServiceError> {
        let id = Uuid::new_v4();
        Ok(Self {
            id,
            arn: arn_of_key(id),
            description,
            created: now(),
            state: KeyState::Enabled,
            material: random_material()?,
            retired: Vec::new(),
        })
    }

    /// The key, if it may encrypt and decrypt.
    pub(super) fn usable(&self) -> Result<&Self, ServiceError> {
        match self.state {
            KeyState::Enabled => Ok(self),
            KeyState::Disabled => Err(ServiceError::Disabled(self.arn.clone())),
            KeyState::PendingDeletion { .. } => Err(self.invalid_state()),
        }
    }

    /// Encrypts with the newest material. Fails if the key is not usable.
    pub(super) fn seal(
        &self,
        context: &EncryptionContext,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, ServiceError> {
        let index = u16::try_from(self.retired.len())
            .map_err(|_| ServiceError::Internal("too many rotations".to_owned()))?;
        let sealed = self
            .usable()?
            .material
            .seal(self.id, index, context, plaintext);
        sealed.map_err(|_| ServiceError::Internal("AES-GCM failed".to_owned()))
    }

    pub(super) fn set_enabled(&mut self, enabled: bool) -> Result<(), ServiceError> {
        match self.state {
            KeyState::PendingDeletion { .. } => Err(self.invalid_state()),
            KeyState::Enabled | KeyState::Disabled => {
                self.state = if enabled {
                    KeyState::Enabled
                } else {
                    KeyState::Disabled
                };
                Ok(())
            }
        }
    }

    /// Makes the key unusable until the deletion is cancelled. Returns the date of the deletion.
    ///
    /// The emulator never deletes the key.
    pub(super) fn schedule_deletion(&mut self, days: u16) -> Result<u64, ServiceError> {
        match self.state {
            KeyState::PendingDeletion { .. } => Err(self.invalid_state()),
            KeyState::Enabled | KeyState::Disabled => {
                let date = now() + u64::from(days) * 24 * 60 * 60;
                self.state = KeyState::PendingDeletion { date };
                Ok(date)
            }
        }
    }

    /// Cancels a scheduled deletion. The key stays disabled, as on AWS.
    pub(super) fn cancel_deletion(&mut self) -> Result<(), ServiceError> {
        match self.state {
            KeyState::Enabled | KeyState::Disabled => Err(self.invalid_state()),
            KeyState::PendingDeletion { .. } => {
                self.state = KeyState::Disabled;
                Ok(())
            }
        }
    }

    /// Adds a new material for encryption. The old materials still decrypt.
    pub(super) fn rotate(&mut self) -> Result<(), ServiceError> {
        self.usable()?;
        if self.retired.len() >= MAX_ROTATIONS {
            return Err(ServiceError::LimitExceeded(
                "The key was rotated on demand 25 times, which is the limit.",
            ));
        }
        self.retired
            .push(std::mem::replace(&mut self.material, random_material()?));
        Ok(())
    }

    fn invalid_state(&self) -> ServiceError {
        let state = match self.state {
            KeyState::Enabled => "enabled",
            KeyState::Disabled => "disabled",
            KeyState::PendingDeletion { .. } => "pending deletion",
        };
        ServiceError::InvalidState(self.arn.clone(), state)
    }
}

/// The ARN that a name means. Leaves an ARN of another account or region unchanged, so no key matches it.
fn arn_of_name(name: &str) -> Result<String, ServiceError> {
    if name.starts_with("arn:aws:kms:") {
        Ok(name.to_owned())
    } else if name.starts_with("arn:") {
        Err(ServiceError::InvalidArn(name.to_owned()))
    } else if name.starts_with("alias/") {
        Ok(format!("{ARN_PREFIX}{name}"))
    } else {
        Ok(format!("{ARN_PREFIX}key/{name}"))
    }
}

fn arn_of_key(key: Uuid) -> String {
    format!("{ARN_PREFIX}key/{key}")
}

fn is_alias(name: &str) -> bool {
    name.strip_prefix("alias/").is_some_and(|rest| {
        (1..=250).contains(&rest.len())
            && !rest.starts_with("aws/")
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"/_-".contains(&byte))
    })
}

fn random_material() -> Result<KeyMaterial, ServiceError> {
    KeyMaterial::random().map_err(|_| ServiceError::Internal("no random bytes".to_owned()))
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
