//! The operator's door: a Unix socket in the data directory, one JSON object a line each way.
//!
//! ```text
//! guildhall admin create-bot ──{"do":"create_bot","name":"B"}──▶ node
//!                            ◀─{"ok":{"id":"…","token":"…"}}────
//! ```
//! Only the user that runs the node can open the socket (mode 0600). A request that cannot be
//! parsed is answered with an error and changes nothing.

pub mod client;

use std::collections::VecDeque;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use chat::Chat;
use chat::guild::command::Actor;
use model::application::flags;
use model::{GuildId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use storage::migrate::Failure;
use storage::migrate::online::{Online, State};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Longest request line in bytes; a longer one is refused.
pub const REQUEST_BYTES_MAX: u64 = 64 * 1024;
/// Most connections at a time. One more takes the place of the one that has been silent for longest;
/// while all have a request under way, it waits.
pub const CONNECTIONS_MAX: usize = 16;
/// Time a connection may stay silent.
pub const IDLE_MAX: Duration = Duration::from_secs(30);
/// Most rows of a listing.
pub const LIST_MAX: usize = 1_000;

/// Channels in the list of those read most.
pub const HOT_CHANNELS_LISTED_MAX: usize = 20;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Make a bot → its id and token.
    CreateBot {
        /// Name, 2–32 characters.
        name: String,
        /// Privileged intents it may use.
        #[serde(default)]
        intents: Privileged,
    },
    /// Make a person → id and token.
    CreateUser {
        /// Name, 2–32 characters, unique.
        name: String,
    },
    /// Make a guild → its id and the id of `#general`.
    CreateGuild {
        /// Name, 2–100 characters.
        name: String,
        /// Who owns it.
        owner: UserId,
    },
    /// Add a user to a guild.
    AddMember {
        /// The guild.
        guild: GuildId,
        /// The user.
        user: UserId,
    },
    /// List guilds and accounts.
    List {
        /// What to list.
        what: Listing,
    },
    /// Move the node's store to another one, while it serves → the status.
    Migrate {
        /// URL of the other store.
        to: String,
    },
    /// How far that is.
    MigrateStatus,
    /// Go on with the other store.
    MigrateSwitch,
    /// End it, and go on with the store the node has.
    MigrateCancel,
}

/// Which privileged intents a new bot may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Privileged {
    /// All three.
    #[default]
    All,
    /// None.
    None,
}

/// What to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listing {
    /// Guilds with their member counts.
    Guilds,
    /// Bots and people.
    Accounts,
    /// The channels whose messages are read most, busiest first.
    HotChannels,
}

/// The listening admin socket; dropping it stops it and removes the file.
#[derive(Debug)]
pub struct Admin {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Listens on `path`. A stale socket file of a dead node is replaced.
///
/// # Errors
/// When another node answers on the socket, or it cannot be made.
pub async fn listen(path: &Path, chat: Chat, migration: Online) -> anyhow::Result<Admin> {
    if path.exists() {
        anyhow::ensure!(
            UnixStream::connect(path).await.is_err(),
            "another node is running on {}; stop it, or choose another data directory",
            path.display()
        );
        std::fs::remove_file(path)
            .with_context(|| format!("cannot remove the stale socket {}", path.display()))?;
    }
    let listener = UnixListener::bind(path)
        .with_context(|| format!("cannot listen on the admin socket {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .with_context(|| format!("cannot restrict the admin socket {}", path.display()))?;
    let asked = Asked { chat, migration };
    let task = tokio::spawn(accept(listener, asked));
    Ok(Admin {
        path: path.to_owned(),
        task,
    })
}

/// Who answers.
#[derive(Clone)]
struct Asked {
    chat: Chat,
    migration: Online,
}

/// Accepts connections and serves them side by side.
async fn accept(listener: UnixListener, asked: Asked) {
    let lines = Arc::new(Lines::default());
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (number, cut) = lines.enter().await;
        let (asked, lines) = (asked.clone(), Arc::clone(&lines));
        tokio::spawn(async move {
            let served = tokio::select! {
                served = serve(stream, &asked, &lines, number) => served,
                () = cut.cancelled() => Err(anyhow::anyhow!(LOST_PLACE)),
            };
            if let Err(error) = served {
                tracing::debug!(%error, "admin connection ended");
            }
            lines.leave(number);
        });
    }
}

/// Why a silent connection ends.
const LOST_PLACE: &str = "another connection needed the place";

/// The open connections, those that have been silent for longest first.
#[derive(Default)]
struct Lines {
    open: Mutex<VecDeque<Line>>,
    /// One ended, or is silent again.
    changed: Notify,
    number: AtomicU64,
}

struct Line {
    number: u64,
    /// A request is under way.
    busy: bool,
    cut: CancellationToken,
}

impl Lines {
    fn open(&self) -> MutexGuard<'_, VecDeque<Line>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, perhaps that of a silent connection, which is cut.
    async fn enter(&self) -> (u64, CancellationToken) {
        let (number, cut) = (
            self.number.fetch_add(1, Ordering::Relaxed),
            CancellationToken::new(),
        );
        loop {
            let changed = self.changed.notified();
            if self.try_enter(number, &cut) {
                return (number, cut);
            }
            changed.await;
        }
    }

    fn try_enter(&self, number: u64, cut: &CancellationToken) -> bool {
        let mut open = self.open();
        if open.len() >= CONNECTIONS_MAX {
            let silent = open.iter().position(|line| !line.busy);
            let Some(line) = silent.and_then(|at| open.remove(at)) else {
                return false;
            };
            line.cut.cancel();
        }
        open.push_back(Line {
            number,
            busy: false,
            cut: cut.clone(),
        });
        true
    }

    /// A request begins, or was answered. Whether the connection still has its place.
    fn set_busy(&self, number: u64, busy: bool) -> bool {
        let mut open = self.open();
        let found = open.iter().position(|line| line.number == number);
        let Some(mut line) = found.and_then(|at| open.remove(at)) else {
            return false;
        };
        line.busy = busy;
        open.push_back(line);
        drop(open);
        self.changed.notify_one();
        true
    }

    fn leave(&self, number: u64) {
        self.open().retain(|line| line.number != number);
        self.changed.notify_one();
    }
}

async fn serve(
    stream: UnixStream,
    asked: &Asked,
    lines: &Lines,
    number: u64,
) -> anyhow::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut read).take(REQUEST_BYTES_MAX);
        let count = tokio::time::timeout(IDLE_MAX, limited.read_until(b'\n', &mut line)).await??;
        if count == 0 {
            return Ok(());
        }
        // Once it has begun, a request is not cut any more.
        anyhow::ensure!(lines.set_busy(number, true), LOST_PLACE);
        let cut = !line.ends_with(b"\n") && count as u64 == REQUEST_BYTES_MAX;
        let answer = if cut {
            Err(format!(
                "the request is longer than {REQUEST_BYTES_MAX} bytes"
            ))
        } else {
            answer(asked, &line).await
        };
        let answer = match answer {
            Ok(value) => json!({"ok": value}),
            Err(error) => json!({"error": error}),
        };
        write.write_all(format!("{answer}\n").as_bytes()).await?;
        lines.set_busy(number, false);
        if cut {
            return Ok(());
        }
    }
}

