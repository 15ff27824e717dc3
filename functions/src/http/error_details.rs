//! The field `details` of an error: more about the cause, for programs.

use shared::error::{Down, Error};
use shared::zoom::Actor;

/// The field `details` of one of the vault's own errors.
pub(super) fn of(error: &Error) -> Option<String> {
    if let Error::ReconnectRequired { reason } = error {
        Some(reason.as_str().to_owned())
    } else if let Error::AppMisconfigured { reason } = error {
        Some(reason.clone())
    } else if let Error::MissingScope { scope } | Error::MissingAdminScope { scope } = error {
        Some(scope.clone())
    } else if matches!(error, Error::UnknownAccountUser { .. }) {
        Some(Actor::Caller.as_str().to_owned())
    } else if let Error::ZoomRefused { actor, .. } = error {
        Some(actor.as_str().to_owned())
    } else if let Error::ZoomUnavailable { source, .. } = error {
        source.details()
    } else if let Error::Unavailable { source, .. } = error {
        Some(unavailable_details(source))
    } else {
        None
    }
}

/// What is down, in one word. Zoom's own code and tracking id follow it.
fn unavailable_details(down: &Down) -> String {
    let word = match down {
        Down::DynamoDb(_) => "dynamodb",
        Down::Kms(_) => "kms",
        Down::Zoom(error) => {
            let details = error.details().map(|details| format!(": {details}"));
            return format!("zoom_rate{}", details.unwrap_or_default());
        }
        Down::OutOfTime => "out_of_time",
        Down::Silent => "storage_silent",
        Down::GrantsLeft => "grants_left",
        Down::MembersMissing => "credentials_missing",
        // No answer has the first: the part that may not refresh is done again.
        Down::NeedsRefresh | Down::RefreshElsewhere => "refresh_running",
        Down::AccessTokenEnds => "access_token_ends",
    };
    word.to_owned()
}
