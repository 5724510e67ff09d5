//! Values: a version byte and what follows it, JSON for records. Every engine that keeps bytes uses it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StoreError;
use crate::store::Result;

/// Version of the values written now; a reader knows all versions up to it.
const VERSION: u8 = 1;

/// Longest value, in bytes.
const VALUE_MAX: usize = 16 * 1_024 * 1_024;

/// A record as bytes.
///
/// # Errors
/// [`StoreError::NotApplied`] when it does not serialise, [`StoreError::TooLarge`].
pub(super) fn encode<T: Serialize + ?Sized>(record: &T) -> Result<Vec<u8>> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, record)
        .map_err(|error| StoreError::NotApplied(error.to_string()))?;
    checked(bytes)
}

/// Raw bytes as a value.
///
/// # Errors
/// [`StoreError::TooLarge`].
pub(super) fn encode_bytes(bytes: &[u8]) -> Result<Vec<u8>> {
    checked([&[VERSION], bytes].concat())
}

/// A number as a value.
pub(super) fn encode_number(number: u64) -> Vec<u8> {
    [&[VERSION], number.to_be_bytes().as_slice()].concat()
}

fn checked(value: Vec<u8>) -> Result<Vec<u8>> {
    if value.len() <= VALUE_MAX {
        Ok(value)
    } else {
        Err(StoreError::TooLarge(format!(
            "a value of {} bytes is longer than {VALUE_MAX}",
            value.len()
        )))
    }
}

/// The record in a value.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub(super) fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T> {
    serde_json::from_slice(decode_bytes(value)?)
        .map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// The raw bytes in a value.
///
/// # Errors
/// [`StoreError::Corrupt`] when a newer version wrote it, or nobody.
pub(super) fn decode_bytes(value: &[u8]) -> Result<&[u8]> {
    match value.split_first() {
        Some((&VERSION, bytes)) => Ok(bytes),
        Some((version, _)) => Err(StoreError::Corrupt(format!(
            "a value of version {version}, known is {VERSION}"
        ))),
        None => Err(StoreError::Corrupt("an empty value".to_owned())),
    }
}

/// The number in a value.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub(super) fn decode_number(value: &[u8]) -> Result<u64> {
    let bytes = decode_bytes(value)?;
    let bytes = bytes
        .try_into()
        .map_err(|_| StoreError::Corrupt("a number that is not 8 bytes long".to_owned()))?;
    Ok(u64::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_newer_version_is_told_apart_from_damage() {
        let newer = decode_bytes(&[VERSION + 1, b'{']).unwrap_err();
        assert!(newer.to_string().contains("version 2"), "{newer}");
        assert!(decode_number(&[VERSION, 1]).is_err());
        assert_eq!(decode_number(&encode_number(77)).unwrap(), 77);
    }
}
