//! The whole system on one machine.
//!
//! This crate holds a DynamoDB-compatible engine, a KMS emulator, a queue, a Zoom sandbox and a gateway. The gateway
//! turns HTTP requests into API Gateway events, and calls the same handlers that run in the Lambda functions.
//!
//! `cargo run` starts all of it. The tests use the same parts.

pub mod docs;
pub mod engine;
pub mod gateway;
pub mod kms;
pub mod sqs;
pub mod stack;
pub mod tables;
pub mod zoom;
