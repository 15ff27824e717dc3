//! `capsule replay`: stores a refreshed token pair that a function could only log.

use std::io::{self, Read};
use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;
use shared::grants::capsule::{Capsule, Replayed};
use shared::stores::{self, Secrets};
use shared::timestamp::Timestamp;

use crate::error::{Error, chain};
use crate::output::{self, Output};

/// How long the replay of one capsule may retry.
const REPLAY_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Store the token pairs in logged capsules. Run this as soon as DynamoDB is back, before the next mint
    ///
    /// Reads standard input: log lines as CloudWatch prints them, or bare capsules. All other text is ignored. A second
    /// replay does no harm. A capsule contains only ids and ciphertext, and only the vault can open it.
    Replay,
}

/// The result of one capsule, in the output.
#[derive(Serialize)]
struct ReplayView {
    /// `None` if the capsule is incomplete.
    grant: Option<String>,
    generation: Option<u64>,
    outcome: String,
}

/// The result of one capsule, in words.
enum Outcome {
    Done(&'static str),
    NotStored(String),
}

impl From<Outcome> for String {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done(text) => text.to_owned(),
            Outcome::NotStored(reason) => format!("NOT STORED: {reason}"),
        }
    }
}

pub(crate) async fn run(command: Command, secrets: &Secrets, output: Output) -> Result<(), Error> {
    match command {
        Command::Replay => replay_all(secrets, output).await,
    }
}

async fn replay_all(secrets: &Secrets, output: Output) -> Result<(), Error> {
    let mut input = Vec::new();
    io::stdin().lock().read_to_end(&mut input)?;
    let (mut views, mut failed) = (Vec::new(), 0);
    for text in capsules_in(&String::from_utf8_lossy(&input)) {
        let (mut grant, mut generation) = (None, None);
        let outcome = if let Ok(capsule) = text.parse::<Capsule>() {
            grant = Some(capsule.grant.to_string());
            generation = Some(capsule.pair.sealed.generation());
            replay(&capsule, secrets).await?
        } else {
            let reason = "the capsule is incomplete; copy its log line again, to the end";
            Outcome::NotStored(reason.to_owned())
        };
        if matches!(outcome, Outcome::NotStored(_)) {
            failed += 1;
        }
        views.push(ReplayView {
            grant,
            generation,
            outcome: outcome.into(),
        });
    }
    if views.is_empty() {
        return Err(Error::NoCapsule);
    }
    output.print(&views, &table(&views))?;
    if failed > 0 {
        return Err(Error::CapsulesNotStored { failed });
    }
    Ok(())
}

/// Fails only if no other capsule can be stored either: the table is missing, or the right to use it.
async fn replay(capsule: &Capsule, secrets: &Secrets) -> Result<Outcome, Error> {
    let replayed = capsule.replay(secrets, Timestamp::now().plus(REPLAY_TIMEOUT));
    Ok(match replayed.await {
        Ok(Replayed::Stored) => Outcome::Done("stored"),
        Ok(Replayed::Stashed) => Outcome::Done("kept beside a newer pair"),
        Ok(Replayed::Known) => Outcome::Done("stored before"),
        Ok(Replayed::Refused) => Outcome::Done("the grant's tokens were destroyed since"),
        Err(error @ (stores::Error::NoTable { .. } | stores::Error::Denied { .. })) => {
            return Err(error.into());
        }
        Err(stores::Error::Conflict) => Outcome::NotStored(
            "the grant already has a second pair; mint once, so that the vault tries that pair, then replay again"
                .to_owned(),
        ),
        Err(error) => Outcome::NotStored(chain(&error)),
    })
}

fn table(views: &[ReplayView]) -> String {
    let rows = views.iter().map(|view| {
        let unknown = || "?".to_owned();
        [
            view.grant.clone().unwrap_or_else(unknown),
            view.generation
                .map_or_else(unknown, |generation| generation.to_string()),
            view.outcome.clone(),
        ]
    });
    output::table(["GRANT", "GENERATION", "OUTCOME"], rows.collect())
}

/// Finds every capsule in a text, whatever surrounds it. Capsules that are cut off count too: the operator must learn
/// about them.
fn capsules_in(text: &str) -> impl Iterator<Item = &str> {
    let starts = text.match_indices(Capsule::PREFIX);
    starts.filter_map(|(start, prefix)| {
        let rest = text.get(start..)?;
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let length = rest.bytes().take_while(|byte| is_base64(*byte)).count();
        rest.get(..length.max(prefix.len()))
    })
}
