//! The token that a caller asks for, and what its events say.

use std::time::Duration;

use crate::account::{AccountId, AccountOwner};
use crate::event::{Event, EventDetails, EventId, EventOutcome};
use crate::grants::Context;
use crate::rtms::RtmsStream;
use crate::sdk_jwt::MeetingRole;
use crate::token::{MeetingId, TokenType};
use crate::vendor::Vendor;
use crate::zoom;

/// The token that a caller asks for.
#[derive(Clone, Debug)]
pub enum TokenRequest {
    /// A token that Zoom mints for the user.
    Zoom(zoom::MintRequest),
    /// A token that the vault signs for the app.
    SdkJwt {
        /// The one meeting it is good for, and the bot's role there.
        meeting: Option<(MeetingId, MeetingRole)>,
        /// How long it lives. `None`: two hours.
        ttl: Option<Duration>,
    },
    /// A signature for a stream, by the app's client secret.
    RtmsSignature(RtmsStream),
    /// A token that Zoom mints for an account-level app.
    OfAccount(AccountMint),
    /// The user's access token, for this vendor. The vendor has proved that it made the call.
    AccessToken(Vendor),
}

/// A token to mint with an account-level credential.
#[derive(Clone, Debug)]
pub struct AccountMint {
    /// The credential's account.
    pub account: AccountId,
    /// The token.
    pub wanted: zoom::MintRequest,
    /// Whose token. `None` for a local recording token, which is that of the meeting.
    pub owner: Option<AccountOwner>,
}

impl TokenRequest {
    /// The type of the token.
    pub fn token_type(&self) -> TokenType {
        match self {
            Self::Zoom(wanted) => wanted.token_type(),
            Self::SdkJwt { .. } => TokenType::SdkJwt,
            Self::RtmsSignature(_) => TokenType::RtmsSignature,
            Self::OfAccount(mint) => mint.wanted.token_type(),
            Self::AccessToken(_) => TokenType::AccessToken,
        }
    }

    fn meeting(&self) -> Option<&MeetingId> {
        match self {
            Self::Zoom(wanted) => wanted.meeting(),
            Self::SdkJwt { meeting, .. } => meeting.as_ref().map(|(meeting, _)| meeting),
            Self::RtmsSignature(_) | Self::AccessToken(_) => None,
            Self::OfAccount(mint) => mint.wanted.meeting(),
        }
    }

    /// What the events of the request say.
    pub(crate) fn subject(&self) -> Subject {
        match self {
            Self::AccessToken(vendor) => Subject::AccessToken(*vendor),
            Self::Zoom(_) | Self::SdkJwt { .. } | Self::RtmsSignature(_) | Self::OfAccount(_) => {
                Subject::Mint {
                    token_type: self.token_type(),
                    meeting_id: self.meeting().cloned(),
                }
            }
        }
    }
}

/// What the events of a request say about its token.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    /// A token that is made for the request.
    Mint {
        token_type: TokenType,
        meeting_id: Option<MeetingId>,
    },
    /// The user's access token, for this vendor.
    AccessToken(Vendor),
}

impl Subject {
    /// The type of the token.
    pub(crate) fn token_type(&self) -> TokenType {
        match self {
            Self::Mint { token_type, .. } => *token_type,
            Self::AccessToken(_) => TokenType::AccessToken,
        }
    }

    /// An event of the request. `corrects` is an earlier event that says that the caller received the token.
    pub(crate) fn event(
        &self,
        context: Context<'_>,
        outcome: EventOutcome,
        corrects: Option<EventId>,
    ) -> Event {
        let bot = context.terms.bot.clone();
        context.invocation.event(match self {
            Self::Mint {
                token_type,
                meeting_id,
            } => EventDetails::Mint {
                token_type: *token_type,
                meeting_id: meeting_id.clone(),
                bot,
                outcome,
                corrects,
            },
            Self::AccessToken(vendor) => EventDetails::AccessToken {
                vendor: *vendor,
                bot,
                outcome,
                corrects,
            },
        })
    }
}
