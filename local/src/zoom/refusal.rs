//! What the token and revoke endpoints answer when they refuse, in Zoom's words.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Error;

/// A refusal; its `Display` is the `reason` of the answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("Invalid client_id or client_secret")]
    InvalidClient,
    #[error("The app has been disabled")]
    AppDisabled,
    #[error("Invalid request : parameters belong in the body, not in the query")]
    ParametersInQuery,
    #[error("Invalid request : the body must be application/x-www-form-urlencoded")]
    NotAForm,
    #[error("Invalid request : {0} is given twice")]
    RepeatedParameter(String),
    #[error("Invalid request : {0} is missing")]
    MissingParameter(&'static str),
    #[error("unsupported grant type")]
    UnsupportedGrantType,
    #[error("Invalid authorization code")]
    UnknownCode,
    #[error("Code is expired")]
    SpentCode,
    #[error("Invalid request : Redirect URI mismatch.")]
    RedirectUriMismatch,
    #[error("Invalid code verifier")]
    VerifierMismatch,
    #[error("Invalid Token!")]
    DeadToken,
    #[error("Invalid Token!")]
    SupersededToken,
    #[error("Internal error")]
    Internal(#[from] Error),
}

impl Refusal {
    fn error(&self) -> &'static str {
        match self {
            Self::InvalidClient | Self::AppDisabled => "invalid_client",
            Self::ParametersInQuery
            | Self::NotAForm
            | Self::RepeatedParameter(_)
            | Self::MissingParameter(_)
            | Self::RedirectUriMismatch => "invalid_request",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnknownCode
            | Self::SpentCode
            | Self::VerifierMismatch
            | Self::DeadToken
            | Self::SupersededToken => "invalid_grant",
            Self::Internal(_) => "server_error",
        }
    }

    /// Zoom's number, where its documentation gives one. The two answers seen in the wild carry none.
    fn code(&self) -> Option<u16> {
        match self {
            Self::AppDisabled => Some(4717),
            Self::UnsupportedGrantType => Some(4705),
            Self::UnknownCode => Some(4734),
            Self::SpentCode => Some(4733),
            Self::RedirectUriMismatch => Some(4709),
            Self::SupersededToken => Some(4741),
            Self::InvalidClient
            | Self::ParametersInQuery
            | Self::NotAForm
            | Self::RepeatedParameter(_)
            | Self::MissingParameter(_)
            | Self::VerifierMismatch
            | Self::DeadToken
            | Self::Internal(_) => None,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::InvalidClient
            | Self::AppDisabled
            | Self::ParametersInQuery
            | Self::NotAForm
            | Self::RepeatedParameter(_)
            | Self::MissingParameter(_)
            | Self::UnsupportedGrantType
            | Self::UnknownCode
            | Self::SpentCode
            | Self::RedirectUriMismatch
            | Self::VerifierMismatch
            | Self::DeadToken
            | Self::SupersededToken => StatusCode::BAD_REQUEST,
        };
        let (reason, error) = (self.to_string(), self.error());
        let body = match self.code() {
            Some(code) => json!({ "reason": reason, "error": error, "errorCode": code }),
            None => json!({ "reason": reason, "error": error }),
        };
        (status, Json(body)).into_response()
    }
}
