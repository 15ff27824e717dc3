//! `cargo run`: the whole vault on this machine, with nothing to install.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use local::stack::{ExternalEndpoints, Options, Stack};
use shared::cause::chain;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use url::Url;

/// The exit code of a process that SIGINT ends: 128 plus the number of the signal.
const INTERRUPTED_EXIT_CODE: i32 = 130;

/// Runs the Zoom credential vault on this machine: API, database, KMS and a Zoom sandbox in one process.
///
/// The data directory keeps everything across restarts. Its file `api-key` holds the API key. Its file `env` sets
/// the variables that other programs need to reach this stack: `set -a; . .local/env; set +a`.
#[derive(Debug, Parser)]
#[command(name = "local", version)]
struct Arguments {
    /// Port of the API; 0 picks a free port
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// Directory for the database, the KMS keys and the API key
    #[arg(long, default_value = ".local")]
    data_dir: PathBuf,
    /// Port of the Zoom sandbox; 0 picks a free port
    #[arg(long, default_value_t = 0)]
    zoom_port: u16,
    /// Use this DynamoDB instead of the built-in database; missing tables are created
    #[arg(long, env = "AWS_ENDPOINT_URL_DYNAMODB", value_name = "URL", value_parser = endpoint)]
    dynamodb: Option<EndpointUrl>,
    /// Use this KMS instead of the built-in KMS; a missing key is created
    #[arg(long, env = "AWS_ENDPOINT_URL_KMS", value_name = "URL", value_parser = endpoint)]
    kms: Option<EndpointUrl>,
    /// Use this Zoom OAuth host instead of the built-in sandbox
    #[arg(long, env = "ZOOM_OAUTH_BASE_URL", value_name = "URL", value_parser = endpoint)]
    zoom_oauth: Option<EndpointUrl>,
    /// Use this Zoom REST host instead of the built-in sandbox
    #[arg(long, env = "ZOOM_API_BASE_URL", value_name = "URL", value_parser = endpoint)]
    zoom_api: Option<EndpointUrl>,
    /// Encrypt with this KMS key (id, ARN or alias) instead of the default key; see docs/operate.md, Keys
    #[arg(long, value_name = "KEY")]
    envelope_key: Option<String>,
    /// Also answer requests to this host name or address, for example 172.17.0.1 for containers. Repeat the option for
    /// several hosts
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<String>,
}

/// A URL, or `None` for an empty value: an empty environment variable means the same as an unset one.
#[derive(Clone, Debug)]
struct EndpointUrl(Option<Url>);

fn endpoint(text: &str) -> Result<EndpointUrl, &'static str> {
    if text.is_empty() {
        return Ok(EndpointUrl(None));
    }
    let url = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"));
    url.map(|url| EndpointUrl(Some(url)))
        .ok_or("not an http or https URL")
}

/// In bytes. Without optimization, the future of a whole invocation is too large for the default of 2 MB. A Lambda
/// function runs in the first thread of its process, which has 8 MB.
const THREAD_STACK: usize = 8 << 20;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The engine logs a warning for every condition that fails. The vault expects failed conditions.
    let filter = Targets::new()
        .with_default(Level::INFO)
        .with_target("dynoxide", Level::ERROR);
    let subscriber = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false);
    subscriber.finish().with(filter).init();
    functions::runtime::hush_panics();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(THREAD_STACK)
        .build();
    let ended = runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run(arguments)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&*error);
            ExitCode::FAILURE
        }
    }
}

fn url(endpoint: Option<EndpointUrl>) -> Option<Url> {
    endpoint.and_then(|endpoint| endpoint.0)
}

fn without_slash(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let stack = Stack::start(Options {
        data_dir: arguments.data_dir,
        port: arguments.port,
        zoom_port: arguments.zoom_port,
        external: ExternalEndpoints {
            dynamodb: url(arguments.dynamodb).as_ref().map(without_slash),
            kms: url(arguments.kms).as_ref().map(without_slash),
            zoom_oauth: url(arguments.zoom_oauth),
            zoom_api: url(arguments.zoom_api),
        },
        envelope_key: arguments.envelope_key,
        allowed_hosts: arguments.allow_host,
    })
    .await?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    greet(&stack)?;
    stack
        .serve(async move {
            either(&mut interrupt, &mut terminate).await;
            tracing::info!("stopping after the running requests; press Ctrl-C again to stop now");
            tokio::spawn(async move {
                either(&mut interrupt, &mut terminate).await;
                std::process::exit(INTERRUPTED_EXIT_CODE);
            });
        })
        .await;
    Ok(())
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

/// Prints the addresses and the first commands to try. It names the file of the API key, and not the key.
fn greet(stack: &Stack) -> std::io::Result<()> {
    let api = without_slash(stack.api());
    let zoom = without_slash(stack.zoom());
    let dir = stack.data_dir().display();
    let mut out = std::io::stdout().lock();
    writeln!(out, "The vault is running.")?;
    writeln!(out, "  API       {api}   (reference: {api}/docs)")?;
    writeln!(out, "  Console   {api}/console   (in a browser)")?;
    writeln!(out, "  Zoom      {zoom}")?;
    writeln!(out, "  Data      {dir}   (API key: {dir}/api-key)")?;
    for (name, url) in stack.external_endpoints() {
        writeln!(out, "  {name:<9} {url}   (external)")?;
    }
    let auth = format!("-H \"x-meeting-baas-api-key: $(cat '{dir}/api-key')\"");
    writeln!(
        out,
        "
Create a credential, then list all credentials:

  curl -s {api}/v2/zoom-credentials {auth} -H 'content-type: application/json' \\
    -d '{{\"name\": \"My bot\", \"client_id\": \"my-app\", \"client_secret\": \"my-secret\"}}'
  curl -s {api}/v2/zoom-credentials {auth}"
    )?;
    if let Some(consent) = stack.consent_url() {
        writeln!(
            out,
            "
Connect a Zoom user, in a browser:

  {consent}"
        )?;
    }
    writeln!(
        out,
        "
Press Ctrl-C to stop. The data directory keeps everything for the next start."
    )?;
    out.flush()
}

/// Prints the error and its causes in one line.
fn print_error(error: &(dyn std::error::Error + 'static)) {
    // A closed standard error leaves no place to report to.
    writeln!(std::io::stderr(), "error: {}", chain(error)).ok();
}
