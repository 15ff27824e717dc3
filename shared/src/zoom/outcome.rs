//! What Zoom's answer to each call means: the values in it, or an [`Error`].
//!
//! The client passes each answer to a function here. The public functions take an answer that did not come through the
//! client: the fuzz targets in `tests/fuzz` make such answers.

use reqwest::Response;
use secrecy::{ExposeSecret, SecretString};
use serde::de::IgnoredAny;

use super::error::{Error, Fault};
use super::mint::{MintAnswer, MintRequest, ZoomToken};
use super::refusal;
use super::tokens::{AccountToken, TokenAnswer, Tokens};
use super::transport::{Answer, read};
use super::user::User;
use crate::profile::Profile;

/// Reads the answer to the exchange of a code. A reason that contains one of the `secrets` is dropped.
pub async fn exchange(response: Response, secrets: &[&str]) -> Result<Tokens, Error> {
    of_exchange(read(response).await?, secrets)
}

/// Reads the answer to a refresh with the refresh token `sent`.
pub async fn refresh(
    response: Response,
    sent: &SecretString,
    secrets: &[&str],
) -> Result<Tokens, Error> {
    of_refresh(read(response).await?, sent, secrets)
}

/// Reads the answer to the check of an app.
pub async fn app_check(response: Response, secrets: &[&str]) -> Result<(), Error> {
    of_app_check(read(response).await?, secrets)
}

/// Reads the answer to a revocation.
pub async fn revocation(response: Response, secrets: &[&str]) -> Result<(), Error> {
    of_revocation(read(response).await?, secrets)
}

/// Reads the answer to a mint.
pub async fn mint(
    response: Response,
    request: &MintRequest,
    secrets: &[&str],
) -> Result<ZoomToken, Error> {
    let minted: MintAnswer = of_rest(read(response).await?, secrets)?;
    Ok(minted.into_token(request))
}

/// Reads the answer to a question for a user's profile.
pub async fn profile(response: Response, secrets: &[&str]) -> Result<Profile, Error> {
    let user: User = of_rest(read(response).await?, secrets)?;
    Ok(user.into_profile())
}

pub(super) fn of_exchange(answer: Answer<TokenAnswer>, secrets: &[&str]) -> Result<Tokens, Error> {
    match answer {
        Answer::Success(tokens, tracking_id) => tokens.after_exchange().ok_or(Error::Failed {
            source: Fault::NoRefreshToken,
            tracking_id,
        }),
        Answer::Refusal(answer) => Err(refusal::of_exchange(&answer, secrets)),
    }
}

pub(super) fn of_refresh(
    answer: Answer<TokenAnswer>,
    sent: &SecretString,
    secrets: &[&str],
) -> Result<Tokens, Error> {
    match answer {
        Answer::Success(tokens, _) => Ok(tokens.after_refresh(sent)),
        Answer::Refusal(answer) => Err(refusal::of_refresh(&answer, secrets)),
    }
}

pub(super) fn of_account_token(
    answer: Answer<TokenAnswer>,
    secrets: &[&str],
) -> Result<AccountToken, Error> {
    match answer {
        Answer::Success(token, _) => Ok(token.into_account_token()),
        Answer::Refusal(answer) => Err(refusal::of_account_token(&answer, secrets)),
    }
}

pub(super) fn of_app_check(answer: Answer<IgnoredAny>, secrets: &[&str]) -> Result<(), Error> {
    match answer {
        Answer::Success(..) => Ok(()),
        Answer::Refusal(answer) => Err(refusal::of_app_check(&answer, secrets)),
    }
}

pub(super) fn of_revocation(answer: Answer<IgnoredAny>, secrets: &[&str]) -> Result<(), Error> {
    match answer {
        Answer::Success(..) => Ok(()),
        Answer::Refusal(answer) => {
            let refusal = refusal::of_refresh(&answer, secrets);
            Err(if let Error::GrantRefused { reason } = refusal {
                Error::AccessTokenRefused {
                    reason,
                    tracking_id: None,
                }
            } else {
                refusal
            })
        }
    }
}

/// The answer to a call with this access token.
#[expect(
    clippy::disallowed_methods,
    reason = "a reason that contains the token is dropped"
)]
pub(super) fn of_user_call<T>(answer: Answer<T>, access: &SecretString) -> Result<T, Error> {
    of_rest(answer, &[access.expose_secret()])
}

fn of_rest<T>(answer: Answer<T>, secrets: &[&str]) -> Result<T, Error> {
    match answer {
        Answer::Success(body, _) => Ok(body),
        Answer::Refusal(answer) => Err(refusal::of_rest(&answer, secrets)),
    }
}
