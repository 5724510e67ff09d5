//! A keyspace of its own for a test, on the cluster `GUILDHALL_TEST_CQL` names.
#![allow(dead_code)]

use std::io::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};

/// The variable that names the cluster: `scylla://HOST:PORT[,HOST:PORT…]`.
pub(crate) const CLUSTER: &str = "GUILDHALL_TEST_CQL";

/// The variable with what follows the other options of its URLs, beginning with `&`, if anything.
const OPTIONS: &str = "GUILDHALL_TEST_CQL_OPTIONS";

/// Says that something is skipped: not by a macro, whose text the test harness keeps back.
pub(crate) fn skip(why: &str) {
    let _ = std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes());
}

/// The cluster the tests may use; `None`, and a line that says so, when there is none.
pub(crate) fn cluster() -> Option<String> {
    let cluster = std::env::var(CLUSTER).ok();
    if cluster.is_none() {
        static SAID: std::sync::Once = std::sync::Once::new();
        SAID.call_once(|| {
            skip("GUILDHALL_TEST_CQL names no cluster; tests/cassandra/run.sh COMMAND starts one");
        });
    }
    cluster
}

/// A keyspace that no other test uses. It goes with the cluster, whose data is thrown away.
pub(crate) struct Keyspace {
    name: String,
    url: String,
}

impl Keyspace {
    /// A new one with one replica, or `None` when there is no cluster.
    pub(crate) fn new() -> Option<Self> {
        Self::with_replicas(1)
    }

    /// A new one, made when it is first opened.
    pub(crate) fn with_replicas(replicas: u8) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let cluster = cluster()?;
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let name = format!(
            "test_{}_{}_{}",
            std::process::id(),
            since.subsec_nanos(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let options = std::env::var(OPTIONS).unwrap_or_default();
        let url = format!("{cluster}/{name}?replication_factor={replicas}{options}");
        Some(Self { name, url })
    }

    /// `HOST:PORT` of the cluster's nodes.
    pub(crate) fn nodes(&self) -> Vec<String> {
        let hosts = self.url.trim_start_matches("scylla://");
        let hosts = hosts.split('/').next().unwrap_or_default();
        hosts.split(',').map(str::to_owned).collect()
    }

    /// Whether its cluster is as it comes: see `tests/cassandra/run.sh`.
    pub(crate) fn as_it_comes(&self) -> bool {
        self.url.contains('@')
    }

    /// The URL that opens it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}
