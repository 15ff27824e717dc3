//! Limits, malformed requests, ordered failures, and what is remembered.

use aws_sdk_kms::{
    primitives::Blob,
    types::{DataKeySpec, EncryptionAlgorithmSpec, KeySpec},
};

use super::{
    super::{Failure, MAX_BODY},
    CONTEXT, World, error, map, refused,
};

#[tokio::test]
async fn what_the_emulator_cannot_do_is_refused_and_not_ignored() {
    let world = World::new().await;
    let (kms, unsupported) = (&world.kms, "UnsupportedOperationException");
    let encrypt = || kms.encrypt().key_id(&world.key).plaintext(Blob::new("x"));

    refused(
        kms.create_key().key_spec(KeySpec::Rsa2048).send().await,
        unsupported,
    );
    refused(
        kms.create_key().multi_region(true).send().await,
        unsupported,
    );
    refused(encrypt().dry_run(true).send().await, unsupported);
    let oaep = encrypt().encryption_algorithm(EncryptionAlgorithmSpec::RsaesOaepSha256);
    refused(oaep.send().await, "InvalidKeyUsageException");
    let sign = kms.sign().key_id(&world.key).message(Blob::new("x"));
    refused(sign.send().await, "UnknownOperationException");
    assert_eq!(world.emulator.calls().last().unwrap().operation, "Unknown");
}

#[tokio::test]
async fn kms_limits_hold() {
    let world = World::new().await;
    let (kms, key) = (&world.kms, &world.key);
    let encrypt = |len| {
        kms.encrypt()
            .key_id(key)
            .plaintext(Blob::new(vec![7; len]))
            .send()
    };
    let data_key = || kms.generate_data_key().key_id(key);

    let largest = encrypt(4096).await.unwrap().ciphertext_blob.unwrap();
    world.opens(&largest, &[], &[7; 4096]).await;
    refused(encrypt(0).await, "ValidationException");
    refused(encrypt(4097).await, "ValidationException");
    world
        .stays_shut(&Blob::new(vec![7; 6144]), &[], "InvalidCiphertextException")
        .await;
    world
        .stays_shut(&Blob::new(vec![7; 6145]), &[], "ValidationException")
        .await;
    let calls = [
        data_key(),
        data_key().number_of_bytes(0),
        data_key().number_of_bytes(1025),
        data_key().number_of_bytes(32).key_spec(DataKeySpec::Aes256),
        data_key().key_spec(DataKeySpec::from("AES_512")),
    ];
    for call in calls {
        refused(call.send().await, "ValidationException");
    }
}

