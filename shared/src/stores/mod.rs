//! The stores: one per DynamoDB table. Only this module knows table keys, conditions and expressions.
//!
//! There is one store per table because an IAM role lists tables. A function that takes `&Credentials` and `&Secrets`
//! may use those two tables. Writes that must happen together form a [`Transaction`].
//!
//! | table | store | the operator's store |
//! | --- | --- | --- |
//! | `credentials` | [`Credentials`] | [`ManualPurge`], [`TableInspector`] |
//! | `secrets` | [`Secrets`] | [`WrappedDataKeys`], [`ManualPurge`], [`TableInspector`] |
//! | `pairs` | [`Pairs`] | [`TableInspector`] |
//! | `keys` | [`Keys`] (reads) | [`TeamAdmin`] (writes) |
//! | `requests` | [`Requests`] | |
//! | `token-urls` | [`TokenUrls`] | [`ManualPurge`] |
//! | `events` | [`Events`] | |
//!
//! [`StreamRecord`] reads the stream of the table `credentials`, [`EventStreamRecord`] that of the table `events`.

mod credentials;
mod error;
mod event_stream;
mod events;
mod expression;
mod first_read;
mod item;
mod keys;
mod manual_purge;
mod pairs;
mod requests;
mod row_lock;
mod secrets;
mod stream;
mod table_inspector;
mod team_admin;
mod token_urls;
mod transaction;
mod wrapped_data_keys;

pub use credentials::{
    AuthorizedGrant, BATCH, CredentialChanges, CredentialFilter, CredentialPage, Credentials,
    ExtraChange, GrantRef, Holder, ImportedCredential, SOME_MEMBERS, StoredCredential,
};
pub use error::Error;
pub use event_stream::EventStreamRecord;
pub use events::{EventFilter, EventPage, Events, RETENTION, Trail};
pub use first_read::FirstRead;
pub use item::Listed;
pub use keys::{
    DEFAULT_MAX_TOKEN_TTL, DEFAULT_MINT_RATE, DEFAULT_RATE, Keys, KnownKey, RateKind, Team,
};
pub use manual_purge::{ManualPurge, OwnedRow};
pub use pairs::{CountChange, Pairs, StoredPair};
pub use requests::{
    Admission, Charged, ClaimOutcome, EarlierRequest, HeldClaim, Hits, IdempotencyClaim,
    ImportVerdict, NewSession, OpenSession, RateLimits, RequestName, Requests, Session, SessionApp,
    SessionClaim, StoredImport,
};
pub use secrets::{
    AcquireOutcome, AcquiredLease, AppSecret, DUE_AT_ONCE, DueGrant, DuePosition, EndpointSecret,
    GrantSecret, GrantState, Lease, NewPair, NotificationEndpoint, PairWrite, RefreshAttempt,
    Registered, RegisteredVendor, Secrets, SessionSecretRow, StoredGrant, VendorSecrets, ZoomApp,
    due_shards,
};
pub use stream::{CleanupTrigger, CredentialIds, StreamRecord};
pub use table_inspector::{CredentialLinks, PairLink, SealedRow, TableHealth, TableInspector};
pub use team_admin::{KeyListing, Rotation, TeamAdmin, TeamSettingsChange};
pub use token_urls::{TeamTokenUrl, TokenUrlListing, TokenUrlPage, TokenUrls, UsableTokenUrl};
pub use transaction::{CommitOutcome, RowKind, TRANSACTION_TIMEOUT, Transaction, Write};
pub use wrapped_data_keys::{KeySlot, WrappedDataKeys, WrappedRow, WrappedRowPage};
