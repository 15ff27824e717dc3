//! A proxy on the wire between the handlers and one service they call: it writes every call down, and
//! orders faults. Faults are injected here, at the sockets; the shipping code has no seam for them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::record;

/// Who is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    DynamoDb,
    Kms,
    Zoom,
}

/// What happens to a call instead of its being answered.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The connection closes before the service sees anything.
    DropBefore,
    /// The service acts, and the connection closes before it is heard.
    DropAfter,
    /// The service does not see it, and this is the answer.
    Answer(StatusCode, String),
    /// The service sees it only when told. [`Wire::stalled`] tells when it waits.
    HoldBefore(Arc<Notify>),
    /// The service acts, and its answer is changed on the way.
    Rewrite(fn(&mut Response<Bytes>)),
    /// The service acts, and the answer never comes. [`Wire::stalled`] tells when.
    Stall,
    /// The answer comes this much later.
    Delay(Duration),
    /// The service acts, and the answer comes when told. [`Wire::stalled`] tells when it waits.
    Hold(Arc<Notify>),
}

/// Which calls meet a fault.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) service: Option<Service>,
    /// The AWS operation or Zoom path.
    pub(crate) operation: Option<&'static str>,
    /// Only the call with this number, counted from 1 among those that match, since the rule was made.
    pub(crate) nth: Option<u64>,
    pub(crate) fault: Fault,
}

/// One call, in the order in which it came.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) service: Service,
    pub(crate) operation: String,
    /// The request's body, as it went over the wire.
    pub(crate) body: Bytes,
    /// The path and query.
    pub(crate) target: String,
    began: u64,
    ended: Option<u64>,
}

/// All calls to all services, and the faults they meet.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    clock: AtomicU64,
    calls: Mutex<Vec<Call>>,
    rules: Mutex<Vec<(Rule, u64)>>,
    /// The faults of all calls to a service whose body contains a text.
    texts: Mutex<Vec<(Service, String, Fault)>>,
    stalled: Notify,
    arrived: Notify,
}

impl Wire {
    /// The calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// How many calls went to a service.
    pub(crate) fn count(&self, service: Service) -> usize {
        self.calls()
            .iter()
            .filter(|call| call.service == service)
            .count()
    }

    /// The names of the calls to a service, in order.
    pub(crate) fn operations(&self, service: Service) -> Vec<String> {
        let calls = self
            .calls()
            .into_iter()
            .filter(|call| call.service == service);
        calls.map(|call| call.operation).collect()
    }

    /// Forgets the calls and the faults.
    pub(crate) fn reset(&self) {
        self.calls.lock().unwrap().clear();
        self.heal();
    }

    /// Forgets the faults.
    pub(crate) fn heal(&self) {
        self.rules.lock().unwrap().clear();
        self.texts.lock().unwrap().clear();
    }

    /// Orders a fault. The first rule that matches a call is met.
    pub(crate) fn inject(&self, rule: Rule) {
        self.rules.lock().unwrap().push((rule, 0));
    }

    /// Every call to a service meets a fault.
    pub(crate) fn break_service(&self, service: Service, fault: Fault) {
        self.inject(Rule {
            service: Some(service),
            operation: None,
            nth: None,
            fault,
        });
    }

    /// Every call to a service whose body contains a text meets a fault.
    pub(crate) fn break_calls_with(&self, service: Service, text: String, fault: Fault) {
        self.texts.lock().unwrap().push((service, text, fault));
    }

    /// Waits until a call has met [`Fault::Stall`].
    pub(crate) async fn stalled(&self) {
        self.stalled.notified().await;
    }

