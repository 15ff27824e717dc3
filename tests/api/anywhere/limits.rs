//! The rate limit.

use shared::api_key::{ApiKey, KeyTerms, Permission};
use shared::stores::{DEFAULT_MINT_RATE, DEFAULT_RATE, TeamSettingsChange};

use crate::limits::told;
use crate::vault::Vault;
use crate::world::text_of;

#[tokio::test]
async fn the_rate_limit_is_the_last_one_set_and_twenty_by_default() {
    let vault = Vault::new().await;
    let team = vault.team("unset");
    vault
        .operator
        .create_team(&team, DEFAULT_RATE, DEFAULT_MINT_RATE)
        .await
        .unwrap();
    let caller = vault.caller("unset", Permission::Full).await;
    assert_eq!(told(&caller.delete("no-id").await)[0], 20);

    for rate in [1, 0, u32::MAX] {
        vault
            .operator
            .set(
                &team,
                TeamSettingsChange {
                    rate: Some(rate),
                    ..TeamSettingsChange::default()
                },
            )
            .await
            .unwrap();
        assert_eq!(told(&caller.delete("no-id").await)[0], rate);
    }

    // A key of a team that has no settings.
    let key = ApiKey::generate(vault.team("bare")).unwrap();
    vault
        .operator
        .insert_key(&key, KeyTerms::of(Permission::Full))
        .await
        .unwrap();
    // Without a rate of its own, a key may make 80 % of the calls.
    let caller = vault.caller_with_key(&text_of(key));
    assert_eq!(told(&caller.delete("no-id").await)[0], 16);
}
