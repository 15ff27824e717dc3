//! `capsule replay`: stores tokens that a function could only log.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use clap::Subcommand;
use serde::Serialize;
use shared::event::{Change, EventKind};
use shared::grants::capsule::{Capsule, Replayed};
use shared::stores::{self, Credentials, Pairs, Secrets, Trail};
use shared::timestamp::Timestamp;

use crate::error::{Error, store_message};
use crate::output::{self, Output};
use crate::resources::{Resource, Resources};
use crate::trail;

/// How long the replay of one capsule may retry.
const REPLAY_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Store the tokens in logged capsules. Run this as soon as DynamoDB is back, before the next mint
    ///
    /// Reads standard input: log lines as CloudWatch prints them, or bare capsules. All other text is ignored. A
    /// capsule that cannot be stored does not stop the others. A second replay does no harm. A capsule contains only
    /// ids and ciphertext, and only the vault can open it.
    ///
    /// A capsule of a refresh goes back to its grant. A capsule of an authorization goes to the credential that was
    /// authorized, if nothing has changed since. Otherwise, and for a new credential, the tokens are stored without a
    /// credential, and keep-alive gives them to the other credentials of the user.
    Replay,
}

/// What happened to one capsule.
enum Outcome {
    /// Nothing is left to do.
    Done(&'static str),
    NotStored(String),
}

impl Outcome {
    /// The outcome in a sum of all capsules.
    fn name(&self) -> &'static str {
        match self {
            Self::Done(text) => text,
            Self::NotStored(_) => "NOT STORED",
        }
    }
}

/// One capsule and what happened to it.
struct ReplayedCapsule {
    /// `None` if the capsule is incomplete.
    grant: Option<String>,
    kind: Option<&'static str>,
    generation: Option<u64>,
    outcome: Outcome,
}

/// The result of one capsule, in the output.
#[derive(Serialize)]
struct ReplayView {
    grant: Option<String>,
    /// Whether a refresh or an authorization made the tokens.
    kind: Option<&'static str>,
    generation: Option<u64>,
    /// Whether nothing is left to do.
    done: bool,
    outcome: String,
}

impl From<ReplayedCapsule> for ReplayView {
    fn from(capsule: ReplayedCapsule) -> Self {
        let done = matches!(capsule.outcome, Outcome::Done(_));
        Self {
            grant: capsule.grant,
            kind: capsule.kind,
            generation: capsule.generation,
            done,
            outcome: match capsule.outcome {
                Outcome::Done(text) => text.to_owned(),
                Outcome::NotStored(reason) => format!("NOT STORED: {reason}"),
            },
        }
    }
}

/// The tables that a replay writes.
pub(crate) struct Stores {
    pub(crate) credentials: Credentials,
    pub(crate) pairs: Pairs,
    pub(crate) secrets: Secrets,
    /// `None` if it is not known who the operator is. A replay must not fail for that.
    pub(crate) trail: Option<Trail>,
}

impl Stores {
    pub(crate) async fn open(
        config: &SdkConfig,
        client: &Client,
        resources: &Resources,
        output: Output,
    ) -> Result<Self, Error> {
        let trail = trail::open(config, client, resources).await;
        let trail = trail.inspect_err(|error| {
            output.note(&format!("no event will say who did this: {error}"));
        });
        Ok(Self {
            credentials: Credentials::new(client.clone(), resources.name(Resource::Credentials)?),
            pairs: Pairs::new(client.clone(), resources.name(Resource::Pairs)?),
            secrets: Secrets::new(client.clone(), resources.name(Resource::Secrets)?),
            trail: trail.ok(),
        })
    }
}

pub(crate) async fn run(command: Command, stores: &Stores, output: Output) -> Result<(), Error> {
    match command {
        Command::Replay => replay_all(stores, output).await,
    }
}

