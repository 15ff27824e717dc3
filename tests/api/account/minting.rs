//! Whose token an account-level credential mints, and how often Zoom is asked for an access token.

use local::zoom::{Endpoint, Fault, FaultKind, Meeting};
use serde_json::{Map, Value, json};
use shared::timestamp::Timestamp;

use super::{KURT, SCOPES};
use tokio::task::JoinSet;

use crate::minting::{expect_lifetime, mint};
use crate::world::{Answer, World, with};

const MEETING: &str = "98765432101";

impl World {
    async fn mint_of_account(&self, id: &str, changes: Value) -> Answer {
        let body = with(json!({ "credential_id": id, "type": "zak" }), changes);
        mint(&self.acme, body).await
    }

    fn register_meeting(&self, webinar: bool, host: &str) {
        self.zoom.register_meeting(Meeting {
            id: MEETING.to_owned(),
            webinar,
            host_id: host.to_owned(),
            forbids_recording: false,
        });
    }
}

#[tokio::test]
async fn a_zak_is_that_of_the_named_user_whose_address_is_percent_encoded() {
    let (world, id) = World::with_account(&SCOPES).await;
    for (user, target) in [
        (
            json!({ "zoom_user_id": "ada" }),
            "/v2/users/ada/token?type=zak",
        ),
        (
            json!({ "zoom_email": KURT }),
            "/v2/users/Kurt.Godel%2BBots%40Example.test/token?type=zak",
        ),
        (
            json!({ "zoom_email": "ADA@EXAMPLE.TEST", "ttl": 60 }),
            "/v2/users/ADA%40EXAMPLE.TEST/token?type=zak&ttl=60",
        ),
        // A user counts before the host of the meeting.
        (
            json!({ "zoom_user_id": "ada", "meeting_id": MEETING }),
            "/v2/users/ada/token?type=zak",
        ),
    ] {
        world.wire.reset();
        let data = world.mint_of_account(&id, user).await.expect(200);
        assert_eq!(data.as_object().unwrap().len(), 4);
        assert_eq!(data["type"], "zak");
        assert_eq!(data["credential_id"], id.as_str());
        assert!(data["expires_at"].as_str().unwrap().ends_with('Z'));
        assert_eq!(world.zoom_api_calls(), [target]);
    }
    let event = world.newest_event(&id).await;
    assert_eq!(
        (&event["kind"], &event["type"]),
        (&json!("mint"), &json!("zak"))
    );
    assert_eq!(event["outcome"], "succeeded");
}

#[tokio::test]
async fn a_zak_of_a_meetings_host_asks_zoom_who_hosts_it() {
    let (world, id) = World::with_account(&SCOPES).await;
    let number = json!({ "meeting_id": "987 6543-2101" });
    let link = |kind: &str| json!({ "meeting_url": format!("https://zoom.us/{kind}/{MEETING}") });
    let (meeting, webinar) = ("/v2/meetings/98765432101", "/v2/webinars/98765432101");
    let zak = "/v2/users/kurt/token?type=zak";
    for (is_webinar, named, calls) in [
        (false, number.clone(), vec![meeting, zak]),
        (false, link("j"), vec![meeting, zak]),
        (true, link("w"), vec![webinar, zak]),
        (true, number, vec![meeting, webinar, zak]),
    ] {
        world.register_meeting(is_webinar, "kurt");
        world.wire.reset();
        world.mint_of_account(&id, named).await.expect(200);
        assert_eq!(world.zoom_api_calls(), calls);
    }
}

#[tokio::test]
async fn a_local_recording_token_is_the_meetings_and_names_no_user() {
    let (world, id) = World::with_account(&SCOPES).await;
    let recording = json!({ "type": "local_recording", "meeting_id": MEETING });
    let of_meeting = "/v2/meetings/98765432101/jointoken/local_recording?bypass_waiting_room=true";
    let of_webinar = "/v2/webinars/98765432101/jointoken/local_recording";
    for (is_webinar, user, calls) in [
        (false, json!({}), vec![of_meeting]),
        (false, json!({ "zoom_user_id": "ada" }), vec![of_meeting]),
        (false, json!({ "zoom_email": [","] }), vec![of_meeting]),
        (true, json!({}), vec![of_meeting, of_webinar]),
    ] {
        world.register_meeting(is_webinar, "kurt");
        world.wire.reset();
        let body = with(recording.clone(), user);
        world.mint_of_account(&id, body).await.expect(200);
        assert_eq!(world.zoom_api_calls(), calls);
        assert_eq!(world.newest_event(&id).await["meeting_id"], MEETING);
    }
    let missing = world
        .mint_of_account(&id, json!({ "type": "local_recording" }))
        .await;
    missing.expect_code(400, "FST_ERR_VALIDATION");
}

#[tokio::test]
async fn mints_share_one_access_token_also_at_the_same_time() {
    let (world, id) = World::with_account(&SCOPES).await;
    let before = world.account_tokens();
    let mut mints = JoinSet::new();
    for _ in 0..8 {
        let (caller, id) = (world.acme.clone(), id.clone());
        let body = json!({ "credential_id": id, "type": "zak", "zoom_user_id": "ada" });
        mints.spawn(async move { mint(&caller, body).await });
    }
    for answer in mints.join_all().await {
        answer.expect(200);
    }
    for _ in 0..3 {
        world
            .mint_of_account(&id, json!({ "zoom_email": KURT }))
            .await
            .expect(200);
    }
    assert_eq!(world.account_tokens(), before + 1);
}

