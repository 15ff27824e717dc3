//! What API Gateway does: routes, turns HTTP into a REST proxy event and back, and answers by itself where
//! no function is reached.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use functions::http::error::ApiError;
use functions::http::reply;
use functions::http::request::Event;
use functions::runtime::invoke;
use functions::{background, connect, credentials, token_urls, tokens, zoom_apps};
use futures_util::StreamExt;
use lambda_http::aws_lambda_events::apigw::ApiGatewayProxyResponse;
use lambda_http::{Context, LambdaEvent};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use shared::cause::chain;
use shared::config::{Aws, RESTORABLE};
use shared::envelope::Envelope;
use shared::grants::Grants;
use shared::stores::{self, Credentials, Events, Keys, RETENTION, Requests, Secrets, TokenUrls};
use shared::timestamp::Timestamp;
use shared::zoom::{Zoom, webhook};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use url::{Url, form_urlencoded};
use uuid::Uuid;

use crate::engine::Stream;
use crate::tables::Names;

/// What API Gateway takes at most.
const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;
/// When API Gateway gives up on a function.
const PATIENCE: Duration = Duration::from_secs(29);
/// How often the schedule keeps grants alive.
const EVERY: Duration = Duration::from_hours(1);
/// How often the stream is looked at.
const POLL: Duration = Duration::from_secs(1);
/// When a function is stopped that goes on after API Gateway gave up: one that refreshes.
const LONGEST: Duration = Duration::from_secs(90);

/// Everything the functions are given.
#[derive(Debug)]
pub struct Services {
    keys: Keys,
    requests: Requests,
    credentials: Credentials,
    secrets: Secrets,
    events: Events,
    token_urls: TokenUrls,
    envelope: Envelope,
    zoom: Zoom,
    grants: Grants,
    webhooks: zoom_apps::webhook::Opened,
    public: Url,
}

impl Services {
    /// Builds the clients, as each Lambda's `main` does. `public` is where callers reach the gateway.
    pub fn new(aws: &Aws, tables: &Names, envelope_key: &str, zoom: Zoom, public: Url) -> Self {
        let dynamodb = aws.dynamodb();
        let credentials = Credentials::new(dynamodb.clone(), tables.credentials.clone());
        let secrets = Secrets::new(dynamodb.clone(), tables.secrets.clone());
        let envelope = Envelope::new(aws.kms(), envelope_key.to_owned(), Secrets::NAME);
        let events = Events::new(dynamodb.clone(), tables.events.clone(), RETENTION);
        Self {
            keys: Keys::new(dynamodb.clone(), tables.keys.clone()),
            requests: Requests::new(dynamodb.clone(), tables.requests.clone()),
            token_urls: TokenUrls::new(dynamodb, tables.token_urls.clone()),
            grants: Grants::new(
                credentials.clone(),
                secrets.clone(),
                events.clone(),
                envelope.clone(),
                zoom.clone(),
                true,
            ),
            credentials,
            secrets,
            events,
            envelope,
            zoom,
            webhooks: zoom_apps::webhook::Opened::default(),
            public,
        }
    }
}

/// The gateway in front of the functions.
#[derive(Clone, Debug)]
pub struct Gateway {
    services: Arc<Services>,
    resources: Arc<matchit::Router<Resource>>,
    invocations: TaskTracker,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Create,
    List,
    Get,
    Update,
    Delete,
    Restore,
    Mint,
    ListEvents,
    Check,
    CreateTokenUrl,
    ListTokenUrls,
    DeleteTokenUrl,
    TokenUrl,
    PutZoomApp,
    GetZoomApp,
    DeleteZoomApp,
    RotateSecret,
    ZoomWebhook,
    CreateConnectSession,
    GetConnectSession,
    Connect,
    ConnectCallback,
}

/// Every route, and the function behind it.
const ROUTES: [(&str, Function); 22] = [
    (credentials::create::ROUTE, Function::Create),
    (credentials::list::ROUTE, Function::List),
    (credentials::get::ROUTE, Function::Get),
    (credentials::update::ROUTE, Function::Update),
    (credentials::delete::ROUTE, Function::Delete),
    (credentials::restore::ROUTE, Function::Restore),
    (tokens::mint::ROUTE, Function::Mint),
    (credentials::events::ROUTE, Function::ListEvents),
    (credentials::check::ROUTE, Function::Check),
    (token_urls::create::ROUTE, Function::CreateTokenUrl),
    (token_urls::list::ROUTE, Function::ListTokenUrls),
    (token_urls::delete::ROUTE, Function::DeleteTokenUrl),
    (token_urls::call::ROUTE, Function::TokenUrl),
    (zoom_apps::put::ROUTE, Function::PutZoomApp),
    (zoom_apps::get::ROUTE, Function::GetZoomApp),
    (zoom_apps::delete::ROUTE, Function::DeleteZoomApp),
    (zoom_apps::rotate_secret::ROUTE, Function::RotateSecret),
    (zoom_apps::webhook::ROUTE, Function::ZoomWebhook),
    (connect::create::ROUTE, Function::CreateConnectSession),
    (connect::get::ROUTE, Function::GetConnectSession),
    (connect::page::ROUTE, Function::Connect),
    (connect::callback::ROUTE, Function::ConnectCallback),
];

