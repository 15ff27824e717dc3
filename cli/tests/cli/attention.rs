//! Credentials that a person must mend: how tests make them, and what `doctor` says about them.

use serde_json::{Value, json};

use crate::TestStack;

impl TestStack {
    /// Calls the sandbox's own API.
    pub(crate) async fn sandbox(&self, path: &str, body: Value) {
        let url = format!("{}/sandbox/{path}", self.variable("ZOOM_OAUTH_BASE_URL"));
        let answer = self.http.post(url).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {answer:?}");
    }

    /// Mints, so that the vault learns what is wrong. Returns the status.
    pub(crate) async fn mint(&self, key: &str, credential: &str) -> u16 {
        let body = json!({ "credential_id": credential, "type": "zak" });
        self.post("/v2/zoom-tokens", key, &body)
            .await
            .status()
            .as_u16()
    }

    /// Lets Zoom expect another client secret than the vault has.
    pub(crate) async fn refuse_app(&self) {
        let app = json!({
            "client_id": "sandbox-app", "client_secret": "another-secret",
            "redirect_uris": ["http://localhost:3000/callback"],
            "scopes": ["user:read:user", "user:read:token", "user:read:zak"],
        });
        self.sandbox("apps", app).await;
        self.sandbox("clock", json!({ "advance_seconds": 3700 }))
            .await;
        self.expire_access_tokens().await;
    }

    /// Lets the user remove the app at Zoom.
    pub(crate) async fn remove_app(&self, user: &str) {
        let removal = json!({ "client_id": "sandbox-app", "user_id": user });
        self.sandbox("deauthorizations", removal).await;
        self.sandbox("clock", json!({ "advance_seconds": 3700 }))
            .await;
        self.expire_access_tokens().await;
    }
}

// assures 59
#[tokio::test]
async fn doctor_names_the_credentials_that_a_person_must_mend() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let key = stack.create_key("acme", "full").await;
    let ada = stack.connect_user(&key, "ada-sandbox-user").await;
    let deleted = stack.connect_user(&key, "ada-sandbox-user").await;
    stack.remove_app("ada-sandbox-user").await;
    assert_eq!(stack.mint(&key, &ada).await, 409);
    stack.delete_credential(&key, &deleted).await;
    let findings = async || {
        let doctor = stack.cli("doctor --json").await;
        let findings: Vec<Value> = serde_json::from_str(&doctor.stdout).unwrap();
        let of_attention = findings.into_iter().filter(|it| it["check"] == "attention");
        (doctor.code, of_attention.collect::<Vec<_>>())
    };

    let (code, found) = findings().await;
    let text =
        format!("Reconnect: 1 credential: acme/{ada} (ada-sandbox-user). The Zoom user must act");
    assert_eq!(
        (code, found),
        (
            0,
            vec![json!({ "check": "attention", "verdict": "note", "found": text })]
        )
    );

    let grace = stack.connect_user(&key, "grace-sandbox-user").await;
    stack.refuse_app().await;
    assert_eq!(stack.mint(&key, &grace).await, 409);
    let (code, found) = findings().await;
    let text = format!("App refused: 1 credential: acme/{grace} (grace-sandbox-user)");
    assert_eq!(
        (code, found.len(), &found[1]["verdict"], &found[1]["found"]),
        (1, 2, &json!("bad"), &json!(text))
    );
    let to_do = found[1]["to_do"].as_str().unwrap();
    for words in [
        "The owner of the Zoom app",
        "store the right client secret",
        "credentials list --all-teams --needs-attention",
    ] {
        assert!(to_do.contains(words), "{to_do}");
    }
}
