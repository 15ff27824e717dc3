//! The body of `PATCH /v2/zoom-credentials/{id}`.

use shared::credential::{ClientId, CredentialType, Name, RedirectUri};
use shared::extra::Extra;
use shared::secret::{AppCredentials, AuthorizationCode, ClientSecret, CodeVerifier};
use shared::stores::{CredentialChanges, ExtraChange, StoredCredential};
use shared::zoom::Authorization;
use utoipa::ToSchema;

use crate::credentials::authorization;
use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::idempotency::{Fingerprint, RequestHashes};
use crate::http::request::Request;

/// The changes. A field that is missing stays as it is. Unknown fields are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct UpdateCredential {
    /// A new name.
    #[schema(nullable = false)]
    name: Option<Name>,
    /// The Zoom app's client id, with `client_secret`. Another app on a user credential needs a new authorization.
    #[schema(nullable = false)]
    client_id: Option<ClientId>,
    /// The Zoom app's client secret, with `client_id`. The vault stores it only if Zoom does not refuse it, encrypts it
    /// and never shows it.
    #[schema(write_only, nullable = false)]
    client_secret: Option<ClientSecret>,
    /// The code of a new authorization, by any Zoom user: fresh tokens, state `active`, errors cleared.
    #[schema(write_only, nullable = false)]
    authorization_code: Option<AuthorizationCode>,
    /// The redirect URI to which Zoom sent the user, character by character. Required with `authorization_code`.
    #[schema(nullable = false)]
    redirect_uri: Option<RedirectUri>,
    /// The verifier of PKCE, if the authorization at Zoom began with a `code_challenge`. Only with
    /// `authorization_code`.
    #[schema(write_only, nullable = false)]
    code_verifier: Option<CodeVerifier>,
    /// Replaces your JSON object as a whole; null clears it.
    #[schema(value_type = Option<HashMap<String, Value>>)]
    extra: Option<ExtraChange>,
}

impl UpdateCredential {
    fn of(request: &Request) -> Result<Self, ApiError> {
        let fields = Fields::of_optional(request)?;
        Ok(Self {
            client_id: fields.optional("body/client_id")?,
            client_secret: fields.optional("body/client_secret")?,
            name: fields.optional("body/name")?,
            extra: fields.extra()?,
            redirect_uri: fields.optional("body/redirect_uri")?,
            authorization_code: fields.optional("body/authorization_code")?,
            code_verifier: fields.optional("body/code_verifier")?,
        })
    }
}

/// The body, with what belongs together put together.
#[derive(Debug)]
pub(crate) struct Input {
    pub(super) changes: CredentialChanges,
    pub(super) app: Option<AppCredentials>,
    pub(super) authorization: Option<Authorization>,
}

impl Input {
    pub(crate) fn of(request: &Request) -> Result<Self, ApiError> {
        let body = UpdateCredential::of(request)?;
        let app = match (body.client_id, body.client_secret) {
            (Some(client_id), Some(client_secret)) => Some(AppCredentials {
                client_id,
                client_secret,
            }),
            (None, None) => None,
            (Some(_), None) => {
                return Err(ApiError::validation(
                    "body/client_secret",
                    "is required with client_id",
                ));
            }
            (None, Some(_)) => {
                return Err(ApiError::validation(
                    "body/client_id",
                    "is required with client_secret",
                ));
            }
        };
        Ok(Self {
            changes: CredentialChanges {
                name: body.name,
                extra: body.extra,
            },
            app,
            authorization: authorization::of(
                body.authorization_code,
                body.redirect_uri,
                body.code_verifier,
            )?,
        })
    }

    /// Refuses another app for a user credential without a new authorization, because the grant belongs to the old app.
    /// And refuses an authorization of an account-level app.
    pub(super) fn check_app(&self, seen: &StoredCredential) -> Result<(), ApiError> {
        if seen.account().is_some() && self.authorization.is_some() {
            let rule = "must NOT come for an account-level credential: no user authorizes its app";
            return Err(ApiError::validation("body/authorization_code", rule));
        }
        let is_users = seen.credential.credential_type == CredentialType::User;
        let changes_app = self
            .app
            .as_ref()
            .is_some_and(|app| app.client_id != seen.client_id);
        if is_users && changes_app && self.authorization.is_none() {
            return Err(ApiError::validation(
                "body/client_id",
                "must be the user credential's own, unless authorization_code comes with it",
            ));
        }
        Ok(())
    }

    /// The hashes of an update with an authorization code. Other updates can be repeated as they are.
    pub(super) fn hashes(&self, seen: &StoredCredential) -> Option<RequestHashes> {
        let authorization = self.authorization.as_ref()?;
        let app = self.app.as_ref();
        let client_id = app.map_or(&seen.client_id, |app| &app.client_id);
        let target = seen.credential.credential_id.to_string();
        let code = authorization::fingerprint(authorization, &target, client_id);
        let verifier = authorization.code_verifier.as_ref();
        let extra = self.changes.extra.clone().map(ExtraChange::into_extra);
        let body = Fingerprint::new("update")
            .and(seen.credential.credential_id.as_bytes())
            .and_maybe(
                self.changes
                    .name
                    .as_ref()
                    .map(|name| name.as_str().as_bytes()),
            )
            .and(client_id.as_str().as_bytes())
            .and(&authorization.code.fingerprint())
            .and(authorization.redirect_uri.as_str().as_bytes())
            .and_maybe(
                extra
                    .as_ref()
                    .map(|it| it.as_ref().map_or("null", Extra::as_json).as_bytes()),
            );
        let secrets = Fingerprint::new("secrets")
            .and_maybe(app.map(|app| app.client_secret.fingerprint()).as_deref())
            .and_maybe(verifier.map(CodeVerifier::fingerprint).as_deref());
        Some(RequestHashes {
            code: Some(code),
            body,
            secrets,
        })
    }
}
