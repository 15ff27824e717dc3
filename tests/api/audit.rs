//! The audit trail: every change has an event that names the actor, the request and the fields. `GET /v2/events` lists
//! the events of a team.

use reqwest::Method;
use serde_json::{Value, json};
use shared::api_key::{ApiKey, KeyTerms, Permission};
use shared::event::EventKind;

use crate::minting::mint_onbehalf;
use crate::proxy::{Fault, Rule, Service};
use crate::vendors::RECALL;
use crate::world::{
    Answer, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, World, app_body, attribute, id_of, send,
    user_body,
};

impl World {
    /// The events of `acme`, oldest first.
    async fn trail(&self, query: &str) -> Vec<Value> {
        let listed = self.team_events(query).await.expect(200);
        listed.as_array().unwrap().iter().rev().cloned().collect()
    }

    pub(crate) async fn team_events(&self, query: &str) -> Answer {
        let path = format!("/v2/events{query}");
        send(self.acme.request(Method::GET, &path)).await
    }

    /// The actor of what the caller `acme` does.
    fn acme_as_actor(&self) -> Value {
        let key = ApiKey::parse(self.acme.key()).unwrap();
        json!({ "type": "key", "id": key.hash().id().as_str() })
    }
}

// assures 54
#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one list of every change")]
async fn every_change_over_the_api_has_one_event_with_its_actor_request_and_fields() {
    let world = World::new().await;
    let urls = |id: &str| format!("/v2/zoom-credentials/{id}/token-urls");
    let app = format!("/v2/zoom-apps/{CLIENT_ID}");
    let vendor = "/v2/vendors/recall";
    let about = |id: &str| (json!(id), json!(null));
    let target = |kind: &str, id: &str| json!({ "type": kind, "id": id });
    let mut expected: Vec<(String, String, Value, Value, Vec<String>)> = Vec::new();
    let mut note = |answer: &Answer, kind: &str, (id, target): (Value, Value), changed: &[&str]| {
        let request = answer.header("x-request-id").unwrap().to_owned();
        let changed = changed.iter().map(|it| (*it).to_owned()).collect();
        expected.push((request, kind.to_owned(), id, target, changed));
    };

    let answer = world.acme.create(user_body("bot", &world.code())).await;
    let id = id_of(&answer.expect(201));
    let fields = ["name", "client_id", "client_secret", "authorization"];
    note(&answer, "created", about(&id), &fields);
    let answer = world.acme.create(app_body("app")).await;
    let app_id = id_of(&answer.expect(201));
    note(&answer, "created", about(&app_id), &fields[..3]);
    let body = json!({ "name": "renamed", "extra": {} });
    let answer = world.acme.update(&id, body).await;
    answer.expect(200);
    note(&answer, "updated", about(&id), &["name", "extra"]);
    world.register_app("other", "secret");
    let body = json!({ "client_id": "other", "client_secret": "secret" });
    let answer = world.acme.update(&app_id, body).await;
    answer.expect(200);
    let fields = ["client_id", "client_secret"];
    note(&answer, "updated", about(&app_id), &fields);
    let body = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    let answer = world.acme.update(&id, body).await;
    answer.expect(200);
    note(&answer, "updated", about(&id), &["authorization"]);

    let secrets = json!({ "secrets": [RECALL] });
    let answer = send(world.acme.request(Method::PUT, vendor).json(&secrets)).await;
    answer.expect(200);
    let recall = || (json!(null), target("vendor", "recall"));
    note(&answer, "vendor_set", recall(), &["secrets"]);
    let body = json!({ "type": "zak", "label": "x", "max_uses": 3, "verify": "recall" });
    let answer = send(world.acme.request(Method::POST, &urls(&id)).json(&body)).await;
    let url = answer.expect(201)["url_id"].as_str().unwrap().to_owned();
    let of_url = || (json!(id), target("token_url", &url));
    let fields = ["type", "label", "verify", "max_uses"];
    note(&answer, "url_created", of_url(), &fields);
    let path = format!("{}/{url}", urls(&id));
    let answer = send(world.acme.request(Method::DELETE, &path)).await;
    answer.expect(200);
    note(&answer, "url_revoked", of_url(), &[]);
    let answer = send(world.acme.request(Method::DELETE, vendor)).await;
    answer.expect(200);
    note(&answer, "vendor_set", recall(), &["secrets_removed"]);

    for (body, credential, fields) in [
        (
            json!({ "name": "desk", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET }),
            json!(null),
            vec!["name", "client_id", "client_secret"],
        ),
        (
            json!({ "credential_id": id }),
            json!(id),
            vec!["credential_id"],
        ),
        (
            json!({ "name": "desk", "app_credential_id": app_id }),
            json!(null),
            vec!["name", "app_credential_id"],
        ),
    ] {
        let sessions = "/v2/zoom-connect-sessions";
        let answer = send(world.acme.request(Method::POST, sessions).json(&body)).await;
        let session = answer.expect(201)["session_id"].clone();
        let session = target("connect_session", session.as_str().unwrap());
        note(&answer, "session_created", (credential, session), &fields);
    }

    let of_app = |credential: Value| (credential, target("zoom_app", CLIENT_ID));
    let body = json!({ "client_secret": CLIENT_SECRET, "webhook_secret_token": "token" });
    let answer = send(world.acme.request(Method::PUT, &app).json(&body)).await;
    answer.expect(200);
    let fields = ["client_secret", "webhook_secret_token"];
    note(&answer, "app_registered", of_app(json!(null)), &fields);
    let rotation = format!("{app}/rotate-secret");
    let body = json!({ "client_secret": CLIENT_SECRET });
    let answer = send(world.acme.request(Method::POST, &rotation).json(&body)).await;
    answer.expect(200);
    note(
        &answer,
        "secret_rotated",
        of_app(json!(id)),
        &["client_secret"],
    );
    let answer = send(world.acme.request(Method::DELETE, &app)).await;
    answer.expect(200);
    note(&answer, "app_deleted", of_app(json!(null)), &[]);

    let answer = world.acme.delete(&id).await;
    answer.expect(200);
    note(&answer, "deleted", about(&id), &[]);
    let answer = world.acme.restore(&id).await;
    answer.expect(200);
    note(&answer, "restored", about(&id), &[]);

    let trail = world.trail("").await;
    let found: Vec<_> = trail
        .iter()
        .map(|event| {
            let text = |name: &str| event[name].as_str().unwrap().to_owned();
            let changed = event["changed"].as_array().unwrap().iter();
            assert_eq!(event["actor"], world.acme_as_actor());
            assert_eq!(event["outcome"], "succeeded");
            (
                text("request_id"),
                text("kind"),
                event["credential_id"].clone(),
                event["target"].clone(),
                changed
                    .map(|it| it.as_str().unwrap().to_owned())
                    .collect::<Vec<_>>(),
            )
        })
        .collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_refused_change_has_no_event() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let before = world.trail("").await;
    world
        .acme
        .update(&id, json!({ "name": 1 }))
        .await
        .expect_code(400, "FST_ERR_VALIDATION");
    world
        .acme
        .restore(&id)
        .await
        .expect_code(404, "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID");
    let read = world.caller("acme", Permission::Read).await;
    read.delete(&id).await.expect_code(403, "FST_ERR_FORBIDDEN");
    assert_eq!(world.trail("").await, before);
}

