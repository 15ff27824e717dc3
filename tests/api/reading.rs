//! Getting and listing: filters, pages, and size limits.

use aws_sdk_dynamodb::types::AttributeValue;
use local::zoom::User;
use serde_json::{Value, json};
use shared::credential::CredentialId;

use crate::proxy::{Fault, Rule, Service};
use crate::world::{Answer, Caller, Item, World, app_body, id_of, user_body, with};

#[tokio::test]
async fn reading_touches_neither_secrets_nor_kms_nor_zoom() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    world.wire.reset();

    world.acme.get(&id).await.expect(200);
    world.acme.list("?name=bot").await.expect(200);

    let calls = world.wire.calls();
    assert_eq!(calls.len(), 3);
    for call in calls {
        let body = String::from_utf8(call.body.to_vec()).unwrap();
        let tables = [
            "\"TableName\":\"keys\"",
            "\"TableName\":\"credentials\"",
            "\"RequestItems\":{",
        ];
        assert!(!body.contains("secrets"), "{body}");
        assert_eq!(call.service, Service::DynamoDb);
        assert!(tables.iter().any(|table| body.contains(table)), "{body}");
        assert!(body.contains("\"ConsistentRead\":true"), "{body}");
    }
}

pub(crate) fn names(listed: &Value) -> Vec<&str> {
    let listed = listed.as_array().unwrap().iter();
    listed.map(|it| it["name"].as_str().unwrap()).collect()
}

/// Query pairs, URL-encoded.
pub(crate) fn query(pairs: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new("?".to_owned());
    query.extend_pairs(pairs).finish()
}

/// Three credentials that differ in every field that a filter compares. From oldest to newest: `straße`, `ada`,
/// `sisyphus`.
async fn world_with_three_credentials() -> World {
    let world = World::new().await;
    let extra = json!({
        "env": "prod", "n": 7, "big": 12_345_678_901_234_567_890_u64, "yes": true, "none": null,
        "list": [1], "object": { "a": "b" }, "url": "https://a.test:1", "": "empty", "text": "",
    });
    let body = with(app_body("Straße Nr. 5%_"), json!({ "extra": extra }));
    world.acme.create(body).await.expect(201);

    let body = with(
        user_body("Ada's Bot", &world.code()),
        json!({ "extra": { "env": "Prod", "n": "7", "yes": "true" } }),
    );
    world.acme.create(body).await.expect(201);

    world.zoom.register_user(User {
        id: "Sisyphus".to_owned(),
        email: Some("Sisyphus@Hades.Example".to_owned()),
        display_name: Some("ΣΊΣΥΦΟΣ".to_owned()),
        ..User::default()
    });
    let code = world.code_of("Sisyphus", None);
    let created = world.acme.create(user_body("sisyphus", &code)).await;
    let id = id_of(&created.expect(201));
    world.set_texts(&id, &[("state", "invalid")]).await;
    world
}

