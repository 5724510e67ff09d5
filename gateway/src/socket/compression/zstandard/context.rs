//! An encoder of one stream, whose blocks refer to earlier ones of the same encoder.
//!
//! ```text
//! begin    [raw block: head] [RESET] [first blocks of a frame: body]
//! go on                              [next blocks of that frame: head ‖ body]
//! ```
//!
//! The frame's header comes off and its end never comes. Its first blocks need what the blocks of a
//! shared body need: repeat offsets 1, 4, 8; and the bytes before them that the encoder was given as
//! a dictionary, which is what the stream ends with: a frame with a dictionary of bare bytes refers
//! to them as if they stood before it (RFC 8878, section 5), and here they do. Its later blocks may
//! refer to bytes, tables and repeat offsets that its earlier ones left in the decoder. That holds
//! as long as nothing else goes into the stream: offsets count back from where the decoder stands,
//! and tables are those of the last block. See the module above for what a frame takes from outside.

use std::io;

use zstd::zstd_safe::{self, CCtx, CParameter, ErrorCode, InBuffer, OutBuffer, ResetDirective};

use super::{RESET, RESET_SPACES, STREAM_HEAD, blocks_of};
use crate::socket::compression::context::Encoder;

/// How far back a message refers, log. One more makes messages 2 % shorter for 32 KiB of memory.
const WINDOW_LOG: u32 = 15;

/// Slots of the encoder's table, log. One more makes messages 1 % shorter for 16 KiB, one less 5 %
/// longer.
const HASH_LOG: u32 = 12;

/// Shortest match looked for, bytes. The level's own makes messages 2 % longer.
const MATCH_MIN: u32 = 5;

/// Compression level. With history the next ones gain less than 1 % and take twice the time.
const LEVEL: i32 = 1;

/// Room made for output at once.
const ROOM: usize = 1_024;

/// How a dictionary begins that is more than bytes (RFC 8878, section 5). No text in UTF-8 has it.
const DICTIONARY_MAGIC: [u8; 4] = [0x37, 0xa4, 0x30, 0xec];

/// An encoder with history: for one connection, some 110 KiB after many small messages, up to 290 KiB
/// after large ones.
pub(crate) struct Context(CCtx<'static>);

impl Encoder for Context {
    const BEGIN_SPACES: usize = RESET_SPACES;

    fn new() -> io::Result<Self> {
        let no_memory = || io::Error::other("no memory for a zstd context");
        let mut encoder = CCtx::try_create().ok_or_else(no_memory)?;
        for parameter in [
            CParameter::CompressionLevel(LEVEL),
            CParameter::WindowLog(WINDOW_LOG),
            CParameter::HashLog(HASH_LOG),
            CParameter::MinMatch(MATCH_MIN),
            CParameter::ContentSizeFlag(false),
            CParameter::ChecksumFlag(false),
        ] {
            encoder.set_parameter(parameter).map_err(failed)?;
        }
        Ok(Self(encoder))
    }

    fn begin(
        &mut self,
        tail: &[u8],
        head: &[u8],
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        self.0.reset(ResetDirective::SessionOnly).map_err(failed)?;
        let before = match tail {
            // With a dictionary the encoder's table is as small as that needs: not for nothing.
            [] => Vec::new(),
            tail => [tail, head, &[b' '; RESET_SPACES]].concat(),
        };
        let before = before.strip_prefix(&DICTIONARY_MAGIC).unwrap_or(&before);
        self.0.load_dictionary(before).map_err(failed)?;
        super::raw(head, out);
        out.extend_from_slice(&RESET);
        let frame = out.len();
        self.run(body, out)?;
        self.flush(out)?;
        if blocks_of(&out[frame..]).is_none() {
            return Err(io::Error::other("not the zstd frame that was asked for"));
        }
        out.drain(frame..frame + STREAM_HEAD.len());
        Ok(())
    }

    fn go_on(&mut self, head: &[u8], body: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        self.run(head, out)?;
        self.run(body, out)?;
        self.flush(out)
    }
}

impl Context {
    fn run(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let mut input = InBuffer::around(bytes);
        while input.pos() < bytes.len() {
            out.reserve(ROOM);
            let end = out.len();
            let mut output = OutBuffer::around_pos(out, end);
            self.0
                .compress_stream(&mut output, &mut input)
                .map_err(failed)?;
        }
        Ok(())
    }

    /// Ends the block, so that the decoder can give out everything it has.
    fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        loop {
            out.reserve(ROOM);
            let end = out.len();
            let mut output = OutBuffer::around_pos(out, end);
            if self.0.flush_stream(&mut output).map_err(failed)? == 0 {
                return Ok(());
            }
        }
    }
}

fn failed(code: ErrorCode) -> io::Error {
    io::Error::other(zstd_safe::get_error_name(code))
}
