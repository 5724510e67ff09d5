//! Names of blobs: paths of safe parts, so that no key leaves its place.

use super::{BlobError, Result};

/// Most parts of a key.
pub(super) const PARTS_MAX: usize = 8;

/// Longest part of a key, in bytes.
pub(super) const PART_MAX: usize = 200;

/// Checks a key; what passes is a path below any root, and means the same to a directory and to S3.
pub(super) fn check(key: &str) -> Result<()> {
    let part_is_safe = |part: &str| {
        (1..=PART_MAX).contains(&part.len()) && !part.starts_with('.') && part.bytes().all(is_safe)
    };
    if key.split('/').count() <= PARTS_MAX && key.split('/').all(part_is_safe) {
        Ok(())
    } else {
        Err(BlobError::InvalidKey(key.chars().take(PART_MAX).collect()))
    }
}

fn is_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// A file name that can be the last part of a key: other characters become `_`, it never begins
/// with a dot, is never empty and keeps its extension when it has to be cut.
pub fn safe_file_name(name: &str) -> String {
    const EXTENSION_MAX: usize = 20;
    let clean = |text: &str| -> String {
        text.chars()
            .map(|c| {
                if u8::try_from(c).is_ok_and(is_safe) {
                    c
                } else {
                    '_'
                }
            })
            .collect()
    };
    let mut name = clean(name);
    if name.is_empty() || name.starts_with('.') {
        name.insert(0, '_');
    }
    if name.len() > PART_MAX {
        let extension = match name.rfind('.') {
            Some(dot) if name.len() - dot <= EXTENSION_MAX => name.split_off(dot),
            _ => String::new(),
        };
        name.truncate(PART_MAX - extension.len());
        name.push_str(&extension);
    }
    name
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn file_names_become_parts_of_keys() {
        for (name, safe) in [
            ("cat.png", "cat.png"),
            ("my cat (1).png", "my_cat__1_.png"),
            ("../../etc/passwd", "_.._.._etc_passwd"),
            (".hidden", "_.hidden"),
            ("", "_"),
            ("Käse.txt", "K_se.txt"),
        ] {
            assert_eq!(safe_file_name(name), safe);
            check(safe).unwrap();
        }
        let long = safe_file_name(&format!("{}.tar.gz", "x".repeat(500)));
        assert!(long.len() == PART_MAX && long.ends_with(".gz"), "{long}");
    }
}
