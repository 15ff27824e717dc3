//! `import`, through the program, against a local stack.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::TestStack;

pub(crate) const APP: &str = "sandbox-app";
pub(crate) const SECRET: &str = "sandbox-secret";
const FORMATS: [&str; 6] = [
    "nango",
    "authjs",
    "better-auth",
    "calcom",
    "attendee",
    "generic",
];

/// A stack with the team `acme`, and a folder with the files of an import.
pub(crate) struct Importing {
    pub(crate) stack: TestStack,
    folder: tempfile::TempDir,
}

impl Importing {
    pub(crate) async fn start() -> Self {
        let stack = TestStack::start().await;
        stack.ok("teams create acme --rate 100000").await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), format!("{SECRET}\n")).unwrap();
        Self { stack, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// The command line of an import of a file.
    pub(crate) fn line(&self, file: &str, format: &str, options: &str) -> String {
        let (file, secret) = (self.path(file), self.path("secret"));
        format!(
            "import {} --team acme --format {format} --client-id {APP} --client-secret-file {} {options}",
            file.display(),
            secret.display()
        )
    }

    /// The refresh token that the old system has of a new Zoom user.
    pub(crate) async fn token_of(&self, user: &str) -> String {
        let (zoom, http) = (self.stack.variable("ZOOM_OAUTH_BASE_URL"), &self.stack.http);
        let user_body =
            json!({ "id": user, "email": format!("{user}@example.test"), "display_name": user });
        let made = http
            .post(format!("{zoom}/sandbox/users"))
            .json(&user_body)
            .send()
            .await;
        assert!(made.unwrap().status().is_success());
        let redirect_uri = "http://localhost:3000/callback";
        let consent = json!({ "client_id": APP, "redirect_uri": redirect_uri, "user_id": user });
        let code = http
            .post(format!("{zoom}/sandbox/codes"))
            .json(&consent)
            .send()
            .await;
        let code: Value = code.unwrap().json().await.unwrap();
        let code = code["code"].as_str().unwrap();
        let form = format!(
            "grant_type=authorization_code&code={code}&redirect_uri=http%3A%2F%2Flocalhost%3A3000%2Fcallback"
        );
        let answer = http
            .post(format!("{zoom}/oauth/token"))
            .basic_auth(APP, Some(SECRET))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let answer: Value = answer.send().await.unwrap().json().await.unwrap();
        answer["refresh_token"].as_str().unwrap().to_owned()
    }

    /// How many refresh tokens were sent to Zoom.
    pub(crate) async fn sent(&self) -> usize {
        let ledger = format!(
            "{}/sandbox/ledger",
            self.stack.variable("ZOOM_OAUTH_BASE_URL")
        );
        let ledger: Value = self
            .stack
            .http
            .get(ledger)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let calls = ledger
            .as_array()
            .or_else(|| ledger["calls"].as_array())
            .unwrap();
        let refreshes = calls
            .iter()
            .filter(|call| call["grant_type"] == "refresh_token");
        refreshes.count()
    }

    /// The report file, by line.
    pub(crate) fn report(&self, name: &str) -> BTreeMap<u64, Value> {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        let rows = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.map(|row| (row["line"].as_u64().unwrap(), row))
            .collect()
    }

    /// The outcomes of an import in the order of its lines.
    async fn outcomes(&self, line: &str) -> (i32, Vec<String>) {
        let result = self.stack.cli(&format!("{line} --json")).await;
        let document: Value =
            serde_json::from_str(&result.stdout).unwrap_or_else(|_| panic!("{result:?}"));
        let rows = document["rows"].as_array().unwrap().iter();
        let outcomes = rows.map(|row| row["outcome"].as_str().unwrap().to_owned());
        (result.code, outcomes.collect())
    }
}

/// A line of an export.
pub(crate) fn export(format: &str, user: &str, token: &str) -> String {
    let scope = "user:read:user user:read:token";
    let row = match format {
        "nango" => json!({
            "id": 1, "connection_id": user, "provider_config_key": "zoom", "provider": "zoom", "metadata": {},
            "credentials": { "type": "OAUTH2", "access_token": "x", "refresh_token": token,
                "expires_at": "2026-01-01T00:00:00.000Z", "raw": { "scope": scope } },
        }),
        "authjs" => json!({
            "id": user, "userId": "u", "provider": "zoom", "providerAccountId": user, "refresh_token": token,
            "expires_at": 1_767_225_600, "scope": scope,
        }),
        "better-auth" => json!({
            "id": user, "userId": "u", "providerId": "zoom", "accountId": user, "refreshToken": token,
            "accessTokenExpiresAt": "2026-01-01T00:00:00.000Z", "scope": scope,
        }),
        "calcom" => json!({
            "id": user, "type": "zoom_video", "appId": "zoom", "userId": 7,
            "key": { "refresh_token": token, "expiry_date": 1_767_225_600_000_i64, "scope": scope },
        }),
        "attendee" => {
            json!({ "id": user, "user_id": user, "credentials": { "refresh_token": token } })
        }
        _ => {
            json!({ "id": user, "zoom_user_id": user, "refresh_token": token, "expires_at": 1_767_225_600 })
        }
    };
    row.to_string()
}

