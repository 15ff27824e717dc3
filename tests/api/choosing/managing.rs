//! Creating, listing and revoking URLs that choose.

use reqwest::Method;
use serde_json::{Value, json};
use shared::api_key::{ApiKey, KeyTerms, Permission};
use shared::token::TokenType;

use crate::token_urls::NO_URL;
use crate::vendors::{RECALL, answer_to};
use crate::world::{World, with};

#[tokio::test]
async fn a_url_is_created_with_all_fields_and_only_the_first_answer_has_its_token() {
    let world = World::new().await;
    world.store_vendors().await;
    let body = json!({
        "types": ["onbehalf", "local_recording"],
        "choose": "from_call",
        "call_keys": { "user": ["owner", "zoom_email"] },
        "extra": "customer:acme,plan:pro",
        "verify": ["recall", "attendee"],
        "label": "all bots",
        "meeting_id": "987 6543-2101",
        "max_uses": 7,
        "expires_in": 3600,
        "unknown": [],
    });
    let mut created = world.acme.create_choosing(body).await.expect(201);
    let url = created.as_object_mut().unwrap().remove("url").unwrap();
    let token = url.as_str().unwrap().rsplit_once("/t/").unwrap().1;
    assert_eq!(token.len(), 4 + 86 + 6);
    let key = ApiKey::parse(world.acme.key()).unwrap().hash().id();
    let expected = json!({
        "url_id": created["url_id"],
        "types": ["onbehalf", "local_recording"],
        "credentials": null,
        "choose": "from_call",
        "call_keys": { "credential": [], "user": ["owner", "zoom_email"] },
        "extra": "customer:acme,plan:pro",
        "verify": ["recall", "attendee"],
        "label": "all bots",
        "meeting_id": "98765432101",
        "max_uses": 7,
        "uses": 0,
        "created_at": created["created_at"],
        "created_by": key.to_string(),
        "expires_at": created["expires_at"],
    });
    assert_eq!(created, expected);

    let listed = world.acme.choosing_urls("").await;
    assert_eq!(listed.expect(200), json!([expected]));
    assert!(!listed.text.contains(token));
    for row in world.rows("token-urls").await {
        assert!(!row.contains(token));
    }
    let events = world.team_events("?kind=url_created").await;
    let event = &events.expect(200)[0];
    assert_eq!(event["credential_id"], Value::Null);
    assert_eq!(event["target"]["id"], created["url_id"]);
    assert_eq!(
        event["changed"],
        json!([
            "types",
            "choose",
            "call_keys",
            "extra",
            "verify",
            "label",
            "meeting_id",
            "max_uses",
            "expires_in"
        ])
    );
}

#[tokio::test]
async fn a_list_of_credentials_is_shown_in_its_order_and_the_names_have_defaults() {
    let world = World::new().await;
    let ada = world.connect("ada", Value::Null).await.credential;
    let bob = world.connect("bob", Value::Null).await.credential;
    let listed = json!({ "types": ["zak"], "credentials": [bob, ada], "unverified": true });
    let created = world.acme.create_choosing(listed).await.expect(201);
    assert_eq!(created["credentials"], json!([bob, ada]));
    assert_eq!(created["verify"], json!([]));
    for absent in ["choose", "call_keys", "extra"] {
        assert_eq!(created[absent], Value::Null, "{absent}");
    }

    let open = json!({ "types": ["zak"], "choose": "from_call", "unverified": true });
    let created = world.acme.create_choosing(open).await.expect(201);
    let keys = json!({ "credential": ["credential_id"], "user": ["zoom_user_id", "zoom_email"] });
    assert_eq!(created["call_keys"], keys);
    assert_eq!(created["extra"], Value::Null);
    assert_eq!(created["credentials"], Value::Null);
}

impl World {
    /// Stores a secret of Recall.ai. Returns a body that is good.
    async fn given_recall(&self) -> Value {
        let secrets = json!({ "secrets": [RECALL] });
        self.acme.put_vendor("recall", secrets).await.expect(200);
        let good = json!({ "types": ["onbehalf"], "choose": "from_call", "verify": ["recall"] });
        self.acme.create_choosing(good.clone()).await.expect(201);
        good
    }
}

