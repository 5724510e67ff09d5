//! The order in which a node starts and stops; the only file that knows every crate.
//!
//! ```text
//! start:  listener ─▶ store ─▶ data service ─▶ actor node ─▶ chat ─▶ (demo) ─▶ gateway ─▶ admin
//! stop:   not ready ─▶ op 7 to sessions ─▶ guild lanes empty ─▶ sockets closed (1001) ─▶ gateway
//!         ─▶ store closed
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chat::{Chat, ChatConfig};
use gateway::{Context as GatewayContext, GatewayConfig};
use storage::DataService;
use storage::blob::BlobStore;
use storage::migrate::Switch;
use storage::migrate::online::Online;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin};
use crate::config::Config;
use crate::demo::{self, DemoEnv};

/// What a start should create before it serves, and do otherwise than a node in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Demo {
    /// The demo guild with two bots and a person.
    pub guild: bool,
    /// People in the demo guild besides.
    pub users: usize,
    /// Every read of messages is one of the store, even if the same is on its way: for `bench store`,
    /// which shows what the joining of reads is worth.
    pub reads_apart: bool,
}

/// A node that serves.
pub struct RunningNode {
    addr: SocketAddr,
    config: Config,
    chat: Chat,
    data: DataService,
    context: GatewayContext,
    demo: Option<DemoEnv>,
    demo_tokens: Vec<String>,
    stop_accepting: CancellationToken,
    server: JoinHandle<()>,
    observer: JoinHandle<()>,
    watch: JoinHandle<storage::StoreError>,
    admin: Option<Admin>,
}

/// How often the gauges of the process table and the health of the store are looked at.
const OBSERVE_EVERY: Duration = Duration::from_secs(2);

/// Looks at a broken store between two lines of the log.
const TOLD_EVERY: u32 = 15;

fn ticks() -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(OBSERVE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

/// Keeps the gauges of the process table current.
fn observe(actors: otp::Node) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = ticks();
        loop {
            ticks.tick().await;
            actors.record_metrics();
        }
    })
}

/// Waits until the store is broken *and* a fresh start would help; answers why it broke. As long as
/// the disk takes no writes a start would fail, and reads can go on here.
fn watch(data: DataService) -> JoinHandle<storage::StoreError> {
    tokio::spawn(async move {
        let mut ticks = ticks();
        let mut looks = 0_u32;
        loop {
            ticks.tick().await;
            let Err(broken) = data.health() else {
                continue;
            };
            let Err(still) = data.mended().await else {
                return broken;
            };
            metrics::counter!("guildhall_store_mend_checks_total").increment(1);
            if looks.is_multiple_of(TOLD_EVERY) {
                tracing::error!(%broken, %still, "the store takes no writes; reads go on, and the node ends to be started again as soon as that helps");
            }
            looks = looks.wrapping_add(1);
        }
    })
}

