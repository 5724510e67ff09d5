//! A server with a guild, and a client that checks what every client relies on: sequence numbers
//! without gaps.

use std::time::Duration;

use chat::guild::command::Actor;
use chat::{Chat, ChatConfig, accounts};
use flate2::{Decompress, FlushDecompress};
use futures_util::{SinkExt as _, StreamExt as _};
use gateway::{Context, GatewayConfig};
use model::application::flags::ALL_PRIVILEGED;
use model::message::Draft;
use model::user::Account;
use model::{ChannelId, GuildId};
use serde_json::{Value, json};
use storage::DataService;
use storage::blob::BlobStore;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_util::sync::{CancellationToken, DropGuard};
use zstd::stream::raw::{Decoder, InBuffer, Operation as _, OutBuffer};

/// Longest time a test waits for anything.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// All intents.
pub const ALL: u64 = (1 << 27) - 1;

/// Ann (a bot) owns a guild, Bob (a bot) is a plain member, so is Dora (a person); Cleo (a bot
/// without privileged intents) is in no guild.
pub struct Server {
    pub address: std::net::SocketAddr,
    pub chat: Chat,
    pub context: Context,
    pub ann: Account,
    pub bob: Account,
    pub cleo: Account,
    pub dora: Account,
    pub guild: GuildId,
    pub channel: ChannelId,
    _stop: DropGuard,
}

impl Server {
    /// Without rate limits.
    pub async fn start() -> Self {
        Self::with(GatewayConfig {
            rate_limits: false,
            ..GatewayConfig::default()
        })
        .await
    }

    pub async fn with(config: GatewayConfig) -> Self {
        Self::of(config, ChatConfig::default()).await
    }

    /// Without rate limits, with these settings of the chat system.
    pub async fn with_chat(chat: ChatConfig) -> Self {
        let gateway = GatewayConfig {
            rate_limits: false,
            ..GatewayConfig::default()
        };
        Self::of(gateway, chat).await
    }

    /// With so many events kept for RESUME.
    pub async fn keeping(config: GatewayConfig, replay_events_max: usize) -> Self {
        let chat = ChatConfig {
            replay_events_max,
            ..ChatConfig::default()
        };
        Self::of(config, chat).await
    }

    async fn of(config: GatewayConfig, chat_config: ChatConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let public_url = format!("http://{address}");
        let data = DataService::new(storage::engine::open("memory:").await.unwrap());
        let chat_config = ChatConfig {
            public_url: public_url.clone(),
            ..chat_config
        };
        let node = otp::Node::new(format!("test@{address}"));
        let chat = Chat::start(node, data, BlobStore::memory(), chat_config)
            .await
            .unwrap();
        let ann = accounts::create_bot(&chat, "Ann", ALL_PRIVILEGED)
            .await
            .unwrap();
        let bob = accounts::create_bot(&chat, "Bob", ALL_PRIVILEGED)
            .await
            .unwrap();
        let cleo = accounts::create_bot(&chat, "Cleo", 0).await.unwrap();
        let dora = accounts::create_user(&chat, "dora").await.unwrap();
        let view = chat::guild::create_guild(&chat, &ann.user, "Test guild")
            .await
            .unwrap();
        let guild = view.guild.id;
        for member in [&bob, &dora] {
            chat::guild::add_member(&chat, Actor::System, guild, member.user.id)
                .await
                .unwrap();
        }
        let context = Context::new(
            chat.clone(),
            GatewayConfig {
                public_url,
                ..config
            },
        );
        context.set_ready(true);
        let stop = CancellationToken::new();
        let (served, stopped) = (context.clone(), stop.clone());
        tokio::spawn(async move {
            gateway::server::serve(listener, served, async move { stopped.cancelled().await })
                .await;
        });
        let channel = view.guild.system_channel_id.unwrap();
        Self {
            address,
            chat,
            context,
            ann,
            bob,
            cleo,
            dora,
            guild,
            channel,
            _stop: stop.drop_guard(),
        }
    }

    pub fn token(&self, account: &Account) -> String {
        accounts::first_token(&self.chat, account)
    }

    /// Posts `content` as Ann.
    pub async fn post(&self, content: &str) {
        let draft = Draft {
            content: content.to_owned(),
            ..Draft::default()
        };
        chat::guild::post_message(
            &self.chat,
            Actor::User(self.ann.user.id),
            self.channel,
            draft,
        )
        .await
        .unwrap();
    }

    /// A connection with this query, HELLO not yet read.
    pub async fn connect(&self, query: &str) -> Socket {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        self.handshake(stream, query).await
    }

    /// A connection for which the kernel keeps little that was not read.
    pub async fn narrow(&self) -> Socket {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        let mut socket = self.handshake(stream, "v=10&encoding=json").await;
        socket.op(10).await;
        socket
    }

    async fn handshake(&self, stream: TcpStream, query: &str) -> Socket {
        let url = format!("ws://{}/?{query}", self.address);
        let (stream, response) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        assert!(response.headers().get("sec-websocket-extensions").is_none());
        let unpack = if query.contains("zlib-stream") {
            Unpack::Zlib(Decompress::new(true))
        } else if query.contains("zstd-stream") {
            Unpack::Zstd(Decoder::new().unwrap())
        } else {
            Unpack::Plain
        };
        Socket {
            stream,
            unpack,
            last: 0,
            binary: 0,
            binary_bytes: 0,
        }
    }

    /// A connection that has read HELLO.
    pub async fn hello(&self) -> Socket {
        let mut socket = self.connect("v=10&encoding=json").await;
        socket.op(10).await;
        socket
    }

