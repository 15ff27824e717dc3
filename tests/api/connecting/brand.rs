//! How a team presents itself on the connect page, and what the page says about the app.

use serde_json::{Value, json};
use shared::stores::TeamSettingsChange;

use super::{Browser, create_session, given_session, new_credential_body, session_row, world};
use crate::proxy::{Fault, Service};
use crate::world::{World, with};

const PIXEL: &str = "data:image/png;base64,iVBORw0KGgo=";

/// Sets how the team presents itself. `None` removes a value.
async fn set_brand(world: &World, name: Option<&str>, logo: Option<&str>, support: Option<&str>) {
    let settings = TeamSettingsChange {
        display_name: Some(name.map(|name| name.to_owned().try_into().unwrap())),
        logo: Some(logo.map(|logo| logo.parse().unwrap())),
        support_contact: Some(support.map(|contact| contact.parse().unwrap())),
        ..TeamSettingsChange::default()
    };
    let acme = world.team("acme");
    world.operator.set(&acme, settings).await.unwrap();
}

#[tokio::test]
async fn the_pages_show_the_teams_name_logo_and_support_contact() {
    let world = world().await;
    for (logo, source) in [
        (PIXEL, "data:"),
        (
            "https://cdn.example.com/a/logo.svg?v=2",
            "https://cdn.example.com/a/logo.svg",
        ),
    ] {
        set_brand(
            &world,
            Some("Acme & Söhne"),
            Some(logo),
            Some("help@acme.example"),
        )
        .await;
        let session = given_session(&world, &new_credential_body()).await;
        // The session keeps what was set when it was created.
        set_brand(&world, None, None, None).await;

        let mut browser = Browser::new(&world);
        let asked = browser.open(&session.link).await;
        asked.expect(200, "Connect your Zoom account");
        let callback = browser.authorize(&session, None).await;
        let denied = browser.open(&callback).await;
        denied.expect(400, "Nothing was connected");
        let connected = browser.connect(&session, "ada").await;
        connected.expect(200, "Zoom is connected");
        for page in [&asked, &denied, &connected] {
            let image = format!("<img class=\"logo\" src=\"{logo}\" alt=\"Acme &#38; Söhne\">");
            assert!(page.text.contains(&image), "{}", page.text);
            let policy = page.header("content-security-policy");
            assert!(
                policy.contains(&format!("; img-src {source}; form-action")),
                "{policy}"
            );
            let contact =
                "<a href=\"mailto:help@acme.example\" rel=\"noreferrer\">help@acme.example</a>";
            assert!(page.text.contains(contact), "{}", page.text);
        }
        for page in [&asked, &connected] {
            assert!(
                page.text
                    .contains("the team <strong><bdi>Acme &#38; Söhne</bdi></strong>")
            );
        }
    }
    let session = given_session(&world, &new_credential_body()).await;
    let page = Browser::new(&world).open(&session.link).await;
    page.expect(200, "Connect your Zoom account");
    assert!(page.text.contains("<strong><bdi>acme</bdi></strong>"));
    assert!(!page.text.contains("Questions?"));
    assert!(!page.header("content-security-policy").contains("img-src"));
}

#[tokio::test]
async fn the_page_names_the_zoom_app_if_the_team_does() {
    let world = world().await;
    let body = with(new_credential_body(), json!({ "app_name": "Acme <Notes>" }));
    let session = given_session(&world, &body).await;
    let mut browser = Browser::new(&world);
    let asked = browser.open(&session.link).await;
    assert!(
        asked
            .text
            .contains("The Zoom app: <bdi>Acme &#60;Notes&#62;</bdi>."),
        "{}",
        asked.text
    );
    let connected = browser.connect(&session, "ada").await;
    assert!(
        connected
            .text
            .contains("The app <strong><bdi>Acme &#60;Notes&#62;</bdi></strong> can:")
    );

    let body = with(new_credential_body(), json!({ "app_name": "" }));
    create_session(&world.acme, &body).await.expect_error(
        400,
        "FST_ERR_VALIDATION",
        "body/app_name must NOT have fewer than 1 characters",
    );
}

#[tokio::test]
async fn the_pages_say_in_words_what_the_app_may_do() {
    let world = world().await;
    let id = world.add_user_credential("bot").await;
    let allowed = "<li>see your name, your e-mail address and your Zoom account</li>";
    let session = given_session(&world, &new_credential_body()).await;
    let asked = Browser::new(&world).open(&session.link).await;
    assert!(
        !asked.text.contains(allowed),
        "nothing is known before the user allows the app"
    );
    let connected = Browser::new(&world).connect(&session, "ada").await;
    assert!(connected.text.contains("What you have allowed"));
    assert!(connected.text.contains(allowed), "{}", connected.text);

    let again = given_session(&world, &json!({ "credential_id": id })).await;
    let asked = Browser::new(&world).open(&again.link).await;
    assert!(
        asked
            .text
            .contains("Until now, the app may do this with the account:")
    );
    assert!(asked.text.contains(allowed), "{}", asked.text);
}

