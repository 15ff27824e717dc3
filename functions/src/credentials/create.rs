//! `POST /v2/zoom-credentials`

use futures_util::FutureExt;
use futures_util::future::OptionFuture;
use shared::account::AccountId;
use shared::authorize::{Authorizer, NewApp, NewCredential, NewGrant};
use shared::credential::{ClientId, Credential, CredentialId, GrantId, Name, RedirectUri, TeamId};
use shared::envelope::{Binding, Envelope, SecretId};
use shared::error::Error;
use shared::event::{Change, EventKind};
use shared::extra::Extra;
use shared::grants::mint::ANSWER_TIME;
use shared::secret::{AppCredentials, AuthorizationCode, ClientSecret, CodeVerifier};
use shared::stores::{
    Credentials, Events, ExtraChange, IdempotencyClaim, Keys, Pairs, Requests, Secrets,
};
use shared::zoom::{Authorization, Zoom};
use utoipa::ToSchema;

use crate::credentials::authorization;
use crate::http::access::{self, Caller};
use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::idempotency::{self, Claimed, Fingerprint, RequestHashes, release_on_failure};
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{
    BodyErrors, IdempotencyKey, ProvedAppErrors, ReadErrors, WriteErrors, ZoomErrors,
};

/// The method and path, which also name the endpoint in the log.
pub const ROUTE: &str = "POST /v2/zoom-credentials";

/// A new credential. With `authorization_code` the credential belongs to a Zoom user, without to the app alone. Unknown
/// fields are ignored.
#[derive(Debug, ToSchema)]
pub struct CreateCredential {
    /// Your name for the credential. Names need not be unique.
    name: Name,
    /// The Zoom app's client id.
    client_id: ClientId,
    /// The Zoom app's client secret. The vault encrypts the secret and never shows it.
    #[schema(write_only)]
    client_secret: ClientSecret,
    /// The code with which Zoom sent the user back. Zoom accepts a code once, within 5 minutes.
    #[schema(write_only, nullable = false)]
    authorization_code: Option<AuthorizationCode>,
    /// The redirect URI to which Zoom sent the user, character by character. Required with `authorization_code`.
    #[schema(nullable = false)]
    redirect_uri: Option<RedirectUri>,
    /// The verifier of PKCE, if the authorization at Zoom began with a `code_challenge`. Only with
    /// `authorization_code`.
    #[schema(write_only, nullable = false)]
    code_verifier: Option<CodeVerifier>,
    /// Zoom's id of the account, for an app of the type server-to-server OAuth. The credential is then account-level:
    /// it mints for all users of the account. The vault verifies it at Zoom first. Not with `authorization_code`.
    #[schema(nullable = false)]
    account_id: Option<AccountId>,
    /// Your own JSON object, at most 16 KB and 32 levels deep. The vault returns the object as it was sent.
    #[schema(value_type = Option<HashMap<String, Value>>)]
    extra: Option<Extra>,
}

impl CreateCredential {
    /// Reads the body of a request, and checks each field.
    pub fn of(request: &Request) -> Result<Self, ApiError> {
        let fields = Fields::of(request)?;
        let body = Self {
            name: fields.required("body/name")?,
            client_id: fields.required("body/client_id")?,
            client_secret: fields.required("body/client_secret")?,
            redirect_uri: fields.optional("body/redirect_uri")?,
            authorization_code: fields.optional("body/authorization_code")?,
            code_verifier: fields.optional("body/code_verifier")?,
            account_id: fields.optional("body/account_id")?,
            extra: fields.extra()?.and_then(ExtraChange::into_extra),
        };
        if body.account_id.is_some() && body.authorization_code.is_some() {
            let rule =
                "must NOT come with authorization_code: no user authorizes an account-level app";
            return Err(ApiError::validation("body/account_id", rule));
        }
        Ok(body)
    }
}

/// The body, with what belongs together put together.
#[derive(Debug)]
struct Input {
    name: Name,
    app: AppCredentials,
    authorization: Option<Authorization>,
    account: Option<AccountId>,
    extra: Option<Extra>,
    claim: Option<IdempotencyClaim>,
}

impl Input {
    fn of(request: &Request, caller: &Caller<'_>) -> Result<Self, ApiError> {
        let body = CreateCredential::of(request)?;
        caller.may_store(body.extra.as_ref())?;
        let mut input = Self {
            name: body.name,
            app: AppCredentials {
                client_id: body.client_id,
                client_secret: body.client_secret,
            },
            authorization: authorization::of(
                body.authorization_code,
                body.redirect_uri,
                body.code_verifier,
            )?,
            account: body.account_id,
            extra: body.extra,
            claim: None,
        };
        input.claim = idempotency::claim(request, input.hashes())?;
        Ok(input)
    }

