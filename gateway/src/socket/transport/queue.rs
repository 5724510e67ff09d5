//! What the kernel has not taken yet: the queue of a connection, its bounds, and its flushing.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Buf, Bytes};
use chat::session::transport::Sent;
use parking_lot::MutexGuard;
use tokio::io::AsyncWrite as _;

use super::{Ended, Sink, SocketWriter, State};

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

/// Pieces handed to the kernel at once when the queue is flushed.
const FLUSH_PIECES: usize = 64;

impl SocketWriter {
    /// Since when the reader has taken nothing although something waits.
    pub(crate) fn stalled_since(&self) -> Option<Instant> {
        self.state.lock().stalled_since
    }

    /// Whether nothing waits to be written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.state.lock().queue.is_empty()
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

    /// Why nothing may be written now, if so; cuts the connection when too much waits.
    pub(super) fn refuses(&self, state: &mut State) -> Option<Sent> {
        if state.closed || state.ended.is_some() {
            return Some(Sent::Closed);
        }
        let full =
            || state.queued_bytes >= QUEUE_BYTES_MAX || state.queue.len() >= QUEUE_PIECES_MAX;
        if state.waits() && full() {
            self.shared.overruns.increment(1);
            self.end(state, Ended::Overrun);
            return Some(Sent::Overrun);
        }
        None
    }

    /// Has a piece wait, behind those that do.
    pub(super) fn queue(&self, state: &mut State, piece: Bytes) {
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
}

impl State {
    /// Whether something waits.
    pub(super) fn waits(&self) -> bool {
        self.queued_bytes > 0
    }

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
