//! The console in Chromium: a person logs in, finds a broken credential, and mends it.
//!
//! `SCREENSHOTS=docs/screenshots cargo test -p browser console` replaces the pictures in docs/console.md.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::api_key::{KeyTerms, Permission};

use crate::visitor::Visitor;
use crate::world::World;

const AXE: &str = include_str!("vendor/axe.min.js");
/// Runs axe-core, and returns the rules that the page breaks.
const RUN_AXE: &str = "axe.run(document).then(result => JSON.stringify(result.violations.map(it =>
    `${it.id}: ${it.nodes.map(node => node.html).join(' ')}`)))";
/// Everything that a browser keeps for a page, and the page's address.
const TRACES: &str = "JSON.stringify([location.href, document.cookie, Object.values(localStorage), \
    Object.values(sessionStorage), history.state, performance.getEntriesByType('resource').map(it => it.name)])";
/// Whether nothing on the page is still loading.
const IS_IDLE: &str =
    "[...document.querySelectorAll('[role=status]')].every(it => !it.innerText.includes('…'))";
/// How long a view may take to show something. A busy machine is slow.
const TIME_OUT: Duration = Duration::from_secs(30);
/// The most bytes that a browser loads for the console.
const MAX_WEIGHT: usize = 150 * 1024;
/// How long the first page of 1,000 credentials may take to appear, of 10,000. The requirement is one second on a
/// machine that does nothing else.
const MAX_FIRST_PAGE_TIME: Duration = Duration::from_secs(5);
const VIEWS: [(&str, &str); 6] = [
    ("#/", "Overview"),
    ("#/credentials", "Credentials"),
    ("#/connect", "Connect a user"),
    ("#/apps", "Apps"),
    ("#/vendors", "Vendors"),
    ("#/activity", "Activity"),
];

/// Text as a JavaScript literal.
fn literal(text: &str) -> String {
    json!(text).to_string()
}

impl Visitor {
    /// Opens the console and enters a key.
    fn log_in(&self, world: &World, key: &str) {
        self.open(&format!("{}/console", world.api));
        self.wait_for_heading("Zoom credential vault");
        self.fill("API key", key);
        self.press("Open the console");
    }

    /// Waits until an expression is true.
    #[track_caller]
    fn wait_until(&self, condition: &str) {
        let start = Instant::now();
        while self.eval(condition) != true {
            assert!(
                start.elapsed() < TIME_OUT,
                "{condition}\n{}",
                self.eval("document.body.innerText")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the page shows a text.
    #[track_caller]
    fn wait_for(&self, text: &str) {
        self.wait_until(&format!(
            "document.body.innerText.includes({})",
            literal(text)
        ));
    }

    /// Waits until the page does not show a text.
    #[track_caller]
    fn wait_without(&self, text: &str) {
        self.wait_until(&format!(
            "!document.body.innerText.includes({})",
            literal(text)
        ));
    }

    /// Fills the field with this label.
    #[track_caller]
    fn fill(&self, label: &str, value: &str) {
        let field = format!(
            "(() => {{
               const label = [...document.querySelectorAll('label')].find(it => it.textContent.trim() === {});
               const field = label && document.getElementById(label.htmlFor);
               if (!field) return false;
               if (field.type === 'checkbox') field.click();
               else {{
                 field.value = {};
                 field.dispatchEvent(new Event('input', {{ bubbles: true }}));
                 field.dispatchEvent(new Event('change', {{ bubbles: true }}));
               }}
               return true;
             }})()",
            literal(label),
            literal(value)
        );
        self.wait_until(&field);
    }

    /// Clicks the first button, link or summary with this text.
    #[track_caller]
    fn press(&self, text: &str) {
        self.wait_until(&format!(
            "(() => {{
               const all = [...document.querySelectorAll('button, summary, main a')];
               const found = all.find(it => it.textContent.trim() === {});
               if (found) found.click();
               return Boolean(found);
             }})()",
            literal(text)
        ));
    }

    /// Opens a view.
    fn go(&self, hash: &str, heading: &str) {
        self.eval(&format!("location.hash = {}", literal(hash)));
        self.wait_for_heading(heading);
        self.wait_until("!document.querySelector('.loading')");
    }

    /// Fails if axe-core finds a fault in the page, or if the page is wider than the screen.
    #[track_caller]
    fn check_accessibility(&self) {
        self.tab.evaluate(&format!("{AXE};0"), false).unwrap();
        let found = self.tab.evaluate(RUN_AXE, true).unwrap().value.unwrap();
        let url = self.tab.get_url();
        assert_eq!(found, "[]", "{url}");
        assert_eq!(
            self.eval("document.documentElement.scrollWidth <= window.innerWidth"),
            true,
            "{url} is wider than the screen"
        );
    }

    /// Fails if the browser keeps the key in its address, in a cookie or in a storage.
    #[track_caller]
    fn assert_no_trace_of(&self, key: &str) {
        let traces = self.eval(TRACES).to_string();
        assert!(!traces.contains(key), "{traces}");
        assert!(self.cookies().is_empty());
    }
}

