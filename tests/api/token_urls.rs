//! Token URLs: creating, listing and revoking them.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::Method;
use serde_json::{Value, json};
use shared::api_key::{ApiKey, Permission};
use shared::stores::TeamSettingsChange;
use shared::timestamp::Timestamp;
use shared::token_url::{UrlId, UrlToken};
use uuid::Uuid;

use crate::deleting::expect_gone;
use crate::proxy::{Fault, Rule, Service};
use crate::world::{Answer, Caller, Item, World, attribute, send, with};

/// The message of every answer that does not find a URL.
pub(crate) const NO_URL: &str = "Token URL not found: it is unknown, revoked, expired or used up";

/// The message for a token URL of an app credential.
const NOT_A_USER_CREDENTIAL: &str = "The credential belongs to an app and has no Zoom user: authorize it with an authorization_code first";

fn path(id: &str) -> String {
    format!("/v2/zoom-credentials/{id}/token-urls")
}

impl Caller {
    /// `POST /v2/zoom-credentials/{id}/token-urls`
    pub(crate) async fn create_url(&self, id: &str, body: Value) -> Answer {
        send(self.request(Method::POST, &path(id)).json(&body)).await
    }

    /// `GET /v2/zoom-credentials/{id}/token-urls` and a query, `?` included.
    pub(crate) async fn urls(&self, id: &str, query: &str) -> Answer {
        send(self.request(Method::GET, &format!("{}{query}", path(id)))).await
    }

    /// `DELETE /v2/zoom-credentials/{id}/token-urls/{url_id}`
    pub(crate) async fn delete_url(&self, id: &str, url: &str) -> Answer {
        send(self.request(Method::DELETE, &format!("{}/{url}", path(id)))).await
    }
}

/// A token URL, as the answer to its creation has it.
#[derive(Clone, Debug)]
pub(crate) struct Url {
    pub(crate) id: String,
    pub(crate) url: String,
}

impl Url {
    /// The secret token in the URL.
    pub(crate) fn token(&self) -> &str {
        self.url.rsplit_once("/t/").unwrap().1
    }
}

/// The id of the caller's key.
fn key_id(caller: &Caller) -> String {
    let key = ApiKey::parse(caller.key()).unwrap();
    key.hash().id().to_string()
}

impl World {
    /// Creates a token URL of a credential of `acme`.
    pub(crate) async fn given_url(&self, id: &str, body: Value) -> Url {
        let created = self.acme.create_url(id, body).await.expect(201);
        let text = |name: &str| created[name].as_str().unwrap().to_owned();
        Url {
            id: text("url_id"),
            url: text("url"),
        }
    }

    /// The row of a token URL.
    pub(crate) async fn url_row(&self, url: &str) -> Item {
        let mut rows = self.items("token-urls").await.into_iter();
        rows.find(|row| attribute(row, "url_id") == url).unwrap()
    }

    /// Moves the end of a token URL into the past.
    pub(crate) async fn expire_url(&self, url: &str) {
        let mut row = self.url_row(url).await;
        let past = Timestamp::now().to_string();
        row.insert("expires_at".to_owned(), AttributeValue::S(past));
        self.put("token-urls", row).await;
    }

    /// How many uses of a token URL are taken.
    pub(crate) async fn uses(&self, url: &str) -> String {
        attribute(&self.url_row(url).await, "uses").to_owned()
    }
}

#[track_caller]
fn expect_no_url(answer: &Answer) {
    answer.expect_error(404, "FST_ERR_ZOOM_TOKEN_URL_NOT_FOUND", NO_URL);
}

