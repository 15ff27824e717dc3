//! The functions, one row each: name, route, time-out, powers, and the connections to open before the first event.
//!
//! The Lambda binaries, the local gateway, the tests of the template and the tests of the API read this table. A binary
//! names one row, and so contains the code of that row only.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use shared::config::Url;
use shared::delivery::Delivery;
use shared::envelope::Envelope;
use shared::grants::Grants;
use shared::keep_alive;
use shared::notification::AddressRule;
use shared::queue::NotificationQueue;
use shared::stores::{self, Credentials, Events, Keys, Pairs, Requests, Secrets, TokenUrls};
use shared::timestamp::Timestamp;
use shared::zoom::{ConsentPage, Zoom};

use crate::background::report::Report;
use crate::background::{notify_deliver, notify_enqueue, purge};
use crate::http::reply::Reply;
use crate::http::request::Request;
use crate::powers::{Environment, Warm};
use crate::{
    connect, console, credentials, events, notifications, overview, token_urls, tokens, vendors,
    zoom_apps,
};

/// The time-out of most functions. API Gateway gives up on a function after the same time.
pub const API_TIME_OUT: Duration = Duration::from_secs(29);
/// The time-out of functions that refresh grants. Such a function stores Zoom's answer, even after API Gateway gave up.
pub const REFRESH_TIME_OUT: Duration = Duration::from_secs(90);
/// The time-out of the scheduled function, which refreshes many grants.
pub const SCHEDULE_TIME_OUT: Duration = Duration::from_mins(5);

/// What invokes a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// API Gateway, for this method and path: `GET /path`. The method `ANY` stands for every method.
    Route(&'static str),
    /// A schedule.
    Schedule,
    /// The stream of a table.
    Stream,
    /// A queue.
    Queue,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// The name of the function's binary.
    pub name: &'static str,
    /// What invokes the function.
    pub trigger: Trigger,
    /// When Lambda stops an invocation.
    pub time_out: Duration,
    /// The names of the function's powers: the methods of [`Environment`] that build them.
    pub powers: &'static [&'static str],
}

/// A function with its powers, ready for events.
pub trait Function: Debug + Send + Sync + Sized + 'static {
    /// The function's row.
    const DESCRIPTION: Description;

    /// Builds the function's powers, and nothing else.
    fn new<E: Environment>(environment: &E) -> Result<Self, E::Error>;

    /// Opens the connections that the first event will use.
    fn warm(&self) -> impl Future<Output = ()> + Send;
}

/// A function that answers requests.
pub trait Endpoint: Function {
    /// The function's method and path. The log lines name the function by its route.
    const ROUTE: &'static str;

    /// More methods and paths of the same function.
    const MORE_ROUTES: &'static [&'static str];

    /// Answers a request.
    fn handle(&self, request: &Request) -> impl Future<Output = Reply> + Send;
}

/// Visits every endpoint of the table. A closure cannot be generic over the endpoints' types.
pub trait EndpointVisitor {
    /// Visits one endpoint.
    fn visit<E: Endpoint>(&mut self);
}

/// The type of a power, by the power's name.
macro_rules! power_type {
    (keys) => { Keys };
    (requests) => { Requests };
    (credentials) => { Credentials };
    (pairs) => { Pairs };
    (secrets) => { Secrets };
    (events) => { Events };
    (token_urls) => { TokenUrls };
    (envelope) => { Envelope };
    (zoom) => { Zoom };
    (grants) => { Grants };
    (opened_secrets) => { zoom_apps::webhook::OpenedSecrets };
    (vendor_memory) => { token_urls::verify::VendorMemory };
    (notification_queue) => { NotificationQueue };
    (sent_refusals) => { notify_enqueue::SentRefusals };
    (delivery) => { Delivery };
    (notification_addresses) => { AddressRule };
    (consent_page) => { ConsentPage };
    (public_url) => { Option<Url> };
    (landing_url) => { Option<Url> };
    (restorable) => { Duration };
    (recovery_capsules) => { bool };
    (refresh_after) => { Duration };
    (revoke_after) => { Duration };
    (webhook_window) => { Duration };
}

