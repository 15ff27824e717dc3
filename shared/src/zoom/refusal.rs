//! The meaning of Zoom's refusals: which [`Error`] an error answer becomes.
//!
//! An answer that says nothing about the request becomes [`Error::RateLimited`] (status 429) or [`Error::Failed`]: a
//! status outside 4xx, status 408, a body that is no JSON object, code 4732, and code 4700 without any words. The REST
//! host also refuses with status 200 and an error object.
//!
//! Other answers are looked up in the tables below. The first row that matches decides. Texts are compared without
//! regard to case.
//!
//! OAuth host: exchange, refresh, revoke and the check of an app.
//!
//! | answer | refused | error |
//! | --- | --- | --- |
//! | code 4702, 4704, 4706, 4709, 4717 | the app: its id, secret, redirect URI or state | [`Error::AppRefused`] |
//! | code 4711, 4735, 4737, 4738, 4740, 4741 | the code or the refresh token | [`Error::GrantRefused`] |
//! | word `invalid_client`, `unsupported_grant_type` | the app | [`Error::AppRefused`] |
//! | word `invalid_grant` | the code or the refresh token | [`Error::GrantRefused`] |
//! | word `invalid_request`, and a text that begins with `Invalid Token` | the refresh token | [`Error::GrantRefused`] |
//! | status 401, without the word `invalid_request` | the app's secret | [`Error::AppRefused`] |
//! | anything else, for a code | the code | [`Error::GrantRefused`] |
//! | anything, for the token of an account-level app | the app or its account | [`Error::AppRefused`] |
//! | anything else, for a refresh token | unknown | [`Error::Failed`] |
//!
//! REST host: mint and profile.
//!
//! | answer | refused | error |
//! | --- | --- | --- |
//! | text `does not contain scopes` (codes 4711, 4700, 201) | a scope | [`Error::MissingScope`] |
//! | text `only supports OAuth` (code 124) | the app | [`Error::AppRefused`] |
//! | code 3000, text `local recording` | a setting of the meeting's host | [`Error::RequestRefused`], host |
//! | code 124 | the access token | [`Error::AccessTokenRefused`] |
//! | code 4711 | a scope | [`Error::MissingScope`] |
//! | code 1001, 1010 | the user | [`Error::UserNotFound`] |
//! | code 2300 | the app may not call this endpoint | [`Error::AppRefused`] |
//! | code 300, 3000, 3001 | a parameter of the request | [`Error::RequestRefused`], caller |
//! | code 200, 3161 | the account or its plan | [`Error::RequestRefused`], account admin |
//! | status 401 | the access token | [`Error::AccessTokenRefused`] |
//! | the app, by the table above | the app | [`Error::AppRefused`] |
//! | status 403 | the account | [`Error::RequestRefused`], account admin |
//! | anything else | unknown | [`Error::Failed`] |
//!
//! A mint that gets status 400, code 3000 and a text that begins with `Cannot access Webinar information` is sent again
//! to the endpoint for webinars. It is refused by this table only if the number was asked for as a webinar already. A
//! ZAK for which a scope is missing is asked for at another endpoint, which needs another scope.

use reqwest::StatusCode;

use super::answer::ErrorAnswer;
use super::error::{Actor, Error, Fault};

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
    App,
    Request(Actor),
}

const OAUTH_CODES: [(i64, RefusedParty); 12] = [
    (4702, RefusedParty::App),
    (4704, RefusedParty::App),
    (UNSUPPORTED_GRANT_TYPE_CODE, RefusedParty::App),
    (4706, RefusedParty::App),
    (4709, RefusedParty::App),
    (4711, RefusedParty::Grant),
    (4717, RefusedParty::App),
    (4735, RefusedParty::Grant),
    (4737, RefusedParty::Grant),
    (NOT_APPROVED_CODE, RefusedParty::Grant),
    (4740, RefusedParty::Grant),
    (4741, RefusedParty::Grant),
];

