//! The API as an OpenAPI 3.1 document, generated from the types that answer.
//!
//! Bodies and queries are read field by field (`body`, `filter`), so that a refusal can name the field; what
//! they may hold is written down here once more, as documentation. A test holds it against MeetingBaas's
//! published schema, and others hold the handlers against the same limits.

use shared::credential::{Credential, CredentialType, State};
use utoipa::openapi::schema::{AdditionalProperties, ArrayItems, Schema};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::{OpenApi, RefOr};
use utoipa::{Modify, OpenApi as _};

use crate::http::access::API_KEY;
use crate::http::error::ErrorBody;
use crate::{connect, credentials, token_urls, tokens, zoom_apps};

/// The document.
pub fn document() -> OpenApi {
    Document::openapi()
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Zoom credential vault",
        description = "Keeps Zoom OAuth grants for meeting bots, in your own AWS account. The endpoints under \
                       `/v2/zoom-credentials` are those of MeetingBaas v2: its SDKs work by changing the base URL.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        credentials::create::handle,
        credentials::list::handle,
        credentials::get::handle,
        credentials::update::handle,
        credentials::delete::handle,
        credentials::restore::handle,
        tokens::mint::handle,
        credentials::events::handle,
        credentials::check::handle,
        token_urls::create::handle,
        token_urls::list::handle,
        token_urls::delete::handle,
        token_urls::call::get,
        token_urls::call::post,
        connect::create::handle,
        connect::get::handle,
        zoom_apps::put::handle,
        zoom_apps::get::handle,
        zoom_apps::delete::handle,
        zoom_apps::rotate_secret::handle,
        zoom_apps::webhook::handle
    ),
    components(schemas(Credential, CredentialType, State, ErrorBody)),
    modifiers(&Closing),
    security(("ApiKeyAuth" = [])),
    tags(
        (name = "Zoom credentials", description = "Stored Zoom apps and users"),
        (name = "Zoom tokens", description = "What bots join with"),
        (name = "Token URLs", description = "Addresses that give bots of any vendor their token"),
        (name = "Connect sessions", description = "A page on which a Zoom user connects"),
        (name = "Zoom apps", description = "What Zoom tells an app, and an app's client secret"),
    ),
)]
struct Document;

/// The key, and that answers have no more fields than the document names.
struct Closing;

impl Modify for Closing {
    fn modify(&self, openapi: &mut OpenApi) {
        let key = ApiKeyValue::with_description(API_KEY, "`zcv_<team>_…`, made by the operator");
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("ApiKeyAuth", SecurityScheme::ApiKey(ApiKey::Header(key)));
        for (name, schema) in &mut components.schemas {
            let is_answer = !matches!(
                name.as_str(),
                "CreateCredential"
                    | "UpdateCredential"
                    | "MintToken"
                    | "CheckCredential"
                    | "CreateTokenUrl"
                    | "CreateConnectSession"
                    | "BotRequest"
                    | "PutZoomApp"
                    | "RotateSecret"
                    | "ZoomEvent"
            );
            if is_answer {
                close(schema);
            }
        }
    }
}

/// Says of an object schema, and of those inside it, that it has no more fields than it names.
fn close(schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else { return };
    if let Schema::Object(object) = schema {
        object.properties.values_mut().for_each(close);
        if !object.properties.is_empty() {
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    } else if let Schema::Array(array) = schema
        && let ArrayItems::RefOrSchema(items) = &mut array.items
    {
        close(items);
    }
}
