//! The authorization code in the body of a create or an update.

use shared::credential::{ClientId, RedirectUri};
use shared::secret::{AuthorizationCode, CodeVerifier};
use shared::zoom::Authorization;

use crate::http::error::ApiError;
use crate::http::idempotency::Fingerprint;

/// The code, the redirect URI that must come with it, and the verifier that comes only with it.
pub(crate) fn of(
    code: Option<AuthorizationCode>,
    redirect_uri: Option<RedirectUri>,
    code_verifier: Option<CodeVerifier>,
) -> Result<Option<Authorization>, ApiError> {
    let Some(code) = code else {
        if code_verifier.is_some() {
            let at = "body/authorization_code";
            return Err(ApiError::validation(at, "is required with code_verifier"));
        }
        return Ok(None);
    };
    let missing = ApiError::validation("body/redirect_uri", "is required with authorization_code");
    Ok(Some(Authorization {
        code,
        redirect_uri: redirect_uri.ok_or(missing)?,
        code_verifier,
    }))
}

/// Identifies the request that spends this code, if the request has no `Idempotency-Key`. `target` is the credential's
/// id, or `new`.
pub(crate) fn fingerprint(
    authorization: &Authorization,
    target: &str,
    client_id: &ClientId,
) -> Fingerprint {
    Fingerprint::new("authorize")
        .and(target.as_bytes())
        .and(client_id.as_str().as_bytes())
        .and(&authorization.code.fingerprint())
}
