//! The Zoom user of a grant. The authorizing request asks for it after its commit. If that fails, a later use of the
//! grant asks again.
//!
//! Once the user is known, the credential is counted in the pair of its app and user, and the pair's other credentials
//! get the new grant, because Zoom has just ended theirs.

use std::time::Duration;

use futures_util::future::join_all;
use secrecy::SecretString;
use tokio::time::timeout;

use crate::attention::{MISSING_SCOPE, UNREADABLE_PROFILE};
use crate::cause::chain;
use crate::credential::{CredentialId, GrantId, ReconnectReason, State, TeamId};
use crate::event::EventDetails;
use crate::grants::cache::Access;
use crate::grants::hand_over::HandOver;
use crate::grants::state::reconnect_message;
use crate::grants::{Context, Grants};
use crate::invocation::Invocation;
use crate::pair::Pair;
use crate::profile::{Profile, UNKNOWN_PROFILE};
use crate::stores::{
    self, AuthorizedGrant, BATCH, CommitOutcome, Credentials, Events, Holder, Pairs, RowKind,
    Secrets, StoredCredential,
};
use crate::time_limit;
use crate::timestamp::Timestamp;
use crate::zoom::{self, ApiUrl, Zoom};

/// The longest wait for a profile.
pub(crate) const MAX_PROFILE_TIME: Duration = Duration::from_secs(5);
/// The longest time for everything that is done about a grant's user, so that the caller gets its answer.
const MAX_TIME: Duration = Duration::from_secs(10);
/// Time kept for the answer to the caller.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// How often the write of a credential is tried that another request changes at the same time.
const MAX_ROUNDS: usize = 3;
/// How many transactions give the new grant to the user's other credentials. The others find it at their own next use.
const MAX_BATCHES: usize = 3;
/// The least time between two authorizations for which the vault calls the later one newer. Zoom may have handled
/// closer ones in either order, so both keep their grants.
pub(crate) const MIN_AUTHORIZATION_GAP: Duration = Duration::from_secs(5);

/// The powers to find out and store who the user of a grant is.
#[derive(Clone, Copy)]
pub(crate) struct UserFinder<'a> {
    pub(crate) credentials: &'a Credentials,
    pub(crate) pairs: &'a Pairs,
    pub(crate) secrets: &'a Secrets,
    pub(crate) events: &'a Events,
    pub(crate) zoom: &'a Zoom,
    pub(crate) invocation: &'a Invocation,
    pub(crate) team: &'a TeamId,
}

/// A grant that Zoom has just accepted or issued.
pub(crate) struct WorkingGrant<'a> {
    pub(crate) authorized: AuthorizedGrant,
    /// When the grant's authorization code was sent to Zoom.
    pub(crate) sent_at: Timestamp,
    pub(crate) access: &'a SecretString,
    /// When the access token expires.
    pub(crate) expires_at: Timestamp,
    pub(crate) api_url: Option<&'a ApiUrl>,
}

impl<'a> WorkingGrant<'a> {
    /// The grant of `stored` that was just used. `None` for an app credential.
    pub(crate) fn of_use(stored: &StoredCredential, access: &'a Access) -> Option<Self> {
        Some(Self {
            authorized: AuthorizedGrant {
                grant: stored.grant?,
                scopes: stored.credential.scopes.clone(),
            },
            sent_at: access.authorize_sent_at,
            access: &access.token,
            expires_at: access.expires_at,
            api_url: access.api_url.as_ref(),
        })
    }

    fn id(&self) -> GrantId {
        self.authorized.grant.id
    }
}

impl<'a> UserFinder<'a> {
    /// The powers of one use of a grant.
    pub(crate) fn of_use(context: Context<'a>) -> Self {
        let Grants {
            credentials,
            pairs,
            secrets,
            events,
            zoom,
            ..
        } = context.grants;
        Self {
            credentials,
            pairs,
            secrets,
            events,
            zoom,
            invocation: context.invocation,
            team: context.team,
        }
    }

    /// Reads who authorized, and stores it as [`Self::store`] does.
    pub(crate) async fn find(
        &self,
        stored: &StoredCredential,
        grant: &WorkingGrant<'_>,
    ) -> Option<StoredCredential> {
        let profile = self.profile(grant).await;
        self.store(stored, grant, profile).await
    }

    /// Reads who authorized.
    pub(crate) async fn profile(&self, grant: &WorkingGrant<'_>) -> Result<Profile, zoom::Error> {
        let time_left = self.invocation.time_left(ANSWER_TIME).min(MAX_PROFILE_TIME);
        let profile = self
            .zoom
            .profile_with_retry(grant.api_url, grant.access, time_left);
        profile.await
    }