    fn hashes(&self) -> RequestHashes {
        let authorization = self.authorization.as_ref();
        let client_id = &self.app.client_id;
        let code = authorization.map(|it| authorization::fingerprint(it, "new", client_id));
        let verifier = authorization.and_then(|it| it.code_verifier.as_ref());
        let body = Fingerprint::new("create")
            .and(self.name.as_str().as_bytes())
            .and(client_id.as_str().as_bytes())
            .and_maybe(authorization.map(|it| it.code.fingerprint()).as_deref())
            .and_maybe(authorization.map(|it| it.redirect_uri.as_str().as_bytes()))
            .and_maybe(self.extra.as_ref().map(|extra| extra.as_json().as_bytes()));
        // Without an account, the hash is that of earlier versions.
        let body = match &self.account {
            Some(account) => body.and(account.as_str().as_bytes()),
            None => body,
        };
        let secrets = Fingerprint::new("secrets")
            .and(&self.app.client_secret.fingerprint())
            .and_maybe(verifier.map(CodeVerifier::fingerprint).as_deref());
        RequestHashes {
            code,
            body,
            secrets,
        }
    }
}

/// Creates a credential
///
/// With an authorization code, the credential belongs to a Zoom user. The vault exchanges the code at Zoom before it
/// stores anything, and stores the tokens before it makes any other call to Zoom. Without a code, the credential holds
/// the app only. With `account_id`, the app is account-level, and Zoom must accept it for the account.
#[utoipa::path(
    post,
    path = "/v2/zoom-credentials",
    operation_id = "createZoomCredential",
    tag = "Zoom credentials",
    request_body(content = CreateCredential, content_type = "application/json"),
    params(
        IdempotencyKey,
    ),
    responses(
        (status = 201, description = "The new credential", body = Success<Credential>),
        ReadErrors,
        WriteErrors,
        BodyErrors,
        ProvedAppErrors,
        ZoomErrors,
    )
)]
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    credentials: &Credentials,
    pairs: &Pairs,
    secrets: &Secrets,
    events: &Events,
    envelope: &Envelope,
    zoom: &Zoom,
    recovery_capsules: bool,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let caller = access::verify(keys, &key, request).await?;
    let team = caller.team;
    let id = CredentialId::generate();
    let input = Input::of(request, &caller);
    let prepared = access::admit_change(keys, requests, &caller, request, input, |input| {
        PreparedCreate::prepare(envelope, team, id, input)
    })
    .await?;

    let claim = prepared.claim.as_ref();
    let claimed = requests
        .claim(team, claim, None, request.deadline())
        .await?;
    let held = match Claimed::from_outcome(claimed)? {
        Claimed::New(held) => held,
        Claimed::Completed(earlier) => {
            let created = credentials.get(team, earlier.credential).await?;
            let created = caller.visible(created)?;
            idempotency::replay(request, earlier)?;
            return reply::created(created.credential);
        }
    };
    request.note_credential(id);

    let authorizer = Authorizer {
        credentials,
        pairs,
        secrets,
        events,
        zoom,
        invocation: request.invocation(),
        team,
        capsules: recovery_capsules,
    };
    let stored = release_on_failure(requests, &held, async {
        let change = Change::new(EventKind::Created, prepared.fields());
        let event = request.change(events, team, Some(id), change)?;
        let claim = requests.complete_claim(&held, id)?;
        let writes = claim.into_iter().chain([event]).collect();
        let (credential, grant) = (prepared.credential, prepared.grant);
        if let Some(account) = &credential.account {
            let time_left = request.time_left(ANSWER_TIME);
            let token = zoom.account_token(&credential.app.app, account, time_left);
            token.await.map_err(Error::from_account_token)?;
        }
        authorizer.create(credential, grant, writes).await
    })
    .await?;

    reply::created(stored.credential)
}

/// A create that is ready to run. All data keys are at hand, so KMS cannot fail after the code is spent.
struct PreparedCreate {
    credential: NewCredential,
    grant: Option<NewGrant>,
    claim: Option<IdempotencyClaim>,
}

impl PreparedCreate {
    /// The names of the fields that are set, for the audit trail.
    fn fields(&self) -> Vec<&'static str> {
        let mut fields = vec!["name", "client_id", "client_secret"];
        fields.extend(self.credential.account.is_some().then_some("account_id"));
        fields.extend(self.credential.extra.is_some().then_some("extra"));
        fields.extend(self.grant.is_some().then_some("authorization"));
        fields
    }

    async fn prepare(
        envelope: &Envelope,
        team: &TeamId,
        id: CredentialId,
        input: Input,
    ) -> Result<Self, ApiError> {
        let grant_id = GrantId::generate();
        let has_grant = input.authorization.is_some();
        let grant = Binding::new(team, SecretId::Grant(grant_id));
        let grant_key = has_grant.then_some(async { Ok(envelope.data_key(grant).await?) });
        let (app, grant_key) = tokio::try_join!(
            NewApp::prepare(envelope, team, id, input.app),
            OptionFuture::from(grant_key).map(Option::transpose)
        )?;
        let grant = input.authorization.zip(grant_key);
        Ok(Self {
            credential: NewCredential {
                id,
                name: input.name,
                extra: input.extra,
                account: input.account,
                app,
            },
            grant: grant.map(|(authorization, key)| NewGrant {
                authorization,
                id: grant_id,
                key,
            }),
            claim: input.claim,
        })
    }
}
