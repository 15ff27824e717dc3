//! Zoom's OAuth and REST hosts. `reqwest` is here and nowhere else.
//!
//! Nothing is retried, no redirect is followed, and no answer is read past a bound: what Zoom says is
//! untrusted, and a code or refresh token works once. Secrets go in headers and bodies, never in a URL.

mod answer;
mod api_url;
pub mod webhook;

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, IgnoredAny};

use crate::credential::{ClientId, RedirectUri};
use crate::meter::{self, Service};
use crate::secret::{AppCredentials, AuthorizationCode, CodeVerifier, TokenPair};
use crate::stores::Profile;
use crate::token::{MeetingId, TokenType};
use answer::Failure;
pub use api_url::ApiUrl;

/// Zoom's own OAuth host.
pub const OAUTH_BASE_URL: &str = "https://zoom.us";
/// Zoom's own REST host.
pub const API_BASE_URL: &str = "https://api.zoom.us";

/// How long an answer is waited for, unless it was configured: giving up on a code's answer loses the code.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How long the answer to a refresh is waited for, unless it was configured: giving up on it loses the grant.
pub const REFRESH_PATIENCE: Duration = Duration::from_mins(1);

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);

/// Why Zoom did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Zoom refused, and the app is to blame: its id, secret or settings. The operator must mend it.
    #[error("Zoom refused the app: {reason}")]
    App {
        /// Zoom's reason.
        reason: String,
    },
    /// Zoom refused the code or token. The user must authorize again.
    #[error("Zoom refused the grant: {reason}")]
    Grant {
        /// Zoom's reason.
        reason: String,
    },
    /// The access token is dead. The grant may be good.
    #[error("Zoom refused the access token")]
    DeadAccess,
    /// The Zoom user is not there any more, or is deactivated.
    #[error("Zoom does not know the user: {reason}")]
    NoUser {
        /// Zoom's reason.
        reason: String,
    },
    /// Zoom refused what was asked for: a meeting, a lifetime. The grant is good.
    #[error("Zoom refused the request: {reason}")]
    Request {
        /// Zoom's reason.
        reason: String,
    },
    /// The app or the user's consent lacks a scope. The grant is good.
    #[error("Zoom misses the scope {scope}")]
    MissingScope {
        /// Which.
        scope: String,
    },
    /// Zoom is limiting us.
    #[error("Zoom is limiting calls")]
    Limited {
        /// When Zoom wants to be asked again.
        retry_after: Option<Duration>,
        /// Zoom's own code, where it gave one.
        code: Option<i64>,
        /// Zoom's id of the call, for its support.
        tracking_id: Option<String>,
    },
    /// No connection was made: Zoom has seen nothing.
    #[error("Zoom cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// The connection broke, Zoom failed, or its answer cannot be used. It may have acted.
    #[error("Zoom failed{}", tracking(.tracking_id.as_ref()))]
    Failed {
        /// What went wrong, in our words.
        #[source]
        source: Fault,
        /// Zoom's id of the call, for its support.
        tracking_id: Option<String>,
    },
    /// No answer in time. It may have acted.
    #[error("Zoom did not answer in time")]
    Silent,
}

impl Error {
    /// What Zoom's support asks for: its reason, where it gave one, and the call's tracking id.
    pub fn details(&self) -> Option<String> {
        let with_code = |code: &Option<i64>| code.map(|code| format!("code {code}"));
        let (reason, tracking_id) = match self {
            Self::Limited {
                code, tracking_id, ..
            } => (with_code(code), tracking_id),
            Self::Failed {
                source,
                tracking_id,
            } => match source {
                Fault::Refused(reason) => (Some(reason.clone()), tracking_id),
                Fault::Status { code, .. } => (with_code(code), tracking_id),
                Fault::Broken(_) | Fault::TooLong | Fault::Malformed => (None, tracking_id),
            },
            Self::App { .. }
            | Self::Grant { .. }
            | Self::DeadAccess
            | Self::NoUser { .. }
            | Self::Request { .. }
            | Self::MissingScope { .. }
            | Self::Unreachable(_)
            | Self::Silent => return None,
        };
        match (reason, tracking_id.clone()) {
            (Some(reason), Some(id)) => Some(format!("{reason} (tracking id {id})")),
            (reason, id) => reason.or(id),
        }
    }

    /// Whether Zoom has surely not acted: a code or refresh token that was sent is as good as before.
    pub fn spends_nothing(&self) -> bool {
        match self {
            Self::App { .. } | Self::Limited { .. } | Self::Unreachable(_) => true,
            Self::Grant { .. }
            | Self::DeadAccess
            | Self::NoUser { .. }
            | Self::Request { .. }
            | Self::MissingScope { .. }
            | Self::Failed { .. }
            | Self::Silent => false,
        }
    }
}