// assures 20
#[tokio::test]
async fn a_url_is_created_with_all_fields_and_only_the_first_answer_has_its_token() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let body = json!({
        "type": "local_recording",
        "label": "Recall.ai, sales ✨",
        "meeting_id": "987 6543-2101",
        "max_uses": 1_000_000,
        "expires_in": 315_360_000,
        "unknown": { "is": "ignored" },
    });

    let before = Timestamp::now();
    let mut created = world.acme.create_url(&id, body).await.expect(201);
    let after = Timestamp::now();

    let url_id: Uuid = created["url_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(url_id.get_version_num(), 7);
    let created_at = created["created_at"].as_str().unwrap().to_owned();
    let created_at = Timestamp::try_from(created_at).unwrap();
    assert!((before..=after).contains(&created_at));
    let expires_at = created_at.plus(Duration::from_hours(10 * 365 * 24));
    let base = world.acme.request(Method::GET, "/t/").build().unwrap();
    let url = created.as_object_mut().unwrap().remove("url").unwrap();
    let token = url.as_str().unwrap().strip_prefix(base.url().as_str());
    let token = token.unwrap().to_owned();
    assert_eq!(token.len(), 4 + 86 + 6);
    assert_eq!(
        UrlToken::parse(&token).unwrap().url().to_string(),
        created["url_id"]
    );
    assert_eq!(UrlToken::parse(&token).unwrap().partition().to_string(), id);
    let expected = json!({
        "url_id": url_id.to_string(),
        "type": "local_recording",
        "label": "Recall.ai, sales ✨",
        "meeting_id": "98765432101",
        "verify": null,
        "max_uses": 1_000_000,
        "uses": 0,
        "created_at": created_at.to_string(),
        "created_by": key_id(&world.acme),
        "expires_at": expires_at.to_string(),
    });
    assert_eq!(created, expected);

    let listed = world.acme.urls(&id, "").await;
    assert_eq!(listed.expect(200), json!([expected]));
    assert!(!listed.text.contains(&token));
    for row in world.rows("token-urls").await {
        assert!(!row.contains(&token));
    }
    // DynamoDB's TTL deletes the row a month after the URL has expired.
    let row = world.url_row(&url_id.to_string()).await;
    let purge = expires_at.plus(Duration::from_hours(30 * 24)).as_seconds();
    assert_eq!(attribute(&row, "purge_at"), purge.to_string());
}

#[tokio::test]
async fn a_url_can_be_created_with_only_a_type() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    for kind in ["onbehalf", "zak", "local_recording"] {
        let created = world.acme.create_url(&id, json!({ "type": kind })).await;
        let mut created = created.expect(201);
        let fields = created.as_object_mut().unwrap();
        for name in ["url_id", "url", "created_at"] {
            fields.remove(name).unwrap();
        }
        let expected = json!({
            "type": kind, "label": null, "meeting_id": null, "verify": null, "max_uses": null, "uses": 0,
            "created_by": key_id(&world.acme), "expires_at": null,
        });
        assert_eq!(created, expected);
    }
    for row in world.items("token-urls").await {
        assert!(!row.contains_key("purge_at"));
    }
}

#[tokio::test]
async fn an_invalid_field_is_refused_with_its_rule_and_no_url_is_stored() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let good = json!({ "type": "onbehalf", "label": "l", "meeting_id": "1", "max_uses": 1, "expires_in": 60 });
    for (field, values, rule) in [
        (
            "type",
            vec![json!("sdk_jwt"), json!("ZAK"), json!("")],
            "must be one of onbehalf, zak, local_recording, access_token",
        ),
        ("type", vec![json!(1), json!(["zak"])], "must be string"),
        (
            "label",
            vec![json!("")],
            "must NOT have fewer than 1 characters",
        ),
        (
            "label",
            vec![json!("x".repeat(101))],
            "must NOT have more than 100 characters",
        ),
        ("label", vec![json!(7)], "must be string"),
        (
            "meeting_id",
            vec![json!(""), json!("abc"), json!("1".repeat(21))],
            "must be a Zoom meeting number: 1 to 20 digits",
        ),
        (
            "meeting_id",
            vec![json!(98_765_432_101_u64)],
            "must be string",
        ),
        (
            "max_uses",
            vec![
                json!(0),
                json!(1_000_001),
                json!(-1),
                json!(1.5),
                json!("1"),
                json!([1]),
            ],
            "must be an integer from 1 to 1000000",
        ),
        (
            "expires_in",
            vec![
                json!(59),
                json!(315_360_001),
                json!(u64::MAX),
                json!(60.0),
                json!(true),
            ],
            "must be an integer from 60 to 315360000",
        ),
    ] {
        for value in values {
            let answer = world
                .acme
                .create_url(&id, with(good.clone(), json!({ field: value })))
                .await;
            answer.expect_error(400, "FST_ERR_VALIDATION", &format!("body/{field} {rule}"));
        }
    }
    let answer = world
        .acme
        .create_url(&id, with(good.clone(), json!({ "type": null })))
        .await;
    answer.expect_error(400, "FST_ERR_VALIDATION", "body/type is required");
    for (field, value) in [
        ("max_uses", "null"),
        ("expires_in", "1e3"),
        ("max_uses", "-0"),
    ] {
        let body = format!(r#"{{"type":"zak","{field}":{value}}}"#);
        let answer = world.acme.send_text(Method::POST, &path(&id), body).await;
        answer.expect_code(400, "FST_ERR_VALIDATION");
    }
    assert_eq!(world.count("token-urls").await, 0);
    world.acme.create_url(&id, good).await.expect(201);
}