    /// A connection of `account` that has read READY and the GUILD_CREATE of its guild.
    pub async fn login(&self, account: &Account) -> (Socket, Value) {
        let mut socket = self.hello().await;
        let ready = socket.identify(&self.token(account)).await;
        socket.event("GUILD_CREATE").await;
        (socket, ready)
    }
}

/// How a client makes text out of frames.
enum Unpack {
    Plain,
    Zlib(Decompress),
    Zstd(Decoder<'static>),
}

/// A raw gateway client.
pub struct Socket {
    pub stream: WebSocketStream<TcpStream>,
    unpack: Unpack,
    /// Number of the last event.
    pub last: u64,
    /// Binary frames seen.
    pub binary: usize,
    /// Bytes in them.
    pub binary_bytes: usize,
}

/// What a connection says.
#[derive(Debug)]
pub enum Said {
    Payload(Value),
    Closed(u16, String),
    End,
}

impl Socket {
    pub async fn send(&mut self, payload: Value) {
        self.stream
            .send(Message::text(payload.to_string()))
            .await
            .unwrap();
    }

    /// The next payload or end, as is.
    pub async fn next(&mut self) -> Said {
        loop {
            let next = tokio::time::timeout(DEADLINE, self.stream.next())
                .await
                .expect("silence");
            let bytes = match next {
                Some(Ok(Message::Text(text))) => text.as_bytes().to_vec(),
                Some(Ok(Message::Binary(bytes))) => {
                    self.binary += 1;
                    self.binary_bytes += bytes.len();
                    self.unpack.unpack(&bytes)
                }
                Some(Ok(Message::Close(Some(CloseFrame { code, reason })))) => {
                    return Said::Closed(code.into(), reason.to_string());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(other)) => panic!("{other:?}"),
                Some(Err(_)) | None => return Said::End,
            };
            let payload: Value = serde_json::from_slice(&bytes).expect("JSON");
            if payload["op"] == 0 {
                self.last += 1;
                assert_eq!(payload["s"], self.last, "{payload}");
            } else {
                assert!(
                    payload["s"].is_null() && payload["t"].is_null(),
                    "{payload}"
                );
            }
            return Said::Payload(payload);
        }
    }

    pub async fn payload(&mut self) -> Value {
        match self.next().await {
            Said::Payload(payload) => payload,
            other => panic!("{other:?}"),
        }
    }

    /// Waits for an opcode and gives its data; events before it are skipped.
    pub async fn op(&mut self, op: u64) -> Value {
        loop {
            let mut payload = self.payload().await;
            if payload["op"] == op {
                return payload["d"].take();
            }
            assert_eq!(payload["op"], 0, "waiting for op {op}: {payload}");
        }
    }

    /// Waits for an event and gives its data; others before it are skipped.
    pub async fn event(&mut self, name: &str) -> Value {
        loop {
            let mut payload = self.payload().await;
            assert_eq!(payload["op"], 0, "waiting for {name}: {payload}");
            if payload["t"] == name {
                return payload["d"].take();
            }
        }
    }

    /// Waits for the close frame; payloads before it are skipped.
    pub async fn closed(&mut self) -> u16 {
        loop {
            match self.next().await {
                Said::Payload(_) => {}
                Said::Closed(code, reason) => {
                    assert!(!reason.is_empty());
                    return code;
                }
                Said::End => panic!("the connection ended without a close frame"),
            }
        }
    }

    /// Logs in with all intents and gives READY.
    pub async fn identify(&mut self, token: &str) -> Value {
        self.send(identify(token)).await;
        let ready = self.payload().await;
        assert_eq!(
            (&ready["t"], &ready["s"]),
            (&json!("READY"), &json!(1)),
            "{ready}"
        );
        ready["d"].clone()
    }

    /// Asks to go on with a session; what is answered comes with [`Socket::next`].
    pub async fn resume(&mut self, token: &str, session: &str, sequence: u64) {
        self.last = sequence;
        let data = json!({"token": token, "session_id": session, "seq": sequence});
        self.send(json!({"op": 6, "d": data})).await;
    }

    /// Answers once everything sent before was handled.
    pub async fn settle(&mut self) {
        self.send(json!({"op": 1, "d": null})).await;
        self.op(11).await;
    }

    /// Breaks the connection without a goodbye.
    pub fn abort(self) {
        let _ = self.stream.get_ref().set_zero_linger();
    }
}

impl Unpack {
    fn unpack(&mut self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => inflate(&mut Decompress::new(true), message),
            Self::Zlib(stream) => {
                assert!(message.ends_with(&[0, 0, 0xff, 0xff]));
                inflate(stream, message)
            }
            Self::Zstd(stream) => unzstd(stream, message),
        }
    }
}

fn inflate(stream: &mut Decompress, mut input: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4_096);
    loop {
        out.reserve(4_096);
        let (taken, given) = (stream.total_in(), out.len());
        stream
            .decompress_vec(input, &mut out, FlushDecompress::Sync)
            .unwrap();
        input = &input[(stream.total_in() - taken) as usize..];
        if input.is_empty() && out.len() == given {
            return out;
        }
    }
}

fn unzstd(stream: &mut Decoder<'static>, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut input = InBuffer::around(message);
    loop {
        out.reserve(4_096);
        let given = out.len();
        stream
            .run(&mut input, &mut OutBuffer::around_pos(&mut out, given))
            .unwrap();
        if input.pos() == message.len() && out.len() == given {
            return out;
        }
    }
}

/// IDENTIFY with all intents.
pub fn identify(token: &str) -> Value {
    json!({"op": 2, "d": {"token": token, "properties": {"os": "linux"}, "intents": ALL}})
}

/// Waits until `done` says so.
pub async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !done().await {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::task::yield_now().await;
    }
}
