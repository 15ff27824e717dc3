//! Calls to AWS that no other test makes through the wire: a Lambda's start, and an operator's commands. They belong to
//! the record that is compared with the roles.

mod functions_table;

use std::pin::Pin;

use aws_sdk_dynamodb::types::AttributeValue;
use functions::endpoints::{
    Endpoint, EndpointVisitor, Function, KeepAlive, NotifyDeliver, NotifyEnqueue, Purge, functions,
    visit_endpoints,
};
use functions::powers::{Environment, Table};
use local::gateway::FunctionEnvironment;
use serde_json::json;
use shared::credential::{GrantId, State};
use shared::envelope::{Binding, Envelope, SecretId};
use shared::event::{Actor, Change, EventKind};
use shared::extra::ExtraFilter;
use shared::grants::capsule::{
    AuthorizationCapsule, Capsule, RefreshCapsule, Replayed, SeenCredential,
};
use shared::invocation::Invocation;
use shared::pair_end::PairEnd;
use shared::purge_now::{PurgeNow, PurgedGrants};
use shared::secret::{Plaintext, TokenPair};
use shared::stores::{
    CredentialFilter, GrantSecret, ManualPurge, NewPair, Secrets, TRANSACTION_TIMEOUT,
    TableInspector, TeamAdmin, Trail,
};
use shared::timestamp::Timestamp;
use uuid::Uuid;

use crate::minting::mint_onbehalf;
use crate::proxy::Service;
use crate::world::{CLIENT_ID, World, attribute};

/// The tables of the commands that show, restore and purge credentials.
const OPERATORS_TABLES: [Table; 6] = [
    Table::Credentials,
    Table::Pairs,
    Table::Secrets,
    Table::TokenUrls,
    Table::Events,
    Table::Keys,
];

/// Builds every function and opens its connections, as its Lambda does at its start.
struct Start<'a> {
    world: &'a World,
    started: Vec<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Start<'_> {
    fn start<F: Function>(&mut self) {
        let environment = self.world.services.environment(F::DESCRIPTION.name);
        let Ok(function) = F::new(&environment);
        self.started
            .push(Box::pin(async move { function.warm().await }));
    }
}

impl EndpointVisitor for Start<'_> {
    fn visit<E: Endpoint>(&mut self) {
        self.start::<E>();
    }
}

#[tokio::test]
async fn a_function_reads_one_row_of_its_own_tables_to_open_connections() {
    let world = World::new().await;
    let mut start = Start {
        world: &world,
        started: Vec::new(),
    };
    visit_endpoints(&mut start);
    start.start::<KeepAlive>();
    start.start::<Purge>();
    start.start::<NotifyEnqueue>();
    start.start::<NotifyDeliver>();
    for started in start.started {
        started.await;
    }

    let operations = world.wire.operations(Service::DynamoDb);
    assert!(operations.iter().all(|operation| operation == "GetItem"));
    // Six functions open no connection to DynamoDB before their first event. Four that read one thing after another
    // open one, the two functions of a connect link open two, and all others three.
    assert_eq!(operations.len(), 4 + 2 * 2 + 3 * (functions().len() - 12));
}

impl World {
    /// The environment of somebody who has the rights of one of the operators' policies.
    pub(crate) fn operator(&self, policy: &str) -> FunctionEnvironment<'_> {
        self.services.environment(policy)
    }

    /// Describes tables, as the operators' program does before it uses them.
    pub(crate) async fn describe(&self, policy: &str, tables: &[Table]) {
        let environment = self.operator(policy);
        let inspector = TableInspector::new(environment.dynamodb());
        for table in tables {
            let Ok(name) = environment.table(*table);
            assert!(!inspector.keys_of(&name).await.unwrap().is_empty());
        }
    }

    async fn grant_id_of(&self, id: &str) -> GrantId {
        let row = self.row(id).await;
        attribute(&row, "grant_id").parse().unwrap()
    }
}

