//! Two common but unsafe refresh methods, on the same tables, keys and wires. The gate must reject both.

use std::time::Duration;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use secrecy::ExposeSecret;
use shared::credential::{CredentialId, GrantId};
use shared::envelope::{Binding, SecretId};
use shared::secret::{AppCredentials, Plaintext, TokenPair};
use shared::stores::{GrantState, Secrets, StoredCredential, StoredGrant};
use shared::timestamp::Timestamp;
use shared::zoom::{self, MintRequest, TokenOwner};
use uuid::Uuid;

use crate::backend::Team;
use crate::lambda::{Lambda, MintAnswer};

/// How long the lock is valid.
const LOCK_DURATION: Duration = Duration::from_secs(10);
/// How long a mint waits for the lock.
const LOCK_WAIT: Duration = Duration::from_secs(12);
/// How long a mint waits for an answer from Zoom.
const ZOOM_TIME_OUT: Duration = Duration::from_secs(8);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Reads the token pair. If the pair has expired, refreshes and writes it without any lock.
pub(crate) async fn mint_naive(lambda: &Lambda, team: &Team, id: CredentialId) -> MintAnswer {
    let minted = async {
        let (stored, grant, row) = read(lambda, team, id).await?;
        let pair = if is_fresh(&row) {
            open(lambda, team, grant, &row).await?
        } else {
            match refresh(lambda, team, &stored, grant, &row).await? {
                Ok(pair) => pair,
                Err(answer) => return Ok(answer),
            }
        };
        mint(lambda, &pair).await
    };
    or_server_error(minted.await)
}

