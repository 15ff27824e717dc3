//! The handler of the stream of `credentials`. It counts purged credentials out, and hastens grants.

use crate::ids::{GrantId, User};
use crate::mistake::Mistake;
use crate::rows::{Record, RecordKind};
use crate::turn::{Cause, Turn};
use crate::write::Write;

/// The next step of the stream handler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum StreamStep {
    #[default]
    Idle,
    /// T6.
    CountOut,
    /// T6, with a mistake: the second of two writes.
    CountMember,
    /// Delete the client secret and the token URLs.
    DeleteApp,
    /// Hasten the grants that may have lost their owner.
    Hasten,
    /// The pair has neither members nor grants: its row gets a TTL.
    ExpirePair,
    /// Today's protocol: read who points at the grant.
    ReadOwners,
    /// Today's protocol: destroy the grant, if nobody adopted it since.
    Destroy,
}

/// The stream handler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct StreamHandler {
    pub(crate) step: StreamStep,
    record: Option<Record>,
    /// Today's protocol: the grant's adoptions before the owners were read.
    adoptions: u8,
}

impl StreamHandler {
    pub(crate) const fn record(self) -> Option<Record> {
        self.record
    }

    /// The write of the next step.
    pub(crate) fn write(self) -> Option<Write> {
        let record = self.record?;
        match self.step {
            StreamStep::CountOut => Some(Write::CountOut {
                credential: record.credential,
                pair: record.pair,
            }),
            StreamStep::CountMember => Some(Write::CountMember { pair: record.pair }),
            StreamStep::DeleteApp => Some(Write::DeleteApp {
                credential: record.credential,
            }),
            StreamStep::ExpirePair => record.pair.map(|user| Write::ExpirePair { user }),
            _ => None,
        }
    }
}

impl Turn<'_> {
    /// The handler receives a record.
    pub(crate) fn receive(&mut self, record: Record) {
        let today = self.is_today();
        let adoptions = self
            .state
            .grant(record.grant)
            .map_or(0, |row| row.adoptions);
        self.state.stream = StreamHandler {
            step: match record.kind {
                RecordKind::Left | RecordKind::Purged if today => StreamStep::ReadOwners,
                RecordKind::Left | RecordKind::Deleted => StreamStep::Hasten,
                RecordKind::Purged => StreamStep::CountOut,
            },
            record: Some(record),
            adoptions,
        };
    }

    /// The next step of the stream handler.
    pub(crate) fn step_stream(&mut self) {
        let StreamHandler {
            step,
            record,
            adoptions,
        } = self.state.stream;
        let Some(record) = record else {
            return;
        };
        if let Some(write) = self.state.stream.write() {
            self.write(write);
        }
        let next = match step {
            StreamStep::Idle => return,
            StreamStep::CountOut if self.undone(Mistake::CountOutInTwoWrites) => {
                StreamStep::CountMember
            }
            StreamStep::CountOut | StreamStep::CountMember
                if self.undone(Mistake::PurgeKeepsApp) =>
            {
                StreamStep::Hasten
            }
            StreamStep::CountOut | StreamStep::CountMember => StreamStep::DeleteApp,
            StreamStep::DeleteApp if record.pair.is_some_and(|user| self.expires_empty(user)) => {
                StreamStep::ExpirePair
            }
            StreamStep::DeleteApp if !self.is_today() && self.scenario.tracks_due => {
                StreamStep::Hasten
            }
            StreamStep::ReadOwners if self.has_owner(record) => StreamStep::DeleteApp,
            StreamStep::ReadOwners => StreamStep::Destroy,
            StreamStep::Destroy => {
                let row = self.state.grant(record.grant);
                if row.is_some_and(|row| row.adoptions == adoptions) {
                    self.destroy(record.grant, Cause::Unneeded);
                }
                StreamStep::DeleteApp
            }
            StreamStep::Hasten => {
                self.hasten_for(record);
                StreamStep::Idle
            }
            StreamStep::DeleteApp | StreamStep::ExpirePair => StreamStep::Idle,
        };
        let today_left = self.is_today() && record.kind == RecordKind::Left;
        if next == StreamStep::Idle || (next == StreamStep::DeleteApp && today_left) {
            self.state.stream = StreamHandler::default();
            self.forget(record);
        } else {
            self.state.stream.step = next;
        }
    }

    /// The record was handled. It may come again.
    fn forget(&mut self, record: Record) {
        let records = &mut self.state.records;
        if let Some(it) = records.iter_mut().find(|it| **it == Some(record)) {
            *it = None;
        }
    }

    /// Today's protocol: whether a row of the team points at the grant. The credential that is purged does not count.
    fn has_owner(&self, record: Record) -> bool {
        let purged = |id| record.kind == RecordKind::Purged && id == record.credential;
        self.state.holders(record.grant).any(|id| !purged(id))
    }

    fn hasten_for(&mut self, record: Record) {
        if record.kind == RecordKind::Left && self.undone(Mistake::LeftDestroys) {
            if self.state.holders(record.grant).next().is_none() {
                self.destroy(record.grant, Cause::Unneeded);
            }
            return;
        }
        if self.undone(Mistake::NothingIsHastened) {
            return;
        }
        match (record.kind, record.pair) {
            (RecordKind::Left, _) | (_, None) => self.hasten(record.grant),
            (RecordKind::Deleted, Some(user)) => {
                if self.state.pair(user).live == 0 {
                    self.hasten_pair(user);
                }
            }
            (RecordKind::Purged, Some(user)) => {
                if !self.undone(Mistake::PurgeHastensPairOnly) {
                    self.hasten(record.grant);
                }
                if self.state.pair(user).members == 0 {
                    self.hasten_pair(user);
                }
            }
        }
    }

    fn hasten(&mut self, grant: GrantId) {
        if let Some(row) = self.state.grant_mut(grant) {
            row.due = true;
        }
    }

    pub(crate) fn hasten_pair(&mut self, user: User) {
        for grant in self.state.pair(user).grants.iter() {
            self.hasten(grant);
        }
    }
}
