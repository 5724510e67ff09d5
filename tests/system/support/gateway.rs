//! A plain gateway client: JSON, no compression, nothing done behind the test's back.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::DEADLINE;

/// One connection.
pub(crate) struct Gateway {
    socket: WebSocketStream<TcpStream>,
    /// Sequence number of the last dispatch read; 0 = none.
    pub(crate) sequence: u64,
    /// From READY.
    pub(crate) session_id: String,
    /// The `d` of READY.
    pub(crate) ready: Value,
}

/// What a connection gives.
#[derive(Debug)]
pub(crate) enum Received {
    /// A payload.
    Payload(Value),
    /// The end, with the code of the close frame, if there was one.
    Closed(Option<u16>),
}

impl Gateway {
    /// Connects and reads HELLO.
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let mut gateway = Self::connect_to(addr, "/?v=10&encoding=json").await;
        let hello = gateway.payload().await;
        assert_eq!(hello["op"], 10, "{hello}");
        let interval = hello["d"]["heartbeat_interval"].as_u64().unwrap();
        assert!((41_250..=45_000).contains(&interval), "{hello}");
        gateway
    }

    /// Connects with the given path and query; HELLO is not read.
    pub(crate) async fn connect_to(addr: SocketAddr, path: &str) -> Self {
        let connecting = async {
            let stream = TcpStream::connect(addr).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let url = format!("ws://{addr}{path}");
            tokio_tungstenite::client_async(url, stream)
                .await
                .unwrap()
                .0
        };
        let socket = tokio::time::timeout(DEADLINE, connecting)
            .await
            .expect("connects in time");
        Self {
            socket,
            sequence: 0,
            session_id: String::new(),
            ready: Value::Null,
        }
    }

    /// Connects and identifies; READY is read.
    pub(crate) async fn identified(addr: SocketAddr, token: &str, intents: u64) -> Self {
        let mut gateway = Self::connect(addr).await;
        gateway.send(&identify(token, intents)).await;
        gateway.read_ready().await;
        gateway
    }

    /// Connects, identifies and waits for the first guild.
    pub(crate) async fn login(addr: SocketAddr, token: &str, intents: u64) -> Self {
        let mut gateway = Self::identified(addr, token, intents).await;
        gateway.dispatch("GUILD_CREATE").await;
        gateway
    }

    /// Connects and sends RESUME; nothing is read after HELLO.
    pub(crate) async fn resuming(
        addr: SocketAddr,
        token: &str,
        session: &str,
        sequence: u64,
    ) -> Self {
        let mut gateway = Self::connect(addr).await;
        let resume =
            json!({"op": 6, "d": {"token": token, "session_id": session, "seq": sequence}});
        gateway.send(&resume).await;
        session.clone_into(&mut gateway.session_id);
        gateway.sequence = sequence;
        gateway
    }

    /// Reads READY.
    pub(crate) async fn read_ready(&mut self) {
        let payload = self.payload().await;
        assert_eq!(payload["t"], "READY", "{payload}");
        assert_eq!(payload["s"], 1, "READY is the first dispatch: {payload}");
        self.ready = payload["d"].clone();
        self.session_id = self.ready["session_id"].as_str().unwrap().to_owned();
    }

    pub(crate) async fn send(&mut self, payload: &Value) {
        self.send_text(payload.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: String) {
        self.send_message(Message::text(text)).await;
    }

    pub(crate) async fn send_message(&mut self, message: Message) {
        let sent = tokio::time::timeout(DEADLINE, self.socket.send(message)).await;
        sent.expect("the server reads in time").unwrap();
    }

    /// Bytes past the WebSocket layer. Fails when the server has closed.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let sent = tokio::time::timeout(DEADLINE, self.socket.get_mut().write_all(bytes)).await;
        sent.expect("the server reads in time")
    }

    /// The next payload or the end. Dispatch numbers must be without a gap.
    pub(crate) async fn receive(&mut self) -> Received {
        loop {
            let next = tokio::time::timeout(DEADLINE, self.socket.next()).await;
            let message = match next.expect("something arrives in time") {
                Some(Ok(message)) => message,
                Some(Err(_)) | None => return Received::Closed(None),
            };
            let payload: Value = match message {
                Message::Text(text) => serde_json::from_str(&text).unwrap(),
                Message::Close(frame) => {
                    return Received::Closed(frame.map(|frame| frame.code.into()));
                }
                Message::Binary(_) => panic!("plain connections get text frames"),
                _ => continue,
            };
            if payload["op"] == 0 {
                let number = payload["s"].as_u64().unwrap();
                assert_eq!(number, self.sequence + 1, "numbered without gap: {payload}");
                self.sequence = number;
            } else {
                assert!(
                    payload["s"].is_null() && payload["t"].is_null(),
                    "{payload}"
                );
            }
            return Received::Payload(payload);
        }
    }

    /// The next payload; the connection must not end.
    #[track_caller]
    pub(crate) fn payload(&mut self) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            match self.receive().await {
                Received::Payload(payload) => payload,
                Received::Closed(code) => panic!("closed with {code:?} while {caller} waited"),
            }
        }
    }

    /// The `d` of the next dispatch of that name; others are passed over.
    pub(crate) async fn dispatch(&mut self, name: &str) -> Value {
        self.dispatch_where(name, |_| true).await
    }

    /// The `d` of the next dispatch of that name which `wanted` accepts.
    pub(crate) async fn dispatch_where(
        &mut self,
        name: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let searching = async {
            loop {
                let mut payload = self.payload().await;
                if payload["t"] == name && wanted(&payload["d"]) {
                    return payload["d"].take();
                }
            }
        };
        tokio::time::timeout(DEADLINE, searching)
            .await
            .unwrap_or_else(|_| panic!("{name} arrives in time"))
    }

    /// The next payload with that opcode; others are passed over.
    pub(crate) async fn opcode(&mut self, opcode: u64) -> Value {
        loop {
            let payload = self.payload().await;
            if payload["op"] == opcode {
                return payload;
            }
        }
    }

    /// The code the connection ends with; payloads before it are passed over.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        loop {
            if let Received::Closed(code) = self.receive().await {
                return code;
            }
        }
    }

    /// As [`Gateway::closed`], for an end that takes longer than anything else may.
    pub(crate) async fn closed_within(&mut self, limit: Duration) -> Option<u16> {
        let reading = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        };
        tokio::time::timeout(limit, reading)
            .await
            .expect("the server closes in time")
    }

    /// A heartbeat and its answer: everything sent before has been handled then.
    pub(crate) async fn heartbeat(&mut self) {
        let sequence = if self.sequence == 0 {
            Value::Null
        } else {
            self.sequence.into()
        };
        self.send(&json!({"op": 1, "d": sequence})).await;
        self.opcode(11).await;
    }

    /// Cuts the connection with a TCP reset; what was not read is lost.
    pub(crate) fn abort(self) {
        self.socket.get_ref().set_zero_linger().unwrap();
    }

    /// Closes with a code and waits for the end.
    pub(crate) async fn close(mut self, code: u16) {
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: "".into(),
        };
        let closing = async {
            let _ = self.socket.close(Some(frame)).await;
            while let Some(Ok(_)) = self.socket.next().await {}
        };
        tokio::time::timeout(DEADLINE, closing)
            .await
            .expect("closes in time");
    }
}

/// An IDENTIFY payload.
pub(crate) fn identify(token: &str, intents: u64) -> Value {
    json!({"op": 2, "d": {
        "token": token,
        "intents": intents,
        "properties": {"os": "linux", "browser": "tests", "device": "tests"},
    }})
}
