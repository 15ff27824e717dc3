//! From an authorization code to a grant: what create and re-authorize have in common.
//!
//! The tokens are committed before anything else is asked of Zoom. What comes after (the profile, the
//! siblings) is completed by the next mint, check or keep-alive where it fails here.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use futures_util::future::join_all;
use secrecy::SecretString;
use shared::cause::chain;
use shared::credential::{ClientId, CredentialId, GrantId, Name, State, TeamId};
use shared::envelope::{Binding, DataKey, Envelope, SecretId};
use shared::event::{Event, Happened};
use shared::extra::Extra;
use shared::secret::{AppCredentials, ClientSecret, Plaintext};
use shared::stores::{
    self, AppSecret, Authorized, Changes, Credentials, Events, GrantRef, GrantSecret, PATIENCE,
    Part, Profile, Secrets, Stored, Transaction, Write,
};
use shared::timestamp::Timestamp;
use shared::zoom::{self, ApiUrl, Authorization, Tokens, Zoom};

use crate::body::Fields;
use crate::error::{ApiError, Down};
use crate::idempotency::Fingerprint;
use crate::request::Request;

/// Kept for the commit after Zoom's answer: the code is spent by then.
const RESERVE: Duration = Duration::from_secs(8);
/// Less than this is no time to begin an exchange in.
const LEAST: Duration = Duration::from_secs(2);
/// Kept for the answer after a commit that took all the time there was.
const LAST_ANSWER: Duration = Duration::from_secs(1);
/// How long a profile is waited for, at most.
const PROFILE: Duration = Duration::from_secs(5);

/// The code in a body, and the redirect URI that must come with it.
pub(crate) fn of(fields: &Fields<'_>) -> Result<Option<Authorization>, ApiError> {
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

/// Names the request that spends this code: `target` is the credential's id, or `new`.
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

/// Commits; with tokens among the writes, for as long as the invocation lasts: their code is spent.
///
/// The rows that remember the request, lock the credential and say how a connect session stands are the writes that may
/// be missing. They are refused where their time ran out and another has taken them; the tokens are worth more.
pub(crate) async fn commit(
    transaction: Transaction<'_>,
    request: &Request,
    with_tokens: bool,
) -> Result<Result<(), Part>, stores::Error> {
    let until = if with_tokens {
        request.deadline().minus(LAST_ANSWER)
    } else {
        Timestamp::now().plus(PATIENCE)
    };
    match transaction.clone().commit(until).await? {
        Err(Part::Idempotency | Part::ReauthorizationLock | Part::ConnectSession) => {
            transaction
                .without(Part::Idempotency)
                .without(Part::ReauthorizationLock)
                .without(Part::ConnectSession)
                .commit(until)
                .await
        }
        outcome => Ok(outcome),
    }
}

/// A future that may not be there.
pub(crate) async fn maybe<T, E>(
    future: Option<impl Future<Output = Result<T, E>>>,
) -> Result<Option<T>, E> {
    match future {
        Some(future) => future.await.map(Some),
        None => Ok(None),
    }
}

/// An app and the key that its secret is to be sealed with.
pub(crate) struct NewApp {
    pub(crate) app: AppCredentials,
    pub(crate) key: DataKey,
}

impl NewApp {
    /// The client secret as it is stored. The credential's version numbers its generations.
    pub(crate) fn sealed(self, team: &TeamId, version: u64) -> Result<AppSecret, ApiError> {
        let secret = Plaintext::from(&self.app.client_secret);
        Ok(AppSecret {
            team_id: team.clone(),
            sealed: self.key.seal(version, &secret)?,
        })
    }
}

/// The app that a code is exchanged as.
pub(crate) enum AppToUse {
    Stored(AppCredentials),
    New(NewApp),
}

/// A code, and what its grant is to be sealed with.
pub(crate) struct NewGrant {
    pub(crate) authorization: Authorization,
    pub(crate) id: GrantId,
    pub(crate) key: DataKey,
}

/// A credential that is to be.
pub(crate) struct NewCredential {
    pub(crate) id: CredentialId,
    pub(crate) name: Name,
    pub(crate) extra: Option<Extra>,
    pub(crate) app: NewApp,
}

/// What storing an authorization works with.
#[derive(Clone, Copy)]
pub(crate) struct Authorizing<'a> {
    pub(crate) credentials: &'a Credentials,
    pub(crate) secrets: &'a Secrets,
    pub(crate) events: &'a Events,
    pub(crate) zoom: &'a Zoom,
    pub(crate) request: &'a Request,
    pub(crate) team: &'a TeamId,
}

