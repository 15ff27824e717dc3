//! The app that a code is exchanged with.

use crate::credential::{CredentialId, TeamId};
use crate::envelope::{Binding, DataKey, Envelope, SecretId};
use crate::error::Error;
use crate::grants::app::sealed_secret;
use crate::secret::{AppCredentials, ClientSecret, Plaintext};
use crate::stores::{AppSecret, Secrets, StoredCredential};

/// An app and the data key that its client secret will be sealed with.
pub struct NewApp {
    /// The app.
    pub app: AppCredentials,
    /// Seals the client secret.
    pub key: DataKey,
}

impl NewApp {
    /// Makes the data key for the app of a credential. One KMS call.
    pub async fn prepare(
        envelope: &Envelope,
        team: &TeamId,
        credential: CredentialId,
        app: AppCredentials,
    ) -> Result<Self, Error> {
        let binding = Binding::new(team, SecretId::App(credential));
        let key = envelope.data_key(binding).await?;
        Ok(Self { app, key })
    }

    /// The sealed client secret. Its generation is the version of the credential that it is stored with.
    pub fn sealed(self, team: &TeamId, version: u64) -> Result<AppSecret, Error> {
        let secret = Plaintext::from(&self.app.client_secret);
        Ok(AppSecret {
            team_id: team.clone(),
            sealed: self.key.seal(version, &secret)?,
        })
    }
}

/// The app that a code is exchanged with.
pub enum AppToUse {
    /// The app that the credential has.
    Stored(AppCredentials),
    /// An app that the credential gets.
    New(NewApp),
}

/// The app of a credential, opened. One read and one KMS call.
pub async fn stored_app(
    secrets: &Secrets,
    envelope: &Envelope,
    team: &TeamId,
    stored: &StoredCredential,
) -> Result<AppCredentials, Error> {
    let id = stored.credential.credential_id;
    let sealed = sealed_secret(secrets, id).await?.sealed;
    let binding = Binding::new(team, SecretId::App(id));
    let client_secret = ClientSecret::try_from(envelope.open(&binding, &sealed).await?)?;
    Ok(AppCredentials {
        client_id: stored.client_id.clone(),
        client_secret,
    })
}
