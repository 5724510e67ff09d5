//! Encoders of single connections, where bytes matter more than processor time: who has one, and
//! which messages go through it.
//!
//! ```text
//!   many   │ few                                │ few   │ few   │ many   │ few
//! … shared │ begin: refers to the last TAIL_MAX │ go on │ go on │ shared │ begin …
//!          │ bytes before it, its tail          │ ╰───────┴─ refer back as far as that tail
//! ```
//!
//! A context is an encoder with history: a message costs a third to a half of what a shared one
//! costs, but has to be compressed for this connection alone, and the encoder takes memory
//! (both measured: docs/adr/0006-shared-compression.md). So the operator says which connections
//! may have one ([`ContextFor`]), for events with how many recipients, and how many there may be.
//!
//! * An encoder counts its references back from the end of what *it* was given. Whatever else goes
//!   into the stream (a shared body, a raw block) makes its history void; the next message begins
//!   anew, and the encoder is told the last bytes of the stream, so that the message has something to
//!   refer to. Once there is a history, small messages like op 11 go through the context too.
//! * It is made by the first message that begins, unless that is smaller than [`BEGIN_MIN`]; and
//!   given back when the connection ends, or after [`CONTEXT_UNUSED_MAX`] others in a row.
//! * READY, GUILD_CREATE and bodies above [`super::SHARED_BYTES_MAX`] never go through it.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::{Counter, Gauge, counter, gauge};
use serde::{Deserialize, Serialize};

use super::{suits_a_context, zstandard};

/// Most recipients of an event that goes through contexts, unless set otherwise: a hundred times
/// the processor time of compressing it once.
pub const CONTEXT_RECIPIENTS_MAX: usize = 100;

/// Most contexts of a node at once, unless set otherwise: 300 MiB if all are zlib's. At the limit
/// a connection goes on with shared blocks. Gauge `guildhall_gateway_compression_contexts`, counter
/// `guildhall_gateway_compression_contexts_refused_total`.
pub const CONTEXTS_MAX: usize = 1_000;

/// Messages in a row that do not go through a context, after which it is given back; the next that
/// may go through one makes another.
pub const CONTEXT_UNUSED_MAX: u32 = 64;

/// Bytes of a stream's end that are kept for the next beginning: one or two messages. Twice as many
/// make it 1 % shorter, and take zlib's encoder 30 µs more.
const TAIL_MAX: usize = 2 * 1_024;

/// Bodies below this many bytes do not begin: they would gain nothing.
const BEGIN_MIN: usize = zstandard::COMPRESS_MIN;

/// Which connections may have a context.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContextFor {
    /// None.
    #[default]
    Off,
    /// Those of clients that say they run on a phone.
    Mobile,
    /// All that asked for `zlib-stream` or `zstd-stream`.
    All,
}

/// When a connection has a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContextPolicy {
    /// Which connections.
    pub connections: ContextFor,
    /// Most sessions an event that goes through contexts is given to; 0 = none does.
    pub recipients_max: usize,
    /// Most contexts at once, see [`CONTEXTS_MAX`].
    pub contexts_max: usize,
}

impl Default for ContextPolicy {
    fn default() -> Self {
        Self {
            connections: ContextFor::Off,
            recipients_max: CONTEXT_RECIPIENTS_MAX,
            contexts_max: CONTEXTS_MAX,
        }
    }
}

/// The contexts of a node, counted.
pub(crate) struct Contexts {
    policy: ContextPolicy,
    taken: AtomicUsize,
    gauge: Gauge,
    refused: Counter,
}

impl Contexts {
    /// None yet.
    pub(crate) fn new(policy: ContextPolicy) -> Self {
        Self {
            policy,
            taken: AtomicUsize::new(0),
            gauge: gauge!("guildhall_gateway_compression_contexts"),
            refused: counter!("guildhall_gateway_compression_contexts_refused_total"),
        }
    }

    /// Whether a connection may have one, if its client runs on a phone or not.
    pub(crate) fn are_for(&self, mobile: bool) -> bool {
        match self.policy.connections {
            ContextFor::Off => false,
            ContextFor::Mobile => mobile,
            ContextFor::All => true,
        }
    }

