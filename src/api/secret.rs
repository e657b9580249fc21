//! The key of an endpoint.

use std::fmt;

/// What stands in a text in place of a key.
const HIDDEN: &str = "***";

/// A shorter key is none that anybody would have to guess (`none`, `EMPTY`), and would turn up in
/// other words by chance.
const SHORTEST: usize = 6;

/// A key, which no format shows. It comes from an environment variable and from nowhere else.
#[derive(Clone)]
pub struct Secret {
    value: String,
    /// The key as it stands inside JSON strings, where it differs.
    escaped: String,
}

impl Secret {
    /// The value of an environment variable.
    ///
    /// # Errors
    /// If it is not set, empty, or cannot stand in a header.
    pub fn from_environment(name: &str) -> Result<Self, String> {
        let value = std::env::var(name).unwrap_or_default();
        let value = value.trim();
        if value.is_empty() {
            return Err(format!(
                "the environment variable `{name}`, which holds the key, is not set"
            ));
        }
        if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "the environment variable `{name}` holds something that cannot be a key: letters, \
                 digits and signs are expected"
            ));
        }
        Ok(Self::new(value))
    }

    /// A key that is known already.
    #[must_use]
    pub fn new(value: &str) -> Self {
        let quoted = serde_json::Value::from(value).to_string();
        Self {
            value: value.to_owned(),
            escaped: quoted.trim_matches('"').to_owned(),
        }
    }

    /// The key itself, for a header.
    pub(super) fn reveal(&self) -> &str {
        &self.value
    }

    /// A text with `***` in place of the key; servers repeat it in their errors.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        if self.value.len() < SHORTEST {
            return text.to_owned();
        }
        text.replace(&self.value, HIDDEN)
            .replace(&self.escaped, HIDDEN)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_nowhere() {
        let secret = Secret::new("sk-\"1\\2");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(secret.redact("Bearer sk-\"1\\2."), "Bearer ***.");
        assert_eq!(
            secret.redact(r#"{"key": "sk-\"1\\2"}"#),
            r#"{"key": "***"}"#
        );
        assert_eq!(Secret::new("no").redact("No or no."), "No or no.");
        let error = Secret::from_environment("RUNNER_TEST_NO_SUCH_KEY").expect_err("not set");
        assert!(error.contains("RUNNER_TEST_NO_SUCH_KEY"), "{error}");
    }
}
