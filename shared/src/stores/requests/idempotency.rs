//! Idempotency rows, and the lock that lets one authorization of a credential run at a time.
//!
//! A request claims its rows in one transaction, holds them while it runs, and then completes or releases the claim.
//! A claim whose invocation died ends by itself.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::table::{Requests, key};
use crate::credential::{CredentialId, TeamId};
use crate::stores::error::Error;
use crate::stores::expression::Update;
use crate::stores::item::{from_item, number, text, to_item};
use crate::stores::transaction::TRANSACTION_TIMEOUT;
use crate::stores::transaction::{DetailedOutcome, RowKind, Transaction, Write};
use crate::timestamp::Timestamp;

/// How long an idempotency row answers retries.
const IDEMPOTENCY_RETENTION: Duration = Duration::from_hours(24);

/// The claim that makes a retry the same request. Two requests with the same `key_hash` are one request.
#[derive(Clone, Debug)]
pub struct IdempotencyClaim {
    /// The SHA-256, in hex, of the idempotency key. Without the header, the SHA-256 of the credential's id (`new`
    /// for a new credential), the client id and the authorization code.
    pub key_hash: String,
    /// The SHA-256, in hex, of the request. With a code, without the client secret and the code verifier.
    pub request_hash: String,
    /// What identifies the request.
    pub named_by: RequestName,
}

/// What identifies a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestName {
    /// The header `Idempotency-Key`.
    Key,
    /// The authorization code. It can fail at Zoom, and then serve a corrected request.
    Code,
}

/// An idempotency row or a lock, as DynamoDB stores it.
#[derive(Debug, Serialize, Deserialize)]
struct ClaimRow {
    request_id: String,
    holder: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_progress_until: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential_id: Option<CredentialId>,
    expires_at: i64,
}

/// The result of a claim.
#[derive(Debug)]
pub enum ClaimOutcome {
    /// The request holds the claim. It must call [`Requests::complete_claim`] or [`Requests::release`] when it ends.
    Acquired(HeldClaim),
    /// An earlier request with this key or code has completed.
    AlreadyDone(EarlierRequest),
    /// The same request, or another authorization of the same credential, is running.
    InProgress {
        /// How long the other request may still take.
        wait: Duration,
    },
    /// Another request used this key.
    KeyReused,
}

/// A completed request with the same idempotency key or code.
#[derive(Clone, Copy, Debug)]
pub struct EarlierRequest {
    /// The credential that the earlier request created or changed.
    pub credential: CredentialId,
    /// Whether the earlier request had the same hash. Always with the same key.
    pub is_same: bool,
}

/// The rows that a request holds until its invocation ends.
#[derive(Clone, Debug, Default)]
pub struct HeldClaim {
    holder: Uuid,
    idempotency_row: Option<String>,
    lock_row: Option<String>,
}

impl Requests {
    /// Claims an idempotency row until `until`. With `reauthorize`, also locks that credential, in the same
    /// transaction. Writes nothing if there is nothing to claim.
    pub async fn claim(
        &self,
        team: &TeamId,
        claim: Option<&IdempotencyClaim>,
        reauthorize: Option<CredentialId>,
        until: Timestamp,
    ) -> Result<ClaimOutcome, Error> {
        let now = Timestamp::now();
        let held = HeldClaim {
            holder: Uuid::new_v4(),
            idempotency_row: claim.map(|claim| format!("idem#{team}#{}", claim.key_hash)),
            lock_row: reauthorize.map(|id| format!("reauth#{team}#{id}")),
        };
        let hash = claim.map(|claim| claim.request_hash.clone());
        let rows = [
            (RowKind::Idempotency, &held.idempotency_row, hash),
            (RowKind::ReauthorizationLock, &held.lock_row, None),
        ];
        let writes = rows.into_iter().filter_map(|(kind, id, request_hash)| {
            let row = ClaimRow {
                request_id: id.clone()?,
                holder: held.holder,
                request_hash,
                in_progress_until: Some(until.as_millis()),
                credential_id: None,
                expires_at: now.plus(IDEMPOTENCY_RETENTION).as_seconds(),
            };
            Some(self.claim_row(kind, &row, now))
        });
        let mut writes = writes.collect::<Result<Vec<Write>, Error>>()?.into_iter();
        let Some(first) = writes.next() else {
            return Ok(ClaimOutcome::Acquired(held));
        };
        let transaction = writes.fold(Transaction::new(&self.client, first), Transaction::and);

        match transaction.run(now.plus(TRANSACTION_TIMEOUT)).await? {
            DetailedOutcome::Committed => Ok(ClaimOutcome::Acquired(held)),
            DetailedOutcome::Refused { kind, row, .. } => {
                let row: ClaimRow = from_item(row.unwrap_or_default())?;
                Ok(refused_claim(kind, &row, claim, now))
            }
        }
    }

