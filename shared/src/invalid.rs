//! The error of every checked value in the domain.

/// The rule that a value broke. The text is worded to follow the name of the field, and never contains the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub &'static str);
