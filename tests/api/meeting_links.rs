//! The meeting number in a link to a Zoom meeting.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use shared::token::{MeetingKind, NamedMeeting};

use crate::bots::{MEETING, TOKEN, expect_plain_text, expect_text};
use crate::properties::{config, near};
use crate::world::World;

const DOMAINS: [&str; 5] = [
    "zoom.us",
    "zoom.com",
    "zoomgov.com",
    "zoom-x.de",
    "zoom.com.cn",
];

fn number(link: &str) -> Option<String> {
    NamedMeeting::from_link(link).map(|meeting| meeting.id.as_str().to_owned())
}

/// Links in each known form, with this host and number.
fn links(host: &str, number: &str, secret: &str) -> Vec<String> {
    let upper = host.to_uppercase();
    vec![
        format!("https://{host}/j/{number}"),
        format!("https://{host}/j/{number}/"),
        format!("https://{host}/j/{number}#success"),
        format!("https://{host}/j/{number}?pwd={secret}&tk={secret}&uuid=WN_{secret}#success"),
        format!("https://{host}/w/{number}?tk={secret}"),
        format!("https://{host}/w/{number}/"),
        format!("https://{host}/s/{number}?zak={secret}"),
        format!("https://{host}/wc/join/{number}"),
        format!("https://{host}/wc/join/{number}?pwd={secret}"),
        format!("https://{host}/wc/{number}/join?pwd={secret}"),
        format!("https://{host}/wc/{number}/start"),
        format!("https://{host}/wc/{number}/start/client"),
        format!("https://{host}/wc/{number}"),
        format!("http://{host}/j/{number}"),
        format!("{host}/j/{number}?pwd={secret}"),
        format!("//{host}/j/{number}"),
        format!("{host}:443/j/{number}"),
        format!("  https://{host}/j/{number}\n"),
        format!("https://{host}./j/{number}"),
        format!("https://{host}:443/j/{number}"),
        format!("https://{upper}/j/{number}"),
        format!("HTTPS://{upper}/w/{number}"),
        format!("zoommtg://{host}/join?confno={number}&pwd={secret}"),
        format!("zoommtg://{upper}/join?pwd={secret}&confno={number}"),
        format!("zoommtg://{host}/join?action=join&confno={number}&browser=chrome"),
        format!("zoommtg://{host}/?action=join&confno={number}"),
        format!("zoomus://{host}/join?confno={number}"),
    ]
}

#[test]
fn each_form_of_a_link_gives_its_meeting_on_each_host() {
    let hosts = [
        "zoom.us",
        "us02web.zoom.us",
        "app.zoom.us",
        "acme.zoom.us",
        "a.nested.name.zoom.us",
        "zoom.com",
        "acme.zoom.com",
        "zoomgov.com",
        "acme.zoomgov.com",
        "zoom-x.de",
        "eu02web.zoom-x.de",
        "zoom.com.cn",
        "acme.zoom.com.cn",
    ];
    for host in hosts {
        for digits in ["98765432101", "9876543210", "987654321"] {
            for link in links(host, digits, "c2VjcmV0") {
                assert_eq!(number(&link).as_deref(), Some(digits), "{link}");
            }
        }
    }
}

#[test]
fn only_a_link_with_w_in_its_path_names_a_webinar() {
    for link in links("acme.zoom.us", "98765432101", "c2VjcmV0") {
        let is_webinar = link.to_lowercase().contains("/w/");
        let kind = NamedMeeting::from_link(&link).unwrap().kind;
        assert_eq!(kind == MeetingKind::Webinar, is_webinar, "{link}");
    }
    let rewritten =
        "https://x.safelinks.protection.outlook.com/?url=https%3A%2F%2Fzoom.us%2Fw%2F98765432101";
    let kind = NamedMeeting::from_link(rewritten).unwrap().kind;
    assert_eq!(kind, MeetingKind::Webinar);
}