#[tokio::test]
async fn each_filter_finds_exactly_what_it_should() {
    const STREET: &str = "Straße Nr. 5%_";
    const ADA: &str = "Ada's Bot";
    const SISYPHUS: &str = "sisyphus";
    let all = vec![SISYPHUS, ADA, STREET];
    let world = world_with_three_credentials().await;
    for (pairs, expected) in [
        // Substrings, in any case and any script.
        (vec![("name", "bot")], vec![ADA]),
        (vec![("name", "S")], all.clone()),
        (vec![("name", "STRASSE")], vec![STREET]),
        (vec![("name", "straße")], vec![STREET]),
        (vec![("name", "STRAẞE")], vec![STREET]),
        (vec![("name", "%")], vec![STREET]),
        (vec![("name", "_")], vec![STREET]),
        (vec![("name", "a.b")], vec![]),
        (vec![("name", " ")], vec![ADA, STREET]),
        (vec![("name", "sisyphuss")], vec![]),
        (vec![("zoom_email", "EXAMPLE")], vec![SISYPHUS, ADA]),
        (vec![("zoom_email", "@hades")], vec![SISYPHUS]),
        (vec![("zoom_display_name", "σίσυφος")], vec![SISYPHUS]),
        (vec![("zoom_display_name", "σίσυφοσ")], vec![SISYPHUS]),
        (vec![("zoom_display_name", "ΦΟΣ")], vec![SISYPHUS]),
        (vec![("zoom_display_name", "love")], vec![ADA]),
        // Exact matches.
        (vec![("zoom_user_id", "Sisyphus")], vec![SISYPHUS]),
        (vec![("zoom_user_id", "sisyphus")], vec![]),
        (vec![("zoom_user_id", "Sisyphu")], vec![]),
        (vec![("zoom_user_id", "null")], vec![]),
        // Lists of values.
        (vec![("credential_type", "app")], vec![STREET]),
        (vec![("credential_type", "user")], vec![SISYPHUS, ADA]),
        (vec![("credential_type", "user,app")], all.clone()),
        (vec![("credential_type", "app,app")], vec![STREET]),
        (vec![("state", "active")], vec![ADA, STREET]),
        (vec![("state", "invalid")], vec![SISYPHUS]),
        (vec![("state", "invalid,active")], all.clone()),
        // Values in `extra`.
        (vec![("extra", "env:prod")], vec![STREET]),
        (vec![("extra", "env:Prod")], vec![ADA]),
        (vec![("extra", "env:pro")], vec![]),
        (vec![("extra", "Env:prod")], vec![]),
        (vec![("extra", "n:7")], vec![ADA, STREET]),
        (vec![("extra", "n:7.0")], vec![]),
        (vec![("extra", "big:12345678901234567890")], vec![STREET]),
        (vec![("extra", "yes:true")], vec![ADA, STREET]),
        (vec![("extra", "yes:True")], vec![]),
        (vec![("extra", "none:null")], vec![]),
        (vec![("extra", "none:")], vec![]),
        (vec![("extra", "list:[1]")], vec![]),
        (vec![("extra", "object:{\"a\":\"b\"}")], vec![]),
        (vec![("extra", "url:https://a.test:1")], vec![STREET]),
        (vec![("extra", ":empty")], vec![STREET]),
        (vec![("extra", "text:")], vec![STREET]),
        (vec![("extra", "missing:")], vec![]),
        (vec![("extra", "env:prod,n:7,yes:true")], vec![STREET]),
        (vec![("extra", "env:prod,n:8")], vec![]),
        (vec![("extra", "env:prod,env:Prod")], vec![]),
        (vec![("extra", "env: prod")], vec![]),
        // Several filters must all match.
        (vec![("name", "s"), ("state", "active")], vec![ADA, STREET]),
        (
            vec![
                ("name", "s"),
                ("state", "active"),
                ("extra", "n:7"),
                ("credential_type", "user"),
            ],
            vec![ADA],
        ),
        (vec![("name", "ada"), ("zoom_user_id", "Sisyphus")], vec![]),
        // An empty or unknown filter finds everything.
        (
            vec![
                ("name", ""),
                ("extra", ""),
                ("state", ""),
                ("limit", ""),
                ("cursor", ""),
            ],
            all.clone(),
        ),
        (
            vec![("zoom_email", ""), ("zoom_user_id", ""), ("deleted", "")],
            all.clone(),
        ),
        (vec![("Name", "nobody"), ("unknown", "nobody")], all.clone()),
        (vec![("deleted", "false")], all.clone()),
        (vec![("deleted", "true")], vec![]),
    ] {
        let query = query(&pairs);
        let listed = world.acme.list(&query).await;
        assert_eq!(names(&listed.expect(200)), expected, "{pairs:?}");
        assert_eq!(listed.header("x-next-cursor"), None, "{pairs:?}");

        // Page by page, the list is the same.
        let paged = pages(&world.acme, &format!("{query}&limit=1")).await;
        let paged: Vec<&str> = paged.iter().flat_map(names).collect();
        assert_eq!(paged, expected, "{pairs:?}");
    }
}

