//! The errors of this program. Each message says what happened, to which resource, and what to do next.

use std::io;

use aws_sdk_dynamodb::error::ErrorMetadata;
use shared::api_key::KeyId;
use shared::credential::{CredentialId, TeamId};
use shared::{config, envelope, queue, stores};

use crate::PROGRAM;
use crate::credentials::KEY_VARIABLE;
use crate::import::SECRET_VARIABLE;
use crate::output::{self, list_ids};

/// Which policy allows which commands, for messages about a missing right.
const POLICIES: &str = "OperatorPolicy (for `capsule`: RecoveryPolicy; for `credentials`: RestorePolicy or \
                        PurgePolicy; for `doctor`: DoctorPolicy; for `rewrap`: the role in RewrapRole; for `import`: the role in \
                        ImportRole)";

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "no AWS region is configured: set AWS_REGION, or set a region in the profile that AWS_PROFILE names. For the local stack, run `set -a; . .local/env`"
    )]
    NoRegion,
    #[error(
        "no AWS credentials: log in (`aws sso login`), or set AWS_PROFILE. For the local stack, run `set -a; . .local/env`. ({0})"
    )]
    NoCredentials(String),
    #[error("team {0} exists already; to change its settings, use `{PROGRAM} teams set {0}`")]
    TeamExists(TeamId),
    #[error("there is no team {0}; create it first: `{PROGRAM} teams create {0}`")]
    NoTeam(TeamId),
    #[error("team {team} has no key {key_id}; `{PROGRAM} keys list --team {team}` lists its keys")]
    NoKey { team: TeamId, key_id: String },
    #[error(
        "key {key_id} of team {team} is revoked or has expired; create a new one with `{PROGRAM} keys create --team {team}`"
    )]
    KeyHasEnded { team: TeamId, key_id: KeyId },
    #[error(
        "key {key_id} of team {team} was rotated before: key {by} replaces it. To rotate again, rotate {by}. If nobody has the text of {by}, revoke {by}, and create a new key with `{PROGRAM} keys create --team {team}`"
    )]
    KeyIsReplaced {
        team: TeamId,
        key_id: KeyId,
        by: KeyId,
    },
    #[error(
        "key {key_id} of team {team} was rotated or revoked by another operator at the same time; look at `{PROGRAM} keys list --team {team}`"
    )]
    KeyChanged { team: TeamId, key_id: KeyId },
    #[error(
        "--rate {rate} is more than team {team} may make: {changes} changes and {mints} mints a second. Choose at most {most}, or raise the team's rates with `{PROGRAM} teams set {team}`"
    )]
    KeyRateAboveTeam {
        team: TeamId,
        rate: u32,
        changes: u32,
        mints: u32,
        most: u32,
    },
    #[error(
        "the id of {kind} is a UUID, as in the column ACTOR of `{PROGRAM} events --team {team} --actor {kind}`"
    )]
    MalformedActorId { team: TeamId, kind: &'static str },
    #[error("--actor and --actor-id name two different actors; leave out --actor-id")]
    TwoActorIds,
    /// Does not repeat the input: it may be a secret.
    #[error(
        "standard input is not a token URL: it has no part that begins with ztu_ and is complete. Paste the whole URL"
    )]
    MalformedUrl,
    #[error(
        "no token URL has this secret: another vault made the URL, or its row was deleted after the URL ended. Check that --stack names the right vault"
    )]
    NoTokenUrl,
    #[error(transparent)]
    Configuration(#[from] config::Error),
    #[error("AWS does not say who you are, and every change is recorded with its author: {0}")]
    UnknownOperator(String),
    /// Does not repeat the argument: it may be the API key itself.
    #[error(
        "KEY_ID is not the id of a key: an id has 12 hex digits, as in the output of `{PROGRAM} keys list --team {0}`"
    )]
    MalformedKeyId(TeamId),
    #[error(
        "the request to store the new key failed, but the key may be stored. The key is not shown. Run `{PROGRAM} keys list --team {team}`, revoke any key that you do not know, and try again. ({})",
        chain(source)
    )]
    KeyMayBeStored { team: TeamId, source: stores::Error },
    #[error(
        "the new key {key_id} is stored but could not be printed, so nobody knows it: revoke it (`{PROGRAM} keys revoke --team {team} {key_id}`) and create another. ({source})"
    )]
    KeyNotPrinted {
        team: TeamId,
        key_id: String,
        source: io::Error,
    },
    #[error(
        "there is no table {name} in {region}: check the name (--stack, or the option for this table), the region (AWS_REGION) and the account (AWS_PROFILE)"
    )]
    NoTable { name: String, region: String },
    #[error("{name} {problem}. Check the name in {option}, or in --stack")]
    WrongTable {
        name: String,
        problem: String,
        option: &'static str,
    },
    #[error(
        "there is no stack {stack} in {region}: check the name (--stack, STACK), the region (AWS_REGION) and the account (AWS_PROFILE)"
    )]
    NoStack { stack: String, region: String },
    #[error(
        "stack {stack} ({status}) has no output {output}: it comes from another template or version, or its deployment did not complete. Deploy this version's template, or name the resource yourself (`{PROGRAM} --help` lists the options)"
    )]
    NoOutput {
        stack: String,
        output: &'static str,
        status: String,
    },
    #[error(
        "you may not describe stack {stack}, or its name is wrong: AWS gives the same answer. AWS_PROFILE must name a user or role with the policy in the stack's output {POLICIES}. ({reason})"
    )]
    StackDenied { stack: String, reason: String },
    #[error("CloudFormation refused to describe stack {stack}: {reason}")]
    StackRefused { stack: String, reason: String },
    #[error(
        "CloudFormation does not answer: {0}. Try again, or name the resources yourself (`{PROGRAM} --help` lists the options)"
    )]
    CloudFormationUnavailable(String),
    #[error(
        "the input contains no capsule: pipe in the log lines that say \"tokens of a grant could not be stored\""
    )]
    NoCapsule,
    #[error(
        "{failed} of {all} capsules are not stored: the list says why. When the cause is gone, replay all capsules again: a second replay does no harm"
    )]
    CapsulesNotStored { failed: usize, all: usize },
    #[error(
        "{} rows of unknown shape are missing from the list: {}. Another version of the vault wrote them, or somebody changed them by hand. Use the program of the version that is deployed, or restore these rows from a backup",
        .0.len(),
        list_ids(.0)
    )]
    UnreadableRows(Vec<String>),
    #[error(
        "team {team} has no deleted credential {id}: it was never deleted, or it is too late to restore it. `{PROGRAM} credentials list --team {team} --deleted` lists the credentials that you can restore"
    )]
    NotDeleted { team: TeamId, id: CredentialId },
    #[error(
        "team {team} has no credential {id}: its id is wrong, or its data was purged. `{PROGRAM} credentials list --team {team}` lists the credentials, with --deleted the deleted ones"
    )]
    NoCredential { team: TeamId, id: CredentialId },
    #[error(
        "no team has a credential {0}: its id is wrong, or its data was purged. `{PROGRAM} credentials list --all-teams` lists the credentials, with --deleted the deleted ones"
    )]
    NoCredentialAnywhere(CredentialId),
    #[error(
        "credential {id} of team {team} is not deleted, and only a deleted credential can be purged. Delete it over the API first (`DELETE /v2/zoom-credentials/{id}`)"
    )]
    CredentialIsLive { team: TeamId, id: CredentialId },
    #[error(
        "a check opens the grant, and no operator may do that. So this command asks the API: set {KEY_VARIABLE} to an API key of the credential's team with the permission `full`. To make one for a day: `{PROGRAM} keys create --team TEAM --permission full --expires-in-days 1`. On the local stack: `export {KEY_VARIABLE}=$(cat .local/api-key)`"
    )]
    NoApiKey,
    #[error(
        "the API refuses the key in {KEY_VARIABLE}: it is wrong, revoked or expired, or has another permission than `full`"
    )]
    ApiKeyRefused,
    #[error(
        "the team of the key in {KEY_VARIABLE} has no credential {0}, or the credential is deleted. `{PROGRAM} credentials show {0}` says which team has it"
    )]
    NotOfKeysTeam(CredentialId),
    #[error("a use of credential {0} fails: the list says why")]
    CheckFailed(CredentialId),
    #[error(
        "the address of the API must be an https URL, or an http URL of this machine: check --api-url (or API_URL)"
    )]
    MalformedApiUrl,
    #[error("the API does not answer: {0}. Check --api-url (or API_URL), or --stack")]
    ApiUnavailable(String),
    #[error("the API answers {0}")]
    ApiRefused(String),
    #[error(
        "{0} is not the address of a service: set it to a URL such as http://127.0.0.1:8000, or unset it to use AWS"
    )]
    MalformedEndpoint(&'static str),
    #[error(
        "the purge is complete, but the counts of the credential's app and user are wrong, so grants were kept. Correct the counts with `{PROGRAM} credentials sweep --repair`, then destroy what nobody needs with `{PROGRAM} credentials sweep --destroy`"
    )]
    CountsWrong,
    #[error(
        "{0} problems found, see the list. `{PROGRAM} credentials sweep --repair` corrects what can be corrected, and `--destroy` also destroys what belongs to no credential. A purge or a new authorization that is in progress can leave such rows for a moment, so run the sweep again first"
    )]
    SweepFound(usize),
    #[error("{0} problems are left, see the list")]
    SweepLeft(usize),
    #[error(
        "{} rows of unknown shape: {}. So this program cannot tell which rows belong to no credential, and has changed nothing. Another version of the vault wrote these rows, or somebody changed them by hand. Use the program of the version that is deployed, or restore these rows from a backup",
        .0.len(),
        list_ids(.0)
    )]
    SweepCannotRead(Vec<String>),
    #[error(
        "this command needs a confirmation, but standard input is not a terminal: pass --yes to confirm"
    )]
    NoTerminal,
    #[error("not confirmed; nothing was destroyed")]
    NotConfirmed,
    #[error(
        "{}. Check the queue (--stack or --lost-notifications) and your right to move its messages: attach the policy in the stack's output OperatorPolicy",
        chain(.0)
    )]
    Queue(#[from] queue::Error),
    #[error("{}", store_message(.0))]
    Store(#[from] stores::Error),
    #[error(
        "{}. Check the key (--stack or --envelope-key) and your right to use it: assume the role in the stack's output RewrapRole",
        chain(.0)
    )]
    Envelope(#[from] envelope::Error),
    #[error(
        "key {arn} is in state {state} and cannot wrap anything: enable it, or cancel its deletion (`aws kms enable-key`, `aws kms cancel-key-deletion`)"
    )]
    KeyUnusable { arn: String, state: String },
    #[error("{} found: the list says what to do about each", output::count(*.count, "problem"))]
    ProblemsFound { count: usize },
    #[error(
        "rewrapping stopped: {cause}. Rows that were moved stay moved. Run the command again to continue"
    )]
    RewrapStopped { cause: Box<Error> },
    #[error(
        "{left} rows are still wrapped by another key, because deployed functions still seal with it. Deploy with the new key first, then run this command again"
    )]
    OldKeyInUse { left: u64 },
    #[error(
        "{left} rows are still wrapped by another key, and these rows cannot be moved: {}. Somebody moved or altered them, so no function can open them either: restore them from a backup",
        .rows.join(", ")
    )]
    CorruptRows { left: u64, rows: Vec<String> },
    #[error("the file {name}: {source}")]
    ImportFile { name: String, source: io::Error },
    #[error("{name} is not destroyed: {reason}")]
    FileKept { name: String, reason: &'static str },
    #[error(
        "cannot listen for Ctrl-C and SIGTERM, which must not interrupt a refresh: {0}. Nothing was sent"
    )]
    Signals(io::Error),
    #[error("--report names the export itself: choose another file for the report")]
    ReportIsInput,
    /// Does not repeat the secret.
    #[error(
        "the client secret {0}: check the file of --client-secret-file, or the variable {SECRET_VARIABLE}"
    )]
    MalformedClientSecret(&'static str),
    #[error(
        "{} cannot be imported: the list says why. Correct the file, or import the others",
        output::count(*.0, "line")
    )]
    MalformedLines(usize),
    #[error("{} not in the vault: see the list{}", output::count(*.left, "line"), run_again(*.open))]
    NotImported { left: usize, open: usize },
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

