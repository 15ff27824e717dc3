//! Spends an authorization code and stores the grant. Create, re-authorize and connect use this code.
//!
//! The tokens are committed before anything else is asked of Zoom. The profile and the siblings come afterwards; if
//! they fail, the next mint, check or keep-alive completes them.

use std::time::Duration;

use crate::credential::{ClientId, CredentialId, GrantId, Name, State, TeamId};
use crate::envelope::{Binding, DataKey, Envelope, SecretId};
use crate::error::{Down, Error, Missing};
use crate::extra::Extra;
use crate::grants::profile::{UnknownUser, record_active};
use crate::invocation::Invocation;
use crate::secret::{AppCredentials, ClientSecret, Plaintext};
use crate::stores::{
    self, AppSecret, AuthorizedGrant, CommitOutcome, CredentialChanges, Credentials, Events,
    GrantRef, GrantSecret, RowKind, Secrets, StoredCredential, TRANSACTION_TIMEOUT, Transaction,
    Write,
};
use crate::timestamp::Timestamp;
use crate::zoom::{Authorization, Tokens, Zoom};

/// Time kept for the commit after Zoom's answer, because the code is spent by then.
const COMMIT_TIME: Duration = Duration::from_secs(8);
/// With less time left, no code is spent.
const MIN_EXCHANGE_TIME: Duration = Duration::from_secs(2);
/// Time kept for the answer to the caller after the commit.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// An app and the data key that its client secret will be sealed with.
pub struct NewApp {
    /// The app.
    pub app: AppCredentials,
    /// Seals the client secret.
    pub key: DataKey,
}

impl NewApp {
    /// The sealed client secret. Its generation is the version of the credential that it is stored with.
    pub fn sealed(self, team: &TeamId, version: u64) -> Result<AppSecret, Error> {
        let secret = Plaintext::from(&self.app.client_secret);
        Ok(AppSecret {
            team_id: team.clone(),
            sealed: self.key.seal(version, &secret)?,
        })
    }
}

/// The app that a code is exchanged with.
pub enum AppToUse {
    /// The app that the credential has.
    Stored(AppCredentials),
    /// An app that the credential gets.
    New(NewApp),
}

/// A code, and what its grant will be sealed with.
pub struct NewGrant {
    /// The code.
    pub authorization: Authorization,
    /// The id of the grant.
    pub id: GrantId,
    /// Seals the grant's tokens.
    pub key: DataKey,
}

/// A credential that is about to be created.
pub struct NewCredential {
    /// Its id.
    pub id: CredentialId,
    /// Its name.
    pub name: Name,
    /// Its owner's own JSON object.
    pub extra: Option<Extra>,
    /// Its app.
    pub app: NewApp,
}

/// Stores authorizations for one invocation.
#[derive(Clone, Copy)]
pub struct Authorizer<'a> {
    /// Stores credentials.
    pub credentials: &'a Credentials,
    /// Stores sealed secrets.
    pub secrets: &'a Secrets,
    /// Stores events.
    pub events: &'a Events,
    /// Spends codes.
    pub zoom: &'a Zoom,
    /// The invocation.
    pub invocation: &'a Invocation,
    /// The team that owns the credential.
    pub team: &'a TeamId,
}

impl Authorizer<'_> {
    /// Spends the code, if there is one, and stores a new credential. `writes` are part of the same transaction.
    pub async fn create(
        &self,
        new: NewCredential,
        grant: Option<NewGrant>,
        writes: Vec<Write>,
    ) -> Result<StoredCredential, Error> {
        let (id, client_id) = (new.id, new.app.app.client_id.clone());
        let grant = match grant {
            Some(NewGrant {
                authorization,
                id,
                key,
            }) => {
                let grant = self.spend(id, &new.app.app, &authorization).await?;
                Some((grant, key))
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
            .and(self.secrets.put_app_secret(id, &app)?)
            .and_maybe(tokens)
            .and_all(writes);
        commit(transaction, self.invocation, grant.is_some())
            .await?
            .or_conflict()?;

        let completed = match &grant {
            Some(grant) => self.complete(grant, &client_id, id).await,
            None => None,
        };
        Ok(completed.unwrap_or(stored))
    }

    /// Spends a code and gives the credential `seen` the new grant. `writes` are part of the same transaction. The
    /// caller holds the credential's re-authorization lock.
    pub async fn reauthorize(
        &self,
        mut seen: StoredCredential,
        app: AppToUse,
        new: NewGrant,
        changes: CredentialChanges,
        writes: Vec<Write>,
    ) -> Result<StoredCredential, Error> {
        let id = seen.credential.credential_id;
        let (app, secret) = match app {
            AppToUse::Stored(app) => (app, None),
            AppToUse::New(new) => {
                let app = new.app.clone();
                let sealed = new.sealed(self.team, seen.version + 1)?;
                (app, Some(self.secrets.put_app_secret(id, &sealed)?))
            }
        };
        let new_app = secret.is_some().then_some(&app.client_id);
        let grant = self.spend(new.id, &app, &new.authorization).await?;

        let sealed = grant.seal(self.team, id, new.key)?;
        let tokens = self.secrets.insert_grant(grant.id, &sealed)?;
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
                .and_all(writes.clone());
            match commit(transaction, self.invocation, true).await? {
                CommitOutcome::Committed => break stored,
                // A sibling's authorization has pointed the credential at another grant. Ours is as new, and the lock
                // keeps other authorizations of this credential out.
                CommitOutcome::Refused(RowKind::Credential) => {
                    let now = self.credentials.get(self.team, id).await?;
                    let now = now.ok_or(Missing::Credential)?;
                    seen = still_fits(&seen, now, new_app)?;
                }
                CommitOutcome::Refused(_) => return Err(Error::Conflict),
            }
        };

        let was_invalid = seen.credential.state == State::Invalid;
        let reactivated = was_invalid.then_some(id);
        let (completed, ()) = tokio::join!(
            self.complete(&grant, &app.client_id, id),
            record_active(self.events, self.invocation, self.team, reactivated),
        );
        match completed {
            Some(updated) => Ok(updated),
            None => Ok(read_after_commit(self.credentials, self.team, committed).await),
        }
    }

    /// Sends the code to Zoom.
    async fn spend(
        &self,
        id: GrantId,
        app: &AppCredentials,
        authorization: &Authorization,
    ) -> Result<Grant, Error> {
        let time_left = self.invocation.time_left(COMMIT_TIME);
        if time_left < MIN_EXCHANGE_TIME {
            return Err(Error::unavailable(Down::OutOfTime));
        }
        let sent_at = Timestamp::now();
        let tokens = self.zoom.exchange(app, authorization, time_left).await;
        Ok(Grant {
            id,
            tokens: tokens.map_err(Error::from_code_exchange)?,
            sent_at,
            answered_at: Timestamp::now(),
        })
    }

    /// Reads and stores the profile of the user who authorized. Best effort.
    async fn complete(
        &self,
        grant: &Grant,
        client_id: &ClientId,
        id: CredentialId,
    ) -> Option<StoredCredential> {
        let unknown = UnknownUser {
            team: self.team,
            client_id,
            id,
            authorized: grant.authorized(),
            sent_at: grant.sent_at,
            access: &grant.tokens.pair.access,
            api_url: grant.tokens.api_url.as_ref(),
        };
        unknown
            .read_and_store(self.credentials, self.events, self.zoom, self.invocation)
            .await
    }
}

