//! A vault as its callers know it: an address, keys, and Zoom beside it. It runs in a world of its own, or was deployed.

use local::zoom::{App, User};
use reqwest::StatusCode;
use serde_json::{Value, json};
use shared::api_key::Permission;
use shared::config::{self, Aws};
use shared::credential::TeamId;
use shared::stores::TeamAdmin;
use uuid::Uuid;

use crate::world::{
    CLIENT_ID, Caller, REDIRECT_URI, World, ada, an_app, http_client, id_of, test_app, text_of,
    user_body,
};

/// What a test may use that runs against any vault. It sees no table, no wire and no key, and shares a deployed vault
/// with the tests beside it: teams and Zoom users are told apart by a suffix.
pub(crate) struct Vault {
    /// A caller with a full key of the team `acme`, whose rate is out of the way.
    pub(crate) acme: Caller,
    /// Teams and keys.
    pub(crate) operator: TeamAdmin,
    url: String,
    zoom_url: String,
    suffix: String,
}

impl Vault {
    /// The vault that was deployed at `VAULT_URL`, or one in a world of its own where that is not set.
    pub(crate) async fn new() -> Self {
        match config::optional("VAULT_URL") {
            Some(url) => Self::deployed(url).await,
            None => World::new().await.vault,
        }
    }

    /// With the operator's power over `KEYS_TABLE`, and the sandbox at `ZOOM_OAUTH_BASE_URL` for its Zoom.
    async fn deployed(url: String) -> Self {
        let required = |name| config::required(name).unwrap();
        let dynamodb = Aws::from_env().unwrap().dynamodb();
        let operator = TeamAdmin::new(dynamodb, required("KEYS_TABLE"));
        let suffix = Uuid::new_v4().simple().to_string();
        let suffix = format!("-{}", suffix.split_at(12).0);
        let vault = Self::at(url, required("ZOOM_OAUTH_BASE_URL"), operator, suffix).await;
        let App {
            client_id,
            client_secret,
            redirect_uris,
            scopes,
        } = test_app();
        let app = json!({
            "client_id": client_id,
            "client_secret": client_secret,
            "redirect_uris": redirect_uris,
            "scopes": scopes,
        });
        vault.arrange("apps", &app).await;
        vault.register_user(&vault.ada()).await;
        vault
    }

    /// The vault at an address, and its team `acme`.
    pub(crate) async fn at(
        url: String,
        zoom_url: String,
        operator: TeamAdmin,
        suffix: String,
    ) -> Self {
        let acme = Caller::new(url.clone(), String::new(), http_client());
        let mut vault = Self {
            acme,
            operator,
            url,
            zoom_url,
            suffix,
        };
        vault.acme = vault.caller("acme", Permission::Full).await;
        vault
    }

    /// What a team is called here.
    pub(crate) fn team(&self, name: &str) -> TeamId {
        format!("{name}{}", self.suffix).parse().unwrap()
    }

    /// A new key of a team, which is created where it is missing.
    pub(crate) async fn caller(&self, team: &str, permission: Permission) -> Caller {
        let team = self.team(team);
        // Fails where the team exists already.
        self.operator
            .create_team(&team, 1_000_000, 1_000_000)
            .await
            .ok();
        let (key, _) = self.operator.create_key(&team, permission).await.unwrap();
        self.stranger(&text_of(key))
    }

    /// Whoever holds this text for a key.
    pub(crate) fn stranger(&self, key: &str) -> Caller {
        let http = self.acme.http().clone();
        Caller::new(self.url.clone(), key.to_owned(), http)
    }

    /// What a Zoom user is called here.
    pub(crate) fn zoom_user(&self, name: &str) -> String {
        format!("{name}{}", self.suffix)
    }

    /// This vault's `ada`.
    pub(crate) fn ada(&self) -> User {
        User {
            id: self.zoom_user("ada"),
            ..ada()
        }
    }

    /// Makes a Zoom user, or makes it another.
    pub(crate) async fn register_user(&self, user: &User) {
        let mut user = serde_json::to_value(user).unwrap();
        // The sandbox takes no empty text, and to Zoom it is as good as none.
        let fields = user.as_object_mut().unwrap();
        fields.retain(|_, value| value != "");
        self.arrange("users", &user).await;
    }

    /// The Zoom user `ada` clicks Allow; the code.
    pub(crate) async fn code(&self) -> String {
        self.code_of("ada", None).await
    }

    /// A Zoom user clicks Allow, for all of the app's scopes or for some.
    pub(crate) async fn code_of(&self, user: &str, scopes: Option<&[&str]>) -> String {
        let consent = json!({
            "client_id": CLIENT_ID,
            "redirect_uri": REDIRECT_URI,
            "user_id": self.zoom_user(user),
            "scopes": scopes,
        });
        let allowed = self.arrange("codes", &consent).await;
        allowed["code"].as_str().unwrap().to_owned()
    }

    /// Over HTTP: the sandbox may be another process's.
    async fn arrange(&self, what: &str, body: &Value) -> Value {
        let url = format!("{}/sandbox/{what}", self.zoom_url);
        let answer = self.acme.http().post(url).json(body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED, "{what}");
        answer.json().await.unwrap()
    }

    /// An app credential of `acme`; its id.
    pub(crate) async fn given_app(&self, name: &str) -> String {
        id_of(&self.acme.create(an_app(name)).await.expect(201))
    }

    /// A user credential of `acme`, for `ada`; its id.
    pub(crate) async fn given_user(&self, name: &str) -> String {
        let body = user_body(name, &self.code().await);
        id_of(&self.acme.create(body).await.expect(201))
    }
}
