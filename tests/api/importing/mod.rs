//! The import of refresh tokens that another system had: what becomes of each token, and of its user.

mod crashes;
mod many;
mod outcomes;

use std::time::Duration;

use functions::powers::Environment;
use secrecy::{ExposeSecret, SecretString};
use shared::credential::{ClientId, GrantId};
use shared::event::Actor;
use shared::grants::Grants;
use shared::import::{GivenGrant, ImportResult, Importer};
use shared::secret::{AppCredentials, TokenPair};
use shared::stores::{Requests, Trail};
use shared::zoom::Authorization;

use crate::world::{CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, World, ada, attribute};

/// What the operators' program has during an import.
pub(crate) struct Operator {
    grants: Grants,
    requests: Requests,
    trail: Trail,
}

impl World {
    /// Somebody with the rights of the role in `ImportRole`. Each run of the program is another one.
    pub(crate) fn importer(&self) -> Operator {
        let environment = self.services.environment("ImportRole");
        let Ok(grants) = environment.grants();
        let Ok(requests) = environment.requests();
        let Ok(events) = environment.events();
        Operator {
            grants,
            requests,
            trail: Trail {
                events,
                actor: Actor::Operator("local".to_owned()),
                request_id: "run".to_owned(),
            },
        }
    }

    /// A user of the test app, whose tokens another system has.
    pub(crate) async fn user_of_old_system(&self, user: &str) -> TokenPair {
        self.user_of_old_system_with(user, None).await
    }

    /// The same, for a user who consents to these scopes only.
    async fn user_of_old_system_with(&self, user: &str, scopes: Option<&[&str]>) -> TokenPair {
        self.zoom.register_user(local::zoom::User {
            id: user.to_owned(),
            ..ada()
        });
        let code = self.code_of(user, scopes);
        let authorization = Authorization {
            code: code.try_into().unwrap(),
            redirect_uri: REDIRECT_URI.to_owned().try_into().unwrap(),
            code_verifier: None,
        };
        let (app, time) = (app(), Duration::from_secs(20));
        let answer = self.zoom_client.exchange(&app, &authorization, time);
        answer.await.unwrap().pair
    }

    /// Whether Zoom accepts this token for a refresh.
    pub(crate) fn is_live(&self, token: &SecretString) -> bool {
        self.zoom.is_live_refresh_token(&revealed(token))
    }

    /// How often each generation of the tokens of a grant was sent to Zoom.
    pub(crate) fn sent(&self, token: &SecretString) -> Vec<u64> {
        let id = self.zoom.grant_of(&revealed(token)).unwrap();
        let mut grants = self.zoom.grants().into_iter();
        grants.find(|grant| grant.id == id).unwrap().posts
    }

    /// The row of an imported grant.
    async fn row_of_grant(&self, id: GrantId) -> Option<crate::world::Item> {
        let key = format!("grant#{id}");
        let mut rows = self.items("secrets").await.into_iter();
        rows.find(|row| attribute(row, "secret_id") == key)
    }
}

impl Operator {
    pub(crate) async fn import(&self, world: &World, given: &GivenGrant) -> ImportResult {
        self.import_into("acme", world, given).await
    }

    /// The same, into this team.
    async fn import_into(&self, team: &str, world: &World, given: &GivenGrant) -> ImportResult {
        let team = &world.team(team);
        let importer = Importer {
            grants: &self.grants,
            requests: &self.requests,
            trail: &self.trail,
            team,
        };
        importer.import(given).await
    }
}

pub(crate) fn app() -> AppCredentials {
    AppCredentials {
        client_id: ClientId::try_from(CLIENT_ID.to_owned()).unwrap(),
        client_secret: CLIENT_SECRET.to_owned().try_into().unwrap(),
    }
}

/// A row of an export with the least that it must have.
pub(crate) fn given(token: &SecretString) -> GivenGrant {
    GivenGrant {
        app: app(),
        refresh: revealed(token).try_into().unwrap(),
        scopes: None,
        api_url: None,
        name: None,
        extra: None,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the other system exports its tokens"
)]
pub(crate) fn revealed(token: &SecretString) -> String {
    token.expose_secret().to_owned()
}
