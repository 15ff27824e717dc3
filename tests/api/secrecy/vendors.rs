//! The secrets with which bot vendors prove their calls.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::json;
use shared::vendor::{Proof, Vendor, VendorKey, VendorSecret};

use super::canary::{Canary, assert_absent};
use super::scenario::Scenario;
use crate::vendors::answer_to;
use crate::world::World;

/// The keys in the secrets of Recall.ai and Attendee, and the secret of MeetStream.
const RECALL_KEY: &str = "canary of é the key at Recall";
const ATTENDEE_KEY: &str = "canary of é the key, Attendee";
const MEETSTREAM: &str = "canary-meetstream+secret/of-the-team";

/// The vendors and their secrets, as the vendors show them.
fn vendors() -> [(&'static str, String); 3] {
    [
        ("recall", format!("whsec_{}", STANDARD.encode(RECALL_KEY))),
        ("attendee", STANDARD.encode(ATTENDEE_KEY)),
        ("meetstream", MEETSTREAM.to_owned()),
    ]
}

fn canaries() -> Vec<Canary> {
    let keys = [RECALL_KEY, ATTENDEE_KEY].map(|key| Canary::new("a vendor's key", key));
    let secrets = vendors().map(|(_, secret)| Canary::new("a vendor's secret", &secret));
    keys.into_iter().chain(secrets).collect()
}

impl Scenario {
    /// A team stores secrets, and the vendors prove calls with them. Other calls have the secrets in wrong places.
    pub(super) async fn verified_calls(&mut self, id: &str) {
        self.canaries.extend(canaries());
        for (vendor, secret) in vendors() {
            for (status, body) in [
                (200, json!({ "secrets": [secret] })),
                (400, json!({ "secrets": [secret.repeat(20)] })),
                (400, json!({ "secrets": [format!("{secret}\n")] })),
                (400, json!({ "secrets": secret })),
                (400, json!({ "secrets": [secret, 1] })),
                (200, json!({ "secrets": [secret] })),
            ] {
                let answer = self.world.acme.put_vendor(vendor, body).await;
                self.keep(status, answer);
            }
            let answer = self.world.acme.vendor(vendor).await;
            self.keep(200, answer);

            let body = json!({ "type": "zak", "verify": vendor });
            let url = self.world.given_url(id, body).await;
            self.other_requests += 1;
            self.canaries
                .push(Canary::new("a URL's token", url.token()));
            let proved = answer_to(self.world.vendor_call(vendor, &secret, &url)).await;
            assert_eq!(proved.status, 200);
            self.other_requests += 1;
            if vendor == "recall" {
                self.released_access_token(id, &secret).await;
            }
            let http = self.world.acme.http().clone();
            for header in ["webhook-signature", "x-webhook-signature", "webhook-id"] {
                let call = http.get(&url.url).header(header, &secret);
                let refused = answer_to(call.header("webhook-timestamp", "1")).await;
                self.keep(401, refused);
            }
            let call = http.request(Method::POST, &url.url);
            let refused = answer_to(call.body(format!("{{\"secret\": {secret:?}"))).await;
            self.keep(401, refused);
        }
    }

    /// Recall.ai gets the user's access token, which may be nowhere but in this answer.
    async fn released_access_token(&mut self, id: &str, secret: &str) {
        self.world.set_access_token_urls(true).await;
        let body = json!({ "type": "access_token", "verify": "recall" });
        let url = self.world.given_url(id, body).await;
        self.canaries
            .push(Canary::new("a URL's token", url.token()));
        let released = answer_to(self.world.vendor_call("recall", secret, &url)).await;
        assert_eq!(released.status, 200, "{}", released.text);
        self.canaries
            .push(Canary::new("a released access token", &released.text));
        let events = self.world.acme.events(id, "").await;
        self.keep(200, events);
        self.other_requests += 2;
    }
}

#[tokio::test]
async fn debug_output_shows_no_secret_of_a_vendor() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let mut shown = String::new();
    for (vendor, secret) in vendors() {
        let stored = world
            .acme
            .put_vendor(vendor, json!({ "secrets": [secret] }));
        stored.await.expect(200);
        let body = json!({ "type": "zak", "verify": vendor });
        let url = world.given_url(&id, body).await;
        let proved = answer_to(world.vendor_call(vendor, &secret, &url)).await;
        assert_eq!(proved.status, 200);
        let vendor: Vendor = vendor.parse().unwrap();
        let secret = VendorSecret::try_from(secret).unwrap();
        let key = VendorKey::new(vendor, &secret).unwrap();
        write!(shown, "{secret:?} {key:#?} ").unwrap();
    }
    // The functions have the opened secrets in memory now.
    let proof = Proof::meetstream(MEETSTREAM);
    write!(shown, "{:?} {proof:?}", world.gateway).unwrap();
    for word in ["VendorSecret", "VendorKey", "VendorMemory", "Proof"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert_absent(&canaries(), "what Debug shows", shown.as_bytes());
    for bytes in [RECALL_KEY, ATTENDEE_KEY, MEETSTREAM] {
        let bytes = format!("{:?}", bytes.as_bytes());
        assert!(!shown.contains(bytes.trim_matches(['[', ']'])));
    }
}
