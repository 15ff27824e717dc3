//! The parts of the query string that lists share: the size of a page, and where it begins.

use std::ops::RangeInclusive;

use shared::invalid::Invalid;
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::http::cursor::List;
use crate::http::error::ApiError;
use crate::http::request::Request;
use crate::http::schema::or_empty;

/// The sizes that a page can have.
const LIMITS: RangeInclusive<u16> = 1..=1000;

/// Reads one parameter. An empty parameter counts as missing.
pub(crate) fn parsed<T>(
    request: &Request,
    name: &str,
    at: &'static str,
    parse: impl Fn(&str) -> Result<T, Invalid>,
) -> Result<Option<T>, ApiError> {
    request
        .query(name)
        .map(parse)
        .transpose()
        .map_err(|rule| ApiError::Validation { at, rule })
}

/// The size of a page, from 1 to 1000.
pub(crate) fn limit(request: &Request) -> Result<Option<u16>, ApiError> {
    parsed(request, "limit", "querystring/limit", |digits| {
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits
            .parse()
            .ok()
            .filter(|number| plain && LIMITS.contains(number));
        number.ok_or(Invalid("must be an integer from 1 to 1000"))
    })
}

/// Defines types that describe parameters to the OpenAPI document. Nobody makes a value of them.
macro_rules! described {
    ($($name:ident: $schema:expr;)+) => {$(
        pub(crate) enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                $schema.into()
            }
        }

        impl ToSchema for $name {}
    )+};
}

described! {
    Limit: or_empty(
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(*LIMITS.start()))
            .maximum(Some(*LIMITS.end())),
    );
    Flag: or_empty(ObjectBuilder::new().schema_type(Type::Boolean));
    CredentialsCursor: List::Credentials.schema();
    EventsCursor: List::Events.schema();
    TeamEventsCursor: List::TeamEvents.schema();
    TokenUrlsCursor: List::TokenUrls.schema();
    RotationCursor: List::Rotation.schema();
}

/// The id that the page before ended with.
pub(crate) fn cursor(request: &Request, list: List) -> Result<Option<[u8; 16]>, ApiError> {
    parsed(request, "cursor", "querystring/cursor", |text| {
        list.last_id(text)
    })
}
