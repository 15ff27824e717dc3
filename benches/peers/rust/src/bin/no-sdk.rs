//! The read of one credential without the AWS SDK: the requests are signed here (Signature Version 4), and sent with
//! hyper. There are no retries, no limits of time, no log and no metrics. This is the least that the read can cost.

use std::collections::HashMap;
use std::sync::Mutex;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use lambda_http::http::StatusCode;
use lambda_http::{Error, Request, Response, service_fn};
use peers::{Row, Wanted, answer, hex, refusal, variable};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use serde_json::json;

const TARGET: &str = "DynamoDB_20120810.BatchGetItem";
const CONTENT_TYPE: &str = "application/x-amz-json-1.0";

#[derive(Deserialize)]
struct BatchGetItem {
    #[serde(rename = "Responses")]
    responses: HashMap<String, Vec<Item>>,
}

#[derive(Deserialize)]
struct Item(HashMap<String, Attribute>);

/// The types of attributes that the read looks at.
#[derive(Deserialize)]
struct Attribute {
    #[serde(rename = "S")]
    text: Option<String>,
    #[serde(rename = "BOOL")]
    flag: Option<bool>,
}

impl Row for Item {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.text.as_deref()
    }

    fn is_set(&self, name: &str) -> bool {
        self.0.get(name).and_then(|it| it.flag) == Some(true)
    }
}

/// Signs requests to DynamoDB.
struct Signer {
    region: String,
    access_key: String,
    secret_key: String,
    session: Option<String>,
    /// The signing key of a day, and the day.
    of_day: Mutex<Option<(String, Key)>>,
}

impl Signer {
    fn from_env() -> Result<Self, Error> {
        Ok(Self {
            region: variable("AWS_REGION")?,
            access_key: variable("AWS_ACCESS_KEY_ID")?,
            secret_key: variable("AWS_SECRET_ACCESS_KEY")?,
            session: variable("AWS_SESSION_TOKEN").ok(),
            of_day: Mutex::default(),
        })
    }

    fn key(&self, day: &str) -> Result<Key, Error> {
        let mut of_day = self.of_day.lock().map_err(|_| "the signer panicked")?;
        if let Some((_, key)) = of_day.as_ref().filter(|(known, _)| known == day) {
            return Ok(key.clone());
        }
        let mut key = Key::new(HMAC_SHA256, format!("AWS4{}", self.secret_key).as_bytes());
        for part in [day, &self.region, "dynamodb", "aws4_request"] {
            let derived = hmac::sign(&key, part.as_bytes());
            key = Key::new(HMAC_SHA256, derived.as_ref());
        }
        *of_day = Some((day.to_owned(), key.clone()));
        Ok(key)
    }

    /// The header `authorization` of a `POST /` with this body, at this time (`20260101T000000Z`).
    fn authorization(&self, host: &str, time: &str, body: &[u8]) -> Result<String, Error> {
        let day = time.get(..8).ok_or("no day")?;
        let mut signed = "content-type;host;x-amz-date".to_owned();
        let mut session = String::new();
        if let Some(token) = &self.session {
            signed += ";x-amz-security-token";
            session = format!("x-amz-security-token:{token}\n");
        }
        signed += ";x-amz-target";
        let hash = hex(digest(&SHA256, body).as_ref());
        let canonical = format!(
            "POST\n/\n\ncontent-type:{CONTENT_TYPE}\nhost:{host}\nx-amz-date:{time}\n{session}x-amz-target:{TARGET}\n\
             \n{signed}\n{hash}"
        );
        let scope = format!("{day}/{}/dynamodb/aws4_request", self.region);
        let hash = hex(digest(&SHA256, canonical.as_bytes()).as_ref());
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
        let signature = hex(hmac::sign(&self.key(day)?, to_sign.as_bytes()).as_ref());
        let access_key = &self.access_key;
        Ok(format!(
            "AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={signed}, Signature={signature}"
        ))
    }
}

struct Tables {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    signer: Signer,
    endpoint: Uri,
    host: String,
    keys: String,
    credentials: String,
}

impl Tables {
    fn from_env() -> Result<Self, Error> {
        let signer = Signer::from_env()?;
        let endpoint = variable("AWS_ENDPOINT_URL_DYNAMODB");
        let endpoint = endpoint.or_else(|_| {
            Ok::<_, Error>(format!("https://dynamodb.{}.amazonaws.com", signer.region))
        })?;
        let endpoint: Uri = endpoint.parse()?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls()?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            signer,
            host: endpoint.authority().ok_or("no host")?.to_string(),
            endpoint,
            keys: variable("KEYS_TABLE")?,
            credentials: variable("CREDENTIALS_TABLE")?,
        })
    }

    /// The rows of the key and of the credential.
    async fn read(&self, wanted: &Wanted) -> Result<[Option<Item>; 2], Error> {
        let row = |name: &str, value: &str| {
            let key = json!({ "team_id": { "S": wanted.team }, name: { "S": value } });
            json!({ "Keys": [key], "ConsistentRead": true })
        };
        let body = json!({ "RequestItems": {
            &self.keys: row("record", &wanted.key_record),
            &self.credentials: row("credential_id", &wanted.credential),
        } });
        let body = serde_json::to_vec(&body)?;
        let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let authorization = self.signer.authorization(&self.host, &time, &body)?;
        let mut request = hyper::Request::builder()
            .method(Method::POST)
            .uri(&self.endpoint)
            .header("content-type", CONTENT_TYPE)
            .header("x-amz-target", TARGET)
            .header("x-amz-date", time)
            .header("authorization", authorization);
        if let Some(session) = &self.signer.session {
            request = request.header("x-amz-security-token", session);
        }
        let answer = self.client.request(request.body(body.into())?).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if status != StatusCode::OK {
            return Err(format!("DynamoDB answers {status}").into());
        }
        let mut answer: BatchGetItem = serde_json::from_slice(&body)?;
        let mut row = |table| answer.responses.remove(table)?.pop();
        Ok([row(&self.keys), row(&self.credentials)])
    }

    async fn handle(&self, request: Request) -> Result<Response<String>, Error> {
        let Some(wanted) = Wanted::of(&request) else {
            return refusal(StatusCode::UNAUTHORIZED);
        };
        let [key, credential] = self.read(&wanted).await?;
        let now = Timestamp::now().to_string();
        answer(key.as_ref(), credential.as_ref(), &now)
    }
}

/// Trusts the certificates in the file `SSL_CERT_FILE`, or else those of the web.
fn tls() -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    match variable("SSL_CERT_FILE") {
        Ok(file) => {
            for certificate in CertificateDer::pem_file_iter(file)? {
                roots.add(certificate?)?;
            }
        }
        Err(_) => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    Ok(ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let tables = &Tables::from_env()?;
    lambda_http::run(service_fn(|request| tables.handle(request))).await
}
