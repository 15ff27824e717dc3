//! Log lines and metrics.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use local::zoom::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET};
use serde_json::{Value, json};

use crate::binaries::{CREATE, GET};
use crate::process::Lambda;
use crate::services::{denial, service, silence};
use crate::stack::{World, app_body};

/// The release that a line names: Cargo.toml of the workspace has it.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Removes the metrics from a line and returns them by name. CloudWatch drops a line whose directive differs from this
/// one.
#[track_caller]
pub(crate) fn take_metrics(line: &mut Value) -> BTreeMap<String, (u64, String)> {
    let fields = line.as_object_mut().unwrap();
    let Some(directive) = fields.remove("_aws") else {
        panic!("no metrics: {line}");
    };
    let time = fields.remove("timestamp").unwrap();
    let time: shared::timestamp::Timestamp = serde_json::from_value(time).unwrap();
    let metrics = directive["CloudWatchMetrics"][0]["Metrics"].clone();
    assert_eq!(
        directive,
        json!({
            "Timestamp": time.as_millis(),
            "CloudWatchMetrics": [{
                "Namespace": "ZoomCredentials",
                "Dimensions": [["stack"]],
                "Metrics": metrics,
            }],
        })
    );
    assert_eq!(fields.remove("stack"), Some(json!("a-stack")));
    assert_eq!(fields.remove("version"), Some(json!(VERSION)));
    let taken: BTreeMap<_, _> = metrics
        .as_array()
        .unwrap()
        .iter()
        .map(|metric| {
            let name = metric["Name"].as_str().unwrap().to_owned();
            let unit = metric["Unit"].as_str().unwrap().to_owned();
            let value = fields.remove(&name).and_then(|value| value.as_u64());
            (name, (value.unwrap(), unit))
        })
        .collect();
    assert_eq!(taken.len(), metrics.as_array().unwrap().len());
    taken
}

/// Like [`take_metrics`], and checks the counts and the latency that every request has. The latency is no metric:
/// Lambda has a metric of its own, which costs nothing.
#[track_caller]
fn assert_metrics(line: &mut Value, counts: &Value) {
    let taken = take_metrics(line);
    let latency = line.as_object_mut().unwrap().remove("latency_ms");
    assert!(latency.and_then(|latency| latency.as_u64()).unwrap() < 30_000);
    let taken = taken.into_iter().map(|(name, (value, unit))| {
        assert_eq!(unit, "Count");
        (name, json!(value))
    });
    assert_eq!(&Value::Object(taken.collect()), counts);
}

#[tokio::test]
async fn each_request_is_one_line_of_json_with_its_metrics_and_nothing_secret() {
    let world = World::new().await;
    let mut create = world.lambda(CREATE).await;
    let event = world.event("POST", None, Some(&app_body()));
    let (_, created) = create.call(event).await;

    // One of the calls to DynamoDB notes the use of the key, which a process does every ten minutes.
    let mut line = create.logged().await;
    assert_metrics(
        &mut line,
        &json!({ "dynamodb_calls": 5, "kms_calls": 1, "zoom_calls": 0 }),
    );
    assert_eq!(
        line,
        json!({
            "level": "INFO",
            "message": "request",
            "request_id": "77375676-xmpl-4b79-853a-f982474efe18",
            "route": "POST /v2/zoom-credentials",
            "team": "local",
            "key_id": world.key_id(),
            "credential_id": created["data"]["credential_id"],
            "status": 201,
        })
    );

    // A refusal is one line too. The team in an unknown key is only a claim, so it is not logged.
    let mut event = world.event("POST", None, Some(&app_body()));
    event["headers"]["x-meeting-baas-api-key"] = json!("zcv_local_unknown");
    create.call(event).await;
    let mut line = create.logged().await;
    assert_metrics(
        &mut line,
        &json!({ "dynamodb_calls": 0, "kms_calls": 0, "zoom_calls": 0 }),
    );
    assert_eq!(
        line,
        json!({
            "level": "INFO",
            "message": "request",
            "request_id": "77375676-xmpl-4b79-853a-f982474efe18",
            "route": "POST /v2/zoom-credentials",
            "status": 401,
            "code": "FST_ERR_UNAUTHORIZED",
        })
    );

    let (lines, errors) = create.stop().await;
    assert_eq!(lines, Vec::<String>::new());
    assert_eq!(errors, "");
}

#[tokio::test]
async fn a_failure_is_logged_with_its_cause() {
    let world = World::new().await;
    let mut env = world.env.clone();
    env.insert("CREDENTIALS_TABLE".to_owned(), "missing".to_owned());
    let mut get = Lambda::start(GET, &env).await;
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";

    let (status, body) = get.call(world.event("GET", Some(id), None)).await;

    assert_eq!((status, &body["code"]), (500, &json!("FST_ERR_INTERNAL")));
    let line = get.logged().await;
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["message"], "request failed");
    assert_eq!(line["credential_id"], id);
    let cause = line["cause"].as_str().unwrap();
    assert!(
        cause.contains("DynamoDB BatchGetItem found no such table"),
        "{cause}"
    );
    assert!(cause.contains("ResourceNotFoundException"), "{cause}");
    let what_to_do = "check the table names in the environment against the outputs of the stack";
    assert!(cause.contains(what_to_do), "{cause}");
    let (lines, errors) = get.stop().await;
    assert_eq!((lines, errors), (Vec::new(), String::new()));
}

