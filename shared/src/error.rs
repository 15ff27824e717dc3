//! Why the vault could not do what it was asked, in its own words.
//!
//! The variants say who must act: the caller, the user, the operator of the Zoom app, or us. HTTP statuses are given
//! in `functions/src/http/error.rs`. What a variant displays is public; its source is for the log only.

use std::error::Error as StdError;
use std::time::Duration;

use crate::cause::chain;
use crate::credential::ReconnectReason;
use crate::zoom::Actor;
use crate::{envelope, secret, stores, zoom};

/// An error that only the log shows.
pub type Source = Box<dyn StdError + Send + Sync>;

/// How long a caller should wait before it retries after a failure that it did not cause.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why the vault could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The resource does not exist, is deleted, or belongs to another team. The caller cannot tell which.
    #[error("{0}")]
    NotFound(Missing),
    /// An app credential was asked for a user's token.
    #[error(
        "The credential belongs to an app and has no Zoom user: authorize it with an authorization_code first"
    )]
    NotAUserCredential,
    /// A concurrent change won.
    #[error("The credential was changed at the same time: read it and try again")]
    Conflict,
    /// A concurrent change won after the user had authorized.
    #[error(
        "The credential was changed while the user authorized, and did not take the authorization. The authorization is \
         kept for the other credentials of this user: read the credential, and let the user authorize again."
    )]
    AuthorizationNotTaken,
    /// Zoom refused the authorization code.
    #[error(
        "Zoom refused the authorization code: {reason}. Check client_id, client_secret, redirect_uri and code_verifier. A code works \
         once, for 5 minutes, with the app and the redirect URI it was issued for: if it was used before, send the \
         user through the authorization again."
    )]
    CodeRefused {
        /// Zoom's own reason.
        reason: String,
        /// Whom Zoom blames.
        blamed: Blamed,
    },
    /// The user must authorize again.
    #[error(
        "The user must authorize the Zoom app again ({}): create a connect session with this credential_id (POST \
         /v2/zoom-connect-sessions), and let the user open its link",
        .reason.as_str()
    )]
    ReconnectRequired {
        /// Why.
        reason: ReconnectReason,
    },
    /// Zoom refused the app. The operator must fix the app. The grant is not affected.
    #[error(
        "Zoom refused the app: {reason}. Check the app in Zoom's marketplace and this credential's client_id and \
         client_secret; the user need not authorize again."
    )]
    AppMisconfigured {
        /// Zoom's reason.
        reason: String,
    },
    /// The app or the user's consent lacks a scope. The grant is good.
    #[error(
        "The Zoom app or the user's consent lacks the scope {scope}: add it to the app, then let the user authorize \
         again"
    )]
    MissingScope {
        /// The scope.
        scope: String,
    },
    /// An account-level credential was asked for a token on behalf of a user.
    #[error(
        "The credential is that of an account-level app. Nothing shows that Zoom gives such an app tokens of the type \
         onbehalf: mint with the credential of a user who authorized a Meeting SDK app. The vault's operator can let the \
         team try it: zoom-vault teams set TEAM --account-onbehalf on"
    )]
    OnbehalfOfAccount,
    /// The account-level app lacks a scope.
    #[error(
        "The account-level app lacks the scope {scope}: an admin of the Zoom account must add it to the app, and activate the \
         app again. No user need authorize."
    )]
    MissingAdminScope {
        /// The scope.
        scope: String,
    },
    /// The account of an account-level app has no such user.
    #[error(
        "Zoom knows no such user in this account: {reason}. Check zoom_user_id, zoom_email or the meeting: the user may have \
         been deleted or deactivated, or belong to another account."
    )]
    UnknownAccountUser {
        /// Zoom's reason.
        reason: String,
    },
    /// Zoom refused for good what was asked for. The grant is good.
    #[error("Zoom refused the request: {reason}. {}", what_to_do(*.actor))]
    ZoomRefused {
        /// Zoom's reason.
        reason: String,
        /// Who must act.
        actor: Actor,
    },
    /// Zoom failed. It may have acted.
    #[error("Zoom failed. It is safe to retry{}", .spent.hint())]
    ZoomUnavailable {
        /// What went wrong.
        source: zoom::Error,
        /// What the failed call may have used up.
        spent: Spent,
    },
    /// Zoom did not answer in time. It may have acted.
    #[error("Zoom did not answer in time. It is safe to retry{}", .spent.hint())]
    ZoomTimeout {
        /// What went wrong.
        source: zoom::Error,
        /// What the failed call may have used up.
        spent: Spent,
    },
    /// A service that the vault needs is down or throttles, or Zoom limits our calls.
    #[error("Temporarily unavailable: try again after retry-after")]
    Unavailable {
        /// When to try again.
        retry_after: Duration,
        /// What is down.
        #[source]
        source: Down,
    },
    /// A fault of the vault itself.
    #[error("Internal server error")]
    Internal(#[source] Source),
}

