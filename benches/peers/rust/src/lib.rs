//! What both programs share: the caller's key, the rules of a read, and the answer. `benches/peers/README.md` says what
//! the vault does beyond this.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use lambda_http::http::StatusCode;
use lambda_http::http::header::CONTENT_TYPE;
use lambda_http::{Error, Request, RequestExt, Response};
use serde::Serialize;
use serde_json::value::RawValue;

/// The random part of an API key, its checksum and the `_` before them.
const KEY_END: usize = 1 + 43 + 6;

/// What a caller asks for.
#[derive(Debug)]
pub struct Wanted {
    /// The team that the API key names.
    pub team: String,
    /// The sort key of the API key's row.
    pub key_record: String,
    /// The id of the credential.
    pub credential: String,
}

impl Wanted {
    /// Reads the API key and the id. `None` if one of them is missing, or if the key is no API key.
    pub fn of(request: &Request) -> Option<Self> {
        let key = request.headers().get("x-meeting-baas-api-key")?;
        let key = key.to_str().ok()?;
        let team = key.strip_prefix("zcv_")?;
        let team = team.get(..team.len().checked_sub(KEY_END)?)?;
        let hash = hex(digest(&SHA256, key.as_bytes()).as_ref());
        Some(Self {
            team: team.to_owned(),
            key_record: format!("key#{hash}"),
            credential: request.path_parameters().first("id")?.to_owned(),
        })
    }
}

/// The bytes in hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// A row of DynamoDB.
pub trait Row {
    /// The text of an attribute.
    fn text(&self, name: &str) -> Option<&str>;
    /// Whether an attribute is true.
    fn is_set(&self, name: &str) -> bool;
}

#[derive(Serialize)]
struct Success<'a> {
    success: bool,
    data: View<'a>,
}

#[derive(Serialize)]
struct View<'a> {
    credential_id: Option<&'a str>,
    name: Option<&'a str>,
    credential_type: Option<&'a str>,
    zoom_user_id: Option<&'a str>,
    zoom_account_id: Option<&'a str>,
    zoom_email: Option<&'a str>,
    zoom_display_name: Option<&'a str>,
    scopes: Option<&'a str>,
    state: Option<&'a str>,
    last_error_message: Option<&'a str>,
    last_error_at: Option<&'a str>,
    created_at: Option<&'a str>,
    updated_at: Option<&'a str>,
    extra: Option<&'a RawValue>,
}

/// The answer, if these rows are those of the API key and the credential. `now` is the time as rows have it.
pub fn answer<R: Row>(
    key: Option<&R>,
    credential: Option<&R>,
    now: &str,
) -> Result<Response<String>, Error> {
    let works = |key: &&R| {
        let has_ended = key.text("expires_at").is_some_and(|end| end <= now);
        let is_off = ["revoked_at", "suspended_at"].map(|name| key.text(name));
        !has_ended && is_off == [None, None]
    };
    let Some(key) = key.filter(works) else {
        return refusal(StatusCode::UNAUTHORIZED);
    };
    if key.text("permission") == Some("mint") {
        return refusal(StatusCode::FORBIDDEN);
    }
    let Some(row) = credential.filter(|row| !row.is_set("deleted")) else {
        return refusal(StatusCode::NOT_FOUND);
    };
    let data = View {
        credential_id: row.text("credential_id"),
        name: row.text("name"),
        credential_type: row.text("credential_type"),
        zoom_user_id: row.text("zoom_user_id"),
        zoom_account_id: row.text("zoom_account_id"),
        zoom_email: row.text("zoom_email"),
        zoom_display_name: row.text("zoom_display_name"),
        scopes: row.text("scopes"),
        state: row.text("state"),
        last_error_message: row.text("last_error_message"),
        last_error_at: row.text("last_error_at"),
        created_at: row.text("created_at"),
        updated_at: row.text("updated_at"),
        extra: row.text("extra").map(serde_json::from_str).transpose()?,
    };
    let body = serde_json::to_string(&Success {
        success: true,
        data,
    })?;
    let answer = Response::builder().header(CONTENT_TYPE, "application/json; charset=utf-8");
    Ok(answer.body(body)?)
}

/// An answer for a caller that gets nothing.
pub fn refusal(status: StatusCode) -> Result<Response<String>, Error> {
    let answer = Response::builder().status(status);
    let answer = answer.header(CONTENT_TYPE, "application/json; charset=utf-8");
    Ok(answer.body(r#"{"success":false}"#.to_owned())?)
}

/// A variable of the environment.
pub fn variable(name: &str) -> Result<String, Error> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this package does not link the vault's config"
    )]
    std::env::var(name).map_err(|_| format!("environment variable {name} is not set").into())
}
