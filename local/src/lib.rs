//! The whole system on one machine: a DynamoDB-compatible engine, a KMS emulator, a Zoom sandbox and a
//! gateway that turns HTTP into API Gateway's events for the very handlers that run in the Lambdas.
//!
//! `cargo run` starts it; the tests run in it.

pub mod docs;
pub mod engine;
pub mod gateway;
pub mod kms;
pub mod stack;
pub mod tables;
pub mod zoom;
