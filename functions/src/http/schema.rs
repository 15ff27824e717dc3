//! What the OpenAPI document says about requests, beside what their types say.

use std::collections::HashMap;

use serde_json::Value;
use shared::token::TokenType;
use shared::token_url::UrlTokenType;
use utoipa::{IntoParams, IntoResponses, ToSchema};

use crate::http::error::ErrorBody;

/// Who is to be connected, and with which Zoom app.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents what `create_connect_session` reads")]
pub(crate) struct CreateConnectSession {
    /// What the credential is called; the page shows it to the user. Required, unless `credential_id` is given.
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    /// The Zoom app; comes with `client_secret`.
    #[schema(min_length = 1, max_length = 256)]
    client_id: Option<String>,
    /// The app's secret; comes with `client_id`.
    #[schema(min_length = 1, max_length = 256)]
    client_secret: Option<String>,
    /// In place of `client_id` and `client_secret`: a credential of the team whose app is used.
    #[schema(format = "uuid")]
    app_credential_id: Option<String>,
    /// The credential to connect again: it keeps its id, and its app unless another comes along.
    #[schema(format = "uuid")]
    credential_id: Option<String>,
    /// The owner's own JSON object; with `credential_id` it replaces, and null clears.
    extra: Option<HashMap<String, Value>>,
    /// Where the user goes in the end, with `session_id` and `credential_id` or `error` in the query; with `user_changed`
    /// beside `credential_id` where another Zoom user came. Of an origin that the operator has allowed the team; without
    /// one, a page says how it ended.
    #[schema(format = "uri", max_length = 2000)]
    return_url: Option<String>,
}

/// What to mint.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents what `mint_token` reads")]
pub(crate) struct MintToken {
    /// The credential; or `credential_user_id`.
    #[schema(format = "uuid")]
    credential_id: Option<String>,
    /// A Zoom user's id: the team's most recently authorized active credential of that user.
    #[schema(min_length = 1, max_length = 256)]
    credential_user_id: Option<String>,
    r#type: TokenType,
    /// The meeting. Required with `local_recording`; with `sdk_jwt` it comes with `role`.
    #[schema(pattern = "^[0-9 -]{1,40}$")]
    meeting_id: Option<String>,
    /// Seconds to live; for `sdk_jwt` 1800 to 172800. By default what Zoom gives, and two hours for `sdk_jwt`.
    #[schema(minimum = 1, maximum = 7_776_000)]
    ttl: Option<u32>,
    /// For `sdk_jwt`: 0 to join, 1 to start the meeting.
    #[schema(minimum = 0, maximum = 1)]
    role: Option<u8>,
}

/// What a mint may answer instead.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "documents the errors of `error`")]
pub(crate) enum MintErrors {
    /// Somebody must act: `code` and `details` say who. The user authorizes again, or the operator mends the app.
    #[response(status = 409)]
    Conflict(ErrorBody),
    /// Zoom failed. It is safe to retry.
    #[response(status = 502)]
    ZoomUnavailable(ErrorBody),
    /// Zoom did not answer in time. It is safe to retry.
    #[response(status = 504)]
    ZoomTimeout(ErrorBody),
}

/// What any call may answer instead.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "documents the errors of `error`")]
pub(crate) enum ReadErrors {
    /// A part of the request breaks a rule, which `message` names.
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// The key is missing, malformed, unknown or revoked.
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// The key's permission does not cover this.
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// Ours to mend; the cause is in the log, under the request id.
    #[response(status = 500)]
    Internal(ErrorBody),
    /// Temporarily unavailable: try again after `retry-after`.
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

/// What a call about one credential may answer instead.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "documents the errors of `error`")]
pub(crate) enum MissingError {
    /// Absent, deleted, or another team's.
    #[response(status = 404)]
    NotFound(ErrorBody),
}

/// What a call that changes something may answer instead.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "documents the errors of `error`")]
pub(crate) enum WriteErrors {
    /// More calls in a second than the team may make.
    #[response(status = 429)]
    RateLimited(ErrorBody),
}

/// What a call whose body is read may answer instead.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "documents the errors of `error`")]
pub(crate) enum UnreadableBodyErrors {
    /// More than 256 KB.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// Not `application/json`.
    #[response(status = 415)]
    MediaType(ErrorBody),
}

/// What a call with a body may answer instead.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "documents the errors of `error`")]
pub(crate) enum BodyErrors {
    /// A concurrent change won, or the same request is still running.
    #[response(status = 409)]
    Conflict(ErrorBody),
    /// More than 256 KB.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// Not `application/json`.
    #[response(status = 415)]
    MediaType(ErrorBody),
    /// The `Idempotency-Key` was used with another body.
    #[response(status = 422)]
    Reused(ErrorBody),
}

/// What a call that spends a code may answer instead. Where Zoom refuses the code it is a 400.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "documents the errors of `error`")]
pub(crate) enum ZoomErrors {
    /// Zoom failed; it is safe to retry.
    #[response(status = 502)]
    Failed(ErrorBody),
    /// Zoom did not answer in time; it is safe to retry.
    #[response(status = 504)]
    Silent(ErrorBody),
}

/// A new credential. With `authorization_code` it is a user's, without one the app's alone. Unknown keys are
/// ignored.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "documents the body that `create_credential` reads"
)]
pub(crate) struct CreateCredential {
    /// What you call it; need not be unique.
    #[schema(min_length = 1, max_length = 100, example = "Jane's calendar bot")]
    name: String,
    /// The Zoom app's client id.
    #[schema(min_length = 1, max_length = 256, example = "sandbox-app")]
    client_id: String,
    /// The Zoom app's client secret. Sealed at once, never shown again.
    #[schema(min_length = 1, max_length = 256, format = Password, write_only)]
    client_secret: String,
    /// The code Zoom sent the user back with. It works once, for 5 minutes.
    #[schema(max_length = 2000, format = Password, write_only, nullable = false)]
    authorization_code: Option<String>,
    /// Where Zoom sent the user, to the letter. Required with a code.
    #[schema(
        format = "uri",
        nullable = false,
        example = "https://example.com/zoom/callback"
    )]
    redirect_uri: Option<String>,
    /// Your own JSON object, at most 16 KB and 32 levels deep. It comes back as it was sent.
    extra: Option<HashMap<String, Value>>,
}