/// What was wrong with a call that Zoom may have acted on.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] reqwest::Error),
    /// A status that says nothing about the request.
    #[error("status {status}{}", code.map_or_else(String::new, |code| format!(", code {code}")))]
    Status {
        /// Of HTTP.
        status: u16,
        /// Zoom's own, where it gave one.
        code: Option<i64>,
    },
    /// A refusal of a kind that says neither app nor grant is to blame.
    #[error("refused: {0}")]
    Refused(String),
    /// An answer longer than anything Zoom has to say.
    #[error("the answer is too long")]
    TooLong,
    /// An answer that is not the JSON it should be.
    #[error("the answer is malformed")]
    Malformed,
}

fn tracking(id: Option<&String>) -> String {
    id.map_or_else(String::new, |id| format!(" (tracking id {id})"))
}

/// A code, and what proves to Zoom that it came to us.
#[derive(Debug)]
pub struct Authorization {
    /// Works once.
    pub code: AuthorizationCode,
    /// Where Zoom sent the user, to the letter.
    pub redirect_uri: RedirectUri,
    /// The PKCE secret, where the authorization began with its challenge.
    pub code_verifier: Option<CodeVerifier>,
}

/// What an authorization or a refresh gives.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// Both tokens.
    pub pair: TokenPair,
    /// How long the access token lives.
    pub expires_in: Duration,
    /// What was consented to, comma-separated.
    pub scopes: Option<String>,
    /// The user's REST host, where Zoom named an acceptable one.
    pub api_url: Option<ApiUrl>,
}

/// A code or refresh token is spent for it, so nothing but the tokens themselves can make it worthless.
#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(deserialize_with = "token")]
    access_token: SecretString,
    #[serde(deserialize_with = "token")]
    refresh_token: SecretString,
    #[serde(default, deserialize_with = "answer::if_sound")]
    expires_in: Option<u64>,
    #[serde(default, deserialize_with = "answer::if_sound")]
    scope: Option<String>,
    #[serde(default, deserialize_with = "answer::if_sound")]
    api_url: Option<String>,
}

/// What is minted at Zoom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A token with which a bot joins on behalf of the user: for one meeting, where that is known.
    Onbehalf {
        /// The meeting.
        meeting: Option<MeetingId>,
        /// How long it lives, in seconds; Zoom's default is two hours.
        ttl: Option<u32>,
    },
    /// The user's access key.
    Zak {
        /// How long it lives, in seconds; Zoom's default is two hours.
        ttl: Option<u32>,
    },
    /// A token with which a bot may record one meeting.
    LocalRecording {
        /// The meeting.
        meeting: MeetingId,
    },
}

impl Wanted {
    /// The word for it.
    pub fn token_type(&self) -> TokenType {
        match self {
            Self::Onbehalf { .. } => TokenType::Onbehalf,
            Self::Zak { .. } => TokenType::Zak,
            Self::LocalRecording { .. } => TokenType::LocalRecording,
        }
    }

    /// The meeting that it is for, where that was said.
    pub fn meeting(&self) -> Option<&MeetingId> {
        match self {
            Self::Onbehalf { meeting, .. } => meeting.as_ref(),
            Self::Zak { .. } => None,
            Self::LocalRecording { meeting } => Some(meeting),
        }
    }

    fn path(&self) -> String {
        match self {
            Self::Onbehalf { .. } | Self::Zak { .. } => "/v2/users/me/token".to_owned(),
            Self::LocalRecording { meeting } => {
                format!(
                    "/v2/meetings/{}/jointoken/local_recording",
                    meeting.as_str()
                )
            }
        }
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let (kind, meeting, ttl) = match self {
            Self::Onbehalf { meeting, ttl } => ("onbehalf", meeting.as_ref(), ttl),
            Self::Zak { ttl } => ("zak", None, ttl),
            Self::LocalRecording { .. } => {
                return vec![("bypass_waiting_room", "true".to_owned())];
            }
        };
        let mut query = vec![("type", kind.to_owned())];
        query.extend(meeting.map(|meeting| ("meeting_id", meeting.as_str().to_owned())));
        query.extend(ttl.map(|ttl| ("ttl", ttl.to_string())));
        query
    }
}

/// What Zoom minted.
#[derive(Clone, Debug)]
pub struct Minted {
    /// The token.
    pub token: SecretString,
    /// How long it lives, where that was asked for or said.
    pub lives: Option<Duration>,
}

