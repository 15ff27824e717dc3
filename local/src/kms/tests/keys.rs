//! Keys, aliases and key states.

use aws_sdk_kms::{
    primitives::Blob,
    types::{KeyManagerType, KeyState},
};

use super::{
    super::{Error, ServiceError},
    CONTEXT, TestKms, assert_error, context_map,
};

#[tokio::test]
async fn a_key_is_found_by_id_arn_alias_and_alias_arn() {
    let server = TestKms::new().await;
    server.emulator.create_key().unwrap();
    server.alias("alias/team/x").await;
    let id = server.key.rsplit('/').next().unwrap();
    let alias = "arn:aws:kms:us-east-1:000000000000:alias/team/x";

    for name in [id, &server.key, "alias/team/x", alias] {
        let blob = server.encrypt(name, CONTEXT, b"x").await;
        let call = server.kms.decrypt().key_id(name).ciphertext_blob(blob);
        let opened = call
            .set_encryption_context(context_map(CONTEXT))
            .send()
            .await
            .unwrap();
        assert_eq!(opened.key_id.as_ref(), Some(&server.key), "{name}");
        assert_eq!(
            server.describe(name).await.arn.as_ref(),
            Some(&server.key),
            "{name}"
        );
    }
}

#[tokio::test]
async fn an_unknown_key_is_not_found() {
    let server = TestKms::new().await;
    let names = [
        "00000000-0000-4000-8000-000000000000".to_owned(),
        "alias/none".to_owned(),
        server.key.replace(":key/", ":KEY/"),
        server.key.replace("us-east-1", "eu-west-1"),
        server.key.replace("000000000000", "111111111111"),
        format!("{} ", server.key),
    ];
    let encrypt = |key| {
        server
            .kms
            .encrypt()
            .key_id(key)
            .plaintext(Blob::new("x"))
            .send()
    };

    for name in &names {
        assert_error(encrypt(name).await, "NotFoundException");
    }
    assert_error(
        encrypt(&"arn:aws:s3:::bucket".to_owned()).await,
        "InvalidArnException",
    );
}

#[tokio::test]
async fn an_alias_name_is_unique_and_valid() {
    let server = TestKms::new().await;
    let create = |alias: &str| {
        server
            .kms
            .create_alias()
            .alias_name(alias)
            .target_key_id(&server.key)
            .send()
    };

    create("alias/a").await.unwrap();
    assert_error(create("alias/a").await, "AlreadyExistsException");
    for bad in ["a", "alias/", "alias/aws/x", "alias/a b", "alias/ä"] {
        assert_error(create(bad).await, "InvalidAliasNameException");
    }
}

#[tokio::test]
async fn lists_are_paginated() {
    let server = TestKms::new().await;
    let mut made = vec![server.key.clone()];
    for alias in ["alias/b", "alias/a", "alias/c"] {
        made.push(server.emulator.create_key().unwrap());
        server.alias(alias).await;
    }

    let pages = server
        .kms
        .list_keys()
        .into_paginator()
        .page_size(3)
        .items()
        .send();
    let keys = pages.collect::<Result<Vec<_>, _>>().await.unwrap();
    assert!(keys.iter().filter_map(|key| key.key_arn.as_ref()).eq(&made));
    let call = server.kms.list_aliases().key_id(&server.key);
    let pages = call.into_paginator().page_size(2).items().send();
    let aliases = pages.collect::<Result<Vec<_>, _>>().await.unwrap();
    let names = aliases
        .iter()
        .filter_map(|alias| alias.alias_name.as_deref());
    assert!(names.eq(["alias/a", "alias/b", "alias/c"]));

    let nameless = server
        .kms
        .list_aliases()
        .key_id(&made[1])
        .send()
        .await
        .unwrap();
    assert!(nameless.aliases().is_empty());
    assert_error(
        server.kms.list_keys().marker("x").send().await,
        "InvalidMarkerException",
    );
    assert_error(
        server.kms.list_keys().limit(0).send().await,
        "ValidationException",
    );
}

