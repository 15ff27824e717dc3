//! Errors at the start: each names its cause and the next step.

use serde_json::json;
use tokio::net::TcpListener;

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
