//! The functions of the local gateway. Each has its own clients and its own memory, as each Lambda has.

use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use functions::endpoints::{Endpoint, EndpointVisitor, Function, visit_endpoints};
use functions::http::request::{Event, Request};
use functions::powers::{Environment, Table};
use functions::runtime::invoke;
use futures_util::future::BoxFuture;
use lambda_http::LambdaEvent;
use lambda_http::aws_lambda_events::apigw::ApiGatewayProxyResponse;
use shared::config::{self, Aws, DynamoDbClient, KEEP_ALIVE_AFTER, RESTORE_WINDOW, REVOKE_AFTER};
use shared::delivery::Delivery;
use shared::notification::AddressRule;
use shared::stores::RETENTION;
use shared::zoom::{ConsentPage, Zoom, webhook};
use url::Url;

use crate::sqs::{QUEUE_URL, Queue};
use crate::tables::Names;

/// The configuration that every function's clients are built from.
#[derive(Clone, Debug)]
pub struct Services {
    aws: Aws,
    tables: Names,
    envelope_key: String,
    zoom: Zoom,
    public_url: Url,
    pub(super) notifications: Notifications,
}

/// What the functions for notifications need.
#[derive(Clone, Debug)]
pub struct Notifications {
    pub(super) queue: Queue,
    delivery: Delivery,
    rule: AddressRule,
}

impl Notifications {
    /// `queue` holds the notifications. They go to the addresses that `rule` permits.
    pub fn new(queue: Queue, rule: AddressRule) -> Result<Self, config::Error> {
        let delivery = config::delivery_to(rule)?;
        Ok(Self {
            queue,
            delivery,
            rule,
        })
    }
}

impl Services {
    /// `public_url` is where callers reach the gateway.
    pub fn new(
        aws: &Aws,
        tables: &Names,
        envelope_key: &str,
        zoom: Zoom,
        public_url: Url,
        notifications: Notifications,
    ) -> Self {
        Self {
            notifications,
            aws: aws.clone(),
            tables: tables.clone(),
            envelope_key: envelope_key.to_owned(),
            zoom,
            public_url,
        }
    }

    /// The environment of one function. The function's calls to AWS carry the function's name.
    pub fn environment(&self, function: &str) -> FunctionEnvironment<'_> {
        let aws = self.aws.named(function);
        FunctionEnvironment {
            services: self,
            dynamodb: aws.dynamodb(),
            aws,
        }
    }
}

/// What one function's clients are built from.
#[derive(Debug)]
pub struct FunctionEnvironment<'a> {
    services: &'a Services,
    aws: Aws,
    dynamodb: DynamoDbClient,
}

impl Environment for FunctionEnvironment<'_> {
    type Error = Infallible;

    fn aws(&self) -> &Aws {
        &self.aws
    }

    fn dynamodb(&self) -> DynamoDbClient {
        self.dynamodb.clone()
    }

    fn table(&self, table: Table) -> Result<String, Infallible> {
        let names = &self.services.tables;
        let name = match table {
            Table::Credentials => &names.credentials,
            Table::Pairs => &names.pairs,
            Table::Secrets => &names.secrets,
            Table::Keys => &names.keys,
            Table::Requests => &names.requests,
            Table::TokenUrls => &names.token_urls,
            Table::Events => &names.events,
        };
        Ok(name.clone())
    }

    fn envelope_key(&self) -> Result<String, Infallible> {
        Ok(self.services.envelope_key.clone())
    }

    fn events_retention(&self) -> Result<Duration, Infallible> {
        Ok(RETENTION)
    }

    fn recovery_capsules(&self) -> Result<bool, Infallible> {
        Ok(true)
    }

    fn zoom(&self) -> Result<Zoom, Infallible> {
        Ok(self.services.zoom.clone())
    }

    fn consent_page(&self) -> Result<ConsentPage, Infallible> {
        Ok(self.services.zoom.consent_page())
    }

    fn public_url(&self) -> Result<Option<Url>, Infallible> {
        Ok(Some(self.services.public_url.clone()))
    }

    fn landing_url(&self) -> Result<Option<Url>, Infallible> {
        Ok(None)
    }

    fn restorable(&self) -> Result<Duration, Infallible> {
        Ok(RESTORE_WINDOW)
    }

    fn refresh_after(&self) -> Result<Duration, Infallible> {
        Ok(KEEP_ALIVE_AFTER)
    }

    fn revoke_after(&self) -> Result<Duration, Infallible> {
        Ok(REVOKE_AFTER)
    }

    fn webhook_window(&self) -> Result<Duration, Infallible> {
        Ok(webhook::SIGNATURE_WINDOW)
    }

    fn notification_queue_url(&self) -> Result<String, Infallible> {
        Ok(QUEUE_URL.to_owned())
    }

    fn notification_addresses(&self) -> Result<AddressRule, Infallible> {
        Ok(self.services.notifications.rule)
    }

    fn delivery(&self) -> Result<Delivery, Infallible> {
        Ok(self.services.notifications.delivery.clone())
    }
}

