//! `PATCH /v2/zoom-credentials/{id}`

pub(crate) mod input;

use shared::authorize::{self, AppToUse, Authorizer, NewApp, NewGrant};
use shared::credential::{Credential, CredentialId, GrantId, TeamId};
use shared::envelope::{Binding, DataKey, Envelope, SecretId};
use shared::error::{Error, Missing};
use shared::event::{Change, EventKind};
use shared::grants::mint::ANSWER_TIME;
use shared::secret::AppCredentials;
use shared::stores::{
    CommitOutcome, CredentialChanges, Credentials, Events, HeldClaim, IdempotencyClaim, Keys,
    Pairs, Requests, Secrets, StoredCredential, TRANSACTION_TIMEOUT, Write,
};
use shared::timestamp::Timestamp;
use shared::zoom::{Authorization, Zoom};

use crate::credentials::update::input::{Input, UpdateCredential};
use crate::http::access::{self, Caller};
use crate::http::error::ApiError;
use crate::http::idempotency::{self, Claimed, release_on_failure};
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{
    BodyErrors, MissingError, ProvedAppErrors, ReadErrors, WriteErrors, ZoomErrors,
};

/// The method and path, which also name the endpoint in the log.
pub const ROUTE: &str = "PATCH /v2/zoom-credentials/{id}";

/// An update that is allowed, and the credential that it changes.
struct ValidUpdate {
    input: Input,
    seen: StoredCredential,
    claim: Option<IdempotencyClaim>,
}

impl ValidUpdate {
    fn of(
        request: &Request,
        caller: &Caller<'_>,
        seen: Option<StoredCredential>,
    ) -> Result<Self, ApiError> {
        let input = Input::of(request)?;
        let seen = caller.visible(seen)?;
        input.check_app(&seen)?;
        if let Some(extra) = input.changes.extra.clone() {
            caller.may_store(extra.into_extra().as_ref())?;
        }
        let claim = match input.hashes(&seen) {
            Some(hashes) => idempotency::claim(request, hashes)?,
            None => None,
        };
        Ok(Self { input, seen, claim })
    }
}

/// An update that is ready to run. All data keys are at hand, so KMS cannot fail after the code is spent.
#[expect(
    clippy::large_enum_variant,
    reason = "an invocation has one value, and does not move it around"
)]
enum PreparedUpdate {
    /// Changes name and `extra`, or nothing.
    Fields,
    /// Stores another client secret. For an app credential, it may belong to another app.
    App(NewApp),
    /// Stores a new grant, and a new client secret if the request has one.
    Authorize(Reauthorization),
}

/// A new authorization of the credential.
struct Reauthorization {
    app: AppToUse,
    grant: NewGrant,
}

/// Makes the data keys and opens the secrets for an update.
struct UpdatePreparation<'a> {
    secrets: &'a Secrets,
    envelope: &'a Envelope,
    team: &'a TeamId,
    seen: &'a StoredCredential,
}

impl UpdatePreparation<'_> {
    async fn prepare(
        &self,
        app: Option<AppCredentials>,
        authorization: Option<Authorization>,
    ) -> Result<PreparedUpdate, ApiError> {
        Ok(match (app, authorization) {
            (None, None) => PreparedUpdate::Fields,
            (Some(app), None) => PreparedUpdate::App(self.new_app(app).await?),
            (app, Some(authorization)) => {
                PreparedUpdate::Authorize(self.reauthorization(app, authorization).await?)
            }
        })
    }

    async fn reauthorization(
        &self,
        app: Option<AppCredentials>,
        authorization: Authorization,
    ) -> Result<Reauthorization, ApiError> {
        let id = GrantId::generate();
        let app = async {
            if let Some(app) = app {
                return Ok(AppToUse::New(self.new_app(app).await?));
            }
            let (secrets, envelope) = (self.secrets, self.envelope);
            let app = authorize::stored_app(secrets, envelope, self.team, self.seen);
            Ok(AppToUse::Stored(app.await?))
        };
        let (app, key) = tokio::try_join!(app, self.grant_key(id))?;
        let grant = NewGrant {
            authorization,
            id,
            key,
        };
        Ok(Reauthorization { app, grant })
    }

    async fn new_app(&self, app: AppCredentials) -> Result<NewApp, Error> {
        NewApp::prepare(
            self.envelope,
            self.team,
            self.seen.credential.credential_id,
            app,
        )
        .await
    }

    async fn grant_key(&self, id: GrantId) -> Result<DataKey, Error> {
        let binding = Binding::new(self.team, SecretId::Grant(id));
        Ok(self.envelope.data_key(binding).await?)
    }
}

