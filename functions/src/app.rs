//! The Zoom app of a credential, opened when it is first needed.

use shared::credential::{ClientId, CredentialId, TeamId};
use shared::envelope::{Binding, SecretId};
use shared::secret::AppCredentials;
use shared::stores::{AppSecret, Stored};
use tokio::sync::OnceCell;

use crate::error::ApiError;
use crate::grants::Grants;

/// An app's own credentials: sealed, until a refresh or a signature needs them.
pub(crate) struct App<'a> {
    grants: &'a Grants,
    team: &'a TeamId,
    credential: CredentialId,
    client_id: ClientId,
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
            grants,
            team,
            credential: of.credential.credential_id,
            client_id: of.client_id.clone(),
            row,
            opened: OnceCell::new(),
        }
    }

    /// Whose it is.
    pub(crate) fn credential(&self) -> CredentialId {
        self.credential
    }

    /// One KMS call, the first time.
    pub(crate) async fn open(&self) -> Result<AppCredentials, ApiError> {
        let opened = self.opened.get_or_try_init(|| async {
            let read = match &self.row {
                Some(row) => row.clone(),
                None => self.grants.app_secret(self.credential).await?,
            };
            let binding = Binding {
                team: self.team.clone(),
                secret: SecretId::App(self.credential),
            };
            let opened = self.grants.envelope.open(&binding, &read.sealed).await?;
            Ok::<_, ApiError>(AppCredentials {
                client_id: self.client_id.clone(),
                client_secret: opened.try_into()?,
            })
        });
        opened.await.cloned()
    }
}
