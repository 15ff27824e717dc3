//! What the work on each grant of a run has in common.

use std::time::Duration;

use crate::grants::Grants;
use crate::keep_alive::failures::Failures;
use crate::stores::Keys;
use crate::timestamp::Timestamp;

/// The name of the function in the logs.
pub const NAME: &str = "keep-alive";

/// A failed grant is due again after at most this time.
const MAX_TIME_TO_RETRY: Duration = Duration::from_hours(24);
const HOUR: Duration = Duration::from_hours(1);
const HALF_AN_HOUR: Duration = Duration::from_mins(30);
/// The longest time for one grant. Its lease ends then.
const MAX_TIME_FOR_GRANT: Duration = Duration::from_secs(90);

/// The powers and the times of a run, and what has failed so far.
pub(super) struct RunTerms<'a> {
    pub(super) keys: &'a Keys,
    pub(super) grants: &'a Grants,
    /// For how long a due grant was not used.
    pub(super) unused: Duration,
    /// A grant that was used since then is not due.
    pub(super) unused_since: Timestamp,
    pub(super) revoke_after: Duration,
    pub(super) deadline: Timestamp,
    /// Names the run in the logs.
    pub(super) id: &'a str,
    pub(super) failures: Failures,
}

impl RunTerms<'_> {
    /// When the work on a grant that begins now must end.
    pub(super) fn deadline_of_grant(&self) -> Timestamp {
        self.deadline.min(Timestamp::now().plus(MAX_TIME_FOR_GRANT))
    }

    /// The `idle_since` of a grant that failed: it is due again a day later, at the half of an hour.
    ///
    /// A grant that was put off is due in the first half of an hour. So a run comes to it first, and grants that fail
    /// again and again hold up no grant that was not tried.
    pub(super) fn after_failure(&self) -> Timestamp {
        let latest = self.unused_since.plus(MAX_TIME_TO_RETRY);
        full_hour(latest.minus(HALF_AN_HOUR)).plus(HALF_AN_HOUR)
    }

    /// The `idle_since` of a grant that was put off without being tried: it is due again in the first half of the next
    /// hour. The later it was put off, the later it is due, so these grants keep their order.
    pub(super) fn after_put_off(&self) -> Timestamp {
        let now = Timestamp::now().minus(self.unused);
        let hour = full_hour(now);
        hour.plus(HOUR).plus(hour.until(now) / 2)
    }
}

/// The last full hour before a time.
fn full_hour(time: Timestamp) -> Timestamp {
    let since_hour = Timestamp::EPOCH.until(time).as_secs() % HOUR.as_secs();
    Timestamp::from_seconds(time.as_seconds()).minus(Duration::from_secs(since_hour))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_hour_has_no_minutes() {
        let time = |text: &str| Timestamp::try_from(text.to_owned()).unwrap();
        let hour = time("2026-01-02T03:00:00.000Z");
        for within in ["2026-01-02T03:00:00.000Z", "2026-01-02T03:59:59.999Z"] {
            assert_eq!(full_hour(time(within)), hour);
        }
    }
}
