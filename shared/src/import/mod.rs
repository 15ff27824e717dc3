//! Imports refresh tokens that another system had. docs/import.md explains it to operators, docs/life.md has the
//! transitions.
//!
//! A refresh token works once. So an import does not copy it: it takes the grant over. For each token:
//!
//! 1. Store the token, sealed as generation 0 of a grant whose id follows from the token. Nothing is spent yet.
//! 2. Refresh the grant by the same protocol as every other refresh. From then on the other system's copy is spent.
//! 3. Ask Zoom for the user. Then, in one transaction, give the grant to a new credential, or to the credentials that
//!    the user has already.
//!
//! What is left to do follows from the rows alone. So an import can stop anywhere, and run again.

mod attach;
mod outcome;

use std::time::Duration;

use uuid::Uuid;

use crate::attention::MISSING_SCOPE;
use crate::credential::{CredentialId, GrantId, Name, ReconnectReason, TeamId};
use crate::error::Error;
use crate::extra::Extra;
use crate::grants::app::App;
use crate::grants::call::Caller;
use crate::grants::mint::ACCESS_MARGIN;
use crate::grants::refresh::{DeadGrant, NoAccess};
use crate::grants::{Context, Grants, Terms, grant_binding};
use crate::import_id::ImportId;
use crate::invocation::Invocation;
use crate::profile::{Profile, UNKNOWN_PROFILE};
use crate::secret::{AppCredentials, Plaintext, RefreshToken};
use crate::stores::{
    CommitOutcome, GrantSecret, GrantState, ImportVerdict, Requests, StoredGrant, StoredImport,
    TRANSACTION_TIMEOUT, Trail,
};
use crate::timestamp::Timestamp;
use crate::zoom::{self, ApiUrl};

pub use self::outcome::{ImportOutcome, ImportResult};

/// How long the import of one token may take. Its lease ends then.
const TIME_FOR_TOKEN: Duration = Duration::from_secs(90);
/// How often an import looks at the rows again because they have changed.
const MAX_ROUNDS: usize = 6;

/// A grant as another system exported it.
#[derive(Clone, Debug)]
pub struct GivenGrant {
    /// The app that the user authorized.
    pub app: AppCredentials,
    /// The refresh token.
    pub refresh: RefreshToken,
    /// The scopes that the user consented to, separated by commas.
    pub scopes: Option<String>,
    /// The host of Zoom's REST API for this user.
    pub api_url: Option<ApiUrl>,
    /// The name of the credential. Without it, the credential is named after its user.
    pub name: Option<Name>,
    /// The owner's own JSON object.
    pub extra: Option<Extra>,
}

impl GivenGrant {
    /// Names the token.
    pub fn id(&self) -> ImportId {
        ImportId::of(&self.app.client_id, &self.refresh)
    }
}

/// Imports tokens into a team.
#[derive(Clone, Copy)]
pub struct Importer<'a> {
    /// The tables, KMS and Zoom.
    pub grants: &'a Grants,
    /// Remembers what became of tokens.
    pub requests: &'a Requests,
    /// Records who imports.
    pub trail: &'a Trail,
    /// The team.
    pub team: &'a TeamId,
}

/// The import of one token.
struct Import<'a> {
    importer: Importer<'a>,
    given: &'a GivenGrant,
    /// Why Zoom refuses the app, if it does.
    refused: Option<&'a str>,
    id: ImportId,
    grant: GrantId,
    invocation: Invocation,
    terms: Terms,
    began: Timestamp,
}

/// Whether the import goes on.
enum Step {
    /// The rows have changed, so look at them again.
    LookAgain,
    Ended(ImportResult),
}

impl Importer<'_> {
    /// Imports a token. A failure is an outcome too, because the other tokens must go on.
    pub async fn import(&self, given: &GivenGrant) -> ImportResult {
        self.import_of_app(given, None).await
    }

    /// What became of a token whose app Zoom refuses, for this reason. An earlier run may have known another client
    /// secret. Sends nothing to Zoom.
    pub async fn import_of_refused_app(&self, given: &GivenGrant, reason: &str) -> ImportResult {
        self.import_of_app(given, Some(reason)).await
    }

    async fn import_of_app(&self, given: &GivenGrant, refused: Option<&str>) -> ImportResult {
        let began = Timestamp::now();
        let deadline = began.plus(TIME_FOR_TOKEN);
        let invocation = Invocation::new(format!("import-{}", Uuid::new_v4()), deadline);
        invocation.act_as(self.trail.actor.clone());
        let id = given.id();
        let import = Import {
            importer: *self,
            given,
            refused,
            id,
            grant: id.grant(),
            invocation,
            terms: Terms {
                bot: None,
                margin: ACCESS_MARGIN,
                answer_by: deadline,
            },
            began,
        };
        // Boxed: the future of a refresh is large.
        let run = Box::pin(import.run()).await;
        run.unwrap_or_else(|error| ImportResult::of_failure(&error, import.invocation.activity()))
    }
}

