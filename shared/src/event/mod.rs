//! The events of a credential, kept for its owner: who received which token, and what went wrong.
//!
//! No type here can hold a token or another secret.
//!
//! [`Event`] is what the vault's code writes. [`EventRecord`] is the flat form in which an event is stored and shown.

mod details;
mod record;

pub use self::details::{
    Actor, BotId, Change, Event, EventDetails, EventId, EventKind, EventOutcome, Target,
};
pub use self::record::{
    ActorKind, ActorView, EventRecord, RecordedOutcome, TargetKind, TargetView,
};
