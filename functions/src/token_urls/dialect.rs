//! What bot vendors say when they call a token URL, and in which words they want the token.
//!
//! Each has its own parameters; what is unknown or makes no sense is ignored, so that a vendor which adds one breaks
//! nothing. The query comes before the body: what the URL's owner wrote into it holds.

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use shared::event::BotId;
use shared::token::MeetingId;
use shared::token_url::UrlTokenType;

use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::reply::{self, Reply};
use crate::http::request::{Reader, Request};

/// How a vendor wants its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dialect {
    /// The raw token: to a GET.
    Text,
    /// An object, with the token under every name that vendors look for: to a POST.
    Json,
}

/// What a vendor told about its bot.
#[derive(Debug)]
pub(crate) struct Call {
    /// The meeting that the bot is to join.
    pub(crate) meeting: Option<MeetingId>,
    /// What the vendor calls the bot.
    pub(crate) bot: Option<BotId>,
}

impl Dialect {
    /// By the request's method. `HEAD` is refused: it asks whether a POST is wanted, and must spend no token.
    pub(crate) fn of(request: &Request) -> Result<Self, ApiError> {
        match request.method() {
            "GET" => {
                request.trail().reader.get_or_init(|| Reader::PlainText);
                Ok(Self::Text)
            }
            "POST" => Ok(Self::Json),
            _ => Err(ApiError::MethodNotAllowed { allow: "GET, POST" }),
        }
    }

    /// What the call says, as far as it can be read.
    pub(crate) fn call(self, request: &Request) -> Call {
        let body = match self {
            Self::Text => Fields::none(),
            Self::Json => Fields::of_any(request),
        };
        let said = |name| {
            let query = request.query(name).map(str::to_owned);
            [query, body.loose(name)].into_iter().flatten()
        };
        let number = ["meeting_number", "meeting_id"].into_iter().flat_map(said);
        let link = said("meeting_url").filter_map(|link| MeetingId::from_link(&link));
        let header = request.header("x-bot-id").map(str::to_owned);
        let mut bots = ["bot_uuid", "bot_id"]
            .into_iter()
            .flat_map(said)
            .chain(header);
        Call {
            meeting: number
                .filter_map(|number| number.try_into().ok())
                .chain(link)
                .next(),
            bot: bots.find_map(|bot| bot.try_into().ok()),
        }
    }

    /// Hands the token out.
    #[expect(clippy::disallowed_methods, reason = "the token is what was asked for")]
    pub(crate) fn answer(self, token_type: UrlTokenType, token: &SecretString) -> Reply {
        let token = token.expose_secret();
        match self {
            Self::Text => Ok(reply::text(token.to_owned())),
            Self::Json => reply::bare(&Names::of(token_type, token)),
        }
    }
}

/// A token under each of its names.
#[derive(Serialize)]
#[serde(untagged)]
enum Names<'a> {
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

impl<'a> Names<'a> {
    fn of(token_type: UrlTokenType, token: &'a str) -> Self {
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
