//! The parsers of requests, without the handlers around them.
//!
//! A handler calls its parser itself. This list is for the fuzz targets in `tests/fuzz`, which call each parser
//! millions of times, without a table behind it. A new endpoint adds its body, its query or its path here.

use std::fmt::Debug;
use std::time::Duration;

use shared::choosing_url::CallKeys;
use shared::credential::ClientId;
use shared::event::BotId;
use shared::invalid::Invalid;
use shared::notification::AddressRule;
use shared::timestamp::Timestamp;
use shared::token::MeetingId;
use shared::vendor::{Proof, Vendor};
use shared::zoom::webhook::{Signature, WebhookEvent};

use crate::connect::{self, callback};
use crate::credentials::create::CreateCredential;
use crate::credentials::filter::Query;
use crate::credentials::update;
use crate::events::credential::EventsQuery;
use crate::events::team::TeamEventsQuery;
use crate::http::access;
use crate::http::cursor::List;
use crate::http::error::ApiError;
use crate::http::request::{Event, Request};
use crate::http::schema::IdempotencyKey;
use crate::notifications::endpoint::PutNotificationEndpoint;
use crate::token_urls::choosing::create::CreateChoosingUrl;
use crate::token_urls::choosing::names;
use crate::token_urls::create::CreateTokenUrl;
use crate::token_urls::dialect::Dialect;
use crate::token_urls::list::TokenUrlsQuery;
use crate::token_urls::verify;
use crate::tokens::mint;
use crate::vendors::secret::PutVendorSecrets;
use crate::zoom_apps::put::PutZoomApp;
use crate::zoom_apps::rotate_secret::{RotateSecret, RotationQuery};
use crate::zoom_apps::webhook;

/// Reads a part of a request. The text is the `Debug` form of what was read.
pub type Parser = fn(&Request) -> Result<String, ApiError>;

/// The bodies in JSON, by the names of their schemas.
pub const BODIES: [(&str, Parser); 12] = [
    ("CreateCredential", |it| shown(CreateCredential::of(it))),
    ("UpdateCredential", |it| shown(update::input::Input::of(it))),
    ("CreateConnectSession", |it| {
        shown(connect::create::Input::of(it))
    }),
    ("MintToken", |it| shown(mint::Input::of(it))),
    ("CreateTokenUrl", |it| {
        shown(CreateTokenUrl::of(it, |_| Ok(())))
    }),
    ("CreateChoosingUrl", |it| {
        shown(CreateChoosingUrl::of(it, |_| Ok(())))
    }),
    ("PutZoomApp", |it| shown(PutZoomApp::of(it))),
    ("RotateSecret", |it| shown(RotateSecret::of(it))),
    ("PutVendorSecrets for Recall.ai", |it| {
        shown(PutVendorSecrets::of(it, Vendor::Recall))
    }),
    ("PutVendorSecrets for Attendee", |it| {
        shown(PutVendorSecrets::of(it, Vendor::Attendee))
    }),
    ("PutVendorSecrets for MeetStream", |it| {
        shown(PutVendorSecrets::of(it, Vendor::Meetstream))
    }),
    ("PutNotificationEndpoint", |it| {
        shown(PutNotificationEndpoint::of(it, AddressRule::Public))
    }),
];

/// The queries of lists, and of the rotation, which goes through a list.
pub const QUERIES: [(&str, Parser); 5] = [
    ("credentials", |it| shown(Query::of(it))),
    ("events of a credential", |it| shown(EventsQuery::of(it))),
    ("events of a team", |it| shown(TeamEventsQuery::of(it))),
    ("token URLs", |it| shown(TokenUrlsQuery::of(it))),
    ("rotation", |it| shown(RotationQuery::of(it))),
];

/// What paths, headers and cookies name.
pub const NAMES: [(&str, Parser); 9] = [
    ("API key", |it| shown(access::api_key(it))),
    ("credential", |it| shown(it.credential_id())),
    ("URL", |it| shown(it.url_id())),
    ("app", |it| shown(it.client_id())),
    ("vendor", |it| shown(it.vendor())),
    ("session", |it| shown(it.session_id())),
    ("token URL", |it| shown(it.url_token())),
    ("link", |it| shown(it.link_token())),
    ("state and browser", |it| {
        shown(callback::state_and_browser(it).map_err(Into::into))
    }),
];

/// The lists whose pages have cursors.
const LISTS: [List; 5] = [
    List::Credentials,
    List::Events,
    List::TokenUrls,
    List::Rotation,
    List::TeamEvents,
];

fn shown<T: Debug>(read: Result<T, ApiError>) -> Result<String, ApiError> {
    read.map(|it| format!("{it:?}"))
}

/// The request of an event of API Gateway.
pub fn request(event: Event) -> Request {
    let deadline = Timestamp::now().plus(crate::endpoints::API_TIME_OUT);
    Request::new(event, "invocation".to_owned(), deadline)
}

/// Reads a cursor of each list, and writes each cursor that was read again.
pub fn cursors(text: &str) -> Vec<String> {
    let read = LISTS.into_iter().filter_map(|list| {
        let id = list.last_id(text).ok()?;
        Some(list.after(&id))
    });
    read.collect()
}

/// Reads the header `Idempotency-Key`.
pub fn idempotency_key(text: &str) -> Result<&str, Invalid> {
    IdempotencyKey::try_from(text).map(|IdempotencyKey(key)| key)
}

/// Reads what a bot vendor says about its bot: in the query and a header, and with `in_json` also in the body.
pub fn bot_details(
    request: &Request,
    in_json: bool,
    body_is_signed: bool,
) -> (Option<MeetingId>, Option<BotId>) {
    let dialect = if in_json {
        Dialect::Json
    } else {
        Dialect::Text
    };
    let details = dialect.bot_details(request, body_is_signed);
    (details.meeting.map(|meeting| meeting.id), details.bot)
}

/// Reads whom a call of a URL that chooses names, under the default names. Each is the `Debug` form of what was read.
pub fn names_in_call(request: &Request, body_is_signed: bool) -> Result<Vec<String>, ApiError> {
    let named = names::named(request, body_is_signed, &CallKeys::default())?;
    Ok(named.iter().map(|it| format!("{it:?}")).collect())
}

/// Reads a bot vendor's proof.
pub fn vendor_proof(vendor: Vendor, request: &Request) -> Result<Proof<'_>, Invalid> {
    verify::proof(vendor, request)
}

/// Reads a webhook of Zoom. Its signature is not verified yet.
pub fn zoom_webhook(
    request: &Request,
    client_id: &ClientId,
    window: Duration,
) -> Result<(Signature, WebhookEvent), ApiError> {
    let signature = webhook::signature(request, window)?;
    let event = webhook::parse_event(request.body()?, client_id)?;
    Ok((signature, event))
}
