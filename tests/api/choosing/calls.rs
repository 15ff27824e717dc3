//! Whom a call names, and what it gets.

use serde_json::{Value, json};
use shared::stores::TeamSettingsChange;

use super::{NO_CREDENTIAL, tokens_in, with_query};
use crate::account::SCOPES;
use crate::bots::MEETING;
use crate::proxy::Service;
use crate::token_urls::Url;
use crate::vendors::answer_to;
use crate::world::World;

#[tokio::test]
async fn each_vendor_names_the_user_in_its_own_way() {
    let world = World::new().await;
    world.store_vendors().await;
    let ada = world.connect("ada", Value::Null).await;
    world.connect("bob", Value::Null).await;
    let open = world.given_open_url(&["onbehalf"], json!({})).await;
    let verified = json!({ "unverified": null, "verify": ["recall", "attendee", "meetstream"] });
    let url = world.given_open_url(&["onbehalf"], verified).await;

    for (name, value) in [
        ("credential_id", &ada.credential),
        ("zoom_user_id", &ada.user),
        ("zoom_email", &ada.email),
    ] {
        let extra = json!({ name: value });
        let meetingbaas = answer_to(world.meetingbaas(&open, &[], &extra)).await;
        assert_eq!(meetingbaas.status, 200, "{}", meetingbaas.text);
        assert_eq!(world.user_of(&meetingbaas.text), "ada");

        let query = [(name, value.as_str()), ("meeting_id", MEETING)];
        let recall = answer_to(world.recall(&url, &query)).await;
        assert_eq!(world.user_of(&recall.text), "ada");

        let link = format!("https://zoom.us/j/{MEETING}");
        let attendee = answer_to(world.attendee(&url, &extra, &link)).await;
        assert_eq!(world.users_of(&attendee.json()["onbehalf_token"]), ["ada"]);

        let meetstream = answer_to(world.meetstream_posts(&url, &extra)).await;
        let tokens = meetstream.json();
        assert_eq!(world.users_of(&tokens["token"]), ["ada"]);
        assert_eq!(tokens["token"], tokens["obf"]);
    }
    let events = world.acme.events(&ada.credential, "?limit=1").await;
    let event = &events.expect(200)[0];
    assert_eq!(event["actor"], json!({ "type": "token_url", "id": url.id }));
    assert_eq!(event["bot_id"], "b-1");
}

#[tokio::test]
async fn an_email_address_is_found_in_any_case_and_with_a_plus_that_is_not_encoded() {
    let world = World::new().await;
    let ada = world.connect("ada", Value::Null).await;
    let url = world.given_open_url(&["zak"], json!({})).await;
    for email in [
        ada.email.to_lowercase(),
        ada.email.to_uppercase(),
        ada.email.replace('+', "%2B"),
        format!("%20{}%20,", ada.email),
    ] {
        let answer = world
            .vendor_gets(&url, &format!("?zoom_email={email}"))
            .await;
        assert_eq!(answer.status, 200, "{email}: {}", answer.text);
        assert_eq!(world.user_of(&answer.text), "ada");
    }
}

#[tokio::test]
async fn the_names_of_the_values_can_be_chosen_and_replace_the_defaults() {
    let world = World::new().await;
    let ada = world.connect("ada", Value::Null).await;
    let keys = json!({ "call_keys": { "user": ["owner"], "credential": ["grant"] } });
    let url = world.given_open_url(&["zak"], keys).await;
    for (name, value) in [
        ("owner", &ada.email),
        ("owner", &ada.user),
        ("grant", &ada.credential),
    ] {
        let answer = answer_to(world.meetingbaas(&url, &[], &json!({ name: value }))).await;
        assert_eq!(world.user_of(&answer.text), "ada");
    }
    let answer =
        answer_to(world.meetingbaas(&url, &[("zoom_email", &ada.email)], &json!({}))).await;
    assert_eq!(answer.status, 400);
}

