//! Reads the fields of a JSON object a client sent, one typed getter per kind of field.
//!
//! Every getter takes `null` for "not there", says what is wrong in [`FormErrors`] with Discord's
//! code, and answers `None` then, so that a reader goes on and collects all faults of a form.

use serde_json::{Map, Value};

use crate::form::FormErrors;
use crate::id::Id;

/// Characters of a client's value repeated in an error; a fault must not echo a megabyte.
const SHOWN_MAX: usize = 80;

/// A JSON object and the path at which it stands in the form.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    map: &'a Map<String, Value>,
    path: String,
}

impl<'a> Fields<'a> {
    /// The object `value` at `path`; `None` and a fault when it is something else.
    pub fn of(value: &'a Value, path: impl Into<String>, errors: &mut FormErrors) -> Option<Self> {
        let path = path.into();
        match value {
            Value::Object(map) => Some(Self { map, path }),
            _ => {
                errors.push(
                    path,
                    "MODEL_TYPE_CONVERT",
                    "Only dictionaries may be used in a ModelType",
                );
                None
            }
        }
    }

    /// The path of field `key`.
    pub fn at(&self, key: impl std::fmt::Display) -> String {
        join(&self.path, key)
    }

    /// Field `key` as it is; `null` is `None`.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Whether field `key` was sent, `null` included.
    pub fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// Adds "This field is required" at `key`.
    pub fn require(&self, key: &str, errors: &mut FormErrors) {
        errors.push(self.at(key), "BASE_TYPE_REQUIRED", "This field is required");
    }

    /// A text of `min..=max` characters; numbers are taken as text, as Discord does.
    pub fn text(
        &self,
        key: &str,
        min: usize,
        max: usize,
        errors: &mut FormErrors,
    ) -> Option<String> {
        let text = match self.get(key)? {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            other => {
                let message = format!("Could not interpret \"{}\" as string.", shown(other));
                errors.push(self.at(key), "STRING_TYPE_CONVERT", message);
                return None;
            }
        };
        errors.check_length(self.at(key), &text, min, max);
        Some(text)
    }

    /// A text that must be there and not be blank.
    pub fn required_text(&self, key: &str, max: usize, errors: &mut FormErrors) -> Option<String> {
        let text = match self.get(key) {
            None => None,
            Some(_) => Some(self.text(key, 0, max, errors)?),
        };
        match text {
            Some(text) if !text.trim().is_empty() => Some(text),
            _ => {
                self.require(key, errors);
                None
            }
        }
    }

    /// A whole number in `min..=max`; `3.0` and `"3"` count as 3, as older clients send them.
    pub fn integer(&self, key: &str, min: i64, max: i64, errors: &mut FormErrors) -> Option<i64> {
        let value = self.get(key)?;
        check_integer(value, || self.at(key), min, max, errors)
    }

    /// True or false.
    pub fn boolean(&self, key: &str, errors: &mut FormErrors) -> Option<bool> {
        match self.get(key)? {
            Value::Bool(flag) => Some(*flag),
            _ => {
                errors.push(
                    self.at(key),
                    "BOOLEAN_TYPE_CONVERT",
                    "Must be either true or false.",
                );
                None
            }
        }
    }

    /// An id, as a string or an integer.
    pub fn snowflake<T>(&self, key: &str, errors: &mut FormErrors) -> Option<Id<T>> {
        let value = self.get(key)?;
        let id = read_snowflake(value);
        if id.is_none() {
            let message = format!("Value \"{}\" is not snowflake.", shown(value));
            errors.push(self.at(key), "NUMBER_TYPE_COERCE", message);
        }
        id
    }

    /// A list of at most `max` values.
    pub fn list(&self, key: &str, max: usize, errors: &mut FormErrors) -> Option<&'a [Value]> {
        let value = self.get(key)?;
        check_list(value, &self.at(key), max, errors)
    }

    /// A nested object.
    pub fn object(&self, key: &str, errors: &mut FormErrors) -> Option<Fields<'a>> {
        Fields::of(self.get(key)?, self.at(key), errors)
    }

    /// A link of at most `max` characters with one of `schemes`.
    pub fn url(
        &self,
        key: &str,
        max: usize,
        schemes: &[&str],
        errors: &mut FormErrors,
    ) -> Option<String> {
        let url = self.text(key, 0, max, errors)?;
        if url.is_empty() {
            return None;
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            errors.push(
                self.at(key),
                "URL_TYPE_INVALID_URL",
                "Not a well formed URL.",
            );
            return None;
        };
        if !schemes.iter().any(|one| scheme.eq_ignore_ascii_case(one)) {
            let message = unsupported_scheme(scheme);
            errors.push(self.at(key), "URL_TYPE_INVALID_SCHEME", message);
            return None;
        }
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if host.is_empty() || url.chars().any(|c| c.is_whitespace() || c.is_control()) {
            errors.push(
                self.at(key),
                "URL_TYPE_INVALID_URL",
                "Not a well formed URL.",
            );
            return None;
        }
        Some(url)
    }
}

/// What Discord says of a link with another scheme.
pub(crate) fn unsupported_scheme(scheme: &str) -> String {
    let scheme = cut(scheme, SHOWN_MAX);
    format!("Scheme \"{scheme}\" is not supported. Scheme must be one of ('http', 'https').")
}

/// `path.key`, or `key` at the root.
pub fn join(path: &str, key: impl std::fmt::Display) -> String {
    if path.is_empty() {
        key.to_string()
    } else {
        format!("{path}.{key}")
    }
}

