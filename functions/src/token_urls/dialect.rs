//! The requests and answers of bot vendors that call a token URL.
//!
//! Each vendor has its own parameters. Unknown and invalid parameters are ignored, so a vendor can add some without
//! harm. The query wins over the body, because the URL's owner may have written the query.

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use shared::event::BotId;
use shared::token::MeetingId;
use shared::token_url::UrlTokenType;

use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::reply::{self, Reply};
use crate::http::request::{ErrorFormat, Request};

/// The format of the answer that a vendor wants.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dialect {
    /// The token as plain text, for a GET.
    Text,
    /// A JSON object with the token under every name that vendors use, for a POST.
    Json,
}

/// What a vendor says about its bot.
#[derive(Debug)]
pub(crate) struct BotDetails {
    /// The meeting that the bot joins.
    pub(crate) meeting: Option<MeetingId>,
    /// The vendor's id of the bot.
    pub(crate) bot: Option<BotId>,
}

impl Dialect {
    /// The dialect of the request's method. `HEAD` is refused: a vendor sends it to find out whether to send a POST,
    /// and it must not mint a token.
    pub(crate) fn of(request: &Request) -> Result<Self, ApiError> {
        match request.method() {
            "GET" => {
                request.answer_errors_as(ErrorFormat::PlainText);
                Ok(Self::Text)
            }
            "POST" => Ok(Self::Json),
            _ => Err(ApiError::MethodNotAllowed { allow: "GET, POST" }),
        }
    }

    /// Reads what the vendor says about its bot.
    pub(crate) fn bot_details(self, request: &Request) -> BotDetails {
        let body = match self {
            Self::Text => Fields::none(),
            Self::Json => Fields::of_any(request),
        };
        let values = |name| {
            let query = request.query(name).map(str::to_owned);
            [query, body.loose(name)].into_iter().flatten()
        };
        let number = ["meeting_number", "meeting_id"]
            .into_iter()
            .flat_map(values);
        let link = values("meeting_url").filter_map(|link| MeetingId::from_link(&link));
        let header = request.header("x-bot-id").map(str::to_owned);
        let mut bots = ["bot_uuid", "bot_id"]
            .into_iter()
            .flat_map(values)
            .chain(header);
        BotDetails {
            meeting: number
                .filter_map(|number| number.try_into().ok())
                .chain(link)
                .next(),
            bot: bots.find_map(|bot| bot.try_into().ok()),
        }
    }

    /// Answers the token.
    #[expect(clippy::disallowed_methods, reason = "the caller asked for the token")]
    pub(crate) fn answer(self, token_type: UrlTokenType, token: &SecretString) -> Reply {
        let token = token.expose_secret();
        match self {
            Self::Text => Ok(reply::text(token.to_owned())),
            Self::Json => reply::bare(&VendorToken::new(token_type, token)),
        }
    }
}

/// A token under every name that vendors use for its type.
#[derive(Serialize)]
#[serde(untagged)]
enum VendorToken<'a> {
    Onbehalf {
        onbehalf_token: &'a str,
        obf: &'a str,
        token: &'a str,
    },
    Zak {
        zak_token: &'a str,
        zak: &'a str,
        token: &'a str,
    },
    LocalRecording {
        join_token: &'a str,
        app_privilege_token: &'a str,
        token: &'a str,
    },
}

impl<'a> VendorToken<'a> {
    fn new(token_type: UrlTokenType, token: &'a str) -> Self {
        match token_type {
            UrlTokenType::Onbehalf => Self::Onbehalf {
                onbehalf_token: token,
                obf: token,
                token,
            },
            UrlTokenType::Zak => Self::Zak {
                zak_token: token,
                zak: token,
                token,
            },
            UrlTokenType::LocalRecording => Self::LocalRecording {
                join_token: token,
                app_privilege_token: token,
                token,
            },
        }
    }
}