// Seen to fail: the answer said that a credential belongs to an app
#[tokio::test]
async fn whoever_is_unknown_deleted_filtered_out_or_no_user_gets_one_answer() {
    let (world, account) = World::with_account(&SCOPES).await;
    let app = world.add_app_credential("app").await;
    let customer = json!({ "customer": "acme" });
    let ada = world.connect("ada", customer.clone()).await;
    let other_customer = world.connect("bob", json!({ "customer": "globex" })).await;
    let without_extra = world.connect("cid", Value::Null).await;
    let deleted = world.connect("dee", customer).await;
    world.acme.delete(&deleted.credential).await.expect(200);
    let url = world
        .given_open_url(&["zak"], json!({ "extra": "customer:acme" }))
        .await;
    let get = async |name: &str, value: &str| {
        answer_to(world.meetingbaas(&url, &[(name, value)], &json!({}))).await
    };
    assert_eq!(get("zoom_email", &ada.email).await.status, 200);
    // A URL without a filter may choose everybody but these.
    let unlimited = world.given_open_url(&["zak", "onbehalf"], json!({})).await;
    world.wire.reset();
    for id in [&account, &app] {
        let body = json!({ "credential_id": id });
        let answer = world.vendor_posts(&unlimited, &body).await;
        let code = "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID";
        answer.expect_error(404, code, NO_CREDENTIAL);
        assert_eq!(world.mints_of(id).await, Vec::<String>::new());
    }
    let body = json!({ "credential_id": [account, app, ada.credential] });
    let tokens = tokens_in(&world.vendor_posts(&unlimited, &body).await);
    assert_eq!(world.users_of(&tokens["onbehalf_token"]), ["ada"]);
    for id in [&account, &app] {
        assert_eq!(world.mints_of(id).await, Vec::<String>::new());
    }

    world.wire.reset();
    for user in [&other_customer, &without_extra, &deleted] {
        for (name, value) in [
            ("credential_id", &user.credential),
            ("zoom_user_id", &user.user),
            ("zoom_email", &user.email),
        ] {
            let answer = get(name, value).await;
            assert_eq!((answer.status, answer.text.as_str()), (404, NO_CREDENTIAL));
        }
    }
    for (name, value) in [
        ("credential_id", account.as_str()),
        ("credential_id", app.as_str()),
        ("credential_id", "0192f5a0-7c4e-7d2a-9b1c-3e5f7a9b1c3d"),
        ("credential_id", "not an id"),
        ("zoom_user_id", "nobody"),
        ("zoom_email", "nobody@example.test"),
    ] {
        let answer = get(name, value).await;
        assert_eq!((answer.status, answer.text.as_str()), (404, NO_CREDENTIAL));
    }
    assert_eq!(world.wire.count(Service::Kms), 0);
    assert_eq!(world.wire.count(Service::Zoom), 0);
    assert_eq!(world.uses(&url.id).await, "1");
}

#[tokio::test]
async fn a_call_that_names_nobody_or_too_many_is_told_so() {
    let world = World::new().await;
    let url = world.given_open_url(&["zak"], json!({})).await;
    let nobody = "the call must name a credential or a Zoom user, under one of the URL's call_keys";
    let many = "the call must NOT name more than 10 credentials and Zoom users";
    let eleven: Vec<String> = (0..11).map(|it| format!("user{it}")).collect();
    let eleven = eleven.join(",");
    for (query, rule) in [
        ("", nobody),
        ("?zoom_email=", nobody),
        ("?zoom_email=,%20,", nobody),
        ("?extra=not-json", nobody),
        ("?extra=%5B%22ada%22%5D", nobody),
        ("?extra=%7B%22zoom_email%22%3A7%7D", nobody),
        ("?extra=%7B%22zoom_email%22%3A%7B%7D%7D", nobody),
        (&format!("?zoom_user_id={eleven}"), many),
    ] {
        let answer = world.vendor_gets(&url, query).await;
        assert_eq!(
            (answer.status, answer.text.as_str()),
            (400, rule),
            "{query}"
        );
    }
    assert_eq!(world.uses(&url.id).await, "0");
}