#[tokio::test]
async fn a_body_without_a_good_choice_is_refused_with_the_rule() {
    let world = World::new().await;
    let good = world.given_recall().await;
    let app = world.add_app_credential("app").await;
    let names = |count: usize| (0..count).map(|it| format!("k{it}")).collect::<Vec<_>>();
    let ten_rule = "must be an array of 1 to 10 different strings";
    let with_list = |list: Value| json!({ "choose": null, "credentials": list });
    for (changes, message) in [
        (json!({ "types": null }), "body/types is required".to_owned()),
        (json!({ "types": [] }), format!("body/types {ten_rule}")),
        (json!({ "types": "zak" }), format!("body/types {ten_rule}")),
        (
            json!({ "types": ["zak", "zak"] }),
            format!("body/types {ten_rule}"),
        ),
        (
            json!({ "types": ["sdk_jwt"] }),
            "body/types must be one of onbehalf, zak, local_recording, access_token".to_owned(),
        ),
        (
            json!({ "types": ["zak"], "meeting_id": "123456789" }),
            "body/meeting_id must NOT come with the type zak: Zoom binds a ZAK to no meeting, so the bot could start any"
                .to_owned(),
        ),
        (
            json!({ "choose": null }),
            "body/credentials is required, or choose".to_owned(),
        ),
        (
            json!({ "credentials": [app] }),
            "body/choose must NOT come with credentials: name one of the two".to_owned(),
        ),
        (
            json!({ "choose": "first" }),
            "body/choose must be from_call".to_owned(),
        ),
        (
            with_list(json!([])),
            format!("body/credentials {ten_rule}"),
        ),
        (
            with_list(json!([app])),
            "body/credentials must be credentials of users: one of them belongs to an app"
                .to_owned(),
        ),
        (
            with(with_list(json!([app])), json!({ "extra": "a:b" })),
            "body/extra must come with choose".to_owned(),
        ),
        (
            with(
                with_list(json!([app])),
                json!({ "call_keys": { "user": ["u"] } }),
            ),
            "body/call_keys must come with choose".to_owned(),
        ),
        (
            json!({ "call_keys": {} }),
            "body/call_keys must have credential or user".to_owned(),
        ),
        (
            json!({ "call_keys": ["user"] }),
            "body/call_keys must be object".to_owned(),
        ),
        (
            json!({ "call_keys": { "user": names(11) } }),
            format!("body/call_keys/user {ten_rule}"),
        ),
        (
            json!({ "call_keys": { "user": ["two words"] } }),
            "body/call_keys/user must be names of 1 to 64 visible ASCII characters".to_owned(),
        ),
    ] {
        let refused = world.acme.create_choosing(with(good.clone(), changes)).await;
        refused.expect_error(400, "FST_ERR_VALIDATION", &message);
    }
    let missing = with_list(json!(["0192f5a0-7c4e-7d2a-9b1c-3e5f7a9b1c3d"]));
    let refused = world.acme.create_choosing(with(good, missing)).await;
    let code = "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID";
    refused.expect_error(404, code, "Zoom credential not found");
}

#[tokio::test]
async fn a_body_without_a_good_proof_or_limit_is_refused_with_the_rule() {
    let world = World::new().await;
    let good = world.given_recall().await;
    for (changes, message) in [
        (
            json!({ "extra": "customer" }),
            "body/extra must be key:value pairs, separated by commas".to_owned(),
        ),
        (
            json!({ "extra": { "customer": "acme" } }),
            "body/extra must be string".to_owned(),
        ),
        (
            json!({ "verify": null }),
            "body/verify is required, or \"unverified\": true for a URL that answers every caller"
                .to_owned(),
        ),
        (
            json!({ "verify": null, "unverified": false }),
            "body/verify is required, or \"unverified\": true for a URL that answers every caller"
                .to_owned(),
        ),
        (
            json!({ "unverified": true }),
            "body/unverified must NOT be true with verify".to_owned(),
        ),
        (
            json!({ "verify": null, "unverified": "true" }),
            "body/unverified must be boolean".to_owned(),
        ),
        (
            json!({ "verify": ["attendee"] }),
            "body/verify names a vendor whose secret is not stored: store it with PUT /v2/vendors/{vendor} first"
                .to_owned(),
        ),
        (
            json!({ "max_uses": 0 }),
            "body/max_uses must be an integer from 1 to 1000000".to_owned(),
        ),
    ] {
        let refused = world.acme.create_choosing(with(good.clone(), changes)).await;
        refused.expect_error(400, "FST_ERR_VALIDATION", &message);
    }
}

