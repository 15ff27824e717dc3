//! A crash of the operators' program after any network call of an import, in three behaviours of Zoom. The next run
//! goes on, and no user is lost.

use local::zoom::RefreshBehaviour;
use shared::import::{GivenGrant, ImportOutcome};

use super::given;
use crate::minting::mint_onbehalf;
use crate::proxy::Fault;
use crate::world::{CLIENT_ID, World, attribute};

/// What the vault has of the user before the import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    Credential,
}

/// What the crash leaves behind, and what the next run makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Crash {
    outcome: ImportOutcome,
    /// How often the exported token was sent in both runs.
    sent: u64,
}

impl World {
    /// Lets the import's `n`th network call take effect, then stops the import before the answer arrives. The lease
    /// that it may have taken ends. Returns false if there is no `n`th call.
    async fn import_crashes(&self, n: u64, given: &GivenGrant) -> bool {
        self.wire.reset();
        self.wire.inject_nth(n, Fault::Stall);
        let importer = self.importer();
        // Dropping the import is the crash: it makes no further call.
        let crashed = tokio::select! {
            () = self.wire.stalled() => true,
            _ = importer.import(self, given) => false,
        };
        self.wire.heal();
        self.expire_leases().await;
        crashed
    }
}

/// Crashes an import after its `n`th call has taken effect, and runs it again. `None` if there is no `n`th call.
async fn crash(n: u64, before: Before, behaviour: RefreshBehaviour) -> Option<Crash> {
    let world = World::new().await;
    let known = match before {
        Before::Nothing => None,
        Before::Credential => {
            let id = world.add_user_credential("desk").await;
            world.backdate_authorization(&id).await;
            Some(id)
        }
    };
    let old = world.user_of_old_system("ada").await;
    world.zoom.set_refresh_behaviour(behaviour);
    let given = given(&old.refresh);
    if !world.import_crashes(n, &given).await {
        return None;
    }
    let rotated = !world.is_live(&old.refresh);

    let result = world.importer().import(&world, &given).await;

    let context = format!("{before:?} {behaviour:?} {n}: {result:?}");
    let sent = world.sent(&old.refresh);
    let first = sent.first().copied().unwrap();
    if result.outcome.is_in_the_vault() {
        // Nothing is lost: the user's credential mints with the grant, and only one grant lives.
        let id = result.credential.unwrap().to_string();
        assert!(known.is_none_or(|known| known == id), "{context}");
        world.expire_access_tokens().await;
        assert_eq!(
            mint_onbehalf(&world.acme, &id).await.status,
            200,
            "{context}"
        );
        assert_eq!(world.count("credentials").await, 1, "{context}");
        let pair = world.pair_of("ada").await;
        assert_eq!(
            (attribute(&pair, "members"), attribute(&pair, "live")),
            ("1", "1")
        );
        assert_eq!(
            first, 1,
            "a token that Zoom accepted is sent once: {context}"
        );
    } else {
        // Only the answer to the refresh itself can be lost, and the outcome says so.
        assert!(rotated, "{context}");
        assert_eq!(result.outcome, ImportOutcome::OutcomeLost, "{context}");
        assert!(first <= 2, "{context}");
    }
    let again = world.importer().import(&world, &given).await;
    assert_eq!(
        (again.outcome, again.credential),
        (result.outcome, result.credential)
    );
    assert_eq!(world.sent(&old.refresh).first(), sent.first(), "{context}");
    Some(Crash {
        outcome: result.outcome,
        sent: first,
    })
}

async fn crashes(before: Before, behaviour: RefreshBehaviour, ends: ImportOutcome) {
    let mut all = Vec::new();
    for n in 1.. {
        match crash(n, before, behaviour).await {
            Some(crash) => all.push(crash),
            None => break,
        }
    }
    assert!(all.len() > 8, "{all:?}");
    let lost = all
        .iter()
        .filter(|crash| crash.outcome == ImportOutcome::OutcomeLost);
    // The crash after Zoom has rotated the token and before its answer arrives: nobody can repair that.
    assert_eq!(lost.count(), 1, "{all:?}");
    let others = all
        .iter()
        .filter(|crash| crash.outcome != ImportOutcome::OutcomeLost);
    for crash in others {
        assert_eq!(crash.outcome, ends, "{all:?}");
    }
    assert_eq!(
        all.iter().filter(|crash| crash.sent == 2).count(),
        1,
        "{all:?}"
    );
}

#[tokio::test]
async fn a_crash_anywhere_in_the_import_of_a_new_user_loses_no_grant() {
    crashes(
        Before::Nothing,
        RefreshBehaviour::Strict,
        ImportOutcome::Imported,
    )
    .await;
}

#[tokio::test]
async fn a_crash_anywhere_loses_no_grant_where_a_reused_token_ends_the_grant() {
    let behaviour = RefreshBehaviour::ReuseRevokesFamily;
    crashes(Before::Nothing, behaviour, ImportOutcome::Imported).await;
}

#[tokio::test]
async fn a_crash_anywhere_in_the_import_of_a_known_user_loses_no_grant() {
    crashes(
        Before::Credential,
        RefreshBehaviour::Strict,
        ImportOutcome::Merged,
    )
    .await;
}

#[tokio::test]
async fn a_crash_anywhere_in_the_import_of_a_dead_token_never_calls_it_imported() {
    let mut outcomes = Vec::new();
    for n in 1.. {
        let world = World::new().await;
        let old = world.user_of_old_system("ada").await;
        world.zoom.remove_app(CLIENT_ID, "ada");
        let given = given(&old.refresh);
        if !world.import_crashes(n, &given).await {
            break;
        }
        let result = world.importer().import(&world, &given).await;
        let again = world.importer().import(&world, &given).await;
        assert_eq!(again.outcome, result.outcome);
        assert_eq!(world.count("credentials").await, 0);
        outcomes.push(result.outcome);
    }
    // Between the lease and its release, the rows do not say whether an answer was lost.
    let dead = outcomes.iter().filter(|it| **it == ImportOutcome::Dead);
    let lost = outcomes
        .iter()
        .filter(|it| **it == ImportOutcome::OutcomeLost);
    assert_eq!(dead.count() + lost.count(), outcomes.len(), "{outcomes:?}");
    assert_eq!(outcomes.first(), Some(&ImportOutcome::Dead));
    assert_eq!(outcomes.last(), Some(&ImportOutcome::Dead));
}
