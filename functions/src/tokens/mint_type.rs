//! The types of tokens that `POST /v2/zoom-tokens` mints.

use serde::Serialize;
use shared::invalid::Invalid;
use shared::token::TokenType;
use utoipa::ToSchema;

/// The type of a token to mint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MintType {
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
}

impl TryFrom<String> for MintType {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let rule = "must be one of onbehalf, zak, local_recording, sdk_jwt, rtms_signature";
        match TokenType::try_from(text) {
            Ok(TokenType::Onbehalf) => Ok(Self::Onbehalf),
            Ok(TokenType::Zak) => Ok(Self::Zak),
            Ok(TokenType::LocalRecording) => Ok(Self::LocalRecording),
            Ok(TokenType::SdkJwt) => Ok(Self::SdkJwt),
            Ok(TokenType::RtmsSignature) => Ok(Self::RtmsSignature),
            // Only token URLs give access tokens, to a vendor that proves its calls.
            Ok(TokenType::AccessToken) | Err(_) => Err(Invalid(rule)),
        }
    }
}
