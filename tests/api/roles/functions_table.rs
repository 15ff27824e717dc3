//! The table of functions, as the tests of the template read it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use functions::endpoints::{
    Description, Endpoint, EndpointVisitor, Function, KeepAlive, NotifyDeliver, NotifyEnqueue,
    Purge, Trigger, functions, visit_endpoints,
};
use functions::powers::{Environment, Table};
use functions::{events, openapi, token_urls};
use serde_json::{Value, json};
use shared::config::{Aws, DynamoDbClient, Url};
use shared::delivery::Delivery;
use shared::notification::AddressRule;
use shared::zoom::{ApiUrl, ConsentPage, Zoom};

use crate::world::aws;

/// The variables that a function reads when its powers are built.
struct Reads {
    aws: Aws,
    required: RefCell<BTreeSet<&'static str>>,
    settings: RefCell<BTreeSet<&'static str>>,
    service_urls: RefCell<BTreeSet<&'static str>>,
}

impl Reads {
    fn setting<T>(&self, variable: &'static str, value: T) -> T {
        self.settings.borrow_mut().insert(variable);
        value
    }

    fn service(&self, variables: &[&'static str]) {
        self.service_urls.borrow_mut().extend(variables);
    }
}

impl Environment for Reads {
    type Error = Infallible;

    fn aws(&self) -> &Aws {
        &self.aws
    }

    fn dynamodb(&self) -> DynamoDbClient {
        self.service(&["AWS_ENDPOINT_URL_DYNAMODB"]);
        self.aws.dynamodb()
    }

    fn table(&self, table: Table) -> Result<String, Infallible> {
        self.required.borrow_mut().insert(table.variable());
        Ok(table.variable().to_owned())
    }

    fn envelope_key(&self) -> Result<String, Infallible> {
        self.required.borrow_mut().insert("ENVELOPE_KEY_ID");
        self.service(&["AWS_ENDPOINT_URL_KMS"]);
        Ok(String::new())
    }

    fn events_retention(&self) -> Result<Duration, Infallible> {
        Ok(self.setting("EVENTS_RETENTION_DAYS", Duration::ZERO))
    }

    fn recovery_capsules(&self) -> Result<bool, Infallible> {
        Ok(self.setting("RECOVERY_CAPSULES", true))
    }

    fn zoom(&self) -> Result<Zoom, Infallible> {
        self.service(&["ZOOM_OAUTH_BASE_URL", "ZOOM_API_BASE_URL"]);
        let url = || Url::parse("http://localhost").unwrap();
        Ok(Zoom::new(url(), ApiUrl::configured(url())).unwrap())
    }

    fn consent_page(&self) -> Result<ConsentPage, Infallible> {
        self.service(&["ZOOM_OAUTH_BASE_URL"]);
        Ok(ConsentPage::new(Url::parse("http://localhost").unwrap()))
    }

    fn public_url(&self) -> Result<Option<Url>, Infallible> {
        Ok(self.setting("PUBLIC_BASE_URL", None))
    }

    fn landing_url(&self) -> Result<Option<Url>, Infallible> {
        Ok(self.setting("LANDING_URL", None))
    }

    fn restorable(&self) -> Result<Duration, Infallible> {
        Ok(self.setting("RESTORABLE_DAYS", Duration::ZERO))
    }

    fn refresh_after(&self) -> Result<Duration, Infallible> {
        Ok(self.setting("KEEP_ALIVE_AFTER_DAYS", Duration::ZERO))
    }

    fn revoke_after(&self) -> Result<Duration, Infallible> {
        Ok(self.setting("REVOKE_AFTER_HOURS", Duration::ZERO))
    }

    fn webhook_window(&self) -> Result<Duration, Infallible> {
        Ok(self.setting("WEBHOOK_WINDOW_SECONDS", Duration::ZERO))
    }

    fn notification_queue_url(&self) -> Result<String, Infallible> {
        self.required.borrow_mut().insert("NOTIFICATION_QUEUE_URL");
        self.service(&["AWS_ENDPOINT_URL_SQS"]);
        Ok(String::new())
    }