/// Changes a credential
///
/// Fields that the request leaves out stay as they are. An authorization code gives the credential a new grant. The
/// credential then belongs to the Zoom user who authorized, and is active and without errors.
#[utoipa::path(
    patch,
    path = "/v2/zoom-credentials/{id}",
    operation_id = "updateZoomCredential",
    tag = "Zoom credentials",
    request_body(content = Option<UpdateCredential>, content_type = "application/json"),
    params(
        ("id" = inline(CredentialId), Path, description = "The credential's id"),
        ("Idempotency-Key" = Option<String>, Header, nullable = false, description = "As for `POST`. The vault reads the key only if the body has an authorization code: a PATCH without a code can be repeated, as long as nobody else has changed the same fields."),
    ),
    responses(
        (status = 200, description = "The credential as it is now", body = Success<Credential>),
        ReadErrors,
        MissingError,
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
    let team = key.team();
    let id = request.credential_id();
    let (caller, seen) = access::verify_and_get(keys, credentials, &key, request, id).await?;
    let input = seen.and_then(|seen| ValidUpdate::of(request, &caller, seen));
    let (seen, changes, claim, prepared) =
        access::admit_change(keys, requests, &caller, request, input, async |valid| {
            let ValidUpdate { input, seen, claim } = valid;
            let preparation = UpdatePreparation {
                secrets,
                envelope,
                team,
                seen: &seen,
            };
            let prepared = preparation.prepare(input.app, input.authorization).await?;
            Ok((seen, input.changes, claim, prepared))
        })
        .await?;

    let updater = Updater {
        requests,
        credentials,
        pairs,
        secrets,
        events,
        zoom,
        request,
        team,
        caller: &caller,
        recovery_capsules,
    };
    let stored = updater.update(seen, prepared, claim.as_ref(), changes);

    reply::ok(stored.await?.credential)
}

/// Carries out the update of one request.
struct Updater<'a> {
    requests: &'a Requests,
    credentials: &'a Credentials,
    pairs: &'a Pairs,
    secrets: &'a Secrets,
    events: &'a Events,
    zoom: &'a Zoom,
    request: &'a Request,
    team: &'a TeamId,
    caller: &'a Caller<'a>,
    recovery_capsules: bool,
}

