//! Capsules find their way back, whatever is around them in the log.

use serde_json::json;
use shared::credential::GrantId;
use shared::envelope::{Binding, SecretId};
use shared::secret::{Plaintext, TokenPair};
use shared::stores::NewPair;
use shared::timestamp::Timestamp;

use shared::grants::capsule::Capsule;

use super::{Said, World};

impl World {
    /// The capsule of a pair that Zoom never gave, for the only grant there is, as this generation.
    pub(crate) async fn capsule(&self, generation: u64) -> String {
        let rows = self.rows().await.into_iter();
        let mut ids = rows.map(|row| row["secret_id"].as_s().unwrap().clone());
        let grant = ids.find_map(|id| id.strip_prefix("grant#").map(str::to_owned));
        let grant: GrantId = grant.unwrap().parse().unwrap();
        let team = "acme".parse().unwrap();
        let binding = Binding {
            team,
            secret: SecretId::Grant(grant),
        };
        let key = self.envelope().data_key(binding.clone()).await.unwrap();
        let token = || "made-up-token".to_owned().into();
        let pair = TokenPair {
            access: token(),
            refresh: token(),
        };
        let sealed = key.seal(generation, &Plaintext::try_from(&pair).unwrap());
        let pair = NewPair {
            sealed: sealed.unwrap(),
            access_expires_at: 1,
            api_url: None,
            refreshed_at: Timestamp::now(),
            late: false,
        };
        let writer = uuid::Uuid::new_v4();
        Capsule::new(&binding.team, grant, pair, writer).to_string()
    }

    async fn replay(&self, input: &str) -> Said {
        self.cli_fed("capsule replay", input).await
    }
}

#[tokio::test]
async fn capsules_are_found_in_any_log_and_those_that_are_lost_are_named() {
    let world = World::new().await;
    world.ok("teams create acme").await;
    let key = world.key("acme", "full").await;
    world.connect(&key, "ada-sandbox-user").await;
    let (first, second) = (world.capsule(2).await, world.capsule(3).await);
    let as_json = |capsule: &str| json!({ "level": "ERROR", "capsule": capsule }).to_string();

    // As text, cut off, and a line of JSON: nothing keeps what follows from being stored.
    let cut = second.get(..second.len() - 7).unwrap();
    let input = format!(
        "ERROR a grant capsule=\"{first}\" request_id=\"1\"\n{{\"capsule\":\"{cut}\n{}\n",
        as_json(&second)
    );
    let said = world.replay(&input).await;
    assert_eq!(said.code, 1, "{said:?}");
    let outcomes: Vec<&str> = said.out.lines().skip(1).collect();
    assert!(outcomes[0].ends_with("2           stored"), "{said:?}");
    assert!(
        outcomes[1].contains("NOT STORED: the capsule is not whole"),
        "{said:?}"
    );
    assert!(outcomes[2].ends_with("3           stored"), "{said:?}");
    assert!(said.err.contains("1 capsules are not stored"), "{said:?}");

    // As the AWS CLI joins messages, and again.
    let said = world
        .replay(&format!("{}\t{}", as_json(&first), as_json(&second)))
        .await;
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_eq!(
        said.out.matches("kept beside a newer pair").count(),
        1,
        "{said:?}"
    );
    assert_eq!(said.out.matches("stored before").count(), 1, "{said:?}");

    let said = world.replay("no capsule in it\n").await;
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(said.err.contains("holds a capsule"), "{said:?}");
}
