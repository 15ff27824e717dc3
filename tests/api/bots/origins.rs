//! The origin that a new token URL starts with.

use functions::{runtime, token_urls};
use lambda_http::{Context, LambdaEvent};
use serde_json::{Value, json};
use shared::stores::{Credentials, Events, Keys, RETENTION, Requests, Secrets, TokenUrls};

use crate::world::World;

/// An attacker controls the Host header, so the URL's origin comes from the API gateway or from the configuration.
#[tokio::test]
async fn the_origin_of_a_token_url_does_not_depend_on_the_host_header() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let db = &world.dynamodb;
    let keys = &Keys::new(db.clone(), "keys".to_owned());
    let requests = &Requests::new(db.clone(), "requests".to_owned());
    let credentials = &Credentials::new(db.clone(), "credentials".to_owned());
    let token_urls = &TokenUrls::new(db.clone(), "token-urls".to_owned());
    let secrets = &Secrets::new(db.clone(), "secrets".to_owned());
    let events = &Events::new(db.clone(), "events".to_owned(), RETENTION);
    let created = async |public: Option<&str>, context: Value| {
        let event = json!({
            "httpMethod": "POST",
            "headers": {
                "x-meeting-baas-api-key": world.acme.key(),
                "content-type": "application/json",
                "Host": "evil.example",
                "X-Forwarded-Host": "evil.example",
            },
            "pathParameters": { "id": id },
            "requestContext": context,
            "body": r#"{"type":"zak"}"#,
        });
        let mut invocation = Context::default();
        invocation.deadline = u64::MAX;
        let event = LambdaEvent::new(serde_json::from_value(event).unwrap(), invocation);
        let public = public.map(|url| url.parse().unwrap());
        let answer = runtime::invoke(token_urls::create::ROUTE, event, async |request| {
            let public = public.as_ref();
            token_urls::create::handle(
                keys,
                requests,
                credentials,
                token_urls,
                secrets,
                events,
                public,
                &request,
            )
            .await
        })
        .await;
        let answer: Value = serde_json::to_value(answer).unwrap();
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        let url = body["data"]["url"].as_str().map(str::to_owned);
        url.map(|url| url.rsplit_once("ztu_").unwrap().0.to_owned())
            .ok_or(body["code"].clone())
    };
    let path = format!("/v2/zoom-credentials/{id}/token-urls");
    let context = |domain: &str, prefix: &str| json!({ "domainName": domain, "stage": "live", "path": format!("{prefix}{path}") });
    for (public, context, expected) in [
        (
            None,
            context("abc123.execute-api.eu-central-1.amazonaws.com", "/live"),
            "https://abc123.execute-api.eu-central-1.amazonaws.com/live/t/",
        ),
        (
            None,
            context("vault.example.com", ""),
            "https://vault.example.com/t/",
        ),
        (
            None,
            context("api.example.com", "/zoom/vault"),
            "https://api.example.com/zoom/vault/t/",
        ),
        (
            Some("https://tokens.example.com"),
            context("x", ""),
            "https://tokens.example.com/t/",
        ),
        (
            Some("https://tokens.example.com/zoom/"),
            context("x", "/live"),
            "https://tokens.example.com/zoom/t/",
        ),
        (
            Some("http://127.0.0.1:3000"),
            Value::Null,
            "http://127.0.0.1:3000/t/",
        ),
    ] {
        assert_eq!(created(public, context).await.unwrap(), expected);
    }
    let before = world.count("token-urls").await;
    for context in [
        Value::Null,
        json!({}),
        json!({ "domainName": "x" }),
        json!({ "domainName": "x", "path": "/" }),
    ] {
        assert_eq!(
            created(None, context).await.unwrap_err(),
            "FST_ERR_INTERNAL"
        );
    }
    assert_eq!(world.count("token-urls").await, before);
}
