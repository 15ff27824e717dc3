//! `onbehalf` tokens of account-level credentials: refused, unless the team may try them.

use reqwest::StatusCode;
use serde_json::json;

use super::SCOPES;
use crate::minting::mint;
use crate::proxy::{Fault, Rule, Service};
use crate::world::{World, with};

const MESSAGE: &str = "The credential is that of an account-level app. Nothing shows that Zoom gives such an app tokens of the \
                       type onbehalf: mint with the credential of a user who authorized a Meeting SDK app. The vault's \
                       operator can let the team try it: zoom-vault teams set TEAM --account-onbehalf on";

// Seen to fail: a request without a user was told to name one
#[tokio::test]
async fn an_onbehalf_token_of_an_account_is_refused_without_a_call_to_zoom() {
    let (world, id) = World::with_account(&SCOPES).await;
    for named in [
        json!({ "zoom_user_id": "ada" }),
        json!({ "zoom_user_id": "nobody" }),
        json!({ "meeting_id": "98765432101" }),
        // Naming a user would not help.
        json!({}),
    ] {
        let body = json!({ "credential_id": id, "type": "onbehalf" });
        let refused = mint(&world.acme, with(body, named)).await;
        refused.expect_error(400, "FST_ERR_ZOOM_NOT_A_USER_CREDENTIAL", MESSAGE);
        assert_eq!(refused.json()["details"], json!(null));
    }
    assert_eq!(world.wire.count(Service::Zoom), 0);
}

#[tokio::test]
async fn a_team_that_may_try_asks_zoom_and_gets_zooms_decision() {
    let (world, id) = World::with_account(&SCOPES).await;
    world.allow_account_onbehalf().await;
    let nobody = json!({ "credential_id": id, "type": "onbehalf" });
    let message = "body/zoom_user_id is required with an account-level credential, or zoom_email, or the meeting whose host \
                   is meant";
    let refused = mint(&world.acme, nobody).await;
    refused.expect_error(400, "FST_ERR_VALIDATION", message);
    assert_eq!(world.wire.count(Service::Zoom), 0);
    let body = json!({
        "credential_id": id, "type": "onbehalf", "zoom_user_id": "ada", "meeting_id": "98765432101",
    });
    let refused = mint(&world.acme, body.clone()).await;
    refused.expect_code(400, "FST_ERR_ZOOM_REFUSED");

    world.wire.reset();
    world.wire.inject(Rule {
        service: Some(Service::Zoom),
        operation: Some("/v2/users/ada/token"),
        nth: None,
        fault: Fault::Answer(StatusCode::OK, json!({ "token": "obf" }).to_string()),
    });
    let data = mint(&world.acme, body).await.expect(200);
    assert_eq!(data["token"], "obf");
    assert_eq!(
        world.zoom_api_calls(),
        ["/v2/users/ada/token?type=onbehalf&meeting_id=98765432101"]
    );
}