#[tokio::test]
async fn every_format_is_imported_and_nothing_secret_is_shown() {
    let importing = Importing::start().await;
    let key = importing.stack.create_key("acme", "full").await;
    for format in FORMATS {
        let user = format!("user-of-{format}");
        let token = importing.token_of(&user).await;
        importing.write("export", &export(format, &user, &token));
        let report = importing.path(&format!("{format}.report"));
        let line = importing.line(
            "export",
            format,
            &format!("--yes --report {}", report.display()),
        );

        let result = importing.stack.cli(&line).await;

        assert_eq!(result.code, 0, "{format}: {result:?}");
        assert!(result.stdout.contains("imported  1"), "{result:?}");
        let rows = importing.report(&format!("{format}.report"));
        let row = &rows[&1];
        assert_eq!(
            (&row["outcome"], &row["source_id"]),
            (&json!("imported"), &json!(user))
        );
        let report = std::fs::read_to_string(&report).unwrap();
        for text in [&result.stdout, &result.stderr, &report] {
            assert!(
                !text.contains(&token) && !text.contains(SECRET),
                "{format}: {text}"
            );
        }
        let id = row["credential_id"].as_str().unwrap();
        let body = json!({ "credential_id": id, "type": "zak" });
        let (status, body) = importing
            .stack
            .post_json("/v2/zoom-tokens", &key, &body)
            .await;
        assert_eq!(status, 200, "{format}: {body}");
    }
    assert_eq!(importing.sent().await, FORMATS.len());
}

#[tokio::test]
async fn a_dry_run_counts_and_sends_nothing() {
    let importing = Importing::start().await;
    let token = importing.token_of("ada").await;
    let other = importing.token_of("grace").await;
    let rows = [
        export("generic", "ada", &token),
        export("generic", "ada", &token),
        export("generic", "ada", &other),
        "not json".to_owned(),
    ];
    importing.write("export", &rows.join("\n"));

    let line = importing.line("export", "generic", "--dry-run");
    let result = importing.stack.cli(&line).await;

    assert_eq!(result.code, 1, "{result:?}");
    for words in [
        "2 grants would be taken over",
        "line 2: has the token of line 1, and is not sent",
        "lines 3, 1: the same user. They are tried in this order, until one works",
        "line 4: the line is not JSON, from its character 2 on",
    ] {
        assert!(result.stdout.contains(words), "{words}: {result:?}");
    }
    assert_eq!(importing.sent().await, 0);
    assert_eq!(
        importing.stack.json("credentials list --team acme").await,
        json!([])
    );
}

