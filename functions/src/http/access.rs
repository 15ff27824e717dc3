//! Checks the API key, its terms, and the rates of the team and the key.

use std::future::Future;

use shared::api_key::{ApiKey, KeyId, KeyTerms, Permission};
use shared::credential::{Credential, CredentialId, TeamId};
use shared::error::Missing;
use shared::extra::{Extra, ExtraFilter};
use shared::stores::{
    Admission, Charged, Credentials, Hits, Keys, KnownKey, RateKind, RateLimits, Requests,
    StoredCredential, Team,
};
use shared::token::TokenType;
use shared::token_url::UrlId;

use crate::http::error::{ApiError, Forbidden};
use crate::http::request::Request;

/// The header that carries the API key.
pub(crate) const API_KEY: &str = "x-meeting-baas-api-key";

/// What an operation requires of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Needs {
    /// Reading.
    Read,
    /// Minting tokens.
    Mint,
    /// Changes.
    Full,
}

/// A caller whose key is known.
#[derive(Debug)]
pub(crate) struct Caller<'a> {
    /// The team that owns the key.
    pub(crate) team: &'a TeamId,
    key: KnownKey,
}

impl<'a> Caller<'a> {
    fn known(
        key: &'a ApiKey,
        known: Option<KnownKey>,
        request: &Request,
    ) -> Result<Self, ApiError> {
        let known = known.ok_or(ApiError::Unauthorized)?;
        request.note_key(key.team(), &known.id);
        Ok(Self {
            team: key.team(),
            key: known,
        })
    }
}

impl Caller<'_> {
    /// The id of the key.
    pub(crate) fn key_id(&self) -> &KeyId {
        &self.key.id
    }

    /// What the operator has decided about the key.
    pub(crate) fn terms(&self) -> &KeyTerms {
        &self.key.terms
    }

    /// Fails if the key's permission does not cover the operation.
    pub(crate) fn may(&self, needs: Needs) -> Result<(), ApiError> {
        match (needs, self.key.terms.permission) {
            (_, Permission::Full)
            | (Needs::Read, Permission::Read)
            | (Needs::Mint, Permission::Mint) => Ok(()),
            (Needs::Full | Needs::Mint, Permission::Read)
            | (Needs::Read | Needs::Full, Permission::Mint) => Err(Forbidden::Operation.into()),
        }
    }

    /// Fails if the key may not mint tokens of this type. A signature for a stream works for every user of the app, so
    /// a key that sees only some credentials must name the type.
    pub(crate) fn may_mint(&self, token_type: TokenType) -> Result<(), ApiError> {
        let names_type = self.key.terms.token_types.is_some();
        let is_for_app = token_type == TokenType::RtmsSignature;
        if self.key.terms.allow(token_type) && (!is_for_app || names_type || self.sees_all()) {
            Ok(())
        } else {
            Err(Forbidden::TokenType.into())
        }
    }

    /// Fails if the key may mint only some types of tokens, because the operation helps to mint all of them.
    pub(crate) fn may_mint_all(&self) -> Result<(), ApiError> {
        if self.key.terms.token_types.is_none() {
            Ok(())
        } else {
            Err(Forbidden::TokenType.into())
        }
    }

    /// Fails if the key sees only some of the team's credentials, because the operation concerns all of them.
    pub(crate) fn may_act_for_team(&self) -> Result<(), ApiError> {
        if self.key.terms.extra.is_empty() {
            Ok(())
        } else {
            Err(Forbidden::Team.into())
        }
    }

    /// Fails if the key could not see a credential with this `extra`.
    pub(crate) fn may_store(&self, extra: Option<&Extra>) -> Result<(), ApiError> {
        if self.key.terms.extra.matches(extra) {
            Ok(())
        } else {
            Err(Forbidden::Extra.into())
        }
    }

    /// Whether the key can see the credential. What it cannot see does not exist for it.
    pub(crate) fn sees(&self, credential: &Credential) -> bool {
        self.key.terms.extra.matches(credential.extra.as_ref())
    }

    /// Which of the team's credentials the key can see.
    pub(crate) fn filter(&self) -> &ExtraFilter {
        &self.key.terms.extra
    }

    /// Whether the key can see every credential of its team.
    pub(crate) fn sees_all(&self) -> bool {
        self.filter().is_empty()
    }

    /// The credential that was read, if there is one and the key can see it.
    pub(crate) fn visible(
        &self,
        stored: Option<StoredCredential>,
    ) -> Result<StoredCredential, ApiError> {
        let stored = stored.and_then(|stored| stored.through(self.filter()));
        Ok(stored.ok_or(Missing::Credential)?)
    }
}

