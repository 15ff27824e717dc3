//! The terms of API callers for the use of a grant.

use std::time::Duration;

use shared::grants::Terms;
use shared::grants::mint::ACCESS_MARGIN;
use shared::timestamp::Timestamp;

/// API Gateway waits 29 seconds. This is less, because the answer needs time to get there.
const GATEWAY_TIME: Duration = Duration::from_secs(27);

/// The terms of a caller who waits for API Gateway.
pub(crate) fn of_api_caller() -> Terms {
    Terms {
        bot: None,
        margin: ACCESS_MARGIN,
        answer_by: Timestamp::now().plus(GATEWAY_TIME),
    }
}
