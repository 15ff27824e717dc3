//! What seals and what opens.

use std::collections::HashMap;

use aws_sdk_kms::{primitives::Blob, types::DataKeySpec};

use super::{CONTEXT, Pairs, World, map, refused};

const INVALID: &str = "InvalidCiphertextException";

#[tokio::test]
async fn a_data_key_opens_to_the_same_bytes() {
    let world = World::new().await;
    let sizes = [
        (Some(DataKeySpec::Aes256), None, 32),
        (Some(DataKeySpec::Aes128), None, 16),
        (None, Some(1024), 1024),
    ];

    for (spec, bytes, len) in sizes {
        let call = world.kms.generate_data_key().key_id(&world.key);
        let call = call.set_encryption_context(map(CONTEXT));
        let made = call
            .set_key_spec(spec)
            .set_number_of_bytes(bytes)
            .send()
            .await
            .unwrap();
        let plaintext = made.plaintext.unwrap().into_inner();
        assert_eq!(
            (plaintext.len(), made.key_id.as_ref()),
            (len, Some(&world.key))
        );
        world
            .opens(&made.ciphertext_blob.unwrap(), CONTEXT, &plaintext)
            .await;
    }
}

#[tokio::test]
async fn no_two_data_keys_are_alike() {
    let world = World::new().await;
    let make = || {
        world
            .kms
            .generate_data_key()
            .key_id(&world.key)
            .number_of_bytes(32)
            .send()
    };

    assert_ne!(
        make().await.unwrap().plaintext,
        make().await.unwrap().plaintext
    );
}

#[tokio::test]
async fn the_same_plaintext_never_makes_the_same_blob() {
    let world = World::new().await;
    let seal = || world.seal(&world.key, CONTEXT, b"twice");

    assert_ne!(seal().await, seal().await);
}

#[tokio::test]
async fn only_the_same_context_opens() {
    let world = World::new().await;
    let blob = world.seal(&world.key, CONTEXT, b"secret").await;
    let others: [Pairs; 6] = [
        &[],
        &[("app", "test")],
        &[("app", "test"), ("id", "2")],
        &[("app", "test"), ("ID", "1")],
        &[("app", "test"), ("id", "1"), ("more", "")],
        &[("app", "testi"), ("d", "1")],
    ];

    world
        .opens(&blob, &[("id", "1"), ("app", "test")], b"secret")
        .await;
    for other in others {
        world.stays_shut(&blob, other, INVALID).await;
    }
}

#[tokio::test]
async fn no_context_and_an_empty_one_are_the_same() {
    let world = World::new().await;
    let call = world
        .kms
        .encrypt()
        .key_id(&world.key)
        .plaintext(Blob::new("x"));
    let sealed = call
        .set_encryption_context(Some(HashMap::new()))
        .send()
        .await
        .unwrap();

    world
        .opens(&sealed.ciphertext_blob.unwrap(), &[], b"x")
        .await;
}

#[tokio::test]
async fn every_flipped_bit_is_an_invalid_ciphertext() {
    let world = World::new().await;
    world.rotate().await;
    let blob = world
        .seal(&world.key, CONTEXT, b"secret")
        .await
        .into_inner();

    for bit in 0..blob.len() * 8 {
        let mut tampered = blob.clone();
        tampered[bit / 8] ^= 1 << (bit % 8);
        world
            .stays_shut(&Blob::new(tampered), CONTEXT, INVALID)
            .await;
    }
}

#[tokio::test]
async fn a_blob_cut_short_or_grown_is_an_invalid_ciphertext() {
    let world = World::new().await;
    let blob = world.seal(&world.key, CONTEXT, b"x").await.into_inner();

    for len in 1..blob.len() {
        world
            .stays_shut(&Blob::new(&blob[..len]), CONTEXT, INVALID)
            .await;
    }
    world
        .stays_shut(
            &Blob::new([blob.as_slice(), &[0]].concat()),
            CONTEXT,
            INVALID,
        )
        .await;
}

#[tokio::test]
async fn a_blob_relabelled_as_another_keys_does_not_open() {
    let world = World::new().await;
    let second = world.emulator.create_key().unwrap();
    let mut blob = world.seal(&world.key, CONTEXT, b"x").await.into_inner();
    let other = world.seal(&second, CONTEXT, b"x").await;
    blob[..22].copy_from_slice(&other.as_ref()[..22]);

    world.stays_shut(&Blob::new(blob), CONTEXT, INVALID).await;
}

#[tokio::test]
async fn a_blob_of_another_key_than_insisted_on_is_refused() {
    let world = World::new().await;
    let second = world.emulator.create_key().unwrap();
    let blob = world.seal(&world.key, &[], b"x").await;
    let decrypt = |key: &str| {
        world
            .kms
            .decrypt()
            .key_id(key)
            .ciphertext_blob(blob.clone())
            .send()
    };

    refused(decrypt(&second).await, "IncorrectKeyException");
    assert_eq!(
        decrypt(&world.key).await.unwrap().key_id.as_ref(),
        Some(&world.key)
    );
}

#[tokio::test]
async fn re_encrypt_moves_a_blob_to_another_key_and_context() {
    let world = World::new().await;
    let second = world.emulator.create_key().unwrap();
    let blob = world.seal(&world.key, CONTEXT, b"secret").await;
    let call = |source: &str, context| {
        let call = world
            .kms
            .re_encrypt()
            .ciphertext_blob(blob.clone())
            .source_key_id(source);
        let call = call
            .set_source_encryption_context(map(context))
            .destination_key_id(&second);
        call.destination_encryption_context("to", "b").send()
    };

    let moved = call(&world.key, CONTEXT).await.unwrap();
    assert_eq!(moved.source_key_id.as_ref(), Some(&world.key));
    assert_eq!(moved.key_id.as_ref(), Some(&second));
    let moved = moved.ciphertext_blob.unwrap();
    world.stays_shut(&moved, CONTEXT, INVALID).await;
    refused(call(&world.key, &[]).await, INVALID);
    refused(call(&second, CONTEXT).await, "IncorrectKeyException");

    world.emulator.set_enabled(&world.key, false).unwrap();
    world.opens(&moved, &[("to", "b")], b"secret").await;
}

#[tokio::test]
async fn a_rotated_key_seals_anew_and_still_opens_the_old() {
    let world = World::new().await;
    let before = world.seal(&world.key, CONTEXT, b"before").await;
    let rotate = || world.kms.rotate_key_on_demand().key_id(&world.key).send();

    assert_eq!(rotate().await.unwrap().key_id.as_ref(), Some(&world.key));
    let after = world.seal(&world.key, CONTEXT, b"after").await;
    assert_ne!(before.as_ref()[..22], after.as_ref()[..22]);
    for _ in 1..25 {
        rotate().await.unwrap();
    }
    refused(rotate().await, "LimitExceededException");
    world.opens(&before, CONTEXT, b"before").await;
    world.opens(&after, CONTEXT, b"after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_calls_do_not_disturb_each_other() {
    let world = std::sync::Arc::new(World::new().await);
    let callers = (0..64_u8).map(|caller| {
        let world = world.clone();
        tokio::spawn(async move {
            let context = caller.to_string();
            let context: Pairs = &[("caller", &context)];
            let blob = world.seal(&world.key, context, &[caller]).await;
            if caller % 8 == 0 {
                world.rotate().await;
            }
            world.opens(&blob, context, &[caller]).await;
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }

    let calls = world.emulator.calls();
    assert_eq!(calls.len(), 64 * 2 + 8);
    assert!(calls.iter().all(|call| call.outcome.is_ok()));
}