async fn replay_all(stores: &Stores, output: Output) -> Result<(), Error> {
    let mut input = Vec::new();
    io::stdin().lock().read_to_end(&mut input)?;
    let (mut views, mut sum) = (Vec::new(), BTreeMap::new());
    for text in capsules_in(&String::from_utf8_lossy(&input)) {
        let capsule = replay(text, stores, output).await;
        *sum.entry(capsule.outcome.name()).or_insert(0) += 1;
        views.push(ReplayView::from(capsule));
    }
    if views.is_empty() {
        return Err(Error::NoCapsule);
    }
    output.print(&views, &table(&views))?;
    let sum = sum.iter().map(|(name, count)| format!("{count} {name}"));
    let sum = sum.collect::<Vec<_>>().join(", ");
    output.note(&format!("{} capsules: {sum}", views.len()));
    match views.iter().filter(|view| !view.done).count() {
        0 => Ok(()),
        failed => Err(Error::CapsulesNotStored {
            failed,
            all: views.len(),
        }),
    }
}

/// Stores one capsule, and reports a failure as its outcome: another capsule may still be stored.
async fn replay(text: &str, stores: &Stores, output: Output) -> ReplayedCapsule {
    let Ok(capsule) = text.parse::<Capsule>() else {
        let reason = "the capsule is incomplete; copy its log line again, to the end";
        return ReplayedCapsule {
            grant: None,
            kind: None,
            generation: None,
            outcome: Outcome::NotStored(reason.to_owned()),
        };
    };
    let Stores {
        credentials,
        pairs,
        secrets,
        trail,
    } = stores;
    let until = Timestamp::now().plus(REPLAY_TIMEOUT);
    let replayed = capsule.replay(credentials, pairs, secrets, until).await;
    let has_stored = matches!(
        replayed,
        Ok(Replayed::Stored | Replayed::Stashed | Replayed::Stray)
    );
    if let (true, Some(trail)) = (has_stored, trail) {
        let change = Change::new(EventKind::CapsuleReplayed, Vec::new());
        if let Err(error) = trail
            .record(capsule.team(), capsule.credential(), change)
            .await
        {
            output.note(&format!(
                "{}: stored, but there is no event of it: {}",
                capsule.grant(),
                store_message(&error)
            ));
        }
    }
    let (kind, generation) = match &capsule {
        Capsule::Refresh(capsule) => ("refresh", capsule.pair.sealed.generation()),
        Capsule::Authorization(capsule) => ("authorization", capsule.row.sealed.generation()),
    };
    ReplayedCapsule {
        grant: Some(capsule.grant().to_string()),
        kind: Some(kind),
        generation: Some(generation),
        outcome: outcome_of(replayed),
    }
}

fn outcome_of(replayed: Result<Replayed, stores::Error>) -> Outcome {
    match replayed {
        Ok(Replayed::Stored) => Outcome::Done("stored"),
        Ok(Replayed::Stashed) => Outcome::Done("kept beside a newer pair"),
        Ok(Replayed::Stray) => Outcome::Done(
            "stored without a credential: the user's other credentials find it",
        ),
        Ok(Replayed::Known) => Outcome::Done("stored before"),
        Ok(Replayed::Refused) => Outcome::Done("the grant's tokens were destroyed since"),
        Err(stores::Error::Conflict) => Outcome::NotStored(
            "the grant already has a second pair; mint once, so that the vault tries that pair, then replay again"
                .to_owned(),
        ),
        Err(error @ stores::Error::RowTooLarge { .. }) => Outcome::NotStored(format!(
            "{}. A mint may still work with the pair in the row; if not, the user must authorize again",
            store_message(&error)
        )),
        Err(error) => Outcome::NotStored(store_message(&error)),
    }
}

fn table(views: &[ReplayView]) -> String {
    let rows = views.iter().map(|view| {
        let unknown = || "?".to_owned();
        [
            view.grant.clone().unwrap_or_else(unknown),
            view.kind.map_or_else(unknown, str::to_owned),
            view.generation
                .map_or_else(unknown, |generation| generation.to_string()),
            view.outcome.clone(),
        ]
    });
    output::table(["GRANT", "KIND", "GENERATION", "OUTCOME"], rows.collect())
}

/// Finds every capsule in a text, whatever surrounds it. Capsules that are cut off count too: the operator must learn
/// about them.
fn capsules_in(text: &str) -> impl Iterator<Item = &str> {
    let starts = text.match_indices(Capsule::PREFIX);
    starts.filter_map(|(start, prefix)| {
        let rest = text.get(start..)?;
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let length = rest.bytes().take_while(|byte| is_base64(*byte)).count();
        rest.get(..length.max(prefix.len()))
    })
}
