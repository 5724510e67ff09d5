//! The writing half of a connection: frames go to the kernel at once, from whichever process
//! dispatches; what the kernel does not take waits in a bounded queue.
//!
//! ```text
//! relay ──▶ Outbox ──▶ Transport::dispatch ────────┐                 ┌─▶ one write (no wake-up,
//! connection task ──▶ send (HELLO, op 11, op 9) ───┼▶ SocketWriter ──┤      no queue)
//! pong, close reply of the WebSocket machine ──────┘    (one lock,   └─▶ queue ──▶ flushed by the
//!                                                        one order)               connection task
//! ```
//!
//! Above [`QUEUE_ROOM_BYTES`] the transport says it has no room, and the session's outbox holds
//! events back in its replay ring, where they are anyway; above [`QUEUE_BYTES_MAX`] the connection
//! is cut and the session parked for RESUME. A reader that takes nothing for
//! [`super::WRITE_STALL_MAX`] is cut too.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use chat::session::dispatch::Dispatches;
use chat::session::transport::{Close, RoomCallback, Sent, Transport};
use futures_util::task::AtomicWaker;
use metrics::{Counter, counter};
use parking_lot::Mutex;
use rustix::net::{SendFlags, Shutdown};
use tokio::io::{AsyncRead as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

mod frames;
mod queue;
mod session;

pub use frames::{GATHERED_BYTES_MAX, STRETCHES_KEPT_MAX};
pub use queue::{QUEUE_BYTES_MAX, QUEUE_PIECES_MAX, QUEUE_ROOM_BYTES, QUEUE_ROOM_PIECES};
use session::{FIRST, LaterSession};

use super::compression::{Compressor, Contexts, SharedBodies};
use super::frame::{FrameHead, Kind};

/// Dispatches written at once that are too long to be put side by side.
const BATCH: usize = 32;

thread_local! {
    /// Frames of compressed messages, of one dispatch after the other.
    static FRAMES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// The head of one message, and the message compressed.
    static MESSAGE: RefCell<[Vec<u8>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// What all connections share for writing.
pub(crate) struct Shared {
    bodies: SharedBodies,
    frames: Counter,
    bytes: Counter,
    overruns: Counter,
    compressed_in: Counter,
    compressed_out: Counter,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            bodies: SharedBodies::new(),
            frames: counter!("guildhall_gateway_frames_sent_total"),
            bytes: counter!("guildhall_gateway_bytes_sent_total"),
            overruns: counter!("guildhall_gateway_queue_overruns_total"),
            compressed_in: counter!("guildhall_gateway_compression_bytes_in_total"),
            compressed_out: counter!("guildhall_gateway_compression_bytes_out_total"),
        }
    }
}

/// Where bytes go.
pub(crate) enum Sink {
    /// A socket that any thread may write. It is read through here too: one socket, one lock, one
    /// piece of memory.
    Tcp(TcpStream),
    /// Anything else (TLS, a pipe in tests): written by the connection task alone.
    Any(Box<dyn AsyncWrite + Send + Unpin>),
    /// Given back.
    Gone,
}

/// What the writer has to tell its connection task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The session wants the connection closed.
    Session(Close),
    /// The kernel takes no more bytes, ever.
    Broken,
    /// The queue was over its limit.
    Overrun,
}

/// The writing half of one connection. All that a delivery touches is in its first 128 bytes, which
/// come from memory in one go; see [`chat::session::outbox::Outbox`].
#[repr(C, align(128))]
pub(crate) struct SocketWriter {
    shared: Arc<Shared>,
    /// Set while the queue is above its room mark; read without the lock.
    full: AtomicBool,
    state: Mutex<State>,
    waker: AtomicWaker,
}

#[repr(C)]
struct State {
    /// Which session may dispatch; others are of the past.
    generation: u64,
    ended: Option<Ended>,
    /// A close frame was sent: nothing may follow it.
    closed: bool,
    compressor: Compressor,
    sink: Sink,
    /// Of the queue; what is behind is not touched while it is empty.
    queued_bytes: usize,
    queue: VecDeque<Bytes>,
    /// Since when the reader has taken nothing although something waits.
    stalled_since: Option<Instant>,
    room: Option<Arc<RoomCallback>>,
}

impl SocketWriter {
    pub(crate) fn new(sink: Sink, compressor: Compressor, shared: Arc<Shared>) -> Self {
        Self {
            shared,
            full: AtomicBool::new(false),
            state: Mutex::new(State {
                generation: 0,
                ended: None,
                closed: false,
                compressor,
                sink,
                queued_bytes: 0,
                queue: VecDeque::new(),
                stalled_since: None,
                room: None,
            }),
            waker: AtomicWaker::new(),
        }
    }

    /// Sends one whole payload that is not a dispatch.
    pub(crate) fn send(&self, payload: Bytes) {
        let mut state = self.state.lock();
        if self.refuses(&mut state).is_some() {
            return;
        }
        self.shared.frames.increment(1);
        self.write_made(&mut state, |state, [_, message], frames| {
            self.compress(state, &[], &payload, 1, message, frames);
        });
    }

