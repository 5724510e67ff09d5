//! A client of the measurements that are about connections: it identifies, reads, loses its socket
//! when it is told to, comes back as stock clients do, and keeps account of every message.
//!
//! ```text
//!  run: ──▶ reading ──Cut──▶ away ──▶ sign in: RESUME or IDENTIFY, again if refused ──▶ reading
//!              └──Freeze──▶ frozen: reads nothing ──Thaw──▶ reading, RESUME if it was cut
//! ```
//! A life is what happens between two READYs. Messages are numbered by one publisher, so within a
//! life none may be missing, come twice or too early, whatever happens to the sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::fanout::frames::{FrameBuffer, TEXT, text_frame};
use super::fanout::receiver::{measured, number_after, read_head, read_some};
use super::fanout::server::Server;
use super::fanout::tally::{Histogram, Ledger};

/// Intents of a client that is told of the guild and its messages: GUILDS, GUILD_MESSAGES and
/// MESSAGE_CONTENT.
pub(crate) const INTENTS: u64 = 1 | 1 << 9 | 1 << 15;
/// Time for the node to answer a login.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Time to be signed in, with all tries.
const SIGN_IN_MAX: Duration = Duration::from_secs(120);
/// Shortest pause before another try, where stock clients make one.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// How often a client sends a heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Bytes read at a time.
const READ_MAX: usize = 16 * 1024;

/// What all clients of a run share.
pub(crate) struct Common {
    began: Instant,
    /// Of deliveries, by phase.
    pub(crate) latency: [Histogram; PHASES],
    phase: AtomicUsize,
    /// Messages published so far.
    pub(crate) published: AtomicU64,
}

/// Phases of a run that are told apart.
pub(crate) const PHASES: usize = 4;

impl Common {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            latency: std::array::from_fn(|_| Histogram::default()),
            phase: AtomicUsize::new(0),
            published: AtomicU64::new(0),
        }
    }

    /// Microseconds since the run began.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// What happens from now on is of this phase, below [`PHASES`].
    pub(crate) fn enter(&self, phase: usize) {
        self.phase.store(phase.min(PHASES - 1), Ordering::Release);
    }

    pub(crate) fn phase(&self) -> usize {
        self.phase.load(Ordering::Acquire)
    }
}

/// How a session is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Resume,
    Identify,
}

/// What a client is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// Lose the socket after a while, and come back a while later.
    Cut {
        after: Duration,
        away: Duration,
        how: Kind,
    },
    /// Read nothing.
    Freeze,
    /// Go on reading.
    Thaw,
}

/// A client is back.
#[derive(Debug)]
pub(crate) struct Back {
    /// How it asked.
    pub(crate) how: Kind,
    /// From its first try.
    pub(crate) took: Duration,
    /// How often it was told to come back later.
    pub(crate) refusals: u64,
    /// It wanted to resume and was told that it cannot (op 9, `d: false`).
    pub(crate) lost: bool,
}

/// What a client has to say in the end.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Of all its lives.
    pub(crate) sum: Ledger,
    /// The node ended a connection unasked.
    pub(crate) cuts: u64,
}

/// One client.
pub(crate) struct Client {
    addr: SocketAddr,
    token: String,
    /// The guild it shows: in a large one it would not be told of messages else.
    guild: String,
    /// For one connection; its frames begin anew with it.
    buffer: FrameBuffer,
    session: String,
    ledger: Ledger,
    /// Number of the first message of this life.
    base: Option<u64>,
    account: Account,
    common: Arc<Common>,
    /// The last message it has, one up; 0 = none in this life.
    pub(crate) reached: Arc<AtomicU64>,
}

/// What a payload means to a client.
enum Said {
    Nothing,
    Ready(String),
    Resumed,
    /// Op 7.
    Reconnect,
    /// Op 9 with its `d`.
    Invalid(bool),
    Closed,
}

impl Client {
    pub(crate) fn new(addr: SocketAddr, token: String, guild: String, common: Arc<Common>) -> Self {
        Self {
            addr,
            token,
            guild,
            buffer: FrameBuffer::default(),
            session: String::new(),
            ledger: Ledger::default(),
            base: None,
            account: Account::default(),
            common,
            reached: Arc::default(),
        }
    }

    /// Signs in, again and again until it is.
    ///
    /// # Errors
    /// When it is not within [`SIGN_IN_MAX`].
    pub(crate) async fn sign_in(&mut self, how: Kind) -> anyhow::Result<(TcpStream, Back)> {
        let began = Instant::now();
        let mut back = Back {
            how,
            took: Duration::ZERO,
            refusals: 0,
            lost: false,
        };
        let mut asking = how;
        loop {
            ensure!(began.elapsed() < SIGN_IN_MAX, "not signed in in time");
            match self.try_sign_in(asking).await {
                Ok(Ok(stream)) => {
                    back.took = began.elapsed();
                    return Ok((stream, back));
                }
                Ok(Err(Said::Invalid(false))) => {
                    back.lost |= asking == Kind::Resume;
                    back.refusals += u64::from(asking == Kind::Identify);
                    asking = Kind::Identify;
                    pause().await;
                }
                // As stock clients: at once.
                Ok(Err(_)) => back.refusals += 1,
                // No connection, no upgrade.
                Err(_) => {
                    back.refusals += 1;
                    pause().await;
                }
            }
        }
    }