impl Function {
    /// When it is stopped, as the template has it.
    fn time_out(self) -> Duration {
        match self {
            Self::Mint | Self::Check | Self::TokenUrl => LONGEST,
            Self::Create
            | Self::List
            | Self::Get
            | Self::Update
            | Self::Delete
            | Self::Restore
            | Self::ListEvents
            | Self::CreateTokenUrl
            | Self::ListTokenUrls
            | Self::DeleteTokenUrl
            | Self::PutZoomApp
            | Self::GetZoomApp
            | Self::DeleteZoomApp
            | Self::RotateSecret
            | Self::ZoomWebhook
            | Self::CreateConnectSession
            | Self::GetConnectSession
            | Self::Connect
            | Self::ConnectCallback => PATIENCE,
        }
    }
}

/// What a path leads to.
#[derive(Clone, Debug)]
struct Resource {
    /// The path, with names in place of its parameters.
    path: &'static str,
    /// By method.
    functions: Vec<(&'static str, Function)>,
}

fn resources() -> matchit::Router<Resource> {
    let mut resources: Vec<Resource> = Vec::new();
    for (route, function) in ROUTES {
        let (method, path) = route.split_once(' ').unwrap_or(("GET", route));
        match resources.iter_mut().find(|known| known.path == path) {
            Some(known) => known.functions.push((method, function)),
            None => resources.push(Resource {
                path,
                functions: vec![(method, function)],
            }),
        }
    }
    let mut router = matchit::Router::new();
    for resource in resources {
        // Fails where two paths cannot be told apart; then the later is not found, and its tests fail.
        router.insert(resource.path, resource).ok();
    }
    router
}

/// Where one request goes.
struct Routed {
    function: Function,
    resource: &'static str,
    parameters: HashMap<String, String>,
}

impl Gateway {
    /// A gateway that has served nothing yet.
    pub fn new(services: Services) -> Self {
        Self {
            services: Arc::new(services),
            resources: Arc::new(resources()),
            invocations: TaskTracker::new(),
        }
    }

    /// Serves until `shutdown`, together with `pages`; then waits for the invocations under way, as long as one
    /// may take, but not for clients that send half a request and stay.
    pub async fn serve(
        self,
        listener: TcpListener,
        pages: Router,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let functions = Router::new().fallback(handle).with_state(self.clone());
        let (stop, mut stopped) = watch::channel(false);
        let served =
            axum::serve(listener, functions.merge(pages)).with_graceful_shutdown(async move {
                shutdown.await;
                stop.send_replace(true);
            });
        let drained = async {
            // An error means that the server has ended, and then this is not asked any more.
            stopped.wait_for(|stopped| *stopped).await.ok();
            tokio::time::sleep(LONGEST).await;
        };
        tokio::select! {
            served = served => served?,
            () = drained => {}
        }
        self.invocations.close();
        self.invocations.wait().await;
        Ok(())
    }

    fn route(&self, method: &Method, path: &str) -> Option<Routed> {
        let found = self.resources.at(path).ok()?;
        let (_, function) = found
            .value
            .functions
            .iter()
            .find(|(known, _)| *known == "ANY" || *known == method.as_str())?;
        let parameters = found.params.iter().map(|(name, value)| {
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            (name.to_owned(), value)
        });
        Some(Routed {
            function: *function,
            resource: found.value.path,
            parameters: parameters.collect(),
        })
    }

    /// Answers one request, its body already read, once its function is done. Dropping the future is a crash of
    /// the function.
    pub async fn answer(&self, parts: Parts, body: Vec<u8>) -> Response<Body> {
        let request_id = Uuid::new_v4().to_string();
        let Some(routed) = self.route(&parts.method, parts.uri.path()) else {
            return own_answer(&ApiError::NoRoute, &request_id);
        };
        let Ok(event) = serde_json::from_value(event(&parts, &routed, &body, &request_id)) else {
            return own_answer(
                &ApiError::internal("an event of our own is unreadable"),
                &request_id,
            );
        };
        let invocation = self.invoke(routed.function, event, &request_id);
        match tokio::time::timeout(routed.function.time_out(), invocation).await {
            Ok(answer) => returned(answer),
            Err(_) => own_answer(&ApiError::FunctionTimeout, &request_id),
        }
    }

