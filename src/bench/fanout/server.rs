//! The measured server: this program again or another one, as a child process, and what the kernel
//! says about it.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

/// Kernel clock ticks a second in `/proc/PID/stat`; fixed on Linux (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// A node in a directory of its own; both are gone when it is dropped.
pub(crate) struct Server {
    child: Child,
    directory: PathBuf,
    vars: HashMap<String, String>,
    addr: SocketAddr,
    tokens: Vec<String>,
}

/// Processor time of a process, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu {
    /// In user mode and in the kernel.
    pub(crate) total: f64,
    /// In user mode.
    pub(crate) user: f64,
}

impl Cpu {
    /// What was used since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            total: self.total - earlier.total,
            user: self.user - earlier.user,
        }
    }
}

/// A node of this program, with its messages in this store; `fjall:` in its folder when left out.
///
/// # Errors
/// When the program cannot be found.
pub(crate) fn node(storage: Option<&str>) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["dev", "--listen", "127.0.0.1:0", "--print-env"]);
    command.args(["--rate-limits", "off"]);
    // Not as an argument: it may have a password.
    match storage {
        Some(url) => command.env("GUILDHALL_STORAGE", url),
        None => command.env_remove("GUILDHALL_STORAGE"),
    };
    Ok(command)
}

/// Another program.
///
/// # Errors
/// When there is none at that path.
pub(crate) fn other(program: &Path) -> anyhow::Result<Command> {
    let program = program
        .canonicalize()
        .with_context(|| format!("no server at {}", program.display()))?;
    Ok(Command::new(program))
}

impl Server {
    /// Starts `command` with `users` people in its demo guild.
    ///
    /// # Errors
    /// When it does not come up.
    pub(crate) async fn start(
        mut command: Command,
        users: usize,
        pin: bool,
    ) -> anyhow::Result<Self> {
        let directory =
            std::env::temp_dir().join(format!("guildhall-bench-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        command
            .arg("--demo-users")
            .arg(users.to_string())
            .arg("--data")
            .arg(&directory);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let child = child.context("cannot start the node")?;
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        // From here on dropping the value ends the child.
        let mut server = Self {
            child,
            directory,
            vars: HashMap::new(),
            addr,
            tokens: Vec::new(),
        };
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        if pin && processors > 1 {
            keep_on(server.child.id(), 0)?;
            keep_on(std::process::id(), processors - 1)?;
        }
        let stdout = server
            .child
            .stdout
            .take()
            .context("the node's output is piped")?;
        // Ends with the node, if not before: a node that does not come up closes its output.
        let reading = tokio::task::spawn_blocking(move || {
            let mut vars = HashMap::new();
            for line in BufReader::new(stdout).lines() {
                let line = line?;
                let (name, value) = line.split_once('=').context("not NAME=value")?;
                vars.insert(name.to_owned(), value.to_owned());
                if name == "CHANNEL_ID" {
                    return Ok(vars);
                }
            }
            anyhow::bail!("the node ended before it served; what it said is above")
        });
        server.vars = tokio::time::timeout(super::DEADLINE, reading)
            .await
            .context("the node does not serve")???;
        let url = server.var("GATEWAY_URL")?;
        server.addr = url.strip_prefix("ws://").context("a ws:// URL")?.parse()?;
        if users > 0 {
            let tokens = std::fs::read_to_string(server.directory.join("demo-tokens.txt"))?;
            server.tokens = tokens.lines().map(str::to_owned).collect();
        }
        anyhow::ensure!(
            server.tokens.len() == users,
            "{} tokens for {users} users",
            server.tokens.len()
        );
        Ok(server)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Tokens of the people, one each.
    pub(crate) fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// A variable the node printed.
    pub(crate) fn var(&self, name: &str) -> anyhow::Result<&str> {
        self.vars
            .get(name)
            .map(String::as_str)
            .with_context(|| format!("the node printed no {name}"))
    }

    /// Its processor time.
    pub(crate) fn cpu(&self) -> anyhow::Result<Cpu> {
        cpu(self.child.id())
    }

    /// Resident memory.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        memory(self.child.id(), "VmRSS:")
    }

    /// The most memory that was resident at any time.
    pub(crate) fn peak_bytes(&self) -> anyhow::Result<u64> {
        memory(self.child.id(), "VmHWM:")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A line of what the kernel says about the memory of a process, in bytes.
///
/// # Errors
/// When it does not, because the process has ended.
pub(crate) fn memory(process: u32, line: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let found = status.lines().find_map(|found| found.strip_prefix(line));
    let found = found.with_context(|| line.to_owned())?;
    let kib: u64 = found.split_whitespace().next().context("a size")?.parse()?;
    Ok(kib * 1_024)
}

/// Processor time of all threads of a process, ended ones included in the part in user mode.
///
/// # Errors
/// When the kernel does not tell, because the process has ended.
pub(crate) fn cpu(process: u32) -> anyhow::Result<Cpu> {
    let mut nanoseconds = 0;
    for path in tasks(process)? {
        // A thread that ended between listing and reading is left out.
        let Ok(text) = std::fs::read_to_string(path.join("schedstat")) else {
            continue;
        };
        nanoseconds += text
            .split_whitespace()
            .next()
            .unwrap_or("0")
            .parse::<u64>()?;
    }
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name may contain blanks; fields are counted after its closing parenthesis.
    let fields = stat.rsplit_once(')').context("a process name")?.1;
    let user: f64 = fields
        .split_whitespace()
        .nth(11)
        .context("utime")?
        .parse()?;
    Ok(Cpu {
        total: nanoseconds as f64 / 1e9,
        user: user / TICKS_PER_SECOND,
    })
}

fn tasks(process: u32) -> anyhow::Result<Vec<PathBuf>> {
    let directory = std::fs::read_dir(Path::new("/proc").join(process.to_string()).join("task"))?;
    Ok(directory
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect())
}

/// Keeps all threads of a process on one processor; threads it starts later inherit that.
fn keep_on(process: u32, processor: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(processor);
    for path in tasks(process)? {
        let thread = path
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok())
            .and_then(Pid::from_raw);
        sched_setaffinity(thread, &set).context("cannot choose a processor; try --no-pin")?;
    }
    Ok(())
}