    /// Stores who the user of the credential's grant is. Points the user's other credentials at this grant. Returns the
    /// credential as it is then.
    ///
    /// Best effort: `None` if it failed. The grant is safe, and the next mint or keep-alive completes what is missing.
    pub(crate) async fn store(
        &self,
        stored: &StoredCredential,
        grant: &WorkingGrant<'_>,
        profile: Result<Profile, zoom::Error>,
    ) -> Option<StoredCredential> {
        let reason = match profile {
            Ok(profile) => match profile.zoom_user_id.clone() {
                Some(user) => {
                    let time_left = self.invocation.time_left(ANSWER_TIME).min(MAX_TIME);
                    let kept = timeout(time_left, self.keep(stored, grant, user, profile)).await;
                    let kept = kept
                        .map_err(|elapsed| stores::Error::timed_out("TransactWriteItems", elapsed));
                    return self.or_warn(kept.flatten()).flatten();
                }
                None => format!("{UNKNOWN_PROFILE}Zoom does not show who the user is"),
            },
            Err(zoom::Error::MissingScope { scope }) => {
                format!("{MISSING_SCOPE}{scope}: the Zoom user's profile cannot be read")
            }
            Err(error) => {
                let (request_id, cause) = (self.invocation.id(), chain(&error));
                tracing::warn!(request_id, cause, "the profile is not known yet");
                let summary = error.summary();
                format!("{UNKNOWN_PROFILE}{summary}. The next mint asks Zoom again.")
            }
        };
        let message = stored.credential.last_error_message.as_deref();
        let is_noted = message.is_some_and(|message| message.starts_with(UNKNOWN_PROFILE));
        if stored.pair.is_some() || is_noted {
            return None;
        }
        let noted = self
            .credentials
            .note_unknown_user(self.team, stored, &reason);
        self.or_warn(noted.await)
    }

    fn or_warn<T>(&self, done: Result<T, stores::Error>) -> Option<T> {
        let error = match done {
            Ok(done) => return Some(done),
            Err(error) => error,
        };
        let (request_id, cause) = (self.invocation.id(), chain(&error));
        tracing::warn!(request_id, cause, "the profile is not stored yet");
        None
    }

    async fn keep(
        &self,
        stored: &StoredCredential,
        grant: &WorkingGrant<'_>,
        zoom_user_id: String,
        profile: Profile,
    ) -> Result<Option<StoredCredential>, stores::Error> {
        let pair = Pair {
            team: self.team.clone(),
            client_id: stored.client_id.clone(),
            zoom_user_id,
        };
        if let Some(known) = &stored.pair {
            if *known != pair.id() {
                let (request_id, credential_id) =
                    (self.invocation.id(), stored.credential.credential_id);
                tracing::error!(
                    request_id,
                    %credential_id,
                    "Zoom names another user for a grant than before: nothing is changed"
                );
                return Ok(None);
            }
            let changed = self.credentials.change_profile(self.team, stored, &profile);
            return changed.await.map(Some);
        }
        let others =
            self.credentials
                .holders_of_other_grants(&pair, grant.id(), MAX_BATCHES * BATCH);
        let (learnt, others) = tokio::join!(self.learn(stored, grant, &pair, profile), others);
        let learnt = learnt?;
        if let (Some(_), Some(mut others)) = (&learnt, self.or_warn(others)) {
            others.retain(|holder| holder.credential_id != stored.credential.credential_id);
            let handed = self.hand_over(&pair, &others, grant).await;
            self.or_warn(handed);
        }
        Ok(learnt)
    }

    /// Writes the profile and counts the credential in. `None` if the credential has another grant by now, or if its
    /// user has removed the app since.
    pub(crate) async fn learn(
        &self,
        stored: &StoredCredential,
        grant: &WorkingGrant<'_>,
        pair: &Pair,
        profile: Profile,
    ) -> Result<Option<StoredCredential>, stores::Error> {
        let (team, id) = (self.team, stored.credential.credential_id);
        let (pair_id, sent_at) = (pair.id(), grant.sent_at.as_millis());
        let mut seen = stored.clone();
        for _ in 0..MAX_ROUNDS {
            // The grant of a deleted credential stays due, because keep-alive lets it rest or revokes it.
            let idle_since = seen.is_live().then_some(grant.expires_at);
            let (learnt, write) =
                self.credentials
                    .learn(pair, &seen, grant.id(), profile.clone())?;
            let write = write
                .and(self.secrets.name_pair(grant.id(), &pair_id, idle_since)?)
                .and(
                    self.pairs
                        .count_in(pair, grant.id(), seen.is_live(), sent_at)?,
                );
            let until = Timestamp::now().plus(self.invocation.time_left(ANSWER_TIME).min(MAX_TIME));
            match write.commit(until).await? {
                CommitOutcome::Committed => return Ok(Some(learnt)),
                CommitOutcome::Refused(RowKind::Credential) => {
                    let now = self.credentials.get_including_deleted(team, id).await?;
                    match now {
                        Some(now) if now.pair.as_ref() == Some(&pair_id) => return Ok(Some(now)),
                        Some(now) if now.pair.is_none() && now.has_grant(grant.id()) => seen = now,
                        Some(_) | None => return Ok(None),
                    }
                }
                CommitOutcome::Refused(RowKind::Pair) => {
                    self.end_deauthorized(&seen, grant.id()).await?;
                    return Ok(None);
                }
                // The tokens were destroyed in the meantime.
                CommitOutcome::Refused(_) => return Ok(None),
            }
        }
        Err(stores::Error::Conflict)
    }

