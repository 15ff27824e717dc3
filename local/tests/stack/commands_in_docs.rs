//! The commands in README.md, docs/apps.md and docs/sandbox.md work as printed.

use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::process::RunningStack;

/// Runs the bash blocks of a page against its own stack. Returns the output. The commands find the stack by the files
/// in the data directory, so they work on any port.
async fn run_commands(page: &str) -> (String, RunningStack, TempDir) {
    let home = tempfile::tempdir().unwrap();
    let stack = RunningStack::start(&home.path().join(".local")).await;
    let blocks = page.split("```bash\n").skip(1);
    let commands: String = blocks
        .map(|block| block.split("```").next().unwrap())
        .collect();
    assert!(commands.contains("$API_URL"));

    let shell = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &commands])
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

/// The lines of output that a page shows after its bash blocks. Outputs are blocks without a language.
fn outputs_after_bash(page: &str) -> Vec<&str> {
    let (mut lines, mut block, mut commands) = (Vec::new(), None, "");
    for line in page.lines() {
        match (line.strip_prefix("```"), block) {
            (Some(language), None) => {
                block = Some(language);
                commands = if language.is_empty() {
                    commands
                } else {
                    language
                };
            }
            (Some(_), Some(_)) => block = None,
            (None, Some("")) if commands == "bash" => lines.push(line),
            (None, _) => {}
        }
    }
    lines
}

#[tokio::test]
async fn the_commands_in_docs_sandbox_print_what_the_page_shows() {
    let page = include_str!("../../../docs/sandbox.md");
    let (output, _stack, _home) = run_commands(page).await;
    // The page leaves out the answers to new users and apps. Times and tracking ids differ from the page.
    let is_comparable = |line: &&str| {
        let differs = [
            "{\"now\"",
            "{\"method\"",
            "{\"id\"",
            "{\"client_id\":\"my-app\"}",
        ];
        !differs.iter().any(|start| line.starts_with(start))
    };
    let printed: Vec<&str> = output.lines().filter(is_comparable).collect();
    let mut shown = outputs_after_bash(page);
    shown.retain(is_comparable);
    assert_eq!(printed, shown, "{output}");
}
