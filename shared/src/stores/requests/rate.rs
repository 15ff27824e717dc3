//! Counts the calls of a team and of its keys, one row per team, kind and second.

use std::time::Duration;

use aws_sdk_dynamodb::types::ReturnValue;

use super::table::Requests;
use crate::api_key::KeyId;
use crate::credential::TeamId;
use crate::stores::RateKind;
use crate::stores::error::{Error, failed};
use crate::stores::item::{Item, number, text};
use crate::timestamp::Timestamp;

/// How long the row of a rate window is kept.
const RATE_WINDOW_RETENTION: Duration = Duration::from_mins(1);

/// Who is charged for a call.
#[derive(Clone, Copy, Debug)]
pub enum Charged<'a> {
    /// The team alone, for a call without a key.
    Team,
    /// The key alone, for a call that is refused or invalid. So a key without a right cannot spend its team's rate.
    Key(&'a KeyId),
    /// Both.
    TeamAndKey(&'a KeyId),
}

/// How many calls a window has counted, with this one. 0 for who was not charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// The calls of the team.
    pub team: u32,
    /// The calls of the key.
    pub key: u32,
}

/// How many calls a window allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// For the team.
    pub team: u32,
    /// For the key.
    pub key: u32,
}

impl RateLimits {
    /// The limits of a team and of a key with a rate of its own. Without one, the key may make 80 % of the team's calls,
    /// so that it cannot starve the others.
    pub fn new(team: u32, key: Option<u32>) -> Self {
        let share = u64::from(team) * 4;
        let share = u32::try_from(share.div_ceil(5)).unwrap_or(u32::MAX);
        Self {
            team,
            key: key.map_or(share, |key| key.min(team)),
        }
    }
}

/// The result of counting a call. A rate window is one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// How many calls a window allows: of the team's limit and the key's, the one that is nearer.
    pub limit: u32,
    /// How many calls are left in this window.
    pub remaining: u32,
    /// Seconds until the window ends, rounded up.
    pub reset: u64,
    /// Whether this call is within both limits.
    pub admitted: bool,
}

impl Admission {
    /// The admission of a call, after it was counted.
    pub fn of(hits: Hits, limits: RateLimits, charged: Charged<'_>) -> Self {
        let within = |limit: u32, hits: u32| Self {
            limit,
            remaining: limit.saturating_sub(hits),
            reset: 1,
            admitted: hits <= limit,
        };
        let (team, key) = (within(limits.team, hits.team), within(limits.key, hits.key));
        match charged {
            Charged::Team => team,
            Charged::Key(_) => key,
            Charged::TeamAndKey(_) => {
                let is_nearer = (team.admitted, team.remaining) < (key.admitted, key.remaining);
                if is_nearer { team } else { key }
            }
        }
    }
}

impl Requests {
    /// Counts a call in the window of this second.
    pub async fn count(
        &self,
        team: &TeamId,
        kind: RateKind,
        charged: Charged<'_>,
    ) -> Result<Hits, Error> {
        let kind = match kind {
            RateKind::Mutations => "rate",
            RateKind::Mints => "mint",
            RateKind::Reads => "read",
        };
        let now = Timestamp::now();
        let window = format!("{kind}#{team}#{}", now.as_seconds());
        let of_key = |key: &KeyId| format!("key_{key}");
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("request_id", text(&window))
            .expression_attribute_values(":one", number(&1))
            .expression_attribute_values(
                ":end",
                number(&now.plus(RATE_WINDOW_RETENTION).as_seconds()),
            );
        let update = match charged {
            Charged::Team => update.update_expression("ADD hits :one SET expires_at = :end"),
            Charged::Key(key) => update
                .update_expression("ADD #key :one SET expires_at = :end")
                .expression_attribute_names("#key", of_key(key)),
            Charged::TeamAndKey(key) => update
                .update_expression("ADD hits :one, #key :one SET expires_at = :end")
                .expression_attribute_names("#key", of_key(key)),
        };
        let answer = update
            .return_values(ReturnValue::UpdatedNew)
            .send()
            .await
            .map_err(|error| failed("UpdateItem", error))?;
        let window = answer.attributes.unwrap_or_default();
        Ok(match charged {
            Charged::Team => Hits {
                team: hits(&window, "hits")?,
                key: 0,
            },
            Charged::Key(key) => Hits {
                team: 0,
                key: hits(&window, &of_key(key))?,
            },
            Charged::TeamAndKey(key) => Hits {
                team: hits(&window, "hits")?,
                key: hits(&window, &of_key(key))?,
            },
        })
    }
}

fn hits(window: &Item, name: &str) -> Result<u32, Error> {
    let hits = window.get(name).cloned();
    let hits = hits.ok_or_else(|| serde::de::Error::custom("a rate window has no count"));
    serde_dynamo::from_attribute_value(hits.map_err(Error::Shape)?).map_err(Error::Shape)
}