/// The key that the caller sent. Fails if it is missing, malformed or sent twice. Reads no table.
pub(crate) fn api_key(request: &Request) -> Result<ApiKey, ApiError> {
    let text = request.only_header(API_KEY).ok_or(ApiError::Unauthorized)?;
    ApiKey::parse(text).map_err(|_| ApiError::Unauthorized)
}

/// Finds out whether the key works. Until this succeeds, the key's team is only a claim of the caller: a function may
/// read one more item meanwhile, and nothing else.
pub(crate) async fn verify<'a>(
    keys: &Keys,
    key: &'a ApiKey,
    request: &Request,
) -> Result<Caller<'a>, ApiError> {
    Caller::known(key, keys.known(key).await?, request)
}

/// As [`verify`], and reads a credential of the key's team in the same call. Nothing is answered about the credential
/// before the key is verified: `id` may be an error too, and is then returned beside the caller.
pub(crate) async fn verify_and_get<'a>(
    keys: &Keys,
    credentials: &Credentials,
    key: &'a ApiKey,
    request: &Request,
    id: Result<CredentialId, ApiError>,
) -> Result<(Caller<'a>, Result<Option<StoredCredential>, ApiError>), ApiError> {
    let id = match id {
        Ok(id) => id,
        Err(error) => return Ok((verify(keys, key, request).await?, Err(error))),
    };
    let read = keys.known_with(key, credentials, id).await?;
    let caller = Caller::known(key, read.key?, request)?;
    Ok((caller, read.credential.map_err(Into::into)))
}

/// Checks that the key may read, and counts the call if the team has a rate of reads.
pub(crate) async fn admit_read<I>(
    requests: &Requests,
    caller: &Caller<'_>,
    request: &Request,
    input: Result<I, ApiError>,
) -> Result<I, ApiError> {
    let input = caller.may(Needs::Read).and(input);
    let Some(rate) = caller.key.read_rate else {
        return input;
    };
    let charged = charged(caller, input.is_ok());
    let hits = requests
        .count(caller.team, RateKind::Reads, charged)
        .await?;
    let limits = RateLimits::new(rate, caller.key.terms.rate);
    let counted = Counted {
        team: caller.team,
        kind: RateKind::Reads,
        charged,
        hits,
        limits,
    };
    counted.admit(requests, request).await?;
    input
}

/// Checks that the key may change things, counts the call, and does `work` in the meantime. As [`admit`], without the
/// settings.
pub(crate) async fn admit_change<I, T, W>(
    keys: &Keys,
    requests: &Requests,
    caller: &Caller<'_>,
    request: &Request,
    input: Result<I, ApiError>,
    work: impl FnOnce(I) -> W,
) -> Result<T, ApiError>
where
    W: Future<Output = Result<T, ApiError>>,
{
    let admitted = admit_change_with_settings(keys, requests, caller, request, input, work);
    admitted.await.map(|(_, done)| done)
}

/// As [`admit_change`], and returns the team's settings too.
pub(crate) async fn admit_change_with_settings<I, T, W>(
    keys: &Keys,
    requests: &Requests,
    caller: &Caller<'_>,
    request: &Request,
    input: Result<I, ApiError>,
    work: impl FnOnce(I) -> W,
) -> Result<(Team, T), ApiError>
where
    W: Future<Output = Result<T, ApiError>>,
{
    let input = caller.may(Needs::Full).and(input);
    let kind = RateKind::Mutations;
    admit(keys, requests, caller, request, kind, input, work).await
}

