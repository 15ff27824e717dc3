//! The Zoom app of a credential, opened when it is first needed.

use shared::credential::TeamId;
use shared::envelope::{Binding, Envelope, SecretId};
use shared::secret::AppCredentials;
use shared::stores::{AppSecret, Secrets, Stored};
use tokio::sync::OnceCell;

use crate::error::ApiError;
use crate::grants::Grants;

/// An app's own credentials: sealed, until a refresh or a signature needs them.
pub(crate) struct App<'a> {
    secrets: &'a Secrets,
    envelope: &'a Envelope,
    team: &'a TeamId,
    of: Stored,
    row: Option<AppSecret>,
    opened: OnceCell<AppCredentials>,
}

impl<'a> App<'a> {
    /// The app of the credential `of`; `row` is its secret's, where it was read already.
    pub(crate) fn new(
        grants: &'a Grants,
        team: &'a TeamId,
        of: &Stored,
        row: Option<AppSecret>,
    ) -> Self {
        Self {
            secrets: &grants.secrets,
            envelope: &grants.envelope,
            team,
            of: of.clone(),
            row,
            opened: OnceCell::new(),
        }
    }

    /// One KMS call, the first time.
    pub(crate) async fn open(&self) -> Result<AppCredentials, ApiError> {
        let opened = self.opened.get_or_try_init(|| async {
            let secret = SecretId::App(self.of.credential.credential_id);
            let read = match &self.row {
                Some(row) => row.clone(),
                None => self.secrets.app(secret).await?,
            };
            let binding = Binding {
                team: self.team.clone(),
                secret,
            };
            let opened = self.envelope.open(&binding, &read.sealed).await?;
            Ok::<_, ApiError>(AppCredentials {
                client_id: self.of.client_id.clone(),
                client_secret: opened.try_into()?,
            })
        });
        opened.await.cloned()
    }
}
