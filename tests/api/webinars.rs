//! Tokens for webinars. A webinar has an endpoint of its own at Zoom, and its number looks like that of a meeting.

use hyper::StatusCode;
use local::zoom::{Endpoint, Fault, FaultKind, Meeting, Reply};
use serde_json::{Value, json};

use crate::bots::expect_plain_text;
use crate::checking::given_scopes;
use crate::minting::mint;
use crate::world::{Answer, SCOPES, World, with};

const WEBINAR: &str = "98765432101";
const OF_MEETING: &str =
    "/v2/meetings/98765432101/jointoken/local_recording?bypass_waiting_room=true";
const OF_WEBINAR: &str = "/v2/webinars/98765432101/jointoken/local_recording";

fn webinar() -> Meeting {
    Meeting {
        id: WEBINAR.to_owned(),
        webinar: true,
        host_id: "ada".to_owned(),
        forbids_recording: false,
    }
}

/// A world with a webinar of `ada`, and her credential with these scopes.
async fn world_with_webinar(scopes: &[&str]) -> (World, String) {
    let world = World::new().await;
    world.zoom.register_meeting(webinar());
    let id = given_scopes(&world, scopes).await;
    world.wire.reset();
    (world, id)
}

async fn mint_recording(world: &World, id: &str, meeting: Value) -> Answer {
    let body = with(
        json!({ "credential_id": id, "type": "local_recording" }),
        meeting,
    );
    mint(&world.acme, body).await
}

fn links(kind: &str) -> Vec<Value> {
    vec![
        json!({ "meeting_url": format!("https://us02web.zoom.us/{kind}/{WEBINAR}?tk=c2VjcmV0") }),
        json!({ "meeting_url": format!("acme.zoom.com/{kind}/{WEBINAR}"), "meeting_id": "987 6543 2101" }),
    ]
}

#[tokio::test]
async fn a_link_to_a_webinar_asks_only_the_endpoint_of_webinars() {
    let (world, id) = world_with_webinar(&SCOPES).await;
    for meeting in links("w") {
        world.wire.reset();
        let data = mint_recording(&world, &id, meeting).await.expect(200);
        assert_eq!(data["type"], "local_recording");
        assert_eq!(world.zoom_api_calls(), [OF_WEBINAR]);
        assert_eq!(world.newest_event(&id).await["meeting_id"], WEBINAR);
    }
}

#[tokio::test]
async fn a_number_or_another_link_asks_meetings_first_and_then_webinars_once() {
    let (world, id) = world_with_webinar(&SCOPES).await;
    let mut meetings = links("j");
    meetings.push(json!({ "meeting_id": "987-6543-2101" }));
    meetings.push(json!({ "meeting_url": format!("zoommtg://zoom.us/join?confno={WEBINAR}") }));
    for meeting in meetings {
        world.wire.reset();
        mint_recording(&world, &id, meeting).await.expect(200);
        assert_eq!(world.zoom_api_calls(), [OF_MEETING, OF_WEBINAR]);
    }
}

#[tokio::test]
async fn a_webinar_and_its_meeting_number_give_onbehalf_and_zak_tokens_as_a_meeting_does() {
    let (world, id) = world_with_webinar(&SCOPES).await;
    let meeting_url = format!("https://zoom.us/w/{WEBINAR}");
    for (token_type, target) in [
        (
            "onbehalf",
            "/v2/users/me/token?type=onbehalf&meeting_id=98765432101",
        ),
        ("zak", "/v2/users/me/token?type=zak"),
    ] {
        world.wire.reset();
        let body = json!({ "credential_id": id, "type": token_type, "meeting_url": meeting_url });
        mint(&world.acme, body).await.expect(200);
        assert_eq!(world.zoom_api_calls(), [target]);
    }
}

#[tokio::test]
async fn a_meeting_that_a_link_calls_a_webinar_is_refused_and_the_caller_must_act() {
    let (world, id) = world_with_webinar(&SCOPES).await;
    let link = json!({ "meeting_url": "https://zoom.us/w/11111111111" });
    let refused = mint_recording(&world, &id, link).await;
    refused.expect_error(
        400,
        "FST_ERR_ZOOM_REFUSED",
        "Zoom refused the request: Webinar does not exist: 11111111111. (3001). Check meeting_id and ttl.",
    );
    assert_eq!(refused.json()["details"], "caller");
    assert_eq!(
        world.zoom_api_calls(),
        ["/v2/webinars/11111111111/jointoken/local_recording"]
    );
}

