//! The readers of exports: formats, units, broken lines, and that nothing secret is repeated.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::formats::{DefaultApp, ExportRow, Format};
use super::plan::Plan;

const FORMATS: [Format; 6] = [
    Format::Nango,
    Format::Authjs,
    Format::BetterAuth,
    Format::Calcom,
    Format::Attendee,
    Format::Generic,
];
const TOKEN: &str = "a-refresh-token-of-the-old-system";

fn app() -> DefaultApp {
    DefaultApp {
        client_id: Some("app".to_owned().try_into().unwrap()),
        client_secret: Some("secret".to_owned().try_into().unwrap()),
    }
}

fn read(format: Format, line: &Value) -> Result<ExportRow, String> {
    format.read(1, line.to_string().as_bytes(), &app())
}

/// A line of each format with the same token, of the user `ada`, whose access token expires at the beginning of 2026.
fn line(format: Format) -> Value {
    match format {
        Format::Nango => json!({
            "id": 7, "connection_id": "c-7", "provider_config_key": "zoom", "provider": "zoom", "metadata": null,
            "created_at": "2025-01-01T00:00:00.000Z", "errors": [], "connection_config": {},
            "credentials": {
                "type": "OAUTH2", "access_token": "access", "refresh_token": TOKEN,
                "expires_at": "2026-01-01T00:00:00.000Z",
                "raw": { "scope": "user:read:user user:read:zak", "api_url": "https://api.zoom.us", "expires_in": 3599 },
            },
        }),
        Format::Authjs => json!({
            "id": "c-7", "userId": "u", "type": "oauth", "provider": "zoom", "providerAccountId": "ada",
            "refresh_token": TOKEN, "access_token": "access", "expires_at": 1_767_225_600, "token_type": "bearer",
            "scope": "user:read:user,user:read:zak", "id_token": null, "session_state": null,
        }),
        Format::BetterAuth => json!({
            "id": "c-7", "userId": "u", "providerId": "zoom", "accountId": "ada", "refreshToken": TOKEN,
            "accessTokenExpiresAt": "2026-01-01 00:00:00", "scope": "user:read:user,user:read:zak",
        }),
        Format::Calcom => json!({
            "id": 7, "type": "zoom_video", "appId": "zoom", "userId": 9, "teamId": null,
            "key": { "refresh_token": TOKEN, "access_token": "access", "expiry_date": 1_767_225_600_000_i64,
                "scope": "user:read:user user:read:zak" },
        }),
        Format::Attendee => json!({
            "id": "zoc_7", "user_id": "ada", "account_id": "analytical", "credentials": { "refresh_token": TOKEN },
        }),
        Format::Generic => json!({
            "id": "c-7", "refresh_token": TOKEN, "zoom_user_id": "ada", "expires_at": "1767225600",
            "scope": "user:read:user, user:read:zak", "name": "Ada+Test@Example.COM", "extra": { "n": 1 },
        }),
    }
}

