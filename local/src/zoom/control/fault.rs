//! The JSON form of a fault, as in
//! `{"endpoint": "token", "grant_type": "refresh_token", "times": 2, "kind": "reply_before", "status": 503}`.
//!
//! `times` (default 1, or `"always"`), `delay_ms` and `grant_type` are optional; `kind` brings fields of its own.

use std::time::Duration;

use axum::http::StatusCode;

use super::super::fault::{Endpoint, Fault, Kind, Reply, Times};
use super::super::ledger::GrantType;
use super::fields::{Fields, Invalid};

const LONGEST_DELAY_MS: u64 = 10 * 60 * 1000;

pub(super) fn parse(mut fields: Fields) -> Result<Fault, Invalid> {
    let fault = Fault {
        endpoint: endpoint(&mut fields)?,
        times: times(&mut fields)?,
        delay: delay(&mut fields, "delay_ms")?.unwrap_or_default(),
        kind: kind(&mut fields)?,
    };
    fields.finish()?;
    Ok(fault)
}

fn endpoint(fields: &mut Fields) -> Result<Endpoint, Invalid> {
    let grant_type = match fields.optional_text("grant_type")? {
        None => None,
        Some(name) => Some(GrantType::named(&name).ok_or_else(|| {
            Invalid::new(
                "grant_type",
                "must be authorization_code, refresh_token or client_credentials",
            )
        })?),
    };
    match (fields.text("endpoint")?.as_str(), grant_type) {
        ("token", Some(grant_type)) => Ok(Endpoint::Grant(grant_type)),
        (_, Some(_)) => Err(Invalid::new(
            "grant_type",
            "goes with the endpoint token only",
        )),
        ("token", None) => Ok(Endpoint::Token),
        ("any", None) => Ok(Endpoint::Any),
        ("profile", None) => Ok(Endpoint::Profile),
        ("mint", None) => Ok(Endpoint::Mint),
        ("revoke", None) => Ok(Endpoint::Revoke),
        (_, None) => Err(Invalid::new(
            "endpoint",
            "must be any, token, profile, mint or revoke",
        )),
    }
}

fn times(fields: &mut Fields) -> Result<Times, Invalid> {
    if fields.take_word("times", "always") {
        return Ok(Times::Always);
    }
    let times = fields.optional_whole("times", 1..=u64::from(u32::MAX));
    let times =
        times.map_err(|_| Invalid::new("times", "must be a whole number from 1, or always"))?;
    Ok(Times::Next(
        times
            .and_then(|times| u32::try_from(times).ok())
            .unwrap_or(1),
    ))
}

fn kind(fields: &mut Fields) -> Result<Kind, Invalid> {
    match fields.text("kind")?.as_str() {
        "delay" => Ok(Kind::Delay),
        "delay_answer" => {
            let delay = delay(fields, "answer_delay_ms")?;
            delay
                .map(Kind::DelayAnswer)
                .ok_or_else(|| Invalid::new("answer_delay_ms", "is required"))
        }
        "drop_before" => Ok(Kind::DropBefore),
        "drop_after" => Ok(Kind::DropAfter),
        "truncate" => Ok(Kind::Truncate),
        "reply_before" => reply(fields).map(Kind::ReplyBefore),
        "reply_after" => reply(fields).map(Kind::ReplyAfter),
        "garbage" => Ok(Kind::Garbage),
        "huge" => Ok(Kind::Huge {
            megabytes: size(fields, "megabytes", 100)?,
        }),
        "nested" => Ok(Kind::Nested {
            depth: size(fields, "depth", 10_000_000)?,
        }),
        "override" => Ok(Kind::Override {
            set: fields.optional_object("set")?.unwrap_or_default(),
            remove: fields.optional_texts("remove")?.unwrap_or_default(),
        }),
        "redirect" => fields.url("location").map(Kind::Redirect),
        _ => Err(Invalid::new(
            "kind",
            "must be delay, delay_answer, drop_before, drop_after, truncate, reply_before, reply_after, garbage, huge, \
             nested, override or redirect",
        )),
    }
}

fn reply(fields: &mut Fields) -> Result<Reply, Invalid> {
    let status = fields.whole("status", 200..=599)?;
    let status = u16::try_from(status)
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok());
    Ok(Reply {
        status: status.ok_or_else(|| Invalid::new("status", "must be an HTTP status"))?,
        retry_after: fields.optional_text("retry_after")?,
        body: fields.optional_text("body")?,
    })
}

fn delay(fields: &mut Fields, name: &str) -> Result<Option<Duration>, Invalid> {
    Ok(fields
        .optional_whole(name, 0..=LONGEST_DELAY_MS)?
        .map(Duration::from_millis))
}

fn size(fields: &mut Fields, name: &str, limit: u64) -> Result<usize, Invalid> {
    let size = fields.whole(name, 1..=limit)?;
    usize::try_from(size).map_err(|_| Invalid::new(name, "is too large for this machine"))
}
