//! What the stories share: a node in this process, a node of its own, an HTTP client that keeps
//! status, headers and body, and a plain gateway client. Every wait has a deadline.

pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod process;

use std::net::SocketAddr;
use std::time::Duration;

use guildhall::node::Demo;
use guildhall::{Config, RunningNode};
use tempfile::TempDir;

pub(crate) use gateway::{Gateway, Received};
pub(crate) use http::{Answer, Http};
pub(crate) use process::Process;

/// Longest wait for anything a healthy node does at once.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// All intents there are (bits 0–26).
pub(crate) const ALL_INTENTS: u64 = (1 << 27) - 1;

/// A node in this process, on the memory engine, with the demo guild.
pub(crate) struct TestNode {
    node: RunningNode,
    _directory: TempDir,
}

impl TestNode {
    /// Without rate limits.
    pub(crate) async fn start() -> Self {
        Self::start_with(|config| config.rate_limits = false).await
    }

    /// With what `change` makes of the configuration.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data: directory.path().to_owned(),
            storage: Some("memory:".to_owned()),
            drain_spread_ms: 10,
            ..Config::default()
        };
        change(&mut config);
        let demo = Demo {
            guild: true,
            users: 0,
        };
        let started = tokio::time::timeout(DEADLINE, guildhall::start(config, demo)).await;
        let node = started.expect("the node starts in time").unwrap();
        Self {
            node,
            _directory: directory,
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.node.addr()
    }

    pub(crate) fn node(&self) -> &RunningNode {
        &self.node
    }

    /// An HTTP client of the bot that owns the guild.
    pub(crate) fn http_a(&self) -> Http {
        Http::new(self.addr(), &self.env().token_a)
    }

    /// An HTTP client of the bot that is a plain member.
    pub(crate) fn http_b(&self) -> Http {
        Http::new(self.addr(), &self.env().token_b)
    }

    pub(crate) fn env(&self) -> &guildhall::demo::DemoEnv {
        self.node.env().expect("the demo guild was asked for")
    }

    pub(crate) fn channel(&self) -> String {
        self.env().channel_id.to_string()
    }

    pub(crate) fn guild(&self) -> String {
        self.env().guild_id.to_string()
    }

    /// A gateway connection of bot B that has READY and its guild.
    pub(crate) async fn gateway_b(&self) -> Gateway {
        Gateway::login(self.addr(), &self.env().token_b, ALL_INTENTS).await
    }

    /// What an innocent client sees: logs in, posts, and receives what it posted.
    pub(crate) async fn still_works(&self) {
        let mut gateway = self.gateway_b().await;
        let posted = self
            .http_a()
            .post_message(&self.channel(), "still here")
            .await;
        loop {
            let event = gateway.dispatch("MESSAGE_CREATE").await;
            if event["id"] == posted["id"] {
                break;
            }
        }
        gateway.close(1000).await;
    }

    pub(crate) async fn stop(self) {
        let stopped = tokio::time::timeout(DEADLINE, self.node.shutdown()).await;
        stopped.expect("the node stops in time").unwrap();
    }
}

/// Asks `probe` again and again until it answers something; panics past the deadline.
pub(crate) async fn eventually<T, F>(what: &str, mut probe: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let begin = tokio::time::Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(begin.elapsed() < DEADLINE, "not seen in time: {what}");
        // A pause between two looks, not a wait for a result: the loop decides by the condition.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A number that differs between runs, for the moment of a kill; printed by who uses it.
pub(crate) fn random(below: u64) -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::hash::RandomState::new().build_hasher().finish() % below
}
