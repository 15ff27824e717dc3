//! Lists of a team with many rows: each answer is in time, complete, or has a cursor.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use axum::body::to_bytes;
use reqwest::Method;
use serde_json::{Value, json};
use shared::credential::CredentialId;

use crate::apps::{ROTATE_PATH, given_app_credentials};
use crate::minting::{mint, mint_onbehalf};
use crate::proxy::{Call, Fault, Rule, Service};
use crate::reading::{down, expect_too_large, extra, id_in, names, pages, store_rows};
use crate::world::{Answer, CLIENT_SECRET, Item, World, attribute, send};

/// Text of this size makes 60 rows more than one page: DynamoDB ends a page at 1 MB.
const LARGE: usize = 20_000;
const MORE_THAN_A_PAGE: usize = 60;

/// A function with this time-out has three seconds to read rows. The rest is for its answer.
const TIME_OUT: Duration = Duration::from_secs(5);

impl World {
    /// Calls a function of `acme` that Lambda stops after this time.
    async fn call_within(
        &self,
        time_out: Duration,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Answer {
        let request = axum::http::Request::builder()
            .method(method)
            .uri(path)
            .header("x-meeting-baas-api-key", self.acme.key())
            .header("content-type", "application/json")
            .body(());
        let (parts, ()) = request.unwrap().into_parts();
        let body = body.to_string().into_bytes();
        let (head, body) = self
            .gateway
            .answer_within(parts, body, time_out)
            .await
            .into_parts();
        let text = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            text: String::from_utf8(text).unwrap(),
        }
    }

    /// How many queries of a table, or of an index, the functions sent.
    fn queries_of(&self, name: &str) -> usize {
        let calls = self.wire.calls().into_iter();
        let calls = calls.filter(|call| call.operation == "Query");
        let body = |call: &Call| String::from_utf8(call.body.to_vec()).unwrap();
        let name = format!("\"{name}\"");
        calls.filter(|call| body(call).contains(&name)).count()
    }
}

/// Every query meets a fault.
fn on_queries(world: &World, nth: Option<u64>, fault: Fault) {
    world.wire.inject(Rule {
        service: Some(Service::DynamoDb),
        operation: Some("Query"),
        nth,
        fault,
    });
}

/// A row with text attributes, and filler that no reader knows.
fn large_row(attributes: &[(&str, &str)]) -> Item {
    let filler = "x".repeat(LARGE);
    let attributes = attributes.iter().copied();
    let attributes = attributes.chain([("filler", filler.as_str())]);
    attributes
        .map(|(name, text)| (name.to_owned(), AttributeValue::S(text.to_owned())))
        .collect()
}

#[tokio::test]
async fn a_list_that_takes_too_long_is_an_error_and_its_pages_are_short_and_complete() {
    let world = World::new().await;
    // Three pages of DynamoDB.
    store_rows(&world, 140, &[("extra", &extra(16 * 1024, false))]).await;
    let list = async |query: &str| {
        on_queries(&world, None, Fault::Delay(Duration::from_secs(2)));
        let path = format!("/v2/zoom-credentials{query}");
        let answer = world.call_within(TIME_OUT, Method::GET, &path, &Value::Null);
        let answer = answer.await;
        world.wire.heal();
        answer
    };

    for query in ["", "?name=7", "?extra=a:none", "?zoom_user_id=nobody"] {
        expect_too_large(&list(query).await);
    }

    // The newest matches, and the cursor after them.
    let first = list("?name=7&limit=1000").await;
    let first_names = first.expect(200);
    let next = first.header("x-next-cursor").unwrap();
    let rest = pages(&world.acme, &format!("?name=7&cursor={next}")).await;
    let found = names(&first_names).into_iter();
    let found: Vec<&str> = found.chain(rest.iter().flat_map(names)).collect();
    let all = down(139, 0);
    let matches: Vec<&str> = all
        .iter()
        .map(String::as_str)
        .filter(|name| name.contains('7'))
        .collect();
    assert_eq!(found, matches);
    assert!(
        (1..matches.len()).contains(&names(&first_names).len()),
        "{first_names}"
    );
    // A page without a match has a cursor too.
    let empty = list("?name=none&limit=1000").await;
    assert_eq!(empty.expect(200), json!([]));
    assert!(empty.header("x-next-cursor").is_some());
}

#[tokio::test]
async fn a_rotation_that_waits_for_a_page_answers_in_time_with_its_cursor() {
    let world = World::new().await;
    given_app_credentials(&world, 3).await;
    // Two more pages, with credentials of another app.
    store_rows(&world, 220, &[("client_id", "other-app")]).await;
    let body = json!({ "client_secret": CLIENT_SECRET });

    let mut cursor = String::new();
    for count in [3, 0] {
        // DynamoDB answers the first query and is silent then.
        on_queries(&world, Some(1), Fault::Delay(Duration::ZERO));
        on_queries(&world, None, Fault::Stall);
        let path = format!("{ROTATE_PATH}{cursor}");
        let answer = world.call_within(TIME_OUT, Method::POST, &path, &body);
        let answer = answer.await;
        world.wire.heal();
        assert_eq!(
            answer.expect(200),
            json!({
                "credentials": count, "resealed": count, "healed": 0, "failed": 0, "unreadable": 0,
                "done": false,
            })
        );
        cursor = format!("?cursor={}", answer.header("x-next-cursor").unwrap());
    }
    let rest = world.acme.rotate(CLIENT_SECRET, &cursor).await.expect(200);
    assert_eq!(
        (&rest["credentials"], &rest["done"]),
        (&json!(0), &json!(true))
    );
}

