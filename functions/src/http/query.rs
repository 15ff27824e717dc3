//! The parts of the query string that lists share: the size of a page, and where it begins.

use std::ops::RangeInclusive;

use shared::invalid::Invalid;
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, Schema};

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

/// The schema of [`limit`].
pub(crate) fn limit_schema() -> Schema {
    let number = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(*LIMITS.start()))
        .maximum(Some(*LIMITS.end()));
    or_empty(number)
}

/// The id that the page before ended with.
pub(crate) fn cursor(request: &Request, list: List) -> Result<Option<[u8; 16]>, ApiError> {
    parsed(request, "cursor", "querystring/cursor", |text| {
        list.last_id(text)
    })
}