/// The event and the change are one transaction.
// assures 54
#[tokio::test]
async fn a_change_that_dynamodb_refuses_has_no_event_and_no_effect() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let tables = async || {
        [
            world.sorted_rows("credentials").await,
            world.sorted_rows("events").await,
        ]
    };
    let before = tables().await;
    world.wire.inject(Rule {
        service: Some(Service::DynamoDb),
        operation: Some("TransactWriteItems"),
        nth: None,
        fault: Fault::DropBefore,
    });
    world
        .acme
        .update(&id, json!({ "name": "renamed" }))
        .await
        .expect_code(503, "FST_ERR_UNAVAILABLE");
    world
        .acme
        .delete(&id)
        .await
        .expect_code(503, "FST_ERR_UNAVAILABLE");
    assert_eq!(tables().await, before);
}

#[tokio::test]
async fn the_trail_of_a_team_is_filtered_by_kind_and_actor_and_comes_in_pages() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let url = world.given_url(&id, json!({ "type": "onbehalf" })).await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
    assert_eq!(world.vendor_gets(&url, "").await.status, 200);
    let kinds = async |query: &str| -> Vec<String> {
        let trail = world.trail(query).await.into_iter();
        trail
            .map(|event| event["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(kinds("").await, ["created", "url_created", "mint", "mint"]);
    assert_eq!(kinds("?kind=mint").await, ["mint", "mint"]);
    assert_eq!(kinds("?actor=token_url").await, ["mint"]);
    assert_eq!(
        kinds(&format!("?actor=token_url:{}", url.id)).await,
        ["mint"]
    );
    assert_eq!(kinds("?actor=token_url:other").await, [""; 0]);
    assert_eq!(kinds("?actor=key&kind=url_created").await, ["url_created"]);

    let (mut found, mut query) = (Vec::new(), "?limit=1".to_owned());
    loop {
        let page = world.team_events(&query).await;
        let events = page.expect(200);
        found.extend(events.as_array().unwrap().iter().rev().cloned());
        match page.header("x-next-cursor") {
            Some(next) => query = format!("?limit=1&cursor={next}"),
            None => break,
        }
    }
    found.reverse();
    assert_eq!(found, world.trail("").await);

    for (query, at) in [
        (
            "?kind=other",
            "querystring/kind must be mint, access_token_released, refresh, revoke, state_change, created, updated, deleted, restored, purged, \
             url_created, url_revoked, session_created, session_revoked, app_registered, app_deleted, secret_rotated, \
             vendor_set, endpoint_set, endpoint_tested, notification_failed, key_created, key_revoked, \
             team_changed, capsule_replayed or row_repaired",
        ),
        (
            "?actor=bot",
            "querystring/actor must be key, token_url, connect_session, webhook, schedule or operator, and may have :ID after it, \
             as in key:0123456789ab",
        ),
        (
            "?limit=0",
            "querystring/limit must be an integer from 1 to 1000",
        ),
    ] {
        world
            .team_events(query)
            .await
            .expect_error(400, "FST_ERR_VALIDATION", at);
    }
}

#[tokio::test]
async fn a_team_sees_its_own_trail_only_and_a_limited_key_sees_none() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let globex = world.caller("globex", Permission::Full).await;
    let answer = send(globex.request(Method::GET, "/v2/events")).await;
    assert_eq!(answer.expect(200), json!([]));
    let mint = world.caller("acme", Permission::Mint).await;
    let answer = send(mint.request(Method::GET, "/v2/events")).await;
    answer.expect_code(403, "FST_ERR_FORBIDDEN");
    let limited = KeyTerms {
        extra: "tenant:a".parse().unwrap(),
        ..KeyTerms::of(Permission::Read)
    };
    let (key, _) = world
        .operator
        .create_key(&world.team("acme"), limited)
        .await
        .unwrap();
    let limited = world.caller_with_key(&crate::world::text_of(key));
    let answer = send(limited.request(Method::GET, "/v2/events")).await;
    answer.expect_code(403, "FST_ERR_FORBIDDEN");
    assert_eq!(world.trail("").await[0]["credential_id"], id.as_str());
}

/// The first event is stored while Zoom is asked, and is never changed.
#[tokio::test]
async fn a_mint_that_fails_after_its_event_writes_a_second_event_that_names_the_first() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
    world.wire.inject_once(
        Service::Zoom,
        "/v2/users/me/token",
        Fault::Answer(hyper::StatusCode::INTERNAL_SERVER_ERROR, "{}".to_owned()),
    );
    mint_onbehalf(&world.acme, &id)
        .await
        .expect_code(502, "FST_ERR_ZOOM_UNAVAILABLE");

    let trail = world.trail("?kind=mint").await;
    let outcomes: Vec<_> = trail.iter().map(|event| event["outcome"].clone()).collect();
    assert_eq!(outcomes, ["succeeded", "succeeded", "failed"]);
    assert_eq!(trail[2]["corrects"], trail[1]["event_id"]);
    assert_eq!(trail[2]["code"], "FST_ERR_ZOOM_UNAVAILABLE");
    assert_eq!(trail[1]["corrects"], json!(null));
    assert_eq!(trail[2]["request_id"], trail[1]["request_id"]);
    for row in world.items("events").await {
        assert_eq!(attribute(&row, "team_id"), "acme");
    }
}

/// The page and the console have words for each kind. The message about an unknown kind lists the kinds.
#[test]
fn every_kind_of_event_is_explained_to_operators_and_in_the_console() {
    let page = include_str!("../../docs/operate.md");
    let console = include_str!("../../functions/assets/console/activity.js");
    let unknown = "no-kind".parse::<EventKind>().unwrap_err().to_string();
    let kinds = unknown
        .strip_prefix("must be ")
        .unwrap()
        .replace(" or ", ", ");
    for kind in kinds.split(", ") {
        assert!(
            page.contains(&format!("`{kind}`")),
            "operate.md lacks {kind}"
        );
        assert!(
            console.contains(&format!("{kind}: \"")),
            "the console lacks {kind}"
        );
    }
}
