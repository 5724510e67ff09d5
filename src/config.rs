//! One struct with everything an operator can set; from a TOML file, then the environment.
//!
//! Every key can be given as `GUILDHALL_<KEY>` in the environment (`GUILDHALL_LISTEN`,
//! `GUILDHALL_STORAGE`, …), which wins over the file. An unknown key in the file is an error, so
//! that a typing mistake does not silently keep a default.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use gateway::socket::admission::{IDENTIFIES_PER_PROCESSOR, RESUMES_PER_PROCESSOR, Rate};
use gateway::socket::compression::{self, ContextFor, ContextPolicy};
use serde::{Deserialize, Serialize};

const MIB: u64 = 1_024 * 1_024;

/// Settings of a node.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address of the one listener (HTTP API, gateway, page, metrics). Loopback by default.
    pub listen: SocketAddr,
    /// Address clients reach this node at, without a trailing slash; by default `http://` and the
    /// address of the listener. Attachment links and gateway URLs are made from it.
    pub public_url: Option<String>,
    /// Directory for everything the node writes; the defaults of the next three are below it.
    pub data: PathBuf,
    /// Storage engine: `fjall:DIR`, `memory:`, or a cluster:
    /// `scylla://[user:password@]host:port[,…]/keyspace`.
    pub storage: Option<String>,
    /// Where attachments are: `DIR`, `file:DIR`, `memory:` or `s3://BUCKET[/PREFIX][?…]`.
    pub blobs: Option<String>,
    /// MiB left free on the disks of the embedded store and of a directory of attachments: with less,
    /// what would be written is refused (503) and everything else goes on. 0 refuses nothing.
    pub disk_reserve_mib: u64,
    /// Path of the admin socket; only the owner of the process can use it.
    pub admin_socket: Option<PathBuf>,
    /// Whether HTTP and gateway rate limits apply. Turn off for load tests only.
    pub rate_limits: bool,
    /// Seconds a session without a connection can be resumed.
    pub resume_window_seconds: u64,
    /// Dispatches kept per session for RESUME.
    pub replay_events_max: usize,
    /// Most sessions; further IDENTIFYs are refused.
    pub sessions_max: usize,
    /// Sessions of one relay; a guild with more gets further relays.
    pub relay_sessions_max: usize,
    /// Members of a guild above which people's sessions are passive there until their client
    /// subscribes to something in it.
    pub passive_members_min: usize,
    /// Longest time, in seconds, until passive sessions are told which channels have moved.
    pub passive_update_seconds: u64,
    /// Most open connections; further ones are refused.
    pub connections_max: usize,
    /// New sessions (IDENTIFY) admitted in a second; by default 1,000 for each processor.
    pub identifies_per_second: Option<u32>,
    /// IDENTIFYs admitted at once after a rest; by default a second's worth.
    pub identifies_burst: Option<u32>,
    /// Sessions taken up again (RESUME) in a second; by default 2,500 for each processor.
    pub resumes_per_second: Option<u32>,
    /// RESUMEs admitted at once after a rest; by default a second's worth.
    pub resumes_burst: Option<u32>,
    /// Which connections may have a compression context of their own: `off`, `mobile` or `all`.
    pub compression_context: ContextFor,
    /// Most sessions an event is given to that goes through contexts; 0 = none does.
    pub compression_context_recipients_max: usize,
    /// Most compression contexts at once; further connections go on with shared blocks.
    pub compression_contexts_max: usize,
    /// Snowflake worker number of this node (0–1023).
    pub worker: u16,
    /// Milliseconds over which sessions are told to reconnect at shutdown.
    pub drain_spread_ms: u64,
    /// Seconds after which a shutdown gives up waiting and ends the process.
    pub shutdown_deadline_seconds: u64,
    /// Log filter, in the syntax of `RUST_LOG` (`info`, `guildhall=debug,chat=trace`).
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
}