/// The token URL's function checks the grant's row and changes the other credential, in one transaction.
#[tokio::test]
async fn a_token_url_with_a_dead_grant_turns_the_grants_other_credential_invalid_too() {
    let world = World::new().await;
    let other = world.add_user_credential("other").await;
    world.backdate_authorization(&other).await;
    let id = world.add_user_credential("desk").await;
    assert_eq!(
        world.grant_id_of(&other).await,
        world.grant_id_of(&id).await
    );
    let url = world.given_url(&id, json!({ "type": "zak" })).await;
    world.expire_access_tokens().await;
    world.zoom.remove_app(CLIENT_ID, "ada");

    let answer = world.acme.http().get(url.url).send().await.unwrap();
    assert!(!answer.status().is_success());
    for id in [&id, &other] {
        assert_eq!(world.acme.get(id).await.expect(200)["state"], "invalid");
    }
}

#[tokio::test]
async fn an_operator_replays_a_capsule() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    let grant = world.grant_id_of(&id).await;
    let tables = [
        Table::Credentials,
        Table::Pairs,
        Table::Secrets,
        Table::Events,
    ];
    world.describe("RecoveryPolicy", &tables).await;
    let environment = world.operator("RecoveryPolicy");
    let Ok(events) = environment.events();
    let trail = Trail {
        events,
        actor: Actor::Operator("local".to_owned()),
        request_id: "run".to_owned(),
    };
    let Ok(credentials) = environment.credentials();
    let Ok(pairs) = environment.pairs();
    let Ok(secrets) = environment.secrets();
    let generation = secrets
        .grant(&world.team("acme"), grant)
        .await
        .unwrap()
        .unwrap()
        .generation();
    // Sealed as a function would have sealed it, and not through the wire.
    let envelope = Envelope::new(
        world.kms_client().await,
        world.kms.default_key(),
        Secrets::NAME,
    );
    let binding = Binding {
        team: world.team("acme"),
        secret: SecretId::Grant(grant),
    };
    let key = envelope.data_key(binding).await.unwrap();
    let token = || "a-token".to_owned().into();
    let pair = TokenPair {
        access: token(),
        refresh: token(),
    };
    let plaintext = Plaintext::try_from(&pair).unwrap();
    let mut pair = NewPair {
        sealed: key.seal(generation + 1, &plaintext).unwrap(),
        access_expires_at: 1,
        api_url: None,
        refreshed_at: Timestamp::now(),
        idle_since: Timestamp::now(),
        late: false,
    };
    for expected in [Replayed::Stored, Replayed::Stashed] {
        let capsule = Capsule::Refresh(RefreshCapsule {
            team: world.team("acme"),
            grant,
            pair: pair.clone(),
            writer: Uuid::new_v4(),
        });
        let replayed = capsule.replay(
            &credentials,
            &pairs,
            &secrets,
            Timestamp::now().plus(TRANSACTION_TIMEOUT),
        );
        assert_eq!(replayed.await.unwrap(), expected);
        let change = Change::new(EventKind::CapsuleReplayed, Vec::new());
        let recorded = trail.record(capsule.team(), capsule.credential(), change);
        recorded.await.unwrap();
        let key = envelope.data_key(Binding {
            team: world.team("acme"),
            secret: SecretId::Grant(grant),
        });
        pair.sealed = key.await.unwrap().seal(generation + 1, &plaintext).unwrap();
    }
}

