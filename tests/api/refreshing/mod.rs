//! Refreshing a grant: no token pair is lost, a lost outcome is reported, and a recovered pair is used.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::Method;
use secrecy::SecretString;
use serde_json::json;
use shared::credential::{CredentialId, GrantId, ReconnectReason};
use shared::envelope::{Binding, DataKey, Envelope, SecretId};
use shared::grants::capsule::{Capsule, RefreshCapsule, Replayed};
use shared::secret::{AppCredentials, Plaintext, TokenPair};
use shared::stores::{Credentials, NewPair, PairWrite, Pairs, Secrets, StoredGrant};
use shared::timestamp::Timestamp;

use crate::minting::{mint, mint_onbehalf};
use crate::world::{Answer, CLIENT_ID, CLIENT_SECRET, World, attribute, id_of, user_body};

mod answers;
mod destroyed;
mod failures;
mod other_grants;
mod recovery;
mod time_left;

/// Mints in a task. Aborting the task is a crash of the function.
fn invoke(world: &World, id: &str) -> tokio::task::JoinHandle<u16> {
    let body = json!({ "credential_id": id, "type": "onbehalf" });
    world.invoke(Method::POST, "/v2/zoom-tokens", &body)
}

/// Another function that works on the same grant. It uses the vault's tables and keys directly.
pub(crate) struct Peer {
    credentials: Credentials,
    pairs: Pairs,
    secrets: Secrets,
    envelope: Envelope,
    grant: GrantId,
    binding: Binding,
    writer: uuid::Uuid,
}

impl Peer {
    pub(crate) async fn of(world: &World, id: &str) -> Self {
        let row = world.row(id).await;
        let grant: GrantId = serde_json::from_value(json!(attribute(&row, "grant_id"))).unwrap();
        Self {
            credentials: Credentials::new(world.dynamodb.clone(), "credentials".to_owned()),
            pairs: Pairs::new(world.dynamodb.clone(), "pairs".to_owned()),
            secrets: Secrets::new(world.dynamodb.clone(), "secrets".to_owned()),
            envelope: Envelope::new(
                world.kms_client().await,
                world.kms.default_key(),
                Secrets::NAME,
            ),
            grant,
            binding: Binding {
                team: world.team("acme"),
                secret: SecretId::Grant(grant),
            },
            writer: uuid::Uuid::new_v4(),
        }
    }

    async fn row(&self) -> StoredGrant {
        self.secrets
            .grant(&self.binding.team, self.grant)
            .await
            .unwrap()
            .unwrap()
    }

    async fn key(&self) -> DataKey {
        self.envelope.data_key(self.binding.clone()).await.unwrap()
    }

    /// Refreshes at Zoom and returns the new pair. The pair is stored nowhere.
    pub(crate) async fn refresh(&self, world: &World) -> NewPair {
        let row = self.row().await;
        let opened = self
            .envelope
            .open(&self.binding, row.sealed.as_ref().unwrap());
        let pair: TokenPair = opened.await.unwrap().try_into().unwrap();
        let app = AppCredentials {
            client_id: CLIENT_ID.to_owned().try_into().unwrap(),
            client_secret: CLIENT_SECRET.to_owned().try_into().unwrap(),
        };
        let time_out = Duration::from_secs(10);
        let zoom = &world.zoom_client;
        let connection = zoom.connect().await.unwrap();
        let tokens = zoom.refresh(connection, &app, &pair.refresh, time_out);
        let tokens = tokens.await.unwrap();
        self.sealed(&row, &tokens.pair).await
    }

    /// A pair that Zoom never issued.
    async fn made_up_pair(&self) -> NewPair {
        let token = || SecretString::from("made-up-token".to_owned());
        let pair = TokenPair {
            access: token(),
            refresh: token(),
        };
        self.sealed(&self.row().await, &pair).await
    }

    async fn sealed(&self, row: &StoredGrant, pair: &TokenPair) -> NewPair {
        let plaintext = Plaintext::try_from(pair).unwrap();
        NewPair {
            sealed: self
                .key()
                .await
                .seal(row.generation() + 1, &plaintext)
                .unwrap(),
            access_expires_at: 1,
            api_url: None,
            refreshed_at: Timestamp::now(),
            idle_since: Timestamp::now(),
            late: false,
        }
    }

    /// Commits a pair on a generation. A second call is a retry after a lost answer.
    async fn commit(&self, generation: u64, pair: &NewPair, drop_stash: bool) -> PairWrite {
        let now = Timestamp::now();
        let kept = self
            .secrets
            .commit(self.grant, generation, pair, self.writer, drop_stash, now);
        kept.await.unwrap()
    }

    async fn stash(&self, pair: &NewPair) -> PairWrite {
        let stashed = self
            .secrets
            .stash(self.grant, &pair.sealed, Timestamp::now());
        stashed.await.unwrap()
    }

    /// The capsule of a pair, parsed from its log text.
    pub(crate) fn capsule(&self, world: &World, pair: &NewPair) -> Capsule {
        let writer = uuid::Uuid::new_v4();
        let capsule = Capsule::Refresh(RefreshCapsule {
            team: world.team("acme"),
            grant: self.grant,
            pair: pair.clone(),
            writer,
        });
        capsule.to_string().parse().unwrap()
    }