impl std::fmt::Debug for Config {
    /// Without the password of the store.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = Self {
            storage: self.storage.as_deref().map(storage::engine::shown),
            ..self.clone()
        };
        let text = serde_json::to_string(&shown).map_err(|_| std::fmt::Error)?;
        write!(f, "Config {text}")
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
            public_url: None,
            data: PathBuf::from("data"),
            storage: None,
            blobs: None,
            disk_reserve_mib: storage::DISK_RESERVE / MIB,
            admin_socket: None,
            rate_limits: true,
            resume_window_seconds: 180,
            replay_events_max: 4_096,
            sessions_max: 100_000,
            relay_sessions_max: chat::relay::RELAY_SESSIONS_MAX,
            passive_members_min: chat::session::PASSIVE_MEMBERS_MIN,
            passive_update_seconds: chat::relay::PASSIVE_UPDATE_EVERY.as_secs(),
            connections_max: 100_000,
            identifies_per_second: None,
            identifies_burst: None,
            resumes_per_second: None,
            resumes_burst: None,
            compression_context: ContextFor::Off,
            compression_context_recipients_max: compression::CONTEXT_RECIPIENTS_MAX,
            compression_contexts_max: compression::CONTEXTS_MAX,
            worker: 0,
            drain_spread_ms: 1_000,
            shutdown_deadline_seconds: 20,
            log: "info,fjall=warn,lsm_tree=warn,scylla=error".to_owned(),
            log_format: LogFormat::Text,
        }
    }
}

impl Config {
    /// Reads `file` (if given) and the environment over the defaults.
    ///
    /// # Errors
    /// A file that cannot be read or parsed, an unknown key, or a value out of range; the message
    /// names the key and where it came from.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(file) = file {
            anyhow::ensure!(
                file.is_file(),
                "configuration file {} does not exist; docs/operating.md says what goes into it",
                file.display()
            );
            figment = figment.merge(Toml::file_exact(file));
        }
        let config: Self = figment
            .merge(Env::prefixed("GUILDHALL_"))
            .extract()
            .map_err(|error| anyhow::anyhow!("configuration: {error}"))?;
        config.check()?;
        Ok(config)
    }

    /// Checks ranges.
    ///
    /// # Errors
    /// Names the key and what it must be.
    pub fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.worker < 1_024,
            "worker: must be 0–1023, is {}",
            self.worker
        );
        anyhow::ensure!(self.sessions_max > 0, "sessions_max: must be above 0");
        anyhow::ensure!(
            self.relay_sessions_max > 0,
            "relay_sessions_max: must be above 0"
        );
        anyhow::ensure!(
            self.passive_update_seconds > 0,
            "passive_update_seconds: must be above 0"
        );
        anyhow::ensure!(self.connections_max > 0, "connections_max: must be above 0");
        for (key, value) in [
            ("identifies_per_second", self.identifies_per_second),
            ("identifies_burst", self.identifies_burst),
            ("resumes_per_second", self.resumes_per_second),
            ("resumes_burst", self.resumes_burst),
        ] {
            anyhow::ensure!(value != Some(0), "{key}: must be above 0");
        }
        anyhow::ensure!(
            self.compression_contexts_max > 0,
            "compression_contexts_max: must be above 0; for none, compression_context = \"off\""
        );
        anyhow::ensure!(
            self.replay_events_max > 0,
            "replay_events_max: must be above 0"
        );
        anyhow::ensure!(
            self.shutdown_deadline_seconds > 0,
            "shutdown_deadline_seconds: must be above 0"
        );
        if let Some(url) = &self.public_url {
            anyhow::ensure!(
                (url.starts_with("http://") || url.starts_with("https://")) && !url.ends_with('/'),
                "public_url: must begin with http:// or https:// and not end in a slash, is {url}"
            );
        }
        Ok(())
    }

    /// How many IDENTIFYs are admitted.
    pub fn identifies(&self) -> Rate {
        rate(
            self.identifies_per_second,
            self.identifies_burst,
            IDENTIFIES_PER_PROCESSOR,
        )
    }

    /// How many RESUMEs are admitted.
    pub fn resumes(&self) -> Rate {
        rate(
            self.resumes_per_second,
            self.resumes_burst,
            RESUMES_PER_PROCESSOR,
        )
    }

    /// Which connections have a compression context, and for what.
    pub fn compression_contexts(&self) -> ContextPolicy {
        ContextPolicy {
            connections: self.compression_context,
            recipients_max: self.compression_context_recipients_max,
            contexts_max: self.compression_contexts_max,
        }
    }

    /// Bytes left free on the disks that are written to.
    pub fn disk_reserve(&self) -> u64 {
        self.disk_reserve_mib.saturating_mul(MIB)
    }

    /// URL of the storage engine.
    pub fn storage_url(&self) -> String {
        self.storage
            .clone()
            .unwrap_or_else(|| format!("fjall:{}", self.data.join("store").display()))
    }

    /// Where attachments are; never with a secret in it.
    pub fn blobs_place(&self) -> String {
        self.blobs
            .clone()
            .unwrap_or_else(|| format!("file:{}", self.data.join("blobs").display()))
    }

    /// Path of the admin socket.
    pub fn admin_socket_path(&self) -> PathBuf {
        self.admin_socket
            .clone()
            .unwrap_or_else(|| self.data.join("admin.sock"))
    }

    /// Time limit of a shutdown.
    pub fn shutdown_deadline(&self) -> Duration {
        Duration::from_secs(self.shutdown_deadline_seconds)
    }

    /// Makes the data directory, for the user that runs the node alone: the secret behind all tokens
    /// is in it.
    ///
    /// # Errors
    /// When it cannot be made; the message names it.
    pub fn make_data_dir(&self) -> anyhow::Result<()> {
        use std::os::unix::fs::DirBuilderExt as _;
        let mut builder = std::fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(&self.data)
            .with_context(|| {
                format!(
                    "cannot make the data directory {}; choose another: `dev --data DIR`, or the key data (GUILDHALL_DATA) of `serve`",
                    self.data.display()
                )
            })
    }
}

