//! Handles an event of Zoom for the credentials of one team.
//!
//! Zoom may send an event several times, so every step checks whether it is still to be done. The order of the steps
//! makes that possible: first the pair of the app and the user records the removal, so that no older grant can join the
//! pair any more. Then the tokens are destroyed. Then the event of each credential is recorded under an id that is
//! always the same, and last the credential changes, if its version has not changed.

use std::collections::{BTreeSet, HashMap};

use futures_util::{StreamExt, stream};
use shared::credential::{ClientId, Credential, GrantId, ReconnectReason, State, TeamId};
use shared::error::{Down, Error};
use shared::event::{Event, EventDetails, EventId};
use shared::pair::Pair;
use shared::stores::{self, Credentials, Events, Pairs, Secrets, StoredCredential};
use shared::timestamp::Timestamp;
use shared::zoom::webhook::{SIGNATURE_WINDOW, WebhookEvent};

use crate::http::request::Request;

/// How many teams are handled at a time, or how many credentials or grants of one team.
pub(crate) const CONCURRENT_CHANGES: usize = 16;
/// How often a credential is tried that changes concurrently.
const MAX_ATTEMPTS: usize = 5;
/// The `last_error_message` of a credential whose user has removed the app.
const DEAUTHORIZED: &str = "deauthorized: the user removed the app at Zoom, and the tokens were destroyed. The user must \
     authorize again.";

/// Whether a removal of the app ended a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GrantAfterRemoval {
    /// The user authorized the grant after the removal. It stays.
    AuthorizedLater,
    /// The grant has no tokens any more.
    Destroyed,
}

/// Handles one event for one team.
pub(crate) struct EventHandler<'a> {
    pub(crate) credentials: &'a Credentials,
    pub(crate) pairs: &'a Pairs,
    pub(crate) secrets: &'a Secrets,
    pub(crate) events: &'a Events,
    pub(crate) request: &'a Request,
    pub(crate) team: &'a TeamId,
    pub(crate) client_id: &'a ClientId,
    pub(crate) signed_at: Timestamp,
}

