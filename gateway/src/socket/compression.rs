//! Compression of what is sent, per connection (Discord docs, Gateway, "Encoding and Compression").
//!
//! ```text
//! zlib-stream   78 9c, then per message:  [stored: head][deflate: body, from the cache][sync]
//! zstd-stream   one frame per connection, one flushed block per message, own small window
//! payload       one zlib stream per large message; small messages stay text
//! ```
//!
//! The deflated body of an event refers to nothing before it, so it is made once and spliced into
//! every stream that gets the event: a compressed connection costs no memory and next to no time.
//! zstd blocks cannot be made so with the stable interface; there each connection has an encoder,
//! with a small window and a low level.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};
use metrics::{Counter, counter};
use parking_lot::Mutex;
use zstd::stream::raw::{CParameter, Encoder, InBuffer, Operation, OutBuffer};

/// Deflated bodies kept for the next connection; the oldest one goes first. Counters
/// `guildhall_gateway_deflate_cache_hits_total` and `…_misses_total`.
pub const DEFLATED_KEPT_MAX: usize = 32;

/// Largest body whose deflated form is kept, bytes; larger ones are for one session (GUILD_CREATE).
pub const DEFLATED_KEPT_BYTES_MAX: usize = 32 * 1_024;

/// Messages below this many bytes stay text under payload compression.
pub const PAYLOAD_COMPRESS_MIN: usize = 4 * 1_024;

/// zstd window: 2^13 bytes, some ten messages; what an encoder keeps in memory grows with it
/// (measured: 133 KiB with 2^14 and the default table, 50 KiB with 2^12 and a small one).
const ZSTD_WINDOW_LOG: u32 = 13;

/// zstd hash table: 2^12 entries.
const ZSTD_HASH_LOG: u32 = 12;

/// zstd level: the cheapest one.
const ZSTD_LEVEL: i32 = 1;

/// Longest stored block of deflate.
const STORED_MAX: usize = u16::MAX as usize;

/// What a sync flush ends with: an empty stored block.
const SYNC: [u8; 5] = [0, 0, 0, 0xff, 0xff];

/// Which compression a connection asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// None: text frames.
    #[default]
    None,
    /// `compress=zlib-stream`.
    ZlibStream,
    /// `compress=zstd-stream`.
    ZstdStream,
    /// `compress: true` in IDENTIFY, and no transport compression.
    Payload,
}

impl Mode {
    /// The mode of the query parameter `compress`.
    ///
    /// # Errors
    /// `None` when it is unknown: refuse the connection, its client could not read what follows.
    pub fn of_query(compress: &str) -> Option<Self> {
        Some(match compress {
            "" | "false" => Self::None,
            "true" => Self::Payload,
            "zlib-stream" => Self::ZlibStream,
            "zstd-stream" => Self::ZstdStream,
            _ => return None,
        })
    }
}

/// The compressor of one connection.
pub(crate) enum Compressor {
    /// Text.
    None,
    /// One deflate stream; whether it has begun.
    ZlibStream { begun: bool },
    /// One zstd frame.
    ZstdStream(Box<Encoder<'static>>),
    /// Large messages one by one.
    Payload,
}

impl Compressor {
    /// For a connection that asked for `mode`.
    ///
    /// # Errors
    /// When the zstd encoder cannot be made (no memory); refuse the connection.
    pub(crate) fn new(mode: Mode) -> io::Result<Self> {
        Ok(match mode {
            Mode::None => Self::None,
            Mode::ZlibStream => Self::ZlibStream { begun: false },
            Mode::Payload => Self::Payload,
            Mode::ZstdStream => {
                let mut encoder = Encoder::new(ZSTD_LEVEL)?;
                encoder.set_parameter(CParameter::WindowLog(ZSTD_WINDOW_LOG))?;
                encoder.set_parameter(CParameter::HashLog(ZSTD_HASH_LOG))?;
                encoder.set_parameter(CParameter::ContentSizeFlag(false))?;
                Self::ZstdStream(Box::new(encoder))
            }
        })
    }

    /// Whether the stream has any compression by itself; payload compression asked for in IDENTIFY
    /// does not count.
    pub(crate) fn is_transport(&self) -> bool {
        matches!(self, Self::ZlibStream { .. } | Self::ZstdStream(_))
    }

