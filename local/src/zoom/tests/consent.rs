//! The pages that a person sees.

use reqwest::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION};

use super::super::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET};
use super::*;

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn asked() -> Vec<(&'static str, &'static str)> {
    vec![
        ("response_type", "code"),
        ("client_id", "app"),
        ("redirect_uri", REDIRECT),
        ("state", "a&b=<c>"),
    ]
}

/// The parameters of a working request, with one changed, added or (empty) removed.
fn asked_with(name: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
    let mut parameters = asked();
    parameters.retain(|(known, _)| *known != name);
    parameters.push((name, value));
    parameters
}

impl World {
    fn ask(&self, parameters: &[(&str, &str)]) -> RequestBuilder {
        let url = Url::parse_with_params(&self.url("/oauth/authorize"), parameters).unwrap();
        self.http.get(url)
    }

    fn decide(&self, parameters: &[(&str, &str)]) -> RequestBuilder {
        self.http
            .post(self.url("/oauth/authorize"))
            .form(parameters)
    }
}

fn location(response: &Response) -> Url {
    assert_eq!(response.status(), StatusCode::FOUND);
    Url::parse(response.headers()[LOCATION].to_str().unwrap()).unwrap()
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.into_owned())
}

#[tokio::test]
async fn the_page_names_app_scopes_and_users_and_runs_no_script() {
    let world = World::new().await;
    let response = send(world.ask(&asked())).await;
    assert_eq!(response.status(), StatusCode::OK);
    let policy = response.headers()[CONTENT_SECURITY_POLICY]
        .to_str()
        .unwrap();
    assert_eq!(
        policy,
        "default-src 'none'; style-src 'self'; form-action 'self' http: https:; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    assert!(response.headers().contains_key("x-zm-trackingid"));
    let page = response.text().await.unwrap();
    for expected in [
        "<em>app</em>",
        "user:read:zak",
        "Ada Lovelace",
        "Grace Hopper",
        "user@example.com",
        "lang=\"en\"",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    assert!(!page.contains("<script") && !page.contains("style=") && !page.contains("http://"));
    assert!(
        page.contains("value=\"a&#38;b=&#60;c&#62;\""),
        "state is escaped"
    );
}

#[tokio::test]
async fn allow_sends_the_user_back_with_a_code_that_works() {
    let world = World::new().await;
    let mut form = asked();
    form.extend([("user_id", "user"), ("decision", "allow")]);
    let location = location(&send(world.decide(&form)).await);

    assert!(location.as_str().starts_with(REDIRECT));
    assert_eq!(parameter(&location, "state").as_deref(), Some("a&b=<c>"));
    ok(world.exchange(&parameter(&location, "code").unwrap())).await;
}

#[tokio::test]
async fn deny_sends_the_user_back_without_a_code() {
    let world = World::new().await;
    let mut form = asked_with("state", "");
    form.extend([("user_id", "user"), ("decision", "deny")]);
    let location = location(&send(world.decide(&form)).await);
    assert_eq!(location.as_str(), format!("{REDIRECT}&error=access_denied"));
}

#[tokio::test]
async fn a_challenge_goes_through_the_page() {
    let world = World::new().await;
    let mut form = asked();
    form.extend([
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    assert!(
        send(world.ask(&form))
            .await
            .text()
            .await
            .unwrap()
            .contains(CHALLENGE)
    );
    form.extend([("user_id", "user"), ("decision", "allow")]);
    let code = parameter(&location(&send(world.decide(&form)).await), "code").unwrap();
    let (status, body) = answer(world.exchange(&code)).await;
    assert_eq!(
        (status.as_u16(), &body["reason"]),
        (400, &json!("Invalid code verifier"))
    );
}

#[tokio::test]
async fn a_wrong_request_is_a_page_and_never_a_redirect() {
    let world = World::new().await;
    let challenged = asked_with("code_challenge", CHALLENGE);
    let plain = [
        asked_with("code_challenge", CHALLENGE),
        vec![("code_challenge_method", "plain")],
    ]
    .concat();
    let malformed = [
        asked_with("code_challenge", "short"),
        vec![("code_challenge_method", "S256")],
    ]
    .concat();
    let twice = [asked(), vec![("state", "again")]].concat();
    for (parameters, complaint) in [
        (
            asked_with("response_type", "token"),
            "response_type must be code",
        ),
        (asked_with("response_type", ""), "response_type is missing"),
        (
            asked_with("client_id", "nobody"),
            "no app has the client_id",
        ),
        (asked_with("client_id", ""), "client_id is missing"),
        (
            asked_with("redirect_uri", "https://evil.example"),
            "is not one that the app registered",
        ),
        (
            asked_with("redirect_uri", "https://app.example.com/zoom/callback"),
            "is not one that the app registered",
        ),
        (asked_with("redirect_uri", ""), "redirect_uri is missing"),
        (
            asked_with("code_challenge_method", "S256"),
            "code_challenge_method must be S256",
        ),
        (challenged, "code_challenge_method must be S256"),
        (plain, "code_challenge_method must be S256"),
        (malformed, "43 characters"),
        (twice, "state is given twice"),
    ] {
        for request in [
            world.ask(&parameters),
            world.decide(
                &[
                    parameters.clone(),
                    vec![("user_id", "user"), ("decision", "allow")],
                ]
                .concat(),
            ),
        ] {
            let response = send(request).await;
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{complaint}");
            assert_eq!(response.headers().get(LOCATION), None);
            assert_eq!(response.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
            assert!(
                response.text().await.unwrap().contains(complaint),
                "{complaint}"
            );
        }
    }
}

#[tokio::test]
async fn a_decision_needs_a_known_user_and_a_word() {
    let world = World::new().await;
    for (user_id, decision, complaint) in [
        ("nobody", "allow", "no active user has the id"),
        ("", "allow", "user_id is missing"),
        ("user", "perhaps", "decision must be allow or deny"),
        ("user", "", "decision is missing"),
    ] {
        let form = [asked(), vec![("user_id", user_id), ("decision", decision)]].concat();
        let response = send(world.decide(&form)).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert!(
            response.text().await.unwrap().contains(complaint),
            "{complaint}"
        );
    }
}

#[tokio::test]
async fn a_newcomer_clicks_through_to_a_working_command() {
    let world = World::new().await;
    let vault = Url::parse("http://127.0.0.1:4321").unwrap();
    world
        .sandbox
        .set_vault(vault.clone(), &vault, "/some where/api-key".into());
    let start = world.sandbox.demo_authorize_url().unwrap();
    assert_eq!(
        send(world.http.get(start.clone())).await.status(),
        StatusCode::OK
    );
    let mut form: Vec<_> = start.query_pairs().into_owned().collect();
    form.extend(
        [("user_id", "ada-sandbox-user"), ("decision", "allow")]
            .map(|(name, value)| (name.into(), value.into())),
    );
    let decided = send(world.http.post(world.url("/oauth/authorize")).form(&form)).await;
    let location = location(&decided);
    let page = send(world.http.get(location.clone()))
        .await
        .text()
        .await
        .unwrap();

    let code = parameter(&location, "code").unwrap();
    for expected in [
        &code,
        "http://127.0.0.1:4321/v2/zoom-credentials",
        "x-meeting-baas-api-key: $(cat &#39;/some where/api-key&#39;)",
        DEMO_CLIENT_ID,
        DEMO_CLIENT_SECRET,
        &world.url("/sandbox/callback"),
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    let redirect_uri = world.url("/sandbox/callback");
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", &redirect_uri),
    ];
    ok(world.post_token_as(DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, &form)).await;
}

#[tokio::test]
async fn the_demo_app_is_called_back_on_both_local_spellings() {
    let world = World::new().await;
    let port = Url::parse(&world.origin).unwrap().port().unwrap();
    for redirect_uri in [
        format!("http://127.0.0.1:{port}/sandbox/callback"),
        format!("http://localhost:{port}/sandbox/callback"),
        "http://localhost:3000/callback".to_owned(),
    ] {
        let client_id = DEMO_CLIENT_ID.to_owned();
        let user_id = "grace-sandbox-user".to_owned();
        world
            .sandbox
            .authorize(Consent {
                client_id,
                redirect_uri,
                user_id,
                ..consent()
            })
            .unwrap();
    }
}

#[tokio::test]
async fn the_callback_page_escapes_and_offers_no_command_for_a_foreign_code() {
    let world = World::new().await;
    for (query, expected, absent) in [
        (
            "code=';rm%20-rf%20~;'<b>",
            "&#39;;rm -rf ~;&#39;&#60;b&#62;",
            "curl",
        ),
        (&format!("code={}", world.code()), "client secret", "curl"),
        ("error=access_denied", "you clicked Deny", "curl"),
        ("error=<i>", "&#60;i&#62;", "<i>"),
        ("", "Nothing arrived", "curl"),
    ] {
        let response = send(
            world
                .http
                .get(world.url(&format!("/sandbox/callback?{query}"))),
        )
        .await;
        assert!(response.headers().contains_key(CONTENT_SECURITY_POLICY));
        let page = response.text().await.unwrap();
        assert!(page.contains(expected) && !page.contains(absent), "{page}");
    }
}

#[tokio::test]
async fn the_style_sheet_is_served() {
    let world = World::new().await;
    let response = send(world.http.get(world.url("/sandbox/style.css"))).await;
    assert_eq!(response.headers()[CONTENT_TYPE], "text/css; charset=utf-8");
    assert!(
        response
            .text()
            .await
            .unwrap()
            .contains("prefers-color-scheme: dark")
    );
}