    /// Releases a claim, so that the client can retry at once.
    pub async fn release(&self, held: &HeldClaim) -> Result<(), Error> {
        let rows = [
            (RowKind::Idempotency, &held.idempotency_row),
            (RowKind::ReauthorizationLock, &held.lock_row),
        ];
        let writes = rows
            .into_iter()
            .filter_map(|(kind, id)| Some(self.release_row(kind, id.as_deref()?, held.holder)));
        let mut writes = writes.collect::<Result<Vec<Write>, Error>>()?.into_iter();
        let Some(first) = writes.next() else {
            return Ok(());
        };
        let transaction = writes.fold(Transaction::new(&self.client, first), Transaction::and);
        // If the transaction is refused, the request has lost its rows, and nothing is left to release.
        transaction.commit(Timestamp::now()).await.map(drop)
    }

    /// The write that stores the credential as the result of the request. The write is refused if the request does
    /// not hold the row any more.
    pub fn complete_claim(
        &self,
        held: &HeldClaim,
        credential: CredentialId,
    ) -> Result<Option<Write>, Error> {
        let Some(id) = &held.idempotency_row else {
            return Ok(None);
        };
        let update = Update::new()
            .set("credential_id", text(&credential))
            .remove("in_progress_until")
            .when_equal("holder", text(&held.holder))
            .build();
        Write::update(RowKind::Idempotency, &self.table, key(id), update).map(Some)
    }

    /// The write that releases the credential's lock. The write is refused if the request does not hold the lock any
    /// more.
    pub fn unlock(&self, held: &HeldClaim) -> Result<Option<Write>, Error> {
        held.lock_row
            .as_ref()
            .map(|id| self.release_row(RowKind::ReauthorizationLock, id, held.holder))
            .transpose()
    }

    /// The write that inserts a row, or replaces a row that is expired or abandoned.
    fn claim_row(&self, kind: RowKind, row: &ClaimRow, now: Timestamp) -> Result<Write, Error> {
        let free =
            "attribute_not_exists(request_id) OR in_progress_until < :now OR expires_at < :today";
        let values = HashMap::from([
            (":now".to_owned(), number(&now.as_millis())),
            (":today".to_owned(), number(&now.as_seconds())),
        ]);
        Write::put(kind, &self.table, to_item(row)?, Some(free), values)
    }

    fn release_row(&self, kind: RowKind, id: &str, holder: Uuid) -> Result<Write, Error> {
        // A completed row stays, because it answers retries.
        let mine = Update::new()
            .when_equal("holder", text(&holder))
            .when_present("in_progress_until");
        Write::delete(kind, &self.table, key(id), mine.build())
    }
}

/// The outcome of a claim whose row another request holds or has completed.
fn refused_claim(
    kind: RowKind,
    row: &ClaimRow,
    claim: Option<&IdempotencyClaim>,
    now: Timestamp,
) -> ClaimOutcome {
    let claim = claim.filter(|_| kind == RowKind::Idempotency);
    let is_same = claim.is_none_or(|claim| row.request_hash.as_ref() == Some(&claim.request_hash));
    let named_by = claim.map(|claim| claim.named_by);
    if !is_same && named_by == Some(RequestName::Key) {
        return ClaimOutcome::KeyReused;
    }
    match (row.in_progress_until, row.credential_id) {
        (None, Some(credential)) => ClaimOutcome::AlreadyDone(EarlierRequest {
            credential,
            is_same,
        }),
        (until, _) => ClaimOutcome::InProgress {
            wait: now.until(Timestamp::from_millis(until.unwrap_or_default())),
        },
    }
}
