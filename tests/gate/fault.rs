//! The faults that the gate injects.

/// What happens to a call on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection closes. The service does not receive the request.
    DropBefore,
    /// The service executes the request. The connection closes before the answer is sent.
    DropAfter,
    /// The caller gets a 500. The service does not receive the request.
    ErrorBefore,
    /// The service executes the request. The caller gets a 500.
    ErrorAfter,
    /// The service limits the rate and does not execute the request.
    Throttle,
    /// DynamoDB reports a conflict with another transaction and does not execute the request.
    Conflict,
    /// The request waits on the wire. The service receives it when the wire is released.
    HoldBefore,
    /// The service executes the request. The answer waits until the wire is released.
    HoldAfter,
    /// Like `HoldAfter`, but the wire is released late: the caller's lease has expired and another mint has finished.
    HoldPastLease,
    /// The service executes the request and never answers.
    NoAnswer,
    /// The caller crashes. The service does not receive the request.
    CrashBefore,
    /// The service executes the request. The caller crashes.
    CrashAfter,
    /// The caller crashes while the request is on the wire. The service receives it when the wire is released.
    CrashInFlight,
    /// The service is unreachable from this call on, until the faults are removed.
    Outage,
    /// The service accepts this call and all later ones and never answers, until the faults are removed.
    Stall,
}

impl Fault {
    /// Whether the fault kills the caller.
    pub(crate) fn is_crash(self) -> bool {
        matches!(
            self,
            Self::CrashBefore | Self::CrashAfter | Self::CrashInFlight
        )
    }

    /// Whether the fault also affects all later calls to the same service.
    pub(crate) fn is_outage(self) -> bool {
        matches!(self, Self::Outage | Self::Stall)
    }
}

/// Faults during which the vault retries or waits for up to a minute.
pub(crate) const LONG_FAULTS: [Fault; 3] = [Fault::Outage, Fault::Stall, Fault::NoAnswer];

/// Faults that end within seconds.
pub(crate) const SHORT_FAULTS: [Fault; 12] = [
    Fault::CrashBefore,
    Fault::CrashAfter,
    Fault::CrashInFlight,
    Fault::HoldBefore,
    Fault::HoldAfter,
    Fault::HoldPastLease,
    Fault::DropBefore,
    Fault::DropAfter,
    Fault::ErrorBefore,
    Fault::ErrorAfter,
    Fault::Throttle,
    Fault::Conflict,
];

/// The faults that are most likely to lose a refresh, for schedule groups that do not run every fault.
pub(crate) const LOSS_FAULTS: [Fault; 4] = [
    Fault::CrashAfter,
    Fault::CrashInFlight,
    Fault::DropAfter,
    Fault::HoldAfter,
];