    // The variable NOTIFY_LOOPBACK is for the local stack only, so no function on AWS has it.
    fn notification_addresses(&self) -> Result<AddressRule, Infallible> {
        Ok(AddressRule::Public)
    }

    fn delivery(&self) -> Result<Delivery, Infallible> {
        Ok(Delivery::new(AddressRule::Public).unwrap())
    }
}

/// The rows of the table of functions, as JSON.
#[derive(Default)]
struct Rows(Vec<Value>);

impl Rows {
    fn add<F: Function>(&mut self) {
        let reads = Reads {
            aws: aws("http://localhost", "http://localhost"),
            required: RefCell::default(),
            settings: RefCell::default(),
            service_urls: RefCell::default(),
        };
        let Ok(_function) = F::new(&reads);
        let Description {
            name,
            trigger,
            time_out,
            powers,
        } = F::DESCRIPTION;
        self.0.push(json!({
            "name": name,
            "trigger": match trigger {
                Trigger::Route(route) => route,
                Trigger::Schedule => "schedule",
                Trigger::Stream => "stream",
                Trigger::Queue => "queue",
            },
            "time_out_seconds": time_out.as_secs(),
            "powers": powers,
            "required": reads.required,
            "settings": reads.settings,
            "service_urls": reads.service_urls,
        }));
    }
}

impl EndpointVisitor for Rows {
    fn visit<E: Endpoint>(&mut self) {
        self.add::<E>();
        if let Some(row) = self.0.last_mut()
            && !E::MORE_ROUTES.is_empty()
        {
            row["more_routes"] = json!(E::MORE_ROUTES);
        }
    }
}

#[test]
fn the_committed_table_of_functions_is_current() {
    let mut rows = Rows::default();
    visit_endpoints(&mut rows);
    rows.add::<KeepAlive>();
    rows.add::<Purge>();
    rows.add::<NotifyEnqueue>();
    rows.add::<NotifyDeliver>();
    let current = serde_json::to_string_pretty(&rows.0).unwrap() + "\n";
    let written = Path::new(env!("CARGO_TARGET_TMPDIR")).join("endpoints.json");
    std::fs::write(&written, &current).unwrap();
    let committed = include_str!("../../../docs/endpoints.json");
    assert!(
        current == committed,
        "docs/endpoints.json is stale: cp {} docs/endpoints.json",
        written.display()
    );
}

#[test]
fn the_document_describes_every_endpoint_but_the_pages_for_browsers() {
    let document = serde_json::to_value(openapi::document()).unwrap();
    let mut documented = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            documented.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    // The further routes of functions that serve one credential and the team.
    let of_teams = [
        events::TEAM_ROUTE,
        token_urls::create::TEAM_ROUTE,
        token_urls::list::TEAM_ROUTE,
        token_urls::delete::TEAM_ROUTE,
    ];
    let mut expected = BTreeSet::from(of_teams.map(str::to_owned));
    for function in functions() {
        match function.trigger {
            // What a token URL answers to other methods is a refusal.
            Trigger::Route("ANY /t/{token+}") => {
                expected.extend(["GET /t/{token}", "POST /t/{token}"].map(str::to_owned));
            }
            Trigger::Route("ANY /v2/vendors/{vendor}") => {
                let methods = ["DELETE", "GET", "PUT"];
                expected.extend(methods.map(|it| format!("{it} /v2/vendors/{{vendor}}")));
            }
            Trigger::Route("ANY /v2/notification-endpoint") => {
                let methods = ["DELETE", "GET", "PUT"];
                expected.extend(methods.map(|it| format!("{it} /v2/notification-endpoint")));
                expected.insert("POST /v2/notification-endpoint/test".to_owned());
            }
            // Pages for browsers, the schedule, the streams and the queue are not part of the document.
            Trigger::Route("ANY /connect/{token}" | "GET /connect/callback" | "GET /console")
            | Trigger::Schedule
            | Trigger::Stream
            | Trigger::Queue => {}
            Trigger::Route(route) => {
                expected.insert(route.to_owned());
            }
        }
    }
    assert_eq!(documented, expected);
}
