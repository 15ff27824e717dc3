//! The rate limit.

use shared::api_key::{ApiKey, Permission};
use shared::stores::{DEFAULT_MINT_RATE, DEFAULT_RATE, TeamSettingsChange};

use crate::limits::told;
use crate::vault::Vault;
use crate::world::text_of;

#[tokio::test]
async fn a_rate_is_what_it_was_set_to_last_and_twenty_where_it_was_not() {
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

    // A key whose team has no settings at all.
    let key = ApiKey::generate(vault.team("bare")).unwrap();
    vault
        .operator
        .insert_key(&key, Permission::Full)
        .await
        .unwrap();
    let caller = vault.stranger(&text_of(key));
    assert_eq!(told(&caller.delete("no-id").await)[0], 20);
}
