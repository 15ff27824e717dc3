//! Builds update expressions with generated placeholders.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

/// An update and its condition. Attribute names always become placeholders, so a reserved word is no problem.
#[derive(Clone, Debug, Default)]
pub(super) struct Update {
    set: Vec<String>,
    remove: Vec<String>,
    add: Vec<String>,
    delete: Vec<String>,
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

    /// Sets the attribute if it does not exist.
    pub(super) fn set_if_absent(mut self, name: &'static str, value: AttributeValue) -> Self {
        let name = self.name(name);
        let assignment = format!("{name} = if_not_exists({name}, {})", self.value(value));
        self.set.push(assignment);
        self
    }

    /// Sets the attribute to the value that another attribute has before the update. The other attribute must exist.
    pub(super) fn set_from(mut self, name: &'static str, other: &'static str) -> Self {
        let assignment = format!("{} = {}", self.name(name), self.name(other));
        self.set.push(assignment);
        self
    }

    /// Sets the attribute, or removes it if `value` is `None`.
    pub(super) fn assign(self, name: &'static str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self.remove(name),
        }
    }

    /// Adds `by` to a number. The attribute must exist.
    pub(super) fn increment(mut self, name: &'static str, by: u32) -> Self {
        let name = self.name(name);
        let sum = format!(
            "{name} = {name} + {}",
            self.value(AttributeValue::N(by.to_string()))
        );
        self.set.push(sum);
        self
    }

    /// Adds `by` to a number. A number that does not exist counts as zero. Does nothing for zero.
    pub(super) fn add(mut self, name: &'static str, by: i32) -> Self {
        if by != 0 {
            let name = self.name(name);
            let sum = format!("{name} {}", self.value(AttributeValue::N(by.to_string())));
            self.add.push(sum);
        }
        self
    }

    /// Adds an element to a set. A set that does not exist counts as empty.
    pub(super) fn add_to_set(mut self, name: &'static str, element: &impl ToString) -> Self {
        let name = self.name(name);
        let element = AttributeValue::Ss(vec![element.to_string()]);
        let element = format!("{name} {}", self.value(element));
        self.add.push(element);
        self
    }

    /// Removes elements from a set. A set without elements does not exist.
    pub(super) fn remove_from_set<T: ToString>(
        mut self,
        name: &'static str,
        elements: &[T],
    ) -> Self {
        if !elements.is_empty() {
            let name = self.name(name);
            let elements = elements.iter().map(T::to_string).collect();
            let elements = format!("{name} {}", self.value(AttributeValue::Ss(elements)));
            self.delete.push(elements);
        }
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

    pub(super) fn when_more(self, name: &'static str, value: AttributeValue) -> Self {
        self.when(name, ">", value)
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

    pub(super) fn when_absent_or_less(self, name: &'static str, value: AttributeValue) -> Self {
        self.when_absent_or(name, "<", value)
    }

    pub(super) fn when_absent_or_equal(self, name: &'static str, value: AttributeValue) -> Self {
        self.when_absent_or(name, "=", value)
    }

    pub(super) fn when_absent_or_not_equal(
        self,
        name: &'static str,
        value: AttributeValue,
    ) -> Self {
        self.when_absent_or(name, "<>", value)
    }

    /// Adds the condition that one attribute has this value, or that another one exists.
    pub(super) fn when_equal_or_present(
        mut self,
        name: &'static str,
        value: AttributeValue,
        other: &'static str,
    ) -> Self {
        let (name, other) = (self.name(name), self.name(other));
        let condition = format!(
            "({name} = {} OR attribute_exists({other}))",
            self.value(value)
        );
        self.conditions.push(condition);
        self
    }

    /// Adds the condition that one attribute does not have this value, or that another one does not exist.
    pub(super) fn when_not_equal_or_absent(
        mut self,
        name: &'static str,
        value: AttributeValue,
        other: &'static str,
    ) -> Self {
        let (name, other) = (self.name(name), self.name(other));
        let condition = format!(
            "({name} <> {} OR attribute_not_exists({other}))",
            self.value(value)
        );
        self.conditions.push(condition);
        self
    }

    /// Adds the condition that the row does not exist, or else meets all conditions of this update so far.
    pub(super) fn or_when_row_absent(mut self, key: &'static str) -> Self {
        let key = self.name(key);
        let so_far = self.conditions.join(" AND ");
        self.conditions = vec![format!("(attribute_not_exists({key}) OR ({so_far}))")];
        self
    }

    /// Adds the condition that the attribute does not exist or does not begin with `prefix`.
    pub(super) fn when_not_prefixed(mut self, name: &'static str, prefix: &str) -> Self {
        let name = self.name(name);
        let prefix = self.value(AttributeValue::S(prefix.to_owned()));
        let begins = format!("begins_with({name}, {prefix})");
        let condition = format!("(attribute_not_exists({name}) OR NOT {begins})");
        self.conditions.push(condition);
        self
    }

    fn when_absent_or(mut self, name: &'static str, operator: &str, value: AttributeValue) -> Self {
        let name = self.name(name);
        let condition = format!(
            "(attribute_not_exists({name}) OR {name} {operator} {})",
            self.value(value)
        );
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

    pub(super) fn build(self) -> BuiltUpdate {
        let clauses = [
            ("SET", self.set),
            ("REMOVE", self.remove),
            ("ADD", self.add),
            ("DELETE", self.delete),
        ];
        let update: Vec<String> = clauses
            .into_iter()
            .filter(|(_, parts)| !parts.is_empty())
            .map(|(keyword, parts)| format!("{keyword} {}", parts.join(", ")))
            .collect();
        BuiltUpdate {
            update: update.join(" "),
            condition: (!self.conditions.is_empty()).then(|| self.conditions.join(" AND ")),
            names: self.names,
            values: self.values,
        }
    }
}

/// The parts that the builders of the AWS SDK need.
#[derive(Debug)]
pub(super) struct BuiltUpdate {
    pub(super) update: String,
    pub(super) condition: Option<String>,
    pub(super) names: HashMap<String, String>,
    pub(super) values: HashMap<String, AttributeValue>,
}
