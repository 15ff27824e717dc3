//! `GET /v2/zoom-credentials/{id}/events`: how the events of a credential are stored, and who may read them.

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use shared::api_key::{ApiKey, Permission};
use shared::credential::{CredentialId, ReconnectReason};
use shared::event::{Actor, Event, EventDetails, EventId, EventOutcome};
use shared::stores::{Events, RETENTION};
use shared::token::TokenType;
use shared::token_url::UrlId;

use crate::world::{Caller, World, attribute};

const UNAVAILABLE: &str = "FST_ERR_UNAVAILABLE";
const NOT_FOUND: &str = "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID";

fn events(world: &World) -> Events {
    Events::new(world.dynamodb.clone(), "events".to_owned(), RETENTION)
}

fn with_key(caller: &Caller) -> Actor {
    Actor::Key(ApiKey::parse(caller.key()).unwrap().hash().id())
}

fn event(actor: Actor, details: EventDetails) -> Event {
    Event::new(Some(actor), "request-1".to_owned(), details)
}

/// The event of a successful mint.
fn mint(actor: Actor) -> Event {
    let details = EventDetails::Mint {
        token_type: TokenType::Onbehalf,
        meeting_id: None,
        bot: None,
        outcome: EventOutcome::Succeeded,
        corrects: None,
    };
    event(actor, details)
}

/// Stores events of a credential of `acme`.
async fn given_events(world: &World, id: &str, stored: &[Event]) {
    let acme = "acme".parse().unwrap();
    let id: CredentialId = id.parse().unwrap();
    for event in stored {
        events(world).record(&acme, id, event).await.unwrap();
    }
}

/// Stores the events of `count` mints. Answers their ids, oldest first.
async fn given_mints(world: &World, id: &str, count: usize) -> Vec<EventId> {
    let mints: Vec<Event> = (0..count).map(|_| mint(Actor::Schedule)).collect();
    given_events(world, id, &mints).await;
    mints.iter().map(|mint| mint.id).collect()
}

