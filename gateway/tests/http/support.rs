//! A server of its own for each test, and a small client.

use std::time::Duration;

use chat::guild::command::Actor;
use chat::{Chat, ChatConfig, accounts};
use gateway::{Context, GatewayConfig};
use model::application::flags::ALL_PRIVILEGED;
use model::user::Account;
use model::{ChannelId, GuildId};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use storage::DataService;
use storage::blob::BlobStore;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Longest time a test waits for anything.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A running server with a guild: Ann (a bot) owns it, Bob (a bot) is a plain member, Cleo (a
/// person) is in no guild.
pub struct Server {
    pub address: std::net::SocketAddr,
    pub chat: Chat,
    pub context: Context,
    pub ann: Client,
    pub bob: Client,
    pub cleo: Client,
    pub guild: GuildId,
    pub channel: ChannelId,
    _stop: DropGuard,
}

/// One account's way to the server.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    root: String,
    pub token: String,
    pub account: Account,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
    pub body: Value,
}

impl Server {
    /// Without rate limits.
    pub async fn start() -> Self {
        Self::with(false).await
    }

    pub async fn with(rate_limits: bool) -> Self {
        let config = GatewayConfig {
            rate_limits,
            ..GatewayConfig::default()
        };
        Self::built(config, BlobStore::memory()).await
    }

    pub async fn built(config: GatewayConfig, blobs: BlobStore) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let public_url = format!("http://{address}");
        let data = DataService::new(storage::engine::open("memory:").await.unwrap());
        let chat_config = ChatConfig {
            public_url: public_url.clone(),
            ..ChatConfig::default()
        };
        let node = otp::Node::new(format!("test@{address}"));
        let chat = Chat::start(node, data, blobs, chat_config).await.unwrap();

        let ann = accounts::create_bot(&chat, "Ann", ALL_PRIVILEGED)
            .await
            .unwrap();
        let bob = accounts::create_bot(&chat, "Bob", ALL_PRIVILEGED)
            .await
            .unwrap();
        let cleo = accounts::create_user(&chat, "cleo").await.unwrap();
        let view = chat::guild::create_guild(&chat, &ann.user, "Test guild")
            .await
            .unwrap();
        let guild = view.guild.id;
        chat::guild::add_member(&chat, Actor::System, guild, bob.user.id)
            .await
            .unwrap();

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
        let client = |account: Account| Client {
            http: reqwest::Client::builder()
                .timeout(DEADLINE)
                .build()
                .unwrap(),
            root: format!("http://{address}"),
            token: accounts::issue_token(&chat, &account),
            account,
        };
        Self {
            ann: client(ann),
            bob: client(bob),
            cleo: client(cleo),
            guild,
            channel: view.guild.system_channel_id.unwrap(),
            address,
            context,
            chat,
            _stop: stop.drop_guard(),
        }
    }

    /// `/channels/{channel}` and what follows.
    pub fn at(&self, rest: &str) -> String {
        format!("/channels/{}{rest}", self.channel)
    }

    /// `/guilds/{guild}` and what follows.
    pub fn in_guild(&self, rest: &str) -> String {
        format!("/guilds/{}{rest}", self.guild)
    }

    /// Posts `content` as Ann; answers the message's id.
    pub async fn post(&self, content: &str) -> String {
        let reply = self
            .ann
            .post(&self.at("/messages"), json!({"content": content}))
            .await;
        reply.expect(200)["id"].as_str().unwrap().to_owned()
    }

    /// Makes `@everyone` lose permissions in the channel.
    pub async fn deny_everyone(&self, bits: u64) {
        let path = self.at(&format!("/permissions/{}", self.guild));
        let body = json!({"type": 0, "allow": "0", "deny": bits.to_string()});
        self.ann.put(&path, body).await.expect(204);
    }
}

/// Waits until `is_true`, at most [`DEADLINE`].
pub async fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + DEADLINE;
    while !is_true() {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        tokio::task::yield_now().await;
    }
}

impl Client {
    /// A request to `/api/v10{path}` with the account's token.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.anonymous(method, &format!("/api/v10{path}"))
            .header("authorization", format!("Bot {}", self.token))
    }

    /// A request to `path` without a token.
    pub fn anonymous(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.root))
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        let request = self.request(method, path);
        Reply::of(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PATCH, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PUT, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, None).await
    }

    pub fn id(&self) -> String {
        self.account.user.id.to_string()
    }
}

impl Reply {
    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.unwrap().to_vec();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Self {
            status,
            headers,
            bytes,
            body,
        }
    }

    /// The body, when the status is as expected.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(
            self.status,
            status,
            "{}",
            String::from_utf8_lossy(&self.bytes)
        );
        self.body
    }

    /// Refused with this status and JSON code.
    #[track_caller]
    pub fn refused(self, status: u16, code: u64) -> Value {
        assert_eq!(
            (self.status, &self.body["code"]),
            (status, &json!(code)),
            "{}",
            self.body
        );
        assert!(self.body["message"].is_string(), "{}", self.body);
        self.body
    }

    /// Refused as a form, with a fault at `path` (keys and indexes with dots between).
    #[track_caller]
    pub fn refused_at(self, path: &str) -> Value {
        let body = self.refused(400, 50_035);
        let mut at = &body["errors"];
        for key in path.split('.') {
            at = &at[key];
        }
        assert!(
            at["_errors"][0]["code"].is_string(),
            "no fault at {path}: {body}"
        );
        body
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no header {name}"))
            .to_str()
            .unwrap()
    }
}
