//! Tokens that come from elsewhere than a user's grant, and signatures.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::canary::Canary;
use super::scenario::Scenario;
use crate::minting::mint;
use crate::proxy::{Fault, Rule, Service};
use crate::world::id_of;

/// The client secret of an account-level app, and what Zoom gives it.
const ACCOUNT_SECRET: &str = "canary account secret+of/the é app";
const ACCOUNT_ACCESS: &str = "canary-access-token-of-an-account-in-memory-only";
const ACCOUNT_ZAK: &str = "canary-zak-that-an-account-level-app-minted";

impl Scenario {
    fn let_zoom_answer(&self, operation: &'static str, body: &Value) {
        self.world.wire.inject(Rule {
            service: Some(Service::Zoom),
            operation: Some(operation),
            nth: None,
            fault: Fault::Answer(StatusCode::OK, body.to_string()),
        });
    }

    /// Mints a token, which may be nowhere but in this answer.
    async fn minted(&mut self, name: &str, body: Value) {
        let data = mint(&self.world.acme, body).await.expect(200);
        self.other_requests += 1;
        let token = data["token"].as_str().unwrap();
        self.canaries.push(Canary::new(name, token));
    }

    /// An account-level app mints. Its access token is stored nowhere, not even sealed.
    pub(super) async fn account_tokens(&mut self) {
        for (name, secret) in [
            ("an account's client secret", ACCOUNT_SECRET),
            ("an account's access token", ACCOUNT_ACCESS),
        ] {
            self.canaries.push(Canary::new(name, secret));
        }
        let token = json!({
            "access_token": ACCOUNT_ACCESS, "token_type": "bearer", "expires_in": 3600,
            "scope": "user:read:token:admin", "api_url": "https://api.zoom.us",
        });
        self.let_zoom_answer("/oauth/token", &token);
        let app = json!({
            "name": "account", "client_id": "canary-account-app", "client_secret": ACCOUNT_SECRET,
            "account_id": "canaries",
        });
        let created = self.world.acme.create(app).await;
        let id = id_of(&self.keep(201, created).expect(201));
        self.let_zoom_answer("/v2/users/ada/token", &json!({ "token": ACCOUNT_ZAK }));
        let body = json!({ "credential_id": id, "type": "zak", "zoom_user_id": "ada" });
        self.minted("an account's ZAK", body.clone()).await;
        self.world.wire.heal();
        // The sandbox refuses this access token, and the client secret with which the vault asks for another one.
        let refused = mint(&self.world.acme, body).await;
        self.keep(409, refused);
        for answer in [
            self.world.acme.check(&id).await,
            self.world.acme.events(&id, "").await,
        ] {
            self.keep(200, answer);
        }
    }

    /// A worker asks for the signature of a stream, and a vendor for tokens at a URL that chooses the user.
    pub(super) async fn signatures_and_choices(&mut self, id: &str) {
        let stream = json!({
            "credential_id": id, "type": "rtms_signature", "meeting_uuid": "4444AAAiAAAAAiAiAiiAii==",
            "rtms_stream_id": "609340fb2a7946909659956c8aa9250c",
        });
        self.minted("a signature of a stream", stream).await;

        let body = json!({
            "types": ["onbehalf", "zak"], "choose": "from_call", "unverified": true,
        });
        let url = self.world.given_choosing(body).await;
        self.canaries
            .push(Canary::new("a choosing URL's token", url.token()));
        let call = json!({ "credential_id": id });
        let answer = self.world.vendor_posts(&url, &call).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        self.other_requests += 2;
        for name in ["onbehalf_token", "zak_token"] {
            let answer = answer.json();
            let token = answer[name].as_str().unwrap();
            self.canaries.push(Canary::new(name, token));
        }
        let events = self.world.acme.events(id, "").await;
        self.keep(200, events);
    }
}
