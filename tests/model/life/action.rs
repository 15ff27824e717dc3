//! The actions: everything that can happen next in a state.

use crate::authorizer::{Authorizer, AuthorizerStep};
use crate::ids::{CredentialId, GrantId, GrantSet, credentials, grants};
use crate::keep_alive::{KeepAlive, KeepAliveStep};
use crate::mint::{Mint, MintStep};
use crate::mistake::Mistake;
use crate::operator::Operator;
use crate::process::{PROCESSES, Process};
use crate::restore::Restore;
use crate::rows::{Closer, IndexEntry, Record, RecordKind};
use crate::scenario::{Protocol, Scenario};
use crate::state::{LateWrite, State};
use crate::stream::{StreamHandler, StreamStep};
use crate::turn::Turn;
use crate::write::Write;

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The process takes its next step.
    Step(Process),
    /// The process dies before its next step.
    Crash(Process),
    /// The process sends its next write and dies. The write arrives later or never.
    WriteLate(Process),
    /// The write arrives.
    LateArrives,
    /// The write never arrives.
    LateIsLost,
    /// DynamoDB is down to the end of the process, which holds new tokens.
    StoreDown(Process),
    /// The authorizer has no time for more siblings.
    SkipSiblings(usize),
    /// A mint with this credential begins.
    BeginMint(CredentialId),
    /// A worker of keep-alive takes this grant.
    Take(usize, GrantId),
    /// The stream handler receives this record.
    Receive(Record),
    /// The stream handler takes its last step, and the record comes again.
    StepAndRepeat,
    Delete(CredentialId),
    BeginRestore(CredentialId),
    /// The TTL removes a deleted credential.
    Expire(CredentialId),
    /// An operator purges a deleted credential.
    Purge(CredentialId),
    /// The write of an operation that has read what it writes to.
    FinishOperation(Write),
    /// User A removes the app.
    RemoveApp,
    /// An operator replays the capsule of an authorization.
    ReplayAuthorization(usize),
    /// An operator replays the capsule of a refresh.
    ReplayRefresh(GrantId),
    /// The index shows what the table contains of this credential.
    UpdateIndex(CredentialId),
}

/// Adds all actions that are possible in this state.
pub(crate) fn add_possible(scenario: Scenario, state: &State, actions: &mut Vec<Action>) {
    let mut copy = state.clone();
    let turn = scenario.turn(&mut copy);
    for process in PROCESSES {
        add_for_process(&turn, process, actions);
    }
    add_beginnings(&turn, actions);
    for (id, it) in state.authorizers.iter().enumerate() {
        if matches!(it.step, AuthorizerStep::Capsule(_)) {
            actions.push(Action::ReplayAuthorization(id));
        }
    }
    for grant in grants() {
        if state.sealed(grant).is_some_and(|row| row.attempt) {
            actions.push(Action::ReplayRefresh(grant));
        }
    }
    if state.late.is_some() {
        actions.extend([Action::LateArrives, Action::LateIsLost]);
    }
    if let Some(write) = state.operation {
        actions.push(Action::FinishOperation(write));
    }
    if state.left.index_lags {
        for id in credentials() {
            let row = state.credential(id).map(IndexEntry::from);
            if state.index[usize::from(id)] != row {
                actions.push(Action::UpdateIndex(id));
            }
        }
    }
}

fn add_for_process(turn: &Turn<'_>, process: Process, actions: &mut Vec<Action>) {
    let state = &*turn.state;
    let left = state.left;
    if !state.is_running(process) {
        if let Process::Authorizer(id) = process {
            let it = state.authorizers[id];
            if it.step == AuthorizerStep::Waiting && turn.may_authorize(it.code) {
                actions.push(Action::Step(process));
            }
        }
        return;
    }
    actions.push(Action::Step(process));
    let write = turn.next_write(process);
    let revokes = matches!(process, Process::KeepAlive(id) if state.keep_alive[id].step == KeepAliveStep::Revoke);
    // A crash before a read leaves behind what a crash before the next write leaves behind.
    if left.crashes > 0 && (write.is_some() || revokes) && process != Process::Restore {
        actions.push(Action::Crash(process));
    }
    let waits = matches!(write, None | Some(Write::Reopen { .. }));
    if left.late_writes > 0 && state.late.is_none() && !waits {
        actions.push(Action::WriteLate(process));
    }
    let down = match process {
        Process::Authorizer(id) => left.outages > 0 && state.authorizers[id].holds_tokens(),
        Process::Mint => {
            left.refresh_outages > 0 && state.mint.step == MintStep::Use && turn.own_grant_works()
        }
        Process::KeepAlive(id) => left.refresh_outages > 0 && turn.refreshes_next(id),
        Process::Stream | Process::Restore | Process::Webhook | Process::Operator => false,
    };
    if down {
        actions.push(Action::StoreDown(process));
    }
    match process {
        Process::Authorizer(id) if turn.write_to_sibling(id).is_some() => {
            actions.push(Action::SkipSiblings(id));
        }
        Process::Stream if left.repeats > 0 && state.stream.step != StreamStep::CountOut => {
            actions.push(Action::StepAndRepeat);
        }
        _ => {}
    }
}

