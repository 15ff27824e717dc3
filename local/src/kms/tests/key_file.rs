//! What outlives the process, and which files are refused.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use aws_sdk_kms::types::KeyState;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    super::{Emulator, Error},
    CONTEXT, World, error,
};

fn new_file() -> (TempDir, PathBuf, Emulator) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("keys.json");
    let emulator = Emulator::open(Some(file.clone())).unwrap();
    (folder, file, emulator)
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn everything_but_calls_and_faults_survives_a_restart() {
    let (folder, file, emulator) = new_file();
    let world = World::of(emulator).await;
    let second = world.emulator.create_key().unwrap();
    let old = world.seal(&world.key, CONTEXT, b"old").await;
    world.rotate().await;
    let new = world.seal(&world.key, CONTEXT, b"new").await;
    world.alias("alias/x").await;
    world.emulator.set_enabled(&second, false).unwrap();
    assert_eq!(mode(&file), 0o600);
    assert_eq!(
        fs::read_dir(&folder).unwrap().count(),
        1,
        "no temporary file stays"
    );

    let again = World::of(Emulator::open(Some(file)).unwrap()).await;
    assert_eq!(again.key, world.key);
    again.opens(&old, CONTEXT, b"old").await;
    again.opens(&new, CONTEXT, b"new").await;
    assert_eq!(again.describe("alias/x").await.arn, Some(world.key));
    assert_eq!(
        again.describe(&second).await.key_state,
        Some(KeyState::Disabled)
    );
}

#[tokio::test]
async fn a_change_that_cannot_be_saved_does_not_happen() {
    let (folder, file, emulator) = new_file();
    let world = World::of(emulator).await;
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();

    let disabled = world.kms.disable_key().key_id(&world.key).send().await;
    assert_eq!(error(disabled), (500, "KMSInternalException".to_owned()));
    assert_eq!(
        world.describe(&world.key).await.key_state,
        Some(KeyState::Enabled)
    );
    let created = world.emulator.create_key();
    assert!(matches!(
        created,
        Err(Error::File {
            action: "write",
            ..
        })
    ));
    assert_eq!(
        fs::read_dir(&folder).unwrap().count(),
        1,
        "no temporary file stays"
    );
}

#[test]
fn a_key_file_that_others_may_use_is_refused() {
    let (_folder, file, _) = new_file();
    let open_with = |mode| {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        Emulator::open(Some(file.clone()))
    };

    for mode in [0o640, 0o604, 0o620, 0o601, 0o666] {
        let error = open_with(mode).unwrap_err();
        assert!(
            matches!(error, Error::Exposed { mode: found, .. } if found == mode),
            "{error}"
        );
    }
    open_with(0o400).unwrap();
}

#[test]
fn a_malformed_key_file_is_refused_kept_and_not_quoted() {
    let (_folder, file, _) = new_file();
    let good = fs::read_to_string(&file).unwrap();
    let ring: Value = serde_json::from_str(&good).unwrap();
    let material = ring["first"]["material"].as_str().unwrap();
    let id = ring["first"]["id"].as_str().unwrap();
    let twin = format!("\"others\": [{}]", ring["first"]);
    let dangling = good.replace(id, "00000000-0000-4000-8000-000000000000");
    let dangling = dangling.replace("{}", &format!("{{\"alias/x\": \"{id}\"}}"));
    let cases = [
        (String::new(), "line"),
        (good.split_at(good.len() / 2).0.to_owned(), "line"),
        (good.replace(material, material.split_at(20).0), "line"),
        (good.replace(material, "canary!"), "line"),
        (good.replace(&format!("\"{material}\""), "7"), "line"),
        (good.replace("\"state\"", "\"stat\""), "line"),
        (good.replace("us-east-1", "eu-west-1"), "ARN"),
        (good.replace("\"others\": []", &twin), "one id"),
        (good.replace("{}", &format!("{{\"x\": \"{id}\"}}")), "alias"),
        (dangling, "alias"),
    ];

    for (content, problem) in cases {
        assert_ne!(content, good);
        fs::write(&file, &content).unwrap();
        let error = Emulator::open(Some(file.clone())).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(
            matches!(error, Error::Malformed { .. }) && text.contains(problem),
            "{text}"
        );
        assert!(!text.contains("canary") && !text.contains(material));
        assert_eq!(fs::read_to_string(&file).unwrap(), content);
    }
}

#[test]
fn debug_shows_no_key_material() {
    let (_folder, file, emulator) = new_file();
    let ring: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let material = ring["first"]["material"].as_str().unwrap();

    let shown = format!("{emulator:?} {:?}", emulator.state().ring);
    assert!(
        shown.contains("Material(..)") && !shown.contains(material),
        "{shown}"
    );
}
