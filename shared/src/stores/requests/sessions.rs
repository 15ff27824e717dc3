//! Connect sessions: rows `connect#<session id>`. What is secret of one is sealed in `secrets`; here are hashes, and
//! what the team and the page are told.
//!
//! `stage` says how far it came: `waiting`, `started` (the user was sent to Zoom), `taken` (the user is back and the code
//! is being exchanged), `connected`, `failed`. From `failed`, and from `taken` when its time is over, it can be started again.

use std::collections::HashMap;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Requests, key};
use crate::connect::{
    BrowserKey, Failure, KnownUser, LinkToken, ReturnUrl, SessionId, State, Status,
};
use crate::credential::{ClientId, Credential, CredentialId, Name, RedirectUri, TeamId};
use crate::stores::expression::{Built, Update};
use crate::stores::transaction::Write;
use crate::stores::{
    Error, ExtraChange, Part, Transaction, failed, from_item, number, text, to_item,
};
use crate::timestamp::Timestamp;

/// How long the outcome of a session can be read after its end.
const REMEMBERED: Duration = Duration::from_hours(24);
/// For how long after an invocation's end nobody else goes on with its session: clocks differ.
const ALLOWANCE: Duration = Duration::from_secs(2);

/// Which Zoom app a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "app", content = "app_credential_id", rename_all = "snake_case")]
pub enum SessionApp {
    /// One that came with its secret, which is sealed with the session.
    Own,
    /// That of a credential of the team.
    Of(CredentialId),
}

/// What a session is made for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewSession {
    /// Whose.
    #[serde(rename = "team_id")]
    pub team: TeamId,
    /// What the credential is called, or is to be called from then on.
    pub name: Option<Name>,
    /// What the page calls it.
    pub label: Name,
    /// What becomes of the credential's `extra`.
    pub extra: Option<ExtraChange>,
    /// The Zoom app.
    pub client_id: ClientId,
    /// Where its secret is.
    #[serde(flatten)]
    pub app: SessionApp,
    /// The credential to connect anew; none for a new one.
    pub reconnects: Option<CredentialId>,
    /// Whose it is, where that is known.
    pub known_user: Option<KnownUser>,
    /// Where Zoom sends the user.
    pub redirect_uri: RedirectUri,
    /// Where the user goes in the end.
    pub return_url: Option<ReturnUrl>,
    /// Of the sealed verifier.
    pub code_challenge: String,
    /// When it ends.
    pub ends_at: Timestamp,
}

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
struct Row {
    request_id: String,
    link_hash: String,
    #[serde(flatten)]
    made_for: NewSession,
    stage: Stage,
    state_hash: Option<String>,
    browser_hash: Option<String>,
    taker: Option<Uuid>,
    taken_until: Option<i64>,
    credential_id: Option<CredentialId>,
    error: Option<Failure>,
    finished_at: Option<Timestamp>,
    expires_at: i64,
}

/// A session, as it stands.
#[derive(Debug)]
pub struct Session {
    /// Which.
    pub id: SessionId,
    /// What for.
    pub made_for: NewSession,
    /// The credential that it connected.
    pub credential: Option<CredentialId>,
    /// When it was finished, well or not.
    pub finished_at: Option<Timestamp>,
    link_hash: String,
    stage: Stage,
    state_hash: Option<String>,
    browser_hash: Option<String>,
    taker: Option<Uuid>,
    taken_until: Option<i64>,
    error: Option<Failure>,
}

/// The right to finish a session: whoever has it consumed its state.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    session: SessionId,
    taker: Uuid,
}

impl Session {
    /// Whether its time is over.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.made_for.ends_at <= now
    }

    /// How long somebody may still be exchanging its code.
    pub fn is_taken(&self, now: Timestamp) -> Option<Duration> {
        let until = self.taken_until.filter(|_| self.stage == Stage::Taken)?;
        let left = now.until(Timestamp::from_millis(until));
        (!left.is_zero()).then_some(left)
    }

    /// How it stands.
    pub fn status(&self, now: Timestamp) -> Status {
        match (self.stage, self.failure(now)) {
            (Stage::Connected, _) => Status::Connected,
            (_, Some(Failure::Expired)) => Status::Expired,
            (_, Some(_)) => Status::Failed,
            (_, None) => Status::Pending,
        }
    }

    /// Why it has not ended well, if it is known by now that it has not.
    pub fn failure(&self, now: Timestamp) -> Option<Failure> {
        match self.stage {
            Stage::Connected => None,
            Stage::Failed => Some(self.error.unwrap_or(Failure::Internal)),
            Stage::Taken if self.is_taken(now).is_some() => None,
            Stage::Taken => Some(Failure::Interrupted),
            Stage::Waiting | Stage::Started => self.is_over(now).then_some(Failure::Expired),
        }
    }

    /// Whether the credential, as it is now, is another Zoom user's than when the session was made. None where there was
    /// no user, or where one of the two is not known.
    pub fn user_changed(&self, credential: &Credential) -> Option<bool> {
        let known = self.made_for.known_user.as_ref()?;
        let now = credential.zoom_user_id.as_deref()?;
        Some(*known != KnownUser::of(self.id, now))
    }

    /// Whether this is the link to it.
    pub fn is_opened_by(&self, link: &LinkToken) -> bool {
        is_same(Some(&self.link_hash), &link.hash())
    }

    /// Whether Zoom was given this state last, in this browser.
    pub fn was_started_with(&self, state: &State, browser: &BrowserKey) -> bool {
        let state = is_same(self.state_hash.as_ref(), &state.hash());
        let browser = is_same(self.browser_hash.as_ref(), &browser.hash(self.id));
        state && browser
    }
}