#[tokio::test]
async fn an_access_token_that_zoom_refuses_is_dropped_and_another_one_asked_for_once() {
    let (world, id) = World::with_account(&SCOPES).await;
    let ada = || world.mint_of_account(&id, json!({ "zoom_user_id": "ada" }));
    ada().await.expect(200);
    let before = world.account_tokens();
    world.zoom.end_account_tokens(super::APP);
    ada().await.expect(200);
    assert_eq!(world.account_tokens(), before + 1);
    world.zoom.advance(std::time::Duration::from_hours(1));
    ada().await.expect(200);
    ada().await.expect(200);
    assert_eq!(world.account_tokens(), before + 2);
}

#[tokio::test]
async fn a_named_user_is_refused_where_it_makes_no_sense() {
    let (world, id) = World::with_account(&SCOPES).await;
    let user = world.add_user_credential("desk").await;
    world.wire.reset();
    let other = "works only with an account-level credential: any other mints for its own user";
    for (credential, named, message) in [
        (&user, json!({ "zoom_user_id": "ada" }), format!("body/zoom_user_id {other}")),
        (&user, json!({ "zoom_email": "ada@example.test" }), format!("body/zoom_email {other}")),
        (
            &id,
            json!({ "zoom_user_id": "ada", "zoom_email": "ada@example.test" }),
            "body/zoom_email must NOT come with zoom_user_id: name one of the two".to_owned(),
        ),
        (
            &id,
            json!({}),
            "body/zoom_user_id is required with an account-level credential, or zoom_email, or the meeting whose host is meant".to_owned(),
        ),
        (&id, json!({ "zoom_user_id": "ME" }), "body/zoom_user_id must name a user: me is the owner of the account".to_owned()),
        (&id, json!({ "zoom_user_id": 7 }), "body/zoom_user_id must be string".to_owned()),
        (&id, json!({ "zoom_email": ["a@b"] }), "body/zoom_email must be string".to_owned()),
    ] {
        let refused = world.mint_of_account(credential, named).await;
        refused.expect_error(400, "FST_ERR_VALIDATION", &message);
    }
    assert!(world.zoom_api_calls().is_empty());
    // A type that belongs to no user ignores the fields.
    let jwt = json!({ "type": "sdk_jwt", "zoom_user_id": ",", "zoom_email": 7 });
    world.mint_of_account(&user, jwt.clone()).await.expect(200);
    world.mint_of_account(&id, jwt).await.expect(200);
}

#[tokio::test]
async fn an_id_or_an_address_that_cannot_be_one_is_a_400_without_its_value() {
    let (world, id) = World::with_account(&SCOPES).await;
    let long = format!("m4rk3r{}@example.test", "x".repeat(254));
    for odd in [
        "",
        "m4rk3r",
        "m4rk3r@",
        "@m4rk3r",
        "m4 rk3r@example.test",
        "m4rk3r@example.test\n",
        &long,
    ] {
        let refused = world
            .mint_of_account(&id, json!({ "zoom_email": odd }))
            .await;
        refused.expect_error(
            400,
            "FST_ERR_VALIDATION",
            "body/zoom_email must match format \"email\"",
        );
        assert!(!refused.text.contains("m4rk3r"));
    }
    for odd in [
        "",
        "..",
        "m4rk3r/../ada",
        "m4rk3r?x",
        "m4rk3r%2F",
        "m4rk3r@example.test",
        "m4rk3r x",
    ] {
        let refused = world
            .mint_of_account(&id, json!({ "zoom_user_id": odd }))
            .await;
        let rule = "body/zoom_user_id must be 1 to 128 of A-Z, a-z, 0-9, -, _ and =";
        refused.expect_error(400, "FST_ERR_VALIDATION", rule);
        assert!(!refused.text.contains("m4rk3r"));
    }
    // Odd, but legal. Zoom decides.
    for address in [
        "../../x@example.test",
        "a/b?c#d%2F@example.test",
        "\"a@b\"@example.test",
        "ü@example.test",
    ] {
        let refused = world
            .mint_of_account(&id, json!({ "zoom_email": address }))
            .await;
        refused.expect_code(400, "FST_ERR_ZOOM_REFUSED");
    }
    let paths = world.zoom_api_calls();
    assert!(
        paths.iter().all(|path| path.starts_with("/v2/users/")
            && path.ends_with("%40example.test/token?type=zak")),
        "{paths:?}"
    );
    assert_eq!(paths.len(), 4);
}

/// Zoom documents 120 seconds.
// Seen to fail: the answer said two hours
#[tokio::test]
async fn a_recording_token_whose_answer_names_no_lifetime_lives_for_two_minutes() {
    let (world, account) = World::with_account(&SCOPES).await;
    let user = world.add_user_credential("desk").await;
    for is_webinar in [false, true] {
        world.register_meeting(is_webinar, "ada");
        let kind = if is_webinar { "w" } else { "j" };
        let link = format!("https://zoom.us/{kind}/{MEETING}");
        let body = json!({ "type": "local_recording", "meeting_url": link });
        for id in [&account, &user] {
            for (named, lifetime) in [(json!(60), 60), (json!("60"), 120), (Value::Null, 120)] {
                let mut set = Map::new();
                set.insert("expire_in".to_owned(), named);
                let kind = FaultKind::Override {
                    set,
                    remove: Vec::new(),
                };
                world.zoom.inject(Fault::once(Endpoint::Mint, kind));
                let began = Timestamp::now();
                let data = world.mint_of_account(id, body.clone()).await.expect(200);
                expect_lifetime(&data, began, lifetime);
            }
            let kind = FaultKind::Override {
                set: Map::new(),
                remove: vec!["expire_in".to_owned()],
            };
            world.zoom.inject(Fault::once(Endpoint::Mint, kind));
            let began = Timestamp::now();
            let data = world.mint_of_account(id, body.clone()).await.expect(200);
            expect_lifetime(&data, began, 120);
        }
    }
}
