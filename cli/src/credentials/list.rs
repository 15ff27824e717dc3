//! `credentials list`.

use clap::{ArgGroup, Args, ValueEnum};
use serde::Serialize;
use shared::attention::Attention;
use shared::credential::{CredentialId, CredentialType, State, TeamId};
use shared::stores::{CredentialFilter, Credentials, StoredCredential, TeamAdmin};
use shared::timestamp::Timestamp;

use crate::error::Error;
use crate::output::{self, Output, age, or_dash, printable};
use crate::watch::{Listing, Watch};

/// Which credentials.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("teams").required(true))]
pub(crate) struct ListCredentials {
    /// The team's name
    #[arg(long, group = "teams")]
    pub(super) team: Option<TeamId>,
    /// List the credentials of every team
    #[arg(long, group = "teams")]
    all_teams: bool,
    /// List deleted credentials, and until when each can be restored
    #[arg(long)]
    deleted: bool,
    /// Only credentials in this state
    #[arg(long, value_enum)]
    state: Option<StateArg>,
    /// Only credentials that a person must mend. The column REASON says why
    #[arg(long)]
    needs_attention: bool,
    /// Only credentials of Zoom users with this text in their email address, in upper or lower case
    #[arg(long, value_name = "TEXT")]
    email: Option<String>,
    #[command(flatten)]
    watch: Watch,
}

/// A value of `--state`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum StateArg {
    /// The credential works, as far as the vault knows
    Active,
    /// The user has to authorize again
    Invalid,
}

impl From<StateArg> for State {
    fn from(argument: StateArg) -> Self {
        match argument {
            StateArg::Active => Self::Active,
            StateArg::Invalid => Self::Invalid,
        }
    }
}

/// A credential in the output.
#[derive(Serialize)]
pub(super) struct CredentialView {
    pub(super) team: TeamId,
    pub(super) credential_id: CredentialId,
    pub(super) name: String,
    pub(super) credential_type: CredentialType,
    pub(super) state: State,
    /// Why a person must act.
    pub(super) reason: Option<Attention>,
    pub(super) zoom_email: Option<String>,
    pub(super) last_error_message: Option<String>,
    pub(super) last_error_at: Option<Timestamp>,
    pub(super) restorable_until: Option<Timestamp>,
}

impl CredentialView {
    pub(super) fn new(team: &TeamId, stored: StoredCredential) -> Self {
        let reason = stored.credential.attention();
        Self {
            team: team.clone(),
            credential_id: stored.credential.credential_id,
            name: stored.credential.name.into(),
            credential_type: stored.credential.credential_type,
            state: stored.credential.state,
            reason,
            zoom_email: stored.credential.zoom_email,
            last_error_message: stored.credential.last_error_message,
            last_error_at: stored.credential.last_error_at,
            restorable_until: stored.purge_at,
        }
    }
}

impl ListCredentials {
    fn filter(&self) -> CredentialFilter {
        CredentialFilter {
            state: self.state.map(State::from),
            ..CredentialFilter::by_deletion(self.deleted)
        }
    }

    fn matches(&self, credential: &CredentialView) -> bool {
        let email = credential.zoom_email.as_deref().unwrap_or_default();
        let has_email = |part: &String| email.to_lowercase().contains(&part.to_lowercase());
        (!self.needs_attention || credential.reason.is_some())
            && self.email.as_ref().is_none_or(has_email)
    }

    async fn read(
        &self,
        credentials: &Credentials,
        operator: &TeamAdmin,
    ) -> Result<Listing<Vec<CredentialView>>, Error> {
        let mut unreadable = Vec::new();
        let teams = if let Some(team) = &self.team {
            vec![team.clone()]
        } else {
            let listed = operator.teams().await?;
            unreadable.extend(listed.unreadable);
            listed.rows.into_iter().map(|team| team.team_id).collect()
        };
        let (filter, mut document) = (self.filter(), Vec::new());
        for team in &teams {
            let mut after = None;
            loop {
                let page = credentials.page(team, after, None, &filter).await?;
                let found = page.credentials.into_iter();
                let found = found.map(|stored| CredentialView::new(team, stored));
                document.extend(found.filter(|it| self.matches(it)));
                unreadable.extend(page.unreadable);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(Listing {
            text: rows(&document),
            document,
            none: "no credentials",
            unreadable,
        })
    }
}

pub(super) async fn run(
    options: &ListCredentials,
    credentials: &Credentials,
    operator: &TeamAdmin,
    output: Output,
) -> Result<(), Error> {
    let read = async || options.read(credentials, operator).await;
    options.watch.print(output, read).await
}

pub(super) fn rows<'a>(credentials: impl IntoIterator<Item = &'a CredentialView>) -> String {
    let rows = credentials.into_iter().map(|credential| {
        [
            credential.credential_id.to_string(),
            credential.team.to_string(),
            api_name(credential.credential_type),
            api_name(credential.state),
            or_dash(credential.reason.map(Attention::label)),
            or_dash(credential.last_error_at.map(age)),
            or_dash(credential.restorable_until),
            or_dash(credential.zoom_email.as_deref().map(printable)),
            printable(&credential.name),
        ]
    });
    let head = [
        "CREDENTIAL",
        "TEAM",
        "TYPE",
        "STATE",
        "REASON",
        "AGE",
        "RESTORABLE UNTIL",
        "EMAIL",
        "NAME",
    ];
    output::table_without_empty_columns(head, rows.collect())
}

/// The name of a value in the API.
pub(super) fn api_name(value: impl Serialize) -> String {
    let json = serde_json::to_value(value).ok();
    let name = json.as_ref().and_then(serde_json::Value::as_str);
    name.unwrap_or_default().to_owned()
}
