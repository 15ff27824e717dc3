//! A visitor of the connect page: one browser profile with one tab.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headless_chrome::protocol::cdp::types::Event;
use headless_chrome::protocol::cdp::{Emulation, Network, Page};
use headless_chrome::{Browser, Tab};
use local::zoom::DEMO_CLIENT_ID;
use serde::Deserialize;
use serde_json::Value;
use shared::config::optional;

/// How long a page may take to appear. A busy machine is slow.
const PAGE_TIME_OUT: Duration = Duration::from_secs(30);
/// The contrast between text and background that WCAG requires (level AA).
const MIN_CONTRAST: f64 = 4.5;

/// Reads everything that is checked on every page. One script is faster than several calls to the browser.
const READ_PAGE: &str = "(() => {
  const page = getComputedStyle(document.body).backgroundColor;
  const colors = [...document.querySelectorAll('h1, h2, p, li, strong, button, a')].map(it => {
    const own = getComputedStyle(it);
    const clear = own.backgroundColor === 'rgba(0, 0, 0, 0)';
    return [it.tagName, own.color, clear ? page : own.backgroundColor];
  });
  return JSON.stringify({
    title: document.title,
    language: document.documentElement.lang,
    headings: document.querySelectorAll('h1').length,
    main_elements: document.querySelectorAll('main').length,
    external_elements: document.querySelectorAll('script[src], link, iframe, img:not([src^=\"data:\"])').length,
    referrer: document.referrer,
    fits_screen: document.documentElement.scrollWidth <= window.innerWidth,
    colors,
  });
})()";

/// The result of [`READ_PAGE`].
#[derive(Deserialize)]
struct PageFacts {
    title: String,
    language: String,
    headings: u32,
    main_elements: u32,
    external_elements: u32,
    referrer: String,
    fits_screen: bool,
    /// For each element with text: its tag, its text colour and its background colour.
    colors: Vec<(String, String, String)>,
}

/// A visitor with an own browser profile.
pub(crate) struct Visitor {
    pub(crate) tab: Arc<Tab>,
    /// The entries of the browser's log.
    log: Arc<Mutex<Vec<String>>>,
}

impl Visitor {
    /// A visitor with a new browser profile, so without cookies.
    pub(crate) fn new(browser: &Browser) -> Self {
        let tab = browser.new_context().unwrap().new_tab().unwrap();
        tab.set_default_timeout(PAGE_TIME_OUT);
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let log_of_listener = log.clone();
        tab.enable_log().unwrap();
        tab.enable_runtime().unwrap();
        let listener = move |event: &Event| {
            if let Event::LogEntryAdded(event) = event {
                let entry = &event.params.entry;
                let text = format!("{}: {:?}", entry.text, entry.url);
                log_of_listener.lock().unwrap().push(text);
            }
        };
        let weak = tab.add_event_listener(Arc::new(listener)).unwrap();
        drop(weak);
        Self { tab, log }
    }

    pub(crate) fn use_phone_screen(&self) {
        let phone = Emulation::SetDeviceMetricsOverride {
            width: 390,
            height: 844,
            device_scale_factor: 1.0,
            mobile: true,
            scale: None,
            screen_width: None,
            screen_height: None,
            position_x: None,
            position_y: None,
            dont_set_visible_size: None,
            screen_orientation: None,
            viewport: None,
            display_feature: None,
            device_posture: None,
        };
        self.tab.call_method(phone).unwrap();
    }

    pub(crate) fn use_dark_colours(&self) {
        let dark = Emulation::MediaFeature {
            name: "prefers-color-scheme".to_owned(),
            value: "dark".to_owned(),
        };
        let media = Emulation::SetEmulatedMedia {
            media: None,
            features: Some(vec![dark]),
        };
        self.tab.call_method(media).unwrap();
    }

    pub(crate) fn use_time_zone(&self, zone: &str) {
        let zone = Emulation::SetTimezoneOverride {
            timezone_id: zone.to_owned(),
        };
        self.tab.call_method(zone).unwrap();
    }

