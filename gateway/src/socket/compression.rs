//! Compression of what is sent, per connection (Discord docs, Gateway, "Encoding and Compression").
//!
//! ```text
//! zlib-stream   78 9c, then per message:     [stored: head][deflate: body, shared][sync]
//! zstd-stream   frame header, then per message: [raw block: head][blocks: body, shared]
//! payload       one zlib stream per large message; small messages stay text
//! ```
//!
//! The compressed body of an event refers to nothing before it, so it is made once and spliced into
//! every stream that gets the event: a compressed connection costs no memory and next to no time.
//! What it costs is bytes, as no message can refer to the one before it. Both ways measured:
//! `docs/adr/0006-shared-compression.md`.
//!
//! * An event for many is compressed once and kept for a while, see [`SHARED_KEPT_MAX`].
//! * GUILD_CREATE has its own fields behind the head, as they are, and shares the rest: that is kept
//!   up to [`SHARED_CREATE_BYTES_MAX`].
//! * READY, a GUILD_CREATE made for one and whatever is larger than [`SHARED_BYTES_MAX`] is for one
//!   session: it is compressed in the same way and not kept.
//! * What is not a dispatch (HELLO, op 11) is a few bytes and sent as it is.
//!
//! By a policy a connection has an encoder of its own for events with few recipients, whose messages
//! do refer to those before them: `compression/context.rs`.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

mod cache;
mod context;
mod deflate;
mod zstandard;

pub(crate) use cache::SharedBodies;
pub use cache::{SHARED_BYTES_MAX, SHARED_CREATE_BYTES_MAX, SHARED_KEPT_MAX};
pub(crate) use context::Contexts;
use context::Slot;
pub use context::{
    CONTEXT_RECIPIENTS_MAX, CONTEXT_UNUSED_MAX, CONTEXTS_MAX, ContextFor, ContextPolicy,
};

/// Messages below this many bytes stay text under payload compression.
pub const PAYLOAD_COMPRESS_MIN: usize = 4 * 1_024;

/// How the head of READY begins, which goes to one session.
const READY: &[u8] = br#"{"t":"READY","#;

/// How the head of GUILD_CREATE begins.
const GUILD_CREATE: &[u8] = br#"{"t":"GUILD_CREATE","#;

/// How a head ends that has no fields of its own behind it.
const BARE: &[u8] = br#","d":"#;

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

/// How a body is compressed, alone, so that it can be spliced into any stream of that kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Deflate blocks that end in a sync flush.
    Deflate,
    /// zstd blocks, none of them the last of its frame.
    Zstd,
}

impl Form {
    fn make(self, body: &[u8]) -> Vec<u8> {
        match self {
            Self::Deflate => deflate::body(body),
            Self::Zstd => zstandard::body(body),
        }
    }
}

/// The compressor of one connection: where its stream stands, and its context if it may have one.
#[derive(Debug)]
pub(crate) enum Compressor {
    /// Text.
    None,
    /// One deflate stream; whether it has begun.
    ZlibStream {
        begun: bool,
        context: Slot<deflate::Context>,
    },
    /// One zstd frame; whether it has begun.
    ZstdStream {
        begun: bool,
        context: Slot<zstandard::Context>,
    },
    /// Large messages one by one.
    Payload,
}

impl Compressor {
    /// For a connection that asked for `mode`.
    pub(crate) fn new(mode: Mode) -> Self {
        match mode {
            Mode::None => Self::None,
            Mode::ZlibStream => Self::ZlibStream {
                begun: false,
                context: Slot::default(),
            },
            Mode::ZstdStream => Self::ZstdStream {
                begun: false,
                context: Slot::default(),
            },
            Mode::Payload => Self::Payload,
        }
    }

    /// Whether the stream has any compression by itself; payload compression asked for in IDENTIFY
    /// does not count.
    pub(crate) fn is_transport(&self) -> bool {
        matches!(self, Self::ZlibStream { .. } | Self::ZstdStream { .. })
    }

