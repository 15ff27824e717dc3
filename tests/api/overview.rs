//! `GET /v2/overview`: a key, its team, and what the team has registered.

use reqwest::Method;
use serde_json::{Value, json};
use shared::api_key::{KeyTerms, Permission};
use shared::credential::Name;
use shared::stores::TeamSettingsChange;
use shared::timestamp::Timestamp;
use shared::token::TokenType;

use crate::proxy::Service;
use crate::webhooks::{SECRET_TOKEN, registration};
use crate::world::{Answer, CLIENT_ID, Caller, World, next_millisecond, send, text_of};

impl Caller {
    pub(crate) async fn overview(&self) -> Answer {
        send(self.request(Method::GET, "/v2/overview")).await
    }
}

async fn put_meetstream(caller: &Caller, secrets: Value) -> Value {
    let request = caller.request(Method::PUT, "/v2/vendors/meetstream");
    let body = json!({ "secrets": secrets });
    send(request.json(&body)).await.expect(200)
}

#[tokio::test]
async fn a_new_team_sees_its_key_its_limits_and_nothing_registered() {
    let world = World::new().await;
    let overview = world.acme.overview().await.expect(200);
    let key_id = overview["key"]["key_id"].as_str().unwrap();
    assert!(key_id.len() == 12 && key_id.bytes().all(|it| it.is_ascii_hexdigit()));
    assert_eq!(
        overview,
        json!({
            "key": {
                "key_id": key_id,
                "label": null,
                "permission": "full",
                "expires_at": null,
                "token_types": null,
                "extra": null,
            },
            "team": {
                "name": "acme",
                "rate": overview["team"]["rate"],
                "mint_rate": overview["team"]["mint_rate"],
                "read_rate": null,
                "max_token_ttl": 7200,
                "revoke_on_delete": false,
                "account_onbehalf": false,
                "access_token_urls": false,
                "return_origins": overview["team"]["return_origins"],
                "created_at": overview["team"]["created_at"],
            },
            "apps": [],
            "vendors": [],
        })
    );
}

#[tokio::test]
async fn the_overview_shows_the_terms_of_the_key_and_the_settings_of_the_team() {
    let world = World::new().await;
    let settings = TeamSettingsChange {
        rate: Some(7),
        mint_rate: Some(9),
        read_rate: Some(Some(11)),
        max_token_ttl: Some(1800),
        revoke_on_delete: Some(true),
        account_onbehalf: Some(true),
        access_token_urls: Some(true),
        return_origins: Some(vec!["https://app.example.com".parse().unwrap()]),
        ..TeamSettingsChange::default()
    };
    let team = world.team("acme");
    world.operator.set(&team, settings).await.unwrap();
    let terms = KeyTerms {
        label: Some(Name::try_from("night shift".to_owned()).unwrap()),
        expires_at: Some(Timestamp::from_millis(4_070_908_800_000)),
        token_types: Some(vec![TokenType::Zak]),
        ..KeyTerms::of(Permission::Read)
    };
    let (key, listing) = world.operator.create_key(&team, terms).await.unwrap();
    let caller = world.caller_with_key(&text_of(key));

    let overview = caller.overview().await.expect(200);
    assert_eq!(
        overview["key"],
        json!({
            "key_id": listing.key_id.as_str(),
            "label": "night shift",
            "permission": "read",
            "expires_at": "2099-01-01T00:00:00.000Z",
            "token_types": ["zak"],
            "extra": null,
        })
    );
    assert_eq!(
        overview["team"],
        json!({
            "name": "acme",
            "rate": 7,
            "mint_rate": 9,
            "read_rate": 11,
            "max_token_ttl": 1800,
            "revoke_on_delete": true,
            "account_onbehalf": true,
            "access_token_urls": true,
            "return_origins": ["https://app.example.com"],
            "created_at": overview["team"]["created_at"],
        })
    );
}

