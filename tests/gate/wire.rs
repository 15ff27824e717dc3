//! The wire between one Lambda and the three services it calls: every call is written down, and the call with a given
//! number meets its fault. Faults are at the sockets; the shipping code has no seam for them.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

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

/// One clock for all wires: what began after what had ended.
static CLOCK: AtomicU64 = AtomicU64::new(1);

/// The next moment.
pub(crate) fn tick() -> u64 {
    CLOCK.fetch_add(1, Ordering::SeqCst)
}

/// Where refresh tokens are spent.
pub(crate) const TOKEN: &str = "/oauth/token";

/// Who is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    DynamoDb,
    Kms,
    Zoom,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection closes before the service sees anything.
    DropBefore,
    /// The service acts, and the connection closes before it is heard.
    DropAfter,
    /// A 500 instead.
    ErrorBefore,
    /// The service acts, and a 500 is its answer.
    ErrorAfter,
    /// The service is limiting calls: it does not act.
    Throttle,
    /// DynamoDB says that another transaction is under way.
    Conflict,
    /// The request reaches the service only when the wire is opened.
    HoldBefore,
    /// The service acts, and the answer comes when the wire is opened.
    HoldAfter,
    /// The same, and the caller sleeps with it: before the wire is opened, its time has passed and another has minted.
    Oversleep,
    /// The service acts, and no answer ever comes.
    Silence,
    /// The caller dies, and the service sees nothing.
    CrashBefore,
    /// The service acts, and the caller dies.
    CrashAfter,
    /// The caller dies with the request on its way: it arrives when the wire is opened.
    CrashLate,
    /// From here on the service is gone, until the wire is healed.
    Outage,
    /// The service takes this call and all that follow, and answers none.
    Stall,
}

impl Fault {
    /// Whether the caller dies of it.
    pub(crate) fn is_crash(self) -> bool {
        matches!(self, Self::CrashBefore | Self::CrashAfter | Self::CrashLate)
    }
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The AWS operation or Zoom path.
    pub(crate) operation: String,
    pub(crate) request: Bytes,
    pub(crate) began: u64,
    /// When the service had acted, with which status and answer.
    pub(crate) acted: Option<(u64, StatusCode, Bytes)>,
    /// When its own answer went back.
    pub(crate) delivered: Option<u64>,
}

impl Call {
    /// Whether it is the write that commits a pair.
    pub(crate) fn is_commit(&self) -> bool {
        self.operation == "UpdateItem" && contains(&self.request, b"#access_expires_at")
    }

    /// Whether the service did what it was asked.
    pub(crate) fn succeeded(&self) -> bool {
        self.acted
            .as_ref()
            .is_some_and(|(_, status, _)| status.is_success())
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// How far the caller has come.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// Calls that were made.
    calls: usize,
    /// How many of them met a fault.
    faults: usize,
    /// Whether it is to die.
    crashed: bool,
    /// Whether it makes no more calls.
    ended: bool,
}

/// The wire of one Lambda.
pub(crate) struct Wire {
    calls: Mutex<Vec<Call>>,
    plan: Mutex<Vec<(usize, Fault)>>,
    outage: Mutex<Option<(Service, Fault)>>,
    progress: watch::Sender<Progress>,
    open: watch::Sender<bool>,
    /// How many requests are at a service or held on the way there.
    under_way: watch::Sender<usize>,
}

impl Wire {
    pub(crate) fn new() -> Self {
        Self {
            calls: Mutex::default(),
            plan: Mutex::default(),
            outage: Mutex::default(),
            progress: watch::Sender::default(),
            open: watch::Sender::new(false),
            under_way: watch::Sender::new(0),
        }
    }

    /// Forgets everything and orders faults: each for the call with its number, counted from 1.
    pub(crate) fn reset(&self, plan: Vec<(usize, Fault)>) {
        self.calls.lock().unwrap().clear();
        *self.plan.lock().unwrap() = plan;
        *self.outage.lock().unwrap() = None;
        self.progress.send_replace(Progress::default());
        self.open.send_replace(false);
    }

