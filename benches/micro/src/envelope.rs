//! Sealing and opening with a data key that is there already, next to AES-256-GCM alone. No call to KMS is measured.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use shared::envelope::format;

use crate::{Operation, Run, run};

/// A client secret has about 64 bytes, the tokens of a grant a few KB.
const SIZES: [usize; 3] = [64, 1024, 8192];
const KEY: [u8; format::KEY_BYTES] = [7; format::KEY_BYTES];
const NONCE_BYTES: usize = 12;

/// Makes an operation for a text of this size.
type Prepare = fn(usize) -> Run;

pub(crate) fn operations() -> Vec<Operation> {
    let kinds: [(&str, Prepare); 6] = [
        ("seal", seal),
        ("open", open),
        ("raw-seal", raw_seal),
        ("raw-open", raw_open),
        ("cipher-seal", cipher_seal),
        ("cipher-open", cipher_open),
    ];
    let of_kind = |(kind, prepare): (&str, Prepare)| {
        SIZES.map(|size| Operation::new(format!("{kind}-{size}"), 200, move || prepare(size)))
    };
    kinds.into_iter().flat_map(of_kind).collect()
}

/// The additional data of a grant. `DataKey::seal` makes it for each seal too.
fn additional_data() -> Vec<u8> {
    let id = "grant#01890a5d-ac96-774b-bcce-b302099a8057";
    format::additional_data("secrets", "acme", id, "grant", 7)
}

fn text(size: usize) -> Vec<u8> {
    vec![b'x'; size]
}

fn seal(size: usize) -> Run {
    let text = text(size);
    run(move || format::seal(&KEY, &additional_data(), &text).unwrap())
}

fn open(size: usize) -> Run {
    let sealed = format::seal(&KEY, &additional_data(), &text(size)).unwrap();
    run(move || format::open(&KEY, &additional_data(), &sealed).unwrap())
}

fn key() -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEY).unwrap())
}

/// What a program does that has no commitment and derives no keys: it sets up the key, draws a nonce, and seals a copy.
fn raw_seal(size: usize) -> Run {
    let text = text(size);
    run(move || {
        let mut nonce = [0; NONCE_BYTES];
        SystemRandom::new().fill(&mut nonce).unwrap();
        let mut sealed = Vec::with_capacity(NONCE_BYTES + size + AES_256_GCM.tag_len());
        sealed.extend(&text);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let aad = Aad::from(additional_data());
        key()
            .seal_in_place_append_tag(nonce, aad, &mut sealed)
            .unwrap();
        sealed
    })
}

fn raw_open(size: usize) -> Run {
    let sealed = raw_sealed(size);
    run(move || {
        let nonce = Nonce::assume_unique_for_key([0; NONCE_BYTES]);
        let aad = Aad::from(additional_data());
        let mut text = sealed.clone();
        let length = key().open_in_place(nonce, aad, &mut text).unwrap().len();
        text.truncate(length);
        text
    })
}

fn raw_sealed(size: usize) -> Vec<u8> {
    let mut sealed = text(size);
    let nonce = Nonce::assume_unique_for_key([0; NONCE_BYTES]);
    let aad = Aad::from(additional_data());
    key()
        .seal_in_place_append_tag(nonce, aad, &mut sealed)
        .unwrap();
    sealed
}

/// The cipher alone: the key is set up, nothing is copied, and no random number is drawn.
fn cipher_seal(size: usize) -> Run {
    let (key, aad, mut text) = (key(), additional_data(), text(size));
    run(move || {
        let nonce = Nonce::assume_unique_for_key([0; NONCE_BYTES]);
        key.seal_in_place_separate_tag(nonce, Aad::from(&aad), &mut text)
            .unwrap()
    })
}

fn cipher_open(size: usize) -> Run {
    let (key, aad, sealed) = (key(), additional_data(), raw_sealed(size));
    let (text, tag) = sealed.split_at(size);
    let (text, tag) = (text.to_vec(), tag.to_vec());
    let mut opened = text.clone();
    run(move || {
        let nonce = Nonce::assume_unique_for_key([0; NONCE_BYTES]);
        key.open_separate_gather(nonce, Aad::from(&aad), &text, &tag, &mut opened)
            .unwrap();
    })
}
