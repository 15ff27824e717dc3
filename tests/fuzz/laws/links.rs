//! URLs that a caller, a bot vendor or Zoom names.

use std::net::IpAddr;

use shared::connect::{ReturnOrigin, ReturnUrl, SessionId};
use shared::credential::RedirectUri;
use shared::meeting_link::MeetingUrl;
use shared::notification::{AddressRule, EndpointUrl};
use shared::token::{MeetingId, NamedMeeting};
use shared::zoom::ApiUrl;
use url::Url;

/// The longest return URL, as docs/limits.md says.
const MAX_RETURN_URL: usize = 2000;
/// The longest URL of an endpoint for notifications, as docs/limits.md says.
const MAX_ENDPOINT_URL: usize = 2048;

/// What each kind of URL promises. A URL that is accepted is accepted again from its own text: the tables hold that
/// text.
pub fn urls(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(url) = ReturnUrl::try_from(text.to_owned()) {
        return_url(text, &url);
    }
    if let Ok(origin) = text.parse::<ReturnOrigin>() {
        assert_eq!(origin.to_string(), text);
        let url = ReturnUrl::try_from(text.to_owned());
        assert!(url.is_ok_and(|url| url.has_origin_in(&[origin])));
    }
    if let Ok(url) = EndpointUrl::try_from(text.to_owned()) {
        endpoint_url(&url);
    }
    if let Some(url) = ApiUrl::from_zoom(text) {
        let parsed = url.as_url();
        let host = parsed.host_str().unwrap_or_default();
        assert!(host == "zoom.us" || host.ends_with(".zoom.us"), "{text:?}");
        assert_eq!(parsed.as_str(), format!("https://{host}/"));
        assert_eq!(ApiUrl::from_zoom(url.as_str()), Some(url));
    }
    if let Ok(uri) = RedirectUri::try_from(text.to_owned()) {
        assert_eq!(uri.as_str(), text);
        assert!(!text.contains(char::is_whitespace));
    }
}

fn return_url(text: &str, url: &ReturnUrl) {
    assert!(text.chars().count() <= MAX_RETURN_URL);
    let again = ReturnUrl::try_from(url.as_str().to_owned());
    assert_eq!(again.as_ref(), Ok(url), "{text:?}");
    let outcome = url.with_outcome(SessionId::generate(), &[("error", "expired")]);
    let Ok(sent) = Url::parse(&outcome) else {
        panic!("the outcome makes no URL");
    };
    let is_local = matches!(sent.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    assert!(sent.scheme() == "https" || (sent.scheme() == "http" && is_local));
    assert_eq!(sent.host_str(), Some(url.host()));
    assert_eq!(
        (sent.username(), sent.password(), sent.fragment()),
        ("", None, None)
    );
    let errors = sent.query_pairs().filter(|(name, _)| name == "error");
    let errors: Vec<_> = errors.map(|(_, value)| value.into_owned()).collect();
    assert_eq!(
        errors,
        ["expired"],
        "the query of the team must not have the outcome"
    );
}

fn endpoint_url(url: &EndpointUrl) {
    let parsed = url.as_url();
    assert_eq!(
        EndpointUrl::try_from(String::from(url.clone())).as_ref(),
        Ok(url)
    );
    assert!(parsed.as_str().len() <= MAX_ENDPOINT_URL);
    assert_eq!(
        (parsed.username(), parsed.password(), parsed.fragment()),
        ("", None, None)
    );
    if AddressRule::Public.check(url).is_err() {
        return;
    }
    assert_eq!(parsed.scheme(), "https");
    let is_inside = match url.address() {
        Some(IpAddr::V4(it)) => {
            it.is_loopback() || it.is_private() || it.is_link_local() || it.is_unspecified()
        }
        Some(IpAddr::V6(it)) => {
            it.is_loopback()
                || it.is_unique_local()
                || it.is_unicast_link_local()
                || it.to_ipv4().is_some()
        }
        None => parsed.host_str() == Some("localhost"),
    };
    assert!(!is_inside, "{parsed}");
}

const ZOOM: [&str; 5] = [
    "zoom.us",
    "zoom.com",
    "zoomgov.com",
    "zoom-x.de",
    "zoom.com.cn",
];

/// A link that names a meeting is a link to Zoom, and its number has 1 to 20 digits of the link.
pub fn meeting_link(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let meeting = NamedMeeting::from_link(text).map(|named| named.id);
    assert_eq!(
        meeting.is_some(),
        MeetingUrl::try_from(text.to_owned()).is_ok()
    );
    let Some(meeting) = meeting else { return };
    let digits = meeting.as_str();
    assert!((1..=20).contains(&digits.len()), "{text:?}");
    let mut rest = text.chars();
    let is_in_order = digits
        .chars()
        .all(|digit| digit.is_ascii_digit() && rest.any(|it| it == digit));
    assert!(is_in_order, "{digits} of {text:?}");
    assert!(is_to_zoom(text), "{text:?}");
    assert_eq!(
        MeetingId::try_from(digits.to_owned()).as_ref(),
        Ok(&meeting)
    );
}

/// Whether the link, or the link that Outlook rewrote, has a host of Zoom.
fn is_to_zoom(text: &str) -> bool {
    let host = |text: &str| {
        let text = text.trim();
        let known = ["http", "https", "zoommtg", "zoomus"];
        let url = Url::parse(text).ok();
        let url = url.filter(|url| known.contains(&url.scheme()));
        let url =
            url.or_else(|| Url::parse(&format!("https://{}", text.trim_start_matches('/'))).ok())?;
        let host = url.host_str()?.to_ascii_lowercase();
        Some((host.trim_end_matches('.').to_owned(), url))
    };
    let is_zoom = |host: &str| {
        ZOOM.iter()
            .any(|domain| host == *domain || host.ends_with(&format!(".{domain}")))
    };
    let Some((first, url)) = host(text) else {
        return false;
    };
    let original = url.query_pairs().find(|(name, _)| name == "url");
    let original = original.and_then(|(_, original)| host(&original));
    is_zoom(&first)
        || first.ends_with("safelinks.protection.outlook.com")
            && original.is_some_and(|(host, _)| is_zoom(&host))
}
