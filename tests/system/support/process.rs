//! A node of its own: the real binary, started, killed and told to stop.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::Http;

/// Longest time until a node serves: on a cluster it makes its tables first.
const START_MAX: Duration = Duration::from_secs(90);

/// Longest time a measurement of a test takes.
const RUN_MAX: Duration = Duration::from_secs(120);

/// The binary as a child process; killed when dropped.
pub(crate) struct Process {
    child: Child,
    env: HashMap<String, String>,
    /// What it logged so far, and the lines that come yet.
    log: Option<(String, mpsc::Receiver<String>)>,
}

impl Process {
    /// Runs the binary to its end; one that goes on running is killed and fails the test.
    pub(crate) fn run(arguments: &[&str]) -> Output {
        Self::run_in(arguments, &[])
    }

    /// The same with these variables in its environment.
    pub(crate) fn run_in(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_guildhall"))
            .args(arguments)
            .env_remove("GUILDHALL_STORAGE")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let begin = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if begin.elapsed() > RUN_MAX {
                child.kill().unwrap();
                panic!("{arguments:?} ends in time");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        child.wait_with_output().unwrap()
    }

    /// Starts `guildhall dev` on a free port with this data directory, and waits for its variables.
    pub(crate) fn dev(data: &Path, arguments: &[&str]) -> Self {
        Self::dev_in(data, arguments, &[])
    }

    /// The same with these variables in its environment.
    pub(crate) fn dev_in(data: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_guildhall"))
            .args(["dev", "--print-env", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(arguments)
            .env_remove("GUILDHALL_STORAGE")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (lines, received) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
        let mut process = Self {
            child,
            env: HashMap::new(),
            log: None,
        };
        while !process.env.contains_key("CHANNEL_ID") {
            let line = received
                .recv_timeout(START_MAX)
                .expect("the node prints its variables in time");
            let (name, value) = line
                .split_once('=')
                .expect("--print-env prints NAME=value only");
            process.env.insert(name.to_owned(), value.to_owned());
        }
        process
    }

    /// Starts `guildhall serve` on a free port with this data directory, and waits until it says
    /// that it serves; [`Process::end`] has its log.
    pub(crate) fn serve(data: &Path) -> Self {
        Self::serve_with(data, &[])
    }

    /// The same, with these variables in its environment.
    pub(crate) fn serve_with(data: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guildhall"));
        // What the tests are told of a cluster is no key of the configuration.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GUILDHALL_")) {
            command.env_remove(name);
        }
        let mut child = command
            .arg("serve")
            .envs(environment.iter().copied())
            .env("GUILDHALL_LISTEN", "127.0.0.1:0")
            .env("GUILDHALL_DATA", data)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = child.stderr.take().unwrap();
        let (lines, received) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
        let mut log = String::new();
        while !log.contains("serving") {
            log += &received
                .recv_timeout(START_MAX)
                .expect("the node serves in time");
            log.push('\n');
        }
        Self {
            child,
            env: HashMap::new(),
            log: Some((log, received)),
        }
    }

    /// How a [`Process::serve`] ended, and all it logged; panics when it does not within `limit`.
    pub(crate) fn end(&mut self, limit: Duration) -> (ExitStatus, String) {
        let status = self.wait(limit);
        let (mut log, received) = self.log.take().expect("the log is kept");
        for line in received {
            log += &line;
            log.push('\n');
        }
        (status, log)
    }

    pub(crate) fn var(&self, name: &str) -> &str {
        &self.env[name]
    }

    /// All variables but the two that hold the port.
    pub(crate) fn identity(&self) -> Vec<(String, String)> {
        let own = self
            .env
            .iter()
            .filter(|(name, _)| !["API_BASE", "GATEWAY_URL"].contains(&name.as_str()));
        let mut own: Vec<_> = own
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        own.sort();
        own
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.var("GATEWAY_URL")
            .strip_prefix("ws://")
            .unwrap()
            .parse()
            .unwrap()
    }

    pub(crate) fn http_a(&self) -> Http {
        Http::new(self.addr(), self.var("TOKEN_A"))
    }

    /// SIGKILL; returns when the process is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// How the process ended; panics when it does not within `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < limit, "the process ends within {limit:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
