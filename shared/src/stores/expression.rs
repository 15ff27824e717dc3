//! Update expressions, without placeholders written by hand.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

/// An update with its condition. Attribute names always go through placeholders, so no reserved word bites.
#[derive(Clone, Debug, Default)]
pub(super) struct Update {
    set: Vec<String>,
    remove: Vec<String>,
    conditions: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Update {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn set(mut self, name: &'static str, value: AttributeValue) -> Self {
        let assignment = format!("{} = {}", self.name(name), self.value(value));
        self.set.push(assignment);
        self
    }

    /// Sets the attribute where it has no value.
    pub(super) fn set_if_absent(mut self, name: &'static str, value: AttributeValue) -> Self {
        let name = self.name(name);
        let assignment = format!("{name} = if_not_exists({name}, {})", self.value(value));
        self.set.push(assignment);
        self
    }

    /// Sets the attribute, or removes it where there is no value.
    pub(super) fn assign(self, name: &'static str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self.remove(name),
        }
    }

    /// Adds `by` to a number that exists.
    pub(super) fn increment(mut self, name: &'static str, by: u32) -> Self {
        let name = self.name(name);
        let sum = format!(
            "{name} = {name} + {}",
            self.value(AttributeValue::N(by.to_string()))
        );
        self.set.push(sum);
        self
    }

    /// Counts one more, from none on.
    pub(super) fn count(mut self, name: &'static str) -> Self {
        let name = self.name(name);
        let [none, one] = ["0", "1"].map(|number| AttributeValue::N(number.to_owned()));
        let sum = format!(
            "{name} = if_not_exists({name}, {}) + {}",
            self.value(none),
            self.value(one)
        );
        self.set.push(sum);
        self
    }

    pub(super) fn remove(mut self, name: &'static str) -> Self {
        let name = self.name(name);
        self.remove.push(name);
        self
    }

    pub(super) fn when_equal(self, name: &'static str, value: AttributeValue) -> Self {
        self.when(name, "=", value)
    }

    pub(super) fn when_not_equal(self, name: &'static str, value: AttributeValue) -> Self {
        self.when(name, "<>", value)
    }

    pub(super) fn when_less(self, name: &'static str, value: AttributeValue) -> Self {
        self.when(name, "<", value)
    }

    pub(super) fn when_not_less(self, name: &'static str, value: AttributeValue) -> Self {
        self.when(name, ">=", value)
    }

    pub(super) fn when_present(mut self, name: &'static str) -> Self {
        let condition = format!("attribute_exists({})", self.name(name));
        self.conditions.push(condition);
        self
    }

    pub(super) fn when_absent(mut self, name: &'static str) -> Self {
        let condition = format!("attribute_not_exists({})", self.name(name));
        self.conditions.push(condition);
        self
    }

    pub(super) fn when_absent_or_less(mut self, name: &'static str, value: AttributeValue) -> Self {
        let name = self.name(name);
        let condition = format!(
            "(attribute_not_exists({name}) OR {name} < {})",
            self.value(value)
        );
        self.conditions.push(condition);
        self
    }

    /// Where the text is there, it begins otherwise.
    pub(super) fn when_not_begun(mut self, name: &'static str, prefix: &str) -> Self {
        let name = self.name(name);
        let prefix = self.value(AttributeValue::S(prefix.to_owned()));
        let begins = format!("begins_with({name}, {prefix})");
        let condition = format!("(attribute_not_exists({name}) OR NOT {begins})");
        self.conditions.push(condition);
        self
    }

    fn when(mut self, name: &'static str, operator: &str, value: AttributeValue) -> Self {
        let condition = format!("{} {operator} {}", self.name(name), self.value(value));
        self.conditions.push(condition);
        self
    }

    fn name(&mut self, name: &'static str) -> String {
        let placeholder = format!("#{name}");
        self.names.insert(placeholder.clone(), name.to_owned());
        placeholder
    }

    fn value(&mut self, value: AttributeValue) -> String {
        let placeholder = format!(":{}", self.values.len());
        self.values.insert(placeholder.clone(), value);
        placeholder
    }

    pub(super) fn build(self) -> Built {
        let clauses = [("SET", self.set), ("REMOVE", self.remove)];
        let update: Vec<String> = clauses
            .into_iter()
            .filter(|(_, parts)| !parts.is_empty())
            .map(|(keyword, parts)| format!("{keyword} {}", parts.join(", ")))
            .collect();
        Built {
            update: update.join(" "),
            condition: (!self.conditions.is_empty()).then(|| self.conditions.join(" AND ")),
            names: self.names,
            values: self.values,
        }
    }
}

/// The pieces as the SDK's builders take them.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) update: String,
    pub(super) condition: Option<String>,
    pub(super) names: HashMap<String, String>,
    pub(super) values: HashMap<String, AttributeValue>,
}
