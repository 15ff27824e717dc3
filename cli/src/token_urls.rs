//! `token-urls list`, `token-urls find` and `token-urls revoke`. A token URL outlives the key that made it.

use std::io::{self, BufRead, IsTerminal};

use clap::{Args, Subcommand};
use shared::choosing_url::AnyUrl;
use shared::credential::{CredentialId, Name, TeamId};
use shared::event::{Change, EventKind, Target};
use shared::stores::{TRANSACTION_TIMEOUT, TokenUrlListing, TokenUrls, Trail};
use shared::timestamp::Timestamp;
use shared::token_url::{UrlId, UrlToken};

use crate::error::Error;
use crate::named::Named;
use crate::output::{self, Output, or_dash};
use crate::resources::Resource;
use crate::revocation::Revocation;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the token URLs of a team that are not revoked. The URLs themselves are not stored
    List(Which),
    /// Find out which token URL this is, for example one that has leaked
    ///
    /// Reads the URL from standard input, because other users of this machine can see the arguments of a program. Finds
    /// revoked and expired URLs too.
    Find,
    /// Revoke token URLs of a team. They give no token from the next call on
    Revoke {
        #[command(flatten)]
        which: Which,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
}

impl Command {
    /// The resources that this command uses.
    pub(crate) fn resources(&self) -> &'static [Resource] {
        match self {
            Self::List(_) => &[Resource::TokenUrls, Resource::Keys],
            Self::Find => &[Resource::TokenUrls],
            Self::Revoke { .. } => &[Resource::TokenUrls, Resource::Keys, Resource::Events],
        }
    }

    /// Which URLs this command is about, if it names a team.
    pub(crate) fn which(&self) -> Option<&Which> {
        match self {
            Self::List(which) | Self::Revoke { which, .. } => Some(which),
            Self::Find => None,
        }
    }
}

/// Which token URLs.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The team's name
    #[arg(long)]
    team: TeamId,
    /// Only URLs that the key with this id made
    #[arg(long, value_name = "KEY_ID")]
    key: Option<String>,
    /// Only URLs of this credential
    #[arg(long, value_name = "CREDENTIAL")]
    credential: Option<CredentialId>,
    /// Only the URL with this id
    #[arg(long, value_name = "URL_ID")]
    url: Option<UrlId>,
}

impl Which {
    /// What must exist.
    pub(crate) fn named(&self) -> Named<'_> {
        Named {
            team: &self.team,
            key_id: self.key.as_deref(),
        }
    }

    async fn find(&self, urls: &TokenUrls) -> Result<Vec<TokenUrlListing>, Error> {
        let found = urls.of_team(&self.team, |url| {
            self.key.as_ref().is_none_or(|key| *key == url.created_by)
                && self.credential.is_none_or(|id| url.partition == id.into())
                && self.url.is_none_or(|id| id == url.url_id)
        });
        Ok(found.await?)
    }
}

pub(crate) async fn list(which: &Which, urls: &TokenUrls, output: Output) -> Result<(), Error> {
    let found = which.find(urls).await?;
    output.print(&found, &rows(&found))?;
    if found.is_empty() {
        output.note("no token URLs");
    }
    Ok(())
}

pub(crate) async fn find(urls: &TokenUrls, output: Output) -> Result<(), Error> {
    if io::stdin().is_terminal() {
        output.note("paste the URL, then press Enter");
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let token = token_in(&line).ok_or(Error::MalformedUrl)?;

    let found = urls.find(&token).await?.ok_or(Error::NoTokenUrl)?;
    output.print(&found, &rows([&found]))?;
    if let Some(at) = found.revoked_at {
        output.note(&format!("this URL was revoked at {at}"));
    }
    Ok(())
}

/// The secret in a text that somebody pasted: a whole URL, or its last part.
fn token_in(text: &str) -> Option<UrlToken> {
    let (_, rest) = text.split_once("ztu_")?;
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    UrlToken::parse(&format!("ztu_{}", rest.get(..end)?)).ok()
}

pub(crate) async fn revoke(
    which: &Which,
    yes: bool,
    urls: &TokenUrls,
    trail: &Trail,
    output: Output,
) -> Result<(), Error> {
    let team = &which.team;
    let revocation = Revocation {
        team,
        yes,
        thing: "token URL",
        output,
    };
    let found = which.find(urls).await?;
    let revoke = async |listing: &TokenUrlListing| {
        let url = listing.url.terms().url_id;
        let change = Change::of(Target::TokenUrl(url), EventKind::UrlRevoked, Vec::new());
        let event = trail.change(team, listing.credential_id, change)?;
        let revocation = urls.revoke(team, listing.partition(), url)?;
        let revocation = urls.begin(revocation).and(event);
        let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
        Ok(revocation.commit(until).await?.is_committed())
    };
    revocation.run(found, |urls| rows(urls), revoke).await
}

/// The credential of a URL, or how the URL chooses one.
fn credential(listing: &TokenUrlListing) -> String {
    match (&listing.url, listing.credential_id) {
        (_, Some(id)) => id.to_string(),
        (AnyUrl::Choosing(url), None) => match &url.credentials {
            Some(credentials) => format!("one of {}", credentials.len()),
            None => "from the call".to_owned(),
        },
        (AnyUrl::OfCredential(_), None) => or_dash(None::<String>),
    }
}

pub(crate) fn rows<'a>(urls: impl IntoIterator<Item = &'a TokenUrlListing>) -> String {
    let rows = urls.into_iter().map(|listing| {
        let terms = listing.url.terms();
        let uses = match terms.max_uses {
            Some(most) => format!("{} of {most}", terms.uses),
            None => terms.uses.to_string(),
        };
        let types = listing.url.types().iter();
        let types: Vec<&str> = types.map(|it| it.token_type().as_str()).collect();
        let vendors: Vec<&str> = listing.url.verify().iter().map(|it| it.as_str()).collect();
        let vendors = Some(vendors.join(",")).filter(|vendors| !vendors.is_empty());
        [
            terms.url_id.to_string(),
            listing.team.to_string(),
            credential(listing),
            types.join(","),
            or_dash(terms.label.map(Name::as_str)),
            uses,
            or_dash(vendors),
            terms.created_by.to_owned(),
            terms.created_at.to_string(),
            or_dash(terms.expires_at),
        ]
    });
    let head = [
        "URL ID",
        "TEAM",
        "CREDENTIAL",
        "TYPE",
        "LABEL",
        "USES",
        "VERIFY",
        "CREATED BY KEY",
        "CREATED",
        "EXPIRES",
    ];
    output::table(head, rows.collect())
}
