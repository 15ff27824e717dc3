//! What a call brings to prove that a vendor made it.
//!
//! | vendor | proof | a call that somebody recorded |
//! | --- | --- | --- |
//! | Recall.ai | HMAC over id, time and the body's bytes (Standard Webhooks) | works for 5 minutes |
//! | Attendee | HMAC over the canonical JSON of the body | works until the secret is replaced |
//! | MeetStream | the secret itself | works until the secret is replaced |
//!
//! No vendor signs the URL, its query or the method.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::canonical_json::canonical;
use super::secret::VendorKey;
use crate::invalid::Invalid;
use crate::timestamp::Timestamp;

/// The largest difference between the clock and the time of a signature of Recall.ai, before or after.
pub const TOLERANCE: Duration = Duration::from_mins(5);

/// The longest `webhook-id`.
const MAX_ID_BYTES: usize = 256;
/// Most digits of a `webhook-timestamp`.
const MAX_TIMESTAMP_DIGITS: usize = 12;
/// The longest list of signatures. Each `v1` signature has 47 characters.
const MAX_SIGNATURES_BYTES: usize = 2048;
/// The version of the signatures of Standard Webhooks that are an HMAC.
const HMAC_VERSION: &str = "v1,";

/// The proof in a call. It is well-formed, but not verified yet.
pub struct Proof<'a>(Claim<'a>);

enum Claim<'a> {
    /// One of these is the HMAC-SHA256 of the message, in base64.
    Signed {
        message: Vec<u8>,
        signatures: Vec<&'a str>,
    },
    /// The SHA-256 of the secret that the call brings.
    Secret(Digest),
}

impl<'a> Proof<'a> {
    /// Recall.ai's proof: the three headers of Standard Webhooks, and the body's bytes. A `GET` has an empty body.
    pub fn recall(
        id: &str,
        timestamp: &str,
        signatures: &'a str,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Self, Invalid> {
        // The text that is signed has dots between its parts. With a dot in the id, one text could have two readings.
        let is_id_byte = |byte: u8| byte.is_ascii_graphic() && byte != b'.';
        if !(1..=MAX_ID_BYTES).contains(&id.len()) || !id.bytes().all(is_id_byte) {
            return Err(Invalid("webhook-id is malformed"));
        }
        let is_number = (1..=MAX_TIMESTAMP_DIGITS).contains(&timestamp.len())
            && timestamp.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = timestamp.parse().ok().filter(|_| is_number);
        let seconds = seconds.ok_or(Invalid("webhook-timestamp is malformed"))?;
        let signed_at = Timestamp::from_seconds(seconds);
        if signed_at < now.minus(TOLERANCE) || now.plus(TOLERANCE) < signed_at {
            return Err(Invalid(
                "webhook-timestamp is more than 5 minutes from the clock",
            ));
        }
        if signatures.len() > MAX_SIGNATURES_BYTES {
            return Err(Invalid("webhook-signature is too long"));
        }
        // While a secret is rotated, the header has one signature for each secret. Other versions use other algorithms.
        let signatures = signatures.split(' ');
        let signatures = signatures.filter_map(|it| it.strip_prefix(HMAC_VERSION));
        Ok(Self(Claim::Signed {
            message: [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat(),
            signatures: signatures.collect(),
        }))
    }

    /// Attendee's proof: the header `X-Webhook-Signature`, and the body. The signature is over the canonical JSON of
    /// the body, not over its bytes.
    pub fn attendee(signature: &'a str, body: &[u8]) -> Result<Self, Invalid> {
        let message = canonical(body).ok_or(Invalid(
            "the body is not JSON, has a key twice or is nested too deep",
        ))?;
        Ok(Self(Claim::Signed {
            message,
            signatures: vec![signature],
        }))
    }

    /// MeetStream's proof: the secret itself.
    pub fn meetstream(secret: &str) -> Self {
        Self(Claim::Secret(digest(&SHA256, secret.as_bytes())))
    }

    /// Whether the proof was made with `key`. The comparisons take constant time.
    pub fn verifies(&self, key: &VendorKey) -> bool {
        match &self.0 {
            Claim::Signed {
                message,
                signatures,
            } => {
                let mac = sign(&Key::new(HMAC_SHA256, key.as_bytes()), message);
                let mac = STANDARD.encode(mac.as_ref());
                let is_mac = |signature: &&str| {
                    verify_slices_are_equal(mac.as_bytes(), signature.as_bytes()).is_ok()
                };
                signatures.iter().any(is_mac)
            }
            // Hashes have one length, so that the comparison does not reveal the length of the secret.
            Claim::Secret(sent) => {
                let known = digest(&SHA256, key.as_bytes());
                verify_slices_are_equal(known.as_ref(), sent.as_ref()).is_ok()
            }
        }
    }
}

impl fmt::Debug for Proof<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof([REDACTED])")
    }
}
