//! One session: signs in, then reads as cheaply as it can and enters what arrived.
//!
//! One task per connection with an unfinished frame at most; what is read goes through a buffer
//! shared by all tasks of a thread, so that thousands of receivers leave the processor to the node.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use flate2::{Decompress, FlushDecompress};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use zstd::stream::raw::{InBuffer, Operation as _, OutBuffer};

use super::Compression;
use super::frames::{BINARY, FrameBuffer, TEXT, text_frame};
use super::tally::{Ledger, Tally, WARM_UP};

/// GUILD_MESSAGES and MESSAGE_CONTENT.
const INTENTS: u64 = 1 << 9 | 1 << 15;
/// Time to sign in.
const SIGN_IN_MAX: Duration = Duration::from_secs(60);
/// Bytes read at a time.
const READ_MAX: usize = 64 * 1024;
/// Room for what a payload unpacks to; more is made as it is needed.
const INFLATE_STEP: usize = 8 * 1024;
/// Begins and ends number and time in the content of a message.
pub(crate) const MARK: u8 = b'~';

thread_local! {
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_MAX]);
    static INFLATED: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(INFLATE_STEP));
}

/// What others may do with a connection while its task reads.
pub(crate) struct Connection {
    stream: TcpStream,
    sequence: AtomicU64,
}

impl Connection {
    /// Sends a heartbeat. One the socket does not take at once is left out; the next one counts.
    pub(crate) fn heartbeat(&self) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        let _ = self
            .stream
            .try_write(&text_frame(&format!("{{\"op\":1,\"d\":{sequence}}}")));
    }
}

