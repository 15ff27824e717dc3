//! `capsule replay`: puts a pair of tokens where it belongs that a function could not store.

use std::io::{self, Read};
use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;
use shared::grants::capsule::{Capsule, Replayed};
use shared::stores::{self, Secrets};
use shared::timestamp::Timestamp;

use crate::error::{Error, chain};
use crate::output::{self, Output};

/// How long one capsule is tried.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Store what log lines with a capsule hold, once DynamoDB is back: before the next mint, if you can
    ///
    /// Reads standard input: log lines as CloudWatch has them, or bare capsules. What is no capsule is passed over. Doing
    /// it twice does no harm. A capsule holds ciphertext and ids, and opens nowhere else.
    Replay,
}

/// What became of one capsule.
#[derive(Serialize)]
struct Shown {
    /// None where the capsule is not whole.
    grant: Option<String>,
    generation: Option<u64>,
    outcome: String,
}

pub(crate) async fn run(command: Command, secrets: &Secrets, output: Output) -> Result<(), Error> {
    match command {
        Command::Replay => replay(secrets, output).await,
    }
}

async fn replay(secrets: &Secrets, output: Output) -> Result<(), Error> {
    let mut input = Vec::new();
    io::stdin().lock().read_to_end(&mut input)?;
    let (mut shown, mut failed) = (Vec::new(), 0);
    for text in capsules_in(&String::from_utf8_lossy(&input)) {
        let Ok(capsule) = text.parse::<Capsule>() else {
            failed += 1;
            shown.push(Shown {
                grant: None,
                generation: None,
                outcome:
                    "NOT STORED: the capsule is not whole; copy its line once more, to its end"
                        .to_owned(),
            });
            continue;
        };
        let replayed = capsule.replay(secrets, Timestamp::now().plus(PATIENCE));
        let outcome = match replayed.await {
            Ok(Replayed::Stored) => "stored".to_owned(),
            Ok(Replayed::Stashed) => "kept beside a newer pair".to_owned(),
            Ok(Replayed::Known) => "stored before".to_owned(),
            Ok(Replayed::Refused) => "the grant's tokens were destroyed since".to_owned(),
            Err(stores::Error::NotFound) => "the grant is gone".to_owned(),
            // Nor will the others: neither the table nor the right to it is there.
            Err(error @ (stores::Error::NoTable { .. } | stores::Error::Denied { .. })) => {
                return Err(error.into());
            }
            Err(stores::Error::Conflict) => {
                failed += 1;
                "NOT STORED: another pair is kept there already; mint once, which tries that one, and replay again"
                    .to_owned()
            }
            Err(error) => {
                failed += 1;
                format!("NOT STORED: {}", chain(&error))
            }
        };
        shown.push(Shown {
            grant: Some(capsule.grant.to_string()),
            generation: Some(capsule.pair.sealed.generation()),
            outcome,
        });
    }
    if shown.is_empty() {
        return Err(Error::NoCapsule);
    }
    let rows = shown.iter().map(|shown| {
        [
            shown.grant.clone().unwrap_or_else(|| "?".to_owned()),
            shown
                .generation
                .map_or_else(|| "?".to_owned(), |generation| generation.to_string()),
            shown.outcome.clone(),
        ]
    });
    let table = output::table(["GRANT", "GENERATION", "OUTCOME"], rows.collect());
    output.print(&shown, &table)?;
    if failed > 0 {
        return Err(Error::CapsulesLeft { failed });
    }
    Ok(())
}

/// Every capsule in a text, whatever is around it: lines of JSON or not, one or many on a line. One that was cut off
/// is among them, since what it holds would be lost.
fn capsules_in(text: &str) -> impl Iterator<Item = &str> {
    let starts = text.match_indices(Capsule::PREFIX);
    starts.filter_map(|(start, prefix)| {
        let rest = text.get(start..)?;
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let length = rest.bytes().take_while(|byte| word(*byte)).count();
        rest.get(..length.max(prefix.len()))
    })
}
