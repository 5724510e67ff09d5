//! An encoder of one stream, whose blocks refer to earlier ones of the same encoder.
//!
//! ```text
//! begin    [raw block: head] [RESET] [first blocks of a frame: body]
//! go on                              [next blocks of that frame: head ‖ body]
//! ```
//!
//! The frame's header comes off and its end never comes. Its first blocks need what the blocks of a
//! shared body need: repeat offsets 1, 4, 8, and nothing else. Its later ones may refer to bytes,
//! tables and repeat offsets that its earlier ones left in the decoder. That holds as long as
//! nothing else goes into the stream: offsets count back from where the decoder stands, and tables
//! are those of the last block. See the module above for what a frame takes from outside.

use std::io;

use zstd::stream::raw::{self, CParameter, InBuffer, Operation as _, OutBuffer};

use super::{RESET, STREAM_HEAD, blocks_of};
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

/// An encoder with history: for one connection, some 100 KiB.
pub(crate) struct Context(raw::Encoder<'static>);

impl Encoder for Context {
    fn new() -> io::Result<Self> {
        let mut encoder = raw::Encoder::new(LEVEL)?;
        for parameter in [
            CParameter::WindowLog(WINDOW_LOG),
            CParameter::HashLog(HASH_LOG),
            CParameter::MinMatch(MATCH_MIN),
            CParameter::ContentSizeFlag(false),
            CParameter::ChecksumFlag(false),
        ] {
            encoder.set_parameter(parameter)?;
        }
        Ok(Self(encoder))
    }

    fn begin(&mut self, head: &[u8], body: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        super::raw(head, out);
        out.extend_from_slice(&RESET);
        let frame = out.len();
        self.0.reinit()?;
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
            self.0
                .run(&mut input, &mut OutBuffer::around_pos(out, end))?;
        }
        Ok(())
    }

    /// Ends the block, so that the decoder can give out everything it has.
    fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        loop {
            out.reserve(ROOM);
            let end = out.len();
            if self.0.flush(&mut OutBuffer::around_pos(out, end))? == 0 {
                return Ok(());
            }
        }
    }
}
