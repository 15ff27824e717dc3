//! `cargo run`: the whole vault on this machine, nothing to install.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use local::stack::{Elsewhere, Options, Stack};
use tokio::signal::unix::{SignalKind, signal};
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
    #[arg(long, env = "AWS_ENDPOINT_URL_DYNAMODB", value_name = "URL")]
    dynamodb: Option<String>,
    /// Use this KMS instead of the built-in one; a missing key is created there
    #[arg(long, env = "AWS_ENDPOINT_URL_KMS", value_name = "URL")]
    kms: Option<String>,
    /// Use this Zoom OAuth host instead of the built-in sandbox
    #[arg(long, env = "ZOOM_OAUTH_BASE_URL", value_name = "URL")]
    zoom_oauth: Option<Url>,
    /// Use this Zoom REST host instead of the built-in sandbox
    #[arg(long, env = "ZOOM_API_BASE_URL", value_name = "URL")]
    zoom_api: Option<Url>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false)
        .init();
    functions::runtime::hush_panics();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&*error);
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let stack = Stack::start(Options {
        data_dir: arguments.data_dir,
        port: arguments.port,
        zoom_port: arguments.zoom_port,
        elsewhere: Elsewhere {
            dynamodb: arguments.dynamodb,
            kms: arguments.kms,
            zoom_oauth: arguments.zoom_oauth,
            zoom_api: arguments.zoom_api,
        },
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
    writeln!(out)?;
    writeln!(out, "Create a credential, then list what there is:")?;
    writeln!(out)?;
    writeln!(
        out,
        "  curl -s {api}/v2/zoom-credentials -H \"x-meeting-baas-api-key: $(cat {dir}/api-key)\" \\"
    )?;
    writeln!(
        out,
        "    --json '{{\"name\": \"My bot\", \"client_id\": \"my-app\", \"client_secret\": \"my-secret\"}}'"
    )?;
    writeln!(
        out,
        "  curl -s {api}/v2/zoom-credentials -H \"x-meeting-baas-api-key: $(cat {dir}/api-key)\""
    )?;
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
fn complain(error: &dyn std::error::Error) {
    let mut line = format!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    // Where standard error is gone too, there is nobody to tell.
    writeln!(std::io::stderr(), "{line}").ok();
}
