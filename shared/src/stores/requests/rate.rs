//! Counts the calls of a team, one row per team, kind and second.

use std::time::Duration;

use aws_sdk_dynamodb::types::ReturnValue;
use serde::Deserialize;

use super::table::Requests;
use crate::credential::TeamId;
use crate::stores::RateKind;
use crate::stores::error::{Error, failed};
use crate::stores::item::{from_item, number, text};
use crate::timestamp::Timestamp;

/// How long the row of a rate window is kept.
const RATE_WINDOW_RETENTION: Duration = Duration::from_mins(1);

/// The result of counting a call against its team's rate limit. A rate window is one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// How many calls a window allows.
    pub limit: u32,
    /// How many calls are left in this window.
    pub remaining: u32,
    /// Seconds until the window ends, rounded up.
    pub reset: u64,
    /// Whether this call is within the limit.
    pub admitted: bool,
}

impl Admission {
    /// The admission of the `hits`th call of a window.
    pub fn of(hits: u32, limit: u32) -> Self {
        Self {
            limit,
            remaining: limit.saturating_sub(hits),
            reset: 1,
            admitted: hits <= limit,
        }
    }
}

/// The attributes of a rate window that the store reads.
#[derive(Deserialize)]
struct RateWindow {
    hits: u32,
}

impl Requests {
    /// Counts a call of `team` in the window of this second. Returns the number of calls in the window, with this
    /// call.
    pub async fn count(&self, team: &TeamId, kind: RateKind) -> Result<u32, Error> {
        let kind = match kind {
            RateKind::Mutations => "rate",
            RateKind::Mints => "mint",
        };
        let now = Timestamp::now();
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(
                "request_id",
                text(&format!("{kind}#{team}#{}", now.as_seconds())),
            )
            .update_expression("ADD hits :one SET expires_at = :end")
            .expression_attribute_values(":one", number(&1))
            .expression_attribute_values(
                ":end",
                number(&now.plus(RATE_WINDOW_RETENTION).as_seconds()),
            )
            .return_values(ReturnValue::UpdatedNew)
            .send()
            .await
            .map_err(|error| failed("UpdateItem", error))?;
        from_item::<RateWindow>(answer.attributes.unwrap_or_default()).map(|window| window.hits)
    }
}
