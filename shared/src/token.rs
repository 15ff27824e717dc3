//! The tokens that the vault gives away, and the number of a meeting.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::invalid::Invalid;

/// The type of a token that the vault gives away.
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
    /// The signature with which a media worker connects to one RTMS stream. The vault signs it without a call to Zoom.
    RtmsSignature,
    /// The user's access token itself. Only token URLs give it, to a vendor that asks for it. It can do whatever the
    /// app may do for the user.
    AccessToken,
}

impl TokenType {
    /// The word in bodies, URLs and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Onbehalf => "onbehalf",
            Self::Zak => "zak",
            Self::LocalRecording => "local_recording",
            Self::SdkJwt => "sdk_jwt",
            Self::RtmsSignature => "rtms_signature",
            Self::AccessToken => "access_token",
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
            Self::RtmsSignature,
            Self::AccessToken,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == text)
        .ok_or(Invalid(
            "must be one of onbehalf, zak, local_recording, sdk_jwt, rtms_signature, access_token",
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
}

impl TryFrom<String> for MeetingId {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
        if (1..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) {
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

/// A meeting or a webinar that a caller named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedMeeting {
    /// Its number.
    pub id: MeetingId,
    /// What the caller said about it.
    pub kind: MeetingKind,
}

/// What a caller said about a number. The digits themselves do not tell a webinar from a meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeetingKind {
    /// The number is that of a webinar.
    Webinar,
    /// The caller did not say.
    Unknown,
}

impl From<MeetingId> for NamedMeeting {
    fn from(id: MeetingId) -> Self {
        let kind = MeetingKind::Unknown;
        Self { id, kind }
    }
}
