//! What can go wrong, in words that say what to do.

use std::io;

use aws_sdk_dynamodb::error::ErrorMetadata;
use shared::credential::{CredentialId, TeamId};
use shared::{envelope, stores};

use crate::PROGRAM;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "no AWS region: set AWS_REGION, or a region in the profile that AWS_PROFILE names. For the local stack, `set -a; . .local/env` sets it"
    )]
    NoRegion,
    #[error(
        "no AWS credentials: log in (`aws sso login`), or set AWS_PROFILE. For the local stack, `set -a; . .local/env` sets some. ({0})"
    )]
    NoCredentials(String),
    #[error("team {0} exists already; `{PROGRAM} teams set {0} --rate N` changes its rate")]
    TeamExists(TeamId),
    #[error("there is no team {0}; create it first: `{PROGRAM} teams create {0}`")]
    NoTeam(TeamId),
    #[error("team {team} has no key {key_id}; `{PROGRAM} keys list --team {team}` lists its keys")]
    NoKey { team: TeamId, key_id: String },
    /// Does not repeat what was given: it may be a key.
    #[error(
        "KEY_ID is not the id of a key: that is 12 hex digits, as `{PROGRAM} keys list --team {0}` shows them"
    )]
    NoKeyId(TeamId),
    #[error(
        "whether the key was stored is not known, and it is not shown: `{PROGRAM} keys list --team {team}` tells; revoke one that you did not see, and try again. ({})",
        chain(source)
    )]
    Unsure { team: TeamId, source: stores::Error },
    #[error(
        "the key was stored but could not be shown, and is lost: revoke it (`{PROGRAM} keys revoke --team {team} {key_id}`) and create another. ({source})"
    )]
    Unseen {
        team: TeamId,
        key_id: String,
        source: io::Error,
    },
    #[error(
        "there is no table {tables} in {region}: check the name (--stack, or the option that names the table), the region (AWS_REGION) and the account (AWS_PROFILE)"
    )]
    NoTable { tables: String, region: String },
    #[error(
        "there is no stack {stack} in {region}: check the name (--stack, STACK), the region (AWS_REGION) and the account (AWS_PROFILE)"
    )]
    NoStack { stack: String, region: String },
    #[error(
        "stack {stack} ({status}) has no output {output}: it is of another template or version, or was not deployed to its end. Deploy this version's template, or name the part itself (`{PROGRAM} --help` lists the options)"
    )]
    NoOutput {
        stack: String,
        output: &'static str,
        status: String,
    },
    #[error(
        "looking at stack {stack} was denied: you need the policy in its output OperatorPolicy (for capsules, RecoveryPolicy; for credentials, RestorePolicy or PurgePolicy; for doctor, DoctorPolicy; for rewrap, the role in RewrapRole), and AWS_PROFILE must name whoever has it. Where the name is wrong, the answer is the same. ({why})"
    )]
    StackDenied { stack: String, why: String },
    #[error("looking at stack {stack} was refused: {why}")]
    StackRefused { stack: String, why: String },
    #[error(
        "CloudFormation does not answer: {0}. Try again, or name the table itself (`{PROGRAM} --help` lists the options)"
    )]
    NoCloudFormation(String),
    #[error(
        "no line of the input holds a capsule: pipe in the log lines that say \"a refreshed grant could not be stored\""
    )]
    NoCapsule,
    #[error(
        "{failed} capsules are not stored, as the list says; the others are. Replay them again: doing it twice does no harm"
    )]
    CapsulesLeft { failed: u32 },
    #[error(
        "team {team} has no deleted credential {id}: it was never deleted, or its time is over; `{PROGRAM} credentials list --team {team} --deleted` lists those that can be restored"
    )]
    NotDeleted { team: TeamId, id: CredentialId },
    #[error(
        "{0} rows belong to no credential: `{PROGRAM} credentials sweep --destroy` destroys them. What is being purged, or was authorized anew a moment ago, leaves some for a moment"
    )]
    Orphans(usize),
    #[error(
        "there is nobody to ask, since standard input is no terminal: say --yes if you mean it"
    )]
    NobodyToAsk,
    #[error("not confirmed, and nothing was destroyed")]
    NotConfirmed,
    #[error("{}", told(.0))]
    Store(#[from] stores::Error),
    #[error(
        "{}. Check the key (--stack or --envelope-key) and that you may use it: the role in the stack's output RewrapRole may",
        chain(.0)
    )]
    Envelope(#[from] envelope::Error),
    #[error(
        "key {arn} is in state {state} and cannot wrap anything: enable it, or cancel its deletion (`aws kms enable-key`, `aws kms cancel-key-deletion`)"
    )]
    KeyUnusable { arn: String, state: String },
    #[error("{count} findings need something done, as the list says")]
    Unwell { count: usize },
    #[error(
        "rewrapping stopped: {why}. What was moved stays moved; run it again, and it goes on where it stopped"
    )]
    RewrapStopped { why: Box<Error> },
    #[error(
        "{left} rows are still wrapped by another key: functions that were deployed with it still seal with it. Deploy with the new key first, then run this again"
    )]
    StillSealing { left: u64 },
    #[error(
        "{left} rows are still wrapped by another key, and KMS refuses to move {}. Each is a row that was moved or altered: no function can open it either",
        .broken.join(", ")
    )]
    Immovable { left: u64, broken: Vec<String> },
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl Error {
    /// `missing` where the store found nothing.
    pub(crate) fn absent(error: stores::Error, missing: Self) -> Self {
        if matches!(error, stores::Error::NotFound) {
            missing
        } else {
            error.into()
        }
    }

    /// Names the table, where it is the table that is missing.
    pub(crate) fn locate(self, tables: &[String], region: String) -> Self {
        if let Self::Store(error) = &self
            && matches!(error, stores::Error::NoTable { .. })
        {
            let tables = tables.join(" or ");
            Self::NoTable { tables, region }
        } else {
            self
        }
    }

    /// Whoever read the output has seen enough.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

fn told(error: &stores::Error) -> String {
    match error {
        stores::Error::Unavailable { operation, source } => {
            let why = chain(source.as_ref());
            format!(
                "DynamoDB does not answer ({operation}): {why}. Try again; where AWS_ENDPOINT_URL_DYNAMODB is set, check that the local stack is running (`cargo run`)"
            )
        }
        stores::Error::Shape(_) => format!(
            "{}: either it is not the table that --stack or the table's own option names, or the row is of another version than this program: use the program of the version that is deployed",
            chain(error)
        ),
        stores::Error::Refused { .. } if code(error) == Some("ValidationException") => format!(
            "{}: is it the right table that the option names?",
            chain(error)
        ),
        stores::Error::Denied { .. } => format!(
            "{}. The policy in the stack's output OperatorPolicy (for capsules, RecoveryPolicy; for credentials, RestorePolicy or PurgePolicy; for doctor, DoctorPolicy; for rewrap, the role in RewrapRole) allows it: attach that to whoever runs this, or assume that role",
            chain(error)
        ),
        stores::Error::NoTable { .. }
        | stores::Error::Refused { .. }
        | stores::Error::NotFound
        | stores::Error::Conflict => chain(error),
    }
}

/// What DynamoDB calls the error.
fn code(error: &stores::Error) -> Option<&str> {
    causes(error).find_map(|cause| cause.downcast_ref::<ErrorMetadata>()?.code())
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}
/// An error and its causes, each said once.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        // AWS's own sentence, which otherwise shows as a struct.
        let said = cause
            .downcast_ref::<ErrorMetadata>()
            .and_then(ErrorMetadata::message)
            .map_or_else(|| cause.to_string(), str::to_owned);
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
    }
    text
}