/// A resource that was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// A credential.
    #[error("Zoom credential not found")]
    Credential,
    /// A credential that was deleted while its user authorized.
    #[error(
        "Zoom credential not found: it was deleted while the user authorized. The authorization is kept for the other \
         credentials of this user."
    )]
    AuthorizedCredential,
    /// A token URL: unknown, revoked, expired or used up, or its credential is gone.
    #[error("Token URL not found: it is unknown, revoked, expired or used up")]
    TokenUrl,
    /// A registered Zoom app.
    #[error("Zoom app not found: register it with PUT first")]
    ZoomApp,
    /// A team's secret at a bot vendor.
    #[error("Vendor secret not found: store it with PUT first")]
    VendorSecret,
    /// A team's endpoint for notifications.
    #[error("Notification endpoint not found: set it with PUT first")]
    NotificationEndpoint,
    /// A connect session.
    #[error("Connect session not found")]
    ConnectSession,
}

/// Whom Zoom blames for an authorization code that it refused.
#[derive(Clone, Copy, Debug)]
pub enum Blamed {
    /// The app: its id, its secret or its settings.
    App,
    /// The code, or what the user consented to.
    Grant,
}

/// What a failed call to Zoom may have used up.
#[derive(Clone, Copy, Debug)]
pub enum Spent {
    /// An authorization code.
    Code,
    /// Nothing that the caller has to care about.
    Nothing,
}

impl Spent {
    fn hint(self) -> &'static str {
        match self {
            Self::Code => {
                "; if this try used up the authorization code, the answer to the retry will say so, and the user \
                 must authorize again."
            }
            Self::Nothing => ".",
        }
    }
}

/// What is down, or why the vault cannot act now.
#[derive(Debug, thiserror::Error)]
pub enum Down {
    /// DynamoDB.
    #[error(transparent)]
    DynamoDb(stores::Error),
    /// KMS.
    #[error(transparent)]
    Kms(envelope::Error),
    /// Zoom, which limits our calls.
    #[error(transparent)]
    Zoom(zoom::Error),
    /// This invocation has too little time left.
    #[error("too little time is left to spend a code or a refresh token")]
    OutOfTime,
    /// DynamoDB or KMS did not answer before the caller's time was over.
    #[error("DynamoDB or KMS did not answer before the caller's time was over")]
    Silent,
    /// Zoom has refused as many grants of the app and user as one call tries, and more are left.
    #[error("Zoom has refused as many grants of the user as one call tries, and more are left")]
    GrantsLeft,
    /// The index does not show all credentials of a Zoom user, or DynamoDB has just removed one.
    #[error("not all credentials of the Zoom user are found yet")]
    MembersMissing,
    /// The grant needs a refresh, and this part of the invocation may not begin one.
    #[error("the grant needs a refresh, which has to wait for its turn")]
    NeedsRefresh,
    /// Another invocation refreshes the grant.
    #[error("another invocation is refreshing the grant")]
    RefreshElsewhere,
    /// The access token ends before a vendor could use it.
    #[error("the access token ends before the vendor could use it")]
    AccessTokenEnds,
}

impl Error {
    /// Every code that [`Self::code`] returns.
    pub const CODES: [&str; 17] = [
        "FST_ERR_CONFLICT",
        "FST_ERR_INTERNAL",
        "FST_ERR_NOTIFICATION_ENDPOINT_NOT_FOUND",
        "FST_ERR_UNAVAILABLE",
        "FST_ERR_ZOOM_APP_MISCONFIGURED",
        "FST_ERR_ZOOM_APP_NOT_FOUND",
        "FST_ERR_ZOOM_CODE_EXCHANGE_FAILED",
        "FST_ERR_ZOOM_CONNECT_SESSION_NOT_FOUND",
        "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID",
        "FST_ERR_ZOOM_MISSING_SCOPE",
        "FST_ERR_ZOOM_NOT_A_USER_CREDENTIAL",
        "FST_ERR_ZOOM_RECONNECT_REQUIRED",
        "FST_ERR_ZOOM_REFUSED",
        "FST_ERR_ZOOM_TIMEOUT",
        "FST_ERR_ZOOM_TOKEN_URL_NOT_FOUND",
        "FST_ERR_ZOOM_UNAVAILABLE",
        "FST_ERR_ZOOM_VENDOR_SECRET_NOT_FOUND",
    ];

