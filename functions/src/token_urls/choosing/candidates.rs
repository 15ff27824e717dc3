//! Finds the credentials that a call of a choosing URL can use.

use futures_util::future::try_join_all;
use shared::choosing_url::ChoosingUrl;
use shared::credential::{CredentialId, TeamId};
use shared::error::Error;
use shared::extra::ExtraFilter;
use shared::stores::{Credentials, StoredCredential};
use shared::token_url::UrlTokenType;

use crate::http::error::ApiError;
use crate::http::request::Request;
use crate::token_urls::choosing::names::{Named, named};

/// The credentials of one call.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    /// Those that the call can use, in order of preference.
    pub(crate) usable: Vec<StoredCredential>,
    /// Credentials that were named, that the URL may choose, and that are deleted.
    pub(crate) deleted: Vec<CredentialId>,
}

/// Whom a call asks for, and what limits the answer.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    names: Vec<Named>,
    filter: Option<&'a ExtraFilter>,
}

/// Reads whom the call asks for. Reads no table.
pub(crate) fn asked<'a>(
    url: &'a ChoosingUrl,
    request: &Request,
    body_is_signed: bool,
) -> Result<Asked<'a>, ApiError> {
    let names = match (&url.credentials, &url.call_keys) {
        (Some(listed), _) => listed.iter().copied().map(Named::Credential).collect(),
        (None, Some(keys)) => named(request, body_is_signed, keys)?,
        (None, None) => Vec::new(),
    };
    if names.len() > 1 && url.types.contains(&UrlTokenType::AccessToken) {
        // The vendor would take another user's token for that of the user whom it means.
        let rule =
            "must NOT name more than one credential or Zoom user: an access token is one user's";
        return Err(ApiError::validation("the call", rule));
    }
    Ok(Asked {
        names,
        filter: url.extra.as_ref(),
    })
}

impl Asked<'_> {
    /// Reads the credentials. Of several credentials of a user, the usable one that was authorized last counts.
    pub(crate) async fn find(
        &self,
        credentials: &Credentials,
        team: &TeamId,
    ) -> Result<Candidates, Error> {
        let reads = self.names.iter().map(|name| async move {
            Ok::<_, Error>(match name {
                Named::Credential(id) => {
                    let stored = credentials.get_including_deleted(team, *id).await?;
                    stored.into_iter().collect()
                }
                Named::UserId(user) => credentials.of_zoom_user(team, user).await?,
                Named::Email(email) => {
                    let is_allowed = |stored: &StoredCredential| self.allows(stored);
                    credentials.of_zoom_email(team, email, is_allowed).await?
                }
                Named::Nobody => Vec::new(),
            })
        });
        let mut candidates = Candidates::default();
        for found in try_join_all(reads).await? {
            // What the URL may not choose does not exist for it, and gets no event either.
            let mut allowed = found.into_iter().filter(|stored| self.allows(stored));
            match allowed.next() {
                Some(stored) if stored.is_live() => candidates.add(stored),
                Some(stored) => candidates.deleted.push(stored.credential.credential_id),
                None => {}
            }
        }
        Ok(candidates)
    }

    /// Whether the URL may choose the credential: it has a user's grant, and the filter lets it through.
    fn allows(&self, stored: &StoredCredential) -> bool {
        let extra = stored.credential.extra.as_ref();
        stored.grant.is_some() && self.filter.is_none_or(|filter| filter.matches(extra))
    }
}

impl Candidates {
    /// Adds a credential, unless another name has led to it before.
    fn add(&mut self, stored: StoredCredential) {
        let id = stored.credential.credential_id;
        let mut known = self.usable.iter();
        if known.all(|known| known.credential.credential_id != id) {
            self.usable.push(stored);
        }
    }
}
