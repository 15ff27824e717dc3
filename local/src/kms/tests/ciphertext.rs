//! Encryption, decryption and data keys.

use std::collections::HashMap;

use aws_sdk_kms::{primitives::Blob, types::DataKeySpec};

use super::{CONTEXT, ContextPairs, TestKms, assert_error, context_map};

const INVALID: &str = "InvalidCiphertextException";

#[tokio::test]
async fn a_wrapped_data_key_decrypts_to_its_plaintext() {
    let server = TestKms::new().await;
    let sizes = [
        (Some(DataKeySpec::Aes256), None, 32),
        (Some(DataKeySpec::Aes128), None, 16),
        (None, Some(1024), 1024),
    ];

    for (spec, bytes, len) in sizes {
        let call = server.kms.generate_data_key().key_id(&server.key);
        let call = call.set_encryption_context(context_map(CONTEXT));
        let made = call
            .set_key_spec(spec)
            .set_number_of_bytes(bytes)
            .send()
            .await
            .unwrap();
        let plaintext = made.plaintext.unwrap().into_inner();
        assert_eq!(
            (plaintext.len(), made.key_id.as_ref()),
            (len, Some(&server.key))
        );
        server
            .assert_decrypts(&made.ciphertext_blob.unwrap(), CONTEXT, &plaintext)
            .await;
    }
}

#[tokio::test]
async fn data_keys_are_unique() {
    let server = TestKms::new().await;
    let make = || {
        server
            .kms
            .generate_data_key()
            .key_id(&server.key)
            .number_of_bytes(32)
            .send()
    };

    assert_ne!(
        make().await.unwrap().plaintext,
        make().await.unwrap().plaintext
    );
}

#[tokio::test]
async fn encrypting_a_plaintext_twice_gives_different_blobs() {
    let server = TestKms::new().await;
    let seal = || server.encrypt(&server.key, CONTEXT, b"twice");

    assert_ne!(seal().await, seal().await);
}

#[tokio::test]
async fn a_blob_decrypts_only_with_its_encryption_context() {
    let server = TestKms::new().await;
    let blob = server.encrypt(&server.key, CONTEXT, b"secret").await;
    let others: [ContextPairs; 6] = [
        &[],
        &[("app", "test")],
        &[("app", "test"), ("id", "2")],
        &[("app", "test"), ("ID", "1")],
        &[("app", "test"), ("id", "1"), ("more", "")],
        &[("app", "testi"), ("d", "1")],
    ];

    server
        .assert_decrypts(&blob, &[("id", "1"), ("app", "test")], b"secret")
        .await;
    for other in others {
        server.assert_refuses(&blob, other, INVALID).await;
    }
}

#[tokio::test]
async fn a_missing_context_equals_an_empty_context() {
    let server = TestKms::new().await;
    let call = server
        .kms
        .encrypt()
        .key_id(&server.key)
        .plaintext(Blob::new("x"));
    let sealed = call
        .set_encryption_context(Some(HashMap::new()))
        .send()
        .await
        .unwrap();

    server
        .assert_decrypts(&sealed.ciphertext_blob.unwrap(), &[], b"x")
        .await;
}

#[tokio::test]
async fn a_blob_with_a_flipped_bit_is_refused() {
    let server = TestKms::new().await;
    server.rotate().await;
    let blob = server
        .encrypt(&server.key, CONTEXT, b"secret")
        .await
        .into_inner();

    for bit in 0..blob.len() * 8 {
        let mut tampered = blob.clone();
        tampered[bit / 8] ^= 1 << (bit % 8);
        server
            .assert_refuses(&Blob::new(tampered), CONTEXT, INVALID)
            .await;
    }
}

#[tokio::test]
async fn a_truncated_or_extended_blob_is_refused() {
    let server = TestKms::new().await;
    let blob = server
        .encrypt(&server.key, CONTEXT, b"x")
        .await
        .into_inner();

    for len in 1..blob.len() {
        server
            .assert_refuses(&Blob::new(&blob[..len]), CONTEXT, INVALID)
            .await;
    }
    server
        .assert_refuses(
            &Blob::new([blob.as_slice(), &[0]].concat()),
            CONTEXT,
            INVALID,
        )
        .await;
}