impl Import<'_> {
    async fn run(&self) -> Result<ImportResult, Error> {
        for round in 0..MAX_ROUNDS {
            let known = self.known().await?;
            if let Some(known) = &known
                && known.team != *self.importer.team
            {
                return Ok(of_another_team(known));
            }
            let step = match (known, self.row().await?) {
                (
                    Some(StoredImport {
                        verdict: Some(verdict),
                        credential,
                        reason,
                        ..
                    }),
                    _,
                ) => Step::Ended(ImportResult {
                    credential,
                    reason,
                    earlier: round == 0,
                    ..ImportResult::new(outcome_of(verdict))
                }),
                (None, None) => match self.refused {
                    Some(reason) => Step::Ended(of_refused_app(reason, "No token was sent")),
                    None => self.begin().await?,
                },
                (Some(_), None) => Step::Ended(
                    ImportResult::new(ImportOutcome::OutcomeLost)
                        .because("an earlier import did not end, and its grant is deleted by now"),
                ),
                (_, Some(row)) if !row.importing => self.end_merge(&row).await?,
                (_, Some(row)) => match row.state {
                    GrantState::Active => match self.refused {
                        Some(reason) => Step::Ended(of_refused_app(reason, left_behind(&row))),
                        None => Box::pin(self.take_over(&row)).await?,
                    },
                    GrantState::Reconnect(ReconnectReason::RefreshOutcomeLost) => {
                        Step::Ended(ImportResult {
                            earlier: round == 0,
                            ..ImportResult::new(ImportOutcome::OutcomeLost)
                        })
                    }
                    // The user has removed the app, or somebody has given the grant up.
                    GrantState::Reconnect(_) => self.end_dead(&row, true, None).await?,
                },
            };
            if let Step::Ended(result) = step {
                return Ok(result);
            }
        }
        Err(Error::Conflict)
    }

    async fn known(&self) -> Result<Option<StoredImport>, Error> {
        Ok(self.importer.requests.import(&self.id).await?)
    }

    async fn row(&self) -> Result<Option<StoredGrant>, Error> {
        let grants = self.importer.grants;
        grants.grant_row(self.importer.team, self.grant).await
    }

    /// Stores the token. Nothing is spent.
    async fn begin(&self) -> Result<Step, Error> {
        let Importer {
            grants,
            requests,
            team,
            ..
        } = self.importer;
        let key = grants.envelope.data_key(grant_binding(team, self.grant));
        let sealed = key
            .await?
            .seal(0, &Plaintext::try_from(&self.given.refresh.alone())?)?;
        let now = Timestamp::now().as_millis();
        let row = GrantSecret {
            team_id: team.clone(),
            client_id: self.given.app.client_id.clone(),
            scopes: self.given.scopes.clone(),
            credential_id: CredentialId::generate(),
            sealed,
            access_expires_at: 0,
            authorize_sent_at: now,
            authorized_at: now,
            api_url: self
                .given
                .api_url
                .as_ref()
                .map(|url| url.as_str().to_owned()),
        };
        let insert = grants.secrets.insert_importing(self.grant, &row)?;
        let begin = requests.begin_import(&self.id, team)?;
        let stored = grants.secrets.begin(insert).and(begin).commit(until());
        // Refused if another run has begun the same import.
        let _: CommitOutcome = stored.await?;
        Ok(Step::LookAgain)
    }

    /// Refreshes the grant, which spends the other system's token, and asks Zoom who the user is.
    async fn take_over(&self, row: &StoredGrant) -> Result<Step, Error> {
        let Importer { grants, team, .. } = self.importer;
        let app = App::given(grants, team, row.credential_id, &self.given.app);
        let context = Context {
            grants,
            invocation: &self.invocation,
            team,
            terms: &self.terms,
        };
        let tested = Caller::new(context).test(self.grant, &app).await;
        match tested {
            Ok((access, profile)) => {
                let profile = match profile {
                    Ok(profile) => Ok(profile),
                    Err(refusal) => unreadable(refusal)?,
                };
                // Another run may have sent the token, and earlier.
                let refreshed = self.invocation.activity().has_refreshed();
                let sent_since = refreshed.then_some(self.began);
                self.attach(row, &access, profile, sent_since).await
            }
            Err(NoAccess::Dead(dead)) => self.end_refused(&dead).await,
            Err(NoAccess::NewTokenRefused(refusal)) => Err(Error::from_grant_use(refusal)),
            Err(NoAccess::Failed(error)) => Err(error),
        }
    }

    /// Zoom has refused the token, and the stash if there is one.
    async fn end_refused(&self, dead: &DeadGrant) -> Result<Step, Error> {
        let Some(row) = dead.row.as_ref() else {
            return Ok(Step::LookAgain);
        };
        if row.state != GrantState::Active {
            return Ok(Step::LookAgain);
        }
        let zoom_reason = dead.zoom_reason.clone();
        if dead.reason != ReconnectReason::RefreshOutcomeLost {
            return self.end_dead(row, false, zoom_reason).await;
        }
        // An answer that was lost may be in a capsule. So the row stays, and a replay of the capsule makes it active.
        let secrets = &self.importer.grants.secrets;
        let declare = secrets.mark_dead(self.grant, row, dead.reason)?;
        Ok(match secrets.begin(declare).commit(until()).await? {
            CommitOutcome::Committed => Step::Ended(ImportResult {
                reason: zoom_reason,
                ..ImportResult::new(ImportOutcome::OutcomeLost)
            }),
            CommitOutcome::Refused(_) => Step::LookAgain,
        })
    }

    /// Deletes the grant, and remembers why. Unless `whatever_attempt`, the grant stays if a refresh of it is
    /// unfinished.
    async fn end_dead(
        &self,
        row: &StoredGrant,
        whatever_attempt: bool,
        reason: Option<String>,
    ) -> Result<Step, Error> {
        let Importer {
            grants,
            requests,
            team,
            ..
        } = self.importer;
        let secrets = &grants.secrets;
        let delete = secrets.delete_refused(self.grant, row, whatever_attempt)?;
        let ended = StoredImport {
            team: team.clone(),
            verdict: Some(ImportVerdict::Dead),
            credential: None,
            reason: reason.clone(),
        };
        let ended = requests.end_import(&self.id, &ended)?;
        Ok(
            match secrets.begin(delete).and(ended).commit(until()).await? {
                CommitOutcome::Committed => Step::Ended(ImportResult {
                    reason,
                    ..ImportResult::new(ImportOutcome::Dead)
                }),
                CommitOutcome::Refused(_) => Step::LookAgain,
            },
        )
    }
}

