//! The wire between one Lambda and the three services that it calls. The wire records every call and injects the
//! planned faults at the sockets, so the production code needs no hooks for them.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::fault::Fault;

/// A logical clock for all wires. It orders calls of different Lambdas.
static CLOCK: AtomicU64 = AtomicU64::new(1);

/// The next tick of the logical clock.
pub(crate) fn next_tick() -> u64 {
    CLOCK.fetch_add(1, Ordering::SeqCst)
}

/// The path of Zoom's refresh endpoint.
pub(crate) const REFRESH_PATH: &str = "/oauth/token";

/// A service that a Lambda calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    DynamoDb,
    Kms,
    Zoom,
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The AWS operation or the Zoom path.
    pub(crate) operation: String,
    pub(crate) request: Bytes,
    pub(crate) started_at: u64,
    began: Instant,
    /// How long the caller waited for the service's own answer.
    pub(crate) waited: Option<Duration>,
    /// What the service did. `None` if the service did not receive the request.
    pub(crate) executed: Option<Executed>,
    /// When the service's own answer was sent to the caller.
    pub(crate) delivered_at: Option<u64>,
}

/// A request that a service executed, and the service's answer.
#[derive(Clone, Debug)]
pub(crate) struct Executed {
    pub(crate) at: u64,
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Call {
    /// Whether this is the write that commits a token pair.
    pub(crate) fn is_commit(&self) -> bool {
        self.operation == "UpdateItem" && contains(&self.request, b"#access_expires_at")
    }

    /// Whether this is the write that takes a lease.
    pub(crate) fn is_lease(&self) -> bool {
        self.operation == "UpdateItem" && contains(&self.request, b"#lease_until = :")
    }

    /// Whether the service executed the request with success.
    pub(crate) fn succeeded(&self) -> bool {
        self.executed
            .as_ref()
            .is_some_and(|executed| executed.status.is_success())
    }

    /// When the service executed the request.
    pub(crate) fn executed_at(&self) -> Option<u64> {
        self.executed.as_ref().map(|executed| executed.at)
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// How far the caller has come.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    calls_made: usize,
    faults_met: usize,
    /// A fault asks for the caller's death.
    must_crash: bool,
    /// The caller makes no more calls.
    finished: bool,
}

/// The requests that have left the caller and were not executed yet.
#[derive(Clone, Copy, Debug, Default)]
struct InFlight {
    /// How many there are, with those that are held.
    all: usize,
    /// How many a fault holds on the way to the service.
    held: usize,
}

/// The wire of one Lambda.
pub(crate) struct Wire {
    calls: Mutex<Vec<Call>>,
    planned: Mutex<Vec<(usize, Fault)>>,
    /// A fault for the first call of this operation.
    planned_by_name: Mutex<Option<(&'static str, Fault)>>,
    outage: Mutex<Option<(Service, Fault)>>,
    progress: watch::Sender<Progress>,
    released: watch::Sender<bool>,
    in_flight: watch::Sender<InFlight>,
}

impl Wire {
    pub(crate) fn new() -> Self {
        Self {
            calls: Mutex::default(),
            planned: Mutex::default(),
            planned_by_name: Mutex::default(),
            outage: Mutex::default(),
            progress: watch::Sender::default(),
            released: watch::Sender::new(false),
            in_flight: watch::Sender::default(),
        }
    }

    /// Clears the recorded calls and plans faults, each for the call with its number. Numbers start at 1.
    pub(crate) fn reset(&self, faults: Vec<(usize, Fault)>) {
        self.calls.lock().unwrap().clear();
        *self.planned.lock().unwrap() = faults;
        *self.planned_by_name.lock().unwrap() = None;
        *self.outage.lock().unwrap() = None;
        self.progress.send_replace(Progress::default());
        self.released.send_replace(false);
    }

    /// Plans a fault for the first call of an operation.
    pub(crate) fn plan_by_name(&self, operation: &'static str, fault: Fault) {
        *self.planned_by_name.lock().unwrap() = Some((operation, fault));
    }

    /// Removes all faults that have not started, and ends outages. Held requests and answers stay held.
    pub(crate) fn remove_faults(&self) {
        self.planned.lock().unwrap().clear();
        *self.planned_by_name.lock().unwrap() = None;
        *self.outage.lock().unwrap() = None;
    }

    /// Releases held requests and answers.
    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }

    /// Releases held requests, and waits until the services have executed them.
    pub(crate) async fn release_and_wait(&self) {
        self.release();
        let mut in_flight = self.in_flight.subscribe();
        in_flight.wait_for(|it| it.all == 0).await.unwrap();
    }

    /// Waits until the services have executed every request that is not held.
    pub(crate) async fn settle(&self) {
        let mut in_flight = self.in_flight.subscribe();
        let is_settled = |it: &InFlight| {
            let held = if *self.released.borrow() { 0 } else { it.held };
            it.all == held
        };
        in_flight.wait_for(is_settled).await.unwrap();
    }

    /// Whether no request is on its way to a service.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.borrow().all == 0
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// Waits until a call has met a fault, or the caller has finished.
    pub(crate) async fn wait_for_fault(&self) {
        self.wait_until(|it| it.faults_met > 0 || it.finished).await;
    }

    /// Waits until the caller has made this many calls, or has finished.
    pub(crate) async fn wait_for_calls(&self, calls: usize) {
        self.wait_until(|it| it.calls_made >= calls || it.finished)
            .await;
    }

    /// Waits until the caller has finished.
    pub(crate) async fn wait_for_finish(&self) {
        self.wait_until(|it| it.finished).await;
    }

    /// Waits until a fault asks for the caller's death.
    pub(crate) async fn wait_for_crash(&self) {
        self.wait_until(|it| it.must_crash).await;
    }

    /// Records that the caller makes no more calls.
    pub(crate) fn finish(&self) {
        self.progress.send_modify(|it| it.finished = true);
    }

    async fn wait_until(&self, condition: impl Fn(&Progress) -> bool) {
        let mut progress = self.progress.subscribe();
        progress.wait_for(|it| condition(it)).await.unwrap();
    }

    /// Records a new call: its index, and the fault that it meets.
    fn start_call(
        &self,
        service: Service,
        operation: String,
        request: Bytes,
    ) -> (usize, Option<Fault>) {
        let mut calls = self.calls.lock().unwrap();
        let number = calls.len() + 1;
        let planned = self.planned.lock().unwrap();
        let mut by_name = self.planned_by_name.lock().unwrap();
        let by_name = by_name.take_if(|(name, _)| *name == operation);
        let planned = planned.iter().find(|(at, _)| *at == number);
        let planned = planned.map(|(_, fault)| fault);
        let planned = planned.or(by_name.as_ref().map(|(_, fault)| fault));
        let mut outage = self.outage.lock().unwrap();
        let fault = match planned {
            Some(fault) => {
                if fault.is_outage() {
                    *outage = Some((service, *fault));
                }
                Some(*fault)
            }
            None => outage
                .filter(|(out, _)| *out == service)
                .map(|(_, fault)| fault),
        };
        calls.push(Call {
            operation,
            request,
            started_at: next_tick(),
            began: Instant::now(),
            waited: None,
            executed: None,
            delivered_at: None,
        });
        (number - 1, fault)
    }

    /// Tells those who wait for progress that a call was made. Runs after the effect of the call's fault.
    fn report_progress(&self, fault: Option<Fault>) {
        self.progress.send_modify(|it| {
            it.calls_made += 1;
            it.faults_met += usize::from(fault.is_some());
            it.must_crash |= fault.is_some_and(Fault::is_crash);
        });
    }

    fn update_call(&self, index: usize, update: impl FnOnce(&mut Call)) {
        // A reset may have cleared the call.
        if let Some(call) = self.calls.lock().unwrap().get_mut(index) {
            update(call);
        }
    }

    async fn wait_for_release(&self) {
        let mut released = self.released.subscribe();
        released.wait_for(|released| *released).await.unwrap();
    }
}

/// The client that forwards calls to the services. All wires share one client and its connection pool.
pub(crate) type UpstreamClient = Client<HttpConnector, Full<Bytes>>;

pub(crate) fn upstream_client() -> UpstreamClient {
    Client::builder(TokioExecutor::new()).build_http()
}

/// Starts a proxy in front of the service at `upstream`, as a task in `proxies`. Returns the proxy's base URL.
pub(crate) async fn start_proxy(
    proxies: &mut JoinSet<()>,
    wire: Arc<Wire>,
    service: Service,
    client: UpstreamClient,
    upstream: String,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let proxy = Proxy {
        wire,
        service,
        client,
        upstream,
    };
    proxies.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let proxy = proxy.clone();
            tokio::spawn(async move {
                let relay = service_fn(move |request| proxy.clone().relay(request));
                // An error from the relay closes the connection. Faults use this to drop it.
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), relay)
                    .await
                    .ok();
            });
        }
    });
    url
}

