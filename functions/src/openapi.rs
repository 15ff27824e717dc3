//! The API as an OpenAPI 3.1 document, generated from the types that read requests and write answers.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::credential::{Credential, CredentialType, State};
use shared::notification::NotificationKind;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{AdditionalProperties, ArrayItems, Schema, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::{Object, OpenApi, PathItem, RefOr};
use utoipa::{Modify, OpenApi as _};

use crate::http::access::API_KEY;
use crate::http::error::ErrorBody;
use crate::{
    connect, credentials, events, notifications, overview, token_urls, tokens, vendors, zoom_apps,
};

/// The document.
pub fn document() -> OpenApi {
    Document::openapi()
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Zoom credential vault",
        description = "Keeps Zoom OAuth grants for meeting bots, in your own AWS account. The endpoints under \
                       `/v2/zoom-credentials` are those of MeetingBaas v2: its SDKs work by changing the base URL.\n\n\
                       A path that no endpoint has, or a method that its path does not have, is a 404 with the code \
                       `FST_ERR_NOT_FOUND`. Only token URLs, `/v2/vendors/{vendor}` and `/v2/notification-endpoint` \
                       answer a wrong method with a 405 and the header `Allow`.",
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
        events::credential::handle,
        events::team::handle,
        credentials::check::handle,
        token_urls::create::of_credential,
        token_urls::choosing::create::of_team,
        token_urls::list::of_credential,
        token_urls::choosing::list::of_team,
        token_urls::delete::of_credential,
        token_urls::choosing::delete::of_team,
        token_urls::call::get,
        token_urls::call::post,
        vendors::secret::put,
        vendors::secret::get,
        vendors::secret::delete,
        notifications::endpoint::put,
        notifications::endpoint::get,
        notifications::endpoint::delete,
        notifications::endpoint::test,
        connect::create::handle,
        connect::get::handle,
        overview::handle,
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
        (name = "Events", description = "Who did what, and which token went to whom"),
        (name = "Overview", description = "A key, its team, and what the team has registered"),
        (name = "Notifications", description = "Signed calls that tell your server what happens to credentials"),
        (name = "Zoom apps", description = "What Zoom tells an app, and an app's client secret"),
    ),
)]
struct Document;

/// Adds what the types cannot say: the API key, the rules between fields, headers, and that answers have no other
/// fields.
struct Closing;

impl Modify for Closing {
    fn modify(&self, openapi: &mut OpenApi) {
        let key = ApiKeyValue::with_description(API_KEY, "`zcv_<team>_…`, made by the operator");
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("ApiKeyAuth", SecurityScheme::ApiKey(ApiKey::Header(key)));
        let mut bodies = BTreeSet::new();
        for operation in openapi.paths.paths.values_mut().flat_map(operations) {
            bodies.extend(body_schema(operation));
            add_headers(operation);
        }
        for (name, schema) in &mut components.schemas {
            if !bodies.contains(name) {
                close(schema);
            }
            if let RefOr::T(Schema::Object(object)) = schema {
                // One keyword only: the order of several would change from run to run.
                let rules = rules(name).map(|rules| ("allOf", rules));
                object.extensions = rules.map(|rules| Extensions::from_iter([rules]));
            }
        }
    }
}

/// The rules between the fields of a body: schemas that the body must match besides its own.
fn rules(body: &str) -> Option<Value> {
    let with_code = json!({
        "dependentRequired": { "authorization_code": ["redirect_uri"], "code_verifier": ["authorization_code"] },
    });
    let with_app = json!({
        "dependentRequired": { "client_id": ["client_secret"], "client_secret": ["client_id"] },
    });
    let either = |fields: [&str; 2]| fields.map(|field| json!({ "required": [field] }));
    match body {
        "CreateCredential" => Some(json!([
            with_code,
            { "not": { "required": ["account_id", "authorization_code"] } },
        ])),
        "UpdateCredential" => Some(json!([with_code, with_app])),
        "CreateConnectSession" => Some(json!([
            with_app,
            { "anyOf": either(["name", "credential_id"]) },
            // Exactly one app: the one in the body, a credential's, or that of the credential to connect again.
            { "oneOf": [
                { "required": ["client_id"], "not": { "required": ["app_credential_id"] } },
                { "required": ["app_credential_id"], "not": { "anyOf": either(["client_id", "credential_id"]) } },
                { "required": ["credential_id"], "not": { "anyOf": either(["client_id", "app_credential_id"]) } },
            ] },
        ])),
        "MintToken" => {
            let is = |kind: &str| json!({ "properties": { "type": { "const": kind } } });
            let sdk_jwt = json!({
                "dependentRequired": { "meeting_id": ["role"], "role": ["meeting_id"] },
                "properties": { "ttl": { "minimum": 1800, "maximum": 172_800 } },
            });
            Some(json!([
                { "oneOf": either(["credential_id", "credential_user_id"]) },
                { "if": is("local_recording"), "then": { "anyOf": either(["meeting_id", "meeting_url"]) } },
                { "if": is("sdk_jwt"), "then": sdk_jwt },
                { "if": is("rtms_signature"), "then": { "required": ["meeting_uuid", "rtms_stream_id"] } },
            ]))
        }
        "CreateTokenUrl" => {
            let of_access = json!({ "properties": { "type": { "const": "access_token" } } });
            Some(json!([{ "if": of_access, "then": for_access_tokens(&json!("recall")) }]))
        }
        "CreateChoosingUrl" => {
            let open = json!({ "required": ["unverified"], "properties": { "unverified": { "const": true } } });
            Some(json!([
                { "oneOf": [
                    { "required": ["credentials"], "properties": { "call_keys": false, "extra": false } },
                    { "required": ["choose"] },
                ] },
                { "oneOf": [{ "required": ["verify"] }, open] },
                // A ZAK is bound to no meeting.
                { "if": { "properties": { "types": { "contains": { "const": "zak" } } } },
                  "then": { "properties": { "meeting_id": false } } },
                { "if": { "properties": { "types": { "contains": { "const": "access_token" } } } },
                  "then": { "properties": { "types": { "maxItems": 1 }, "credentials": { "maxItems": 1 } },
                            "allOf": [for_access_tokens(&json!(["recall"]))] } },
            ]))
        }
        // Every endpoint gets tests, so nobody can choose them.
        "PutNotificationEndpoint" => {
            let chosen = json!({ "not": { "const": NotificationKind::EndpointTest } });
            Some(json!([{ "properties": { "kinds": { "items": chosen } } }]))
        }
        _ => None,
    }
}