#[test]
fn spaces_and_dashes_in_the_number_of_a_link_are_dropped() {
    for link in [
        "https://zoom.us/j/987-6543-2101",
        "https://zoom.us/j/987%206543%202101?pwd=x",
        "https://zoom.us/wc/join/987-6543-2101",
        "zoommtg://zoom.us/join?confno=987+6543+2101",
        "zoommtg://zoom.us/join?confno=987-6543-2101",
    ] {
        assert_eq!(number(link).as_deref(), Some("98765432101"), "{link}");
    }
}

#[test]
fn a_link_that_outlook_has_rewritten_gives_its_meeting() {
    let original = "https%3A%2F%2Facme.zoom.us%2Fj%2F98765432101%3Fpwd%3DaB1.2";
    for link in [
        format!(
            "https://eur01.safelinks.protection.outlook.com/?url={original}&data=05%7C01&sdata=x%3D&reserved=0"
        ),
        format!("https://NAM12.safelinks.protection.outlook.com/ap/t-59584e83/?url={original}"),
        format!("eur01.safelinks.protection.outlook.com/?data=1&url={original}"),
    ] {
        assert_eq!(number(&link).as_deref(), Some("98765432101"), "{link}");
    }
    for link in [
        "https://eur01.safelinks.protection.outlook.com/?data=1".to_owned(),
        "https://eur01.safelinks.protection.outlook.com/j/98765432101".to_owned(),
        format!("https://outlook.com/?url={original}"),
        format!("https://safelinks.protection.outlook.com.evil.example/?url={original}"),
        "https://x.safelinks.protection.outlook.com/?url=https%3A%2F%2Fevil.example%2Fj%2F1"
            .to_owned(),
        "https://x.safelinks.protection.outlook.com/?url=https%3A%2F%2Fx.safelinks.protection.outlook.com%2F%3Furl%3D\
         https%253A%252F%252Fzoom.us%252Fj%252F1"
            .to_owned(),
    ] {
        assert_eq!(number(&link), None, "{link}");
    }
}

#[test]
fn a_link_without_a_number_gives_none() {
    for link in [
        "https://zoom.us/my/jane",
        "https://acme.zoom.us/my/jane.doe?pwd=x",
        "https://zoom.us/meeting/register/tZ0kf-2orzMoHdQ",
        "https://zoom.us/webinar/register/WN_98765432101",
        "https://zoom.us/rec/share/98765432101",
        "https://zoom.us/rec/play/98765432101",
        "https://zoom.us/wb/doc/98765432101",
        "https://zoom.us/launch/edl?muid=98765432101",
        "https://events.zoom.us/ev/98765432101",
        "https://zoom.us/j/",
        "https://zoom.us/j/jane",
        "https://zoom.us/j/9876543210a",
        "https://zoom.us/j/%39876543210",
        "https://zoom.us/j/98765432101%2Fx",
        "https://zoom.us/j?confno=98765432101",
        "https://zoom.us/wc/join/",
        "https://zoom.us/wc/home",
        "https://zoom.us/?confno=98765432101",
        "https://zoom.us/J/98765432101",
        "https://zoom.us/j/123456789012345678901",
        "https://zoom.us",
        "zoommtg://zoom.us/join",
        "zoommtg://zoom.us/join?confno=jane",
        "zoommtg://zoom.us/j/98765432101",
        "98765432101",
        "",
    ] {
        assert_eq!(number(link), None, "{link}");
    }
}

