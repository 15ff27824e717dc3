//! The processes: which of them run, and what their next write is.

use crate::operator::Operator;
use crate::restore::Restore;
use crate::state::State;
use crate::stream::StreamHandler;
use crate::turn::Turn;
use crate::webhook::Webhook;
use crate::write::Write;

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Process {
    Authorizer(usize),
    Mint,
    KeepAlive(usize),
    Stream,
    Restore,
    Webhook,
    Operator,
}

pub(crate) const PROCESSES: [Process; 9] = [
    Process::Authorizer(0),
    Process::Authorizer(1),
    Process::Mint,
    Process::KeepAlive(0),
    Process::KeepAlive(1),
    Process::Stream,
    Process::Restore,
    Process::Webhook,
    Process::Operator,
];

/// A set of processes, and of the process whose write is late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ProcessSet(u16);

impl ProcessSet {
    pub(crate) const EMPTY: Self = Self(0);

    /// Stands for the process whose write is late.
    const LATE: u16 = 1 << PROCESSES.len();

    /// The processes that run, and the late write.
    pub(crate) fn running(state: &State) -> Self {
        let late = if state.late.is_some() { Self::LATE } else { 0 };
        let running = PROCESSES.iter().enumerate();
        let running = running.filter(|(_, process)| state.is_running(**process));
        Self(running.fold(late, |set, (bit, _)| set | 1 << bit))
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn keep(&mut self, others: Self) {
        self.0 &= others.0;
    }

    /// The write of this process is late.
    pub(crate) fn make_late(&mut self, process: Process) {
        let bit = PROCESSES.iter().position(|it| *it == process);
        if bit.is_some_and(|bit| self.0 & (1 << bit) != 0) {
            self.0 |= Self::LATE;
        }
    }
}

impl State {
    pub(crate) fn is_running(&self, process: Process) -> bool {
        match process {
            Process::Authorizer(id) => self.authorizers[id].is_running(),
            Process::Mint => self.mint.is_running(),
            Process::KeepAlive(id) => self.keep_alive[id].is_running(),
            Process::Stream => self.stream != StreamHandler::default(),
            Process::Restore => self.restore != Restore::Idle,
            Process::Webhook => self.webhook != Webhook::default(),
            Process::Operator => self.operator != Operator::default(),
        }
    }
}

impl Turn<'_> {
    /// The process takes its next step.
    pub(crate) fn step(&mut self, process: Process) {
        match process {
            Process::Authorizer(id) => self.step_authorizer(id),
            Process::Mint => self.step_mint(),
            Process::KeepAlive(id) => self.step_keep_alive(id),
            Process::Stream => self.step_stream(),
            Process::Restore => self.step_restore(),
            Process::Webhook => self.step_webhook(),
            Process::Operator => self.step_operator(),
        }
    }

    /// The write of the process's next step.
    pub(crate) fn next_write(&self, process: Process) -> Option<Write> {
        let state = &*self.state;
        match process {
            Process::Authorizer(id) => state.authorizers[id]
                .write()
                .or_else(|| self.write_to_sibling(id)),
            Process::Mint => state.mint.write(),
            Process::KeepAlive(id) => self.write_of_worker(id),
            Process::Stream => state.stream.write(),
            Process::Restore => state.restore.write(),
            Process::Webhook => state.webhook.write(state.ghost.deauthorized),
            Process::Operator => state.operator.write(),
        }
    }
}