    /// What the schedule invokes: refreshes what has not been used for `unused`, and says what it did.
    pub async fn keep_alive(
        &self,
        unused: Duration,
        time_out: Duration,
    ) -> Result<background::keep_alive::Report, stores::Error> {
        let deadline = Timestamp::now().plus(time_out);
        let id = Uuid::new_v4().to_string();
        let Services { keys, grants, .. } = &*self.services;
        background::keep_alive::handle(keys, grants, unused, deadline, &id).await
    }

    /// What the stream of `credentials` invokes, with a batch as Lambda gives it: whether all of it was seen to.
    pub async fn purge(&self, batch: Value) -> Result<bool, serde_json::Error> {
        self.purge_within(batch, PATIENCE).await
    }

    /// As [`Self::purge`], in so much time.
    pub async fn purge_within(
        &self,
        batch: Value,
        time_out: Duration,
    ) -> Result<bool, serde_json::Error> {
        let batch = serde_json::from_value(batch)?;
        let Services {
            credentials,
            secrets,
            token_urls,
            ..
        } = &*self.services;
        let id = Uuid::new_v4().to_string();
        let deadline = Timestamp::now().plus(time_out);
        let report =
            background::purge::handle(credentials, secrets, token_urls, batch, deadline, &id).await;
        Ok(report.batch_item_failures.is_empty())
    }

    /// Feeds the stream to the function that sees to what deleted credentials leave behind. Dropping the future ends
    /// it; what it was at is done again.
    pub async fn follow(self, mut stream: Stream) {
        loop {
            tokio::time::sleep(POLL).await;
            let seen_to = match stream.batch() {
                Ok(None) => continue,
                Ok(Some(batch)) => self.purge(batch).await,
                Err(error) => {
                    tracing::error!(cause = chain(&error), "the stream cannot be read");
                    return;
                }
            };
            match seen_to {
                Ok(true) => stream.advance(),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(
                        cause = chain(&error),
                        "a record of the stream is unreadable"
                    );
                    stream.advance();
                }
            }
        }
    }

    /// The schedule: every hour. Dropping the future ends it, and no run that is under way.
    pub async fn schedule(self, unused: Duration) {
        loop {
            tokio::time::sleep(EVERY).await;
            let gateway = self.clone();
            let run = self.invocations.spawn(async move {
                if let Err(error) = gateway.keep_alive(unused, LONGEST).await {
                    tracing::error!(cause = chain(&error), "grants are not kept alive");
                }
            });
            // A panic of it has been logged.
            run.await.ok();
        }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "a list: which powers each function is given"
    )]
    async fn invoke(
        &self,
        function: Function,
        event: Event,
        request_id: &str,
    ) -> ApiGatewayProxyResponse {
        let mut context = Context::default();
        request_id.clone_into(&mut context.request_id);
        let deadline = Timestamp::now().plus(function.time_out());
        context.deadline = u64::try_from(deadline.as_millis()).unwrap_or(0);
        let event = LambdaEvent::new(event, context);
        let Services {
            keys,
            requests,
            credentials,
            secrets,
            events,
            token_urls,
            envelope,
            zoom,
            grants,
            webhooks,
            public,
        } = &*self.services;
        macro_rules! run {
            ($($function:ident)::+, $($power:expr),+) => {
                invoke($($function)::+::ROUTE, event, async |request| {
                    $($function)::+::handle($($power,)+ &request).await
                })
                .await
            };
        }
        match function {
            Function::Create => run!(
                credentials::create,
                keys,
                requests,
                credentials,
                secrets,
                events,
                envelope,
                zoom
            ),
            Function::List => run!(credentials::list, keys, credentials),
            Function::Get => run!(credentials::get, keys, credentials),
            Function::Update => run!(
                credentials::update,
                keys,
                requests,
                credentials,
                secrets,
                events,
                envelope,
                zoom
            ),
            Function::Delete => run!(credentials::delete, keys, requests, credentials, RESTORABLE),
            Function::Restore => run!(
                credentials::restore,
                keys,
                requests,
                credentials,
                secrets,
                events
            ),
            Function::Mint => run!(tokens::mint, keys, requests, grants),
            Function::ListEvents => run!(credentials::events, keys, credentials, events),
            Function::Check => run!(credentials::check, keys, requests, grants),
            Function::CreateTokenUrl => run!(
                token_urls::create,
                keys,
                requests,
                credentials,
                token_urls,
                Some(public)
            ),
            Function::ListTokenUrls => run!(token_urls::list, keys, credentials, token_urls),
            Function::DeleteTokenUrl => run!(token_urls::delete, keys, requests, token_urls),
            Function::TokenUrl => run!(token_urls::call, keys, requests, token_urls, grants),
            Function::PutZoomApp => run!(
                zoom_apps::put,
                keys,
                requests,
                secrets,
                envelope,
                zoom,
                Some(public)
            ),
            Function::GetZoomApp => run!(zoom_apps::get, keys, secrets, Some(public)),
            Function::DeleteZoomApp => run!(zoom_apps::delete, keys, requests, secrets),
            Function::RotateSecret => run!(
                zoom_apps::rotate_secret,
                keys,
                requests,
                credentials,
                secrets,
                envelope,
                zoom
            ),
            Function::CreateConnectSession => run!(
                connect::create,
                keys,
                requests,
                credentials,
                secrets,
                envelope,
                Some(public)
            ),
            Function::GetConnectSession => run!(connect::get, keys, requests, credentials),
            Function::Connect => run!(connect::page, requests, &zoom.consent_page()),
            Function::ConnectCallback => run!(
                connect::callback,
                requests,
                credentials,
                secrets,
                events,
                envelope,
                zoom
            ),
            Function::ZoomWebhook => run!(
                zoom_apps::webhook,
                credentials,
                secrets,
                events,
                envelope,
                webhooks,
                webhook::WINDOW
            ),
        }
    }
}

