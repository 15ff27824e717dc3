//! A panic in a handler.

use std::io::Write;
use std::process::Command;

use functions::runtime;
use lambda_http::{Context, LambdaEvent};
use serde_json::{Value, json};

use super::CLIENT_SECRET;
use super::canary::{Canary, assert_absent};

const PANIC: &str = "ZCV_TEST_PANICS";

/// The test runs itself in a second process, because a panic message goes to the standard error of the whole process.
// assures 15
#[test]
fn a_panic_in_a_handler_is_a_500_that_leaks_nothing() {
    if std::env::var_os(PANIC).is_some() {
        runtime::init_logging();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let event = json!({ "headers": { "x-meeting-baas-api-key": CLIENT_SECRET } });
        let mut context = Context::default();
        context.request_id = "the-request".to_owned();
        let event = LambdaEvent::new(serde_json::from_value(event).unwrap(), context);
        let answer = runtime.block_on(runtime::invoke("GET /panic", event, async |request| {
            panic!("{CLIENT_SECRET} {request:?}")
        }));
        let answer = serde_json::to_string(&answer).unwrap();
        writeln!(std::io::stdout(), "{answer}").unwrap();
        return;
    }

    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("secrecy::panics::a_panic_in_a_handler_is_a_500_that_leaks_nothing")
        .env(PANIC, "1")
        .env("RUST_BACKTRACE", "full")
        .output()
        .unwrap();
    assert!(child.status.success());
    let said = String::from_utf8([child.stdout, child.stderr].concat()).unwrap();
    let canary = Canary::new("the client secret", CLIENT_SECRET);
    assert_absent(&[canary], "what the process says", said.as_bytes());

    let line = |with: &str| -> Value {
        let line = said.lines().find(|line| line.contains(with));
        serde_json::from_str(line.unwrap_or_else(|| panic!("{said}"))).unwrap()
    };
    let answer = line("multiValueHeaders");
    assert_eq!(answer["statusCode"], 500);
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["code"], "FST_ERR_INTERNAL");
    assert_eq!(body["message"], "Internal server error");
    let logged = line("request failed");
    assert_eq!(logged["request_id"], "the-request");
    assert_eq!(logged["status"], 500);
    assert_eq!(logged["cause"], "the handler panicked");
    // The place of the panic is logged. It is no secret.
    let place = line(r#""message":"panicked""#);
    assert!(place["at"].as_str().unwrap().contains("panics.rs:"));
}
