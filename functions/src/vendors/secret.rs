//! `PUT`, `GET` and `DELETE /v2/vendors/{vendor}`. One function serves the three methods.

use futures_util::future::try_join_all;
use serde::Serialize;
use shared::envelope::{Binding, Envelope, SecretId};
use shared::error::Missing;
use shared::event::{Change, EventKind, Target};
use shared::secret::Plaintext;
use shared::stores::{Events, Keys, Requests, Secrets, VendorSecrets};
use shared::timestamp::Timestamp;
use shared::vendor::{Vendor, VendorKey, VendorSecret};
use utoipa::ToSchema;

use crate::http::access;
use crate::http::body::Fields;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{MissingVendorError, ReadErrors, UnreadableBodyErrors, WriteErrors};

/// The method and path, which also name the endpoint in the log. `ANY`, because one function serves every method.
pub const ROUTE: &str = "ANY /v2/vendors/{vendor}";

const SECRETS: &str = "body/secrets";

/// Stores, shows or deletes a team's secret at a vendor.
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    secrets: &Secrets,
    events: &Events,
    envelope: &Envelope,
    request: &Request,
) -> Reply {
    match request.method() {
        "PUT" => put(keys, requests, secrets, events, envelope, request).await,
        "GET" => get(keys, requests, secrets, request).await,
        "DELETE" => delete(keys, requests, secrets, events, request).await,
        _ => Err(ApiError::MethodNotAllowed {
            allow: "DELETE, GET, PUT",
        }),
    }
}

/// The secrets at a vendor. Unknown fields are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct PutVendorSecrets {
    /// One secret, or two while you rotate: a call that is proved with one of them is good. They replace all earlier
    /// ones. Each as the vendor shows it. The vault encrypts the secrets and never shows them.
    #[schema(write_only, min_items = 1, max_items = 2)]
    secrets: Vec<VendorSecret>,
}

impl PutVendorSecrets {
    pub(crate) fn of(request: &Request, vendor: Vendor) -> Result<Self, ApiError> {
        let (one, other) = Fields::of(request)?.one_or_two(SECRETS)?;
        let secrets: Vec<VendorSecret> = std::iter::once(one).chain(other).collect();
        for secret in &secrets {
            VendorKey::new(vendor, secret)
                .map_err(|rule| ApiError::Validation { at: SECRETS, rule })?;
        }
        Ok(Self { secrets })
    }
}

/// The stored secrets at a vendor. No answer shows a secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StoredVendorSecrets)]
pub(crate) struct VendorSecretsView {
    /// The vendor.
    vendor: Vendor,
    /// How many secrets are stored.
    #[schema(minimum = 1, maximum = 2)]
    secrets: u8,
    /// When the secrets were stored.
    updated_at: Timestamp,
}

impl VendorSecretsView {
    fn new(vendor: Vendor, stored: &VendorSecrets) -> Self {
        Self {
            vendor,
            secrets: 1 + u8::from(stored.other.is_some()),
            updated_at: stored.updated_at,
        }
    }
}

/// Stores the secrets at a vendor
///
/// Token URLs with `verify` then answer only calls that the vendor proves with one of the secrets. To rotate, store the
/// old and the new secret, change the secret at the vendor, and store the new one alone.
#[utoipa::path(
    put,
    path = "/v2/vendors/{vendor}",
    operation_id = "putVendorSecrets",
    tag = "Token URLs",
    request_body(content = PutVendorSecrets, content_type = "application/json"),
    params(("vendor" = inline(Vendor), Path, description = "The vendor")),
    responses(
        (status = 200, description = "The secrets are stored", body = Success<VendorSecretsView>),
        (status = 405, description = "The answer to every method but `DELETE`, `GET` and `PUT`", body = ErrorBody),
        ReadErrors,
        WriteErrors,
        UnreadableBodyErrors,
    )
)]
pub(crate) async fn put(
    keys: &Keys,
    requests: &Requests,
    secrets: &Secrets,
    events: &Events,
    envelope: &Envelope,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let caller = access::verify(keys, &key, request).await?;
    let team = caller.team;
    let input = caller
        .may_act_for_team()
        .and_then(|()| caller.may_mint_all())
        .and_then(|()| {
            let vendor = request.vendor()?;
            Ok((vendor, PutVendorSecrets::of(request, vendor)?))
        });
    let admitted = access::admit_change(keys, requests, &caller, request, input, async |it| Ok(it));
    let (vendor, input) = admitted.await?;

    // The time serves as the generation, so that the write needs no read.
    let generation = u64::try_from(Timestamp::now().as_millis()).unwrap_or(0);
    // The two have generations of their own, by which opened secrets are kept in memory.
    let seal = async |(generation, secret): (u64, VendorSecret)| {
        let binding = Binding::new(team, SecretId::Vendor(team.clone(), vendor));
        let data_key = envelope.data_key(binding).await?;
        Ok::<_, ApiError>(data_key.seal(generation, &Plaintext::from(&secret))?)
    };
    let sealed = try_join_all((generation..).zip(input.secrets).map(seal)).await?;
    let stored = secrets.put_vendor_secrets(team, vendor, &sealed).await?;
    let changed = vec!["secrets"];
    let change = Change::of(Target::Vendor(vendor), EventKind::VendorSet, changed);
    request.record_change(events, team, change).await?;

    reply::ok(VendorSecretsView::new(vendor, &stored))
}

