//! `GET /console` and `GET /console/{file}`: a page for people, which calls the API from the browser.
//!
//! This function has no powers: it serves the same files to everyone. The page asks for an API key, and sends the key
//! only to the API. The files are in `functions/assets/console`, and are part of the binary.
//!
//! The name of each file contains a hash of all files. So a browser may keep a file for ever, and never mixes the files
//! of two versions. The modules import each other by names without the hash. These names are replaced at the start.

use std::collections::HashMap;
use std::sync::LazyLock;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::http::error::ApiError;
use crate::http::files::{self, File, Lifetime};
use crate::http::reply::Reply;
use crate::http::request::Request;

/// The method and path of the page, which also name the endpoint in the log.
pub const ROUTE: &str = "GET /console";
/// The method and path of the page's files.
pub const FILE_ROUTE: &str = "GET /console/{file}";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// How many characters of the hash a file's name contains. Each has six bits.
const HASH_CHARACTERS: usize = 12;

/// Lists files of the folder: name and content.
macro_rules! files {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../assets/console/", $folder, $name)))),+]
    };
}

const PAGE: &str = include_str!("../assets/console/index.html");
const OWN: &[(&str, &str)] = files!("":
    "activity.js",
    "api.js",
    "app.js",
    "apps.js",
    "attention.js",
    "charts.js",
    "connect.js",
    "credential.js",
    "credential-panels.js",
    "credentials.js",
    "csv.js",
    "icon.svg",
    "overview.js",
    "qr.js",
    "style.css",
    "ui.js",
    "vendors.js",
);
const VENDORED: &[(&str, &str)] =
    files!("vendor/": "htm.js", "preact-hooks.js", "preact.js", "uqr.js");

/// The page and its files, as they are served.
struct Site {
    page: File,
    files: HashMap<String, File>,
}

static SITE: LazyLock<Site> = LazyLock::new(Site::new);

impl Site {
    fn new() -> Self {
        let all = || OWN.iter().chain(VENDORED);
        let mut context = Context::new(&SHA256);
        context.update(PAGE.as_bytes());
        for (name, content) in all() {
            context.update(name.as_bytes());
            context.update(content.as_bytes());
        }
        let hash = URL_SAFE_NO_PAD.encode(context.finish());
        let hash: String = hash.chars().take(HASH_CHARACTERS).collect();

        let names: Vec<(&str, String)> = all()
            .map(|(name, _)| (*name, hashed(name, &hash)))
            .collect();
        let files = all().zip(&names).map(|((name, content), (_, served))| {
            let kind = match name.rsplit_once('.') {
                Some((_, "css")) => CSS,
                Some((_, "svg")) => "image/svg+xml",
                _ => JAVASCRIPT,
            };
            let file = File::new(
                with_hashed_imports(content, &names),
                kind,
                Lifetime::Forever,
            );
            (served.clone(), file)
        });
        let mut page = PAGE.to_owned();
        for (name, served) in &names {
            page = page.replace(
                &format!("\"console/{name}\""),
                &format!("\"console/{served}\""),
            );
        }
        Self {
            files: files.collect(),
            page: File::new(page, HTML, Lifetime::AskFirst),
        }
    }
}

/// `app.js` with the hash: `app.rh8PmBHdI7hI.js`.
fn hashed(name: &str, hash: &str) -> String {
    match name.rsplit_once('.') {
        Some((stem, extension)) => format!("{stem}.{hash}.{extension}"),
        None => format!("{name}.{hash}"),
    }
}

/// Replaces the names of imported modules by their names with the hash. All files are served from one folder.
fn with_hashed_imports(content: &str, names: &[(&str, String)]) -> String {
    let mut content = content.to_owned();
    for (name, served) in names {
        for folder in ["./", "./vendor/"] {
            content = content.replace(&format!("\"{folder}{name}\""), &format!("\"./{served}\""));
        }
    }
    content
}

/// Serves the page, or the file in the path.
pub async fn handle(request: &Request) -> Reply {
    let file = match request.file() {
        None => &SITE.page,
        Some(name) => SITE.files.get(name).ok_or(ApiError::NoRoute)?,
    };
    Ok(files::answer(file, request))
}
