//! A local API Gateway: routes requests, turns HTTP into REST proxy events and back, and answers where no function
//! does. It also runs the schedule, the streams and the queue.

mod background;
mod event;
mod functions;
mod server;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ::functions::endpoints::{
    API_TIME_OUT, KeepAlive, NotifyDeliver, NotifyEnqueue, Purge, REFRESH_TIME_OUT,
};
use ::functions::http::error::ApiError;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::request::Parts;
use axum::http::{Method, Response};
use lambda_http::{Context, LambdaEvent};
use percent_encoding::percent_decode_str;
use shared::timestamp::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::event::{accepts_gzip, event, own_answer, read, response};
use self::functions::{Deployed, Routed, routed};
pub use self::functions::{FunctionEnvironment, Notifications, Services};
use self::server::Limits;

/// The gateway in front of the functions.
#[derive(Clone, Debug)]
pub struct Gateway {
    services: Arc<Services>,
    resources: Arc<matchit::Router<Vec<Routed>>>,
    keep_alive: Arc<Deployed<KeepAlive>>,
    purge: Arc<Deployed<Purge>>,
    notify_enqueue: Arc<Deployed<NotifyEnqueue>>,
    notify_deliver: Arc<Deployed<NotifyDeliver>>,
    invocations: TaskTracker,
}

/// The functions by path. The functions of one path differ by method.
fn resources() -> matchit::Router<Vec<Routed>> {
    let mut resources: Vec<Vec<Routed>> = Vec::new();
    for function in routed() {
        let same_path = |known: &&mut Vec<Routed>| known.iter().any(|it| it.path == function.path);
        match resources.iter_mut().find(same_path) {
            Some(known) => known.push(function),
            None => resources.push(vec![function]),
        }
    }
    let mut router = matchit::Router::new();
    for resource in resources {
        if let Some(path) = resource.first().map(|function| function.path) {
            // API Gateway writes `{name+}` for a parameter that takes the rest of the path.
            let path = match path.strip_suffix("+}").and_then(|it| it.rsplit_once('{')) {
                Some((before, name)) => format!("{before}{{*{name}}}"),
                None => path.to_owned(),
            };
            // Fails where two paths cannot be told apart. Then the second path is not found, and its tests fail.
            router.insert(path, resource).ok();
        }
    }
    router
}

impl Gateway {
    /// A gateway whose functions have not been called yet.
    pub fn new(services: Services) -> Self {
        Self {
            services: Arc::new(services),
            resources: Arc::new(resources()),
            keep_alive: Arc::default(),
            purge: Arc::default(),
            notify_enqueue: Arc::default(),
            notify_deliver: Arc::default(),
            invocations: TaskTracker::new(),
        }
    }

    /// The functions as a router.
    pub fn router(&self) -> Router {
        Router::new().fallback(handle).with_state(self.clone())
    }

    /// Serves `router` until `shutdown`. Then waits for the invocations that are running, as long as one
    /// may take. Does not wait for clients that send half a request and stay.
    pub async fn serve(
        self,
        listener: TcpListener,
        router: Router,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) {
        let (stop, mut stopped) = watch::channel(false);
        let served = server::serve(listener, router, Limits::DEFAULT, async move {
            shutdown.await;
            stop.send_replace(true);
        });
        let drained = async {
            // An error means that the server has ended. Then nothing waits here.
            stopped.wait_for(|stopped| *stopped).await.ok();
            tokio::time::sleep(REFRESH_TIME_OUT).await;
        };
        tokio::select! {
            () = served => {}
            () = drained => {}
        }
        self.invocations.close();
        self.invocations.wait().await;
    }

    /// The function behind a method and a path, and the path's parameters.
    fn route(&self, method: &Method, path: &str) -> Option<(Routed, HashMap<String, String>)> {
        let found = self.resources.at(path).ok()?;
        let mut functions = found.value.iter();
        let function = functions.find(|function| function.answers(method.as_str()))?;
        let parameters = found.params.iter().map(|(name, value)| {
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            (name.to_owned(), value)
        });
        Some((function.clone(), parameters.collect()))
    }

    /// Answers one request, whose body has been read, when its function is done. Dropping the future is a crash of the
    /// function.
    pub async fn answer(&self, parts: Parts, body: Vec<u8>) -> Response<Body> {
        self.answer_within(parts, body, Duration::MAX).await
    }

    /// As [`Self::answer`], for a function whose time-out is at most `max_time_out`.
    pub async fn answer_within(
        &self,
        parts: Parts,
        body: Vec<u8>,
        max_time_out: Duration,
    ) -> Response<Body> {
        let request_id = Uuid::new_v4().to_string();
        let Some((function, parameters)) = self.route(&parts.method, parts.uri.path()) else {
            return own_answer(&ApiError::NoRoute, &request_id);
        };
        let accepts_gzip = accepts_gzip(&parts);
        let event = event(&parts, function.path, &parameters, &body, &request_id);
        let Ok(event) = serde_json::from_value(event) else {
            return own_answer(
                &ApiError::internal("an event of our own is unreadable"),
                &request_id,
            );
        };
        let mut context = Context::default();
        request_id.clone_into(&mut context.request_id);
        let time_out = function.time_out.min(max_time_out);
        let deadline = Timestamp::now().plus(time_out);
        context.deadline = u64::try_from(deadline.as_millis()).unwrap_or(0);
        let invocation = function.invoke(&self.services, LambdaEvent::new(event, context));
        match tokio::time::timeout(time_out, invocation).await {
            Ok(answer) => response(answer, accepts_gzip),
            Err(_) => own_answer(&ApiError::FunctionTimeout, &request_id),
        }
    }
}

/// Each invocation is a task of its own. The task outlives the client's connection and the gateway's time-out, as in
/// Lambda. So a client that hangs up loses no grant.
async fn handle(State(gateway): State<Gateway>, request: HttpRequest) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let failed = |error| own_answer(&error, &Uuid::new_v4().to_string());
    let body = match tokio::time::timeout(API_TIME_OUT, read(body)).await {
        Ok(Ok(body)) => body,
        Ok(Err(error)) => return failed(error),
        Err(_) => {
            return failed(ApiError::validation(
                "body",
                "must arrive within 29 seconds",
            ));
        }
    };
    let invocations = gateway.invocations.clone();
    let invocation = invocations.spawn(async move { gateway.answer(parts, body).await });
    match tokio::time::timeout(API_TIME_OUT, invocation).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => failed(ApiError::internal("the invocation died")),
        Err(_) => failed(ApiError::FunctionTimeout),
    }
}
