//! `GET /v2/zoom-credentials`

use std::time::Duration;

use serde_json::value::{RawValue, to_raw_value};
use shared::credential::{Credential, CredentialId};
use shared::grants::mint::ANSWER_TIME;
use shared::stores::{Credentials, Keys, Requests};
use tokio::time::Instant;

use crate::credentials::filter::Query;
use crate::http::access;
use crate::http::cursor::List;
use crate::http::error::ApiError;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::ReadErrors;

/// The method and path, which also name the endpoint in the log.
pub const ROUTE: &str = "GET /v2/zoom-credentials";

/// The largest list in one answer, in bytes. Lambda's own limit is 6 MB. The bytes are counted as in Lambda's answer,
/// where the body is a JSON string and every quote takes two bytes.
const MAX_LIST_BYTES: usize = 5 * 1024 * 1024;
/// The number of credentials on a page if the request has no `limit`.
const DEFAULT_LIMIT: u16 = 1000;
/// How many pages of rows (1 MB each) are read for one page of matches. A filter that matches few rows would otherwise
/// keep the caller waiting.
const MAX_PAGES_READ: usize = 20;
/// How long rows are read for one answer. API Gateway waits 29 seconds in all.
const MAX_READ_TIME: Duration = Duration::from_secs(15);

/// Lists credentials
///
/// Newest first. Without `limit` and `cursor`, the answer is the whole list, or the error `FST_ERR_LIST_TOO_LARGE`.
/// With one of them, the answer is a page. If there are more credentials, the header `x-next-cursor` has the cursor of
/// the next page, also after a short or empty page.
#[utoipa::path(
    get,
    path = "/v2/zoom-credentials",
    operation_id = "listZoomCredentials",
    tag = "Zoom credentials",
    params(
        Query,
    ),
    responses(
        (status = 200, description = "The credentials", body = Success<Vec<Credential>>),
        ReadErrors,
    )
)]
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    credentials: &Credentials,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    // A page is expensive, so nothing is read for a key that is not known yet.
    let caller = access::verify(keys, &key, request).await?;
    let query = Query::of(request);
    let query = access::admit_read(requests, &caller, request, query).await?;

    let team = caller.team;
    let until = Instant::now() + MAX_READ_TIME.min(request.time_left(ANSWER_TIME));
    let filter = query.filter();
    let is_unfiltered = query.is_unfiltered() && caller.sees_all();
    let rows = query.limit.filter(|_| is_unfiltered);
    let rows = rows.map(|limit| i32::from(limit) + 1);
    let mut page = credentials.page(team, query.cursor, rows, &filter).await?;

    let mut listing = Listing::default();
    let mut reads = 1;
    let next =
        loop {
            for stored in page.credentials.iter().filter(|stored| {
                query.matches(&stored.credential) && caller.sees(&stored.credential)
            }) {
                if !listing.add(&stored.credential, &query)? {
                    return listing.reply(listing.last);
                }
            }
            let Some(next) = page.next else { break None };
            if query.is_paginated() && reads == MAX_PAGES_READ {
                break Some(next);
            }
            // A read that is dropped has done no harm: the caller goes on after the last row that was read completely.
            let read = credentials.page(team, Some(next), None, &filter);
            match tokio::time::timeout_at(until, read).await {
                Ok(read) => page = read?,
                Err(_) if query.is_paginated() => break Some(next),
                Err(_) => return Err(ApiError::ListTooLarge),
            }
            reads += 1;
        };
    listing.reply(next)
}

/// The credentials of the answer so far.
#[derive(Default)]
struct Listing {
    items: Vec<Box<RawValue>>,
    bytes: usize,
    last: Option<CredentialId>,
}

impl Listing {
    /// Adds a match. Returns false if the page is full. Fails if the whole list is too large.
    fn add(&mut self, credential: &Credential, query: &Query) -> Result<bool, ApiError> {
        let item = to_raw_value(credential).map_err(ApiError::internal)?;
        let bytes = self.bytes + escaped_length(item.get());
        if query.is_paginated() {
            let limit = usize::from(query.limit.unwrap_or(DEFAULT_LIMIT));
            if bytes > MAX_LIST_BYTES || self.items.len() == limit {
                return Ok(false);
            }
        } else if bytes > MAX_LIST_BYTES {
            return Err(ApiError::ListTooLarge);
        }
        self.items.push(item);
        self.bytes = bytes;
        self.last = Some(credential.credential_id);
        Ok(true)
    }

    fn reply(&self, next: Option<CredentialId>) -> Reply {
        let next = next.map(|id| List::Credentials.after(id.as_bytes()));
        reply::page(&self.items, next)
    }
}

/// The length of JSON text inside a JSON string, with the comma after it.
fn escaped_length(json: &str) -> usize {
    let escapes = json.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 1,
        0..0x20 => 5,
        _ => 0,
    });
    1 + json.len() + escapes.sum::<usize>()
}
