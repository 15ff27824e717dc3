//! Answers of the API, and what tests expect of them.

use reqwest::header::HeaderMap;
use serde_json::Value;

/// Zoom's reason for refusing a code that was used before or is too old.
pub(crate) const CODE_SPENT: &str = "invalid_grant: Code is expired (4733)";

/// An answer of the API.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// The body.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Expects a success with this status and returns its data.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        let body = self.json();
        assert_eq!(body["success"], true);
        body["data"].clone()
    }

    /// Expects a failure with this status, code and message.
    #[track_caller]
    pub(crate) fn expect_error(&self, status: u16, code: &str, message: &str) {
        assert_eq!(self.expect_code(status, code), message);
    }

    /// Expects a failure with this status and code, and returns its message.
    #[track_caller]
    pub(crate) fn expect_code(&self, status: u16, code: &str) -> String {
        let body = self.json();
        assert_eq!(
            (self.status, body["code"].as_str().unwrap()),
            (status, code),
            "{}",
            self.text
        );
        body["message"].as_str().unwrap().to_owned()
    }
}

/// `retry-after`, in seconds.
#[track_caller]
pub(crate) fn retry_after(answer: &Answer) -> u64 {
    answer.header("retry-after").unwrap().parse().unwrap()
}

/// The message of the answer when Zoom refuses a code for this reason.
pub(crate) fn code_refused(reason: &str) -> String {
    format!(
        "Zoom refused the authorization code: {reason}. Check client_id, client_secret, redirect_uri and code_verifier. A code works \
         once, for 5 minutes, with the app and the redirect URI it was issued for: if it was used before, send the \
         user through the authorization again."
    )
}