/// The array `value` with at most `max` entries; otherwise `None` and a fault at `path`.
pub fn check_list<'a>(
    value: &'a Value,
    path: &str,
    max: usize,
    errors: &mut FormErrors,
) -> Option<&'a [Value]> {
    match value {
        Value::Array(list) if list.len() <= max => Some(list),
        Value::Array(_) => {
            let message = format!("Must be {max} or fewer in length.");
            errors.push(path, "BASE_TYPE_MAX_LENGTH", message);
            None
        }
        _ => {
            errors.push(
                path,
                "LIST_TYPE_CONVERT",
                "Only iterables may be used in a ListType",
            );
            None
        }
    }
}

/// The whole number `value` in `min..=max`; otherwise `None` and a fault at `path`.
pub fn check_integer(
    value: &Value,
    path: impl Fn() -> String,
    min: i64,
    max: i64,
    errors: &mut FormErrors,
) -> Option<i64> {
    let Some(number) = read_integer(value) else {
        let message = format!("Value \"{}\" is not int.", shown(value));
        errors.push(path(), "NUMBER_TYPE_COERCE", message);
        return None;
    };
    if number < i128::from(min) {
        let message = format!("int value should be greater than or equal to {min}.");
        errors.push(path(), "NUMBER_TYPE_MIN", message);
        return None;
    }
    if number > i128::from(max) {
        let message = format!("int value should be less than or equal to {max}.");
        errors.push(path(), "NUMBER_TYPE_MAX", message);
        return None;
    }
    i64::try_from(number).ok()
}

/// A whole number out of an integer, a float without fraction, or a decimal string.
fn read_integer(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => number
            .as_i64()
            .map(i128::from)
            .or_else(|| number.as_u64().map(i128::from))
            // A saturating cast: what is beyond the range stays beyond every limit.
            .or_else(|| {
                number
                    .as_f64()
                    .filter(|float| float.is_finite() && float.fract() == 0.0)
                    .map(|float| float as i128)
            }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// An id as a string of digits or an integer (Discord docs, Reference, "Snowflakes"); `None` for
/// anything else and for 0.
pub fn read_snowflake<T>(value: &Value) -> Option<Id<T>> {
    let number = match value {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok()?,
        _ => return None,
    };
    Id::new_checked(number)
}

/// `value` as repeated in an error: short.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => cut(text, SHOWN_MAX),
        Value::Array(_) => "[...]".to_owned(),
        Value::Object(_) => "{...}".to_owned(),
        scalar => scalar.to_string(),
    }
}

/// The first `max` characters of `text`.
pub(crate) fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => text[..end].to_owned(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;
    use crate::id::UserId;

    fn code(errors: &FormErrors, key: &str) -> String {
        errors.to_json()[key]["_errors"][0]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    #[test]
    fn null_is_absent_and_wrong_types_are_named() {
        let body = json!({"a": null, "b": [], "c": 2.5, "d": "yes", "e": 7, "f": -1});
        let mut errors = FormErrors::new();
        let fields = Fields::of(&body, "", &mut errors).unwrap();
        assert_eq!(fields.text("a", 1, 5, &mut errors), None);
        assert!(errors.is_empty());
        assert_eq!(fields.text("b", 0, 5, &mut errors), None);
        assert_eq!(fields.integer("c", 0, 5, &mut errors), None);
        assert_eq!(fields.boolean("d", &mut errors), None);
        assert_eq!(fields.list("e", 5, &mut errors), None);
        assert_eq!(fields.integer("f", 0, 5, &mut errors), None);
        assert_eq!(code(&errors, "b"), "STRING_TYPE_CONVERT");
        assert_eq!(code(&errors, "c"), "NUMBER_TYPE_COERCE");
        assert_eq!(code(&errors, "d"), "BOOLEAN_TYPE_CONVERT");
        assert_eq!(code(&errors, "e"), "LIST_TYPE_CONVERT");
        assert_eq!(code(&errors, "f"), "NUMBER_TYPE_MIN");
    }

    #[test]
    fn numbers_come_in_many_clothes() {
        let body = json!({"a": 3.0, "b": "3", "c": 1e300, "d": 18_446_744_073_709_551_615_u64});
        let mut errors = FormErrors::new();
        let fields = Fields::of(&body, "x", &mut errors).unwrap();
        assert_eq!(fields.integer("a", 0, 5, &mut errors), Some(3));
        assert_eq!(fields.integer("b", 0, 5, &mut errors), Some(3));
        assert!(errors.is_empty());
        assert_eq!(fields.integer("c", 0, 5, &mut errors), None);
        assert_eq!(fields.integer("d", 0, 5, &mut errors), None);
        assert_eq!(
            errors.to_json()["x"]["c"]["_errors"][0]["code"],
            "NUMBER_TYPE_MAX"
        );
    }

    #[test]
    fn ids_are_strings_or_integers() {
        assert_eq!(
            read_snowflake::<crate::id::marker::UserMarker>(&json!("7")),
            Some(UserId::new(7))
        );
        assert_eq!(
            read_snowflake::<crate::id::marker::UserMarker>(&json!(7)),
            Some(UserId::new(7))
        );
        for bad in [
            json!("+7"),
            json!("0"),
            json!(0),
            json!(-7),
            json!(""),
            json!(1.5),
        ] {
            assert_eq!(read_snowflake::<crate::id::marker::UserMarker>(&bad), None);
        }
    }

    #[test]
    fn a_fault_never_echoes_a_long_value() {
        let body = json!({"a": "é".repeat(10_000)});
        let mut errors = FormErrors::new();
        let fields = Fields::of(&body, "", &mut errors).unwrap();
        assert_eq!(fields.integer("a", 0, 1, &mut errors), None);
        assert!(errors.to_json().to_string().len() < 400);
    }
}
