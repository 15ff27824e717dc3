//! The operations that are measured, by name. `benches/time.rs` measures their time, and `counts.py` measures their
//! instructions and memory with the program of this crate.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a broken assumption ends the measurement"
)]

mod dynamodb;
mod envelope;
mod lists;
mod requests;
mod signatures;

use std::fmt;
use std::hint::black_box;

/// An operation that is ready to run, as often as wanted.
pub type Run = Box<dyn FnMut()>;

/// Makes the input of an operation.
type Prepare = fn() -> Run;

/// A named operation.
pub struct Operation {
    /// The name: words, and the size of the input.
    pub name: String,
    /// How often the operation runs to count its instructions. Small operations run often, because some of their
    /// instructions depend on chance.
    pub repeats: u32,
    prepare: Box<dyn Fn() -> Run + Send + Sync>,
}

impl Operation {
    fn new(name: String, repeats: u32, prepare: impl Fn() -> Run + Send + Sync + 'static) -> Self {
        Self {
            name,
            repeats,
            prepare: Box::new(prepare),
        }
    }

    /// Makes the input, and runs the operation once: the first run also sets up what the process keeps.
    pub fn prepare(&self) -> Run {
        let mut run = (self.prepare)();
        run();
        run
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Every operation.
pub fn operations() -> Vec<Operation> {
    let mut all = envelope::operations();
    all.extend(lists::operations());
    all.extend(requests::operations());
    all.extend(signatures::operations());
    all
}

/// An operation whose result must be computed although nobody uses it.
fn run<T>(mut operation: impl FnMut() -> T + 'static) -> Run {
    Box::new(move || drop(black_box(operation())))
}
