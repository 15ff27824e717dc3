//! Keeps the states of a grant and of its credentials consistent.

use futures_util::{StreamExt, stream};

use crate::attention::UNREADABLE_PROFILE;
use crate::credential::{GrantId, ReconnectReason, State};
use crate::error::Error;
use crate::grants::Context;
use crate::grants::record::Recorder;
use crate::grants::refresh::DeadGrant;
use crate::profile::UNKNOWN_PROFILE;
use crate::stores::{
    self, CommitOutcome, GrantState, RowKind, SOME_MEMBERS, StoredCredential, StoredGrant,
    TRANSACTION_TIMEOUT, Transaction,
};
use crate::time_limit;
use crate::timestamp::Timestamp;

/// How many credentials of one grant are changed at a time.
const CONCURRENT_CHANGES: usize = 8;

/// The result of declaring a grant dead.
pub(crate) enum Declaration {
    /// The user has to authorize again.
    Dead(ReconnectReason),
    /// The grant has changed, so it must be tried again.
    GrantChanged,
    /// The credential has another grant now, or is gone.
    CredentialChanged,
}

/// The state of a grant, which its credentials must have too.
enum GrantHealth {
    Alive,
    Dead {
        reason: ReconnectReason,
        message: String,
    },
}

/// Changes states for one invocation.
pub(crate) struct CredentialStates<'a> {
    context: Context<'a>,
    recorder: Recorder<'a>,
}

impl<'a> CredentialStates<'a> {
    pub(crate) fn new(context: Context<'a>) -> Self {
        Self {
            context,
            recorder: Recorder(context),
        }
    }

    /// Declares a grant dead, and no credential. Best effort: the credentials that use it learn it at their next use, a
    /// restore reads the grant's state, and the next search declares the grant again.
    pub(crate) async fn declare_only_grant(&self, id: GrantId, dead: &DeadGrant) {
        let active = |row: &&StoredGrant| row.state == GrantState::Active;
        let Some(row) = dead.row.as_ref().filter(active) else {
            return;
        };
        let declared = async {
            let secrets = &self.context.grants.secrets;
            let declare = secrets.begin(secrets.mark_dead_and_due(id, row, dead.reason)?);
            // Refused if the grant has changed, because then it is not dead.
            declare
                .commit(Timestamp::now().plus(TRANSACTION_TIMEOUT))
                .await
        };
        let what = "a grant of the same user is not declared dead yet";
        self.recorder.best_effort(what, declared).await;
    }

    /// Declares the grant and the credential dead in one transaction, unless one of them has changed.
    pub(crate) async fn declare_dead(
        &self,
        stored: &StoredCredential,
        id: GrantId,
        dead: &DeadGrant,
    ) -> Result<Declaration, Error> {
        let Context {
            grants,
            invocation,
            team,
            terms,
        } = self.context;
        let secrets = &grants.secrets;
        // The row is read again, because the grant may have changed since Zoom refused it.
        let now = match &dead.row {
            Some(row) if row.state != GrantState::Active => Some(row.clone()),
            _ => {
                time_limit::until(terms.answer_by, grants.grant_row(self.context.team, id)).await?
            }
        };
        let already_invalid = stored.credential.state == State::Invalid;
        let (reason, write) = match now.as_ref().map(|now| (now, now.state)) {
            None if already_invalid => return Ok(Declaration::Dead(ReconnectReason::Revoked)),
            None => (ReconnectReason::Revoked, None),
            Some((_, GrantState::Reconnect(reason))) if already_invalid => {
                return Ok(Declaration::Dead(reason));
            }
            Some((_, GrantState::Reconnect(reason))) => {
                (reason, Some(secrets.check_state(id, false)?))
            }
            Some((now, GrantState::Active)) => match &dead.row {
                Some(row) if row.generation() == now.generation() && row.stash == now.stash => {
                    let declare = secrets.mark_dead(id, now, dead.reason)?;
                    (dead.reason, Some(declare))
                }
                _ => return Ok(Declaration::GrantChanged),
            },
        };
        let message = reconnect_message(reason, dead.zoom_reason.as_deref());
        let credential = stored.credential.credential_id;
        let transaction = grants
            .credentials
            .invalidate(team, credential, id, &message)?;
        let until = Timestamp::now()
            .plus(TRANSACTION_TIMEOUT)
            .min(terms.answer_by);
        match transaction.and_maybe(write).commit(until).await? {
            CommitOutcome::Committed => {}
            CommitOutcome::Refused(RowKind::Credential) => {
                return Ok(Declaration::CredentialChanged);
            }
            CommitOutcome::Refused(_) => return Ok(Declaration::GrantChanged),
        }
        invocation.activity().turned_invalid(reason);
        self.recorder.state_change(credential, Some(reason)).await;
        let health = GrantHealth::Dead { reason, message };
        self.update_siblings(stored, id, &health).await;
        Ok(Declaration::Dead(reason))
    }

