//! The local stack.

use std::collections::BTreeMap;

use local::stack::{ExternalEndpoints, Options, Stack};
use local::zoom::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET};
use serde_json::{Value, json};
use shared::api_key::ApiKey;

use crate::process::Lambda;

/// A running local stack.
pub(crate) struct World {
    api: String,
    key: String,
    /// The variables of the file that points a function at the stack.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) http: reqwest::Client,
    _data: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        // Fails if a provider is installed already.
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        let data = tempfile::tempdir().unwrap();
        let stack = Stack::start(Options {
            data_dir: data.path().to_owned(),
            port: 0,
            zoom_port: 0,
            external: ExternalEndpoints::default(),
            envelope_key: None,
            allowed_hosts: Vec::new(),
        });
        let stack = stack.await.unwrap();
        let api = stack.api().as_str().trim_end_matches('/').to_owned();
        tokio::spawn(stack.serve(std::future::pending()));
        let read = |file: &str| std::fs::read_to_string(data.path().join(file)).unwrap();
        let env = read("env")
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self {
            api,
            key: read("api-key"),
            env,
            http: reqwest::Client::new(),
            _data: data,
        }
    }

    /// The id of the API key that the calls are made with.
    pub(crate) fn key_id(&self) -> String {
        ApiKey::parse(&self.key).unwrap().hash().id().into()
    }

    /// Calls the gateway. Returns the status and the body.
    pub(crate) async fn gateway(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> (u64, Value) {
        let url = format!("{}{path}", self.api);
        let request = self.http.request(method.parse().unwrap(), url);
        let request = request.header("x-meeting-baas-api-key", &self.key);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = request.send().await.unwrap();
        (
            answer.status().as_u16().into(),
            answer.json().await.unwrap(),
        )
    }

    pub(crate) async fn add_credential(&self) -> String {
        let (status, body) = self
            .gateway("POST", "/v2/zoom-credentials", Some(&app_body()))
            .await;
        assert_eq!(status, 201, "{body}");
        body["data"]["credential_id"].as_str().unwrap().to_owned()
    }

    /// The event of a REST API's proxy integration, as AWS documents it.
    pub(crate) fn event(&self, method: &str, id: Option<&str>, body: Option<&Value>) -> Value {
        let path = id.map_or_else(
            || "/v2/zoom-credentials".to_owned(),
            |id| format!("/v2/zoom-credentials/{id}"),
        );
        let headers = json!({
            "Accept": "*/*",
            "CloudFront-Viewer-Country": "DE",
            "Content-Type": "application/json",
            "Host": "abcdefghij.execute-api.eu-central-1.amazonaws.com",
            "X-Amzn-Trace-Id": "Root=1-5e66d96f-7491f09xmpl79d18acf3d050",
            "X-Forwarded-For": "203.0.113.7, 130.176.0.1",
            "X-Forwarded-Port": "443",
            "X-Forwarded-Proto": "https",
            "x-meeting-baas-api-key": self.key,
        });
        let multi: BTreeMap<_, _> = headers
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name, json!([value])))
            .collect();
        json!({
            "resource": if id.is_some() { "/v2/zoom-credentials/{id}" } else { "/v2/zoom-credentials" },
            "path": path,
            "httpMethod": method,
            "headers": headers,
            "multiValueHeaders": multi,
            "queryStringParameters": null,
            "multiValueQueryStringParameters": null,
            "pathParameters": id.map(|id| json!({ "id": id })),
            "stageVariables": null,
            "requestContext": {
                "resourceId": "2gxmpl",
                "resourcePath": "/v2/zoom-credentials",
                "httpMethod": method,
                "extendedRequestId": "JJbxmplHYosFVYQ=",
                "requestTime": "10/Mar/2020:00:03:59 +0000",
                "path": format!("/prod{path}"),
                "accountId": "123456789012",
                "protocol": "HTTP/1.1",
                "stage": "prod",
                "domainPrefix": "abcdefghij",
                "requestTimeEpoch": 1_583_798_639_428_i64,
                "requestId": "77375676-xmpl-4b79-853a-f982474efe18",
                "identity": {
                    "cognitoIdentityPoolId": null,
                    "accountId": null,
                    "sourceIp": "203.0.113.7",
                    "userAgent": "curl/8.5.0",
                    "user": null
                },
                "domainName": "abcdefghij.execute-api.eu-central-1.amazonaws.com",
                "apiId": "abcdefghij"
            },
            "body": body.map(ToString::to_string),
            "isBase64Encoded": false
        })
    }

    /// The body that creates a user credential. A user of the demo app has just allowed the app.
    pub(crate) async fn user_body(&self) -> Value {
        let redirect_uri = "http://localhost:3000/callback";
        let consent = json!({
            "client_id": DEMO_CLIENT_ID,
            "redirect_uri": redirect_uri,
            "user_id": "ada",
        });
        let mut answer = Value::Null;
        for (path, body) in [("users", json!({ "id": "ada" })), ("codes", consent)] {
            let url = format!("{}/sandbox/{path}", self.env["ZOOM_OAUTH_BASE_URL"]);
            let arranged = self.http.post(url).json(&body).send().await.unwrap();
            answer = arranged.json().await.unwrap_or_default();
        }
        let mut body = app_body();
        body["authorization_code"] = answer["code"].clone();
        body["redirect_uri"] = json!(redirect_uri);
        body
    }

    pub(crate) async fn lambda(&self, binary: &str) -> Lambda {
        Lambda::start(binary, &self.env).await
    }
}

pub(crate) fn app_body() -> Value {
    json!({ "name": "bot", "client_id": DEMO_CLIENT_ID, "client_secret": DEMO_CLIENT_SECRET })
}
