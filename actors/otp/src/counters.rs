//! Arrays of counters (Erlang: `counters`).
//!
//! | Erlang's manual | here |
//! |---|---|
//! | `new(Size, [atomics])` | [`Counters::new`] |
//! | `new(Size, [write_concurrency])`: "very efficient concurrent write operations at the expense of potential read inconsistency and memory consumption" | [`Counters::with_write_concurrency`] |
//! | "Counters are 64 bit signed integers", which "wrap around at overflow and underflow". | The same. |
//! | "Indexes into counter arrays are one-based." | Zero-based, as everywhere in Rust. |
//! | "`get` … may read an inconsistent state" with write concurrency. | The same: exact as soon as nobody writes. |
//! | Arguments out of range: `badarg`. | [`IndexError`], [`SizeError`]. |

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::atomics::check_size;
pub use crate::atomics::{IndexError, SIZE_MAX, SizeError};

#[cfg(test)]
mod tests;

/// Most copies of the counters that writers are spread over.
const STRIPES_MAX: usize = 64;

/// Counters of one cache line.
const LINE: usize = 8;

/// What writers of one stripe touch, and nobody else.
#[derive(Default)]
#[repr(align(64))]
struct Line([AtomicI64; LINE]);

/// What [`Counters::info`] tells (`counters:info/1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountersInfo {
    /// How many counters.
    pub size: usize,
    /// Bytes used by them.
    pub memory: usize,
}

/// An array of signed 64-bit counters. Cloning is cheap and names the same array.
#[derive(Clone)]
pub struct Counters {
    size: usize,
    words: Words,
}

#[derive(Clone)]
enum Words {
    Plain(Arc<[AtomicI64]>),
    /// One copy of all counters after the other; a counter is the sum of its copies.
    Striped {
        lines: Arc<[Line]>,
        stripes: usize,
    },
}

thread_local! {
    /// Its address tells one thread from another.
    static HERE: u8 = const { 0 };
}

impl Counters {
    /// Counters at zero, whose reads and writes are exact (`counters:new(Size, [atomics])`).
    ///
    /// # Errors
    /// [`SizeError`]: there can be no array of that size.
    pub fn new(size: usize) -> Result<Counters, SizeError> {
        let words = std::iter::repeat_with(AtomicI64::default).take(check_size(size)?);
        Ok(Counters {
            size,
            words: Words::Plain(words.collect()),
        })
    }

    /// Counters at zero for many writers at once: each core writes to a copy of its own, and a
    /// read adds all copies up. It is exact when nobody writes meanwhile
    /// (`counters:new(Size, [write_concurrency])`).
    ///
    /// # Errors
    /// [`SizeError`]: there can be no array of that size.
    pub fn with_write_concurrency(size: usize) -> Result<Counters, SizeError> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let stripes = cores.next_power_of_two().min(STRIPES_MAX);
        let count = check_size(size)?.div_ceil(LINE) * stripes;
        let lines = std::iter::repeat_with(Line::default).take(count);
        Ok(Counters {
            size,
            words: Words::Striped {
                lines: lines.collect(),
                stripes,
            },
        })
    }

    /// Adds to a counter, wrapping around (`counters:add/3`).
    ///
    /// # Errors
    /// [`IndexError`]: there is no such counter. So for all that follow.
    pub fn add(&self, index: usize, increment: i64) -> Result<(), IndexError> {
        self.check(index)?;
        let word = match &self.words {
            Words::Plain(words) => &words[index],
            Words::Striped { lines, stripes } => {
                &lines[self.line(stripe(*stripes), index)].0[index % LINE]
            }
        };
        word.fetch_add(increment, Ordering::Relaxed);
        Ok(())
    }

    /// Subtracts from a counter, wrapping around (`counters:sub/3`).
    pub fn sub(&self, index: usize, decrement: i64) -> Result<(), IndexError> {
        self.add(index, decrement.wrapping_neg())
    }

    /// Reads a counter (`counters:get/2`).
    pub fn get(&self, index: usize) -> Result<i64, IndexError> {
        self.check(index)?;
        Ok(match &self.words {
            Words::Plain(words) => words[index].load(Ordering::Relaxed),
            Words::Striped { lines, stripes } => (0..*stripes)
                .map(|stripe| &lines[self.line(stripe, index)].0[index % LINE])
                .fold(0, |sum, word| {
                    sum.wrapping_add(word.load(Ordering::Relaxed))
                }),
        })
    }

    /// Sets a counter (`counters:put/3`). With write concurrency, what others add meanwhile is
    /// lost or not.
    pub fn put(&self, index: usize, value: i64) -> Result<(), IndexError> {
        self.check(index)?;
        match &self.words {
            Words::Plain(words) => words[index].store(value, Ordering::Relaxed),
            Words::Striped { lines, stripes } => {
                for stripe in 0..*stripes {
                    let value = if stripe == 0 { value } else { 0 };
                    lines[self.line(stripe, index)].0[index % LINE].store(value, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }

    /// What the array is (`counters:info/1`).
    pub fn info(&self) -> CountersInfo {
        let array = match &self.words {
            Words::Plain(words) => size_of_val(&**words),
            Words::Striped { lines, .. } => size_of_val(&**lines),
        };
        CountersInfo {
            size: self.size,
            memory: array + size_of::<Counters>(),
        }
    }

    fn check(&self, index: usize) -> Result<(), IndexError> {
        let size = self.size;
        if index < size {
            Ok(())
        } else {
            Err(IndexError { index, size })
        }
    }

    fn line(&self, stripe: usize, index: usize) -> usize {
        stripe * self.size.div_ceil(LINE) + index / LINE
    }
}

/// The stripe of this thread, of a power of two.
fn stripe(stripes: usize) -> usize {
    let address = HERE.with(|here| std::ptr::from_ref(here).addr()) as u64;
    // Fibonacci hashing; the high bits are the good ones.
    let mixed = address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    mixed as usize & (stripes - 1)
}

impl fmt::Debug for Counters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Counters({})", self.size)
    }
}