    /// One try; what the node said instead.
    async fn try_sign_in(&mut self, how: Kind) -> anyhow::Result<Result<TcpStream, Said>> {
        let mut stream = TcpStream::connect(self.addr).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET /?v=10&encoding=json HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: Z3VpbGRoYWxsIGJlbmNoIQ==\r\n\r\n",
            self.addr
        );
        stream.write_all(request.as_bytes()).await?;
        self.buffer = FrameBuffer::default();
        let mut rest = read_head(&stream).await?;
        let login = match how {
            Kind::Resume => json!({"op": 6, "d": {
                "token": self.token, "session_id": self.session, "seq": self.ledger.sequence,
            }}),
            Kind::Identify => json!({"op": 2, "d": {
                "token": self.token,
                "intents": INTENTS,
                "properties": {"os": "linux", "browser": "guildhall-bench", "device": "guildhall-bench"},
            }}),
        };
        stream.write_all(&text_frame(&login.to_string())).await?;
        let answered = async {
            loop {
                for said in self.take(&rest) {
                    match said {
                        Said::Nothing => {}
                        Said::Ready(session) => {
                            self.session = session;
                            return Ok(Ok(()));
                        }
                        Said::Resumed => return Ok(Ok(())),
                        other => return Ok(Err(other)),
                    }
                }
                rest = read_some(&stream).await?;
            }
        };
        let answered = tokio::time::timeout(ANSWER_MAX, answered).await;
        let answered: anyhow::Result<Result<(), Said>> = answered.context("no answer")?;
        let answered = answered?;
        if how == Kind::Identify && answered.is_ok() {
            let shows = json!({ &self.guild: {"typing": true, "activities": true} });
            let shows = json!({"op": 37, "d": {"subscriptions": shows}});
            stream.write_all(&text_frame(&shows.to_string())).await?;
        }
        Ok(answered.map(|()| stream))
    }

    /// Reads and does what it is told, until there are no more orders; what it has to account for.
    /// Reports to `backs` each time it is back.
    ///
    /// # Errors
    /// When it could not sign in again.
    pub(crate) async fn run(
        mut self,
        mut stream: TcpStream,
        mut orders: mpsc::UnboundedReceiver<Order>,
        backs: mpsc::UnboundedSender<Back>,
    ) -> anyhow::Result<Account> {
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        let mut frozen = false;
        let mut scratch = Vec::with_capacity(READ_MAX);
        loop {
            let mut cut = false;
            tokio::select! {
                order = orders.recv() => match order {
                    None => return Ok(self.finish()),
                    Some(Order::Freeze) => frozen = true,
                    Some(Order::Thaw) => frozen = false,
                    Some(Order::Cut { after, away, how }) => {
                        tokio::time::sleep(after).await;
                        // A reset: what was under way is lost.
                        stream.set_zero_linger()?;
                        drop(stream);
                        tokio::time::sleep(away).await;
                        let (again, back) = self.sign_in(how).await?;
                        stream = again;
                        let _ = backs.send(back);
                    }
                },
                _ = heartbeat.tick(), if !frozen => {
                    let beat = format!("{{\"op\":1,\"d\":{}}}", self.ledger.sequence);
                    // One that the socket does not take at once is left out.
                    let _ = stream.try_write(&text_frame(&beat));
                }
                ready = stream.readable(), if !frozen => {
                    scratch.clear();
                    match ready.and_then(|()| stream.try_read_buf(&mut scratch)) {
                        Ok(0) => cut = true,
                        Ok(_) => {
                            let said = self.take(&scratch);
                            cut = said.iter().any(|said| !matches!(said, Said::Nothing));
                        }
                        Err(error) => cut = error.kind() != std::io::ErrorKind::WouldBlock,
                    }
                }
            }
            if cut {
                self.account.cuts += 1;
                let (again, back) = self.sign_in(Kind::Resume).await?;
                stream = again;
                let _ = backs.send(back);
            }
        }
    }

    fn finish(mut self) -> Account {
        self.end_life(self.common.published.load(Ordering::Acquire));
        self.account
    }

    /// Closes the account of a life in which everything below number `through` was due.
    fn end_life(&mut self, through: u64) {
        let due = self.base.map_or(0, |base| through.saturating_sub(base));
        let life = std::mem::take(&mut self.ledger).finish(due);
        self.account.sum.add(&life);
        self.base = None;
        self.reached.store(0, Ordering::Release);
    }

    /// Enters what arrived; what else was said.
    fn take(&mut self, bytes: &[u8]) -> Vec<Said> {
        let mut said = Vec::new();
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.feed(bytes, |opcode, payload| {
            let one = match opcode {
                TEXT => self.payload(payload),
                _ => Said::Closed,
            };
            if !matches!(one, Said::Nothing) {
                said.push(one);
            }
        });
        self.buffer = buffer;
        said
    }

    fn payload(&mut self, text: &[u8]) -> Said {
        let Some(sequence) = number_after(text, b"\"s\":") else {
            let payload: Value = serde_json::from_slice(text).unwrap_or_default();
            return match payload["op"].as_u64() {
                Some(7) => Said::Reconnect,
                Some(9) => Said::Invalid(payload["d"] == true),
                _ => Said::Nothing,
            };
        };
        if text.starts_with(b"{\"t\":\"READY\"") {
            // Up to its last message the life before was complete; the rest was not promised.
            self.end_life(self.reached.load(Ordering::Acquire));
            self.ledger.number(sequence);
            let payload: Value = serde_json::from_slice(text).unwrap_or_default();
            let session = payload["d"]["session_id"].as_str().unwrap_or_default();
            return Said::Ready(session.to_owned());
        }
        self.ledger.number(sequence);
        if text.starts_with(b"{\"t\":\"RESUMED\"") {
            return Said::Resumed;
        }
        if let Some((number, sent)) = measured(text) {
            let base = *self.base.get_or_insert(number);
            let id = number_after(text, b"\"d\":{\"id\":\"").unwrap_or(0);
            match number.checked_sub(base) {
                Some(number) => {
                    self.ledger.enter(number, id, text.len());
                }
                None => self.ledger.reordered += 1,
            }
            self.reached.fetch_max(number + 1, Ordering::AcqRel);
            let latency = self.common.now().saturating_sub(sent);
            self.common.latency[self.common.phase()].add(latency);
        }
        Said::Nothing
    }
}