async fn answer(asked: &Asked, line: &[u8]) -> Result<Value, String> {
    let request: Request =
        serde_json::from_slice(line).map_err(|error| format!("not a request: {error}"))?;
    carry_out(asked, request).await.map_err(|told| told.0)
}

/// How far a migration is, and what the operator has to do after it.
fn status(migration: &Online) -> Value {
    let status = migration.status();
    let mut told = json!(status);
    if status.state == State::Switched {
        told["next"] = json!(
            "set storage (GUILDHALL_STORAGE) to the new URL before the node starts again; it refuses to start on the old one"
        );
    }
    told
}

/// Why something was not done, for the operator.
struct Told(String);

impl From<chat::ChatError> for Told {
    fn from(error: chat::ChatError) -> Self {
        Self(match error {
            chat::ChatError::Form(ref errors) => errors.to_string(),
            other => other.to_string(),
        })
    }
}

impl From<Failure> for Told {
    fn from(failure: Failure) -> Self {
        Self(failure.to_string())
    }
}

async fn carry_out(asked: &Asked, request: Request) -> Result<Value, Told> {
    let (chat, migration) = (&asked.chat, &asked.migration);
    match request {
        Request::Migrate { to } => {
            migration.start(&to).await?;
            Ok(status(migration))
        }
        Request::MigrateStatus => Ok(status(migration)),
        Request::MigrateSwitch => {
            migration.switch().await?;
            Ok(status(migration))
        }
        Request::MigrateCancel => {
            migration.cancel().await?;
            Ok(status(migration))
        }
        Request::CreateBot { name, intents } => {
            let flags = match intents {
                Privileged::All => flags::ALL_PRIVILEGED,
                Privileged::None => 0,
            };
            let account = chat::accounts::create_bot(chat, &name, flags).await?;
            let token = chat::accounts::first_token(chat, &account);
            Ok(json!({"id": account.user.id, "name": name, "token": token}))
        }
        Request::CreateUser { name } => {
            let account = chat::accounts::create_user(chat, &name).await?;
            let token = chat::accounts::first_token(chat, &account);
            Ok(json!({"id": account.user.id, "name": name, "token": token}))
        }
        Request::CreateGuild { name, owner } => {
            let owner = chat::accounts::user(chat, owner).await?;
            let view = chat::guild::create_guild(chat, &owner, &name).await?;
            Ok(json!({"id": view.guild.id, "name": name, "channel": view.guild.system_channel_id}))
        }
        Request::AddMember { guild, user } => {
            let member = chat::guild::add_member(chat, Actor::System, guild, user).await?;
            Ok(json!({"guild": guild, "user": member.user.id, "name": member.user.username}))
        }
        Request::List {
            what: Listing::Accounts,
        } => {
            let accounts = chat::accounts::list(chat, None, LIST_MAX).await?;
            let rows = accounts.into_iter().map(|account| {
                json!({
                    "id": account.user.id,
                    "name": account.user.username,
                    "kind": if account.user.bot { "bot" } else { "person" },
                })
            });
            Ok(rows.collect())
        }
        Request::List {
            what: Listing::HotChannels,
        } => {
            let rows = chat::history::hot_channels(chat, HOT_CHANNELS_LISTED_MAX).into_iter();
            Ok(rows
                .map(|hot| json!({"id": hot.channel, "reads": hot.reads}))
                .collect())
        }
        Request::List {
            what: Listing::Guilds,
        } => {
            let mut rows = Vec::new();
            for id in chat::guild::list(chat, None, LIST_MAX).await? {
                let view = chat::guild::guild_view(chat, Actor::System, id, true).await?;
                rows.push(json!({
                    "id": id,
                    "name": view.guild.name,
                    "owner": view.guild.owner_id,
                    "members": view.approximate_member_count,
                }));
            }
            Ok(Value::Array(rows))
        }
    }
}