/// What changes; everything left out stays.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "documents the body that `update_credential` reads"
)]
pub(crate) struct UpdateCredential {
    /// A new name.
    #[schema(min_length = 1, max_length = 100, nullable = false)]
    name: Option<String>,
    /// With `client_secret`: the app. A user credential's cannot change without a new authorization.
    #[schema(min_length = 1, max_length = 256, nullable = false)]
    client_id: Option<String>,
    /// With `client_id`: the app's secret. Sealed at once, never shown again.
    #[schema(min_length = 1, max_length = 256, format = Password, write_only, nullable = false)]
    client_secret: Option<String>,
    /// A new authorization, by any Zoom user: fresh tokens, state `active`, errors cleared.
    #[schema(max_length = 2000, format = Password, write_only, nullable = false)]
    authorization_code: Option<String>,
    /// Where Zoom sent the user, to the letter. Required with a code.
    #[schema(format = "uri", nullable = false)]
    redirect_uri: Option<String>,
    /// Replaces the object as a whole; null clears it.
    extra: Option<HashMap<String, Value>>,
}

/// What a check may need. Unknown keys are ignored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body that `check_credential` reads")]
pub(crate) struct CheckCredential {
    /// A meeting to mint a token for: without one, local recording is judged by the scopes.
    #[schema(nullable = false, example = "12345678901")]
    meeting_id: Option<String>,
}

/// Conditions, all of which must hold; an empty one asks for nothing.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the query that `filter` reads")]
pub(crate) struct ListQuery {
    /// Part of the name, in any case.
    name: Option<String>,
    /// Part of the email address, in any case.
    zoom_email: Option<String>,
    /// Part of the display name, in any case.
    zoom_display_name: Option<String>,
    /// The Zoom user's id, exactly.
    zoom_user_id: Option<String>,
    /// A comma-separated list of `app`, `user`.
    credential_type: Option<String>,
    /// A comma-separated list of `active`, `invalid`.
    state: Option<String>,
    /// `key:value` pairs of `extra`, separated by commas, matched exactly; the value may itself contain `:`.
    #[param(example = "environment:production,tenant:acme")]
    extra: Option<String>,
    /// `true` lists the deleted ones instead.
    deleted: Option<bool>,
    /// At most this many on a page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// Where the page before ended: its header `x-next-cursor`.
    cursor: Option<String>,
}

/// Which page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the query that `list_events` reads")]
pub(crate) struct EventsQuery {
    /// At most this many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u16>,
    /// Where the page before ended: its header `x-next-cursor`.
    cursor: Option<String>,
}

/// Which page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the query that `list_token_urls` reads")]
pub(crate) struct TokenUrlsQuery {
    /// At most this many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u16>,
    /// Where the page before ended: its header `x-next-cursor`.
    cursor: Option<String>,
}

/// A new token URL. Unknown keys are ignored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body that `create_token_url` reads")]
pub(crate) struct CreateTokenUrl {
    /// What kind of token it gives.
    r#type: UrlTokenType,
    /// What you call it.
    #[schema(
        min_length = 1,
        max_length = 100,
        nullable = false,
        example = "MeetingBaas, sales"
    )]
    label: Option<String>,
    /// The one meeting it is for. A call that names another is refused; one that names none gets a token for this.
    #[schema(nullable = false, example = "98765432101")]
    meeting_id: Option<String>,
    /// How many tokens it gives at most.
    #[schema(minimum = 1, maximum = 1_000_000, nullable = false)]
    max_uses: Option<u32>,
    /// How many seconds it lives; for ever where that is left out.
    #[schema(minimum = 60, maximum = 315_360_000, nullable = false)]
    expires_in: Option<u32>,
}

