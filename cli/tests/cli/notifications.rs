//! `notifications redrive`. What the redrive does is tested with the API: tests/api/notifications/failing.rs.

use serde_json::json;

use crate::TestStack;

#[tokio::test]
async fn redrive_says_how_many_notifications_are_sent_again_and_which_queue_is_wrong() {
    let stack = TestStack::start().await;
    assert_eq!(
        stack.json("notifications redrive").await,
        json!({ "notifications": 0 })
    );
    let result = stack.cli("notifications redrive").await;
    assert_eq!(
        (result.code, result.stdout.as_str(), result.stderr.as_str()),
        (
            0,
            "",
            "SQS moves about 0 lost notifications back to the queue\n"
        )
    );

    let line = "notifications redrive --lost-notifications arn:aws:sqs:us-east-1:0:other";
    let text = stack.fails(1, line).await;
    for words in [
        "error: SQS StartMessageMoveTask failed",
        "--lost-notifications",
        "OperatorPolicy",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}
