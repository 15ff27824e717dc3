//! How soon an API caller needs its answer.

use std::time::Duration;

use shared::event::Requester;
use shared::grants::Terms;
use shared::grants::mint::ACCESS_MARGIN;
use shared::timestamp::Timestamp;

/// How long API Gateway waits for an answer, less the time for the way there.
const GATEWAY_TIME: Duration = Duration::from_secs(27);

/// The terms of a caller who waits behind API Gateway.
pub(crate) fn of_api_caller(requester: Requester) -> Terms {
    Terms {
        requester,
        margin: ACCESS_MARGIN,
        answer_by: Timestamp::now().plus(GATEWAY_TIME),
    }
}
