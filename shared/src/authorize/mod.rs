//! Spends an authorization code and stores the grant. Create, re-authorize and connect use this code.
//!
//! The tokens are committed before anything else is asked of Zoom. If the credential cannot take them, they are stored
//! alone, as a stray grant, because Zoom has ended the user's older grants. If DynamoDB is down, they are logged as a
//! capsule. The profile and the user's other credentials come afterwards; if they fail, the next mint, check or
//! keep-alive completes them.

mod app;

use std::error::Error as StdError;
use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::account::AccountId;
use crate::cause::chain;
use crate::counted;
use crate::credential::{ClientId, CredentialId, GrantId, Name, State, TeamId};
use crate::envelope::DataKey;
use crate::error::{Down, Error, Missing};
use crate::extra::Extra;
use crate::grants::capsule::{AuthorizationCapsule, Capsule, SeenCredential};
use crate::grants::profile::{UserFinder, WorkingGrant, record_active};
use crate::grants::stray::register;
use crate::invocation::Invocation;
use crate::pair::Pair;
use crate::secret::{AppCredentials, Plaintext};
use crate::stores::{
    self, AuthorizedGrant, CommitOutcome, CountChange, CredentialChanges, Credentials, Events,
    GrantRef, GrantSecret, Pairs, RowKind, Secrets, StoredCredential, TRANSACTION_TIMEOUT,
    Transaction, Write,
};
use crate::timestamp::Timestamp;
use crate::zoom::{Authorization, Tokens, Zoom};

pub use self::app::{AppToUse, NewApp, stored_app};

/// Time kept for the commit after Zoom's answer, because the code is spent by then.
const COMMIT_TIME: Duration = Duration::from_secs(8);
/// With less time left, no code is spent.
const MIN_EXCHANGE_TIME: Duration = Duration::from_secs(2);
/// Time kept for the answer to the caller after the commit.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// If a commit takes longer, Zoom is asked meanwhile who the user is.
const LEARN_USER_AFTER: Duration = Duration::from_secs(1);

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
    /// Its account, if it is an account-level credential. Then it has no grant.
    pub account: Option<AccountId>,
}

/// Stores authorizations for one invocation.
#[derive(Clone, Copy)]
pub struct Authorizer<'a> {
    /// Stores credentials.
    pub credentials: &'a Credentials,
    /// Counts credentials.
    pub pairs: &'a Pairs,
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
    /// Whether tokens that DynamoDB does not store are logged as a sealed capsule.
    pub capsules: bool,
}

impl<'a> Authorizer<'a> {
    /// Spends the code, if there is one, and stores a new credential. `writes` are part of the same transaction.
    pub async fn create(
        &self,
        new: NewCredential,
        grant: Option<NewGrant>,
        writes: Vec<Write>,
    ) -> Result<StoredCredential, Error> {
        let (team, id, app) = (self.team, new.id, new.app.app.clone());
        let secret = self.secrets.put_app_secret(id, &new.app.sealed(team, 1)?)?;
        let spent = match grant {
            Some(grant) => Some(self.spend(grant, &app, id).await?),
            None => None,
        };

        let committed = async {
            let authorized = spent.as_ref().map(Spent::authorized);
            let (name, client_id) = (new.name, app.client_id);
            let (extra, account) = (new.extra, new.account.as_ref());
            let (stored, transaction) = self
                .credentials
                .insert(team, id, name, client_id, extra, account, authorized)?;
            let tokens = spent.as_ref().map(|spent| self.insert(spent)).transpose()?;
            let transaction = transaction.and(secret).and_maybe(tokens).and_all(writes);
            let until = match &spent {
                Some(_) => self.commit_until(),
                None => Timestamp::now().plus(TRANSACTION_TIMEOUT),
            };
            let outcome = commit(transaction, team, id, until).await?;
            Ok::<_, stores::Error>((stored, outcome))
        };
        let Some(spent) = &spent else {
            let (stored, outcome) = committed.await?;
            outcome.or_conflict()?;
            return Ok(stored);
        };
        match self.learn_user_during(spent, committed).await {
            Ok((stored, CommitOutcome::Committed)) => {
                let completed = self.finder().find(&stored, &spent.working()).await;
                Ok(completed.unwrap_or(stored))
            }
            Ok((_, CommitOutcome::Refused(_))) => {
                Err(self.keep_stray(spent, Error::AuthorizationNotTaken).await)
            }
            Err(error) => Err(self.log_capsule(spent, None, error)),
        }
    }

