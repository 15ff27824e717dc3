//! What happened to a credential: how it is kept, and who may read it.

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use shared::api_key::{ApiKey, Permission};
use shared::credential::{CredentialId, Reconnect};
use shared::event::{Asked, By, Event, EventId, Happened, Outcome};
use shared::stores::{Events, RETENTION};
use shared::token::TokenType;

use crate::world::{Caller, World, attribute};

const UNAVAILABLE: &str = "FST_ERR_UNAVAILABLE";
const NOT_FOUND: &str = "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID";

fn events(world: &World) -> Events {
    Events::new(world.dynamodb.clone(), "events".to_owned(), RETENTION)
}

fn with_key(caller: &Caller) -> Asked {
    Asked::with(&ApiKey::parse(caller.key()).unwrap())
}

/// A token that was released.
fn mint(asked: Asked) -> Event {
    Event::new(Happened::Mint {
        token_type: TokenType::Onbehalf,
        meeting_id: None,
        asked,
        outcome: Outcome::Succeeded,
    })
}

/// Things happen to a credential of `acme`.
async fn given(world: &World, id: &str, happened: &[Event]) {
    let acme = "acme".parse().unwrap();
    let id = id.parse().unwrap();
    for event in happened {
        events(world).record(&acme, id, event).await.unwrap();
    }
}

/// `count` mints, oldest first.
async fn given_mints(world: &World, id: &str, count: usize) -> Vec<EventId> {
    let mints: Vec<Event> = (0..count).map(|_| mint(By::KeepAlive.into())).collect();
    given(world, id, &mints).await;
    mints.iter().map(|mint| mint.id).collect()
}

/// The ids on a page.
fn ids(page: &Value) -> Vec<&str> {
    let events = page.as_array().unwrap().iter();
    events
        .map(|event| event["event_id"].as_str().unwrap())
        .collect()
}

