//! Keys, their names and their states.

use aws_sdk_kms::{
    primitives::Blob,
    types::{KeyManagerType, KeyState},
};

use super::{
    super::{Error, Refusal},
    CONTEXT, World, map, refused,
};

#[tokio::test]
async fn a_key_answers_to_its_id_arn_alias_and_alias_arn() {
    let world = World::new().await;
    world.emulator.create_key().unwrap();
    world.alias("alias/team/x").await;
    let id = world.key.rsplit('/').next().unwrap();
    let alias = "arn:aws:kms:us-east-1:000000000000:alias/team/x";

    for name in [id, &world.key, "alias/team/x", alias] {
        let blob = world.seal(name, CONTEXT, b"x").await;
        let call = world.kms.decrypt().key_id(name).ciphertext_blob(blob);
        let opened = call
            .set_encryption_context(map(CONTEXT))
            .send()
            .await
            .unwrap();
        assert_eq!(opened.key_id.as_ref(), Some(&world.key), "{name}");
        assert_eq!(
            world.describe(name).await.arn.as_ref(),
            Some(&world.key),
            "{name}"
        );
    }
}

#[tokio::test]
async fn an_unknown_key_is_not_found_by_any_name() {
    let world = World::new().await;
    let names = [
        "00000000-0000-4000-8000-000000000000".to_owned(),
        "alias/none".to_owned(),
        world.key.replace(":key/", ":KEY/"),
        world.key.replace("us-east-1", "eu-west-1"),
        world.key.replace("000000000000", "111111111111"),
        format!("{} ", world.key),
    ];
    let encrypt = |key| {
        world
            .kms
            .encrypt()
            .key_id(key)
            .plaintext(Blob::new("x"))
            .send()
    };

    for name in &names {
        refused(encrypt(name).await, "NotFoundException");
    }
    refused(
        encrypt(&"arn:aws:s3:::bucket".to_owned()).await,
        "InvalidArnException",
    );
}

#[tokio::test]
async fn an_alias_is_named_once_and_well() {
    let world = World::new().await;
    let create = |alias: &str| {
        world
            .kms
            .create_alias()
            .alias_name(alias)
            .target_key_id(&world.key)
            .send()
    };

    create("alias/a").await.unwrap();
    refused(create("alias/a").await, "AlreadyExistsException");
    for bad in ["a", "alias/", "alias/aws/x", "alias/a b", "alias/ä"] {
        refused(create(bad).await, "InvalidAliasNameException");
    }
}

#[tokio::test]
async fn lists_come_in_pages() {
    let world = World::new().await;
    let mut made = vec![world.key.clone()];
    for alias in ["alias/b", "alias/a", "alias/c"] {
        made.push(world.emulator.create_key().unwrap());
        world.alias(alias).await;
    }

    let pages = world
        .kms
        .list_keys()
        .into_paginator()
        .page_size(3)
        .items()
        .send();
    let keys = pages.collect::<Result<Vec<_>, _>>().await.unwrap();
    assert!(keys.iter().filter_map(|key| key.key_arn.as_ref()).eq(&made));
    let call = world.kms.list_aliases().key_id(&world.key);
    let pages = call.into_paginator().page_size(2).items().send();
    let aliases = pages.collect::<Result<Vec<_>, _>>().await.unwrap();
    let names = aliases
        .iter()
        .filter_map(|alias| alias.alias_name.as_deref());
    assert!(names.eq(["alias/a", "alias/b", "alias/c"]));

    let nameless = world
        .kms
        .list_aliases()
        .key_id(&made[1])
        .send()
        .await
        .unwrap();
    assert!(nameless.aliases().is_empty());
    refused(
        world.kms.list_keys().marker("x").send().await,
        "InvalidMarkerException",
    );
    refused(
        world.kms.list_keys().limit(0).send().await,
        "ValidationException",
    );
}

