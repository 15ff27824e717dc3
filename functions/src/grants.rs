//! Using a user's grant: whichever grant of the Zoom user works, and an honest word where none does.
//!
//! Zoom keeps one live grant of an app and a user, so the credentials of the pair must end up on the same one. A
//! grant that Zoom refuses is therefore not the end: the pair's other grants are tried first, and only when none
//! works is the credential turned invalid, together with its grant, in one transaction.

use std::cmp::Reverse;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use shared::credential::{CredentialId, GrantId, Reconnect, State, TeamId};
use shared::envelope::{Envelope, SecretId};
use shared::event::Asked;
use shared::stores::{
    self, AppSecret, Authorized, Credentials, Events, GrantRef, GrantState, PATIENCE, Part,
    Secrets, Stored, StoredGrant, Transaction,
};
use shared::timestamp::Timestamp;
use shared::zoom::{self, Zoom};
use uuid::Uuid;

use crate::app::App;
use crate::error::{ApiError, Down, RETRY_AFTER};
use crate::opened::{Access, Opened};
use crate::patience;
use crate::refresh::{Dead, Refresh, Stop};
use crate::request::Request;

/// How often a mint starts over because grant or credential moved under it.
const ROUNDS: usize = 5;
/// How often a call is tried that Zoom refuses the access token of: with the one at hand, with another's, with ours.
const CALLS: usize = 3;
/// How long another's refresh is waited for, at most.
const WAIT: Duration = Duration::from_secs(12);
/// Kept for the answer after a wait that was for nothing.
const LAST_ANSWER: Duration = Duration::from_secs(1);
/// How many of a grant's credentials are told of it at a time.
const AT_ONCE: usize = 8;

/// What is said of an app whose client secret is gone.
const NO_SECRET: &str =
    "the client secret is not stored: PATCH the credential with client_id and client_secret";

/// What using users' grants takes.
#[derive(Debug)]
pub struct Grants {
    pub(crate) credentials: Credentials,
    pub(crate) secrets: Secrets,
    pub(crate) events: Events,
    /// Opens grants and seals what follows.
    pub envelope: Envelope,
    /// Refreshes and mints.
    pub zoom: Zoom,
    pub(crate) opened: Opened<GrantId, Arc<Access>>,
    pub(crate) capsules: bool,
}

impl Grants {
    /// With `capsules`, a pair of tokens that cannot be stored is logged, sealed: see [`crate::capsule`].
    pub fn new(
        credentials: Credentials,
        secrets: Secrets,
        events: Events,
        envelope: Envelope,
        zoom: Zoom,
        capsules: bool,
    ) -> Self {
        Self {
            credentials,
            secrets,
            events,
            envelope,
            zoom,
            opened: Opened::default(),
            capsules,
        }
    }

    /// What a mint reads while its call is counted: nothing, where the grant is open in memory.
    pub(crate) async fn rows(
        &self,
        stored: &Stored,
        margin: Duration,
    ) -> Result<Option<Rows>, ApiError> {
        let Some(grant) = stored.grant else {
            return Err(ApiError::NotAUserCredential);
        };
        // What an invalid credential's grant is, only its row knows.
        let is_active = stored.credential.state == State::Active;
        if is_active && self.open(grant.id, margin).is_some() {
            return Ok(None);
        }
        let grant = async { Ok(found(self.secrets.grant(grant.id).await)?) };
        let app = self.app_secret(stored.credential.credential_id);
        let (grant, app) = tokio::try_join!(grant, app)?;
        Ok(Some(Rows { grant, app }))
    }

    /// The grant's access token, opened not long ago and good for longer than `margin`.
    fn open(&self, id: GrantId, margin: Duration) -> Option<Arc<Access>> {
        self.opened.get(&id, |access| access.outlasts(margin))
    }

    /// The sealed client secret of a credential.
    pub(crate) async fn app_secret(&self, of: CredentialId) -> Result<AppSecret, ApiError> {
        match self.secrets.app(SecretId::App(of)).await {
            // The credential is there: somebody took the row, and its owner can put it back.
            Err(stores::Error::NotFound) => Err(ApiError::AppMisconfigured {
                reason: NO_SECRET.to_owned(),
            }),
            read => Ok(read?),
        }
    }
}

