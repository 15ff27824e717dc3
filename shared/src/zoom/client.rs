//! [`Zoom`]: one method for each call to Zoom.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::{RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use super::api_url::ApiUrl;
use super::connection::{CONNECT_TIMEOUT, Connection, Connector, USER_AGENT_TEXT};
use super::consent::ConsentPage;
use super::error::Error;
use super::meeting::{self, Hosted};
use super::mint::{MintAnswer, MintRequest, TokenOwner, ZoomToken};
use super::outcome;
use super::refusal;
use super::tokens::{AccountToken, Authorization, Tokens};
use super::transport::{Answer, call, call_on, call_repeatable, join_path};
use super::user::User;
use crate::account::{AccountId, AccountUser};
use crate::profile::Profile;
use crate::secret::{AppCredentials, CodeVerifier};
use crate::tls::tls_config;
use crate::token::NamedMeeting;

/// Zoom's own OAuth host.
pub const OAUTH_BASE_URL: &str = "https://zoom.us";
/// Zoom's own REST host.
pub const API_BASE_URL: &str = "https://api.zoom.us";

/// The default time-out for an answer of Zoom. An answer that comes later is lost, and an exchanged code with it.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// The default time-out for the answer to a refresh. It is longer, because a lost answer means a lost grant.
pub const REFRESH_ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// How long to wait before a profile is asked for again.
const PROFILE_RETRY_PAUSE: Duration = Duration::from_millis(300);
/// A profile is asked for again only if Zoom has at least this long to answer.
const MIN_PROFILE_TIME: Duration = Duration::from_secs(1);

/// The client for Zoom's own hosts, or for the configured hosts.
#[derive(Clone, Debug)]
pub struct Zoom {
    /// For codes and revocations: each call makes a new connection. A pooled connection may have broken while the
    /// Lambda was frozen, and a request that fails on such a connection may have taken effect.
    fresh: reqwest::Client,
    /// For refresh tokens: the caller opens the connection, for the same reason.
    connector: Connector,
    /// For all other calls: connections are reused. If a connection breaks, such a call is repeated once with `fresh`.
    pooled: reqwest::Client,
    oauth: Url,
    api: ApiUrl,
    answer_timeout: Duration,
    refresh_answer_timeout: Duration,
}

impl Zoom {
    /// `oauth` and `api` are the base URLs of the two hosts.
    ///
    /// A host that a token answer names replaces `api` only if `api` is Zoom's own host.
    pub fn new(oauth: Url, api: ApiUrl) -> Result<Self, reqwest::Error> {
        let tls = tls_config();
        let client = || {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .connect_timeout(CONNECT_TIMEOUT)
                .user_agent(USER_AGENT_TEXT)
        };
        let fresh = client().pool_max_idle_per_host(0).build()?;
        Ok(Self {
            fresh,
            pooled: client().build()?,
            connector: Connector::new(tls.clone()),
            oauth,
            api,
            answer_timeout: ANSWER_TIMEOUT,
            refresh_answer_timeout: REFRESH_ANSWER_TIMEOUT,
        })
    }

    /// Replaces [`ANSWER_TIMEOUT`].
    #[must_use]
    pub fn with_answer_timeout(self, answer_timeout: Duration) -> Self {
        Self {
            answer_timeout,
            ..self
        }
    }

    /// Replaces [`REFRESH_ANSWER_TIMEOUT`].
    #[must_use]
    pub fn with_refresh_answer_timeout(self, refresh_answer_timeout: Duration) -> Self {
        Self {
            refresh_answer_timeout,
            ..self
        }
    }

    /// The page on which users consent.
    pub fn consent_page(&self) -> ConsentPage {
        ConsentPage::new(self.oauth.clone())
    }

    /// Opens so many connections to Zoom's REST host, by requests without effect.
    ///
    /// The OAuth host is not warmed up: calls with codes and refresh tokens make new connections anyway.
    pub async fn warm(&self, connections: usize) {
        let connect = async |_| {
            let head = self.pooled.head(join_path(self.api.as_url(), "/"));
            // The answer does not matter. The connection stays open, because the answer to HEAD has no body.
            head.send().await.ok();
        };
        join_all((0..connections).map(connect)).await;
    }