/// What to do about the lines of an import that another run can import.
fn run_again(open: usize) -> String {
    if open == 0 {
        return String::new();
    }
    format!(
        ". For {open} of them, correct what the list says, and run the same command again, with another file for --report"
    )
}

impl Error {
    /// Fails if rows of unknown shape are missing from a list.
    pub(crate) fn fail_if_unreadable(ids: Vec<String>) -> Result<(), Self> {
        if ids.is_empty() {
            Ok(())
        } else {
            Err(Self::UnreadableRows(ids))
        }
    }

    /// Replaces a store's `NotFound` by `missing`, which names the missing resource.
    pub(crate) fn not_found_as(error: stores::Error, missing: Self) -> Self {
        if matches!(error, stores::Error::NotFound) {
            missing
        } else {
            error.into()
        }
    }

    /// Whether the reader of stdout closed it, as `head` does. That is no failure.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

pub(crate) fn store_message(error: &stores::Error) -> String {
    match error {
        stores::Error::Unavailable { operation, source } => {
            let reason = chain(source.as_ref());
            format!(
                "DynamoDB does not answer ({operation}): {reason}. Try again. If AWS_ENDPOINT_URL_DYNAMODB is set, check that the local stack is running (`cargo run`)"
            )
        }
        stores::Error::Shape(_) => format!(
            "{}: either --stack or the table's option names another table, or another version of the vault wrote the row. Use the program of the version that is deployed",
            chain(error)
        ),
        stores::Error::Refused { .. } if has_other_keys(error) => format!(
            "{}: check that the option names the right table",
            chain(error)
        ),
        stores::Error::Denied { .. } => format!(
            "{}. Attach the policy that allows this command to your user or role: the one in the stack's output {POLICIES}",
            chain(error)
        ),
        stores::Error::NoTable { .. }
        | stores::Error::Refused { .. }
        | stores::Error::RowTooLarge { .. }
        | stores::Error::NotFound
        | stores::Error::Conflict => chain(error),
    }
}

/// DynamoDB's code for the error.
fn code(error: &stores::Error) -> Option<&str> {
    causes(error).find_map(|cause| cause.downcast_ref::<ErrorMetadata>()?.code())
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

/// The messages of an error and of its causes, without repetitions.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        // `ErrorMetadata` prints as a struct. Its message is what AWS says.
        let message = cause
            .downcast_ref::<ErrorMetadata>()
            .and_then(ErrorMetadata::message)
            .map_or_else(|| cause.to_string(), str::to_owned);
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
    }
    text
}

/// Whether DynamoDB says that the row has other keys than the table. Of a transaction, only the message says so.
fn has_other_keys(error: &stores::Error) -> bool {
    code(error) == Some("ValidationException") || chain(error).contains("ValidationError")
}
