//! `rewrap`: has the current KMS key wrap the data keys that another one wrapped.
//!
//! KMS moves each by `ReEncrypt`: no key leaves it, and whoever runs this can open nothing. A row is written only if
//! its key is still the one that was moved, so refreshes and changes go on meanwhile, and what they write stands.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use shared::envelope::{self, Binding, Envelope};
use shared::stores::{WrappedKeys, WrappedRow};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Interval, MissedTickBehavior};

use crate::error::Error;
use crate::output::Output;

/// How many rows are under way at once.
const AT_ONCE: usize = 32;
/// How often the table is gone through: each time finds what was written meanwhile.
const PASSES: usize = 5;

/// Have the current KMS key wrap what another one wrapped, while traffic runs
///
/// First deploy with the new key (parameters `EnvelopeKeyArn`, `PreviousEnvelopeKeyArn`), so that nothing new is wrapped by the old one. Stopped
/// at any moment, run it again: it goes on where it stopped. It is done when it says that 0 rows are left.
#[derive(Debug, Args)]
pub(crate) struct Rewrap {
    /// Rows a second, at most. All of an account's calls to KMS share one quota
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5000))]
    rate: u32,
    /// Count the rows, and move none
    #[arg(long)]
    dry_run: bool,
}

/// What was done.
#[derive(Serialize)]
struct Shown {
    /// The ARN of the key that wraps now.
    key: String,
    /// Rows that another key wrapped, when it began.
    rows: u64,
    /// Rows that were moved.
    moved: u64,
    /// Rows that somebody else wrote first.
    overtaken: u64,
    /// Rows that another key wraps, now.
    left: u64,
    seconds: f64,
}

/// What became of a row.
enum Outcome {
    Moved,
    /// Somebody else wrote it first.
    Overtaken,
    /// KMS will not unwrap its key for this row.
    Immovable,
}

#[derive(Default)]
struct Tally {
    moved: u64,
    overtaken: u64,
    immovable: Vec<String>,
}

pub(crate) async fn run(
    command: Rewrap,
    keys: &WrappedKeys,
    envelope: &Envelope,
    output: Output,
) -> Result<(), Error> {
    let began = Instant::now();
    let key = envelope.describe().await?;
    if key.state != "Enabled" {
        let (arn, state) = (key.arn, key.state);
        return Err(Error::KeyUnusable { arn, state });
    }
    let rows = keys.count_elsewhere(&key.arn).await?;
    let (mut tally, mut left) = (Tally::default(), rows);
    if !command.dry_run {
        let bar = progress(rows, output);
        let mut beat = tokio::time::interval(Duration::from_secs(1) / command.rate);
        // What a slow page held up is not made up for.
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..PASSES {
            if left == 0 {
                break;
            }
            let passed = pass(keys, envelope, &key.arn, &mut beat, &bar).await;
            let passed = passed.map_err(|why| Error::RewrapStopped { why: Box::new(why) })?;
            left = keys.count_elsewhere(&key.arn).await?;
            bar.set_length(bar.position() + left);
            tally.moved += passed.moved;
            tally.overtaken += passed.overtaken;
            tally.immovable = passed.immovable;
        }
        bar.finish_and_clear();
    }

    let shown = Shown {
        key: key.arn,
        rows,
        moved: tally.moved,
        overtaken: tally.overtaken,
        left,
        seconds: began.elapsed().as_secs_f64(),
    };
    output.print(&shown, &shown.text(command.dry_run))?;
    match tally.immovable {
        _ if left == 0 || command.dry_run => Ok(()),
        broken if broken.is_empty() => Err(Error::StillSealing { left }),
        broken => Err(Error::Immovable { left, broken }),
    }
}

impl Shown {
    fn text(&self, dry_run: bool) -> String {
        let (key, rows, left) = (&self.key, self.rows, self.left);
        if dry_run {
            return format!("{rows} rows would be moved to {key}");
        }
        let (moved, seconds) = (self.moved, self.seconds);
        format!(
            "moved {moved} rows to {key} in {seconds:.1} s, {} written by others meanwhile: {left} rows on the old key",
            self.overtaken
        )
    }
}

/// Goes through the table once.
async fn pass(
    keys: &WrappedKeys,
    envelope: &Envelope,
    kid: &str,
    beat: &mut Interval,
    bar: &ProgressBar,
) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    let mut note = |done: Result<Result<(String, Outcome), Error>, JoinError>| {
        let (id, outcome) = done.map_err(std::io::Error::from)??;
        match outcome {
            Outcome::Moved => tally.moved += 1,
            Outcome::Overtaken => tally.overtaken += 1,
            Outcome::Immovable => tally.immovable.push(id),
        }
        bar.inc(1);
        Ok::<_, Error>(())
    };
    let mut moving = JoinSet::new();
    let mut after = None;
    loop {
        let page = keys.elsewhere(kid, after.as_deref()).await?;
        for row in page.rows {
            if moving.len() >= AT_ONCE
                && let Some(done) = moving.join_next().await
            {
                note(done)?;
            }
            beat.tick().await;
            moving.spawn(move_row(keys.clone(), envelope.clone(), row));
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    while let Some(done) = moving.join_next().await {
        note(done)?;
    }
    Ok(tally)
}

async fn move_row(
    keys: WrappedKeys,
    envelope: Envelope,
    row: WrappedRow,
) -> Result<(String, Outcome), Error> {
    let Ok(secret) = row.secret_id.parse() else {
        return Ok((row.secret_id, Outcome::Immovable));
    };
    let binding = Binding {
        team: row.team,
        secret,
    };
    let mut outcome = Outcome::Moved;
    for (slot, old) in row.keys {
        let new = match envelope.rewrap(&binding, &old).await {
            Ok(new) => new,
            Err(envelope::Error::Misplaced) => {
                outcome = Outcome::Immovable;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if !keys.replace(&row.secret_id, slot, &old, new).await? {
            outcome = Outcome::Overtaken;
        }
    }
    Ok((row.secret_id, outcome))
}

/// A bar for people, on stderr.
fn progress(rows: u64, output: Output) -> ProgressBar {
    let target = if output.is_for_people() && std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let style =
        ProgressStyle::with_template("{bar:40} {pos} of {len} rows, {per_sec}, {eta} to go");
    ProgressBar::with_draw_target(Some(rows), target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
