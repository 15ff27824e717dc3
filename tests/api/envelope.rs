//! The envelope over a real KMS: a secret that is sealed for one row opens in that row only.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kms::primitives::Blob;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use shared::credential::{CredentialId, GrantId, TeamId};
use shared::envelope::{Binding, Envelope, Error, Purpose, Sealed, SecretId, format};
use shared::secret::{ClientSecret, Plaintext, TokenPair};
use shared::stores::Secrets;

use crate::proxy::Service;
use crate::world::{CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, World, user_body};

const TABLE: &str = "secrets";

type Row = HashMap<String, AttributeValue>;

/// An envelope for a table, with this world's KMS key.
async fn envelope(world: &World, table: &'static str) -> Envelope {
    let kms = world.kms_client().await;
    Envelope::new(kms, world.kms.default_key(), table)
}

fn team(name: &str) -> TeamId {
    name.parse().unwrap()
}

fn app_of(id: &str) -> SecretId {
    SecretId::App(id.parse::<CredentialId>().unwrap())
}

fn bound(name: &str, secret: &SecretId) -> Binding {
    Binding {
        team: team(name),
        secret: secret.clone(),
    }
}

/// Every row of the secrets table, by id.
async fn rows(world: &World) -> BTreeMap<String, Row> {
    let answer = world
        .dynamodb
        .scan()
        .table_name(TABLE)
        .send()
        .await
        .unwrap();
    let id = |row: &Row| row["secret_id"].as_s().unwrap().clone();
    let rows = answer.items.unwrap().into_iter();
    rows.map(|row| (id(&row), row)).collect()
}

async fn put(world: &World, row: Row) {
    let put = world.dynamodb.put_item().table_name(TABLE);
    put.set_item(Some(row)).send().await.unwrap();
}

async fn stored(world: &World, secret: &SecretId) -> Sealed {
    let secrets = Secrets::new(world.dynamodb.clone(), TABLE.to_owned());
    secrets
        .app_secret(secret.clone())
        .await
        .unwrap()
        .unwrap()
        .sealed
}

/// The only grant in the table.
async fn only_grant(world: &World) -> SecretId {
    let rows = rows(world).await;
    let grants: Vec<GrantId> = rows
        .keys()
        .filter_map(|id| id.strip_prefix("grant#"))
        .map(|id| serde_json::from_value(json!(id)).unwrap())
        .collect();
    assert_eq!(grants.len(), 1);
    SecretId::Grant(grants[0])
}

/// Opens every row of the secrets table: its id, its data key and its plaintext.
pub(crate) async fn open_all(world: &World) -> Vec<(String, Vec<u8>, Plaintext)> {
    let (own, kms) = (envelope(world, TABLE).await, world.kms_client().await);
    let mut all = Vec::new();
    for (id, row) in rows(world).await {
        let secret = match id.split_once('#').unwrap() {
            ("app", app) => app_of(app),
            ("webhook", of) => {
                let (name, app) = of.split_once('#').unwrap();
                SecretId::Webhook(team(name), app.to_owned().try_into().unwrap())
            }
            ("vendor", of) => {
                let (name, vendor) = of.split_once('#').unwrap();
                SecretId::Vendor(team(name), vendor.parse().unwrap())
            }
            (_, grant) => SecretId::Grant(serde_json::from_value(json!(grant)).unwrap()),
        };
        let binding = bound(row["team_id"].as_s().unwrap(), &secret);
        let key = kms
            .decrypt()
            .ciphertext_blob(row["dek"].as_b().unwrap().clone())
            .set_encryption_context(Some(context(&binding)))
            .send()
            .await
            .unwrap();
        let opened = own.open(&binding, &stored(world, &secret).await).await;
        all.push((id, key.plaintext.unwrap().into_inner(), opened.unwrap()));
    }
    all
}

/// A sealed secret with some of its attributes changed.
fn altered(sealed: &Sealed, change: impl FnOnce(&mut Value)) -> Sealed {
    let mut value = serde_json::to_value(sealed).unwrap();
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

/// The encryption context of a binding, written out.
fn context(binding: &Binding) -> HashMap<String, String> {
    let purpose = match binding.secret.purpose() {
        Purpose::App => "app",
        Purpose::Grant => "grant",
        Purpose::Webhook => "webhook",
        Purpose::Session => "session",
        Purpose::Vendor => "vendor",
        Purpose::Notification => "notification",
    };
    let pairs = [
        ("app", "zoom-credentials".to_owned()),
        ("purpose", purpose.to_owned()),
        ("team", binding.team.to_string()),
        ("id", binding.secret.to_string()),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value)).into()
}

/// The check that refused to open a secret.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Kms,
    Key,
    Gcm,
}