/// A function whose clients are built at its first call. Most tests call few of the functions.
#[derive(Debug)]
pub(super) struct Deployed<F>(OnceLock<F>);

impl<F> Default for Deployed<F> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<F: Function> Deployed<F> {
    /// The function, with its clients.
    pub(super) fn get(&self, services: &Services) -> &F {
        self.0.get_or_init(|| {
            let Ok(function) = F::new(&services.environment(F::DESCRIPTION.name));
            function
        })
    }
}

/// A function that API Gateway can invoke, whatever its type.
trait Invoke: Debug + Send + Sync {
    fn invoke<'a>(
        &'a self,
        services: &Services,
        event: LambdaEvent<Event>,
    ) -> BoxFuture<'a, ApiGatewayProxyResponse>;
}

impl<E: Endpoint> Invoke for Deployed<E> {
    fn invoke<'a>(
        &'a self,
        services: &Services,
        event: LambdaEvent<Event>,
    ) -> BoxFuture<'a, ApiGatewayProxyResponse> {
        let endpoint = self.get(services);
        Box::pin(invoke(E::ROUTE, event, async |request: Request| {
            endpoint.handle(&request).await
        }))
    }
}

/// The methods that API Gateway routes with `ANY`.
const ANY: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/// A function behind a route.
#[derive(Clone, Debug)]
pub(super) struct Routed {
    method: &'static str,
    pub(super) path: &'static str,
    pub(super) time_out: Duration,
    function: Arc<dyn Invoke>,
}

impl Routed {
    /// Whether the function answers requests with this method.
    pub(super) fn answers(&self, method: &str) -> bool {
        self.method == method || (self.method == "ANY" && ANY.contains(&method))
    }

    /// Invokes the function.
    pub(super) async fn invoke(
        &self,
        services: &Services,
        event: LambdaEvent<Event>,
    ) -> ApiGatewayProxyResponse {
        self.function.invoke(services, event).await
    }
}

/// Every function behind a route, in the order of the table.
pub(super) fn routed() -> Vec<Routed> {
    struct Collect(Vec<Routed>);

    impl EndpointVisitor for Collect {
        fn visit<E: Endpoint>(&mut self) {
            let function: Arc<dyn Invoke> = Arc::new(Deployed::<E>::default());
            for route in [E::ROUTE].iter().chain(E::MORE_ROUTES) {
                // Every route has a method. A test of the template compares the routes.
                let (method, path) = route.split_once(' ').unwrap_or(("ANY", route));
                self.0.push(Routed {
                    method,
                    path,
                    time_out: E::DESCRIPTION.time_out,
                    function: function.clone(),
                });
            }
        }
    }

    let mut collect = Collect(Vec::new());
    visit_endpoints(&mut collect);
    collect.0
}
