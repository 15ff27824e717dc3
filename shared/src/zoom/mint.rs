//! The tokens that Zoom mints for bots.

use std::time::Duration;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::{self, Deserializer};
use url::form_urlencoded::byte_serialize;

use super::answer;
use super::meeting;
use super::tokens::non_empty_token;
use super::transport::join_path;
use crate::account::AccountUser;
use crate::token::{MeetingId, MeetingKind, NamedMeeting, TokenType};

/// The longest lifetime that an answer can claim.
const MAX_LIFETIME_SECONDS: u64 = 24 * 3600;
/// How long a local recording token lives if the answer does not say. Zoom documents this time.
const RECORDING_LIFETIME_SECONDS: u64 = 120;
/// How long the ZAK of `GET /v2/users/me/zak` lives. Zoom documents this time, and takes no other.
const OWN_ZAK_LIFETIME_SECONDS: u32 = 300;

/// The lifetime of a ZAK in seconds, and who named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZakTtl {
    /// The caller asks for this lifetime.
    Asked(u32),
    /// The caller names no lifetime, and the team allows at most this one.
    AtMost(u32),
}

impl ZakTtl {
    fn seconds(self) -> u32 {
        match self {
            Self::Asked(seconds) | Self::AtMost(seconds) => seconds,
        }
    }
}

/// A token to mint at Zoom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MintRequest {
    /// A token with which a bot joins on behalf of the user.
    Onbehalf {
        /// The meeting that the token is for, or `None` for any meeting.
        meeting: Option<MeetingId>,
        /// The lifetime in seconds. Zoom's default is two hours.
        ttl: Option<u32>,
    },
    /// The user's access key.
    Zak {
        /// The lifetime. Zoom's default is two hours.
        ttl: Option<ZakTtl>,
    },
    /// A token with which a bot can record one meeting or webinar.
    LocalRecording {
        /// The meeting or webinar.
        meeting: NamedMeeting,
    },
}

/// Whose token Zoom mints. A local recording token is a meeting's, and has no owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenOwner {
    /// The user who authorized the app.
    Me,
    /// A user of the account of an account-level app. For such an app, `me` would be the account's owner.
    User(AccountUser),
}

impl TokenOwner {
    /// The owner in a path, percent-encoded: an e-mail address may contain any character.
    fn in_path(&self) -> String {
        match self {
            Self::Me => "me".to_owned(),
            Self::User(user) => byte_serialize(user.as_str().as_bytes()).collect(),
        }
    }
}

impl MintRequest {
    /// The type of the token.
    pub fn token_type(&self) -> TokenType {
        match self {
            Self::Onbehalf { .. } => TokenType::Onbehalf,
            Self::Zak { .. } => TokenType::Zak,
            Self::LocalRecording { .. } => TokenType::LocalRecording,
        }
    }

    /// The meeting that the token is for, if the request names one.
    pub fn meeting(&self) -> Option<&MeetingId> {
        match self {
            Self::Onbehalf { meeting, .. } => meeting.as_ref(),
            Self::Zak { .. } => None,
            Self::LocalRecording { meeting } => Some(&meeting.id),
        }
    }

    /// The lifetime that the request names, in seconds.
    pub(crate) fn ttl(&self) -> Option<u32> {
        match self {
            Self::Onbehalf { ttl, .. } => *ttl,
            Self::Zak { ttl } => ttl.map(ZakTtl::seconds),
            Self::LocalRecording { .. } => None,
        }
    }

    /// Limits the lifetime of a token for which the caller named none, if the type of the token has a lifetime.
    pub(crate) fn limit_ttl(&mut self, seconds: u32) {
        match self {
            Self::Onbehalf { ttl, .. } => *ttl = Some(seconds),
            Self::Zak { ttl } => *ttl = Some(ZakTtl::AtMost(seconds)),
            Self::LocalRecording { .. } => {}
        }
    }