/// What bots' vendors say of a call. Everything else is ignored, and so is what makes no sense; the first of a repeated
/// parameter counts.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the query that `dialect` reads")]
pub(crate) struct BotQuery {
    /// The meeting.
    meeting_number: Option<String>,
    /// The meeting, where there is no `meeting_number`.
    meeting_id: Option<String>,
    /// A Zoom link, where there is neither.
    meeting_url: Option<String>,
    /// What the vendor calls the bot, for the usage record.
    bot_uuid: Option<String>,
    /// The same.
    bot_id: Option<String>,
}

/// The same as in the query, which comes first.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body that `dialect` reads")]
pub(crate) struct BotRequest {
    /// The meeting.
    meeting_number: Option<String>,
    /// The meeting, where there is no `meeting_number`.
    meeting_id: Option<String>,
    /// A Zoom link, where there is neither.
    meeting_url: Option<String>,
    /// What the vendor calls the bot, for the usage record.
    bot_uuid: Option<String>,
    /// The same.
    bot_id: Option<String>,
}

/// A token under each of the names that vendors look for; those of the URL's type are there.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the answer that `dialect` writes")]
pub(crate) struct BotToken {
    /// The token.
    token: String,
    /// With `onbehalf`.
    #[schema(nullable = false)]
    onbehalf_token: Option<String>,
    /// With `onbehalf`.
    #[schema(nullable = false)]
    obf: Option<String>,
    /// With `zak`.
    #[schema(nullable = false)]
    zak_token: Option<String>,
    /// With `zak`.
    #[schema(nullable = false)]
    zak: Option<String>,
    /// With `local_recording`.
    #[schema(nullable = false)]
    join_token: Option<String>,
    /// With `local_recording`.
    #[schema(nullable = false)]
    app_privilege_token: Option<String>,
}

/// Sent again with the same key, a request is done once and answered the same.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "documents the header that `idempotency` reads")]
pub(crate) struct IdempotencyHeader {
    /// 1 to 255 visible ASCII characters of your choice, remembered for 24 hours. On a PATCH it counts where an
    /// authorization code comes with it: without one, a PATCH can be repeated as it is.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 255,
        nullable = false
    )]
    idempotency_key: Option<String>,
}

/// A Zoom app. Unknown keys are ignored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body that `put_zoom_app` reads")]
pub(crate) struct PutZoomApp {
    /// What you call it.
    #[schema(min_length = 1, max_length = 100, nullable = false)]
    name: Option<String>,
    /// The app's client secret: proves to Zoom that the app is yours, and is not kept.
    #[schema(min_length = 1, max_length = 256, format = Password, write_only)]
    client_secret: String,
    /// The app's secret token, from its features page at Zoom. Sealed at once, never shown again.
    #[schema(min_length = 1, max_length = 256, format = Password, write_only)]
    webhook_secret_token: String,
}

/// An app's new client secret. Unknown keys are ignored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body that `rotate_secret` reads")]
pub(crate) struct RotateSecret {
    /// The client secret as it is at Zoom now.
    #[schema(min_length = 1, max_length = 256, format = Password, write_only)]
    client_secret: String,
}

/// Where to go on.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the query that `rotate_secret` reads")]
pub(crate) struct RotationQuery {
    /// Where the call before ended: its header `x-next-cursor`.
    cursor: Option<String>,
}

/// An event, as Zoom has it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body that `zoom_webhook` reads")]
pub(crate) struct ZoomEvent {
    /// Which.
    #[schema(example = "app_deauthorized")]
    event: String,
    /// When, in milliseconds since 1970.
    event_ts: Option<i64>,
    /// What it is about, each event in its own way.
    payload: Option<HashMap<String, Value>>,
}

/// Shows Zoom that the secret token is known here.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the answer of `zoom_webhook`")]
#[schema(rename_all = "camelCase")]
pub(crate) struct ChallengeAnswer {
    /// As it was sent.
    plain_token: String,
    /// Its HMAC-SHA256 under the secret token, in hex.
    encrypted_token: String,
}

/// What a call about an app may answer instead.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "documents the errors of `error`")]
pub(crate) enum AppErrors {
    /// Zoom refuses the client id with this secret: `details` says why.
    #[response(status = 409)]
    Refused(ErrorBody),
}

/// What a call about one app may answer instead.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "documents the errors of `error`")]
pub(crate) enum MissingAppError {
    /// Not registered, or another team's.
    #[response(status = 404)]
    NotFound(ErrorBody),
}
