//! A function refuses to send secrets over plain HTTP to another machine.

use crate::binaries::{CALLBACK, CREATE, CREATE_URL, required};
use crate::process::process;

/// What a function says when it starts with these endpoints. It cannot reach a runtime API, so it ends in any case.
async fn said_at_start(binary: &str, names: &[&str], url: &str) -> String {
    let env = required(binary)
        .into_iter()
        .map(|name| (name.to_owned(), "value".to_owned()));
    let mut command = process(binary, env);
    command.env("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9");
    command.envs(names.iter().map(|name| (name, url)));
    let output = command.output().await.unwrap();
    String::from_utf8(output.stderr).unwrap()
}

/// The endpoints of a function that calls every service.
const SERVICES: [&str; 4] = [
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_KMS",
    "ZOOM_OAUTH_BASE_URL",
    "ZOOM_API_BASE_URL",
];
const PUBLIC: &str = "PUBLIC_BASE_URL";

#[tokio::test]
async fn an_endpoint_over_plain_http_on_another_machine_is_refused_at_the_start() {
    let services = SERVICES.map(|name| (CREATE, name, "http://10.0.0.1:8000"));
    let hosts = [
        (CREATE_URL, PUBLIC, "http://vault.example"),
        (CREATE_URL, PUBLIC, "http://172.17.0.1:8000"),
        (CREATE_URL, PUBLIC, "http://[2001:db8::1]:8000"),
        (CREATE_URL, PUBLIC, "http://localhost.example"),
    ];
    for (binary, name, url) in services.into_iter().chain(hosts) {
        assert_eq!(
            said_at_start(binary, &[name], url).await,
            format!(
                "Error: environment variable {name} is plain http to another machine: use https\n"
            ),
            "{url}"
        );
    }
}

/// Users go to the landing page, so no exception is made for this machine.
#[tokio::test]
async fn a_landing_url_that_is_not_https_is_refused_at_the_start() {
    for url in ["http://localhost:9", "http://127.0.0.1:9"] {
        assert_eq!(
            said_at_start(CALLBACK, &["LANDING_URL"], url).await,
            "Error: environment variable LANDING_URL is not an https URL\n"
        );
    }
}

#[tokio::test]
async fn https_and_plain_http_on_this_machine_are_accepted() {
    for url in [
        "https://proxy.example",
        "http://localhost:9",
        "http://127.0.0.1:9",
        "http://[::1]:9",
        "http://host.docker.internal:9",
    ] {
        let said = said_at_start(CREATE, &SERVICES, url).await;
        assert!(!said.contains("environment variable"), "{url}: {said}");
    }
}
