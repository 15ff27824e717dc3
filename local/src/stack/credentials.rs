//! The AWS credentials with which the stack and other programs call DynamoDB and KMS.

use std::path::Path;

use aws_sdk_dynamodb::config::Credentials;
use shared::config;
use shared::random::{RandomError, random_bytes};

use super::ExternalEndpoints;

pub(super) const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
pub(super) const SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";
/// The start of an access key id that the stack made. AWS makes no such id.
const PREFIX: &str = "LOCAL";
const RANDOM_BYTES: usize = 16;

/// The credentials for both services. The built-in ones require this access key id.
#[derive(Debug)]
pub(super) struct AwsAccess {
    pub(super) credentials: Credentials,
    /// Whether the stack made them. Otherwise they are the caller's own, for a service that runs elsewhere.
    pub(super) is_made_here: bool,
}

impl AwsAccess {
    /// The caller's own credentials if a service runs elsewhere and the environment has some. Otherwise the stack's.
    ///
    /// The stack keeps its random access key id in the file `env`. So a shell that loaded the file stays right after a
    /// restart.
    pub(super) fn of(external: &ExternalEndpoints, data_dir: &Path) -> Result<Self, RandomError> {
        let id = match kept_id(data_dir) {
            Some(id) => id,
            None => new_id()?,
        };
        let is_external = external.dynamodb.is_some() || external.kms.is_some();
        let own = is_external.then(from_environment).flatten();
        // A shell that loaded `env` has the stack's credentials.
        let own = own.filter(|own| own.access_key_id() != id);
        Ok(match own {
            Some(credentials) => Self {
                credentials,
                is_made_here: false,
            },
            None => Self {
                credentials: Credentials::new(id, "local", None, None, "local"),
                is_made_here: true,
            },
        })
    }
}

fn from_environment() -> Option<Credentials> {
    Some(Credentials::new(
        config::optional(ACCESS_KEY_ID)?,
        config::optional(SECRET_ACCESS_KEY)?,
        config::optional("AWS_SESSION_TOKEN"),
        None,
        "environment",
    ))
}

/// The access key id that a former run wrote into the file `env`.
fn kept_id(data_dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(data_dir.join("env")).ok()?;
    let value = |line: &str| {
        Some(
            line.strip_prefix(ACCESS_KEY_ID)?
                .strip_prefix('=')?
                .to_owned(),
        )
    };
    let id = text.lines().find_map(value)?;
    let random = id.strip_prefix(PREFIX)?;
    let is_whole =
        random.len() == 2 * RANDOM_BYTES && random.bytes().all(|it| it.is_ascii_hexdigit());
    is_whole.then_some(id)
}

fn new_id() -> Result<String, RandomError> {
    let random = random_bytes::<RANDOM_BYTES>()?;
    let digits = random.iter().map(|byte| format!("{byte:02X}"));
    Ok(format!("{PREFIX}{}", digits.collect::<String>()))
}
