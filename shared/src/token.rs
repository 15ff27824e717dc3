//! The tokens with which a bot joins a meeting, and the number of the meeting.

use serde::{Deserialize, Serialize};
use url::{Host, Url};
use utoipa::ToSchema;

use crate::invalid::Invalid;

/// The type of token that a bot needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenType {
    /// Lets a bot join on behalf of the user (OBF). A token works once, so the vault mints a new one for each request.
    Onbehalf,
    /// The user's access key (ZAK), with which a bot joins or starts meetings as the user.
    Zak,
    /// Lets a bot record one meeting locally without asking its host.
    LocalRecording,
    /// A Meeting SDK JWT, with which a bot joins as the app. The vault signs it without a call to Zoom.
    SdkJwt,
}

impl TokenType {
    /// The word in bodies, URLs and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Onbehalf => "onbehalf",
            Self::Zak => "zak",
            Self::LocalRecording => "local_recording",
            Self::SdkJwt => "sdk_jwt",
        }
    }
}

impl TryFrom<String> for TokenType {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        [
            Self::Onbehalf,
            Self::Zak,
            Self::LocalRecording,
            Self::SdkJwt,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == text)
        .ok_or(Invalid(
            "must be one of onbehalf, zak, local_recording, sdk_jwt",
        ))
    }
}

/// The number of a Zoom meeting: 1 to 20 digits. Spaces and dashes between the digits are removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(pattern = "^[ -]*([0-9][ -]*){1,20}$", example = "98765432101")]
pub struct MeetingId(String);

impl MeetingId {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The meeting number in a Zoom link, or `None` if the link contains no number.
    ///
    /// The link has one of the paths `/j/…`, `/s/…`, `/w/…`, `/wc/…/join` and `/wc/join/…`, on `zoom.us` or a
    /// subdomain. A personal link (`/my/…`) contains no number.
    pub fn from_link(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let Some(Host::Domain(host)) = url.host() else {
            return None;
        };
        let is_zoom = host == "zoom.us" || host.ends_with(".zoom.us");
        if !is_zoom || !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        let mut path = url.path_segments()?;
        let digits = match (path.next()?, path.next()?) {
            ("j" | "s" | "w" | "wc", digits) if is_digits(digits) => digits,
            ("wc", "join") => path.next().filter(|digits| is_digits(digits))?,
            _ => return None,
        };
        Self::try_from(digits.to_owned()).ok()
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

impl TryFrom<String> for MeetingId {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
        if (1..=20).contains(&digits.len()) && is_digits(&digits) {
            Ok(Self(digits))
        } else {
            Err(Invalid("must be a Zoom meeting number: 1 to 20 digits"))
        }
    }
}

impl From<MeetingId> for String {
    fn from(id: MeetingId) -> Self {
        id.0
    }
}