impl Authorizing<'_> {
    /// Spends the code, if there is one, and stores a new credential. `along` is written in the same transaction.
    pub(crate) async fn create(
        &self,
        new: NewCredential,
        grant: Option<NewGrant>,
        along: Vec<Write>,
    ) -> Result<Stored, ApiError> {
        let (id, client_id) = (new.id, new.app.app.client_id.clone());
        let grant = match grant {
            Some(NewGrant {
                authorization,
                id,
                key,
            }) => {
                let app = &new.app.app;
                let grant = Grant::obtain(self.zoom, self.request, id, app, &authorization);
                Some((grant.await?, key))
            }
            None => None,
        };

        let app = new.app.sealed(self.team, 1)?;
        let (grant, tokens) = match grant {
            Some((grant, key)) => {
                let sealed = grant.seal(self.team, id, key)?;
                let tokens = self.secrets.insert_grant(grant.id, &sealed)?;
                (Some(grant), Some(tokens))
            }
            None => (None, None),
        };
        let authorized = grant.as_ref().map(Grant::authorized);
        let (stored, transaction) = self.credentials.insert(
            self.team,
            id,
            new.name,
            client_id.clone(),
            new.extra,
            authorized,
        )?;
        let transaction = transaction
            .and(self.secrets.put_app(id, &app)?)
            .and_maybe(tokens)
            .and_all(along);
        commit(transaction, self.request, grant.is_some()).await??;

        let completed = match &grant {
            Some(grant) => {
                let unread = grant.unread(self.team, &client_id, id);
                unread
                    .complete(self.credentials, self.events, self.zoom, self.request)
                    .await
            }
            None => None,
        };
        Ok(completed.unwrap_or(stored))
    }

    /// Spends a code and gives a credential the new grant. `along` is written in the same transaction. The caller holds
    /// the credential's lock.
    pub(crate) async fn reauthorize(
        &self,
        seen: Stored,
        app: AppToUse,
        new: NewGrant,
        changes: Changes,
        along: Vec<Write>,
    ) -> Result<Stored, ApiError> {
        let id = seen.credential.credential_id;
        let (app, secret) = match app {
            AppToUse::Stored(app) => (app, None),
            AppToUse::New(new) => {
                let app = new.app.clone();
                let sealed = new.sealed(self.team, seen.version + 1)?;
                (app, Some(self.secrets.put_app(id, &sealed)?))
            }
        };
        let new_app = secret.is_some().then_some(&app.client_id);
        let grant = Grant::obtain(self.zoom, self.request, new.id, &app, &new.authorization);
        let grant = grant.await?;

        let tokens = self
            .secrets
            .insert_grant(grant.id, &grant.seal(self.team, id, new.key)?)?;
        let mut seen = seen;
        let committed = loop {
            let (stored, transaction) = self.credentials.reauthorize(
                self.team,
                &seen,
                new_app,
                &grant.authorized(),
                changes.clone(),
            )?;
            let transaction = transaction
                .and(tokens.clone())
                .and_maybe(secret.clone())
                .and_all(along.clone());
            match commit(transaction, self.request, true).await? {
                Ok(()) => break stored,
                // Pointed at another grant meanwhile, by a sibling's authorization: ours is as new, and the
                // lock says that no other of this credential runs.
                Err(Part::Credential) => {
                    let now = self.credentials.get(self.team, id).await?;
                    seen = still(&seen, now, new_app)?;
                }
                Err(part) => return Err(part.into()),
            }
        };

        let (credentials, client_id) = (self.credentials, &app.client_id);
        let unread = grant.unread(self.team, client_id, id);
        let was_invalid = seen.credential.state == State::Invalid;
        let (completed, ()) = tokio::join!(
            unread.complete(credentials, self.events, self.zoom, self.request),
            note_active(
                self.events,
                self.request,
                self.team,
                was_invalid.then_some(id)
            ),
        );
        match completed {
            Some(updated) => Ok(updated),
            None => Ok(as_it_is(credentials, self.team, committed).await),
        }
    }
}