/// What is read of `secrets` ahead of its use.
#[derive(Debug)]
pub(crate) struct Rows {
    /// None where there is none: it is as one that Zoom refuses.
    pub(crate) grant: Option<StoredGrant>,
    pub(crate) app: AppSecret,
}

/// For whom a grant is used, and how soon they need an answer.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// Who asked.
    pub(crate) asked: Asked,
    /// How long an access token must still live to be used: beyond that it is refreshed first.
    pub(crate) margin: Duration,
    /// When the caller has to have an answer. A refresh that is ours takes what it takes; nothing else does.
    pub(crate) answer_by: Timestamp,
}

/// One invocation that uses grants.
pub(crate) struct Use<'a> {
    pub(crate) grants: &'a Grants,
    pub(crate) request: &'a Request,
    pub(crate) team: &'a TeamId,
    pub(crate) terms: &'a Terms,
}

/// What a call came to, and the credential as it is then.
pub(crate) struct Used<T> {
    pub(crate) outcome: Result<T, zoom::Error>,
    pub(crate) stored: Stored,
    pub(crate) access: Arc<Access>,
}

/// What was made of a grant that Zoom refuses.
enum Declared {
    /// The user has to authorize again.
    Dead(Reconnect),
    /// The grant has moved: it is tried again.
    GrantMoved,
    /// The credential has another grant, or is gone.
    CredentialMoved,
}

/// What a grant's credentials are to be told of it.
enum News {
    Alive,
    Dead { reason: Reconnect, message: String },
}

