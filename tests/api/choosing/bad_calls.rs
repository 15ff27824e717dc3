//! Calls whose names, metadata or links are bad.

use serde_json::{Value, json};

use super::{NO_CREDENTIAL, with_query};
use crate::vendors::answer_to;
use crate::world::World;

const NAMES_NOBODY: &str =
    "the call must name a credential or a Zoom user, under one of the URL's call_keys";
const NAMES_TOO_MANY: &str = "the call must NOT name more than 10 credentials and Zoom users";

/// This many names of users, and no user has one.
fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("user{number}")).collect()
}

#[tokio::test]
async fn eleven_names_are_too_many_at_every_place() {
    let world = World::new().await;
    world.store_vendors().await;
    let open = world.given_open_url(&["zak"], json!({})).await;
    let verify = json!({ "unverified": null, "verify": ["attendee", "meetstream"] });
    let verified = world.given_open_url(&["zak"], verify).await;
    for value in [json!(names(11)), json!(names(11).join(","))] {
        let named = json!({ "zoom_user_id": value });
        let answer = answer_to(world.meetingbaas(&open, &[], &named)).await;
        let refused = (answer.status, answer.text.as_str());
        assert_eq!(refused, (400, NAMES_TOO_MANY));
        for url in [&open, &verified] {
            let attendee = answer_to(world.attendee(url, &named, "")).await;
            attendee.expect_error(400, "FST_ERR_VALIDATION", NAMES_TOO_MANY);
            let in_body = answer_to(world.meetstream_posts(url, &named)).await;
            in_body.expect_error(400, "FST_ERR_VALIDATION", NAMES_TOO_MANY);
        }
    }
    // Ten are not too many. Several keys count together, and a name that is repeated counts once.
    let ten = json!({ "zoom_user_id": names(10), "zoom_email": names(10) });
    let answer = answer_to(world.meetingbaas(&open, &[], &ten)).await;
    let refused = (answer.status, answer.text.as_str());
    assert_eq!(refused, (404, NO_CREDENTIAL));
    let eleven = json!({ "zoom_user_id": names(10), "zoom_email": "ada@example.test" });
    let answer = answer_to(world.meetingbaas(&open, &[], &eleven)).await;
    let refused = (answer.status, answer.text.as_str());
    assert_eq!(refused, (400, NAMES_TOO_MANY));
    assert_eq!(world.uses(&open.id).await, "0");
}

#[tokio::test]
async fn a_name_that_no_user_can_have_gets_the_answer_of_an_unknown_one_and_reads_nothing() {
    let world = World::new().await;
    let url = world.given_open_url(&["zak"], json!({})).await;
    let long = "x".repeat(257);
    let address = format!("{}@example.test", "x".repeat(256));
    for name in [
        ("zoom_user_id", &long),
        ("zoom_email", &address),
        ("credential_id", &long),
    ] {
        let (key, value) = name;
        let query = [(key, value.as_str())];
        let answer = answer_to(world.acme.http().get(with_query(&url, &query))).await;
        assert_eq!((answer.status, answer.text.as_str()), (404, NO_CREDENTIAL));
    }
}

#[tokio::test]
async fn signed_metadata_that_is_no_object_names_nobody() {
    let world = World::new().await;
    world.store_vendors().await;
    let ada = world.connect("ada", Value::Null).await;
    let verify = json!({ "unverified": null, "verify": ["attendee"] });
    let url = world.given_open_url(&["zak"], verify).await;
    for metadata in [
        json!(ada.email),
        json!(format!("{{\"zoom_email\":\"{}\"}}", ada.email)),
        json!([{ "zoom_email": ada.email }]),
        json!([ada.email]),
        Value::Null,
        json!(true),
    ] {
        let answer = answer_to(world.attendee(&url, &metadata, "")).await;
        answer.expect_error(400, "FST_ERR_VALIDATION", NAMES_NOBODY);
    }
    assert_eq!(world.uses(&url.id).await, "0");
}

#[tokio::test]
async fn a_link_of_another_site_names_no_meeting_to_record() {
    let world = World::new().await;
    world.store_vendors().await;
    let ada = world.connect("ada", Value::Null).await;
    let verify = json!({ "unverified": null, "verify": ["attendee"] });
    let verified = world.given_open_url(&["local_recording"], verify).await;
    let open = world.given_open_url(&["local_recording"], json!({})).await;
    let named = json!({ "zoom_email": ada.email });
    let rule = "meeting_id is required for a local recording token: send meeting_number, meeting_id or meeting_url";
    for link in [
        "https://zoom.us.example.com/j/98765432101",
        "https://example.com/j/98765432101?host=zoom.us",
        "https://zoom.us@example.com/j/98765432101",
        "https://meet.google.com/abc-defg-hij",
        "https://teams.microsoft.com/l/meetup-join/98765432101",
        "https://notzoom.us/j/98765432101",
        "98765432101",
        "",
    ] {
        for url in [&open, &verified] {
            let answer = answer_to(world.attendee(url, &named, link)).await;
            answer.expect_error(400, "FST_ERR_VALIDATION", rule);
        }
        let query = [("zoom_email", ada.email.as_str()), ("meeting_url", link)];
        let answer = answer_to(world.acme.http().get(with_query(&open, &query))).await;
        assert_eq!((answer.status, answer.text.as_str()), (400, rule));
    }
    assert_eq!(world.mints_of(&ada.credential).await, Vec::<String>::new());
}

#[tokio::test]
async fn ten_megabytes_of_metadata_name_nobody() {
    let world = World::new().await;
    world.store_vendors().await;
    let ada = world.connect("ada", Value::Null).await;
    let verify = json!({ "unverified": null, "verify": ["attendee"] });
    let verified = world.given_open_url(&["zak"], verify).await;
    let open = world.given_open_url(&["zak"], json!({})).await;
    for size in [300_000, 10_000_000] {
        let large = json!({ "zoom_email": ada.email, "x": "y".repeat(size) });
        let answer = answer_to(world.attendee(&open, &large, "")).await;
        answer.expect_error(400, "FST_ERR_VALIDATION", NAMES_NOBODY);
        let answer = answer_to(world.attendee(&verified, &large, "")).await;
        answer.expect_code(401, "FST_ERR_UNAUTHORIZED");
    }
    assert_eq!(world.mints_of(&ada.credential).await, Vec::<String>::new());
}
