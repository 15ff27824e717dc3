//! The state of the model, and which states count as equal.

use crate::authorizer::{Authorizer, AuthorizerStep};
use crate::budget::Budget;
use crate::ids::{CREDENTIALS, CredentialId, GRANTS, GrantId, GrantSet, USERS, User, credentials};
use crate::keep_alive::{KeepAlive, KeepAliveStep};
use crate::mint::Mint;
use crate::operator::Operator;
use crate::process::ProcessSet;
use crate::restore::Restore;
use crate::rows::{Closer, Credential, GrantRow, IndexEntry, PairRow, Record};
use crate::rules::Rule;
use crate::stream::StreamHandler;
use crate::webhook::Webhook;
use crate::write::Write;
use crate::zoom::Zoom;

/// How many records of the stream may wait at the same time.
const RECORDS: usize = 8;

/// A write whose process has died. The write may still arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LateWrite {
    pub(crate) write: Write,
    /// The grants that were authorized while the process ran.
    pub(crate) young: GrantSet,
}

/// What the rules remember. No step of the protocol reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Ghost {
    /// The rules that were violated on the way to this state, as a bit set.
    pub(crate) violated: u16,
    /// Grants that were destroyed because nobody needed them.
    pub(crate) unneeded: GrantSet,
    /// Those of them that still work at Zoom.
    pub(crate) lost: GrantSet,
    /// Grants whose code was sent before the user deauthorized the app.
    pub(crate) deauthorized: GrantSet,
    /// The users whose live grant the vault revoked, and who have not authorized again.
    pub(crate) revoked: [bool; USERS],
}

/// The whole state: Zoom, the tables, the processes, and what may still happen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) zoom: Zoom,

    pub(crate) credentials: [Option<Credential>; CREDENTIALS],
    /// `app#…` of each credential: the client secret, and the token URLs.
    pub(crate) apps: [bool; CREDENTIALS],
    /// `gone#…` of each credential.
    pub(crate) gone: [bool; CREDENTIALS],
    pub(crate) grants: [Option<GrantRow>; GRANTS],
    pub(crate) pairs: [PairRow; USERS],
    pub(crate) index: [Option<IndexEntry>; CREDENTIALS],
    /// In order of their content: the order in which they come is open.
    pub(crate) records: [Option<Record>; RECORDS],

    /// The grants whose tokens Zoom had sent before the code of each grant was sent: they are at least 5 seconds older.
    pub(crate) older: [GrantSet; GRANTS],
    /// The grants whose tokens Zoom has sent.
    pub(crate) answered: GrantSet,

    pub(crate) authorizers: [Authorizer; 2],
    pub(crate) mint: Mint,
    pub(crate) keep_alive: [KeepAlive; 2],
    pub(crate) stream: StreamHandler,
    pub(crate) restore: Restore,
    pub(crate) webhook: Webhook,
    pub(crate) operator: Operator,
    pub(crate) late: Option<LateWrite>,
    /// The write of an operation that has read what it writes to.
    pub(crate) operation: Option<Write>,
    /// What may still happen.
    pub(crate) left: Budget,

    pub(crate) ghost: Ghost,
}

impl State {
    pub(crate) fn credential(&self, credential: CredentialId) -> Option<Credential> {
        self.credentials[usize::from(credential)]
    }

    /// The row of a credential that is not deleted.
    pub(crate) fn live_credential(&self, credential: CredentialId) -> Option<Credential> {
        self.credential(credential).filter(|it| !it.deleted)
    }

    pub(crate) fn grant(&self, grant: GrantId) -> Option<GrantRow> {
        self.grants[usize::from(grant)]
    }

    /// The row of a grant that has tokens.
    pub(crate) fn sealed(&self, grant: GrantId) -> Option<GrantRow> {
        self.grant(grant).filter(|it| it.sealed)
    }

    pub(crate) fn grant_mut(&mut self, grant: GrantId) -> Option<&mut GrantRow> {
        self.grants[usize::from(grant)].as_mut()
    }

    pub(crate) fn pair(&self, user: User) -> PairRow {
        self.pairs[user.index()]
    }

    /// Whether this credential has a row and points at the grant.
    pub(crate) fn points_at(&self, credential: CredentialId, grant: GrantId) -> bool {
        self.credential(credential)
            .is_some_and(|it| it.grant == grant)
    }

    /// The credentials that have a row and point at the grant.
    pub(crate) fn holders(&self, grant: GrantId) -> impl Iterator<Item = CredentialId> {
        credentials().filter(move |it| self.points_at(*it, grant))
    }

    /// Whether Zoom accepts the tokens that are on the row.
    pub(crate) fn works(&self, grant: GrantId) -> bool {
        self.zoom.is_live(grant) && self.sealed(grant).is_some_and(|row| !row.attempt)
    }

