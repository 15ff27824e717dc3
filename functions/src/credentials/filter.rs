//! The list's query: which credentials, how many, and where to go on.

use shared::credential::{Credential, CredentialId, CredentialType, State};
use shared::extra::ExtraFilter;
use shared::invalid::Invalid;
use shared::stores::CredentialFilter;
use utoipa::IntoParams;

use crate::http::cursor::List;
use crate::http::error::ApiError;
use crate::http::query::{CredentialsCursor, Flag, Limit, cursor, limit, parsed};
use crate::http::request::Request;

/// The query string. A credential must meet every condition. An empty parameter means the same as a missing one.
#[derive(Debug, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Query {
    /// Part of the name, in upper or lower case.
    #[param(value_type = Option<String>)]
    name: Option<Folded>,
    /// Part of the email address, in upper or lower case.
    #[param(value_type = Option<String>)]
    zoom_email: Option<Folded>,
    /// Part of the display name, in upper or lower case.
    #[param(value_type = Option<String>)]
    zoom_display_name: Option<Folded>,
    /// The Zoom user's id.
    zoom_user_id: Option<String>,
    /// A comma-separated list of `app`, `user`.
    #[param(value_type = Option<String>, pattern = "^( *(app|user) *(, *(app|user) *)*)?$")]
    credential_type: Option<CredentialType>,
    /// A comma-separated list of `active`, `invalid`.
    #[param(value_type = Option<String>, pattern = "^( *(active|invalid) *(, *(active|invalid) *)*)?$")]
    state: Option<State>,
    /// `key:value` pairs of `extra`, separated by commas. A value may contain `:`. Keys and values must match exactly.
    #[param(
        value_type = Option<String>,
        pattern = "^([^,:]*:[^,]*(,[^,:]*:[^,]*)*)?$",
        example = "environment:production,tenant:acme"
    )]
    extra: ExtraFilter,
    /// `true` lists the deleted credentials instead of the others.
    #[param(value_type = Option<Flag>, inline)]
    deleted: bool,
    /// `true` lists only credentials that a person must mend: the state is `invalid`, or the last error says that Zoom
    /// refuses the app, that a scope is missing, or that the profile cannot be read. `false` lists only the others.
    #[param(value_type = Option<Flag>, inline)]
    needs_attention: Option<bool>,
    /// The size of the page.
    #[param(value_type = Option<Limit>, inline)]
    pub(crate) limit: Option<u16>,
    /// Where the page before ended: the value of that page's header `x-next-cursor`.
    #[param(value_type = Option<CredentialsCursor>, inline)]
    pub(crate) cursor: Option<CredentialId>,
}

impl Query {
    pub(crate) fn of(request: &Request) -> Result<Self, ApiError> {
        let folded = |name| request.query(name).map(Folded::from);
        Ok(Self {
            name: folded("name"),
            zoom_email: folded("zoom_email"),
            zoom_display_name: folded("zoom_display_name"),
            zoom_user_id: request.query("zoom_user_id").map(str::to_owned),
            credential_type: parsed(
                request,
                "credential_type",
                "querystring/credential_type",
                credential_type,
            )?
            .flatten(),
            state: parsed(request, "state", "querystring/state", state)?.flatten(),
            extra: parsed(request, "extra", "querystring/extra", str::parse)?.unwrap_or_default(),
            deleted: parsed(request, "deleted", "querystring/deleted", boolean)?
                .unwrap_or_default(),
            needs_attention: parsed(
                request,
                "needs_attention",
                "querystring/needs_attention",
                boolean,
            )?,
            limit: limit(request)?,
            cursor: cursor(request, List::Credentials)?.map(CredentialId::from_bytes),
        })
    }

    /// The conditions that DynamoDB checks: those that compare exactly. [`Self::matches`] checks the others.
    pub(crate) fn filter(&self) -> CredentialFilter {
        CredentialFilter {
            deleted: self.deleted,
            zoom_user_id: self.zoom_user_id.clone(),
            credential_type: self.credential_type,
            state: self.state,
        }
    }

    /// Whether every row matches, so that a page of rows is a page of matches.
    pub(crate) fn is_unfiltered(&self) -> bool {
        self.name.is_none()
            && self.zoom_email.is_none()
            && self.zoom_display_name.is_none()
            && self.zoom_user_id.is_none()
            && self.credential_type.is_none()
            && self.state.is_none()
            && self.extra.is_empty()
            && self.needs_attention.is_none()
    }

    /// Whether the caller goes through the list page by page.
    pub(crate) fn is_paginated(&self) -> bool {
        self.limit.is_some() || self.cursor.is_some()
    }

    /// Whether a credential that [`Self::filter`] lets through meets the other conditions.
    pub(crate) fn matches(&self, credential: &Credential) -> bool {
        contains(self.name.as_ref(), Some(credential.name.as_str()))
            && contains(self.zoom_email.as_ref(), credential.zoom_email.as_deref())
            && contains(
                self.zoom_display_name.as_ref(),
                credential.zoom_display_name.as_deref(),
            )
            && self.extra.matches(credential.extra.as_ref())
            && self
                .needs_attention
                .is_none_or(|wanted| wanted == credential.attention().is_some())
    }
}

/// Text without case. Down, up and down again, character by character: so `ß` meets `SS` and `ẞ`, and a final
/// sigma any other.
#[derive(Debug)]
struct Folded(String);

impl From<&str> for Folded {
    fn from(text: &str) -> Self {
        Self(
            text.chars()
                .flat_map(char::to_lowercase)
                .flat_map(char::to_uppercase)
                .flat_map(char::to_lowercase)
                .collect(),
        )
    }
}

fn contains(wanted: Option<&Folded>, text: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| text.is_some_and(|text| Folded::from(text).0.contains(&wanted.0)))
}

/// The only type in a list. `None` if the list has every type, so that every credential matches.
fn credential_type(list: &str) -> Result<Option<CredentialType>, Invalid> {
    let one = |word: &str| match word.trim() {
        "app" => Ok(CredentialType::App),
        "user" => Ok(CredentialType::User),
        _ => Err(Invalid("must be a comma-separated list of app, user")),
    };
    only_value(list.split(',').map(one))
}

/// The only state in a list. `None` if the list has every state, so that every credential matches.
fn state(list: &str) -> Result<Option<State>, Invalid> {
    let one = |word: &str| match word.trim() {
        "active" => Ok(State::Active),
        "invalid" => Ok(State::Invalid),
        _ => Err(Invalid("must be a comma-separated list of active, invalid")),
    };
    only_value(list.split(',').map(one))
}

/// The value that all elements of a list have. `None` if they differ.
fn only_value<T: PartialEq>(
    list: impl Iterator<Item = Result<T, Invalid>>,
) -> Result<Option<T>, Invalid> {
    let values = list.collect::<Result<Vec<T>, Invalid>>()?;
    let mut values = values.into_iter();
    let first = values.next();
    Ok(first.filter(|first| values.all(|value| value == *first)))
}

fn boolean(word: &str) -> Result<bool, Invalid> {
    word.parse().map_err(|_| Invalid("must be true or false"))
}
