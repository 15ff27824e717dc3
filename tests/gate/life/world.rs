//! The services and the team of one schedule, and what is on its way to the vault: stream records, webhooks, capsules.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use local::engine::Stream;
use local::zoom::Webhook;
use serde_json::{Map, Value, json};
use shared::grants::capsule::Capsule;
use shared::pair::Pair;
use shared::stores::{StreamRecord, TeamSettingsChange};
use shared::timestamp::Timestamp;

use crate::backend::{Backend, CLIENT_ID, CLIENT_SECRET, Team, ZoomBehaviour};
use crate::capsules;
use crate::life::job::Job;
use crate::wire::next_tick;

const WEBHOOK_SECRET: &str = "test-app-secret-token";

/// A row of a table, in DynamoDB's JSON.
pub(crate) type Item = Map<String, Value>;

/// A removal of the app, and whether the vault has confirmed the webhook.
#[derive(Clone, Debug)]
pub(crate) struct Removal {
    pub(crate) user: String,
    /// The tick before the removal.
    pub(crate) tick: u64,
    pub(crate) is_told: bool,
    at: Timestamp,
    elapsed: Duration,
}

/// A logged capsule.
#[derive(Clone, Debug)]
pub(crate) struct LoggedCapsule {
    pub(crate) capsule: Capsule,
    pub(crate) is_replayed: bool,
    elapsed: Duration,
}

/// The services and the team of one schedule.
pub(crate) struct World {
    pub(crate) backend: Arc<Backend>,
    pub(crate) team: Team,
    pub(crate) users: [String; 2],
    pub(crate) revoke_on_delete: bool,
    /// How much time has passed that nobody waited for.
    pub(crate) elapsed: Duration,
    stream: Stream,
    /// The records that were not handled yet.
    pub(crate) records: Vec<Value>,
    /// The records that were handled, and when. The stream may deliver them again for some days.
    pub(crate) handled: Vec<(Value, Duration)>,
    pub(crate) removals: Vec<Removal>,
    pub(crate) capsules: Vec<LoggedCapsule>,
    /// The refresh tokens of a grant's row, by what is sealed in the row.
    pub(super) opened_rows: HashMap<[Value; 2], Vec<String>>,
    /// The refresh token of each capsule.
    pub(super) opened_capsules: Vec<String>,
}

impl World {
    pub(crate) async fn new(behaviour: ZoomBehaviour) -> Self {
        let backend = Box::pin(Backend::new(behaviour)).await;
        let team = backend.create_team().await;
        let users = [team.user.clone(), format!("{}-2", team.user)];
        backend.register_user(&users[1]);
        let stream = Stream::open(backend.database.clone(), "credentials").unwrap();
        Self {
            backend,
            team,
            users,
            revoke_on_delete: false,
            elapsed: Duration::ZERO,
            stream,
            records: Vec::new(),
            handled: Vec::new(),
            removals: Vec::new(),
            capsules: Vec::new(),
            opened_rows: HashMap::new(),
            opened_capsules: Vec::new(),
        }
    }

    /// The job that registers the app, so that its webhooks are accepted.
    pub(crate) fn registration() -> Job {
        let body =
            json!({ "client_secret": CLIENT_SECRET, "webhook_secret_token": WEBHOOK_SECRET });
        Job::api("PUT", &format!("/v2/zoom-apps/{CLIENT_ID}"), &body)
    }

    pub(crate) async fn set_revocation(&mut self, revoke_on_delete: bool) {
        let settings = || TeamSettingsChange {
            revoke_on_delete: Some(revoke_on_delete),
            ..TeamSettingsChange::default()
        };
        let (operator, team) = (&self.backend.operator, &self.team.id);
        repeat!(operator.set(team, settings()));
        self.revoke_on_delete = revoke_on_delete;
    }

    /// The id of the pair of a user.
    pub(crate) fn pair_id(&self, user: &str) -> String {
        let pair = Pair {
            team: self.team.id.clone(),
            client_id: CLIENT_ID.to_owned().try_into().unwrap(),
            zoom_user_id: user.to_owned(),
        };
        pair.id().to_string()
    }

