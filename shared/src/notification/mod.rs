//! Notifications: signed calls that tell a team's own server what happened to its credentials.
//!
//! A team has at most one endpoint. This module has the rules for endpoints, messages and signatures. It makes no
//! calls, and knows no tables.
//!
//! | file | job |
//! | --- | --- |
//! | `kind` | the kinds of notifications, and which event leads to which notification |
//! | `message` | what a notification says |
//! | `endpoint` | the URLs and addresses that the vault calls |
//! | `secret` | the secret that signs notifications, as Standard Webhooks define it |

mod endpoint;
mod kind;
mod message;
mod secret;

pub use self::endpoint::{AddressRule, EndpointUrl};
pub use self::kind::NotificationKind;
pub use self::message::{MessageId, Notification, NotificationData};
pub use self::secret::SigningSecret;