    /// Ends every fault that has not begun, and outages. What is held stays held.
    pub(crate) fn heal(&self) {
        self.plan.lock().unwrap().clear();
        *self.outage.lock().unwrap() = None;
    }

    /// Lets go of what is held.
    pub(crate) fn release(&self) {
        self.open.send_replace(true);
    }

    /// Lets go of what is held, and waits until it has arrived.
    pub(crate) async fn open(&self) {
        self.release();
        self.quiet().await;
    }

    /// Whether no request is on its way to a service.
    pub(crate) fn is_quiet(&self) -> bool {
        *self.under_way.borrow() == 0
    }

    /// Waits until no request is on its way to a service.
    pub(crate) async fn quiet(&self) {
        let mut under_way = self.under_way.subscribe();
        under_way.wait_for(|count| *count == 0).await.unwrap();
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// Waits until a call has met a fault, or there will be no more calls.
    pub(crate) async fn struck(&self) {
        self.until(|it| it.faults > 0 || it.ended).await;
    }

    /// Waits until so many calls were made, or there will be no more.
    pub(crate) async fn reached(&self, calls: usize) {
        self.until(|it| it.calls >= calls || it.ended).await;
    }

    /// Waits until there will be no more calls.
    pub(crate) async fn ended(&self) {
        self.until(|it| it.ended).await;
    }

    /// Waits until the caller is to die.
    pub(crate) async fn crashed(&self) {
        self.until(|it| it.crashed).await;
    }

    /// Says that there will be no more calls.
    pub(crate) fn end(&self) {
        self.progress.send_modify(|it| it.ended = true);
    }

    async fn until(&self, there: impl Fn(&Progress) -> bool) {
        let mut progress = self.progress.subscribe();
        progress.wait_for(|it| there(it)).await.unwrap();
    }

    fn begin(&self, service: Service, operation: String, request: Bytes) -> (usize, Option<Fault>) {
        let mut calls = self.calls.lock().unwrap();
        let number = calls.len() + 1;
        let planned = self.plan.lock().unwrap();
        let planned = planned.iter().find(|(at, _)| *at == number);
        let mut outage = self.outage.lock().unwrap();
        let fault = match planned {
            Some((_, fault @ (Fault::Outage | Fault::Stall))) => {
                *outage = Some((service, *fault));
                Some(*fault)
            }
            Some((_, fault)) => Some(*fault),
            None => outage
                .filter(|(out, _)| *out == service)
                .map(|(_, fault)| fault),
        };
        calls.push(Call {
            operation,
            request,
            began: tick(),
            acted: None,
            delivered: None,
        });
        (number - 1, fault)
    }

    /// Says that a call was made, once its fault's effect is done.
    fn met(&self, fault: Option<Fault>) {
        self.progress.send_modify(|it| {
            it.calls += 1;
            it.faults += usize::from(fault.is_some());
            it.crashed |= fault.is_some_and(Fault::is_crash);
        });
    }

    fn note(&self, index: usize, what: impl FnOnce(&mut Call)) {
        // Forgotten, where a schedule has ended meanwhile.
        if let Some(call) = self.calls.lock().unwrap().get_mut(index) {
            what(call);
        }
    }

    async fn opened(&self) {
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open).await.unwrap();
    }
}

/// What calls the services themselves. All wires share it, and with it its connections.
pub(crate) type Upstream = Client<HttpConnector, Full<Bytes>>;

/// A new one.
pub(crate) fn upstream() -> Upstream {
    Client::builder(TokioExecutor::new()).build_http()
}

/// Starts a proxy in front of the service at `upstream` and answers its base URL. It ends with `proxies`.
pub(crate) async fn start(
    proxies: &mut JoinSet<()>,
    wire: Arc<Wire>,
    service: Service,
    client: Upstream,
    upstream: String,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    proxies.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (wire, client, upstream) = (wire.clone(), client.clone(), upstream.clone());
            tokio::spawn(async move {
                let relay = service_fn(move |request| {
                    relay(
                        wire.clone(),
                        service,
                        client.clone(),
                        upstream.clone(),
                        request,
                    )
                });
                // An error closes the connection: that is how a fault drops it.
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), relay)
                    .await
                    .ok();
            });
        }
    });
    url
}

