//! Instants in the format of the API: RFC 3339 in UTC with milliseconds and `Z`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An instant with millisecond precision. Stored, shown and compared values are therefore always the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, format = DateTime)]
pub struct Timestamp(jiff::Timestamp);

/// The text is not an RFC 3339 instant.
#[derive(Debug, thiserror::Error)]
#[error("not an RFC 3339 instant")]
pub struct InvalidTimestamp;

impl Timestamp {
    /// The beginning of 1970.
    pub const EPOCH: Self = Self(jiff::Timestamp::UNIX_EPOCH);

    /// The current time of the wall clock, rounded down to the millisecond.
    pub fn now() -> Self {
        Self::from_millis(jiff::Timestamp::now().as_millisecond())
    }

    /// The instant `millis` milliseconds after 1970. A value outside the calendar becomes the nearest end of it.
    pub fn from_millis(millis: i64) -> Self {
        let first = jiff::Timestamp::MIN.as_millisecond();
        let last = jiff::Timestamp::MAX.as_millisecond();
        // A clamped value cannot fail.
        Self(jiff::Timestamp::from_millisecond(millis.clamp(first, last)).unwrap_or_default())
    }

    /// The instant `seconds` seconds after 1970. A value outside the calendar becomes the nearest end of it.
    pub fn from_seconds(seconds: i64) -> Self {
        Self::from_millis(seconds.saturating_mul(1000))
    }

    /// Parses an HTTP date: `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub fn from_http_date(text: &str) -> Option<Self> {
        let instant = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        Some(Self::from_millis(instant.as_millisecond()))
    }

    /// Parses an instant, or a date and a time without a zone, which are UTC: `2024-09-08 15:58:40`.
    pub fn from_utc_text(text: &str) -> Option<Self> {
        let instant = text.parse().or_else(|_| {
            let date_time: jiff::civil::DateTime = text.parse()?;
            jiff::tz::Offset::UTC.to_timestamp(date_time)
        });
        Some(Self::from_millis(instant.ok()?.as_millisecond()))
    }

    /// Milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.0.as_millisecond()
    }

    /// Seconds since 1970, rounded down. DynamoDB's TTL uses this unit.
    pub fn as_seconds(self) -> i64 {
        self.0.as_second()
    }

    /// The instant `by` later.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self::from_millis(self.as_millis().saturating_add_unsigned(millis(by)))
    }

    /// The instant `by` earlier.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self::from_millis(self.as_millis().saturating_sub_unsigned(millis(by)))
    }

    /// The time from `self` until `later`, or zero if `later` is earlier.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_millis(
            u64::try_from(later.as_millis().saturating_sub(self.as_millis())).unwrap_or(0),
        )
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl From<Timestamp> for String {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.to_string()
    }
}

impl TryFrom<String> for Timestamp {
    type Error = InvalidTimestamp;

    fn try_from(text: String) -> Result<Self, InvalidTimestamp> {
        let instant: jiff::Timestamp = text.parse().map_err(|_| InvalidTimestamp)?;
        Ok(Self::from_millis(instant.as_millisecond()))
    }
}
