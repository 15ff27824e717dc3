//! `cargo run`: the whole vault on this machine, nothing to install.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use local::stack::{Elsewhere, Options, Stack};
use shared::cause::chain;
use tokio::signal::unix::{SignalKind, signal};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use url::Url;

/// Runs the Zoom credential vault on this machine: API, database, KMS and a Zoom sandbox in one process.
///
/// Everything is kept in the data directory and is there again after a restart. The API key is in its file
/// `api-key`; its file `env` points other programs at the stack: `set -a; . .local/env; set +a`.
#[derive(Debug, Parser)]
#[command(name = "local", version)]
struct Arguments {
    /// Port of the API; 0 picks a free one
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// Where data, keys and the API key are kept
    #[arg(long, default_value = ".local")]
    data_dir: PathBuf,
    /// Port of the Zoom sandbox; 0 picks a free one
    #[arg(long, default_value_t = 0)]
    zoom_port: u16,
    /// Use this DynamoDB instead of the built-in one; missing tables are created there
    #[arg(long, env = "AWS_ENDPOINT_URL_DYNAMODB", value_name = "URL", value_parser = endpoint)]
    dynamodb: Option<Endpoint>,
    /// Use this KMS instead of the built-in one; a missing key is created there
    #[arg(long, env = "AWS_ENDPOINT_URL_KMS", value_name = "URL", value_parser = endpoint)]
    kms: Option<Endpoint>,
    /// Use this Zoom OAuth host instead of the built-in sandbox
    #[arg(long, env = "ZOOM_OAUTH_BASE_URL", value_name = "URL", value_parser = endpoint)]
    zoom_oauth: Option<Endpoint>,
    /// Use this Zoom REST host instead of the built-in sandbox
    #[arg(long, env = "ZOOM_API_BASE_URL", value_name = "URL", value_parser = endpoint)]
    zoom_api: Option<Endpoint>,
    /// Seal with this KMS key, by id, ARN or alias, instead of the first one: see docs/operate.md, Keys
    #[arg(long, value_name = "KEY")]
    envelope_key: Option<String>,
}

/// A URL, or nothing: an empty variable is as good as none.
#[derive(Clone, Debug)]
struct Endpoint(Option<Url>);

fn endpoint(text: &str) -> Result<Endpoint, &'static str> {
    if text.is_empty() {
        return Ok(Endpoint(None));
    }
    let url = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"));
    url.map(|url| Endpoint(Some(url)))
        .ok_or("not an http or https URL")
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The engine warns of every condition that does not hold: to us that is an answer like others.
    let heard = Targets::new()
        .with_default(Level::INFO)
        .with_target("dynoxide", Level::ERROR);
    let lines = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false);
    lines.finish().with(heard).init();
    functions::runtime::hush_panics();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&*error);
            ExitCode::FAILURE
        }
    }
}

fn url(endpoint: Option<Endpoint>) -> Option<Url> {
    endpoint.and_then(|endpoint| endpoint.0)
}

fn bare(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let stack = Stack::start(Options {
        data_dir: arguments.data_dir,
        port: arguments.port,
        zoom_port: arguments.zoom_port,
        elsewhere: Elsewhere {
            dynamodb: url(arguments.dynamodb).as_ref().map(bare),
            kms: url(arguments.kms).as_ref().map(bare),
            zoom_oauth: url(arguments.zoom_oauth),
            zoom_api: url(arguments.zoom_api),
        },
        envelope_key: arguments.envelope_key,
    })
    .await?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    greet(&stack)?;
    stack
        .serve(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            tracing::info!("finishing what is under way; once more to stop at once");
            tokio::spawn(async move {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                std::process::exit(130);
            });
        })
        .await?;
    Ok(())
}

/// What to try next. The API key is named and not shown.
fn greet(stack: &Stack) -> std::io::Result<()> {
    let api = stack.api().as_str().trim_end_matches('/');
    let dir = stack.data_dir().display();
    let mut out = std::io::stdout().lock();
    writeln!(out, "The vault is up.")?;
    writeln!(out, "  API       {api}   (reference: {api}/docs)")?;
    writeln!(
        out,
        "  Zoom      {}",
        stack.zoom().as_str().trim_end_matches('/')
    )?;
    writeln!(out, "  Data      {dir}   (the API key is in {dir}/api-key)")?;
    for (part, url) in stack.elsewhere() {
        writeln!(out, "  {part:<9} {url}   (not built in)")?;
    }
    writeln!(out)?;
    writeln!(out, "Create a credential, then list what there is:")?;
    writeln!(out)?;
    let auth = format!("-H \"x-meeting-baas-api-key: $(cat '{dir}/api-key')\"");
    writeln!(
        out,
        "  curl -s {api}/v2/zoom-credentials {auth} -H 'content-type: application/json' \\"
    )?;
    writeln!(
        out,
        "    -d '{{\"name\": \"My bot\", \"client_id\": \"my-app\", \"client_secret\": \"my-secret\"}}'"
    )?;
    writeln!(out, "  curl -s {api}/v2/zoom-credentials {auth}")?;
    if let Some(consent) = stack.consent() {
        writeln!(out)?;
        writeln!(out, "Connect a Zoom user, in a browser:")?;
        writeln!(out)?;
        writeln!(out, "  {consent}")?;
    }
    writeln!(out)?;
    writeln!(
        out,
        "Ctrl-C stops it; everything is there again at the next start."
    )?;
    out.flush()
}

/// The error and what is under it, in one line.
fn complain(error: &(dyn std::error::Error + 'static)) {
    // Where standard error is gone too, there is nobody to tell.
    writeln!(std::io::stderr(), "error: {}", chain(error)).ok();
}
