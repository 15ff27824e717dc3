//! The webhook `app_deauthorized`: user A removed the app. Zoom tells it again until the webhook answers.

use crate::authorizer::AuthorizerStep;
use crate::ids::{GrantSet, User, credentials, grants};
use crate::mistake::Mistake;
use crate::turn::{Cause, Turn};
use crate::write::Write;

/// The next step of the webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum WebhookStep {
    #[default]
    Idle,
    /// T10: mark the pair.
    Mark,
    /// Destroy the pair's grants, one after another.
    Shred,
    /// Mark the credentials that the index shows `invalid`.
    Invalidate,
}

/// The webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Webhook {
    pub(crate) step: WebhookStep,
    /// The grants that are still to be destroyed.
    grants: GrantSet,
}

impl Webhook {
    /// The write of the next step.
    pub(crate) fn write(self, deauthorized: GrantSet) -> Option<Write> {
        match self.step {
            WebhookStep::Idle | WebhookStep::Invalidate => None,
            WebhookStep::Mark => Some(Write::Mark {
                user: User::A,
                grants: deauthorized,
            }),
            WebhookStep::Shred => self.grants.iter().next().map(|grant| Write::Destroy {
                grant,
                cause: Cause::Deauthorized,
            }),
        }
    }
}

impl Turn<'_> {
    /// User A removes the app: all grants whose code was sent are dead.
    pub(crate) fn remove_app(&mut self) {
        self.state.zoom.remove_app(User::A);
        self.state.ghost.revoked[User::A.index()] = false;
        let on_its_way = |grant| {
            self.state.authorizers.iter().any(|it| {
                it.step == AuthorizerStep::CodeSent
                    && it.code.grant == grant
                    && it.code.user == User::A
            })
        };
        self.state.ghost.deauthorized = grants()
            .filter(|it| self.state.zoom.user(*it) == Some(User::A) || on_its_way(*it))
            .collect();
        self.begin_webhook();
    }

    /// Zoom calls the webhook.
    pub(crate) fn begin_webhook(&mut self) {
        let shreds_first = self.undone(Mistake::MarkAfterShred) || self.is_today();
        self.state.webhook = Webhook {
            step: if shreds_first {
                WebhookStep::Shred
            } else {
                WebhookStep::Mark
            },
            grants: if shreds_first {
                self.deauthorized_grants()
            } else {
                GrantSet::EMPTY
            },
        };
    }

    /// The grants to destroy: those of the pair's row, of which the code was sent before the user removed the app.
    fn deauthorized_grants(&self) -> GrantSet {
        let known = if self.is_today() {
            credentials()
                .filter_map(|id| self.state.index[usize::from(id)])
                .filter(|entry| entry.user == Some(User::A))
                .map(|entry| entry.grant)
                .collect()
        } else {
            self.state.pair(User::A).grants
        };
        let kept = known.without(self.state.ghost.deauthorized);
        known.without(kept)
    }

    /// The next step of the webhook.
    pub(crate) fn step_webhook(&mut self) {
        let Webhook { step, grants } = self.state.webhook;
        let write = self.state.webhook.write(self.state.ghost.deauthorized);
        let marks = step != WebhookStep::Mark || !self.undone(Mistake::NoMark);
        if let (Some(write), true) = (write, marks) {
            self.write(write);
        }
        self.state.webhook = match step {
            WebhookStep::Idle => Webhook::default(),
            WebhookStep::Mark if self.undone(Mistake::MarkAfterShred) => Webhook {
                step: WebhookStep::Invalidate,
                grants,
            },
            WebhookStep::Mark => Webhook {
                step: WebhookStep::Shred,
                grants: self.deauthorized_grants(),
            },
            WebhookStep::Shred => {
                let rest: GrantSet = grants.iter().skip(1).collect();
                let step = if !rest.is_empty() {
                    WebhookStep::Shred
                } else if self.undone(Mistake::MarkAfterShred) {
                    WebhookStep::Mark
                } else {
                    WebhookStep::Invalidate
                };
                Webhook { step, grants: rest }
            }
            WebhookStep::Invalidate => {
                for id in credentials() {
                    let entry = self.state.index[usize::from(id)];
                    let shown = entry.is_some_and(|it| it.user == Some(User::A));
                    let row = self.state.credentials[usize::from(id)].as_mut();
                    if let (Some(row), true) = (row, shown) {
                        row.invalid |= self.state.ghost.deauthorized.contains(row.grant);
                    }
                }
                Webhook::default()
            }
        };
    }
}