    /// The user has removed the app since the code was sent to Zoom. So the grant is dead, and the credential gets no
    /// name.
    async fn end_deauthorized(
        &self,
        stored: &StoredCredential,
        grant: GrantId,
    ) -> Result<(), stores::Error> {
        let reason = ReconnectReason::Deauthorized;
        let id = stored.credential.credential_id;
        self.secrets.destroy(self.team, grant, reason).await?;
        let message = reconnect_message(reason, None);
        let until = Timestamp::now().plus(self.invocation.time_left(ANSWER_TIME).min(MAX_TIME));
        let invalid = self
            .credentials
            .invalidate(self.team, id, grant, &message)?;
        if invalid.commit(until).await?.is_committed() {
            self.invocation.activity().turned_invalid(reason);
            let event = self.invocation.event(EventDetails::StateChange {
                reason: Some(reason),
            });
            self.events.record(self.team, id, &event).await?;
        }
        Ok(())
    }

    /// Points those credentials of the pair at the new grant that have a clearly older authorization.
    async fn hand_over(
        &self,
        pair: &Pair,
        others: &[Holder],
        grant: &WorkingGrant<'_>,
    ) -> Result<(), stores::Error> {
        let before = grant.sent_at.minus(MIN_AUTHORIZATION_GAP);
        let mut moved = 0_usize;
        for batch in others.chunks(BATCH).take(MAX_BATCHES) {
            let target = HandOver {
                credentials: self.credentials,
                secrets: self.secrets,
                team: self.team,
                pair: &pair.id(),
                authorized: &grant.authorized,
                idle_since: grant.expires_at,
            };
            let until = Timestamp::now().plus(self.invocation.time_left(ANSWER_TIME).min(MAX_TIME));
            let handed = target.to(batch, Some(before), until).await?;
            moved += handed.len();
            let invalid = handed.iter().filter(|it| it.state == State::Invalid);
            let reactivated = invalid.map(|holder| holder.credential_id);
            record_active(self.events, self.invocation, self.team, reactivated).await;
        }
        if moved > 0 {
            tracing::info!(
                request_id = self.invocation.id(),
                moved,
                "older credentials of the same Zoom user now share the new grant"
            );
        }
        Ok(())
    }
}

/// Stores who the user is, if the authorizing call could not. Does nothing if the user is known, or if the profile
/// cannot be read because a scope is missing.
pub(crate) async fn learn_user(context: Context<'_>, stored: &StoredCredential, access: &Access) {
    let message = stored.credential.last_error_message.as_ref();
    let unreadable = message.is_some_and(|message| message.starts_with(UNREADABLE_PROFILE));
    if stored.pair.is_some() || unreadable {
        return;
    }
    if let Some(grant) = WorkingGrant::of_use(stored, access) {
        let found = UserFinder::of_use(context);
        let by = time_limit::time_for_call(context.terms.answer_by);
        if timeout(by, found.find(stored, &grant)).await.is_err() {
            let request_id = context.invocation.id();
            tracing::warn!(request_id, "the profile is not known yet");
        }
    }
}

/// Writes the events that credentials are active again. Best effort.
pub(crate) async fn record_active(
    events: &Events,
    invocation: &Invocation,
    team: &TeamId,
    ids: impl IntoIterator<Item = CredentialId>,
) {
    let recorded = ids.into_iter().map(|id| async move {
        let active = invocation.event(EventDetails::StateChange { reason: None });
        events.record(team, id, &active).await
    });
    for outcome in join_all(recorded).await {
        if let Err(error) = outcome {
            let (request_id, cause) = (invocation.id(), chain(&error));
            tracing::warn!(request_id, cause, "an event is missing");
        }
    }
}