/// The refusal has the code of a webinar among the meetings, and other words.
#[tokio::test]
async fn a_setting_that_forbids_local_recording_is_refused_without_a_second_call() {
    let (world, id) = world_with_webinar(&SCOPES).await;
    world.zoom.register_meeting(Meeting {
        webinar: false,
        forbids_recording: true,
        ..webinar()
    });
    let message = "Zoom refused the request: Not allowed to start local recording. The \"Local Recording\" setting is \
                   off. (3000). The host of the meeting, or an admin of the host's Zoom account, must change this \
                   setting in Zoom.";
    let refused = mint_recording(&world, &id, json!({ "meeting_id": WEBINAR })).await;
    refused.expect_error(400, "FST_ERR_ZOOM_REFUSED", message);
    assert_eq!(refused.json()["details"], "host");
    assert_eq!(world.zoom_api_calls(), [OF_MEETING]);

    world.zoom.register_meeting(Meeting {
        forbids_recording: true,
        ..webinar()
    });
    world.wire.reset();
    let refused = mint_recording(&world, &id, json!({ "meeting_id": WEBINAR })).await;
    refused.expect_error(400, "FST_ERR_ZOOM_REFUSED", message);
    assert_eq!(refused.json()["details"], "host");
    assert_eq!(world.zoom_api_calls(), [OF_MEETING, OF_WEBINAR]);
}

#[tokio::test]
async fn a_missing_scope_for_webinars_is_named_and_meetings_go_on() {
    let scopes: Vec<&str> = SCOPES
        .into_iter()
        .filter(|scope| !scope.starts_with("webinar"))
        .collect();
    let (world, id) = world_with_webinar(&scopes).await;
    for meeting in [
        json!({ "meeting_id": WEBINAR }),
        json!({ "meeting_url": format!("https://zoom.us/w/{WEBINAR}") }),
    ] {
        let refused = mint_recording(&world, &id, meeting).await;
        refused.expect_code(400, "FST_ERR_ZOOM_MISSING_SCOPE");
        assert_eq!(
            refused.json()["details"],
            "webinar:read:local_recording_token"
        );
    }
    let meeting = json!({ "meeting_id": "11111111111" });
    mint_recording(&world, &id, meeting).await.expect(200);
}

#[tokio::test]
async fn a_token_url_asks_for_a_webinar_if_the_call_or_zoom_names_one() {
    let (world, id) = world_with_webinar(&SCOPES).await;
    let any = world
        .given_url(&id, json!({ "type": "local_recording" }))
        .await;
    let body = json!({ "type": "local_recording", "meeting_id": WEBINAR });
    let own = world.given_url(&id, body).await;
    let link = format!("?meeting_url=https://zoom.us/w/{WEBINAR}");
    for (url, query, calls) in [
        (&any, link.clone(), vec![OF_WEBINAR]),
        (&own, link.clone(), vec![OF_WEBINAR]),
        (
            &any,
            format!("{link}&meeting_number={WEBINAR}"),
            vec![OF_WEBINAR],
        ),
        (
            &any,
            format!("?meeting_id={WEBINAR}"),
            vec![OF_MEETING, OF_WEBINAR],
        ),
        (&own, String::new(), vec![OF_MEETING, OF_WEBINAR]),
    ] {
        world.wire.reset();
        let answer = world.vendor_gets(url, &query).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
        assert_eq!(world.zoom_api_calls(), calls, "{query}");
    }
    let other = world
        .vendor_gets(&own, "?meeting_url=https://zoom.us/w/11111111111")
        .await;
    expect_plain_text(&other, 403, "The token URL is for another meeting");
}

#[tokio::test]
async fn a_check_with_the_number_of_a_webinar_mints_its_token() {
    let (world, id) = world_with_webinar(&SCOPES).await;
    let body = json!({ "meeting_id": WEBINAR });
    let checked = world.acme.check_with(&id, body).await.expect(200);
    let recording = &checked["capabilities"]["local_recording"];
    assert_eq!(recording["status"], "granted", "{checked}");
    assert!(world.zoom_api_calls().contains(&OF_WEBINAR.to_owned()));
}

#[tokio::test]
async fn each_refusal_of_a_webinars_token_says_who_must_act() {
    let (world, id) = world_with_webinar(&SCOPES).await;
    for (status, code, text, actor) in [
        (400, 300, "Invalid webinar ID.", "caller"),
        (404, 300, "Webinar does not exist.", "caller"),
        (400, 200, "Webinar plan is missing.", "account_admin"),
        (200, 200, "Webinar plan is missing.", "account_admin"),
    ] {
        let reply = Reply {
            body: Some(json!({ "code": code, "message": text }).to_string()),
            ..Reply::status(StatusCode::from_u16(status).unwrap())
        };
        let fault = Fault::once(Endpoint::Mint, FaultKind::ReplyBefore(reply));
        world.zoom.inject(fault);
        let link = json!({ "meeting_url": format!("https://zoom.us/w/{WEBINAR}") });
        let refused = mint_recording(&world, &id, link).await;
        let message = refused.expect_code(400, "FST_ERR_ZOOM_REFUSED");
        let start = format!("Zoom refused the request: {text} ({code}). ");
        assert!(message.starts_with(&start), "{message}");
        assert_eq!(refused.json()["details"], actor);
    }
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");
}
