//! Opening a link: previews, other sites and unknown links change nothing.

use reqwest::Method;
use shared::connect::{LinkToken, SessionId};

use super::{
    Browser, Page, given_session, kms_and_zoom_calls, new_credential_body, session_row, text_of,
    world,
};
use crate::proxy::Service;

#[tokio::test]
async fn opening_a_link_without_pressing_the_button_changes_nothing() {
    let world = world().await;
    let session = given_session(&world, &new_credential_body()).await;
    let before = session_row(&world, &session).await;
    world.wire.reset();
    for method in [Method::GET, Method::HEAD, Method::GET] {
        let request = Browser::new(&world).request(method, &session.link);
        let page = Page::fetch(request).await;
        assert_eq!(page.status, 200);
        assert!(!page.headers.contains_key("set-cookie"));
    }
    for method in [Method::PUT, Method::DELETE, Method::OPTIONS] {
        let page = Page::fetch(Browser::new(&world).request(method, &session.link)).await;
        assert_eq!(page.status, 405);
    }
    assert_eq!(session_row(&world, &session).await, before);
    let calls = world.wire.operations(Service::DynamoDb);
    assert_eq!(calls, ["GetItem", "GetItem", "GetItem"]);
    assert_eq!(kms_and_zoom_calls(&world), (0, 0));
}

#[tokio::test]
async fn a_button_press_from_another_site_is_refused() {
    let world = world().await;
    let session = given_session(&world, &new_credential_body()).await;
    let before = session_row(&world, &session).await;
    for site in ["cross-site", "same-site", "none"] {
        let request = Browser::new(&world).request(Method::POST, &session.link);
        let page = Page::fetch(request.header("sec-fetch-site", site)).await;
        page.expect(403, "Open the link yourself");
        assert!(!page.headers.contains_key("set-cookie"));
    }
    assert_eq!(session_row(&world, &session).await, before);
}

#[tokio::test]
async fn an_unknown_link_causes_at_most_one_read_and_no_kms_call() {
    let world = world().await;
    let session = given_session(&world, &new_credential_body()).await;
    let other = LinkToken::generate(session.id.parse().unwrap()).unwrap();
    let unknown = LinkToken::generate(SessionId::generate()).unwrap();
    let token = session.link.rsplit('/').next().unwrap().to_owned();
    let flipped = token.replace("zcl_", "zcs_");
    let (cut, _) = token.split_at(token.len() - 1);
    let cases = [
        (text_of(&other.into_text()), 1),
        (text_of(&unknown.into_text()), 1),
        (flipped, 0),
        (cut.to_owned(), 0),
        ("callback2".to_owned(), 0),
        ("%F0%9F%92%A9".to_owned(), 0),
    ];
    for (token, reads) in cases {
        for method in [Method::GET, Method::POST] {
            world.wire.reset();
            let url = world.acme.address(&format!("/connect/{token}"));
            let page = Page::fetch(Browser::new(&world).request(method, &url)).await;
            page.expect(404, "This link does not work");
            assert_eq!(world.wire.calls().len(), reads, "{token}");
        }
    }
}