/// The values are checked before the URL's choice as a whole. No refusal shows the value, although it may be a secret
/// that somebody has put into the wrong field.
#[tokio::test]
async fn a_value_of_the_wrong_kind_is_refused_with_the_rule_and_is_not_shown() {
    const MARKER: &str = "MARKER-7f3a";
    let world = World::new().await;
    let good = world.given_recall().await;
    let array = "must be an array of 1 to 10 different strings";
    let (string, uuid) = ("must be string", "must match format \"uuid\"");
    let vendor = "must be one of recall, attendee, meetstream";
    let ids: Vec<String> = (0..11)
        .map(|it| format!("0192f5a0-7c4e-7d2a-9b1c-3e5f7a9b1c{it:02}"))
        .collect();
    let user = |value: Value| json!({ "user": value });
    for (field, value, rule) in [
        ("types", json!([]), array),
        ("types", json!([7_341_907]), string),
        ("types", json!({ "zak": MARKER }), array),
        (
            "types",
            json!([MARKER]),
            "must be one of onbehalf, zak, local_recording, access_token",
        ),
        ("verify", json!([]), array),
        ("verify", json!(MARKER), array),
        ("verify", json!("recall"), array),
        ("verify", json!([7_341_907]), string),
        ("verify", json!([MARKER]), vendor),
        ("verify", json!(["meetingbaas"]), vendor),
        ("credentials", json!([]), array),
        ("credentials", json!(MARKER), array),
        ("credentials", json!([7_341_907]), string),
        ("credentials", json!([MARKER]), uuid),
        ("credentials", json!([{ "id": MARKER }]), string),
        ("credentials", json!(ids), array),
        ("credentials", json!([ids[0], ids[0]]), array),
        ("choose", json!(7_341_907), string),
        ("choose", json!(MARKER), "must be from_call"),
        ("unverified", json!(1), "must be boolean"),
        ("unverified", json!(MARKER), "must be boolean"),
        (
            "max_uses",
            json!(MARKER),
            "must be an integer from 1 to 1000000",
        ),
        (
            "max_uses",
            json!("7"),
            "must be an integer from 1 to 1000000",
        ),
        (
            "max_uses",
            json!(7.5),
            "must be an integer from 1 to 1000000",
        ),
        (
            "max_uses",
            json!(7_341_907),
            "must be an integer from 1 to 1000000",
        ),
        (
            "expires_in",
            json!(59),
            "must be an integer from 60 to 315360000",
        ),
        (
            "expires_in",
            json!(-7_341_907),
            "must be an integer from 60 to 315360000",
        ),
        (
            "meeting_id",
            json!(MARKER),
            "must be a Zoom meeting number: 1 to 20 digits",
        ),
        ("meeting_id", json!([MARKER]), string),
        ("label", json!([MARKER]), string),
        (
            "extra",
            json!(MARKER),
            "must be key:value pairs, separated by commas",
        ),
        ("call_keys", json!(MARKER), "must be object"),
        ("call_keys/user", user(json!([])), array),
        ("call_keys/user", user(json!(MARKER)), array),
        ("call_keys/user", user(json!([7_341_907])), string),
        (
            "call_keys/user",
            user(json!([format!("{MARKER} {MARKER}")])),
            "must be names of 1 to 64 visible ASCII characters",
        ),
    ] {
        let (name, _) = field.split_once('/').unwrap_or((field, ""));
        let body = with(good.clone(), json!({ name: value }));
        let refused = world.acme.create_choosing(body).await;
        let message = format!("body/{field} {rule}");
        refused.expect_error(400, "FST_ERR_VALIDATION", &message);
        for shown in [MARKER, "7341907", "341907"] {
            assert!(!refused.text.contains(shown), "{}", refused.text);
        }
    }
    // Only the URL of `good` is there, which its check has created.
    let urls = world.acme.choosing_urls("").await.expect(200);
    assert_eq!(urls.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_revoked_url_gives_nothing_and_is_not_listed() {
    let world = World::new().await;
    let ada = world.connect("ada", Value::Null).await;
    let url = world.given_open_url(&["zak"], json!({})).await;
    let query = [("zoom_email", ada.email.as_str())];
    let called = answer_to(world.recall(&url, &query)).await;
    assert_eq!(
        (called.status, world.uses(&url.id).await.as_str()),
        (200, "1")
    );

    world.acme.delete_choosing(&url.id).await.expect(200);
    assert_eq!(world.acme.choosing_urls("").await.expect(200), json!([]));
    let called = answer_to(world.recall(&url, &query)).await;
    assert_eq!((called.status, called.text.as_str()), (404, NO_URL));
    let again = world.acme.delete_choosing(&url.id).await;
    again.expect_error(404, "FST_ERR_ZOOM_TOKEN_URL_NOT_FOUND", NO_URL);
    let events = world.team_events("?kind=url_revoked").await;
    assert_eq!(events.expect(200)[0]["target"]["id"], url.id);
}

#[tokio::test]
async fn the_urls_of_a_team_come_in_pages_and_not_among_those_of_a_credential() {
    let world = World::new().await;
    let ada = world.connect("ada", Value::Null).await.credential;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.insert(0, world.given_open_url(&["zak"], json!({})).await.id);
    }
    let first = world.acme.choosing_urls("?limit=2").await;
    let cursor = first.header("x-next-cursor").unwrap().to_owned();
    let ids_of = |page: &Value| -> Vec<String> {
        let page = page.as_array().unwrap().iter();
        page.map(|url| url["url_id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids_of(&first.expect(200)), ids[..2]);
    let query = format!("?limit=2&cursor={cursor}");
    let second = world.acme.choosing_urls(&query).await;
    assert_eq!(ids_of(&second.expect(200)), ids[2..]);
    assert_eq!(second.header("x-next-cursor"), None);
    assert_eq!(world.acme.urls(&ada, "").await.expect(200), json!([]));
    let globex = world.caller("globex", Permission::Full).await;
    let others = globex.choosing_urls("").await;
    assert_eq!(others.expect(200), json!([]));
    let stolen = globex.delete_choosing(&ids[0]).await;
    stolen.expect_error(404, "FST_ERR_ZOOM_TOKEN_URL_NOT_FOUND", NO_URL);
}

#[tokio::test]
async fn a_key_that_sees_some_credentials_or_mints_some_types_cannot_make_a_url_for_more() {
    let world = World::new().await;
    let body = json!({ "types": ["zak"], "choose": "from_call", "unverified": true });
    let terms = KeyTerms {
        extra: "customer:acme".parse().unwrap(),
        ..KeyTerms::of(Permission::Full)
    };
    let some = world.caller_with_terms(terms).await;
    let team = "The API key allows only some of the team's credentials, and this operation concerns all of them";
    let refused = some.create_choosing(body.clone()).await;
    refused.expect_error(403, "FST_ERR_FORBIDDEN", team);
    let url = world.given_open_url(&["zak"], json!({})).await;
    let refused = some.choosing_urls("").await;
    refused.expect_error(403, "FST_ERR_FORBIDDEN", team);
    let refused = some.delete_choosing(&url.id).await;
    refused.expect_error(403, "FST_ERR_FORBIDDEN", team);

    let terms = KeyTerms {
        token_types: Some(vec![TokenType::Onbehalf]),
        ..KeyTerms::of(Permission::Full)
    };
    let types = world.caller_with_terms(terms).await;
    let refused = types.create_choosing(body).await;
    let message = "The API key does not allow this type of token";
    refused.expect_error(403, "FST_ERR_FORBIDDEN", message);
}

#[tokio::test]
async fn a_method_that_the_paths_do_not_have_is_not_found() {
    let world = World::new().await;
    for method in [Method::PUT, Method::PATCH] {
        let request = world.acme.request(method, "/v2/token-urls");
        assert_eq!(answer_to(request).await.status, 404);
    }
}
