//! Registered Zoom apps, the rotation of their client secret, and their webhooks.

pub mod delete;
pub mod get;
pub mod put;
pub mod rotate_secret;
pub mod webhook;

pub(crate) mod app;
mod event_handler;
