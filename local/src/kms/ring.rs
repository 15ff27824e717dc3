//! The keys and their names: what a key may do in which state, and how a caller may call it.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Refusal,
    blob::{Blob, Context, Material},
};

pub(super) const ACCOUNT: &str = "000000000000";
/// What every ARN here begins with.
const ARN: &str = "arn:aws:kms:us-east-1:000000000000:";
/// AWS's own quota.
const MAX_ROTATIONS: usize = 25;

/// All there is to keep; what the key file holds. It has at least one key.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ring {
    first: Key,
    others: Vec<Key>,
    /// By full name, `alias/…`.
    aliases: BTreeMap<String, Uuid>,
}

/// One KMS key.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    pub(super) id: Uuid,
    pub(super) arn: String,
    pub(super) description: String,
    /// Seconds since 1970, like every time here.
    pub(super) created: u64,
    pub(super) state: KeyState,
    /// Seals; its number is the count of the retired.
    material: Material,
    /// Open what they sealed, in the order they served.
    retired: Vec<Material>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) enum KeyState {
    Enabled,
    Disabled,
    PendingDeletion { date: u64 },
}

impl Ring {
    /// One new key.
    pub(super) fn fresh() -> Result<Self, Refusal> {
        Ok(Self {
            first: Key::fresh(String::new())?,
            others: Vec::new(),
            aliases: BTreeMap::new(),
        })
    }

    /// The rule that a ring read from a file breaks, if any.
    pub(super) fn flaw(&self) -> Option<&'static str> {
        let ids: BTreeSet<_> = self.keys().map(|key| key.id).collect();
        if ids.len() != self.keys().count() {
            Some("two keys have one id")
        } else if self.keys().any(|key| key.arn != arn_of(key.id)) {
            Some("a key's ARN is not that of its id")
        } else if self.keys().any(|key| key.retired.len() > MAX_ROTATIONS) {
            Some("a key was rotated too often")
        } else if !self
            .aliases
            .iter()
            .all(|(name, id)| is_alias(name) && ids.contains(id))
        {
            Some("an alias has no valid name, or no key")
        } else {
            None
        }
    }

    pub(super) fn first(&self) -> &Key {
        &self.first
    }

    /// In the order they were made.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Name, ARN and key, sorted by name.
    pub(super) fn aliases(&self) -> impl Iterator<Item = (&str, String, Uuid)> {
        self.aliases
            .iter()
            .map(|(name, key)| (name.as_str(), format!("{ARN}{name}"), *key))
    }

    /// The key of an id, an ARN, an alias or an alias's ARN, in whatever state.
    pub(super) fn key(&self, name: &str) -> Result<&Key, Refusal> {
        let arn = full(name)?;
        let alias = self.alias(&arn);
        self.keys()
            .find(|key| key.arn == arn || Some(key.id) == alias)
            .ok_or(Refusal::NotFound(arn))
    }

    pub(super) fn key_mut(&mut self, name: &str) -> Result<&mut Key, Refusal> {
        let id = self.key(name)?.id;
        let mut keys = std::iter::once(&mut self.first).chain(&mut self.others);
        keys.find(|key| key.id == id)
            .ok_or_else(|| Refusal::NotFound(arn_of(id)))
    }

    /// The key that a blob claims to be of, and the blob taken apart.
    pub(super) fn sealer<'a>(&self, blob: &'a [u8]) -> Option<(&Key, Blob<'a>)> {
        let blob = Blob::parse(blob)?;
        self.keys()
            .find(|key| key.id == blob.key)
            .map(|key| (key, blob))
    }

    /// Opens a blob. `expected` is a caller's insistence on a key: another key's blob is refused
    /// before it is looked into.
    pub(super) fn open(
        &self,
        blob: &[u8],
        expected: Option<&str>,
        context: &Context,
    ) -> Result<(&Key, Vec<u8>), Refusal> {
        let expected = expected.map(|name| self.key(name)).transpose()?;
        let (key, blob) = self.sealer(blob).ok_or(Refusal::InvalidCiphertext)?;
        if expected.is_some_and(|expected| expected.id != key.id) {
            return Err(Refusal::IncorrectKey);
        }

        let mut materials = key.usable()?.retired.iter().chain([&key.material]);
        let material = materials
            .nth(blob.material.into())
            .ok_or(Refusal::InvalidCiphertext)?;
        let plaintext = material
            .open(&blob, context)
            .map_err(|_| Refusal::InvalidCiphertext)?;
        Ok((key, plaintext))
    }

    pub(super) fn create(&mut self, description: String) -> Result<&Key, Refusal> {
        Ok(self.others.push_mut(Key::fresh(description)?))
    }

    /// Gives a key one more name. An alias is never moved: what it opened would no longer open.
    pub(super) fn name(&mut self, alias: String, key: &str) -> Result<(), Refusal> {
        let key = self.key(key)?;
        if matches!(key.state, KeyState::PendingDeletion { .. }) {
            return Err(key.unfit());
        }
        if !is_alias(&alias) {
            return Err(Refusal::InvalidAliasName);
        }

        let id = key.id;
        match self.aliases.entry(alias) {
            Entry::Occupied(taken) => Err(Refusal::AlreadyExists(format!("{ARN}{}", taken.key()))),
            Entry::Vacant(free) => {
                free.insert(id);
                Ok(())
            }
        }
    }

    fn alias(&self, arn: &str) -> Option<Uuid> {
        self.aliases.get(arn.strip_prefix(ARN)?).copied()
    }
}

