//! The text forms that API keys, token URLs and connect sessions share: lower-case hex, and a checksum at the end.

/// Characters in a checksum.
const CHECKSUM_CHARACTERS: usize = 6;

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0x0f])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// The CRC-32 of `text`, as six characters in base 62.
///
/// The checksum is no protection. It lets a mistyped secret be refused without a read from the database, and lets a
/// secret scanner recognise a leaked one.
pub(crate) fn checksum(text: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = usize::try_from(crc32fast::hash(text.as_bytes())).unwrap_or_default();
    let mut digits = [b'0'; CHECKSUM_CHARACTERS];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS.get(rest % DIGITS.len()).copied().unwrap_or(b'0');
        rest /= DIGITS.len();
    }
    digits.iter().copied().map(char::from).collect()
}

/// `text` without the checksum at its end, or `None` if the checksum does not match.
pub(crate) fn strip_checksum(text: &str) -> Option<&str> {
    let end = text.len().checked_sub(CHECKSUM_CHARACTERS)?;
    let (body, sum) = text.split_at_checked(end)?;
    (checksum(body) == sum).then_some(body)
}
