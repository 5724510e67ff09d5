//! Text frames of dispatches, side by side.
//!
//! ```text
//! [81 7e len][{"t":…,"s":][ 4711 ][,"op":0,"d":][body] [81 7e len]…     a stretch
//!                            └ all that differs among sessions that are given the same
//! ```
//!
//! One stretch of bytes costs the kernel less than the pieces of each frame (docs/benchmarks.md). A
//! thread that comes from one session of a class to the next writes the numbers over those of the
//! one before and sends the same bytes again.

use std::cell::RefCell;

use bytes::Bytes;
use chat::session::dispatch::{Alike, Dispatch, Dispatches};
use model::event::{digits, write_digits};

use super::super::frame::{FrameHead, Kind};

/// Most bytes of frames put side by side before they are written; more are written in pieces. Each
/// thread keeps room for [`STRETCHES_KEPT_MAX`] times so many.
pub const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// Most stretches a thread keeps, for as many classes of sessions that take turns; a further one
/// takes the place of another.
pub const STRETCHES_KEPT_MAX: usize = 8;

thread_local! {
    static KEPT: RefCell<[Stretch; STRETCHES_KEPT_MAX]> = RefCell::default();
}

/// Frames, and where the numbers are in them.
#[derive(Debug, Default)]
struct Stretch {
    alike: Option<Alike>,
    /// Number of the first.
    first: u64,
    /// Digits each number has; 0 when they have not all as many.
    digits: usize,
    /// Where each number begins.
    numbers: Vec<u32>,
    bytes: Vec<u8>,
}

impl Stretch {
    /// Makes it one of `dispatches`, from what it was if that will do; `false` if that would be too
    /// long for one.
    fn become_of(&mut self, dispatches: &Dispatches<'_>) -> bool {
        let (first, length) = (dispatches.first, digits(dispatches.first));
        let even = length == digits(dispatches.last());
        let known = self.alike.is_some() && self.alike == dispatches.alike;
        if known && even && self.digits == length {
            self.renumber(first);
            return true;
        }
        if bytes_of(dispatches) > GATHERED_BYTES_MAX {
            return false;
        }
        self.alike = dispatches.alike;
        self.first = first;
        self.digits = if even { length } else { 0 };
        self.numbers.clear();
        self.bytes.clear();
        for (number, dispatch) in dispatches.iter() {
            let at = append_head(number, dispatch, &mut self.bytes);
            // It is within GATHERED_BYTES_MAX.
            self.numbers.push(at as u32);
            self.bytes.extend_from_slice(dispatch.body());
        }
        true
    }

    /// Counts from `first` on, with as many digits as before.
    fn renumber(&mut self, first: u64) {
        if self.first == first {
            return;
        }
        self.first = first;
        for (number, at) in (first..).zip(&self.numbers) {
            let at = *at as usize;
            write_digits(number, &mut self.bytes[at..at + self.digits]);
        }
    }
}

/// Hands over the frames of `dispatches` as one stretch; `None` when they are too long for one.
pub(super) fn as_one<T>(dispatches: &Dispatches<'_>, then: impl FnOnce(&[u8]) -> T) -> Option<T> {
    KEPT.with_borrow_mut(|kept| {
        let alike = dispatches.alike.map_or(0, Alike::number);
        let stretch = &mut kept[(alike % STRETCHES_KEPT_MAX as u64) as usize];
        stretch.become_of(dispatches).then(|| then(&stretch.bytes))
    })
}

/// Bytes of the frames of `dispatches`.
pub(super) fn bytes_of(dispatches: &Dispatches<'_>) -> usize {
    let each = dispatches.iter().map(|(number, dispatch)| {
        let payload = dispatch.head(number).len() + dispatch.body().len();
        FrameHead::new(Kind::Text, payload).as_ref().len() + payload
    });
    each.sum()
}

/// Appends what comes before the body in its frame; where the number begins.
pub(super) fn append_head(number: u64, dispatch: &Dispatch, out: &mut Vec<u8>) -> usize {
    let head = dispatch.head(number);
    let payload = head.len() + dispatch.body().len();
    out.extend_from_slice(FrameHead::new(Kind::Text, payload).as_ref());
    head.append_to(out)
}

/// What is left of frames of which `written` bytes were taken: heads are copied, bodies shared.
pub(super) fn left_over(
    dispatches: &Dispatches<'_>,
    mut written: usize,
    mut keep: impl FnMut(Bytes),
) {
    for (number, dispatch) in dispatches.iter() {
        let body = dispatch.body();
        let mut small = Vec::new();
        append_head(number, dispatch, &mut small);
        let length = small.len();
        if written < length {
            keep(Bytes::from(small).slice(written..));
        }
        let of_body = written.saturating_sub(length).min(body.len());
        keep(body.slice(of_body..));
        written = written.saturating_sub(length + body.len());
    }
}

#[cfg(test)]
mod tests;