    /// Every row of a table. Read in the engine itself, because a client in a debug build is slow.
    pub(crate) fn items(&self, table: &str) -> Vec<Item> {
        let request = serde_json::from_value(json!({ "TableName": table }));
        let answer = self.backend.database.scan(request.unwrap()).unwrap();
        let mut answer = serde_json::to_value(answer).unwrap();
        serde_json::from_value(answer["Items"].take()).unwrap()
    }

    /// Writes a row without any condition.
    pub(crate) fn put(&self, table: &str, item: &Item) {
        let request = serde_json::from_value(json!({ "TableName": table, "Item": item }));
        self.backend.database.put_item(request.unwrap()).unwrap();
    }

    /// The user removes the app at Zoom.
    pub(crate) async fn remove_app(&mut self, user: usize) {
        let user = self.users[user].clone();
        self.removals.push(Removal {
            user: user.clone(),
            tick: next_tick(),
            is_told: false,
            at: Timestamp::now(),
            elapsed: self.elapsed,
        });
        self.backend.zoom.remove_app(CLIENT_ID, &user);
        // A code that is sent in the same millisecond would count as sent before the removal.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }

    /// The webhook of a removal, as Zoom sends it now.
    pub(crate) fn webhook(&self, removal: usize) -> Job {
        let Removal {
            user, at, elapsed, ..
        } = &self.removals[removal];
        let at = at.minus(self.elapsed.saturating_sub(*elapsed));
        let body = json!({
            "event": "app_deauthorized",
            "event_ts": at.as_millis(),
            "payload": {
                "account_id": "account",
                "user_id": user,
                "signature": "827edc3452044f0bc86bdd5684afb7d1e6becfa1a767f24df1b287853cf73000",
                "deauthorization_time": at.to_string(),
                "client_id": CLIENT_ID,
            },
        });
        let body = body.to_string();
        let endpoint = Webhook {
            url: "http://vault.test".parse().unwrap(),
            secret_token: WEBHOOK_SECRET.to_owned(),
        };
        let now = Timestamp::now().as_seconds();
        Job::Http {
            method: "POST",
            path: format!("/webhooks/zoom/{CLIENT_ID}"),
            headers: vec![
                ("x-zm-signature", endpoint.signature(now, body.as_bytes())),
                ("x-zm-request-timestamp", now.to_string()),
            ],
            body,
        }
    }

    /// Reads the new records of the stream, and the new capsules of the log.
    pub(crate) fn read_streams(&mut self) {
        while let Some(batch) = self.stream.batch().unwrap() {
            self.stream.advance();
            let records = batch["Records"].as_array().unwrap();
            let matters = |record: &&Value| {
                let record: StreamRecord = serde_json::from_value((*record).clone()).unwrap();
                record.cleanup_trigger().unwrap().is_some()
            };
            self.records.extend(records.iter().filter(matters).cloned());
        }
        let logged = capsules::take(&self.team.id).into_iter();
        self.capsules.extend(logged.map(|capsule| LoggedCapsule {
            capsule,
            is_replayed: false,
            elapsed: self.elapsed,
        }));
    }

    /// A capsule, with times as if it had been logged when it was.
    pub(crate) fn aged_capsule(&self, number: usize) -> Capsule {
        let logged = &self.capsules[number];
        let by = self.elapsed.saturating_sub(logged.elapsed);
        let millis = i64::try_from(by.as_millis()).unwrap();
        let mut capsule = logged.capsule.clone();
        match &mut capsule {
            Capsule::Refresh(capsule) => {
                let pair = &mut capsule.pair;
                pair.access_expires_at -= millis;
                pair.refreshed_at = pair.refreshed_at.minus(by);
                pair.idle_since = pair.idle_since.minus(by);
            }
            Capsule::Authorization(capsule) => {
                let row = &mut capsule.row;
                row.access_expires_at -= millis;
                row.authorize_sent_at -= millis;
                row.authorized_at -= millis;
            }
        }
        capsule
    }
}
