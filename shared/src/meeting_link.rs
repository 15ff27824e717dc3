//! The meeting number in a link to a Zoom meeting or webinar.
//!
//! A link carries secrets of the meeting (`pwd`, `tk`). So only the number leaves this file, and no link is logged.

use url::Url;

use crate::invalid::Invalid;
use crate::token::{MeetingId, MeetingKind, NamedMeeting};

/// The domains of Zoom's meeting links. A link may also name a subdomain.
const ZOOM_DOMAINS: [&str; 5] = [
    "zoom.us",
    "zoom.com",
    "zoomgov.com",
    "zoom-x.de",
    "zoom.com.cn",
];
/// Outlook replaces links in mails by links to this domain. The original link is in the parameter `url`.
const SAFE_LINKS: &str = "safelinks.protection.outlook.com";

impl NamedMeeting {
    /// The meeting or webinar that a Zoom link names, or `None` if the link contains no number.
    ///
    /// | form | number |
    /// | --- | --- |
    /// | `https://<host>/j/<number>`, `/w/…` (webinar), `/s/…` (start) | in the path |
    /// | `https://<host>/wc/join/<number>`, `/wc/<number>/…` (browser client) | in the path |
    /// | `zoommtg://<host>/…?confno=<number>`, `zoomus://…` (app) | in the query |
    ///
    /// The host is one of Zoom's, in any case, with or without a final dot and a port. `https://` may be missing, and a
    /// link that Outlook has rewritten is read too. A personal room (`/my/…`), a registration page and a recording
    /// contain no number.
    ///
    /// `/w/` names a webinar. The other forms leave the kind open: webinars have such links too.
    pub fn from_link(text: &str) -> Option<Self> {
        let url = parse(text)?;
        match original_of_safe_link(&url) {
            Some(original) => named(&parse(&original)?),
            None => named(&url),
        }
    }
}

/// The link as a URL of a known scheme. A link without a scheme is read as `https`.
fn parse(text: &str) -> Option<Url> {
    let text = text.trim();
    let is_known = |url: &Url| matches!(url.scheme(), "http" | "https" | "zoommtg" | "zoomus");
    let url = Url::parse(text).ok().filter(is_known);
    url.or_else(|| Url::parse(&format!("https://{}", text.trim_start_matches('/'))).ok())
}

/// The link that Outlook has rewritten.
fn original_of_safe_link(url: &Url) -> Option<String> {
    if !has_domain(url, SAFE_LINKS) {
        return None;
    }
    let mut query = url.query_pairs();
    let (_, original) = query.find(|(name, _)| name == "url")?;
    Some(original.into_owned())
}

fn named(url: &Url) -> Option<NamedMeeting> {
    if !ZOOM_DOMAINS.iter().any(|domain| has_domain(url, domain)) {
        return None;
    }
    if matches!(url.scheme(), "zoommtg" | "zoomus") {
        let mut query = url.query_pairs();
        let (_, number) = query.find(|(name, _)| name == "confno")?;
        let id = MeetingId::try_from(number.into_owned()).ok()?;
        return Some(id.into());
    }
    let mut path = url.path_segments()?;
    let (segment, kind) = match (path.next()?, path.next()?) {
        ("wc", "join") => (path.next()?, MeetingKind::Unknown),
        ("w", segment) => (segment, MeetingKind::Webinar),
        ("j" | "s" | "wc", segment) => (segment, MeetingKind::Unknown),
        _ => return None,
    };
    // Spaces arrive as `%20`. Every other escape stands for no digit that a link contains.
    let id = MeetingId::try_from(segment.replace("%20", " ")).ok()?;
    Some(NamedMeeting { id, kind })
}

/// Whether the host is the domain or one of its subdomains.
fn has_domain(url: &Url, domain: &str) -> bool {
    let host = url.host_str().unwrap_or_default();
    // The parser leaves the host of an unknown scheme as it was sent.
    let host = host.to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    host.strip_suffix(domain)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The meeting or webinar that a link names. The link itself is dropped.
#[derive(Clone, Debug)]
pub struct MeetingUrl(pub NamedMeeting);

impl TryFrom<String> for MeetingUrl {
    type Error = Invalid;

    fn try_from(link: String) -> Result<Self, Invalid> {
        let rule = Invalid("must be a link to a Zoom meeting that contains the meeting's number");
        NamedMeeting::from_link(&link).map(Self).ok_or(rule)
    }
}