/// Follows the cursors to the end of the list.
pub(crate) async fn pages(caller: &Caller, query: &str) -> Vec<Value> {
    let mut pages = Vec::new();
    let mut cursor = None::<String>;
    loop {
        let next = cursor.map_or_else(String::new, |it| format!("&cursor={it}"));
        let page = caller.list(&format!("{query}{next}")).await;
        pages.push(page.expect(200));
        match page.header("x-next-cursor") {
            Some(next) => cursor = Some(next.to_owned()),
            None => return pages,
        }
    }
}

/// Stores rows like that of a new app credential, named `0`, `1`, … in order of creation, with `texts` in each row.
pub(crate) async fn store_rows(world: &World, count: usize, texts: &[(&str, &str)]) -> Vec<Item> {
    let template = world.row(&world.add_app_credential("template").await).await;
    let rows = (0..count).map(|number| {
        let mut row = template.clone();
        let mut put =
            |name: &str, text: String| row.insert(name.to_owned(), AttributeValue::S(text));
        put("credential_id", CredentialId::generate().to_string());
        put("name", number.to_string());
        for (name, text) in texts {
            put(name, (*text).to_owned());
        }
        row
    });
    let rows: Vec<Item> = rows.collect();
    world.put_rows(rows.clone()).await;
    let template = template["credential_id"].as_s().unwrap();
    let deleted = world
        .dynamodb
        .delete_item()
        .table_name("credentials")
        .key("team_id", AttributeValue::S("acme".to_owned()))
        .key("credential_id", AttributeValue::S(template.clone()));
    deleted.send().await.unwrap();
    rows
}

pub(crate) fn id_in(row: &Item) -> &str {
    row["credential_id"].as_s().unwrap()
}

/// The numbers from `from` down to `to`, as text.
pub(crate) fn down(from: usize, to: usize) -> Vec<String> {
    (to..=from).rev().map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn the_default_page_size_is_a_thousand() {
    let world = World::new().await;
    let rows = store_rows(&world, 1003, &[]).await;
    let mut bytes = vec![1];
    bytes.extend(
        uuid::Uuid::parse_str(id_in(&rows[1002]))
            .unwrap()
            .as_bytes(),
    );
    let newest = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, bytes);

    for query in [
        format!("?cursor={newest}"),
        format!("?limit=1000&cursor={newest}"),
    ] {
        let page = world.acme.list(&query).await;
        assert_eq!(names(&page.expect(200)), down(1001, 2), "{query}");
        let next = page.header("x-next-cursor").unwrap();
        let last = world.acme.list(&format!("?cursor={next}")).await;
        assert_eq!(names(&last.expect(200)), down(1, 0), "{query}");
        assert_eq!(last.header("x-next-cursor"), None);
    }
    assert_eq!(names(&world.acme.list("").await.expect(200)), down(1002, 0));
    assert_eq!(
        names(&world.acme.list("?limit=1000").await.expect(200)),
        down(1002, 3)
    );
}

