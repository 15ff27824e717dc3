//! Exchanging a code of an authorization that began with a PKCE challenge.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use local::zoom::Consent;
use shared::secret::{AppCredentials, CodeVerifier};
use shared::zoom::{ANSWER_TIMEOUT, Authorization, Error};

use crate::world::{CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, World};

fn app() -> AppCredentials {
    AppCredentials {
        client_id: CLIENT_ID.to_owned().try_into().unwrap(),
        client_secret: CLIENT_SECRET.to_owned().try_into().unwrap(),
    }
}

/// The user allows an authorization with the challenge of `verifier`. The exchange then sends the verifier `sent`.
fn authorization(world: &World, verifier: &str, sent: Option<&str>) -> Authorization {
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
    let consent = Consent {
        client_id: CLIENT_ID.to_owned(),
        redirect_uri: REDIRECT_URI.to_owned(),
        user_id: "ada".to_owned(),
        scopes: None,
        code_challenge: Some(challenge),
    };
    Authorization {
        code: world.zoom.authorize(consent).unwrap().try_into().unwrap(),
        redirect_uri: REDIRECT_URI.to_owned().try_into().unwrap(),
        code_verifier: sent.map(|sent| sent.to_owned().try_into().unwrap()),
    }
}

#[tokio::test]
async fn a_code_with_a_challenge_is_exchanged_only_with_its_verifier() {
    let world = World::new().await;
    let (right, wrong) = ("r".repeat(43), "w".repeat(128));

    for sent in [None, Some(wrong.as_str())] {
        let authorization = authorization(&world, &right, sent);
        let refused = world
            .zoom_client
            .exchange(&app(), &authorization, ANSWER_TIMEOUT)
            .await;
        assert!(
            matches!(refused, Err(Error::GrantRefused { .. })),
            "{refused:?}"
        );
    }
    let authorization = authorization(&world, &right, Some(&right));
    world
        .zoom_client
        .exchange(&app(), &authorization, ANSWER_TIMEOUT)
        .await
        .unwrap();
}

#[test]
fn a_verifier_has_43_to_128_unreserved_characters() {
    let verifier = |text: &str| CodeVerifier::try_from(text.to_owned());

    for good in ["a".repeat(43), "Z9-._~".repeat(21), "0".repeat(128)] {
        assert!(verifier(&good).is_ok(), "{good}");
    }
    for bad in [
        String::new(),
        "a".repeat(42),
        "a".repeat(129),
        "+".repeat(43),
        "é".repeat(43),
    ] {
        assert!(verifier(&bad).is_err(), "{bad}");
    }
}
