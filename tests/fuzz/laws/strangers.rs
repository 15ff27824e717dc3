//! The functions that strangers reach without an API key, from the event to the answer.
//!
//! No table answers here. A function is polled until it has answered, or a few times if it waits for a table. So a law
//! covers everything that a function does before its first read.

use std::convert::Infallible;
use std::time::Duration;

use aws_sdk_dynamodb::config::Credentials as AwsCredentials;
use functions::endpoints::{
    Connect, ConnectCallback, Console, Endpoint, Function, TokenUrl, ZoomWebhook,
};
use functions::http::request::Event;
use functions::powers::{Environment, Table};
use functions::runtime;
use lambda_http::aws_lambda_events::apigw::ApiGatewayProxyResponse;
use lambda_http::{Context, LambdaEvent};
use shared::config::{Aws, DynamoDbClient, Url};
use shared::delivery::Delivery;
use shared::notification::AddressRule;
use shared::zoom::{ApiUrl, ConsentPage, Zoom};

/// How often a function is polled that waits for a table.
const POLLS: usize = 3;
/// Nothing listens here.
const NOBODY: &str = "http://127.0.0.1:1";

/// The powers of a function, whose clients reach nothing.
struct Nowhere {
    aws: Aws,
    zoom: Zoom,
    public: Url,
}

impl Nowhere {
    fn new() -> Self {
        let credentials = AwsCredentials::new("fuzz", "fuzz", None, None, "fuzz");
        let nobody = || Some(NOBODY.to_owned());
        let aws = Aws::new("us-east-1".to_owned(), credentials, nobody(), nobody());
        let public = Url::parse(NOBODY).unwrap();
        let zoom = Zoom::new(public.clone(), ApiUrl::configured(public.clone()));
        Self {
            aws: aws.unwrap(),
            zoom: zoom.unwrap(),
            public,
        }
    }
}

impl Environment for Nowhere {
    type Error = Infallible;

    fn aws(&self) -> &Aws {
        &self.aws
    }
    fn dynamodb(&self) -> DynamoDbClient {
        self.aws.dynamodb()
    }
    fn table(&self, table: Table) -> Result<String, Infallible> {
        Ok(table.variable().to_owned())
    }
    fn envelope_key(&self) -> Result<String, Infallible> {
        Ok("key".to_owned())
    }
    fn events_retention(&self) -> Result<Duration, Infallible> {
        Ok(Duration::from_hours(24))
    }
    fn recovery_capsules(&self) -> Result<bool, Infallible> {
        Ok(false)
    }
    fn zoom(&self) -> Result<Zoom, Infallible> {
        Ok(self.zoom.clone())
    }
    fn consent_page(&self) -> Result<ConsentPage, Infallible> {
        Ok(self.zoom.consent_page())
    }
    fn public_url(&self) -> Result<Option<Url>, Infallible> {
        Ok(Some(self.public.clone()))
    }
    fn landing_url(&self) -> Result<Option<Url>, Infallible> {
        Ok(None)
    }
    fn restorable(&self) -> Result<Duration, Infallible> {
        Ok(Duration::from_hours(24))
    }
    fn refresh_after(&self) -> Result<Duration, Infallible> {
        Ok(Duration::from_hours(24))
    }
    fn revoke_after(&self) -> Result<Duration, Infallible> {
        Ok(Duration::from_hours(24))
    }
    fn webhook_window(&self) -> Result<Duration, Infallible> {
        Ok(Duration::from_mins(5))
    }
    fn notification_queue_url(&self) -> Result<String, Infallible> {
        Ok(NOBODY.to_owned())
    }
    fn notification_addresses(&self) -> Result<AddressRule, Infallible> {
        Ok(AddressRule::Public)
    }
    fn delivery(&self) -> Result<Delivery, Infallible> {
        Ok(Delivery::new(AddressRule::Public).unwrap())
    }
}

/// The functions, made once. Each thread has its own, because the corpus is checked in several threads.
struct Strangers {
    runtime: tokio::runtime::Runtime,
    token_url: TokenUrl,
    connect: Connect,
    callback: ConnectCallback,
    console: Console,
    webhook: ZoomWebhook,
}

thread_local! {
    static STRANGERS: Strangers = Strangers::new();
}

impl Strangers {
    fn new() -> Self {
        fn of<F: Function>(nowhere: &Nowhere) -> F {
            let Ok(function) = F::new(nowhere);
            function
        }
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        let nowhere = Nowhere::new();
        Self {
            token_url: of(&nowhere),
            connect: of(&nowhere),
            callback: of(&nowhere),
            console: of(&nowhere),
            webhook: of(&nowhere),
            runtime,
        }
    }

    /// The answer of a function. `None` if the function waits for a table.
    fn answer<E: Endpoint>(&self, endpoint: &E, event: Event) -> Option<ApiGatewayProxyResponse> {
        let mut context = Context::default();
        "invocation".clone_into(&mut context.request_id);
        context.deadline = u64::MAX;
        let event = LambdaEvent::new(event, context);
        self.runtime.block_on(async {
            let handler = async |request| endpoint.handle(&request).await;
            let mut answer = std::pin::pin!(runtime::invoke(E::ROUTE, event, |request| Box::pin(
                handler(request)
            )));
            for _ in 0..POLLS {
                if let std::task::Poll::Ready(answer) = futures_util::poll!(&mut answer) {
                    return Some(answer);
                }
                tokio::task::yield_now().await;
            }
            None
        })
    }
}

/// The chosen function answers the event with no 5xx, except a 503 without a table.
pub(super) fn answer(chosen: usize, event: Event) {
    let answer = STRANGERS.with(|all| match chosen % 5 {
        0 => all.answer(&all.token_url, event),
        1 => all.answer(&all.connect, event),
        2 => all.answer(&all.callback, event),
        3 => all.answer(&all.console, event),
        _ => all.answer(&all.webhook, event),
    });
    let Some(answer) = answer else { return };
    let status = answer.status_code;
    assert!((200..500).contains(&status) || status == 503, "{status}");
    for name in ["cache-control", "x-content-type-options", "x-request-id"] {
        assert!(
            answer.multi_value_headers.contains_key(name),
            "{name} is missing"
        );
    }
}
