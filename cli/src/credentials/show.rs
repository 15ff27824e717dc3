//! `credentials show`: everything that the vault knows of a credential, except its secrets.

use serde::Serialize;
use shared::attention::Attention;
use shared::credential::{CredentialId, TeamId};
use shared::event::EventRecord;
use shared::profile::Profile;
use shared::stores::{
    Credentials, Events, GrantState, Secrets, StoredCredential, StoredGrant, TeamAdmin,
    TokenUrlListing, TokenUrls,
};
use shared::timestamp::Timestamp;

use super::list::{CredentialView, api_name};
use crate::error::Error;
use crate::output::{Output, age, or_dash, printable};
use crate::{events, token_urls};

/// How many of the last events are shown.
const EVENTS: u16 = 10;
/// How many token URLs are shown.
const TOKEN_URLS: u16 = 100;

/// The tables.
pub(crate) struct Sources {
    pub(crate) operator: TeamAdmin,
    pub(crate) credentials: Credentials,
    pub(crate) secrets: Secrets,
    pub(crate) events: Events,
    pub(crate) token_urls: TokenUrls,
}

/// A credential in the output.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    credential: CredentialView,
    client_id: String,
    #[serde(flatten)]
    profile: Profile,
    scopes: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// `None` if no user has authorized, or if the grant is destroyed.
    grant: Option<GrantView>,
    /// The last events, newest first.
    events: Vec<EventRecord>,
    token_urls: Vec<TokenUrlListing>,
}

/// A grant in the output.
#[derive(Serialize)]
struct GrantView {
    works: bool,
    authorized_at: Timestamp,
    refreshed_at: Timestamp,
    access_token_until: Timestamp,
}

impl From<StoredGrant> for GrantView {
    fn from(grant: StoredGrant) -> Self {
        Self {
            works: grant.state == GrantState::Active,
            authorized_at: Timestamp::from_millis(grant.authorized_at),
            refreshed_at: Timestamp::from_millis(grant.committed_at),
            access_token_until: Timestamp::from_millis(grant.access_expires_at),
        }
    }
}

pub(super) async fn run(
    team: Option<&TeamId>,
    id: CredentialId,
    sources: &Sources,
    output: Output,
) -> Result<(), Error> {
    let (team, stored) = find(team, id, sources).await?;
    let grant = match stored.grant {
        Some(grant) => sources.secrets.grant(&team, grant.id).await?,
        None => None,
    };
    let events = sources.events.page(&team, id, None, EVENTS).await?.events;
    let urls = sources.token_urls.page(&team, id.into(), None, TOKEN_URLS);
    let urls = urls.await?.urls.into_iter();
    let token_urls = urls.map(|url| TokenUrlListing {
        team: team.clone(),
        credential_id: Some(id),
        url,
        revoked_at: None,
    });
    let token_urls = token_urls.collect();
    let shown = Shown {
        client_id: stored.client_id.clone().into(),
        profile: Profile {
            // The list's columns have the email address already.
            zoom_email: None,
            ..stored.credential.profile()
        },
        scopes: stored.credential.scopes.clone(),
        created_at: stored.credential.created_at,
        updated_at: stored.credential.updated_at,
        grant: grant.map(GrantView::from),
        events,
        token_urls,
        credential: CredentialView::new(&team, stored),
    };
    output.print(&shown, &shown.text())?;
    Ok(())
}

/// Finds a credential, live or deleted. Without a team, looks into every team.
async fn find(
    team: Option<&TeamId>,
    id: CredentialId,
    sources: &Sources,
) -> Result<(TeamId, StoredCredential), Error> {
    let teams = if let Some(team) = team {
        vec![team.clone()]
    } else {
        let teams = sources.operator.teams().await?.rows.into_iter();
        teams.map(|team| team.team_id).collect()
    };
    for team in teams {
        let found = sources.credentials.get_including_deleted(&team, id).await?;
        if let Some(stored) = found {
            return Ok((team, stored));
        }
    }
    Err(match team.cloned() {
        Some(team) => Error::NoCredential { team, id },
        None => Error::NoCredentialAnywhere(id),
    })
}

impl Shown {
    /// A line for each fact, then the two lists.
    fn text(&self) -> String {
        let credential = &self.credential;
        let text = |text: Option<&String>| or_dash(text.map(|text| printable(text)));
        let time = |at: Timestamp| format!("{at} ({} ago)", age(at));
        let mut facts = vec![
            ("credential", credential.credential_id.to_string()),
            ("team", credential.team.to_string()),
            ("name", printable(&credential.name)),
            ("type", api_name(credential.credential_type)),
            ("state", api_name(credential.state)),
        ];
        if let Some(until) = credential.restorable_until {
            facts.push(("deleted", format!("can be restored until {until}")));
        }
        if let Some(reason) = credential.reason {
            facts.push(("reason", reason.label().to_owned()));
            facts.push(("who must act", reason.who().to_owned()));
            facts.push(("to do", Attention::to_do(reason).to_owned()));
        }
        if credential.last_error_message.is_some() {
            let message = text(credential.last_error_message.as_ref());
            facts.push(("last error", message));
            facts.push(("error since", or_dash(credential.last_error_at.map(time))));
        }
        facts.extend([
            ("Zoom user", text(credential.zoom_email.as_ref())),
            (
                "display name",
                text(self.profile.zoom_display_name.as_ref()),
            ),
            ("user id", text(self.profile.zoom_user_id.as_ref())),
            ("account id", text(self.profile.zoom_account_id.as_ref())),
            ("Zoom app", printable(&self.client_id)),
            ("scopes", text(self.scopes.as_ref())),
            ("created", time(self.created_at)),
            ("updated", time(self.updated_at)),
        ]);
        match &self.grant {
            Some(grant) => facts.extend([
                (
                    "grant",
                    if grant.works { "works" } else { "dead" }.to_owned(),
                ),
                ("authorized", time(grant.authorized_at)),
                ("refreshed", time(grant.refreshed_at)),
            ]),
            None => facts.push(("grant", "none".to_owned())),
        }
        let width = facts.iter().map(|(name, _)| name.len()).max();
        let width = width.unwrap_or_default();
        let facts = facts.iter();
        let mut lines: Vec<String> = facts
            .map(|(name, value)| format!("{name:width$}  {value}"))
            .collect();
        for (title, none, table) in [
            ("last events", "no events", events::rows(&self.events)),
            (
                "token URLs",
                "no token URLs",
                token_urls::rows(&self.token_urls),
            ),
        ] {
            lines.push(String::new());
            let table = if table.is_empty() {
                none.to_owned()
            } else {
                format!("{title}\n{table}")
            };
            lines.push(table);
        }
        lines.join("\n")
    }
}
