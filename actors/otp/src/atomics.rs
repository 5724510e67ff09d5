//! Arrays of atomic 64-bit words (Erlang: `atomics`).
//!
//! | Erlang's manual | here |
//! |---|---|
//! | `new(Arity, [{signed, Bool}])` | [`Atomics::<i64>::new`](Atomics::new), [`Atomics::<u64>::new`](Atomics::new) |
//! | "Indexes into atomic arrays are one-based." | Zero-based, as everywhere in Rust. |
//! | "Integers … wrap around at overflow and underflow operations." | The same. |
//! | "All operations guarantee atomicity … if an atomic B is updated *after* an atomic A, then no one can observe B updated and A not." | The same: every operation is sequentially consistent. |
//! | Arguments out of range: `badarg`. | A wrong index is an [`IndexError`], a wrong size a [`SizeError`]; a wrong value does not compile. |
//! | "Atomics are not tied to the current process and are automatically garbage collected when they are no longer referenced." | The same: clones share one array. |
//!
//! ```
//! use otp::atomics::{Atomics, CompareExchange};
//!
//! let atomics = Atomics::<u64>::new(2)?;
//! assert_eq!(atomics.add_get(0, 40)?, 40);
//! assert_eq!(atomics.compare_exchange(0, 40, 42)?, CompareExchange::Exchanged);
//! assert_eq!(atomics.compare_exchange(0, 40, 43)?, CompareExchange::Actual(42));
//! assert_eq!(atomics.sub_get(1, 1)?, u64::MAX);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

#[cfg(test)]
mod tests;

/// Most words of one array, 256 MiB. Policy at the limit: [`SizeError::TooBig`].
pub const SIZE_MAX: usize = 1 << 25;

/// Why an array cannot be made (Erlang: `badarg`, `system_limit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SizeError {
    /// An array has at least one word.
    #[error("an array needs at least one word")]
    Zero,
    /// An array has at most [`SIZE_MAX`] words.
    #[error("an array of {0} words is too big")]
    TooBig(usize),
}

/// An index outside of the array; nothing was changed (Erlang: `badarg`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("index {index} in an array of {size}")]
pub struct IndexError {
    /// The index asked for.
    pub index: usize,
    /// How many words there are.
    pub size: usize,
}

pub(crate) fn check_size(size: usize) -> Result<usize, SizeError> {
    match size {
        0 => Err(SizeError::Zero),
        1..=SIZE_MAX => Ok(size),
        _ => Err(SizeError::TooBig(size)),
    }
}

mod word {
    /// A 64-bit integer; the conversions keep its bits.
    pub trait Word: Copy + Eq + std::fmt::Debug + Send + Sync + 'static {
        const MIN: Self;
        const MAX: Self;
        fn to_bits(self) -> u64;
        fn from_bits(bits: u64) -> Self;
    }

    impl Word for u64 {
        const MIN: u64 = u64::MIN;
        const MAX: u64 = u64::MAX;
        fn to_bits(self) -> u64 {
            self
        }
        fn from_bits(bits: u64) -> u64 {
            bits
        }
    }

    impl Word for i64 {
        const MIN: i64 = i64::MIN;
        const MAX: i64 = i64::MAX;
        fn to_bits(self) -> u64 {
            self.cast_unsigned()
        }
        fn from_bits(bits: u64) -> i64 {
            bits.cast_signed()
        }
    }
}

use word::Word;

/// What became of a [`Atomics::compare_exchange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the exchange may not have happened"]
pub enum CompareExchange<T> {
    /// The expected value was there and is replaced (`ok`).
    Exchanged,
    /// Another value was there and still is.
    Actual(T),
}

/// What [`Atomics::info`] tells (`atomics:info/1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtomicsInfo<T> {
    /// How many words.
    pub size: usize,
    /// The highest value of one.
    pub max: T,
    /// The lowest value of one.
    pub min: T,
    /// Bytes used by the array.
    pub memory: usize,
}

