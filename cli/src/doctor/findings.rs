//! The list of results that the doctor prints.

use serde::Serialize;

use crate::output;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    /// Worth knowing, but no problem.
    Note,
    /// A problem that the operator must solve.
    Bad,
}

/// One result, in the output.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_do: Option<String>,
}

#[derive(Default, Serialize)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn good(&mut self, check: &'static str, found: impl Into<String>) {
        self.add(check, Verdict::Good, found.into(), None);
    }

    pub(super) fn note(&mut self, check: &'static str, found: impl Into<String>) {
        self.add(check, Verdict::Note, found.into(), None);
    }

    pub(super) fn bad(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        to_do: impl Into<String>,
    ) {
        self.add(check, Verdict::Bad, found.into(), Some(to_do.into()));
    }

    fn add(&mut self, check: &'static str, verdict: Verdict, found: String, to_do: Option<String>) {
        self.0.push(Finding {
            check,
            verdict,
            found,
            to_do,
        });
    }

    pub(super) fn count_bad(&self) -> usize {
        let bad = self.0.iter().filter(|it| it.verdict == Verdict::Bad);
        bad.count()
    }

    /// The findings as columns, for people.
    pub(super) fn text(&self) -> String {
        let rows = self.0.iter().map(|finding| {
            let verdict = match finding.verdict {
                Verdict::Good => "ok",
                Verdict::Note => "note",
                Verdict::Bad => "BAD",
            };
            let to_do = finding.to_do.iter().map(|to_do| format!(" -> {to_do}"));
            let found: String = std::iter::once(finding.found.clone())
                .chain(to_do)
                .collect();
            [verdict.to_owned(), finding.check.to_owned(), found]
        });
        output::table(["", "CHECK", "FOUND"], rows.collect())
    }
}
