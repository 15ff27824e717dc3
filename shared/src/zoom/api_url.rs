//! Which REST host may be sent a user's token.

use reqwest::Url;

/// A REST base URL that is safe to send tokens to: Zoom's, or the configuration's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiUrl(Url);

impl ApiUrl {
    /// What the operator configured: trusted as it is.
    pub fn configured(url: Url) -> Self {
        Self(url)
    }

    /// What a token answer named: accepted only as `https`, host `zoom.us` or a subdomain of it, no port,
    /// user, path, query or fragment. A forged answer must not steer tokens elsewhere.
    pub fn from_zoom(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let plain = url.scheme() == "https"
            && url.port().is_none()
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        (plain && is_zooms(&url)).then_some(Self(url))
    }

    /// The URL.
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// The URL as it is stored: without a slash at its end.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// `named`, where there is one and this is Zoom's own host; a configured other host always wins.
    pub(super) fn or<'a>(&'a self, named: Option<&'a Self>) -> &'a Self {
        named.filter(|_| is_zooms(&self.0)).unwrap_or(self)
    }
}

fn is_zooms(url: &Url) -> bool {
    url.domain()
        .is_some_and(|host| host == "zoom.us" || host.ends_with(".zoom.us"))
}