/// An array of signed (`i64`) or unsigned (`u64`) words. Cloning is cheap and names the same
/// array.
pub struct Atomics<T = i64> {
    // Two's complement: adding and subtracting bits is the same for both kinds.
    words: Arc<[AtomicU64]>,
    kind: PhantomData<T>,
}

impl<T: Word> Atomics<T> {
    /// An array of zeros (`atomics:new/2`).
    ///
    /// # Errors
    /// [`SizeError`]: there can be no array of that size.
    pub fn new(size: usize) -> Result<Atomics<T>, SizeError> {
        let words = std::iter::repeat_with(AtomicU64::default).take(check_size(size)?);
        Ok(Atomics {
            words: words.collect(),
            kind: PhantomData,
        })
    }

    /// Sets a word (`atomics:put/3`).
    ///
    /// # Errors
    /// [`IndexError`]: there is no such word. So for all that follow.
    pub fn put(&self, index: usize, value: T) -> Result<(), IndexError> {
        self.word(index)?.store(value.to_bits(), Ordering::SeqCst);
        Ok(())
    }

    /// Reads a word (`atomics:get/2`).
    pub fn get(&self, index: usize) -> Result<T, IndexError> {
        Ok(T::from_bits(self.word(index)?.load(Ordering::SeqCst)))
    }

    /// Adds to a word, wrapping around (`atomics:add/3`).
    pub fn add(&self, index: usize, increment: T) -> Result<(), IndexError> {
        self.add_get(index, increment).map(drop)
    }

    /// Adds to a word, wrapping around, and gives the sum (`atomics:add_get/3`).
    pub fn add_get(&self, index: usize, increment: T) -> Result<T, IndexError> {
        let increment = increment.to_bits();
        let before = self.word(index)?.fetch_add(increment, Ordering::SeqCst);
        Ok(T::from_bits(before.wrapping_add(increment)))
    }

    /// Subtracts from a word, wrapping around (`atomics:sub/3`).
    pub fn sub(&self, index: usize, decrement: T) -> Result<(), IndexError> {
        self.sub_get(index, decrement).map(drop)
    }

    /// Subtracts from a word, wrapping around, and gives the difference (`atomics:sub_get/3`).
    pub fn sub_get(&self, index: usize, decrement: T) -> Result<T, IndexError> {
        let decrement = decrement.to_bits();
        let before = self.word(index)?.fetch_sub(decrement, Ordering::SeqCst);
        Ok(T::from_bits(before.wrapping_sub(decrement)))
    }

    /// Sets a word and gives what it was (`atomics:exchange/3`).
    pub fn exchange(&self, index: usize, desired: T) -> Result<T, IndexError> {
        let before = self.word(index)?.swap(desired.to_bits(), Ordering::SeqCst);
        Ok(T::from_bits(before))
    }

    /// Sets a word if it has the expected value (`atomics:compare_exchange/4`).
    pub fn compare_exchange(
        &self,
        index: usize,
        expected: T,
        desired: T,
    ) -> Result<CompareExchange<T>, IndexError> {
        let outcome = self.word(index)?.compare_exchange(
            expected.to_bits(),
            desired.to_bits(),
            Ordering::SeqCst,
            Ordering::SeqCst,
        );
        Ok(match outcome {
            Ok(_) => CompareExchange::Exchanged,
            Err(actual) => CompareExchange::Actual(T::from_bits(actual)),
        })
    }

    /// What the array is (`atomics:info/1`).
    pub fn info(&self) -> AtomicsInfo<T> {
        AtomicsInfo {
            size: self.words.len(),
            max: T::MAX,
            min: T::MIN,
            memory: size_of_val(&*self.words) + size_of::<Self>(),
        }
    }

    fn word(&self, index: usize) -> Result<&AtomicU64, IndexError> {
        let size = self.words.len();
        self.words.get(index).ok_or(IndexError { index, size })
    }
}

impl<T> Clone for Atomics<T> {
    fn clone(&self) -> Atomics<T> {
        Atomics {
            words: self.words.clone(),
            kind: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Atomics<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Atomics({})", self.words.len())
    }
}
