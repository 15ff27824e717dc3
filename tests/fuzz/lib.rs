//! The laws of every parser that a stranger or Zoom reaches. README.md lists them.
//!
//! A law gets bytes of the fuzzer, makes the input of a parser from them, and checks what the parser answers. It panics
//! if the parser breaks its promise. A law of bytes that make no input returns.
//!
//! The laws are ordinary functions, so the test in `corpus.rs` checks them with the kept inputs, without a fuzzer.

#![expect(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a law panics if it is broken"
)]

pub mod laws;

use laws::{events, links, requests, sealed, secrets, vendors, webhooks, zoom};

/// A law.
pub type Law = fn(&[u8]);

/// Each fuzz target, by the name of its binary and of its corpus.
pub const TARGETS: [(&str, Law); 18] = [
    ("api_key", secrets::api_key),
    ("token_url", secrets::token_url),
    ("connect_secrets", secrets::connect_secrets),
    ("urls", links::urls),
    ("meeting_link", links::meeting_link),
    ("cursor", requests::cursor),
    ("queries", requests::queries),
    ("names", requests::names),
    ("bodies", requests::bodies),
    ("gateway_event", requests::gateway_event),
    ("bot_call", vendors::bot_call),
    ("vendor_proof", vendors::vendor_proof),
    ("webhook", webhooks::webhook),
    ("zoom_tokens", zoom::tokens),
    ("zoom_rest", zoom::rest),
    ("capsule", sealed::capsule),
    ("envelope", sealed::envelope),
    ("stream_records", events::stream_records),
];
