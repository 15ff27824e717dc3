//! `rewrap`: wraps the data keys with the current KMS key, instead of the KMS key that wrapped them before.
//!
//! KMS moves each data key by `ReEncrypt`, so no plaintext key leaves KMS and the operator cannot open any row. The
//! command writes a row only if its data key has not changed since the read. Refreshes and updates can therefore go on,
//! and a rewrap never overwrites them.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use shared::envelope::{self, Binding, Envelope};
use shared::stores::{WrappedDataKeys, WrappedRow};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Interval, MissedTickBehavior};

use crate::error::Error;
use crate::output::Output;

/// How many rows are moved at the same time.
const CONCURRENT_ROWS: usize = 32;
/// How often the command reads the table, at most. A later pass finds rows that changed during an earlier one.
const MAX_PASSES: usize = 5;

/// Wrap all data keys with the current KMS key, while traffic runs
///
/// First deploy with the new key (parameters `EnvelopeKeyArn` and `PreviousEnvelopeKeyArn`), so that the old key wraps
/// nothing new. You can stop this command at any time: run it again, and it continues. It is complete when it reports
/// 0 rows on the old key.
#[derive(Debug, Args)]
pub(crate) struct Rewrap {
    /// How many rows a second to move, at most. All calls of an AWS account to KMS share one quota
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5000))]
    rate: u32,
    /// Count the rows without moving any
    #[arg(long)]
    dry_run: bool,
}

/// The result, in the output.
#[derive(Serialize)]
struct RewrapView {
    /// The ARN of the current key.
    key: String,
    /// Rows that another key wrapped at the start.
    rows: u64,
    /// Rows that this command moved.
    moved: u64,
    /// Rows that a request wrote before this command could.
    overtaken: u64,
    /// Rows that another key wraps at the end.
    left: u64,
    seconds: f64,
}

/// The result for one row.
enum RowOutcome {
    Moved,
    /// A request wrote the row first.
    Overtaken,
    /// KMS refuses to unwrap the row's data key.
    Corrupt,
}

#[derive(Default)]
struct Counts {
    moved: u64,
    overtaken: u64,
    /// Ids of corrupt rows.
    corrupt: Vec<String>,
    /// Rows that another key still wraps.
    left: u64,
}

pub(crate) async fn run(
    command: Rewrap,
    keys: &WrappedDataKeys,
    envelope: &Envelope,
    output: Output,
) -> Result<(), Error> {
    let start = Instant::now();
    let key = envelope.describe().await?;
    if key.state != "Enabled" {
        let (arn, state) = (key.arn, key.state);
        return Err(Error::KeyUnusable { arn, state });
    }
    let rows = keys.count_rows_under_other_keys(&key.arn).await?;
    let counts = if command.dry_run {
        let left = rows;
        Counts {
            left,
            ..Counts::default()
        }
    } else {
        let bar = progress_bar(rows, output);
        let counts = move_all(keys, envelope, &key.arn, rows, command.rate, &bar).await?;
        bar.finish_and_clear();
        counts
    };

    let left = counts.left;
    let view = RewrapView {
        key: key.arn,
        rows,
        moved: counts.moved,
        overtaken: counts.overtaken,
        left,
        seconds: start.elapsed().as_secs_f64(),
    };
    output.print(&view, &view.text(command.dry_run))?;
    match counts.corrupt {
        _ if left == 0 || command.dry_run => Ok(()),
        rows if rows.is_empty() => Err(Error::OldKeyInUse { left }),
        rows => Err(Error::CorruptRows { left, rows }),
    }
}

impl RewrapView {
    fn text(&self, dry_run: bool) -> String {
        let (key, rows, left) = (&self.key, self.rows, self.left);
        if dry_run {
            return format!("{rows} rows would be moved to {key}");
        }
        let (moved, seconds) = (self.moved, self.seconds);
        format!(
            "moved {moved} rows to {key} in {seconds:.1} s; {} rows were changed by requests in the meantime; {left} rows on the old key",
            self.overtaken
        )
    }
}

/// Repeats passes over the table until no row is left or `MAX_PASSES` is reached.
async fn move_all(
    keys: &WrappedDataKeys,
    envelope: &Envelope,
    kid: &str,
    rows: u64,
    rate: u32,
    bar: &ProgressBar,
) -> Result<Counts, Error> {
    let mut interval = tokio::time::interval(Duration::from_secs(1) / rate);
    // After a slow page, do not exceed the rate to catch up.
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut total = Counts {
        left: rows,
        ..Counts::default()
    };
    for _ in 0..MAX_PASSES {
        if total.left == 0 {
            break;
        }
        let passed = pass(keys, envelope, kid, &mut interval, bar).await;
        let counts = passed.map_err(|cause| Error::RewrapStopped {
            cause: Box::new(cause),
        })?;
        total.left = keys.count_rows_under_other_keys(kid).await?;
        bar.set_length(bar.position() + total.left);
        total.moved += counts.moved;
        total.overtaken += counts.overtaken;
        total.corrupt = counts.corrupt;
    }
    Ok(total)
}

/// Reads the table once and moves each row that another key wraps.
async fn pass(
    keys: &WrappedDataKeys,
    envelope: &Envelope,
    kid: &str,
    interval: &mut Interval,
    bar: &ProgressBar,
) -> Result<Counts, Error> {
    let mut counts = Counts::default();
    let mut count = |done: Result<Result<(String, RowOutcome), Error>, JoinError>| {
        let (id, outcome) = done.map_err(std::io::Error::from)??;
        match outcome {
            RowOutcome::Moved => counts.moved += 1,
            RowOutcome::Overtaken => counts.overtaken += 1,
            RowOutcome::Corrupt => counts.corrupt.push(id),
        }
        bar.inc(1);
        Ok::<_, Error>(())
    };
    let mut moving = JoinSet::new();
    let (mut after, mut unreadable) = (None, Vec::new());
    loop {
        let page = keys.rows_under_other_keys(kid, after.as_deref()).await?;
        unreadable.extend(page.unreadable);
        for row in page.rows {
            if moving.len() >= CONCURRENT_ROWS
                && let Some(done) = moving.join_next().await
            {
                count(done)?;
            }
            interval.tick().await;
            moving.spawn(move_row(keys.clone(), envelope.clone(), row));
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    while let Some(done) = moving.join_next().await {
        count(done)?;
    }
    counts.corrupt.extend(unreadable);
    Ok(counts)
}

async fn move_row(
    keys: WrappedDataKeys,
    envelope: Envelope,
    row: WrappedRow,
) -> Result<(String, RowOutcome), Error> {
    let Ok(secret) = row.secret_id.parse() else {
        return Ok((row.secret_id, RowOutcome::Corrupt));
    };
    let binding = Binding {
        team: row.team,
        secret,
    };
    let mut outcome = RowOutcome::Moved;
    for (slot, old) in row.keys {
        let new = match envelope.rewrap(&binding, &old).await {
            Ok(new) => new,
            Err(envelope::Error::WrongRow) => {
                outcome = RowOutcome::Corrupt;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if !keys.replace(&row.secret_id, slot, &old, new).await? {
            outcome = RowOutcome::Overtaken;
        }
    }
    Ok((row.secret_id, outcome))
}

/// A progress bar on stderr; hidden from scripts.
fn progress_bar(rows: u64, output: Output) -> ProgressBar {
    let target = if !output.is_json() && std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} rows, {per_sec}, {eta} left");
    ProgressBar::with_draw_target(Some(rows), target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