impl EventHandler<'_> {
    pub(crate) async fn handle(self, event: &WebhookEvent) -> Result<(), Error> {
        // An event cannot have happened after it was signed. The window allows for clocks that differ.
        let latest = self.signed_at.plus(SIGNATURE_WINDOW);
        let happened_at = |at: &Option<Timestamp>| at.map_or(self.signed_at, |at| at.min(latest));
        match event {
            WebhookEvent::Deauthorized { user_id, at, .. } => {
                self.deauthorize_user(user_id, happened_at(at)).await
            }
            WebhookEvent::UserGone {
                user_id,
                change,
                at,
            } => self.mark_user_gone(user_id, change, happened_at(at)).await,
            WebhookEvent::Challenge { .. } | WebhookEvent::Other => Ok(()),
        }
    }

    fn pair(&self, user_id: &str) -> Pair {
        Pair {
            team: self.team.clone(),
            client_id: self.client_id.clone(),
            zoom_user_id: user_id.to_owned(),
        }
    }

    /// The user removed the app at the time `at`. Grants that were authorized later stay.
    async fn deauthorize_user(&self, user_id: &str, at: Timestamp) -> Result<(), Error> {
        let pair = self.pair(user_id);
        let marked = self.pairs.deauthorize(&pair, at).await?;
        let (grants, destroyed) = self.destroy_grants(marked.grants, at).await;
        let members = self.credentials.members_of(&pair, None).await?;
        let found = i64::try_from(members.len()).unwrap_or(i64::MAX);
        let changes = members.into_iter();
        let changes = changes.map(|stored| self.deauthorize(stored, &pair, &grants, at));
        last_failure(stream::iter(changes).buffer_unordered(CONCURRENT_CHANGES)).await?;
        destroyed?;
        if found < marked.members {
            return Err(Error::unavailable(Down::MembersMissing));
        }
        Ok(())
    }

    /// Destroys the pair's grants that were authorized before the removal at `at`. Goes on after a failure, and returns
    /// the last one.
    async fn destroy_grants(
        &self,
        grants: BTreeSet<GrantId>,
        at: Timestamp,
    ) -> (
        HashMap<GrantId, GrantAfterRemoval>,
        Result<(), stores::Error>,
    ) {
        let destroying = grants
            .into_iter()
            .map(|id| async move { (id, self.destroy_grant(id, at).await) });
        let mut destroying = stream::iter(destroying).buffer_unordered(CONCURRENT_CHANGES);
        let (mut after_removal, mut result) = (HashMap::new(), Ok(()));
        while let Some((id, destroyed)) = destroying.next().await {
            match destroyed {
                Ok(after) => drop(after_removal.insert(id, after)),
                Err(error) => result = Err(error),
            }
        }
        (after_removal, result)
    }

    async fn destroy_grant(
        &self,
        id: GrantId,
        at: Timestamp,
    ) -> Result<GrantAfterRemoval, stores::Error> {
        let Some(row) = self.secrets.grant(self.team, id).await? else {
            return Ok(GrantAfterRemoval::Destroyed);
        };
        if row.authorize_sent_at > at.as_millis() {
            return Ok(GrantAfterRemoval::AuthorizedLater);
        }
        if row.sealed.is_some() {
            let reason = ReconnectReason::Deauthorized;
            self.secrets.destroy(self.team, id, reason).await?;
        }
        Ok(GrantAfterRemoval::Destroyed)
    }

    /// Marks a credential of the pair as deauthorized, and clears its profile. `grants` are the pair's grants after the
    /// removal at `at`. If the credential has another grant, the grant is destroyed first.
    async fn deauthorize(
        &self,
        mut stored: StoredCredential,
        pair: &Pair,
        grants: &HashMap<GrantId, GrantAfterRemoval>,
        at: Timestamp,
    ) -> Result<(), Error> {
        let Self {
            credentials, team, ..
        } = *self;
        let (id, pair_id) = (stored.credential.credential_id, pair.id());
        for _ in 0..MAX_ATTEMPTS {
            if let Some(grant) = stored.grant {
                let after = match grants.get(&grant.id) {
                    Some(after) => *after,
                    None => self.destroy_grant(grant.id, at).await?,
                };
                if after == GrantAfterRemoval::AuthorizedLater {
                    return Ok(());
                }
            }
            if is_deauthorized(&stored.credential) {
                return Ok(());
            }
            self.record(&stored, ReconnectReason::Deauthorized, at)
                .await?;
            match credentials.deauthorize(team, &stored, DEAUTHORIZED).await {
                Ok(()) => {
                    self.request.invocation().activity().deauthorized();
                    self.log(
                        &stored,
                        "the user removed the app at Zoom: tokens destroyed, user's email and name removed",
                    );
                    return Ok(());
                }
                Err(stores::Error::Conflict | stores::Error::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
            let now = credentials.get_including_deleted(team, id).await?;
            match now.filter(|now| now.pair.as_ref() == Some(&pair_id)) {
                Some(now) => stored = now,
                None => return Ok(()),
            }
        }
        Err(Error::Conflict)
    }

    /// The user was deactivated or deleted at the time `at`. The grants stay: if the user comes back, the next mint
    /// makes the credential active.
    async fn mark_user_gone(
        &self,
        user_id: &str,
        change: &str,
        at: Timestamp,
    ) -> Result<(), Error> {
        let pair = self.pair(user_id);
        let members = self.credentials.members_of(&pair, None).await?.into_iter();
        let reason = ReconnectReason::UserGone.as_str();
        let message = format!("{reason}: Zoom says that the user was {change}");
        let changes = members.map(|stored| self.invalidate(stored, &message, at));
        last_failure(stream::iter(changes).buffer_unordered(CONCURRENT_CHANGES)).await
    }

    async fn invalidate(
        &self,
        stored: StoredCredential,
        message: &str,
        at: Timestamp,
    ) -> Result<(), Error> {
        let authorized_later = stored
            .grant
            .is_some_and(|grant| grant.authorized_at > at.as_millis());
        if stored.credential.state == State::Invalid || authorized_later {
            return Ok(());
        }
        self.record(&stored, ReconnectReason::UserGone, at).await?;
        match self
            .credentials
            .mark_user_gone(self.team, &stored, message)
            .await
        {
            Ok(()) => {
                self.request
                    .invocation()
                    .activity()
                    .turned_invalid(ReconnectReason::UserGone);
                self.log(
                    &stored,
                    "the Zoom user was deactivated or deleted: the credential is invalid",
                );
                Ok(())
            }
            // The credential has changed concurrently. If the user is still gone, the next use finds out.
            Err(stores::Error::Conflict | stores::Error::NotFound) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Records the event. A repeated webhook gives the same event id, so the event is recorded once.
    async fn record(
        &self,
        stored: &StoredCredential,
        reason: ReconnectReason,
        at: Timestamp,
    ) -> Result<(), stores::Error> {
        let (id, word) = (stored.credential.credential_id, reason.as_str());
        let grant = stored
            .grant
            .map(|grant| grant.id.to_string())
            .unwrap_or_default();
        let change = EventDetails::StateChange {
            reason: Some(reason),
        };
        let event = Event {
            id: EventId::derived(at, &format!("{word}#{id}#{grant}")),
            ..self.request.invocation().event(change)
        };
        self.events.record(self.team, id, &event).await
    }

    fn log(&self, stored: &StoredCredential, message: &'static str) {
        tracing::info!(
            request_id = self.request.id(),
            team = self.team.as_str(),
            credential_id = %stored.credential.credential_id,
            "{message}"
        );
    }
}

/// Whether the credential was marked as deauthorized before, and the user's email and name are removed.
fn is_deauthorized(credential: &Credential) -> bool {
    let message = credential.last_error_message.as_deref();
    credential.state == State::Invalid
        && message
            .is_some_and(|message| message.starts_with(ReconnectReason::Deauthorized.as_str()))
        && credential.zoom_email.is_none()
        && credential.zoom_display_name.is_none()
}

/// Runs all changes, also after a failure. Returns the last failure.
pub(crate) async fn last_failure(
    mut changes: impl StreamExt<Item = Result<(), Error>> + Unpin,
) -> Result<(), Error> {
    let mut result = Ok(());
    while let Some(outcome) = changes.next().await {
        if outcome.is_err() {
            result = outcome;
        }
    }
    result
}
