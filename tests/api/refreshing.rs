//! Refreshing a grant: what is lost nowhere, said honestly, and found again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use functions::{runtime, tokens};
use lambda_http::{Context, LambdaEvent};
use local::kms::Failure;
use local::zoom::{Endpoint, Fault as ZoomFault, FaultKind, GrantType};
use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::json;
use shared::credential::{CredentialId, GrantId, ReconnectReason};
use shared::envelope::{Binding, DataKey, Envelope, SecretId};
use shared::grants::Grants;
use shared::grants::capsule::{Capsule, Replayed};
use shared::secret::{AppCredentials, Plaintext, TokenPair};
use shared::stores::{
    AcquireOutcome, Credentials, Events, Keys, Lease, NewPair, PairWrite, RETENTION, Requests,
    Secrets, StoredGrant,
};
use shared::timestamp::Timestamp;

use crate::minting::mint_onbehalf;
use crate::proxy::{Fault, Rule, Service};
use crate::world::{CLIENT_ID, CLIENT_SECRET, World, attribute, retry_after};

/// The mint of a credential, as the function's invocation: dropping it is a crash.
fn invoke(world: &World, id: &str) -> tokio::task::JoinHandle<u16> {
    let body = json!({ "credential_id": id, "type": "onbehalf" });
    world.invoke(Method::POST, "/v2/zoom-tokens", &body)
}

impl World {
    /// The status of a mint whose invocation has so little time.
    async fn mint_within(&self, id: &str, time: Duration) -> u16 {
        let db = &self.dynamodb;
        let grants = Grants::new(
            Credentials::new(db.clone(), "credentials".to_owned()),
            Secrets::new(db.clone(), "secrets".to_owned()),
            Events::new(db.clone(), "events".to_owned(), RETENTION),
            Envelope::new(
                self.kms_client().await,
                self.kms.default_key(),
                Secrets::NAME,
            ),
            self.zoom_client.clone(),
            true,
        );
        let keys = Keys::new(db.clone(), "keys".to_owned());
        let requests = Requests::new(db.clone(), "requests".to_owned());
        let event = json!({
            "httpMethod": "POST",
            "headers": { "x-meeting-baas-api-key": self.acme.key(), "content-type": "application/json" },
            "body": json!({ "credential_id": id, "type": "onbehalf" }).to_string(),
        });
        let mut context = Context::default();
        context.deadline = Timestamp::now().plus(time).as_millis().try_into().unwrap();
        let event = LambdaEvent::new(serde_json::from_value(event).unwrap(), context);
        let answer = runtime::invoke(tokens::mint::ROUTE, event, async |request| {
            tokens::mint::handle(&keys, &requests, &grants, &request).await
        });
        answer.await.status_code.try_into().unwrap()
    }
}

/// Somebody who has the vault's tables and keys, and acts as a function that was lost track of.
struct Ghost {
    secrets: Secrets,
    envelope: Envelope,
    grant: GrantId,
    binding: Binding,
    writer: uuid::Uuid,
}

impl Ghost {
    async fn of(world: &World, id: &str) -> Self {
        let row = world.row(id).await;
        let grant: GrantId = serde_json::from_value(json!(attribute(&row, "grant_id"))).unwrap();
        Self {
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
        self.secrets.grant(self.grant).await.unwrap().unwrap()
    }

    async fn key(&self) -> DataKey {
        self.envelope.data_key(self.binding.clone()).await.unwrap()
    }

    /// Refreshes at Zoom: the pair that follows the row's, which nobody has stored.
    async fn refresh(&self, world: &World) -> NewPair {
        let row = self.row().await;
        let opened = self
            .envelope
            .open(&self.binding, row.sealed.as_ref().unwrap());
        let pair: TokenPair = opened.await.unwrap().try_into().unwrap();
        let app = AppCredentials {
            client_id: CLIENT_ID.to_owned().try_into().unwrap(),
            client_secret: CLIENT_SECRET.to_owned().try_into().unwrap(),
        };
        let patience = Duration::from_secs(10);
        let zoom = &world.zoom_client;
        let tokens = zoom.refresh(&app, &pair.refresh, patience).await.unwrap();
        self.sealed(&row, &tokens.pair).await
    }

    /// A pair that Zoom never gave.
    async fn made_up(&self) -> NewPair {
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
            late: false,
        }
    }