    /// Exchanges an authorization code for tokens. Waits for the answer for `time_left`, or for the answer time-out
    /// if that is shorter. Sends the code once.
    ///
    /// After an error the code may be spent, unless the error is [`Error::Unreachable`] or [`Error::RateLimited`].
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
        let timeout = time_left.min(self.answer_timeout);
        let request = self.token_request(app, &form).timeout(timeout);
        outcome::of_exchange(call(request).await?, &secrets)
    }

    /// Opens a connection for a refresh. Sends nothing.
    pub async fn connect(&self) -> Result<Connection, Error> {
        self.connector.connect(&self.oauth).await
    }

    /// Exchanges a refresh token for new tokens. Waits for the answer for `time_left`, or for the refresh time-out if
    /// that is shorter. Sends the refresh token once. If the answer has no refresh token, the pair has the token that
    /// was sent.
    ///
    /// After an error the token may be spent, unless [`Error::leaves_token_unspent`] is true. An
    /// [`Error::GrantRefused`] means that the token certainly does not work any more.
    #[expect(
        clippy::disallowed_methods,
        reason = "the refresh token is sent to Zoom"
    )]
    pub async fn refresh(
        &self,
        connection: Connection,
        app: &AppCredentials,
        refresh: &SecretString,
        time_left: Duration,
    ) -> Result<Tokens, Error> {
        let sent = refresh.expose_secret();
        let form = [("grant_type", "refresh_token"), ("refresh_token", sent)];
        let secrets = [app.client_secret.revealed(), sent];
        let timeout = time_left.min(self.refresh_answer_timeout);
        let request = self.token_request(app, &form);
        let answer = call_on(connection, request, timeout).await?;
        outcome::of_refresh(answer, refresh, &secrets)
    }

    fn token_request(&self, app: &AppCredentials, form: &[(&str, &str)]) -> RequestBuilder {
        as_app(&self.fresh, join_path(&self.oauth, "/oauth/token"), app).form(form)
    }

    /// Checks whether Zoom accepts the app's id and secret. The check requests a token for the app itself and discards
    /// the token.
    pub async fn check_app(&self, app: &AppCredentials, time_left: Duration) -> Result<(), Error> {
        let form = [("grant_type", "client_credentials")];
        let request = as_app(&self.pooled, join_path(&self.oauth, "/oauth/token"), app);
        let timeout = time_left.min(self.answer_timeout);
        let answer = call_repeatable(request.form(&form), &self.fresh, timeout).await?;
        outcome::of_app_check(answer, &[app.client_secret.revealed()])
    }

    /// Requests an access token of an account-level app for its account. No token is spent, so a request whose answer
    /// is lost can be sent again.
    ///
    /// Every refusal is an [`Error::AppRefused`]: there is no user who could act.
    pub async fn account_token(
        &self,
        app: &AppCredentials,
        account: &AccountId,
        time_left: Duration,
    ) -> Result<AccountToken, Error> {
        let form = [
            ("grant_type", "account_credentials"),
            ("account_id", account.as_str()),
        ];
        let request = as_app(&self.pooled, join_path(&self.oauth, "/oauth/token"), app);
        let timeout = time_left.min(self.answer_timeout);
        let answer = call_repeatable(request.form(&form), &self.fresh, timeout).await?;
        outcome::of_account_token(answer, &[app.client_secret.revealed()])
    }

    /// Ends a grant at Zoom, by one of the grant's live access tokens.
    ///
    /// The access token is sent once, on a new connection. [`Error::AccessTokenRefused`] does not mean that the
    /// grant has ended.
    #[expect(
        clippy::disallowed_methods,
        reason = "the access token is sent to Zoom"
    )]
    pub async fn revoke(
        &self,
        app: &AppCredentials,
        access: &SecretString,
        time_left: Duration,
    ) -> Result<(), Error> {
        let access = access.expose_secret();
        let form = [("token", access)];
        let request = as_app(&self.fresh, join_path(&self.oauth, "/oauth/revoke"), app);
        let timeout = time_left.min(self.answer_timeout);
        let answer = call(request.form(&form).timeout(timeout)).await?;
        outcome::of_revocation(answer, &[app.client_secret.revealed(), access])
    }

    /// Mints a token for a bot. Waits for the answer for `time_left`, or for the answer time-out if that is shorter.
    ///
    /// If Zoom says that a number belongs to a webinar, the webinar's token is asked for once, in the same time. If a
    /// scope is missing for a ZAK, the ZAK of the user itself is asked for in the same way, because it has a scope of
    /// its own.
    pub async fn mint(
        &self,
        api_url: Option<&ApiUrl>,
        access: &SecretString,
        owner: &TokenOwner,
        request: &MintRequest,
        time_left: Duration,
    ) -> Result<ZoomToken, Error> {
        let host = self.api.or_user_host(api_url).as_url();
        let time_left = time_left.min(self.answer_timeout);
        let began = Instant::now();
        let ask = async |url| {
            let time_left = time_left.saturating_sub(began.elapsed());
            self.ask::<MintAnswer>(url, access, time_left).await
        };
        let mut answer = ask(request.url(host, owner)).await?;
        if let Answer::Refusal(refusal) = &answer {
            if refusal::names_webinar(refusal)
                && let Some(webinar) = request.for_webinar()
            {
                answer = ask(webinar.url(host, owner)).await?;
            } else if refusal::lacks_scope(refusal)
                && let Some(own_zak) = request.own_zak_url(host, owner)
            {
                match ask(own_zak).await? {
                    // Without both scopes, the one for the longer ZAK is named.
                    Answer::Refusal(second) if refusal::lacks_scope(&second) => {}
                    second @ (Answer::Success(..) | Answer::Refusal(_)) => {
                        return outcome::of_user_call(second, access).map(MintAnswer::into_own_zak);
                    }
                }
            }
        }
        let minted: MintAnswer = outcome::of_user_call(answer, access)?;
        Ok(minted.into_token(request))
    }

    /// Finds the user who hosts a meeting or webinar of the account. As [`Self::mint`] with a number that is a
    /// webinar's.
    pub async fn host_of(
        &self,
        api_url: Option<&ApiUrl>,
        access: &SecretString,
        meeting: &NamedMeeting,
        time_left: Duration,
    ) -> Result<AccountUser, Error> {
        let host = self.api.or_user_host(api_url).as_url();
        let time_left = time_left.min(self.answer_timeout);
        let began = Instant::now();
        let url = join_path(host, &meeting::path(meeting));
        let mut answer = self.ask(url, access, time_left).await?;
        if let Answer::Refusal(refusal) = &answer
            && refusal::names_webinar(refusal)
            && let Some(webinar) = meeting::as_webinar(meeting)
        {
            let time_left = time_left.saturating_sub(began.elapsed());
            let url = join_path(host, &meeting::path(&webinar));
            answer = self.ask(url, access, time_left).await?;
        }
        let hosted: Hosted = outcome::of_user_call(answer, access)?;
        Ok(hosted.into_host())
    }

    /// Reads the profile of the user whom the access token belongs to. Waits for the answer for `time_left`, or for
    /// the answer time-out if that is shorter.
    pub async fn profile(
        &self,
        api_url: Option<&ApiUrl>,
        access: &SecretString,
        time_left: Duration,
    ) -> Result<Profile, Error> {
        let url = join_path(self.api.or_user_host(api_url).as_url(), "/v2/users/me");
        let answer = self.ask(url, access, time_left).await?;
        let user: User = outcome::of_user_call(answer, access)?;
        Ok(user.into_profile())
    }

    /// As [`Self::profile`], and asks once more after a failure that may pass. Right after an authorization, not every
    /// server of Zoom knows the new access token.
    pub async fn profile_with_retry(
        &self,
        api_url: Option<&ApiUrl>,
        access: &SecretString,
        time_left: Duration,
    ) -> Result<Profile, Error> {
        let began = Instant::now();
        let error = match self.profile(api_url, access, time_left).await {
            Err(error) if error.may_pass_soon() => error,
            answer => return answer,
        };
        let time_left = time_left.saturating_sub(began.elapsed() + PROFILE_RETRY_PAUSE);
        if time_left < MIN_PROFILE_TIME {
            return Err(error);
        }
        tokio::time::sleep(PROFILE_RETRY_PAUSE).await;
        self.profile(api_url, access, time_left).await
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the access token is sent to Zoom"
    )]
    async fn ask<T: DeserializeOwned>(
        &self,
        url: Url,
        access: &SecretString,
        time_left: Duration,
    ) -> Result<Answer<T>, Error> {
        let request = self.pooled.get(url).bearer_auth(access.expose_secret());
        let timeout = time_left.min(self.answer_timeout);
        call_repeatable(request, &self.fresh, timeout).await
    }
}

/// A request with the app's id and secret.
fn as_app(client: &reqwest::Client, url: Url, app: &AppCredentials) -> RequestBuilder {
    client
        .post(url)
        .basic_auth(app.client_id.as_str(), Some(app.client_secret.revealed()))
}