#[tokio::test]
async fn an_operator_replays_the_capsule_of_an_authorization() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    let environment = world.operator("RecoveryPolicy");
    let Ok(credentials) = environment.credentials();
    let Ok(pairs) = environment.pairs();
    let Ok(secrets) = environment.secrets();
    let team = world.team("acme");
    let envelope = Envelope::new(
        world.kms_client().await,
        world.kms.default_key(),
        Secrets::NAME,
    );
    let stored = credentials.get(&team, id.parse().unwrap()).await.unwrap();
    let stored = stored.unwrap();
    let token = || "a-token".to_owned().into();
    let pair = TokenPair {
        access: token(),
        refresh: token(),
    };
    let plaintext = Plaintext::try_from(&pair).unwrap();
    let seen = SeenCredential {
        grant: stored.grant.map(|grant| grant.id),
        pair: stored.pair.clone(),
    };
    let ada = stored.credential.zoom_user_id.clone();
    let nobody = Some("nobody".to_owned());
    for (seen, user, expected) in [
        (Some(seen), ada.clone(), Replayed::Stored),
        (None, ada, Replayed::Stray),
        (None, nobody, Replayed::Stray),
    ] {
        let grant = GrantId::generate();
        let key = envelope.data_key(Binding {
            team: team.clone(),
            secret: SecretId::Grant(grant),
        });
        let now = Timestamp::now();
        let capsule = Capsule::Authorization(AuthorizationCapsule {
            team: team.clone(),
            grant,
            row: GrantSecret {
                team_id: team.clone(),
                client_id: stored.client_id.clone(),
                scopes: None,
                credential_id: stored.credential.credential_id,
                sealed: key.await.unwrap().seal(1, &plaintext).unwrap(),
                access_expires_at: now.as_millis(),
                authorize_sent_at: now.as_millis(),
                authorized_at: now.as_millis(),
                api_url: None,
            },
            zoom_user_id: user,
            seen,
        });
        for expected in [expected, Replayed::Known] {
            let replayed = capsule.replay(
                &credentials,
                &pairs,
                &secrets,
                Timestamp::now().plus(TRANSACTION_TIMEOUT),
            );
            assert_eq!(replayed.await.unwrap(), expected);
        }
        let has_grant = world.grant_id_of(&id).await == grant;
        assert_eq!(has_grant, expected == Replayed::Stored);
    }
    let pair = world.pair_of("ada").await;
    assert_eq!(
        (attribute(&pair, "members"), attribute(&pair, "live")),
        ("0", "0")
    );
}

#[tokio::test]
async fn an_operator_lists_shows_and_restores_deleted_credentials() {
    let world = World::new().await;
    world.describe("RestorePolicy", &OPERATORS_TABLES).await;
    let alive = world.add_user_credential("alive").await;
    let dead = world.add_credential_for_user("grace").await;
    let lost = world.add_credential_for_user("alan").await;
    world.expire_access_tokens().await;
    world.zoom.remove_app(CLIENT_ID, "grace");
    assert_ne!(mint_onbehalf(&world.acme, &dead).await.status, 200);
    for id in [&alive, &dead, &lost] {
        world.acme.delete(id).await.expect(200);
    }
    let grant = SecretId::Grant(world.grant_id_of(&lost).await).to_string();
    let row = world
        .dynamodb
        .delete_item()
        .table_name("secrets")
        .key("secret_id", AttributeValue::S(grant));
    row.send().await.unwrap();
    let environment = world.operator("RestorePolicy");
    let Ok(credentials) = environment.credentials();
    let Ok(pairs) = environment.pairs();
    let Ok(secrets) = environment.secrets();
    let Ok(events) = environment.events();
    let Ok(keys) = environment.table(Table::Keys);
    let team = world.team("acme");

    let teams = TeamAdmin::new(environment.dynamodb(), keys);
    assert_eq!(teams.team(&team).await.unwrap().team_id, team);
    let page = credentials
        .page(&team, None, None, &CredentialFilter::by_deletion(true))
        .await
        .unwrap();
    assert_eq!(page.credentials.len(), 3);
    let all = teams.teams().await.unwrap().rows;
    assert!(all.iter().any(|it| it.team_id == team));
    let shown = alive.parse().unwrap();
    let page = events.page(&team, shown, None, 10).await.unwrap();
    assert!(!page.events.is_empty());
    let Ok(token_urls) = environment.token_urls();
    let page = token_urls
        .page(&team, shown.into(), None, 10)
        .await
        .unwrap();
    assert!(page.urls.is_empty());
    for (id, state) in [
        (alive, State::Active),
        (dead, State::Invalid),
        (lost, State::Invalid),
    ] {
        let id = id.parse().unwrap();
        let run = Invocation::of_schedule("run".to_owned(), Timestamp::now());
        let everything = ExtraFilter::default();
        let restored = shared::restore::restore(
            &credentials,
            &pairs,
            &secrets,
            &events,
            &run,
            &team,
            id,
            &everything,
        );
        assert_eq!(restored.await.unwrap().unwrap().credential.state, state);
    }
}

