//! What a connect session was created with.

use serde::{Deserialize, Serialize};

use crate::brand::Brand;
use crate::connect::{ReturnUrl, ZoomUserHash};
use crate::credential::{ClientId, CredentialId, Name, RedirectUri, TeamId};
use crate::extra::ExtraFilter;
use crate::stores::ExtraChange;
use crate::timestamp::Timestamp;

/// The Zoom app of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "app", content = "app_credential_id", rename_all = "snake_case")]
pub enum SessionApp {
    /// The request that created the session gave the app. Its client secret is sealed with the session.
    Own,
    /// The session uses the app of this credential of the team.
    #[serde(rename = "of")]
    OfCredential(CredentialId),
}

/// The parameters of a session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewSession {
    /// The team that created the session.
    #[serde(rename = "team_id")]
    pub team: TeamId,
    /// The new name of the credential, if the request gave a name.
    pub name: Option<Name>,
    /// The name that the page shows.
    pub label: Name,
    /// The change of the credential's `extra`.
    pub extra: Option<ExtraChange>,
    /// The client id of the Zoom app.
    pub client_id: ClientId,
    /// The source of the app's client secret.
    #[serde(flatten)]
    pub app: SessionApp,
    /// The name of the Zoom app, if the request gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_name: Option<Name>,
    /// The scopes that the user of that credential allowed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<String>,
    /// How the team presents itself on the page.
    #[serde(flatten)]
    pub brand: Brand,
    /// The credential that the session authorizes again. `None` if the session creates a credential.
    pub reconnects: Option<CredentialId>,
    /// The Zoom user of that credential, if the vault knows the user.
    pub known_user: Option<ZoomUserHash>,
    /// The redirect URI that Zoom sends the user to.
    pub redirect_uri: RedirectUri,
    /// The page that the user returns to at the end.
    pub return_url: Option<ReturnUrl>,
    /// The PKCE challenge of the sealed verifier.
    pub code_challenge: String,
    /// When the session ends.
    pub ends_at: Timestamp,
    /// The id of the API key that created the session.
    pub created_by: String,
    /// Which credentials that key can see.
    #[serde(default, skip_serializing_if = "ExtraFilter::is_empty")]
    pub filter: ExtraFilter,
}