fn is_same(known: Option<&String>, sent: &str) -> bool {
    known.is_some_and(|known| verify_slices_are_equal(known.as_bytes(), sent.as_bytes()).is_ok())
}

impl Requests {
    /// A transaction that begins with a new session, opened by `link`.
    pub fn insert_session(
        &self,
        id: SessionId,
        link: &LinkToken,
        new: NewSession,
    ) -> Result<Transaction<'_>, Error> {
        let row = Row {
            request_id: row_id(id),
            link_hash: link.hash(),
            expires_at: new.ends_at.plus(REMEMBERED).as_seconds(),
            made_for: new,
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
        // To a condition, an attribute that is null exists.
        item.retain(|_, value| !value.is_null());
        let absent = Some("attribute_not_exists(request_id)");
        let write = Write::put(
            Part::ConnectSession,
            &self.table,
            item,
            absent,
            HashMap::new(),
        )?;
        Ok(Transaction::new(&self.client, write))
    }

    /// A session; `NotFound` where there is none, or none any more.
    pub async fn session(&self, id: SessionId) -> Result<Session, Error> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key(&row_id(id))))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("GetItem", error))?;
        let row: Row = from_item(answer.item.ok_or(Error::NotFound)?)?;
        if row.expires_at <= Timestamp::now().as_seconds() {
            return Err(Error::NotFound);
        }
        Ok(Session {
            id,
            made_for: row.made_for,
            credential: row.credential_id,
            finished_at: row.finished_at,
            link_hash: row.link_hash,
            stage: row.stage,
            state_hash: row.state_hash,
            browser_hash: row.browser_hash,
            taker: row.taker,
            taken_until: row.taken_until,
            error: row.error,
        })
    }

    /// Sends the user to Zoom with this state, in this browser: it replaces those of an earlier start. `Conflict` where
    /// somebody is back from Zoom since the session was `seen`, or it is over.
    pub async fn start_session(
        &self,
        seen: &Session,
        state: &State,
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
        // Who took it once has it no more; who takes it meanwhile keeps it.
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

    /// Consumes the state: of all who come with it, one gets the session, until `until` and a moment longer. `Conflict`
    /// for the others, and for those who are late.
    pub async fn take_session(
        &self,
        id: SessionId,
        state: &State,
        browser: &BrowserKey,
        until: Timestamp,
    ) -> Result<Taken, Error> {
        let taker = Uuid::new_v4();
        let until = until.plus(ALLOWANCE).as_millis();
        let update = consume(id, state, browser)
            .set("stage", stage(Stage::Taken))
            .set("taker", text(&taker))
            .set("taken_until", number(&until));
        self.update_session(id, update.build(), |row| row.taker == Some(taker))
            .await?;
        Ok(Taken { session: id, taker })
    }

    /// Consumes the state of a user who came back without a code.
    pub async fn turn_away(
        &self,
        id: SessionId,
        state: &State,
        browser: &BrowserKey,
        failure: Failure,
    ) -> Result<(), Error> {
        let taker = Uuid::new_v4();
        let update = consume(id, state, browser)
            .set("stage", stage(Stage::Failed))
            .set("taker", text(&taker))
            .set("error", text(failure.as_str()))
            .set("finished_at", text(&Timestamp::now()));
        self.update_session(id, update.build(), |row| row.taker == Some(taker))
            .await
    }

    /// Says why a session that was taken has not ended well.
    pub async fn fail_session(&self, taken: Taken, failure: Failure) -> Result<(), Error> {
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

    /// The write that ends a session well, if it is still ours. What the credential has by then goes: no start follows, and
    /// a visit that is repeated needs the rest.
    pub fn finish_session(&self, taken: Taken, made: CredentialId) -> Result<Write, Error> {
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
        Write::update(Part::ConnectSession, &self.table, key, update)
    }

    /// Opens connections to DynamoDB, by reads of a session that there cannot be: two, as many as a request makes at once.
    pub async fn warm(&self) {
        let read = async || {
            let get = self.client.get_item().table_name(&self.table);
            // Whatever comes back, it comes over a connection that then is open.
            get.set_key(Some(key("connect#~"))).send().await.ok();
        };
        tokio::join!(read(), read());
    }

    /// Updates a session; `Conflict` where the condition does not hold, unless it is `ours`, whose answer was lost.
    async fn update_session(
        &self,
        id: SessionId,
        update: Built,
        is_ours: impl Fn(&Row) -> bool,
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
        match refused.item.clone().map(from_item::<Row>).transpose()? {
            Some(row) if is_ours(&row) => Ok(()),
            _ => Err(Error::Conflict),
        }
    }
}

/// What consuming a state takes: that it is the one that was given to Zoom last, in this browser, and in time.
fn consume(id: SessionId, state: &State, browser: &BrowserKey) -> Update {
    Update::new()
        .when_equal("stage", stage(Stage::Started))
        .when_equal("state_hash", text(&state.hash()))
        .when_equal("browser_hash", text(&browser.hash(id)))
        .when_not_less("ends_at", text(&Timestamp::now()))
}

/// A transaction that is under way on the row is somebody who finishes it.
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