#[tokio::test]
async fn a_new_key_describes_itself_as_aws_would() {
    let world = World::new().await;
    let made = world
        .kms
        .create_key()
        .description("for tests")
        .send()
        .await
        .unwrap();
    let made = made.key_metadata.unwrap();
    let arn = made.arn.clone().unwrap();

    assert_eq!(
        arn,
        format!("arn:aws:kms:us-east-1:000000000000:key/{}", made.key_id)
    );
    assert_eq!(
        (made.enabled, made.description.as_deref()),
        (true, Some("for tests"))
    );
    assert_eq!(made.key_state, Some(KeyState::Enabled));
    assert_eq!(made.key_manager, Some(KeyManagerType::Customer));
    assert!(made.creation_date.unwrap().secs() > 1_700_000_000);
    assert_eq!(made.deletion_date, None);
    assert_eq!(world.describe(&arn).await, made);
}

#[tokio::test]
async fn a_disabled_key_does_nothing_until_it_is_enabled() {
    let world = World::new().await;
    let (kms, key) = (&world.kms, &world.key);
    let other = world.emulator.create_key().unwrap();
    let blob = world.seal(key, CONTEXT, b"x").await;
    let foreign = world.seal(&other, &[], b"x").await;
    kms.disable_key().key_id(key).send().await.unwrap();

    assert_eq!(
        world.describe(key).await.key_state,
        Some(KeyState::Disabled)
    );
    world.stays_shut(&blob, CONTEXT, "DisabledException").await;
    let data_key = kms.generate_data_key().key_id(key).number_of_bytes(32);
    refused(data_key.send().await, "DisabledException");
    let encrypt = kms.encrypt().key_id(key).plaintext(Blob::new("x"));
    refused(encrypt.send().await, "DisabledException");
    let re_encrypt = kms
        .re_encrypt()
        .ciphertext_blob(foreign)
        .destination_key_id(key);
    refused(re_encrypt.send().await, "DisabledException");
    refused(
        kms.rotate_key_on_demand().key_id(key).send().await,
        "DisabledException",
    );

    kms.enable_key().key_id(key).send().await.unwrap();
    world.opens(&blob, CONTEXT, b"x").await;
}

#[tokio::test]
async fn rust_code_disables_a_key_as_an_administrator_would() {
    let world = World::new().await;
    let blob = world.seal(&world.key, &[], b"x").await;

    world.emulator.set_enabled(&world.key, false).unwrap();
    world.stays_shut(&blob, &[], "DisabledException").await;
    world.emulator.set_enabled(&world.key, true).unwrap();
    world.opens(&blob, &[], b"x").await;
    let unknown = world.emulator.set_enabled("alias/none", true);
    assert!(matches!(unknown, Err(Error::Refused(Refusal::NotFound(_)))));
}

#[tokio::test]
async fn a_key_that_awaits_deletion_does_nothing_and_comes_back_disabled() {
    let world = World::new().await;
    let (kms, key) = (&world.kms, &world.key);
    let blob = world.seal(key, &[], b"x").await;
    let cancel = || kms.cancel_key_deletion().key_id(key).send();
    let schedule = |days| {
        kms.schedule_key_deletion()
            .key_id(key)
            .pending_window_in_days(days)
            .send()
    };
    let invalid = "KMSInvalidStateException";

    refused(cancel().await, invalid);
    refused(schedule(6).await, "ValidationException");
    let scheduled = schedule(7).await.unwrap();
    assert_eq!(scheduled.key_state, Some(KeyState::PendingDeletion));
    let described = world.describe(key).await;
    assert_eq!(
        (described.enabled, described.deletion_date),
        (false, scheduled.deletion_date)
    );
    let wait = described.deletion_date.unwrap().secs() - described.creation_date.unwrap().secs();
    assert!((604_800..604_900).contains(&wait), "{wait}");

    world.stays_shut(&blob, &[], invalid).await;
    refused(schedule(7).await, invalid);
    refused(kms.enable_key().key_id(key).send().await, invalid);
    refused(kms.disable_key().key_id(key).send().await, invalid);
    let alias = kms
        .create_alias()
        .alias_name("alias/late")
        .target_key_id(key);
    refused(alias.send().await, invalid);

    cancel().await.unwrap();
    world.stays_shut(&blob, &[], "DisabledException").await;
    kms.enable_key().key_id(key).send().await.unwrap();
    world.opens(&blob, &[], b"x").await;
}