/// A power as a handler takes it: by reference, unless the power is a setting. Takes the power's name twice, as a word
/// to match and as a variable.
macro_rules! lend {
    (public_url $power:ident) => {
        $power.as_ref()
    };
    (landing_url $power:ident) => {
        $power.as_ref()
    };
    (restorable $power:ident) => {
        *$power
    };
    (recovery_capsules $power:ident) => {
        *$power
    };
    (webhook_window $power:ident) => {
        *$power
    };
    (notification_addresses $power:ident) => {
        *$power
    };
    ($name:ident $power:ident) => {
        $power
    };
}

/// Makes the type of one function.
macro_rules! function {
    ($(#[$doc:meta])* $type:ident, $name:expr, $trigger:expr, $time_out:expr, [$($power:ident)*], warm [$($warm:ident $connections:literal)*]) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $type {
            $($power: power_type!($power),)*
        }

        impl Function for $type {
            const DESCRIPTION: Description = Description {
                name: $name,
                trigger: $trigger,
                time_out: $time_out,
                powers: &[$(stringify!($power)),*],
            };

            fn new<E: Environment>(environment: &E) -> Result<Self, E::Error> {
                // A function may have no powers.
                let _: &E = environment;
                Ok(Self { $($power: environment.$power()?,)* })
            }

            async fn warm(&self) {
                tokio::join!($(Warm::warm(&self.$warm, $connections)),*);
            }
        }
    };
}

