//! The figures in `docs/limits.md` are those of the constants, parameters and schemas that its rows link to.

use std::path::Path;

use serde_json::Value;

const PAGE: &str = include_str!("../../docs/limits.md");

/// A row of a table that links to where its figure comes from.
struct Row {
    limit: &'static str,
    figure: &'static str,
    /// The name of the constant, the parameter or the schema.
    name: &'static str,
    /// The file that it is in, seen from the page.
    file: &'static str,
}

impl Row {
    fn of(row: &'static str) -> Option<Self> {
        let cells: Vec<&str> = row.strip_prefix("| ")?.split('|').map(str::trim).collect();
        let [limit, figure, _beyond, _who, link, ""] = *cells else {
            panic!("a row has other than five cells: {row}")
        };
        let (name, file) = link
            .strip_prefix('[')?
            .strip_suffix(')')?
            .split_once("](")?;
        Some(Self {
            limit,
            figure,
            name,
            file,
        })
    }

    /// The figure that the row links to: one number or the ends of a range, and whether it is a time in seconds.
    fn linked(&self) -> (Vec<u64>, bool) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../docs")
            .join(self.file);
        let text = std::fs::read_to_string(&path).unwrap();
        let extension = path.extension().unwrap();
        if extension == "rs" {
            constant(&text, self.name)
        } else if extension == "json" {
            let document: Value = serde_json::from_str(&text).unwrap();
            let schema = &document["components"]["schemas"][self.name];
            (vec![schema["maxLength"].as_u64().unwrap()], false)
        } else {
            let (_, parameter) = text.split_once(&format!("\n  {}:\n", self.name)).unwrap();
            let (_, default) = parameter.split_once("    Default: ").unwrap();
            let default = default.lines().next().unwrap();
            (vec![default.parse().unwrap()], false)
        }
    }

    /// The figure as the page says it, in the unit of what the row links to.
    fn shown(&self, is_time: bool) -> Vec<u64> {
        let words: Vec<&str> = self.figure.split(' ').collect();
        let number = |word: &&str| word.replace(',', "").parse::<u64>().ok();
        let unit = words
            .iter()
            .find(|word| number(word).is_none() && **word != "to");
        let unit = match (*unit.unwrap_or(&""), is_time) {
            ("KB", _) => 1024,
            ("MB", _) => 1024 * 1024,
            ("minute" | "minutes", true) => 60,
            ("hour" | "hours", true) => 3600,
            ("days", true) => 24 * 3600,
            ("s", true) | (_, false) => 1,
            (unit, true) => panic!("{}: {unit} is not a unit of time", self.limit),
        };
        words
            .iter()
            .filter_map(number)
            .map(|number| number * unit)
            .collect()
    }
}

/// Reads a constant from the source, because most limits are private: a number, a range or a duration.
fn constant(source: &str, name: &str) -> (Vec<u64>, bool) {
    let (_, declared) = source.split_once(&format!("const {name}: ")).unwrap();
    let (_, value) = declared.split_once(" = ").unwrap();
    let value = value.split(';').next().unwrap();
    let product = |text: &str| -> u64 {
        let factors = text.split('*').map(|factor| factor.trim().replace('_', ""));
        factors
            .map(|factor| factor.parse::<u64>().unwrap())
            .product()
    };
    let Some(duration) = value.strip_prefix("Duration::from_") else {
        return (value.split("..=").map(product).collect(), false);
    };
    let (unit, number) = duration.trim_end_matches(')').split_once('(').unwrap();
    let unit = match unit {
        "secs" => 1,
        "mins" => 60,
        "hours" => 3600,
        _ => panic!("{name} is a duration in {unit}"),
    };
    (vec![product(number) * unit], true)
}

#[test]
fn each_figure_on_the_page_is_that_of_the_constant_that_its_row_links_to() {
    let is_table = |line: &&str| line.starts_with("| ") && !line.starts_with("| ---");
    let rows: Vec<Row> = PAGE.lines().filter(is_table).filter_map(Row::of).collect();
    assert!(rows.len() > 60, "{}", rows.len());
    for row in rows {
        let (linked, is_time) = row.linked();
        assert_eq!(row.shown(is_time), linked, "{}: {}", row.limit, row.name);
    }
}

#[test]
fn the_page_has_the_figures_that_are_not_plain_constants() {
    let attempts = functions::background::notify_deliver::MAX_ATTEMPTS;
    assert!(PAGE.contains(&format!("| attempts, within 24 hours | {attempts} |")));
    let document = serde_json::to_value(functions::openapi::document()).unwrap();
    let maximum = |pointer: &str| document.pointer(pointer).unwrap().as_u64().unwrap();
    let secrets = maximum("/components/schemas/PutVendorSecrets/properties/secrets/maxItems");
    assert!(PAGE.contains(&format!("| secrets of a vendor | {secrets} |")));
}
