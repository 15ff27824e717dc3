//! Methods that a path does not have. Only a path whose route takes every method answers 405. For the others, API
//! Gateway answers as for a path that no route has, and the local gateway does the same.

use reqwest::Method;
use serde_json::json;

use crate::world::{Answer, World};

/// The methods that a route for `ANY` takes.
const GATEWAY_METHODS: [Method; 7] = [
    Method::DELETE,
    Method::GET,
    Method::HEAD,
    Method::OPTIONS,
    Method::PATCH,
    Method::POST,
    Method::PUT,
];

/// The answer, which has no body if the method is `HEAD`.
async fn fetch(world: &World, method: Method, path: &str) -> Answer {
    let response = world.acme.request(method, path).send().await.unwrap();
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_an_unknown_route() {
    let world = World::new().await;
    world.wire.reset();
    let paths = [
        ("/v2/zoom-credentials", vec![Method::GET, Method::POST]),
        ("/v2/zoom-tokens", vec![Method::POST]),
        ("/webhooks/zoom/an-app", vec![Method::POST]),
        ("/connect/callback", vec![Method::GET]),
    ];
    for (path, own) in paths {
        let others = GATEWAY_METHODS.into_iter().chain([Method::TRACE]);
        for method in others.filter(|method| !own.contains(method)) {
            let is_head = method == Method::HEAD;
            let answer = fetch(&world, method, path).await;
            assert_eq!(answer.status, 404);
            assert_eq!(answer.header("allow"), None);
            if !is_head {
                answer.expect_error(404, "FST_ERR_NOT_FOUND", "Route not found");
            }
        }
    }
    assert_eq!(world.wire.calls().len(), 0);
}

#[tokio::test]
async fn a_route_for_every_method_names_its_methods_in_a_405() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let url = world.given_url(&id, json!({ "type": "onbehalf" })).await;
    let token_url = format!("/t/{}", url.url.rsplit('/').next().unwrap());
    world.wire.reset();
    let paths = [
        (token_url.as_str(), "GET, POST"),
        ("/connect/zcl_unknown", "GET, HEAD, POST"),
        ("/v2/vendors/recall", "DELETE, GET, PUT"),
        ("/v2/notification-endpoint", "DELETE, GET, PUT"),
        ("/v2/notification-endpoint/test", "POST"),
    ];
    for (path, allow) in paths {
        let own: Vec<&str> = allow.split(", ").collect();
        for method in GATEWAY_METHODS {
            if own.contains(&method.as_str()) {
                continue;
            }
            let is_head = method == Method::HEAD;
            let answer = fetch(&world, method, path).await;
            assert_eq!(answer.status, 405);
            assert_eq!(answer.header("allow"), Some(allow));
            if !is_head {
                let message = format!("Method not allowed: use {allow}");
                answer.expect_error(405, "FST_ERR_METHOD_NOT_ALLOWED", &message);
            }
        }
        // API Gateway's `ANY` does not include TRACE.
        let answer = fetch(&world, Method::TRACE, path).await;
        answer.expect_error(404, "FST_ERR_NOT_FOUND", "Route not found");
    }
    assert_eq!(world.wire.calls().len(), 0);
}

/// The gateway would log a path that does not exist, with the token in it.
#[tokio::test]
async fn a_token_url_with_more_path_is_refused_by_its_function_and_not_by_the_gateway() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let url = world.given_url(&id, json!({ "type": "onbehalf" })).await;
    world.wire.reset();
    for more in ["/", "/more", "/more/and/more"] {
        let path = format!("/t/{}{more}", url.token());
        let answer = fetch(&world, Method::POST, &path).await;
        answer.expect_code(404, "FST_ERR_ZOOM_TOKEN_URL_NOT_FOUND");
    }
    assert_eq!(world.wire.calls().len(), 0);
}
