//! Where words go: what was asked for to stdout, everything else to stderr.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::json;

/// For people, or for scripts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether a person reads it.
    pub(crate) fn is_for_people(self) -> bool {
        !self.json
    }

    /// Prints the answer: `document` for scripts, `text` for people.
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

    /// Tells a person what the answer does not.
    pub(crate) fn note(self, text: &str) {
        if !self.json {
            to_stderr(text);
        }
    }

    /// Tells why there is no answer.
    pub(crate) fn error(self, text: &str) {
        if self.json {
            to_stderr(&json!({ "error": text }).to_string());
        } else {
            to_stderr(&format!("error: {text}"));
        }
    }
}

/// There is nowhere left to say that stderr is closed.
fn to_stderr(text: &str) {
    writeln!(io::stderr().lock(), "{text}").ok();
}

/// Columns under their names; nothing at all where there are no rows.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows);
    let mut widths = [0; N];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.len().max(*width);
        }
    }
    lines
        .iter()
        .map(|line| {
            let cells = line.iter().zip(widths);
            let padded = cells.map(|(cell, width)| format!("{cell:width$}"));
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect::<Vec<_>>()
        .join("\n")
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
