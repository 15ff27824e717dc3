//! L7: no operation costs more than a constant, whatever the team has.

use crate::life::history::Operation;

/// The most calls of an operation that meets at most two faults and a few other operations. The second number is the
/// most for each record of the stream, or for each grant that keep-alive may look at.
fn max_calls(kind: &str) -> (usize, usize) {
    match kind {
        "delete" | "restore" | "replay" | "register" => (25, 0),
        "create" | "re-authorize" | "purge now" => (40, 0),
        "webhook" => (60, 0),
        // They poll for 12 seconds while another refresh runs.
        "mint" | "check" => (160, 0),
        "stream" => (10, 15),
        // 16 calls look for due grants, and 16 count those that are left.
        _ => (40, 40),
    }
}

/// What is wrong with the cost of an operation.
pub(crate) fn violation(operation: &Operation) -> Option<String> {
    let calls = operation.calls().len();
    let (fixed, for_each) = max_calls(operation.kind);
    // During an outage, the vault tries until its time ends.
    let is_bounded = operation.has_outage || calls <= fixed + for_each * operation.units;
    (!is_bounded).then(|| format!("L7: a {} makes {calls} calls", operation.kind))
}