const OAUTH_WORDS: [(&str, RefusedParty); 3] = [
    ("invalid_client", RefusedParty::App),
    (UNSUPPORTED_GRANT_TYPE, RefusedParty::App),
    ("invalid_grant", RefusedParty::Grant),
];

/// The word of a refused grant type. The app has the wrong type for this way to get tokens.
const UNSUPPORTED_GRANT_TYPE: &str = "unsupported_grant_type";
/// The code of a refused grant type.
const UNSUPPORTED_GRANT_TYPE_CODE: i64 = 4705;
/// The word of a malformed request. With [`INVALID_TOKEN`], an old form of `invalid_grant`.
const INVALID_REQUEST: &str = "invalid_request";
/// The start of Zoom's reason for refusing a refresh token.
const INVALID_TOKEN: &str = "invalid token";

const REST_CODES: [(i64, RestRefusal); 10] = [
    (124, RestRefusal::AccessToken),
    (200, RestRefusal::Request(Actor::AccountAdmin)),
    (300, RestRefusal::Request(Actor::Caller)),
    (1001, RestRefusal::User),
    (1010, RestRefusal::User),
    (2300, RestRefusal::App),
    (3000, RestRefusal::Request(Actor::Caller)),
    (3001, RestRefusal::Request(Actor::Caller)),
    (3161, RestRefusal::Request(Actor::AccountAdmin)),
    (4711, RestRefusal::Scope),
];

/// Texts that say more than the code that comes with them. `None` stands for any code.
const REST_TEXTS: [(Option<i64>, &str, RestRefusal); 3] = [
    (None, "does not contain scopes", RestRefusal::Scope),
    (Some(124), "only supports oauth", RestRefusal::App),
    (
        Some(3000),
        "local recording",
        RestRefusal::Request(Actor::Host),
    ),
];

/// The code for a webinar among the meetings. Zoom uses it for other refusals too, so the words decide.
const OTHER_KIND_CODE: i64 = 3000;
/// The start of Zoom's words for a webinar among the meetings.
const IS_WEBINAR: &str = "cannot access webinar information";

/// The code of an app that no admin of the user's account approves, or not any more.
const NOT_APPROVED_CODE: i64 = 4738;
/// What the user cannot do alone.
const NOT_APPROVED_ADVICE: &str = "an admin of the user's Zoom account must approve the app first";

/// A code for a fault of Zoom, whatever words come with it.
const FAULT_CODE: i64 = 4732;
/// A code for a fault of Zoom if no words come with it.
const FAULT_CODE_WITHOUT_WORDS: i64 = 4700;

/// The error for a refused exchange of a code. A reason that contains one of the `secrets` is dropped.
pub(super) fn of_exchange(answer: &ErrorAnswer, secrets: &[&str]) -> Error {
    if let Some(error) = transient(answer) {
        return error;
    }
    let reason = oauth_reason(answer, secrets);
    match refused_party(answer) {
        Some(RefusedParty::App) => Error::AppRefused { reason },
        Some(RefusedParty::Grant) | None => Error::GrantRefused { reason },
    }
}

/// Zoom's reason, and who must act before the user can.
fn oauth_reason(answer: &ErrorAnswer, secrets: &[&str]) -> String {
    let reason = answer.reason(secrets);
    if answer.code() == Some(NOT_APPROVED_CODE) {
        format!("{reason}: {NOT_APPROVED_ADVICE}")
    } else {
        reason
    }
}

/// The error for a refused refresh or revocation.
///
/// [`Error::GrantRefused`] makes the user authorize again. An unknown refusal therefore becomes [`Error::Failed`].
pub(super) fn of_refresh(answer: &ErrorAnswer, secrets: &[&str]) -> Error {
    if let Some(error) = transient(answer) {
        return error;
    }
    let reason = oauth_reason(answer, secrets);
    match refused_party(answer) {
        Some(RefusedParty::App) => Error::AppRefused { reason },
        Some(RefusedParty::Grant) => Error::GrantRefused { reason },
        None => unknown(answer, reason),
    }
}