/// As long as stock clients wait before they try again (Discord docs, Gateway, "Resuming": 1 to
/// 5 s).
async fn pause() {
    tokio::time::sleep(PAUSE_MIN + random() * 4).await;
}

/// Up to a second.
pub(crate) fn random() -> Duration {
    use std::hash::{BuildHasher as _, Hasher as _};
    let bits = std::hash::RandomState::new().build_hasher().finish();
    Duration::from_secs(1).mul_f64((bits >> 11) as f64 / (1_u64 << 53) as f64)
}

/// All clients of a run.
pub(crate) struct Clients {
    pub(crate) each: Vec<mpsc::UnboundedSender<Order>>,
    pub(crate) reached: Vec<Arc<AtomicU64>>,
    pub(crate) backs: mpsc::UnboundedReceiver<Back>,
    tasks: Vec<tokio::task::JoinHandle<anyhow::Result<Account>>>,
}

impl Clients {
    /// Signs in with each token of the server.
    ///
    /// # Errors
    /// When one could not.
    pub(crate) async fn sign_in(server: &Server, common: &Arc<Common>) -> anyhow::Result<Self> {
        use futures_util::StreamExt as _;
        let guild = server.var("GUILD_ID")?;
        let (report, backs) = mpsc::unbounded_channel();
        let mut clients = Self {
            each: Vec::new(),
            reached: Vec::new(),
            backs,
            tasks: Vec::new(),
        };
        let signing_in = server.tokens().iter().map(|token| async move {
            let (token, guild) = (token.clone(), guild.to_owned());
            let mut client = Client::new(server.addr(), token, guild, Arc::clone(common));
            let (stream, _) = client.sign_in(Kind::Identify).await?;
            anyhow::Ok((client, stream))
        });
        let mut signing_in =
            futures_util::stream::iter(signing_in).buffer_unordered(super::fanout::CONNECTING_MAX);
        while let Some(signed_in) = signing_in.next().await {
            let (client, stream) = signed_in?;
            let (orders, receiver) = mpsc::unbounded_channel();
            clients.each.push(orders);
            clients.reached.push(Arc::clone(&client.reached));
            let running = client.run(stream, receiver, report.clone());
            clients.tasks.push(tokio::spawn(running));
        }
        Ok(clients)
    }

    /// Waits until all of `which` have everything below number `through` (or, with 1, anything).
    ///
    /// # Errors
    /// When they do not have it in time.
    pub(crate) async fn wait_for(
        &self,
        which: impl Fn(usize) -> bool,
        through: u64,
        limit: Duration,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let all = self.reached.iter().enumerate();
            let behind = all
                .filter(|(number, _)| which(*number))
                .filter(|(_, reached)| reached.load(Ordering::Acquire) < through)
                .count();
            if behind == 0 {
                return Ok(());
            }
            if began.elapsed() > limit {
                bail!("{behind} clients are behind message {through}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends all; what each has to account for.
    ///
    /// # Errors
    /// When one could not sign in again.
    pub(crate) async fn end(self) -> anyhow::Result<Vec<Account>> {
        drop(self.each);
        let mut accounts = Vec::with_capacity(self.tasks.len());
        for task in self.tasks {
            accounts.push(task.await??);
        }
        Ok(accounts)
    }
}
