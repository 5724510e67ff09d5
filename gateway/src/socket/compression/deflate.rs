//! Deflate and zlib (RFC 1951, RFC 1950): blocks that can be spliced, and whole streams.

use std::cell::RefCell;
use std::io;

use flate2::{Compress, Compression, FlushCompress, Status};

use super::context::Encoder;

/// How a zlib stream begins: deflate, a window of 32 KiB, default level.
pub(super) const STREAM_HEAD: [u8; 2] = [0x78, 0x9c];

/// What a sync flush ends with: an empty stored block.
const SYNC: [u8; 5] = [0, 0, 0, 0xff, 0xff];

/// Longest stored block.
const STORED_MAX: usize = u16::MAX as usize;

/// Compression level, zlib's default.
const LEVEL: u32 = 6;

thread_local! {
    /// A compressor per thread: making one allocates a few hundred kilobytes.
    static DEFLATE: RefCell<Compress> = RefCell::new(Compress::new(Compression::new(LEVEL), false));
}

/// Appends `bytes` as stored blocks; the stream must be at a byte boundary.
pub(super) fn stored(bytes: &[u8], out: &mut Vec<u8>) {
    for block in bytes.chunks(STORED_MAX) {
        let length = block.len() as u16;
        out.push(0);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
}

/// `bytes` as deflate blocks that refer to nothing before them and end in a sync flush.
pub(super) fn body(bytes: &[u8]) -> Vec<u8> {
    let deflated = DEFLATE.with_borrow_mut(|compress| {
        compress.reset();
        let mut out = Vec::with_capacity(bytes.len() / 2 + 64);
        run(compress, bytes, FlushCompress::Sync, &mut out).map(|()| out)
    });
    match deflated {
        Ok(out) if !bytes.is_empty() => out,
        empty_or_failed => {
            if let Err(error) = empty_or_failed {
                tracing::error!(%error, "deflate failed, the message is sent as it is");
            }
            let mut out = Vec::with_capacity(bytes.len() + 64);
            stored(bytes, &mut out);
            out.extend_from_slice(&SYNC);
            out
        }
    }
}

/// An encoder whose messages refer to those before them: for one connection, some 300 KiB.
#[derive(Debug)]
pub(crate) struct Context(Compress);

impl Encoder for Context {
    fn new() -> io::Result<Self> {
        Ok(Self(Compress::new(Compression::new(LEVEL), false)))
    }

    const BEGIN_SPACES: usize = 0;

    /// The encoder compresses the tail as well, for nothing but its history: `miniz_oxide` takes no
    /// dictionary. Blocks refer to no tables of those before, so these need not be sent.
    fn begin(
        &mut self,
        tail: &[u8],
        head: &[u8],
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        self.0.reset();
        if !tail.is_empty() {
            let end = out.len();
            run(&mut self.0, tail, FlushCompress::Sync, out)?;
            out.truncate(end);
        }
        self.go_on(head, body, out)
    }

    fn go_on(&mut self, head: &[u8], body: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        run(&mut self.0, head, FlushCompress::None, out)?;
        run(&mut self.0, body, FlushCompress::Sync, out)
    }
}

/// A whole zlib stream of `head ‖ body`.
///
/// # Errors
/// When the encoder fails; nothing is sent.
pub(super) fn zlib_whole(head: &[u8], body: &[u8]) -> io::Result<Vec<u8>> {
    let mut compress = Compress::new(Compression::new(LEVEL), true);
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