    /// Sends whole frames made elsewhere: pongs and close replies.
    pub(crate) fn send_frames(&self, frames: &[u8]) {
        let mut state = self.state.lock();
        if state.closed || state.ended.is_some() {
            return;
        }
        let kind = frames.first().map(|first| first & 0x0f);
        state.closed = kind == Some(Kind::Close as u8);
        self.write_bytes(&mut state, frames);
    }

    /// Sends a close frame; nothing follows it.
    pub(crate) fn close(&self, code: u16, reason: &str) {
        let mut state = self.state.lock();
        if state.closed
            || state
                .ended
                .is_some_and(|ended| !matches!(ended, Ended::Session(_)))
        {
            return;
        }
        let length = 2 + reason.len();
        let mut frame = FrameHead::new(Kind::Close, length).as_ref().to_vec();
        frame.extend_from_slice(&code.to_be_bytes());
        frame.extend_from_slice(reason.as_bytes());
        self.write_bytes(&mut state, &frame);
        state.closed = true;
    }

    /// The transport of a session that begins now; those given out before take nothing more.
    pub(crate) fn begin_session(self: &Arc<Self>) -> Arc<dyn Transport> {
        let mut state = self.state.lock();
        state.generation += 1;
        state.room = None;
        match state.generation {
            FIRST => Arc::<Self>::clone(self),
            generation => Arc::new(LaterSession::new(self, generation)),
        }
    }

    /// Takes nothing more from sessions, and forgets what the last one wanted.
    pub(crate) fn end_session(&self) {
        let mut state = self.state.lock();
        state.generation += 1;
        state.room = None;
        if matches!(state.ended, Some(Ended::Session(_))) {
            state.ended = None;
        }
    }

    /// Compresses large payloads from now on, unless the whole stream is compressed.
    pub(crate) fn compress_payloads(&self) {
        let mut state = self.state.lock();
        if !state.compressor.is_transport() {
            state.compressor = Compressor::Payload;
        }
    }

    /// Lets the stream have a compression context, if it is compressed.
    pub(crate) fn allow_context(&self, contexts: &Arc<Contexts>) {
        self.state.lock().compressor.allow_context(contexts);
    }

    /// Why the connection has to end, if so.
    pub(crate) fn ended(&self) -> Option<Ended> {
        self.state.lock().ended
    }

    /// Writes nothing more: the other side sees the end of the stream. What it still sends can be
    /// read.
    pub(crate) fn shut(&self) {
        let mut state = self.state.lock();
        match &state.sink {
            Sink::Tcp(socket) => {
                // One that the other side has closed already cannot be shut again.
                let _ = rustix::net::shutdown(socket, Shutdown::Write);
            }
            Sink::Any(_) | Sink::Gone => state.sink = Sink::Gone,
        }
        self.end(&mut state, Ended::Broken);
    }

    /// Lets go of the socket at once, and of what the kernel still holds for a reader that does not
    /// read: the other side sees a reset.
    pub(crate) fn cut(&self) {
        if let Sink::Tcp(socket) = &self.state.lock().sink
            && let Err(error) = socket.set_zero_linger()
        {
            tracing::debug!(%error, "SO_LINGER not set");
        }
        self.release();
    }

    /// Lets go of the socket, whoever else holds the writer.
    pub(crate) fn release(&self) {
        let mut state = self.state.lock();
        state.sink = Sink::Gone;
        self.end(&mut state, Ended::Broken);
    }

    /// Reads from the socket, for [`Sink::Tcp`]; of others, and of one let go, it reads the end.
    pub(crate) fn poll_read(
        &self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.state.lock().sink {
            Sink::Tcp(socket) => Pin::new(socket).poll_read(context, buffer),
            Sink::Any(_) | Sink::Gone => Poll::Ready(Ok(())),
        }
    }

    /// Makes frames of dispatches and sends them.
    fn write(&self, state: &mut State, dispatches: &Dispatches<'_>) -> Sent {
        if let Some(refused) = self.refuses(state) {
            return refused;
        }
        self.shared.frames.increment(dispatches.each.len() as u64);
        match state.compressor {
            Compressor::None => self.write_plain(state, dispatches),
            _ => self.write_compressed(state, dispatches),
        }
        match state.ended {
            None => Sent::Accepted,
            Some(_) => Sent::Closed,
        }
    }

    /// Text frames.
    fn write_plain(&self, state: &mut State, dispatches: &Dispatches<'_>) {
        if state.waits() {
            return frames::left_over(dispatches, 0, |piece| self.queue(state, piece));
        }
        let gathered = frames::as_one(dispatches, |frames| {
            let written = self.try_write(state, |socket| send_now(socket, frames));
            (written, frames.len())
        });
        match gathered {
            Some((written, length)) => self.wrote(state, dispatches, written, length),
            None if dispatches.each.len() > 1 => {
                let most = dispatches.each.len().div_ceil(2).min(BATCH);
                for part in dispatches.chunks(most) {
                    self.write_plain(state, &part);
                }
            }
            None => self.write_pieces(state, dispatches),
        }
    }

