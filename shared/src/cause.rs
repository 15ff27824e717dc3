//! An error and its causes as one line of text.

use std::error::Error;

/// The messages of an error and of all its sources, joined by `: `.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let causes: Vec<String> = std::iter::successors(Some(error), |&error| error.source())
        .map(ToString::to_string)
        .collect();
    causes.join(": ")
}