#[tokio::test]
async fn apps_and_vendors_are_listed_for_their_team_alone_and_without_secrets() {
    let world = World::new().await;
    let app = world
        .acme
        .register(registration(SECRET_TOKEN))
        .await
        .expect(200);
    next_millisecond().await;
    let one = put_meetstream(&world.acme, json!(["a-secret-of-meetstream"])).await;
    let overview = world.acme.overview().await;
    let data = overview.expect(200);
    assert_eq!(data["apps"], json!([app]));
    assert_eq!(data["vendors"], json!([one]));
    assert_eq!(data["vendors"][0]["secrets"], 1);

    next_millisecond().await;
    let two = put_meetstream(
        &world.acme,
        json!(["a-secret-of-meetstream", "another-secret-of-meetstream"]),
    )
    .await;
    let overview = world.acme.overview().await;
    assert_eq!(overview.expect(200)["vendors"], json!([two]));
    assert_eq!(two["secrets"], 2);
    for secret in [
        SECRET_TOKEN,
        "a-secret-of-meetstream",
        "another-secret-of-meetstream",
    ] {
        assert!(!overview.text.contains(secret));
    }

    let other = world
        .caller("umbrella", Permission::Full)
        .await
        .overview()
        .await
        .expect(200);
    assert_eq!(other["team"]["name"], "umbrella");
    assert_eq!(
        (&other["apps"], &other["vendors"]),
        (&json!([]), &json!([]))
    );

    world.acme.forget().await.expect(200);
    let vendor = world.acme.request(Method::DELETE, "/v2/vendors/meetstream");
    send(vendor).await.expect(200);
    let data = world.acme.overview().await.expect(200);
    assert_eq!((&data["apps"], &data["vendors"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn grants_client_secrets_and_sessions_are_not_in_the_overview() {
    let world = World::new().await;
    world.add_user_credential("desk").await;
    world
        .acme
        .register(registration(SECRET_TOKEN))
        .await
        .expect(200);
    let data = world.acme.overview().await.expect(200);
    let apps = data["apps"].as_array().unwrap();
    assert_eq!((apps.len(), &apps[0]["client_id"]), (1, &json!(CLIENT_ID)));
    assert_eq!(data["vendors"], json!([]));
}

#[tokio::test]
async fn a_key_with_a_filter_sees_its_filter_and_neither_apps_nor_vendors() {
    let world = World::new().await;
    world
        .acme
        .register(registration(SECRET_TOKEN))
        .await
        .expect(200);
    let terms = KeyTerms {
        extra: "tenant:a".parse().unwrap(),
        ..KeyTerms::of(Permission::Full)
    };
    let created = world.operator.create_key(&world.team("acme"), terms).await;
    let caller = world.caller_with_key(&text_of(created.unwrap().0));
    world.wire.reset();
    let data = caller.overview().await.expect(200);
    assert_eq!(data["key"]["extra"], "tenant:a");
    assert_eq!(
        (&data["apps"], &data["vendors"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        world.wire.operations(Service::DynamoDb),
        ["GetItem", "GetItem"]
    );
}

#[tokio::test]
async fn a_key_that_may_only_mint_gets_no_overview() {
    let world = World::new().await;
    let caller = world.caller("acme", Permission::Mint).await;
    world.wire.reset();
    caller.overview().await.expect_error(
        403,
        "FST_ERR_FORBIDDEN",
        "The API key's permission does not cover this operation",
    );
    // The lists are not read for this key.
    assert_eq!(
        world.wire.operations(Service::DynamoDb),
        ["GetItem", "GetItem"]
    );
}

#[tokio::test]
async fn the_overview_counts_as_a_read() {
    let world = World::new().await;
    let settings = TeamSettingsChange {
        read_rate: Some(Some(1000)),
        ..TeamSettingsChange::default()
    };
    let set = world.operator.set(&world.team("acme"), settings).await;
    set.unwrap();
    let caller = world.caller("acme", Permission::Read).await;
    let answer = caller.overview().await;
    answer.expect(200);
    assert!(answer.header("x-ratelimit-limit").is_some());
}
