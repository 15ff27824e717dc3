//! Reads a line of an export. docs/import.md says how each format is exported.

use clap::ValueEnum;
use serde_json::json;
use shared::credential::{ClientId, Name};
use shared::extra::Extra;
use shared::import::GivenGrant;
use shared::secret::{AppCredentials, ClientSecret, RefreshToken};
use shared::timestamp::Timestamp;
use shared::zoom::ApiUrl;

use super::fields::{Fields, scopes};

/// The system that wrote the export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Nango: what its API answers for each connection
    Nango,
    /// Auth.js or next-auth: rows of the table `Account`
    Authjs,
    /// better-auth: rows of the table `account`
    BetterAuth,
    /// Cal.com: rows of the table `Credential`, or their `key` alone
    Calcom,
    /// Attendee: its Zoom connections, decrypted
    Attendee,
    /// Any other system: the form in docs/import.md
    Generic,
}

/// A row of an export.
pub(super) struct ExportRow {
    /// The number of its line, from 1.
    pub(super) line: usize,
    /// Its id in the other system.
    pub(super) source: Option<String>,
    /// Zoom's id of the user, if the export says it.
    pub(super) user: Option<String>,
    /// When the access token expires or has expired. The latest row of a user has the token that may work.
    pub(super) expires_at: Option<Timestamp>,
    pub(super) given: GivenGrant,
}

/// The app of the rows that name none.
#[derive(Clone, Debug, Default)]
pub(super) struct DefaultApp {
    pub(super) client_id: Option<ClientId>,
    pub(super) client_secret: Option<ClientSecret>,
}

/// What a format finds in a line.
struct Found {
    source: Option<String>,
    user: Option<String>,
    expires_at: Option<Timestamp>,
    refresh: RefreshToken,
    scopes: Option<String>,
    api_url: Option<ApiUrl>,
    name: Option<Name>,
    extra: Option<Extra>,
    client_id: Option<ClientId>,
    client_secret: Option<ClientSecret>,
}

impl Found {
    fn new(refresh: RefreshToken) -> Self {
        Self {
            source: None,
            user: None,
            expires_at: None,
            refresh,
            scopes: None,
            api_url: None,
            name: None,
            extra: None,
            client_id: None,
            client_secret: None,
        }
    }
}

impl Format {
    /// Reads a line. The error says what is wrong with it, without any of its values.
    pub(super) fn read(
        self,
        number: usize,
        line: &[u8],
        app: &DefaultApp,
    ) -> Result<ExportRow, String> {
        let mut fields = Fields::of_line(line)?;
        let found = match self {
            Self::Nango => nango(&mut fields)?,
            Self::Authjs => account(
                &mut fields,
                &AccountColumns {
                    provider: &["provider"],
                    user: &["providerAccountId", "provider_account_id"],
                    owner: &["userId", "user_id"],
                    refresh: &["refresh_token", "refreshToken"],
                    expires_at: &["expires_at", "expiresAt"],
                },
            )?,
            Self::BetterAuth => account(
                &mut fields,
                &AccountColumns {
                    provider: &["providerId", "provider_id"],
                    user: &["accountId", "account_id"],
                    owner: &["userId", "user_id"],
                    refresh: &["refreshToken", "refresh_token"],
                    expires_at: &["accessTokenExpiresAt", "access_token_expires_at"],
                },
            )?,
            Self::Calcom => calcom(&mut fields)?,
            Self::Attendee => attendee(&mut fields)?,
            Self::Generic => generic(&mut fields)?,
        };
        Ok(ExportRow {
            line: number,
            source: found.source,
            user: found.user,
            expires_at: found.expires_at,
            given: GivenGrant {
                app: app.or(found.client_id, found.client_secret)?,
                refresh: found.refresh,
                scopes: found.scopes,
                api_url: found.api_url,
                name: found.name,
                extra: found.extra,
            },
        })
    }
}

impl DefaultApp {
    /// The app of a row: its own, or this one.
    fn or(
        &self,
        client_id: Option<ClientId>,
        client_secret: Option<ClientSecret>,
    ) -> Result<AppCredentials, String> {
        let is_this = client_id.is_none() || client_id == self.client_id;
        let client_id = client_id
            .or_else(|| self.client_id.clone())
            .ok_or("client_id is missing: neither the line nor --client-id has it")?;
        let client_secret = client_secret
            .or_else(|| self.client_secret.clone().filter(|_| is_this))
            .ok_or(
                "client_secret is missing: neither the line nor --client-secret-file has it for this client_id",
            )?;
        Ok(AppCredentials {
            client_id,
            client_secret,
        })
    }
}