/// The error that closes a connection without an answer.
fn dropped() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

type HttpAnswer = Response<Full<Bytes>>;

/// A proxy between one Lambda and one service.
#[derive(Clone)]
struct Proxy {
    wire: Arc<Wire>,
    service: Service,
    client: UpstreamClient,
    upstream: String,
}

impl Proxy {
    async fn relay(self, request: Request<Incoming>) -> io::Result<HttpAnswer> {
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| dropped())?.to_bytes();
        let operation = match parts.headers.get("x-amz-target") {
            Some(target) => target.to_str().unwrap().rsplit('.').next().unwrap(),
            None => parts.uri.path(),
        };
        let operation = operation.to_owned();
        parts.uri = format!("{}{}", self.upstream, parts.uri).parse().unwrap();
        parts.headers.remove("host");
        let wire = self.wire.clone();
        let (index, fault) = wire.start_call(self.service, operation.clone(), body.clone());

        if let Some(answer) = self.block_request(&operation, fault).await {
            return answer;
        }
        wire.in_flight.send_modify(|it| it.all += 1);
        let request = Request::from_parts(parts, Full::from(body));
        // The request runs in its own task, so it reaches the service even if the caller dies.
        let forwarded = tokio::spawn(self.clone().forward(request, index, fault));
        let (parts, body) = forwarded.await.unwrap()?;
        if let Some(answer) = self.block_answer(&operation, fault).await {
            return answer;
        }
        wire.update_call(index, |call| {
            call.waited = Some(call.began.elapsed());
            call.delivered_at = Some(next_tick());
        });
        let mut answer = Response::from_parts(parts, Full::from(body));
        answer.headers_mut().remove("transfer-encoding");
        Ok(answer)
    }

    /// Faults that keep the request from the service. Returns what the caller gets instead.
    async fn block_request(
        &self,
        operation: &str,
        fault: Option<Fault>,
    ) -> Option<io::Result<HttpAnswer>> {
        match fault {
            Some(Fault::DropBefore | Fault::Outage) => {
                self.wire.report_progress(fault);
                Some(Err(dropped()))
            }
            Some(Fault::CrashBefore | Fault::Stall) => {
                self.wire.report_progress(fault);
                std::future::pending().await
            }
            Some(Fault::ErrorBefore | Fault::Throttle | Fault::Conflict) => {
                self.wire.report_progress(fault);
                Some(Ok(failure(self.service, operation, fault)))
            }
            _ => None,
        }
    }

    /// Faults that keep the answer from the caller, or that delay the answer. Returns what the caller gets instead.
    async fn block_answer(
        &self,
        operation: &str,
        fault: Option<Fault>,
    ) -> Option<io::Result<HttpAnswer>> {
        match fault {
            Some(Fault::DropAfter) => {
                self.wire.report_progress(fault);
                Some(Err(dropped()))
            }
            Some(Fault::ErrorAfter) => {
                self.wire.report_progress(fault);
                Some(Ok(failure(self.service, operation, fault)))
            }
            Some(Fault::CrashAfter | Fault::NoAnswer) => {
                self.wire.report_progress(fault);
                std::future::pending().await
            }
            Some(Fault::HoldAfter | Fault::HoldPastLease) => {
                self.wire.report_progress(fault);
                self.wire.wait_for_release().await;
                None
            }
            // `forward` has reported these two.
            Some(Fault::CrashInFlight) => std::future::pending().await,
            Some(Fault::HoldBefore) => None,
            _ => {
                self.wire.report_progress(fault);
                None
            }
        }
    }

    /// Sends the request to the service, after the release if the fault holds it.
    async fn forward(
        self,
        request: Request<Full<Bytes>>,
        index: usize,
        fault: Option<Fault>,
    ) -> io::Result<(hyper::http::response::Parts, Bytes)> {
        let wire = &self.wire;
        if matches!(fault, Some(Fault::HoldBefore | Fault::CrashInFlight)) {
            wire.report_progress(fault);
            wire.in_flight.send_modify(|it| it.held += 1);
            wire.wait_for_release().await;
            wire.in_flight.send_modify(|it| it.held -= 1);
        }
        let answer = async {
            let answer = self.client.request(request).await.map_err(|_| dropped())?;
            let (parts, body) = answer.into_parts();
            let body = body.collect().await.map_err(|_| dropped())?.to_bytes();
            let executed = Executed {
                at: next_tick(),
                status: parts.status,
                body: body.clone(),
            };
            wire.update_call(index, |call| call.executed = Some(executed));
            Ok((parts, body))
        };
        let answer = answer.await;
        wire.in_flight.send_modify(|it| it.all -= 1);
        answer
    }
}

