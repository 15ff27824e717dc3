//! The envelope: each secret is sealed with its own data key, and KMS wraps the data key.
//!
//! Only this module calls KMS, and only `format` uses AES. A ciphertext is bound to its row twice. KMS unwraps the data
//! key only under the encryption context of the row. AES-GCM opens the ciphertext only with the additional data of the
//! row.
//!
//! Key bytes are kept in `Zeroizing`; they are moved and never copied. The buffers in which the AWS SDK receives keys
//! from KMS cannot be wiped from here.
//!
//! | file | job |
//! | --- | --- |
//! | `client` | [`Envelope`]: makes data keys, seals and opens |
//! | `rewrap` | wraps data keys with another KMS key, for the operator |
//! | [`mod@format`] | the bytes of a sealed secret. The format is frozen |
//! | `sealed` | the part of a row that the envelope makes |

mod client;
pub mod format;
mod rewrap;
pub(crate) mod sealed;

pub use self::client::{Binding, DataKey, Envelope, Error};
pub use self::rewrap::EnvelopeKey;
pub use self::sealed::{InvalidSecretId, Purpose, Sealed, SecretId, WrappedKey};
