//! The parameters of a query or a form body.

use std::collections::BTreeMap;

use url::form_urlencoded;

/// Decoded parameters. As in OAuth, an empty value means the same as a missing parameter.
#[derive(Default)]
pub(super) struct Form(BTreeMap<String, String>);

/// The name of a parameter that occurs twice, which OAuth forbids.
pub(super) struct RepeatedParameter(pub(super) String);

impl Form {
    pub(super) fn parse(encoded: &[u8]) -> Result<Self, RepeatedParameter> {
        let mut parameters = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(encoded).into_owned() {
            if parameters.contains_key(&name) {
                return Err(RepeatedParameter(name));
            }
            parameters.insert(name, value);
        }
        Ok(Self(parameters))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}