/// The same ids, newest first.
fn newest_first(ids: &[EventId]) -> Vec<String> {
    ids.iter().rev().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_credential_without_a_past_has_no_events() {
    let world = World::new().await;
    let id = world.given_app("bot").await;

    let page = world.acme.events(&id, "").await;
    assert_eq!(page.text, r#"{"success":true,"data":[]}"#);
    assert_eq!(page.header("x-next-cursor"), None);
}

#[tokio::test]
async fn each_kind_of_event_says_what_happened_and_who_asked() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let by_url = Asked {
        by: By::TokenUrl("0195d1f2-url".to_owned()),
        bot: Some("bot-7".to_owned().try_into().unwrap()),
    };
    let happened = [
        mint(with_key(&world.acme)),
        Event::new(Happened::Mint {
            token_type: TokenType::LocalRecording,
            meeting_id: Some("123 4567 8901".to_owned().try_into().unwrap()),
            asked: by_url.clone(),
            outcome: Outcome::Failed { code: UNAVAILABLE },
        }),
        Event::new(Happened::Refresh {
            asked: By::KeepAlive.into(),
            outcome: Outcome::Succeeded,
        }),
        Event::new(Happened::StateChange {
            reason: Some(Reconnect::Revoked),
        }),
    ];
    given(&world, &id, &happened).await;

    let acme = "acme".parse().unwrap();
    let listed = world.operator.keys(&acme).await.unwrap();
    let nothing = json!({
        "event_id": null, "at": null, "kind": null, "outcome": null, "code": null, "type": null,
        "meeting_id": null, "asked_by": null, "key_id": null, "url_id": null, "bot_id": null,
        "state": null, "reason": null,
    });
    let shown = |event: &Event, says: Value| {
        let mut shown = nothing.clone();
        shown["event_id"] = json!(event.id.to_string());
        shown["at"] = json!(event.id.at().to_string());
        for (name, value) in says.as_object().unwrap() {
            shown[name] = value.clone();
        }
        shown
    };
    let expected = json!([
        shown(
            &happened[3],
            json!({ "kind": "state_change", "state": "invalid", "reason": "revoked" })
        ),
        shown(
            &happened[2],
            json!({ "kind": "refresh", "outcome": "succeeded", "asked_by": "keep_alive" })
        ),
        shown(
            &happened[1],
            json!({
                "kind": "mint", "outcome": "failed", "code": UNAVAILABLE, "type": "local_recording",
                "meeting_id": "12345678901", "asked_by": "token_url", "url_id": "0195d1f2-url",
                "bot_id": "bot-7",
            })
        ),
        shown(
            &happened[0],
            json!({
                "kind": "mint", "outcome": "succeeded", "type": "onbehalf", "asked_by": "api_key",
                "key_id": listed[0].key_id,
            })
        ),
    ]);
    let read = world.caller("acme", Permission::Read).await;
    assert_eq!(read.events(&id, "").await.expect(200), expected);
    assert_eq!(
        world.acme.events(&id.to_uppercase(), "").await.expect(200),
        expected
    );
}

#[tokio::test]
async fn an_event_is_kept_for_as_long_as_was_asked() {
    let world = World::new().await;
    let id = world.given_app("bot").await;
    let event = mint(By::KeepAlive.into());
    given(&world, &id, std::slice::from_ref(&event)).await;

    let rows = world.items("events").await;
    let purged: i64 = attribute(&rows[0], "purge_at").parse().unwrap();
    assert_eq!(purged, event.id.at().as_seconds() + 90 * 24 * 60 * 60);
}

#[tokio::test]
async fn a_mint_that_was_recorded_and_then_failed_is_put_right() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let event = mint(with_key(&world.acme));
    let other = mint(with_key(&world.acme));
    given(&world, &id, &[event.clone(), other]).await;
    let mut expected = world.acme.events(&id, "").await.expect(200);

    let failed = Event {
        id: event.id,
        what: Happened::Mint {
            token_type: TokenType::Onbehalf,
            meeting_id: None,
            asked: with_key(&world.acme),
            outcome: Outcome::Failed { code: UNAVAILABLE },
        },
    };
    given(&world, &id, &[failed]).await;

    expected[1]["outcome"] = json!("failed");
    expected[1]["code"] = json!(UNAVAILABLE);
    assert_eq!(world.acme.events(&id, "").await.expect(200), expected);
}

#[tokio::test]
async fn pages_follow_each_other_to_the_end_and_no_further() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let all = newest_first(&given_mints(&world, &id, 6).await);

    for (limit, sizes) in [
        (1, vec![1; 6]),
        (2, vec![2; 3]),
        (4, vec![4, 2]),
        (6, vec![6]),
    ] {
        let (mut seen, mut pages, mut cursor) = (Vec::new(), Vec::new(), String::new());
        loop {
            let page = world
                .acme
                .events(&id, &format!("?limit={limit}{cursor}"))
                .await;
            let events = page.expect(200);
            pages.push(ids(&events).len());
            seen.extend(ids(&events).into_iter().map(str::to_owned));
            match page.header("x-next-cursor") {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!((seen, pages), (all.clone(), sizes), "limit {limit}");
    }
}

#[tokio::test]
async fn a_page_whose_size_is_not_asked_for_has_a_hundred() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let all = newest_first(&given_mints(&world, &id, 101).await);

    let first = world.acme.events(&id, "").await;
    assert_eq!(ids(&first.expect(200)), all[..100]);
    let next = first.header("x-next-cursor").unwrap();
    let last = world.acme.events(&id, &format!("?cursor={next}")).await;
    assert_eq!(ids(&last.expect(200)), all[100..]);
    assert_eq!(last.header("x-next-cursor"), None);
}

#[tokio::test]
async fn a_page_that_new_events_come_before_goes_on_where_it_ended() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let all = newest_first(&given_mints(&world, &id, 3).await);
    let first = world.acme.events(&id, "?limit=2").await;
    given_mints(&world, &id, 2).await;

    let next = first.header("x-next-cursor").unwrap();
    let last = world.acme.events(&id, &format!("?cursor={next}")).await;
    assert_eq!(ids(&last.expect(200)), all[2..]);
}

