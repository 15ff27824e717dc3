//! What a key may see and mint: the types of tokens, the credentials by `extra`, and the longest lifetime of a token.

use reqwest::Method;
use serde_json::{Value, json};
use shared::api_key::{KeyTerms, Permission};
use shared::stores::TeamSettingsChange;
use shared::token::TokenType;

use super::{all_endpoints, with_app};
use crate::access::call;
use crate::minting::mint;
use crate::world::{CLIENT_ID, Caller, World, app_body, id_of, send, user_body, with};

pub(super) fn with_extra(mut body: Value, extra: Value) -> Value {
    body["extra"] = extra;
    body
}

pub(super) fn for_tenant(tenant: &str) -> KeyTerms {
    KeyTerms {
        extra: format!("tenant:{tenant}").parse().unwrap(),
        ..KeyTerms::of(Permission::Full)
    }
}

impl World {
    pub(crate) async fn set_max_token_ttl(&self, seconds: u32) {
        let settings = TeamSettingsChange {
            max_token_ttl: Some(seconds),
            ..TeamSettingsChange::default()
        };
        let set = self.operator.set(&self.team("acme"), settings).await;
        set.unwrap();
    }
}

#[tokio::test]
async fn another_type_of_token_is_a_403_for_a_key_that_names_its_types() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let caller = world
        .caller_with_terms(KeyTerms {
            token_types: Some(vec![TokenType::Onbehalf]),
            ..KeyTerms::of(Permission::Full)
        })
        .await;
    let body = |kind: &str| {
        let ids =
            json!({ "credential_id": id, "type": kind, "meeting_id": "123456789", "role": 0 });
        with(ids, json!({ "meeting_uuid": "a==", "rtms_stream_id": "b" }))
    };
    mint(&caller, body("onbehalf")).await.expect(200);
    let urls = format!("/v2/zoom-credentials/{id}/token-urls");
    let make = |kind: &str| {
        caller
            .request(Method::POST, &urls)
            .json(&json!({ "type": kind }))
    };
    send(make("onbehalf")).await.expect(201);
    let message = "The API key does not allow this type of token";
    for kind in ["zak", "local_recording", "sdk_jwt", "rtms_signature"] {
        mint(&caller, body(kind))
            .await
            .expect_error(403, "FST_ERR_FORBIDDEN", message);
    }
    for kind in ["zak", "local_recording"] {
        send(make(kind))
            .await
            .expect_error(403, "FST_ERR_FORBIDDEN", message);
    }
}

/// With a vendor's secret of its own, the key could call the vendor's token URLs, which may be of other types.
#[tokio::test]
async fn a_key_that_names_its_types_may_not_change_a_vendors_secrets() {
    let world = World::new().await;
    let caller = world
        .caller_with_terms(KeyTerms {
            token_types: Some(vec![TokenType::Onbehalf]),
            ..KeyTerms::of(Permission::Full)
        })
        .await;
    let path = "/v2/vendors/meetstream";
    let body = json!({ "secrets": ["a-shared-secret-of-a-vendor"] });
    let put = caller.request(Method::PUT, path).json(&body);
    send(put).await.expect_code(403, "FST_ERR_FORBIDDEN");
    let delete = caller.request(Method::DELETE, path);
    send(delete).await.expect_code(403, "FST_ERR_FORBIDDEN");
}