/// Starts a node; it serves when this returns.
///
/// # Errors
/// The first step that failed, named; nothing is left running.
pub async fn start(config: Config, demo: Demo) -> anyhow::Result<RunningNode> {
    config.check()?;
    // Before anything is counted: a handle that is older than the recorder counts into the void.
    gateway::telemetry::Exporter::installed();
    let in_memory = config.storage_url().starts_with("memory:");
    config.make_data_dir()?;
    let listener = gateway::server::listen(config.listen).with_context(|| {
        format!(
            "cannot listen on {}; choose another address: `dev --listen HOST:PORT`, or the key listen (GUILDHALL_LISTEN) of `serve`",
            config.listen
        )
    })?;
    let addr = listener.local_addr()?;
    let public_url = config
        .public_url
        .clone()
        .unwrap_or_else(|| format!("http://{addr}"));

    let shown = storage::engine::shown(&config.storage_url());
    let store = storage::engine::open_with_reserve(&config.storage_url(), config.disk_reserve())
        .await
        .map_err(|error| match error {
            // Written for the operator, who has not lost anything.
            storage::StoreError::Broken(text) => anyhow::anyhow!(text),
            other => other.into(),
        })
        .with_context(|| format!("cannot open the store {shown}"))?;
    storage::migrate::servable(&*store)
        .await
        .with_context(|| format!("cannot serve from the store {shown}"))?;
    let switch = Arc::new(Switch::new(store));
    let migration = Online::new(switch.clone(), &config.storage_url());
    let data = if demo.reads_apart {
        DataService::without_joining(switch)
    } else {
        DataService::new(switch)
    };
    // The place itself is not named: what an operator mistook for one may hold a secret.
    let blobs = BlobStore::open_with_reserve(&config.blobs_place(), config.disk_reserve())
        .await
        .context("cannot open the place for attachments (the key blobs, or --blobs)")?;

    let actors = otp::Node::new(format!("guildhall@{addr}"));
    let chat_config = ChatConfig {
        public_url: public_url.clone(),
        resume_window: Duration::from_secs(config.resume_window_seconds),
        replay_events_max: config.replay_events_max,
        sessions_max: config.sessions_max,
        relay_sessions_max: config.relay_sessions_max,
        passive_members_min: config.passive_members_min,
        passive_update_every: Duration::from_secs(config.passive_update_seconds),
        fenced_rest: chat::guild::ownership::FENCED_REST,
        worker: config.worker,
    };
    let chat = Chat::start(actors, data.clone(), blobs, chat_config)
        .await
        .context("cannot start the chat system")?;

    let env = if demo.guild {
        Some(demo::ensure(&chat, &data).await?)
    } else {
        None
    };
    let demo_tokens = match &env {
        Some(env) if demo.users > 0 => {
            demo::ensure_users(&chat, &data, env.guild_id, demo.users).await?
        }
        _ => Vec::new(),
    };

    let context = GatewayContext::new(
        chat.clone(),
        GatewayConfig {
            public_url,
            rate_limits: config.rate_limits,
            connections_max: config.connections_max,
            identifies: config.identifies(),
            resumes: config.resumes(),
            compression_context: config.compression_contexts(),
            ..GatewayConfig::default()
        },
    );
    let stop_accepting = CancellationToken::new();
    let server = {
        let (context, stop) = (context.clone(), stop_accepting.clone());
        tokio::spawn(async move {
            gateway::server::serve(listener, context, async move { stop.cancelled().await }).await;
        })
    };
    let admin = if in_memory && config.admin_socket.is_none() {
        None
    } else {
        Some(admin::listen(&config.admin_socket_path(), chat.clone(), migration).await?)
    };
    let observer = observe(chat.node().clone());
    let watch = watch(data.clone());
    context.set_ready(true);
    tracing::info!(%addr, storage = shown, "serving");
    Ok(RunningNode {
        addr,
        config,
        chat,
        data,
        context,
        demo: env,
        demo_tokens,
        stop_accepting,
        server,
        observer,
        watch,
        admin,
    })
}

impl RunningNode {
    /// Address of the listener.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The demo's tokens and ids, when the node was started with [`Demo::guild`].
    pub fn env(&self) -> Option<&DemoEnv> {
        self.demo.as_ref()
    }

    /// Tokens of the demo's people, in the order they were made.
    pub fn demo_tokens(&self) -> &[String] {
        &self.demo_tokens
    }

    /// The chat system.
    pub fn chat(&self) -> &Chat {
        &self.chat
    }

    /// Resolves when the node cannot go on: its listener failed, or its store is broken and a fresh
    /// start would open it. The process should end and be started again; everything acknowledged is
    /// durable. While the disk under a broken store takes no writes this waits: reads go on.
    pub async fn failed(&mut self) -> anyhow::Error {
        tokio::select! {
            _ = &mut self.server => anyhow::anyhow!("the listener stopped; the log says why"),
            broken = &mut self.watch => match broken {
                Ok(broken) => anyhow::Error::new(broken).context("start the node again"),
                Err(_) => anyhow::anyhow!("the watch over the store stopped"),
            },
        }
    }

    /// Drains and stops: sessions are told to reconnect (op 7), guilds finish what they accepted,
    /// connections that are still there are closed (1001), the gateway stops accepting, the store
    /// is closed. Within the configured deadline; what is not done by then is cut off, and everything
    /// acknowledged is durable all the same.
    ///
    /// # Errors
    /// When the deadline passed, or the store did not close cleanly.
    pub async fn shutdown(mut self) -> anyhow::Result<()> {
        let deadline = self.config.shutdown_deadline();
        self.context.set_ready(false);
        self.admin.take();
        self.observer.abort();
        self.watch.abort();
        let spread = Duration::from_millis(self.config.drain_spread_ms);
        let stopped = tokio::time::timeout(deadline, async {
            self.chat.drain(spread, deadline).await;
            self.context.sockets().close_all().await;
            self.stop_accepting.cancel();
            let _ = (&mut self.server).await;
            self.chat.node().stop().await;
            self.data.close().await
        });
        match stopped.await {
            Ok(closed) => Ok(closed.context("the store did not close cleanly")?),
            Err(_) => anyhow::bail!(
                "not stopped within {} s; what was acknowledged is durable",
                deadline.as_secs()
            ),
        }
    }
}
