//! Tests of the program `cli` as an operator runs it: against a running local stack.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "test harness: a broken assumption is a failed test"
)]

mod attention;
mod capsule;
mod credentials;
mod doctor;
mod errors;
mod events;
mod harness;
mod import;
mod import_faults;
mod import_files;
mod import_kills;
mod import_shred;
mod key_terms;
mod keys;
mod kms_proxy;
mod night_shift;
mod notifications;
mod output;
mod pages;
mod pair_rows;
mod purge;
mod rewrap;
mod rewrap_failures;
mod sealed_rows;
mod stack_outputs;
mod sweep;
mod teams;
mod token_urls;
mod typos;
mod vendor_secrets;
mod wrong_tables;

use harness::TestStack;
