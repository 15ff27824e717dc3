//! The key file: what it keeps, and which files are refused.

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
    CONTEXT, TestKms, error_of,
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
async fn keys_and_aliases_survive_a_restart() {
    let (folder, file, emulator) = new_file();
    let server = TestKms::with(emulator).await;
    let second = server.emulator.create_key().unwrap();
    let old = server.encrypt(&server.key, CONTEXT, b"old").await;
    server.rotate().await;
    let new = server.encrypt(&server.key, CONTEXT, b"new").await;
    server.alias("alias/x").await;
    server.emulator.set_enabled(&second, false).unwrap();
    assert_eq!(mode(&file), 0o600);
    assert_eq!(
        fs::read_dir(&folder).unwrap().count(),
        1,
        "no temporary file is left"
    );

    let again = TestKms::with(Emulator::open(Some(file)).unwrap()).await;
    assert_eq!(again.key, server.key);
    again.assert_decrypts(&old, CONTEXT, b"old").await;
    again.assert_decrypts(&new, CONTEXT, b"new").await;
    assert_eq!(again.describe("alias/x").await.arn, Some(server.key));
    assert_eq!(
        again.describe(&second).await.key_state,
        Some(KeyState::Disabled)
    );
}

#[tokio::test]
async fn a_change_that_cannot_be_saved_has_no_effect() {
    let (folder, file, emulator) = new_file();
    let server = TestKms::with(emulator).await;
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();

    let disabled = server.kms.disable_key().key_id(&server.key).send().await;
    assert_eq!(error_of(disabled), (500, "KMSInternalException".to_owned()));
    assert_eq!(
        server.describe(&server.key).await.key_state,
        Some(KeyState::Enabled)
    );
    let created = server.emulator.create_key();
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
        "no temporary file is left"
    );
}

#[test]
fn a_key_file_that_others_can_access_is_refused() {
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
fn a_malformed_key_file_is_refused_and_neither_changed_nor_quoted() {
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
        (good.replace("\"others\": []", &twin), "same id"),
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

    let shown = format!("{emulator:?} {:?}", emulator.state().key_ring);
    assert!(
        shown.contains("KeyMaterial(..)") && !shown.contains(material),
        "{shown}"
    );
}