#[tokio::test]
async fn a_body_that_its_vendor_signed_counts_before_the_query() {
    let world = World::new().await;
    world.store_vendors().await;
    let ada = world.connect("ada", Value::Null).await;
    let bob = world.connect("bob", Value::Null).await;
    let verified = json!({ "unverified": null, "verify": ["attendee"] });
    let url = world.given_open_url(&["zak"], verified).await;
    let open = world.given_open_url(&["zak"], json!({})).await;
    for (url, user) in [(url, "ada"), (open, "bob")] {
        let query = [("zoom_email", bob.email.as_str())];
        let url = Url {
            url: with_query(&url, &query).into(),
            ..url
        };
        let call = world.attendee(&url, &json!({ "zoom_email": ada.email }), "");
        let answer = answer_to(call).await;
        assert_eq!(world.users_of(&answer.json()["zak_token"]), [user]);
    }
}

#[tokio::test]
async fn a_recorded_body_of_attendee_chooses_nobody_by_another_query() {
    let world = World::new().await;
    world.store_vendors().await;
    let ada = world.connect("ada", Value::Null).await;
    let verified = json!({ "unverified": null, "verify": ["attendee"] });
    let url = world.given_open_url(&["zak"], verified).await;
    let url = Url {
        url: with_query(&url, &[("zoom_email", ada.email.as_str())]).into(),
        ..url
    };
    let answer = answer_to(world.attendee(&url, &json!({}), "")).await;
    answer.expect_code(400, "FST_ERR_VALIDATION");
}

#[tokio::test]
async fn tens_of_thousands_of_names_are_refused_at_once() {
    let world = World::new().await;
    let url = world.given_open_url(&["zak"], json!({})).await;
    let names: Vec<String> = (0..40_000).map(|it| format!("{it:04x}")).collect();
    let before = std::time::Instant::now();
    let body = json!({ "zoom_user_id": names.join(",") });
    let answer = world.vendor_posts(&url, &body).await;
    answer.expect_code(400, "FST_ERR_VALIDATION");
    // Comparing each name with all before it took minutes.
    assert!(before.elapsed() < std::time::Duration::from_secs(20));
}

#[tokio::test]
async fn a_call_that_names_nobody_usable_counts_against_the_rate_and_takes_no_use() {
    let world = World::new().await;
    let url = world
        .given_open_url(&["zak"], json!({ "max_uses": 1 }))
        .await;
    let settings = TeamSettingsChange {
        mint_rate: Some(2),
        ..TeamSettingsChange::default()
    };
    let team = "acme".parse().unwrap();
    world.operator.set(&team, settings).await.unwrap();
    world.wire.reset();
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let answer = world
            .vendor_gets(&url, "?zoom_email=nobody@example.test")
            .await;
        statuses.push(answer.status);
    }
    assert!(
        statuses.contains(&404) && statuses.contains(&429),
        "{statuses:?}"
    );
    assert_eq!(world.uses(&url.id).await, "0");
}

#[tokio::test]
async fn an_address_that_two_users_have_names_neither() {
    let world = World::new().await;
    let ada = world.connect("ada", Value::Null).await;
    let bob = world.connect("bob", Value::Null).await;
    let address = ada.email.to_lowercase();
    world
        .set_texts(
            &bob.credential,
            &[("zoom_email", &address), ("zoom_email_key", &address)],
        )
        .await;
    let url = world.given_open_url(&["zak"], json!({})).await;
    let get = async |name: &str, value: &str| {
        answer_to(world.meetingbaas(&url, &[(name, value)], &json!({}))).await
    };
    assert_eq!(get("zoom_email", &address).await.status, 404);
    assert_eq!(get("zoom_user_id", &bob.user).await.status, 200);
}

