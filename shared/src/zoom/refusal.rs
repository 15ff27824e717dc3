//! The meaning of Zoom's refusals: which [`Error`] an error answer becomes.
//!
//! An answer that says nothing about the request becomes [`Error::RateLimited`] (status 429) or [`Error::Failed`]:
//! a status outside 4xx, status 408, a body that is no JSON object, code 4732, and code 4700 without any words.
//!
//! Other answers are looked up in the tables below. The first row that matches decides.
//!
//! OAuth host: exchange, refresh, revoke and the check of an app.
//!
//! | answer | refused | error |
//! | --- | --- | --- |
//! | code 4702, 4704, 4706, 4709, 4717 | the app: its id, secret, redirect URI or state | [`Error::AppRefused`] |
//! | code 4711, 4735, 4737, 4738, 4740, 4741 | the code or the refresh token | [`Error::GrantRefused`] |
//! | word `invalid_client` | the app | [`Error::AppRefused`] |
//! | word `invalid_grant` | the code or the refresh token | [`Error::GrantRefused`] |
//! | status 401 | the app's secret | [`Error::AppRefused`] |
//! | anything else, for a code | the code | [`Error::GrantRefused`] |
//! | anything else, for a refresh token | unknown | [`Error::Failed`] |
//!
//! REST host: mint and profile.
//!
//! | answer | refused | error |
//! | --- | --- | --- |
//! | code 124 | the access token | [`Error::AccessTokenRefused`] |
//! | code 4711 | a scope | [`Error::MissingScope`] |
//! | code 1001 | the user | [`Error::UserNotFound`] |
//! | code 300, 3000, 3001 | a parameter of the request | [`Error::RequestRefused`] |
//! | status 401 | the access token | [`Error::AccessTokenRefused`] |
//! | the app, by the table above | the app | [`Error::AppRefused`] |
//! | anything else | unknown | [`Error::Failed`] |

use reqwest::StatusCode;

use super::answer::ErrorAnswer;
use super::error::{Error, Fault};

/// Who has to act on a refusal by the OAuth host.
#[derive(Clone, Copy)]
enum RefusedParty {
    /// The operator has to correct the Zoom app.
    App,
    /// The user has to authorize again.
    Grant,
}

/// What a refusal by the REST host refuses.
#[derive(Clone, Copy)]
enum RestRefusal {
    AccessToken,
    Scope,
    User,
    Request,
}

const OAUTH_CODES: [(i64, RefusedParty); 11] = [
    (4702, RefusedParty::App),
    (4704, RefusedParty::App),
    (4706, RefusedParty::App),
    (4709, RefusedParty::App),
    (4711, RefusedParty::Grant),
    (4717, RefusedParty::App),
    (4735, RefusedParty::Grant),
    (4737, RefusedParty::Grant),
    (4738, RefusedParty::Grant),
    (4740, RefusedParty::Grant),
    (4741, RefusedParty::Grant),
];

const OAUTH_WORDS: [(&str, RefusedParty); 2] = [
    ("invalid_client", RefusedParty::App),
    ("invalid_grant", RefusedParty::Grant),
];

const REST_CODES: [(i64, RestRefusal); 6] = [
    (124, RestRefusal::AccessToken),
    (300, RestRefusal::Request),
    (1001, RestRefusal::User),
    (3000, RestRefusal::Request),
    (3001, RestRefusal::Request),
    (4711, RestRefusal::Scope),
];

/// A code for a fault of Zoom, whatever words come with it.
const FAULT_CODE: i64 = 4732;
/// A code for a fault of Zoom if no words come with it.
const FAULT_CODE_WITHOUT_WORDS: i64 = 4700;

/// The error for a refused exchange of a code. A reason that contains one of the `secrets` is dropped.
pub(super) fn of_exchange(answer: &ErrorAnswer, secrets: &[&str]) -> Error {
    if let Some(error) = transient(answer) {
        return error;
    }
    let reason = answer.reason(secrets);
    match refused_party(answer) {
        Some(RefusedParty::App) => Error::AppRefused { reason },
        Some(RefusedParty::Grant) | None => Error::GrantRefused { reason },
    }
}

/// The error for a refused refresh, revocation or check of an app.
///
/// [`Error::GrantRefused`] makes the user authorize again. An unknown refusal therefore becomes [`Error::Failed`].
pub(super) fn of_refresh(answer: &ErrorAnswer, secrets: &[&str]) -> Error {
    if let Some(error) = transient(answer) {
        return error;
    }
    let reason = answer.reason(secrets);
    match refused_party(answer) {
        Some(RefusedParty::App) => Error::AppRefused { reason },
        Some(RefusedParty::Grant) => Error::GrantRefused { reason },
        None => unknown(answer, reason),
    }
}

/// The error for a refusal by the REST host.
pub(super) fn of_rest(answer: &ErrorAnswer, secrets: &[&str]) -> Error {
    if let Some(error) = transient(answer) {
        return error;
    }
    let reason = answer.reason(secrets);
    match look_up(&REST_CODES, answer.code()) {
        Some(RestRefusal::AccessToken) => access_token(answer, reason),
        Some(RestRefusal::Scope) => Error::MissingScope {
            scope: answer.missing_scope(secrets),
        },
        Some(RestRefusal::User) => Error::UserNotFound { reason },
        Some(RestRefusal::Request) => Error::RequestRefused { reason },
        None if answer.status() == StatusCode::UNAUTHORIZED => access_token(answer, reason),
        None if matches!(refused_party(answer), Some(RefusedParty::App)) => {
            Error::AppRefused { reason }
        }
        None => unknown(answer, reason),
    }
}

fn look_up<T: Copy>(table: &[(i64, T)], code: Option<i64>) -> Option<T> {
    let row = table.iter().find(|(known, _)| Some(*known) == code);
    row.map(|(_, meaning)| *meaning)
}

fn refused_party(answer: &ErrorAnswer) -> Option<RefusedParty> {
    let by_word = || {
        let row = OAUTH_WORDS.iter().find(|(word, _)| answer.says(word));
        row.map(|(_, party)| *party)
    };
    // Some answers to a wrong client secret have the status 401 and neither a code nor a word.
    let by_status = || (answer.status() == StatusCode::UNAUTHORIZED).then_some(RefusedParty::App);
    look_up(&OAUTH_CODES, answer.code())
        .or_else(by_word)
        .or_else(by_status)
}

/// The error for an answer that says nothing about the request.
fn transient(answer: &ErrorAnswer) -> Option<Error> {
    let (status, code) = (answer.status(), answer.code());
    let is_fault_code =
        code == Some(FAULT_CODE) || (code == Some(FAULT_CODE_WITHOUT_WORDS) && !answer.has_words());
    if status == StatusCode::TOO_MANY_REQUESTS {
        Some(Error::RateLimited {
            retry_after: answer.retry_after(),
            code,
            tracking_id: answer.tracking_id(),
        })
    } else if is_fault_code
        || !answer.is_from_zoom_api()
        || !status.is_client_error()
        || status == StatusCode::REQUEST_TIMEOUT
    {
        let source = Fault::Status {
            status: status.as_u16(),
            code,
        };
        Some(Error::Failed {
            source,
            tracking_id: answer.tracking_id(),
        })
    } else {
        None
    }
}

fn access_token(answer: &ErrorAnswer, reason: String) -> Error {
    Error::AccessTokenRefused {
        reason,
        tracking_id: answer.tracking_id(),
    }
}

fn unknown(answer: &ErrorAnswer, reason: String) -> Error {
    Error::Failed {
        source: Fault::Refused(reason),
        tracking_id: answer.tracking_id(),
    }
}
