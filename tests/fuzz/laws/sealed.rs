//! What comes back from a table or from a log: sealed bytes, and the recovery capsule that an operator pastes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::envelope::SecretId;
use shared::envelope::format::{self, KEY_BYTES};
use shared::grants::capsule::Capsule;

use super::choice;

/// The data key of the laws. It seals nothing but inputs of the fuzzer.
const KEY: [u8; KEY_BYTES] = [7; KEY_BYTES];

/// The bytes of a sealed text open with its key and its additional data, and with no bit changed. Bytes that were not
/// sealed do not open.
pub fn envelope(data: &[u8]) {
    assert!(format::open(&KEY, b"", data).is_err());
    if let Ok(id) = str::from_utf8(data).unwrap_or_default().parse::<SecretId>() {
        let text = id.to_string();
        assert!(
            text.parse::<SecretId>().is_ok_and(|again| again == id),
            "{text:?}"
        );
    }
    let Some((at, rest)) = choice(data) else {
        return;
    };
    let Some((mask, rest)) = choice(rest) else {
        return;
    };
    let (additional, plaintext) = rest.split_at(rest.len().min(mask / 4));
    let Ok(sealed) = format::seal(&KEY, additional, plaintext) else {
        panic!("a short text is not sealed");
    };
    let opened = format::open(&KEY, additional, &sealed);
    assert_eq!(opened.as_deref(), Ok(plaintext));

    let mut changed = sealed.clone();
    let at = at * 256 + mask;
    let at = at % changed.len();
    if let Some(byte) = changed.get_mut(at) {
        *byte ^= u8::try_from(mask).unwrap_or_default().max(1);
    }
    assert!(
        format::open(&KEY, additional, &changed).is_err(),
        "a changed byte opens"
    );
    let cut = sealed.get(..at).unwrap_or_default();
    assert!(format::open(&KEY, additional, cut).is_err(), "a part opens");
    let longer = [sealed.as_slice(), rest, b"x"].concat();
    assert!(
        format::open(&KEY, additional, &longer).is_err(),
        "more bytes open"
    );
    let moved = [additional, b"x"].concat();
    assert!(
        format::open(&KEY, &moved, &sealed).is_err(),
        "another row opens"
    );
    assert!(format::open(&[8; KEY_BYTES], additional, &sealed).is_err());
}

/// Any text is read or refused. A capsule that was read is written as the same capsule.
pub fn capsule(data: &[u8]) {
    let encoded = format!("{}{}", Capsule::PREFIX, URL_SAFE_NO_PAD.encode(data));
    let text = str::from_utf8(data).unwrap_or_default();
    for text in [text, &encoded] {
        let Ok(capsule) = text.parse::<Capsule>() else {
            continue;
        };
        assert!(
            (1..=32).contains(&capsule.team().as_str().len()),
            "a team without a name"
        );
        let again = capsule.to_string();
        let read = again.parse::<Capsule>().map(|read| read.to_string());
        assert!(
            read.is_ok_and(|read| read == again),
            "the capsule is not stable"
        );
        let _ids = (capsule.grant(), capsule.credential());
    }
}