#[tokio::test]
async fn a_dry_run_says_what_earlier_runs_have_done() {
    let importing = Importing::start().await;
    let dead = importing.token_of("ada").await;
    // A new authorization ends the grant before it.
    importing.token_of("ada").await;
    let dead = export("generic", "ada", &dead);
    let grace = export("generic", "grace", &importing.token_of("grace").await);
    importing.write("export", &[dead.clone(), grace.clone()].join("\n"));
    let line = importing.line("export", "generic", "--yes");
    assert_eq!(importing.stack.cli(&line).await.code, 1);
    let new = export("generic", "new", &importing.token_of("new").await);
    importing.write("export", &[new, dead, grace].join("\n"));
    let sent = importing.sent().await;

    let line = importing.line("export", "generic", "--dry-run");
    let text = importing.stack.ok(&line).await;

    for words in [
        "3 grants would be taken over",
        "1 line: dead by an earlier run, in team acme, and not sent again",
        "1 line: imported by an earlier run, in team acme, and not sent again",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let document = importing.stack.json(&line).await;
    let earlier = json!([
        { "line": 2, "outcome": "dead", "team": "acme" },
        { "line": 3, "outcome": "imported", "team": "acme" },
    ]);
    assert_eq!(document["earlier"], earlier);
    assert_eq!(importing.sent().await, sent);
}

#[tokio::test]
async fn bad_lines_are_reported_and_the_others_are_imported() {
    let importing = Importing::start().await;
    let token = importing.token_of("ada").await;
    let good = export("generic", "ada", &token);
    let wrong = json!({ "refresh_token": 7 }).to_string();
    let text =
        format!("\u{feff}{{\"refresh_token\": \"{token}\r\n\r\n{good}\r\n{wrong}\r\n{good}\r\n");
    importing.write("export", &text);

    let line = importing.line("export", "generic", "--yes");
    let (code, outcomes) = importing.outcomes(&line).await;

    assert_eq!(code, 1);
    assert_eq!(
        outcomes,
        ["malformed", "imported", "malformed", "already_there"]
    );
    let result = importing.stack.cli(&line).await;
    assert!(!format!("{result:?}").contains(&token));
    assert_eq!(importing.sent().await, 1);
}

#[tokio::test]
async fn the_rows_of_one_user_are_tried_until_one_works() {
    let importing = Importing::start().await;
    let dead = importing.token_of("ada").await;
    // A new authorization ends the grant before it.
    let lives = importing.token_of("ada").await;
    let row = |token: &str, at: i64| {
        json!({ "zoom_user_id": "ada", "refresh_token": token, "expires_at": at }).to_string()
    };
    importing.write(
        "export",
        &[row(&dead, 1_700_000_000), row(&lives, 1_800_000_000)].join("\n"),
    );
    let line = importing.line("export", "generic", "--yes");

    let (code, outcomes) = importing.outcomes(&line).await;
    assert_eq!(
        (code, outcomes),
        (0, vec!["already_there".to_owned(), "imported".to_owned()])
    );
    assert_eq!(importing.sent().await, 1);

    let other = importing.token_of("grace").await;
    let newer = importing.token_of("grace").await;
    let row = |token: &str, at: i64| {
        json!({ "zoom_user_id": "grace", "refresh_token": token, "expires_at": at }).to_string()
    };
    // The dead token looks newer.
    importing.write(
        "export",
        &[row(&other, 1_800_000_000), row(&newer, 1_700_000_000)].join("\n"),
    );
    let (code, outcomes) = importing.outcomes(&line).await;
    assert_eq!(
        (code, outcomes),
        (1, vec!["dead".to_owned(), "imported".to_owned()])
    );
}

#[tokio::test]
async fn an_import_asks_first() {
    let importing = Importing::start().await;
    let token = importing.token_of("ada").await;
    importing.write("export", &export("generic", "ada", &token));

    let error = importing
        .stack
        .fails(1, &importing.line("export", "generic", ""))
        .await;

    assert!(error.contains("pass --yes to confirm"), "{error}");
    assert_eq!(importing.sent().await, 0);
}

#[tokio::test]
async fn a_second_run_says_the_same_and_the_file_is_shredded_when_it_is_done() {
    let importing = Importing::start().await;
    let token = importing.token_of("ada").await;
    importing.write("export", &export("generic", "ada", &token));
    importing.write("wrong", "wrong-secret");
    let secret = importing.path("secret");
    let line = importing.line("export", "generic", "--yes --shred");
    let wrong = line.replace(
        &secret.display().to_string(),
        &importing.path("wrong").display().to_string(),
    );

    let refused = importing.stack.cli(&wrong).await;
    assert_eq!(refused.code, 1);
    assert!(refused.stdout.contains("app_refused"), "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("is not destroyed: 1 line still needs it"),
        "{refused:?}"
    );
    assert_eq!(importing.sent().await, 0);

    let first = importing
        .stack
        .cli(&importing.line("export", "generic", "--yes"))
        .await;
    assert_eq!(first.code, 0, "{first:?}");
    let second = importing.stack.cli(&line).await;
    assert_eq!(second.code, 0, "{second:?}");
    assert!(second.stdout.contains("imported  1      1"), "{second:?}");
    assert!(second.stderr.contains("is destroyed"), "{second:?}");
    assert!(!importing.path("export").exists());
    assert_eq!(importing.sent().await, 1);
}

#[tokio::test]
async fn standard_input_needs_yes_and_the_secret_may_be_a_variable() {
    let importing = Importing::start().await;
    let token = importing.token_of("ada").await;
    let row = export("generic", "ada", &token);
    let mut own = serde_json::from_str::<Value>(&row).unwrap();
    own["client_secret"] = json!(SECRET);
    own["client_id"] = json!(APP);
    let line = "import - --team acme --format generic --json";

    let unconfirmed = importing.stack.cli_with_stdin(line, &own.to_string()).await;
    assert_eq!(unconfirmed.code, 1);
    assert!(
        unconfirmed.stderr.contains("pass --yes to confirm"),
        "{unconfirmed:?}"
    );
    assert_eq!(importing.sent().await, 0);

    let line = format!("{line} --yes");
    let done = importing
        .stack
        .cli_with_stdin(&line, &own.to_string())
        .await;
    assert_eq!(done.code, 0, "{done:?}");
    let again = importing
        .stack
        .cli_with(
            &format!(
                "import {} --team acme --format generic --client-id {APP} --yes",
                {
                    importing.write("export", &row);
                    importing.path("export").display().to_string()
                }
            ),
            &[],
            &[("ZOOM_CLIENT_SECRET", SECRET)],
        )
        .await;
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(importing.sent().await, 1);
}

#[tokio::test]
async fn a_report_is_never_overwritten() {
    let importing = Importing::start().await;
    let token = importing.token_of("ada").await;
    importing.write("export", &export("generic", "ada", &token));
    importing.write("report", "needed");
    for name in ["report", "export"] {
        let options = format!("--yes --report {}", importing.path(name).display());
        let before = std::fs::read_to_string(importing.path(name)).unwrap();
        importing
            .stack
            .fails(1, &importing.line("export", "generic", &options))
            .await;
        assert_eq!(
            std::fs::read_to_string(importing.path(name)).unwrap(),
            before
        );
    }
    assert_eq!(importing.sent().await, 0);
}