/// Counts a call against the rates of the team and the key, and does `work` in the meantime. `input` is what the
/// request asks for: if it is an error, the call is charged to the key alone. If the call is over a limit, the result
/// of `work` is dropped. So `work` must change nothing. Returns the team's settings too.
pub(crate) async fn admit<I, T, W>(
    keys: &Keys,
    requests: &Requests,
    caller: &Caller<'_>,
    request: &Request,
    kind: RateKind,
    input: Result<I, ApiError>,
    work: impl FnOnce(I) -> W,
) -> Result<(Team, T), ApiError>
where
    W: Future<Output = Result<T, ApiError>>,
{
    let charged = charged(caller, input.is_ok());
    let is_valid = input.is_ok();
    // Boxed: a future with several SDK calls is large, and each layer would copy it on the stack.
    let work = Box::pin(async {
        match input {
            Ok(input) => work(input).await,
            Err(error) => Err(error),
        }
    });
    let used = async {
        if is_valid {
            note_use(requests, caller, request).await;
        }
    };
    let (hits, settings, work, ()) = tokio::join!(
        requests.count(caller.team, kind, charged),
        keys.settings(caller.team),
        work,
        used,
    );
    let settings = settings?;
    if settings.suspended_at.is_some() {
        return Err(ApiError::Unauthorized);
    }
    let rate = settings.rate_of(kind).unwrap_or(u32::MAX);
    let limits = RateLimits::new(rate, caller.key.terms.rate);
    let counted = Counted {
        team: caller.team,
        kind,
        charged,
        hits: hits?,
        limits,
    };
    counted.admit(requests, request).await?;
    Ok((settings, work?))
}

/// Counts a mint of a token URL against the rates of its team and its own share of them. As [`admit`].
pub(crate) async fn admit_token_url<T>(
    keys: &Keys,
    requests: &Requests,
    team: &TeamId,
    url: UrlId,
    request: &Request,
    work: impl Future<Output = Result<T, ApiError>>,
) -> Result<(Team, T), ApiError> {
    let (kind, charged) = (RateKind::Mints, Charged::TeamAndUrl(url));
    let hits = requests.count(team, kind, charged);
    let (hits, settings, work) = tokio::join!(hits, keys.settings(team), work);
    let settings = settings?;
    if settings.suspended_at.is_some() {
        return Err(Missing::TokenUrl.into());
    }
    let limits = RateLimits::new(settings.mint_rate, None);
    let counted = Counted {
        team,
        kind,
        charged,
        hits: hits?,
        limits,
    };
    counted.admit(requests, request).await?;
    Ok((settings, work?))
}

/// A call that is refused or invalid is charged to its key alone. Otherwise a key without the right could spend the
/// rate of its team.
fn charged<'a>(caller: &'a Caller<'_>, is_valid: bool) -> Charged<'a> {
    if is_valid {
        Charged::TeamAndKey(&caller.key.id)
    } else {
        Charged::Key(&caller.key.id)
    }
}

/// A call that was counted.
struct Counted<'a> {
    team: &'a TeamId,
    kind: RateKind,
    charged: Charged<'a>,
    hits: Hits,
    limits: RateLimits,
}

impl Counted<'_> {
    /// Notes the admission for the headers of the answer. Fails if the call is over a limit.
    async fn admit(self, requests: &Requests, request: &Request) -> Result<(), ApiError> {
        let admission = Admission::of(self.hits, self.limits, self.charged);
        request.record().admission.get_or_init(|| admission);
        if admission.admitted {
            return Ok(());
        }
        let is_teams = !matches!(self.charged, Charged::Key(_));
        if is_teams && self.hits.key > self.limits.key {
            let given_back = requests.give_back(self.team, self.kind, self.hits);
            if let Err(error) = given_back.await {
                let (request_id, cause) = (request.id(), shared::cause::chain(&error));
                tracing::warn!(request_id, cause, "a refused call is charged to its team");
            }
        }
        Err(ApiError::RateLimited(admission))
    }
}

/// Best effort: the time of a key's last use is for the operator.
async fn note_use(requests: &Requests, caller: &Caller<'_>, request: &Request) {
    if let Err(error) = requests.note_use(caller.team, &caller.key.id).await {
        let (request_id, cause) = (request.id(), shared::cause::chain(&error));
        tracing::warn!(request_id, cause, "the last use of a key is not stored");
    }
}
