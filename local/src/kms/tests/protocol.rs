//! Limits, malformed requests, injected failures and recorded calls.

use aws_sdk_kms::{
    primitives::Blob,
    types::{DataKeySpec, EncryptionAlgorithmSpec, KeySpec},
};

use super::{
    super::{Failure, MAX_BODY_BYTES},
    CONTEXT, TestKms, assert_error, context_map, error_of,
};

#[tokio::test]
async fn unsupported_features_are_refused() {
    let server = TestKms::new().await;
    let (kms, unsupported) = (&server.kms, "UnsupportedOperationException");
    let encrypt = || kms.encrypt().key_id(&server.key).plaintext(Blob::new("x"));

    assert_error(
        kms.create_key().key_spec(KeySpec::Rsa2048).send().await,
        unsupported,
    );
    assert_error(
        kms.create_key().multi_region(true).send().await,
        unsupported,
    );
    assert_error(encrypt().dry_run(true).send().await, unsupported);
    let oaep = encrypt().encryption_algorithm(EncryptionAlgorithmSpec::RsaesOaepSha256);
    assert_error(oaep.send().await, "InvalidKeyUsageException");
    let sign = kms.sign().key_id(&server.key).message(Blob::new("x"));
    assert_error(sign.send().await, "UnknownOperationException");
    assert_eq!(server.emulator.calls().last().unwrap().operation, "Unknown");
}

#[tokio::test]
async fn the_limits_of_kms_apply() {
    let server = TestKms::new().await;
    let (kms, key) = (&server.kms, &server.key);
    let encrypt = |len| {
        kms.encrypt()
            .key_id(key)
            .plaintext(Blob::new(vec![7; len]))
            .send()
    };
    let data_key = || kms.generate_data_key().key_id(key);

    let largest = encrypt(4096).await.unwrap().ciphertext_blob.unwrap();
    server.assert_decrypts(&largest, &[], &[7; 4096]).await;
    assert_error(encrypt(0).await, "ValidationException");
    assert_error(encrypt(4097).await, "ValidationException");
    server
        .assert_refuses(&Blob::new(vec![7; 6144]), &[], "InvalidCiphertextException")
        .await;
    server
        .assert_refuses(&Blob::new(vec![7; 6145]), &[], "ValidationException")
        .await;
    let calls = [
        data_key(),
        data_key().number_of_bytes(0),
        data_key().number_of_bytes(1025),
        data_key().number_of_bytes(32).key_spec(DataKeySpec::Aes256),
        data_key().key_spec(DataKeySpec::from("AES_512")),
    ];
    for call in calls {
        assert_error(call.send().await, "ValidationException");
    }
}

#[tokio::test]
async fn malformed_requests_get_status_400() {
    let server = TestKms::new().await;
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
        let (status, head, answer) = server.raw("POST", "TrentService.Decrypt", body).await;
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
        let (status, _, answer) = server.raw("POST", "TrentService.Decrypt", body).await;
        assert_eq!(
            (status, answer["__type"].as_str()),
            (400, Some("SerializationException"))
        );
    }
}

#[tokio::test]
async fn an_inexact_operation_name_is_unknown() {
    let server = TestKms::new().await;
    let targets = [
        "",
        "Decrypt",
        "TrentService.",
        "TrentService.decrypt",
        "Other.Decrypt",
    ];

    for target in targets {
        let (status, _, answer) = server.raw("POST", target, "{}").await;
        assert_eq!(
            (status, answer["__type"].as_str()),
            (400, Some("UnknownOperationException"))
        );
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let server = TestKms::new().await;
    let body = vec![b' '; MAX_BODY_BYTES + 1];
    let (status, _, answer) = server.raw("POST", "TrentService.Decrypt", body).await;

    assert_eq!(
        (status, answer["__type"].as_str()),
        (413, Some("RequestEntityTooLargeException"))
    );
}

#[tokio::test]
async fn a_request_that_is_not_for_kms_gets_404() {
    let server = TestKms::new().await;

    assert_eq!(server.raw("GET", "", "").await.0, 404);
    assert!(server.emulator.calls().is_empty());
}

#[tokio::test]
async fn an_injected_failure_ends_after_its_count() {
    let server = TestKms::new().await;
    let describe = || server.kms.describe_key().key_id(&server.key).send();
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
        server.emulator.fail_next(2, failure);
        assert_eq!(error_of(describe().await), (status, name.to_owned()));
        assert_eq!(error_of(describe().await), (status, name.to_owned()));
        describe().await.unwrap();
    }
}

#[tokio::test]
async fn an_unlimited_failure_lasts_until_it_is_removed() {
    let server = TestKms::new().await;
    let blob = server.encrypt(&server.key, &[], b"x").await;

    server
        .emulator
        .fail_next(usize::MAX, Failure::KeyUnavailable);
    for _ in 0..20 {
        server
            .assert_refuses(&blob, &[], "KeyUnavailableException")
            .await;
    }
    server.emulator.stop_failing();
    server.assert_decrypts(&blob, &[], b"x").await;
}

#[tokio::test]
async fn calls_record_key_context_and_outcome_but_no_secret() {
    let server = TestKms::new().await;
    let key = server.key.as_str();
    let second = server.emulator.create_key().unwrap();
    server.alias("alias/x").await;
    let blob = server.encrypt("alias/x", CONTEXT, b"canary").await;
    server
        .assert_refuses(&blob, &[], "InvalidCiphertextException")
        .await;
    server.emulator.fail_next(1, Failure::Throttling);
    let call = server
        .kms
        .re_encrypt()
        .ciphertext_blob(blob.clone())
        .destination_key_id(&second);
    let call = call.set_source_encryption_context(context_map(CONTEXT));
    let call = call.destination_encryption_context("to", "b");
    assert_error(call.send().await, "ThrottlingException");
    assert_error(
        server.kms.enable_key().key_id("alias/y").send().await,
        "NotFoundException",
    );

    let calls = server.emulator.calls();
    let recorded = calls.iter().map(|call| {
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
    assert_eq!(recorded.collect::<Vec<_>>(), expected);
    assert_eq!(calls[1].context["app"], "test");
    assert_eq!(calls[3].destination_key.as_ref(), Some(&second));
    assert_eq!(calls[3].destination_context["to"], "b");
    assert!(!format!("{calls:?}").contains("canary"));
}