/// Like [`mint_naive`], but holds a lock that expires after [`LOCK_DURATION`].
pub(crate) async fn mint_with_ttl_lock(
    lambda: &Lambda,
    team: &Team,
    id: CredentialId,
) -> MintAnswer {
    let minted = async {
        let (stored, grant, mut row) = read(lambda, team, id).await?;
        let me = Uuid::new_v4();
        let give_up = Timestamp::now().plus(LOCK_WAIT);
        let pair = loop {
            if is_fresh(&row) {
                break open(lambda, team, grant, &row).await?;
            }
            if lock(lambda, grant, me).await? {
                row = lambda
                    .secrets
                    .grant(&team.id, grant)
                    .await?
                    .ok_or("no row")?;
                if is_fresh(&row) {
                    unlock(lambda, grant, me).await?;
                    continue;
                }
                let refreshed = refresh(lambda, team, &stored, grant, &row).await?;
                unlock(lambda, grant, me).await?;
                match refreshed {
                    Ok(pair) => break pair,
                    Err(answer) => return Ok(answer),
                }
            }
            if Timestamp::now() >= give_up {
                return Ok(status(503));
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
            row = lambda
                .secrets
                .grant(&team.id, grant)
                .await?
                .ok_or("no row")?;
        };
        mint(lambda, &pair).await
    };
    or_server_error(minted.await)
}

fn status(status: u16) -> MintAnswer {
    MintAnswer {
        status,
        ..MintAnswer::default()
    }
}

fn or_server_error(minted: Result<MintAnswer, Failure>) -> MintAnswer {
    minted.unwrap_or_else(|_| status(500))
}

fn is_fresh(row: &StoredGrant) -> bool {
    Timestamp::now().as_millis() < row.access_expires_at
}

async fn read(
    lambda: &Lambda,
    team: &Team,
    id: CredentialId,
) -> Result<(StoredCredential, GrantId, StoredGrant), Failure> {
    let stored = lambda.credentials.get(&team.id, id).await?;
    let stored = stored.ok_or("no credential")?;
    let grant = stored.grant.ok_or("no grant")?.id;
    let row = lambda
        .secrets
        .grant(&team.id, grant)
        .await?
        .ok_or("no row")?;
    Ok((stored, grant, row))
}

fn binding(team: &Team, secret: SecretId) -> Binding {
    Binding {
        team: team.id.clone(),
        secret,
    }
}

async fn open(
    lambda: &Lambda,
    team: &Team,
    grant: GrantId,
    row: &StoredGrant,
) -> Result<TokenPair, Failure> {
    let binding = binding(team, SecretId::Grant(grant));
    let opened = lambda
        .envelope
        .open(&binding, row.sealed.as_ref().unwrap())
        .await?;
    Ok(opened.try_into()?)
}

/// Spends the refresh token and writes the new pair. Returns the mint's answer if Zoom refuses the refresh token.
async fn refresh(
    lambda: &Lambda,
    team: &Team,
    stored: &StoredCredential,
    grant: GrantId,
    row: &StoredGrant,
) -> Result<Result<TokenPair, MintAnswer>, Failure> {
    let id = stored.credential.credential_id;
    if let GrantState::Reconnect(reason) = row.state {
        return Ok(Err(reconnect(reason.as_str())));
    }
    let pair = open(lambda, team, grant, row).await?;
    let secret = SecretId::App(id);
    let app = lambda.secrets.app_secret(secret.clone()).await?;
    let app = app.ok_or("no client secret")?;
    let app = lambda
        .envelope
        .open(&binding(team, secret), &app.sealed)
        .await?;
    let app = AppCredentials {
        client_id: stored.client_id.clone(),
        client_secret: app.try_into()?,
    };
    let zoom = &lambda.zoom;
    let answer = match zoom.connect().await {
        Ok(connection) => {
            zoom.refresh(connection, &app, &pair.refresh, ZOOM_TIME_OUT)
                .await
        }
        Err(error) => Err(error),
    };
    let tokens = match answer {
        Ok(tokens) => tokens,
        Err(zoom::Error::GrantRefused { .. }) => {
            let reason = AttributeValue::S("revoked".to_owned());
            set(
                lambda,
                grant,
                "SET #a = :a, reason = :b",
                "state",
                [AttributeValue::S("reconnect".to_owned()), reason],
            )
            .await?;
            let update = lambda.dynamodb.update_item().table_name("credentials");
            let update = update
                .key("team_id", AttributeValue::S(team.id.to_string()))
                .key("credential_id", AttributeValue::S(id.to_string()))
                .update_expression("SET #state = :invalid")
                .expression_attribute_names("#state", "state")
                .expression_attribute_values(":invalid", AttributeValue::S("invalid".to_owned()));
            update.send().await?;
            return Ok(Err(reconnect("revoked")));
        }
        Err(error) => return Err(error.into()),
    };
    let key = lambda
        .envelope
        .data_key(binding(team, SecretId::Grant(grant)))
        .await?;
    let generation = row.generation() + 1;
    let sealed = key.seal(generation, &Plaintext::try_from(&tokens.pair)?)?;
    let (dek, kid, bytes) = sealed.parts();
    let expires = Timestamp::now().plus(tokens.expires_in).as_millis();
    let update = lambda.dynamodb.update_item().table_name(Secrets::NAME);
    let update = update
        .key("secret_id", key_of(grant))
        .update_expression(
            "SET dek = :d, kid = :k, sealed = :s, generation = :g, #access_expires_at = :e",
        )
        .expression_attribute_names("#access_expires_at", "access_expires_at")
        .expression_attribute_values(":d", AttributeValue::B(Blob::new(dek)))
        .expression_attribute_values(":k", AttributeValue::S(kid.to_owned()))
        .expression_attribute_values(":s", AttributeValue::B(Blob::new(bytes)))
        .expression_attribute_values(":g", AttributeValue::N(generation.to_string()))
        .expression_attribute_values(":e", AttributeValue::N(expires.to_string()));
    update.send().await?;
    Ok(Ok(tokens.pair))
}

fn reconnect(reason: &str) -> MintAnswer {
    MintAnswer {
        details: Some(reason.to_owned()),
        ..status(409)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the answer carries the minted token"
)]
async fn mint(lambda: &Lambda, pair: &TokenPair) -> Result<MintAnswer, Failure> {
    let wanted = MintRequest::Onbehalf {
        meeting: None,
        ttl: None,
    };
    let minted = lambda
        .zoom
        .mint(None, &pair.access, &TokenOwner::Me, &wanted, ZOOM_TIME_OUT)
        .await?;
    Ok(MintAnswer {
        token: Some(minted.token.expose_secret().to_owned()),
        ..status(200)
    })
}

fn key_of(grant: GrantId) -> AttributeValue {
    AttributeValue::S(SecretId::Grant(grant).to_string())
}

async fn set(
    lambda: &Lambda,
    grant: GrantId,
    expression: &str,
    name: &str,
    [a, b]: [AttributeValue; 2],
) -> Result<(), Failure> {
    let update = lambda.dynamodb.update_item().table_name(Secrets::NAME);
    let update = update
        .key("secret_id", key_of(grant))
        .update_expression(expression)
        .expression_attribute_names("#a", name)
        .expression_attribute_values(":a", a)
        .expression_attribute_values(":b", b);
    update.send().await?;
    Ok(())
}

async fn lock(lambda: &Lambda, grant: GrantId, me: Uuid) -> Result<bool, Failure> {
    let number = |at: Timestamp| AttributeValue::N(at.as_millis().to_string());
    let update = lambda.dynamodb.update_item().table_name(Secrets::NAME);
    let update = update
        .key("secret_id", key_of(grant))
        .update_expression("SET lock_id = :me, lock_until = :until")
        .condition_expression("attribute_not_exists(lock_until) OR lock_until < :now")
        .expression_attribute_values(":me", AttributeValue::S(me.to_string()))
        .expression_attribute_values(":until", number(Timestamp::now().plus(LOCK_DURATION)))
        .expression_attribute_values(":now", number(Timestamp::now()));
    match update.send().await {
        Ok(_) => Ok(true),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
        {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

async fn unlock(lambda: &Lambda, grant: GrantId, me: Uuid) -> Result<(), Failure> {
    let update = lambda.dynamodb.update_item().table_name(Secrets::NAME);
    let update = update
        .key("secret_id", key_of(grant))
        .update_expression("REMOVE lock_id, lock_until")
        .condition_expression("lock_id = :me")
        .expression_attribute_values(":me", AttributeValue::S(me.to_string()));
    // Fails if the lock has expired and another mint has taken it.
    update.send().await.ok();
    Ok(())
}
