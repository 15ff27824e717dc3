//! Writes answers to stdout, and notes and errors to stderr.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::json;
use shared::timestamp::Timestamp;

/// How many ids a message lists. It only counts the others.
const MAX_LISTED_IDS: usize = 5;

/// Prints as text for people, or as JSON for scripts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints the answer: `document` as JSON, or `text` for people.
    pub(crate) fn print(self, document: &impl Serialize, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut stdout, document)?;
            writeln!(stdout)?;
        } else if !text.is_empty() {
            writeln!(stdout, "{text}")?;
        }
        stdout.flush()
    }

    /// Prints a note to stderr. Prints nothing in JSON mode: a script reads the document only.
    pub(crate) fn note(self, text: &str) {
        if !self.json {
            to_stderr(text);
        }
    }

    /// Prints an error to stderr.
    pub(crate) fn error(self, text: &str) {
        if self.json {
            to_stderr(&json!({ "error": text }).to_string());
        } else {
            to_stderr(&format!("error: {text}"));
        }
    }
}

/// Ignores a closed stderr: there is no other place to report the failure.
fn to_stderr(text: &str) {
    writeln!(io::stderr().lock(), "{text}").ok();
}

/// A number of things, in words: `1 token URL`, `2 token URLs`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// The value of a cell that may be empty.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Formats rows as aligned columns under their headings. Returns an empty text if there are no rows.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: Vec<[String; N]>) -> String {
    let keep = [true; N];
    columns(headings, rows, keep)
}

/// The same, without the columns in which every cell is a dash.
pub(crate) fn table_without_empty_columns<const N: usize>(
    headings: [&str; N],
    rows: Vec<[String; N]>,
) -> String {
    let mut keep = [false; N];
    for row in &rows {
        for (keep, cell) in keep.iter_mut().zip(row) {
            *keep |= cell != "-";
        }
    }
    columns(headings, rows, keep)
}

fn columns<const N: usize>(headings: [&str; N], rows: Vec<[String; N]>, keep: [bool; N]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut lines = vec![headings.map(str::to_owned)];
    lines.extend(rows);
    let mut widths = [0; N];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    lines
        .iter()
        .map(|line| {
            let cells = line.iter().zip(widths).zip(keep);
            let cells = cells.filter_map(|(cell, keep)| keep.then_some(cell));
            let padded = cells.map(|(cell, width)| format!("{cell:width$}"));
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// How long ago a time was, in its largest unit: `5m`, `3h`, `12d`.
pub(crate) fn age(at: Timestamp) -> String {
    let seconds = at.until(Timestamp::now()).as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Replaces control characters: a name comes from a customer, and could contain escape sequences for the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// The first few ids, and the number of the others.
pub(crate) fn list_ids(ids: &[String]) -> String {
    let listed = ids.iter().take(MAX_LISTED_IDS).cloned();
    let listed = listed.collect::<Vec<_>>().join(", ");
    match ids.len().saturating_sub(MAX_LISTED_IDS) {
        0 => listed,
        more => format!("{listed}, and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |team: &str, rate: &str| [team.to_owned(), rate.to_owned()];

        let text = table(
            ["TEAM", "RATE"],
            vec![row("a", "1"), row("acme-corp", "20")],
        );

        assert_eq!(text, "TEAM       RATE\na          1\nacme-corp  20");
    }
}
