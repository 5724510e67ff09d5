//! The writer over real sockets and pipes: order, bounds, room, ends.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::socket::compression::{ContextFor, ContextPolicy, Mode};
use chat::session::dispatch::Dispatch;
use futures_util::StreamExt as _;
use model::event::{Audience, Encoded};
use model::intents::Intents;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

fn writer(sink: Sink, mode: Mode) -> Arc<SocketWriter> {
    let compressor = Compressor::new(mode);
    Arc::new(SocketWriter::new(sink, compressor, Arc::new(Shared::new())))
}

async fn tcp() -> (Sink, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (server, _) = listener.accept().await.unwrap();
    server.writable().await.unwrap();
    (Sink::Tcp(server), client)
}

fn dispatch(text: &str) -> Dispatch {
    let event = Encoded::new("X", None, Audience::Guild, Intents::NONE, &text);
    let event = Arc::new(event);
    Dispatch::new(&event, &event.body)
}

/// Dispatches one text, as number 1.
fn send(transport: &Arc<dyn Transport>, text: &str) -> Sent {
    transport.dispatch(&Dispatches::own(1, &[dispatch(text)]))
}

/// What a client reads then.
fn payload(text: &str) -> String {
    format!(r#"{{"t":"X","s":1,"op":0,"d":"{text}"}}"#)
}

fn frame(payload: &str) -> Vec<u8> {
    let mut frame = FrameHead::new(Kind::Text, payload.len()).as_ref().to_vec();
    frame.extend_from_slice(payload.as_bytes());
    frame
}

/// What the connection task does.
fn keep_flushing(writer: &Arc<SocketWriter>) -> tokio::task::JoinHandle<Ended> {
    let writer = Arc::clone(writer);
    tokio::spawn(async move {
        poll_fn(|context| {
            writer.flush(context);
            writer.ended().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dispatches_of_many_threads_keep_their_order_among_pongs() {
    const EACH: usize = 2_000;
    let (sink, client) = tcp().await;
    let writer = writer(sink, Mode::None);
    let flushing = keep_flushing(&writer);
    let transport = writer.begin_session();
    let threads: Vec<_> = (0..3)
        .map(|thread| {
            let transport = Arc::clone(&transport);
            std::thread::spawn(move || {
                for batch in (0..EACH).collect::<Vec<_>>().chunks(7) {
                    let texts = batch.iter().map(|number| {
                        dispatch(&format!("{thread} {number} {}", "x".repeat(number % 300)))
                    });
                    let texts: Vec<_> = texts.collect();
                    let texts = Dispatches::own(1, &texts);
                    while !transport.has_room() {
                        std::thread::yield_now();
                    }
                    assert_eq!(transport.dispatch(&texts), Sent::Accepted);
                }
            })
        })
        .collect();
    let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
    let mut next = [0; 3];
    let (mut asked, mut pongs) = (0, 0);
    while next != [EACH; 3] || pongs < asked {
        match client.next().await.unwrap().unwrap() {
            Message::Text(text) => {
                let payload: serde_json::Value = serde_json::from_str(&text).unwrap();
                let mut words = payload["d"].as_str().unwrap().split(' ');
                let thread: usize = words.next().unwrap().parse().unwrap();
                let number: usize = words.next().unwrap().parse().unwrap();
                assert_eq!(number, next[thread]);
                assert_eq!(words.next().unwrap().len(), number % 300);
                next[thread] += 1;
                if number.is_multiple_of(100) {
                    writer.send_frames(&[0x8a, 1, b'p']);
                    asked += 1;
                }
            }
            Message::Pong(bytes) => {
                assert_eq!(&bytes[..], b"p");
                pongs += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(pongs, 3 * EACH / 100);
    flushing.abort();
}

#[tokio::test]
async fn a_narrow_pipe_gets_the_same_bytes() {
    let (ours, mut theirs) = tokio::io::duplex(7);
    let writer = writer(Sink::Any(Box::new(ours)), Mode::None);
    let flushing = keep_flushing(&writer);
    let transport = writer.begin_session();
    let texts: Vec<String> = (0..100)
        .map(|number| format!("{number} {}", "y".repeat(number * 3)))
        .collect();
    let mut expected = Vec::new();
    for batch in texts.chunks(40) {
        let each: Vec<_> = batch.iter().map(|text| dispatch(text)).collect();
        let batch = Dispatches::own(7, &each);
        assert_eq!(transport.dispatch(&batch), Sent::Accepted);
        for payload in batch.payloads() {
            expected.extend(frame(std::str::from_utf8(&payload).unwrap()));
        }
    }
    let mut got = vec![0; expected.len()];
    theirs.read_exact(&mut got).await.unwrap();
    assert_eq!(got, expected);
    flushing.abort();
}

#[tokio::test]
async fn a_reader_that_stops_is_held_back_and_goes_on_where_it_was() {
    let (sink, mut client) = tcp().await;
    let writer = writer(sink, Mode::None);
    let transport = writer.begin_session();
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    transport.on_room(Box::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
    }));
    let text = "z".repeat(10_000);
    let mut sent = 0;
    while transport.has_room() {
        assert_eq!(send(&transport, &text), Sent::Accepted);
        sent += 1;
    }
    assert!(writer.state.lock().queued_bytes < QUEUE_ROOM_BYTES + 20_000);
    assert!(writer.stalled_since().is_some());
    assert_eq!(told.load(Ordering::SeqCst), 0);

    let flushing = keep_flushing(&writer);
    let expected = frame(&payload(&text));
    let mut got = vec![0; sent * expected.len()];
    client.read_exact(&mut got).await.unwrap();
    assert!(got.chunks(expected.len()).all(|frame| frame == expected));
    let deadline = Instant::now() + std::time::Duration::from_secs(5);
    while !writer.is_flushed() || writer.stalled_since().is_some() {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    assert_eq!(told.load(Ordering::SeqCst), 1);
    assert!(transport.has_room());
    flushing.abort();
}

#[tokio::test]
async fn who_never_reads_is_cut_at_the_limit_and_costs_nothing_more() {
    let (sink, client) = tcp().await;
    let writer = writer(sink, Mode::None);
    let transport = writer.begin_session();
    let text = "z".repeat(4_000);
    let mut most = 0;
    let last = loop {
        match send(&transport, &text) {
            Sent::Accepted => most = most.max(writer.state.lock().queued_bytes),
            other => break other,
        }
    };
    assert_eq!(last, Sent::Overrun);
    assert!((QUEUE_BYTES_MAX..QUEUE_BYTES_MAX + 8_000).contains(&most));
    assert_eq!(writer.ended(), Some(Ended::Overrun));
    assert_eq!(writer.state.lock().queue.capacity(), 0);
    assert_eq!(send(&transport, &text), Sent::Closed);
    drop(client);
}

#[tokio::test]
async fn small_frames_have_a_limit_too() {
    let (ours, _theirs) = tokio::io::duplex(1);
    let writer = writer(Sink::Any(Box::new(ours)), Mode::None);
    let transport = writer.begin_session();
    let mut frames = 0;
    while send(&transport, "abcdefgh") == Sent::Accepted {
        frames += 1;
    }
    assert_eq!(frames, QUEUE_PIECES_MAX / 2);
}

#[tokio::test]
async fn a_dispatch_above_the_limit_is_taken_whole() {
    let (ours, mut theirs) = tokio::io::duplex(100_000);
    let writer = writer(Sink::Any(Box::new(ours)), Mode::None);
    let flushing = keep_flushing(&writer);
    let transport = writer.begin_session();
    let text = "g".repeat(3 * QUEUE_BYTES_MAX);
    assert_eq!(send(&transport, &text), Sent::Accepted);
    let expected = frame(&payload(&text));
    let mut got = vec![0; expected.len()];
    theirs.read_exact(&mut got).await.unwrap();
    assert!(got == expected);
    flushing.abort();
}

#[tokio::test]
async fn a_session_of_the_past_writes_nothing() {
    let (ours, mut theirs) = tokio::io::duplex(1_000);
    let writer = writer(Sink::Any(Box::new(ours)), Mode::None);
    let old = writer.begin_session();
    let new = writer.begin_session();
    assert_eq!(send(&old, "old"), Sent::Closed);
    old.close(Close::Revoked);
    assert_eq!(writer.ended(), None);
    assert_eq!(send(&new, "new"), Sent::Accepted);
    new.close(Close::InvalidSession { resumable: false });
    assert_eq!(send(&new, "more"), Sent::Closed);
    assert_eq!(
        writer.ended(),
        Some(Ended::Session(Close::InvalidSession { resumable: false }))
    );
    writer.end_session();
    assert_eq!(writer.ended(), None);
    writer.send(Bytes::from_static(b"op 9"));
    let flushing = keep_flushing(&writer);
    let expected = [frame(&payload("new")), frame("op 9")].concat();
    let mut got = vec![0; expected.len()];
    theirs.read_exact(&mut got).await.unwrap();
    assert_eq!(got, expected);
    flushing.abort();
}

#[tokio::test]
async fn nothing_follows_a_close_frame() {
    let (ours, mut theirs) = tokio::io::duplex(1_000);
    let writer = writer(Sink::Any(Box::new(ours)), Mode::None);
    let transport = writer.begin_session();
    writer.close(4009, "late");
    assert_eq!(send(&transport, "no"), Sent::Closed);
    writer.send(Bytes::from_static(b"no"));
    writer.send_frames(&[0x8a, 0]);
    writer.close(4000, "no");
    let flushing = keep_flushing(&writer);
    let mut got = [0; 8];
    theirs.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"\x88\x06\x0f\xa9late");
    assert!(writer.is_flushed());
    writer.shut();
    assert_eq!(flushing.await.unwrap(), Ended::Broken);
    let mut rest = Vec::new();
    theirs.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_close_reply_is_the_last_frame_too() {
    let (ours, _theirs) = tokio::io::duplex(1_000);
    let writer = writer(Sink::Any(Box::new(ours)), Mode::None);
    let transport = writer.begin_session();
    writer.send_frames(&[0x88, 2, 3, 232]);
    assert_eq!(send(&transport, "no"), Sent::Closed);
}

#[tokio::test]
async fn compressed_messages_are_binary_and_in_order() {
    let (ours, mut theirs) = tokio::io::duplex(1 << 20);
    let writer = writer(Sink::Any(Box::new(ours)), Mode::ZlibStream);
    let flushing = keep_flushing(&writer);
    let transport = writer.begin_session();
    writer.send(Bytes::from_static(b"hello"));
    let each = [dispatch("first one"), dispatch("second one")];
    let both = Dispatches::own(1, &each);
    assert_eq!(transport.dispatch(&both), Sent::Accepted);
    let mut stream = flate2::Decompress::new(true);
    let payloads = both.payloads().map(|it| String::from_utf8(it).unwrap());
    let payloads: Vec<_> = payloads.collect();
    for expected in ["hello", &payloads[0], &payloads[1]] {
        let mut head = [0; 2];
        theirs.read_exact(&mut head).await.unwrap();
        assert_eq!(head[0], 0x82);
        let mut message = vec![0; head[1] as usize];
        theirs.read_exact(&mut message).await.unwrap();
        let mut out = Vec::with_capacity(100);
        stream
            .decompress_vec(&message, &mut out, flate2::FlushDecompress::Sync)
            .unwrap();
        assert_eq!(out, expected.as_bytes());
    }
    flushing.abort();
}

#[tokio::test]
async fn the_end_of_a_connection_gives_its_context_back() {
    let contexts = Arc::new(Contexts::new(ContextPolicy {
        connections: ContextFor::All,
        ..ContextPolicy::default()
    }));
    for mode in [Mode::ZlibStream, Mode::ZstdStream] {
        let (ours, _theirs) = tokio::io::duplex(1 << 20);
        let writer = writer(Sink::Any(Box::new(ours)), mode);
        // A session that waits for RESUME holds on to it.
        let _transport = writer.begin_session();
        let message = Bytes::from("x y ".repeat(50));
        writer.send(message.clone());
        assert_eq!(contexts.taken(), 0);
        writer.allow_context(&contexts);
        writer.send(message.clone());
        assert_eq!(contexts.taken(), 1);
        writer.shut();
        writer.send(message);
        assert_eq!(contexts.taken(), 0);
    }
}

#[test]
fn a_delivery_touches_the_first_128_bytes() {
    let state = std::mem::offset_of!(SocketWriter, state);
    let behind = state + align_of::<Mutex<State>>() + std::mem::offset_of!(State, queue);
    assert!(behind <= 128, "{behind}");
}

#[tokio::test]
async fn what_is_shut_can_still_be_read() {
    let (sink, mut client) = tcp().await;
    let writer = writer(sink, Mode::None);
    writer.shut();
    assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0, "the end");
    client.write_all(b"late").await.unwrap();
    let mut got = [0; 8];
    let mut space = ReadBuf::new(&mut got);
    poll_fn(|context| writer.poll_read(context, &mut space))
        .await
        .unwrap();
    assert_eq!(space.filled(), b"late");
}

#[tokio::test]
async fn a_socket_goes_though_a_session_still_has_its_writer() {
    for cut in [false, true] {
        let (sink, mut client) = tcp().await;
        let writer = writer(sink, Mode::None);
        let transport = writer.begin_session();
        client.write_all(b"unread").await.unwrap();
        match cut {
            true => writer.cut(),
            false => writer.release(),
        }
        // With the socket goes what was not read of it: that is a reset. One that is only shut
        // would end in silence.
        let end = client.read(&mut [0; 8]).await;
        let kind = end.map_err(|error| error.kind());
        assert_eq!(kind, Err(io::ErrorKind::ConnectionReset), "cut: {cut}");
        assert_eq!(send(&transport, "late"), Sent::Closed);
    }
}