impl Updater<'_> {
    async fn update(
        &self,
        seen: StoredCredential,
        prepared: PreparedUpdate,
        claim: Option<&IdempotencyClaim>,
        changes: CredentialChanges,
    ) -> Result<StoredCredential, ApiError> {
        match prepared {
            PreparedUpdate::Fields if changes.is_empty() => Ok(seen),
            PreparedUpdate::Fields => self.change_fields(seen, changes).await,
            PreparedUpdate::App(app) => self.change_app(seen, app, changes).await,
            PreparedUpdate::Authorize(new) => self.authorize(seen, new, claim, changes).await,
        }
    }

    async fn read(&self, id: CredentialId) -> Result<StoredCredential, ApiError> {
        let stored = self.credentials.get(self.team, id).await?;
        self.caller.visible(stored)
    }

    async fn change_fields(
        &self,
        seen: StoredCredential,
        changes: CredentialChanges,
    ) -> Result<StoredCredential, ApiError> {
        let (credentials, team) = (self.credentials, self.team);
        let id = seen.credential.credential_id;
        let event = self.event(id, changes.fields())?;
        let until = || Timestamp::now().plus(TRANSACTION_TIMEOUT);
        let (after, change) = credentials.change(team, &seen, changes.clone(), true)?;
        if change
            .and(event.clone())
            .commit(until())
            .await?
            .is_committed()
        {
            return Ok(after);
        }
        // Something else has changed. If that was not a deletion, the change still applies.
        let seen = self.read(id).await?;
        let (after, change) = credentials.change(team, &seen, changes, false)?;
        match change.and(event).commit(until()).await? {
            CommitOutcome::Committed => {
                Ok(authorize::read_after_commit(credentials, team, after).await)
            }
            CommitOutcome::Refused(_) => Err(Missing::Credential.into()),
        }
    }

    /// The write of the event that these fields of the credential were changed.
    fn event(&self, id: CredentialId, fields: Vec<&'static str>) -> Result<Write, Error> {
        let change = Change::new(EventKind::Updated, fields);
        self.request
            .change(self.events, self.team, Some(id), change)
    }

    /// Stores another client secret, or another app of an app credential, unless Zoom refuses them.
    ///
    /// Another app takes the lock of re-authorization. Otherwise an authorization with the old app could commit tokens
    /// that do not fit the new app.
    async fn change_app(
        &self,
        seen: StoredCredential,
        new: NewApp,
        changes: CredentialChanges,
    ) -> Result<StoredCredential, ApiError> {
        let id = seen.credential.credential_id;
        let changes_app = new.app.client_id != seen.client_id;
        let lock = changes_app.then_some(id);
        let deadline = self.request.deadline();
        let claim = self.requests.claim(self.team, None, lock, deadline);
        let held = match Claimed::from_outcome(claim.await?)? {
            Claimed::New(held) => held,
            Claimed::Completed(earlier) => return self.read(earlier.credential).await,
        };
        let commit = self.commit_app(seen, new, changes, &held);
        release_on_failure(self.requests, &held, commit).await
    }

    async fn commit_app(
        &self,
        seen: StoredCredential,
        new: NewApp,
        changes: CredentialChanges,
        held: &HeldClaim,
    ) -> Result<StoredCredential, ApiError> {
        let time_left = self.request.time_left(ANSWER_TIME);
        let checked = match seen.account() {
            Some(account) => {
                let token = self.zoom.account_token(&new.app, &account, time_left);
                token.await.map(drop).map_err(Error::from_account_token)
            }
            None => match self.zoom.check_app(&new.app, time_left).await {
                // Otherwise the secret of an app that Zoom cannot check could never be replaced.
                Err(error) if error.is_no_verdict() => Ok(()),
                checked => checked.map_err(Error::from_grant_use),
            },
        };
        checked?;

        let (credentials, team) = (self.credentials, self.team);
        let id = seen.credential.credential_id;
        let client_id = new.app.client_id.clone();
        let sealed = new.sealed(team, seen.version + 1)?;
        let secret = self.secrets.put_app_secret(id, &sealed)?;
        let mut fields = changes.fields();
        fields.extend(["client_id", "client_secret"]);
        let event = self.event(id, fields)?;
        let (after, transaction) = credentials.change_app(team, &seen, &client_id, changes)?;
        let transaction = transaction
            .and(secret)
            .and(event)
            .and_maybe(self.requests.unlock(held)?);
        let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
        match authorize::commit(transaction, team, id, until).await? {
            CommitOutcome::Committed => {
                Ok(authorize::read_after_commit(credentials, team, after).await)
            }
            CommitOutcome::Refused(_) => {
                // If the concurrent change was a deletion, the answer is a 404 instead of a 409.
                self.read(id).await?;
                Err(ApiError::Vault(Error::Conflict))
            }
        }
    }

    /// Spends the code and stores the new grant.
    async fn authorize(
        &self,
        seen: StoredCredential,
        new: Reauthorization,
        claim: Option<&IdempotencyClaim>,
        changes: CredentialChanges,
    ) -> Result<StoredCredential, ApiError> {
        let id = seen.credential.credential_id;
        let deadline = self.request.deadline();
        let claimed = self.requests.claim(self.team, claim, Some(id), deadline);
        let held = match Claimed::from_outcome(claimed.await?)? {
            Claimed::New(held) => held,
            Claimed::Completed(earlier) => {
                let stored = self.read(earlier.credential).await?;
                idempotency::replay(self.request, earlier)?;
                return Ok(stored);
            }
        };
        let authorizer = Authorizer {
            credentials: self.credentials,
            pairs: self.pairs,
            secrets: self.secrets,
            events: self.events,
            zoom: self.zoom,
            invocation: self.request.invocation(),
            team: self.team,
            capsules: self.recovery_capsules,
        };
        let stored = release_on_failure(self.requests, &held, async {
            let completed = self.requests.complete_claim(&held, id)?;
            let unlocked = self.requests.unlock(&held)?;
            let mut fields = changes.fields();
            if matches!(new.app, AppToUse::New(_)) {
                fields.extend(["client_id", "client_secret"]);
            }
            fields.push("authorization");
            let event = Some(self.event(id, fields)?);
            let writes = completed.into_iter().chain(unlocked).chain(event).collect();
            let stored = authorizer.reauthorize(seen, new.app, new.grant, changes, writes);
            stored.await
        });
        Ok(stored.await?)
    }
}