/// An access token is bound to no meeting, and only Recall.ai gets one. `verify` is what the field must be then.
fn for_access_tokens(verify: &Value) -> Value {
    json!({ "required": ["verify"], "properties": { "meeting_id": false, "verify": { "const": verify } } })
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut path.get,
        &mut path.put,
        &mut path.post,
        &mut path.patch,
        &mut path.delete,
    ]
    .into_iter()
    .flatten()
}

/// The name of the schema of an operation's body. A body that may be missing (`Option` in the handler's attribute) may
/// not be `null`.
fn body_schema(operation: &mut Operation) -> Option<String> {
    let RefOr::T(body) = operation.request_body.as_mut()? else {
        return None;
    };
    let RefOr::T(content) = body.content.get_mut("application/json")? else {
        return None;
    };
    if let Some(RefOr::T(Schema::OneOf(optional))) = &content.schema {
        content.schema = optional
            .items
            .iter()
            .find(|item| is_reference(item))
            .cloned();
    }
    let Some(RefOr::Ref(reference)) = &content.schema else {
        return None;
    };
    let (_, name) = reference.ref_location.rsplit_once('/')?;
    Some(name.to_owned())
}

fn is_reference(schema: &RefOr<Schema>) -> bool {
    matches!(schema, RefOr::Ref(_))
}

/// Adds the headers of each answer.
fn add_headers(operation: &mut Operation) {
    let pages =
        operation.parameters.iter().flatten().any(
            |parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == "cursor"),
        );
    let responses = &mut operation.responses.responses;
    let counted = responses.contains_key("429");
    let can_be_replayed = responses.contains_key("422");
    for (status, response) in responses {
        let RefOr::T(response) = response else {
            continue;
        };
        let mut add = |name: &str, kind: Type, description: &str| {
            let header = HeaderBuilder::new().schema(Some(Object::with_type(kind)));
            let header = header.description(Some(description)).build();
            response.headers.insert(name.to_owned(), header.into());
        };
        add(
            "x-request-id",
            Type::String,
            "Names the request in the vault's log",
        );
        if counted && status != "401" {
            add(
                "x-ratelimit-limit",
                Type::Integer,
                "Calls in a second that the team may make",
            );
            add(
                "x-ratelimit-remaining",
                Type::Integer,
                "Calls that are left in this second",
            );
            add(
                "x-ratelimit-reset",
                Type::Integer,
                "Seconds until the count starts again",
            );
        }
        if matches!(
            status.as_str(),
            "409" | "429" | "502" | "503" | "504" | "default"
        ) {
            add(
                "retry-after",
                Type::Integer,
                "Seconds to wait before the next try, if waiting helps",
            );
        }
        if can_be_replayed && status.starts_with('2') {
            add(
                "idempotent-replayed",
                Type::String,
                "`true` if an earlier, equal request made what the answer shows",
            );
        }
        if status == "405" {
            add("allow", Type::String, "The methods that the path accepts");
        }
        if status == "200" && pages {
            add(
                "x-next-cursor",
                Type::String,
                "The `cursor` of the next page, if there is one",
            );
        }
    }
}

/// Closes an object schema and those inside it: an answer has no fields but those that the document names.
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
    } else if let Schema::OneOf(choice) = schema {
        choice.items.iter_mut().for_each(close);
    }
}