    pub(crate) fn open(&self, url: &str) {
        self.tab.navigate_to(url).unwrap();
    }

    /// Waits for the page with this heading, and checks what must hold on every page of the vault.
    #[track_caller]
    pub(crate) fn expect_page(&self, heading: &str) {
        self.wait_for_heading(heading);
        let page: PageFacts = serde_json::from_str(self.eval(READ_PAGE).as_str().unwrap()).unwrap();
        assert_eq!(page.title, heading);
        assert_eq!(page.language, "en");
        assert_eq!(
            (page.headings, page.main_elements, page.external_elements),
            (1, 1, 0)
        );
        assert_eq!(page.referrer, "");
        assert!(page.fits_screen, "{heading} is wider than the screen");
        for (element, text, background) in &page.colors {
            let (text, background) = (luminance(text), luminance(background));
            let contrast = (text.max(background) + 0.05) / (text.min(background) + 0.05);
            assert!(
                contrast >= MIN_CONTRAST,
                "{element} of {heading}: {contrast}"
            );
        }
    }

    #[track_caller]
    pub(crate) fn wait_for_heading(&self, heading: &str) {
        let found = self
            .tab
            .wait_for_xpath(&format!("//h1[normalize-space()='{heading}']"));
        if let Err(error) = found {
            panic!(
                "no page with the heading {heading}: {error}\n{}",
                self.tab.get_content().unwrap()
            );
        }
    }

    pub(crate) fn eval(&self, script: &str) -> Value {
        let result = self.tab.evaluate(script, false).unwrap();
        result.value.unwrap_or_default()
    }

    pub(crate) fn click(&self, selector: &str) {
        self.tab
            .wait_for_element(selector)
            .unwrap()
            .click()
            .unwrap();
    }

    /// On Zoom's consent page: picks the user Ada and clicks `allow` or `deny`.
    pub(crate) fn decide(&self, decision: &str) {
        self.decide_as("ada-sandbox-user", decision);
    }

    /// On Zoom's consent page: picks a user and clicks `allow` or `deny`.
    pub(crate) fn decide_as(&self, user: &str, decision: &str) {
        self.wait_for_heading(&format!("Allow {DEMO_CLIENT_ID} to use your Zoom account?"));
        assert_eq!(self.eval("document.referrer"), "");
        self.click(&format!("input[value={user}]"));
        self.click(&format!("button[value={decision}]"));
    }

    /// Takes a screenshot for the docs if `SCREENSHOTS` names a folder.
    pub(crate) fn take_screenshot(&self, name: &str) {
        let Some(folder) = optional("SCREENSHOTS") else {
            return;
        };
        // Relative paths start at the root of the repository, wherever the test runs.
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(folder);
        let png = Page::CaptureScreenshotFormatOption::Png;
        let picture = self.tab.capture_screenshot(png, None, None, true).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }

    pub(crate) fn cookies(&self) -> Vec<Network::Cookie> {
        self.tab.get_cookies().unwrap()
    }

    /// Panics if the browser logged an error, such as a violation of the content security policy. Error statuses of
    /// pages are expected, so they are ignored.
    #[track_caller]
    pub(crate) fn assert_no_browser_errors(&self) {
        let mut log = self.log.lock().unwrap().clone();
        log.retain(|it| !it.contains("the server responded with a status of 4"));
        assert_eq!(log, [""; 0]);
    }
}

/// The relative luminance of a colour `rgb(r, g, b)`, as WCAG defines it.
fn luminance(color: &str) -> f64 {
    let inner = color.trim_start_matches("rgb(").trim_end_matches(')');
    let channels = inner.split(',').map(|channel| {
        let channel = channel.trim().parse::<f64>().unwrap() / 255.0;
        if channel <= 0.04045 {
            channel / 12.92
        } else {
            ((channel + 0.055) / 1.055).powf(2.4)
        }
    });
    let weights = [0.2126, 0.7152, 0.0722];
    channels
        .zip(weights)
        .map(|(channel, weight)| channel * weight)
        .sum()
}
