//! Releases a user's access token to a vendor that asks for it.
//!
//! The token of the credential's own grant is released without a call to Zoom, if it lives long enough. Otherwise the grant
//! is refreshed, as for a mint. If that fails for the moment, the old token is released as long as a vendor accepts it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::credential::State;
use crate::error::{Down, Error};
use crate::event::Event;
use crate::grants::cache::Access;
use crate::grants::call::Caller;
use crate::grants::profile::{MAX_PROFILE_TIME, learn_user};
use crate::grants::record::Recorder;
use crate::grants::{Context, Rows};
use crate::stores::{self, StoredCredential};
use crate::timestamp::Timestamp;
use crate::zoom;

/// How long an access token must still live to be released. An older one is refreshed first.
pub const RELEASE_MARGIN: Duration = Duration::from_mins(5);
/// Recall.ai rejects an access token that lives for less time. So no such token is released, whatever fails.
pub const MIN_RELEASED_LIFE: Duration = Duration::from_mins(2);
/// Time kept for the answer to the caller after Zoom's answer.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// The event gets at least this long, although a refresh may have taken all of the caller's time.
const MIN_RECORD_TIME: Duration = Duration::from_secs(2);

/// One release of one credential's access token.
pub(crate) struct Release<'a> {
    pub(crate) context: Context<'a>,
    /// The event of the release. It is stored before the token is released.
    pub(crate) record: &'a Event,
}

impl Release<'_> {
    /// The access token, once its event is stored.
    pub(crate) async fn run(
        &self,
        seen: StoredCredential,
        rows: Option<Rows>,
    ) -> Result<Arc<Access>, Error> {
        let recorder = Recorder(self.context);
        let id = seen.credential.credential_id;
        let caller = Caller::new(self.context).giving_away(MIN_RELEASED_LIFE);
        let use_of_grant = caller.call(seen.clone(), rows, async |access: Arc<Access>| {
            self.prove(&seen, &access).await
        });
        let used = match use_of_grant.await {
            Ok(outcome) => outcome
                .answer
                .map(|()| (outcome.stored.clone(), outcome.access))
                .map_err(|error| (outcome.stored, Error::from_grant_use(error))),
            Err(error) => Err((seen.clone(), error)),
        };
        let (stored, access) = match used {
            Ok(used) => used,
            Err((stored, error)) => {
                recorder.failure(&stored, &error).await;
                return Err(error);
            }
        };
        expect_life(&access)?;
        let (usage_record, ()) = tokio::join!(
            self.write_record(&stored),
            recorder.refresh(id, caller.refresh_failure()),
        );
        usage_record?;
        if self.context.invocation.activity().has_refreshed() {
            recorder.app_accepted(&stored).await;
        }
        learn_user(self.context, &stored, &access).await;
        // All this may have taken seconds.
        expect_life(&access)?;
        Ok(access)
    }

    /// Asks Zoom whether it accepts the access token, if that is in doubt: the credential is invalid, or the grant is one
    /// that a search has found. The credential may be pointed at such a grant only if Zoom accepts it.
    async fn prove(&self, seen: &StoredCredential, access: &Access) -> Result<(), zoom::Error> {
        if seen.credential.state == State::Active && seen.has_grant(access.grant) {
            return Ok(());
        }
        let Context {
            grants, invocation, ..
        } = self.context;
        let time_left = invocation.time_left(ANSWER_TIME).min(MAX_PROFILE_TIME);
        let api_url = access.api_url.as_ref();
        match grants.zoom.profile(api_url, &access.token, time_left).await {
            // Zoom accepted the access token.
            Ok(_) | Err(zoom::Error::MissingScope { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn write_record(&self, stored: &StoredCredential) -> Result<(), stores::Error> {
        let Context {
            grants,
            team,
            terms,
            ..
        } = self.context;
        let id = stored.credential.credential_id;
        let time_left = Timestamp::now().until(terms.answer_by).max(MIN_RECORD_TIME);
        timeout(time_left, grants.events.record(team, id, self.record))
            .await
            .unwrap_or_else(|elapsed| Err(stores::Error::timed_out("PutItem", elapsed)))
    }
}

/// Fails if a vendor would reject the access token. Zoom may give access tokens that live shorter than usual.
fn expect_life(access: &Access) -> Result<(), Error> {
    if access.outlasts(MIN_RELEASED_LIFE) {
        Ok(())
    } else {
        Err(Error::unavailable(Down::AccessTokenEnds))
    }
}