#[tokio::test]
async fn a_call_that_none_of_the_vendors_proves_learns_and_costs_nothing() {
    let world = World::new().await;
    world.store_vendors().await;
    let ada = world.connect("ada", Value::Null).await;
    let verified = json!({ "unverified": null, "verify": ["recall", "attendee", "meetstream"] });
    let url = world.given_open_url(&["zak"], verified).await;
    let query = format!("?zoom_email={}", ada.email);
    let answer = world.vendor_gets(&url, &query).await;
    let message = "The call is not proved to come from the vendor that this token URL is for";
    assert_eq!((answer.status, answer.text.as_str()), (401, message));
    assert_eq!(world.uses(&url.id).await, "0");
    assert_eq!(world.mints_of(&ada.credential).await, Vec::<String>::new());
}

#[tokio::test]
async fn one_answer_has_every_type_and_a_text_has_room_for_one() {
    let world = World::new().await;
    let ada = world.connect("ada", Value::Null).await;
    let types = ["onbehalf", "zak", "local_recording"];
    let url = world.given_open_url(&types, json!({})).await;
    let body = json!({ "zoom_email": ada.email, "meeting_number": MEETING });
    let answer = world.vendor_posts(&url, &body).await;
    let tokens = tokens_in(&answer);
    let names: Vec<&String> = tokens.as_object().unwrap().keys().collect();
    let all = [
        "app_privilege_token",
        "obf",
        "onbehalf_token",
        "zak",
        "zak_token",
    ];
    assert_eq!(names, all);

    // Without a meeting there is no token to record it.
    let answer = world
        .vendor_posts(&url, &json!({ "zoom_email": ada.email }))
        .await;
    let tokens = tokens_in(&answer);
    assert_eq!(tokens.get("app_privilege_token"), None);
    assert!(tokens["zak"].is_string());

    let query = format!("?zoom_email={}", ada.email);
    let answer = world.vendor_gets(&url, &query).await;
    let rule = "type is required: the token URL gives several types, and this answer has room for one token";
    assert_eq!((answer.status, answer.text.as_str()), (400, rule));
    world.wire.reset();
    let answer = world.vendor_gets(&url, &format!("{query}&type=zak")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(world.zoom_api_calls(), ["/v2/users/me/token?type=zak"]);
}

// Seen to fail: a ZAK for a call that asked for `obf`
#[tokio::test]
async fn a_type_that_the_url_does_not_give_is_refused_and_not_ignored() {
    let world = World::new().await;
    let ada = world.connect("ada", Value::Null).await;
    let query = format!("?zoom_email={}", ada.email);
    let one = world.given_open_url(&["zak"], json!({})).await;
    let rule = "type must be one of the types that the token URL gives";
    for named in ["onbehalf", "obf", "ZAK", "zak,onbehalf", "sdk_jwt"] {
        let query = format!("{query}&type={named}");
        let answer = world.vendor_gets(&one, &query).await;
        assert_eq!(
            (answer.status, answer.text.as_str()),
            (400, rule),
            "{named}"
        );
        let body = json!({ "zoom_email": ada.email, "type": named });
        let answer = world.vendor_posts(&one, &body).await;
        answer.expect_error(400, "FST_ERR_VALIDATION", rule);
    }
    assert_eq!(world.uses(&one.id).await, "0");
    assert_eq!(world.mints_of(&ada.credential).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_user_without_the_scope_of_one_type_gets_the_others() {
    let world = World::new().await;
    let scopes = ["user:read:user", "user:read:zak"];
    let code = world.code_of("ada", Some(&scopes));
    let body = crate::world::user_body("ada", &code);
    let id = crate::world::id_of(&world.acme.create(body).await.expect(201));
    let url = world.given_open_url(&["zak", "onbehalf"], json!({})).await;
    let answer = world
        .vendor_posts(&url, &json!({ "credential_id": id }))
        .await;
    let tokens = tokens_in(&answer);
    assert_eq!(tokens.get("onbehalf_token"), None);
    assert!(tokens["zak_token"].is_string());
    assert_eq!(
        world.mints_of(&id).await,
        ["FST_ERR_ZOOM_MISSING_SCOPE", "succeeded", "succeeded"]
    );
}