#[track_caller]
fn refusal(opened: Result<Plaintext, Error>) -> Refusal {
    match opened {
        Err(Error::WrongRow) => Refusal::Kms,
        Err(Error::Sealed(format::Error::WrongKey)) => Refusal::Key,
        Err(Error::Sealed(format::Error::Tampered)) => Refusal::Gcm,
        other => panic!("{other:?}"),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test asks the Zoom sandbox whose tokens these are"
)]
fn assert_holds_live_tokens(world: &World, opened: Plaintext) {
    let pair = TokenPair::try_from(opened).unwrap();
    let grant = world.zoom.grants()[0].id;
    let (access, refresh) = (pair.access.expose_secret(), pair.refresh.expose_secret());
    assert!(world.zoom.is_live_refresh_token(refresh));
    assert_eq!(world.zoom.grant_of(refresh), Some(grant));
    assert_eq!(world.zoom.grant_of(access), Some(grant));
}

#[tokio::test]
async fn the_api_stores_the_client_secret_and_the_tokens_sealed() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let envelope = envelope(&world, TABLE).await;

    let app = app_of(&id);
    let opened = envelope
        .open(&bound("acme", &app), &stored(&world, &app).await)
        .await
        .unwrap();
    let kept = ClientSecret::try_from(opened).unwrap();
    let sent = ClientSecret::try_from(CLIENT_SECRET.to_owned()).unwrap();
    assert_eq!(kept.fingerprint(), sent.fingerprint());

    let grant = only_grant(&world).await;
    let opened = envelope
        .open(&bound("acme", &grant), &stored(&world, &grant).await)
        .await
        .unwrap();
    assert_holds_live_tokens(&world, opened);
}

