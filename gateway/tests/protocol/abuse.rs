//! Clients that break the rules: each is answered with its code, nobody else notices.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{DEADLINE, Server};

/// A connection after its handshake, HELLO read, for raw bytes.
async fn raw(server: &Server) -> TcpStream {
    server.hello().await.stream.into_inner()
}

/// The code of the close frame a connection ends with.
async fn closed(mut stream: TcpStream) -> u16 {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes))
        .await
        .expect("silence");
    read.unwrap();
    assert_eq!(bytes.first(), Some(&0x88), "{bytes:?}");
    assert_eq!(
        bytes[1] as usize + 2,
        bytes.len(),
        "nothing follows a close frame"
    );
    u16::from_be_bytes([bytes[2], bytes[3]])
}

/// A masked frame; the mask is zero, so that the payload is readable.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | length as u8),
        length @ ..65_536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

#[tokio::test]
async fn frames_that_break_the_protocol() {
    let server = Server::start().await;
    let heartbeat = br#"{"op":1,"d":null}"#;
    let mut unmasked = vec![0x81, heartbeat.len() as u8];
    unmasked.extend_from_slice(heartbeat);
    for (what, bytes, code) in [
        ("unmasked", unmasked, 1002),
        ("reserved bit 1", frame(0xc1, heartbeat), 1002),
        ("reserved bit 3", frame(0x91, heartbeat), 1002),
        ("reserved opcode", frame(0x83, b""), 1002),
        ("reserved control opcode", frame(0x8b, b""), 1002),
        ("fragmented ping", frame(0x09, b"x"), 1002),
        ("long ping", frame(0x89, &[b'x'; 126]), 1002),
        ("continuation of nothing", frame(0x80, b"x"), 1002),
        (
            "text inside a message",
            [frame(0x01, b"{"), frame(0x81, b"}")].concat(),
            1002,
        ),
        ("close of one byte", frame(0x88, &[3]), 1002),
        (
            "close with code 1005",
            frame(0x88, &1005_u16.to_be_bytes()),
            1002,
        ),
        (
            "close with code 999",
            frame(0x88, &999_u16.to_be_bytes()),
            1002,
        ),
        ("not UTF-8", frame(0x81, b"{\"op\":\"\xff\"}"), 1007),
        (
            "not UTF-8 in parts",
            [frame(0x01, b"\xf0\x9f"), frame(0x80, b"\x28")].concat(),
            1007,
        ),
        (
            "one byte over the frame limit",
            frame(0x81, &[b' '; 16 * 1024 + 1]),
            1009,
        ),
        (
            "a frame of 2^63 - 1 bytes",
            [&[0x81, 0xff, 0x7f][..], &[0xff; 7], &[0; 4]].concat(),
            1009,
        ),
        (
            "a message over the limit in two frames",
            [frame(0x01, &[b' '; 9_000]), frame(0x80, &[b' '; 9_000])].concat(),
            1009,
        ),
        (
            "a payload over the limit",
            frame(0x81, &[b' '; 4_097]),
            4002,
        ),
        (
            "JSON that is not UTF-8 in a binary frame",
            frame(0x82, b"{\"op\":3,\"d\":\"\xff\"}"),
            4002,
        ),
    ] {
        let mut stream = raw(&server).await;
        stream.write_all(&bytes).await.unwrap();
        assert_eq!(closed(stream).await, code, "{what}");
    }
}

#[tokio::test]
async fn what_is_split_anywhere_is_understood() {
    let server = Server::start().await;
    let mut stream = raw(&server).await;
    let bytes = [
        frame(0x01, br#"{"op":"#),
        frame(0x89, b"p"),
        frame(0x00, b""),
        frame(0x80, br#"1,"d":null}"#),
    ]
    .concat();
    for byte in bytes {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = [0; 3];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"\x8a\x01p");
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!((answer[0], &answer[2..]), (0x81, &b"{"[..]));
}

#[tokio::test]
async fn forty_thousand_fragments_are_cut() {
    let server = Server::start().await;
    let mut fragments = frame(0x01, b"{");
    for _ in 0..40_000 {
        fragments.extend_from_slice(&frame(0x00, b" "));
    }
    for _ in 0..5 {
        let stream = raw(&server).await;
        let (mut read, mut write) = stream.into_split();
        let mut answer = Vec::new();
        let (_, read) = tokio::join!(
            // The server stops reading long before the end.
            async {
                let _ = write.write_all(&fragments).await;
            },
            tokio::time::timeout(DEADLINE, read.read_to_end(&mut answer))
        );
        read.expect("silence").unwrap();
        assert_eq!(answer[..4], [0x88, answer[1], 0x03, 0xf1], "close 1009");
    }
}

#[tokio::test]
async fn pongs_and_answers_come_in_the_order_of_what_was_asked() {
    let server = Server::start().await;
    let mut socket = server.hello().await;
    for number in 0..200_u8 {
        socket
            .stream
            .feed(Message::Ping(vec![number].into()))
            .await
            .unwrap();
        socket
            .stream
            .feed(Message::text(r#"{"op":1,"d":null}"#))
            .await
            .unwrap();
    }
    socket.stream.flush().await.unwrap();
    for number in 0..200_u8 {
        match socket.stream.next().await.unwrap().unwrap() {
            Message::Pong(bytes) => assert_eq!(bytes[..], [number]),
            other => panic!("{other:?}"),
        }
        assert_eq!(socket.payload().await["op"], 11);
    }
}

#[tokio::test]
async fn a_flood_of_pings_is_rate_limited() {
    let server = Server::with(gateway::GatewayConfig::default()).await;
    let mut socket = server.hello().await;
    for _ in 0..=gateway::socket::limits::CONTROL_FRAMES_MAX {
        socket
            .stream
            .feed(Message::Ping(vec![].into()))
            .await
            .unwrap();
    }
    socket.stream.flush().await.unwrap();
    assert_eq!(socket.closed().await, 4008);
}

#[tokio::test]
async fn a_reader_that_stops_disturbs_nobody_and_gets_everything_when_it_goes_on() {
    let server = Server::start().await;
    let mut slow = server.narrow().await;
    slow.identify(&server.token(&server.bob)).await;
    slow.event("GUILD_CREATE").await;
    let (mut quick, _) = server.login(&server.ann).await;
    // Some 5 MB: more than the kernel keeps, so most of it waits in the session.
    let text = "x".repeat(1_900);
    for number in 0..2_000 {
        server.post(&format!("{number} {text}")).await;
        let content = quick.event("MESSAGE_CREATE").await["content"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(content.split(' ').next(), Some(number.to_string().as_str()));
    }
    for number in 0..2_000 {
        let content = slow.event("MESSAGE_CREATE").await["content"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(content.split(' ').next(), Some(number.to_string().as_str()));
    }
}

#[tokio::test]
async fn a_connection_that_falls_apart_takes_nobody_along() {
    let server = Server::start().await;
    let (mut socket, _) = server.login(&server.ann).await;
    for _ in 0..50 {
        let (mut other, _) = server.login(&server.bob).await;
        other.send(json!({"op": 4, "d": null})).await;
        other.abort();
        raw(&server)
            .await
            .write_all(&frame(0xff, b"nonsense"))
            .await
            .unwrap();
    }
    server.post("still").await;
    assert_eq!(socket.event("MESSAGE_CREATE").await["content"], "still");
}