#[tokio::test]
async fn an_app_credential_cannot_have_token_urls() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;
    let answer = world.acme.create_url(&id, json!({ "type": "zak" })).await;
    answer.expect_error(
        400,
        "FST_ERR_ZOOM_NOT_A_USER_CREDENTIAL",
        NOT_A_USER_CREDENTIAL,
    );
    assert_eq!(world.acme.urls(&id, "").await.expect(200), json!([]));
    assert_eq!(world.count("token-urls").await, 0);
}

#[tokio::test]
async fn urls_are_listed_newest_first_and_in_pages() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let other = world.add_user_credential("other").await;
    world.given_url(&other, json!({ "type": "zak" })).await;
    let mut ids = Vec::new();
    for count in 1..=5 {
        let body = json!({ "type": "onbehalf", "max_uses": count });
        ids.insert(0, world.given_url(&id, body).await.id);
    }
    let ids_on_page = |answer: &Answer| -> Vec<String> {
        let urls = answer.expect(200);
        let urls = urls.as_array().unwrap().iter();
        urls.map(|url| url["url_id"].as_str().unwrap().to_owned())
            .collect()
    };

    let all = world.acme.urls(&id, "").await;
    assert_eq!(ids_on_page(&all), ids);
    assert_eq!(all.header("x-next-cursor"), None);

    // A revoked URL is missing from its page, and no other URL is missing.
    world.acme.delete_url(&id, &ids.remove(2)).await.expect(200);
    let (mut found, mut query) = (Vec::new(), "?limit=2".to_owned());
    loop {
        let page = world.acme.urls(&id, &query).await;
        found.extend(ids_on_page(&page));
        let Some(cursor) = page.header("x-next-cursor") else {
            break;
        };
        query = format!("?limit=2&cursor={cursor}");
    }
    assert_eq!(found, ids);

    for (query, message) in [
        (
            "?limit=0",
            "querystring/limit must be an integer from 1 to 1000",
        ),
        (
            "?limit=1001",
            "querystring/limit must be an integer from 1 to 1000",
        ),
        (
            "?cursor=AQ",
            "querystring/cursor must be a cursor from the header x-next-cursor",
        ),
    ] {
        let answer = world.acme.urls(&id, query).await;
        answer.expect_error(400, "FST_ERR_VALIDATION", message);
    }
}

#[tokio::test]
async fn a_revoked_url_is_not_listed_and_cannot_be_revoked_twice() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let url = world.given_url(&id, json!({ "type": "zak" })).await;

    let answer = world.acme.delete_url(&id, &url.id.to_uppercase()).await;
    assert_eq!(
        answer.expect(200),
        json!({ "message": "Token URL revoked successfully" })
    );
    assert_eq!(world.acme.urls(&id, "").await.expect(200), json!([]));
    expect_no_url(&world.acme.delete_url(&id, &url.id).await);

    // DynamoDB's TTL deletes the row a month after the revocation.
    let row = world.url_row(&url.id).await;
    let at = Timestamp::try_from(attribute(&row, "revoked_at").to_owned()).unwrap();
    let purge = at.plus(Duration::from_hours(30 * 24)).as_seconds();
    assert_eq!(attribute(&row, "purge_at"), purge.to_string());
}

#[tokio::test]
async fn a_revocation_whose_answer_was_lost_succeeds_on_the_retry_of_the_sdk() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let url = world.given_url(&id, json!({ "type": "zak" })).await;
    world.wire.reset();
    world.wire.inject(Rule {
        service: Some(Service::DynamoDb),
        operation: Some("TransactWriteItems"),
        nth: Some(1),
        fault: Fault::DropAfter,
    });

    world.acme.delete_url(&id, &url.id).await.expect(200);
    let operations = world.wire.operations(Service::DynamoDb).into_iter();
    let revocations = operations.filter(|operation| operation == "TransactWriteItems");
    assert_eq!(revocations.count(), 2);
    // The retry has changed nothing: there is one event.
    let events = world.acme.events(&id, "").await.expect(200);
    let revoked = events.as_array().unwrap().iter();
    let revoked = revoked.filter(|event| event["kind"] == "url_revoked");
    assert_eq!(revoked.count(), 1);
}

