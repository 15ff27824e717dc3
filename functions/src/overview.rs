//! `GET /v2/overview`: what the console needs and no other endpoint shows.

use serde::Serialize;
use shared::api_key::{KeyId, Permission};
use shared::config::Url;
use shared::connect::ReturnOrigin;
use shared::credential::{Name, TeamId};
use shared::stores::{Keys, Registered, RegisteredVendor, Requests, Secrets, Team};
use shared::timestamp::Timestamp;
use shared::token::TokenType;
use shared::vendor::Vendor;
use utoipa::ToSchema;

use crate::http::access::{self, Caller};
use crate::http::error::ApiError;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::ReadErrors;
use crate::zoom_apps::app::ZoomAppView;

/// The method and path, which also name the endpoint in the log.
pub const ROUTE: &str = "GET /v2/overview";
/// The end of a request's path. The part before it belongs to the API's base URL.
const PATH: &str = "/v2/overview";

/// What a caller may know about its own key and team.
#[derive(Serialize, ToSchema)]
pub(crate) struct Overview {
    /// The key of this request.
    #[schema(inline)]
    key: OverviewKey,
    /// The team of the key.
    #[schema(inline)]
    team: OverviewTeam,
    /// The registered Zoom apps, the last registered first. Null if the key sees only some of the team's credentials.
    #[schema(required = true)]
    apps: Option<Vec<ZoomAppView>>,
    /// The vendors at which the team has secrets. Null if the key sees only some of the team's credentials.
    #[schema(required = true)]
    vendors: Option<Vec<OverviewVendor>>,
}

/// An API key, without the key itself.
#[derive(Serialize, ToSchema)]
pub(crate) struct OverviewKey {
    /// The id of the key, as the operator lists it.
    #[schema(value_type = String, example = "0123456789ab")]
    key_id: KeyId,
    /// What the key is for.
    #[schema(required = true)]
    label: Option<Name>,
    /// What the key may do.
    #[schema(value_type = String, pattern = "^(full|read)$")]
    permission: Permission,
    /// When the key stops working. Null: never.
    #[schema(required = true)]
    expires_at: Option<Timestamp>,
    /// The types of tokens that the key may mint and make URLs for. Null: every type.
    #[schema(required = true)]
    token_types: Option<Vec<TokenType>>,
    /// The filter on `extra` that says which credentials the key sees. Null: every credential.
    #[schema(required = true, example = "tenant:a")]
    extra: Option<String>,
}

impl OverviewKey {
    fn new(caller: &Caller<'_>) -> Self {
        let terms = caller.terms();
        Self {
            key_id: caller.key_id().clone(),
            label: terms.label.clone(),
            permission: terms.permission,
            expires_at: terms.expires_at,
            token_types: terms.token_types.clone(),
            extra: (!caller.sees_all()).then(|| terms.extra.to_string()),
        }
    }
}

/// A team and its limits. Only the operator changes them.
#[derive(Serialize, ToSchema)]
pub(crate) struct OverviewTeam {
    /// The name of the team.
    #[schema(value_type = String, example = "acme")]
    name: TeamId,
    /// How many calls a second the team may make that change something.
    rate: u32,
    /// How many tokens a second the team may mint.
    mint_rate: u32,
    /// How many calls a second the team may make that read. Null: any number.
    #[schema(required = true)]
    read_rate: Option<u32>,
    /// The longest lifetime of a token that a caller may ask for, in seconds.
    max_token_ttl: u32,
    /// Whether the vault revokes a grant at Zoom when the last credential that uses the grant is deleted.
    revoke_on_delete: bool,
    /// Whether the team may try `onbehalf` tokens of account-level credentials.
    account_onbehalf: bool,
    /// Whether token URLs may give access tokens of the team's users to vendors.
    access_token_urls: bool,
    /// The origins that a user may be sent back to after connecting.
    #[schema(value_type = Vec<String>)]
    return_origins: Vec<ReturnOrigin>,
    /// When the team was created.
    created_at: Timestamp,
}

impl From<Team> for OverviewTeam {
    fn from(team: Team) -> Self {
        Self {
            name: team.team_id,
            rate: team.rate,
            mint_rate: team.mint_rate,
            read_rate: team.read_rate,
            max_token_ttl: team.max_token_ttl,
            revoke_on_delete: team.revoke_on_delete,
            account_onbehalf: team.account_onbehalf,
            access_token_urls: team.access_token_urls,
            return_origins: team.return_origins,
            created_at: team.created_at,
        }
    }
}

/// The stored secrets at a vendor. No answer shows a secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct OverviewVendor {
    /// The vendor.
    vendor: Vendor,
    /// How many secrets are stored.
    #[schema(minimum = 1, maximum = 2)]
    secrets: u8,
    /// When the secrets were stored.
    updated_at: Timestamp,
}

impl From<RegisteredVendor> for OverviewVendor {
    fn from(stored: RegisteredVendor) -> Self {
        Self {
            vendor: stored.vendor,
            secrets: stored.secrets,
            updated_at: stored.updated_at,
        }
    }
}

/// Shows the key, the team, its Zoom apps and its vendors
///
/// The answer shows no secrets. A change of an app or of a vendor's secrets may appear here a second later.
#[utoipa::path(
    get,
    path = "/v2/overview",
    operation_id = "getOverview",
    tag = "Overview",
    responses(
        (status = 200, description = "The overview", body = Success<Overview>),
        ReadErrors,
    )
)]
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    secrets: &Secrets,
    public: Option<&Url>,
    request: &Request,
) -> Reply {
    // The API key names the team, so key and settings are read at the same time. The apps and vendors are a list, so
    // they are read only after the key is verified.
    let key = access::api_key(request)?;
    let (verified, settings) = tokio::join!(
        access::verify(keys, &key, request),
        keys.settings(key.team())
    );
    let caller = verified?;
    let settings = settings.map_err(ApiError::from);
    let settings = access::admit_read(requests, &caller, request, settings).await?;

    let (apps, vendors) = if caller.sees_all() {
        let Registered { apps, vendors } = secrets.registered(caller.team).await?;
        let base = request.base(public, PATH)?;
        let apps = apps.into_iter().map(|app| ZoomAppView::new(app, &base));
        let vendors = vendors.into_iter().map(OverviewVendor::from);
        (Some(apps.collect()), Some(vendors.collect()))
    } else {
        (None, None)
    };
    reply::ok(Overview {
        key: OverviewKey::new(&caller),
        team: settings.into(),
        apps,
        vendors,
    })
}
