//! `PUT`, `GET` and `DELETE /v2/vendors/{vendor}`. One function serves the three methods.

use serde::Serialize;
use shared::envelope::{Binding, Envelope, SecretId};
use shared::error::Missing;
use shared::secret::Plaintext;
use shared::stores::{Keys, Requests, Secrets, VendorSecrets};
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

const SECRET_FIELD: &str = "body/secret";

/// Stores, shows or deletes a team's secret at a vendor.
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    secrets: &Secrets,
    envelope: &Envelope,
    request: &Request,
) -> Reply {
    match request.method() {
        "PUT" => put(keys, requests, secrets, envelope, request).await,
        "GET" => get(keys, requests, secrets, request).await,
        "DELETE" => delete(keys, requests, secrets, request).await,
        _ => Err(ApiError::MethodNotAllowed {
            allow: "DELETE, GET, PUT",
        }),
    }
}

/// A secret at a vendor. Unknown fields are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct PutVendorSecret {
    /// The secret, as the vendor shows it. The vault encrypts the secret and never shows it.
    #[schema(write_only)]
    secret: VendorSecret,
    /// Whether the secret that is stored now stays valid besides the new one, until the next `PUT` or `DELETE`. True if
    /// the field is missing.
    #[schema(value_type = Option<bool>, nullable = false, default = true)]
    keep_previous: bool,
}

impl PutVendorSecret {
    fn of(request: &Request, vendor: Vendor) -> Result<Self, ApiError> {
        let fields = Fields::of(request)?;
        let secret = fields.required(SECRET_FIELD)?;
        VendorKey::new(vendor, &secret).map_err(|rule| ApiError::Validation {
            at: SECRET_FIELD,
            rule,
        })?;
        Ok(Self {
            secret,
            keep_previous: fields.boolean("body/keep_previous")?.unwrap_or(true),
        })
    }
}

/// A stored secret at a vendor. No answer shows the secret itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StoredVendorSecret)]
pub(crate) struct VendorSecretView {
    /// The vendor.
    vendor: Vendor,
    /// Whether the secret before is still valid, too.
    has_previous: bool,
    /// When a secret was first stored.
    created_at: Timestamp,
    /// When the current secret was stored.
    updated_at: Timestamp,
}

impl VendorSecretView {
    fn new(vendor: Vendor, stored: &VendorSecrets) -> Self {
        Self {
            vendor,
            has_previous: stored.previous.is_some(),
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        }
    }
}

/// Stores a secret at a vendor
///
/// Token URLs with `verify` then answer only calls that the vendor proves with the secret. While you rotate a secret, two
/// secrets are valid: the new one and the one before. A `PUT` with `keep_previous` false ends the secret before at once.
///
/// A repeated `PUT` counts as another rotation. If an answer is lost, read `updated_at` before you repeat the call.
#[utoipa::path(
    put,
    path = "/v2/vendors/{vendor}",
    operation_id = "putVendorSecret",
    tag = "Token URLs",
    request_body(content = PutVendorSecret, content_type = "application/json"),
    params(("vendor" = inline(Vendor), Path, description = "The vendor")),
    responses(
        (status = 200, description = "The secret is stored", body = Success<VendorSecretView>),
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
    envelope: &Envelope,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let caller = access::verify(keys, &key, request).await?;
    let team = caller.team;
    let input = caller.may_act_for_team().and_then(|()| {
        let vendor = request.vendor()?;
        Ok((vendor, PutVendorSecret::of(request, vendor)?))
    });
    let admitted = access::admit_change(keys, requests, &caller, request, input, async |it| Ok(it));
    let (vendor, input) = admitted.await?;

    let data_key = envelope.data_key(Binding {
        team: team.clone(),
        secret: SecretId::Vendor(team.clone(), vendor),
    });
    // The time serves as the generation, so that the write needs no read.
    let generation = u64::try_from(Timestamp::now().as_millis()).unwrap_or(0);
    let sealed = data_key
        .await?
        .seal(generation, &Plaintext::from(&input.secret))?;
    let stored = secrets
        .put_vendor_secret(team, vendor, &sealed, input.keep_previous)
        .await?;

    reply::ok(VendorSecretView::new(vendor, &stored))
}

/// Tells whether a secret at a vendor is stored
///
/// The answer does not show the secret.
#[utoipa::path(
    get,
    path = "/v2/vendors/{vendor}",
    operation_id = "getVendorSecret",
    tag = "Token URLs",
    params(("vendor" = inline(Vendor), Path, description = "The vendor")),
    responses(
        (status = 200, description = "A secret is stored", body = Success<VendorSecretView>),
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

    reply::ok(VendorSecretView::new(vendor, &stored))
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
/// The vault forgets the current secret and the one before. Token URLs that verify this vendor's calls then answer 404 to
/// every call, until you store a secret again.
#[utoipa::path(
    delete,
    path = "/v2/vendors/{vendor}",
    operation_id = "deleteVendorSecret",
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
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let caller = access::verify(keys, &key, request).await?;
    let input = caller.may_act_for_team().and_then(|()| request.vendor());
    let admitted = access::admit_change(keys, requests, &caller, request, input, async |it| Ok(it));
    let vendor = admitted.await?;

    if !secrets.delete_vendor_secrets(caller.team, vendor).await? {
        return Err(Missing::VendorSecret.into());
    }

    reply::ok(DeletedVendorSecret {
        message: "Vendor secret deleted successfully",
    })
}