impl Use<'_> {
    /// Makes a call to Zoom with an access token of the credential's user. `rows` are what was read ahead.
    ///
    /// `Ok` where Zoom took the token, whatever it said of the rest. The call may be made more than once, each time
    /// with another token.
    pub(crate) async fn call<T, F>(
        &self,
        mut stored: Stored,
        rows: Option<Rows>,
        call: impl Fn(Arc<Access>) -> F,
    ) -> Result<Used<T>, ApiError>
    where
        F: Future<Output = Result<T, zoom::Error>>,
    {
        let refresh = Refresh {
            grants: self.grants,
            request: self.request,
            team: self.team,
            me: Uuid::new_v4(),
            margin: self.terms.margin,
            give_up: Timestamp::now()
                .plus(WAIT)
                .min(self.terms.answer_by.minus(LAST_ANSWER)),
            revived: AtomicBool::new(false),
            sorted_by: None,
            refreshed: AtomicU32::new(0),
        };
        let (grant_row, app_row) = rows.map(|rows| (rows.grant, rows.app)).unzip();
        let mut grant_row = grant_row.flatten();
        let mut app = App::new(self.grants, self.team, &stored, app_row);
        let mut tried: Vec<GrantId> = Vec::new();
        for _ in 0..ROUNDS {
            let id = stored.grant.ok_or(ApiError::NotAUserCredential)?.id;
            let dead = match self
                .try_grant(&refresh, id, grant_row.take(), &app, &call)
                .await
            {
                Ok((access, outcome)) => {
                    if outcome.is_ok() {
                        self.settle(&refresh, &stored, id).await;
                    }
                    return Ok(Used {
                        outcome,
                        stored,
                        access,
                    });
                }
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::Dead(dead)) => dead,
            };
            // Seldom, and large.
            let search = Box::pin(self.search(&refresh, &stored, &mut tried, &app, &call));
            if let Some(used) = search.await? {
                return Ok(used);
            }
            match self.declare(&stored, id, &dead).await? {
                Declared::Dead(reason) => return Err(ApiError::ReconnectRequired { reason }),
                Declared::GrantMoved => {}
                Declared::CredentialMoved => {
                    let id = stored.credential.credential_id;
                    stored = self.grants.credentials.get(self.team, id).await?;
                    app = App::new(self.grants, self.team, &stored, None);
                }
            }
        }
        Err(ApiError::Unavailable {
            retry_after: RETRY_AFTER,
            source: Down::RefreshElsewhere,
        })
    }

    /// The call with one grant. A dead access token is not a dead grant: it is refreshed, once. A token that we were
    /// given just now, and that is refused all the same, says that something else is wrong with Zoom.
    async fn try_grant<T, F>(
        &self,
        refresh: &Refresh<'_>,
        id: GrantId,
        mut row: Option<StoredGrant>,
        app: &App<'_>,
        call: &impl Fn(Arc<Access>) -> F,
    ) -> Result<(Arc<Access>, Result<T, zoom::Error>), Stop>
    where
        F: Future<Output = Result<T, zoom::Error>>,
    {
        let opened = &self.grants.opened;
        let mut refused = None;
        let mut known = match row {
            // Read ahead, since memory has nothing or is not to be trusted.
            Some(_) => None,
            None => self.grants.open(id, self.terms.margin),
        };
        let before = refresh.refreshed.load(Ordering::Relaxed);
        for _ in 0..CALLS {
            let access = match known.take() {
                Some(access) => access,
                None => refresh.access(id, row.take(), refused, app).await?,
            };
            match call(access.clone()).await {
                Err(zoom::Error::DeadAccess) => {
                    opened.forget(&id);
                    refused = Some(access.generation);
                    if refresh.refreshed.load(Ordering::Relaxed) > before {
                        break;
                    }
                }
                outcome => return Ok((access, outcome)),
            }
        }
        Err(Stop::Failed(ApiError::of_minting(zoom::Error::DeadAccess)))
    }

    /// Tries the other grants of the same Zoom app and user, the newest first, and points the credential at the one
    /// that Zoom takes. Those of deleted credentials last: one that was not told of a newer authorization finds it
    /// there, though the credential that came with it is gone.
    async fn search<T, F>(
        &self,
        refresh: &Refresh<'_>,
        stored: &Stored,
        tried: &mut Vec<GrantId>,
        app: &App<'_>,
        call: &impl Fn(Arc<Access>) -> F,
    ) -> Result<Option<Used<T>>, ApiError>
    where
        F: Future<Output = Result<T, zoom::Error>>,
    {
        let Grants {
            credentials,
            secrets,
            ..
        } = self.grants;
        let by = self.terms.answer_by;
        for deleted in [false, true] {
            let others = credentials.pair_of(self.team, stored, deleted);
            let mut others = patience::until(by, others).await?;
            others.sort_by_key(|other| Reverse(other.grant.map(|grant| grant.authorized_at)));
            for other in others {
                let Some(grant) = other.grant.filter(|grant| Some(*grant) != stored.grant) else {
                    continue;
                };
                if tried.contains(&grant.id) {
                    continue;
                }
                tried.push(grant.id);
                let row = async { found(secrets.grant(grant.id).await) };
                let Some(row) = patience::until(by, row).await? else {
                    continue;
                };
                if row.state != GrantState::Active {
                    continue;
                }
                let tried = self
                    .try_grant(refresh, grant.id, Some(row), app, call)
                    .await;
                let (access, outcome) = match tried {
                    Ok(taken) => taken,
                    Err(Stop::Failed(error)) => return Err(error),
                    Err(Stop::Dead(dead)) if deleted => {
                        self.declare_unused(grant.id, &dead).await;
                        continue;
                    }
                    Err(Stop::Dead(dead)) => {
                        // Refused as mine was, and declared as mine would be; where it moved, somebody else sees to
                        // it.
                        self.declare(&other, grant.id, &dead).await?;
                        continue;
                    }
                };
                let stored = if was_taken(&outcome) {
                    self.adopt(stored, grant, &other, &access).await
                } else {
                    stored.clone()
                };
                return Ok(Some(Used {
                    outcome,
                    stored,
                    access,
                }));
            }
        }
        Ok(None)
    }

    /// Points the credential at the grant of `other`, which Zoom has just taken a token of; the credential as it is
    /// then.
    async fn adopt(
        &self,
        stored: &Stored,
        grant: GrantRef,
        other: &Stored,
        access: &Access,
    ) -> Stored {
        let Grants {
            credentials,
            secrets,
            ..
        } = self.grants;
        let id = stored.credential.credential_id;
        let authorized = Authorized {
            grant,
            scopes: other.credential.scopes.clone(),
        };
        let adopted = async {
            let adopt = credentials.adopt(self.team, stored, &authorized)?;
            let adopt = adopt.and(secrets.join(grant.id, access.expires_at)?);
            let until = Timestamp::now().plus(PATIENCE);
            match adopt.commit(until).await? {
                Ok(()) => credentials.get(self.team, id).await,
                Err(_) => Err(stores::Error::Conflict),
            }
        };
        let adopted = self.best_effort("a working grant is not adopted yet", adopted);
        // Where it is not, the token works all the same; the next mint finds the credential as it is by then.
        let Some(adopted) = adopted.await else {
            return stored.clone();
        };
        if stored.credential.state == State::Invalid {
            self.note_change(id, None).await;
        }
        adopted
    }

    /// Says of a grant that Zoom refuses, and that deleted credentials alone have, that it is of no use. Best effort:
    /// they are told when they are restored, and whoever finds it first says it again.
    async fn declare_unused(&self, id: GrantId, dead: &Dead) {
        let active = |row: &&StoredGrant| row.state == GrantState::Active;
        let Some(row) = dead.row.as_ref().filter(active) else {
            return;
        };
        let declared = async {
            let secrets = &self.grants.secrets;
            let declare = secrets.declare_unused(id, row, dead.reason)?;
            // Where it has moved meanwhile, it is not dead.
            let until = Timestamp::now().plus(PATIENCE);
            declare.commit(until).await
        };
        let what = "the grant of a deleted credential is not declared dead yet";
        self.best_effort(what, declared).await;
    }

    /// Says that the user has to authorize again, if that is still so: of grant and credential in one transaction.
    async fn declare(
        &self,
        stored: &Stored,
        id: GrantId,
        dead: &Dead,
    ) -> Result<Declared, ApiError> {
        let Grants {
            credentials,
            secrets,
            ..
        } = self.grants;
        // Read when all else has failed: what has happened since the refusal counts.
        let now = match &dead.row {
            Some(row) if row.state != GrantState::Active => Some(row.clone()),
            _ => {
                let row = async { found(secrets.grant(id).await) };
                patience::until(self.terms.answer_by, row).await?
            }
        };
        let is_told = stored.credential.state == State::Invalid;
        let (reason, write) = match now.as_ref().map(|now| (now, now.state)) {
            None if is_told => return Ok(Declared::Dead(Reconnect::Revoked)),
            None => (Reconnect::Revoked, None),
            Some((_, GrantState::Reconnect(reason))) if is_told => {
                return Ok(Declared::Dead(reason));
            }
            Some((_, GrantState::Reconnect(reason))) => (reason, Some(secrets.still(id, false)?)),
            Some((now, GrantState::Active)) => match &dead.row {
                Some(row) if row.generation() == now.generation() && row.stash == now.stash => {
                    let declare = secrets.declare(id, now, dead.reason)?;
                    (dead.reason, Some(declare))
                }
                _ => return Ok(Declared::GrantMoved),
            },
        };
        let message = message(reason, dead.words.as_deref());
        let credential = stored.credential.credential_id;
        let transaction = credentials.invalidate(self.team, credential, id, &message)?;
        let until = Timestamp::now().plus(PATIENCE).min(self.terms.answer_by);
        match transaction.and_maybe(write).commit(until).await? {
            Ok(()) => {}
            Err(Part::Credential) => return Ok(Declared::CredentialMoved),
            Err(_) => return Ok(Declared::GrantMoved),
        }
        self.request.trail().deeds.turned_invalid(reason);
        self.note_change(credential, Some(reason)).await;
        let news = News::Dead { reason, message };
        self.tell_others(stored, id, &news).await;
        Ok(Declared::Dead(reason))
    }

    /// After a call that went well: clears what the credential says went wrong, and its siblings' state where the
    /// grant had been given up.
    async fn settle(&self, refresh: &Refresh<'_>, stored: &Stored, id: GrantId) {
        let credential = &stored.credential;
        let revived = refresh.revived.load(Ordering::Relaxed);
        let invalid = credential.state == State::Invalid;
        let noted = credential.last_error_message.as_deref();
        let stale = noted.is_some_and(|message| !message.starts_with(UNREADABLE_PROFILE));
        if !(revived || invalid || stale) {
            return;
        }
        let activated = self.grants.credentials.activate(self.team, stored, id);
        let activated = self.with_check(activated, id, true);
        let activated = self.best_effort("a credential's state is not mended yet", activated);
        if activated.await == Some(true) && invalid {
            self.note_change(credential.credential_id, None).await;
        }
        if revived || invalid {
            self.tell_others(stored, id, &News::Alive).await;
        }
    }

    /// Gives the other credentials of a grant its state. Any mint mends what it finds.
    async fn tell_others(&self, stored: &Stored, id: GrantId, news: &News) {
        let others = self.grants.credentials.pair_of(self.team, stored, false);
        let others = self.best_effort("other credentials of a grant are not told", others);
        let others = others.await.unwrap_or_default().into_iter();
        let others = others.filter(|other| other.grant.is_some_and(|grant| grant.id == id));
        stream::iter(others)
            .for_each_concurrent(AT_ONCE, |other| self.tell(other, id, news))
            .await;
    }

    async fn tell(&self, other: Stored, id: GrantId, news: &News) {
        let credentials = &self.grants.credentials;
        let credential = other.credential.credential_id;
        let (change, reason) = match (news, other.credential.state) {
            (News::Alive, State::Invalid) => (credentials.activate(self.team, &other, id), None),
            (News::Dead { reason, message }, State::Active) => {
                let change = credentials.invalidate(self.team, credential, id, message);
                (change, Some(*reason))
            }
            (News::Alive, State::Active) | (News::Dead { .. }, State::Invalid) => return,
        };
        let told = self.with_check(change, id, reason.is_none());
        let told = self.best_effort("another credential of a grant is not told", told);
        if told.await == Some(true) {
            if let Some(reason) = reason {
                self.request.trail().deeds.turned_invalid(reason);
            }
            self.note_change(credential, reason).await;
        }
    }

    /// Makes a change of a credential if its grant is then as it should be.
    async fn with_check(
        &self,
        change: Result<Transaction<'_>, stores::Error>,
        id: GrantId,
        usable: bool,
    ) -> Result<bool, stores::Error> {
        let transaction = change?.and(self.grants.secrets.still(id, usable)?);
        let until = Timestamp::now().plus(PATIENCE);
        Ok(transaction.commit(until).await?.is_ok())
    }
}

