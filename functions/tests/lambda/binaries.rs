//! The functions' binaries and their environment variables.

pub(crate) const CREATE: &str = env!("CARGO_BIN_EXE_create-credential");
pub(crate) const LIST: &str = env!("CARGO_BIN_EXE_list-credentials");
pub(crate) const GET: &str = env!("CARGO_BIN_EXE_get-credential");
pub(crate) const UPDATE: &str = env!("CARGO_BIN_EXE_update-credential");
pub(crate) const DELETE: &str = env!("CARGO_BIN_EXE_delete-credential");
pub(crate) const LIST_EVENTS: &str = env!("CARGO_BIN_EXE_list-events");
pub(crate) const CHECK: &str = env!("CARGO_BIN_EXE_check-credential");
pub(crate) const KEEP_ALIVE: &str = env!("CARGO_BIN_EXE_keep-alive");
pub(crate) const CREATE_URL: &str = env!("CARGO_BIN_EXE_create-token-url");
pub(crate) const LIST_URLS: &str = env!("CARGO_BIN_EXE_list-token-urls");
pub(crate) const DELETE_URL: &str = env!("CARGO_BIN_EXE_delete-token-url");
pub(crate) const TOKEN_URL: &str = env!("CARGO_BIN_EXE_token-url");
pub(crate) const PUT_APP: &str = env!("CARGO_BIN_EXE_put-zoom-app");
pub(crate) const GET_OVERVIEW: &str = env!("CARGO_BIN_EXE_get-overview");
pub(crate) const CONSOLE: &str = env!("CARGO_BIN_EXE_console");
pub(crate) const GET_APP: &str = env!("CARGO_BIN_EXE_get-zoom-app");
pub(crate) const DELETE_APP: &str = env!("CARGO_BIN_EXE_delete-zoom-app");
pub(crate) const ROTATE: &str = env!("CARGO_BIN_EXE_rotate-secret");
pub(crate) const WEBHOOK: &str = env!("CARGO_BIN_EXE_zoom-webhook");
pub(crate) const RESTORE: &str = env!("CARGO_BIN_EXE_restore-credential");
pub(crate) const PURGE: &str = env!("CARGO_BIN_EXE_purge");
pub(crate) const CREATE_SESSION: &str = env!("CARGO_BIN_EXE_create-connect-session");
pub(crate) const GET_SESSION: &str = env!("CARGO_BIN_EXE_get-connect-session");
pub(crate) const CONNECT: &str = env!("CARGO_BIN_EXE_connect");
pub(crate) const VENDORS: &str = env!("CARGO_BIN_EXE_vendors");
pub(crate) const ENDPOINT: &str = env!("CARGO_BIN_EXE_notification-endpoint");
pub(crate) const ENQUEUE: &str = env!("CARGO_BIN_EXE_notify-enqueue");
pub(crate) const DELIVER: &str = env!("CARGO_BIN_EXE_notify-deliver");
pub(crate) const CALLBACK: &str = env!("CARGO_BIN_EXE_connect-callback");

/// Seven of the functions that API Gateway invokes. Tests of the others name them.
pub(crate) const API_FUNCTIONS: [&str; 7] = [CREATE, LIST, GET, UPDATE, DELETE, LIST_EVENTS, CHECK];

/// The environment variables that Lambda itself sets.
const LAMBDA_VARIABLES: [&str; 3] = ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

