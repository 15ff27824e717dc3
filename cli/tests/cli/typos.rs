//! A wrong name or id is an error, not an empty list.

use crate::TestStack;

const UNKNOWN_KEY: &str = "0123456789ab";

#[tokio::test]
async fn an_unknown_team_is_an_error_of_every_command_that_reads_what_a_team_has() {
    let stack = TestStack::start().await;
    for line in [
        "keys list --team nobody",
        "token-urls list --team nobody",
        "token-urls revoke --team nobody --yes",
        "connect-sessions list --team nobody",
        "connect-sessions revoke --team nobody --yes",
        "events --team nobody",
        "credentials list --team nobody",
        "credentials list --team nobody --deleted",
        "credentials show --team nobody 01a20d6c-8830-7053-9037-e291033ddc44",
        "credentials restore --team nobody 01a20d6c-8830-7053-9037-e291033ddc44",
        "credentials purge --team nobody 01a20d6c-8830-7053-9037-e291033ddc44 --now --yes",
        "keys revoke --team nobody 0123456789ab",
        "keys rotate --team nobody 0123456789ab",
        "sessions list --team nobody",
        "teams set nobody --rate 1",
        "teams suspend nobody",
        "teams resume nobody",
    ] {
        let text = stack.fails(1, line).await;
        assert!(text.contains("there is no team nobody"), "{line}: {text}");
    }
}

#[tokio::test]
async fn the_id_of_a_key_must_have_its_form_and_be_a_key_of_the_team() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let key = stack.create_key("acme", "full").await;
    for command in [
        "token-urls list --key ",
        "token-urls revoke --yes --key ",
        "connect-sessions list --key ",
        "connect-sessions revoke --yes --key ",
        "events --actor key:",
        "events --actor key --actor-id ",
        "events --actor-id ",
    ] {
        let line = |id: &str| format!("{command}{id} --team acme");
        let text = stack.fails(1, &line(&key)).await;
        assert!(text.contains("KEY_ID is not the id of a key"), "{text}");
        assert!(!text.contains(&key), "{text}");
    }
    for command in [
        "token-urls list --key ",
        "connect-sessions revoke --yes --key ",
        "events --actor key:",
    ] {
        let text = stack
            .fails(1, &format!("{command}{UNKNOWN_KEY} --team acme"))
            .await;
        assert!(
            text.contains(&format!("team acme has no key {UNKNOWN_KEY}")),
            "{text}"
        );
    }
}

#[tokio::test]
async fn the_ids_of_credentials_urls_and_sessions_must_have_their_form() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    for line in [
        "token-urls list --team acme --credential 0123456789ab",
        "token-urls list --team acme --url 0123456789ab",
    ] {
        stack.fails(2, line).await;
    }
    for kind in ["token_url", "connect_session"] {
        let line = format!("events --team acme --actor {kind}:0123456789ab");
        let text = stack.fails(1, &line).await;
        assert!(
            text.contains(&format!("the id of {kind} is a UUID")),
            "{text}"
        );
    }
    let line = "events --team acme --actor token_url:a --actor-id b";
    let text = stack.fails(1, line).await;
    assert!(text.contains("two different actors"), "{text}");
}
