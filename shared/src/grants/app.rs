//! The Zoom app of a credential. Its client secret stays sealed until a refresh or a signature needs it.

use tokio::sync::OnceCell;

use crate::credential::{ClientId, CredentialId, TeamId};
use crate::envelope::{Binding, SecretId};
use crate::error::Error;
use crate::grants::Grants;
use crate::secret::AppCredentials;
use crate::stores::{AppSecret, StoredCredential};

/// A Zoom app's client id and its sealed client secret.
pub(crate) struct App<'a> {
    grants: &'a Grants,
    team: &'a TeamId,
    credential: CredentialId,
    client_id: ClientId,
    row: Option<AppSecret>,
    opened: OnceCell<AppCredentials>,
}

impl<'a> App<'a> {
    /// The app of the credential `stored`. `row` holds the client secret, if it was read already.
    pub(crate) fn new(
        grants: &'a Grants,
        team: &'a TeamId,
        stored: &StoredCredential,
        row: Option<AppSecret>,
    ) -> Self {
        Self {
            grants,
            team,
            credential: stored.credential.credential_id,
            client_id: stored.client_id.clone(),
            row,
            opened: OnceCell::new(),
        }
    }

    /// An app whose client secret is at hand, for a credential that is about to be created.
    pub(crate) fn given(
        grants: &'a Grants,
        team: &'a TeamId,
        credential: CredentialId,
        app: &AppCredentials,
    ) -> Self {
        Self {
            grants,
            team,
            credential,
            client_id: app.client_id.clone(),
            row: None,
            opened: OnceCell::new_with(Some(app.clone())),
        }
    }

    /// Opens the client secret. Only the first call makes a KMS call.
    pub(crate) async fn open(&self) -> Result<AppCredentials, Error> {
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
            Ok::<_, Error>(AppCredentials {
                client_id: self.client_id.clone(),
                client_secret: opened.try_into()?,
            })
        });
        opened.await.cloned()
    }
}
