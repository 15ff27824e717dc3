//! Access tokens of account-level apps. They have no grant and no refresh token, and are kept in memory only.
//!
//! A container asks Zoom for one access token of a credential, and all its mints share the token until the token is old
//! or Zoom refuses it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::account::AccountId;
use crate::error::Error;
use crate::grants::Context;
use crate::grants::app::App;
use crate::grants::cache::{AccountAccess, Slot};
use crate::grants::record::Recorder;
use crate::stores::StoredCredential;
use crate::time_limit;
use crate::timestamp::Timestamp;
use crate::zoom;

/// Time kept for the answer to the caller.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// Makes calls with an access token of one account-level credential.
pub(crate) struct AccountCaller<'a> {
    context: Context<'a>,
    stored: &'a StoredCredential,
    account: &'a AccountId,
    slot: Slot,
}

impl<'a> AccountCaller<'a> {
    pub(crate) fn new(
        context: Context<'a>,
        stored: &'a StoredCredential,
        account: &'a AccountId,
    ) -> Self {
        let id = stored.credential.credential_id;
        Self {
            context,
            stored,
            account,
            slot: context.grants.account_tokens.slot(context.team, id),
        }
    }

    /// Makes `call`, and once more with a new access token if Zoom refuses the access token.
    pub(crate) async fn call<T, F>(
        &self,
        call: impl Fn(Arc<AccountAccess>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, zoom::Error>>,
    {
        let mut access = self.access().await?;
        let mut answer = call(access.clone()).await;
        if is_refused(&answer) {
            self.forget(&access).await;
            access = self.access().await?;
            answer = call(access.clone()).await;
        }
        if is_refused(&answer) || lacks_scope(&answer) {
            self.forget(&access).await;
        }
        if answer.is_ok() {
            Recorder(self.context).account_accepted(self.stored).await;
        }
        answer.map_err(Error::from_account_use)
    }

    /// An access token that is new enough: the one in memory, or another one.
    pub(crate) async fn access(&self) -> Result<Arc<AccountAccess>, Error> {
        time_limit::until(self.context.terms.answer_by, async {
            let mut held = self.slot.lock().await;
            if let Some(access) = held.as_ref().filter(|access| self.is_usable(access)) {
                return Ok(access.clone());
            }
            let access = Arc::new(self.ask_zoom().await?);
            *held = Some(access.clone());
            Ok(access)
        })
        .await
    }

    /// A PATCH can give the credential another app. The token in memory is then that of the old app.
    fn is_usable(&self, access: &AccountAccess) -> bool {
        access.client_id == self.stored.client_id
            && access.account == *self.account
            && Timestamp::now().plus(self.context.terms.margin) < access.expires_at
    }

    async fn ask_zoom(&self) -> Result<AccountAccess, Error> {
        let Context {
            grants,
            invocation,
            team,
            terms,
        } = self.context;
        let app = App::new(grants, team, self.stored, None).open().await?;
        let caller_time = Timestamp::now().until(terms.answer_by.minus(ANSWER_TIME));
        let time_left = invocation.time_left(ANSWER_TIME).min(caller_time);
        let asked_at = Timestamp::now();
        let token = grants.zoom.account_token(&app, self.account, time_left);
        let token = token.await.map_err(Error::from_account_token)?;
        Ok(AccountAccess {
            token: token.access,
            scopes: token.scopes,
            api_url: token.api_url,
            expires_at: asked_at.plus(token.expires_in),
            client_id: app.client_id,
            account: self.account.clone(),
        })
    }

    /// Drops an access token that Zoom has refused, or that lacks a scope, unless another one has replaced it.
    async fn forget(&self, refused: &Arc<AccountAccess>) {
        let mut held = self.slot.lock().await;
        held.take_if(|access| Arc::ptr_eq(access, refused));
    }
}

/// An admin may have added the scope by the next call. Only a new access token has it.
fn lacks_scope<T>(answer: &Result<T, zoom::Error>) -> bool {
    matches!(answer, Err(zoom::Error::MissingScope { .. }))
}

fn is_refused<T>(answer: &Result<T, zoom::Error>) -> bool {
    matches!(answer, Err(zoom::Error::AccessTokenRefused { .. }))
}