/// Tells how many secrets at a vendor are stored
///
/// The answer does not show them.
#[utoipa::path(
    get,
    path = "/v2/vendors/{vendor}",
    operation_id = "getVendorSecrets",
    tag = "Token URLs",
    params(("vendor" = inline(Vendor), Path, description = "The vendor")),
    responses(
        (status = 200, description = "The secrets are stored", body = Success<VendorSecretsView>),
        (status = 405, description = "The answer to every method but `DELETE`, `GET` and `PUT`", body = ErrorBody),
        ReadErrors,
        MissingVendorError,
    )
)]
pub(crate) async fn get(
    keys: &Keys,
    requests: &Requests,
    secrets: &Secrets,
    request: &Request,
) -> Reply {
    // The API key names the team, so key and secret are read at the same time. Nothing is answered before the key is
    // verified.
    let key = access::api_key(request)?;

    let (verified, read) = tokio::join!(access::verify(keys, &key, request), async {
        let vendor = request.vendor()?;
        let stored = secrets.vendor_secrets(key.team(), vendor).await?;
        Ok::<_, ApiError>((vendor, stored))
    });
    let (vendor, stored) = access::admit_read(requests, &verified?, request, read).await?;
    let stored = stored.ok_or(Missing::VendorSecret)?;

    reply::ok(VendorSecretsView::new(vendor, &stored))
}

/// The answer to a deletion.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletedVendorSecret {
    /// The result for people.
    #[schema(example = "Vendor secret deleted successfully")]
    message: &'static str,
}

/// Deletes the secrets at a vendor
///
/// The vault forgets them. Token URLs that verify this vendor's calls then answer 401 to every call, until you store a
/// secret again.
#[utoipa::path(
    delete,
    path = "/v2/vendors/{vendor}",
    operation_id = "deleteVendorSecrets",
    tag = "Token URLs",
    params(("vendor" = inline(Vendor), Path, description = "The vendor")),
    responses(
        (status = 200, description = "The secrets are forgotten", body = Success<DeletedVendorSecret>),
        (status = 405, description = "The answer to every method but `DELETE`, `GET` and `PUT`", body = ErrorBody),
        ReadErrors,
        MissingVendorError,
        WriteErrors,
    )
)]
pub(crate) async fn delete(
    keys: &Keys,
    requests: &Requests,
    secrets: &Secrets,
    events: &Events,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let caller = access::verify(keys, &key, request).await?;
    let input = caller
        .may_act_for_team()
        .and_then(|()| caller.may_mint_all())
        .and_then(|()| request.vendor());
    let admitted = access::admit_change(keys, requests, &caller, request, input, async |it| Ok(it));
    let vendor = admitted.await?;

    if !secrets.delete_vendor_secrets(caller.team, vendor).await? {
        return Err(Missing::VendorSecret.into());
    }
    let changed = vec!["secrets_removed"];
    let change = Change::of(Target::Vendor(vendor), EventKind::VendorSet, changed);
    request.record_change(events, caller.team, change).await?;

    reply::ok(DeletedVendorSecret {
        message: "Vendor secret deleted successfully",
    })
}
