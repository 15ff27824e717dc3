//! The authorization code in the body of a create or an update.

use shared::credential::ClientId;
use shared::zoom::Authorization;

use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::idempotency::Fingerprint;

/// The code, and the redirect URI that must come with it.
pub(crate) fn read(fields: &Fields<'_>) -> Result<Option<Authorization>, ApiError> {
    let redirect_uri = fields.optional("body/redirect_uri")?;
    let Some(code) = fields.optional("body/authorization_code")? else {
        return Ok(None);
    };
    let missing = ApiError::validation("body/redirect_uri", "is required with authorization_code");
    Ok(Some(Authorization {
        code,
        redirect_uri: redirect_uri.ok_or(missing)?,
        code_verifier: None,
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
