//! What the use of a grant leaves behind: events, what went wrong, who the user is. Best effort, all of it: nothing that
//! is said to a caller depends on it, and a caller does not wait for it longer than it has time.

use std::error::Error;
use std::future::Future;

use shared::cause::chain;
use shared::credential::{CredentialId, Reconnect, State};
use shared::event::{Event, Happened, Outcome};
use shared::stores::{Authorized, Stored};
use tokio::time::timeout;

use crate::authorization::Unread;
use crate::error::ApiError;
use crate::grants::{Grants, UNREADABLE_PROFILE, Use};
use crate::opened::Access;
use crate::patience;

/// What `last_error_message` begins with where Zoom refuses the app: another client secret may heal it.
pub(crate) const APP_REFUSED: &str = "app refused: ";

impl Use<'_> {
    /// Does what nothing depends on, while the caller can wait: what came of it, or a warning that says `what` did not.
    pub(crate) async fn best_effort<T, E: Into<Box<dyn Error>>>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Option<T> {
        let left = patience::left(self.terms.answer_by);
        // On the heap: as a part of this future it would be in it twice.
        let error: Box<dyn Error> = match timeout(left, Box::pin(work)).await {
            Ok(Ok(done)) => return Some(done),
            Ok(Err(error)) => error.into(),
            Err(silent) => silent.into(),
        };
        let cause = chain(&*error);
        tracing::warn!(request_id = self.request.id(), cause, "{what}");
        None
    }

    /// Writes an event.
    pub(crate) async fn note(&self, id: CredentialId, event: &Event) {
        let recorded = self.grants.events.record(self.team, id, event);
        self.best_effort("an event is missing", recorded).await;
    }

    /// Writes down that this request has refreshed the grant; or with the `error` that was answered, that it failed to.
    pub(crate) async fn note_refresh(&self, id: CredentialId, error: Option<&ApiError>) {
        let deeds = &self.request.trail().deeds;
        let outcome = match error {
            None if deeds.has_refreshed() => Outcome::Succeeded,
            Some(error) if deeds.has_failed_to_refresh() => Outcome::Failed { code: error.code() },
            None | Some(_) => return,
        };
        let refresh = Event::new(Happened::Refresh {
            asked: self.terms.asked.clone(),
            outcome,
        });
        self.note(id, &refresh).await;
    }

    /// Writes down that a credential's state has changed: to active, or for a reason to invalid.
    pub(crate) async fn note_change(&self, id: CredentialId, reason: Option<Reconnect>) {
        let event = Event::new(Happened::StateChange { reason });
        self.note(id, &event).await;
    }

    /// Writes down what the team has to do something about, where the credential does not say so already.
    pub(crate) async fn note_failure(&self, stored: &Stored, error: &ApiError) {
        let gone = Reconnect::UserGone;
        let message = if let ApiError::AppMisconfigured { reason } = error {
            format!("{APP_REFUSED}{reason}")
        } else if let ApiError::MissingScope { scope } = error {
            format!("missing scope {scope}")
        } else if matches!(error, ApiError::ReconnectRequired { reason } if *reason == gone) {
            format!("{}: Zoom does not know the user any more", gone.as_str())
        } else {
            return;
        };
        let known = &stored.credential;
        if known.last_error_message.as_ref() == Some(&message) {
            return;
        }
        let is_gone = matches!(error, ApiError::ReconnectRequired { .. });
        let credentials = &self.grants.credentials;
        let noted = credentials.note_failure(self.team, stored, &message, is_gone);
        let noted = self.best_effort("a failure is not noted", noted).await;
        if noted.is_some() && is_gone && known.state == State::Active {
            self.request.trail().deeds.turned_invalid(gone);
            self.note_change(known.credential_id, Some(gone)).await;
        }
    }

    /// Completes what the authorizing call could not: who the user is.
    pub(crate) async fn learn_user(&self, stored: &Stored, access: &Access) {
        let credential = &stored.credential;
        let unreadable = credential
            .last_error_message
            .as_ref()
            .is_some_and(|message| message.starts_with(UNREADABLE_PROFILE));
        if credential.zoom_user_id.is_some() || unreadable {
            return;
        }
        if let Some(unread) = self.unread(stored, access) {
            let Grants {
                credentials,
                events,
                zoom,
                ..
            } = self.grants;
            let learnt = async {
                let completed = unread
                    .complete(credentials, events, zoom, self.request)
                    .await;
                Ok::<_, ApiError>(completed)
            };
            self.best_effort("the profile is not known yet", learnt)
                .await;
        }
    }

    /// What is to be learnt of a credential's grant.
    pub(crate) fn unread<'a>(
        &'a self,
        stored: &'a Stored,
        access: &'a Access,
    ) -> Option<Unread<'a>> {
        Some(Unread {
            team: self.team,
            client_id: &stored.client_id,
            id: stored.credential.credential_id,
            authorized: Authorized {
                grant: stored.grant?,
                scopes: stored.credential.scopes.clone(),
            },
            sent_at: access.authorize_sent_at,
            access: &access.token,
            api_url: access.api_url.as_ref(),
        })
    }
}
