//! The writing half of a connection: frames go to the kernel at once, from whichever process
//! dispatches; what the kernel does not take waits in a bounded queue.
//!
//! ```text
//! relay ──▶ Outbox ──▶ SessionTransport::dispatch ─┐                 ┌─▶ one write (no wake-up,
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
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Buf, Bytes};
use chat::session::transport::{Close, Head, RoomCallback, Sent};
use futures_util::task::AtomicWaker;
use metrics::{Counter, counter};
use parking_lot::{Mutex, MutexGuard};
use tokio::io::AsyncWrite;
use tokio::net::tcp::OwnedWriteHalf;

mod session;

pub(crate) use session::SessionTransport;

use super::compression::{Compressor, Contexts, SharedBodies};
use super::frame::{FrameHead, Kind};

/// Most bytes that wait for a slow reader. A dispatch that finds so many waiting is refused with
/// [`Sent::Overrun`] and the connection cut; one that finds fewer is taken whole, however large
/// (a GUILD_CREATE may be above the limit by itself). Counter
/// `guildhall_gateway_queue_overruns_total`.
pub const QUEUE_BYTES_MAX: usize = 1024 * 1024;

/// Most pieces that wait: two per frame, so 2,048 frames. Policy as for [`QUEUE_BYTES_MAX`].
pub const QUEUE_PIECES_MAX: usize = 4_096;

/// Bytes waiting from which on the outbox is asked to hold back.
pub const QUEUE_ROOM_BYTES: usize = 64 * 1024;

/// Pieces waiting from which on the outbox is asked to hold back.
pub const QUEUE_ROOM_PIECES: usize = 512;

/// Payloads handed to the kernel at once.
const BATCH: usize = 32;

/// Most bytes of frames put side by side before they are written; more are written in pieces. Each
/// thread keeps room for so many.
pub const GATHERED_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    static GATHERED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// One compressed message.
    static MESSAGE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Pieces handed to the kernel at once when the queue is flushed.
const FLUSH_PIECES: usize = 64;

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
    /// A socket that any thread may write.
    Tcp(OwnedWriteHalf),
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

/// The writing half of one connection.
pub(crate) struct SocketWriter {
    state: Mutex<State>,
    /// Set while the queue is above its room mark; read without the lock.
    full: AtomicBool,
    waker: AtomicWaker,
    shared: Arc<Shared>,
}

struct State {
    sink: Sink,
    compressor: Compressor,
    queue: VecDeque<Bytes>,
    queued_bytes: usize,
    /// Since when the reader has taken nothing although something waits.
    stalled_since: Option<Instant>,
    /// Which session may dispatch; others are of the past.
    generation: u64,
    room: Option<Arc<RoomCallback>>,
    ended: Option<Ended>,
    /// A close frame was sent: nothing may follow it.
    closed: bool,
}

impl SocketWriter {
    pub(crate) fn new(sink: Sink, compressor: Compressor, shared: Arc<Shared>) -> Self {
        Self {
            state: Mutex::new(State {
                sink,
                compressor,
                queue: VecDeque::new(),
                queued_bytes: 0,
                stalled_since: None,
                generation: 0,
                room: None,
                ended: None,
                closed: false,
            }),
            full: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            shared,
        }
    }

    /// Sends one whole payload that is not a dispatch.
    pub(crate) fn send(&self, payload: Bytes) {
        let mut state = self.state.lock();
        self.write(&mut state, &[(Head::new(), &payload)], 1);
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
    pub(crate) fn begin_session(self: &Arc<Self>) -> Arc<SessionTransport> {
        let mut state = self.state.lock();
        state.generation += 1;
        state.room = None;
        Arc::new(SessionTransport {
            writer: Arc::clone(self),
            generation: state.generation,
        })
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

    /// Since when the reader has taken nothing although something waits.
    pub(crate) fn stalled_since(&self) -> Option<Instant> {
        self.state.lock().stalled_since
    }

    /// Whether nothing waits to be written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.state.lock().queue.is_empty()
    }

    /// Lets go of the socket: the other side sees the end of the stream.
    pub(crate) fn shut(&self) {
        let mut state = self.state.lock();
        state.sink = Sink::Gone;
        self.end(&mut state, Ended::Broken);
    }

    /// Lets go of the socket at once, and of what the kernel still holds for a reader that does not
    /// read: the other side sees a reset.
    pub(crate) fn cut(&self) {
        if let Sink::Tcp(socket) = &self.state.lock().sink
            && let Err(error) = socket.as_ref().set_zero_linger()
        {
            tracing::debug!(%error, "SO_LINGER not set");
        }
        self.shut();
    }

    /// Writes what waits, as far as the socket takes it; `context` is woken when it takes more,
    /// when something new waits, and when the connection has to end. Called by the connection task
    /// only.
    pub(crate) fn flush(&self, context: &mut Context<'_>) {
        self.waker.register(context.waker());
        let mut state = self.state.lock();
        loop {
            // What ended with [`Ended::Broken`] or [`Ended::Overrun`] has no queue any more.
            if state.queue.is_empty() {
                break;
            }
            match state.poll_write(context) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => {
                    self.end(&mut state, Ended::Broken);
                    break;
                }
            }
            if self.full.load(Ordering::Relaxed) && state.queued_bytes <= QUEUE_ROOM_BYTES / 4 {
                state = self.make_room(state);
            }
        }
    }

