//! The state file.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

use super::super::{DEMO_CLIENT_ID, Error};
use super::*;

/// The directory of a test. Dropping it removes the directory.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("zoom-sandbox-{}", Uuid::new_v4().simple())))
    }

    fn state_file(&self) -> PathBuf {
        self.0.join("nested").join("zoom.json")
    }

    fn open(&self) -> Sandbox {
        Sandbox::open(Some(self.state_file())).unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap()
}

#[tokio::test]
async fn grants_and_codes_survive_a_restart() {
    let directory = Directory::new();
    let zoom = TestZoom::with(directory.open()).await;
    let code = zoom.new_code();
    let spent = zoom.connect().await;
    let tokens = zoom.refresh_ok(&spent).await;
    zoom.sandbox.advance(Duration::from_mins(4));
    let grants = zoom.sandbox.grants();

    // The first sandbox keeps running, so nothing is flushed at its end, as after `kill -9`.
    let restarted = directory.open();
    assert_eq!(restarted.grants(), grants);
    let zoom = TestZoom::with(restarted).await;
    expect_ok(zoom.profile(&tokens)).await;
    let tokens = zoom.refresh_ok(&tokens).await;
    expect_answer(zoom.refresh(&spent.refresh), 400, invalid_token()).await;
    zoom.refresh_ok(&tokens).await;
    expect_ok(zoom.exchange(&code)).await;
    zoom.sandbox.advance(Duration::from_mins(1));
    expect_answer(
        zoom.exchange(&code),
        400,
        json!({ "reason": "Code is expired", "error": "invalid_grant", "errorCode": 4733 }),
    )
    .await;
}

#[tokio::test]
async fn the_clock_survives_a_restart() {
    let directory = Directory::new();
    let zoom = TestZoom::with(directory.open()).await;
    let code = zoom.new_code();
    zoom.sandbox.advance(Duration::from_mins(5));
    let zoom = TestZoom::with(directory.open()).await;
    let (status, _) = answer_of(zoom.exchange(&code)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_restart_keeps_changes_of_the_demo_app_and_updates_its_redirect_uri() {
    let directory = Directory::new();
    let zoom = TestZoom::with(directory.open()).await;
    let former = format!("{}/sandbox/callback", zoom.origin);
    zoom.sandbox.rotate_secret(DEMO_CLIENT_ID, "new");
    let zoom = TestZoom::with(directory.open()).await;
    expect_ok(zoom.post_token_as(
        DEMO_CLIENT_ID,
        "new",
        &[("grant_type", "client_credentials")],
    ))
    .await;
    let consent = |redirect_uri| Consent {
        client_id: DEMO_CLIENT_ID.to_owned(),
        redirect_uri,
        ..consent()
    };
    zoom.sandbox
        .authorize(consent(format!("{}/sandbox/callback", zoom.origin)))
        .unwrap();
    assert!(matches!(
        zoom.sandbox.authorize(consent(former)),
        Err(Error::UnregisteredRedirectUri(_))
    ));
}

#[cfg(unix)]
#[tokio::test]
async fn a_change_replaces_the_file_and_a_read_does_not() {
    use std::os::unix::fs::MetadataExt as _;

    let directory = Directory::new();
    let zoom = TestZoom::with(directory.open()).await;
    let tokens = zoom.connect().await;
    // A hard link keeps the inode number of each version in use, so a later version gets another number.
    let version = |name: &str| {
        fs::hard_link(directory.state_file(), directory.0.join(name)).unwrap();
        fs::metadata(directory.state_file()).unwrap().ino()
    };
    let before = version("before");
    expect_ok(zoom.profile(&tokens)).await;
    expect_ok(zoom.http.get(zoom.url("/sandbox/ledger"))).await;
    assert_eq!(version("read"), before);
    zoom.refresh_ok(&tokens).await;
    assert_ne!(version("refreshed"), before);
}

#[tokio::test]
async fn the_state_file_has_no_secret() {
    let directory = Directory::new();
    let zoom = TestZoom::with(directory.open()).await;
    let code = zoom.new_code();
    let old = zoom.connect().await;
    let new = zoom.refresh_ok(&old).await;

    let state = text(&directory.state_file());
    for secret in [
        CLIENT_SECRET,
        &code,
        &old.access,
        &old.refresh,
        &new.access,
        &new.refresh,
    ] {
        assert!(!state.contains(secret));
        // The random part without the id is a secret too.
        assert!(
            secret
                .split_once('.')
                .is_none_or(|(_, random)| !state.contains(random))
        );
    }
    assert!(
        state.contains("user@example.com"),
        "the file is the state file"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_the_state_file() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = Directory::new();
    let zoom = TestZoom::with(directory.open()).await;
    zoom.new_code();
    let mode = fs::metadata(directory.state_file())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_malformed_state_file_is_named_in_the_error_and_not_changed() {
    let directory = Directory::new();
    let file = directory.state_file();
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "malformed").unwrap();
    let error = Sandbox::open(Some(file.clone())).map(drop).unwrap_err();
    assert!(error.to_string().contains(file.to_str().unwrap()));
    assert_eq!(text(&file), "malformed");
}

#[tokio::test]
async fn a_change_that_cannot_be_written_is_an_error() {
    let directory = Directory::new();
    let zoom = TestZoom::with(directory.open()).await;
    let code = zoom.new_code();
    fs::remove_dir_all(&directory.0).unwrap();
    fs::write(&directory.0, "in the way").unwrap();

    let (status, body) = answer_of(zoom.exchange(&code)).await;
    assert_eq!(
        (status.as_u16(), &body["error"]),
        (500, &json!("server_error"))
    );
    assert!(matches!(
        zoom.sandbox.authorize(consent()),
        Err(Error::Write(_))
    ));
    fs::remove_file(&directory.0).unwrap();
}
