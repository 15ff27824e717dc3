//! Errors at the start: each names its cause and the next step.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};
use local::engine;
use serde_json::json;
use shared::config::Aws;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::process::{Env, RunningStack, start_error};

#[tokio::test]
async fn a_port_in_use_is_named_with_the_flag_that_sets_it() {
    let data = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (arguments, flag) in [
        (vec!["--port", &port], "--port"),
        (vec!["--port", "0", "--zoom-port", &port], "--zoom-port"),
    ] {
        assert_eq!(
            start_error(data.path(), &arguments, &Env::new()).await,
            format!(
                "error: port {port} is in use: stop the program that listens there, or choose another port with {flag} \
                 (0 picks a free port)\n"
            )
        );
    }
}

#[tokio::test]
async fn a_data_directory_in_use_is_named_with_the_flag_that_sets_it() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let stack = RunningStack::start(data).await;
    let output = start_error(data, &["--port", "0"], &Env::new()).await;
    assert_eq!(
        output,
        format!(
            "error: another local stack uses {}: stop it, or choose another directory with --data-dir\n",
            data.display()
        )
    );
    // The running stack still works.
    assert_eq!(stack.list().await, json!([]));
}

#[tokio::test]
async fn a_malformed_api_key_file_is_named_and_not_changed() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("api-key");
    std::fs::write(&file, "not a key").unwrap();
    assert_eq!(
        start_error(data.path(), &["--port", "0"], &Env::new()).await,
        format!(
            "error: {} does not contain an API key: delete the file to get a new key\n",
            file.display()
        )
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "not a key");

    std::fs::remove_file(&file).unwrap();
    let stack = RunningStack::start(data.path()).await;
    assert_eq!(stack.list().await, json!([]));
}

#[tokio::test]
async fn a_missing_kms_key_file_beside_a_database_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let stack = RunningStack::start(data.path()).await;
    stack.interrupt().await;
    let keys = data.path().join("kms-keys.json");
    let aside = data.path().join("aside");
    std::fs::rename(&keys, &aside).unwrap();

    let output = start_error(data.path(), &["--port", "0"], &Env::new()).await;
    assert_eq!(
        output,
        format!(
            "error: {} is missing, and the database beside it holds secrets that need it: restore the file, or \
             delete the directory to start with no data\n",
            keys.display()
        )
    );
    assert!(!keys.exists());
    std::fs::rename(&aside, &keys).unwrap();
    RunningStack::start(data.path()).await;
}

/// Replaces the table `secrets` in a database with the table that the first version created.
async fn make_secrets_older(database: &std::path::Path) {
    let database = engine::open(Some(database)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel();
    let served = engine::serve(listener, database, async { stopped.await.unwrap() });
    let served = tokio::spawn(served);
    let credentials =
        aws_sdk_dynamodb::config::Credentials::new("test", "test", None, None, "test");
    let aws = Aws::new("us-east-1".to_owned(), credentials, Some(endpoint), None).unwrap();
    let dynamodb = aws.dynamodb();
    let deletion = dynamodb.delete_table().table_name("secrets");
    deletion.send().await.unwrap();
    let key = |name, kind| {
        let key = KeySchemaElement::builder().attribute_name(name);
        key.key_type(kind).build().unwrap()
    };
    let by_due = GlobalSecondaryIndex::builder()
        .index_name("by-due")
        .key_schema(key("due_shard", KeyType::Hash))
        .key_schema(key("refreshed_at", KeyType::Range))
        .projection(
            Projection::builder()
                .projection_type(ProjectionType::KeysOnly)
                .build(),
        );
    let mut creation = dynamodb
        .create_table()
        .table_name("secrets")
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key("secret_id", KeyType::Hash))
        .global_secondary_indexes(by_due.build().unwrap());
    for name in ["secret_id", "due_shard", "refreshed_at"] {
        let attribute = AttributeDefinition::builder().attribute_name(name);
        let attribute = attribute.attribute_type(ScalarAttributeType::S);
        creation = creation.attribute_definitions(attribute.build().unwrap());
    }
    creation.send().await.unwrap();
    stop.send(()).unwrap();
    served.await.unwrap().unwrap();
}

// assures 47
#[tokio::test]
async fn a_data_directory_of_an_earlier_version_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let stack = RunningStack::start(data.path()).await;
    stack.interrupt().await;
    make_secrets_older(&data.path().join("dynamodb.sqlite")).await;

    for _ in 0..2 {
        let output = start_error(data.path(), &["--port", "0"], &Env::new()).await;
        assert_eq!(
            output,
            format!(
                "error: {} was written by an earlier version of this program, which was never released: delete the \
                 directory to start with no data\n",
                data.path().display()
            )
        );
    }
}
