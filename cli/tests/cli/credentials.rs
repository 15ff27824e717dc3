//! `credentials`: what was deleted is listed, restored, purged, and looked for.

use serde_json::{Value, json};

use crate::World;

impl World {
    /// An app credential of the key's team; its id.
    async fn credential(&self, key: &str, name: &str) -> String {
        let request = self.http.post(format!("{}/v2/zoom-credentials", self.api));
        let body = json!({ "name": name, "client_id": "c", "client_secret": "s" });
        let request = request.header("x-meeting-baas-api-key", key).json(&body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        let id = answer
            .pointer("/data/credential_id")
            .and_then(Value::as_str);
        id.unwrap().to_owned()
    }

    async fn delete(&self, key: &str, id: &str) {
        let request = self
            .http
            .delete(format!("{}/v2/zoom-credentials/{id}", self.api));
        let answer = request.header("x-meeting-baas-api-key", key).send().await;
        assert_eq!(answer.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn what_is_deleted_is_listed_with_its_time_and_restored() {
    let world = World::new().await;
    world.ok("teams create acme").await;
    let key = world.key("acme", "full").await;
    let id = world.credential(&key, "a\u{1b}[31mbot").await;
    let list = "credentials list --team acme --deleted";
    assert_eq!(world.document(list).await, json!([]));
    world.delete(&key, &id).await;

    let listed = world.document(list).await;
    assert_eq!(
        (&listed[0]["credential_id"], &listed[0]["state"]),
        (&json!(id), &json!("active"))
    );
    let until = listed[0]["restorable_until"].as_str().unwrap().to_owned();
    let shown = world.ok(list).await;
    assert!(shown.contains(&id) && shown.contains(&until), "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown}");

    let restored = world
        .document(&format!("credentials restore --team acme {id}"))
        .await;
    assert_eq!(
        (&restored["credential_id"], &restored["restorable_until"]),
        (&json!(id), &Value::Null)
    );
    assert_eq!(world.document(list).await, json!([]));
    assert_eq!(
        world.document("credentials list --team acme").await[0],
        restored
    );
    let again = world
        .failed(1, &format!("credentials restore --team acme {id}"))
        .await;
    assert!(
        again.contains(&format!("team acme has no deleted credential {id}")),
        "{again}"
    );
}

#[tokio::test]
async fn a_purge_asks_first_and_leaves_nothing() {
    let world = World::new().await;
    world.ok("teams create acme").await;
    let key = world.key("acme", "full").await;
    let (kept, id) = (
        world.credential(&key, "kept").await,
        world.credential(&key, "gone").await,
    );
    let purge = |id: &str, more: &str| format!("credentials purge --team acme {id} {more}");
    world.failed(2, &purge(&id, "")).await;
    let nobody = world.failed(1, &purge(&id, "--now")).await;
    assert!(nobody.contains("nobody to ask"), "{nobody}");
    // What lives is not purged.
    let live = world.failed(1, &purge(&id, "--now --yes")).await;
    assert!(live.contains("has no deleted credential"), "{live}");
    world.delete(&key, &id).await;

    world.ok(&purge(&id, "--now --yes")).await;
    assert_eq!(
        world
            .document("credentials list --team acme --deleted")
            .await,
        json!([])
    );
    let sweep = world.cli("credentials sweep").await;
    assert_eq!((sweep.code, sweep.out.as_str()), (0, ""), "{sweep:?}");
    assert_eq!(sweep.err, "1 rows belong to credentials, 0 to nobody\n");
    assert_eq!(
        world.document("credentials list --team acme").await[0]["credential_id"],
        kept
    );
    world.failed(1, &purge(&id, "--now --yes")).await;
}

#[tokio::test]
async fn a_sweep_finds_what_belongs_to_nobody_and_destroys_it() {
    let world = World::new().await;
    world.ok("teams create acme").await;
    let key = world.key("acme", "full").await;
    world.credential(&key, "kept").await;
    // Deleted or not, it owns what is its own.
    let deleted = world.credential(&key, "deleted").await;
    world.delete(&key, &deleted).await;
    let lost = "01a20d6c-8830-7053-9037-e291033ddc44";
    for (table, name, id) in [
        ("SECRETS_TABLE", "secret_id", format!("app#{lost}")),
        (
            "SECRETS_TABLE",
            "secret_id",
            "grant#66beeef1-e496-4705-90ff-24e19db1dda3".to_owned(),
        ),
        (
            "SECRETS_TABLE",
            "secret_id",
            "session#of-somebody-else".to_owned(),
        ),
        ("TOKEN_URLS_TABLE", "credential_id", lost.to_owned()),
    ] {
        let row = [
            (name, id.as_str()),
            ("team_id", "acme"),
            ("url_id", lost),
            ("dek", "sealed"),
        ];
        world.put_into(table, &row).await;
    }

    let said = world.cli("credentials sweep").await;
    assert_eq!(said.code, 1, "{said:?}");
    for found in [
        format!("app#{lost}"),
        "grant#66beeef1".to_owned(),
        format!("token URLs of {lost}"),
    ] {
        assert!(said.out.contains(&found), "{said:?}");
    }
    assert!(
        said.err.contains("3 rows belong to no credential"),
        "{said:?}"
    );
    world.failed(2, "credentials sweep --yes").await;
    world.ok("credentials sweep --destroy --yes").await;
    assert_eq!(world.document("credentials sweep").await, json!([]));
    world
        .ok(&format!("credentials restore --team acme {deleted}"))
        .await;
    let sweep = world.cli("credentials sweep").await;
    assert_eq!(sweep.err, "2 rows belong to credentials, 0 to nobody\n");
}

#[tokio::test]
async fn a_team_says_whether_its_grants_are_revoked() {
    let world = World::new().await;
    let made = world.document("teams create acme").await;
    assert_eq!(made["revoke_on_delete"], false);
    let set = world.document("teams set acme --revoke-on-delete on").await;
    assert_eq!(
        (&set["revoke_on_delete"], &set["rate"]),
        (&json!(true), &made["rate"])
    );
    let set = world
        .document("teams set acme --rate 3 --revoke-on-delete off")
        .await;
    assert_eq!(
        (&set["revoke_on_delete"], &set["rate"]),
        (&json!(false), &json!(3))
    );
    world
        .failed(2, "teams set acme --revoke-on-delete perhaps")
        .await;
}
