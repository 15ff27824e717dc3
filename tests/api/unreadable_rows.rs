//! A row of unknown shape: lists and searches leave it out and log its id, and a read of the row itself is an error.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use shared::credential::CredentialId;
use shared::keep_alive::Report;
use tracing::Level;

use crate::life::{
    IDLE_TIME, enable_revocation, grant_secret_id, let_revoke, revocations, sealed_secrets, settle,
};
use crate::minting::{mint, mint_onbehalf};
use crate::reading::{names, pages};
use crate::secrecy::log::Log;
use crate::world::{CLIENT_SECRET, World, attribute};

/// No attribute of a row may have this value.
const UNKNOWN: &str = "a-value-of-another-version";

/// Records the log of `work`. Expects a warning for each of these rows, which quotes nothing but the id. Returns what
/// `work` returns.
async fn expect_warnings<T>(table: &str, ids: &[&str], work: impl Future<Output = T>) -> T {
    let log = Log::default();
    let recording = log.record(Level::INFO);
    let done = work.await;
    drop(recording);
    let text = String::from_utf8(log.bytes()).unwrap();
    assert!(!text.contains(UNKNOWN), "{text}");
    let lines = text.lines();
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut warned: Vec<Value> = lines.filter(|line| line["level"] == "WARN").collect();
    for line in &mut warned {
        let fields = line.as_object_mut().unwrap();
        fields.remove("timestamp").unwrap();
        let metrics = fields.remove("_aws").unwrap();
        assert_eq!(
            metrics["CloudWatchMetrics"][0]["Metrics"],
            json!([{ "Name": "unreadable_rows", "Unit": "Count" }])
        );
    }
    let expected = ids.iter().map(|id| {
        json!({
            "level": "WARN",
            "message": "a row of unknown shape is left out of a list",
            "table": table,
            "row_id": id,
            "unreadable_rows": 1,
            "stack": "a-stack",
            "version": env!("CARGO_PKG_VERSION"),
        })
    });
    assert_eq!(warned, expected.collect::<Vec<_>>());
    done
}

/// Sets an attribute of the row with this id to a value that no version knows.
async fn spoil(world: &World, table: &str, key: &str, id: &str, name: &str) {
    let rows = world.items(table).await.into_iter();
    let mut rows = rows.filter(|row| attribute(row, key) == id);
    let mut row = rows.next().unwrap();
    row.insert(name.to_owned(), AttributeValue::S(UNKNOWN.to_owned()));
    world.put(table, row).await;
}

async fn spoil_credential(world: &World, id: &str) {
    spoil(world, "credentials", "credential_id", id, "change").await;
}

// assures 45
#[tokio::test]
async fn a_list_of_credentials_leaves_the_row_out_and_a_read_of_it_fails() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for name in ["0", "1", "2", "3"] {
        ids.push(world.add_app_credential(name).await);
    }
    spoil_credential(&world, &ids[2]).await;

    let list = async |query: &'static str| {
        expect_warnings("credentials", &[&ids[2]], world.acme.list(query)).await
    };
    assert_eq!(names(&list("").await.expect(200)), ["3", "1", "0"]);
    assert_eq!(names(&list("?name=0").await.expect(200)), ["0"]);
    let filtered = list("?state=active&credential_type=app").await;
    assert_eq!(names(&filtered.expect(200)), ["3", "1", "0"]);
    // A page that holds only this row is empty, and the list goes on.
    for limit in [1, 2, 3] {
        let paged = pages(&world.acme, &format!("?limit={limit}")).await;
        let paged: Vec<&str> = paged.iter().flat_map(names).collect();
        assert_eq!(paged, ["3", "1", "0"], "{limit}");
    }

    let read = world.acme.get(&ids[2]).await;
    read.expect_error(500, "FST_ERR_INTERNAL", "Internal server error");
    world.acme.get(&ids[1]).await.expect(200);
}