/// Writes down that credentials are active again. Best effort: it has happened.
async fn note_active(
    events: &Events,
    request: &Request,
    team: &TeamId,
    ids: impl IntoIterator<Item = CredentialId>,
) {
    let active = Event::new(Happened::StateChange { reason: None });
    let noted = ids.into_iter().map(|id| events.record(team, id, &active));
    for outcome in join_all(noted).await {
        if let Err(error) = outcome {
            let (request_id, cause) = (request.id(), chain(&error));
            tracing::warn!(request_id, cause, "an event is missing");
        }
    }
}

/// A credential as it is after a commit; as it was `committed`, where that cannot be read: what has happened is no
/// failure any more.
pub(crate) async fn as_it_is(
    credentials: &Credentials,
    team: &TeamId,
    committed: Stored,
) -> Stored {
    let id = committed.credential.credential_id;
    credentials.get(team, id).await.unwrap_or(committed)
}

/// What is seen now, if the tokens just obtained still fit it: they are of the app that was seen, unless a
/// new one comes with them.
fn still(seen: &Stored, now: Stored, new_app: Option<&ClientId>) -> Result<Stored, ApiError> {
    let moved = now.grant != seen.grant;
    let fits = new_app.is_some() || now.client_id == seen.client_id;
    if moved && fits {
        Ok(now)
    } else {
        Err(ApiError::Conflict)
    }
}

/// The app of a credential, as it is stored.
pub(crate) async fn stored_app(
    secrets: &Secrets,
    envelope: &Envelope,
    team: &TeamId,
    of: &Stored,
) -> Result<AppCredentials, ApiError> {
    let binding = Binding {
        team: team.clone(),
        secret: SecretId::App(of.credential.credential_id),
    };
    let sealed = secrets.app(binding.secret.clone()).await?.sealed;
    let client_secret = ClientSecret::try_from(envelope.open(&binding, &sealed).await?)?;
    Ok(AppCredentials {
        client_id: of.client_id.clone(),
        client_secret,
    })
}

/// What Zoom gave for a code.
pub(crate) struct Grant {
    pub(crate) id: GrantId,
    tokens: Tokens,
    sent_at: Timestamp,
    answered_at: Timestamp,
}

impl Grant {
    /// Spends the code.
    pub(crate) async fn obtain(
        zoom: &Zoom,
        request: &Request,
        id: GrantId,
        app: &AppCredentials,
        authorization: &Authorization,
    ) -> Result<Self, ApiError> {
        let time_left = request.time_left(RESERVE);
        if time_left < LEAST {
            return Err(ApiError::Unavailable {
                retry_after: Duration::from_secs(1),
                source: Down::OutOfTime,
            });
        }
        let sent_at = Timestamp::now();
        let tokens = zoom.exchange(app, authorization, time_left).await?;
        Ok(Self {
            id,
            tokens,
            sent_at,
            answered_at: Timestamp::now(),
        })
    }

    /// What the credential's row says of it.
    pub(crate) fn authorized(&self) -> Authorized {
        Authorized {
            grant: GrantRef {
                id: self.id,
                authorized_at: self.answered_at.as_millis(),
            },
            scopes: self.tokens.scopes.clone(),
        }
    }

    /// The first generation of the grant's row. No network call: nothing stands between Zoom's answer and the commit.
    pub(crate) fn seal(
        &self,
        team: &TeamId,
        credential: CredentialId,
        key: DataKey,
    ) -> Result<GrantSecret, ApiError> {
        Ok(GrantSecret {
            team_id: team.clone(),
            credential_id: credential,
            sealed: key.seal(1, &Plaintext::try_from(&self.tokens.pair)?)?,
            access_expires_at: self.answered_at.plus(self.tokens.expires_in).as_millis(),
            authorize_sent_at: self.sent_at.as_millis(),
            authorized_at: self.answered_at.as_millis(),
            api_url: self
                .tokens
                .api_url
                .as_ref()
                .map(|url| url.as_str().to_owned()),
        })
    }

