//! Reads what the resources share out of JSON objects: nullable fields, permissions, lists of ids.

use model::form::{Fields, FormErrors, join, read_snowflake};
use model::permissions::Permissions;
use model::{Id, Timestamp, time};
use serde_json::Value;

use crate::error::{ApiError, Result};

/// Reads `body` as an object with `read`, and refuses it with all faults found.
///
/// # Errors
/// 50035.
pub(crate) fn read<T>(
    body: &Value,
    read: impl FnOnce(&Fields<'_>, &mut FormErrors) -> T,
) -> Result<T> {
    let mut errors = FormErrors::new();
    let value = Fields::of(body, "", &mut errors).map(|fields| read(&fields, &mut errors));
    match value {
        Some(value) if errors.is_empty() => Ok(value),
        _ => Err(ApiError::form(&errors)),
    }
}

/// A field that can be unset: `None` = not sent, `Some(None)` = `null`.
pub(crate) fn nullable<T>(
    fields: &Fields<'_>,
    key: &str,
    read: impl FnOnce() -> Option<T>,
) -> Option<Option<T>> {
    if !fields.has(key) {
        None
    } else if fields.get(key).is_none() {
        Some(None)
    } else {
        read().map(Some)
    }
}

/// A whole number of type `T`.
pub(crate) fn number<T: TryFrom<i64>>(
    fields: &Fields<'_>,
    key: &str,
    (min, max): (i64, i64),
    errors: &mut FormErrors,
) -> Option<T> {
    fields
        .integer(key, min, max, errors)
        .and_then(|number| T::try_from(number).ok())
}

/// One of `choices`.
pub(crate) fn choice(
    fields: &Fields<'_>,
    key: &str,
    choices: &[u32],
    errors: &mut FormErrors,
) -> Option<u32> {
    let number = number(fields, key, (0, i64::from(u32::MAX)), errors)?;
    if choices.contains(&number) {
        return Some(number);
    }
    let listed: Vec<String> = choices.iter().map(u32::to_string).collect();
    let message = format!("Value must be one of {{{}}}.", listed.join(", "));
    errors.push(fields.at(key), "BASE_TYPE_CHOICES", message);
    None
}

/// Permissions: a decimal string, or an integer as older clients send (Discord docs, Permissions).
/// Bits nobody knows are dropped.
pub(crate) fn permissions(
    fields: &Fields<'_>,
    key: &str,
    errors: &mut FormErrors,
) -> Option<Permissions> {
    let bits = match fields.get(key)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text)
            if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            // Beyond 64 bits only unknown bits are lost.
            Some(text.parse::<u128>().map_or(u64::MAX, |bits| bits as u64))
        }
        _ => None,
    };
    if bits.is_none() {
        errors.push(
            fields.at(key),
            "BASE_TYPE_PERMISSION",
            "Value is not a set of permissions.",
        );
    }
    bits.map(Permissions::from_bits_truncate)
}

/// A list of at most `max` ids; repeated ones count once.
pub(crate) fn ids<T>(
    fields: &Fields<'_>,
    key: &str,
    max: usize,
    errors: &mut FormErrors,
) -> Option<Vec<Id<T>>> {
    let list = fields.list(key, max, errors)?;
    let mut seen = std::collections::HashSet::with_capacity(list.len());
    let mut ids = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        match read_snowflake::<T>(value) {
            Some(id) if seen.insert(id.get()) => ids.push(id),
            Some(_) => {}
            None => errors.push(
                join(&fields.at(key), index),
                "NUMBER_TYPE_COERCE",
                "Value is not snowflake.",
            ),
        }
    }
    Some(ids)
}

/// An instant in ISO 8601.
pub(crate) fn instant(
    fields: &Fields<'_>,
    key: &str,
    errors: &mut FormErrors,
) -> Option<Timestamp> {
    let text = fields.text(key, 0, 64, errors)?;
    let instant = time::parse(&text);
    if instant.is_none() {
        errors.push(
            fields.at(key),
            "DATE_TIME_TYPE_PARSE",
            "Could not parse the time. Should be ISO8601.",
        );
    }
    instant
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn absent_null_and_a_value_are_three_things() {
        let body = json!({"null": null, "text": "x"});
        read(&body, |fields, errors| {
            assert_eq!(nullable(fields, "absent", || Some(1)), None);
            assert_eq!(nullable(fields, "null", || Some(1)), Some(None));
            let text = nullable(fields, "text", || fields.text("text", 0, 9, errors));
            assert_eq!(text, Some(Some("x".to_owned())));
        })
        .unwrap();
    }

    #[test]
    fn permissions_are_strings_or_integers() {
        let body = json!({"a": "1024", "b": 1024, "huge": "36893488147419104256", "bad": "x", "minus": -1});
        let refused = read(&body, |fields, errors| {
            assert_eq!(
                permissions(fields, "a", errors),
                Some(Permissions::VIEW_CHANNEL)
            );
            assert_eq!(
                permissions(fields, "b", errors),
                Some(Permissions::VIEW_CHANNEL)
            );
            assert_eq!(
                permissions(fields, "huge", errors),
                Some(Permissions::VIEW_CHANNEL)
            );
            assert!(errors.is_empty());
            assert_eq!(permissions(fields, "bad", errors), None);
            assert_eq!(permissions(fields, "minus", errors), None);
            assert_eq!(errors.len(), 2);
        });
        assert_eq!(refused.unwrap_err().status(), 400);
    }

    #[test]
    fn a_body_that_is_no_object_is_refused() {
        for body in [json!([]), json!("x"), json!(1), json!(null)] {
            assert!(read(&body, |_, _| ()).is_err(), "{body}");
        }
    }
}