    /// Spends a code and gives the credential `seen` the new grant. `writes` are part of the same transaction. The
    /// caller holds the credential's re-authorization lock.
    ///
    /// Once Zoom has answered, the tokens are stored, or logged as a capsule, whatever happened to the credential.
    pub async fn reauthorize(
        &self,
        mut seen: StoredCredential,
        app: AppToUse,
        new: NewGrant,
        changes: CredentialChanges,
        writes: Vec<Write>,
    ) -> Result<StoredCredential, Error> {
        let (team, id) = (self.team, seen.credential.credential_id);
        let (app, secret) = match app {
            AppToUse::Stored(app) => (app, None),
            AppToUse::New(new) => {
                let app = new.app.clone();
                let sealed = new.sealed(team, seen.version + 1)?;
                (app, Some(self.secrets.put_app_secret(id, &sealed)?))
            }
        };
        let new_app = secret.is_some().then_some(&app.client_id);
        let spent = self.spend(new, &app, id).await?;

        let committed = loop {
            let moved = async {
                let (stored, transaction) = self.move_to(&seen, new_app, &spent, &changes)?;
                let transaction = transaction
                    .and_maybe(secret.clone())
                    .and_all(writes.clone());
                let outcome = commit(transaction, team, id, self.commit_until()).await?;
                Ok::<_, stores::Error>((stored, outcome))
            };
            let refused = match self.learn_user_during(&spent, moved).await {
                Ok((stored, CommitOutcome::Committed)) => break stored,
                Ok((_, CommitOutcome::Refused(kind))) => kind,
                Err(error) => return Err(self.log_capsule(&spent, Some(&seen), error)),
            };
            if refused != RowKind::Credential {
                return Err(self.keep_stray(&spent, Error::AuthorizationNotTaken).await);
            }
            // The credential was deleted, its caller no longer sees it, or another grant or pair has it by now. Our
            // grant is as new, and the lock keeps other authorizations of this credential out.
            let now = match self.read_until_commit(id).await {
                Ok(now) => now,
                Err(error) => return Err(self.log_capsule(&spent, Some(&seen), error)),
            };
            let now = now.filter(StoredCredential::is_live);
            match now.and_then(|now| now.through(&seen.seen_through)) {
                Some(now) if may_take(&seen, &now, new_app) => seen = now,
                Some(_) => {
                    return Err(self.keep_stray(&spent, Error::AuthorizationNotTaken).await);
                }
                None => {
                    let answer = Missing::AuthorizedCredential.into();
                    return Err(self.keep_stray(&spent, answer).await);
                }
            }
        };

        let was_invalid = seen.credential.state == State::Invalid;
        let reactivated = was_invalid.then_some(id);
        let finder = self.finder();
        let working = spent.working();
        // `committed` lacks what other requests have changed since it was read.
        let (profile, stored, ()) = tokio::join!(
            finder.profile(&working),
            read_after_commit(self.credentials, team, committed),
            record_active(self.events, self.invocation, team, reactivated),
        );
        let completed = finder.store(&stored, &working, profile).await;
        let completed = completed.unwrap_or(stored);
        if seen.pair.is_some() && seen.pair != completed.pair {
            self.invocation.activity().user_replaced();
        }
        Ok(completed)
    }

    /// Sends the code to Zoom, and seals what Zoom gave. Makes no network call after Zoom's answer.
    async fn spend(
        &self,
        new: NewGrant,
        app: &AppCredentials,
        credential: CredentialId,
    ) -> Result<Spent, Error> {
        let time_left = self.invocation.time_left(COMMIT_TIME);
        if time_left < MIN_EXCHANGE_TIME {
            return Err(Error::unavailable(Down::OutOfTime));
        }
        let sent_at = Timestamp::now();
        let tokens = self.zoom.exchange(app, &new.authorization, time_left).await;
        let tokens = tokens.map_err(Error::from_code_exchange)?;
        let answered_at = Timestamp::now();
        let row = GrantSecret {
            team_id: self.team.clone(),
            client_id: app.client_id.clone(),
            scopes: tokens.scopes.clone(),
            credential_id: credential,
            sealed: new.key.seal(1, &Plaintext::try_from(&tokens.pair)?)?,
            access_expires_at: answered_at.plus(tokens.expires_in).as_millis(),
            authorize_sent_at: sent_at.as_millis(),
            authorized_at: answered_at.as_millis(),
            api_url: tokens.api_url.as_ref().map(|url| url.as_str().to_owned()),
        };
        Ok(Spent {
            id: new.id,
            tokens,
            row,
            zoom_user_id: OnceLock::new(),
        })
    }