    /// The code for programs. Events store it, and the API answers it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound(Missing::Credential | Missing::AuthorizedCredential) => {
                "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID"
            }
            Self::NotFound(Missing::TokenUrl) => "FST_ERR_ZOOM_TOKEN_URL_NOT_FOUND",
            Self::NotFound(Missing::ZoomApp) => "FST_ERR_ZOOM_APP_NOT_FOUND",
            Self::NotFound(Missing::VendorSecret) => "FST_ERR_ZOOM_VENDOR_SECRET_NOT_FOUND",
            Self::NotFound(Missing::NotificationEndpoint) => {
                "FST_ERR_NOTIFICATION_ENDPOINT_NOT_FOUND"
            }
            Self::NotFound(Missing::ConnectSession) => "FST_ERR_ZOOM_CONNECT_SESSION_NOT_FOUND",
            Self::NotAUserCredential | Self::OnbehalfOfAccount => {
                "FST_ERR_ZOOM_NOT_A_USER_CREDENTIAL"
            }
            Self::Conflict | Self::AuthorizationNotTaken => "FST_ERR_CONFLICT",
            Self::CodeRefused { .. } => "FST_ERR_ZOOM_CODE_EXCHANGE_FAILED",
            Self::ReconnectRequired { .. } => "FST_ERR_ZOOM_RECONNECT_REQUIRED",
            Self::AppMisconfigured { .. } => "FST_ERR_ZOOM_APP_MISCONFIGURED",
            Self::MissingScope { .. } | Self::MissingAdminScope { .. } => {
                "FST_ERR_ZOOM_MISSING_SCOPE"
            }
            Self::ZoomRefused { .. } | Self::UnknownAccountUser { .. } => "FST_ERR_ZOOM_REFUSED",
            Self::ZoomUnavailable { .. } => "FST_ERR_ZOOM_UNAVAILABLE",
            Self::ZoomTimeout { .. } => "FST_ERR_ZOOM_TIMEOUT",
            Self::Unavailable { .. } => "FST_ERR_UNAVAILABLE",
            Self::Internal(_) => "FST_ERR_INTERNAL",
        }
    }

    /// Why, for the log: Zoom's reason or the source. `None` if the message says everything.
    pub fn cause(&self) -> Option<String> {
        if let Self::CodeRefused { reason, .. } | Self::AppMisconfigured { reason } = self {
            Some(reason.clone())
        } else if let Self::ReconnectRequired { reason } = self {
            Some(reason.as_str().to_owned())
        } else {
            self.source().map(chain)
        }
    }

    /// Whether the work needs a refresh, and has not begun one because it may not.
    pub fn needs_refresh(&self) -> bool {
        matches!(
            self,
            Self::Unavailable {
                source: Down::NeedsRefresh,
                ..
            }
        )
    }

    /// A service is down. The caller should retry after [`RETRY_AFTER`].
    pub fn unavailable(source: Down) -> Self {
        Self::Unavailable {
            retry_after: RETRY_AFTER,
            source,
        }
    }

    /// What a failed code exchange means.
    pub fn from_code_exchange(error: zoom::Error) -> Self {
        match error {
            zoom::Error::AppRefused { reason } => Self::CodeRefused {
                reason,
                blamed: Blamed::App,
            },
            zoom::Error::GrantRefused { reason } => Self::CodeRefused {
                reason,
                blamed: Blamed::Grant,
            },
            zoom::Error::MissingScope { scope } => Self::CodeRefused {
                reason: format!("missing scope {scope}"),
                blamed: Blamed::Grant,
            },
            zoom::Error::RateLimited { retry_after, .. } => Self::Unavailable {
                retry_after: retry_after.unwrap_or(RETRY_AFTER),
                source: Down::Zoom(error),
            },
            zoom::Error::Timeout => Self::ZoomTimeout {
                source: error,
                spent: Spent::Code,
            },
            zoom::Error::Unreachable(_)
            | zoom::Error::Failed { .. }
            | zoom::Error::AccessTokenRefused { .. }
            | zoom::Error::UserNotFound { .. }
            | zoom::Error::RequestRefused { .. } => Self::ZoomUnavailable {
                source: error,
                spent: Spent::Code,
            },
        }
    }

    /// What a failed call of an account-level app means. No user has authorized it, so no user must do so again.
    pub fn from_account_use(error: zoom::Error) -> Self {
        match error {
            zoom::Error::MissingScope { scope } => Self::MissingAdminScope { scope },
            zoom::Error::UserNotFound { reason } => Self::UnknownAccountUser { reason },
            zoom::Error::AppRefused { .. }
            | zoom::Error::GrantRefused { .. }
            | zoom::Error::AccessTokenRefused { .. }
            | zoom::Error::RequestRefused { .. }
            | zoom::Error::RateLimited { .. }
            | zoom::Error::Unreachable(_)
            | zoom::Error::Failed { .. }
            | zoom::Error::Timeout => Self::from_grant_use(error),
        }
    }

    /// What a failed token of an account-level app means.
    pub fn from_account_token(error: zoom::Error) -> Self {
        if let zoom::Error::AppRefused { reason } = error {
            let reason = format!("{reason}. It gives the app no token for its account_id");
            Self::AppMisconfigured { reason }
        } else {
            Self::from_account_use(error)
        }
    }

    /// What a failed mint, refresh, check or revocation means.
    pub fn from_grant_use(error: zoom::Error) -> Self {
        let spent = Spent::Nothing;
        match error {
            zoom::Error::AppRefused { reason } => Self::AppMisconfigured { reason },
            zoom::Error::MissingScope { scope } => Self::MissingScope { scope },
            zoom::Error::RequestRefused { reason, actor } => Self::ZoomRefused { reason, actor },
            zoom::Error::UserNotFound { .. } => Self::ReconnectRequired {
                reason: ReconnectReason::UserGone,
            },
            zoom::Error::RateLimited { retry_after, .. } => Self::Unavailable {
                retry_after: retry_after.unwrap_or(RETRY_AFTER),
                source: Down::Zoom(error),
            },
            zoom::Error::Timeout => Self::ZoomTimeout {
                source: error,
                spent,
            },
            // The refresh handles a refused grant itself, so a refused grant does not reach this function from there.
            zoom::Error::GrantRefused { .. }
            | zoom::Error::AccessTokenRefused { .. }
            | zoom::Error::Unreachable(_)
            | zoom::Error::Failed { .. } => Self::ZoomUnavailable {
                source: error,
                spent,
            },
        }
    }
}