fn add_beginnings(turn: &Turn<'_>, actions: &mut Vec<Action>) {
    let state = &*turn.state;
    let left = state.left;
    for id in credentials() {
        let Some(row) = state.credential(id) else {
            continue;
        };
        let mut add = |possible: bool, action| {
            if possible {
                actions.push(action);
            }
        };
        let live = !row.deleted;
        let operates = state.operation.is_some();
        add(
            live && left.mints > 0 && !state.mint.is_running(),
            Action::BeginMint(id),
        );
        add(live && left.deletes > 0 && !operates, Action::Delete(id));
        let restores = left.restores > 0 && state.restore == Restore::Idle;
        add(!live && restores, Action::BeginRestore(id));
        add(!live && left.expiries > 0, Action::Expire(id));
        let purges = left.purges > 0 && state.operator == Operator::default() && !operates;
        let today = turn.scenario.protocol == Protocol::TeamScan;
        add(!live && purges && !today, Action::Purge(id));
    }
    let idle = state.keep_alive.iter().position(|it| !it.is_running());
    if let (Some(worker), true) = (idle, left.takes > 0) {
        let due = grants().filter(|it| state.grant(*it).is_some_and(|row| row.due));
        actions.extend(due.map(|grant| Action::Take(worker, grant)));
    }
    if state.stream == StreamHandler::default() {
        let mut last = None;
        for record in state.records.iter().flatten() {
            if last != Some(record) {
                actions.push(Action::Receive(*record));
            }
            last = Some(record);
        }
    }
    if left.removals > 0 {
        actions.push(Action::RemoveApp);
    }
}

/// Applies an action to the state.
pub(crate) fn apply(scenario: Scenario, state: &mut State, action: Action) {
    match action {
        Action::Crash(_) => state.left.crashes -= 1,
        Action::WriteLate(_) => state.left.late_writes -= 1,
        Action::BeginMint(_) => state.left.mints -= 1,
        Action::Take(..) => state.left.takes -= 1,
        Action::Delete(_) => state.left.deletes -= 1,
        Action::BeginRestore(_) => state.left.restores -= 1,
        Action::Expire(_) => state.left.expiries -= 1,
        Action::Purge(_) => state.left.purges -= 1,
        Action::RemoveApp => state.left.removals -= 1,
        Action::StoreDown(Process::Authorizer(_)) => state.left.outages -= 1,
        Action::StoreDown(_) => state.left.refresh_outages -= 1,
        _ => {}
    }
    let mut turn = scenario.turn(state);
    match action {
        Action::Step(process) => turn.step(process),
        Action::Crash(process) => turn.crash(process),
        Action::WriteLate(process) => turn.write_late(process),
        Action::LateArrives => {
            if let Some(late) = turn.state.late.take() {
                turn.write(late.write);
            }
        }
        Action::LateIsLost => turn.state.late = None,
        Action::StoreDown(process) => turn.store_down(process),
        Action::SkipSiblings(id) => turn.skip_siblings(id),
        Action::BeginMint(id) => turn.begin_mint(id),
        Action::Take(worker, grant) => turn.take(worker, grant),
        Action::Receive(record) => turn.receive(record),
        Action::StepAndRepeat => turn.repeat_record(),
        Action::Delete(id) => turn.begin_delete(id),
        Action::BeginRestore(id) => turn.state.restore = Restore::Read(id),
        Action::Expire(id) => turn.expire(id),
        Action::Purge(id) => turn.begin_purge(id),
        Action::FinishOperation(write) => turn.finish_operation(write),
        Action::RemoveApp => turn.remove_app(),
        Action::ReplayAuthorization(id) => turn.replay_authorization(id),
        Action::ReplayRefresh(grant) => turn.replay_refresh(grant),
        Action::UpdateIndex(id) => {
            let row = turn.state.credential(id).map(IndexEntry::from);
            turn.state.index[usize::from(id)] = row;
        }
    }
}