    /// Runs a commit. If it takes long, asks Zoom meanwhile who the user is: if the commit fails, the replay of the
    /// capsule finds the user's other credentials only if the capsule names the user.
    async fn learn_user_during<T>(&self, spent: &Spent, commit: impl Future<Output = T>) -> T {
        let mut commit = pin!(commit);
        let asked = async {
            sleep(LEARN_USER_AFTER).await;
            self.finder().profile(&spent.working()).await
        };
        tokio::select! {
            biased;
            committed = &mut commit => return committed,
            asked = asked => {
                if let Ok(Some(user)) = asked.map(|profile| profile.zoom_user_id) {
                    // Set before if an earlier commit took long. It is the same user.
                    spent.zoom_user_id.set(user).ok();
                }
            }
        }
        commit.await
    }

    /// The deadline of a commit that a spent code depends on.
    fn commit_until(&self) -> Timestamp {
        self.invocation.deadline().minus(ANSWER_TIME)
    }

    fn insert(&self, spent: &Spent) -> Result<Write, stores::Error> {
        self.secrets.insert_grant(spent.id, &spent.row)
    }

    /// The transaction that gives a credential the new grant, and takes it out of its old pair. Returns the credential
    /// as the transaction leaves it.
    fn move_to(
        &self,
        seen: &StoredCredential,
        new_app: Option<&ClientId>,
        spent: &Spent,
        changes: &CredentialChanges,
    ) -> Result<(StoredCredential, Transaction<'a>), stores::Error> {
        let (credentials, authorized) = (self.credentials, spent.authorized());
        let (stored, transaction) =
            credentials.reauthorize(self.team, seen, new_app, &authorized, changes.clone())?;
        let left = match &seen.pair {
            Some(pair) => Some(self.pairs.count(self.team, pair, CountChange::Left)?),
            None => None,
        };
        let transaction = transaction.and(self.insert(spent)?).and_maybe(left);
        Ok((stored, transaction))
    }