#[tokio::test]
async fn a_new_key_has_the_metadata_of_an_aws_key() {
    let server = TestKms::new().await;
    let made = server
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
    assert_eq!(server.describe(&arn).await, made);
}

#[tokio::test]
async fn a_disabled_key_is_refused_until_it_is_enabled() {
    let server = TestKms::new().await;
    let (kms, key) = (&server.kms, &server.key);
    let other = server.emulator.create_key().unwrap();
    let blob = server.encrypt(key, CONTEXT, b"x").await;
    let foreign = server.encrypt(&other, &[], b"x").await;
    kms.disable_key().key_id(key).send().await.unwrap();

    assert_eq!(
        server.describe(key).await.key_state,
        Some(KeyState::Disabled)
    );
    server
        .assert_refuses(&blob, CONTEXT, "DisabledException")
        .await;
    let data_key = kms.generate_data_key().key_id(key).number_of_bytes(32);
    assert_error(data_key.send().await, "DisabledException");
    let encrypt = kms.encrypt().key_id(key).plaintext(Blob::new("x"));
    assert_error(encrypt.send().await, "DisabledException");
    let re_encrypt = kms
        .re_encrypt()
        .ciphertext_blob(foreign)
        .destination_key_id(key);
    assert_error(re_encrypt.send().await, "DisabledException");
    assert_error(
        kms.rotate_key_on_demand().key_id(key).send().await,
        "DisabledException",
    );

    kms.enable_key().key_id(key).send().await.unwrap();
    server.assert_decrypts(&blob, CONTEXT, b"x").await;
}

#[tokio::test]
async fn set_enabled_disables_and_enables_a_key() {
    let server = TestKms::new().await;
    let blob = server.encrypt(&server.key, &[], b"x").await;

    server.emulator.set_enabled(&server.key, false).unwrap();
    server.assert_refuses(&blob, &[], "DisabledException").await;
    server.emulator.set_enabled(&server.key, true).unwrap();
    server.assert_decrypts(&blob, &[], b"x").await;
    let unknown = server.emulator.set_enabled("alias/none", true);
    assert!(matches!(
        unknown,
        Err(Error::Service(ServiceError::NotFound(_)))
    ));
}

#[tokio::test]
async fn a_key_pending_deletion_is_refused_and_disabled_after_cancelling() {
    let server = TestKms::new().await;
    let (kms, key) = (&server.kms, &server.key);
    let blob = server.encrypt(key, &[], b"x").await;
    let cancel = || kms.cancel_key_deletion().key_id(key).send();
    let schedule = |days| {
        kms.schedule_key_deletion()
            .key_id(key)
            .pending_window_in_days(days)
            .send()
    };
    let invalid = "KMSInvalidStateException";

    assert_error(cancel().await, invalid);
    assert_error(schedule(6).await, "ValidationException");
    let scheduled = schedule(7).await.unwrap();
    assert_eq!(scheduled.key_state, Some(KeyState::PendingDeletion));
    let described = server.describe(key).await;
    assert_eq!(
        (described.enabled, described.deletion_date),
        (false, scheduled.deletion_date)
    );
    let wait = described.deletion_date.unwrap().secs() - described.creation_date.unwrap().secs();
    assert!((604_800..604_900).contains(&wait), "{wait}");

    server.assert_refuses(&blob, &[], invalid).await;
    assert_error(schedule(7).await, invalid);
    assert_error(kms.enable_key().key_id(key).send().await, invalid);
    assert_error(kms.disable_key().key_id(key).send().await, invalid);
    let alias = kms
        .create_alias()
        .alias_name("alias/late")
        .target_key_id(key);
    assert_error(alias.send().await, invalid);

    cancel().await.unwrap();
    server.assert_refuses(&blob, &[], "DisabledException").await;
    kms.enable_key().key_id(key).send().await.unwrap();
    server.assert_decrypts(&blob, &[], b"x").await;
}