/// Makes the types of all endpoints. The powers of a row are the parameters of its handler, in order.
macro_rules! endpoints {
    ($(
        $(#[$doc:meta])*
        $type:ident = $name:literal: $route:path $(| $more:path)*, $time_out:expr, warm [$($warm:ident $connections:literal)*],
        $handle:path { $($power:ident),* };
    )*) => {
        $(
            function!(
                $(#[$doc])* $type, $name, Trigger::Route($route), $time_out, [$($power)*], warm [$($warm $connections)*]
            );

            impl Endpoint for $type {
                const ROUTE: &'static str = $route;
                const MORE_ROUTES: &'static [&'static str] = &[$($more),*];

                async fn handle(&self, request: &Request) -> Reply {
                    let Self { $($power),* } = self;
                    $handle($(lend!($power $power),)* request).await
                }
            }
        )*

        /// Visits every endpoint.
        pub fn visit_endpoints(visitor: &mut impl EndpointVisitor) {
            $(visitor.visit::<$type>();)*
        }

        /// Every function's row.
        pub fn functions() -> Vec<Description> {
            vec![
                $($type::DESCRIPTION,)*
                KeepAlive::DESCRIPTION,
                Purge::DESCRIPTION,
                NotifyEnqueue::DESCRIPTION,
                NotifyDeliver::DESCRIPTION,
            ]
        }
    };
}

endpoints! {
    /// Creates a credential.
    CreateCredential = "create-credential": credentials::create::ROUTE, API_TIME_OUT, warm [keys 3 envelope 2 zoom 1],
    credentials::create::handle { keys, requests, credentials, pairs, secrets, events, envelope, zoom, recovery_capsules };

    /// Lists credentials.
    ListCredentials = "list-credentials": credentials::list::ROUTE, API_TIME_OUT, warm [keys 1],
    credentials::list::handle { keys, requests, credentials };

    /// Shows a credential.
    GetCredential = "get-credential": credentials::get::ROUTE, API_TIME_OUT, warm [keys 1],
    credentials::get::handle { keys, requests, credentials };

    /// Changes a credential.
    UpdateCredential = "update-credential": credentials::update::ROUTE, API_TIME_OUT, warm [keys 3 envelope 2 zoom 1],
    credentials::update::handle { keys, requests, credentials, pairs, secrets, events, envelope, zoom, recovery_capsules };

    /// Deletes a credential.
    DeleteCredential = "delete-credential": credentials::delete::ROUTE, API_TIME_OUT, warm [keys 3],
    credentials::delete::handle { keys, requests, credentials, pairs, events, restorable };

    /// Restores a deleted credential.
    RestoreCredential = "restore-credential": credentials::restore::ROUTE, API_TIME_OUT, warm [keys 3],
    credentials::restore::handle { keys, requests, credentials, pairs, secrets, events };

    /// Lists the events of a credential or of a team.
    ListEvents = "list-events": events::ROUTE | events::TEAM_ROUTE, API_TIME_OUT, warm [keys 1],
    events::handle { keys, requests, credentials, events };

    /// Checks a credential at Zoom.
    CheckCredential = "check-credential": credentials::check::ROUTE, REFRESH_TIME_OUT, warm [keys 3 grants 2],
    credentials::check::handle { keys, requests, grants };

    /// Creates a token URL of a credential or of a team.
    CreateTokenUrl = "create-token-url": token_urls::create::ROUTE | token_urls::create::TEAM_ROUTE, API_TIME_OUT, warm [keys 3],
    token_urls::create::handle { keys, requests, credentials, token_urls, secrets, events, public_url };

    /// Lists the token URLs of a credential or of a team.
    ListTokenUrls = "list-token-urls": token_urls::list::ROUTE | token_urls::list::TEAM_ROUTE, API_TIME_OUT, warm [keys 1],
    token_urls::list::handle { keys, requests, credentials, token_urls };

    /// Revokes a token URL.
    DeleteTokenUrl = "delete-token-url": token_urls::delete::ROUTE | token_urls::delete::TEAM_ROUTE, API_TIME_OUT, warm [keys 3],
    token_urls::delete::handle { keys, requests, credentials, token_urls, events };

    /// Mints a token.
    MintToken = "mint-token": tokens::mint::ROUTE, REFRESH_TIME_OUT, warm [keys 3 grants 1],
    tokens::mint::handle { keys, requests, grants };

    /// Mints a token for a bot that calls a token URL.
    TokenUrl = "token-url": token_urls::call::ROUTE, REFRESH_TIME_OUT, warm [keys 3 grants 1],
    token_urls::call::handle { keys, requests, token_urls, grants, vendor_memory };

    /// Stores, shows and deletes a team's secrets at bot vendors.
    Vendors = "vendors": vendors::secret::ROUTE, API_TIME_OUT, warm [keys 3 envelope 2],
    vendors::secret::handle { keys, requests, secrets, events, envelope };

    /// Sets, shows, tests and deletes the endpoint for a team's notifications.
    NotificationEndpoint = "notification-endpoint": notifications::endpoint::ROUTE | notifications::endpoint::TEST_ROUTE,
    API_TIME_OUT, warm [keys 3 envelope 2],
    notifications::endpoint::handle { keys, requests, secrets, events, envelope, notification_addresses };

    /// Creates a connect session.
    CreateConnectSession = "create-connect-session": connect::create::ROUTE, API_TIME_OUT, warm [keys 3 envelope 2],
    connect::create::handle { keys, requests, credentials, secrets, events, envelope, public_url };

    /// Shows a connect session.
    GetConnectSession = "get-connect-session": connect::get::ROUTE, API_TIME_OUT, warm [keys 3],
    connect::get::handle { keys, requests, credentials };

    /// Shows the page where a user connects Zoom.
    Connect = "connect": connect::page::ROUTE, API_TIME_OUT, warm [requests 2],
    connect::page::handle { requests, consent_page };

    /// Finishes a connect session, when Zoom sends the user back.
    ConnectCallback = "connect-callback": connect::callback::ROUTE, API_TIME_OUT, warm [requests 2 envelope 2 zoom 1],
    connect::callback::handle { requests, credentials, pairs, secrets, events, envelope, zoom, recovery_capsules, landing_url };

    /// Shows a key, its team, and what the team has registered.
    GetOverview = "get-overview": overview::ROUTE, API_TIME_OUT, warm [keys 3],
    overview::handle { keys, requests, secrets, public_url };

    /// Serves the console: a page for people, and its files.
    Console = "console": console::ROUTE | console::FILE_ROUTE, API_TIME_OUT, warm [],
    console::handle {};

    /// Registers a Zoom app for webhooks.
    PutZoomApp = "put-zoom-app": zoom_apps::put::ROUTE, API_TIME_OUT, warm [keys 3 envelope 2 zoom 1],
    zoom_apps::put::handle { keys, requests, secrets, events, envelope, zoom, public_url };

    /// Shows a Zoom app.
    GetZoomApp = "get-zoom-app": zoom_apps::get::ROUTE, API_TIME_OUT, warm [keys 3],
    zoom_apps::get::handle { keys, requests, secrets, public_url };

    /// Deletes a Zoom app.
    DeleteZoomApp = "delete-zoom-app": zoom_apps::delete::ROUTE, API_TIME_OUT, warm [keys 3],
    zoom_apps::delete::handle { keys, requests, secrets, events };

    /// Replaces the client secret of an app's credentials.
    RotateSecret = "rotate-secret": zoom_apps::rotate_secret::ROUTE, API_TIME_OUT, warm [keys 3 envelope 2 zoom 1],
    zoom_apps::rotate_secret::handle { keys, requests, credentials, secrets, events, envelope, zoom };

    /// Receives Zoom's webhooks.
    ZoomWebhook = "zoom-webhook": zoom_apps::webhook::ROUTE, API_TIME_OUT, warm [envelope 2],
    zoom_apps::webhook::handle { credentials, pairs, secrets, events, envelope, opened_secrets, webhook_window };
}

function!(
    /// Refreshes the grants that have not been used for a while.
    KeepAlive, keep_alive::NAME, Trigger::Schedule, SCHEDULE_TIME_OUT, [keys grants refresh_after revoke_after], warm [grants 2]
);

impl KeepAlive {
    /// Runs once, until shortly before `deadline`. `id` names the run in the logs.
    pub async fn run(
        &self,
        deadline: Timestamp,
        id: &str,
    ) -> Result<keep_alive::Report, stores::Error> {
        let (unused, revoke_after) = (self.refresh_after, self.revoke_after);
        self.run_for(unused, revoke_after, deadline, id).await
    }

    /// As [`Self::run`], for grants that have not been used for the time `unused`. A pair's grants may be revoked once
    /// its last deletion is `revoke_after` ago.
    pub async fn run_for(
        &self,
        unused: Duration,
        revoke_after: Duration,
        deadline: Timestamp,
        id: &str,
    ) -> Result<keep_alive::Report, stores::Error> {
        let Self { keys, grants, .. } = self;
        keep_alive::run(keys, grants, unused, revoke_after, deadline, id).await
    }
}

// No caller waits for this function, so it opens no connections ahead.
function!(
    /// Cleans up after credentials that were deleted, removed, or moved to another grant.
    Purge, purge::NAME, Trigger::Stream, API_TIME_OUT, [pairs secrets token_urls events], warm []
);

impl Purge {
    /// Handles a batch of records, until shortly before `deadline`. `id` names the invocation in the logs.
    pub async fn run(&self, batch: purge::Batch, deadline: Timestamp, id: &str) -> Report {
        let Self {
            pairs,
            secrets,
            token_urls,
            events,
        } = self;
        purge::handle(pairs, secrets, token_urls, events, batch, deadline, id).await
    }
}

function!(
    /// Puts notifications of events into the queue.
    NotifyEnqueue, notify_enqueue::NAME, Trigger::Stream, API_TIME_OUT, [secrets notification_queue sent_refusals], warm []
);

impl NotifyEnqueue {
    /// Handles a batch of records, until shortly before `deadline`. `id` names the invocation in the logs.
    pub async fn run(&self, batch: notify_enqueue::Batch, deadline: Timestamp, id: &str) -> Report {
        let Self {
            secrets,
            notification_queue,
            sent_refusals,
        } = self;
        notify_enqueue::handle(
            secrets,
            notification_queue,
            sent_refusals,
            batch,
            deadline,
            id,
        )
        .await
    }
}

function!(
    /// Sends notifications from the queue to the endpoints of teams.
    NotifyDeliver, notify_deliver::NAME, Trigger::Queue, API_TIME_OUT,
    [secrets events envelope delivery notification_queue], warm []
);

impl NotifyDeliver {
    /// Handles a batch of messages, until shortly before `deadline`. `id` names the invocation in the logs.
    pub async fn run(&self, batch: notify_deliver::Batch, deadline: Timestamp, id: &str) -> Report {
        let Self {
            secrets,
            events,
            envelope,
            delivery,
            notification_queue,
        } = self;
        notify_deliver::handle(
            secrets,
            events,
            envelope,
            delivery,
            notification_queue,
            batch,
            deadline,
            id,
        )
        .await
    }
}
