//! Runs one operation, for programs that measure from outside: `micro NAME`, or `micro` for the names.

#![expect(clippy::print_stdout, reason = "prints the names")]

use std::process::ExitCode;

use micro::{operations, repeat_measured};

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1);
    for operation in operations() {
        if wanted.is_none() {
            println!("{operation} {}", operation.repeats);
        }
        if wanted.as_ref() == Some(&operation.name) {
            repeat_measured(&mut operation.prepare(), operation.repeats);
            return ExitCode::SUCCESS;
        }
    }
    ExitCode::from(u8::from(wanted.is_some()))
}
