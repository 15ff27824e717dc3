//! The state file.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

use super::super::{DEMO_CLIENT_ID, Error};
use super::*;

/// A directory of one test, removed at its end.
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
async fn what_was_answered_survives_a_restart() {
    let directory = Directory::new();
    let world = World::with(directory.open()).await;
    let code = world.code();
    let spent = world.connect().await;
    let pair = world.refreshed(&spent).await;
    world.sandbox.advance(Duration::from_mins(4));
    let grants = world.sandbox.grants();

    // The first world is left running, as if it had been killed: nothing is flushed at its end.
    let restarted = directory.open();
    assert_eq!(restarted.grants(), grants);
    let world = World::with(restarted).await;
    ok(world.profile(&pair)).await;
    let pair = world.refreshed(&pair).await;
    expect(world.refresh(&spent.refresh), 400, invalid_token()).await;
    world.refreshed(&pair).await;
    ok(world.exchange(&code)).await;
    world.sandbox.advance(Duration::from_mins(1));
    expect(
        world.exchange(&code),
        400,
        json!({ "reason": "Code is expired", "error": "invalid_grant", "errorCode": 4733 }),
    )
    .await;
}

#[tokio::test]
async fn the_clock_survives_a_restart() {
    let directory = Directory::new();
    let world = World::with(directory.open()).await;
    let code = world.code();
    world.sandbox.advance(Duration::from_mins(5));
    let world = World::with(directory.open()).await;
    let (status, _) = answer(world.exchange(&code)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn changes_to_the_demo_app_survive_a_restart_and_its_callback_follows_the_port() {
    let directory = Directory::new();
    let world = World::with(directory.open()).await;
    let former = format!("{}/sandbox/callback", world.origin);
    world.sandbox.rotate_secret(DEMO_CLIENT_ID, "new");
    let world = World::with(directory.open()).await;
    ok(world.post_token_as(
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
    world
        .sandbox
        .authorize(consent(format!("{}/sandbox/callback", world.origin)))
        .unwrap();
    assert!(matches!(
        world.sandbox.authorize(consent(former)),
        Err(Error::UnregisteredRedirectUri(_))
    ));
}

#[cfg(unix)]
#[tokio::test]
async fn a_change_replaces_the_file_and_a_look_does_not() {
    use std::os::unix::fs::MetadataExt as _;

    let directory = Directory::new();
    let world = World::with(directory.open()).await;
    let pair = world.connect().await;
    // A write replaces the file, so a hard link to each version keeps its inode from being used again.
    let version = |name: &str| {
        fs::hard_link(directory.state_file(), directory.0.join(name)).unwrap();
        fs::metadata(directory.state_file()).unwrap().ino()
    };
    let before = version("before");
    ok(world.profile(&pair)).await;
    ok(world.http.get(world.url("/sandbox/ledger"))).await;
    assert_eq!(version("looked"), before);
    world.refreshed(&pair).await;
    assert_ne!(version("refreshed"), before);
}

#[tokio::test]
async fn the_file_holds_no_secret() {
    let directory = Directory::new();
    let world = World::with(directory.open()).await;
    let code = world.code();
    let old = world.connect().await;
    let new = world.refreshed(&old).await;

    let state = text(&directory.state_file());
    for secret in [
        SECRET,
        &code,
        &old.access,
        &old.refresh,
        &new.access,
        &new.refresh,
    ] {
        assert!(!state.contains(secret));
        // Nor its random half without the id in front.
        assert!(
            secret
                .split_once('.')
                .is_none_or(|(_, random)| !state.contains(random))
        );
    }
    assert!(state.contains("user@example.com"), "it is the state");
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = Directory::new();
    let world = World::with(directory.open()).await;
    world.code();
    let mode = fs::metadata(directory.state_file())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_named_and_left_alone() {
    let directory = Directory::new();
    let file = directory.state_file();
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "not ours").unwrap();
    let error = Sandbox::open(Some(file.clone())).map(drop).unwrap_err();
    assert!(error.to_string().contains(file.to_str().unwrap()));
    assert_eq!(text(&file), "not ours");
}

#[tokio::test]
async fn a_change_that_cannot_be_written_is_not_answered_as_done() {
    let directory = Directory::new();
    let world = World::with(directory.open()).await;
    let code = world.code();
    fs::remove_dir_all(&directory.0).unwrap();
    fs::write(&directory.0, "in the way").unwrap();

    let (status, body) = answer(world.exchange(&code)).await;
    assert_eq!(
        (status.as_u16(), &body["error"]),
        (500, &json!("server_error"))
    );
    assert!(matches!(
        world.sandbox.authorize(consent()),
        Err(Error::Write(_))
    ));
    fs::remove_file(&directory.0).unwrap();
}
