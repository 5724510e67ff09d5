//! Apache Cassandra, as `tests/cassandra/run.sh` has started it for the tests; without it there is none.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longest time until a node that was started again takes connections.
const START_MAX: Duration = Duration::from_secs(180);

/// The nodes that run.
pub(crate) struct Cluster {
    /// `scylla://[user:password@]host:port[,…]`.
    url: String,
    /// What follows the other options of its URLs, beginning with `&`, if anything.
    options: String,
    folder: PathBuf,
}

impl Cluster {
    /// The cluster the tests may use; `None`, and a line that says so, when there is none.
    pub(crate) fn found() -> Option<Self> {
        let Ok(url) = std::env::var("GUILDHALL_TEST_CQL") else {
            skip("GUILDHALL_TEST_CQL names no cluster; tests/cassandra/run.sh COMMAND starts one");
            return None;
        };
        let folder = std::env::var_os("GUILDHALL_TEST_CQL_DIR").unwrap_or_default();
        Some(Self {
            url,
            options: std::env::var("GUILDHALL_TEST_CQL_OPTIONS").unwrap_or_default(),
            folder: folder.into(),
        })
    }

    fn hosts(&self) -> Vec<&str> {
        let hosts = self.url.rsplit(['/', '@']).next().unwrap();
        hosts.split(',').collect()
    }

    fn folder_of(&self, node: usize) -> PathBuf {
        self.folder.join((node + 1).to_string())
    }

    /// The same, when it has so many nodes, which the test may kill.
    pub(crate) fn of(nodes: usize) -> Option<Self> {
        let cluster = Self::found()?;
        let fits = cluster.hosts().len() == nodes;
        if !fits {
            skip(&format!("it needs tests/cassandra/run.sh --nodes {nodes}"));
        }
        fits.then_some(cluster)
    }

    /// Whether its nodes are as they come: see `tests/cassandra/run.sh`.
    pub(crate) fn as_it_comes(&self) -> bool {
        self.url.contains('@')
    }

    /// The folder of certificates, when its nodes take encrypted connections only.
    pub(crate) fn tls(&self) -> Option<PathBuf> {
        (!self.options.is_empty()).then(|| self.folder.join("tls"))
    }

    /// Whether its nodes want certificates of their clients too.
    pub(crate) fn wants_certificates(&self) -> bool {
        self.options.contains("tls_cert=")
    }

    /// The URL of a keyspace nobody else uses, made when it is first opened.
    pub(crate) fn keyspace(&self, replicas: u8) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let nanoseconds = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .subsec_nanos();
        let name = format!("system_{process}_{nanoseconds}_{number}");
        let (url, options) = (&self.url, &self.options);
        format!("{url}/{name}?replication_factor={replicas}{options}")
    }

    /// SIGKILL for a node, counted from 0; returns when nobody answers at its port any more.
    pub(crate) fn kill(&self, node: usize) {
        let pid = std::fs::read_to_string(self.folder_of(node).join("pid")).unwrap();
        let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        let begin = Instant::now();
        while self.takes_connections(node) {
            assert!(begin.elapsed() < START_MAX, "a killed node is gone");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts a node that was killed, with the data it had; returns at once, see
    /// [`Cluster::takes_connections`]. It stays for the tests that come; run.sh ends it.
    pub(crate) fn start_again(&self, node: usize) {
        let folder = self.folder_of(node);
        let out = std::fs::File::create(folder.join("out-again")).unwrap();
        let mut command = Command::new(folder.join("run"));
        command
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .process_group(0);
        // It ends with the thread that starts it: with this one, which waits for its end.
        std::thread::spawn(move || command.status().unwrap());
    }

    /// Whether a node listens for clients.
    pub(crate) fn takes_connections(&self, node: usize) -> bool {
        let address = self.hosts()[node].parse().unwrap();
        std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
    }
}

/// Not by a macro, whose text the test harness keeps back.
pub(crate) fn skip(why: &str) {
    let _ = std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes());
}
