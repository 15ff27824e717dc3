//! The page on which Zoom asks a user for consent.

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::transport::join_path;
use crate::credential::{ClientId, RedirectUri};

/// Zoom's consent page. The vault does not call the page; the user's browser opens it.
#[derive(Clone, Debug)]
pub struct ConsentPage(Url);

impl ConsentPage {
    /// `oauth` is the base URL of Zoom's OAuth host.
    pub fn new(oauth: Url) -> Self {
        Self(oauth)
    }

    /// The URL of the page for one authorization. Zoom sends the user to `redirect_uri` afterwards, with `state`.
    #[expect(
        clippy::disallowed_methods,
        reason = "the state is sent to Zoom, which returns it"
    )]
    pub fn address(
        &self,
        client_id: &ClientId,
        redirect_uri: &RedirectUri,
        code_challenge: &str,
        state: &SecretString,
    ) -> SecretString {
        let mut url = join_path(&self.0, "/oauth/authorize");
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", client_id.as_str())
            .append_pair("redirect_uri", redirect_uri.as_str())
            .append_pair("code_challenge", code_challenge)
            .append_pair("code_challenge_method", "S256")
            .append_pair("state", state.expose_secret());
        SecretString::from(String::from(url))
    }
}