    /// A place for one more, unless all are taken.
    fn take(self: &Arc<Self>) -> Option<Place> {
        let more = |taken| (taken < self.policy.contexts_max).then_some(taken + 1);
        match self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
        {
            Ok(_) => {
                self.gauge.increment(1.0);
                Some(Place(Arc::clone(self)))
            }
            Err(_) => {
                self.refused.increment(1);
                None
            }
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// One context's place, given back when it is dropped.
struct Place(Arc<Contexts>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
        self.0.gauge.decrement(1.0);
    }
}

/// An encoder of one stream, whose messages refer to those before them.
pub(crate) trait Encoder: Sized {
    /// Without history.
    ///
    /// # Errors
    /// When there is no memory for it.
    fn new() -> io::Result<Self>;

    /// Spaces that [`Encoder::begin`] writes between head and body.
    const BEGIN_SPACES: usize;

    /// Appends `head ‖ body`, which refers to nothing before it but `tail`: what the stream, read,
    /// ends with.
    ///
    /// # Errors
    /// When the encoder fails; the stream cannot go on.
    fn begin(&mut self, tail: &[u8], head: &[u8], body: &[u8], out: &mut Vec<u8>)
    -> io::Result<()>;

    /// Appends `head ‖ body`; nothing may have gone into the stream since the last message that was
    /// given to this encoder.
    ///
    /// # Errors
    /// As [`Encoder::begin`].
    fn go_on(&mut self, head: &[u8], body: &[u8], out: &mut Vec<u8>) -> io::Result<()>;
}

/// Where the context of a connection is, if it may have one.
pub(crate) struct Slot<E>(Option<Box<Allowed<E>>>);

/// A connection that may have a context.
struct Allowed<E> {
    contexts: Arc<Contexts>,
    context: Option<Context<E>>,
}

struct Context<E> {
    encoder: E,
    /// Whether everything in the stream since the last begin went through the encoder.
    current: bool,
    /// Messages since the last that went through it.
    unused: u32,
    tail: Tail,
    _place: Place,
}

/// What a stream, read, ends with: at most [`TAIL_MAX`] bytes, those before are forgotten.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    /// A message of the stream; between head and body so many spaces.
    fn push(&mut self, head: &[u8], spaces: usize, body: &[u8]) {
        self.push_bytes(head);
        self.push_bytes(&[b' '; zstandard::RESET_SPACES][..spaces]);
        self.push_bytes(body);
    }

    fn push_bytes(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(TAIL_MAX)..];
        let forget = (self.0.len() + bytes.len()).saturating_sub(TAIL_MAX);
        self.0.drain(..forget);
        self.0.extend_from_slice(bytes);
    }
}

impl<E> Default for Slot<E> {
    fn default() -> Self {
        Self(None)
    }
}

impl<E> fmt::Debug for Slot<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.0 {
            None => "not allowed",
            Some(allowed) if allowed.context.is_none() => "none",
            Some(_) => "one",
        };
        f.write_str(state)
    }
}

impl<E: Encoder> Slot<E> {
    /// The stream may have one of `contexts` from now on; one it has it keeps.
    pub(super) fn allow(&mut self, contexts: &Arc<Contexts>) {
        self.0.get_or_insert_with(|| {
            Box::new(Allowed {
                contexts: Arc::clone(contexts),
                context: None,
            })
        });
    }

    /// Appends `head ‖ body` if it is to go through a context and there is one; `false` when
    /// nothing was appended, and the message has to go into the stream otherwise: then
    /// [`Slot::passed_over`] has to be told.
    ///
    /// # Errors
    /// When the encoder fails; the stream cannot go on.
    pub(super) fn append(
        &mut self,
        head: &[u8],
        body: &[u8],
        recipients: usize,
        out: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let Some(allowed) = &mut self.0 else {
            return Ok(false);
        };
        let few = recipients <= allowed.contexts.policy.recipients_max;
        let worth_it = body.len() >= BEGIN_MIN || allowed.is_current();
        if !few || !worth_it || !suits_a_context(head, body) {
            return Ok(false);
        }
        let Some(context) = allowed.context()? else {
            return Ok(false);
        };
        context.append(head, body, out)?;
        Ok(true)
    }

    /// A message went into the stream that the encoder does not know; between its head and its body
    /// so many spaces.
    pub(super) fn passed_over(&mut self, head: &[u8], spaces: usize, body: &[u8]) {
        let Some(allowed) = &mut self.0 else {
            return;
        };
        let Some(context) = &mut allowed.context else {
            return;
        };
        context.current = false;
        context.tail.push(head, spaces, body);
        context.unused += 1;
        if context.unused >= CONTEXT_UNUSED_MAX {
            allowed.context = None;
        }
    }

    /// Whether it has a context.
    #[cfg(test)]
    pub(super) fn has_context(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|allowed| allowed.context.is_some())
    }
}

impl<E: Encoder> Allowed<E> {
    fn is_current(&self) -> bool {
        self.context.as_ref().is_some_and(|context| context.current)
    }

    /// The context, made if there is room for it.
    fn context(&mut self) -> io::Result<Option<&mut Context<E>>> {
        if self.context.is_none()
            && let Some(place) = self.contexts.take()
        {
            self.context = Some(Context {
                encoder: E::new()?,
                current: false,
                unused: 0,
                tail: Tail::default(),
                _place: place,
            });
        }
        Ok(self.context.as_mut())
    }
}

impl<E: Encoder> Context<E> {
    fn append(&mut self, head: &[u8], body: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        self.unused = 0;
        let mut spaces = 0;
        if std::mem::replace(&mut self.current, true) {
            self.encoder.go_on(head, body, out)?;
        } else {
            self.encoder.begin(&self.tail.0, head, body, out)?;
            spaces = E::BEGIN_SPACES;
        }
        self.tail.push(head, spaces, body);
        Ok(())
    }
}