#[tokio::test]
async fn events_and_token_urls_leave_the_row_out() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    for _ in 0..3 {
        mint_onbehalf(&world.acme, &id).await.expect(200);
        world.given_url(&id, json!({ "type": "zak" })).await;
    }
    for (table, key, name) in [
        ("events", "event_id", "kind"),
        ("token-urls", "url_id", "uses"),
    ] {
        let rows = world.items(table).await;
        let mut all: Vec<&str> = rows.iter().map(|row| attribute(row, key)).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        let bad = all.remove(1);
        spoil(&world, table, key, bad, name).await;
        let read = async |query: &str| match table {
            "events" => world.acme.events(&id, query).await,
            _ => world.acme.urls(&id, query).await,
        };
        let ids = |listed: &Value| -> Vec<String> {
            let listed = listed.as_array().unwrap().iter();
            listed
                .map(|it| it[key].as_str().unwrap().to_owned())
                .collect()
        };

        let whole = expect_warnings(table, &[bad], read("")).await;
        assert_eq!(ids(&whole.expect(200)), all);
        assert_eq!(whole.header("x-next-cursor"), None);
        // Page by page. The row is the second one, so the page after the first is empty.
        let mut expected_sizes = vec![1; all.len() + 1];
        expected_sizes[1] = 0;
        let (mut found, mut sizes, mut query) = (Vec::new(), Vec::new(), "?limit=1".to_owned());
        loop {
            let page = read(&query).await;
            let on_page = ids(&page.expect(200));
            sizes.push(on_page.len());
            found.extend(on_page);
            match page.header("x-next-cursor") {
                Some(next) => query = format!("?limit=1&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(
            (found, sizes),
            (
                all.iter().map(ToString::to_string).collect(),
                expected_sizes
            )
        );
    }
}

#[tokio::test]
async fn a_rotation_counts_the_row_and_rotates_the_others() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for name in ["0", "1", "2"] {
        ids.push(world.add_app_credential(name).await);
    }
    spoil_credential(&world, &ids[1]).await;

    let rotation = world.acme.rotate(CLIENT_SECRET, "");
    let rotation = expect_warnings("credentials", &[&ids[1]], rotation).await;

    assert_eq!(
        rotation.expect(200),
        json!({
            "credentials": 2, "resealed": 2, "healed": 0, "failed": 0, "unreadable": 1, "done": true,
        })
    );
}

#[tokio::test]
async fn a_user_with_such_a_credential_mints_with_another() {
    let world = World::new().await;
    let bad = world.add_user_credential("bad").await;
    world.add_user_credential("good").await;
    spoil_credential(&world, &bad).await;

    let body = json!({ "credential_user_id": "ada", "type": "onbehalf" });
    let minted = expect_warnings("credentials", &[&bad], mint(&world.acme, body)).await;

    minted.expect(200);
}

#[tokio::test]
async fn keep_alive_refreshes_the_other_grants() {
    let world = World::new().await;
    for user in ["bob", "eve"] {
        world.add_credential_for_user(user).await;
    }
    world.age_grants_by(IDLE_TIME).await;
    let grant = world.items("secrets").await.into_iter();
    let mut grants = grant.filter(|row| row.contains_key("due_shard"));
    let mut copy = grants.next().unwrap();
    let bad = format!("grant#not-{}", CredentialId::generate());
    copy.insert("secret_id".to_owned(), AttributeValue::S(bad.clone()));
    world.put("secrets", copy).await;

    let report = expect_warnings("secrets", &[&bad], world.keep_alive()).await;

    let refreshed = Report {
        refreshed: 2,
        ..Report::default()
    };
    assert_eq!(report, refreshed);
}

/// Such rows stay due, and so they are the first of their shard in each run.
// assures 45. Seen to fail: it failed before the mend (commit b9c6aa8)
#[tokio::test]
async fn keep_alive_finds_a_due_grant_behind_many_such_rows() {
    let world = World::new().await;
    world.add_credential_for_user("bob").await;
    world.age_grants_by(IDLE_TIME).await;
    let mut rows = world.items("secrets").await.into_iter();
    let grant = rows.find(|row| row.contains_key("due_shard")).unwrap();
    let first = AttributeValue::S("1970-01-01T00:00:00.000Z".to_owned());
    let mut bad = Vec::new();
    for number in 0..70 {
        let id = format!("grant#not-{number:02}");
        let mut copy = grant.clone();
        copy.insert("secret_id".to_owned(), AttributeValue::S(id.clone()));
        copy.insert("idle_since".to_owned(), first.clone());
        world.put("secrets", copy).await;
        bad.push(id);
    }
    let bad: Vec<&str> = bad.iter().map(String::as_str).collect();

    let report = expect_warnings("secrets", &bad, world.keep_alive()).await;

    assert_eq!(report.refreshed, 1, "{report:?}");
}

/// Creates two credentials of one user, each with a grant of its own, and deletes both. The row of the first one's
/// grant gets an unknown shape. Returns the ids of the two grants.
async fn given_deleted_with_a_spoilt_grant(world: &World) -> [String; 2] {
    let first = world.add_user_credential("first").await;
    let second = world.add_user_credential("second").await;
    let grants = [
        grant_secret_id(world, &first).await,
        grant_secret_id(world, &second).await,
    ];
    for id in [&first, &second] {
        world.acme.delete(id).await.expect(200);
    }
    let unknown = AttributeValue::S(UNKNOWN.to_owned());
    world.set_in_grant(&first, "state", unknown).await;
    grants
}

// assures 45. Seen to fail: it failed before the mend (commit b9c6aa8)
#[tokio::test]
async fn the_end_of_a_pair_destroys_the_other_grants() {
    let world = World::new().await;
    let [spoilt, other] = given_deleted_with_a_spoilt_grant(&world).await;
    world.expire_deleted().await;
    settle(&world).await;

    assert_eq!(sealed_secrets(&world).await, [spoilt.as_str()], "{other}");
}

