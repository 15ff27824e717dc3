//! `rewrap` when something goes wrong: it stops half way, a row is corrupt, or the new key is disabled.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use crate::TestStack;
use crate::kms_proxy::KmsProxy;

#[tokio::test]
async fn rewrap_that_stops_half_way_continues_when_run_again() {
    let stack = TestStack::start().await;
    stack.seal_rows(60).await;
    let stack = stack.change_envelope_key().await;
    let kms = stack.variable("AWS_ENDPOINT_URL_KMS").to_owned();

    let (_, failing_kms) = KmsProxy::start(&kms, 25).await;
    let (code, document, stderr) = stack.rewrap(&failing_kms, "").await;
    assert_eq!((code, document), (1, Value::Null));
    assert!(
        stderr.contains("Run the command again to continue"),
        "{stderr}"
    );
    assert!(stderr.contains("the key is disabled"), "{stderr}");
    let (code, document, _) = stack.rewrap(&kms, "").await;
    assert_eq!(code, 0);
    // Rows in flight when the first run stopped may or may not be written.
    let rest = document["moved"].as_u64().unwrap();
    assert!(
        (35..=60).contains(&rest) && document["rows"] == rest,
        "{document}"
    );
    assert_eq!(
        (document["left"].as_u64(), stack.wrapping_keys().await.len()),
        (Some(0), 1)
    );

    let (code, document, _) = stack.rewrap(&kms, "").await;
    assert_eq!(
        (code, &document["rows"], &document["moved"]),
        (0, &json!(0), &json!(0))
    );
}

#[tokio::test]
async fn corrupt_rows_are_named_and_all_other_rows_move() {
    let stack = TestStack::start().await;
    let filled = stack.seal_rows(4).await;
    let corrupt = filled[1].secret.to_string();
    let wrong_key = AttributeValue::B(Blob::new([7; 100]));
    stack.set_secret_attribute(&corrupt, "dek", wrong_key).await;
    // The shape of this row is unknown.
    let unknown = filled[2].secret.to_string();
    let text = AttributeValue::S("text".to_owned());
    stack.set_secret_attribute(&unknown, "dek", text).await;
    let stack = stack.change_envelope_key().await;

    let (code, document, stderr) = stack
        .rewrap(stack.variable("AWS_ENDPOINT_URL_KMS"), "")
        .await;

    assert_eq!(
        (code, &document["moved"], &document["left"]),
        (1, &json!(2), &json!(2))
    );
    assert!(
        stderr.contains(&corrupt)
            && stderr.contains(&unknown)
            && stderr.contains("these rows cannot be moved"),
        "{stderr}"
    );
}

#[tokio::test]
async fn disabled_key_is_refused_before_any_row_moves() {
    let stack = TestStack::start().await;
    stack.seal_rows(1).await;
    let stack = stack.change_envelope_key().await;
    let new = stack.variable("ENVELOPE_KEY_ID").to_owned();
    stack.disable_kms_key(&new).await;

    let stderr = stack.fails(1, "rewrap").await;

    assert_eq!(
        stderr,
        format!(
            "error: key {new} is in state Disabled and cannot wrap anything: enable it, or cancel its deletion (`aws kms enable-key`, `aws kms cancel-key-deletion`)\n"
        )
    );
}