    /// Clears a credential's error after a successful call. If the grant had been given up, activates its other
    /// credentials too.
    pub(crate) async fn after_success(
        &self,
        stored: &StoredCredential,
        id: GrantId,
        reactivated: bool,
    ) {
        let credential = &stored.credential;
        let invalid = credential.state == State::Invalid;
        let error = credential.last_error_message.as_deref();
        let stale = error.is_some_and(|message| {
            let still_unknown =
                message.starts_with(UNKNOWN_PROFILE) && credential.zoom_user_id.is_none();
            !still_unknown && !message.starts_with(UNREADABLE_PROFILE)
        });
        if !(reactivated || invalid || stale) {
            return;
        }
        let Context { grants, team, .. } = self.context;
        let activated = grants.credentials.activate(team, stored, id);
        let activated = self.commit_if_grant_is(activated, id, true);
        let activated = self
            .recorder
            .best_effort("a credential's state is not updated yet", activated);
        if activated.await == Some(true) && invalid {
            self.recorder
                .state_change(credential.credential_id, None)
                .await;
        }
        if reactivated || invalid {
            self.update_siblings(stored, id, &GrantHealth::Alive).await;
        }
    }

    /// Gives the other credentials of a grant its state. Best effort: a mint with a credential corrects its state.
    async fn update_siblings(&self, stored: &StoredCredential, id: GrantId, health: &GrantHealth) {
        let Context { grants, team, .. } = self.context;
        let Some(pair) = stored.pair(team).filter(|_| stored.pair.is_some()) else {
            return;
        };
        let members = grants.credentials.members_of(&pair, Some(SOME_MEMBERS));
        let members = self
            .recorder
            .best_effort("the siblings of a credential could not be read", members);
        let siblings = members.await.unwrap_or_default().into_iter();
        let own_id = stored.credential.credential_id;
        let siblings = siblings.filter(|sibling| {
            sibling.is_live() && sibling.has_grant(id) && sibling.credential.credential_id != own_id
        });
        stream::iter(siblings)
            .for_each_concurrent(CONCURRENT_CHANGES, |sibling| {
                self.update_sibling(sibling, id, health)
            })
            .await;
    }

    async fn update_sibling(&self, sibling: StoredCredential, id: GrantId, health: &GrantHealth) {
        let Context {
            grants,
            invocation,
            team,
            ..
        } = self.context;
        let credentials = &grants.credentials;
        let credential = sibling.credential.credential_id;
        let (change, reason) = match (health, sibling.credential.state) {
            (GrantHealth::Alive, State::Invalid) => {
                (credentials.activate(team, &sibling, id), None)
            }
            (GrantHealth::Dead { reason, message }, State::Active) => {
                let change = credentials.invalidate(team, credential, id, message);
                (change, Some(*reason))
            }
            (GrantHealth::Alive, State::Active) | (GrantHealth::Dead { .. }, State::Invalid) => {
                return;
            }
        };
        let updated = self.commit_if_grant_is(change, id, reason.is_none());
        let updated = self
            .recorder
            .best_effort("a sibling's state is not updated yet", updated);
        if updated.await == Some(true) {
            if let Some(reason) = reason {
                invocation.activity().turned_invalid(reason);
            }
            self.recorder.state_change(credential, reason).await;
        }
    }

    /// Changes a credential if its grant is (or is not) `usable` at that moment. Returns whether it was.
    async fn commit_if_grant_is(
        &self,
        change: Result<Transaction<'_>, stores::Error>,
        id: GrantId,
        usable: bool,
    ) -> Result<bool, stores::Error> {
        let secrets = &self.context.grants.secrets;
        let transaction = change?.and(secrets.check_state(id, usable)?);
        let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
        Ok(transaction.commit(until).await?.is_committed())
    }
}

/// The `last_error_message` of a credential whose grant is dead. It begins with the reason's word.
pub(crate) fn reconnect_message(reason: ReconnectReason, zoom_reason: Option<&str>) -> String {
    let what = match reason {
        ReconnectReason::Revoked => "Zoom refuses the grant: it was revoked or replaced",
        ReconnectReason::RefreshOutcomeLost => {
            "Zoom refuses the grant, after a refresh whose outcome may have been lost"
        }
        ReconnectReason::Deauthorized => "the user took the app's authorization back in Zoom",
        ReconnectReason::UserGone => "Zoom does not know the user any more",
    };
    let word = reason.as_str();
    match zoom_reason {
        Some(reason) => {
            format!("{word}: {what} (Zoom says: {reason}). The user must authorize again.")
        }
        None => format!("{word}: {what}. The user must authorize again."),
    }
}