fn refresh_token(fields: &mut Fields, names: &[&'static str]) -> Result<RefreshToken, String> {
    let missing = || "there is no refresh token".to_owned();
    fields.parsed(names)?.ok_or_else(missing)
}

fn scopes_in(fields: &mut Fields, names: &[&'static str]) -> Result<Option<String>, String> {
    Ok(fields.text(names)?.and_then(|text| scopes(&text)))
}

/// The host for the user, as Zoom named it. Another one is left out: no token may go there.
fn api_url(fields: &mut Fields) -> Result<Option<ApiUrl>, String> {
    let text = fields.text(&["api_url"])?;
    Ok(text.and_then(|text| ApiUrl::from_zoom(&text)))
}

/// The ids of the other system, so that its database can be joined with the new credentials.
fn extra(ids: &serde_json::Value) -> Result<Option<Extra>, String> {
    let parsed = Extra::try_from(ids.to_string());
    parsed.map(Some).map_err(|rule| format!("the ids {rule}"))
}

fn nango(fields: &mut Fields) -> Result<Found, String> {
    if let Some(provider) = fields.text(&["provider"])?
        && !provider.starts_with("zoom")
    {
        return Err("provider is not zoom".to_owned());
    }
    let connection = fields.id(&["connection_id"])?;
    let integration = fields.id(&["provider_config_key"])?;
    let Some(mut credentials) = fields.object("credentials", "credentials.")? else {
        return Err("credentials is missing: ask Nango for each connection by its id".to_owned());
    };
    match credentials.text(&["type"])?.as_deref() {
        Some("OAUTH2") | None => {}
        Some("OAUTH2_CC") => {
            return Err("the connection is server-to-server and has no user".to_owned());
        }
        Some(_) => return Err("credentials.type is not OAUTH2".to_owned()),
    }
    let mut found = Found::new(refresh_token(&mut credentials, &["refresh_token"])?);
    found.expires_at = credentials.time(&["expires_at"])?;
    if let Some(mut app) = credentials.object("config_override", "credentials.config_override.")? {
        found.client_id = app.parsed(&["client_id"])?;
        found.client_secret = app.parsed(&["client_secret"])?;
    }
    if let Some(mut raw) = credentials.object("raw", "credentials.raw.")? {
        found.scopes = scopes_in(&mut raw, &["scope"])?;
        found.api_url = api_url(&mut raw)?;
    }
    found.extra =
        extra(&json!({ "nango_connection_id": connection, "nango_integration": integration }))?;
    found.source = connection;
    Ok(found)
}

/// How a library names the columns of its accounts.
struct AccountColumns {
    provider: &'static [&'static str],
    user: &'static [&'static str],
    owner: &'static [&'static str],
    refresh: &'static [&'static str],
    expires_at: &'static [&'static str],
}

fn account(fields: &mut Fields, columns: &AccountColumns) -> Result<Found, String> {
    if fields.required(columns.provider)? != "zoom" {
        return Err("the account is not of Zoom".to_owned());
    }
    let mut found = Found::new(refresh_token(fields, columns.refresh)?);
    found.user = fields.id(columns.user)?;
    found.expires_at = fields.time(columns.expires_at)?;
    found.scopes = scopes_in(fields, &["scope"])?;
    let owner = fields.id(columns.owner)?;
    let id = fields.id(&["id"])?;
    found.extra = extra(&json!({ "user_id": owner }))?;
    found.source = id.or(owner);
    Ok(found)
}

fn calcom(fields: &mut Fields) -> Result<Found, String> {
    let kind = fields.text(&["type"])?;
    if kind.is_some_and(|kind| kind != "zoom_video") {
        return Err("the credential is not of Zoom".to_owned());
    }
    let id = fields.id(&["id"])?;
    let (user, team) = (fields.id(&["userId"])?, fields.id(&["teamId"])?);
    let row = fields.object("key", "key.")?;
    let mut found = match row {
        Some(mut key) => calcom_key(&mut key)?,
        None => calcom_key(fields)?,
    };
    found.extra = extra(&json!({ "cal_user_id": user, "cal_team_id": team }))?;
    found.source = id;
    Ok(found)
}

fn calcom_key(key: &mut Fields) -> Result<Found, String> {
    let mut found = Found::new(refresh_token(key, &["refresh_token"])?);
    found.expires_at = key.time(&["expiry_date"])?;
    found.scopes = scopes_in(key, &["scope"])?;
    found.api_url = api_url(key)?;
    Ok(found)
}

fn attendee(fields: &mut Fields) -> Result<Found, String> {
    let inner = fields.object("credentials", "credentials.")?;
    let refresh = match inner {
        Some(mut inner) => refresh_token(&mut inner, &["refresh_token"])?,
        None => refresh_token(fields, &["refresh_token"])?,
    };
    let mut found = Found::new(refresh);
    found.user = fields.id(&["user_id"])?;
    found.client_id = fields.parsed(&["client_id"])?;
    found.client_secret = fields.parsed(&["client_secret"])?;
    let id = fields.id(&["id", "object_id"])?;
    found.extra = extra(&json!({ "attendee_connection_id": id }))?;
    found.source = id;
    Ok(found)
}

fn generic(fields: &mut Fields) -> Result<Found, String> {
    let mut found = Found::new(refresh_token(fields, &["refresh_token"])?);
    found.client_id = fields.parsed(&["client_id"])?;
    found.client_secret = fields.parsed(&["client_secret"])?;
    found.source = fields.id(&["id"])?;
    found.user = fields.id(&["zoom_user_id"])?;
    found.expires_at = fields.time(&["expires_at"])?;
    found.scopes = scopes_in(fields, &["scope"])?;
    found.name = fields.parsed(&["name"])?;
    let json = fields.json("extra")?;
    let extra = json.map(Extra::try_from).transpose();
    found.extra = extra.map_err(|rule| format!("extra {rule}"))?;
    if let Some(text) = fields.text(&["api_url"])? {
        let url = ApiUrl::from_zoom(&text);
        found.api_url =
            Some(url.ok_or("api_url is not a host of Zoom, such as https://api.zoom.us")?);
    }
    // The import refreshes at once, so it needs no access token.
    fields.text(&["access_token"])?;
    fields.expect_no_others()?;
    Ok(found)
}
