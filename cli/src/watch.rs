//! Lists: printed once, or printed again whenever they have changed.

use std::io::{self, IsTerminal};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use shared::stores;

use crate::error::Error;
use crate::output::Output;

/// Moves the cursor to the first line, and clears the terminal.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J\u{1b}[3J";

/// How often a list is printed.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Watch {
    /// Read the list again every SECONDS, and print the list when it has changed. End with Ctrl-C
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_missing_value = "5",
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    watch: Option<u64>,
}

/// A list, ready to be printed.
pub(crate) struct Listing<T> {
    /// The list in JSON.
    pub(crate) document: T,
    /// The list for people.
    pub(crate) text: String,
    /// The note if the list is empty.
    pub(crate) none: &'static str,
    /// The ids of the rows of unknown shape, which are missing from the list.
    pub(crate) unreadable: Vec<String>,
}

impl<T: Serialize> Listing<T> {
    fn print(&self, output: Output) -> io::Result<()> {
        output.print(&self.document, &self.text)?;
        if self.text.is_empty() && self.unreadable.is_empty() {
            output.note(self.none);
        }
        Ok(())
    }

    /// What is printed. The document has more than the text, but no ages, which change all the time.
    fn printed(&self, output: Output) -> io::Result<String> {
        if output.is_json() {
            Ok(serde_json::to_string(&self.document)?)
        } else {
            Ok(self.text.clone())
        }
    }
}

impl Watch {
    /// Prints what `read` returns.
    pub(crate) async fn print<T: Serialize>(
        self,
        output: Output,
        read: impl AsyncFn() -> Result<Listing<T>, Error>,
    ) -> Result<(), Error> {
        let first = read().await?;
        let Some(seconds) = self.watch else {
            first.print(output)?;
            return Error::fail_if_unreadable(first.unreadable);
        };
        let clear = || {
            if !output.is_json() && io::stdout().is_terminal() {
                output.print(&(), CLEAR)
            } else {
                Ok(())
            }
        };
        clear()?;
        first.print(output)?;
        let mut shown = first.printed(output)?;
        loop {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            match read().await {
                Ok(next) => {
                    let printed = next.printed(output)?;
                    if printed != shown {
                        clear()?;
                        next.print(output)?;
                        shown = printed;
                    }
                }
                Err(error @ Error::Store(stores::Error::Unavailable { .. })) => {
                    output.note(&error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
    }
}