    /// Commits a pair on this generation. Twice, it is one whose first answer was lost.
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

    /// The line of the log that says what could not be stored.
    fn capsule(&self, world: &World, pair: &NewPair) -> Capsule {
        let writer = uuid::Uuid::new_v4();
        let capsule = Capsule::new(&world.team("acme"), self.grant, pair.clone(), writer);
        capsule.to_string().parse().unwrap()
    }

    async fn replay(&self, capsule: &Capsule) -> Replayed {
        capsule
            .replay(&self.secrets, Timestamp::now())
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn thirty_two_at_once_refresh_once_and_get_a_token_each() {
    let world = Arc::new(World::new().await);
    let id = world.given_user("desk").await;
    world.expire_access().await;

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
async fn a_pair_in_a_capsule_is_stored_by_its_replay_and_mints() {
    let world = World::new().await;
    let id = world.given_user("desk").await;
    world.expire_access().await;
    let ghost = Ghost::of(&world, &id).await;
    let capsule = ghost.capsule(&world, &ghost.refresh(&world).await);

    // It is a word without a token in it.
    let text = capsule.to_string();
    assert_eq!(text.parse::<Capsule>().unwrap().to_string(), text);
    assert_eq!(ghost.replay(&capsule).await, Replayed::Stored);
    assert_eq!(ghost.replay(&capsule).await, Replayed::Known);

    mint_onbehalf(&world.acme, &id).await.expect(200);
    assert_eq!(world.zoom.grants()[0].generation, 3);
    assert_eq!(world.zoom.grants()[0].spent_posts, 0);
    // Long since replaced: it is kept beside, and does no harm.
    assert_eq!(ghost.replay(&capsule).await, Replayed::Stashed);
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

#[tokio::test]
async fn a_capsule_that_comes_after_the_worst_was_said_brings_the_credential_back() {
    let world = World::new().await;
    let id = world.given_user("desk").await;
    world.expire_access().await;
    let ghost = Ghost::of(&world, &id).await;
    let capsule = ghost.capsule(&world, &ghost.refresh(&world).await);
    // Without it, the row's token is spent.
    let answer = mint_onbehalf(&world.acme, &id).await;
    answer.expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "invalid");

    assert_eq!(ghost.replay(&capsule).await, Replayed::Stored);

    mint_onbehalf(&world.acme, &id).await.expect(200);
    let shown = world.acme.get(&id).await.expect(200);
    assert_eq!(
        (&shown["state"], &shown["last_error_message"]),
        (&json!("active"), &json!(null))
    );
}

#[tokio::test]
async fn a_stashed_pair_is_tried_when_the_rows_own_is_refused() {
    let world = World::new().await;
    let id = world.given_user("desk").await;
    world.expire_access().await;
    let ghost = Ghost::of(&world, &id).await;
    let lives = ghost.refresh(&world).await;
    // Another was first, with a pair that Zoom does not know.
    let first = ghost.made_up().await;
    ghost.commit(1, &first, false).await;
    ghost.stash(&lives).await;

    mint_onbehalf(&world.acme, &id).await.expect(200);

    let row = ghost.row().await;
    assert_eq!((row.generation(), row.stash), (3, None));
}

#[tokio::test]
async fn an_answer_of_the_commit_that_is_lost_is_no_loss() {
    let world = World::new().await;
    let id = world.given_user("desk").await;
    world.expire_access().await;
    world.wire.reset();
    // Every update of the grant's row is heard by DynamoDB and not by us: acquire and commit, each at first.
    for nth in [2, 4] {
        world.wire.inject(Rule {
            service: Some(Service::DynamoDb),
            operation: Some("UpdateItem"),
            nth: Some(nth),
            fault: Fault::DropAfter,
        });
    }

    mint_onbehalf(&world.acme, &id).await.expect(200);

    let grant = &world.zoom.grants()[0];
    assert_eq!(
        (grant.posts.as_slice(), grant.spent_posts),
        ([1, 0].as_slice(), 0)
    );
    assert_eq!(Ghost::of(&world, &id).await.row().await.generation(), 2);
}

#[tokio::test]
async fn a_crash_between_zoom_and_the_commit_is_said_to_be_one() {
    let world = World::new().await;
    let id = world.given_user("desk").await;
    world.expire_access().await;
    world.wire.reset();
    world.wire.hold(Service::Zoom, "/oauth/token");
    let mint = invoke(&world, &id);
    world.wire.stalled().await;
    mint.abort();
    assert!(mint.await.is_err());
    world.wire.heal();
    let ghost = Ghost::of(&world, &id).await;
    assert!(ghost.row().await.attempt.is_some());
    world.end_leases().await;

    let answer = mint_onbehalf(&world.acme, &id).await;

    answer.expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");
    assert_eq!(answer.json()["details"], "refresh_outcome_lost");
}

#[tokio::test]
async fn a_refresh_that_zoom_fails_is_tried_once_more_and_then_says_so() {
    let world = World::new().await;
    let id = world.given_user("desk").await;
    world.expire_access().await;
    world.wire.reset();
    world.wire.inject(Rule {
        service: Some(Service::Zoom),
        operation: Some("/oauth/token"),
        nth: None,
        fault: Fault::Answer(StatusCode::BAD_GATEWAY, "<html>".to_owned()),
    });

    let answer = mint_onbehalf(&world.acme, &id).await;

    answer.expect_code(502, "FST_ERR_ZOOM_UNAVAILABLE");
    assert_eq!(world.wire.count(Service::Zoom), 2);
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");
    let row = Ghost::of(&world, &id).await.row().await;
    assert!(row.lease.is_none(), "it is let go");
    assert!(row.attempt.is_some(), "it may have been spent");
    world.wire.heal();
    mint_onbehalf(&world.acme, &id).await.expect(200);
    assert!(Ghost::of(&world, &id).await.row().await.attempt.is_none());
}

#[tokio::test]
async fn an_apps_fault_is_the_operators_and_heals_with_the_secret() {
    let world = World::new().await;
    let id = world.given_user("desk").await;
    world.expire_access().await;
    world.zoom.rotate_secret(CLIENT_ID, "another-secret");

    let answer = mint_onbehalf(&world.acme, &id).await;

    answer.expect_code(409, "FST_ERR_ZOOM_APP_MISCONFIGURED");
    let shown = world.acme.get(&id).await.expect(200);
    assert_eq!(shown["state"], "active");
    assert!(
        shown["last_error_message"]
            .as_str()
            .unwrap()
            .starts_with("app refused: ")
    );
    let row = Ghost::of(&world, &id).await.row().await;
    assert!(row.lease.is_none() && row.attempt.is_none());

    let mended = json!({ "client_id": CLIENT_ID, "client_secret": "another-secret" });
    world.acme.update(&id, mended).await.expect(200);
    mint_onbehalf(&world.acme, &id).await.expect(200);
    assert_eq!(
        world.acme.get(&id).await.expect(200)["last_error_message"],
        json!(null)
    );
}

#[tokio::test]
async fn a_credential_whose_grant_zoom_replaced_adopts_the_one_that_works() {
    let world = World::new().await;
    // Authorized within moments of each other: nobody knows yet which Zoom kept.
    let older = world.given_user("older").await;
    let newer = world.given_user("newer").await;
    assert_ne!(
        attribute(&world.row(&older).await, "grant_id"),
        attribute(&world.row(&newer).await, "grant_id")
    );
    world.expire_access().await;

    mint_onbehalf(&world.acme, &older).await.expect(200);

    assert_eq!(
        attribute(&world.row(&older).await, "grant_id"),
        attribute(&world.row(&newer).await, "grant_id")
    );
    mint_onbehalf(&world.acme, &newer).await.expect(200);
    assert_eq!(world.acme.get(&older).await.expect(200)["state"], "active");
}

#[tokio::test]
async fn an_access_token_that_died_early_is_refreshed() {
    let world = World::new().await;
    let id = world.given_user("desk").await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
    // In Zoom's time only: here it is thought to live, and is open in memory.
    world.zoom.advance(Duration::from_hours(1));

    mint_onbehalf(&world.acme, &id).await.expect(200);

    assert_eq!(world.zoom.grants()[0].refreshes, 1);
}

#[tokio::test]
async fn a_deleted_credential_does_not_mint_though_its_grant_is_open_in_memory() {
    let world = World::new().await;
    let id = world.given_user("desk").await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
    world.acme.delete(&id).await.expect(200);
    let answer = mint_onbehalf(&world.acme, &id).await;
    answer.expect_code(404, "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID");
}

#[tokio::test]
async fn a_user_is_found_by_their_zoom_id_with_the_newest_authorization() {
    let world = World::new().await;
    let first = world.given_user("first").await;
    world.age_grant(&first).await;
    let body = json!({ "credential_user_id": "ada", "type": "zak" });
    let minted = crate::minting::mint(&world.acme, body.clone())
        .await
        .expect(200);
    assert_eq!(minted["credential_id"], first.as_str());
    world.acme.delete(&first).await.expect(200);
    let missing = crate::minting::mint(&world.acme, body).await;
    missing.expect_code(404, "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID");
}

#[tokio::test]
async fn a_missing_scope_is_named_and_costs_nothing() {
    let world = World::new().await;
    let code = world.code_of("ada", Some(&["user:read:user", "user:read:token"]));
    let body = crate::world::user_body("desk", &code);
    let id: CredentialId = crate::world::id_of(&world.acme.create(body).await.expect(201))
        .parse()
        .unwrap();
    let body = json!({ "credential_id": id, "type": "zak" });
    let answer = crate::minting::mint(&world.acme, body).await;
    answer.expect_code(400, "FST_ERR_ZOOM_MISSING_SCOPE");
    assert_eq!(answer.json()["details"], "user:read:zak");
    let shown = world.acme.get(&id.to_string()).await.expect(200);
    assert_eq!(shown["state"], "active");
    assert_eq!(shown["last_error_message"], "missing scope user:read:zak");
    mint_onbehalf(&world.acme, &id.to_string())
        .await
        .expect(200);
    assert_eq!(
        world.acme.get(&id.to_string()).await.expect(200)["last_error_message"],
        json!(null)
    );
}

#[tokio::test]
async fn a_grant_is_adopted_only_once_zoom_has_taken_its_token() {
    let world = World::new().await;
    let older = world.given_user("older").await;
    let newer = world.given_user("newer").await;
    let grant_of = async |id: &str| attribute(&world.row(id).await, "grant_id").to_owned();
    let (own, works) = (grant_of(&older).await, grant_of(&newer).await);
    world.expire_access().await;
    world.wire.reset();
    world.wire.inject(Rule {
        service: Some(Service::Zoom),
        operation: Some("/v2/users/me/token"),
        nth: None,
        fault: Fault::Answer(StatusCode::BAD_GATEWAY, "<html>".to_owned()),
    });

    let answer = mint_onbehalf(&world.acme, &older).await;

    // The other grant was refreshed, but nobody knows yet whether it mints.
    answer.expect_code(502, "FST_ERR_ZOOM_UNAVAILABLE");
    assert_eq!(grant_of(&older).await, own);
    assert_eq!(world.acme.get(&older).await.expect(200)["state"], "active");
    world.wire.heal();
    mint_onbehalf(&world.acme, &older).await.expect(200);
    assert_eq!(grant_of(&older).await, works);
}

#[tokio::test]
async fn a_pair_that_is_stashed_during_a_refresh_outlives_its_commit() {
    let world = World::new().await;
    let id = world.given_user("desk").await;
    world.expire_access().await;
    let ghost = Ghost::of(&world, &id).await;
    let late = ghost.made_up().await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
    world.expire_access().await;
    world.wire.reset();
    let answered = world.wire.hold(Service::Zoom, "/oauth/token");
    let mint = invoke(&world, &id);
    world.wire.stalled().await;

    // What came too late for generation 2, while 3 is on its way.
    ghost.stash(&late).await;
    answered.notify_one();
    assert_eq!(mint.await.unwrap(), 200);

    let row = ghost.row().await;
    assert_eq!((row.generation(), row.stash), (3, Some(late.sealed)));
}

/// Protocols 3, I6: the refresh token is spent, so nothing may come between its successor and the commit.
#[tokio::test]
async fn nothing_stands_between_a_refreshs_answer_and_its_commit() {
    let world = World::new().await;
    let id = world.given_user("desk").await;
    world.expire_access().await;
    world.wire.reset();

    mint_onbehalf(&world.acme, &id).await.expect(200);

    let calls = world.wire.calls();
    let calls: Vec<&str> = calls.iter().map(|call| call.operation.as_str()).collect();
    let refresh = calls.iter().position(|it| *it == "/oauth/token").unwrap();
    let around = &calls[refresh - 1..=refresh + 1];
    assert_eq!(around, ["UpdateItem", "/oauth/token", "UpdateItem"]);
}

#[tokio::test]
async fn while_kms_fails_no_refresh_token_is_spent_and_nothing_changes() {
    let world = World::new().await;
    let id = world.given_user("desk").await;
    world.expire_access().await;
    world.wire.reset();
    let stored = async || {
        let tables = ["credentials", "secrets"];
        (
            world.contents(tables[0]).await,
            world.contents(tables[1]).await,
        )
    };
    let before = stored().await;
    for failure in [
        Failure::Disabled,
        Failure::Throttling,
        Failure::AccessDenied,
        Failure::KeyUnavailable,
    ] {
        world.kms.fail_next(usize::MAX, failure);
        let answer = mint_onbehalf(&world.acme, &id).await;
        answer.expect_code(503, "FST_ERR_UNAVAILABLE");
        assert!(retry_after(&answer) > 0, "{failure:?}");
    }
    assert_eq!(stored().await, before);
    assert_eq!(world.wire.count(Service::Zoom), 0);

    world.kms.stop_failing();
    mint_onbehalf(&world.acme, &id).await.expect(200);
    assert_eq!(world.zoom.grants()[0].posts, [1, 0]);
}

#[tokio::test]
async fn no_token_leaves_that_is_not_on_record() {
    let world = World::new().await;
    let id = world.given_user("desk").await;
    for due in [false, true] {
        if due {
            world.expire_access().await;
        }
        world.wire.inject(Rule {
            service: Some(Service::DynamoDb),
            operation: Some("PutItem"),
            nth: None,
            fault: Fault::DropBefore,
        });
        let answer = mint_onbehalf(&world.acme, &id).await;
        answer.expect_code(503, "FST_ERR_UNAVAILABLE");
        assert_eq!(answer.json()["data"], serde_json::Value::Null);
        world.wire.heal();

        // What was refreshed for it is kept.
        mint_onbehalf(&world.acme, &id).await.expect(200);
        let generation = world.zoom.grants()[0].generation;
        assert_eq!(generation, 1 + u64::from(due));
        assert_eq!(
            Ghost::of(&world, &id).await.row().await.generation(),
            generation
        );
    }
}

impl Ghost {
    async fn destroy(&self, reason: ReconnectReason) {
        self.secrets
            .destroy(&self.binding.team, self.grant, reason)
            .await
            .unwrap();
    }

    /// Panics where anything is sealed in the grant's row, or could be.
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
            "credential_id",
            "generation",
            "reason",
            "secret_id",
            "state",
            "team_id",
        ];
        assert_eq!(left, known);
        assert_eq!(attribute(row.unwrap(), "reason"), reason);
    }
}

#[track_caller]
fn expect_reconnect(answer: &crate::world::Answer, reason: &str) {
    answer.expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");
    assert_eq!(answer.json()["details"], reason);
}

#[tokio::test]
async fn destroyed_tokens_are_gone_for_good_and_the_mint_says_why_without_opening_anything() {
    let world = World::new().await;
    let id = world.given_user("desk").await;
    let ghost = Ghost::of(&world, &id).await;

    ghost.destroy(ReconnectReason::Deauthorized).await;
    ghost.expect_destroyed(&world, "deauthorized").await;
    // Once more changes nothing, not even the reason; and where there is no row, none is made.
    let destroyed = world.contents("secrets").await;
    ghost.destroy(ReconnectReason::Revoked).await;
    let absent = GrantId::generate();
    let none = ghost
        .secrets
        .destroy(&ghost.binding.team, absent, ReconnectReason::Revoked)
        .await;
    none.unwrap();
    assert_eq!(world.contents("secrets").await, destroyed);

    world.wire.reset();
    expect_reconnect(&mint_onbehalf(&world.acme, &id).await, "deauthorized");
    assert_eq!(world.wire.count(Service::Kms), 0);
    assert_eq!(world.wire.count(Service::Zoom), 0);
    let shown = world.acme.get(&id).await.expect(200);
    let message = shown["last_error_message"].as_str().unwrap();
    assert!(message.starts_with("deauthorized: "), "{message}");
    ghost.expect_destroyed(&world, "deauthorized").await;
}

#[tokio::test]
async fn a_refresh_that_was_under_way_brings_no_destroyed_token_back() {
    let world = World::new().await;
    let id = world.given_user("desk").await;
    world.expire_access().await;
    let ghost = Ghost::of(&world, &id).await;
    let answers = world.wire.hold(Service::Zoom, "/oauth/token");
    let mint = {
        let (acme, id) = (world.acme.clone(), id.clone());
        tokio::spawn(async move { mint_onbehalf(&acme, &id).await })
    };
    world.wire.stalled().await;

    ghost.destroy(ReconnectReason::Deauthorized).await;
    answers.notify_one();

    expect_reconnect(&mint.await.unwrap(), "deauthorized");
    ghost.expect_destroyed(&world, "deauthorized").await;
}

#[tokio::test]
async fn neither_a_lost_commit_nor_a_stash_nor_a_capsule_brings_a_destroyed_token_back() {
    let world = World::new().await;
    let id = world.given_user("desk").await;
    let ghost = Ghost::of(&world, &id).await;
    let (first, second) = (ghost.made_up().await, ghost.made_up().await);
    assert!(matches!(
        ghost.commit(1, &first, false).await,
        PairWrite::Written { .. }
    ));
    assert!(matches!(
        ghost.stash(&second).await,
        PairWrite::Written { .. }
    ));
    let (late, later) = (ghost.made_up().await, ghost.capsule(&world, &second));

    ghost.destroy(ReconnectReason::Revoked).await;

    // The writer of the last commit, whose answer was lost; it is not told that its tokens are there.
    assert!(matches!(
        ghost.commit(1, &first, false).await,
        PairWrite::Stale(_)
    ));
    assert!(matches!(ghost.stash(&second).await, PairWrite::Stale(_)));
    assert!(matches!(
        ghost.commit(2, &late, true).await,
        PairWrite::Stale(_)
    ));
    assert_eq!(ghost.replay(&later).await, Replayed::Refused);
    ghost.expect_destroyed(&world, "revoked").await;
}

#[tokio::test]
async fn where_the_tokens_are_destroyed_the_pairs_other_grant_is_found() {
    let world = World::new().await;
    let id = world.given_user("desk").await;
    let ghost = Ghost::of(&world, &id).await;
    ghost.destroy(ReconnectReason::Revoked).await;
    let newer = world.given_user("newer").await;

    mint_onbehalf(&world.acme, &id).await.expect(200);

    let (row, newer) = (world.row(&id).await, world.row(&newer).await);
    assert_eq!(attribute(&row, "grant_id"), attribute(&newer, "grant_id"));
}

/// Protocols 3.3: what is sent must be heard, and that takes longer than is left here.
#[tokio::test]
async fn a_stashed_token_is_not_sent_when_too_little_time_is_left_to_hear_of_it() {
    let world = World::new().await;
    let id = world.given_user("desk").await;
    let ghost = Ghost::of(&world, &id).await;
    let live = ghost.refresh(&world).await;
    let lost = ghost.made_up().await;
    assert!(matches!(
        ghost.commit(1, &lost, false).await,
        PairWrite::Written { .. }
    ));
    assert!(matches!(
        ghost.stash(&live).await,
        PairWrite::Written { .. }
    ));
    world.wire.reset();
    // The refusal of the row's own token takes three seconds of forty-two.
    let slow = ZoomFault::once(Endpoint::Grant(GrantType::RefreshToken), FaultKind::Delay);
    world.zoom.inject(slow.delayed(Duration::from_secs(3)));

    let refused = world.mint_within(&id, Duration::from_secs(42)).await;
    assert_eq!(refused, 503);
    let posts = world.zoom.ledger().into_iter();
    let posts = posts.filter(|call| call.path == "/oauth/token").count();
    // To authorize, the ghost's, and this one.
    assert_eq!(posts, 3);
    assert_eq!(ghost.row().await.stash, Some(live.sealed));
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

/// Who was here before and never heard what came of it has evidence too.
#[tokio::test]
async fn an_attempt_of_ones_own_that_ended_unknown_is_remembered() {
    let world = World::new().await;
    let id = world.given_user("desk").await;
    let ghost = Ghost::of(&world, &id).await;
    let now = Timestamp::now();
    let lease = Lease {
        holder: uuid::Uuid::new_v4(),
        until: now.plus(Duration::from_mins(1)).as_millis(),
    };
    let later = now.plus(Duration::from_secs(2));
    for (at, expected) in [(now, false), (now, false), (later, true)] {
        let acquired = ghost
            .secrets
            .acquire_lease(ghost.grant, 1, lease, at)
            .await
            .unwrap();
        let AcquireOutcome::Acquired {
            earlier_attempt, ..
        } = acquired
        else {
            panic!("{acquired:?}")
        };
        assert_eq!(earlier_attempt, expected);
        if at == later {
            ghost
                .secrets
                .release_lease(ghost.grant, lease.holder, false)
                .await
                .unwrap();
        }
    }
    let attempt = ghost.row().await.attempt.unwrap();
    assert_eq!((attempt.id, attempt.at), (lease.holder, now.as_millis()));
}

/// A stash that Zoom refused makes room: the next late pair may be the one that lives.
#[tokio::test]
async fn a_stash_that_was_refused_blocks_none_that_comes_later() {
    let world = World::new().await;
    let id = world.given_user("desk").await;
    let ghost = Ghost::of(&world, &id).await;
    let live = ghost.refresh(&world).await;
    let capsule = ghost.capsule(&world, &live);
    let (lost, dead) = (ghost.made_up().await, ghost.made_up().await);
    assert!(matches!(
        ghost.commit(1, &lost, false).await,
        PairWrite::Written { .. }
    ));
    assert!(matches!(
        ghost.stash(&dead).await,
        PairWrite::Written { .. }
    ));
    mint_onbehalf(&world.acme, &id)
        .await
        .expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");
    assert_eq!(ghost.row().await.stash, None);

    assert_eq!(ghost.replay(&capsule).await, Replayed::Stashed);

    mint_onbehalf(&world.acme, &id).await.expect(200);
}
