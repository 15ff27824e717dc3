//! No operation but a list costs more in a large team. `TEAM_SIZE=100000` chooses the size of the large team.

use std::env;

use serde_json::json;
use uuid::Uuid;

use super::IDLE_TIME;
use crate::minting::mint_onbehalf;
use crate::proxy::Service;
use crate::world::{REDIRECT_URI, World};

/// The calls to DynamoDB of each operation.
#[derive(Debug, PartialEq, Eq)]
struct Calls {
    delete: Vec<String>,
    after_delete: Vec<String>,
    restore: Vec<String>,
    leave: Vec<String>,
    after_leave: Vec<String>,
    purge: Vec<String>,
    keep_alive: Vec<String>,
}

/// Puts the rows of this many credentials of other users into the team `acme`.
async fn given_team(world: &World, size: usize) {
    let id = world.add_credential_for_user("team").await;
    world.copy_row(&id, size, |number, copy| {
        for (name, value) in [
            ("credential_id", Uuid::now_v7().to_string()),
            ("grant_id", Uuid::new_v4().to_string()),
            ("zoom_user_id", format!("user-{number}")),
            ("pair_id", format!("pair#{number}")),
            ("extra", format!("{{\"note\":\"{}\"}}", "x".repeat(500))),
        ] {
            copy.insert(name.to_owned(), json!({ "S": value }));
        }
    });
}

/// The calls since the last reset, sorted, since some of them run at the same time.
fn calls(world: &World) -> Vec<String> {
    let mut calls = world.wire.operations(Service::DynamoDb);
    calls.sort_unstable();
    world.wire.reset();
    calls
}

/// Measures each operation in a team of this size.
async fn cost_in_team_of(size: usize) -> Calls {
    let world = Box::pin(World::new()).await;
    world.register_grace();
    let id = world.add_user_credential("bot").await;
    let leaver = world.add_credential_for_user("carol").await;
    let purged = world.add_credential_for_user("dora").await;
    world.acme.delete(&purged).await.expect(200);
    let read_stream = async || assert!(world.drain_stream().await);
    read_stream().await;
    given_team(&world, size).await;
    world.wire.reset();

    world.acme.delete(&id).await.expect(200);
    let delete = calls(&world);
    read_stream().await;
    let after_delete = calls(&world);
    world.acme.restore(&id).await.expect(200);
    let restore = calls(&world);
    let code = world.code_of("grace", None);
    let body = json!({ "authorization_code": code, "redirect_uri": REDIRECT_URI });
    let left = world.acme.update(&leaver, body);
    left.await.expect(200);
    let leave = calls(&world);
    read_stream().await;
    let after_leave = calls(&world);
    world.expire_deleted().await;
    world.wire.reset();
    read_stream().await;
    let purge = calls(&world);
    world.age_grants_by(IDLE_TIME).await;
    world.backdate_grants().await;
    world.wire.reset();
    world.keep_alive().await;
    let keep_alive = calls(&world);
    let minted = Box::pin(mint_onbehalf(&world.acme, &id));
    minted.await.expect(200);
    Calls {
        delete,
        after_delete,
        restore,
        leave,
        after_leave,
        purge,
        keep_alive,
    }
}

/// Runs the work on a thread of its own, because its future is too large for the stack of a test.
fn on_a_large_stack(size: usize) -> Calls {
    let work = move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(cost_in_team_of(size))
    };
    let thread = std::thread::Builder::new().stack_size(64 << 20);
    thread.spawn(work).unwrap().join().unwrap()
}

// assures 46
#[test]
fn delete_restore_leave_purge_and_keep_alive_cost_the_same_in_a_team_of_any_size() {
    let small = on_a_large_stack(5);
    assert_eq!(small, on_a_large_stack(large_team()));
    let counts = [
        small.delete.len(),
        small.after_delete.len(),
        small.restore.len(),
        small.leave.len(),
        small.after_leave.len(),
        small.purge.len(),
    ];
    assert_eq!(counts, [4, 2, 7, 9, 1, 5]);
}

#[expect(clippy::disallowed_methods, reason = "a switch of the tests")]
fn large_team() -> usize {
    match env::var("TEAM_SIZE") {
        Ok(size) => size.parse().unwrap(),
        Err(_) if env::var("GATE").is_ok_and(|gate| gate == "full") => 100_000,
        Err(_) => 5_000,
    }
}
