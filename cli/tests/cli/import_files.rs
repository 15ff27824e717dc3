//! Files and options that `import` cannot use. No message repeats a value of a file.

use serde_json::{Value, json};

use crate::import::{Importing, export};

const TOKEN: &str = "a-refresh-token-of-the-old-system";

#[tokio::test]
async fn files_that_are_no_json_lines_are_malformed_and_nothing_in_them_is_shown() {
    let importing = Importing::start().await;
    let line = export("generic", "ada", TOKEN);
    let pretty = serde_json::to_string_pretty(&json!([{ "refresh_token": TOKEN }])).unwrap();
    let one_line = json!([{ "refresh_token": TOKEN }]).to_string();
    let utf16 = line.encode_utf16().flat_map(u16::to_le_bytes);
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(utf16).collect();
    let files = [
        ("utf-16", utf16, 1),
        ("array", pretty.into_bytes(), 5),
        ("array in one line", one_line.into_bytes(), 1),
        ("CR alone", format!("{line}\r{line}").into_bytes(), 1),
        ("two in one line", format!("{line} {line}").into_bytes(), 1),
    ];
    for (name, bytes, malformed) in files {
        std::fs::write(importing.path("export"), &bytes).unwrap();

        let options = "--yes --shred --json";
        let result = importing
            .stack
            .cli(&importing.line("export", "generic", options))
            .await;

        assert_eq!(result.code, 1, "{name}: {result:?}");
        let document: Value = serde_json::from_str(&result.stdout).unwrap();
        assert_eq!(
            document["counts"],
            json!({ "malformed": malformed }),
            "{name}"
        );
        for text in [&result.stdout, &result.stderr] {
            assert!(
                !text.contains(TOKEN) && !text.contains("ada"),
                "{name}: {text}"
            );
        }
        assert_eq!(
            std::fs::read(importing.path("export")).unwrap(),
            bytes,
            "{name}"
        );
    }
    assert_eq!(importing.sent().await, 0);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_an_error_and_an_empty_one_has_no_lines() {
    let importing = Importing::start().await;
    std::fs::create_dir(importing.path("folder")).unwrap();
    for (name, reason) in [("missing", "No such file"), ("folder", "Is a directory")] {
        let line = importing.line(name, "generic", "--yes --shred");
        let error = importing.stack.fails(1, &line).await;
        assert!(error.contains(name) && error.contains(reason), "{error}");
    }
    assert!(importing.path("folder").exists());
    importing.write("empty", "\n\r\n");
    let line = importing.line("empty", "generic", "--yes");
    let document = importing.stack.json(&line).await;
    assert_eq!(
        (&document["rows"], &document["counts"]),
        (&json!([]), &json!({}))
    );
}

#[tokio::test]
async fn a_client_secret_that_cannot_be_used_is_an_error_without_the_secret() {
    let importing = Importing::start().await;
    importing.write("export", &export("generic", "ada", TOKEN));
    let line = importing.line("export", "generic", "--yes");
    let long = "s3cret-".repeat(40);
    let cases = [
        (None, "No such file"),
        (Some(""), "the client secret"),
        (Some(" \n"), "the client secret"),
        (Some(long.as_str()), "the client secret"),
    ];
    for (text, reason) in cases {
        match text {
            Some(text) => importing.write("secret", text),
            None => std::fs::remove_file(importing.path("secret")).unwrap(),
        }
        let error = importing.stack.fails(1, &line).await;
        assert!(error.contains(reason), "{error}");
        assert!(
            !error.contains("s3cret") && !error.contains(TOKEN),
            "{error}"
        );
    }
    assert_eq!(importing.sent().await, 0);
}

#[tokio::test]
async fn rates_and_formats_that_there_are_not_are_refused() {
    let importing = Importing::start().await;
    importing.write("export", &export("generic", "ada", TOKEN));
    for rate in ["0", "1001", "-1", "1.5"] {
        let line = importing.line("export", "generic", &format!("--yes --rate={rate}"));
        let error = importing.stack.fails(2, &line).await;
        assert!(error.contains("--rate"), "{error}");
    }
    let line = importing.line("export", "auth0", "--yes");
    let error = importing.stack.fails(2, &line).await;
    assert!(
        error.contains("--format") && error.contains("nango"),
        "{error}"
    );
    assert_eq!(importing.sent().await, 0);
}