/// A world with a credential whose user has removed the app, and with a healthy one.
fn world_with_a_broken_credential() -> Option<(World, Visitor, String)> {
    let world = World::new()?;
    let connect = |name: &str, user: &str| {
        let visitor = world.new_visitor();
        let session = world.create_session(json!({ "name": name }));
        visitor.open(&session.link);
        visitor.click("button");
        visitor.decide_as(user, "allow");
        visitor.expect_page("Zoom is connected");
        let id = world.session(&session)["credential_id"].clone();
        id.as_str().unwrap().to_owned()
    };
    connect("Grace, support", "grace-sandbox-user");
    let id = connect("Ada, sales", "ada-sandbox-user");
    world.remove_app_of("ada-sandbox-user");
    let stored = world.get(&format!("/v2/zoom-credentials/{id}"));
    assert_eq!(stored["state"], "invalid");
    let visitor = world.new_visitor();
    Some((world, visitor, id))
}

#[test]
fn operator_finds_and_mends_a_broken_credential() {
    let Some((world, visitor, id)) = world_with_a_broken_credential() else {
        return;
    };
    let key = world.api_key().to_owned();
    visitor.log_in(&world, &key);
    visitor.wait_for_heading("Overview");
    visitor.wait_for("Counted all 2 credentials");
    visitor.wait_for("The Zoom user must act.");
    visitor.wait_until("!document.querySelector('.loading')");
    visitor.take_screenshot("console-overview");

    visitor.press("Ada, sales");
    visitor.wait_for_heading("Ada, sales");
    visitor.wait_for("The Zoom user must act.");
    visitor.press("Make a reconnect link");
    visitor.wait_for("Waiting: nobody has come back from Zoom yet");
    visitor.press("QR code");
    visitor.check_accessibility();
    visitor.take_screenshot("console-reconnect");
    let link = visitor.eval("document.querySelector('.link code').textContent");
    let user = world.new_visitor();
    user.open(link.as_str().unwrap());
    user.click("button");
    user.decide("allow");
    user.expect_page("Zoom is connected");
    visitor.wait_for("Nothing is wrong, as far as the vault knows.");

    visitor.press("Check now");
    visitor.wait_for("The credential is active.");
    visitor.press("Make a token URL");
    visitor.fill("Label (optional)", "first bot");
    visitor.press("Make a token URL");
    let make = "[...document.querySelectorAll('form button')].find(it => it.textContent === 'Make a token URL').click()";
    visitor.eval(make);
    visitor.wait_for("Copy it now. The vault cannot show it again.");
    visitor.check_accessibility();
    visitor.take_screenshot("console-credential");
    let url = visitor.eval("document.querySelector('.once code').textContent");
    let url = url.as_str().unwrap();
    assert_eq!(world.status_of(url), 200);
    visitor.press("I have copied it");
    visitor.wait_without(url);
    visitor.press("Revoke …");
    visitor.press("Revoke the URL");
    visitor.wait_for("No token URLs.");
    assert_eq!(world.status_of(url), 404);

    visitor.fill("Name", "Ada, presales");
    visitor.press("Rename");
    visitor.wait_for_heading("Ada, presales");
    visitor.fill("Extra, a JSON object", "{");
    visitor.wait_for("This is not JSON");
    visitor.fill("Extra, a JSON object", r#"{"tenant": "<b>a</b>"}"#);
    visitor.press("Save the extra");
    visitor.wait_without("This is not JSON");

    visitor.press("Delete the credential …");
    visitor.wait_for("Bots get no more tokens with this credential.");
    visitor.check_accessibility();
    visitor.press("Delete the credential");
    visitor.wait_for("This credential is deleted.");
    visitor.check_accessibility();
    visitor.press("Restore the credential");
    visitor.wait_for("Nothing is wrong, as far as the vault knows.");
    let stored = world.get(&format!("/v2/zoom-credentials/{id}"));
    assert_eq!(stored["name"], "Ada, presales");
    assert_eq!(stored["extra"], json!({ "tenant": "<b>a</b>" }));
    visitor.assert_no_trace_of(&key);
    visitor.assert_no_browser_errors();
}

// assures 61
#[test]
fn every_view_is_accessible_on_a_desktop_on_a_phone_and_in_dark_mode() {
    let Some((world, visitor, id)) = world_with_a_broken_credential() else {
        return;
    };
    world.put(
        "/v2/vendors/meetstream",
        &json!({ "secrets": ["a-secret-of-meetstream"] }),
    );
    world.post(
        &format!("/v2/zoom-credentials/{id}/token-urls"),
        &json!({ "type": "zak", "label": "desk" }),
    );
    visitor.open(&format!("{}/console", world.api));
    visitor.wait_for_heading("Zoom credential vault");
    visitor.check_accessibility();
    visitor.take_screenshot("console-login");
    let key = world.api_key().to_owned();
    visitor.log_in(&world, &key);
    visitor.wait_for_heading("Overview");

    let one = format!("#/credentials/{id}");
    let all = || VIEWS.into_iter().chain([(one.as_str(), "Ada, sales")]);
    for round in ["desktop", "phone", "phone-dark"] {
        match round {
            "phone" => visitor.use_phone_screen(),
            "phone-dark" => visitor.use_dark_colours(),
            _ => {}
        }
        for (hash, heading) in all() {
            visitor.go(hash, heading);
            visitor.wait_until(IS_IDLE);
            visitor.check_accessibility();
            if round == "phone-dark" && hash == "#/" {
                visitor.take_screenshot("console-phone-dark");
            }
            if round == "desktop" && hash == "#/credentials" {
                visitor.take_screenshot("console-credentials");
            }
        }
    }
    visitor.assert_no_trace_of(&key);
    visitor.assert_no_browser_errors();
}

#[test]
fn a_key_that_may_only_read_sees_everything_and_each_action_says_why_it_is_disabled() {
    let Some((world, visitor, id)) = world_with_a_broken_credential() else {
        return;
    };
    let key = world.create_key(KeyTerms::of(Permission::Read));
    visitor.log_in(&world, &key);
    visitor.wait_for_heading("Overview");
    visitor.wait_for("Counted all 2 credentials");
    visitor.go(&format!("#/credentials/{id}"), "Ada, sales");
    visitor.wait_for("The Zoom user must act.");
    visitor.wait_for("This key may only read. Changes need a key with the permission “full”.");
    let disabled = "[...document.querySelectorAll('.action button')]
        .filter(it => !/^Copy/.test(it.textContent))
        .every(it => it.getAttribute('aria-disabled') === 'true'
            && document.getElementById(it.getAttribute('aria-describedby')).textContent.startsWith('This key may only read'))";
    assert_eq!(visitor.eval(disabled), true);
    visitor.check_accessibility();
    visitor.press("Make a reconnect link");
    visitor.press("Delete the credential …");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(
        visitor.eval("document.querySelector('.link, .consequences')"),
        Value::Null
    );
    visitor.assert_no_trace_of(&key);
    visitor.assert_no_browser_errors();
}

#[test]
fn a_key_that_may_only_mint_and_a_wrong_key_are_told_why_the_console_stays_closed() {
    let Some(world) = World::new() else { return };
    let visitor = world.new_visitor();
    let key = world.create_key(KeyTerms::of(Permission::Mint));
    visitor.log_in(&world, &key);
    visitor.wait_for("This key may only mint tokens, so it cannot read.");
    visitor.wait_for("request ID");
    visitor.check_accessibility();
    visitor.assert_no_trace_of(&key);
    visitor.log_in(&world, "zcv_local_nonsense");
    visitor.wait_for("This key does not work");
    visitor.assert_no_browser_errors();
}

// assures 61
#[test]
fn the_key_outlives_a_reload_only_if_the_person_wants_it_and_never_the_tab() {
    let Some(world) = World::new() else { return };
    let visitor = world.new_visitor();
    let key = world.api_key().to_owned();
    visitor.log_in(&world, &key);
    visitor.wait_for_heading("Overview");
    visitor.assert_no_trace_of(&key);
    visitor.tab.reload(true, None).unwrap();
    visitor.wait_for_heading("Zoom credential vault");

    visitor.fill(
        "Keep the key until I close this tab, also when I reload",
        "",
    );
    visitor.fill("API key", &key);
    visitor.press("Open the console");
    visitor.wait_for_heading("Overview");
    visitor.tab.reload(true, None).unwrap();
    visitor.wait_for_heading("Overview");
    assert_eq!(visitor.eval("localStorage.length"), 0);
    visitor.press("Forget the key");
    visitor.wait_for_heading("Zoom credential vault");
    visitor.wait_until("document.getElementById('key') !== null");
    assert_eq!(visitor.eval("sessionStorage.length"), 0);
    visitor.assert_no_trace_of(&key);

    let other = world.new_visitor();
    other.open(&format!("{}/console", world.api));
    other.wait_until("document.getElementById('key') !== null");
    visitor.assert_no_browser_errors();
}

#[test]
fn an_answer_that_fails_is_shown_with_its_request_id_and_what_to_do() {
    let Some(world) = World::new() else { return };
    let visitor = world.new_visitor();
    visitor.log_in(&world, world.api_key());
    visitor.wait_for_heading("Overview");
    visitor.go(
        "#/credentials/0190c0de-0000-7000-8000-000000000000",
        "Credential",
    );
    visitor.wait_for("Zoom credential not found");
    visitor.wait_for("request ID");
    visitor.check_accessibility();
    visitor.go("#/nonsense", "No such view");
    visitor.assert_no_browser_errors();
}

#[test]
fn the_console_weighs_less_than_150_kilobytes() {
    let Some(world) = World::new() else { return };
    let visitor = world.new_visitor();
    visitor.open(&format!("{}/console", world.api));
    visitor.wait_until("document.getElementById('key') !== null");
    let names = "JSON.stringify([location.href, ...performance.getEntriesByType('resource').map(it => it.name)])";
    let names: Vec<String> = serde_json::from_str(visitor.eval(names).as_str().unwrap()).unwrap();
    assert!(names.len() > 15, "{names:?}");
    let weight: usize = names.iter().map(|name| world.compressed_size(name)).sum();
    assert!(weight < MAX_WEIGHT, "{weight} bytes");
}

#[test]
fn ten_thousand_credentials_are_listed_page_by_page() {
    let Some(world) = World::new() else { return };
    world.seed_credentials(10_000);
    let visitor = world.new_visitor();
    visitor.log_in(&world, world.api_key());
    visitor.wait_for_heading("Overview");
    let start = Instant::now();
    visitor.go("#/credentials", "Credentials");
    visitor.wait_until("document.querySelectorAll('tbody tr').length === 50");
    let time = start.elapsed();
    assert!(time < MAX_FIRST_PAGE_TIME, "{time:?}");
    visitor.wait_for("1,000 credentials. There are more on the server");
    visitor.press("Load all");
    visitor.wait_for("Page 1 of 200");
    visitor.press("Next 50");
    visitor.wait_for("Page 2 of 200");
    assert_eq!(
        visitor.eval("document.querySelectorAll('tbody tr').length"),
        50
    );
    visitor.go("#/", "Overview");
    visitor.wait_for("Counted all 10,000 credentials.");
    visitor.assert_no_browser_errors();
}

#[test]
fn a_downloaded_table_contains_no_formulas() {
    let Some(world) = World::new() else { return };
    let visitor = world.new_visitor();
    visitor.open(&format!("{}/console", world.api));
    visitor.wait_until("document.getElementById('key') !== null");
    let cells = "import(performance.getEntriesByType('resource').find(it => /csv\\.[^/]*js$/.test(it.name)).name)
        .then(({ csv }) => csv(['a', 'b'], [{ a: '=1+1', b: '@x' }, { a: ' -2', b: 'plain \"quoted\"' }, { a: null, b: { c: 1 } }]))";
    let text = visitor.tab.evaluate(cells, true).unwrap().value.unwrap();
    assert_eq!(
        text,
        "\"a\",\"b\"\r\n\"'=1+1\",\"'@x\"\r\n\"' -2\",\"plain \"\"quoted\"\"\"\r\n\"\",\"{\"\"c\"\":1}\"\r\n"
    );
}