    /// Dispatches too long to be copied first.
    fn write_pieces(&self, state: &mut State, dispatches: &Dispatches<'_>) {
        for (number, dispatch) in dispatches.iter() {
            let mut small = Vec::new();
            frames::append_head(number, dispatch, &mut small);
            let pieces = [&small[..], &dispatch.body()[..]].map(IoSlice::new);
            let length = pieces.iter().map(|piece| piece.len()).sum();
            let written = match state.waits() {
                true => 0,
                false => self.try_write(state, |socket| socket.try_write_vectored(&pieces)),
            };
            let one = Dispatches::own(number, std::slice::from_ref(dispatch));
            self.wrote(state, &one, written, length);
        }
    }

    /// Of `length` bytes of frames the socket took `written`; the others wait.
    fn wrote(&self, state: &mut State, of: &Dispatches<'_>, written: usize, length: usize) {
        self.shared.bytes.increment(written as u64);
        if written < length {
            frames::left_over(of, written, |piece| self.queue(state, piece));
        }
    }

    /// Binary frames of compressed messages, and text frames of those that stay text.
    fn write_compressed(&self, state: &mut State, dispatches: &Dispatches<'_>) {
        self.write_made(state, |state, [head, message], frames| {
            let recipients = dispatches.recipients;
            for (number, dispatch) in dispatches.iter() {
                head.clear();
                dispatch.head(number).append_to(head);
                self.compress(state, head, dispatch.body(), recipients, message, frames);
            }
        });
    }

    /// Writes the frames that `make` appends; it is lent room for a head and a message.
    fn write_made(
        &self,
        state: &mut State,
        make: impl FnOnce(&mut State, &mut [Vec<u8>; 2], &mut Vec<u8>),
    ) {
        FRAMES.with_borrow_mut(|frames| {
            frames.clear();
            MESSAGE.with_borrow_mut(|room| make(state, room, frames));
            self.write_bytes(state, frames);
            // A large replay is rare; it is not kept room for.
            frames.shrink_to(GATHERED_BYTES_MAX);
        });
    }

    /// Appends the frame of one message, if the connection has not ended.
    fn compress(
        &self,
        state: &mut State,
        head: &[u8],
        body: &Bytes,
        recipients: usize,
        message: &mut Vec<u8>,
        frames: &mut Vec<u8>,
    ) {
        if state.ended.is_some() {
            return;
        }
        message.clear();
        let bodies = &self.shared.bodies;
        let compressor = &mut state.compressor;
        match compressor.compress(head, body, recipients, bodies, message) {
            Ok(true) => {
                self.shared
                    .compressed_in
                    .increment((head.len() + body.len()) as u64);
                self.shared.compressed_out.increment(message.len() as u64);
                frames.extend_from_slice(FrameHead::new(Kind::Binary, message.len()).as_ref());
                frames.extend_from_slice(message);
            }
            Ok(false) => {
                let payload = head.len() + body.len();
                frames.extend_from_slice(FrameHead::new(Kind::Text, payload).as_ref());
                frames.extend_from_slice(head);
                frames.extend_from_slice(body);
            }
            Err(error) => {
                // The stream cannot go on: the client resumes with a new one.
                tracing::error!(%error, "compression failed, connection cut");
                self.end(state, Ended::Broken);
                frames.clear();
            }
        }
        message.shrink_to(GATHERED_BYTES_MAX);
    }

    /// Whole frames, as bytes.
    fn write_bytes(&self, state: &mut State, frames: &[u8]) {
        let mut written = 0;
        if !state.waits() && !frames.is_empty() {
            written = self.try_write(state, |socket| send_now(socket, frames));
        }
        self.shared.bytes.increment(written as u64);
        if written < frames.len() {
            self.queue(state, Bytes::copy_from_slice(&frames[written..]));
        }
    }

    /// Has the kernel take bytes, if it takes any now; returns how many.
    fn try_write(
        &self,
        state: &mut State,
        write: impl FnOnce(&TcpStream) -> io::Result<usize>,
    ) -> usize {
        let Sink::Tcp(socket) = &state.sink else {
            return 0;
        };
        match write(socket) {
            Ok(written) => written,
            Err(error) => {
                use io::ErrorKind::{Interrupted, WouldBlock};
                if !matches!(error.kind(), WouldBlock | Interrupted) {
                    self.end(state, Ended::Broken);
                }
                0
            }
        }
    }

    fn end(&self, state: &mut State, ended: Ended) {
        state.ended.get_or_insert(ended);
        if !matches!(ended, Ended::Session(_)) {
            state.queue = VecDeque::new();
            state.queued_bytes = 0;
            state.stalled_since = None;
            state.room = None;
            state.compressor.release();
        }
        self.waker.wake();
    }
}

/// Has the kernel take bytes, without asking the runtime whether the socket is ready: its record of
/// that is memory which nothing else of a delivery touches. What is not taken waits in the queue,
/// and flushing that asks.
fn send_now(socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    Ok(rustix::net::send(socket, bytes, flags)?)
}

#[cfg(test)]
mod tests;
