//! The types of secrets: what they do not implement, and what their `Debug` shows.

use shared::secret::{AppCredentials, AuthorizationCode, ClientSecret, Plaintext, TokenPair};

use super::canary::{Canary, assert_absent};
use super::{APP, CLIENT_SECRET};
use crate::minting::mint_onbehalf;
use crate::world::World;

/// Does not compile if `$type` implements `$trait`.
macro_rules! assert_is_not {
    ($($trait:path),+ => $($type:ty),+ $(,)?) => { assert_is_not!(@each [$($trait),+] $($type),+) };
    (@each $traits:tt $($type:ty),+) => { $(assert_is_not!(@one $type, $traits);)+ };
    (@one $type:ty, [$($trait:path),+]) => { $({
        trait Either<Which> {
            fn is_unambiguous() {}
        }
        struct Implements;
        impl<T: ?Sized> Either<()> for T {}
        impl<T: ?Sized + $trait> Either<Implements> for T {}
        <$type as Either<_>>::is_unambiguous();
    })+ };
}

// assures 7, 15
#[test]
fn secret_types_cannot_be_serialized_displayed_or_compared() {
    assert_is_not!(
        serde::Serialize, std::fmt::Display, PartialEq, Into<String>, AsRef<str>, AsRef<[u8]> =>
        ClientSecret,
        AuthorizationCode,
        TokenPair,
        AppCredentials,
        Plaintext,
        shared::secret::WebhookSecret,
        shared::api_key::ApiKey,
        shared::token_url::UrlToken,
        shared::connect::LinkToken,
        shared::connect::OAuthState,
        shared::connect::BrowserKey,
        shared::secret::CodeVerifier,
        shared::secret::SessionSecret,
        shared::envelope::DataKey,
        shared::notification::SigningSecret,
        shared::vendor::VendorSecret,
        shared::vendor::VendorKey,
        shared::vendor::Proof<'static>,
        shared::zoom::Tokens,
        functions::http::request::Request,
    );
}

// assures 15
#[tokio::test]
async fn debug_output_shows_no_secret() {
    let world = World::new().await;
    // The gateway builds a function's clients and caches at its first call.
    let id = world.add_user_credential("desk").await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
    let secret = || ClientSecret::try_from(CLIENT_SECRET.to_owned()).unwrap();
    let app = AppCredentials {
        client_id: APP.to_owned().try_into().unwrap(),
        client_secret: secret(),
    };
    let pair = TokenPair {
        access: CLIENT_SECRET.to_owned().into(),
        refresh: CLIENT_SECRET.to_owned().into(),
    };
    let code = AuthorizationCode::try_from(CLIENT_SECRET.to_owned()).unwrap();
    let key: shared::api_key::ApiKey = shared::api_key::ApiKey::parse(world.acme.key()).unwrap();
    let shown = format!(
        "{:?} {:#?} {:?} {:#?} {:?} {:?} {:?} {:?}",
        secret(),
        app,
        pair,
        code,
        key,
        Plaintext::from(&secret()),
        Plaintext::new(CLIENT_SECRET.into()),
        world.gateway,
    );
    for word in [
        "REDACTED",
        "ClientSecret",
        "AppCredentials",
        "TokenPair",
        "Plaintext",
        "ApiKey",
    ] {
        assert!(shown.contains(word), "{shown}");
    }
    let canaries = [
        Canary::new("the client secret", CLIENT_SECRET),
        Canary::new("the API key", world.acme.key()),
    ];
    assert_absent(&canaries, "what Debug shows", shown.as_bytes());
    let bytes = format!("{:?}", CLIENT_SECRET.as_bytes());
    assert!(!shown.contains(bytes.trim_matches(['[', ']'])));
}
