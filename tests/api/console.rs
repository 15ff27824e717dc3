//! `GET /console` and `GET /console/{file}`: the page, its files, and their headers.

use reqwest::{Response, StatusCode};

use crate::proxy::Service;
use crate::world::World;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

impl World {
    /// Loads a file of the console without a key.
    async fn file(&self, path: &str, known: Option<&str>) -> Response {
        let mut request = self.acme.http().get(self.acme.address(path));
        if let Some(known) = known {
            request = request.header("if-none-match", known);
        }
        request.send().await.unwrap()
    }
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

/// The files that a text names: everything between quotes that begins so and ends as a file of the console.
fn names(text: &str, start: &str) -> Vec<String> {
    let parts = text.split('"').skip(1).step_by(2);
    let names = parts.filter_map(|part| part.strip_prefix(start));
    let names = names.filter(|name| !name.is_empty() && !name.contains(['/', ' ']));
    names.map(str::to_owned).collect()
}

#[track_caller]
fn assert_secure(response: &Response) {
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("strict-transport-security", "max-age=63072000"),
    ] {
        assert_eq!(header(response, name), value);
    }
    assert_ne!(header(response, "x-request-id"), "");
    assert_eq!(header(response, "set-cookie"), "");
}

#[tokio::test]
async fn the_page_and_every_file_that_it_needs_are_served_without_a_key_and_without_reading_anything()
 {
    let world = World::new().await;
    world.wire.reset();
    let page = world.file("/console", None).await;
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(header(&page, "content-type"), "text/html; charset=utf-8");
    assert_eq!(header(&page, "cache-control"), "no-cache");
    assert_secure(&page);
    let text = page.text().await.unwrap();
    let mut waiting = names(&text, "console/");
    let mut loaded: Vec<String> = Vec::new();
    while let Some(name) = waiting.pop() {
        if loaded.contains(&name) {
            continue;
        }
        let file = world.file(&format!("/console/{name}"), None).await;
        assert_eq!(file.status(), StatusCode::OK, "{name}");
        assert_eq!(
            header(&file, "cache-control"),
            "public, max-age=31536000, immutable"
        );
        assert_secure(&file);
        let kind = header(&file, "content-type").to_owned();
        let expected = match name.rsplit('.').next().unwrap() {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        };
        assert_eq!(kind, expected, "{name}");
        let content = file.text().await.unwrap();
        assert!(
            !content.contains("./vendor/"),
            "{name} imports a file by its name in the repository"
        );
        if kind.starts_with("text/javascript") {
            waiting.extend(names(&content, "./"));
        }
        loaded.push(name);
    }
    // The page's icon, its style, and all modules. All have the hash in their names.
    assert_eq!(loaded.len(), 21, "{loaded:?}");
    let hash = |name: &String| name.split('.').nth(1).unwrap().to_owned();
    assert!(loaded.iter().all(|name| hash(name) == hash(&loaded[0])));
    assert_eq!(world.wire.count(Service::DynamoDb), 0);
    assert_eq!(world.wire.count(Service::Kms), 0);
    assert_eq!(world.wire.count(Service::Zoom), 0);
}

#[tokio::test]
async fn a_browser_that_has_a_file_gets_304_without_the_content() {
    let world = World::new().await;
    let page = world.file("/console", None).await;
    let page_tag = header(&page, "etag").to_owned();
    let text = page.text().await.unwrap();
    let style = names(&text, "console/")
        .into_iter()
        .find(|it| it.ends_with("css"));
    let style = format!("/console/{}", style.unwrap());
    let style_tag = header(&world.file(&style, None).await, "etag").to_owned();
    assert_ne!(page_tag, style_tag);
    for (path, tag) in [("/console", page_tag), (style.as_str(), style_tag)] {
        for known in [tag.clone(), format!("\"other\", {tag}")] {
            let again = world.file(path, Some(&known)).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
            assert_eq!(header(&again, "etag"), tag);
            assert_secure(&again);
            assert_eq!(again.text().await.unwrap(), "");
        }
        let changed = world.file(path, Some("W/\"other\"")).await;
        assert_eq!(changed.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn another_name_is_a_404_and_no_file_outside_of_the_console_is_served() {
    let world = World::new().await;
    for name in [
        "app.js",
        "app.000000000000.js",
        "..%2f..%2fconsole.rs",
        "vendor%2fhtm.js",
        "README.md",
    ] {
        let answer = world.file(&format!("/console/{name}"), None).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{name}");
        assert!(answer.text().await.unwrap().contains("FST_ERR_NOT_FOUND"));
    }
}