fn rate(per_second: Option<u32>, burst: Option<u32>, per_processor: u32) -> Rate {
    let per_second = per_second.unwrap_or_else(|| Rate::per_processor(per_processor).per_second);
    Rate::new(per_second, burst.unwrap_or(per_second))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("guildhall.toml");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn a_file_overrides_defaults() {
        let (_dir, path) = written("listen = \"127.0.0.1:4000\"\nrate_limits = false\n");
        let config = Config::load(Some(&path)).unwrap();
        assert_eq!(config.listen.port(), 4_000);
        assert!(!config.rate_limits);
        assert_eq!(config.sessions_max, Config::default().sessions_max);
    }

    #[test]
    fn unknown_keys_bad_types_and_bad_ranges_are_named() {
        for (text, named) in [
            ("lisen = \"127.0.0.1:4000\"", "lisen"),
            ("listen = \"here\"", "listen"),
            ("worker = 5000", "worker"),
            ("sessions_max = 0", "sessions_max"),
            ("identifies_per_second = 0", "identifies_per_second"),
            ("resumes_burst = -1", "resumes_burst"),
            ("public_url = \"localhost\"", "public_url"),
            ("log_format = \"xml\"", "log_format"),
            ("compression_context = \"phones\"", "compression_context"),
            ("compression_context = true", "compression_context"),
            (
                "compression_context_recipients_max = -1",
                "compression_context_recipients_max",
            ),
            ("compression_contexts_max = 0", "compression_contexts_max"),
            (
                "compression_contexts_max = \"many\"",
                "compression_contexts_max",
            ),
            ("blobs = 7", "blobs"),
        ] {
            let (_dir, path) = written(text);
            let error = Config::load(Some(&path)).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn a_burst_is_a_second_unless_said_otherwise() {
        let (_dir, path) = written("identifies_per_second = 50\nresumes_burst = 7\n");
        let config = Config::load(Some(&path)).unwrap();
        assert_eq!(config.identifies(), Rate::new(50, 50));
        assert_eq!(config.resumes().burst, 7);
        assert!(config.resumes().per_second >= RESUMES_PER_PROCESSOR);
    }

    #[test]
    fn contexts_are_off_unless_said_otherwise() {
        let default = Config::default().compression_contexts();
        assert_eq!(default, ContextPolicy::default());
        assert_eq!(default.connections, ContextFor::Off);
        let (_dir, path) = written(
            "compression_context = \"mobile\"\ncompression_context_recipients_max = 7\n\
             compression_contexts_max = 9\n",
        );
        assert_eq!(
            Config::load(Some(&path)).unwrap().compression_contexts(),
            ContextPolicy {
                connections: ContextFor::Mobile,
                recipients_max: 7,
                contexts_max: 9
            }
        );
    }

    #[test]
    fn the_password_of_the_store_is_not_shown() {
        let (_dir, path) = written("storage = \"scylla://ada:secret@db1:9042/hall\"\n");
        let config = Config::load(Some(&path)).unwrap();
        assert!(config.storage_url().contains("secret"));
        let shown = format!("{config:?}");
        assert!(
            shown.contains("db1:9042") && !shown.contains("secret"),
            "{shown}"
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Config::load(Some(Path::new("/nowhere/guildhall.toml"))).unwrap_err();
        assert!(error.to_string().contains("/nowhere/guildhall.toml"));
    }
}