    pub(crate) async fn replay(&self, capsule: &Capsule) -> Replayed {
        let Self {
            credentials,
            pairs,
            secrets,
            ..
        } = self;
        let replayed = capsule.replay(credentials, pairs, secrets, Timestamp::now());
        replayed.await.unwrap()
    }

    async fn destroy(&self, reason: ReconnectReason) {
        self.secrets
            .destroy(&self.binding.team, self.grant, reason)
            .await
            .unwrap();
    }

    /// Panics if the grant's row still holds a sealed secret or a key.
    async fn expect_destroyed(&self, world: &World, reason: &str) {
        let id = format!("grant#{}", self.grant);
        let rows = world.items("secrets").await;
        let row = rows.iter().find(|row| attribute(row, "secret_id") == id);
        let mut left: Vec<&str> = row.unwrap().keys().map(String::as_str).collect();
        left.sort_unstable();
        left.retain(|name| *name != "api_url");
        let known = [
            "access_expires_at",
            "authorize_sent_at",
            "authorized_at",
            "client_id",
            "credential_id",
            "due_shard",
            "generation",
            "idle_since",
            "pair_id",
            "reason",
            "scopes",
            "secret_id",
            "state",
            "team_id",
        ];
        assert_eq!(left, known);
        assert_eq!(attribute(row.unwrap(), "reason"), reason);
    }
}

#[track_caller]
fn expect_reconnect(answer: &Answer, reason: &str) {
    answer.expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");
    assert_eq!(answer.json()["details"], reason);
}

#[tokio::test]
async fn thirty_two_parallel_mints_refresh_once_and_each_get_a_token() {
    let world = Arc::new(World::new().await);
    let id = world.add_user_credential("desk").await;
    world.expire_access_tokens().await;

    let mints = (0..32).map(|_| {
        let (world, id) = (world.clone(), id.clone());
        tokio::spawn(async move { mint_onbehalf(&world.acme, &id).await.expect(200) })
    });
    let mut tokens = HashSet::new();
    for mint in mints.collect::<Vec<_>>() {
        tokens.insert(mint.await.unwrap()["token"].as_str().unwrap().to_owned());
    }

    assert_eq!(tokens.len(), 32);
    let grants = world.zoom.grants();
    assert_eq!(
        (grants[0].posts.as_slice(), grants[0].spent_posts),
        ([1, 0].as_slice(), 0)
    );
}

#[tokio::test]
async fn an_access_token_that_zoom_ended_early_is_refreshed() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
    // Zoom ends the token. The vault has the token in memory and takes it for valid.
    world.zoom.advance(Duration::from_hours(1));
    world.age_access_tokens().await;

    mint_onbehalf(&world.acme, &id).await.expect(200);

    assert_eq!(world.zoom.grants()[0].refreshes, 1);
}

#[tokio::test]
async fn a_deleted_credential_does_not_mint_although_its_grant_is_in_memory() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
    world.acme.delete(&id).await.expect(200);
    let answer = mint_onbehalf(&world.acme, &id).await;
    answer.expect_code(404, "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID");
}

#[tokio::test]
async fn a_mint_by_zoom_user_id_uses_the_newest_authorization() {
    let world = World::new().await;
    let first = world.add_user_credential("first").await;
    world.backdate_authorization(&first).await;
    let body = json!({ "credential_user_id": "ada", "type": "zak" });
    let minted = mint(&world.acme, body.clone()).await.expect(200);
    assert_eq!(minted["credential_id"], first.as_str());
    world.acme.delete(&first).await.expect(200);
    let missing = mint(&world.acme, body).await;
    missing.expect_code(404, "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID");
}

#[tokio::test]
async fn a_missing_scope_is_named_and_the_credential_stays_active() {
    let world = World::new().await;
    let code = world.code_of("ada", Some(&["user:read:user", "user:read:token"]));
    let body = user_body("desk", &code);
    let id: CredentialId = id_of(&world.acme.create(body).await.expect(201))
        .parse()
        .unwrap();
    let body = json!({ "credential_id": id, "type": "local_recording", "meeting_id": "1" });
    let answer = mint(&world.acme, body).await;
    answer.expect_code(400, "FST_ERR_ZOOM_MISSING_SCOPE");
    let scope = "meeting:read:local_recording_token";
    assert_eq!(answer.json()["details"], scope);
    let shown = world.acme.get(&id.to_string()).await.expect(200);
    assert_eq!(shown["state"], "active");
    assert_eq!(
        shown["last_error_message"],
        format!("missing scope {scope}")
    );
    mint_onbehalf(&world.acme, &id.to_string())
        .await
        .expect(200);
    assert_eq!(
        world.acme.get(&id.to_string()).await.expect(200)["last_error_message"],
        json!(null)
    );
}

/// The row decides whether an invalid credential's grant may be used, whatever is in memory.
#[tokio::test]
async fn a_grant_in_memory_is_not_used_after_the_credential_became_invalid() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
    // Another function has marked the grant as dead.
    let text = |text: &str| AttributeValue::S(text.to_owned());
    world.set_in_grant(&id, "reason", text("revoked")).await;
    world.set_in_grant(&id, "state", text("reconnect")).await;
    world.set_texts(&id, &[("state", "invalid")]).await;

    let answer = mint_onbehalf(&world.acme, &id).await;

    expect_reconnect(&answer, "revoked");
}
