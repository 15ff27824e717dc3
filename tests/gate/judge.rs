//! Judges an execution: compares what Zoom issued with what the tables hold and what the mints answered.

use std::collections::HashSet;

use shared::credential::CredentialId;
use shared::stores::GrantState;
use uuid::Uuid;

use crate::backend::StoredCredential;
use crate::execution::{Execution, UserConsent};
use crate::lambda::{MintAnswer, RefreshMethod};
use crate::pairs::{IssuedPairs, issued_token};
use crate::summary::Summary;
use crate::wire::{Call, REFRESH_PATH};

/// How often a mint without faults is repeated.
const MAX_REPETITIONS: usize = 2;

/// Mints twice more with every credential, the second time with a refresh. Then reports what was lost, and why.
///
/// The rules I1 to I8 are those of docs/protocol.md (Refresh).
pub(crate) async fn judge(execution: Execution<'_>, name: String) -> Summary {
    let mut judge = Judge {
        execution,
        summary: Summary::new(name),
    };
    judge.check_states_before_healing().await;
    let mut last_answers = Vec::new();
    for id in judge.execution.credentials.clone() {
        // A late request may have ended an access token that is new. The vault refreshes it after a minute.
        let Execution { backend, team, .. } = &judge.execution;
        backend.age_access_token(team, id).await;
        last_answers.push(judge.last_mint(id).await);
        let Execution { backend, team, .. } = &judge.execution;
        backend.expire_access_token(team, id).await;
        last_answers.push(judge.last_mint(id).await);
    }
    judge.check_last_answers(&last_answers);
    judge.check_final_states().await;
    judge.check_calls();
    judge.check_answers();
    let mut summary = judge.summary;
    summary.capsules += judge.execution.replays.len();
    let first_mint = judge.execution.calls().swap_remove(0);
    summary.first_mint_operations = first_mint.into_iter().map(|call| call.operation).collect();
    judge.execution.return_lambdas();
    summary
}

struct Judge<'a> {
    execution: Execution<'a>,
    summary: Summary,
}

