//! `notifications redrive`: sends lost notifications again.

use clap::Subcommand;
use serde_json::json;
use shared::queue::LostNotifications;

use crate::error::Error;
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send the notifications again that failed for a day. Do this when the team's endpoint works again
    ///
    /// SQS moves them from the dead-letter queue back to the queue of notifications, where each has 11 new attempts in
    /// 24 hours. The notifications of a team that has deleted its endpoint are dropped.
    Redrive,
}

pub(crate) async fn redrive(lost: &LostNotifications, output: Output) -> Result<(), Error> {
    let number = lost.redrive().await?;
    output.print(&json!({ "notifications": number }), "")?;
    let number = number.map_or_else(|| "the".to_owned(), |number| format!("about {number}"));
    output.note(&format!(
        "SQS moves {number} lost notifications back to the queue"
    ));
    Ok(())
}