#[test]
fn a_link_to_another_host_gives_none() {
    for host in [
        "evilzoom.us",
        "zoom.us.evil.example",
        "zoomus.cn",
        "jssdk.zoomus.cn",
        "zoom.cn",
        "evil-zoom-x.de",
        "meet.example.com",
        "zoom.us@evil.example",
        "evil.example/zoom.us",
        "evil.example?zoom.us",
        "evil.example#zoom.us",
        "zoom.us..",
        "127.0.0.1",
        "[::1]",
        "",
    ] {
        for link in links(host, "98765432101", "x") {
            assert_eq!(number(&link), None, "{link}");
        }
    }
    for link in [
        "ftp://zoom.us/j/98765432101",
        "mailto:zoom.us/j/98765432101",
        "javascript://zoom.us/j/98765432101",
        "file:///zoom.us/j/98765432101",
    ] {
        assert_eq!(number(link), None, "{link}");
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_zoom_link_gives_its_meeting_and_other_links_give_none(
        digits in "[0-9]{1,20}", subdomain in "([a-z0-9]{1,10}\\.){0,3}", domain in select(&DOMAINS[..]),
        secret in "[a-zA-Z0-9.]{0,20}",
    ) {
        for link in links(&format!("{subdomain}{domain}"), &digits, &secret) {
            prop_assert_eq!(number(&link), Some(digits.clone()), "{}", link);
        }
        for host in [format!("{subdomain}{domain}.evil.example"), format!("evil{domain}"), format!("{domain}{subdomain}x")] {
            for link in links(&host, &digits, &secret) {
                prop_assert_eq!(number(&link), None, "{}", link);
            }
        }
    }

    #[test]
    fn an_almost_valid_zoom_link_gives_digits_or_nothing(text in near(vec![
        "https://zoom.us/j/98765432101?pwd=x".into(), "https://us02web.zoom.us/wc/join/98765432101".into(),
        "https://zoom.us/my/jane".into(), "zoommtg://zoom.us/join?confno=98765432101".into(),
        "https://user:pw@zoom.us/j/1".into(), "https://[::1]/j/1".into(), "https://zoom.us".into(), "zoom.us/j/1".into(),
        "https://x.safelinks.protection.outlook.com/?url=https%3A%2F%2Fzoom.us%2Fj%2F1".into(),
    ])) {
        if let Some(digits) = number(&text) {
            prop_assert!((1..=20).contains(&digits.len()));
            prop_assert!(digits.bytes().all(|it| it.is_ascii_digit()));
        }
    }
}

/// A link that the vault cannot read names no meeting. Then a URL for one meeting would answer for any other.
#[tokio::test]
async fn a_url_for_one_meeting_refuses_a_link_in_any_form_to_another() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let body = json!({ "type": "onbehalf", "meeting_id": MEETING });
    let url = world.given_url(&id, body).await;
    world.zoom_mints(TOKEN);
    for domain in DOMAINS {
        for link in [
            format!("https://acme.{domain}/w/1"),
            format!("acme.{domain}/j/1"),
            format!("zoommtg://{domain}/join?confno=1"),
        ] {
            let query = format!("?meeting_url={}", link.replace("://", "%3A%2F%2F"));
            let refused = world.vendor_gets(&url, &query).await;
            expect_plain_text(&refused, 403, "The token URL is for another meeting");
            let refused = world
                .vendor_posts(&url, &json!({ "meeting_url": link }))
                .await;
            refused.expect_code(403, "FST_ERR_ZOOM_ANOTHER_MEETING");
        }
        let own = format!("?meeting_url=https://{domain}/j/{MEETING}");
        expect_text(&world.vendor_gets(&url, &own).await, TOKEN);
    }
}

#[tokio::test]
async fn a_local_recording_url_takes_the_meeting_from_a_link_in_any_form() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let url = world
        .given_url(&id, json!({ "type": "local_recording" }))
        .await;
    world.zoom_mints(TOKEN);
    for link in [
        format!("https://zoom.com/j/{MEETING}"),
        format!("https://acme.zoomgov.com/w/{MEETING}"),
        format!("acme.zoom.us/j/{MEETING}"),
        format!("zoommtg://zoom.us/join?confno={MEETING}"),
    ] {
        let query = format!("?meeting_url={link}");
        expect_text(&world.vendor_gets(&url, &query).await, TOKEN);
    }
}
