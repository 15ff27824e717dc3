//! Where a team's own server is told of events.

pub mod endpoint;
