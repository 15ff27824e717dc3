//! How a function starts: its connections and its environment variables.

use std::time::Duration;

use serde_json::json;
use tokio::net::TcpSocket;

use crate::binaries::{
    API_FUNCTIONS, CALLBACK, CONNECT, CONSOLE, CREATE, CREATE_SESSION, CREATE_URL, DELETE,
    DELETE_APP, DELETE_URL, DELIVER, ENDPOINT, ENQUEUE, GET, GET_APP, GET_OVERVIEW, GET_SESSION,
    KEEP_ALIVE, LIST, LIST_URLS, PURGE, PUT_APP, RESTORE, ROTATE, SERVICE_ADDRESSES, TOKEN_URL,
    UPDATE, VENDORS, WEBHOOK, required,
};
use crate::process::{Lambda, process};
use crate::services::CountingProxy;
use crate::stack::World;

/// As many connections to DynamoDB and KMS as a request uses at once, and one to Zoom's REST host.
#[tokio::test]
async fn a_request_finds_its_connections_open() {
    let world = World::new().await;
    let id = world.add_credential().await;
    let [one, other] = [world.user_body().await, world.user_body().await];
    let create = world.event("POST", None, Some(&one));
    let update = world.event("PATCH", Some(&id), Some(&other));
    let list = world.event("GET", None, None);
    let get = world.event("GET", Some(&id), None);
    let delete = world.event("DELETE", Some(&id), None);
    for (binary, event, well, opened) in [
        (CREATE, create, 201, [3, 2, 1]),
        (UPDATE, update, 200, [3, 2, 1]),
        (LIST, list, 200, [1, 0, 0]),
        (GET, get, 200, [1, 0, 0]),
        (DELETE, delete, 200, [3, 0, 0]),
    ] {
        let mut env = world.env.clone();
        let mut fronts = Vec::new();
        for service in SERVICE_ADDRESSES {
            let front = CountingProxy::of(&env[service]).await;
            env.insert(service.to_owned(), front.url.clone());
            fronts.push(front);
        }
        let connections = || {
            fronts
                .iter()
                .map(CountingProxy::connections)
                .collect::<Vec<_>>()
        };

        let mut lambda = Lambda::start(binary, &env).await;
        lambda.asked.notified().await;
        assert_eq!(connections(), opened, "{binary}, before its first event");

        let (status, body) = lambda.call(event).await;
        assert_eq!(status, well, "{body}");
        assert_eq!(connections(), opened, "{binary}, after its first event");
        let line = lambda.logged().await;
        let called = ["dynamodb_calls", "kms_calls", "zoom_calls"];
        let called = called.map(|calls| line[calls].as_u64().unwrap() > 0);
        assert_eq!(called, opened.map(|opened| opened > 0), "{line}");
    }
}

#[tokio::test]
async fn a_dead_or_silent_service_does_not_keep_a_function_from_starting() {
    let world = World::new().await;
    let id = world.add_credential().await;
    let bound = || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        socket
    };
    // One refuses connections. The other accepts them and does nothing.
    let (dead, silent) = (bound(), bound().listen(1024).unwrap());
    for address in [dead.local_addr(), silent.local_addr()] {
        let url = format!("http://{}", address.unwrap());
        let mut env = world.env.clone();
        for service in SERVICE_ADDRESSES {
            env.insert(service.to_owned(), url.clone());
        }
        let started = API_FUNCTIONS.map(async |binary| {
            let lambda = Lambda::start(binary, &env).await;
            // The function allows a second for opening connections. The SDK would wait three, and Zoom's client for
            // ever.
            let asked = tokio::time::timeout(Duration::from_millis(2900), lambda.asked.notified());
            asked.await.unwrap_or_else(|_| panic!("{binary}"));
        });
        futures_util::future::join_all(started).await;
    }

    let mut env = world.env.clone();
    let dead = format!("http://{}", dead.local_addr().unwrap());
    env.insert(SERVICE_ADDRESSES[0].to_owned(), dead);
    let mut get = Lambda::start(GET, &env).await;
    let (status, body) = get.call(world.event("GET", Some(&id), None)).await;
    assert_eq!(
        (status, &body["code"]),
        (503, &json!("FST_ERR_UNAVAILABLE"))
    );
}

#[tokio::test]
async fn each_function_names_a_missing_variable_and_does_not_start() {
    let others = [
        KEEP_ALIVE, CREATE_URL, LIST_URLS, DELETE_URL, TOKEN_URL, RESTORE, PURGE,
    ];
    let apps = [
        PUT_APP, GET_APP, DELETE_APP, ROTATE, WEBHOOK, VENDORS, ENDPOINT, ENQUEUE, DELIVER,
    ];
    let connecting = [CREATE_SESSION, GET_SESSION, CONNECT, CALLBACK];
    let console = [GET_OVERVIEW, CONSOLE];
    for binary in API_FUNCTIONS
        .into_iter()
        .chain(others)
        .chain(apps)
        .chain(connecting)
        .chain(console)
    {
        let required = required(binary);
        for missing in &required {
            for set in [None, Some("")] {
                let others = required.iter().filter(|name| *name != missing);
                let env = others.map(|name| ((*name).to_owned(), "value".to_owned()));
                let mut command = process(binary, env);
                command.env("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9");
                if let Some(empty) = set {
                    command.env(missing, empty);
                }
                let output = command.output().await.unwrap();
                let said = String::from_utf8(output.stderr).unwrap();
                assert_eq!(output.status.code(), Some(1), "{binary}: {said}");
                assert_eq!(
                    said,
                    format!("Error: environment variable {missing} is not set\n"),
                    "{binary}"
                );
            }
        }
    }
}

#[tokio::test]
async fn an_invalid_zoom_base_url_is_named_at_the_start() {
    for binary in [CREATE, UPDATE] {
        for name in ["ZOOM_OAUTH_BASE_URL", "ZOOM_API_BASE_URL"] {
            for (url, why) in [
                ("zoom.us", "is not a URL"),
                ("ftp://zoom.us", "is not an HTTP URL"),
            ] {
                let env = required(binary)
                    .into_iter()
                    .map(|name| (name.to_owned(), "value".to_owned()));
                let output = process(binary, env).env(name, url).output().await.unwrap();
                let said = String::from_utf8(output.stderr).unwrap();
                assert_eq!(said, format!("Error: environment variable {name} {why}\n"));
                assert_eq!(output.status.code(), Some(1));
            }
        }
    }
}