/// The advice after Zoom refused a request for good.
fn what_to_do(actor: Actor) -> &'static str {
    match actor {
        Actor::Caller => "Check meeting_id and ttl.",
        Actor::Host => {
            "The host of the meeting, or an admin of the host's Zoom account, must change this setting in Zoom."
        }
        Actor::AccountAdmin => {
            "An admin of the user's Zoom account must allow this in Zoom. The user need not authorize again."
        }
    }
}

impl From<stores::Error> for Error {
    fn from(error: stores::Error) -> Self {
        match error {
            // A write found no row: another request has deleted it.
            stores::Error::NotFound | stores::Error::Conflict => Self::Conflict,
            stores::Error::Unavailable { .. } | stores::Error::Denied { .. } => {
                Self::unavailable(Down::DynamoDb(error))
            }
            stores::Error::NoTable { .. }
            | stores::Error::Refused { .. }
            | stores::Error::RowTooLarge { .. }
            | stores::Error::Shape(_) => Self::Internal(error.into()),
        }
    }
}

impl From<Missing> for Error {
    fn from(missing: Missing) -> Self {
        Self::NotFound(missing)
    }
}

impl From<envelope::Error> for Error {
    fn from(error: envelope::Error) -> Self {
        match error {
            envelope::Error::Kms { .. } => Self::unavailable(Down::Kms(error)),
            envelope::Error::WrongRow
            | envelope::Error::MalformedKey
            | envelope::Error::Sealed(_) => Self::Internal(error.into()),
        }
    }
}

impl From<secret::UnknownFormat> for Error {
    fn from(error: secret::UnknownFormat) -> Self {
        Self::Internal(error.into())
    }
}
