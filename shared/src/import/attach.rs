//! The end of an import: the grant gets a credential.

use std::time::Duration;

use super::{Import, ImportOutcome, ImportResult, ProfileRead, Step, until};
use crate::authorize::NewApp;
use crate::credential::{CredentialId, Name, ReconnectReason, State};
use crate::error::Error;
use crate::event::{Change, EventKind};
use crate::grants::cache::Access;
use crate::grants::hand_over::HandOver;
use crate::grants::profile::{MIN_AUTHORIZATION_GAP, record_active};
use crate::pair::Pair;
use crate::profile::{Profile, UNKNOWN_PROFILE};
use crate::stores::{
    self, AppSecret, BATCH, CommitOutcome, ImportVerdict, ImportedCredential, RowKind,
    SOME_MEMBERS, StoredCredential, StoredGrant, StoredImport, StoredPair,
};
use crate::timestamp::Timestamp;
use crate::zoom::REFRESH_ANSWER_TIMEOUT;

/// With less time left, no further batch of credentials is moved. Another run, or their next use, moves the rest.
const MIN_TIME_FOR_BATCH: Duration = Duration::from_secs(15);

impl Import<'_> {
    /// Gives the grant to a new credential, or to the credentials that its user has already. `sent_since` is a time
    /// before the token was sent, if this run sent it.
    pub(super) async fn attach(
        &self,
        row: &StoredGrant,
        access: &Access,
        profile: ProfileRead,
        sent_since: Option<Timestamp>,
    ) -> Result<Step, Error> {
        let idle_since = access.expires_at;
        let named = match profile {
            Ok(profile) => match profile.zoom_user_id.clone() {
                Some(user) => Ok((user, profile)),
                None => Err(format!(
                    "{UNKNOWN_PROFILE}Zoom does not show who the user is"
                )),
            },
            Err(reason) => Err(reason),
        };
        let (zoom_user_id, profile) = match named {
            Ok(named) => named,
            Err(reason) => return self.create(row, Err(reason), idle_since).await,
        };
        let pair = Pair {
            team: self.importer.team.clone(),
            client_id: row.client_id.clone(),
            zoom_user_id,
        };
        let known = self.importer.grants.pairs.get(&pair.id()).await?;
        if known.is_some_and(|known| known.live > 0) {
            self.join(row, &pair, idle_since, sent_since).await
        } else {
            self.create(row, Ok((pair, profile)), idle_since).await
        }
    }

    /// Makes a credential for the grant, in one transaction with the end of the import. `user` is the pair and the
    /// profile of the user, or why Zoom does not show who the user is.
    async fn create(
        &self,
        row: &StoredGrant,
        user: Result<(Pair, Profile), String>,
        idle_since: Timestamp,
    ) -> Result<Step, Error> {
        let (importer, team) = (self.importer, self.importer.team);
        let grants = importer.grants;
        let (id, secrets) = (row.credential_id, &grants.secrets);
        let (pair, user) = match user {
            Ok((pair, profile)) => (Some(pair.clone()), Ok((pair.id(), profile))),
            Err(reason) => (None, Err(reason)),
        };
        let profile = user.as_ref().ok().map(|(_, profile)| profile);
        let new = ImportedCredential {
            id,
            name: self.given.name.clone().unwrap_or_else(|| name_of(profile)),
            client_id: row.client_id.clone(),
            extra: self.given.extra.clone(),
            authorized: row.authorized(self.grant),
            user,
        };
        let sent_at = row.authorize_sent_at;
        let counted = pair
            .as_ref()
            .map(|pair| grants.pairs.count_first_live(pair, self.grant, sent_at));
        let pair_id = pair.as_ref().map(Pair::id);
        let ended = secrets.end_import(self.grant, pair_id.as_ref(), idle_since)?;
        let mut fields = vec!["name", "client_id", "client_secret", "authorization"];
        fields.extend(self.given.extra.is_some().then_some("extra"));
        let event = Change::new(EventKind::Created, fields);
        let remembered = importer
            .requests
            .end_import(&self.id, &self.taken(ImportVerdict::Imported, Some(id)))?;
        let (_, inserted) = grants.credentials.insert_imported(team, new)?;
        // The order says which refusal counts if several conditions fail.
        let created = secrets
            .begin(ended)
            .and_maybe(counted.transpose()?)
            .and(secrets.put_app_secret(id, &self.sealed_app(id).await?)?)
            .and(remembered)
            .and(importer.trail.change(team, Some(id), event)?)
            .and_transaction(inserted);
        match created.commit(until()).await? {
            CommitOutcome::Committed => {
                Ok(Step::Ended(ImportResult::of(id, ImportOutcome::Imported)))
            }
            CommitOutcome::Refused(kind) => self.after_refusal(row, pair.as_ref(), kind).await,
        }
    }

    /// The row of an import that has ended with the grant in the vault.
    fn taken(&self, verdict: ImportVerdict, credential: Option<CredentialId>) -> StoredImport {
        StoredImport {
            team: self.importer.team.clone(),
            verdict: Some(verdict),
            credential,
            reason: None,
        }
    }

    /// The client secret, sealed for the new credential.
    async fn sealed_app(&self, id: CredentialId) -> Result<AppSecret, Error> {
        let (envelope, team) = (&self.importer.grants.envelope, self.importer.team);
        let app = NewApp::prepare(envelope, team, id, self.given.app.clone()).await?;
        app.sealed(team, 1)
    }

    /// Adds the grant to the pair of a user who has live credentials, and gives it to them: Zoom has accepted this
    /// grant, so the grants that they had are dead.
    async fn join(
        &self,
        row: &StoredGrant,
        pair: &Pair,
        idle_since: Timestamp,
        sent_since: Option<Timestamp>,
    ) -> Result<Step, Error> {
        let grants = self.importer.grants;
        let secrets = &grants.secrets;
        let ended = secrets.end_import(self.grant, Some(&pair.id()), idle_since)?;
        let added = grants
            .pairs
            .add_grant_for_live(pair, self.grant, row.authorize_sent_at)?;
        match secrets.begin(ended).and(added).commit(until()).await? {
            CommitOutcome::Committed => {
                self.give_to_members(row, pair, idle_since, sent_since)
                    .await
            }
            CommitOutcome::Refused(kind) => self.after_refusal(row, Some(pair), kind).await,
        }
    }

    /// The transaction at the end was refused. If the user has removed the app since the import began, the grant is
    /// dead.
    async fn after_refusal(
        &self,
        row: &StoredGrant,
        pair: Option<&Pair>,
        refused: RowKind,
    ) -> Result<Step, Error> {
        let (Some(pair), RowKind::Pair) = (pair, refused) else {
            return Ok(Step::LookAgain);
        };
        let grants = self.importer.grants;
        let known = grants.pairs.get(&pair.id()).await?;
        let bars = |at: i64| at >= row.authorize_sent_at;
        if known
            .and_then(|known| known.deauthorized_at)
            .is_some_and(bars)
        {
            let reason = ReconnectReason::Deauthorized;
            grants
                .secrets
                .destroy(&pair.team, self.grant, reason)
                .await?;
        }
        Ok(Step::LookAgain)
    }

    /// The import has given the grant to a pair, and stopped before it gave the grant to the pair's credentials.
    pub(super) async fn end_merge(&self, row: &StoredGrant) -> Result<Step, Error> {
        let (grants, team) = (self.importer.grants, self.importer.team);
        let own = grants
            .credentials
            .get_including_deleted(team, row.credential_id)
            .await?;
        if own.is_some_and(|own| own.has_grant(self.grant)) {
            // The row of the import has expired.
            return Ok(Step::Ended(ImportResult {
                earlier: true,
                ..ImportResult::of(row.credential_id, ImportOutcome::Imported)
            }));
        }
        let known = match &row.pair {
            Some(pair) => grants.pairs.get(pair).await?,
            None => None,
        };
        match known {
            Some(StoredPair { pair, .. }) if pair.team == *team => {
                let idle_since = Timestamp::from_millis(row.access_expires_at);
                self.give_to_members(row, &pair, idle_since, None).await
            }
            Some(_) | None => Ok(Step::Ended(ImportResult {
                earlier: true,
                ..ImportResult::new(ImportOutcome::Merged)
            })),
        }
    }

    async fn give_to_members(
        &self,
        row: &StoredGrant,
        pair: &Pair,
        idle_since: Timestamp,
        sent_since: Option<Timestamp>,
    ) -> Result<Step, Error> {
        let (importer, team) = (self.importer, self.importer.team);
        let grants = importer.grants;
        // The refresh ended the grants that were authorized before it. A later authorization may have ended this grant.
        let sent_since = sent_since.or_else(|| {
            let refreshed_at = row.refreshed_at?;
            Some(refreshed_at.minus(REFRESH_ANSWER_TIMEOUT))
        });
        if let Some(sent_since) = sent_since {
            let before = sent_since.minus(MIN_AUTHORIZATION_GAP);
            let holders = grants
                .credentials
                .holders_of_other_grants(pair, self.grant, usize::MAX)
                .await?;
            let authorized = row.authorized(self.grant);
            let target = HandOver {
                credentials: &grants.credentials,
                secrets: &grants.secrets,
                team,
                pair: &pair.id(),
                authorized: &authorized,
                idle_since,
            };
            for batch in holders.chunks(BATCH) {
                if self.invocation.time_left(Duration::ZERO) < MIN_TIME_FOR_BATCH {
                    break;
                }
                let moved = match target.to(batch, Some(before), until()).await {
                    Ok(moved) => moved,
                    // The grant has ended since. The credentials find a grant that works at their next use.
                    Err(stores::Error::Conflict) => break,
                    Err(error) => return Err(error.into()),
                };
                for holder in &moved {
                    let change = Change::new(EventKind::Updated, vec!["authorization"]);
                    let id = Some(holder.credential_id);
                    importer.trail.record(team, id, change).await?;
                }
                let invalid = moved.iter().filter(|it| it.state == State::Invalid);
                let ids = invalid.map(|holder| holder.credential_id);
                record_active(&grants.events, &self.invocation, team, ids).await;
            }
        }
        let members = grants.credentials.members_of(pair, Some(SOME_MEMBERS));
        let members = members.await?.into_iter().filter(StoredCredential::is_live);
        let merged =
            members.min_by_key(|it| (!it.has_grant(self.grant), it.credential.credential_id));
        let merged = merged.map(|it| it.credential.credential_id);
        let ended = importer
            .requests
            .end_import(&self.id, &self.taken(ImportVerdict::Merged, merged))?;
        let ended = importer.requests.begin(ended).commit(until()).await?;
        ended.or_conflict()?;
        Ok(Step::Ended(ImportResult {
            credential: merged,
            ..ImportResult::new(ImportOutcome::Merged)
        }))
    }
}

/// A name for the credential of a user: what Zoom shows of the user.
fn name_of(profile: Option<&Profile>) -> Name {
    let shown = profile.into_iter().flat_map(|profile| {
        [
            &profile.zoom_display_name,
            &profile.zoom_email,
            &profile.zoom_user_id,
        ]
    });
    let shown = shown.flatten();
    let mut names = shown.filter_map(|text| Name::try_from(text.trim().to_owned()).ok());
    names.next().unwrap_or_else(Name::of_unknown_user)
}
