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
use crate::token_url::UrlId;

/// How long the row of a rate window is kept.
const RATE_WINDOW_RETENTION: Duration = Duration::from_mins(1);

/// Who is charged for a call.
#[derive(Clone, Copy, Debug)]
pub enum Charged<'a> {
    /// The team and one of its token URLs, which has the same share of the rate as a key.
    TeamAndUrl(UrlId),
    /// The key alone, for a call that is refused or invalid. So a key without a right cannot spend its team's rate.
    Key(&'a KeyId),
    /// Both.
    TeamAndKey(&'a KeyId),
}

impl Charged<'_> {
    /// The attribute that counts the calls of the key or the URL.
    fn own_counter(self) -> String {
        match self {
            Self::TeamAndUrl(url) => format!("url_{url}"),
            Self::Key(key) | Self::TeamAndKey(key) => format!("key_{key}"),
        }
    }
}

/// How many calls a window has counted, with this one. 0 for a key or team that was not charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// The calls of the team.
    pub team: u32,
    /// The calls of the key, or of the token URL.
    pub key: u32,
    /// The window: a second since the epoch.
    second: i64,
}

/// How many calls a window allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// For the team.
    pub team: u32,
    /// For the key, or for the token URL.
    pub key: u32,
}

impl RateLimits {
    /// The limits of a team and of a key with a rate of its own. Without one, the key may make 80 % of the team's
    /// calls, so that it cannot starve the others. With one call a second, nothing can be shared.
    pub fn new(team: u32, key: Option<u32>) -> Self {
        let share = u64::from(team) * 4 / 5;
        let share = u32::try_from(share).unwrap_or(u32::MAX).max(1);
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
            Charged::Key(_) => key,
            Charged::TeamAndUrl(_) | Charged::TeamAndKey(_) => {
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
        let now = Timestamp::now();
        let second = now.as_seconds();
        let own = charged.own_counter();
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("request_id", text(&window(kind, team, second)))
            .expression_attribute_values(":one", number(&1))
            .expression_attribute_values(
                ":end",
                number(&now.plus(RATE_WINDOW_RETENTION).as_seconds()),
            );
        let update = match charged {
            Charged::Key(_) => update.update_expression("ADD #own :one SET expires_at = :end"),
            Charged::TeamAndUrl(_) | Charged::TeamAndKey(_) => {
                update.update_expression("ADD hits :one, #own :one SET expires_at = :end")
            }
        };
        let update = update.expression_attribute_names("#own", &own);
        let answer = update
            .return_values(ReturnValue::UpdatedNew)
            .send()
            .await
            .map_err(|error| failed("UpdateItem", error))?;
        let counted = answer.attributes.unwrap_or_default();
        let key = hits(&counted, &own)?;
        let team = match charged {
            Charged::Key(_) => 0,
            Charged::TeamAndUrl(_) | Charged::TeamAndKey(_) => hits(&counted, "hits")?,
        };
        Ok(Hits { team, key, second })
    }

    /// Removes a call from the team's count, after the limit of its key or token URL has refused it. Otherwise a key
    /// that floods would spend the rate of its team.
    pub async fn give_back(&self, team: &TeamId, kind: RateKind, hits: Hits) -> Result<(), Error> {
        let update = self.client.update_item().table_name(&self.table);
        let sent = update
            .key("request_id", text(&window(kind, team, hits.second)))
            .update_expression("ADD hits :less")
            .condition_expression("attribute_exists(hits)")
            .expression_attribute_values(":less", number(&-1))
            .send()
            .await;
        sent.map(drop).map_err(|error| failed("UpdateItem", error))
    }
}

/// The id of a window's row.
fn window(kind: RateKind, team: &TeamId, second: i64) -> String {
    let kind = match kind {
        RateKind::Mutations => "rate",
        RateKind::Mints => "mint",
        RateKind::Reads => "read",
    };
    format!("{kind}#{team}#{second}")
}

fn hits(window: &Item, name: &str) -> Result<u32, Error> {
    let hits = window.get(name).cloned();
    let hits = hits.ok_or_else(|| serde::de::Error::custom("a rate window has no count"));
    serde_dynamo::from_attribute_value(hits.map_err(Error::Shape)?).map_err(Error::Shape)
}
