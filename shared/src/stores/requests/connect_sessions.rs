//! Connect sessions. The table `secrets` holds the sealed secrets of a session. This table holds hashes, and what the
//! team and the page may see.
//!
//! The attribute `stage` says how far a session has come:
//! - `waiting`: the user has not started
//! - `started`: the vault has sent the user to Zoom
//! - `taken`: the user came back, and a request exchanges the code
//! - `connected`: the session has ended well
//! - `failed`: the session has failed
//!
//! A failed session can be started again. So can a `taken` session whose request has run out of time.

use std::collections::HashMap;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::new_session::NewSession;
use super::table::{Requests, key};
use crate::connect::{
    BrowserKey, ConnectFailure, LinkToken, OAuthState, SessionId, SessionStatus, ZoomUserHash,
};
use crate::credential::{Credential, CredentialId, TeamId};
use crate::stores::error::{Error, failed};
use crate::stores::expression::{BuiltUpdate, Update};
use crate::stores::item::{from_item, number, text, to_item};
use crate::stores::transaction::{RowKind, Transaction, Write};
use crate::timestamp::Timestamp;

/// How long the outcome of a session can be read after the session has ended.
const SESSION_RETENTION: Duration = Duration::from_hours(24);
/// How long after the end of an invocation its session stays claimed, because clocks differ.
const CLOCK_SKEW_ALLOWANCE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stage {
    Waiting,
    Started,
    Taken,
    Connected,
    Failed,
}

/// A session's row.
#[derive(Debug, Serialize, Deserialize)]
struct ConnectSessionRow {
    request_id: String,
    link_hash: String,
    #[serde(flatten)]
    parameters: NewSession,
    stage: Stage,
    state_hash: Option<String>,
    browser_hash: Option<String>,
    taker: Option<Uuid>,
    taken_until: Option<i64>,
    credential_id: Option<CredentialId>,
    error: Option<ConnectFailure>,
    finished_at: Option<Timestamp>,
    expires_at: i64,
}

/// A session.
#[derive(Debug)]
pub struct Session {
    /// The id of the session.
    pub id: SessionId,
    /// The parameters of the session.
    pub parameters: NewSession,
    /// The credential that the session connected.
    pub credential: Option<CredentialId>,
    /// When the session connected or failed.
    pub finished_at: Option<Timestamp>,
    link_hash: String,
    stage: Stage,
    state_hash: Option<String>,
    browser_hash: Option<String>,
    taker: Option<Uuid>,
    taken_until: Option<i64>,
    error: Option<ConnectFailure>,
}

/// A session that waits for its user.
#[derive(Clone, Debug, Serialize)]
pub struct OpenSession {
    /// The id of the session.
    pub session_id: SessionId,
    /// The id of the API key that created the session.
    pub created_by: String,
    /// When the session ends.
    pub ends_at: Timestamp,
}

/// What is read of an open session.
#[derive(Deserialize)]
struct OpenSessionRow {
    request_id: String,
    created_by: String,
    ends_at: Timestamp,
}

/// The exclusive right to finish a session. Its holder has consumed the OAuth state.
#[derive(Clone, Copy, Debug)]
pub struct SessionClaim {
    session: SessionId,
    taker: Uuid,
}

impl Session {
    /// Whether the session has expired at `now`.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.parameters.ends_at <= now
    }

    /// How long a request may still exchange the code of the session. `None` if no request does.
    pub fn exchange_time_left(&self, now: Timestamp) -> Option<Duration> {
        let until = self.taken_until.filter(|_| self.stage == Stage::Taken)?;
        let left = now.until(Timestamp::from_millis(until));
        (!left.is_zero()).then_some(left)
    }

    /// The status that the team and the page see.
    pub fn status(&self, now: Timestamp) -> SessionStatus {
        match (self.stage, self.failure(now)) {
            (Stage::Connected, _) => SessionStatus::Connected,
            (_, Some(ConnectFailure::Expired)) => SessionStatus::Expired,
            (_, Some(_)) => SessionStatus::Failed,
            (_, None) => SessionStatus::Pending,
        }
    }

    /// Why the session has failed. `None` if it has connected or can still connect.
    pub fn failure(&self, now: Timestamp) -> Option<ConnectFailure> {
        match self.stage {
            Stage::Connected => None,
            Stage::Failed => Some(self.error.unwrap_or(ConnectFailure::Internal)),
            Stage::Taken if self.exchange_time_left(now).is_some() => None,
            Stage::Taken => Some(ConnectFailure::Interrupted),
            Stage::Waiting | Stage::Started => self.is_over(now).then_some(ConnectFailure::Expired),
        }
    }

    /// Whether the credential's Zoom user differs from the user at the time when the session was created. `None` if
    /// one of the two users is unknown.
    pub fn user_changed(&self, credential: &Credential) -> Option<bool> {
        let known = self.parameters.known_user.as_ref()?;
        let now = credential.zoom_user_id.as_deref()?;
        Some(*known != ZoomUserHash::of(self.id, now))
    }

    /// Whether `link` is the token in the session's link.
    pub fn is_opened_by(&self, link: &LinkToken) -> bool {
        is_same(Some(&self.link_hash), &link.hash())
    }

    /// Whether the last start of the session used this OAuth state and this browser.
    pub fn was_started_with(&self, state: &OAuthState, browser: &BrowserKey) -> bool {
        let state = is_same(self.state_hash.as_ref(), &state.hash());
        let browser = is_same(self.browser_hash.as_ref(), &browser.hash(self.id));
        state && browser
    }
}

