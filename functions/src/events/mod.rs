//! `GET /v2/events` and `GET /v2/zoom-credentials/{id}/events`: two routes of one function.

pub mod credential;
pub mod team;

use shared::stores::{Credentials, Events, Keys, Requests};

use crate::http::reply::Reply;
use crate::http::request::Request;

/// The method and path of the events of a credential. They also name the function in the log.
pub const ROUTE: &str = "GET /v2/zoom-credentials/{id}/events";
/// The method and path of the events of a team.
pub const TEAM_ROUTE: &str = "GET /v2/events";

/// Lists the events of the credential in the path, or of the team.
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    credentials: &Credentials,
    events: &Events,
    request: &Request,
) -> Reply {
    if request.names_credential() {
        credential::handle(keys, requests, credentials, events, request).await
    } else {
        team::handle(keys, requests, events, request).await
    }
}