/// The environment variables without which a function does not start. They name the resources that it may use.
pub(crate) fn required(binary: &str) -> Vec<&'static str> {
    let resources = match binary {
        LIST | GET | GET_SESSION => "KEYS_TABLE REQUESTS_TABLE CREDENTIALS_TABLE",
        DELETE => "KEYS_TABLE REQUESTS_TABLE CREDENTIALS_TABLE PAIRS_TABLE EVENTS_TABLE",
        RESTORE => {
            "KEYS_TABLE REQUESTS_TABLE CREDENTIALS_TABLE PAIRS_TABLE SECRETS_TABLE EVENTS_TABLE"
        }
        LIST_EVENTS => "KEYS_TABLE REQUESTS_TABLE CREDENTIALS_TABLE EVENTS_TABLE",
        CREATE | UPDATE | CHECK => {
            "KEYS_TABLE REQUESTS_TABLE CREDENTIALS_TABLE PAIRS_TABLE SECRETS_TABLE EVENTS_TABLE ENVELOPE_KEY_ID"
        }
        KEEP_ALIVE => {
            "KEYS_TABLE CREDENTIALS_TABLE PAIRS_TABLE SECRETS_TABLE EVENTS_TABLE ENVELOPE_KEY_ID"
        }
        PURGE => "PAIRS_TABLE SECRETS_TABLE TOKEN_URLS_TABLE EVENTS_TABLE",
        CREATE_URL => {
            "KEYS_TABLE REQUESTS_TABLE CREDENTIALS_TABLE TOKEN_URLS_TABLE SECRETS_TABLE EVENTS_TABLE"
        }
        LIST_URLS => "KEYS_TABLE REQUESTS_TABLE CREDENTIALS_TABLE TOKEN_URLS_TABLE",
        DELETE_URL => "KEYS_TABLE REQUESTS_TABLE CREDENTIALS_TABLE TOKEN_URLS_TABLE EVENTS_TABLE",
        TOKEN_URL => {
            "KEYS_TABLE REQUESTS_TABLE CREDENTIALS_TABLE PAIRS_TABLE TOKEN_URLS_TABLE SECRETS_TABLE EVENTS_TABLE ENVELOPE_KEY_ID"
        }
        CONSOLE => "",
        GET_APP | GET_OVERVIEW => "KEYS_TABLE REQUESTS_TABLE SECRETS_TABLE",
        DELETE_APP => "KEYS_TABLE REQUESTS_TABLE SECRETS_TABLE EVENTS_TABLE",
        PUT_APP | VENDORS | ENDPOINT => {
            "KEYS_TABLE REQUESTS_TABLE SECRETS_TABLE EVENTS_TABLE ENVELOPE_KEY_ID"
        }
        ENQUEUE => "SECRETS_TABLE NOTIFICATION_QUEUE_URL",
        DELIVER => "SECRETS_TABLE EVENTS_TABLE ENVELOPE_KEY_ID NOTIFICATION_QUEUE_URL",
        ROTATE | CREATE_SESSION => {
            "KEYS_TABLE REQUESTS_TABLE CREDENTIALS_TABLE SECRETS_TABLE EVENTS_TABLE ENVELOPE_KEY_ID"
        }
        WEBHOOK => "CREDENTIALS_TABLE PAIRS_TABLE SECRETS_TABLE EVENTS_TABLE ENVELOPE_KEY_ID",
        CONNECT => "REQUESTS_TABLE",
        CALLBACK => {
            "REQUESTS_TABLE CREDENTIALS_TABLE PAIRS_TABLE SECRETS_TABLE EVENTS_TABLE ENVELOPE_KEY_ID"
        }
        _ => panic!("{binary} is not in the list"),
    };
    LAMBDA_VARIABLES
        .into_iter()
        .chain(resources.split_whitespace())
        .collect()
}

/// The environment variables that a function may be given.
pub(crate) const OPTIONAL_VARIABLES: [&str; 11] = [
    "EVENTS_RETENTION_DAYS",
    "RESTORABLE_DAYS",
    "KEEP_ALIVE_AFTER_DAYS",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_KMS",
    "AWS_ENDPOINT_URL_SQS",
    "LANDING_URL",
    "NOTIFY_LOOPBACK",
    "ZOOM_OAUTH_BASE_URL",
    "ZOOM_API_BASE_URL",
    "ZOOM_TIMEOUT_MS",
];

/// The addresses of the services to which a function opens connections before its first event.
pub(crate) const SERVICE_ADDRESSES: [&str; 3] = [
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_KMS",
    "ZOOM_API_BASE_URL",
];

/// Every binary that can call KMS holds the name of KMS's protocol.
// assures 18
#[test]
fn the_functions_that_seal_and_open_nothing_contain_no_kms_client() {
    let speaks_kms = |binary: &str| {
        let bytes = std::fs::read(binary).unwrap();
        bytes
            .windows(b"TrentService".len())
            .any(|window| window == b"TrentService")
    };
    assert!(speaks_kms(CREATE) && speaks_kms(UPDATE));
    for binary in [
        LIST,
        GET,
        DELETE,
        LIST_EVENTS,
        GET_APP,
        GET_OVERVIEW,
        CONSOLE,
        DELETE_APP,
        RESTORE,
        PURGE,
        GET_SESSION,
        CONNECT,
        ENQUEUE,
    ] {
        assert!(!speaks_kms(binary), "{binary}");
    }
}