impl Key {
    fn fresh(description: String) -> Result<Self, Refusal> {
        let id = Uuid::new_v4();
        Ok(Self {
            id,
            arn: arn_of(id),
            description,
            created: now(),
            state: KeyState::Enabled,
            material: fresh_material()?,
            retired: Vec::new(),
        })
    }

    /// The key, if cryptography may be done with it.
    pub(super) fn usable(&self) -> Result<&Self, Refusal> {
        match self.state {
            KeyState::Enabled => Ok(self),
            KeyState::Disabled => Err(Refusal::Disabled(self.arn.clone())),
            KeyState::PendingDeletion { .. } => Err(self.unfit()),
        }
    }

    /// Seals under the newest material; the key must be usable.
    pub(super) fn seal(&self, context: &Context, plaintext: &[u8]) -> Result<Vec<u8>, Refusal> {
        let index = u16::try_from(self.retired.len())
            .map_err(|_| Refusal::Internal("too many rotations".to_owned()))?;
        let sealed = self
            .usable()?
            .material
            .seal(self.id, index, context, plaintext);
        sealed.map_err(|_| Refusal::Internal("AES-GCM failed".to_owned()))
    }

    pub(super) fn set_enabled(&mut self, enabled: bool) -> Result<(), Refusal> {
        match self.state {
            KeyState::PendingDeletion { .. } => Err(self.unfit()),
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

    /// From now on nothing can be done with the key but to cancel this. Answers the date of a death
    /// that never comes.
    pub(super) fn schedule_deletion(&mut self, days: u16) -> Result<u64, Refusal> {
        match self.state {
            KeyState::PendingDeletion { .. } => Err(self.unfit()),
            KeyState::Enabled | KeyState::Disabled => {
                let date = now() + u64::from(days) * 24 * 60 * 60;
                self.state = KeyState::PendingDeletion { date };
                Ok(date)
            }
        }
    }

    /// The key comes back disabled, as at AWS: using it again is a second decision.
    pub(super) fn cancel_deletion(&mut self) -> Result<(), Refusal> {
        match self.state {
            KeyState::Enabled | KeyState::Disabled => Err(self.unfit()),
            KeyState::PendingDeletion { .. } => {
                self.state = KeyState::Disabled;
                Ok(())
            }
        }
    }

    /// New material seals, the old still opens.
    pub(super) fn rotate(&mut self) -> Result<(), Refusal> {
        self.usable()?;
        if self.retired.len() >= MAX_ROTATIONS {
            return Err(Refusal::LimitExceeded(
                "The key was rotated on demand 25 times, which is the limit.",
            ));
        }
        self.retired
            .push(std::mem::replace(&mut self.material, fresh_material()?));
        Ok(())
    }

    fn unfit(&self) -> Refusal {
        let state = match self.state {
            KeyState::Enabled => "enabled",
            KeyState::Disabled => "disabled",
            KeyState::PendingDeletion { .. } => "pending deletion",
        };
        Refusal::InvalidState(self.arn.clone(), state)
    }
}

/// The ARN that a name stands for. That of another account or region stays itself, and will not be
/// found.
fn full(name: &str) -> Result<String, Refusal> {
    if name.starts_with("arn:aws:kms:") {
        Ok(name.to_owned())
    } else if name.starts_with("arn:") {
        Err(Refusal::InvalidArn(name.to_owned()))
    } else if name.starts_with("alias/") {
        Ok(format!("{ARN}{name}"))
    } else {
        Ok(format!("{ARN}key/{name}"))
    }
}

fn arn_of(key: Uuid) -> String {
    format!("{ARN}key/{key}")
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

fn fresh_material() -> Result<Material, Refusal> {
    Material::fresh().map_err(|_| Refusal::Internal("no random bytes".to_owned()))
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