enum Decoder {
    Plain,
    Zlib(Box<Decompress>),
    Zstd(Box<zstd::stream::raw::Decoder<'static>>),
}

/// One session that is signed in.
pub(crate) struct Receiver {
    connection: Arc<Connection>,
    buffer: FrameBuffer,
    decoder: Decoder,
    ledger: Ledger,
    tally: Arc<Tally>,
    warm: bool,
    /// Whether it subscribed, so that messages are counted.
    active: bool,
}

impl Receiver {
    /// Connects, identifies, reads READY, and subscribes to the guild it shows, if any.
    ///
    /// # Errors
    /// When the node refuses or does not answer in time.
    pub(crate) async fn connect(
        addr: SocketAddr,
        token: &str,
        compress: Compression,
        shown: Option<&str>,
        tally: Arc<Tally>,
    ) -> anyhow::Result<Self> {
        let signing_in = async {
            let mut stream = TcpStream::connect(addr).await?;
            stream.set_nodelay(true)?;
            let (query, decoder) = match compress {
                Compression::None => ("", Decoder::Plain),
                Compression::Zlib => (
                    "&compress=zlib-stream",
                    Decoder::Zlib(Box::new(Decompress::new(true))),
                ),
                Compression::Zstd => (
                    "&compress=zstd-stream",
                    Decoder::Zstd(Box::new(zstd::stream::raw::Decoder::new()?)),
                ),
            };
            let request = format!(
                "GET /?v=10&encoding=json{query} HTTP/1.1\r\nHost: {addr}\r\nConnection: Upgrade\r\n\
                 Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: Z3VpbGRoYWxsIGJlbmNoIQ==\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).await?;
            let rest = read_head(&stream).await?;
            let identify = json!({"op": 2, "d": {
                "token": token,
                "intents": INTENTS,
                "properties": {"os": "linux", "browser": "guildhall-bench", "device": "guildhall-bench"},
            }});
            stream.write_all(&text_frame(&identify.to_string())).await?;
            let connection = Arc::new(Connection {
                stream,
                sequence: AtomicU64::new(0),
            });
            let (buffer, ledger) = (FrameBuffer::default(), Ledger::default());
            let mut receiver = Self {
                connection,
                buffer,
                decoder,
                ledger,
                tally,
                warm: false,
                active: shown.is_some(),
            };
            receiver.read_ready(rest).await?;
            if let Some(guild) = shown {
                let wants = json!({"typing": true, "activities": true, "threads": true});
                let subscribe = json!({"op": 37, "d": {"subscriptions": {guild: wants}}});
                let frame = text_frame(&subscribe.to_string());
                let written = receiver.connection.stream.try_write(&frame);
                ensure!(
                    written.is_ok_and(|written| written == frame.len()),
                    "no room to subscribe"
                );
            }
            anyhow::Ok(receiver)
        };
        tokio::time::timeout(SIGN_IN_MAX, signing_in)
            .await
            .context("the node did not answer in time")?
    }

    /// What others may use while [`Receiver::run`] reads.
    pub(crate) fn connection(&self) -> Arc<Connection> {
        Arc::clone(&self.connection)
    }

    async fn read_ready(&mut self, mut rest: Vec<u8>) -> anyhow::Result<()> {
        let mut ready = false;
        loop {
            let mut refused = None;
            let Self {
                buffer,
                decoder,
                ledger,
                ..
            } = self;
            buffer.feed(&rest, |opcode, payload| {
                let payload: Value = match opcode {
                    TEXT | BINARY => decoder.decode(payload, |text| {
                        serde_json::from_slice(text).unwrap_or_default()
                    }),
                    _ => json!({"op": "the connection was closed"}),
                };
                match payload["op"].as_u64() {
                    Some(0) => {
                        ledger.number(payload["s"].as_u64().unwrap_or(0));
                        ready |= payload["t"] == "READY";
                    }
                    Some(10 | 11) => {}
                    _ => refused = Some(payload),
                }
            });
            if let Some(payload) = refused {
                bail!("instead of READY: {payload}");
            }
            if ready {
                return Ok(());
            }
            rest = read_some(&self.connection.stream).await?;
        }
    }

    /// Reads until the connection ends; answers the account.
    pub(crate) async fn run(mut self) -> Ledger {
        let connection = Arc::clone(&self.connection);
        while connection.stream.readable().await.is_ok() {
            let going_on = READ.with_borrow_mut(|read| match connection.stream.try_read(read) {
                Ok(0) => false,
                Ok(count) => {
                    self.take(&read[..count]);
                    true
                }
                Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
            });
            if !going_on {
                break;
            }
        }
        if !self.tally.stopping.load(Ordering::Acquire) {
            self.ledger.disconnects = 1;
        }
        self.ledger
    }

    fn take(&mut self, bytes: &[u8]) {
        let Self {
            connection,
            buffer,
            decoder,
            ledger,
            tally,
            warm,
            active,
        } = self;
        buffer.feed(bytes, |opcode, payload| {
            if opcode != TEXT && opcode != BINARY {
                return;
            }
            let length = payload.len();
            decoder.decode(payload, |text| {
                let Some(sequence) = number_after(text, b"\"s\":") else {
                    return;
                };
                ledger.number(sequence);
                let Some((number, sent)) = measured(text).filter(|_| *active) else {
                    return;
                };
                if number == WARM_UP {
                    if !*warm {
                        *warm = true;
                        tally.warm.fetch_add(1, Ordering::AcqRel);
                    }
                    return;
                }
                let id = number_after(text, b"\"d\":{\"id\":\"").unwrap_or(0);
                if ledger.enter(number, id, length) {
                    tally.delivered(number, tally.now().saturating_sub(sent));
                }
            });
            connection
                .sequence
                .store(ledger.sequence, Ordering::Relaxed);
        });
    }
}

impl Decoder {
    /// Calls `on` with the text of a payload.
    fn decode<T>(&mut self, payload: &[u8], on: impl FnOnce(&[u8]) -> T) -> T {
        if matches!(self, Self::Plain) {
            return on(payload);
        }
        INFLATED.with_borrow_mut(|text| {
            text.clear();
            match self {
                Self::Plain => {}
                Self::Zlib(context) => {
                    let mut rest = payload;
                    loop {
                        make_room(text);
                        let before = context.total_in();
                        let done = context.decompress_vec(rest, text, FlushDecompress::Sync);
                        rest = &rest[usize::try_from(context.total_in() - before).unwrap_or(0)..];
                        // Room left over means that all is out. A broken stream shows as a text
                        // cut short, and that as lost messages.
                        if done.is_err() || text.len() < text.capacity() {
                            break;
                        }
                    }
                }
                Self::Zstd(context) => {
                    let mut input = InBuffer::around(payload);
                    loop {
                        make_room(text);
                        let length = text.len();
                        let mut output = OutBuffer::around_pos(&mut *text, length);
                        let done = context.run(&mut input, &mut output);
                        if done.is_err() || text.len() < text.capacity() {
                            break;
                        }
                    }
                }
            }
            on(text)
        })
    }
}

/// A little room at a time: zlib zeroes all there is at every call.
fn make_room(text: &mut Vec<u8>) {
    if text.capacity() - text.len() < INFLATE_STEP / 2 {
        text.reserve_exact(INFLATE_STEP);
    } else if text.is_empty() {
        text.shrink_to(INFLATE_STEP);
    }
}

/// Number and time of a measured message, from between two marks of its content.
pub(crate) fn measured(text: &[u8]) -> Option<(u64, u64)> {
    let begin = text.iter().position(|byte| *byte == MARK)? + 1;
    let end = begin + text[begin..].iter().position(|byte| *byte == MARK)?;
    let (number, sent) = std::str::from_utf8(&text[begin..end])
        .ok()?
        .split_once(':')?;
    Some((number.parse().ok()?, sent.parse().ok()?))
}

/// The number that follows the first `key`. The head of a payload comes before all user content,
/// so the first one is the right one.
pub(crate) fn number_after(text: &[u8], key: &[u8]) -> Option<u64> {
    let begin = text.windows(key.len()).position(|window| window == key)? + key.len();
    let digits = text[begin..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    let mut number = None;
    for digit in digits {
        number = Some(
            number
                .unwrap_or(0_u64)
                .checked_mul(10)?
                .checked_add(u64::from(digit - b'0'))?,
        );
    }
    number
}

/// Reads the answer to the upgrade; answers what came after it.
pub(crate) async fn read_head(stream: &TcpStream) -> anyhow::Result<Vec<u8>> {
    let mut head = Vec::new();
    loop {
        head.extend(read_some(stream).await?);
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            ensure!(
                head.starts_with(b"HTTP/1.1 101"),
                "the upgrade was refused: {}",
                String::from_utf8_lossy(&head[..end])
            );
            return Ok(head.split_off(end + 4));
        }
        ensure!(
            head.len() < READ_MAX,
            "the answer to the upgrade has no end"
        );
    }
}

pub(crate) async fn read_some(stream: &TcpStream) -> anyhow::Result<Vec<u8>> {
    loop {
        stream.readable().await?;
        let mut part = vec![0; 4_096];
        match stream.try_read(&mut part) {
            Ok(0) => bail!("the node closed the connection"),
            Ok(count) => {
                part.truncate(count);
                return Ok(part);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_gives_its_numbers() {
        let text = br#"{"t":"MESSAGE_CREATE","s":42,"op":0,"d":{"id":"77","content":"~3:1234~xxx \"s\":9"}}"#;
        assert_eq!(number_after(text, b"\"s\":"), Some(42));
        assert_eq!(number_after(text, b"\"d\":{\"id\":\""), Some(77));
        assert_eq!(measured(text), Some((3, 1_234)));
        assert_eq!(measured(br#"{"t":null,"s":null,"op":11}"#), None);
        assert_eq!(
            number_after(br#"{"t":null,"s":null,"op":11}"#, b"\"s\":"),
            None
        );
    }

    #[test]
    fn compressed_streams_are_read() {
        let long = "long ".repeat(20_000);
        let texts = [
            "{\"op\":10}",
            "{\"op\":0,\"s\":1}",
            &long,
            "{\"op\":0,\"s\":2}",
        ];
        let mut zlib = flate2::Compress::new(flate2::Compression::fast(), true);
        let mut decoder = Decoder::Zlib(Box::new(Decompress::new(true)));
        for text in texts {
            let mut frame = Vec::with_capacity(64 * 1_024);
            zlib.compress_vec(text.as_bytes(), &mut frame, flate2::FlushCompress::Sync)
                .expect("room");
            assert_eq!(decoder.decode(&frame, <[u8]>::to_vec), text.as_bytes());
        }
        let mut zstd = zstd::stream::raw::Encoder::new(3).expect("an encoder");
        let mut decoder = Decoder::Zstd(Box::new(
            zstd::stream::raw::Decoder::new().expect("a decoder"),
        ));
        for text in texts {
            let mut frame = vec![0; 64 * 1_024];
            let mut output = OutBuffer::around(&mut frame[..]);
            zstd.run(&mut InBuffer::around(text.as_bytes()), &mut output)
                .expect("room");
            while zstd.flush(&mut output).expect("room") > 0 {}
            let length = output.pos();
            assert_eq!(
                decoder.decode(&frame[..length], <[u8]>::to_vec),
                text.as_bytes()
            );
        }
    }
}
