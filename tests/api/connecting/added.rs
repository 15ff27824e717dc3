//! A visit of the callback without a state: Zoom's Marketplace sends users so who pressed "Add".

use super::{Browser, callback_url, given_session, new_credential_body, session_outcome, world};
use crate::proxy::Service;

/// A code without a state could be an attacker's. So it is not used, and nothing is read.
#[tokio::test]
async fn a_visit_without_a_state_gets_a_page_of_its_own_and_its_code_is_not_used() {
    let world = world().await;
    let session = given_session(&world, &new_credential_body()).await;
    let mut browser = Browser::new(&world);
    let callback = browser.authorize(&session, Some("ada")).await;
    let code = world.code();
    world.wire.reset();
    for query in [
        "",
        "?code=",
        &format!("?code={code}"),
        &format!("?code={code}&state="),
        "?error=access_denied",
    ] {
        for browser in [&browser, &Browser::new(&world)] {
            let page = browser
                .open(&format!("{}{query}", callback_url(&world)))
                .await;
            page.expect(200, "One step is missing");
            assert!(page.text.contains("Nothing was stored here"));
            assert!(!page.text.contains(&code));
            assert!(!page.headers.contains_key("set-cookie"));
        }
    }
    for service in [Service::DynamoDb, Service::Kms, Service::Zoom] {
        assert_eq!(world.wire.count(service), 0);
    }
    assert_eq!(session_outcome(&world, &session).await.0, "pending");
    browser
        .open(&callback)
        .await
        .expect(200, "Zoom is connected");
}