    /// The URL below the REST host `host`.
    pub(super) fn url(&self, host: &Url, owner: &TokenOwner) -> Url {
        let mut url = join_path(host, &self.path(owner));
        let query = self.query();
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    fn path(&self, owner: &TokenOwner) -> String {
        match self {
            Self::Onbehalf { .. } | Self::Zak { .. } => {
                format!("/v2/users/{}/token", owner.in_path())
            }
            Self::LocalRecording { meeting } => {
                format!("{}/jointoken/local_recording", meeting::path(meeting))
            }
        }
    }

    /// The same request for a webinar, if the request is for a number that may be that of a webinar.
    pub(super) fn for_webinar(&self) -> Option<Self> {
        match self {
            Self::LocalRecording { meeting } => Some(Self::LocalRecording {
                meeting: meeting::as_webinar(meeting)?,
            }),
            Self::Onbehalf { .. } | Self::Zak { .. } => None,
        }
    }

    /// Another URL for the same token, which needs another scope: the ZAK of the user itself. `None` if there is none,
    /// or if the caller asks for a longer life than this ZAK has.
    pub(super) fn own_zak_url(&self, host: &Url, owner: &TokenOwner) -> Option<Url> {
        let Self::Zak { ttl } = self else { return None };
        let is_short = match ttl {
            Some(ZakTtl::Asked(seconds)) => *seconds <= OWN_ZAK_LIFETIME_SECONDS,
            Some(ZakTtl::AtMost(seconds)) => *seconds >= OWN_ZAK_LIFETIME_SECONDS,
            None => true,
        };
        (is_short && *owner == TokenOwner::Me).then(|| join_path(host, "/v2/users/me/zak"))
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let (kind, meeting, ttl) = match self {
            Self::Onbehalf { meeting, ttl } => ("onbehalf", meeting.as_ref(), *ttl),
            Self::Zak { ttl } => ("zak", None, ttl.map(ZakTtl::seconds)),
            Self::LocalRecording { meeting } => {
                return match meeting.kind {
                    MeetingKind::Unknown => vec![("bypass_waiting_room", "true".to_owned())],
                    // Zoom has no such parameter for webinars.
                    MeetingKind::Webinar => Vec::new(),
                };
            }
        };
        let mut query = vec![("type", kind.to_owned())];
        query.extend(meeting.map(|meeting| ("meeting_id", meeting.as_str().to_owned())));
        query.extend(ttl.map(|ttl| ("ttl", ttl.to_string())));
        query
    }
}

/// A token that Zoom minted.
#[derive(Clone, Debug)]
pub struct ZoomToken {
    /// The token.
    pub token: SecretString,
    /// The lifetime of the token, if the request or the answer names it.
    pub lifetime: Option<Duration>,
}

#[derive(Deserialize)]
pub(super) struct MintAnswer {
    #[serde(deserialize_with = "token_without_spaces")]
    token: SecretString,
    #[serde(default, deserialize_with = "answer::none_if_malformed")]
    expire_in: Option<u64>,
}

/// Reads a token. Zoom has answered a sentence in its place.
#[expect(clippy::disallowed_methods, reason = "the characters are checked")]
fn token_without_spaces<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SecretString, D::Error> {
    let token = non_empty_token(deserializer)?;
    if token.expose_secret().contains(char::is_whitespace) {
        Err(de::Error::custom("a token contains spaces"))
    } else {
        Ok(token)
    }
}

impl MintAnswer {
    pub(super) fn into_token(self, request: &MintRequest) -> ZoomToken {
        let lifetime = match request {
            MintRequest::Onbehalf { .. } | MintRequest::Zak { .. } => request.ttl().map(u64::from),
            MintRequest::LocalRecording { .. } => {
                let seconds = self.expire_in.unwrap_or(RECORDING_LIFETIME_SECONDS);
                Some(seconds.min(MAX_LIFETIME_SECONDS))
            }
        };
        ZoomToken {
            token: self.token,
            lifetime: lifetime.map(Duration::from_secs),
        }
    }

    /// The answer of [`MintRequest::own_zak_url`].
    pub(super) fn into_own_zak(self) -> ZoomToken {
        ZoomToken {
            token: self.token,
            lifetime: Some(Duration::from_secs(OWN_ZAK_LIFETIME_SECONDS.into())),
        }
    }
}
