//! `rewrap` moves every row to another KMS key while traffic runs, and it cannot decrypt any row.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use shared::envelope::{Binding, SecretId};
use shared::grants::capsule::Capsule;
use shared::secret::ClientSecret;
use shared::stores::PairWrite;
use shared::timestamp::Timestamp;

use crate::TestStack;
use crate::kms_proxy::KmsProxy;

impl TestStack {
    /// Runs `rewrap` against the KMS at this URL. Returns the exit code, the document and stderr.
    pub(crate) async fn rewrap(&self, kms: &str, options: &str) -> (i32, Value, String) {
        let kms = [("AWS_ENDPOINT_URL_KMS", kms)];
        let line = format!("rewrap --json --rate 5000 {options}");
        let result = self.cli_with(&line, &[], &kms).await;
        let document = serde_json::from_str(&result.stdout).unwrap_or_default();
        (result.code, document, result.stderr)
    }

    /// Mints tokens with refreshes, and creates credentials, until `done`. Returns the number of mints.
    async fn mint_until(&self, done: &AtomicBool, key: &str, credentials: &[String]) -> usize {
        let mut mints = 0;
        while !done.load(Ordering::SeqCst) {
            self.expire_access_tokens().await;
            mints += self.mint_each(key, credentials, "onbehalf").await;
            assert_eq!(self.create_credential(key, "n").await.status(), 201);
        }
        mints
    }

    async fn mint_each(&self, key: &str, credentials: &[String], kind: &str) -> usize {
        for id in credentials {
            let body = json!({ "credential_id": id, "type": kind });
            let (status, body) = self.post_json("/v2/zoom-tokens", key, &body).await;
            assert_eq!(status, 200, "{body}");
        }
        credentials.len()
    }

    /// How many of these client secrets cannot be decrypted.
    async fn count_unreadable(&self, bindings: &[Binding]) -> usize {
        let (envelope, secrets) = (self.envelope(), self.secrets());
        let readable = bindings.iter().map(|binding| {
            let (envelope, secrets) = (&envelope, &secrets);
            async move {
                let row = secrets
                    .app_secret(binding.secret.clone())
                    .await
                    .unwrap()
                    .unwrap();
                let opened = envelope.open(binding, &row.sealed).await;
                opened.is_ok_and(|opened| ClientSecret::try_from(opened).is_ok())
            }
        });
        let unreadable = stream::iter(readable)
            .buffer_unordered(8)
            .filter(|readable| std::future::ready(!readable));
        unreadable.count().await
    }
}

/// How many rows of client secrets the vault holds beside the real ones. `GATE=full` runs the size of a large vault.
fn filler_rows() -> usize {
    if std::env::var_os("GATE").is_some_and(|gate| gate == "full") {
        10_000
    } else {
        1_000
    }
}

// assures 38
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_moves_to_the_new_key_during_mints_and_refreshes() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let key = stack.create_key("acme", "full").await;
    let mut credentials = Vec::new();
    for user in [
        "ada-sandbox-user",
        "grace-sandbox-user",
        "bare-sandbox-user",
    ] {
        credentials.push(stack.connect_user(&key, user).await);
    }
    let rows = filler_rows();
    let filled = stack.seal_rows(rows).await;
    let old = stack.variable("ENVELOPE_KEY_ID").to_owned();
    let stack = stack.change_envelope_key().await;
    let new = stack.variable("ENVELOPE_KEY_ID").to_owned();
    assert_eq!(stack.wrapping_keys().await, [old.clone()].into());
    let (proxy, kms) = KmsProxy::start(stack.variable("AWS_ENDPOINT_URL_KMS"), usize::MAX).await;

    let (code, document, stderr) = stack.rewrap(&kms, "--dry-run").await;
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(
        (&document["rows"], &document["moved"]),
        (&json!(rows + 6), &json!(0))
    );
    assert_eq!(stack.wrapping_keys().await, [old.clone()].into());

    let done = AtomicBool::new(false);
    let rewrap = async {
        let result = stack.rewrap(&kms, "").await;
        done.store(true, Ordering::SeqCst);
        result
    };
    let (mints, (code, document, stderr)) =
        tokio::join!(stack.mint_until(&done, &key, &credentials), rewrap);
    println!("{document}, during {mints} mints with a refresh each");

    assert_eq!((code, stderr.as_str()), (0, ""), "{document}");
    assert_eq!(
        (&document["key"], &document["left"]),
        (&json!(new), &json!(0))
    );
    // A refresh also moves its grant, so `rewrap` may find up to three rows fewer.
    let moved = document["moved"].as_u64().unwrap();
    assert!(moved >= u64::try_from(rows + 3).unwrap(), "{document}");
    assert_eq!(proxy.denied(), [""; 0]);
    assert_eq!(stack.wrapping_keys().await, [new].into());

    // Every row works without the old key.
    stack.disable_kms_key(&old).await;
    assert_eq!(stack.count_unreadable(&filled).await, 0);
    stack.expire_access_tokens().await;
    stack.mint_each(&key, &credentials, "zak").await;
}

/// Covers all four kinds of rows, and a grant with two data keys.
#[tokio::test]
async fn stashed_pairs_webhook_secrets_and_connect_sessions_move_too() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let key = stack.create_key("acme", "full").await;
    stack.connect_user(&key, "ada-sandbox-user").await;
    let Capsule::Refresh(stashed) = stack.capsule(1).await.parse().unwrap() else {
        panic!("not a capsule of a refresh")
    };
    let secrets = stack.secrets();
    let stash = secrets.stash(stashed.grant, &stashed.pair.sealed, Timestamp::now());
    assert!(matches!(stash.await.unwrap(), PairWrite::Written { .. }));
    let app = json!({ "client_secret": "sandbox-secret", "webhook_secret_token": "made-up-token" });
    let put = stack
        .http
        .put(format!("{}/v2/zoom-apps/sandbox-app", stack.api));
    let put = put.header("x-meeting-baas-api-key", &key).json(&app);
    assert_eq!(put.send().await.unwrap().status(), 200);
    let session = json!({ "name": "n", "client_id": "c", "client_secret": "s" });
    let created = stack
        .post("/v2/zoom-connect-sessions", &key, &session)
        .await;
    assert_eq!(created.status(), 201);
    let stack = stack.change_envelope_key().await;

    let (code, document, _) = stack
        .rewrap(stack.variable("AWS_ENDPOINT_URL_KMS"), "")
        .await;

    assert_eq!(
        (code, &document["moved"], &document["left"]),
        (0, &json!(4), &json!(0))
    );
    let new = stack.variable("ENVELOPE_KEY_ID");
    let (mut kinds, mut second_keys) = (BTreeSet::new(), 0);
    for row in stack.secret_rows().await {
        let id = row["secret_id"].as_s().unwrap().clone();
        kinds.insert(id.split('#').next().unwrap().to_owned());
        assert_eq!(row["kid"].as_s().unwrap(), new, "{id}");
        if let Some(kid) = row.get("alt_kid") {
            assert_eq!(kid.as_s().unwrap(), new, "{id}");
            second_keys += 1;
        }
    }
    assert_eq!((kinds.len(), second_keys), (4, 1));
    // Both token pairs of the grant can still be decrypted.
    let row = stack
        .secrets()
        .grant(&stashed.team, stashed.grant)
        .await
        .unwrap()
        .unwrap();
    let binding = Binding {
        team: "acme".parse().unwrap(),
        secret: SecretId::Grant(stashed.grant),
    };
    for sealed in [row.sealed.unwrap(), row.stash.unwrap()] {
        stack.envelope().open(&binding, &sealed).await.unwrap();
    }
}