#[derive(Deserialize)]
struct MintAnswer {
    #[serde(deserialize_with = "token")]
    token: SecretString,
    #[serde(default, deserialize_with = "answer::if_sound")]
    expire_in: Option<u64>,
}

#[expect(clippy::disallowed_methods, reason = "a length is checked")]
fn token<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    let token = SecretString::deserialize(deserializer)?;
    if token.expose_secret().is_empty() {
        Err(de::Error::custom("a token is empty"))
    } else {
        Ok(token)
    }
}

/// Where Zoom asks its users whether they consent. No call is made: a browser goes there.
#[derive(Clone, Debug)]
pub struct ConsentPage(Url);

impl ConsentPage {
    /// `oauth` is the base URL of Zoom's OAuth host.
    pub fn new(oauth: Url) -> Self {
        Self(oauth)
    }

    /// The page's address for one authorization, which comes back to `redirect_uri` with the `state`.
    #[expect(clippy::disallowed_methods, reason = "Zoom hands the state back")]
    pub fn address(
        &self,
        client_id: &ClientId,
        redirect_uri: &RedirectUri,
        code_challenge: &str,
        state: &SecretString,
    ) -> SecretString {
        let mut url = under(&self.0, "/oauth/authorize");
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

/// Zoom, at its own hosts or wherever the configuration points.
#[derive(Clone, Debug)]
pub struct Zoom {
    /// For the token endpoint: a connection per call. What works once is never sent on a connection that may
    /// have died while the Lambda was frozen.
    fresh: reqwest::Client,
    /// For everything else.
    pooled: reqwest::Client,
    oauth: Url,
    api: ApiUrl,
    patience: Duration,
    refresh_patience: Duration,
}

impl Zoom {
    /// `oauth` and `api` are the two base URLs; `api` wins over what an answer names unless it is Zoom's own.
    pub fn new(oauth: Url, api: ApiUrl) -> Result<Self, reqwest::Error> {
        let tls = trust();
        let client = || {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .connect_timeout(CONNECT)
                .user_agent(concat!("zoom-credential-vault/", env!("CARGO_PKG_VERSION")))
        };
        let fresh = client().pool_max_idle_per_host(0).build()?;
        Ok(Self {
            fresh,
            pooled: client().build()?,
            oauth,
            api,
            patience: PATIENCE,
            refresh_patience: REFRESH_PATIENCE,
        })
    }

    /// Waits for answers up to `patience`, in place of [`PATIENCE`].
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Waits for the answer to a refresh up to `patience`, in place of [`REFRESH_PATIENCE`].
    #[must_use]
    pub fn with_refresh_patience(self, patience: Duration) -> Self {
        Self {
            refresh_patience: patience,
            ..self
        }
    }

    /// Where its users are asked.
    pub fn consent_page(&self) -> ConsentPage {
        ConsentPage::new(self.oauth.clone())
    }

    /// Opens a connection to Zoom's REST host, by a request that asks for nothing.
    ///
    /// Not to its OAuth host: that connection would not be used (see `fresh`), and all that it could leave
    /// behind is a TLS session, which spares a check of certificates and no round trip.
    pub async fn warm(&self) {
        // Whatever came back, it came over a connection that now is open; and to HEAD no body comes.
        self.pooled
            .head(under(self.api.as_url(), "/"))
            .send()
            .await
            .ok();
    }

    /// Spends an authorization code, waiting for the answer up to `time_left` or our patience's end.
    ///
    /// Once this has been called the code may be spent, whatever comes back, except for
    /// [`Error::Unreachable`] and [`Error::Limited`].
    pub async fn exchange(
        &self,
        app: &AppCredentials,
        authorization: &Authorization,
        time_left: Duration,
    ) -> Result<Tokens, Error> {
        let code = authorization.code.revealed();
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", authorization.redirect_uri.as_str()),
        ];
        let verifier = authorization
            .code_verifier
            .as_ref()
            .map(CodeVerifier::revealed);
        form.extend(verifier.map(|verifier| ("code_verifier", verifier)));
        let secrets = [
            code,
            app.client_secret.revealed(),
            verifier.unwrap_or_default(),
        ];
        let answer = self.ask_for_tokens(app, &form, time_left.min(self.patience));
        answer
            .await?
            .map_err(|failure| failure.at_exchange(&secrets))
    }

    /// Spends a refresh token, waiting for the answer up to `time_left` or our patience's end.
    ///
    /// Once this has been called the token may be spent, whatever comes back, except for the errors that
    /// [`Error::spends_nothing`] names. [`Error::Grant`] comes only of a reason that means that the token is dead.
    #[expect(clippy::disallowed_methods, reason = "Zoom wants the refresh token")]
    pub async fn refresh(
        &self,
        app: &AppCredentials,
        refresh: &SecretString,
        time_left: Duration,
    ) -> Result<Tokens, Error> {
        let refresh = refresh.expose_secret();
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
        let answer = self.ask_for_tokens(app, &form, time_left.min(self.refresh_patience));
        answer
            .await?
            .map_err(|failure| failure.at_refresh(&[app.client_secret.revealed(), refresh]))
    }

    /// Whether Zoom takes the app's id and secret: asks for a token of the app's own, and throws it away.
    pub async fn check_app(&self, app: &AppCredentials, time_left: Duration) -> Result<(), Error> {
        let secret = app.client_secret.revealed();
        let request = self
            .pooled
            .post(under(&self.oauth, "/oauth/token"))
            .basic_auth(app.client_id.as_str(), Some(secret))
            .form(&[("grant_type", "client_credentials")])
            .timeout(time_left.min(self.patience));
        match call::<IgnoredAny>(request).await? {
            Ok(_) => Ok(()),
            Err(failure) => Err(failure.at_refresh(&[secret])),
        }
    }

    /// Ends a grant at Zoom, by one of its live access tokens. [`Error::Grant`] where Zoom does not take that token for
    /// one: the grant may be alive.
    #[expect(clippy::disallowed_methods, reason = "Zoom wants the access token")]
    pub async fn revoke(
        &self,
        app: &AppCredentials,
        access: &SecretString,
        time_left: Duration,
    ) -> Result<(), Error> {
        let (secret, access) = (app.client_secret.revealed(), access.expose_secret());
        let request = self
            .pooled
            .post(under(&self.oauth, "/oauth/revoke"))
            .basic_auth(app.client_id.as_str(), Some(secret))
            .form(&[("token", access)])
            .timeout(time_left.min(self.patience));
        match call::<IgnoredAny>(request).await? {
            Ok(_) => Ok(()),
            Err(failure) => Err(failure.at_refresh(&[secret, access])),
        }
    }

    /// Posts to the token endpoint.
    async fn ask_for_tokens(
        &self,
        app: &AppCredentials,
        form: &[(&str, &str)],
        patience: Duration,
    ) -> Result<Result<Tokens, Failure>, Error> {
        let request = self
            .fresh
            .post(under(&self.oauth, "/oauth/token"))
            .basic_auth(app.client_id.as_str(), Some(app.client_secret.revealed()))
            .form(form)
            .timeout(patience);
        let answer: TokenAnswer = match call(request).await? {
            Ok(answer) => answer,
            Err(failure) => return Ok(Err(failure)),
        };
        Ok(Ok(Tokens {
            pair: TokenPair {
                access: answer.access_token,
                refresh: answer.refresh_token,
            },
            // Zoom's tokens live an hour; a claim of more than a day is not believed.
            expires_in: Duration::from_secs(answer.expires_in.unwrap_or(3600).min(24 * 3600)),
            scopes: answer
                .scope
                .filter(|scope| scope.len() <= MAX_SCOPES_BYTES)
                .map(|scope| scope.split_whitespace().collect::<Vec<_>>().join(","))
                .filter(|scopes| !scopes.is_empty()),
            api_url: answer.api_url.and_then(|url| ApiUrl::from_zoom(&url)),
        }))
    }

    /// Mints what a bot joins with, waiting up to `time_left` or our patience's end.
    #[expect(clippy::disallowed_methods, reason = "Zoom wants the access token")]
    pub async fn mint(
        &self,
        api_url: Option<&ApiUrl>,
        access: &SecretString,
        wanted: &Wanted,
        time_left: Duration,
    ) -> Result<Minted, Error> {
        let mut url = under(self.api.or(api_url).as_url(), &wanted.path());
        url.query_pairs_mut().extend_pairs(wanted.query());
        let access = access.expose_secret();
        let request = self
            .pooled
            .request(Method::GET, url)
            .bearer_auth(access)
            .timeout(time_left.min(self.patience));
        let minted: MintAnswer = match call(request).await? {
            Ok(minted) => minted,
            Err(failure) => return Err(failure.at_rest(&[access])),
        };
        let lives = match wanted {
            Wanted::Onbehalf { ttl, .. } | Wanted::Zak { ttl } => ttl.map(u64::from),
            Wanted::LocalRecording { .. } => minted.expire_in.map(|seconds| seconds.min(24 * 3600)),
        };
        Ok(Minted {
            token: minted.token,
            lives: lives.map(Duration::from_secs),
        })
    }

    /// Reads who the access token belongs to, waiting up to `time_left` or our patience's end.
    #[expect(clippy::disallowed_methods, reason = "Zoom wants the access token")]
    pub async fn profile(
        &self,
        api_url: Option<&ApiUrl>,
        access: &SecretString,
        time_left: Duration,
    ) -> Result<Profile, Error> {
        let url = under(self.api.or(api_url).as_url(), "/v2/users/me");
        let access = access.expose_secret();
        let request = self
            .pooled
            .request(Method::GET, url)
            .bearer_auth(access)
            .timeout(time_left.min(self.patience));
        let user: User = match call(request).await? {
            Ok(user) => user,
            Err(failure) => return Err(failure.at_rest(&[access])),
        };
        Ok(user.into())
    }
}

/// A longer field of a profile is no name, address or id, and would only bloat the row.
const MAX_FIELD_BYTES: usize = 1024;
/// As for a profile's fields; Zoom has some hundreds of scopes.
const MAX_SCOPES_BYTES: usize = 16 * 1024;

/// Zoom's user object, as far as it is kept. Every field is optional.
#[derive(Deserialize)]
struct User {
    #[serde(default, deserialize_with = "answer::if_sound")]
    id: Option<String>,
    #[serde(default, deserialize_with = "answer::if_sound")]
    account_id: Option<String>,
    #[serde(default, deserialize_with = "answer::if_sound")]
    email: Option<String>,
    #[serde(default, deserialize_with = "answer::if_sound")]
    display_name: Option<String>,
    #[serde(default, deserialize_with = "answer::if_sound")]
    first_name: Option<String>,
    #[serde(default, deserialize_with = "answer::if_sound")]
    last_name: Option<String>,
}

impl From<User> for Profile {
    fn from(user: User) -> Self {
        let present = |text: &String| (1..=MAX_FIELD_BYTES).contains(&text.len());
        let parts: Vec<String> = [user.first_name, user.last_name]
            .into_iter()
            .flatten()
            .filter(present)
            .collect();
        let composed = Some(parts.join(" ")).filter(present);
        Self {
            zoom_user_id: user.id.filter(present),
            zoom_account_id: user.account_id.filter(present),
            zoom_email: user.email.filter(present),
            zoom_display_name: user.display_name.filter(present).or(composed),
        }
    }
}

/// Sends a request: the parsed body of a success, or what Zoom said instead.
async fn call<T: DeserializeOwned>(request: RequestBuilder) -> Result<Result<T, Failure>, Error> {
    meter::count(Service::Zoom);
    let answer = request.send().await.map_err(unanswered)?;
    let status = answer.status();
    let tracking_id = tracking_id(&answer);
    let fault = |source| Error::Failed {
        source,
        tracking_id: tracking_id.clone(),
    };
    if status.is_redirection() {
        return Err(fault(Fault::Status {
            status: status.as_u16(),
            code: None,
        }));
    }
    let failure = Failure::from_head(&answer, tracking_id.clone());
    let body = match answer::body(answer).await {
        Ok(body) => body,
        Err(answer::Unreadable::TooLong) => return Err(fault(Fault::TooLong)),
        Err(answer::Unreadable::Broken(error)) if error.is_timeout() => return Err(Error::Silent),
        Err(answer::Unreadable::Broken(error)) => {
            return Err(fault(Fault::Broken(error.without_url())));
        }
    };
    if status == StatusCode::OK {
        // The parser's own error may quote the answer, and with it a token: it goes no further.
        serde_json::from_slice(&body)
            .map(Ok)
            .map_err(|_| fault(Fault::Malformed))
    } else {
        Ok(Err(failure.with_body(&body)))
    }
}

fn unanswered(error: reqwest::Error) -> Error {
    let error = error.without_url();
    if error.is_connect() {
        Error::Unreachable(error)
    } else if error.is_timeout() {
        Error::Silent
    } else {
        Error::Failed {
            source: Fault::Broken(error),
            tracking_id: None,
        }
    }
}

fn tracking_id(answer: &Response) -> Option<String> {
    let id = answer.headers().get("x-zm-trackingid")?.to_str().ok()?;
    let plain = id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_graphic());
    plain.then(|| id.to_owned())
}

fn under(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let prefix = base.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{prefix}{path}"));
    url
}

/// The public roots, bundled: nothing is parsed or read from disk at start.
fn trust() -> rustls::ClientConfig {
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    // The provider supports both; the builder cannot know.
    builder
        .with_safe_default_protocol_versions()
        .unwrap_or_else(|_| rustls::ClientConfig::builder())
        .with_root_certificates(roots)
        .with_no_client_auth()
}
