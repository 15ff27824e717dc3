//! `docs/errors.md` names every code that the API can answer, with its statuses, and no other code.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use functions::http::error::{ApiError, ConnectRefusal, Forbidden};
use serde_json::Value;
use shared::connect::ConnectFailure;
use shared::credential::ReconnectReason;
use shared::error::{Blamed, Down, Error, Missing, Spent};
use shared::stores::Admission;
use shared::zoom::{self, Actor};

const PAGE: &str = include_str!("../../docs/errors.md");
const TEMPLATE: &str = include_str!("../../template.yaml");
const PAGES_FOR_PEOPLE: &str = include_str!("../../functions/src/http/pages.rs");

/// An error of each code, and of each status that a code comes with.
fn errors() -> Vec<ApiError> {
    let missing = [
        Missing::Credential,
        Missing::TokenUrl,
        Missing::ZoomApp,
        Missing::VendorSecret,
        Missing::NotificationEndpoint,
        Missing::ConnectSession,
    ];
    let wait = Duration::from_secs(1);
    let refusals = [
        ConnectRefusal::UnknownLink,
        ConnectRefusal::Expired,
        ConnectRefusal::InProgress { wait },
        ConnectRefusal::AnotherSite,
        ConnectRefusal::Failed(ConnectFailure::AccessDenied),
    ];
    let text = String::new;
    let vault = [
        Error::NotAUserCredential,
        Error::Conflict,
        Error::CodeRefused {
            reason: text(),
            blamed: Blamed::App,
        },
        Error::ReconnectRequired {
            reason: ReconnectReason::Revoked,
        },
        Error::AppMisconfigured { reason: text() },
        Error::MissingScope { scope: text() },
        Error::ZoomRefused {
            reason: text(),
            actor: Actor::Caller,
        },
        Error::ZoomUnavailable {
            source: zoom::Error::Timeout,
            spent: Spent::Nothing,
        },
        Error::ZoomTimeout {
            source: zoom::Error::Timeout,
            spent: Spent::Nothing,
        },
        Error::unavailable(Down::OutOfTime),
    ];
    let of_the_request = [
        ApiError::internal(text()),
        ApiError::validation("body", "is required"),
        ApiError::ListTooLarge,
        ApiError::Unauthorized,
        ApiError::Forbidden(Forbidden::Operation),
        ApiError::NoRoute,
        ApiError::MethodNotAllowed { allow: "GET" },
        ApiError::FunctionTimeout,
        ApiError::AnotherMeeting,
        ApiError::InProgress { wait },
        ApiError::IdempotencyKeyReused,
        ApiError::CodeReused,
        ApiError::BodyTooLarge,
        ApiError::MediaType,
        ApiError::ContentEncoding,
        ApiError::RateLimited(Admission {
            limit: 1,
            remaining: 0,
            reset: 1,
            admitted: false,
        }),
    ];
    let missing = missing.into_iter().map(Error::NotFound);
    let vault = vault.into_iter().chain(missing).map(ApiError::Vault);
    let refusals = refusals.into_iter().map(ApiError::Connect);
    vault.chain(refusals).chain(of_the_request).collect()
}

/// The codes and statuses of the answers that API Gateway makes itself.
fn answers_of_the_gateway() -> Vec<(String, u16)> {
    let starts = TEMPLATE.match_indices("{\"success\": false");
    starts
        .map(|(start, _)| {
            let mut bodies =
                serde_json::Deserializer::from_str(TEMPLATE.get(start..).unwrap()).into_iter();
            let body: Value = bodies.next().unwrap().unwrap();
            let status = body["statusCode"].as_u64().unwrap().try_into().unwrap();
            (body["code"].as_str().unwrap().to_owned(), status)
        })
        .collect()
}

/// A row of the page's table of codes.
struct Row {
    statuses: BTreeSet<u16>,
    /// What the row says about a retry.
    retry: &'static str,
}

/// The cells of the tables between two headings.
fn table_after(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = PAGE.split_once(heading).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines().filter(|line| line.starts_with("| "));
    lines
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

fn rows() -> BTreeMap<&'static str, Row> {
    let mut rows = BTreeMap::new();
    for cells in table_after("\n## Find the code\n") {
        let [code, statuses, _who_acts, retry] = *cells else {
            panic!("{cells:?}")
        };
        let code = code.split('`').nth(1).unwrap();
        let statuses = statuses.split(", ").map(|status| status.parse().unwrap());
        let row = Row {
            statuses: statuses.collect(),
            retry,
        };
        assert!(rows.insert(code, row).is_none(), "{code} has two rows");
    }
    rows
}

