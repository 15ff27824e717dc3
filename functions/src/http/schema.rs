//! What the OpenAPI document says about errors and parameters that several endpoints share.

use std::collections::BTreeMap;

use shared::credential::ClientId;
use shared::invalid::Invalid;
use utoipa::openapi::schema::{AnyOfBuilder, Type};
use utoipa::openapi::{
    ContentBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Schema,
};
use utoipa::{IntoParams, IntoResponses, ToSchema};

/// Names groups of errors. A handler lists the groups that it may answer. A later group replaces the descriptions of an
/// earlier one.
macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident { $($status:literal: $description:literal,)+ })+) => {$(
        $(#[$doc])*
        pub(crate) enum $name {}

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                BTreeMap::from([$(($status.to_owned(), error($description))),+])
            }
        }
    )+};
}

fn error(description: &str) -> RefOr<Response> {
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody")));
    let response = ResponseBuilder::new().description(description);
    response.content("application/json", body.build()).into()
}

errors! {
    /// The errors of every call.
    ReadErrors {
        "400": "A part of the request breaks a rule. `message` names the part and the rule.",
        "401": "The API key is missing, malformed, unknown or revoked.",
        "403": "The API key's permission does not cover the operation.",
        "500": "The vault failed. Its log has the cause under the request id.",
        "503": "Temporarily unavailable. Try again after `retry-after`. `details` begins with what is not available.",
    }
    /// The error of a call about one credential.
    MissingError {
        "404": "The credential does not exist, is deleted, or belongs to another team.",
    }
    /// The error of a call about one token URL.
    MissingTokenUrlError {
        "404": "The token URL does not exist, is revoked, or belongs to another team.",
    }
    /// The error of a call about one connect session.
    MissingSessionError {
        "404": "The connect session does not exist, ended more than a day ago, or belongs to another team.",
    }
    /// The error of a call about one Zoom app.
    MissingAppError {
        "404": "The app is not registered, or another team registered it.",
    }
    /// The error of a call about a secret at a vendor.
    MissingVendorError {
        "404": "The team has stored no secret of this vendor.",
    }
    /// The error of a call about the endpoint for notifications.
    MissingEndpointError {
        "404": "The team has set no endpoint for notifications.",
    }
    /// The error of a call that counts against the team's rate.
    WriteErrors {
        "429": "The team made more calls in a second than it may.",
    }
    /// The errors of a call whose body is read.
    UnreadableBodyErrors {
        "413": "The body is larger than 256 KB.",
        "415": "The body is not `application/json`, or is compressed.",
    }
    /// The errors of a call with a body that changes a credential.
    BodyErrors {
        "409": "A concurrent change won, the same request is still running, or another request has used the authorization code.",
        "413": "The body is larger than 256 KB.",
        "415": "The body is not `application/json`, or is compressed.",
        "422": "The `Idempotency-Key` was used before with another body.",
    }
    /// The errors of a call that needs Zoom. A code that Zoom refuses is a 400.
    ZoomErrors {
        "502": "Zoom failed. It is safe to retry.",
        "504": "Zoom did not answer in time. It is safe to retry.",
    }
    /// The error of a call that proves an app to Zoom.
    AppErrors {
        "409": "Zoom refuses the client id with this secret. `details` says why.",
    }
    /// The errors of a change that may prove an app to Zoom.
    ProvedAppErrors {
        "409": "A concurrent change won, the same request is still running, another request has used the authorization code, or Zoom refuses the client id with this secret. `code` and `message` say which.",
    }
    /// The error of a mint that somebody must act on.
    MintErrors {
        "400": "A part of the request breaks a rule, or Zoom refuses the request for good. With `FST_ERR_ZOOM_REFUSED`, `details` says who must act: `caller`, `host` or `account_admin`.",
        "409": "The user must authorize again through a connect session with `credential_id`, or the operator must correct the Zoom app. `code` and `details` say which.",
    }
}

/// The `{client_id}` in a path: only characters that need no escape in a URL.
#[derive(Debug, ToSchema)]
#[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{1,128}$")]
pub(crate) struct ClientIdInPath(pub(crate) ClientId);

impl TryFrom<&str> for ClientIdInPath {
    type Error = Invalid;

    fn try_from(text: &str) -> Result<Self, Invalid> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let plain = text.len() <= 128 && text.bytes().all(plain);
        let id = ClientId::try_from(text.to_owned()).ok().filter(|_| plain);
        id.map(Self)
            .ok_or(Invalid("must be 1 to 128 of A-Z, a-z, 0-9, - and _"))
    }
}

/// Names a request, so that a repetition has no second effect and gets the same answer.
#[derive(IntoParams)]
#[into_params(names("Idempotency-Key"), parameter_in = Header)]
pub(crate) struct IdempotencyKey<'a>(
    /// 1 to 255 visible ASCII characters of your choice. The vault remembers them for 24 hours.
    #[param(value_type = Option<String>, nullable = false, pattern = "^[!-~]{1,255}$")]
    pub(crate) &'a str,
);

impl<'a> TryFrom<&'a str> for IdempotencyKey<'a> {
    type Error = Invalid;

    fn try_from(text: &'a str) -> Result<Self, Invalid> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && (1..=255).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err(Invalid("must be 1 to 255 visible ASCII characters"))
        }
    }
}

/// The schema of a query parameter that may be empty. An empty parameter means the same as a missing one.
pub(crate) fn or_empty(schema: impl Into<RefOr<Schema>>) -> Schema {
    let empty = ObjectBuilder::new()
        .schema_type(Type::String)
        .max_length(Some(0));
    AnyOfBuilder::new().item(schema).item(empty).build().into()
}