#[tokio::test]
async fn a_credential_that_the_keys_filter_leaves_out_does_not_exist_for_the_key() {
    let world = World::new().await;
    let create = async |tenant: &str| {
        let body = user_body("bot", &world.code());
        let created = world
            .acme
            .create(with_extra(body, json!({ "tenant": tenant })))
            .await;
        id_of(&created.expect(201))
    };
    let (own, others) = (create("a").await, create("b").await);
    let none = world.add_app_credential("without extra").await;
    let caller = world.caller_with_terms(for_tenant("a")).await;

    let listed = caller.list("").await.expect(200);
    let ids: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["credential_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, [own.as_str()]);
    let page = caller.list("?limit=1").await;
    assert_eq!(page.expect(200)[0]["credential_id"], own.as_str());
    caller.get(&own).await.expect(200);

    let absent = shared::credential::CredentialId::generate().to_string();
    for hidden in [&others, &none] {
        let of_hidden = all_endpoints(hidden).into_iter();
        let of_absent = all_endpoints(&absent).into_iter();
        for (hidden_call, absent_call) in of_hidden.zip(of_absent) {
            let names_it =
                hidden_call.1.contains(hidden.as_str()) || hidden_call.1 == "/v2/zoom-tokens";
            if !names_it {
                continue;
            }
            let answer = send(call(&caller, &hidden_call)).await;
            let expected = send(call(&caller, &absent_call)).await;
            assert_eq!(
                (answer.status, &answer.text),
                (404, &expected.text),
                "{hidden_call:?}"
            );
        }
        world.acme.get(hidden).await.expect(200);
    }
    // A Zoom user's id leads to no hidden credential either.
    let body = json!({ "credential_user_id": world.zoom_user("ada"), "type": "onbehalf" });
    let minted = mint(&caller, body.clone()).await.expect(200);
    assert_eq!(minted["credential_id"], own.as_str());
    let nobody = world.caller_with_terms(for_tenant("c")).await;
    mint(&nobody, body)
        .await
        .expect_code(404, "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID");
}

#[tokio::test]
async fn a_key_with_a_filter_stores_only_credentials_that_it_can_see() {
    let world = World::new().await;
    let caller = world.caller_with_terms(for_tenant("a")).await;
    let message =
        "The API key allows only credentials whose extra has the values of the key's filter";
    for extra in [
        json!({}),
        json!({ "tenant": "b" }),
        json!({ "tenant": ["a"] }),
    ] {
        let created = caller.create(with_extra(app_body("bot"), extra)).await;
        created.expect_error(403, "FST_ERR_FORBIDDEN", message);
    }
    let created = caller.create(app_body("bot")).await;
    created.expect_error(403, "FST_ERR_FORBIDDEN", message);

    let body = with_extra(app_body("bot"), json!({ "tenant": "a", "more": 1 }));
    let id = id_of(&caller.create(body).await.expect(201));
    for extra in [json!(null), json!({ "tenant": "b" })] {
        let moved = caller.update(&id, json!({ "extra": extra })).await;
        moved.expect_error(403, "FST_ERR_FORBIDDEN", message);
    }
    caller
        .update(&id, json!({ "name": "renamed" }))
        .await
        .expect(200);
    caller.delete(&id).await.expect(200);
    caller.restore(&id).await.expect(200);
}

#[tokio::test]
async fn a_key_with_a_filter_sees_only_its_connect_sessions_and_may_not_change_an_app() {
    let world = World::new().await;
    let caller = world.caller_with_terms(for_tenant("a")).await;
    let sessions = "/v2/zoom-connect-sessions";
    let create = |caller: &Caller, extra: Value| {
        let body = with_extra(with_app(json!({ "name": "desk" })), extra);
        send(caller.request(Method::POST, sessions).json(&body))
    };
    create(&caller, json!({ "tenant": "b" }))
        .await
        .expect_code(403, "FST_ERR_FORBIDDEN");
    let show = async |session: &Value| {
        let id = session["session_id"].as_str().unwrap();
        send(caller.request(Method::GET, &format!("{sessions}/{id}"))).await
    };
    let own = create(&caller, json!({ "tenant": "a" })).await.expect(201);
    show(&own).await.expect(200);
    let others = create(&world.acme, json!({ "tenant": "b" }))
        .await
        .expect(201);
    show(&others)
        .await
        .expect_code(404, "FST_ERR_ZOOM_CONNECT_SESSION_NOT_FOUND");

    let message = "The API key allows only some of the team's credentials, and this operation concerns all of them";
    for endpoint in all_endpoints("unused") {
        if endpoint
            .1
            .starts_with(&format!("/v2/zoom-apps/{CLIENT_ID}"))
        {
            send(call(&caller, &endpoint))
                .await
                .expect_error(403, "FST_ERR_FORBIDDEN", message);
        }
    }
}

#[tokio::test]
async fn a_lifetime_beyond_the_teams_limit_is_a_400_that_says_so() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let body = |kind: &str, ttl: u32| json!({ "credential_id": id, "type": kind, "ttl": ttl });
    let refused = |max: u32| {
        format!(
            "body/ttl must be at most {max}: that is the longest lifetime that the vault's operator allows the team"
        )
    };
    for kind in ["onbehalf", "zak", "sdk_jwt"] {
        mint(&world.acme, body(kind, 7_200)).await.expect(200);
        let answer = mint(&world.acme, body(kind, 7_201)).await;
        answer.expect_error(400, "FST_ERR_VALIDATION", &refused(7_200));
    }
    world.set_max_token_ttl(86_400).await;
    for kind in ["onbehalf", "zak", "sdk_jwt"] {
        mint(&world.acme, body(kind, 86_400)).await.expect(200);
    }
}

#[tokio::test]
async fn a_token_without_a_lifetime_lives_no_longer_than_the_teams_limit() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    world.set_max_token_ttl(1_800).await;
    world.wire.reset();
    for kind in ["onbehalf", "zak"] {
        mint(&world.acme, json!({ "credential_id": id, "type": kind }))
            .await
            .expect(200);
    }
    let url = world.given_url(&id, json!({ "type": "zak" })).await;
    assert_eq!(world.vendor_gets(&url, "").await.status, 200);
    let calls = world.wire.calls().into_iter().map(|call| call.target);
    let asked: Vec<String> = calls.filter(|it| it.contains("/users/me/token")).collect();
    assert_eq!(asked.len(), 3);
    assert!(
        asked.iter().all(|path| path.contains("ttl=1800")),
        "{asked:?}"
    );
}