fn words_of(pointer: &str) -> BTreeSet<String> {
    let document = serde_json::to_value(functions::openapi::document()).unwrap();
    let words = document.pointer(pointer).unwrap()["enum"].as_array();
    let words = words.unwrap().iter().map(|word| word.as_str().unwrap());
    words.map(str::to_owned).collect()
}

#[test]
fn the_page_has_every_code_of_the_api_and_no_other() {
    let on_the_page: BTreeSet<String> = rows().into_keys().map(str::to_owned).collect();
    assert_eq!(
        on_the_page,
        words_of("/components/schemas/ErrorBody/properties/code")
    );
}

#[test]
fn the_page_explains_every_code_once_and_no_other() {
    let (_, explanations) = PAGE.split_once("\n## The request is wrong\n").unwrap();
    let rows = rows();
    for code in rows
        .keys()
        .filter(|code| **code != "FST_ERR_ZOOM_CONNECT_REFUSED")
    {
        assert!(explanations.contains(&format!("- **`{code}`**")), "{code}");
    }
    let names = PAGE.split('`').filter(|word| word.starts_with("FST_ERR_"));
    let unknown: Vec<&str> = names.filter(|name| !rows.contains_key(name)).collect();
    assert_eq!(unknown, Vec::<&str>::new());
}

#[test]
fn the_page_has_the_statuses_of_each_code() {
    let mut answered: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    let errors = errors();
    let own = errors
        .iter()
        .map(|error| (error.code().to_owned(), error.status().as_u16()));
    for (code, status) in own.chain(answers_of_the_gateway()) {
        answered.entry(code).or_default().insert(status);
    }
    let on_the_page: BTreeMap<String, BTreeSet<u16>> = rows()
        .into_iter()
        .map(|(code, row)| (code.to_owned(), row.statuses))
        .collect();
    assert_eq!(on_the_page, answered);
}

#[test]
fn the_page_promises_retry_after_for_the_codes_that_have_it() {
    let promised: BTreeSet<&str> = rows()
        .into_iter()
        .filter(|(_, row)| row.retry.contains("after `retry-after`"))
        .map(|(code, _)| code)
        .collect();
    let errors = errors();
    let answered = errors.iter().filter(|error| error.retry_after().is_some());
    assert_eq!(promised, answered.map(ApiError::code).collect());
}

#[test]
fn the_page_has_every_word_of_the_details() {
    let document = serde_json::to_value(functions::openapi::document()).unwrap();
    let pointer = "/components/schemas/ErrorBody/properties/details/description";
    let described = document.pointer(pointer).unwrap().as_str().unwrap();
    let described = described.split('`').skip(1).step_by(2);
    let described = described.filter(|word| *word == word.to_lowercase() && *word != "code");
    let reasons = [
        ReconnectReason::Revoked,
        ReconnectReason::RefreshOutcomeLost,
        ReconnectReason::Deauthorized,
        ReconnectReason::UserGone,
    ];
    let words: Vec<&str> = reasons
        .map(ReconnectReason::as_str)
        .into_iter()
        .chain(described)
        .collect();
    assert_eq!(words.len(), 15, "{words:?}");
    for word in words {
        assert!(PAGE.contains(&format!("`{word}`")), "{word}");
    }
}

#[test]
fn the_page_has_every_word_for_a_failed_connect_session() {
    let (_, section) = PAGE.split_once("\n## The pages for people\n").unwrap();
    for word in words_of("/components/schemas/ConnectFailure") {
        assert!(section.contains(&format!("`{word}`")), "{word}");
    }
}

#[test]
fn the_titles_on_the_page_are_titles_of_pages() {
    let titles = table_after("\n## The pages for people\n");
    assert_eq!(titles.len(), 16);
    for row in titles {
        let title = format!("\"{}\",", row.first().unwrap());
        assert!(PAGES_FOR_PEOPLE.contains(&title), "{title}");
    }
}
