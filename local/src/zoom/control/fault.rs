//! The JSON form of a fault, for example
//! `{"endpoint": "token", "grant_type": "refresh_token", "times": 2, "kind": "reply_before", "status": 503}`.
//!
//! `times` (default 1, or `"always"`), `delay_ms` and `grant_type` are optional. Some kinds have fields of their own.

use std::time::Duration;

use axum::http::StatusCode;

use super::super::fault::{Endpoint, Fault, FaultKind, Reply, Times};
use super::super::ledger::GrantType;
use super::fields::{Fields, InvalidField};

const MAX_DELAY_MS: u64 = 10 * 60 * 1000;

pub(super) fn parse(mut fields: Fields) -> Result<Fault, InvalidField> {
    let fault = Fault {
        endpoint: endpoint(&mut fields)?,
        times: times(&mut fields)?,
        delay: delay(&mut fields, "delay_ms")?.unwrap_or_default(),
        kind: kind(&mut fields)?,
    };
    fields.finish()?;
    Ok(fault)
}

fn endpoint(fields: &mut Fields) -> Result<Endpoint, InvalidField> {
    let grant_type = match fields.optional_text("grant_type")? {
        None => None,
        Some(name) => Some(GrantType::named(&name).ok_or_else(|| {
            InvalidField::new(
                "grant_type",
                "must be authorization_code, refresh_token or client_credentials",
            )
        })?),
    };
    match (fields.text("endpoint")?.as_str(), grant_type) {
        ("token", Some(grant_type)) => Ok(Endpoint::Grant(grant_type)),
        (_, Some(_)) => Err(InvalidField::new(
            "grant_type",
            "is allowed only with the endpoint token",
        )),
        ("token", None) => Ok(Endpoint::Token),
        ("any", None) => Ok(Endpoint::Any),
        ("profile", None) => Ok(Endpoint::Profile),
        ("mint", None) => Ok(Endpoint::Mint),
        ("revoke", None) => Ok(Endpoint::Revoke),
        (_, None) => Err(InvalidField::new(
            "endpoint",
            "must be any, token, profile, mint or revoke",
        )),
    }
}

fn times(fields: &mut Fields) -> Result<Times, InvalidField> {
    if fields.take_word("times", "always") {
        return Ok(Times::Always);
    }
    let times = fields.optional_whole("times", 1..=u64::from(u32::MAX));
    let times = times
        .map_err(|_| InvalidField::new("times", "must be a whole number from 1, or \"always\""))?;
    Ok(Times::Next(
        times
            .and_then(|times| u32::try_from(times).ok())
            .unwrap_or(1),
    ))
}

fn kind(fields: &mut Fields) -> Result<FaultKind, InvalidField> {
    match fields.text("kind")?.as_str() {
        "delay" => Ok(FaultKind::Delay),
        "delay_answer" => {
            let delay = delay(fields, "answer_delay_ms")?;
            delay
                .map(FaultKind::DelayAnswer)
                .ok_or_else(|| InvalidField::new("answer_delay_ms", "is required"))
        }
        "drop_before" => Ok(FaultKind::DropBefore),
        "drop_after" => Ok(FaultKind::DropAfter),
        "truncate" => Ok(FaultKind::Truncate),
        "reply_before" => reply(fields).map(FaultKind::ReplyBefore),
        "reply_after" => reply(fields).map(FaultKind::ReplyAfter),
        "garbage" => Ok(FaultKind::Garbage),
        "huge" => Ok(FaultKind::Huge {
            megabytes: size(fields, "megabytes", 100)?,
        }),
        "nested" => Ok(FaultKind::Nested {
            depth: size(fields, "depth", 10_000_000)?,
        }),
        "override" => Ok(FaultKind::Override {
            set: fields.optional_object("set")?.unwrap_or_default(),
            remove: fields.optional_texts("remove")?.unwrap_or_default(),
        }),
        "redirect" => fields.url("location").map(FaultKind::Redirect),
        _ => Err(InvalidField::new(
            "kind",
            "must be delay, delay_answer, drop_before, drop_after, truncate, reply_before, reply_after, garbage, huge, \
             nested, override or redirect",
        )),
    }
}

fn reply(fields: &mut Fields) -> Result<Reply, InvalidField> {
    let status = fields.whole("status", 200..=599)?;
    let status = u16::try_from(status)
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok());
    Ok(Reply {
        status: status.ok_or_else(|| InvalidField::new("status", "must be an HTTP status"))?,
        retry_after: fields.optional_text("retry_after")?,
        body: fields.optional_text("body")?,
    })
}

fn delay(fields: &mut Fields, name: &str) -> Result<Option<Duration>, InvalidField> {
    Ok(fields
        .optional_whole(name, 0..=MAX_DELAY_MS)?
        .map(Duration::from_millis))
}

fn size(fields: &mut Fields, name: &str, limit: u64) -> Result<usize, InvalidField> {
    let size = fields.whole(name, 1..=limit)?;
    usize::try_from(size).map_err(|_| InvalidField::new(name, "is too large for this machine"))
}
