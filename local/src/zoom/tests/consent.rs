//! The consent page and the callback page.

use reqwest::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION};

use super::super::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET};
use super::*;

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

type Parameters = Vec<(&'static str, &'static str)>;

fn authorize_parameters() -> Parameters {
    vec![
        ("response_type", "code"),
        ("client_id", "app"),
        ("redirect_uri", REDIRECT_URI),
        ("state", "a&b=<c>"),
    ]
}

/// The parameters of a valid request with one changed or added parameter. An empty value removes the parameter.
fn parameters_with(name: &'static str, value: &'static str) -> Parameters {
    let mut parameters = authorize_parameters();
    parameters.retain(|(known, _)| *known != name);
    parameters.push((name, value));
    parameters
}

impl TestZoom {
    fn consent_page(&self, parameters: &[(&str, &str)]) -> RequestBuilder {
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
async fn the_consent_page_shows_app_scopes_and_users_without_scripts() {
    let zoom = TestZoom::new().await;
    let response = send(zoom.consent_page(&authorize_parameters())).await;
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
async fn allow_redirects_with_a_working_code() {
    let zoom = TestZoom::new().await;
    let mut form = authorize_parameters();
    form.extend([("user_id", "user"), ("decision", "allow")]);
    let location = location(&send(zoom.decide(&form)).await);

    assert!(location.as_str().starts_with(REDIRECT_URI));
    assert_eq!(parameter(&location, "state").as_deref(), Some("a&b=<c>"));
    expect_ok(zoom.exchange(&parameter(&location, "code").unwrap())).await;
}

#[tokio::test]
async fn deny_redirects_without_a_code() {
    let zoom = TestZoom::new().await;
    let mut form = parameters_with("state", "");
    form.extend([("user_id", "user"), ("decision", "deny")]);
    let location = location(&send(zoom.decide(&form)).await);
    assert_eq!(
        location.as_str(),
        format!("{REDIRECT_URI}&error=access_denied")
    );
}

#[tokio::test]
async fn the_consent_page_passes_on_the_code_challenge() {
    let zoom = TestZoom::new().await;
    let mut form = authorize_parameters();
    form.extend([
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    assert!(
        send(zoom.consent_page(&form))
            .await
            .text()
            .await
            .unwrap()
            .contains(CHALLENGE)
    );
    form.extend([("user_id", "user"), ("decision", "allow")]);
    let code = parameter(&location(&send(zoom.decide(&form)).await), "code").unwrap();
    let (status, body) = answer_of(zoom.exchange(&code)).await;
    assert_eq!(
        (status.as_u16(), &body["reason"]),
        (400, &json!("Invalid code verifier"))
    );
}

#[tokio::test]
async fn an_invalid_request_gets_an_error_page_and_no_redirect() {
    let zoom = TestZoom::new().await;
    for (parameters, message) in invalid_requests() {
        let decision = [("user_id", "user"), ("decision", "allow")];
        for request in [
            zoom.consent_page(&parameters),
            zoom.decide(&[parameters.as_slice(), &decision].concat()),
        ] {
            let response = send(request).await;
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{message}");
            assert_eq!(response.headers().get(LOCATION), None);
            assert_eq!(response.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
            let page = response.text().await.unwrap();
            assert!(page.contains(message), "{message}");
        }
    }
}

/// The parameters of invalid requests, with the expected messages.
fn invalid_requests() -> Vec<(Parameters, &'static str)> {
    let challenged = |challenge, method| {
        let method = vec![("code_challenge_method", method)];
        [parameters_with("code_challenge", challenge), method].concat()
    };
    let unregistered = "the app has not registered the redirect_uri";
    let bad_method = "code_challenge_method must be S256";
    vec![
        (
            parameters_with("response_type", "token"),
            "response_type must be code",
        ),
        (
            parameters_with("response_type", ""),
            "response_type is missing",
        ),
        (
            parameters_with("client_id", "nobody"),
            "no app has the client_id",
        ),
        (parameters_with("client_id", ""), "client_id is missing"),
        (
            parameters_with("redirect_uri", "https://evil.example"),
            unregistered,
        ),
        (
            parameters_with("redirect_uri", "https://app.example.com/zoom/callback"),
            unregistered,
        ),
        (
            parameters_with("redirect_uri", ""),
            "redirect_uri is missing",
        ),
        (parameters_with("code_challenge_method", "S256"), bad_method),
        (parameters_with("code_challenge", CHALLENGE), bad_method),
        (challenged(CHALLENGE, "plain"), bad_method),
        (challenged("short", "S256"), "43 characters"),
        (
            [authorize_parameters(), vec![("state", "again")]].concat(),
            "state occurs twice",
        ),
    ]
}

#[tokio::test]
async fn a_decision_needs_a_known_user_and_allow_or_deny() {
    let zoom = TestZoom::new().await;
    for (user_id, decision, message) in [
        ("nobody", "allow", "no active user has the id"),
        ("", "allow", "user_id is missing"),
        ("user", "perhaps", "decision must be allow or deny"),
        ("user", "", "decision is missing"),
    ] {
        let form = [
            authorize_parameters(),
            vec![("user_id", user_id), ("decision", decision)],
        ]
        .concat();
        let response = send(zoom.decide(&form)).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert!(
            response.text().await.unwrap().contains(message),
            "{message}"
        );
    }
}

#[tokio::test]
async fn the_demo_flow_ends_with_a_working_command() {
    let zoom = TestZoom::new().await;
    let vault = Url::parse("http://127.0.0.1:4321").unwrap();
    zoom.sandbox
        .set_vault(vault.clone(), &vault, "/some where/api-key".into());
    let start = zoom.sandbox.demo_authorize_url().unwrap();
    assert_eq!(
        send(zoom.http.get(start.clone())).await.status(),
        StatusCode::OK
    );
    let mut form: Vec<_> = start.query_pairs().into_owned().collect();
    form.extend(
        [("user_id", "ada-sandbox-user"), ("decision", "allow")]
            .map(|(name, value)| (name.into(), value.into())),
    );
    let decided = send(zoom.http.post(zoom.url("/oauth/authorize")).form(&form)).await;
    let location = location(&decided);
    let page = send(zoom.http.get(location.clone()))
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
        &zoom.url("/sandbox/callback"),
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    let redirect_uri = zoom.url("/sandbox/callback");
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", &redirect_uri),
    ];
    expect_ok(zoom.post_token_as(DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, &form)).await;
}

#[tokio::test]
async fn the_demo_app_accepts_redirect_uris_at_127_0_0_1_and_localhost() {
    let zoom = TestZoom::new().await;
    let port = Url::parse(&zoom.origin).unwrap().port().unwrap();
    for redirect_uri in [
        format!("http://127.0.0.1:{port}/sandbox/callback"),
        format!("http://localhost:{port}/sandbox/callback"),
        "http://localhost:3000/callback".to_owned(),
    ] {
        let client_id = DEMO_CLIENT_ID.to_owned();
        let user_id = "grace-sandbox-user".to_owned();
        zoom.sandbox
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
async fn the_callback_page_escapes_its_input_and_shows_no_command_for_another_app() {
    let zoom = TestZoom::new().await;
    for (query, expected, absent) in [
        (
            "code=';rm%20-rf%20~;'<b>",
            "&#39;;rm -rf ~;&#39;&#60;b&#62;",
            "curl",
        ),
        (
            &format!("code={}", zoom.new_code()),
            "client secret",
            "curl",
        ),
        ("error=access_denied", "you clicked Deny", "curl"),
        ("error=<i>", "&#60;i&#62;", "<i>"),
        ("", "No code arrived", "curl"),
    ] {
        let response = send(
            zoom.http
                .get(zoom.url(&format!("/sandbox/callback?{query}"))),
        )
        .await;
        assert!(response.headers().contains_key(CONTENT_SECURITY_POLICY));
        let page = response.text().await.unwrap();
        assert!(page.contains(expected) && !page.contains(absent), "{page}");
    }
}

#[tokio::test]
async fn the_style_sheet_is_served() {
    let zoom = TestZoom::new().await;
    let response = send(zoom.http.get(zoom.url("/sandbox/style.css"))).await;
    assert_eq!(response.headers()[CONTENT_TYPE], "text/css; charset=utf-8");
    assert!(
        response
            .text()
            .await
            .unwrap()
            .contains("prefers-color-scheme: dark")
    );
}