#[tokio::test]
async fn urls_of_a_deleted_credential_are_not_listed_but_can_be_revoked() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let url = world.given_url(&id, json!({ "type": "zak" })).await;
    world.acme.delete(&id).await.expect(200);

    expect_gone(&world.acme.urls(&id, "").await);
    expect_gone(&world.acme.create_url(&id, json!({ "type": "zak" })).await);
    world.acme.delete_url(&id, &url.id).await.expect(200);
}

// assures 17
#[tokio::test]
async fn the_urls_of_another_team_are_answered_as_not_found() {
    let world = World::new().await;
    let rival = world.caller("rival", Permission::Full).await;
    let id = world.add_user_credential("bot").await;
    let url = world.given_url(&id, json!({ "type": "zak" })).await;

    expect_gone(&rival.create_url(&id, json!({ "type": "zak" })).await);
    expect_gone(&rival.urls(&id, "").await);
    let of_acme = rival.delete_url(&id, &url.id).await;
    let unknown = rival.delete_url(&id, &UrlId::generate().to_string()).await;
    expect_no_url(&of_acme);
    assert_eq!(of_acme.text, unknown.text);
    assert_eq!(
        world.acme.urls(&id, "").await.expect(200)[0]["url_id"],
        url.id
    );
}

#[tokio::test]
async fn a_malformed_id_is_refused_with_the_name_of_the_parameter() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let bad = world.acme.delete_url(&id, "no-id").await;
    bad.expect_error(
        400,
        "FST_ERR_VALIDATION",
        "params/url_id must match format \"uuid\"",
    );
    let bad = world
        .acme
        .create_url("no-id", json!({ "type": "zak" }))
        .await;
    bad.expect_error(
        400,
        "FST_ERR_VALIDATION",
        "params/id must match format \"uuid\"",
    );
}

#[tokio::test]
async fn creating_and_revoking_a_url_need_a_full_key_and_count_against_the_rate() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let url = world.given_url(&id, json!({ "type": "zak" })).await;
    for permission in [Permission::Read, Permission::Mint] {
        let caller = world.caller("acme", permission).await;
        let refused = [
            caller.create_url(&id, json!({ "type": "zak" })).await,
            caller.delete_url(&id, &url.id).await,
        ];
        for answer in refused {
            answer.expect_code(403, "FST_ERR_FORBIDDEN");
            assert!(answer.header("x-ratelimit-limit").is_some());
        }
        let listed = caller.urls(&id, "").await;
        match permission {
            Permission::Mint => drop(listed.expect_code(403, "FST_ERR_FORBIDDEN")),
            Permission::Full | Permission::Read => drop(listed.expect(200)),
        }
    }
    let acme = "acme".parse().unwrap();
    let settings = TeamSettingsChange {
        rate: Some(0),
        ..TeamSettingsChange::default()
    };
    let settings = world.operator.set(&acme, settings).await.unwrap();
    assert_eq!(settings.rate, 0);
    for answer in [
        world.acme.create_url(&id, json!({ "type": "zak" })).await,
        world.acme.delete_url(&id, &url.id).await,
    ] {
        answer.expect_code(429, "FST_ERR_TOO_MANY_REQUESTS");
    }
    assert_eq!(world.count("token-urls").await, 1);
    assert_eq!(world.acme.urls(&id, "").await.expect(200)[0]["uses"], 0);
}

/// With a meeting, a ZAK would look as if it were bound to the meeting. Zoom binds it to none.
#[tokio::test]
async fn a_url_for_zaks_cannot_name_a_meeting() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let body = json!({ "type": "zak", "meeting_id": "98765432101" });
    world.acme.create_url(&id, body).await.expect_error(
        400,
        "FST_ERR_VALIDATION",
        "body/meeting_id must NOT come with the type zak: Zoom binds a ZAK to no meeting, so the bot could start any",
    );
    assert_eq!(world.count("token-urls").await, 0);
}
