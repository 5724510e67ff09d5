//! A server of S3 of its own for a test: the program `GUILDHALL_TEST_S3` names.
#![allow(dead_code, clippy::unwrap_used)]

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The variable that names the program.
const PROGRAM: &str = "GUILDHALL_TEST_S3";
/// The bucket every server has.
pub(crate) const BUCKET: &str = "test-blobs";
/// What a server asks for.
pub(crate) const KEY_ID: &str = "testkeyid";
pub(crate) const SECRET: &str = "testsecret";

const DEADLINE: Duration = Duration::from_secs(30);

/// Starts the program; killed, and its files deleted, when dropped.
pub(crate) struct Server {
    program: String,
    folder: tempfile::TempDir,
    addr: SocketAddr,
    /// The folder of the certificate, if it speaks TLS.
    tls: Option<PathBuf>,
    child: Option<Child>,
}

/// Waits until it is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < DEADLINE, "in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Server {
    /// A server with an empty bucket, or `None` and a line that says so when there is no program.
    pub(crate) fn start() -> Option<Self> {
        Self::with(None)
    }

    /// The same over TLS, with the certificate of `GUILDHALL_TEST_S3_TLS`.
    pub(crate) fn with_tls() -> Option<Self> {
        Self::with(std::env::var_os("GUILDHALL_TEST_S3_TLS").map(PathBuf::from))
            .filter(|server| server.tls.is_some())
    }

    fn with(tls: Option<PathBuf>) -> Option<Self> {
        let Ok(program) = std::env::var(PROGRAM) else {
            static SAID: std::sync::Once = std::sync::Once::new();
            SAID.call_once(|| {
                let line =
                    "SKIPPED: GUILDHALL_TEST_S3 names no server; tests/s3/run.sh COMMAND does\n";
                // Not by a macro, whose text the test harness keeps back.
                let _ = std::io::stderr().write_all(line.as_bytes());
            });
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("data").join(BUCKET)).unwrap();
        let keys =
            format!("[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n");
        std::fs::write(folder.path().join("keys"), keys).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut server = Self {
            program,
            folder,
            addr: free.local_addr().unwrap(),
            tls,
            child: None,
        };
        drop(free);
        server.restart();
        Some(server)
    }

    /// Starts it again on the same port, with the same files.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        let mut command = Command::new(&self.program);
        if let Some(tls) = &self.tls {
            command.arg("--cert").arg(tls.join("cert.pem"));
            command.arg("--key").arg(tls.join("key.pem"));
        }
        let child = command
            .args(["--access", KEY_ID, "--secret", SECRET, "--port"])
            .arg(self.addr.to_string())
            .arg("posix")
            .arg(self.folder.path().join("data"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        until("the server of S3 listens", || {
            TcpStream::connect(self.addr).is_ok()
        });
    }

    /// SIGKILL; returns when it is gone.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The file with the credentials.
    pub(crate) fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    /// `http://HOST:PORT`, or `https://localhost:PORT`.
    pub(crate) fn endpoint(&self) -> String {
        match self.tls {
            Some(_) => format!("https://localhost:{}", self.addr.port()),
            None => format!("http://{}", self.addr),
        }
    }

    /// Who signed its certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.tls.as_ref().unwrap().join("ca.pem")
    }

    /// The files of the bucket.
    pub(crate) fn files(&self) -> PathBuf {
        self.folder.path().join("data").join(BUCKET)
    }

    /// What opens the bucket, with credentials of a file.
    pub(crate) fn place(&self, prefix: &str) -> String {
        let (endpoint, keys) = (self.endpoint(), self.keys());
        format!(
            "s3://{BUCKET}/{prefix}?endpoint={endpoint}&region=us-east-1&credentials={}",
            keys.display()
        )
    }

    /// Multipart uploads that were begun and neither completed nor aborted.
    pub(crate) fn unfinished(&self) -> usize {
        // BUCKET/.sgwtmp/multipart/KEY/UPLOAD
        let all = self.files().join(".sgwtmp").join("multipart");
        entries(&all).iter().map(|key| entries(key).len()).sum()
    }
}

fn entries(path: &Path) -> Vec<PathBuf> {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => Vec::new(),
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
