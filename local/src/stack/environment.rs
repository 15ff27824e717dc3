//! The file `env`: sets the variables with which other programs reach this stack.
//!
//! The file also records the addresses of the built-in services. The next start reads the addresses back.

use std::fmt;
use std::path::Path;

use url::Url;

use super::built_in::Endpoints;
use super::credentials::{ACCESS_KEY_ID, AwsAccess, SECRET_ACCESS_KEY};
use super::listen::without_slash;
use crate::sqs::{LOST_NOTIFICATIONS_ARN, QUEUE_URL};
use crate::tables;

pub(super) const DYNAMODB: &str = "AWS_ENDPOINT_URL_DYNAMODB";
pub(super) const KMS: &str = "AWS_ENDPOINT_URL_KMS";
pub(super) const SQS: &str = "AWS_ENDPOINT_URL_SQS";
pub(super) const ZOOM_OAUTH: &str = "ZOOM_OAUTH_BASE_URL";
const ZOOM_API: &str = "ZOOM_API_BASE_URL";

/// The start of the line that records the addresses of the built-in services: those of this run, then former ones.
const HISTORY_PREFIX: &str = "# built in: ";
/// The largest number of recorded addresses: more restarts than a shell lives through.
const MAX_RECORDED_ADDRESSES: usize = 60;

/// The addresses of the built-in services in this run and former runs, by environment variable.
///
/// A service takes its last port again if the port is free, so a shell that sourced `env` stays right. Such a shell
/// also sets these addresses for the next start. The stack then knows that they mean built-in services.
#[derive(Clone, Debug, Default)]
pub(super) struct AddressHistory(Vec<(String, String)>);

impl AddressHistory {
    /// Reads the addresses that the last run recorded.
    pub(super) fn read(data_dir: &Path) -> Self {
        let text = std::fs::read_to_string(data_dir.join("env")).unwrap_or_default();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(HISTORY_PREFIX));
        let pairs = line
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='));
        Self(
            pairs
                .map(|(name, url)| (name.to_owned(), url.to_owned()))
                .collect(),
        )
    }

    /// Whether a built-in service had this address.
    pub(super) fn contains(&self, address: &str) -> bool {
        let address = address.trim_end_matches('/');
        self.0.iter().any(|(_, url)| url == address)
    }

    /// The last port of a service.
    pub(super) fn port(&self, name: &str) -> Option<u16> {
        let (_, url) = self.0.iter().find(|(service, _)| service == name)?;
        Url::parse(url).ok()?.port()
    }

    /// Puts the addresses of this run in front.
    pub(super) fn with(&self, addresses: &[(&str, String)]) -> Self {
        let mut all: Vec<_> = addresses
            .iter()
            .map(|(name, url)| ((*name).to_owned(), url.clone()))
            .collect();
        let former = self.0.iter().filter(|pair| !all.contains(pair));
        let former: Vec<_> = former.cloned().collect();
        all.extend(former);
        all.truncate(MAX_RECORDED_ADDRESSES);
        Self(all)
    }
}

/// The content of the file.
pub(super) struct Environment<'a> {
    pub(super) history: AddressHistory,
    pub(super) access: &'a AwsAccess,
    pub(super) region: &'a str,
    pub(super) endpoints: &'a Endpoints,
    pub(super) envelope_key: &'a str,
    pub(super) tables: &'a tables::Names,
    pub(super) api: &'a Url,
}

impl fmt::Display for Environment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let history: Vec<String> = self
            .history
            .0
            .iter()
            .map(|(name, url)| format!("{name}={url}"))
            .collect();
        writeln!(
            f,
            "# Variables for the AWS CLI, this project's CLI and the Lambda binaries to use the local stack:"
        )?;
        writeln!(f, "#   set -a; . {{this file}}; set +a")?;
        writeln!(f, "{HISTORY_PREFIX}{}", history.join(" "))?;
        let endpoints = self.endpoints;
        if self.access.is_made_here {
            let credentials = &self.access.credentials;
            writeln!(f, "{ACCESS_KEY_ID}={}", credentials.access_key_id())?;
            writeln!(f, "{SECRET_ACCESS_KEY}={}", credentials.secret_access_key())?;
        } else {
            // The caller's own secrets do not belong into a file.
            writeln!(
                f,
                "# DynamoDB and KMS need the AWS credentials with which the stack was started: set them yourself."
            )?;
        }
        writeln!(f, "AWS_REGION={}", self.region)?;
        writeln!(f, "AWS_DEFAULT_REGION={}", self.region)?;
        writeln!(f, "{DYNAMODB}={}", endpoints.dynamodb)?;
        writeln!(f, "{KMS}={}", endpoints.kms)?;
        writeln!(f, "{SQS}={}", endpoints.sqs)?;
        writeln!(f, "NOTIFICATION_QUEUE_URL={QUEUE_URL}")?;
        writeln!(f, "LOST_NOTIFICATIONS_ARN={LOST_NOTIFICATIONS_ARN}")?;
        writeln!(f, "NOTIFY_LOOPBACK=on")?;
        writeln!(f, "ENVELOPE_KEY_ID={}", self.envelope_key)?;
        writeln!(f, "CREDENTIALS_TABLE={}", self.tables.credentials)?;
        writeln!(f, "PAIRS_TABLE={}", self.tables.pairs)?;
        writeln!(f, "SECRETS_TABLE={}", self.tables.secrets)?;
        writeln!(f, "KEYS_TABLE={}", self.tables.keys)?;
        writeln!(f, "REQUESTS_TABLE={}", self.tables.requests)?;
        writeln!(f, "TOKEN_URLS_TABLE={}", self.tables.token_urls)?;
        writeln!(f, "EVENTS_TABLE={}", self.tables.events)?;
        writeln!(f, "API_URL={}", without_slash(self.api))?;
        writeln!(f, "{ZOOM_OAUTH}={}", without_slash(&endpoints.zoom_oauth))?;
        writeln!(f, "{ZOOM_API}={}", without_slash(&endpoints.zoom_api))
    }
}