    /// Appends the compressed message `head ‖ body` to `out`; `false` when it stays text and
    /// nothing was appended.
    ///
    /// # Errors
    /// When the encoder fails; the stream is then broken, cut the connection.
    pub(crate) fn compress(
        &mut self,
        head: &[u8],
        body: &Bytes,
        cache: &DeflateCache,
        out: &mut Vec<u8>,
    ) -> io::Result<bool> {
        match self {
            Self::None => Ok(false),
            Self::Payload if head.len() + body.len() < PAYLOAD_COMPRESS_MIN => Ok(false),
            Self::Payload => {
                out.extend_from_slice(&zlib_whole(head, body)?);
                Ok(true)
            }
            Self::ZlibStream { begun } => {
                if !std::mem::replace(begun, true) {
                    out.extend_from_slice(&[0x78, 0x9c]);
                }
                if !head.is_empty() {
                    stored(head, out);
                }
                match body.is_empty() {
                    true => out.extend_from_slice(&SYNC),
                    false => out.extend_from_slice(&cache.deflated(body)?),
                }
                Ok(true)
            }
            Self::ZstdStream(encoder) => {
                zstd_run(encoder, head, out)?;
                zstd_run(encoder, body, out)?;
                zstd_flush(encoder, out)?;
                Ok(true)
            }
        }
    }
}

/// Deflated bodies, so that an event for many is deflated once.
pub(crate) struct DeflateCache {
    kept: Mutex<VecDeque<(Bytes, Bytes)>>,
    hits: Counter,
    misses: Counter,
}

impl DeflateCache {
    /// Empty.
    pub(crate) fn new() -> Self {
        Self {
            kept: Mutex::new(VecDeque::with_capacity(DEFLATED_KEPT_MAX)),
            hits: counter!("guildhall_gateway_deflate_cache_hits_total"),
            misses: counter!("guildhall_gateway_deflate_cache_misses_total"),
        }
    }

    /// `body` as deflate blocks that refer to nothing before them and end in a sync flush.
    fn deflated(&self, body: &Bytes) -> io::Result<Bytes> {
        if body.len() > DEFLATED_KEPT_BYTES_MAX {
            return deflate(body).map(Bytes::from);
        }
        // The same memory is the same body: what is kept here cannot be freed and used again.
        let same =
            |kept: &Bytes| std::ptr::eq(kept.as_ptr(), body.as_ptr()) && kept.len() == body.len();
        let found = {
            let kept = self.kept.lock();
            kept.iter()
                .rev()
                .find(|(whole, _)| same(whole))
                .map(|(_, deflated)| deflated.clone())
        };
        if let Some(deflated) = found {
            self.hits.increment(1);
            return Ok(deflated);
        }
        self.misses.increment(1);
        let deflated = Bytes::from(deflate(body)?);
        let mut kept = self.kept.lock();
        if kept.len() >= DEFLATED_KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back((body.clone(), deflated.clone()));
        Ok(deflated)
    }
}

/// Appends `bytes` as stored deflate blocks; the stream must be at a byte boundary.
fn stored(bytes: &[u8], out: &mut Vec<u8>) {
    for block in bytes.chunks(STORED_MAX) {
        let length = block.len() as u16;
        out.push(0);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
}

thread_local! {
    /// A raw deflate compressor per thread: making one allocates a few hundred kilobytes.
    static DEFLATE: RefCell<Compress> = RefCell::new(Compress::new(Compression::new(6), false));
}

/// Raw deflate of `bytes` alone, ending in a sync flush.
fn deflate(bytes: &[u8]) -> io::Result<Vec<u8>> {
    DEFLATE.with_borrow_mut(|compress| {
        compress.reset();
        let mut out = Vec::with_capacity(bytes.len() / 2 + 64);
        run(compress, bytes, FlushCompress::Sync, &mut out)?;
        Ok(out)
    })
}

/// A whole zlib stream of `head ‖ body`.
fn zlib_whole(head: &[u8], body: &[u8]) -> io::Result<Vec<u8>> {
    let mut compress = Compress::new(Compression::new(6), true);
    let mut out = Vec::with_capacity((head.len() + body.len()) / 2 + 64);
    run(&mut compress, head, FlushCompress::None, &mut out)?;
    run(&mut compress, body, FlushCompress::Finish, &mut out)?;
    Ok(out)
}

/// Compresses all of `input` with `flush` at its end.
fn run(
    compress: &mut Compress,
    mut input: &[u8],
    flush: FlushCompress,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    loop {
        if out.capacity() - out.len() < 64 {
            out.reserve(out.len().max(256));
        }
        let before = compress.total_in();
        let status = compress
            .compress_vec(input, out, flush)
            .map_err(io::Error::other)?;
        let taken = usize::try_from(compress.total_in() - before).unwrap_or(input.len());
        input = &input[taken..];
        // A flush is complete when room is left over (zlib.h, deflate).
        let room = out.capacity() > out.len();
        match (flush, status) {
            (_, Status::StreamEnd) => return Ok(()),
            (FlushCompress::Finish, _) => {}
            _ if input.is_empty() && room => return Ok(()),
            _ => {}
        }
    }
}

/// Free room given to the zstd encoder at a time, bytes.
const ZSTD_STEP: usize = 512;

fn zstd_run(encoder: &mut Encoder<'static>, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mut input = InBuffer::around(bytes);
    while input.pos() < bytes.len() {
        zstd_step(out, |space| encoder.run(&mut input, space))?;
    }
    Ok(())
}

fn zstd_flush(encoder: &mut Encoder<'static>, out: &mut Vec<u8>) -> io::Result<()> {
    while zstd_step(out, |space| encoder.flush(space))? > 0 {}
    Ok(())
}

/// Gives `work` room behind what `out` holds.
fn zstd_step(
    out: &mut Vec<u8>,
    work: impl FnOnce(&mut OutBuffer<'_, Vec<u8>>) -> io::Result<usize>,
) -> io::Result<usize> {
    out.reserve(ZSTD_STEP);
    let position = out.len();
    let mut space = OutBuffer::around_pos(out, position);
    work(&mut space)
}

#[cfg(test)]
mod tests;