/// The connection is to be closed without an answer.
fn dropped() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

type Answer = Response<Full<Bytes>>;

async fn relay(
    wire: Arc<Wire>,
    service: Service,
    client: Upstream,
    upstream: String,
    request: Request<Incoming>,
) -> io::Result<Answer> {
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| dropped())?.to_bytes();
    let operation = match parts.headers.get("x-amz-target") {
        Some(target) => target.to_str().unwrap().rsplit('.').next().unwrap(),
        None => parts.uri.path(),
    };
    let operation = operation.to_owned();
    parts.uri = format!("{upstream}{}", parts.uri).parse().unwrap();
    parts.headers.remove("host");
    let (index, fault) = wire.begin(service, operation.clone(), body.clone());
    let request = Request::from_parts(parts, Full::from(body));

    // A task of its own: what has left the caller arrives, whatever becomes of the caller.
    let at_service = {
        let wire = wire.clone();
        async move {
            if matches!(fault, Some(Fault::HoldBefore | Fault::CrashLate)) {
                wire.met(fault);
                wire.opened().await;
            }
            let answer = async {
                let answer = client.request(request).await.map_err(|_| dropped())?;
                let (parts, body) = answer.into_parts();
                let body = body.collect().await.map_err(|_| dropped())?.to_bytes();
                let acted = (tick(), parts.status, body.clone());
                wire.note(index, |call| call.acted = Some(acted));
                Ok::<_, io::Error>((parts, body))
            };
            let answer = answer.await;
            wire.under_way.send_modify(|count| *count -= 1);
            answer
        }
    };
    let (parts, body) = match fault {
        Some(Fault::DropBefore | Fault::Outage) => {
            wire.met(fault);
            return Err(dropped());
        }
        Some(Fault::CrashBefore | Fault::Stall) => {
            wire.met(fault);
            return std::future::pending().await;
        }
        Some(Fault::ErrorBefore | Fault::Throttle | Fault::Conflict) => {
            wire.met(fault);
            return Ok(failure(service, &operation, fault));
        }
        _ => {
            wire.under_way.send_modify(|count| *count += 1);
            tokio::spawn(at_service).await.unwrap()?
        }
    };
    match fault {
        Some(Fault::DropAfter) => {
            wire.met(fault);
            return Err(dropped());
        }
        Some(Fault::ErrorAfter) => {
            wire.met(fault);
            return Ok(failure(service, &operation, fault));
        }
        Some(Fault::CrashAfter | Fault::Silence) => {
            wire.met(fault);
            return std::future::pending().await;
        }
        Some(Fault::HoldAfter | Fault::Oversleep) => {
            wire.met(fault);
            wire.opened().await;
        }
        Some(Fault::CrashLate) => return std::future::pending().await,
        Some(Fault::HoldBefore) => {}
        _ => wire.met(fault),
    }
    wire.note(index, |call| call.delivered = Some(tick()));
    let mut answer = Response::from_parts(parts, Full::from(body));
    answer.headers_mut().remove("transfer-encoding");
    Ok(answer)
}

/// What a service says that fails, limits or is contended.
fn failure(service: Service, operation: &str, fault: Option<Fault>) -> Answer {
    let named = |name: &str| json!({ "__type": name, "message": "as ordered" });
    let dynamodb = "com.amazonaws.dynamodb.v20120810#";
    let (status, body) = match (service, fault) {
        (Service::Zoom, Some(Fault::Throttle)) => {
            (429, json!({ "code": 429, "message": "as ordered" }))
        }
        (Service::Zoom, _) => (500, json!({ "code": 500, "message": "as ordered" })),
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