#[tokio::test]
async fn a_page_is_of_the_one_credential() {
    let world = World::new().await;
    let (one, other) = (world.given_app("one").await, world.given_app("other").await);
    let of_one = newest_first(&given_mints(&world, &one, 2).await);
    let of_other = newest_first(&given_mints(&world, &other, 1).await);

    assert_eq!(ids(&world.acme.events(&one, "").await.expect(200)), of_one);
    assert_eq!(
        ids(&world.acme.events(&other, "").await.expect(200)),
        of_other
    );
}

#[tokio::test]
async fn a_page_that_cannot_be_is_refused() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    given_mints(&world, &id, 2).await;
    let of_another_list = URL_SAFE_NO_PAD.encode([&[1], [0; 16].as_slice()].concat());
    let limit = "querystring/limit must be an integer from 1 to 1000";
    let cursor = "querystring/cursor must be a cursor from the header x-next-cursor";
    for (query, message) in [
        ("?limit=0", limit),
        ("?limit=1001", limit),
        ("?limit=-1", limit),
        ("?limit=1.0", limit),
        ("?limit=%2B1", limit),
        ("?limit=99999999999999999999", limit),
        ("?cursor=m4rk3r", cursor),
        ("?cursor=AgAA", cursor),
        (&format!("?cursor={of_another_list}"), cursor),
    ] {
        let answer = world.acme.events(&id, query).await;
        answer.expect_error(400, "FST_ERR_VALIDATION", message);
    }
    let answer = world.acme.events("no-id", "").await;
    answer.expect_error(
        400,
        "FST_ERR_VALIDATION",
        "params/id must match format \"uuid\"",
    );
    // Nor does the list of credentials take a cursor of these.
    let page = world.acme.events(&id, "?limit=1").await;
    let next = page.header("x-next-cursor").unwrap();
    let list = world.acme.list(&format!("?cursor={next}")).await;
    list.expect_error(400, "FST_ERR_VALIDATION", cursor);
}

#[tokio::test]
async fn events_of_an_absent_a_deleted_and_a_foreign_credential_are_not_found_alike() {
    let world = World::new().await;
    let rival = world.caller("rival", Permission::Full).await;
    let (foreign, deleted) = (
        world.given_app("bot").await,
        world.given_app("deleted").await,
    );
    for id in [&foreign, &deleted] {
        given_mints(&world, id, 2).await;
    }
    world.acme.delete(&deleted).await.expect(200);

    let absent = CredentialId::generate().to_string();
    let mut bodies = Vec::new();
    for (caller, id) in [
        (&rival, &foreign),
        (&rival, &deleted),
        (&rival, &absent),
        (&world.acme, &deleted),
        (&world.acme, &absent),
    ] {
        for query in ["", "?limit=1"] {
            let answer = caller.events(id, query).await;
            answer.expect_error(404, NOT_FOUND, "Zoom credential not found");
            assert_eq!(answer.header("x-next-cursor"), None);
            bodies.push(answer.text);
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

/// Which cannot be by any handler: this is for the one that is wrong some day.
#[tokio::test]
async fn an_event_of_another_team_is_not_shown() {
    let world = World::new().await;
    let id = world.given_app("bot").await;
    let own = newest_first(&given_mints(&world, &id, 1).await);
    let mut row = world.items("events").await.remove(0);
    for (name, text) in [
        ("team_id", "rival".to_owned()),
        ("event_id", EventId::generate().to_string()),
    ] {
        row.insert(name.to_owned(), AttributeValue::S(text));
    }
    world.put("events", row).await;

    assert_eq!(ids(&world.acme.events(&id, "").await.expect(200)), own);
}

#[tokio::test]
async fn only_a_get_reads_events() {
    let world = World::new().await;
    let id = world.given_app("bot").await;
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let path = format!("/v2/zoom-credentials/{id}/events");
        let answer = world.acme.send_text(method, &path, "{}").await;
        answer.expect_code(404, "FST_ERR_NOT_FOUND");
    }
}
