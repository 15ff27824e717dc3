//! The errors of the token and revoke endpoints, with Zoom's messages and numbers.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Error;

/// An error of the token or revoke endpoint. Its `Display` text is the `reason` of the answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum OAuthError {
    #[error("Invalid client_id or client_secret")]
    InvalidClient,
    #[error("The app has been disabled")]
    AppDisabled,
    #[error("Invalid request : parameters belong in the body, not in the query")]
    ParametersInQuery,
    #[error("Invalid request : the body must be application/x-www-form-urlencoded")]
    NotAForm,
    #[error("Invalid request : {0} occurs twice")]
    RepeatedParameter(String),
    #[error("Invalid request : {0} is missing")]
    MissingParameter(&'static str),
    #[error("unsupported grant type")]
    UnsupportedGrantType,
    #[error("Bad Request")]
    UnknownAccount,
    #[error("Invalid authorization code")]
    UnknownCode,
    #[error("Code is expired")]
    ExpiredCode,
    #[error("Invalid request : Redirect URI mismatch.")]
    RedirectUriMismatch,
    #[error("Invalid code verifier")]
    VerifierMismatch,
    #[error("Invalid Token!")]
    InvalidToken,
    #[error("Invalid Token!")]
    SupersededToken,
    #[error("Internal error")]
    Internal(#[from] Error),
}

impl OAuthError {
    fn error(&self) -> &'static str {
        match self {
            Self::InvalidClient | Self::AppDisabled => "invalid_client",
            Self::ParametersInQuery
            | Self::NotAForm
            | Self::RepeatedParameter(_)
            | Self::MissingParameter(_)
            | Self::UnknownAccount
            | Self::RedirectUriMismatch => "invalid_request",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnknownCode
            | Self::ExpiredCode
            | Self::VerifierMismatch
            | Self::InvalidToken
            | Self::SupersededToken => "invalid_grant",
            Self::Internal(_) => "server_error",
        }
    }

    /// Zoom's number of the error, if its documentation gives one.
    fn code(&self) -> Option<u16> {
        match self {
            Self::AppDisabled => Some(4717),
            Self::UnsupportedGrantType => Some(4705),
            Self::UnknownCode => Some(4734),
            Self::ExpiredCode => Some(4733),
            Self::RedirectUriMismatch => Some(4709),
            Self::SupersededToken => Some(4741),
            Self::InvalidClient
            | Self::ParametersInQuery
            | Self::NotAForm
            | Self::RepeatedParameter(_)
            | Self::MissingParameter(_)
            | Self::UnknownAccount
            | Self::VerifierMismatch
            | Self::InvalidToken
            | Self::Internal(_) => None,
        }
    }
}

impl IntoResponse for OAuthError {
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
            | Self::UnknownAccount
            | Self::UnknownCode
            | Self::ExpiredCode
            | Self::RedirectUriMismatch
            | Self::VerifierMismatch
            | Self::InvalidToken
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
