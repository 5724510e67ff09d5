//! Both stream compressions, and payload compression, decoded by the plain decoders clients use:
//! one context per connection, every message complete when its frame is.

use std::net::SocketAddr;

use flate2::{Decompress, FlushDecompress};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::gateway::identify;
use crate::support::{ALL_INTENTS, DEADLINE, TestNode};

const MESSAGES: usize = 500;
/// More than any one payload of these tests.
const PAYLOAD_MAX: usize = 1 << 20;

enum Decoder {
    Zlib(Decompress),
    Zstd(zstd::stream::raw::Decoder<'static>),
}

impl Decoder {
    /// The whole message in a frame: a frame is never half a message.
    fn decode(&mut self, frame: &[u8]) -> Value {
        let mut text = Vec::with_capacity(PAYLOAD_MAX);
        match self {
            Self::Zlib(context) => {
                assert!(
                    frame.ends_with(&[0, 0, 0xff, 0xff]),
                    "each message ends in a sync flush"
                );
                let begin = context.total_in();
                context
                    .decompress_vec(frame, &mut text, FlushDecompress::Sync)
                    .unwrap();
                assert_eq!(context.total_in() - begin, frame.len() as u64);
            }
            Self::Zstd(context) => {
                use zstd::stream::raw::{InBuffer, Operation as _, OutBuffer};
                let mut input = InBuffer::around(frame);
                let mut output = OutBuffer::around(&mut text);
                loop {
                    let before = (input.pos(), output.pos());
                    context.run(&mut input, &mut output).unwrap();
                    if before == (input.pos(), output.pos()) {
                        break;
                    }
                }
                assert_eq!(input.pos(), frame.len());
            }
        }
        serde_json::from_slice(&text).unwrap()
    }
}

async fn stream_carries_everything(compress: &str, mut decoder: Decoder) {
    let node = TestNode::start().await;
    let query = format!("/?v=10&encoding=json&compress={compress}");
    let mut socket = connect(node.addr(), &query).await;
    assert_eq!(
        decoder.decode(&frame(&mut socket).await)["op"],
        10,
        "HELLO is in the stream"
    );
    // discord.py asks for payload compression as well; the stream wins.
    let mut payload = identify(&node.env().token_b, ALL_INTENTS);
    payload["d"]["compress"] = json!(true);
    socket
        .send(Message::text(payload.to_string()))
        .await
        .unwrap();
    let mut next = 1;
    let mut posted = Vec::new();
    let mut received = Vec::new();
    while received.len() < MESSAGES {
        let payload = decoder.decode(&frame(&mut socket).await);
        if payload["op"] == 0 {
            assert_eq!(payload["s"], next, "{payload}");
            next += 1;
        }
        if payload["t"] == "GUILD_CREATE" {
            let (http, channel) = (node.http_a(), node.channel());
            for number in 0..MESSAGES {
                let content = format!("{number} {}", "text ".repeat(number % 300));
                posted.push(http.post_message(&channel, content.trim()).await["content"].clone());
            }
        }
        if payload["t"] == "MESSAGE_CREATE" {
            received.push(payload["d"]["content"].clone());
        }
    }
    assert_eq!(received, posted);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn zlib_stream() {
    stream_carries_everything("zlib-stream", Decoder::Zlib(Decompress::new(true))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn zstd_stream() {
    let decoder = zstd::stream::raw::Decoder::new().unwrap();
    stream_carries_everything("zstd-stream", Decoder::Zstd(decoder)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payload_compression_gives_text_or_a_whole_zlib_frame() {
    let node = TestNode::start().await;
    let mut socket = connect(node.addr(), "/?v=10&encoding=json").await;
    let mut payload = identify(&node.env().token_b, ALL_INTENTS);
    payload["d"]["compress"] = json!(true);
    socket
        .send(Message::text(payload.to_string()))
        .await
        .unwrap();
    let mut names = Vec::new();
    while !names.contains(&json!("GUILD_CREATE")) {
        let payload: Value = match next(&mut socket).await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            Message::Binary(bytes) => {
                serde_json::from_reader(flate2::read::ZlibDecoder::new(&bytes[..])).unwrap()
            }
            other => panic!("{other:?}"),
        };
        names.push(payload["t"].clone());
    }
    node.stop().await;
}

async fn connect(addr: SocketAddr, path: &str) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(addr).await.unwrap();
    let url = format!("ws://{addr}{path}");
    let connecting = tokio_tungstenite::client_async(url, stream);
    tokio::time::timeout(DEADLINE, connecting)
        .await
        .expect("connects in time")
        .unwrap()
        .0
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> Message {
    let next = tokio::time::timeout(DEADLINE, socket.next()).await;
    next.expect("something arrives in time")
        .expect("the connection stays")
        .unwrap()
}

async fn frame(socket: &mut WebSocketStream<TcpStream>) -> Vec<u8> {
    match next(socket).await {
        Message::Binary(bytes) => bytes.to_vec(),
        other => panic!("compressed payloads are binary: {other:?}"),
    }
}
