//! The requests and answers of bot vendors that call a token URL.
//!
//! Each vendor has its own parameters. Unknown and invalid parameters are ignored, so a vendor can add some without
//! harm. Only `type` must make sense, because no vendor sends it. The query wins over the body, because the URL's owner
//! may have written the query. A body that its vendor signed wins over the query.

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use shared::event::BotId;
use shared::token::{MeetingId, NamedMeeting};
use shared::token_url::UrlTokenType;
use utoipa::{IntoParams, ToSchema};

use crate::http::body::Fields;
use crate::http::error::ApiError;
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

/// What a call may say about the bot, in the query or in the body of a POST. The query comes first. A URL that chooses
/// also reads `type`, the names in its `call_keys`, `extra` and `bot_metadata`. All other parameters are ignored, and
/// so are values that make no sense, except in `type`. The first value of a repeated parameter counts.
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

    /// The types of tokens that the call wants, of those that the URL gives. A call may name one of them in `type`.
    pub(crate) fn wanted_types(
        self,
        request: &Request,
        types: &[UrlTokenType],
    ) -> Result<Vec<UrlTokenType>, ApiError> {
        let body = match self {
            Self::Text => Fields::none(),
            Self::Json => Fields::of_any(request),
        };
        let query = request.query("type").map(str::to_owned);
        let named = [query, body.loose("type")];
        // No vendor sends a type. So the customer wrote it, and must not get tokens of other types instead.
        let named = named.into_iter().flatten().next();
        match (self, named, types) {
            (_, Some(word), _) => {
                let named = UrlTokenType::try_from(word).ok();
                let rule = "must be one of the types that the token URL gives";
                let given = named.filter(|named| types.contains(named));
                given
                    .map(|named| vec![named])
                    .ok_or(ApiError::validation("type", rule))
            }
            (Self::Text, None, [_, _, ..]) => {
                let rule = "is required: the token URL gives several types, and this answer has room for one token";
                Err(ApiError::validation("type", rule))
            }
            (Self::Text | Self::Json, None, _) => Ok(types.to_vec()),
        }
    }

    /// Whether the answer takes the tokens of every credential that gives one. Attendee tries one after the other until
    /// the user of one is in the meeting.
    pub(crate) fn takes_all(self, token_type: UrlTokenType) -> bool {
        match self {
            Self::Text => false,
            Self::Json => token_type == UrlTokenType::Onbehalf,
        }
    }

    /// Answers the token of a credential's URL.
    #[expect(clippy::disallowed_methods, reason = "the caller asked for the token")]
    pub(crate) fn answer(self, token_type: UrlTokenType, token: &SecretString) -> Reply {
        self.answer_all(&[(token_type, vec![token.expose_secret()])])
    }

    /// Answers the tokens of each type, those of the preferred credential first. Never empty.
    pub(crate) fn answer_all(self, tokens: &[(UrlTokenType, Vec<&str>)]) -> Reply {
        match self {
            Self::Text => {
                let first = tokens.iter().find_map(|(_, tokens)| tokens.first());
                Ok(reply::text((*first.unwrap_or(&"")).to_owned()))
            }
            Self::Json => reply::bare(&BotTokens::new(tokens)),
        }
    }
}

/// Tokens under every name that vendors use for their types.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct BotTokens {
    /// An `onbehalf` token. If several credentials gave one: all of them, joined by commas, the preferred one first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    onbehalf_token: Option<String>,
    /// The first `onbehalf` token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    obf: Option<String>,
    /// A ZAK.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    zak_token: Option<String>,
    /// The same ZAK.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    zak: Option<String>,
    /// A local recording token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    app_privilege_token: Option<String>,
    /// The first token, if the URL gives one type.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    token: Option<String>,
}

impl BotTokens {
    fn new(tokens: &[(UrlTokenType, Vec<&str>)]) -> Self {
        let mut answer = Self::default();
        for (token_type, tokens) in tokens {
            let first = tokens.first().map(|token| (*token).to_owned());
            match token_type {
                UrlTokenType::Onbehalf => {
                    answer.onbehalf_token = first.is_some().then(|| tokens.join(","));
                    answer.obf = first;
                }
                UrlTokenType::Zak => {
                    answer.zak_token.clone_from(&first);
                    answer.zak = first;
                }
                UrlTokenType::LocalRecording => answer.app_privilege_token = first,
                // Only `token` has it: no vendor is known to ask for it with a POST.
                UrlTokenType::AccessToken => {}
            }
        }
        if let [(_, tokens)] = tokens {
            answer.token = tokens.first().map(|token| (*token).to_owned());
        }
        answer
    }
}
