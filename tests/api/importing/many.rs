//! Many tokens at once, and crashes at calls that a seed chooses. With `GATE=full`: 10,000 tokens.

use std::collections::BTreeMap;
use std::time::Instant;

use futures_util::{StreamExt, stream};
use shared::config;
use shared::import::{GivenGrant, ImportOutcome, ImportResult};

use super::{Operator, given, revealed};
use crate::minting::mint_onbehalf;
use crate::proxy::Fault;
use crate::world::{CLIENT_ID, World, ada};

/// How many tokens are imported at the same time, as in the program. A crash stops all of them.
const CONCURRENT: usize = 16;
/// About how many calls the import of one token makes.
const CALLS_PER_TOKEN: u64 = 12;
/// How many credentials are used afterwards.
const USED: usize = 25;
/// How often the import runs again after the last crash, at most.
const MAX_RUNS: usize = 5;
const SEED: u64 = 7;

/// A token, and whether its user has removed the app.
struct Token {
    given: GivenGrant,
    /// Zoom's id of the grant.
    grant: uuid::Uuid,
    is_dead: bool,
}

async fn tokens(world: &World, count: usize) -> Vec<Token> {
    let tokens = stream::iter(0..count).map(|n| async move {
        let user = format!("user-{n}");
        let pair = world.user_of_old_system(&user).await;
        let is_dead = n % 10 == 9;
        if is_dead {
            world.zoom.remove_app(CLIENT_ID, &user);
        }
        Token {
            given: given(&pair.refresh),
            grant: world.zoom.grant_of(&revealed(&pair.refresh)).unwrap(),
            is_dead,
        }
    });
    tokens.buffered(8).collect().await
}

async fn import_all(world: &World, importer: &Operator, tokens: &[Token]) -> Vec<ImportResult> {
    stream::iter(tokens)
        .map(|token| importer.import(world, &token.given))
        .buffered(CONCURRENT)
        .collect()
        .await
}

#[expect(clippy::print_stdout, reason = "the time is a result of the test")]
#[tokio::test]
async fn many_imports_with_crashes_lose_no_grant_and_send_no_token_twice_without_a_crash() {
    let is_full = config::optional("GATE").is_some_and(|gate| gate == "full");
    let (count, crashes) = if is_full { (10_000, 10) } else { (60, 6) };
    let world = World::new().await;
    world.zoom.register_user(ada());
    let tokens = tokens(&world, count).await;
    let began = Instant::now();
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut stops = 0;
    let calls = u64::try_from(count).unwrap() * CALLS_PER_TOKEN / u64::try_from(crashes).unwrap();
    for _ in 0..crashes {
        world.wire.reset();
        world.wire.inject_nth(random.u64(1..=calls), Fault::Stall);
        let importer = world.importer();
        // Dropping the imports is the crash.
        let stopped = tokio::select! {
            () = world.wire.stalled() => true,
            _ = import_all(&world, &importer, &tokens) => false,
        };
        world.wire.heal();
        world.expire_leases().await;
        stops += usize::from(stopped);
    }
    world.wire.reset();
    let mut results = import_all(&world, &world.importer(), &tokens).await;
    // A call of a crashed run may have arrived after its leases were ended. Their time is over soon, here as there.
    for _ in 0..MAX_RUNS {
        if results.iter().all(|it| it.outcome != ImportOutcome::Retry) {
            break;
        }
        world.expire_leases().await;
        results = import_all(&world, &world.importer(), &tokens).await;
    }
    let seconds = began.elapsed().as_secs();

    let mut outcomes: BTreeMap<ImportOutcome, usize> = BTreeMap::new();
    for result in &results {
        *outcomes.entry(result.outcome).or_default() += 1;
    }
    println!("{count} tokens, {stops} crashes, {seconds} s: {outcomes:?}");
    assert!(stops > crashes / 2, "{stops}");
    let posts: BTreeMap<_, _> = world
        .zoom
        .grants()
        .into_iter()
        .map(|grant| (grant.id, grant))
        .collect();
    let mut sent_again = 0;
    for (token, result) in tokens.iter().zip(&results) {
        let grant = &posts[&token.grant];
        let sent = grant.posts.first().copied().unwrap();
        match result.outcome {
            ImportOutcome::Imported => {
                assert!(!token.is_dead && grant.alive, "{result:?}");
            }
            ImportOutcome::Dead => assert!(token.is_dead, "{result:?}"),
            ImportOutcome::OutcomeLost => {}
            ImportOutcome::Merged
            | ImportOutcome::AlreadyThere
            | ImportOutcome::AppRefused
            | ImportOutcome::Retry => panic!("{result:?}"),
        }
        sent_again += usize::from(sent > 1);
    }
    // What a crash interrupts after Zoom has acted is lost, and only that. The same tokens may be sent again.
    let lost = outcomes.get(&ImportOutcome::OutcomeLost).copied();
    assert!(
        lost.unwrap_or_default() <= stops * CONCURRENT,
        "{outcomes:?}"
    );
    assert!(sent_again <= stops * CONCURRENT, "{sent_again}");
    let imported = results.iter().filter_map(|result| result.credential);
    let imported: Vec<String> = imported.map(|id| id.to_string()).collect();
    assert_eq!(world.count("credentials").await, imported.len());
    for id in imported.iter().step_by(imported.len() / USED + 1) {
        assert_eq!(mint_onbehalf(&world.acme, id).await.status, 200);
    }
}
