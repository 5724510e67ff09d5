//! Zstandard (RFC 8878): blocks that can be spliced into any stream. For those that refer to earlier
//! messages of one stream: [`Context`].
//!
//! ```text
//! stream   [frame header] then per message  [raw block: head] [RESET] [blocks of the body's frame]
//! ```
//!
//! A frame is complete by itself: its blocks refer to no bytes, no Huffman tree and no FSE table
//! from before its first block. One thing only comes from outside: the three repeat offsets, which
//! are 1, 4 and 8 where a frame begins (section 3.1.1.5), and in the middle of a stream whatever the
//! last message left. So the body is compressed as a frame of its own by the ordinary encoder, with
//! all it can do, and before its blocks goes one constant block, [`RESET`], that brings the
//! decoder's repeat offsets back to 1, 4 and 8. It writes 33 spaces, which mean nothing between the
//! tokens of JSON.

use std::cell::RefCell;
use std::io;

use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

mod context;

pub(crate) use context::Context;

/// Log of the window a stream declares. Everything a body's blocks refer to is within the body's own
/// frame, and its encoder is held to the same window. A block is not longer than the window.
const WINDOW_LOG: u8 = 17;

/// Window_Descriptor: exponent above 10, no mantissa (section 3.1.1.1.2).
const WINDOW_DESCRIPTOR: u8 = (WINDOW_LOG - 10) << 3;

/// How a stream begins: magic number; no checksum, content size or dictionary; the window.
pub(super) const STREAM_HEAD: [u8; 6] = [0x28, 0xb5, 0x2f, 0xfd, 0, WINDOW_DESCRIPTOR];

/// Longest block (Block_Maximum_Size).
const BLOCK_MAX: usize = 1 << WINDOW_LOG;

/// Bodies below this many bytes are sent as they are: nothing could be gained.
pub(super) const COMPRESS_MIN: usize = 64;

/// Compression level. Higher ones gain 1–3 % and cost twice the time and more; lower ones save
/// a few microseconds and lose as much.
const LEVEL: i32 = 3;

/// Length of a block's header.
const BLOCK_HEAD: usize = 3;

/// A block that leaves the repeat offsets 1, 4, 8 and writes 33 spaces.
///
/// Its three sequences each write eight literals and copy three bytes from 8, from 4 and from 1
/// bytes back; each such offset becomes the first of the three repeat offsets.
const RESET: [u8; 12] = [
    0x4c, 0, 0, // compressed block of 9 bytes, not the last
    0xc1, b' ', // 24 literals, all the same byte
    3,    // three sequences
    0x44, // literal lengths: one code; offsets: predefined table; match lengths: one code
    8,    // all literal lengths are 8
    0,    // all match lengths are 3
    // Backwards: end mark 1; state 00101 (code 3), 011 → 11 − 3 = 8; next state 01110 (code 2),
    // 11 → 7 − 3 = 4; next state 01110, 00 → 4 − 3 = 1.
    0xb8, 0xdd, 0x4a,
];

/// What [`RESET`] writes.
pub(super) const RESET_SPACES: usize = 33;

thread_local! {
    /// An encoder per thread, up to 1.3 MiB each; none if there was no memory for it.
    static ENCODER: RefCell<Option<Compressor<'static>>> = RefCell::new(encoder());
}

fn encoder() -> Option<Compressor<'static>> {
    let make = || -> io::Result<_> {
        let mut encoder = Compressor::new(LEVEL)?;
        encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG.into()))?;
        encoder.set_parameter(CParameter::ContentSizeFlag(false))?;
        encoder.set_parameter(CParameter::ChecksumFlag(false))?;
        Ok(encoder)
    };
    make()
        .inspect_err(
            |error| tracing::error!(%error, "no zstd encoder, messages are sent as they are"),
        )
        .ok()
}

/// Appends `bytes` as raw blocks.
pub(super) fn raw(bytes: &[u8], out: &mut Vec<u8>) {
    for block in bytes.chunks(BLOCK_MAX) {
        out.extend_from_slice(&((block.len() as u32) << 3).to_le_bytes()[..BLOCK_HEAD]);
        out.extend_from_slice(block);
    }
}

/// `bytes` as blocks that refer to nothing before them: compressed, or raw if that is shorter.
pub(super) fn body(bytes: &[u8]) -> Vec<u8> {
    compressed(bytes)
        .filter(|blocks| blocks.len() < bytes.len())
        .unwrap_or_else(|| {
            let mut out =
                Vec::with_capacity(bytes.len() + bytes.len() / BLOCK_MAX + 2 * BLOCK_HEAD);
            raw(bytes, &mut out);
            out
        })
}

/// Spaces that the blocks of a [`body`] write before it.
pub(super) fn spaces_of(blocks: &[u8]) -> usize {
    match blocks.starts_with(&RESET) {
        true => RESET_SPACES,
        false => 0,
    }
}

/// [`RESET`] and the blocks of a frame of `bytes`.
fn compressed(bytes: &[u8]) -> Option<Vec<u8>> {
    let frame = ENCODER.with_borrow_mut(|encoder| encoder.as_mut()?.compress(bytes).ok())?;
    let blocks = blocks_of(&frame);
    if blocks.is_none() {
        tracing::error!("not the zstd frame that was asked for, the message is sent as it is");
    }
    let mut out = [&RESET[..], blocks?].concat();
    clear_last(&mut out[RESET.len()..])?;
    Some(out)
}

/// What follows the header of a frame that fits into a stream with [`STREAM_HEAD`].
fn blocks_of(frame: &[u8]) -> Option<&[u8]> {
    let (head, blocks) = frame.split_at_checked(STREAM_HEAD.len())?;
    let (same, window) = (STREAM_HEAD.len() - 1, head.last()?);
    (head[..same] == STREAM_HEAD[..same] && *window <= WINDOW_DESCRIPTOR).then_some(blocks)
}

/// Takes the mark off the last block of a frame; `None` when these are not the blocks of one.
fn clear_last(mut blocks: &mut [u8]) -> Option<()> {
    loop {
        let (head, rest) = blocks.split_first_chunk_mut::<BLOCK_HEAD>()?;
        let word = u32::from_le_bytes([head[0], head[1], head[2], 0]);
        let length = match (word >> 1) & 3 {
            // A byte that is repeated so many times.
            1 => 1,
            _ => (word >> 3) as usize,
        };
        if word & 1 == 1 {
            head[0] &= !1;
            return (rest.len() == length).then_some(());
        }
        blocks = rest.split_at_mut_checked(length)?.1;
    }
}