#[tokio::test]
async fn a_function_whose_role_lacks_a_right_is_unavailable_and_logs_the_right() {
    let world = World::new().await;
    for (service_of, action) in [
        ("AWS_ENDPOINT_URL_DYNAMODB", "dynamodb:GetItem"),
        ("AWS_ENDPOINT_URL_KMS", "kms:GenerateDataKey"),
    ] {
        let mut env = world.env.clone();
        let denying = service(StatusCode::BAD_REQUEST, denial(action)).await;
        env.insert(service_of.to_owned(), denying);
        let mut create = Lambda::start(CREATE, &env).await;

        let (status, body) = create
            .call(world.event("POST", None, Some(&app_body())))
            .await;

        assert_eq!(
            (status, &body["code"]),
            (503, &json!("FST_ERR_UNAVAILABLE"))
        );
        assert!(!body.to_string().contains(action));
        let line = create.logged().await;
        assert_eq!(line["level"], "ERROR");
        let cause = line["cause"].as_str().unwrap();
        assert!(cause.contains(action), "{cause}");
        let (lines, errors) = create.stop().await;
        assert_eq!((lines, errors), (Vec::new(), String::new()));
    }
}

/// Besides its line, each failure of KMS or Zoom has one more metric.
#[tokio::test]
async fn each_kind_of_failure_of_kms_and_zoom_has_its_own_metric() {
    const ZOOM: &str = "ZOOM_OAUTH_BASE_URL";
    let world = World::new().await;
    let refuse = |status: u16, answer: Value| {
        service(StatusCode::from_u16(status).unwrap(), answer.to_string())
    };
    let kms = refuse(400, json!({ "__type": "DisabledException" })).await;
    let down = refuse(500, json!({})).await;
    let limiting = refuse(429, json!({})).await;
    let invalid_client = refuse(401, json!({ "error": "invalid_client" })).await;
    let invalid_grant = refuse(400, json!({ "error": "invalid_grant" })).await;
    let body = json!({
        "name": "bot",
        "client_id": DEMO_CLIENT_ID,
        "client_secret": DEMO_CLIENT_SECRET,
        "authorization_code": "code",
        "redirect_uri": "https://example.com/callback",
    });
    for (variable, url, status, metric) in [
        ("AWS_ENDPOINT_URL_KMS", kms, 503, "kms_failed"),
        (ZOOM, down, 502, "zoom_failed"),
        (ZOOM, silence().await, 504, "zoom_silent"),
        (ZOOM, limiting, 503, "zoom_limited"),
        (ZOOM, invalid_client, 400, "zoom_app_refused"),
        (ZOOM, invalid_grant, 400, "zoom_grant_refused"),
    ] {
        let mut env = world.env.clone();
        env.insert(variable.to_owned(), url);
        if metric == "zoom_silent" {
            env.insert("ZOOM_TIMEOUT_MS".to_owned(), "100".to_owned());
        }
        let mut create = Lambda::start(CREATE, &env).await;

        let answer = create.call(world.event("POST", None, Some(&body))).await;

        assert_eq!(answer.0, status, "{}", answer.1);
        // On a busy machine, a line about the note of the key's use can come first.
        let mut line = create.logged().await;
        while line.get("_aws").is_none() {
            line = create.logged().await;
        }
        let mut metrics = take_metrics(&mut line);
        for name in ["dynamodb_calls", "kms_calls", "zoom_calls"] {
            assert!(metrics.remove(name).is_some());
        }
        let one = (1, "Count".to_owned());
        assert_eq!(metrics, BTreeMap::from([(metric.to_owned(), one)]));
    }
}

#[tokio::test]
async fn a_line_that_is_not_about_a_request_has_no_metrics() {
    let world = World::new().await;
    let mut env = world.env.clone();
    let down = service(StatusCode::INTERNAL_SERVER_ERROR, "").await;
    env.insert("ZOOM_API_BASE_URL".to_owned(), down);
    let mut create = Lambda::start(CREATE, &env).await;
    let redirect_uri = "http://localhost:3000/callback";
    let consent = json!({
        "client_id": DEMO_CLIENT_ID,
        "redirect_uri": redirect_uri,
        "user_id": "ada-sandbox-user",
    });
    let codes = format!("{}/sandbox/codes", env["ZOOM_OAUTH_BASE_URL"]);
    let code = world.http.post(codes).json(&consent).send().await.unwrap();
    let code: Value = code.json().await.unwrap();
    let mut body = app_body();
    body["authorization_code"] = code["code"].clone();
    body["redirect_uri"] = json!(redirect_uri);

    let (status, created) = create.call(world.event("POST", None, Some(&body))).await;

    assert_eq!(status, 201, "{created}");
    let warning = create.logged().await;
    assert_eq!(warning["level"], "WARN");
    assert_eq!(warning["message"], "the profile is not known yet");
    assert_eq!(warning.get("_aws"), None);
    assert_eq!(create.logged().await["message"], "request");
}

/// Below `INFO`, Lambda's own runtime would log whole events.
// assures 12
#[tokio::test]
async fn at_no_log_level_does_a_function_log_its_input() {
    let world = World::new().await;
    for level in ["DEBUG", "TRACE"] {
        for format in ["JSON", "Text"] {
            let mut env = world.env.clone();
            env.insert("AWS_LAMBDA_LOG_LEVEL".to_owned(), level.to_owned());
            env.insert("AWS_LAMBDA_LOG_FORMAT".to_owned(), format.to_owned());
            let mut create = Lambda::start(CREATE, &env).await;
            let event = world.event("POST", None, Some(&app_body()));
            let sent = event["headers"]["x-meeting-baas-api-key"]
                .as_str()
                .unwrap()
                .to_owned();
            let (status, _) = create.call(event).await;
            assert_eq!(status, 201);

            let (lines, errors) = create.stop().await;
            let said = lines.join("\n") + &errors;
            assert!(said.contains("POST /v2/zoom-credentials"), "{said}");
            for secret in [sent.as_str(), app_body()["client_secret"].as_str().unwrap()] {
                assert!(!said.contains(secret), "{level} {format}");
            }
        }
    }
}
