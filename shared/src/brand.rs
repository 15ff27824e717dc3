//! How a team presents itself on the connect page: its name, its logo and whom a user can ask. The operator sets all
//! three, so a team that creates links cannot pretend to be another one.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::credential::Name;
use crate::invalid::Invalid;

/// Longest logo. Every call of a team reads its settings, so they stay small.
const MAX_LOGO_CHARACTERS: usize = 8192;
/// Longest support contact.
const MAX_CONTACT_CHARACTERS: usize = 254;
/// The types of images that a data URI may carry. An image cannot run scripts, also not as SVG.
const IMAGE_TYPES: [&str; 4] = ["image/png", "image/jpeg", "image/webp", "image/svg+xml"];

/// How a team presents itself. A session keeps the values of the time at which it was created.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brand {
    /// The team's name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<Name>,
    /// The team's logo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logo: Option<Logo>,
    /// Whom a user can ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support_contact: Option<SupportContact>,
}

/// A logo: a `data:` URI with an image in base64, or an `https` URL without user and fragment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Logo(String);

impl Logo {
    /// The address of the image.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The only source of images that a page with this logo may load, as `img-src` in a content security policy. A
    /// policy names no query.
    pub fn policy_source(&self) -> &str {
        if self.0.starts_with("data:") {
            "data:"
        } else {
            self.0.split_once('?').map_or(&self.0, |(source, _)| source)
        }
    }
}

impl FromStr for Logo {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        const RULE: Invalid = Invalid(
            "must be an https URL, or data:image/TYPE;base64,DATA with one of png, jpeg, webp, svg+xml",
        );
        if text.len() > MAX_LOGO_CHARACTERS {
            return Err(Invalid(
                "must NOT have more than 8192 characters: use a smaller image, or an https URL",
            ));
        }
        if let Some(data) = text.strip_prefix("data:") {
            let (kind, data) = data.split_once(";base64,").ok_or(RULE)?;
            let is_image = IMAGE_TYPES.contains(&kind);
            let bytes = STANDARD.decode(data).map_err(|_| RULE)?;
            return if is_image && !bytes.is_empty() {
                Ok(Self(text.to_owned()))
            } else {
                Err(RULE)
            };
        }
        let url = https(text).ok_or(RULE)?;
        // Other hosts, such as `*` or `a;b`, would be more than one source or directive of the policy.
        let is_plain = |host: &str| {
            host.chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
        };
        if !url.host_str().is_some_and(is_plain) {
            return Err(Invalid(
                "must have a host of letters, digits, dots and hyphens",
            ));
        }
        // These characters end a source or a directive of the policy.
        if url.path().contains([';', ',', '\'']) {
            return Err(Invalid("must NOT have one of ; , ' in its path"));
        }
        Ok(Self(url.into()))
    }
}

/// Whom a user can ask: an e-mail address or an `https` URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SupportContact(String);

impl SupportContact {
    /// The address, as people read it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address for a link.
    pub fn href(&self) -> String {
        if self.0.starts_with("https://") {
            self.0.clone()
        } else {
            format!("mailto:{}", self.0)
        }
    }
}

impl FromStr for SupportContact {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.len() > MAX_CONTACT_CHARACTERS {
            return Err(Invalid("must NOT have more than 254 characters"));
        }
        if let Some(url) = https(text) {
            return Ok(Self(url.into()));
        }
        if is_email(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid("must be an e-mail address or an https URL"))
        }
    }
}

/// Whether the text is an e-mail address of common characters, so that a `mailto:` link carries nothing else.
fn is_email(text: &str) -> bool {
    let Some((user, domain)) = text.split_once('@') else {
        return false;
    };
    let is_user = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
    let is_label = |label: &str| {
        !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    !user.is_empty()
        && user.chars().all(is_user)
        && domain.contains('.')
        && domain.split('.').all(is_label)
}

/// The text as an `https` URL without user and fragment. The parsed URL is kept, as a browser reads it.
fn https(text: &str) -> Option<Url> {
    // The parser would drop tabs and line breaks silently.
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let is_plain =
        url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (url.scheme() == "https" && url.has_host() && is_plain).then_some(url)
}

macro_rules! from_text {
    ($($name:ident)+) => {$(
        impl TryFrom<String> for $name {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

from_text! { Logo SupportContact }
