//! What the functions answer.

use serde_json::{Value, json};

use crate::binaries::{CALLBACK, CREATE, DELETE, GET, KEEP_ALIVE, LIST, PURGE, UPDATE};
use crate::logs::take_metrics;
use crate::process::Lambda;
use crate::stack::{World, app_body};

#[tokio::test]
async fn each_function_answers_its_event_like_the_gateway() {
    let world = World::new().await;
    let list = "/v2/zoom-credentials";

    let mut create = world.lambda(CREATE).await;
    let (status, created) = create
        .call(world.event("POST", None, Some(&app_body())))
        .await;
    assert_eq!(status, 201);
    let id = created["data"]["credential_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("{list}/{id}");
    assert_eq!(
        world.gateway("GET", &path, None).await,
        (200, created.clone())
    );

    let mut get = world.lambda(GET).await;
    let got = get.call(world.event("GET", Some(&id), None)).await;
    assert_eq!(got, (200, created));

    let mut update = world.lambda(UPDATE).await;
    let body = json!({ "name": "renamed", "extra": { "é": [1.0, null] } });
    let updated = update
        .call(world.event("PATCH", Some(&id), Some(&body)))
        .await;
    assert_eq!(updated, world.gateway("GET", &path, None).await);
    assert_eq!(updated.1["data"]["name"], "renamed");

    let other = world.add_credential().await;
    let mut lister = world.lambda(LIST).await;
    let whole = lister.call(world.event("GET", None, None)).await;
    assert_eq!(whole, world.gateway("GET", list, None).await);
    assert_eq!(whole.1["data"].as_array().unwrap().len(), 2);
    let mut filtered = world.event("GET", None, None);
    filtered["queryStringParameters"] = json!({ "name": "RENAMED" });
    filtered["multiValueQueryStringParameters"] = json!({ "name": ["RENAMED"] });
    let found = lister.call(filtered).await;
    assert_eq!(found.1["data"], json!([updated.1["data"]]));

    let mut delete = world.lambda(DELETE).await;
    let deleted = delete.call(world.event("DELETE", Some(&id), None)).await;
    let likewise = world
        .gateway("DELETE", &format!("{list}/{other}"), None)
        .await;
    assert_eq!(deleted, likewise);
    assert_eq!(world.gateway("GET", &path, None).await.0, 404);

    // The refusals are the same too.
    let empty = json!({});
    let gone = world.gateway("GET", &path, None).await;
    assert_eq!(get.call(world.event("GET", Some(&id), None)).await, gone);
    let gone = world.gateway("PATCH", &path, Some(&empty)).await;
    let event = world.event("PATCH", Some(&id), Some(&empty));
    assert_eq!(update.call(event).await, gone);
    let gone = world.gateway("DELETE", &path, None).await;
    let event = world.event("DELETE", Some(&id), None);
    assert_eq!(delete.call(event).await, gone);
    let invalid = world.gateway("POST", list, Some(&empty)).await;
    let event = world.event("POST", None, Some(&empty));
    assert_eq!(create.call(event).await, invalid);
    let invalid = world.gateway("GET", &format!("{list}?limit=0"), None).await;
    let mut event = world.event("GET", None, None);
    event["queryStringParameters"] = json!({ "limit": "0" });
    assert_eq!(lister.call(event).await, invalid);
}

#[tokio::test]
async fn the_scheduled_function_reports_its_work_whatever_the_event() {
    let world = World::new().await;
    let mut keep_alive = world.lambda(KEEP_ALIVE).await;
    for event in [
        json!({}),
        json!({ "detail-type": "Scheduled Event" }),
        json!("now"),
    ] {
        let report = keep_alive.invoke(event).await;
        let nothing = json!({
            "refreshed": 0, "dead": 0, "unwanted": 0, "revoked": 0, "destroyed": 0, "failed": 0,
            "put_off": 0, "left": 0, "overdue": 0,
        });
        assert_eq!(report, nothing);

        let mut line = keep_alive.logged().await;
        let metrics = take_metrics(&mut line);
        // A metric is billed for each hour in which it has a value. So a run that finds nothing has one.
        let kept = ("kept_alive".to_owned(), (0, "Count".to_owned()));
        assert_eq!(metrics.into_iter().collect::<Vec<_>>(), [kept]);
        assert_eq!(line["message"], "kept alive");
    }
}

/// The records are as AWS documents them for a deletion by TTL.
#[tokio::test]
async fn the_stream_function_names_the_first_record_that_must_be_retried() {
    let world = World::new().await;
    let mut purge = world.lambda(PURGE).await;
    let id = world.add_credential().await;
    let record = |number: &str, image: Value| {
        json!({
            "eventID": "1", "eventName": "REMOVE", "eventVersion": "1.1", "eventSource": "aws:dynamodb",
            "awsRegion": "us-east-1", "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/c/stream/t",
            "userIdentity": { "type": "Service", "principalId": "dynamodb.amazonaws.com" },
            "dynamodb": {
                "ApproximateCreationDateTime": 1_479_499_740, "SequenceNumber": number, "SizeBytes": 59,
                "StreamViewType": "NEW_AND_OLD_IMAGES", "Keys": { "team_id": { "S": "local" } }, "OldImage": image,
            },
        })
    };
    let deleted = json!({
        "team_id": { "S": "local" }, "credential_id": { "S": id }, "deleted": { "BOOL": true },
        "version": { "N": "2" }, "name": { "S": "bot" },
    });
    let unreadable = json!({ "team_id": { "S": "local" } });
    // DynamoDB refuses an empty key.
    let mut refused = deleted.clone();
    refused["pair_id"] = json!({ "S": "" });
    let records = [
        record("111", deleted.clone()),
        record("222", unreadable),
        record("333", refused),
        record("444", deleted),
    ];

    let report = purge.invoke(json!({ "Records": records[..1] })).await;
    assert_eq!(report, json!({ "batchItemFailures": [] }));
    assert_eq!(purge.logged().await["message"], "purged");
    let report = purge.invoke(json!({ "Records": records })).await;
    assert_eq!(
        report,
        json!({ "batchItemFailures": [{ "itemIdentifier": "333" }] })
    );
}

#[tokio::test]
async fn a_visit_without_a_state_links_to_the_landing_url() {
    let world = World::new().await;
    let mut event = world.event("GET", None, None);
    event["queryStringParameters"] = json!({ "code": "c" });
    for (url, is_link) in [
        (None, false),
        (Some("https://app.example.com/zoom?from=add"), true),
    ] {
        let mut env = world.env.clone();
        env.extend(url.map(|url| ("LANDING_URL".to_owned(), url.to_owned())));
        let mut callback = Lambda::start(CALLBACK, &env).await;
        let answer = callback.invoke(event.clone()).await;
        assert_eq!(answer["statusCode"], 200);
        let page = answer["body"].as_str().unwrap();
        assert!(page.contains("<h1>One step is missing</h1>"), "{page}");
        let link = "<a class=\"button\" href=\"https://app.example.com/zoom?from=add\" rel=\"noreferrer\">Continue</a>";
        assert_eq!(page.contains(link), is_link, "{page}");
    }
}
