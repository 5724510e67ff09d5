//! What is wrong with a form, field by field, as Discord nests it under `errors`
//! (Discord docs, Reference, "Error Messages"), and the typed reader ([`Fields`]) that finds out.

use serde_json::{Map, Value, json};

pub use self::fields::{Fields, check_integer, check_list, join, read_snowflake};

pub(crate) mod fields;

/// Faults of a request body, each at a path such as `embeds.0.title`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FormErrors {
    faults: Vec<Fault>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    path: String,
    code: &'static str,
    message: String,
}

impl FormErrors {
    /// Most faults kept; later ones are dropped, the form is refused all the same.
    pub const FAULTS_MAX: usize = 100;

    /// No faults yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One fault at `path` (dots between keys and indexes).
    pub fn one(path: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        let mut errors = Self::new();
        errors.push(path, code, message);
        errors
    }

    /// Adds a fault at `path`.
    pub fn push(
        &mut self,
        path: impl Into<String>,
        code: &'static str,
        message: impl Into<String>,
    ) {
        if self.faults.len() < Self::FAULTS_MAX {
            self.faults.push(Fault {
                path: path.into(),
                code,
                message: message.into(),
            });
        }
    }

    /// Adds BASE_TYPE_BAD_LENGTH at `path` unless `min <= text.chars() <= max`.
    pub fn check_length(&mut self, path: impl Into<String>, text: &str, min: usize, max: usize) {
        let length = text.chars().count();
        if length < min || length > max {
            let message = if min == 0 {
                format!("Must be {max} or fewer in length.")
            } else {
                format!("Must be between {min} and {max} in length.")
            };
            let code = if min == 0 {
                "BASE_TYPE_MAX_LENGTH"
            } else {
                "BASE_TYPE_BAD_LENGTH"
            };
            self.push(path, code, message);
        }
    }

    /// Faults so far.
    pub fn len(&self) -> usize {
        self.faults.len()
    }

    /// Whether the form is fine so far.
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// `Ok` when nothing was wrong.
    ///
    /// # Errors
    /// The faults themselves; nothing was changed, the client corrects the form and sends it again.
    pub fn into_result(self) -> Result<(), FormErrors> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }

    /// Takes over the faults of `other`.
    pub fn merge(&mut self, other: FormErrors) {
        let room = Self::FAULTS_MAX - self.faults.len();
        self.faults.extend(other.faults.into_iter().take(room));
    }

    /// The nested object Discord puts under `errors`.
    pub fn to_json(&self) -> Value {
        let mut root = Map::new();
        for fault in &self.faults {
            let mut at = &mut root;
            for key in fault.path.split('.').filter(|key| !key.is_empty()) {
                let slot = at.entry(key).or_insert_with(|| Value::Object(Map::new()));
                at = match slot {
                    Value::Object(map) => map,
                    _ => unreachable!("only objects are inserted under keys of a path"),
                };
            }
            let list = at
                .entry("_errors")
                .or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.push(json!({"code": fault.code, "message": fault.message}));
            }
        }
        Value::Object(root)
    }
}

impl std::fmt::Display for FormErrors {
    /// For people: `username: Must be between 2 and 32 in length.`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", fault.path, fault.message)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nests_as_discord_does() {
        let mut errors = FormErrors::new();
        errors.check_length("embeds.0.title", &"x".repeat(300), 0, 256);
        errors.push("content", "BASE_TYPE_REQUIRED", "This field is required");
        let json = errors.to_json();
        assert_eq!(
            json["embeds"]["0"]["title"]["_errors"][0]["code"],
            "BASE_TYPE_MAX_LENGTH"
        );
        assert_eq!(
            json["content"]["_errors"][0]["message"],
            "This field is required"
        );
        assert_eq!(
            errors.to_string(),
            "embeds.0.title: Must be 256 or fewer in length.; content: This field is required"
        );
    }
}
