//! Property tests of the parsers for tokens and URLs.

use proptest::prelude::*;
use shared::connect::{BrowserKey, LinkToken, OAuthState, ReturnOrigin, ReturnUrl, SessionId};
use url::Url;

use super::text_of;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    // assures 8
    #[test]
    fn no_text_makes_a_parser_panic(text in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let lossy = String::from_utf8_lossy(&bytes);
        for text in [text.as_str(), &lossy, &format!("zcs_{text}"), &format!("zcl_{lossy}")] {
            OAuthState::parse(text).ok();
            LinkToken::parse(text).ok();
            BrowserKey::parse(text).ok();
            ReturnUrl::try_from(text.to_owned()).ok();
            text.parse::<ReturnOrigin>().ok();
        }
    }

    #[test]
    fn a_state_with_one_character_changed_cut_or_added_is_refused(at in 0_usize..74, to in any::<char>()) {
        let state = text_of(&OAuthState::generate(SessionId::generate()).unwrap().into_text());
        prop_assert!(OAuthState::parse(&state).is_ok());
        prop_assert!(LinkToken::parse(&state).is_err());
        let changed: String = state.chars().enumerate().map(|(n, c)| if n == at { to } else { c }).collect();
        prop_assert!(changed == state || OAuthState::parse(&changed).is_err());
        prop_assert!(OAuthState::parse(state.split_at(at).0).is_err());
        let mut added = state.clone();
        added.insert(at, to);
        prop_assert!(OAuthState::parse(&added).is_err());
    }

    #[test]
    fn an_accepted_return_url_redirects_to_the_host_that_was_compared(text in "https?://[a-z@:/\\\\.?#%0-9]{0,40}") {
        if let Ok(url) = ReturnUrl::try_from(text) {
            let sent: Url = url.with_outcome(SessionId::generate(), &[("error", "expired")]).parse().unwrap();
            prop_assert_eq!(sent.host_str().unwrap(), url.host());
            prop_assert_eq!(sent.fragment(), None);
            prop_assert!(sent.query_pairs().any(|(name, value)| name == "error" && value == "expired"));
        }
    }
}
