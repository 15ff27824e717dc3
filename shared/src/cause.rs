//! Why something failed, in one line.

use std::error::Error;

/// An error's words and those of everything under it.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let causes: Vec<String> = std::iter::successors(Some(error), |&error| error.source())
        .map(ToString::to_string)
        .collect();
    causes.join(": ")
}