    /// Says that there is room again, outside the lock.
    fn make_room<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.full.store(false, Ordering::Release);
        let Some(callback) = state.room.clone() else {
            return state;
        };
        drop(state);
        callback();
        self.state.lock()
    }

    /// Makes frames of payloads, each given to so many sessions, and sends them.
    fn write(&self, state: &mut State, payloads: &[(Head, &Bytes)], recipients: usize) -> Sent {
        if state.closed || state.ended.is_some() {
            return Sent::Closed;
        }
        if state.queued_bytes >= QUEUE_BYTES_MAX || state.queue.len() >= QUEUE_PIECES_MAX {
            self.shared.overruns.increment(1);
            self.end(state, Ended::Overrun);
            return Sent::Overrun;
        }
        self.shared.frames.increment(payloads.len() as u64);
        match state.compressor {
            Compressor::None => {
                for batch in payloads.chunks(BATCH) {
                    self.write_plain(state, batch);
                }
            }
            _ => self.write_compressed(state, payloads, recipients),
        }
        match state.ended {
            None => Sent::Accepted,
            Some(_) => Sent::Closed,
        }
    }

    /// Text frames, at most [`BATCH`]. One stretch of bytes costs the kernel less than the three
    /// pieces of each frame (docs/benchmarks.md), so small frames are put side by side first.
    fn write_plain(&self, state: &mut State, batch: &[(Head, &Bytes)]) {
        let bytes = batch.iter().map(frame_bytes).sum::<usize>();
        let written = if !state.queue.is_empty() {
            0
        } else if bytes <= GATHERED_BYTES_MAX {
            self.write_gathered(state, batch)
        } else {
            self.write_pieces(state, batch)
        };
        self.shared.bytes.increment(written as u64);
        if written < bytes {
            left_over(batch, written, |piece| self.queue(state, piece));
        }
    }

    fn write_gathered(&self, state: &mut State, batch: &[(Head, &Bytes)]) -> usize {
        GATHERED.with_borrow_mut(|gathered| {
            gathered.clear();
            for (json, body) in batch {
                gathered.extend_from_slice(frame_head(json, body).as_ref());
                gathered.extend_from_slice(json);
                gathered.extend_from_slice(body);
            }
            self.try_write(state, |socket| socket.try_write(gathered))
        })
    }

    fn write_pieces(&self, state: &mut State, batch: &[(Head, &Bytes)]) -> usize {
        let mut heads = [FrameHead::EMPTY; BATCH];
        for (head, (json, body)) in heads.iter_mut().zip(batch) {
            *head = frame_head(json, body);
        }
        let mut pieces = [[IoSlice::new(&[]); 3]; BATCH];
        for (pieces, (head, (json, body))) in pieces.iter_mut().zip(heads.iter().zip(batch)) {
            *pieces = [head.as_ref(), json, &body[..]].map(IoSlice::new);
        }
        let pieces = pieces[..batch.len()].as_flattened();
        self.try_write(state, |socket| socket.try_write_vectored(pieces))
    }

    /// Binary frames of compressed messages, and text frames of those that stay text.
    fn write_compressed(&self, state: &mut State, payloads: &[(Head, &Bytes)], recipients: usize) {
        GATHERED.with_borrow_mut(|frames| {
            frames.clear();
            MESSAGE.with_borrow_mut(|message| {
                self.compress(state, payloads, recipients, frames, message);
            });
            self.write_bytes(state, frames);
            // A large replay is rare; it is not kept room for.
            frames.shrink_to(GATHERED_BYTES_MAX);
        });
    }

    fn compress(
        &self,
        state: &mut State,
        payloads: &[(Head, &Bytes)],
        recipients: usize,
        frames: &mut Vec<u8>,
        message: &mut Vec<u8>,
    ) {
        for (head, body) in payloads {
            message.clear();
            let bodies = &self.shared.bodies;
            match state
                .compressor
                .compress(head, body, recipients, bodies, message)
            {
                Ok(true) => {
                    self.shared
                        .compressed_in
                        .increment((head.len() + body.len()) as u64);
                    self.shared.compressed_out.increment(message.len() as u64);
                    frames.extend_from_slice(FrameHead::new(Kind::Binary, message.len()).as_ref());
                    frames.extend_from_slice(message);
                }
                Ok(false) => {
                    frames.extend_from_slice(
                        FrameHead::new(Kind::Text, head.len() + body.len()).as_ref(),
                    );
                    frames.extend_from_slice(head);
                    frames.extend_from_slice(body);
                }
                Err(error) => {
                    // The stream cannot go on: the client resumes with a new one.
                    tracing::error!(%error, "compression failed, connection cut");
                    self.end(state, Ended::Broken);
                    frames.clear();
                    return;
                }
            }
        }
        message.shrink_to(GATHERED_BYTES_MAX);
    }

    /// Whole frames, as bytes.
    fn write_bytes(&self, state: &mut State, frames: &[u8]) {
        let mut written = 0;
        if state.queue.is_empty() {
            written = self.try_write(state, |socket| socket.try_write(frames));
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
        write: impl FnOnce(&OwnedWriteHalf) -> io::Result<usize>,
    ) -> usize {
        let Sink::Tcp(socket) = &state.sink else {
            return 0;
        };
        match write(socket) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => {
                self.end(state, Ended::Broken);
                0
            }
        }
    }

    fn queue(&self, state: &mut State, piece: Bytes) {
        if piece.is_empty() || state.ended.is_some() {
            return;
        }
        if state.queue.is_empty() {
            state.stalled_since = Some(Instant::now());
            self.waker.wake();
        }
        state.queued_bytes += piece.len();
        state.queue.push_back(piece);
        if state.queued_bytes > QUEUE_ROOM_BYTES || state.queue.len() > QUEUE_ROOM_PIECES {
            self.full.store(true, Ordering::Release);
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

fn frame_head(json: &Head, body: &Bytes) -> FrameHead {
    FrameHead::new(Kind::Text, json.len() + body.len())
}

fn frame_bytes((json, body): &(Head, &Bytes)) -> usize {
    frame_head(json, body).as_ref().len() + json.len() + body.len()
}

/// What is left of a batch of which `written` bytes were taken: heads are copied, bodies shared.
fn left_over(batch: &[(Head, &Bytes)], mut written: usize, mut keep: impl FnMut(Bytes)) {
    for (json, body) in batch {
        let head = frame_head(json, body);
        let small = head.as_ref().len() + json.len();
        if written < small {
            let mut rest = Vec::with_capacity(small);
            rest.extend_from_slice(head.as_ref());
            rest.extend_from_slice(json);
            keep(Bytes::from(rest).slice(written..));
        }
        let of_body = written.saturating_sub(small).min(body.len());
        keep(body.slice(of_body..));
        written = written.saturating_sub(small + body.len());
    }
}

impl State {
    /// Writes from the front of the queue once.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut slices = [IoSlice::new(&[]); FLUSH_PIECES];
        let count = self.queue.len().min(FLUSH_PIECES);
        for (slice, piece) in slices.iter_mut().zip(&self.queue) {
            *slice = IoSlice::new(piece);
        }
        let slices = &slices[..count];
        let polled = match &mut self.sink {
            Sink::Tcp(socket) => Pin::new(socket).poll_write_vectored(context, slices),
            Sink::Any(stream) if stream.is_write_vectored() => {
                Pin::new(stream).poll_write_vectored(context, slices)
            }
            Sink::Any(stream) => Pin::new(stream).poll_write(context, &slices[0]),
            Sink::Gone => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        };
        let mut written = std::task::ready!(polled)?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.queued_bytes -= written;
        while let Some(piece) = self.queue.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                break;
            }
            written -= piece.len();
            self.queue.pop_front();
        }
        self.stalled_since = (!self.queue.is_empty()).then(Instant::now);
        if self.queue.is_empty() {
            // An idle connection keeps no memory for a queue.
            self.queue = VecDeque::new();
            if let Sink::Any(stream) = &mut self.sink {
                // Whatever it still buffers, the next write or the close flushes.
                let _ = Pin::new(stream).poll_flush(context)?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