/// Each invocation is a task of its own, which outlives the client's connection and the gateway's patience, as in
/// Lambda: a client that hangs up loses no grant.
async fn handle(State(gateway): State<Gateway>, request: HttpRequest) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let of_its_own = |error| own_answer(&error, &Uuid::new_v4().to_string());
    let body = match read(body).await {
        Ok(body) => body,
        Err(error) => return of_its_own(error),
    };
    let invocations = gateway.invocations.clone();
    let invocation = invocations.spawn(async move { gateway.answer(parts, body).await });
    match tokio::time::timeout(PATIENCE, invocation).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => of_its_own(ApiError::internal("the invocation died")),
        Err(_) => of_its_own(ApiError::FunctionTimeout),
    }
}

/// The whole body. Too long a one is read to its end too, so that the client hears why, but not kept.
async fn read(body: Body) -> Result<Vec<u8>, ApiError> {
    let mut kept = Vec::new();
    let mut length = 0_usize;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| ApiError::validation("body", "must arrive whole"))?;
        length = length.saturating_add(chunk.len());
        if length <= MAX_BODY_BYTES {
            kept.extend_from_slice(&chunk);
        }
    }
    if length <= MAX_BODY_BYTES {
        Ok(kept)
    } else {
        Err(ApiError::BodyTooLarge)
    }
}

/// The event of a REST API's proxy integration.
fn event(parts: &Parts, routed: &Routed, body: &[u8], request_id: &str) -> Value {
    let (method, path, query) = (parts.method.as_str(), parts.uri.path(), parts.uri.query());
    let mut single_headers = HashMap::new();
    let mut multi_headers: HashMap<&str, Vec<String>> = HashMap::new();
    for (name, value) in &parts.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        single_headers.insert(name.as_str(), value.clone());
        multi_headers.entry(name.as_str()).or_default().push(value);
    }
    let mut single_query = HashMap::new();
    let mut multi_query: HashMap<String, Vec<String>> = HashMap::new();
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned() {
        single_query.insert(name.clone(), value.clone());
        multi_query.entry(name).or_default().push(value);
    }
    let text = str::from_utf8(body);
    let (resource, parameters) = (routed.resource, &routed.parameters);
    json!({
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": single_headers,
        "multiValueHeaders": multi_headers,
        "queryStringParameters": query.map(|_| single_query),
        "multiValueQueryStringParameters": query.map(|_| multi_query),
        "pathParameters": (!parameters.is_empty()).then_some(parameters),
        "stageVariables": null,
        "requestContext": {
            "requestId": request_id,
            "resourcePath": resource,
            "httpMethod": method,
            "stage": "local",
            "identity": { "sourceIp": "127.0.0.1" },
        },
        "body": (!body.is_empty()).then(|| text.map_or_else(|_| STANDARD.encode(body), str::to_owned)),
        "isBase64Encoded": text.is_err(),
    })
}

fn returned(answer: ApiGatewayProxyResponse) -> Response<Body> {
    let body = answer.body.map_or_else(Vec::new, |body| body.to_vec());
    let mut response = Response::new(Body::from(body));
    let status = u16::try_from(answer.status_code)
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok());
    *response.status_mut() = status.unwrap_or(StatusCode::BAD_GATEWAY);
    *response.headers_mut() = answer.multi_value_headers;
    response
}

/// What the gateway says where no function is reached, in the functions' envelope.
fn own_answer(error: &ApiError, request_id: &str) -> Response<Body> {
    tracing::info!(
        request_id,
        status = error.status().as_u16(),
        code = error.code(),
        "the gateway's own answer"
    );
    let mut response = reply::error(error).map(Body::from);
    response.headers_mut().extend(reply::security_headers());
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response
            .headers_mut()
            .insert(HeaderName::from_static("x-request-id"), id);
    }
    response
}
