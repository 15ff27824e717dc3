//! The commands in README.md and docs/apps.md work as printed.

use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::process::RunningStack;

/// Runs the first bash block of a page against its own stack. Returns the output. The commands find the stack by the
/// files in the data directory, so they work on any port.
async fn run_commands(page: &str) -> (String, RunningStack, TempDir) {
    let home = tempfile::tempdir().unwrap();
    let stack = RunningStack::start(&home.path().join(".local")).await;
    let (_, commands) = page.split_once("```bash\n").unwrap();
    let (commands, _) = commands.split_once("```").unwrap();
    assert!(commands.contains("$API_URL"));

    let shell = Command::new("bash")
        .args(["-euo", "pipefail", "-c", commands])
        .current_dir(home.path())
        .output();
    let Output {
        status,
        stdout,
        stderr,
    } = shell.await.unwrap();

    let (output, errors) = (
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    );
    assert!(status.success(), "{output}\n{errors}");
    (output, stack, home)
}

#[tokio::test]
async fn the_tour_in_the_readme_works_as_printed() {
    let (output, stack, _home) = run_commands(include_str!("../../../README.md")).await;
    assert!(!output.contains("\"success\":false"), "{output}");
    assert_eq!(output.matches("\"success\":true").count(), 10, "{output}");
    assert!(
        output.contains("\"zoom_display_name\":\"Ada Lovelace\""),
        "{output}"
    );
    assert!(
        output.ends_with("\"message\":\"Zoom credential deleted successfully\"}}\n"),
        "{output}"
    );
    assert_eq!(stack.list().await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_deauthorization_in_docs_apps_works_as_printed() {
    let (output, _stack, _home) = run_commands(include_str!("../../../docs/apps.md")).await;
    let lines: Vec<&str> = output.lines().collect();
    let [
        _,
        validated,
        minted,
        secrets_before,
        credentials_before,
        delivery,
        secrets_after,
        credentials_after,
        event,
        refused,
    ] = *lines
    else {
        panic!("{output}")
    };
    assert!(validated.contains("\"validated\":true"), "{validated}");
    assert!(minted.contains("\"success\":true"), "{minted}");
    let rows_with = |dump: &str, attribute: &str| {
        let dump: Value = serde_json::from_str(dump).unwrap();
        let rows = dump["Items"].as_array().unwrap().clone().into_iter();
        rows.filter(|row| row.get(attribute).is_some()).count()
    };
    // The table also holds the sealed client secret and the app's sealed secret token, which stay.
    assert_eq!(
        (
            rows_with(secrets_before, "sealed"),
            rows_with(secrets_after, "sealed")
        ),
        (3, 2)
    );
    assert_eq!(
        (
            rows_with(secrets_before, "dek"),
            rows_with(secrets_after, "dek")
        ),
        (3, 2)
    );
    for name in ["zoom_email", "zoom_display_name"] {
        assert_eq!(
            (
                rows_with(credentials_before, name),
                rows_with(credentials_after, name)
            ),
            (1, 0)
        );
    }
    assert_eq!(
        delivery,
        r#"{"event":"app_deauthorized","attempts":[204],"heard":true}"#
    );
    assert!(event.contains("\"reason\":\"deauthorized\""), "{event}");
    assert!(
        refused.contains("\"details\":\"deauthorized\""),
        "{refused}"
    );
}
