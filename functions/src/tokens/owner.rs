//! Whose token a mint is for: the credential's own user, or a user of its account.

use shared::account::{AccountOwner, AccountUser, AccountUserEmail, AccountUserId};
use shared::error::Error;
use shared::grants::token_request::{AccountMint, TokenRequest};
use shared::stores::StoredCredential;
use shared::token::NamedMeeting;
use shared::zoom::MintRequest;

use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::tokens::mint_type::MintType;

/// The user that the body names. A type that belongs to no user has none, whatever the body says.
pub(super) fn named_user(
    fields: &Fields<'_>,
    token_type: MintType,
) -> Result<(Option<AccountUserId>, Option<AccountUserEmail>), ApiError> {
    match token_type {
        MintType::Onbehalf | MintType::Zak => {}
        MintType::LocalRecording | MintType::SdkJwt | MintType::RtmsSignature => {
            return Ok((None, None));
        }
    }
    let id = fields.optional("body/zoom_user_id")?;
    let email = fields.optional("body/zoom_email")?;
    if id.is_some() && email.is_some() {
        let rule = "must NOT come with zoom_user_id: name one of the two";
        return Err(ApiError::validation("body/zoom_email", rule));
    }
    Ok((id, email))
}

/// Whose token is wanted. A user counts before the host of the meeting.
pub(super) fn named(
    id: Option<AccountUserId>,
    email: Option<AccountUserEmail>,
    meeting: Option<NamedMeeting>,
) -> Option<AccountOwner> {
    let user = id
        .map(AccountUser::Id)
        .or_else(|| email.map(AccountUser::Email));
    let host = || meeting.map(AccountOwner::HostOf);
    user.map(AccountOwner::User).or_else(host)
}

/// Refuses an `onbehalf` token of an account-level credential, unless the team may try it. This comes before what the
/// request says about the user: no user would help.
pub(super) fn check_onbehalf(
    stored: &StoredCredential,
    token_type: MintType,
    is_allowed: bool,
) -> Result<(), Error> {
    let is_onbehalf = matches!(token_type, MintType::Onbehalf);
    if is_onbehalf && stored.account().is_some() && !is_allowed {
        return Err(Error::OnbehalfOfAccount);
    }
    Ok(())
}

/// What is asked of this credential. An account-level credential needs to know whose token is wanted. Any other
/// credential has a user of its own, or none.
pub(super) fn request_of(
    stored: &StoredCredential,
    request: TokenRequest,
    owner: Option<AccountOwner>,
) -> Result<TokenRequest, ApiError> {
    let wanted = match request {
        TokenRequest::Zoom(wanted) => wanted,
        request @ (TokenRequest::SdkJwt { .. }
        | TokenRequest::RtmsSignature(_)
        | TokenRequest::OfAccount(_)
        | TokenRequest::AccessToken(_)) => return Ok(request),
    };
    let Some(account) = stored.account() else {
        let rule = "works only with an account-level credential: any other mints for its own user";
        return match owner {
            None | Some(AccountOwner::HostOf(_)) => Ok(TokenRequest::Zoom(wanted)),
            Some(AccountOwner::User(AccountUser::Id(_))) => {
                Err(ApiError::validation("body/zoom_user_id", rule))
            }
            Some(AccountOwner::User(AccountUser::Email(_))) => {
                Err(ApiError::validation("body/zoom_email", rule))
            }
        };
    };
    let owner = match wanted {
        // The token is the meeting's, whoever hosts it.
        MintRequest::LocalRecording { .. } => None,
        MintRequest::Onbehalf { .. } | MintRequest::Zak { .. } => {
            let rule = "is required with an account-level credential, or zoom_email, or the meeting whose host is meant";
            Some(owner.ok_or(ApiError::validation("body/zoom_user_id", rule))?)
        }
    };
    Ok(TokenRequest::OfAccount(AccountMint {
        account,
        wanted,
        owner,
    }))
}
