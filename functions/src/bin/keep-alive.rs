//! Refreshes the grants that nobody has used for a while. On a schedule.

use functions::{background, runtime};
use futures_util::future::join;
use shared::config::{self, Aws, required};
use shared::envelope::Envelope;
use shared::grants::Grants;
use shared::stores::{Credentials, Events, Keys, Secrets};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::init_logging();
    let aws = Aws::from_env()?;
    let dynamodb = aws.dynamodb();
    let events = Events::new(
        dynamodb.clone(),
        required("EVENTS_TABLE")?,
        config::events_retention()?,
    );
    let keys = &Keys::new(dynamodb.clone(), required("KEYS_TABLE")?);
    let grants = &Grants::new(
        Credentials::new(dynamodb.clone(), required("CREDENTIALS_TABLE")?),
        Secrets::new(dynamodb, required("SECRETS_TABLE")?),
        events,
        Envelope::new(aws.kms(), required("ENVELOPE_KEY_ID")?, Secrets::NAME),
        config::zoom()?,
        config::recovery_capsules(),
    );
    let after = config::keep_alive_after()?;
    let warm = join(grants.envelope.warm(), grants.zoom.warm());
    runtime::run_scheduled(warm, |deadline, id| async move {
        background::keep_alive::handle(keys, grants, after, deadline, &id).await
    })
    .await
}
