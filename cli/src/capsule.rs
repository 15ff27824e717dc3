//! `capsule replay`: puts a pair of tokens where it belongs that a function could not store.

use std::io::{self, BufRead};
use std::time::Duration;

use clap::Subcommand;
use functions::capsule::{Capsule, Replayed};
use serde::Serialize;
use serde_json::Value;
use shared::stores::{self, Secrets};
use shared::timestamp::Timestamp;

use crate::error::Error;
use crate::output::{self, Output};

/// How long one capsule is tried.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Store what log lines with a capsule hold, once DynamoDB is back: before the next mint, if you can
    ///
    /// Reads standard input: log lines as CloudWatch has them, or bare capsules, one a line. Lines without a capsule
    /// are passed over. Doing it twice does no harm. A capsule holds ciphertext and ids, and opens nowhere else.
    Replay,
}

/// What became of one capsule.
#[derive(Serialize)]
struct Shown {
    grant: String,
    generation: u64,
    outcome: &'static str,
}

pub(crate) async fn run(command: Command, secrets: &Secrets, output: Output) -> Result<(), Error> {
    match command {
        Command::Replay => replay(secrets, output).await,
    }
}

async fn replay(secrets: &Secrets, output: Output) -> Result<(), Error> {
    let mut shown = Vec::new();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let Some(capsule) = capsule_in(&line)? else {
            continue;
        };
        let replayed = capsule.replay(secrets, Timestamp::now().plus(PATIENCE));
        let outcome = match replayed.await {
            Ok(Replayed::Stored) => "stored",
            Ok(Replayed::Stashed) => "kept beside a newer pair",
            Ok(Replayed::Known) => "stored before",
            Ok(Replayed::Refused) => "the grant's tokens were destroyed since",
            Err(stores::Error::NotFound) => "the grant is gone",
            Err(error) => return Err(error.into()),
        };
        shown.push(Shown {
            grant: capsule.grant.to_string(),
            generation: capsule.pair.sealed.generation(),
            outcome,
        });
    }
    if shown.is_empty() {
        return Err(Error::NoCapsule);
    }
    let rows = shown.iter().map(|shown| {
        [
            shown.grant.clone(),
            shown.generation.to_string(),
            shown.outcome.to_owned(),
        ]
    });
    let table = output::table(["GRANT", "GENERATION", "OUTCOME"], rows.collect());
    output.print(&shown, &table)?;
    Ok(())
}

/// The capsule that a line holds: in its field `capsule`, or alone. A line that should be one and is not is an error,
/// since what it holds would be lost.
fn capsule_in(line: &str) -> Result<Option<Capsule>, Error> {
    let line = line.trim();
    let begin = line.find('{');
    let logged = begin.and_then(|begin| serde_json::from_str::<Value>(line.get(begin..)?).ok());
    let text = match &logged {
        Some(logged) => match logged.get("capsule").and_then(Value::as_str) {
            Some(capsule) => capsule,
            None => return Ok(None),
        },
        None if line.starts_with(Capsule::PREFIX) => line,
        None => return Ok(None),
    };
    text.parse().map(Some).map_err(|_| Error::BrokenCapsule)
}
