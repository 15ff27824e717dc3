//! Runs one operation, for programs that measure from outside: `micro NAME TIMES`, or `micro` for the names.

#![expect(clippy::print_stdout, reason = "prints the names")]

use std::process::ExitCode;

use micro::operations;

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1);
    let times = std::env::args().nth(2);
    let times: u32 = times.and_then(|times| times.parse().ok()).unwrap_or(1);
    for operation in operations() {
        if wanted.is_none() {
            println!("{operation} {}", operation.repeats);
        }
        if wanted.as_ref() == Some(&operation.name) {
            let mut run = operation.prepare();
            for _ in 0..times {
                run();
            }
            return ExitCode::SUCCESS;
        }
    }
    ExitCode::from(u8::from(wanted.is_some()))
}