impl Judge<'_> {
    /// Mints without faults. On a busy machine, an answer may come too late. Then mints again.
    async fn last_mint(&mut self, id: CredentialId) -> MintAnswer {
        let mut answer = self.execution.mint(id).await;
        for _ in 0..MAX_REPETITIONS {
            if answer.status < 500 {
                break;
            }
            answer = self.execution.mint(id).await;
        }
        answer
    }

    /// Before another mint repairs anything: no state changes unless a grant was lost (I7), and no pair is dropped.
    async fn check_states_before_healing(&mut self) {
        let stored_tokens = self.execution.stored_tokens().await;
        let pairs = IssuedPairs::of(&self.execution);
        let live_tokens = self.live_tokens();
        for stored in self.execution.stored_credentials().await {
            let zoom_grant = self.zoom_grant(&stored.refresh_tokens[0]);
            // A late commit can revive a grant. Its credentials stay `invalid` until the next mint (I8).
            let revived_late = !is_dead(&stored) && pairs.arrived_late(zoom_grant);
            let declared = is_dead(&stored) || (stored.state == "invalid" && !revived_late);
            let lives = holds_any(&stored, &live_tokens);
            if declared && lives {
                self.summary
                    .violation("a live grant was declared dead", |it| {
                        it.wrongly_invalidated += 1;
                    });
            }
            // A grant that Zoom replaced or that the user withdrew is gone for good.
            let ended_by_user = self.execution.consent != UserConsent::Given
                || zoom_grant != self.newest_zoom_grant();
            if declared && !lives && !ended_by_user && !pairs.is_unavoidable_loss(zoom_grant) {
                self.summary
                    .violation("a state changed although nothing was lost", |it| {
                        it.wrongly_invalidated += 1;
                    });
            }
        }
        for token in &live_tokens {
            if pairs.received.contains(token) && !stored_tokens.contains(token) {
                self.summary
                    .violation("a token pair was dropped", |it| it.dropped_pairs += 1);
            }
        }
    }

    /// The last mints return tokens, unless the grant is gone for a reason that the answer reports.
    fn check_last_answers(&mut self, last: &[MintAnswer]) {
        let mut failed = last.iter().filter(|it| it.token.is_none()).peekable();
        if failed.peek().is_none() {
            return;
        }
        let all_reconnect = failed.all(|answer| answer.status == 409);
        let reasons: Vec<_> = last
            .iter()
            .map(|answer| (answer.status, answer.details.as_deref()))
            .collect();
        let reports_loss = reasons
            .iter()
            .any(|(_, details)| *details == Some("refresh_outcome_lost"));
        let (pairs, newest) = (IssuedPairs::of(&self.execution), self.newest_zoom_grant());
        if !all_reconnect {
            let text = format!("a mint fails after healing: {reasons:?}");
            self.summary.violation(&text, |it| it.lost_avoidably += 1);
        } else if self.execution.consent == UserConsent::Withdrawn {
            self.summary.revoked += 1;
        } else if pairs.is_unavoidable_loss(newest) {
            self.summary.lost_unavoidably += 1;
            if !reports_loss && !pairs.arrived_late(newest) {
                let text = format!("a lost refresh was reported with another reason: {reasons:?}");
                self.summary.violation(&text, |it| it.other_violations += 1);
            }
        } else {
            let text = format!("a grant was lost that could have been kept: {reasons:?}");
            self.summary.violation(&text, |it| it.lost_avoidably += 1);
        }
    }

    /// After the last mints: no live grant is declared dead, and each credential's state agrees with its grant (I8).
    async fn check_final_states(&mut self) {
        let live_tokens = self.live_tokens();
        for stored in self.execution.stored_credentials().await {
            let declared = is_dead(&stored);
            if declared && holds_any(&stored, &live_tokens) {
                self.summary
                    .violation("a live grant stays declared dead", |it| {
                        it.wrongly_invalidated += 1;
                    });
            }
            let differs = declared != (stored.state == "invalid");
            if self.execution.method == RefreshMethod::Vault && differs {
                self.summary
                    .violation("I8: the states of credential and grant differ", |it| {
                        it.other_violations += 1;
                    });
            }
        }
    }

    /// The refresh tokens that Zoom accepts now.
    fn live_tokens(&self) -> HashSet<String> {
        let Execution {
            backend,
            authorized_tokens,
            ..
        } = &self.execution;
        let calls = self.execution.calls();
        let refreshed = calls.iter().flatten().filter_map(issued_token);
        let all = refreshed.chain(authorized_tokens.iter().cloned());
        all.filter(|token| backend.zoom.is_live_refresh_token(token))
            .collect()
    }

    /// Zoom's grant that a refresh token belongs to.
    fn zoom_grant(&self, token: &str) -> Option<Uuid> {
        self.execution.backend.zoom.grant_of(token)
    }

    /// Zoom's newest grant of the user. All older grants are dead.
    fn newest_zoom_grant(&self) -> Option<Uuid> {
        let Execution { backend, team, .. } = &self.execution;
        let grants = backend.zoom.grants().into_iter();
        let mut grants = grants.filter(|grant| grant.user_id == team.user);
        grants.next_back().map(|grant| grant.id)
    }

    /// Counts the refreshes. The commit follows Zoom's answer directly (I6). No token is in flight twice (I2).
    fn check_calls(&mut self) {
        for calls in self.execution.calls() {
            for (index, call) in calls.iter().enumerate() {
                if call.operation == REFRESH_PATH {
                    self.check_commit_follows(call, calls.iter().skip(index + 1));
                }
            }
        }
        let pairs = IssuedPairs::of(&self.execution);
        self.summary.refresh_posts += pairs.posts();
        for _ in 0..pairs.overlaps() {
            self.summary
                .violation("I2: a refresh token was in flight twice", |it| {
                    it.overlapping_posts += 1;
                });
        }
        if pairs.arrived_late(self.newest_zoom_grant()) {
            self.summary.unchecked_reasons += 1;
        }
        let Execution { backend, team, .. } = &self.execution;
        let grants = backend.zoom.grants().into_iter();
        for grant in grants.filter(|grant| grant.user_id == team.user) {
            self.summary.spent_token_posts += usize::try_from(grant.spent_posts).unwrap();
        }
    }

    fn check_commit_follows<'c>(
        &mut self,
        refresh: &Call,
        mut later_calls: impl Iterator<Item = &'c Call>,
    ) {
        if self.execution.method != RefreshMethod::Vault || issued_token(refresh).is_none() {
            return;
        }
        let Some(answered_at) = refresh.delivered_at else {
            return;
        };
        // A call that started before Zoom answered was in flight already.
        let next = later_calls.find(|call| call.started_at > answered_at);
        if next.is_some_and(|next| !next.is_commit()) {
            let text = format!("I6: a call between Zoom's answer and the commit: {next:?}");
            self.summary.violation(&text, |it| it.other_violations += 1);
        }
    }

    /// Every invocation ends before its time-out, and no token is returned twice.
    fn check_answers(&mut self) {
        let mut tokens = HashSet::new();
        for answer in self.execution.answers.values() {
            self.summary.longest_mint = self.summary.longest_mint.max(answer.duration);
            if answer.timed_out {
                self.summary
                    .violation("an invocation ran into its time-out", |it| {
                        it.other_violations += 1;
                    });
            }
            if let Some(token) = &answer.token
                && !tokens.insert(token)
            {
                self.summary
                    .violation("a token was returned twice", |it| it.other_violations += 1);
            }
        }
        self.summary.tokens += tokens.len();
    }
}

fn holds_any(stored: &StoredCredential, tokens: &HashSet<String>) -> bool {
    let mut held = stored.refresh_tokens.iter();
    held.any(|token| tokens.contains(token))
}

fn is_dead(stored: &StoredCredential) -> bool {
    stored.grant.state != GrantState::Active
}
