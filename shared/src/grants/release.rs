//! Releases a user's access token to a vendor that asks for it.
//!
//! The token of the credential's own grant is released without a call to Zoom, if it lives long enough. Otherwise the
//! grant is refreshed, as for a mint.

use std::sync::Arc;
use std::time::Duration;

use crate::credential::State;
use crate::error::{Down, Error};
use crate::event::Event;
use crate::grants::cache::Access;
use crate::grants::call::Caller;
use crate::grants::profile::{MAX_PROFILE_TIME, learn_user};
use crate::grants::record::Recorder;
use crate::grants::{Context, Rows};
use crate::stores::StoredCredential;
use crate::timestamp::Timestamp;
use crate::zoom;

/// How long an access token must still live to be released. An older one is refreshed first.
pub const RELEASE_MARGIN: Duration = Duration::from_mins(5);
/// Recall.ai rejects an access token that lives for less than 120 seconds. The answer takes a while to get there, and
/// Zoom counts from before its own answer.
pub const MIN_RELEASED_LIFE: Duration = Duration::from_secs(130);
/// Time kept for the answer to the caller after Zoom's answer.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// Zoom gets at least this long to accept the token.
const MIN_PROOF_TIME: Duration = Duration::from_secs(2);
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
        rows: Rows,
    ) -> Result<Arc<Access>, Error> {
        let recorder = Recorder(self.context);
        let id = seen.credential.credential_id;
        let caller = Caller::new(self.context).for_release();
        let used = caller.call(seen.clone(), Some(rows), async |access: Arc<Access>| {
            let (proved, ()) = tokio::join!(self.prove(&seen, &access), recorder.refresh(id, None));
            proved
        });
        let used = match used.await {
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
        let answer_by = self.context.terms.answer_by;
        let time_left = Timestamp::now().until(answer_by).max(MIN_RECORD_TIME);
        recorder.usage(id, self.record, time_left).await?;
        if self.context.invocation.activity().has_refreshed() {
            recorder.app_accepted(&stored).await;
        }
        learn_user(self.context, &stored, &access).await;
        // All this may have taken seconds.
        expect_life(&access)?;
        Ok(access)
    }

    /// Asks Zoom whether it accepts the access token, if that is in doubt: the credential is invalid, or the grant is
    /// one that a search has found. The credential may be pointed at such a grant only if Zoom accepts it.
    async fn prove(&self, seen: &StoredCredential, access: &Access) -> Result<(), zoom::Error> {
        if seen.credential.state == State::Active && seen.has_grant(access.grant) {
            return Ok(());
        }
        let Context {
            grants,
            invocation,
            terms,
            ..
        } = self.context;
        let caller_time = Timestamp::now().until(terms.answer_by).max(MIN_PROOF_TIME);
        let time_left = invocation.time_left(ANSWER_TIME).min(caller_time);
        let time_left = time_left.min(MAX_PROFILE_TIME);
        let api_url = access.api_url.as_ref();
        match grants.zoom.profile(api_url, &access.token, time_left).await {
            // Zoom accepted the access token.
            Ok(_) | Err(zoom::Error::MissingScope { .. }) => Ok(()),
            Err(error) => Err(error),
        }
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