/// The error for a refused check of an app. As [`of_refresh`], but an app that cannot be checked this way is not
/// refused.
pub(super) fn of_app_check(answer: &ErrorAnswer, secrets: &[&str]) -> Error {
    let is_unsupported =
        answer.says(UNSUPPORTED_GRANT_TYPE) || answer.code() == Some(UNSUPPORTED_GRANT_TYPE_CODE);
    match transient(answer) {
        None if is_unsupported => unknown(answer, answer.reason(secrets)),
        _ => of_refresh(answer, secrets),
    }
}

/// The error for a refused token of an account-level app. Zoom refuses the app, its account or their relation, and all
/// of them are the operator's.
pub(super) fn of_account_token(answer: &ErrorAnswer, secrets: &[&str]) -> Error {
    transient(answer).unwrap_or_else(|| Error::AppRefused {
        reason: answer.reason(secrets),
    })
}

/// The error for a refusal by the REST host.
pub(super) fn of_rest(answer: &ErrorAnswer, secrets: &[&str]) -> Error {
    let is_success = answer.status().is_success();
    if let Some(error) = transient(answer).filter(|_| !is_success) {
        return error;
    }
    let reason = answer.reason(secrets);
    match rest_refusal(answer) {
        Some(RestRefusal::AccessToken) => access_token(answer, reason),
        Some(RestRefusal::Scope) => Error::MissingScope {
            scope: answer.missing_scope(secrets),
        },
        Some(RestRefusal::User) => Error::UserNotFound { reason },
        Some(RestRefusal::App) => Error::AppRefused { reason },
        Some(RestRefusal::Request(actor)) => Error::RequestRefused { reason, actor },
        None if answer.status() == StatusCode::UNAUTHORIZED => access_token(answer, reason),
        None if matches!(refused_party(answer), Some(RefusedParty::App)) => {
            Error::AppRefused { reason }
        }
        None if answer.status() == StatusCode::FORBIDDEN => Error::RequestRefused {
            reason,
            actor: Actor::AccountAdmin,
        },
        None => unknown(answer, reason),
    }
}

/// Whether the answer says that a number that was looked for among the meetings is that of a webinar.
pub(super) fn names_webinar(answer: &ErrorAnswer) -> bool {
    answer.status() == StatusCode::BAD_REQUEST
        && answer.code() == Some(OTHER_KIND_CODE)
        && answer.begins_with(IS_WEBINAR)
}

/// Whether the REST host says that a scope is missing.
pub(super) fn lacks_scope(answer: &ErrorAnswer) -> bool {
    let is_transient = !answer.status().is_success() && transient(answer).is_some();
    !is_transient && matches!(rest_refusal(answer), Some(RestRefusal::Scope))
}

fn rest_refusal(answer: &ErrorAnswer) -> Option<RestRefusal> {
    let by_text = REST_TEXTS.iter().find(|(code, text, _)| {
        code.is_none_or(|code| answer.code() == Some(code)) && answer.mentions(text)
    });
    by_text
        .map(|(_, _, refusal)| *refusal)
        .or_else(|| look_up(&REST_CODES, answer.code()))
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
    let is_invalid_request = answer.says(INVALID_REQUEST);
    let by_old_form = || {
        let refuses_token = is_invalid_request && answer.begins_with(INVALID_TOKEN);
        refuses_token.then_some(RefusedParty::Grant)
    };
    // Some answers to a wrong client secret have the status 401 and neither a code nor a word.
    let by_status = || {
        let refuses_app = answer.status() == StatusCode::UNAUTHORIZED && !is_invalid_request;
        refuses_app.then_some(RefusedParty::App)
    };
    look_up(&OAUTH_CODES, answer.code())
        .or_else(by_word)
        .or_else(by_old_form)
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
