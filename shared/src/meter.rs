//! How many network calls an invocation made, by service.
//!
//! The clients count into the task's own meter, so concurrent invocations in one process (tests, the
//! local stack) do not mix. Outside an invocation nothing is counted.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;

tokio::task_local! {
    static METER: Arc<Meter>;
}

/// A service that invocations call over the network.
#[derive(Clone, Copy, Debug)]
pub enum Service {
    /// Amazon DynamoDB.
    DynamoDb,
    /// AWS KMS.
    Kms,
    /// Zoom's OAuth and REST hosts.
    Zoom,
}

/// The counts of one invocation. Retries count: they are what was sent.
#[derive(Debug, Default)]
pub struct Meter {
    dynamodb: AtomicU32,
    kms: AtomicU32,
    zoom: AtomicU32,
}

impl Meter {
    fn counter(&self, service: Service) -> &AtomicU32 {
        match service {
            Service::DynamoDb => &self.dynamodb,
            Service::Kms => &self.kms,
            Service::Zoom => &self.zoom,
        }
    }

    /// Calls sent to `service` so far.
    pub fn calls(&self, service: Service) -> u32 {
        self.counter(service).load(Ordering::Relaxed)
    }
}

/// Runs `invocation` with `meter` as the one its calls are counted in.
pub async fn measure<T>(meter: Arc<Meter>, invocation: impl Future<Output = T>) -> T {
    METER.scope(meter, invocation).await
}

/// Counts one call to `service`.
pub fn count(service: Service) {
    // Outside an invocation (start-up, the CLI) there is no meter, and nothing to count.
    METER
        .try_with(|meter| meter.counter(service).fetch_add(1, Ordering::Relaxed))
        .ok();
}

/// Counts what an AWS client sends.
#[derive(Debug)]
pub(crate) struct Counting(pub(crate) Service);

impl Intercept for Counting {
    fn name(&self) -> &'static str {
        "Counting"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        count(self.0);
        Ok(())
    }
}
