//! The query of a URL, typed, with Discord's faults.

use std::borrow::Cow;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use model::Id;
use model::form::FormErrors;
use percent_encoding::percent_decode_str;

use crate::error::ApiError;
use crate::path::parse_id;

/// Most pairs looked at; later ones are ignored.
const PAIRS_MAX: usize = 64;

/// The pairs of a query, decoded; of a repeated key the last one counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl Query {
    /// Reads `a=1&b=2`.
    pub(crate) fn parse(query: &str) -> Self {
        let pairs = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .take(PAIRS_MAX);
        let decoded = pairs.map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        });
        Self(decoded.collect())
    }

    /// The text at `key`; an empty one is none.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(name, _)| name == key);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// The id at `key`.
    pub(crate) fn id<T>(&self, key: &str, errors: &mut FormErrors) -> Option<Id<T>> {
        let text = self.text(key)?;
        // Clients send 0 for "from the beginning", which is no id but means none.
        if text == "0" {
            return None;
        }
        let id = parse_id(text);
        if id.is_none() {
            let shown: String = text.chars().take(80).collect();
            errors.push(
                key,
                "NUMBER_TYPE_COERCE",
                format!("Value \"{shown}\" is not snowflake."),
            );
        }
        id
    }

    /// The number at `key`, or `default`, in `min..=max`.
    pub(crate) fn number(
        &self,
        key: &str,
        default: usize,
        (min, max): (usize, usize),
        errors: &mut FormErrors,
    ) -> usize {
        let Some(text) = self.text(key) else {
            return default;
        };
        match text.parse::<i128>() {
            Ok(number) if number < min as i128 => {
                let message = format!("int value should be greater than or equal to {min}.");
                errors.push(key, "NUMBER_TYPE_MIN", message);
            }
            Ok(number) if number > max as i128 => {
                let message = format!("int value should be less than or equal to {max}.");
                errors.push(key, "NUMBER_TYPE_MAX", message);
            }
            Ok(number) => return usize::try_from(number).unwrap_or(max),
            Err(_) => {
                let shown: String = text.chars().take(80).collect();
                errors.push(
                    key,
                    "NUMBER_TYPE_COERCE",
                    format!("Value \"{shown}\" is not int."),
                );
            }
        }
        default
    }

    /// Whether `key` is `true`, `True` or `1` (libraries differ).
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.text(key)
            .is_some_and(|text| text == "1" || text.eq_ignore_ascii_case("true"))
    }
}

fn decode(text: &str) -> String {
    let spaced: Cow<'_, str> = if text.contains('+') {
        text.replace('+', " ").into()
    } else {
        text.into()
    };
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use model::UserId;

    use super::*;

    #[test]
    fn reads_typed_values_and_names_faults() {
        let query =
            Query::parse("limit=7&limit=9&after=0&before=12&q=a+b%20c&with_counts=True&bad=x");
        let mut errors = FormErrors::new();
        assert_eq!(query.number("limit", 1, (1, 100), &mut errors), 9);
        assert_eq!(query.id("before", &mut errors), Some(UserId::new(12)));
        assert_eq!(
            query.id::<model::id::marker::UserMarker>("after", &mut errors),
            None
        );
        assert_eq!(query.text("q"), Some("a b c"));
        assert!(query.flag("with_counts") && !query.flag("q"));
        assert!(errors.is_empty());
        query.number("bad", 1, (1, 100), &mut errors);
        query.number("limit", 1, (1, 8), &mut errors);
        query.number("before", 1, (20, 30), &mut errors);
        assert_eq!(
            errors.to_json()["bad"]["_errors"][0]["code"],
            "NUMBER_TYPE_COERCE"
        );
        assert_eq!(
            errors.to_json()["limit"]["_errors"][0]["code"],
            "NUMBER_TYPE_MAX"
        );
        assert_eq!(
            errors.to_json()["before"]["_errors"][0]["code"],
            "NUMBER_TYPE_MIN"
        );
    }
}