#[tokio::test]
async fn a_scope_without_words_is_shown_as_it_is() {
    let world = world().await;
    let tokens = json!({
        "access_token": "a", "refresh_token": "r", "token_type": "bearer", "expires_in": 3600,
        "scope": "user:read:zak <b>:read user:read:zak meeting:write:admin",
    });
    let session = given_session(&world, &new_credential_body()).await;
    let mut browser = Browser::new(&world);
    let callback = browser.authorize(&session, Some("ada")).await;
    let answer = Fault::Answer(reqwest::StatusCode::OK, tokens.to_string());
    world
        .wire
        .inject_once(Service::Zoom, "/oauth/token", answer);
    let page = browser.open(&callback).await;
    page.expect(200, "Zoom is connected");
    assert_eq!(
        page.text
            .matches("<li>join and start meetings as you</li>")
            .count(),
        1
    );
    for scope in ["&#60;b&#62;:read", "meeting:write:admin"] {
        let item = format!("<li>use the Zoom scope <bdi>{scope}</bdi></li>");
        assert!(page.text.contains(&item), "{}", page.text);
    }
}

#[tokio::test]
async fn a_session_of_an_earlier_version_has_no_brand_and_still_connects() {
    let world = world().await;
    let session = given_session(&world, &new_credential_body()).await;
    let row = session_row(&world, &session).await;
    for name in [
        "display_name",
        "logo",
        "support_contact",
        "app_name",
        "scopes",
    ] {
        assert!(!row.contains_key(name), "{name}");
    }
    let page = Browser::new(&world).connect(&session, "ada").await;
    page.expect(200, "Zoom is connected");
}

#[tokio::test]
async fn times_are_for_the_readers_time_zone() {
    let world = world().await;
    let created = create_session(&world.acme, &new_credential_body())
        .await
        .expect(201);
    let page = Browser::new(&world)
        .open(created["connect_url"].as_str().unwrap())
        .await;
    let Value::String(ends_at) = &created["expires_at"] else {
        panic!("{created}")
    };
    let minute = ends_at.get(11..16).unwrap();
    let time = format!("This link works until <time datetime=\"{ends_at}\">{minute} UTC</time>.");
    assert!(page.text.contains(&time), "{}", page.text);
}

#[test]
fn a_logo_is_an_image_or_an_https_url_and_nothing_else_gets_into_the_policy() {
    use shared::brand::Logo;

    let long = format!("data:image/png;base64,{}", "A".repeat(8172));
    for text in [
        "",
        "logo.png",
        "http://cdn.example.com/logo.png",
        "javascript:alert(1)",
        "data:text/html;base64,PGI+",
        "data:image/png,iVBOR",
        "data:image/png;base64,",
        "data:image/png;base64,!!",
        "data:image/png;base64,iVBORw0KGgo=\"",
        "https://user@cdn.example.com/logo.png",
        "https://cdn.example.com/logo.png#x",
        "https://cdn.example.com/lo go.png",
        "https://cdn.example.com/logo.png;script-src",
        "https://cdn.example.com/a,b",
        "https://cdn.example.com/'self'",
        "https://*/logo.png",
        "https://*.example.com/logo.png",
        "https://cdn.example.com;sandbox;x/logo.png",
        "https://cdn.example.com,x/logo.png",
        "https://'self'/logo.png",
        "https://[::1]/logo.png",
        &long,
    ] {
        assert!(text.parse::<Logo>().is_err(), "{text}");
    }
    let just_short_enough = format!("data:image/png;base64,{}", "A".repeat(8168));
    for text in [
        PIXEL,
        "data:image/svg+xml;base64,PHN2Zy8+",
        "https://cdn.example.com/l.webp",
        "https://xn--shne-5qa.example:8443/l.webp",
        &just_short_enough,
    ] {
        assert_eq!(text.parse::<Logo>().unwrap().as_str(), text);
    }
}

#[test]
fn a_support_contact_is_an_email_address_or_an_https_url() {
    use shared::brand::SupportContact;

    for text in [
        "",
        "help",
        "help@acme",
        "@acme.example",
        "help@acme.example?cc=evil@evil.example",
        "help@acme.example,x@y.example",
        "a b@acme.example",
        "help@acme..example",
        "http://acme.example/help",
        "javascript:alert(1)",
        "https://user@acme.example/",
        "mailto:help@acme.example",
    ] {
        assert!(text.parse::<SupportContact>().is_err(), "{text}");
    }
    for (text, href) in [
        ("help+zoom@acme.example", "mailto:help+zoom@acme.example"),
        (
            "https://acme.example/help?x=1",
            "https://acme.example/help?x=1",
        ),
    ] {
        assert_eq!(text.parse::<SupportContact>().unwrap().href(), href);
    }
}
