//! The Zoom app of a credential. Its client secret stays sealed until a refresh or a signature needs it.

use tokio::sync::OnceCell;

use crate::credential::{ClientId, CredentialId, TeamId};
use crate::envelope::{Binding, SecretId};
use crate::error::Error;
use crate::grants::Grants;
use crate::secret::AppCredentials;
use crate::stores::{AppSecret, Secrets, StoredCredential};

/// The message for a credential whose sealed client secret is missing.
const NO_CLIENT_SECRET: &str =
    "the client secret is not stored: PATCH the credential with client_id and client_secret";

/// The sealed client secret of a credential that exists. A missing row was removed by hand, and a PATCH by the
/// credential's owner puts it back.
pub(crate) async fn sealed_secret(
    secrets: &Secrets,
    credential: CredentialId,
) -> Result<AppSecret, Error> {
    let row = secrets.app_secret(SecretId::App(credential)).await?;
    row.ok_or_else(|| Error::AppMisconfigured {
        reason: NO_CLIENT_SECRET.to_owned(),
    })
}

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
                None => sealed_secret(&self.grants.secrets, self.credential).await?,
            };
            let binding = Binding::new(self.team, SecretId::App(self.credential));
            let opened = self.grants.envelope.open(&binding, &read.sealed).await?;
            Ok::<_, Error>(AppCredentials {
                client_id: self.client_id.clone(),
                client_secret: opened.try_into()?,
            })
        });
        opened.await.cloned()
    }
}