/// Commits. `with_tokens` means that a code is spent, so the commit is tried until the invocation ends.
///
/// The rows of the idempotency key, of the lock and of the connect session are written too, but the tokens are worth
/// more. If another request has taken one of those rows because its time ran out, the commit goes on without them.
pub async fn commit(
    transaction: Transaction<'_>,
    invocation: &Invocation,
    with_tokens: bool,
) -> Result<CommitOutcome, stores::Error> {
    let until = if with_tokens {
        invocation.deadline().minus(ANSWER_TIME)
    } else {
        Timestamp::now().plus(TRANSACTION_TIMEOUT)
    };
    match transaction.clone().commit(until).await? {
        CommitOutcome::Refused(
            RowKind::Idempotency | RowKind::ReauthorizationLock | RowKind::ConnectSession,
        ) => {
            transaction
                .without(RowKind::Idempotency)
                .without(RowKind::ReauthorizationLock)
                .without(RowKind::ConnectSession)
                .commit(until)
                .await
        }
        outcome @ (CommitOutcome::Committed | CommitOutcome::Refused(_)) => Ok(outcome),
    }
}

/// The credential as it is after a commit. If it cannot be read, the credential as it was committed: the commit has
/// succeeded, so a failed read must not become a failure.
pub async fn read_after_commit(
    credentials: &Credentials,
    team: &TeamId,
    committed: StoredCredential,
) -> StoredCredential {
    let id = committed.credential.credential_id;
    let now = credentials.get(team, id).await.ok().flatten();
    now.unwrap_or(committed)
}

/// The credential as it is `now`, if the new tokens still fit it: they belong to the app that was seen, or a new app
/// comes with them.
fn still_fits(
    seen: &StoredCredential,
    now: StoredCredential,
    new_app: Option<&ClientId>,
) -> Result<StoredCredential, Error> {
    let moved = now.grant != seen.grant;
    let fits = new_app.is_some() || now.client_id == seen.client_id;
    if moved && fits {
        Ok(now)
    } else {
        Err(Error::Conflict)
    }
}

/// The app of a credential, opened. One read and one KMS call.
pub async fn stored_app(
    secrets: &Secrets,
    envelope: &Envelope,
    team: &TeamId,
    stored: &StoredCredential,
) -> Result<AppCredentials, Error> {
    let binding = Binding {
        team: team.clone(),
        secret: SecretId::App(stored.credential.credential_id),
    };
    let row = secrets.app_secret(binding.secret.clone()).await?;
    let sealed = row.ok_or(Missing::Credential)?.sealed;
    let client_secret = ClientSecret::try_from(envelope.open(&binding, &sealed).await?)?;
    Ok(AppCredentials {
        client_id: stored.client_id.clone(),
        client_secret,
    })
}

/// What Zoom gave for a code.
struct Grant {
    id: GrantId,
    tokens: Tokens,
    sent_at: Timestamp,
    answered_at: Timestamp,
}

impl Grant {
    /// What the credential's row says about the grant.
    fn authorized(&self) -> AuthorizedGrant {
        AuthorizedGrant {
            grant: GrantRef {
                id: self.id,
                authorized_at: self.answered_at.as_millis(),
            },
            scopes: self.tokens.scopes.clone(),
        }
    }

    /// The first generation of the grant's row. Makes no network call, because none may stand between Zoom's answer and
    /// the commit.
    fn seal(
        &self,
        team: &TeamId,
        credential: CredentialId,
        key: DataKey,
    ) -> Result<GrantSecret, Error> {
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
}