    /// The credential as it is now, deleted or not. Tries until no time is left, because a spent code depends on it.
    async fn read_until_commit(
        &self,
        id: CredentialId,
    ) -> Result<Option<StoredCredential>, stores::Error> {
        let mut pause = Duration::from_millis(50);
        loop {
            let read = self.credentials.get_including_deleted(self.team, id);
            let read = timeout(Timestamp::now().until(self.commit_until()), read).await;
            let error = match read {
                Ok(Ok(read)) => return Ok(read),
                Ok(Err(error)) => error,
                Err(elapsed) => stores::Error::timed_out("GetItem", elapsed),
            };
            if Timestamp::now().plus(pause) >= self.commit_until() {
                return Err(error);
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// Keeps a grant that its credential does not take. It may be the only one that Zoom still accepts, and other
    /// credentials of its user find it. Returns the error to answer.
    async fn keep_stray(&self, spent: &Spent, answer: Error) -> Error {
        let insert = self
            .secrets
            .insert_stray_grant(spent.id, &spent.row, self.commit_until());
        if let Err(error) = insert.await {
            return self.log_capsule(spent, None, error);
        }
        tracing::info!(
            request_id = self.invocation.id(),
            grant_id = %spent.id,
            "a credential does not take its new authorization, which is kept for the user's other credentials"
        );
        self.register_stray(spent).await;
        answer
    }

    /// Adds a stray grant to its pair, so that the next use of one of the user's other credentials finds it. Best
    /// effort: keep-alive does it in its next run.
    async fn register_stray(&self, spent: &Spent) {
        let registered = async {
            let finder = self.finder();
            let profile = finder.profile(&spent.working()).await?;
            let Some(zoom_user_id) = profile.zoom_user_id else {
                return Ok(());
            };
            let pair = Pair {
                team: self.team.clone(),
                client_id: spent.row.client_id.clone(),
                zoom_user_id,
            };
            let until = self
                .commit_until()
                .min(Timestamp::now().plus(TRANSACTION_TIMEOUT));
            // Refused if the pair has no other credential, or if the user has removed the app.
            let sent_at = spent.row.authorize_sent_at;
            register(self.pairs, self.secrets, &pair, spent.id, sent_at, until).await?;
            Ok::<_, Box<dyn StdError>>(())
        };
        if let Err(error) = registered.await {
            let (request_id, cause) = (self.invocation.id(), chain(&*error));
            tracing::warn!(
                request_id,
                cause,
                "the user of a stray grant is not known yet"
            );
        }
    }

    /// Logs the tokens of a spent code as a capsule, because DynamoDB does not store them. `seen` is the credential
    /// that would have got them. Returns the error to answer.
    fn log_capsule(
        &self,
        spent: &Spent,
        seen: Option<&StoredCredential>,
        error: stores::Error,
    ) -> Error {
        let capsule = Capsule::Authorization(AuthorizationCapsule {
            team: self.team.clone(),
            grant: spent.id,
            row: spent.row.clone(),
            zoom_user_id: spent.zoom_user_id.get().cloned(),
            seen: seen.map(|seen| SeenCredential {
                grant: seen.grant.map(|grant| grant.id),
                pair: seen.pair.clone(),
            }),
        });
        capsule.log(self.invocation.id(), self.capsules);
        Error::Internal(error.into())
    }

    fn finder(&self) -> UserFinder<'a> {
        UserFinder {
            credentials: self.credentials,
            pairs: self.pairs,
            secrets: self.secrets,
            events: self.events,
            zoom: self.zoom,
            invocation: self.invocation,
            team: self.team,
        }
    }
}

/// Commits until `until`.
///
/// The rows of the idempotency key, of the lock and of the connect session are written too, but the tokens are worth
/// more. If another request has taken one of those rows because its time ran out, the commit goes on without them.
pub async fn commit(
    transaction: Transaction<'_>,
    team: &TeamId,
    credential: CredentialId,
    until: Timestamp,
) -> Result<CommitOutcome, stores::Error> {
    match counted::commit(transaction.clone(), team, credential, until).await? {
        CommitOutcome::Refused(
            RowKind::Idempotency | RowKind::ReauthorizationLock | RowKind::ConnectSession,
        ) => {
            let transaction = transaction
                .without(RowKind::Idempotency)
                .without(RowKind::ReauthorizationLock)
                .without(RowKind::ConnectSession);
            counted::commit(transaction, team, credential, until).await
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
    let now = now.and_then(|now| now.through(&committed.seen_through));
    now.unwrap_or(committed)
}

/// Whether the credential as it is `now` may take the new tokens: they belong to its app, or a new app comes with them;
/// and something has changed that explains why the commit was refused.
fn may_take(seen: &StoredCredential, now: &StoredCredential, new_app: Option<&ClientId>) -> bool {
    let moved = now.grant != seen.grant
        || now.pair != seen.pair
        || now.credential.extra != seen.credential.extra;
    let fits = new_app.is_some() || now.client_id == seen.client_id;
    moved && fits
}

/// What Zoom gave for a code.
struct Spent {
    id: GrantId,
    tokens: Tokens,
    /// The grant's row, with the sealed tokens.
    row: GrantSecret,
    /// The user, if Zoom was asked before the tokens were stored.
    zoom_user_id: OnceLock<String>,
}

impl Spent {
    /// What the credential's row says about the grant.
    fn authorized(&self) -> AuthorizedGrant {
        AuthorizedGrant {
            grant: GrantRef {
                id: self.id,
                authorized_at: self.row.authorized_at,
            },
            scopes: self.row.scopes.clone(),
        }
    }

    fn working(&self) -> WorkingGrant<'_> {
        WorkingGrant {
            authorized: self.authorized(),
            sent_at: Timestamp::from_millis(self.row.authorize_sent_at),
            access: &self.tokens.pair.access,
            expires_at: Timestamp::from_millis(self.row.access_expires_at),
            api_url: self.tokens.api_url.as_ref(),
        }
    }
}
