//! The file `env`: what points another program at the stack, and what tells the stack its own addresses from
//! those of others.

use std::fmt;
use std::path::Path;

use url::Url;

use super::bare;
use crate::tables;

pub(super) const DYNAMODB: &str = "AWS_ENDPOINT_URL_DYNAMODB";
pub(super) const KMS: &str = "AWS_ENDPOINT_URL_KMS";
pub(super) const ZOOM_OAUTH: &str = "ZOOM_OAUTH_BASE_URL";
const ZOOM_API: &str = "ZOOM_API_BASE_URL";

/// What the line begins with that names the built-in parts' addresses: this run's first, then earlier ones'.
const BUILT_IN: &str = "# built in: ";
/// How many addresses are remembered: more restarts than a shell sees.
const REMEMBERED: usize = 60;

/// Where built-in parts of this data directory have been.
///
/// They are taken again where they are free, so that a shell which sourced `env` stays right; and whoever starts
/// the stack in such a shell means the built-in parts, not others at the same addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Own(Vec<(String, String)>);

impl Own {
    /// As the last run wrote them down.
    pub(super) fn read(data_dir: &Path) -> Self {
        let written = std::fs::read_to_string(data_dir.join("env")).unwrap_or_default();
        let line = written.lines().find_map(|line| line.strip_prefix(BUILT_IN));
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

    /// Whether a built-in part has been at this address.
    pub(super) fn has(&self, address: &str) -> bool {
        let address = address.trim_end_matches('/');
        self.0.iter().any(|(_, url)| url == address)
    }

    /// The port a part had last.
    pub(super) fn port(&self, name: &str) -> Option<u16> {
        let (_, url) = self.0.iter().find(|(part, _)| part == name)?;
        Url::parse(url).ok()?.port()
    }

    /// With this run's addresses in front.
    pub(super) fn now(&self, parts: Vec<(&str, String)>) -> Self {
        let mut all: Vec<_> = parts
            .into_iter()
            .map(|(name, url)| (name.to_owned(), url))
            .collect();
        let before: Vec<_> = self
            .0
            .iter()
            .filter(|pair| !all.contains(pair))
            .cloned()
            .collect();
        all.extend(before);
        all.truncate(REMEMBERED);
        Self(all)
    }
}

/// Everything the file says.
pub(super) struct Environment<'a> {
    pub(super) own: Own,
    /// Whether no part runs elsewhere, so that any credentials will do.
    pub(super) all_built_in: bool,
    pub(super) region: &'a str,
    pub(super) dynamodb: &'a str,
    pub(super) kms: &'a str,
    pub(super) envelope_key: &'a str,
    pub(super) zoom_oauth: &'a Url,
    pub(super) zoom_api: &'a Url,
    pub(super) tables: &'a tables::Names,
    pub(super) api: &'a Url,
}

impl fmt::Display for Environment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# Points the AWS CLI, this project's CLI and a Lambda binary at the local stack:"
        )?;
        writeln!(f, "#   set -a; . {{this file}}; set +a")?;
        let own: Vec<String> = self
            .own
            .0
            .iter()
            .map(|(name, url)| format!("{name}={url}"))
            .collect();
        writeln!(f, "{BUILT_IN}{}", own.join(" "))?;
        if self.all_built_in {
            writeln!(f, "AWS_ACCESS_KEY_ID=local\nAWS_SECRET_ACCESS_KEY=local")?;
        }
        writeln!(
            f,
            "AWS_REGION={}\nAWS_DEFAULT_REGION={}",
            self.region, self.region
        )?;
        writeln!(f, "{DYNAMODB}={}\n{KMS}={}", self.dynamodb, self.kms)?;
        writeln!(f, "ENVELOPE_KEY_ID={}", self.envelope_key)?;
        writeln!(f, "CREDENTIALS_TABLE={}", self.tables.credentials)?;
        writeln!(f, "SECRETS_TABLE={}", self.tables.secrets)?;
        writeln!(f, "KEYS_TABLE={}", self.tables.keys)?;
        writeln!(f, "REQUESTS_TABLE={}", self.tables.requests)?;
        writeln!(f, "TOKEN_URLS_TABLE={}", self.tables.token_urls)?;
        writeln!(f, "EVENTS_TABLE={}", self.tables.events)?;
        writeln!(f, "API_URL={}", bare(self.api))?;
        writeln!(
            f,
            "{ZOOM_OAUTH}={}\n{ZOOM_API}={}",
            bare(self.zoom_oauth),
            bare(self.zoom_api)
        )
    }
}
