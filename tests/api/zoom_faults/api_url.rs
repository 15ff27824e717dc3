//! The REST host that a token answer names: only Zoom's own hosts are used.

use serde_json::json;
use shared::zoom::ApiUrl;

use super::{create_with_exchange_fault, set, stored_api_url};
use crate::world::World;

/// Values for `api_url` in a forged token answer.
const HOSTILE: [&str; 27] = [
    "",
    "api.zoom.us",
    "//api.zoom.us",
    "http://api.zoom.us",
    "ftp://api.zoom.us",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "data:text/plain,zoom.us",
    "https://",
    "https://127.0.0.1",
    "https://[::1]",
    "https://169.254.169.254",
    "https://2130706433",
    "https://localhost",
    "https://evilzoom.us",
    "https://zoom.us.evil",
    "https://zoom.us.evil.test",
    "https://zoom.us%2eevil.test",
    "https://evil.test/zoom.us",
    "https://evil.test?zoom.us",
    "https://evil.test#.zoom.us",
    "https://zoom.us@evil.test",
    "https://evil.test\\@api.zoom.us",
    "https://user@api.zoom.us",
    "https://user:password@api.zoom.us",
    "https://api.zoom.us:8443",
    "https://api.zoom.uſ.evil.test",
];

// assures 28
#[test]
fn only_zooms_own_hosts_are_accepted_from_a_token_answer() {
    let accepted = [
        ("https://zoom.us", "https://zoom.us"),
        ("https://api.zoom.us", "https://api.zoom.us"),
        ("https://api.zoom.us/", "https://api.zoom.us"),
        ("https://api.zoom.us:443", "https://api.zoom.us"),
        ("HTTPS://API-EU.Zoom.US", "https://api-eu.zoom.us"),
        ("https://a.b.zoom.us", "https://a.b.zoom.us"),
    ];
    for (text, stored) in accepted {
        let url = ApiUrl::from_zoom(text);
        assert_eq!(
            url.as_ref().map(ApiUrl::as_str),
            Some(stored),
            "{text} is Zoom's"
        );
    }

    let also = [
        "https://api.zoom.us/v2",
        "https://api.zoom.us//",
        "https://api.zoom.us/?",
        "https://api.zoom.us/?a=b",
        "https://api.zoom.us/#",
        "https://api.zoom.us:80",
        "https://zoom.us.",
        "https://zoom.com",
        "https://zoom\u{2e}us\u{3002}evil.test",
        "https://us",
        "wss://api.zoom.us",
        "https://xn--zoom-us.test",
        "https://z\u{43e}om.us",
    ];
    for text in HOSTILE.into_iter().chain(also) {
        assert_eq!(ApiUrl::from_zoom(text), None, "{text:?} is not Zoom's");
    }
}

// assures 28
#[tokio::test]
async fn a_forged_rest_host_is_neither_stored_nor_called() {
    let world = World::new().await;
    let trap = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let port = trap.local_addr().unwrap().port();
    let traps = [
        format!("http://127.0.0.1:{port}"),
        format!("https://127.0.0.1:{port}"),
        format!("https://localhost:{port}"),
        format!("https://api.zoom.us@127.0.0.1:{port}"),
    ];
    let hostile = HOSTILE.into_iter().map(str::to_owned).chain(traps);
    for api_url in hostile {
        let forged = set("api_url", json!(api_url));
        let data = create_with_exchange_fault(&world, forged).await.expect(201);
        assert_eq!(data["zoom_user_id"], "ada", "{api_url}: asked elsewhere");
        assert_eq!(stored_api_url(&world, &data).await, None, "{api_url}");
    }
    let nobody = trap.accept().unwrap_err().kind();
    assert_eq!(nobody, std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn zooms_regional_host_is_stored_but_a_configured_host_is_called() {
    let world = World::new().await;
    let regional = set("api_url", json!("https://api-eu.zoom.us/"));
    let data = create_with_exchange_fault(&world, regional)
        .await
        .expect(201);
    assert_eq!(data["zoom_user_id"], "ada");
    let stored = stored_api_url(&world, &data).await;
    assert_eq!(stored.as_deref(), Some("https://api-eu.zoom.us"));
}
