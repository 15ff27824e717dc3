//! When `import --shred` destroys the file, and when the file is still needed.

use std::path::PathBuf;

use serde_json::json;

use crate::harness::CliResult;
use crate::import::{Importing, SECRET, export};
use crate::import_faults::Fault;

impl Importing {
    /// What the file `export` holds, or `None` if it is destroyed.
    fn export(&self) -> Option<String> {
        std::fs::read_to_string(self.path("export")).ok()
    }

    /// A proxy in front of Zoom's API. Before the profile of a user is shown, `change` gets the path of the export.
    async fn zoom_during_which(
        &self,
        change: impl Fn(PathBuf) + Clone + Send + Sync + 'static,
    ) -> String {
        let export = self.path("export");
        self.proxy("ZOOM_API_BASE_URL", move |path, _| {
            if path == "/v2/users/me" {
                change(export.clone());
            }
            Fault::None
        })
        .await
    }
}

fn expect_kept(result: &CliResult, why: &str) {
    assert_eq!(result.code, 1, "{result:?}");
    assert!(result.stderr.contains("is not destroyed"), "{result:?}");
    assert!(result.stderr.contains(why), "{result:?}");
}

// Seen to fail: the file was destroyed. Only its token names the row whose tokens a capsule brings back.
#[tokio::test]
async fn the_file_is_kept_while_an_outcome_is_lost() {
    let importing = Importing::start().await;
    let tokens = [
        importing.token_of("ada").await,
        importing.token_of("grace").await,
    ];
    let lines = [
        export("generic", "ada", &tokens[0]),
        export("generic", "grace", &tokens[1]),
    ];
    importing.write("export", &lines.join("\n"));
    let zoom = importing.zoom_that_loses_an_answer().await;
    let line = importing.line("export", "generic", "--yes --shred --rate 1");

    let result = importing.cli_at(&line, "ZOOM_OAUTH_BASE_URL", &zoom).await;

    assert!(result.stdout.contains("outcome_lost  1"), "{result:?}");
    expect_kept(&result, "1 line has the outcome outcome_lost");
    assert_eq!(importing.export(), Some(lines.join("\n")));
    let again = importing.stack.cli(&line).await;
    expect_kept(&again, "1 line has the outcome outcome_lost");
    assert!(importing.export().is_some());
}

// Seen to fail: the file was destroyed, and its tokens were live.
#[tokio::test]
async fn the_file_is_kept_if_no_line_of_an_app_is_in_the_vault() {
    let importing = Importing::start().await;
    let app = json!({
        "client_id": "other-app", "client_secret": "other-secret",
        "redirect_uris": ["http://localhost:3000/callback"], "scopes": ["user:read:user"],
    });
    let url = format!(
        "{}/sandbox/apps",
        importing.stack.variable("ZOOM_OAUTH_BASE_URL")
    );
    let made = importing
        .stack
        .http
        .post(url)
        .json(&app)
        .send()
        .await
        .unwrap();
    assert!(made.status().is_success(), "{made:?}");
    let token = importing.token_of("grace").await;
    let of_another = json!({ "refresh_token": token, "client_id": "other-app", "client_secret": "other-secret" });
    let ada = export("generic", "ada", &importing.token_of("ada").await);
    let lines = [ada, of_another.to_string()].join("\n");
    importing.write("export", &lines);
    let line = importing.line("export", "generic", "--yes --shred");

    let wrong = importing.stack.cli(&line).await;

    assert!(
        wrong.stdout.contains("dead      1") && wrong.stdout.contains("imported  1"),
        "{wrong:?}"
    );
    expect_kept(&wrong, "no line of the app other-app is in the vault");
    assert_eq!(importing.export(), Some(lines.clone()));

    let right = lines.replace(r#""client_id":"other-app""#, r#""client_id":"sandbox-app""#);
    importing.write("export", &right.replace("other-secret", SECRET));
    let right = importing.stack.cli(&line).await;
    assert_eq!(right.code, 0, "{right:?}");
    assert!(right.stderr.contains("is destroyed"), "{right:?}");
    assert_eq!(importing.export(), None);
}

// Seen to fail: the program imported, and exited with 0.
#[tokio::test]
async fn standard_input_cannot_be_destroyed() {
    let importing = Importing::start().await;
    let token = importing.token_of("ada").await;
    let row =
        json!({ "refresh_token": token, "client_id": "sandbox-app", "client_secret": SECRET });
    let line = "import - --team acme --format generic --yes --shred";
    let refused = importing.stack.cli_with_stdin(line, &row.to_string()).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""));
    assert!(
        refused
            .stderr
            .contains("--shred needs a file: standard input cannot be destroyed"),
        "{refused:?}"
    );
    assert_eq!(importing.sent().await, 0);
}

// Seen to fail: the program destroyed the other file that had the name by then.
#[tokio::test]
async fn a_file_that_was_replaced_during_the_import_is_kept() {
    let importing = Importing::start().await;
    importing.write(
        "export",
        &export("generic", "ada", &importing.token_of("ada").await),
    );
    importing.write("other", "needed");
    let other = importing.path("other");
    let zoom = importing
        .zoom_during_which(move |export| std::fs::rename(&other, export).unwrap())
        .await;
    let line = importing.line("export", "generic", "--yes --shred");

    let result = importing.cli_at(&line, "ZOOM_API_BASE_URL", &zoom).await;

    assert!(result.stdout.contains("imported  1"), "{result:?}");
    expect_kept(&result, "it was replaced or changed after it was read");
    assert_eq!(importing.export().as_deref(), Some("needed"));
}

// Seen to fail: the exit code was 0, and nothing said that the file had changed.
#[tokio::test]
async fn a_file_that_was_changed_during_the_import_is_kept() {
    let importing = Importing::start().await;
    let line = export("generic", "ada", &importing.token_of("ada").await);
    importing.write("export", &line);
    let longer = format!("{line}\nanother");
    let text = longer.clone();
    let zoom = importing
        .zoom_during_which(move |export| std::fs::write(export, &text).unwrap())
        .await;
    let line = importing.line("export", "generic", "--yes --shred --json");

    let result = importing.cli_at(&line, "ZOOM_API_BASE_URL", &zoom).await;

    expect_kept(&result, "it was replaced or changed after it was read");
    assert_eq!(importing.export(), Some(longer));
}