/// What a read found, where a row that is not there is an answer, too.
pub(crate) fn found<T>(read: Result<T, stores::Error>) -> Result<Option<T>, stores::Error> {
    match read {
        Err(stores::Error::NotFound) => Ok(None),
        read => read.map(Some),
    }
}

/// Whether Zoom took the access token, whatever it said of the rest: then the grant works. A failure that says nothing
/// of the token proves nothing.
fn was_taken<T>(outcome: &Result<T, zoom::Error>) -> bool {
    matches!(
        outcome,
        Ok(_) | Err(zoom::Error::MissingScope { .. } | zoom::Error::Request { .. })
    )
}

/// What `last_error_message` begins with where only the profile cannot be read: minting does not heal that.
pub(crate) const UNREADABLE_PROFILE: &str = "missing scope user:read:user";

/// What `last_error_message` says of a grant that is of no use any more. It begins with the reason's word.
pub(crate) fn message(reason: Reconnect, words: Option<&str>) -> String {
    let what = match reason {
        Reconnect::Revoked => "Zoom refuses the grant: it was revoked or replaced",
        Reconnect::RefreshOutcomeLost => {
            "Zoom refuses the grant, after a refresh whose outcome may have been lost"
        }
        Reconnect::Deauthorized => "the user took the app's authorization back in Zoom",
        Reconnect::UserGone => "Zoom does not know the user any more",
    };
    let word = reason.as_str();
    match words {
        Some(words) => {
            format!("{word}: {what} (Zoom says: {words}). The user must authorize again.")
        }
        None => format!("{word}: {what}. The user must authorize again."),
    }
}
