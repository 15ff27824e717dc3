//! What the work on each grant of a run has in common.

use std::time::Duration;

use crate::grants::Grants;
use crate::stores::Keys;
use crate::timestamp::Timestamp;

/// The name of the function in the logs.
pub const NAME: &str = "keep-alive";

/// When a failed grant is due again.
pub(super) const RETRY_AFTER: Duration = Duration::from_hours(24);
/// The longest time for one grant. Its lease ends then.
const MAX_TIME_FOR_GRANT: Duration = Duration::from_secs(90);

/// The powers and the times of a run.
pub(super) struct RunTerms<'a> {
    pub(super) keys: &'a Keys,
    pub(super) grants: &'a Grants,
    /// A grant that was used since then is not due.
    pub(super) unused_since: Timestamp,
    pub(super) revoke_after: Duration,
    pub(super) deadline: Timestamp,
    /// Names the run in the logs.
    pub(super) id: &'a str,
}

impl RunTerms<'_> {
    /// When the work on a grant that begins now must end.
    pub(super) fn deadline_of_grant(&self) -> Timestamp {
        self.deadline.min(Timestamp::now().plus(MAX_TIME_FOR_GRANT))
    }
}