#[tokio::test]
async fn dynamodb_itself_filters_by_user_type_and_state() {
    let world = World::new().await;
    // More values than DynamoDB takes in one condition.
    let many = format!("?credential_type=app{}", ",app".repeat(150));
    for (query, more) in [
        ("", ""),
        ("?deleted=true", ""),
        ("?zoom_user_id=ada", " AND #zoom_user_id = :zoom_user_id"),
        (
            "?credential_type=user",
            " AND #credential_type = :credential_type",
        ),
        (&many, " AND #credential_type = :credential_type"),
        ("?credential_type=user,app", ""),
        ("?state=invalid", " AND #state = :state"),
        ("?state=invalid,active", ""),
        (
            "?state=active&credential_type=app",
            " AND #credential_type = :credential_type AND #state = :state",
        ),
        // DynamoDB compares byte by byte, so the vault itself checks these.
        ("?name=x&zoom_email=x&zoom_display_name=x&extra=a:b", ""),
    ] {
        world.wire.reset();
        world.acme.list(query).await.expect(200);
        let calls = world.wire.calls();
        let queried = calls.iter().find(|call| call.operation == "Query");
        let body: Value = serde_json::from_slice(&queried.unwrap().body).unwrap();
        let filter = format!("#deleted = :deleted{more}");
        assert_eq!(body["FilterExpression"], filter, "{query}");
    }
}

/// Adds large copies of the only row of a table. Returns the ids of all rows, newest first.
async fn given_large_copies(world: &World, table: &str, id: &str) -> Vec<String> {
    let rows = world.items(table).await;
    let mut ids: Vec<String> = rows
        .iter()
        .map(|row| attribute(row, id).to_owned())
        .collect();
    ids.sort_unstable_by(|a, b| b.cmp(a));
    let row = &rows[0];
    for _ in 0..MORE_THAN_A_PAGE {
        let new = CredentialId::generate().to_string();
        let mut copy = row.clone();
        copy.extend(large_row(&[(id, &new)]));
        world.put(table, copy).await;
        ids.insert(0, new);
    }
    ids
}

#[tokio::test]
async fn a_page_of_events_or_urls_that_dynamodb_cuts_has_a_cursor() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
    world.given_url(&id, json!({ "type": "zak" })).await;
    for (path, table, name) in [
        ("events", "events", "event_id"),
        ("token-urls", "token-urls", "url_id"),
    ] {
        let expected = given_large_copies(&world, table, name).await;
        let (mut ids, mut pages, mut cursor) = (Vec::new(), 0, String::new());
        loop {
            let path = format!("/v2/zoom-credentials/{id}/{path}?limit=1000{cursor}");
            let page = send(world.acme.request(Method::GET, &path)).await;
            let items = page.expect(200);
            let items = items.as_array().unwrap().iter();
            ids.extend(items.map(|it| it[name].as_str().unwrap().to_owned()));
            pages += 1;
            match page.header("x-next-cursor") {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!((ids, pages), (expected, 2), "{table}");
    }
}

#[tokio::test]
async fn a_user_is_found_on_the_second_page_of_the_index() {
    let world = World::new().await;
    let template = world.row(&world.add_app_credential("template").await).await;
    // The index has the client id of each row.
    let client_id = AttributeValue::S("x".repeat(LARGE));
    let rows = (0..MORE_THAN_A_PAGE).map(|_| {
        let mut row = template.clone();
        let id = CredentialId::generate().to_string();
        row.insert("credential_id".to_owned(), AttributeValue::S(id));
        row.insert("client_id".to_owned(), client_id.clone());
        row.insert(
            "zoom_user_id".to_owned(),
            AttributeValue::S("ada".to_owned()),
        );
        row
    });
    world.put_rows(rows.collect()).await;
    let id = world.add_user_credential("bot").await;
    let user = world.acme.get(&id).await.expect(200)["zoom_user_id"].clone();
    world.wire.reset();

    let body = json!({ "credential_user_id": user, "type": "onbehalf" });
    mint(&world.acme, body).await.expect(200);

    assert_eq!(world.queries_of("by-zoom-user"), 2);
}

#[tokio::test]
async fn a_purge_deletes_more_than_one_page_of_token_urls() {
    let world = World::new().await;
    let rows = store_rows(&world, 1, &[]).await;
    let id = id_in(&rows[0]);
    for _ in 0..MORE_THAN_A_PAGE {
        let url = CredentialId::generate().to_string();
        let row = [("credential_id", id), ("team_id", "acme"), ("url_id", &url)];
        world.put("token-urls", large_row(&row)).await;
    }
    world.acme.delete(id).await.expect(200);
    world.expire_deleted().await;
    world.wire.reset();

    assert!(world.drain_stream().await);

    assert_eq!(world.count("token-urls").await, 0);
    assert_eq!(world.queries_of("token-urls"), 2);
}
