//! Values (`storage/src/engine/value.rs`) on disk: cut into pieces of at most 3 KiB on their way to disk.
//!
//! ```text
//!  record ─▶ 1 ‖ JSON ─▶ short:  key          → 0 ‖ value
//!                        long:   key          → 1 ‖ pieces(2) ‖ first piece
//!                                key ‖ 1(2)   → 2 ‖ next piece
//!                                key ‖ 2(2)   → 2 ‖ …
//! ```
//!
//! Why pieces: an entry of the journal then is always shorter than a 4 KiB page, so that a page a
//! power cut left unwritten always swallows the head of an entry, and the torn tail is seen where
//! it begins instead of as a checksum that does not fit.

use crate::error::StoreError;
use crate::store::Result;

pub(super) use crate::engine::value::{
    decode, decode_bytes, decode_number, encode, encode_bytes, encode_number,
};

/// Longest piece, in bytes.
pub(super) const PIECE_MAX: usize = 3 * 1_024;

/// First byte of what is stored under a key.
const WHOLE: u8 = 0;
const FIRST: u8 = 1;
const NEXT: u8 = 2;

/// What is stored under one key of the tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stored<'a> {
    /// A whole value.
    Whole(&'a [u8]),
    /// The beginning of a value of so many pieces.
    First(u16, &'a [u8]),
    /// A later piece.
    Next(&'a [u8]),
}

/// Reads what is stored under one key.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub(super) fn stored(bytes: &[u8]) -> Result<Stored<'_>> {
    match bytes {
        [WHOLE, value @ ..] => Ok(Stored::Whole(value)),
        [FIRST, high, low, piece @ ..] => {
            Ok(Stored::First(u16::from_be_bytes([*high, *low]), piece))
        }
        [NEXT, piece @ ..] => Ok(Stored::Next(piece)),
        _ => Err(StoreError::Corrupt("a piece of an unknown kind".to_owned())),
    }
}

/// How many keys the value that begins with `stored` takes.
pub(super) fn pieces_of(stored: &Stored<'_>) -> u16 {
    match stored {
        Stored::First(pieces, _) => *pieces,
        Stored::Whole(_) | Stored::Next(_) => 1,
    }
}

/// What to store for a value, one after the other, under the key and its [`piece_key`]s.
pub(super) fn cut(value: &[u8]) -> Vec<Vec<u8>> {
    let pieces = value.chunks(PIECE_MAX);
    let count =
        u16::try_from(pieces.len()).expect("invariant: VALUE_MAX / PIECE_MAX fits into 16 bits");
    if count <= 1 {
        return vec![[&[WHOLE], value].concat()];
    }
    let first = [&[FIRST], count.to_be_bytes().as_slice()].concat();
    let head = |number: usize| {
        if number == 0 {
            first.as_slice()
        } else {
            &[NEXT]
        }
    };
    pieces
        .enumerate()
        .map(|(number, piece)| [head(number), piece].concat())
        .collect()
}

/// The key of a piece; piece 0 stands under the key itself.
pub(super) fn piece_key(key: &[u8], piece: u16) -> Vec<u8> {
    if piece == 0 {
        key.to_vec()
    } else {
        [key, piece.to_be_bytes().as_slice()].concat()
    }
}

/// A key after all pieces of the value under `key` and before the next one.
pub(super) fn past_pieces(key: &[u8]) -> Vec<u8> {
    [key, u16::MAX.to_be_bytes().as_slice()].concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_come_back_from_their_pieces() {
        for length in [0, 1, PIECE_MAX, PIECE_MAX + 1, PIECE_MAX * 3, 200_000] {
            let value: Vec<u8> = (0..length)
                .map(|i| u8::try_from(i % 251).unwrap())
                .collect();
            let pieces = cut(&value);
            assert_eq!(pieces.len(), length.div_ceil(PIECE_MAX).max(1));
            assert!(pieces.iter().all(|piece| piece.len() <= PIECE_MAX + 3));
            let count = usize::from(pieces_of(&stored(&pieces[0]).unwrap()));
            assert_eq!(count, pieces.len());
            let mut whole = Vec::new();
            for piece in &pieces {
                match stored(piece).unwrap() {
                    Stored::Whole(bytes) | Stored::First(_, bytes) | Stored::Next(bytes) => {
                        whole.extend_from_slice(bytes)
                    }
                }
            }
            assert_eq!(whole, value);
        }
    }
}
