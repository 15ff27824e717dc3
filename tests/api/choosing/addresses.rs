//! Calls that name a user by an email address which many credentials have.

use local::zoom::User;
use serde_json::{Map, Value, json};
use shared::stores::SOME_MEMBERS;

use super::Connected;
use crate::token_urls::Url;
use crate::world::{Answer, World, ada};

/// The answer to a call that names nobody whom the URL may choose.
const NOBODY: (u16, &str) = (404, "Zoom credential not found");

impl World {
    /// Gives a user the email address of another, at Zoom and in the vault.
    async fn share_address(&self, user: &Connected, with: &Connected) {
        let address = with.email.to_lowercase();
        self.zoom.register_user(User {
            id: user.user.clone(),
            email: Some(address.clone()),
            ..ada()
        });
        let texts = [
            ("zoom_email", address.as_str()),
            ("zoom_email_key", address.as_str()),
        ];
        self.set_texts(&user.credential, &texts).await;
    }

    /// Adds this many copies of a credential, which are invalid. An index shows them before it shows the credential.
    fn add_copies(&self, of: &Connected, count: usize) {
        self.copy_row(&of.credential, count, |number, copy: &mut Map<_, Value>| {
            let id = format!("00000000-0000-7000-8000-{number:012}");
            copy.insert("credential_id".to_owned(), json!({ "S": id }));
            copy.insert("state".to_owned(), json!({ "S": "invalid" }));
        });
    }

    async fn get_by_email(&self, url: &Url, user: &Connected) -> Answer {
        let query = format!("?zoom_email={}", user.email);
        self.vendor_gets(url, &query).await
    }
}

#[track_caller]
fn expect_nobody(answer: &Answer) {
    assert_eq!((answer.status, answer.text.as_str()), NOBODY);
}

// Seen to fail: the vault read 100 rows of the address, and all of them were deleted
#[tokio::test]
async fn deleted_credentials_of_an_address_do_not_hide_the_one_that_works() {
    let world = World::new().await;
    let before = world.connect("ada", Value::Null).await;
    world.acme.delete(&before.credential).await.expect(200);
    world.add_copies(&before, SOME_MEMBERS);
    let ada = world.connect("ada", Value::Null).await;
    let url = world.given_open_url(&["zak"], json!({})).await;
    let answer = world.get_by_email(&url, &ada).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(world.user_of(&answer.text), "ada");
}

#[tokio::test]
async fn an_address_of_more_credentials_than_the_vault_reads_names_nobody() {
    let world = World::new().await;
    let ada = world.connect("ada", Value::Null).await;
    let bob = world.connect("bob", Value::Null).await;
    let url = world.given_open_url(&["zak"], json!({})).await;
    world.add_copies(&ada, SOME_MEMBERS - 1);
    assert_eq!(world.get_by_email(&url, &ada).await.status, 200);
    world.share_address(&bob, &ada).await;
    expect_nobody(&world.get_by_email(&url, &ada).await);
}

// Seen to fail: the address named nobody, because the credential of another customer had it too
#[tokio::test]
async fn an_address_that_two_users_have_names_the_one_whom_the_filter_allows() {
    let world = World::new().await;
    let ada = world.connect("ada", json!({ "customer": "acme" })).await;
    let bob = world.connect("bob", json!({ "customer": "beta" })).await;
    world.share_address(&bob, &ada).await;
    let both = world.given_open_url(&["zak"], json!({})).await;
    expect_nobody(&world.get_by_email(&both, &ada).await);
    for (filter, user) in [("customer:acme", "ada"), ("customer:beta", "bob")] {
        let url = world
            .given_open_url(&["zak"], json!({ "extra": filter }))
            .await;
        let answer = world.get_by_email(&url, &ada).await;
        assert_eq!(answer.status, 200, "{filter}: {}", answer.text);
        assert_eq!(world.user_of(&answer.text), user);
    }
}