    /// What is to be learnt of it yet: who authorized.
    pub(crate) fn unread<'a>(
        &'a self,
        team: &'a TeamId,
        client_id: &'a ClientId,
        id: CredentialId,
    ) -> Unread<'a> {
        Unread {
            team,
            client_id,
            id,
            authorized: self.authorized(),
            sent_at: self.sent_at,
            access: &self.tokens.pair.access,
            api_url: self.tokens.api_url.as_ref(),
        }
    }
}

/// A grant whose user is not known yet.
pub(crate) struct Unread<'a> {
    pub(crate) team: &'a TeamId,
    pub(crate) client_id: &'a ClientId,
    pub(crate) id: CredentialId,
    pub(crate) authorized: Authorized,
    /// When its code was sent to Zoom.
    pub(crate) sent_at: Timestamp,
    pub(crate) access: &'a SecretString,
    pub(crate) api_url: Option<&'a ApiUrl>,
}

impl Unread<'_> {
    /// Reads who authorized, writes it down and points the user's other credentials at this grant, whose
    /// own Zoom has just killed. The credential as it is then, or `None` where that came to nothing: best
    /// effort, since the grant is safe and the next mint completes what is missing.
    pub(crate) async fn complete(
        &self,
        credentials: &Credentials,
        events: &Events,
        zoom: &Zoom,
        request: &Request,
    ) -> Option<Stored> {
        let time_left = request.time_left(Duration::from_secs(2)).min(PROFILE);
        let profile = zoom.profile(self.api_url, self.access, time_left).await;
        self.learn(credentials, events, request, profile).await
    }

    /// As [`Self::complete`], where the profile was read already.
    pub(crate) async fn learn(
        &self,
        credentials: &Credentials,
        events: &Events,
        request: &Request,
        profile: Result<Profile, zoom::Error>,
    ) -> Option<Stored> {
        let grant = self.authorized.grant.id;
        let completed: Result<Stored, Box<dyn Error>> = match profile {
            Ok(profile) => {
                let user = profile.zoom_user_id.clone();
                let (completed, ()) = tokio::join!(
                    credentials.complete_profile(self.team, self.id, grant, Ok(profile)),
                    self.adopt_siblings(credentials, events, request, user.as_deref()),
                );
                completed.map_err(Into::into)
            }
            Err(zoom::Error::MissingScope { scope }) => {
                let reason =
                    format!("missing scope {scope}: the Zoom user's profile cannot be read");
                let completed = credentials
                    .complete_profile(self.team, self.id, grant, Err(reason))
                    .await;
                completed.map_err(Into::into)
            }
            Err(error) => Err(error.into()),
        };
        if let Err(error) = &completed {
            let cause = chain(&**error);
            tracing::warn!(
                request_id = request.id(),
                cause,
                "the profile is not known yet"
            );
        }
        completed.ok()
    }

    async fn adopt_siblings(
        &self,
        credentials: &Credentials,
        events: &Events,
        request: &Request,
        user: Option<&str>,
    ) {
        let Some(user) = user else { return };
        let request_id = request.id();
        match credentials
            .adopt_siblings(
                self.team,
                self.client_id,
                user,
                &self.authorized,
                self.sent_at,
            )
            .await
        {
            Ok(moved) if moved.count == 0 => {}
            Ok(moved) => {
                tracing::info!(
                    request_id,
                    moved = moved.count,
                    "older credentials of the same Zoom user now share the new grant"
                );
                note_active(events, request, self.team, moved.revived).await;
            }
            Err(error) => {
                let cause = chain(&error);
                tracing::warn!(
                    request_id,
                    cause,
                    "older credentials are not re-pointed yet"
                );
            }
        }
    }
}