    /// Whether a reader may use the grant: it has tokens, it is active, and it is not closed.
    pub(crate) fn is_usable(&self, grant: GrantId) -> bool {
        self.sealed(grant)
            .is_some_and(|row| !row.reconnect && row.closed.is_none())
    }

    /// The grants that were authorized while a process ran that still runs. The first argument tells for which
    /// processes this counts.
    pub(crate) fn young(&self, authorizers_only: bool) -> GrantSet {
        let authorizers = self.authorizers.iter().map(|it| it.young);
        let others = [
            self.mint.young,
            self.keep_alive[0].young,
            self.keep_alive[1].young,
        ];
        let late = self.late.map_or(GrantSet::EMPTY, |it| it.young);
        let others = others.into_iter().filter(|_| !authorizers_only);
        authorizers.chain(others).fold(late, GrantSet::with)
    }

    pub(crate) const fn violate(&mut self, rule: Rule) {
        self.ghost.violated |= rule.bit();
    }

    pub(crate) const fn keeps(&self, rule: Rule) -> bool {
        self.ghost.violated & rule.bit() == 0
    }

    /// Adds a record to the stream.
    pub(crate) fn tell(&mut self, record: Record) {
        if let Some(free) = self.records.iter_mut().find(|it| it.is_none()) {
            *free = Some(record);
        } else {
            panic!("the stream of the model is too short");
        }
    }

    /// Whether no process runs and no write is on its way. Capsules and records may wait.
    pub(crate) fn is_idle(&self) -> bool {
        !self.authorizers.iter().any(Authorizer::is_running)
            && self.mint == Mint::default()
            && self.keep_alive.iter().all(|it| *it == KeepAlive::default())
            && self.stream == StreamHandler::default()
            && self.restore == Restore::default()
            && self.webhook == Webhook::default()
            && self.operator == Operator::default()
            && self.late.is_none()
            && self.operation.is_none()
    }

    /// The index shows what the table contains.
    pub(crate) fn update_index(&mut self) {
        self.index = self.credentials.map(|row| row.map(IndexEntry::from));
    }

    /// Maps states that differ only in details without effect to one state.
    pub(crate) fn canonical(mut self, tracks_due: bool) -> Self {
        if !self.left.index_lags {
            self.update_index();
        }
        if !tracks_due {
            self.grants
                .iter_mut()
                .flatten()
                .for_each(|it| it.due = true);
        }
        self.records.sort_unstable_by_key(|it| (it.is_none(), *it));
        if !self.mint.is_running() {
            self.mint = Mint::default();
        }
        self.clear_old_times();
        for (id, worker) in self.keep_alive.iter_mut().enumerate() {
            worker.clear_unused();
            let revokes = worker.step.revokes();
            for row in self.grants.iter_mut().flatten() {
                if !revokes && row.closed.is_some_and(|it| it == Closer::of(id)) {
                    row.closed = Some(Closer::Ended);
                }
            }
        }
        let running = ProcessSet::running(&self);
        for row in self.grants.iter_mut().flatten() {
            row.closed_during.keep(running);
        }
        let live = User::ALL.map(|user| self.zoom.live_grant(user));
        self.ghost.lost = self
            .ghost
            .lost
            .iter()
            .filter(|it| live.contains(&Some(*it)))
            .collect();
        self
    }

    /// Forgets when grants were authorized that no process compares any more.
    fn clear_old_times(&mut self) {
        let waiting = |it: &Authorizer| it.step == AuthorizerStep::Waiting;
        if !self
            .authorizers
            .iter()
            .any(|it| waiting(it) || it.is_running())
        {
            self.answered = GrantSet::EMPTY;
        }
        for (index, older) in self.older.iter_mut().enumerate() {
            let is_held =
                |it: &&Option<Credential>| it.is_some_and(|row| usize::from(row.grant) == index);
            let is_authorized = self
                .authorizers
                .iter()
                .any(|it| usize::from(it.code.grant) == index && it.step != AuthorizerStep::Ended);
            if !is_authorized && self.credentials.iter().find(is_held).is_none() {
                *older = GrantSet::EMPTY;
            }
        }
    }

    /// A pair's row is written, so its version rises: what was read of it is out of date.
    pub(crate) fn pair_written(&mut self, user: User) {
        for worker in &mut self.keep_alive {
            if worker.step == KeepAliveStep::Close && worker.user == user {
                worker.pair_changed = true;
            }
        }
        let late = self.late.as_mut().map(|it| &mut it.write);
        if let Some(Write::Close {
            user: it,
            pair_changed,
            ..
        }) = late
        {
            *pair_changed |= *it == user;
        }
    }
}
