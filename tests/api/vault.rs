//! A vault as its callers see it: an address, API keys, and a Zoom sandbox. It runs in a world of its own, or is
//! deployed.

use local::zoom::{App, User};
use reqwest::StatusCode;
use serde_json::{Value, json};
use shared::api_key::{KeyTerms, Permission};
use shared::config::{self, Aws};
use shared::credential::TeamId;
use shared::stores::{Requests, TeamAdmin};
use uuid::Uuid;

use crate::world::{
    CLIENT_ID, Caller, REDIRECT_URI, World, ada, app_body, http_client, id_of, test_app, text_of,
    user_body,
};

/// The helpers of a test that runs against any vault. They use no table, no wire and no KMS key. A deployed vault is
/// shared with other tests, so a suffix tells the teams and Zoom users apart.
pub(crate) struct Vault {
    /// A caller with a full key of the team `acme`, whose rate limit is too high to matter.
    pub(crate) acme: Caller,
    /// The operator, who manages teams and API keys.
    pub(crate) operator: TeamAdmin,
    /// The last use of each key is noted here, as in a function that has run for a while. `None`: not in this process.
    requests: Option<Requests>,
    url: String,
    zoom_url: String,
    suffix: String,
}

impl Vault {
    /// The vault that is deployed at `VAULT_URL`. If `VAULT_URL` is not set, a vault in a world of its own.
    pub(crate) async fn new() -> Self {
        match config::optional("VAULT_URL") {
            Some(url) => Self::deployed(url).await,
            None => World::new().await.vault,
        }
    }

    /// The deployed vault. The operator needs `KEYS_TABLE`, and the Zoom sandbox is at `ZOOM_OAUTH_BASE_URL`.
    async fn deployed(url: String) -> Self {
        let required = |name| config::required(name).unwrap();
        let dynamodb = Aws::from_env().unwrap().dynamodb();
        let operator = TeamAdmin::new(dynamodb, required("KEYS_TABLE"));
        let suffix = Uuid::new_v4().simple().to_string();
        let suffix = format!("-{}", suffix.split_at(12).0);
        let zoom_url = required("ZOOM_OAUTH_BASE_URL");
        let vault = Self::at(url, zoom_url, operator, None, suffix).await;
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
        vault.call_sandbox("apps", &app).await;
        vault.register_user(&vault.ada()).await;
        vault
    }

    /// The vault at an address, with its team `acme`.
    pub(crate) async fn at(
        url: String,
        zoom_url: String,
        operator: TeamAdmin,
        requests: Option<Requests>,
        suffix: String,
    ) -> Self {
        let acme = Caller::new(url.clone(), String::new(), http_client());
        let mut vault = Self {
            acme,
            operator,
            requests,
            url,
            zoom_url,
            suffix,
        };
        vault.acme = vault.caller("acme", Permission::Full).await;
        vault
    }

    /// The name of a team in this vault.
    pub(crate) fn team(&self, name: &str) -> TeamId {
        format!("{name}{}", self.suffix).parse().unwrap()
    }

    /// A new key of a team. The team is created if it is missing.
    pub(crate) async fn caller(&self, team: &str, permission: Permission) -> Caller {
        let team = self.team(team);
        // Fails if the team exists already.
        self.operator
            .create_team(&team, 1_000_000, 1_000_000)
            .await
            .ok();
        // The team's rate is the only limit.
        let terms = KeyTerms {
            rate: Some(u32::MAX),
            ..KeyTerms::of(permission)
        };
        let (key, listing) = self.operator.create_key(&team, terms).await.unwrap();
        if let Some(requests) = &self.requests {
            requests.note_use(&team, &listing.key_id).await.unwrap();
        }
        self.caller_with_key(&text_of(key))
    }

    /// A caller that sends this text as its key.
    pub(crate) fn caller_with_key(&self, key: &str) -> Caller {
        let http = self.acme.http().clone();
        Caller::new(self.url.clone(), key.to_owned(), http)
    }

    /// The id of a Zoom user in this vault.
    pub(crate) fn zoom_user(&self, name: &str) -> String {
        format!("{name}{}", self.suffix)
    }

    /// The Zoom user `ada` of this vault.
    pub(crate) fn ada(&self) -> User {
        User {
            id: self.zoom_user("ada"),
            ..ada()
        }
    }

    /// Creates or replaces a Zoom user.
    pub(crate) async fn register_user(&self, user: &User) {
        let mut user = serde_json::to_value(user).unwrap();
        // The sandbox accepts no empty text. For Zoom, empty and missing are the same.
        let fields = user.as_object_mut().unwrap();
        fields.retain(|_, value| value != "");
        self.call_sandbox("users", &user).await;
    }

    /// The Zoom user `ada` allows the app everything. Returns the code.
    pub(crate) async fn code(&self) -> String {
        self.code_of("ada", None).await
    }

    /// A Zoom user allows the app all of its scopes, or only these. Returns the code.
    pub(crate) async fn code_of(&self, user: &str, scopes: Option<&[&str]>) -> String {
        let consent = json!({
            "client_id": CLIENT_ID,
            "redirect_uri": REDIRECT_URI,
            "user_id": self.zoom_user(user),
            "scopes": scopes,
        });
        let allowed = self.call_sandbox("codes", &consent).await;
        allowed["code"].as_str().unwrap().to_owned()
    }

    /// Calls the sandbox over HTTP, because it may run in another process.
    async fn call_sandbox(&self, what: &str, body: &Value) -> Value {
        let url = format!("{}/sandbox/{what}", self.zoom_url);
        let answer = self.acme.http().post(url).json(body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED, "{what}");
        answer.json().await.unwrap()
    }

    /// Creates an app credential of `acme`. Returns its id.
    pub(crate) async fn add_app_credential(&self, name: &str) -> String {
        id_of(&self.acme.create(app_body(name)).await.expect(201))
    }

    /// Creates a user credential of `acme` for `ada`. Returns its id.
    pub(crate) async fn add_user_credential(&self, name: &str) -> String {
        let body = user_body(name, &self.code().await);
        id_of(&self.acme.create(body).await.expect(201))
    }
}