impl Turn<'_> {
    /// The process dies. A record that was not handled comes again, and Zoom calls the webhook again.
    fn crash(&mut self, process: Process) {
        let state = &mut *self.state;
        match process {
            Process::Authorizer(id) => state.authorizers[id] = Authorizer::default(),
            Process::Mint => state.mint = Mint::default(),
            Process::KeepAlive(id) => state.keep_alive[id] = KeepAlive::default(),
            Process::Stream => state.stream = StreamHandler::default(),
            Process::Restore => state.restore = Restore::default(),
            Process::Webhook => self.begin_webhook(),
            Process::Operator => state.operator = Operator::default(),
        }
    }

    fn write_late(&mut self, process: Process) {
        let young = match process {
            Process::Authorizer(id) => self.state.authorizers[id].young,
            Process::Mint => self.state.mint.young,
            Process::KeepAlive(id) => self.state.keep_alive[id].young,
            _ => GrantSet::EMPTY,
        };
        let mut late = self
            .next_write(process)
            .map(|write| LateWrite { write, young });
        if let Some(LateWrite {
            write: Write::Close { closer, .. },
            ..
        }) = &mut late
        {
            *closer = Closer::Ended;
        }
        for row in self.state.grants.iter_mut().flatten() {
            row.closed_during.make_late(process);
        }
        self.crash(process);
        self.state.late = late;
    }

    fn store_down(&mut self, process: Process) {
        match process {
            Process::Authorizer(id) => self.log_authorization(id),
            Process::Mint | Process::KeepAlive(_) => {
                let grant = match process {
                    Process::KeepAlive(id) => self.state.keep_alive[id].grant,
                    _ => self.state.mint.grant,
                };
                if let Some(row) = self.state.grant_mut(grant) {
                    row.attempt = true;
                }
                self.crash(process);
            }
            Process::Stream | Process::Restore | Process::Webhook | Process::Operator => {}
        }
    }

    /// The capsule of a refresh is replayed: the grant works again.
    pub(crate) fn replay_refresh(&mut self, grant: GrantId) {
        if let Some(row) = self.state.grant_mut(grant) {
            row.attempt = false;
            row.reconnect = false;
            row.due = true;
            row.generation += 1;
        }
    }

    fn repeat_record(&mut self) {
        let record = self.state.stream.record();
        self.step_stream();
        if let (Some(record), true) = (record, self.state.stream == StreamHandler::default()) {
            self.state.left.repeats -= 1;
            self.state.tell(record);
        }
    }

    /// The TTL removes a deleted credential.
    fn expire(&mut self, id: CredentialId) {
        let Some(row) = self.state.credential(id) else {
            return;
        };
        self.state.credentials[usize::from(id)] = None;
        if self.is_today() {
            // The number is not given to another credential.
            self.state.gone[usize::from(id)] = true;
        }
        self.tell(Record {
            kind: RecordKind::Purged,
            credential: id,
            grant: row.grant,
            pair: row.pair,
        });
    }

    /// T4 requires what was read, so reading and writing are one step. Without this condition, they are two.
    fn begin_delete(&mut self, id: CredentialId) {
        let pair = self.state.credential(id).and_then(|row| row.pair);
        let write = Write::Delete {
            credential: id,
            pair,
        };
        if self.undone(Mistake::DeleteIgnoresSeenPair) {
            self.state.operation = Some(write);
        } else {
            self.write(write);
        }
    }

    /// T6′ requires what was read, so reading and writing are one step. Without this condition, they are two.
    fn begin_purge(&mut self, id: CredentialId) {
        if self.undone(Mistake::PurgeIgnoresRestore) {
            self.state.operation = Some(Write::PurgeNow { credential: id });
        } else {
            self.purge(id);
        }
    }

    fn finish_operation(&mut self, write: Write) {
        self.state.operation = None;
        if let Write::PurgeNow { credential } = write {
            self.purge(credential);
        } else {
            self.write(write);
        }
    }
}