    /// Lets a stream have a context from now on, one of `contexts`; nothing happens to what is no
    /// stream.
    pub(crate) fn allow_context(&mut self, contexts: &Arc<Contexts>) {
        match self {
            Self::ZlibStream { context, .. } => context.allow(contexts),
            Self::ZstdStream { context, .. } => context.allow(contexts),
            Self::None | Self::Payload => {}
        }
    }

    /// Gives the context back, and takes no other: nothing more will be sent.
    pub(crate) fn release(&mut self) {
        match self {
            Self::ZlibStream { context, .. } => *context = Slot::default(),
            Self::ZstdStream { context, .. } => *context = Slot::default(),
            Self::None | Self::Payload => {}
        }
    }

    /// Appends the compressed message `head ‖ body` to `out`; `false` when it stays text and
    /// nothing was appended. In a zstd stream, spaces may come between the two. `recipients` is how
    /// many sessions are given the event, 1 for what is no event: few may go through the context.
    ///
    /// # Errors
    /// When the encoder fails; cut the connection.
    pub(crate) fn compress(
        &mut self,
        head: &[u8],
        body: &Bytes,
        recipients: usize,
        shared: &SharedBodies,
        out: &mut Vec<u8>,
    ) -> io::Result<bool> {
        match self {
            Self::None => Ok(false),
            Self::Payload if head.len() + body.len() < PAYLOAD_COMPRESS_MIN => Ok(false),
            Self::Payload => {
                out.extend_from_slice(&deflate::zlib_whole(head, body)?);
                Ok(true)
            }
            Self::ZlibStream { begun, context } => {
                if !std::mem::replace(begun, true) {
                    out.extend_from_slice(&deflate::STREAM_HEAD);
                }
                if context.append(head, body, recipients, out)? {
                    return Ok(true);
                }
                deflate::stored(head, out);
                append_body(Form::Deflate, head, body, shared, out);
                context.passed_over(head, 0, body);
                Ok(true)
            }
            Self::ZstdStream { begun, context } => {
                if !std::mem::replace(begun, true) {
                    out.extend_from_slice(&zstandard::STREAM_HEAD);
                }
                if context.append(head, body, recipients, out)? {
                    return Ok(true);
                }
                if body.len() < zstandard::COMPRESS_MIN {
                    zstandard::raw(&[head, body].concat(), out);
                    context.passed_over(head, 0, body);
                } else {
                    zstandard::raw(head, out);
                    let blocks = out.len();
                    append_body(Form::Zstd, head, body, shared, out);
                    context.passed_over(head, zstandard::spaces_of(&out[blocks..]), body);
                }
                Ok(true)
            }
        }
    }
}

/// Appends the compressed body: from what is shared, or made for this one session.
fn append_body(form: Form, head: &[u8], body: &Bytes, shared: &SharedBodies, out: &mut Vec<u8>) {
    match body.len() > shared_max(head) {
        true => out.extend_from_slice(&form.make(body)),
        false => shared.append(form, body, out),
    }
}

/// Whether a message may go through a context: not what is made once for a login, nor what is
/// larger than a context remembers.
fn suits_a_context(head: &[u8], body: &[u8]) -> bool {
    !head.starts_with(READY)
        && !head.starts_with(GUILD_CREATE)
        && (1..=SHARED_BYTES_MAX).contains(&body.len())
}

/// Largest body that is kept of a message with this head; 0 when it is for one session.
fn shared_max(head: &[u8]) -> usize {
    match head {
        [] => 0,
        head if head.starts_with(READY) => 0,
        head if !head.starts_with(GUILD_CREATE) => SHARED_BYTES_MAX,
        head if head.ends_with(BARE) => 0,
        _ => SHARED_CREATE_BYTES_MAX,
    }
}

#[cfg(test)]
mod tests;
