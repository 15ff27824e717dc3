//! Records the events of a grant's use, and stores failures in the credential. Records are best effort: no answer
//! depends on them, and a caller waits for them only within its time. The exception is `Recorder::usage`.

use std::error::Error as StdError;
use std::future::Future;
use std::time::Duration;

use futures_util::TryFutureExt;
use tokio::time::timeout;

use crate::attention::{APP_REFUSED, MISSING_SCOPE};
use crate::cause::chain;
use crate::credential::{CredentialId, ReconnectReason, State};
use crate::error::Error;
use crate::event::{Event, EventDetails, EventOutcome};
use crate::grants::Context;
use crate::stores::{self, StoredCredential};
use crate::time_limit;
use crate::zoom;

/// The start of `last_error_message` when Zoom refuses a new access token.
const NEW_TOKEN_REFUSED: &str = "access token refused: ";

/// Writes records for one use of a grant.
#[derive(Clone, Copy)]
pub struct Recorder<'a>(pub Context<'a>);

impl Recorder<'_> {
    /// Does `work` while the caller can wait. Logs a failure as a warning with the text `what`.
    pub async fn best_effort<T, E: Into<Box<dyn StdError>>>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Option<T> {
        let left = time_limit::time_for_call(self.0.terms.answer_by);
        // Boxed: the future would otherwise hold `work` twice.
        let work = Box::pin(work.map_err(Into::into));
        let done: Result<T, Box<dyn StdError>> = timeout(left, work)
            .await
            .unwrap_or_else(|elapsed| Err(elapsed.into()));
        let error = match done {
            Ok(done) => return Some(done),
            Err(error) => error,
        };
        let cause = chain(&*error);
        tracing::warn!(request_id = self.0.invocation.id(), cause, "{what}");
        None
    }

    /// Writes an event.
    pub(crate) async fn event(&self, id: CredentialId, event: &Event) {
        let Context { grants, team, .. } = self.0;
        let recorded = grants.events.record(team, id, event);
        self.best_effort("an event is missing", recorded).await;
    }

    /// Writes the event of a refresh: a success, or a failure with the `error` that was answered. Writes nothing if
    /// this invocation has sent no refresh.
    pub(crate) async fn refresh(&self, id: CredentialId, error: Option<&Error>) {
        let activity = self.0.invocation.activity();
        let outcome = match error {
            None if activity.has_refreshed() => EventOutcome::Succeeded,
            Some(error) if activity.has_failed_to_refresh() => {
                EventOutcome::Failed { code: error.code() }
            }
            None | Some(_) => return,
        };
        let refresh = self.0.invocation.event(EventDetails::Refresh {
            bot: self.0.terms.bot.clone(),
            outcome,
        });
        self.event(id, &refresh).await;
    }

    /// Writes the event that says that the caller received a token. Without this event, the token must not be released.
    pub(crate) async fn usage(
        &self,
        id: CredentialId,
        event: &Event,
        time_left: Duration,
    ) -> Result<(), stores::Error> {
        let Context { grants, team, .. } = self.0;
        timeout(time_left, grants.events.record(team, id, event))
            .await
            .unwrap_or_else(|elapsed| Err(stores::Error::timed_out("PutItem", elapsed)))
    }

    /// Writes the event that a credential became active, or invalid for a reason.
    pub(crate) async fn state_change(&self, id: CredentialId, reason: Option<ReconnectReason>) {
        let event = self
            .0
            .invocation
            .event(EventDetails::StateChange { reason });
        self.event(id, &event).await;
    }

    /// Stores Zoom's refusal of a new access token in the credential's `last_error_message`.
    pub(crate) async fn new_token_refused(&self, stored: &StoredCredential, refusal: &zoom::Error) {
        let zoom::Error::AccessTokenRefused { reason, .. } = refusal else {
            return;
        };
        // Each refusal has another tracking id. One of them is enough for Zoom's support.
        let start = format!("{NEW_TOKEN_REFUSED}{reason}");
        let mut known = stored.credential.last_error_message.iter();
        if known.any(|message| message.starts_with(&start)) {
            return;
        }
        let details = refusal.details().unwrap_or_default();
        let message = format!("{NEW_TOKEN_REFUSED}{details}");
        let Context { grants, team, .. } = self.0;
        let noted = grants
            .credentials
            .note_failure(team, stored, &message, false);
        self.best_effort("a failure is not noted", noted).await;
    }

    /// Clears a stored refusal of the app, because Zoom accepts the app.
    pub(crate) async fn app_accepted(&self, stored: &StoredCredential) {
        self.clear(stored, &[APP_REFUSED]).await;
    }

    /// Clears a stored refusal of an account-level app, because a call succeeded.
    pub(crate) async fn account_accepted(&self, stored: &StoredCredential) {
        self.clear(stored, &[APP_REFUSED, MISSING_SCOPE]).await;
    }

    /// Clears the stored error if it begins with one of `starts`.
    async fn clear(&self, stored: &StoredCredential, starts: &[&str]) {
        let known = stored.credential.last_error_message.as_deref();
        let is_over = |message: &&str| starts.iter().any(|start| message.starts_with(start));
        let Some(refusal) = known.filter(is_over) else {
            return;
        };
        let Context { grants, team, .. } = self.0;
        let cleared = grants.credentials.clear_failure(team, stored, refusal);
        self.best_effort("an error is not cleared", cleared).await;
    }

    /// Stores a failure that the team must fix in the credential's `last_error_message`.
    pub(crate) async fn failure(&self, stored: &StoredCredential, error: &Error) {
        let gone = ReconnectReason::UserGone;
        let message = if let Error::AppMisconfigured { reason } = error {
            format!("{APP_REFUSED}{reason}")
        } else if let Error::MissingScope { scope } | Error::MissingAdminScope { scope } = error {
            format!("{MISSING_SCOPE}{scope}")
        } else if matches!(error, Error::ReconnectRequired { reason } if *reason == gone) {
            format!("{}: Zoom does not know the user any more", gone.as_str())
        } else {
            return;
        };
        let known = &stored.credential;
        if known.last_error_message.as_ref() == Some(&message) {
            return;
        }
        let is_gone = matches!(error, Error::ReconnectRequired { .. });
        let Context {
            grants,
            invocation,
            team,
            ..
        } = self.0;
        let noted = grants
            .credentials
            .note_failure(team, stored, &message, is_gone);
        let noted = self.best_effort("a failure is not noted", noted).await;
        if noted.is_some() && is_gone && known.state == State::Active {
            invocation.activity().turned_invalid(gone);
            self.state_change(known.credential_id, Some(gone)).await;
        }
    }
}
