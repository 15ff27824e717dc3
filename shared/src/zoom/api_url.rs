//! The REST hosts to which a user's token may be sent.

use reqwest::Url;

/// The base URL of a REST host that may receive tokens: a host of Zoom, or the configured host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiUrl(Url);

impl ApiUrl {
    /// The host that the operator configured. It is trusted without a check.
    pub fn configured(url: Url) -> Self {
        Self(url)
    }

    /// The host that a token answer named, or `None` if the host is not acceptable.
    ///
    /// A forged answer must not send tokens to another host. The URL must therefore be `https`, with the host
    /// `zoom.us` or a subdomain of it, and without port, user, path, query and fragment.
    pub fn from_zoom(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let is_bare_https_host = url.scheme() == "https"
            && url.port().is_none()
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        (is_bare_https_host && is_zoom_host(&url)).then_some(Self(url))
    }

    /// The URL.
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// The URL as it is stored, without a slash at the end.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// The user's own host, if there is one and `self` is a host of Zoom.
    ///
    /// If the operator configured a host that is not Zoom's, that host receives all calls.
    pub(super) fn or_user_host<'a>(&'a self, user_host: Option<&'a Self>) -> &'a Self {
        user_host.filter(|_| is_zoom_host(&self.0)).unwrap_or(self)
    }
}

fn is_zoom_host(url: &Url) -> bool {
    url.domain()
        .is_some_and(|host| host == "zoom.us" || host.ends_with(".zoom.us"))
}