#[test]
fn each_format_has_the_token_and_what_else_its_export_says() {
    for format in FORMATS {
        let row = read(format, &line(format)).unwrap();
        assert_eq!(
            row.given.id(),
            read(Format::Generic, &line(Format::Generic))
                .unwrap()
                .given
                .id()
        );
        assert_eq!(row.given.app.client_id.as_str(), "app", "{format:?}");
        let knows_user = !matches!(format, Format::Nango | Format::Calcom);
        assert_eq!(
            row.user.as_deref(),
            knows_user.then_some("ada"),
            "{format:?}"
        );
        assert!(
            row.source.is_some() && row.given.extra.is_some(),
            "{format:?}"
        );
        if format != Format::Attendee {
            let expires_at = row.expires_at.unwrap().to_string();
            assert_eq!(expires_at, "2026-01-01T00:00:00.000Z", "{format:?}");
            let scopes = row.given.scopes.as_deref();
            assert_eq!(scopes, Some("user:read:user,user:read:zak"), "{format:?}");
        }
    }
    let row = read(Format::Generic, &line(Format::Generic)).unwrap();
    assert_eq!(row.given.name.unwrap().as_str(), "Ada+Test@Example.COM");
    assert_eq!(row.given.extra.unwrap().as_json(), r#"{"n":1}"#);
}

#[test]
fn a_nango_connection_brings_its_own_app() {
    let mut line = line(Format::Nango);
    line["credentials"]["config_override"] =
        json!({ "client_id": "own", "client_secret": "own-secret" });
    let row = read(Format::Nango, &line).unwrap();
    assert_eq!(row.given.app.client_id.as_str(), "own");
    // The secret of another app is never used for this one.
    line["credentials"]["config_override"] = json!({ "client_id": "own" });
    let reason = read(Format::Nango, &line).err().unwrap();
    assert!(reason.starts_with("client_secret is missing"), "{reason}");
}

#[test]
fn times_may_be_texts_seconds_or_milliseconds() {
    for time in [
        json!(1_767_225_600),
        json!(1_767_225_600_000_i64),
        json!("1767225600"),
        json!("1767225600000"),
        json!("2026-01-01T00:00:00Z"),
        json!("2026-01-01T01:00:00+01:00"),
        json!("2026-01-01 00:00:00.000"),
    ] {
        let mut line = line(Format::Generic);
        line["expires_at"] = time.clone();
        let row = read(Format::Generic, &line).unwrap();
        let expires_at = row.expires_at.unwrap().to_string();
        assert_eq!(expires_at, "2026-01-01T00:00:00.000Z", "{time}");
    }
}

#[test]
fn times_that_there_are_not_are_refused() {
    for time in [
        json!(-1),
        json!(1e20),
        json!("NaN"),
        json!("inf"),
        json!("-1"),
        json!("1e20"),
    ] {
        let mut line = line(Format::Generic);
        line["expires_at"] = time.clone();
        let reason = read(Format::Generic, &line).err();
        assert_eq!(
            reason.as_deref(),
            Some("expires_at is not a time"),
            "{time}"
        );
    }
}

#[test]
fn a_nango_connection_that_has_no_user_is_refused() {
    let mut line = line(Format::Nango);
    line["credentials"] = json!({ "type": "OAUTH2_CC", "token": TOKEN });
    let reason = read(Format::Nango, &line).err().unwrap();
    assert_eq!(reason, "the connection is server-to-server and has no user");
}

#[test]
fn a_host_that_is_not_zooms_is_never_used() {
    for url in [
        "https://evil.test",
        "http://api.zoom.us",
        "https://api.zoom.us.evil.test",
        "https://api.zoom.us@evil.test",
        "https://api.zoom.us:8443",
    ] {
        let mut nango = line(Format::Nango);
        nango["credentials"]["raw"]["api_url"] = json!(url);
        let row = read(Format::Nango, &nango).unwrap();
        assert!(row.given.api_url.is_none(), "{url}");
        let mut calcom = line(Format::Calcom);
        calcom["key"]["api_url"] = json!(url);
        let row = read(Format::Calcom, &calcom).unwrap();
        assert!(row.given.api_url.is_none(), "{url}");
    }
}

#[test]
fn a_key_of_cal_com_and_a_flat_row_of_attendee_are_read_too() {
    let token = read(Format::Generic, &line(Format::Generic))
        .unwrap()
        .given
        .id();
    let key = line(Format::Calcom)["key"].clone();
    let row = read(Format::Calcom, &key).unwrap();
    assert_eq!((row.given.id(), row.source), (token, None));
    let flat = json!({ "id": "zoc_7", "user_id": "ada", "refresh_token": TOKEN });
    let row = read(Format::Attendee, &flat).unwrap();
    assert_eq!(
        (row.given.id(), row.source.as_deref()),
        (token, Some("zoc_7"))
    );
}

#[test]
fn ten_megabytes_are_ignored_where_nobody_reads_them_and_refused_as_extra() {
    let long = "x".repeat(10 * 1024 * 1024);
    let mut nango = line(Format::Nango);
    nango["metadata"] = json!({ "note": long });
    assert!(read(Format::Nango, &nango).is_ok());
    let mut generic = line(Format::Generic);
    generic["extra"] = json!({ "note": long });
    let reason = read(Format::Generic, &generic).err().unwrap();
    assert!(reason.starts_with("extra "), "{reason}");
    assert!(reason.len() < 200, "{}", reason.len());
}

#[test]
fn a_wrong_field_is_named_without_its_value() {
    let cases = [
        (
            Format::Generic,
            "refresh_token",
            json!(null),
            "there is no refresh token",
        ),
        (
            Format::Generic,
            "refresh_token",
            json!(7),
            "refresh_token is not a text",
        ),
        (
            Format::Generic,
            "refresh_token",
            json!("short"),
            "refresh_token must be 20 to 8192 visible ASCII characters",
        ),
        (
            Format::Generic,
            "expires_at",
            json!("soon"),
            "expires_at is not a time",
        ),
        (
            Format::Generic,
            "expires_at",
            json!({}),
            "expires_at is not a time",
        ),
        (
            Format::Generic,
            "extra",
            json!([]),
            "extra is not an object",
        ),
        (
            Format::Generic,
            "api_url",
            json!("https://evil.test"),
            "api_url is not a host of Zoom, such as https://api.zoom.us",
        ),
        (
            Format::Generic,
            "refreshToken",
            json!("x"),
            "refreshToken is not a field of this format",
        ),
        (
            Format::Authjs,
            "provider",
            json!("google"),
            "the account is not of Zoom",
        ),
        (
            Format::Nango,
            "provider",
            json!("slack"),
            "provider is not zoom",
        ),
        (
            Format::Nango,
            "credentials",
            json!("secret-text"),
            "credentials is not an object",
        ),
        (
            Format::Calcom,
            "type",
            json!("google_calendar"),
            "the credential is not of Zoom",
        ),
    ];
    for (format, field, value, expected) in cases {
        let mut line = line(format);
        line[field] = value;
        assert_eq!(
            read(format, &line).err().as_deref(),
            Some(expected),
            "{field}"
        );
    }
}

#[test]
fn a_line_that_is_broken_stops_no_other_line() {
    let good = line(Format::Generic).to_string();
    let mut other = line(Format::Generic);
    other["refresh_token"] = json!("the-refresh-token-of-another-user");
    other["zoom_user_id"] = json!("grace");
    let file =
        format!("\u{feff}{good}\r\n\r\n{{\"refresh_token\": \"{TOKEN}\r\n[1]\r\n{other}\r\n{good}");

    let plan = Plan::of(file.as_bytes(), Format::Generic, &app());

    assert_eq!(plan.rows(), 2);
    let malformed: Vec<usize> = plan.malformed.iter().map(|it| it.line).collect();
    assert_eq!(malformed, [3, 4]);
    let [same] = plan.same.as_slice() else {
        panic!("{:?}", plan.same)
    };
    assert_eq!((same.line, same.of), (6, 1));
}

#[test]
fn the_rows_of_one_user_are_tried_the_latest_first() {
    let row = |number: i64, at: i64| {
        let mut row = line(Format::Generic);
        row["refresh_token"] = json!(format!("{TOKEN}-{number}"));
        row["expires_at"] = json!(at);
        row.to_string()
    };
    // Seconds and milliseconds are compared as times.
    let file = [
        row(1, 1_700_000_000),
        row(2, 1_800_000_000_000),
        row(3, 1_750_000_000),
    ]
    .join("\n");
    let plan = Plan::of(file.as_bytes(), Format::Generic, &app());
    let [rows] = plan.users.as_slice() else {
        panic!("one user")
    };
    assert_eq!(
        rows.iter().map(|row| row.line).collect::<Vec<_>>(),
        [2, 3, 1]
    );
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!(TOKEN)),
        Just(json!("zoom")),
        ".{0,30}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((field(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("refresh_token"),
        Just("refreshToken"),
        Just("credentials"),
        Just("key"),
        Just("expires_at"),
        Just("provider"),
        Just("providerId"),
        Just("scope"),
        Just("extra"),
        Just("id"),
        Just("type"),
        Just("config_override"),
        Just("client_secret"),
        Just("raw"),
    ]
    .prop_map(ToOwned::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_line_breaks_a_reader_and_no_message_repeats_a_value(value in json_value(), secret in "[a-z]{30}") {
        let text = value.to_string().replace(TOKEN, &secret);
        for format in FORMATS {
            if let Err(reason) = format.read(1, text.as_bytes(), &app()) {
                prop_assert!(!reason.contains(&secret), "{reason}");
            }
        }
    }

    #[test]
    fn no_bytes_break_the_plan(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for format in FORMATS {
            let plan = Plan::of(&bytes, format, &app());
            prop_assert_eq!(plan.rows(), 0);
        }
    }

    #[test]
    fn a_cut_or_changed_line_is_read_or_reported(format in 0..FORMATS.len(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let format = FORMATS[format];
        let mut text = line(format).to_string().into_bytes();
        let position = at.index(text.len());
        text[position] = byte;
        for bytes in [&text[..], &text[..position]] {
            if let Err(reason) = format.read(1, bytes, &app()) {
                prop_assert!(!reason.contains(TOKEN), "{reason}");
            }
        }
    }
}