/// An `extra` of exactly this many bytes. With `escaped`, nearly every byte takes two bytes in a JSON string.
pub(crate) fn extra(bytes: usize, escaped: bool) -> String {
    let filler = if escaped { "\\\\" } else { "xx" };
    let room = bytes - r#"{"a":""}"#.len();
    let padding = "y".repeat(room % 2);
    format!(r#"{{"a":"{}{padding}"}}"#, filler.repeat(room / 2))
}

#[track_caller]
pub(crate) fn expect_too_large(answer: &Answer) {
    answer.expect_error(
        400,
        "FST_ERR_LIST_TOO_LARGE",
        "The list is too large for one answer: ask for pages with limit and cursor",
    );
}

#[tokio::test]
async fn a_list_is_complete_up_to_five_megabytes_and_an_error_above() {
    let world = World::new().await;
    // 300 rows of a little over 16 KB are just under 5 MB. 320 rows are just over.
    let rows = store_rows(&world, 320, &[("extra", &extra(16 * 1024, false))]).await;
    expect_too_large(&world.acme.list("").await);
    expect_too_large(&world.acme.list("?credential_type=app").await);

    let pages = pages(&world.acme, "?limit=1000").await;
    let sizes: Vec<usize> = pages.iter().map(|page| names(page).len()).collect();
    assert_eq!(sizes.len(), 2, "{sizes:?}");
    let all: Vec<&str> = pages.iter().flat_map(names).collect();
    assert_eq!(all, down(319, 0));

    for row in rows.iter().take(20) {
        world.acme.delete(id_in(row)).await.expect(200);
    }
    let whole = world.acme.list("").await;
    assert_eq!(names(&whole.expect(200)), down(319, 20));
    assert!(whole.text.len() < 6_000_000 && whole.text.len() > 4_900_000);
    assert_eq!(whole.header("x-next-cursor"), None);
}

#[tokio::test]
async fn the_size_of_a_list_is_measured_as_escaped_text() {
    let world = World::new().await;
    // Half as much text as in the test above, but every byte takes two bytes in Lambda's answer.
    store_rows(&world, 165, &[("extra", &extra(16 * 1024, true))]).await;
    expect_too_large(&world.acme.list("").await);

    let mut cursor = String::new();
    let mut seen = 0;
    loop {
        let page = world.acme.list(&format!("?limit=1000{cursor}")).await;
        let in_lambda = serde_json::to_string(&page.text).unwrap().len();
        assert!(in_lambda <= 5 * 1024 * 1024 + 1024, "{in_lambda}");
        seen += names(&page.expect(200)).len();
        match page.header("x-next-cursor") {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, 165);
}

/// The next pages that DynamoDB returns are empty, and end at this row.
fn return_empty_pages(world: &World, pages: usize, end: &Item) {
    let page = json!({
        "Items": [],
        "Count": 0,
        "ScannedCount": 1,
        "LastEvaluatedKey": {
            "team_id": { "S": "acme" },
            "credential_id": { "S": id_in(end) },
        },
    });
    for _ in 0..pages {
        // Each call meets the first rule that no call has met yet.
        world.wire.inject(Rule {
            service: Some(Service::DynamoDb),
            operation: Some("Query"),
            nth: Some(1),
            fault: Fault::Answer(hyper::StatusCode::OK, page.to_string()),
        });
    }
}

#[tokio::test]
async fn a_filter_that_finds_little_gives_short_pages_with_a_cursor() {
    let world = World::new().await;
    let rows = store_rows(&world, 5, &[]).await;
    for query in ["?limit=1&name=1", "?limit=1000", "?name=1&limit=2"] {
        world.wire.reset();
        return_empty_pages(&world, 25, &rows[3]);
        let page = world.acme.list(query).await;
        assert_eq!(page.expect(200), json!([]), "{query}");
        let reads = world.wire.operations(Service::DynamoDb);
        assert_eq!(reads.iter().filter(|it| *it == "Query").count(), 20);

        world.wire.heal();
        let next = page.header("x-next-cursor").unwrap();
        let rest = world.acme.list(&format!("{query}&cursor={next}")).await;
        let expected: &[&str] = if query.contains("name") {
            &["1"]
        } else {
            &["2", "1", "0"]
        };
        assert_eq!(names(&rest.expect(200)), expected, "{query}");
    }
}

#[tokio::test]
async fn a_list_without_a_limit_is_complete_however_many_reads_it_takes() {
    let world = World::new().await;
    let rows = store_rows(&world, 5, &[]).await;
    for query in ["", "?name=1"] {
        return_empty_pages(&world, 30, &rows[3]);
        let list = world.acme.list(query).await;
        let expected: &[&str] = if query.is_empty() {
            &["2", "1", "0"]
        } else {
            &["1"]
        };
        assert_eq!(names(&list.expect(200)), expected);
        assert_eq!(list.header("x-next-cursor"), None);
        world.wire.heal();
    }
}
