//! The bounds of an exploration: what the vault contains at first, and what may happen.

use crate::action::{self, Action};
use crate::authorizer::{Authorizer, AuthorizerStep};
use crate::budget::Budget;
use crate::ids::{CredentialId, GrantId, GrantSet, User};
use crate::mint::Mint;
use crate::mistake::Mistake;
use crate::operator::Operator;
use crate::rest;
use crate::restore::Restore;
use crate::rows::{Credential, GrantRow};
use crate::rules;
use crate::state::{Ghost, State};
use crate::stream::StreamHandler;
use crate::turn::Turn;
use crate::webhook::Webhook;
use crate::write::Code;
use crate::zoom::Zoom;
use stateright::{Model, Property};

/// Which protocol runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Ownership on the pair's row.
    PairRow,
    /// The protocol before: ownership is the question whether a row of the team points at the grant.
    TeamScan,
}

/// The credentials of user A in the first state. Credential 0 is live and has grant 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Credential 1 shares grant 0.
    Shared,
    /// Credential 1 has grant 1. Zoom accepts only grant 1: the two were authorized within seconds.
    NewerLives,
    /// Credential 1 has grant 1. Zoom accepts only grant 0.
    OlderLives,
    /// There is no other credential.
    One,
    /// Credential 1 shares grant 0 and is deleted.
    SharedDeleted,
    /// Credential 1 has grant 1, which works, and is deleted.
    NewerDeleted,
}

/// A user authorizes, for a new credential or for one that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authorize {
    Create(CredentialId, User),
    Update(CredentialId, User),
}

/// The bounds of an exploration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) protocol: Protocol,
    pub(crate) mistake: Mistake,
    pub(crate) start: Start,
    /// The authorizations, at most two. They may overlap.
    pub(crate) authorizations: &'static [Authorize],
    /// The team revokes a grant at Zoom when its credentials are deleted.
    pub(crate) revokes: bool,
    /// Keep-alive looks only at grants that are due. Otherwise it may look at any grant.
    pub(crate) tracks_due: bool,
    pub(crate) budget: Budget,
}

impl Scenario {
    pub(crate) const fn new(
        start: Start,
        authorizations: &'static [Authorize],
        budget: Budget,
    ) -> Self {
        Self {
            protocol: Protocol::PairRow,
            mistake: Mistake::None,
            start,
            authorizations,
            revokes: false,
            tracks_due: false,
            budget,
        }
    }

    pub(crate) const fn revoking(self) -> Self {
        Self {
            revokes: true,
            ..self
        }
    }

    pub(crate) const fn tracking_due(self) -> Self {
        Self {
            tracks_due: true,
            ..self
        }
    }

    pub(crate) const fn today(self) -> Self {
        Self {
            protocol: Protocol::TeamScan,
            ..self
        }
    }

    pub(crate) const fn with(self, mistake: Mistake) -> Self {
        Self { mistake, ..self }
    }

    pub(crate) fn turn(self, state: &mut State) -> Turn<'_> {
        Turn {
            state,
            scenario: self,
        }
    }

    fn add_credential(
        self,
        state: &mut State,
        credential: CredentialId,
        grant: GrantId,
        deleted: bool,
    ) {
        state.credentials[usize::from(credential)] = Some(Credential {
            deleted,
            grant,
            pair: Some(User::A),
            invalid: false,
            told: false,
        });
        state.apps[usize::from(credential)] = true;
        let mut row = GrantRow::new(credential);
        if self.protocol == Protocol::PairRow {
            row.pair = Some(User::A);
            let pair = &mut state.pairs[User::A.index()];
            pair.exists = true;
            pair.members += 1;
            pair.live += i8::from(!deleted);
            pair.grants.insert(grant);
        }
        state.grants[usize::from(grant)] = Some(row);
        state.answered.insert(grant);
    }

    fn first_state(self) -> State {
        let mut zoom = Zoom::default();
        match self.start {
            Start::Shared | Start::SharedDeleted | Start::One => zoom.authorize(0, User::A),
            Start::NewerLives | Start::NewerDeleted => {
                zoom.add_replaced(0, User::A);
                zoom.authorize(1, User::A);
            }
            Start::OlderLives => {
                zoom.add_replaced(1, User::A);
                zoom.authorize(0, User::A);
            }
        }
        let mut state = State {
            zoom,
            credentials: [None; 3],
            apps: [false; 3],
            gone: [false; 3],
            grants: [None; 5],
            pairs: Default::default(),
            index: [None; 3],
            records: [None; 8],
            older: [GrantSet::EMPTY; 5],
            answered: GrantSet::EMPTY,
            authorizers: Default::default(),
            mint: Mint::default(),
            keep_alive: Default::default(),
            stream: StreamHandler::default(),
            restore: Restore::default(),
            webhook: Webhook::default(),
            operator: Operator::default(),
            late: None,
            operation: None,
            left: self.budget,
            ghost: Ghost::default(),
        };
        self.add_credential(&mut state, 0, 0, false);
        match self.start {
            Start::One => {}
            Start::Shared => self.add_credential(&mut state, 1, 0, false),
            Start::SharedDeleted => self.add_credential(&mut state, 1, 0, true),
            Start::NewerLives | Start::OlderLives => self.add_credential(&mut state, 1, 1, false),
            Start::NewerDeleted => self.add_credential(&mut state, 1, 1, true),
        }
        for ((authorize, authorizer), grant) in self
            .authorizations
            .iter()
            .zip(&mut state.authorizers)
            .zip(3..)
        {
            let (creates, credential, user) = match *authorize {
                Authorize::Create(credential, user) => (true, credential, user),
                Authorize::Update(credential, user) => (false, credential, user),
            };
            *authorizer = Authorizer {
                step: AuthorizerStep::Waiting,
                code: Code {
                    creates,
                    credential,
                    grant,
                    user,
                    ..Code::default()
                },
                ..Authorizer::default()
            };
        }
        state.update_index();
        state
    }
}

impl Model for Scenario {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.first_state().canonical(self.tracks_due)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        action::add_possible(*self, state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        action::apply(*self, &mut state, action);
        let mut state = state.canonical(self.tracks_due);
        if state.is_idle() {
            rest::check(*self, &mut state);
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        rules::properties()
    }
}