fn of_refused_app(reason: &str, done: &str) -> ImportResult {
    ImportResult::new(ImportOutcome::AppRefused).because(format!("{reason}. {done}"))
}

/// What an import that did not end has done with its token.
fn left_behind(row: &StoredGrant) -> &'static str {
    if row.generation() > 0 || row.stash.is_some() {
        "An earlier run has stored new tokens of this grant, and did not end"
    } else if row.attempt.is_some() {
        "An earlier run may have sent the token, and did not end"
    } else {
        "An earlier run began this import. No token was sent"
    }
}

/// What another team's import of the same token means for this team. Only a grant that is in the vault is there
/// already.
fn of_another_team(known: &StoredImport) -> ImportResult {
    let team = &known.team;
    match known.verdict.map(outcome_of) {
        Some(ImportOutcome::Imported | ImportOutcome::Merged) => {
            ImportResult::new(ImportOutcome::AlreadyThere)
                .because(format!("team {team} imported this token"))
        }
        Some(outcome) => {
            let ended = format!("this is how its import into team {team} ended");
            let reason = known.reason.as_ref();
            ImportResult::new(outcome)
                .because(reason.map_or(ended.clone(), |reason| format!("{reason} ({ended})")))
        }
        None => ImportResult::new(ImportOutcome::Retry).because(format!(
            "team {team} has begun to import this token: import it there again"
        )),
    }
}

fn outcome_of(verdict: ImportVerdict) -> ImportOutcome {
    match verdict {
        ImportVerdict::Imported => ImportOutcome::Imported,
        ImportVerdict::Merged => ImportOutcome::Merged,
        ImportVerdict::Dead => ImportOutcome::Dead,
    }
}

fn until() -> Timestamp {
    Timestamp::now().plus(TRANSACTION_TIMEOUT)
}

/// The profile of a user, or why Zoom does not show it, for the credential's `last_error_message`.
type ProfileRead = Result<Profile, String>;

/// Why the profile can never be read. A failure that passes is an error: another run asks again.
fn unreadable(refusal: zoom::Error) -> Result<ProfileRead, Error> {
    if let zoom::Error::MissingScope { scope } = refusal {
        return Ok(Err(format!(
            "{MISSING_SCOPE}{scope}: the Zoom user's profile cannot be read"
        )));
    }
    let is_final = matches!(
        refusal,
        zoom::Error::UserNotFound { .. } | zoom::Error::RequestRefused { .. }
    );
    if is_final {
        let summary = refusal.summary();
        return Ok(Err(format!(
            "{UNKNOWN_PROFILE}{summary}. The next mint asks Zoom again."
        )));
    }
    Err(Error::from_grant_use(refusal))
}