#[tokio::test]
async fn a_blob_with_the_header_of_another_key_is_refused() {
    let server = TestKms::new().await;
    let second = server.emulator.create_key().unwrap();
    let mut blob = server
        .encrypt(&server.key, CONTEXT, b"x")
        .await
        .into_inner();
    let other = server.encrypt(&second, CONTEXT, b"x").await;
    blob[..22].copy_from_slice(&other.as_ref()[..22]);

    server
        .assert_refuses(&Blob::new(blob), CONTEXT, INVALID)
        .await;
}

#[tokio::test]
async fn a_blob_of_another_key_than_the_requested_key_is_refused() {
    let server = TestKms::new().await;
    let second = server.emulator.create_key().unwrap();
    let blob = server.encrypt(&server.key, &[], b"x").await;
    let decrypt = |key: &str| {
        server
            .kms
            .decrypt()
            .key_id(key)
            .ciphertext_blob(blob.clone())
            .send()
    };

    assert_error(decrypt(&second).await, "IncorrectKeyException");
    assert_eq!(
        decrypt(&server.key).await.unwrap().key_id.as_ref(),
        Some(&server.key)
    );
}

#[tokio::test]
async fn re_encrypt_changes_the_key_and_the_context() {
    let server = TestKms::new().await;
    let second = server.emulator.create_key().unwrap();
    let blob = server.encrypt(&server.key, CONTEXT, b"secret").await;
    let call = |source: &str, context| {
        let call = server
            .kms
            .re_encrypt()
            .ciphertext_blob(blob.clone())
            .source_key_id(source);
        let call = call
            .set_source_encryption_context(context_map(context))
            .destination_key_id(&second);
        call.destination_encryption_context("to", "b").send()
    };

    let moved = call(&server.key, CONTEXT).await.unwrap();
    assert_eq!(moved.source_key_id.as_ref(), Some(&server.key));
    assert_eq!(moved.key_id.as_ref(), Some(&second));
    let moved = moved.ciphertext_blob.unwrap();
    server.assert_refuses(&moved, CONTEXT, INVALID).await;
    assert_error(call(&server.key, &[]).await, INVALID);
    assert_error(call(&second, CONTEXT).await, "IncorrectKeyException");

    server.emulator.set_enabled(&server.key, false).unwrap();
    server
        .assert_decrypts(&moved, &[("to", "b")], b"secret")
        .await;
}

#[tokio::test]
async fn a_rotated_key_still_decrypts_old_blobs() {
    let server = TestKms::new().await;
    let before = server.encrypt(&server.key, CONTEXT, b"before").await;
    let rotate = || server.kms.rotate_key_on_demand().key_id(&server.key).send();

    assert_eq!(rotate().await.unwrap().key_id.as_ref(), Some(&server.key));
    let after = server.encrypt(&server.key, CONTEXT, b"after").await;
    assert_ne!(before.as_ref()[..22], after.as_ref()[..22]);
    for _ in 1..25 {
        rotate().await.unwrap();
    }
    assert_error(rotate().await, "LimitExceededException");
    server.assert_decrypts(&before, CONTEXT, b"before").await;
    server.assert_decrypts(&after, CONTEXT, b"after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_calls_succeed() {
    let server = std::sync::Arc::new(TestKms::new().await);
    let callers = (0..64_u8).map(|caller| {
        let server = server.clone();
        tokio::spawn(async move {
            let context = caller.to_string();
            let context: ContextPairs = &[("caller", &context)];
            let blob = server.encrypt(&server.key, context, &[caller]).await;
            if caller % 8 == 0 {
                server.rotate().await;
            }
            server.assert_decrypts(&blob, context, &[caller]).await;
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }

    let calls = server.emulator.calls();
    assert_eq!(calls.len(), 64 * 2 + 8);
    assert!(calls.iter().all(|call| call.outcome.is_ok()));
}
