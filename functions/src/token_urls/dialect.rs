//! The requests and answers of bot vendors that call a token URL.
//!
//! Each vendor has its own parameters. Unknown and invalid parameters are ignored, so a vendor can add some without
//! harm. The query wins over the body, because the URL's owner may have written the query. A body that its vendor signed
//! wins over the query.

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use shared::event::BotId;
use shared::token::{MeetingId, NamedMeeting};
use shared::token_url::UrlTokenType;
use utoipa::{IntoParams, ToSchema};

use crate::http::body::Fields;
use crate::http::reply::{self, Reply};
use crate::http::request::Request;

/// The format of the answer that a vendor wants.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dialect {
    /// The token as plain text, for a GET.
    Text,
    /// A JSON object with the token under every name that vendors use, for a POST.
    Json,
}

/// What a call may say about the bot, in the query or in the body of a POST. The query comes first. All other
/// parameters are ignored, and so are values that make no sense. The first value of a repeated parameter counts.
#[derive(Debug, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
pub(crate) struct BotCall {
    /// The meeting.
    #[schema(nullable = false)]
    meeting_number: Option<String>,
    /// The meeting, if there is no `meeting_number`.
    #[schema(nullable = false)]
    meeting_id: Option<String>,
    /// A Zoom link, if there is neither.
    #[schema(nullable = false)]
    meeting_url: Option<String>,
    /// The vendor's id of the bot, for the usage record.
    #[schema(nullable = false)]
    bot_uuid: Option<String>,
    /// The vendor's id of the bot, if there is no `bot_uuid`.
    #[schema(nullable = false)]
    bot_id: Option<String>,
}

impl BotCall {
    fn read(field: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            meeting_number: field("meeting_number"),
            meeting_id: field("meeting_id"),
            meeting_url: field("meeting_url"),
            bot_uuid: field("bot_uuid"),
            bot_id: field("bot_id"),
        }
    }

    fn names_meeting(&self) -> bool {
        self.meeting_number.is_some() || self.meeting_id.is_some() || self.meeting_url.is_some()
    }

    /// The number counts before the link. A link to the same number says more than the number.
    fn meeting(&self) -> Option<NamedMeeting> {
        let numbers = [&self.meeting_number, &self.meeting_id];
        let number: Option<MeetingId> = numbers
            .into_iter()
            .flatten()
            .find_map(|number| number.clone().try_into().ok());
        let link = self
            .meeting_url
            .as_deref()
            .and_then(NamedMeeting::from_link);
        match number {
            Some(number) => Some(
                link.filter(|link| link.id == number)
                    .unwrap_or_else(|| number.into()),
            ),
            None => link,
        }
    }

    fn bot(&self) -> Option<BotId> {
        let ids = [&self.bot_uuid, &self.bot_id];
        ids.into_iter()
            .flatten()
            .find_map(|id| id.clone().try_into().ok())
    }
}

/// What a vendor says about its bot.
#[derive(Debug)]
pub(crate) struct BotDetails {
    /// The meeting that the bot joins.
    pub(crate) meeting: Option<NamedMeeting>,
    /// The vendor's id of the bot.
    pub(crate) bot: Option<BotId>,
}

impl Dialect {
    /// Reads what the vendor says about its bot. With `body_is_signed`, the body wins over the query, which anyone who
    /// knows the URL can change.
    pub(crate) fn bot_details(self, request: &Request, body_is_signed: bool) -> BotDetails {
        let body = match self {
            Self::Text => Fields::none(),
            Self::Json => Fields::of_any(request),
        };
        let query = BotCall::read(|name| request.query(name).map(str::to_owned));
        let body = BotCall::read(|name| body.loose(name));
        // A signed link without a number names a meeting too. The query must not name another one beside it.
        let only_body_names_meeting = body_is_signed && body.names_meeting();
        let calls = if body_is_signed {
            [body, query]
        } else {
            [query, body]
        };
        let meeting_sources = if only_body_names_meeting { 1 } else { 2 };
        let header = request.header("x-bot-id");
        let header = header.and_then(|id| id.to_owned().try_into().ok());
        BotDetails {
            meeting: calls
                .iter()
                .take(meeting_sources)
                .find_map(BotCall::meeting),
            bot: calls.iter().find_map(BotCall::bot).or(header),
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
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = BotToken)]
pub(crate) enum VendorToken<'a> {
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
