//! The Zoom user of a grant. The authorizing request reads the user's profile after its commit. If that fails, a later
//! use of the grant reads it.

use std::error::Error as StdError;
use std::time::Duration;

use futures_util::future::join_all;
use secrecy::SecretString;

use crate::cause::chain;
use crate::credential::{ClientId, CredentialId, TeamId};
use crate::error::Error;
use crate::event::{Event, EventDetails};
use crate::grants::cache::Access;
use crate::grants::record::Recorder;
use crate::grants::state::UNREADABLE_PROFILE;
use crate::grants::{Context, Grants};
use crate::invocation::Invocation;
use crate::profile::Profile;
use crate::stores::{AuthorizedGrant, Credentials, Events, StoredCredential};
use crate::timestamp::Timestamp;
use crate::zoom::{self, ApiUrl, Zoom};

/// The longest wait for a profile.
const MAX_PROFILE_TIME: Duration = Duration::from_secs(5);
/// Time kept for the answer to the caller after a profile was read.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// A grant whose user is not known yet.
pub(crate) struct UnknownUser<'a> {
    pub(crate) team: &'a TeamId,
    pub(crate) client_id: &'a ClientId,
    pub(crate) id: CredentialId,
    pub(crate) authorized: AuthorizedGrant,
    /// When the grant's authorization code was sent to Zoom.
    pub(crate) sent_at: Timestamp,
    pub(crate) access: &'a SecretString,
    pub(crate) api_url: Option<&'a ApiUrl>,
}

impl<'a> UnknownUser<'a> {
    /// The user of the grant that was just used. `None` for an app credential.
    pub(crate) fn of_use(
        team: &'a TeamId,
        stored: &'a StoredCredential,
        access: &'a Access,
    ) -> Option<Self> {
        Some(Self {
            team,
            client_id: &stored.client_id,
            id: stored.credential.credential_id,
            authorized: AuthorizedGrant {
                grant: stored.grant?,
                scopes: stored.credential.scopes.clone(),
            },
            sent_at: access.authorize_sent_at,
            access: &access.token,
            api_url: access.api_url.as_ref(),
        })
    }

    /// Reads who authorized and stores it. Points the user's other credentials at this grant, because Zoom has just
    /// ended theirs. Returns the credential as it is then.
    ///
    /// Best effort: `None` if it failed. The grant is safe, and the next mint completes what is missing.
    pub(crate) async fn read_and_store(
        &self,
        credentials: &Credentials,
        events: &Events,
        zoom: &Zoom,
        invocation: &Invocation,
    ) -> Option<StoredCredential> {
        let time_left = invocation.time_left(ANSWER_TIME).min(MAX_PROFILE_TIME);
        let profile = zoom.profile(self.api_url, self.access, time_left).await;
        self.store(credentials, events, invocation, profile).await
    }

    /// As [`Self::read_and_store`], for a profile that was read already.
    pub(crate) async fn store(
        &self,
        credentials: &Credentials,
        events: &Events,
        invocation: &Invocation,
        profile: Result<Profile, zoom::Error>,
    ) -> Option<StoredCredential> {
        let grant = self.authorized.grant.id;
        let completed: Result<StoredCredential, Box<dyn StdError>> = match profile {
            Ok(profile) => {
                let user = profile.zoom_user_id.clone();
                let (completed, ()) = tokio::join!(
                    credentials.complete_profile(self.team, self.id, grant, Ok(profile)),
                    self.repoint_siblings(credentials, events, invocation, user.as_deref()),
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
            let (request_id, cause) = (invocation.id(), chain(&**error));
            tracing::warn!(request_id, cause, "the profile is not known yet");
        }
        completed.ok()
    }

    async fn repoint_siblings(
        &self,
        credentials: &Credentials,
        events: &Events,
        invocation: &Invocation,
        user: Option<&str>,
    ) {
        let Some(user) = user else { return };
        let request_id = invocation.id();
        let adopted = credentials.repoint_siblings(
            self.team,
            self.client_id,
            user,
            &self.authorized,
            self.sent_at,
        );
        match adopted.await {
            Ok(moved) if moved.count == 0 => {}
            Ok(moved) => {
                tracing::info!(
                    request_id,
                    moved = moved.count,
                    "older credentials of the same Zoom user now share the new grant"
                );
                record_active(events, invocation, self.team, moved.reactivated).await;
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

/// Stores who the user is, if the authorizing call could not. Does nothing if the user is known, or if the profile
/// cannot be read because a scope is missing.
pub(crate) async fn learn_user(context: Context<'_>, stored: &StoredCredential, access: &Access) {
    let credential = &stored.credential;
    let unreadable = credential
        .last_error_message
        .as_ref()
        .is_some_and(|message| message.starts_with(UNREADABLE_PROFILE));
    if credential.zoom_user_id.is_some() || unreadable {
        return;
    }
    let Some(unknown) = UnknownUser::of_use(context.team, stored, access) else {
        return;
    };
    let Grants {
        credentials,
        events,
        zoom,
        ..
    } = context.grants;
    let learnt = async {
        let completed = unknown.read_and_store(credentials, events, zoom, context.invocation);
        Ok::<_, Error>(completed.await)
    };
    Recorder(context)
        .best_effort("the profile is not known yet", learnt)
        .await;
}

/// Writes the events that credentials are active again. Best effort.
pub(crate) async fn record_active(
    events: &Events,
    invocation: &Invocation,
    team: &TeamId,
    ids: impl IntoIterator<Item = CredentialId>,
) {
    let active = Event::new(EventDetails::StateChange { reason: None });
    let recorded = ids.into_iter().map(|id| events.record(team, id, &active));
    for outcome in join_all(recorded).await {
        if let Err(error) = outcome {
            let (request_id, cause) = (invocation.id(), chain(&error));
            tracing::warn!(request_id, cause, "an event is missing");
        }
    }
}