/// A user credential of `acme` whose creation has left no event.
async fn credential_without_events(world: &World) -> String {
    let id = world.add_user_credential("bot").await;
    for row in world.items("events").await {
        let delete = world.dynamodb.delete_item().table_name("events");
        let key = ["credential_id", "event_id"].map(|name| (name.to_owned(), row[name].clone()));
        delete.set_key(Some(key.into())).send().await.unwrap();
    }
    id
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
async fn a_list_without_events_is_empty() {
    let world = World::new().await;
    let id = credential_without_events(&world).await;

    let page = world.acme.events(&id, "").await;
    assert_eq!(page.text, r#"{"success":true,"data":[]}"#);
    assert_eq!(page.header("x-next-cursor"), None);
}

#[tokio::test]
async fn each_kind_of_event_shows_what_happened_and_who_caused_it() {
    let world = World::new().await;
    let id = credential_without_events(&world).await;
    let url = UrlId::generate();
    let stored = [
        mint(with_key(&world.acme)),
        event(
            Actor::TokenUrl(url),
            EventDetails::Mint {
                token_type: TokenType::LocalRecording,
                meeting_id: Some("123 4567 8901".to_owned().try_into().unwrap()),
                bot: Some("bot-7".to_owned().try_into().unwrap()),
                outcome: EventOutcome::Failed { code: UNAVAILABLE },
                corrects: None,
            },
        ),
        event(
            Actor::Schedule,
            EventDetails::Refresh {
                bot: None,
                outcome: EventOutcome::Succeeded,
            },
        ),
        event(
            Actor::Operator("arn:aws:iam::1:user/ada".to_owned()),
            EventDetails::StateChange {
                reason: Some(ReconnectReason::Revoked),
            },
        ),
    ];
    given_events(&world, &id, &stored).await;

    let acme = "acme".parse().unwrap();
    let listed = world.operator.keys(&acme).await.unwrap();
    let empty = json!({
        "event_id": null, "at": null, "kind": null, "credential_id": id, "actor": null, "target": null,
        "request_id": "request-1", "changed": null, "outcome": null, "code": null, "corrects": null,
        "type": null, "meeting_id": null, "bot_id": null, "state": null, "reason": null,
    });
    let expected_event = |event: &Event, fields: Value| {
        let mut expected = empty.clone();
        expected["event_id"] = json!(event.id.to_string());
        expected["at"] = json!(event.id.at().to_string());
        for (name, value) in fields.as_object().unwrap() {
            expected[name] = value.clone();
        }
        expected
    };
    let actor = |kind: &str, id: Value| json!({ "type": kind, "id": id });
    let expected = json!([
        expected_event(
            &stored[3],
            json!({
                "kind": "state_change", "state": "invalid", "reason": "revoked",
                "actor": actor("operator", json!("arn:aws:iam::1:user/ada")),
            })
        ),
        expected_event(
            &stored[2],
            json!({ "kind": "refresh", "outcome": "succeeded", "actor": actor("schedule", json!(null)) })
        ),
        expected_event(
            &stored[1],
            json!({
                "kind": "mint", "outcome": "failed", "code": UNAVAILABLE, "type": "local_recording",
                "meeting_id": "12345678901", "actor": actor("token_url", json!(url)), "bot_id": "bot-7",
            })
        ),
        expected_event(
            &stored[0],
            json!({
                "kind": "mint", "outcome": "succeeded", "type": "onbehalf",
                "actor": actor("key", json!(listed.rows[0].key_id)),
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
async fn an_event_is_kept_for_90_days() {
    let world = World::new().await;
    let id = credential_without_events(&world).await;
    let event = mint(Actor::Schedule);
    given_events(&world, &id, std::slice::from_ref(&event)).await;

    let rows = world.items("events").await;
    let purged: i64 = attribute(&rows[0], "purge_at").parse().unwrap();
    assert_eq!(purged, event.id.at().as_seconds() + 90 * 24 * 60 * 60);
}

// assures 54
#[tokio::test]
async fn a_stored_event_is_never_changed() {
    let world = World::new().await;
    let id = credential_without_events(&world).await;
    let stored = mint(with_key(&world.acme));
    given_events(&world, &id, std::slice::from_ref(&stored)).await;
    let expected = world.acme.events(&id, "").await.expect(200);

    let changed = Event {
        details: EventDetails::StateChange { reason: None },
        ..stored
    };
    given_events(&world, &id, &[changed]).await;

    assert_eq!(world.acme.events(&id, "").await.expect(200), expected);
}

#[tokio::test]
async fn the_pages_contain_every_event_once_and_the_last_page_has_no_cursor() {
    let world = World::new().await;
    let id = credential_without_events(&world).await;
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
async fn a_page_without_a_limit_has_a_hundred_events() {
    let world = World::new().await;
    let id = credential_without_events(&world).await;
    let all = newest_first(&given_mints(&world, &id, 101).await);

    let first = world.acme.events(&id, "").await;
    assert_eq!(ids(&first.expect(200)), all[..100]);
    let next = first.header("x-next-cursor").unwrap();
    let last = world.acme.events(&id, &format!("?cursor={next}")).await;
    assert_eq!(ids(&last.expect(200)), all[100..]);
    assert_eq!(last.header("x-next-cursor"), None);
}

#[tokio::test]
async fn a_cursor_continues_where_its_page_ended_although_new_events_were_stored() {
    let world = World::new().await;
    let id = credential_without_events(&world).await;
    let all = newest_first(&given_mints(&world, &id, 3).await);
    let first = world.acme.events(&id, "?limit=2").await;
    given_mints(&world, &id, 2).await;

    let next = first.header("x-next-cursor").unwrap();
    let last = world.acme.events(&id, &format!("?cursor={next}")).await;
    assert_eq!(ids(&last.expect(200)), all[2..]);
}

#[tokio::test]
async fn a_page_has_only_events_of_its_credential() {
    let world = World::new().await;
    let (one, other) = (
        credential_without_events(&world).await,
        credential_without_events(&world).await,
    );
    let of_one = newest_first(&given_mints(&world, &one, 2).await);
    let of_other = newest_first(&given_mints(&world, &other, 1).await);

    assert_eq!(ids(&world.acme.events(&one, "").await.expect(200)), of_one);
    assert_eq!(
        ids(&world.acme.events(&other, "").await.expect(200)),
        of_other
    );
}

#[tokio::test]
async fn an_invalid_limit_or_cursor_is_refused() {
    let world = World::new().await;
    let id = credential_without_events(&world).await;
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
    // The list of credentials refuses a cursor of the list of events.
    let page = world.acme.events(&id, "?limit=1").await;
    let next = page.header("x-next-cursor").unwrap();
    let list = world.acme.list(&format!("?cursor={next}")).await;
    list.expect_error(400, "FST_ERR_VALIDATION", cursor);
}

#[tokio::test]
async fn the_events_of_an_absent_a_deleted_and_a_foreign_credential_get_the_same_404() {
    let world = World::new().await;
    let rival = world.caller("rival", Permission::Full).await;
    let (foreign, deleted) = (
        credential_without_events(&world).await,
        credential_without_events(&world).await,
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

/// No handler writes such a row today. The test protects against a future bug.
#[tokio::test]
async fn an_event_of_another_team_is_not_shown() {
    let world = World::new().await;
    let id = credential_without_events(&world).await;
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
async fn only_get_is_a_method_of_the_events() {
    let world = World::new().await;
    let id = credential_without_events(&world).await;
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let path = format!("/v2/zoom-credentials/{id}/events");
        let answer = world.acme.send_text(method, &path, "{}").await;
        answer.expect_code(404, "FST_ERR_NOT_FOUND");
    }
}
