//! The reading half of a connection: the WebSocket machine of `tungstenite` over our own bytes.
//!
//! It checks frames, masks, fragments, control frames and UTF-8; what it answers by itself (pong,
//! close) goes through the `SocketWriter`, so that everything sent has one order.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::transport::SocketWriter;
use crate::protocol::CloseCode;

/// Largest frame and largest message that is read, bytes; close 1009.
pub const FRAME_BYTES_MAX: usize = 16 * 1024;

/// Most bytes on the wire for one message, with all the heads of its fragments and what was read
/// ahead; close 1009. A message in one-byte fragments of 7 bytes each is cut at the 6,000th.
pub const MESSAGE_WIRE_BYTES_MAX: usize = 2 * FRAME_BYTES_MAX + 8 * 1024;

/// What a connection has ready for reading, bytes; it grows with the frames that come.
const READ_BUFFER_BYTES: usize = 512;

/// Most bytes thrown away after the close frame, so that the client reads it before the end.
const DISCARD_BYTES_MAX: usize = 1024 * 1024;

/// Where bytes come from.
pub(crate) enum Source {
    /// The socket the writer has.
    Writer,
    /// Anything else (TLS, a pipe in tests).
    Any(Box<dyn AsyncRead + Send + Unpin>),
}

impl Source {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        writer: &SocketWriter,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut space = ReadBuf::new(buffer);
        let polled = match self {
            Self::Writer => writer.poll_read(context, &mut space),
            Self::Any(stream) => Pin::new(stream).poll_read(context, &mut space),
        };
        polled.map_ok(|()| space.filled().len())
    }
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// A text or binary message.
    Message(Bytes),
    /// A ping or pong; the answer is on its way.
    Control,
    /// The client closed, with this code if any; the answer is on its way.
    Closed(Option<u16>),
    /// The connection is gone.
    Lost,
    /// The client broke the rules: close with this code.
    Refused(CloseCode),
}

/// The reading half of one connection.
pub(crate) struct Reader {
    machine: WebSocketContext,
    source: Source,
    /// Wire bytes since the last whole message.
    unfinished: usize,
}

impl Reader {
    /// Reads from `source`, after `ahead`, what was read with the handshake.
    pub(crate) fn new(source: Source, ahead: Vec<u8>) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(FRAME_BYTES_MAX)
            .max_message_size(Some(FRAME_BYTES_MAX))
            .max_frame_size(Some(FRAME_BYTES_MAX));
        let unfinished = ahead.len();
        let machine = WebSocketContext::from_partially_read(ahead, Role::Server, Some(config));
        Self {
            machine,
            source,
            unfinished,
        }
    }

    /// The next thing that comes.
    pub(crate) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        writer: &SocketWriter,
    ) -> Poll<Received> {
        let mut wire = Wire {
            context,
            source: &mut self.source,
            writer,
            unfinished: &mut self.unfinished,
        };
        let received = match self.machine.read(&mut wire) {
            Ok(Message::Text(text)) => Received::Message(text.into()),
            Ok(Message::Binary(bytes)) => Received::Message(bytes),
            Ok(Message::Ping(bytes) | Message::Pong(bytes)) => {
                self.unfinished = self.unfinished.saturating_sub(bytes.len() + 6);
                return Poll::Ready(Received::Control);
            }
            Ok(Message::Close(frame)) => {
                // Sends the answer; that the connection is then closed is no news.
                let _ = self.machine.flush(&mut wire);
                Received::Closed(frame.map(|frame| frame.code.into()))
            }
            Ok(Message::Frame(_)) => Received::Refused(CloseCode::Protocol),
            Err(error) => return failed(error),
        };
        self.unfinished = 0;
        Poll::Ready(received)
    }

    /// Throws away what comes until the end of the stream, or until it is too much.
    pub(crate) async fn discard(&mut self, writer: &SocketWriter) {
        let mut left = DISCARD_BYTES_MAX;
        while left > 0 {
            let read = std::future::poll_fn(|context| {
                let mut buffer = [0; 1024];
                self.source.poll_read(context, writer, &mut buffer)
            });
            match read.await {
                Ok(0) | Err(_) => return,
                Ok(read) => left = left.saturating_sub(read),
            }
        }
    }
}

fn failed(error: Error) -> Poll<Received> {
    Poll::Ready(match error {
        Error::Io(error) => match error.kind() {
            io::ErrorKind::WouldBlock => return Poll::Pending,
            io::ErrorKind::FileTooLarge => Received::Refused(CloseCode::TooBig),
            _ => Received::Lost,
        },
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Received::Lost,
        Error::Protocol(_) => Received::Refused(CloseCode::Protocol),
        Error::Utf8(_) => Received::Refused(CloseCode::InvalidText),
        Error::Capacity(_) => Received::Refused(CloseCode::TooBig),
        _ => Received::Lost,
    })
}

/// The stream the WebSocket machine sees, for one poll.
struct Wire<'a, 'b> {
    context: &'a mut Context<'b>,
    source: &'a mut Source,
    writer: &'a SocketWriter,
    unfinished: &'a mut usize,
}

impl Read for Wire<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if *self.unfinished > MESSAGE_WIRE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        match self.source.poll_read(self.context, self.writer, buffer) {
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            Poll::Ready(read) => {
                *self.unfinished += *read.as_ref().unwrap_or(&0);
                read
            }
        }
    }
}

impl Write for Wire<'_, '_> {
    fn write(&mut self, frames: &[u8]) -> io::Result<usize> {
        self.writer.send_frames(frames);
        Ok(frames.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