    /// The longest chain of calls to `services` each of which began after another had ended: round trips in
    /// series. Meaningful where every answer is delayed, so that parallel calls overlap.
    pub(crate) fn in_series(&self, services: &[Service]) -> usize {
        let calls: Vec<Call> = self
            .calls()
            .into_iter()
            .filter(|call| services.contains(&call.service))
            .collect();
        let mut depths: Vec<usize> = Vec::new();
        for call in &calls {
            let before = calls
                .iter()
                .zip(&depths)
                .filter(|(other, _)| other.ended.is_some_and(|end| end < call.began));
            let depth = 1 + before.map(|(_, depth)| *depth).max().unwrap_or(0);
            depths.push(depth);
        }
        depths.into_iter().max().unwrap_or(0)
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn begin(&self, service: Service, operation: String, target: String, body: Bytes) -> usize {
        let mut calls = self.calls.lock().unwrap();
        calls.push(Call {
            service,
            operation,
            body,
            target,
            began: self.tick(),
            ended: None,
        });
        self.arrived.notify_waiters();
        calls.len() - 1
    }

    fn end(&self, index: usize) {
        let ended = self.tick();
        // The calls may have been forgotten meanwhile.
        if let Some(call) = self.calls.lock().unwrap().get_mut(index) {
            call.ended = Some(ended);
        }
    }

    fn met(&self, service: Service, operation: &str, body: &[u8]) -> Option<Fault> {
        let body = String::from_utf8_lossy(body);
        for (of, text, fault) in self.texts.lock().unwrap().iter() {
            if *of == service && body.contains(text) {
                return Some(fault.clone());
            }
        }
        let mut rules = self.rules.lock().unwrap();
        for (rule, seen) in rules.iter_mut() {
            let matches = rule.service.is_none_or(|it| it == service)
                && rule.operation.is_none_or(|it| it == operation);
            if matches {
                *seen += 1;
                if rule.nth.is_none_or(|nth| nth == *seen) {
                    return Some(rule.fault.clone());
                }
            }
        }
        None
    }
}

/// Starts a proxy in front of `upstream` and answers its base URL.
pub(crate) async fn start(wire: Arc<Wire>, service: Service, upstream: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = Client::builder(TokioExecutor::new()).build_http();
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                return;
            };
            let (wire, client, upstream) = (wire.clone(), client.clone(), upstream.clone());
            tokio::spawn(async move {
                let service = service_fn(move |request| {
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
                    .serve_connection(TokioIo::new(stream), service)
                    .await
                    .ok();
            });
        }
    });
    url
}

/// The connection is to be closed without an answer.
#[derive(Debug)]
struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped on purpose")
    }
}

impl std::error::Error for Dropped {}

async fn relay(
    wire: Arc<Wire>,
    service: Service,
    client: Client<HttpConnector, Full<Bytes>>,
    upstream: String,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Dropped> {
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    let target = parts.uri.to_string();
    let aws = parts
        .headers
        .get("x-amz-target")
        .map(|target| target.to_str().unwrap().to_owned());
    let operation = match aws {
        Some(target) => target.rsplit('.').next().unwrap().to_owned(),
        None => parts.uri.path().to_owned(),
    };
    record::record(service, &operation, &parts.headers, &body);
    let index = wire.begin(service, operation.clone(), target.clone(), body.clone());
    let fault = wire.met(service, &operation, &body);
    match &fault {
        Some(Fault::DropBefore) => return Err(Dropped),
        Some(Fault::Answer(status, body)) => {
            let mut response = Response::new(Full::from(body.clone()));
            *response.status_mut() = *status;
            wire.end(index);
            return Ok(response);
        }
        Some(Fault::HoldBefore(told)) => {
            wire.stalled.notify_one();
            told.notified().await;
        }
        _ => {}
    }

    parts.uri = format!("{upstream}{target}").parse().unwrap();
    parts.headers.remove("host");
    let sent = client
        .request(Request::from_parts(parts, Full::from(body)))
        .await
        .map_err(|_| Dropped)?;
    let (parts, body) = sent.into_parts();
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    match &fault {
        Some(Fault::DropAfter) => return Err(Dropped),
        Some(Fault::Stall) => {
            wire.stalled.notify_one();
            std::future::pending::<()>().await;
        }
        Some(Fault::Delay(by)) => tokio::time::sleep(*by).await,
        Some(Fault::Hold(told)) => {
            wire.stalled.notify_one();
            told.notified().await;
        }
        _ => {}
    }
    wire.end(index);
    let mut response = Response::from_parts(parts, body);
    response.headers_mut().remove("transfer-encoding");
    if let Some(Fault::Rewrite(rewrite)) = fault {
        rewrite(&mut response);
        response.headers_mut().remove("content-length");
    }
    Ok(response.map(Full::from))
}

impl Wire {
    /// The first call to an operation meets a fault.
    pub(crate) fn inject_once(&self, service: Service, operation: &'static str, fault: Fault) {
        self.inject(Rule {
            service: Some(service),
            operation: Some(operation),
            nth: Some(1),
            fault,
        });
    }

    /// The `nth` call of all to all services meets a fault.
    pub(crate) fn inject_nth(&self, nth: u64, fault: Fault) {
        self.inject(Rule {
            service: None,
            operation: None,
            nth: Some(nth),
            fault,
        });
    }

    /// The answer to the first call to an operation is held back until the returned bell rings.
    pub(crate) fn hold(&self, service: Service, operation: &'static str) -> Arc<Notify> {
        let bell = Arc::new(Notify::new());
        self.inject_once(service, operation, Fault::Hold(bell.clone()));
        bell
    }

    /// Waits until an operation has been called this often.
    pub(crate) async fn called(&self, operation: &str, times: usize) {
        self.reached(times, |call| call.operation == operation)
            .await;
    }

    /// Waits until so many calls match.
    pub(crate) async fn reached(&self, times: usize, matches: impl Fn(&Call) -> bool) {
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if self.calls().iter().filter(|call| matches(call)).count() >= times {
                return;
            }
            arrived.await;
        }
    }
}