fn is_same(known: Option<&String>, sent: &str) -> bool {
    known.is_some_and(|known| verify_slices_are_equal(known.as_bytes(), sent.as_bytes()).is_ok())
}

impl Requests {
    /// Begins a transaction that inserts a session. `link` opens the session.
    pub fn insert_session(
        &self,
        id: SessionId,
        link: &LinkToken,
        new: NewSession,
    ) -> Result<Transaction<'_>, Error> {
        let row = ConnectSessionRow {
            request_id: row_id(id),
            link_hash: link.hash(),
            expires_at: new.ends_at.plus(SESSION_RETENTION).as_seconds(),
            parameters: new,
            stage: Stage::Waiting,
            state_hash: None,
            browser_hash: None,
            taker: None,
            taken_until: None,
            credential_id: None,
            error: None,
            finished_at: None,
        };
        let mut item = to_item(row)?;
        // `attribute_not_exists` is false for an attribute that is null.
        item.retain(|_, value| !value.is_null());
        let absent = Some("attribute_not_exists(request_id)");
        let write = Write::put(
            RowKind::ConnectSession,
            &self.table,
            item,
            absent,
            HashMap::new(),
        )?;
        Ok(Transaction::new(&self.client, write))
    }

    /// Reads a session. Returns `None` if the session does not exist or its retention is over.
    pub async fn session(&self, id: SessionId) -> Result<Option<Session>, Error> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key(&row_id(id))))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("GetItem", error))?;
        let row: Option<ConnectSessionRow> = answer.item.map(from_item).transpose()?;
        let row = row.filter(|row| row.expires_at > Timestamp::now().as_seconds());
        Ok(row.map(|row| Session {
            id,
            parameters: row.parameters,
            credential: row.credential_id,
            finished_at: row.finished_at,
            link_hash: row.link_hash,
            stage: row.stage,
            state_hash: row.state_hash,
            browser_hash: row.browser_hash,
            taker: row.taker,
            taken_until: row.taken_until,
            error: row.error,
        }))
    }

    /// Stores the OAuth state and the browser key of a start. They replace those of an earlier start.
    ///
    /// Returns `Conflict` if the session is over, or if a request has claimed the session since `seen`.
    pub async fn start_session(
        &self,
        seen: &Session,
        state: &OAuthState,
        browser: &BrowserKey,
    ) -> Result<(), Error> {
        let update = Update::new()
            .set("stage", stage(Stage::Started))
            .set("state_hash", text(&state.hash()))
            .set("browser_hash", text(&browser.hash(seen.id)))
            .remove("taker")
            .remove("taken_until")
            .remove("error")
            .remove("finished_at")
            .when_equal("link_hash", text(&seen.link_hash))
            .when_not_equal("stage", stage(Stage::Connected))
            .when_not_less("ends_at", text(&Timestamp::now()));
        // The request that held the session in `seen` is out of time and loses the session. A request that has
        // claimed the session since `seen` keeps it.
        let update = match (seen.stage, seen.taker) {
            (Stage::Taken, Some(taker)) => update.when_equal("taker", text(&taker)),
            _ => update.when_not_equal("stage", stage(Stage::Taken)),
        };
        let hash = state.hash();
        self.update_session(seen.id, update.build(), |row| {
            row.state_hash.as_deref() == Some(hash.as_str())
        })
        .await
    }

    /// Consumes the OAuth state and claims the session until shortly after `until`. Of several requests with the same
    /// state, one gets the claim. The others get `Conflict`.
    pub async fn claim_session(
        &self,
        id: SessionId,
        state: &OAuthState,
        browser: &BrowserKey,
        until: Timestamp,
    ) -> Result<SessionClaim, Error> {
        let taker = Uuid::new_v4();
        let until = until.plus(CLOCK_SKEW_ALLOWANCE).as_millis();
        let update = when_state_is_unused(id, state, browser)
            .set("stage", stage(Stage::Taken))
            .set("taker", text(&taker))
            .set("taken_until", number(&until));
        self.update_session(id, update.build(), |row| row.taker == Some(taker))
            .await?;
        Ok(SessionClaim { session: id, taker })
    }

    /// Consumes the OAuth state of a user who came back without a code, and marks the session as failed.
    pub async fn fail_without_code(
        &self,
        id: SessionId,
        state: &OAuthState,
        browser: &BrowserKey,
        failure: ConnectFailure,
    ) -> Result<(), Error> {
        let taker = Uuid::new_v4();
        let update = when_state_is_unused(id, state, browser)
            .set("stage", stage(Stage::Failed))
            .set("taker", text(&taker))
            .set("error", text(failure.as_str()))
            .set("finished_at", text(&Timestamp::now()));
        self.update_session(id, update.build(), |row| row.taker == Some(taker))
            .await
    }

    /// Finds the team's sessions that wait for their user. Reads the whole table, so it is for the operator.
    pub async fn open_sessions(&self, team: &TeamId) -> Result<Vec<OpenSession>, Error> {
        let mut rows = self
            .client
            .scan()
            .table_name(&self.table)
            .filter_expression(
                "begins_with(request_id, :connect) AND team_id = :team AND ends_at > :now \
                 AND attribute_not_exists(credential_id)",
            )
            .expression_attribute_values(":connect", text("connect#"))
            .expression_attribute_values(":team", text(team))
            .expression_attribute_values(":now", text(&Timestamp::now()))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut sessions = Vec::new();
        while let Some(row) = rows.next().await {
            let row: OpenSessionRow = from_item(row.map_err(|error| failed("Scan", error))?)?;
            let id = row.request_id.strip_prefix("connect#");
            let id = id.and_then(|id| id.parse().ok());
            sessions.extend(id.map(|session_id| OpenSession {
                session_id,
                created_by: row.created_by,
                ends_at: row.ends_at,
            }));
        }
        Ok(sessions)
    }

    /// The write that ends a session now, as if it had expired. Refused if it has connected a user, or is about to.
    pub fn end_session(&self, id: SessionId, team: &TeamId) -> Result<Write, Error> {
        let update = Update::new()
            .set("ends_at", text(&Timestamp::now()))
            .when_equal("team_id", text(team))
            .when_absent("credential_id")
            .when_absent("taken_until");
        let key = key(&row_id(id));
        Write::update(RowKind::ConnectSession, &self.table, key, update.build())
    }

    /// Marks a claimed session as failed.
    pub async fn fail_session(
        &self,
        taken: SessionClaim,
        failure: ConnectFailure,
    ) -> Result<(), Error> {
        let update = Update::new()
            .set("stage", stage(Stage::Failed))
            .set("error", text(failure.as_str()))
            .set("finished_at", text(&Timestamp::now()))
            .remove("taken_until")
            .when_equal("taker", text(&taken.taker));
        let update = update.when_equal("stage", stage(Stage::Taken));
        self.update_session(taken.session, update.build(), |row| {
            row.taker == Some(taken.taker) && row.stage == Stage::Failed
        })
        .await
    }

    /// The write that marks a claimed session as connected. The write is refused if the claim is lost.
    ///
    /// The write removes `name` and `extra`, because the credential has them now. The other attributes stay: a reload
    /// of the page needs them.
    pub fn finish_session(&self, taken: SessionClaim, made: CredentialId) -> Result<Write, Error> {
        let update = Update::new()
            .set("stage", stage(Stage::Connected))
            .set("credential_id", text(&made))
            .set("finished_at", text(&Timestamp::now()))
            .remove("taken_until")
            .remove("name")
            .remove("extra")
            .when_equal("taker", text(&taken.taker))
            .build();
        let key = key(&row_id(taken.session));
        Write::update(RowKind::ConnectSession, &self.table, key, update)
    }

    /// Updates a session. Returns `Conflict` if the condition fails. If `is_ours` accepts the row, the SDK has
    /// retried an update that was applied, and the result is `Ok`.
    async fn update_session(
        &self,
        id: SessionId,
        update: BuiltUpdate,
        is_ours: impl Fn(&ConnectSessionRow) -> bool,
    ) -> Result<(), Error> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(&row_id(id))))
            .update_expression(update.update)
            .set_condition_expression(update.condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = update.send().await else {
            return Ok(());
        };
        let Some(UpdateItemError::ConditionalCheckFailedException(refused)) =
            error.as_service_error()
        else {
            return Err(conflicting(error));
        };
        match refused
            .item
            .clone()
            .map(from_item::<ConnectSessionRow>)
            .transpose()?
        {
            Some(row) if is_ours(&row) => Ok(()),
            _ => Err(Error::Conflict),
        }
    }
}

/// The conditions for consuming a state: it is the state of the last start, in the same browser, before the session's
/// end.
fn when_state_is_unused(id: SessionId, state: &OAuthState, browser: &BrowserKey) -> Update {
    Update::new()
        .when_equal("stage", stage(Stage::Started))
        .when_equal("state_hash", text(&state.hash()))
        .when_equal("browser_hash", text(&browser.hash(id)))
        .when_not_less("ends_at", text(&Timestamp::now()))
}

/// Maps a transaction that locks the row to `Conflict`. The other request is about to finish the session.
fn conflicting(error: SdkError<UpdateItemError>) -> Error {
    match error.as_service_error() {
        Some(UpdateItemError::TransactionConflictException(_)) => Error::Conflict,
        _ => failed("UpdateItem", error),
    }
}

fn stage(of: Stage) -> AttributeValue {
    text(match of {
        Stage::Waiting => "waiting",
        Stage::Started => "started",
        Stage::Taken => "taken",
        Stage::Connected => "connected",
        Stage::Failed => "failed",
    })
}

fn row_id(id: SessionId) -> String {
    format!("connect#{id}")
}
