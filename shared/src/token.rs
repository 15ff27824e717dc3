//! What a bot joins with, and what it joins.

use serde::{Deserialize, Serialize};
use url::{Host, Url};
use utoipa::ToSchema;

use crate::credential::Invalid;

/// What kind of token a bot needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenType {
    /// Lets a bot join on behalf of the user (OBF). Works once, so each is minted anew.
    Onbehalf,
    /// The user's access key (ZAK): a bot joins or starts meetings as the user.
    Zak,
    /// Lets a bot record one meeting locally without asking its host.
    LocalRecording,
    /// A Meeting SDK JWT: the bot joins as the app. Signed here; Zoom is not asked.
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

/// A Zoom meeting's number: 1 to 20 digits. Spaces and dashes, as people write it, are dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MeetingId(String);

impl MeetingId {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The meeting that a Zoom link leads to: `/j/…`, `/s/…`, `/w/…`, `/wc/…/join` or `/wc/join/…` on `zoom.us` or below.
    /// Nothing in any other link, a personal one (`/my/…`) for one.
    pub fn in_link(text: &str) -> Option<Self> {
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
