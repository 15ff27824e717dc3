//! Secrets that must not be found.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::form_urlencoded;

/// A secret that must not be found, in all its forms.
pub(super) struct Canary {
    name: String,
    forms: Vec<String>,
}

impl Canary {
    /// The secret as it is, its first characters, in base64 at each of the three offsets, in hex, and URL-encoded.
    pub(super) fn new(name: &str, secret: &str) -> Self {
        let mut forms = vec![
            secret.to_owned(),
            secret.chars().take(12).collect(),
            form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
            form_urlencoded::byte_serialize(secret.as_bytes())
                .collect::<String>()
                .replace('+', "%20"),
            hex(secret.as_bytes()),
            hex(secret.as_bytes()).to_uppercase(),
        ];
        for offset in 0..3 {
            let padded = [&vec![0; offset], secret.as_bytes()].concat();
            let encoded = STANDARD.encode(padded);
            // Leaves out the characters that also hold bits of the neighbouring bytes.
            let end = encoded.trim_end_matches('=').len() - 1;
            let inner = encoded.get(2 * offset..end).unwrap();
            forms.push(inner.to_owned());
            forms.push(inner.replace('+', "-").replace('/', "_"));
        }
        Self {
            name: name.to_owned(),
            forms,
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

#[track_caller]
pub(super) fn assert_absent(canaries: &[Canary], place: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for canary in canaries {
        for form in &canary.forms {
            let found = text.contains(form);
            assert!(!found, "{} is in {place}, as {form:?}", canary.name);
        }
    }
}