// assures 10
#[tokio::test]
async fn kms_receives_exactly_four_fields_of_encryption_context() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let grant = only_grant(&world).await.to_string();
    // A re-authorization with the stored client secret opens that secret.
    let body = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    world.acme.update(&id, body).await.expect(200);

    let app = format!("app#{id}");
    let newest = rows(&world)
        .await
        .into_keys()
        .find(|row| row.starts_with("grant#") && *row != grant)
        .unwrap();
    let context = |purpose: &str, id: &str| {
        let pairs = [
            ("app", "zoom-credentials"),
            ("purpose", purpose),
            ("team", "acme"),
            ("id", id),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let mut expected = [
        ("GenerateDataKey", BTreeMap::from(context("app", &app))),
        ("GenerateDataKey", BTreeMap::from(context("grant", &grant))),
        ("Decrypt", BTreeMap::from(context("app", &app))),
        ("GenerateDataKey", BTreeMap::from(context("grant", &newest))),
    ];
    let calls = world.kms.calls();
    assert!(calls.iter().all(|call| call.outcome == Ok(())));
    let mut heard: Vec<_> = calls
        .into_iter()
        .map(|call| (call.operation, call.context))
        .collect();
    heard.sort();
    expected.sort();
    assert_eq!(heard, expected);
}

// assures 3
#[tokio::test]
async fn a_wrapped_key_with_any_bit_flipped_does_not_open() {
    let world = World::new().await;
    let app = app_of(&world.add_app_credential("bot").await);
    let envelope = envelope(&world, TABLE).await;
    let (binding, sealed) = (bound("acme", &app), stored(&world, &app).await);

    let length = serde_json::to_value(&sealed).unwrap()["dek"]
        .as_array()
        .unwrap()
        .len();
    for bit in 0..8 * length {
        let flipped = altered(&sealed, |row| {
            let byte = &mut row["dek"][bit / 8];
            *byte = json!(byte.as_u64().unwrap() ^ (1 << (bit % 8)));
        });
        let opened = envelope.open(&binding, &flipped).await;
        assert_eq!(refusal(opened), Refusal::Kms, "bit {bit}");
    }
    envelope.open(&binding, &sealed).await.unwrap();
}

// assures 4, 5
#[tokio::test]
async fn a_sealed_secret_opens_only_with_its_own_table_generation_and_bytes() {
    let world = World::new().await;
    let app = app_of(&world.add_app_credential("bot").await);
    let (binding, sealed) = (bound("acme", &app), stored(&world, &app).await);
    let own = envelope(&world, TABLE).await;

    // KMS sees the same encryption context each time, so the additional data of AES-GCM must refuse.
    let elsewhere = envelope(&world, "secrets-of-staging").await;
    assert_eq!(
        refusal(elsewhere.open(&binding, &sealed).await),
        Refusal::Gcm
    );
    for bit in 0..64 {
        let generation = sealed.generation() ^ (1 << bit);
        let renumbered = altered(&sealed, |row| row["generation"] = json!(generation));
        let opened = own.open(&binding, &renumbered).await;
        assert_eq!(refusal(opened), Refusal::Gcm, "bit {bit}");
    }
    let cut = altered(&sealed, |row| {
        row["sealed"].as_array_mut().unwrap().pop();
    });
    assert_eq!(refusal(own.open(&binding, &cut).await), Refusal::Gcm);
    own.open(&binding, &sealed).await.unwrap();
}

/// A secret is moved to a row of another id, team or purpose. KMS refuses the encryption context. If KMS re-encrypts
/// the key for the new row, the additional data of AES-GCM refuses.
// assures 4
#[tokio::test]
async fn a_secret_moved_to_another_row_is_refused_by_kms_and_by_the_additional_data() {
    let world = World::new().await;
    let app = app_of(&world.add_user_credential("bot").await);
    let other = app_of(&world.add_app_credential("other").await);
    let grant = only_grant(&world).await;
    let (own, kms) = (envelope(&world, TABLE).await, world.kms_client().await);
    for (from, to) in [
        (bound("acme", &app), bound("acme", &other)),
        (bound("acme", &app), bound("globex", &app)),
        (bound("acme", &app), bound("acme", &grant)),
        (bound("acme", &grant), bound("acme", &app)),
        (bound("acme", &grant), bound("globex", &grant)),
    ] {
        let sealed = stored(&world, &from.secret).await;
        assert_eq!(
            refusal(own.open(&to, &sealed).await),
            Refusal::Kms,
            "{to:?}"
        );

        let dek: Vec<u8> =
            serde_json::from_value(serde_json::to_value(&sealed).unwrap()["dek"].take()).unwrap();
        let rebound = kms
            .re_encrypt()
            .ciphertext_blob(Blob::new(dek))
            .set_source_encryption_context(Some(context(&from)))
            .set_destination_encryption_context(Some(context(&to)))
            .destination_key_id(world.kms.default_key())
            .send()
            .await
            .unwrap();
        let dek = rebound.ciphertext_blob.unwrap().into_inner();
        let moved = altered(&sealed, |row| row["dek"] = json!(dek));
        assert_eq!(refusal(own.open(&to, &moved).await), Refusal::Gcm, "{to:?}");
    }
}

#[tokio::test]
async fn a_key_and_a_sealed_text_of_different_rows_do_not_open() {
    let world = World::new().await;
    let app = app_of(&world.add_app_credential("bot").await);
    let other = app_of(&world.add_app_credential("other").await);
    let own = envelope(&world, TABLE).await;
    let (mine, theirs) = (stored(&world, &app).await, stored(&world, &other).await);
    let theirs = serde_json::to_value(theirs).unwrap();

    let key_of_theirs = altered(&mine, |row| row["dek"] = theirs["dek"].clone());
    let text_of_theirs = altered(&mine, |row| row["sealed"] = theirs["sealed"].clone());
    let binding = bound("acme", &app);
    assert_eq!(
        refusal(own.open(&binding, &key_of_theirs).await),
        Refusal::Kms
    );
    assert_eq!(
        refusal(own.open(&binding, &text_of_theirs).await),
        Refusal::Key
    );
}

#[tokio::test]
async fn a_wrapped_key_with_the_id_of_another_kms_key_does_not_open() {
    let world = World::new().await;
    let app = app_of(&world.add_app_credential("bot").await);
    let sealed = stored(&world, &app).await;
    let other = world.kms.create_key().unwrap();
    let renamed = altered(&sealed, |row| row["kid"] = json!(other));

    let own = envelope(&world, TABLE).await;
    assert_eq!(
        refusal(own.open(&bound("acme", &app), &renamed).await),
        Refusal::Kms
    );
}

/// Someone who can write the table still cannot make the vault use the secret of another row.
// assures 4, 5
#[tokio::test]
async fn a_row_that_was_copied_by_hand_is_not_usable() {
    let world = World::new().await;
    let globex = world
        .caller("globex", shared::api_key::Permission::Full)
        .await;
    let body = json!({ "name": "theirs", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET });
    let created = globex.create(body).await.expect(201);
    let theirs = created["credential_id"].as_str().unwrap();
    let from = world.add_app_credential("from").await;
    let to = world.add_app_credential("to").await;
    let source = rows(&world).await.remove(&format!("app#{from}")).unwrap();
    let before = source["generation"].clone();
    let renumbered = AttributeValue::N("2".to_owned());
    assert_ne!(before, renumbered);

    for (caller, id, generation) in [
        (&world.acme, to.as_str(), &before),
        (&globex, theirs, &before),
        (&world.acme, from.as_str(), &renumbered),
    ] {
        let mut row = source.clone();
        let key = AttributeValue::S(format!("app#{id}"));
        row.insert("secret_id".to_owned(), key);
        row.insert("generation".to_owned(), generation.clone());
        put(&world, row).await;
        let shown = caller.get(id).await.expect(200);
        world.wire.reset();

        let body = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
        let answer = caller.update(id, body).await;

        answer.expect_error(500, "FST_ERR_INTERNAL", "Internal server error");
        assert_eq!(world.wire.count(Service::Zoom), 0);
        assert_eq!(caller.get(id).await.expect(200), shown);
    }

    // A new client secret is sealed for its own row, so the credential works again.
    let mut body = user_body("repaired", &world.code());
    body.as_object_mut().unwrap().remove("name");
    world.acme.update(&to, body).await.expect(200);
}

/// A data key that nobody uses would cost a call of KMS at each start.
// Seen to fail: the warm-up asked for two data keys
#[tokio::test]
async fn the_warm_up_connects_to_kms_and_asks_for_no_key() {
    let world = World::new().await;
    let kms = world.wired_kms_client().await;
    let envelope = Envelope::new(kms, world.kms.default_key(), TABLE);
    envelope.warm(2).await;
    assert_eq!(world.wire.operations(Service::Kms), ["/", "/"]);
}