#[tokio::test]
async fn an_operator_purges_a_credential_and_sweeps_what_belongs_to_none() {
    let world = World::new().await;
    world.describe("PurgePolicy", &OPERATORS_TABLES).await;
    let id = world.add_user_credential("desk").await;
    world.given_url(&id, json!({ "type": "zak" })).await;
    let grant = SecretId::Grant(world.grant_id_of(&id).await).to_string();
    let old = world
        .dynamodb
        .update_item()
        .table_name("secrets")
        .key("secret_id", AttributeValue::S(grant))
        .update_expression("SET authorized_at = :old")
        .expression_attribute_values(":old", AttributeValue::N("1".to_owned()));
    old.send().await.unwrap();
    world.acme.delete(&id).await.expect(200);
    let environment = world.operator("PurgePolicy");
    let Ok(credentials) = environment.credentials();
    let Ok(pairs) = environment.pairs();
    let Ok(secrets) = environment.secrets();
    let Ok(token_urls) = environment.token_urls();
    let [of_credentials, of_pairs, of_secrets, of_urls] = [
        Table::Credentials,
        Table::Pairs,
        Table::Secrets,
        Table::TokenUrls,
    ]
    .map(|table| {
        let Ok(name) = environment.table(table);
        name
    });
    let (team, id) = (world.team("acme"), id.parse().unwrap());
    let client = environment.dynamodb();
    let Ok(keys) = environment.table(Table::Keys);
    let teams = TeamAdmin::new(client.clone(), keys);
    assert_eq!(teams.team(&team).await.unwrap().team_id, team);
    let removal = ManualPurge::new(client, of_credentials.clone(), of_secrets, of_urls);
    let owned_rows = async || {
        let mut owned = 0;
        removal.visit_owned_rows(|_| owned += 1).await.unwrap();
        owned
    };

    assert_eq!(owned_rows().await, 3);
    let Ok(events) = environment.events();
    let trail = Trail {
        events,
        actor: Actor::Operator("local".to_owned()),
        request_id: "run".to_owned(),
    };
    let purge = PurgeNow {
        credentials: &credentials,
        pairs: &pairs,
        secrets: &secrets,
        token_urls: &token_urls,
        removal: &removal,
        trail: &trail,
    };
    let purged = purge.purge(&team, id).await.unwrap().unwrap();
    let dropped = PurgedGrants::OfPair(PairEnd::Dropped(1));
    assert_eq!(purged.grants, dropped);
    assert_eq!(owned_rows().await, 0);
    let inspector = TableInspector::new(environment.dynamodb());
    let mut seen = Vec::new();
    inspector
        .visit_pairs(&of_pairs, |pair| seen.push(pair))
        .await
        .unwrap();
    inspector
        .visit_credentials(&of_credentials, |left| panic!("{left:?}"))
        .await
        .unwrap();
    let [pair] = seen.as_slice() else {
        panic!("{seen:?}")
    };
    assert!(pairs.correct(pair, 0, 0).await.unwrap());
    assert!(removal.destroy_ownerless_app(&team, id).await.unwrap());
}