/// The answer of a service that fails, limits the rate, or reports a conflict.
fn failure(service: Service, operation: &str, fault: Option<Fault>) -> HttpAnswer {
    let named = |name: &str| json!({ "__type": name, "message": "injected by the test" });
    let dynamodb = "com.amazonaws.dynamodb.v20120810#";
    let (status, body) = match (service, fault) {
        (Service::Zoom, Some(Fault::Throttle)) => (
            429,
            json!({ "code": 429, "message": "injected by the test" }),
        ),
        (Service::Zoom, _) => (
            500,
            json!({ "code": 500, "message": "injected by the test" }),
        ),
        (Service::Kms, Some(Fault::Throttle)) => (400, named("ThrottlingException")),
        (Service::Kms, _) => (500, named("KMSInternalException")),
        (Service::DynamoDb, Some(Fault::Throttle)) => (
            400,
            named(&format!("{dynamodb}ProvisionedThroughputExceededException")),
        ),
        (Service::DynamoDb, Some(Fault::Conflict)) if operation == "TransactWriteItems" => {
            let mut body = named(&format!("{dynamodb}TransactionCanceledException"));
            body["CancellationReasons"] =
                json!([{ "Code": "None" }, { "Code": "TransactionConflict" }]);
            (400, body)
        }
        (Service::DynamoDb, Some(Fault::Conflict)) => (
            400,
            named(&format!("{dynamodb}TransactionConflictException")),
        ),
        (Service::DynamoDb, _) => (500, named(&format!("{dynamodb}InternalServerError"))),
    };
    let mut answer = Response::new(Full::from(body.to_string()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}
