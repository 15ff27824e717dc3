//! `credentials list`, `restore`, `purge` and `sweep`, for credentials without a user.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use crate::TestStack;

impl TestStack {
    /// Creates an app credential. Returns its id.
    async fn new_credential(&self, key: &str, name: &str) -> String {
        let answer = self.create_credential(key, name).await;
        let answer: Value = answer.json().await.unwrap();
        let id = answer
            .pointer("/data/credential_id")
            .and_then(Value::as_str);
        id.unwrap().to_owned()
    }

    /// Replaces a text in the row of a credential of the team `acme`.
    pub(crate) async fn store_text(&self, id: &str, attribute: &str, value: &str) {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let update = self.aws.dynamodb().update_item();
        let update = update
            .table_name(self.variable("CREDENTIALS_TABLE"))
            .key("team_id", text("acme"))
            .key("credential_id", text(id))
            .update_expression("SET #name = :value")
            .expression_attribute_names("#name", attribute)
            .expression_attribute_values(":value", text(value));
        update.send().await.unwrap();
    }

    pub(crate) async fn delete_credential(&self, key: &str, id: &str) {
        let request = self
            .http
            .delete(format!("{}/v2/zoom-credentials/{id}", self.api));
        let answer = request.header("x-meeting-baas-api-key", key).send().await;
        assert_eq!(answer.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn deleted_credential_is_listed_with_its_deadline_and_restored() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let key = stack.create_key("acme", "full").await;
    let id = stack.new_credential(&key, "bot").await;
    // The API refuses such a name. An earlier version stored it.
    stack.store_text(&id, "name", "a\u{1b}[31mbot").await;
    let list = "credentials list --team acme --deleted";
    assert_eq!(stack.json(list).await, json!([]));
    stack.delete_credential(&key, &id).await;

    let listed = stack.json(list).await;
    assert_eq!(
        (&listed[0]["credential_id"], &listed[0]["state"]),
        (&json!(id), &json!("active"))
    );
    let until = listed[0]["restorable_until"].as_str().unwrap().to_owned();
    let text = stack.ok(list).await;
    assert!(text.contains(&id) && text.contains(&until), "{text}");
    // The name contains an escape sequence, which must not reach the terminal.
    assert!(!text.contains('\u{1b}'), "{text}");

    let restore = format!("credentials restore --team acme {id}");
    let restored = stack.json(&restore).await;
    assert_eq!(
        (&restored["credential_id"], &restored["restorable_until"]),
        (&json!(id), &Value::Null)
    );
    assert_eq!(stack.json(list).await, json!([]));
    assert_eq!(
        stack.json("credentials list --team acme").await[0],
        restored
    );
    let second = stack.fails(1, &restore).await;
    assert!(
        second.contains(&format!("team acme has no deleted credential {id}")),
        "{second}"
    );
}

#[tokio::test]
async fn purge_needs_a_confirmation_and_leaves_no_rows() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let key = stack.create_key("acme", "full").await;
    let kept = stack.new_credential(&key, "kept").await;
    let id = stack.new_credential(&key, "gone").await;
    let purge = |options: &str| format!("credentials purge --team acme {id} {options}");
    stack.fails(2, &purge("")).await;
    // A live credential cannot be purged, and the program does not offer it.
    for options in ["--now --yes", "--now"] {
        let live = stack.fails(1, &purge(options)).await;
        let words = format!("credential {id} of team acme is not deleted");
        assert!(live.contains(&words), "{live}");
    }
    stack.delete_credential(&key, &id).await;
    let unconfirmed = stack.fails(1, &purge("--now")).await;
    assert!(unconfirmed.contains("not a terminal"), "{unconfirmed}");

    stack.ok(&purge("--now --yes")).await;
    assert_eq!(
        stack.json("credentials list --team acme --deleted").await,
        json!([])
    );
    let sweep = stack.cli("credentials sweep").await;
    assert_eq!((sweep.code, sweep.stdout.as_str()), (0, ""), "{sweep:?}");
    assert_eq!(
        sweep.stderr,
        "1 rows belong to credentials, 0 to none; 0 pairs compared\n"
    );
    assert_eq!(
        stack.json("credentials list --team acme").await[0]["credential_id"],
        kept
    );
    // A second purge does no harm, with or without a confirmation.
    for options in ["--now --yes", "--now"] {
        let second = stack.cli(&purge(options)).await;
        let note = format!("credential {id} was purged before; nothing was done\n");
        assert_eq!((second.code, second.stderr), (0, note));
    }
    let second = stack.json(&purge("--now --yes")).await;
    assert_eq!(second["grants"], "purged_before");
    let never = "01a20d6c-8830-7053-9037-e291033ddc44";
    let line = format!("credentials purge --team acme {never} --now --yes");
    let text = stack.fails(1, &line).await;
    let words = format!("error: team acme has no credential {never}");
    assert!(text.starts_with(&words), "{text}");
}

#[tokio::test]
async fn sweep_finds_rows_without_a_credential_and_destroys_them() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let key = stack.create_key("acme", "full").await;
    stack.new_credential(&key, "kept").await;
    // A deleted credential still owns its rows.
    let deleted = stack.new_credential(&key, "deleted").await;
    stack.delete_credential(&key, &deleted).await;
    let lost = "01a20d6c-8830-7053-9037-e291033ddc44";
    for (table, name, id) in [
        ("SECRETS_TABLE", "secret_id", format!("app#{lost}")),
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
        stack.put_row(table, &row).await;
    }

    let result = stack.cli("credentials sweep").await;
    assert_eq!(result.code, 1, "{result:?}");
    for found in [format!("app#{lost}"), format!("token URLs of {lost}")] {
        assert!(result.stdout.contains(&found), "{result:?}");
    }
    assert!(result.stderr.contains("2 problems found"), "{result:?}");
    stack.fails(2, "credentials sweep --yes").await;
    stack.ok("credentials sweep --destroy --yes").await;
    assert_eq!(stack.json("credentials sweep").await, json!([]));
    stack
        .ok(&format!("credentials restore --team acme {deleted}"))
        .await;
    let sweep = stack.cli("credentials sweep").await;
    assert_eq!(
        sweep.stderr,
        "2 rows belong to credentials, 0 to none; 0 pairs compared\n"
    );
}
