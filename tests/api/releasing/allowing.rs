//! The operator can stop all access token URLs of a team.

use serde_json::json;

use crate::bots::expect_plain_text;
use crate::proxy::Service;
use crate::token_urls::NO_URL;
use crate::vendors::answer_to;
use crate::world::World;

// assures 70. Seen to fail: the call did not look at the setting
#[tokio::test]
async fn a_team_that_switches_the_setting_off_stops_all_its_access_token_urls_at_once() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let url = world.given_release(&id).await;
    let body = json!({ "types": ["access_token"], "choose": "from_call", "verify": ["recall"] });
    let choosing = world.given_choosing(body).await;
    let zak = json!({ "type": "zak", "verify": "recall" });
    let zak = world.given_url(&id, zak).await;
    let chosen = [("credential_id", id.as_str())];
    let nobody = [("credential_id", "0192f5a0-7c4e-7d2a-9b1c-3e5f7a9b1c3d")];
    world.expect_access_token(&world.recall_asks(&url).await);
    world.expect_access_token(&answer_to(world.recall(&choosing, &chosen)).await);

    world.set_access_token_urls(false).await;
    world.wire.reset();
    expect_plain_text(&world.recall_asks(&url).await, 404, NO_URL);
    for query in [chosen, nobody] {
        let answer = answer_to(world.recall(&choosing, &query)).await;
        expect_plain_text(&answer, 404, NO_URL);
    }
    assert_eq!(world.wire.count(Service::Zoom), 0);
    assert_eq!(world.uses(&url.id).await, "1");
    assert_eq!(world.uses(&choosing.id).await, "1");
    assert_eq!(world.outcomes(&id).await, ["succeeded"; 2]);
    // A call that is not proved is still refused as such, and tells nothing of the setting.
    let unsigned = answer_to(world.acme.http().get(&url.url)).await;
    assert_eq!(unsigned.status, 401);
    assert_eq!(world.recall_asks(&zak).await.status, 200);

    world.set_access_token_urls(true).await;
    world.expect_access_token(&world.recall_asks(&url).await);
    world.expect_access_token(&answer_to(world.recall(&choosing, &chosen)).await);
}

/// No URL is created without a vendor. A row that was changed by hand gives nothing to everybody.
#[tokio::test]
async fn a_row_without_a_vendor_releases_nothing() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let url = world.given_release(&id).await;
    let mut row = world.url_row(&url.id).await;
    row.remove("verify");
    world.put("token-urls", row).await;

    let answer = answer_to(world.acme.http().get(&url.url)).await;

    expect_plain_text(&answer, 404, NO_URL);
    assert!(world.releases(&id).await.is_empty());
}