// assures 45. Seen to fail: it failed before the mend (commit b9c6aa8)
#[tokio::test]
async fn a_revocation_revokes_the_other_grants() {
    let world = World::new().await;
    enable_revocation(&world).await;
    let [spoilt, other] = given_deleted_with_a_spoilt_grant(&world).await;
    let_revoke(&world).await;

    assert_eq!(world.keep_alive().await.revoked, 1);
    assert_eq!(revocations(&world), 1);
    let left = sealed_secrets(&world).await;
    assert_eq!(
        [left.contains(&spoilt), left.contains(&other)],
        [true, false]
    );
}

#[tokio::test]
async fn the_stream_goes_on_after_a_credential_of_such_a_pair() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let pair = attribute(&world.row(&id).await, "pair_id").to_owned();
    spoil(&world, "pairs", "pair_id", &pair, "grants").await;
    let settled = world.add_credential_for_user("bob").await;
    for id in [&id, &settled] {
        world.acme.delete(id).await.expect(200);
    }
    let grant = grant_secret_id(&world, &settled).await;
    settle(&world).await;

    let mut rows = world.items("secrets").await.into_iter();
    let grant = rows.find(|row| attribute(row, "secret_id") == grant);
    assert!(!grant.unwrap().contains_key("due_shard"), "it rests");
}

/// Removes an attribute from the row with this id.
async fn without(world: &World, table: &str, key: &str, id: &str, name: &str) {
    let rows = world.items(table).await.into_iter();
    let mut rows = rows.filter(|row| attribute(row, key) == id);
    let mut row = rows.next().unwrap();
    row.remove(name).unwrap();
    world.put(table, row).await;
}

// assures 47
#[tokio::test]
async fn the_log_says_that_a_row_was_written_by_an_earlier_version() {
    for (table, name) in [
        ("credentials", "pair_id"),
        ("secrets", "client_id"),
        ("secrets", "authorized_at"),
    ] {
        let world = World::new().await;
        let id = world.add_user_credential("bot").await;
        world.expire_access_tokens().await;
        if table == "credentials" {
            without(&world, table, "credential_id", &id, name).await;
        } else {
            let grant = format!("grant#{}", attribute(&world.row(&id).await, "grant_id"));
            without(&world, table, "secret_id", &grant, name).await;
        }
        let log = Log::default();
        let recording = log.record(Level::INFO);
        let refused = mint_onbehalf(&world.acme, &id).await;
        drop(recording);
        refused.expect_code(500, "FST_ERR_INTERNAL");
        let causes = log.requests();
        let causes: Vec<&str> = causes
            .iter()
            .filter_map(|line| line["cause"].as_str())
            .collect();
        assert_eq!(
            causes,
            [
                "a row has an unknown shape: it was written by an earlier version of the vault, which was never \
                 released: delete the data and start anew"
            ],
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_record_of_the_stream_is_reported_and_skipped() {
    let world = World::new().await;
    let ids = [
        world.add_user_credential("first").await,
        world.add_credential_for_user("grace").await,
    ];
    for id in &ids {
        world.acme.delete(id).await.expect(200);
    }
    assert!(world.drain_stream().await);
    world.expire_deleted().await;
    let mut batch = world.next_stream_batch().unwrap();
    let records = batch["Records"].as_array_mut().unwrap();
    let bad = records
        .iter_mut()
        .find(|record| {
            let id = &record["dynamodb"]["OldImage"]["credential_id"]["S"];
            record["eventName"] == "REMOVE" && *id == ids[0]
        })
        .unwrap();
    bad["dynamodb"]["OldImage"]["grant_id"] = json!({ "S": UNKNOWN });
    let sequence_number = bad["dynamodb"]["SequenceNumber"].clone();

    let log = Log::default();
    let recording = log.record(Level::INFO);
    let is_done = world.gateway.purge(batch).await.unwrap();
    drop(recording);

    assert!(is_done);
    let text = String::from_utf8(log.bytes()).unwrap();
    assert!(!text.contains(UNKNOWN), "{text}");
    let lines = log.requests();
    let errors: Vec<&Value> = lines
        .iter()
        .filter(|line| line["level"] == "ERROR")
        .collect();
    let [error] = errors.as_slice() else {
        panic!("{errors:?}")
    };
    assert_eq!(error["sequence_number"], sequence_number);
    assert_eq!(error["stream_records_skipped"], 1);
    assert_eq!(
        error["_aws"]["CloudWatchMetrics"][0]["Metrics"],
        json!([{ "Name": "stream_records_skipped", "Unit": "Count" }])
    );
    // The other record is handled.
    let secrets = world.items("secrets").await;
    let has_app = |id: &str| {
        let app = format!("app#{id}");
        secrets.iter().any(|row| attribute(row, "secret_id") == app)
    };
    assert_eq!([has_app(&ids[0]), has_app(&ids[1])], [true, false]);
}
