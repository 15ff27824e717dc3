//! Counts the network calls of an invocation, by service.
//!
//! Each invocation has its own meter in its task. Concurrent invocations in one process (tests, the local stack)
//! therefore do not mix. Calls outside an invocation are not counted.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;

tokio::task_local! {
    static METER: Arc<Meter>;
}

/// A service that the functions call over the network.
#[derive(Clone, Copy, Debug)]
pub enum Service {
    /// Amazon DynamoDB.
    DynamoDb,
    /// AWS KMS.
    Kms,
    /// Zoom's OAuth and REST hosts.
    Zoom,
}

/// The call counts of one invocation. Each retry counts as a call.
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

    /// The number of calls sent to `service` so far.
    pub fn calls(&self, service: Service) -> u32 {
        self.counter(service).load(Ordering::Relaxed)
    }
}

/// Runs `invocation` and counts its calls in `meter`.
pub async fn measure<T>(meter: Arc<Meter>, invocation: impl Future<Output = T>) -> T {
    METER.scope(meter, invocation).await
}

/// Counts one call to `service`.
pub fn count(service: Service) {
    // Outside an invocation (start-up, the CLI) there is no meter.
    METER
        .try_with(|meter| meter.counter(service).fetch_add(1, Ordering::Relaxed))
        .ok();
}

/// Counts each call that an AWS client sends.
#[derive(Debug)]
pub(crate) struct CallCounter(pub(crate) Service);

impl Intercept for CallCounter {
    fn name(&self) -> &'static str {
        "CallCounter"
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