#[tokio::test]
async fn malformed_requests_are_the_callers_fault() {
    let world = World::new().await;
    let cases = [
        ("", "SerializationException"),
        ("{", "SerializationException"),
        ("7", "SerializationException"),
        (r#"{"KeyId":1}"#, "SerializationException"),
        (r#"{"KeyId":"a","KeyId":"b"}"#, "SerializationException"),
        (r#"{"CiphertextBlob":"*"}"#, "SerializationException"),
        (r#"{"EncryptionContext":{"a":1}}"#, "SerializationException"),
        (r#"{"DryRun":"true"}"#, "SerializationException"),
        (r#"{"KeyId":"\ud800"}"#, "SerializationException"),
        ("{}", "ValidationException"),
        (
            r#"{"CiphertextBlob":null,"Unknown":[{}]}"#,
            "ValidationException",
        ),
        (r#"{"CiphertextBlob":""}"#, "ValidationException"),
        (
            r#"{"CiphertextBlob":"AAAA","Recipient":{}}"#,
            "UnsupportedOperationException",
        ),
    ];

    for (body, error) in cases {
        let (status, head, answer) = world.raw("POST", "TrentService.Decrypt", body).await;
        assert_eq!(
            (status, answer["__type"].as_str()),
            (400, Some(error)),
            "{body}"
        );
        assert!(
            answer["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty())
        );
        assert!(
            head.contains("content-type: application/x-amz-json-1.1"),
            "{head}"
        );
        assert!(head.contains("x-amzn-requestid: "), "{head}");
    }
    let nested = format!("{{\"Tags\":{}", "[".repeat(60_000));
    for body in [nested.into_bytes(), b"{\"KeyId\":\"\xff\"}".to_vec()] {
        let (status, _, answer) = world.raw("POST", "TrentService.Decrypt", body).await;
        assert_eq!(
            (status, answer["__type"].as_str()),
            (400, Some("SerializationException"))
        );
    }
}

#[tokio::test]
async fn a_target_that_is_not_exactly_an_operation_is_unknown() {
    let world = World::new().await;
    let targets = [
        "",
        "Decrypt",
        "TrentService.",
        "TrentService.decrypt",
        "Other.Decrypt",
    ];

    for target in targets {
        let (status, _, answer) = world.raw("POST", target, "{}").await;
        assert_eq!(
            (status, answer["__type"].as_str()),
            (400, Some("UnknownOperationException"))
        );
    }
}

#[tokio::test]
async fn a_body_larger_than_any_honest_request_is_refused() {
    let world = World::new().await;
    let body = vec![b' '; MAX_BODY + 1];
    let (status, _, answer) = world.raw("POST", "TrentService.Decrypt", body).await;

    assert_eq!(
        (status, answer["__type"].as_str()),
        (413, Some("RequestEntityTooLargeException"))
    );
}

#[tokio::test]
async fn a_knock_is_answered_without_harm() {
    let world = World::new().await;

    assert_eq!(world.raw("GET", "", "").await.0, 404);
    assert!(world.emulator.calls().is_empty());
}

#[tokio::test]
async fn ordered_failures_come_as_awss_and_end_by_count() {
    let world = World::new().await;
    let describe = || world.kms.describe_key().key_id(&world.key).send();
    let failures = [
        (Failure::Throttling, 400, "ThrottlingException"),
        (Failure::AccessDenied, 400, "AccessDeniedException"),
        (Failure::Disabled, 400, "DisabledException"),
        (Failure::NotFound, 400, "NotFoundException"),
        (Failure::Internal, 500, "KMSInternalException"),
        (Failure::KeyUnavailable, 500, "KeyUnavailableException"),
        (
            Failure::DependencyTimeout,
            503,
            "DependencyTimeoutException",
        ),
    ];

    for (failure, status, name) in failures {
        world.emulator.fail_next(2, failure);
        assert_eq!(error(describe().await), (status, name.to_owned()));
        assert_eq!(error(describe().await), (status, name.to_owned()));
        describe().await.unwrap();
    }
}

#[tokio::test]
async fn an_outage_lasts_until_healed() {
    let world = World::new().await;
    let blob = world.seal(&world.key, &[], b"x").await;

    world
        .emulator
        .fail_next(usize::MAX, Failure::KeyUnavailable);
    for _ in 0..20 {
        world
            .stays_shut(&blob, &[], "KeyUnavailableException")
            .await;
    }
    world.emulator.heal();
    world.opens(&blob, &[], b"x").await;
}

#[tokio::test]
async fn calls_tell_who_was_asked_for_what_and_hold_no_secret() {
    let world = World::new().await;
    let key = world.key.as_str();
    let second = world.emulator.create_key().unwrap();
    world.alias("alias/x").await;
    let blob = world.seal("alias/x", CONTEXT, b"canary").await;
    world
        .stays_shut(&blob, &[], "InvalidCiphertextException")
        .await;
    world.emulator.fail_next(1, Failure::Throttling);
    let call = world
        .kms
        .re_encrypt()
        .ciphertext_blob(blob.clone())
        .destination_key_id(&second);
    let call = call.set_source_encryption_context(map(CONTEXT));
    let call = call.destination_encryption_context("to", "b");
    refused(call.send().await, "ThrottlingException");
    refused(
        world.kms.enable_key().key_id("alias/y").send().await,
        "NotFoundException",
    );

    let calls = world.emulator.calls();
    let told = calls.iter().map(|call| {
        (
            call.operation,
            call.key.as_deref().unwrap(),
            call.context.len(),
            call.outcome,
        )
    });
    let expected = [
        ("CreateAlias", key, 0, Ok(())),
        ("Encrypt", key, 2, Ok(())),
        ("Decrypt", key, 0, Err("InvalidCiphertextException")),
        ("ReEncrypt", key, 2, Err("ThrottlingException")),
        ("EnableKey", "alias/y", 0, Err("NotFoundException")),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert_eq!(calls[1].context["app"], "test");
    assert_eq!(calls[3].destination_key.as_ref(), Some(&second));
    assert_eq!(calls[3].destination_context["to"], "b");
    assert!(!format!("{calls:?}").contains("canary"));
}
