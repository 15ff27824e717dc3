//! The secrets of bot vendors: `doctor` and `credentials sweep` know their rows, and `rewrap` moves both secrets of a
//! row.

use serde_json::{Value, json};
use shared::envelope::{Binding, SecretId};
use shared::secret::Plaintext;
use shared::vendor::{Proof, Vendor, VendorKey, VendorSecret};

use crate::TestStack;

const SECRETS: [&str; 2] = ["the-first-secret", "the-second-secret"];

impl TestStack {
    /// Stores two secrets of MeetStream, one after the other.
    async fn start_with_vendor() -> Self {
        let stack = Self::start().await;
        stack.ok("teams create acme").await;
        let key = stack.create_key("acme", "full").await;
        stack.connect_user(&key, "ada-sandbox-user").await;
        let url = format!("{}/v2/vendors/meetstream", stack.api);
        let put = stack.http.put(url).header("x-meeting-baas-api-key", &key);
        let put = put.json(&json!({ "secrets": SECRETS })).send();
        assert_eq!(put.await.unwrap().status(), 200);
        stack
    }
}

fn verifies(opened: Plaintext, secret: &str) -> bool {
    let opened = VendorSecret::try_from(opened).unwrap();
    let key = VendorKey::new(Vendor::Meetstream, &opened).unwrap();
    Proof::meetstream(secret).verifies(&key)
}

#[tokio::test]
async fn doctor_and_sweep_find_nothing_wrong_with_two_secrets_of_a_vendor() {
    let stack = TestStack::start_with_vendor().await;
    let id = stack.secret_id("vendor#").await;
    assert_eq!(id, "vendor#acme#meetstream");

    // The second secret is no second token pair of a grant.
    for finding in stack.json("doctor").await.as_array().unwrap() {
        assert_eq!(finding["verdict"], "good", "{finding}");
    }
    let problems: Value = stack.json("credentials sweep").await;
    assert_eq!(problems, json!([]));
    stack.ok("credentials sweep --destroy").await;
    assert_eq!(stack.secret_id("vendor#").await, id);
}

#[tokio::test]
async fn rewrap_moves_both_secrets_of_a_vendor() {
    let stack = TestStack::start_with_vendor().await;
    let stack = stack.change_envelope_key().await;
    let kms = stack.variable("AWS_ENDPOINT_URL_KMS").to_owned();

    let (code, document, _) = stack.rewrap(&kms, "").await;

    // The client secret, the grant and the vendor's secrets.
    let moved = (code, &document["moved"], &document["left"]);
    assert_eq!(moved, (0, &json!(3), &json!(0)));
    let new = stack.variable("ENVELOPE_KEY_ID");
    let rows = stack.secret_rows().await.into_iter();
    let mut rows = rows.filter(|row| row["secret_id"].as_s().unwrap().starts_with("vendor#"));
    let row = rows.next().unwrap();
    for kid in ["kid", "alt_kid"] {
        assert_eq!(row[kid].as_s().unwrap(), new, "{kid}");
    }
    let team = "acme".parse().unwrap();
    let table = stack.secrets();
    let secrets = table.vendor_secrets(&team, Vendor::Meetstream).await;
    let secrets = secrets.unwrap().unwrap();
    let [first, second] = SECRETS;
    for (sealed, secret) in [(secrets.one, first), (secrets.other.unwrap(), second)] {
        let binding = Binding {
            team: team.clone(),
            secret: SecretId::Vendor(team.clone(), Vendor::Meetstream),
        };
        let opened = stack.envelope().open(&binding, &sealed).await.unwrap();
        assert!(verifies(opened, secret), "{secret}");
    }
}
