//! The operator's door: a Unix socket in the data directory, one JSON object a line each way.
//!
//! ```text
//! guildhall admin create-bot ──{"do":"create_bot","name":"B"}──▶ node
//!                            ◀─{"ok":{"id":"…","token":"…"}}────
//! ```
//! Only the user that runs the node can open the socket (mode 0600). A request that cannot be
//! parsed is answered with an error and changes nothing.

pub mod client;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chat::Chat;
use chat::guild::command::Actor;
use model::application::flags;
use model::{GuildId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// Longest request line in bytes; a longer one is refused.
pub const REQUEST_BYTES_MAX: u64 = 64 * 1024;
/// Most connections at a time; further ones wait to be accepted.
pub const CONNECTIONS_MAX: usize = 16;
/// Time a connection may stay silent.
pub const IDLE_MAX: Duration = Duration::from_secs(30);
/// Most rows of a listing.
pub const LIST_MAX: usize = 1_000;

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
pub async fn listen(path: &Path, chat: Chat) -> anyhow::Result<Admin> {
    if path.exists() {
        anyhow::ensure!(
            UnixStream::connect(path).await.is_err(),
            "another node is running on {}; stop it or use another --data DIR",
            path.display()
        );
        std::fs::remove_file(path)
            .with_context(|| format!("cannot remove the stale socket {}", path.display()))?;
    }
    let listener = UnixListener::bind(path)
        .with_context(|| format!("cannot listen on the admin socket {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .with_context(|| format!("cannot restrict the admin socket {}", path.display()))?;
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let task = tokio::spawn(async move {
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                break;
            };
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let chat = chat.clone();
            tokio::spawn(async move {
                if let Err(error) = serve(stream, &chat).await {
                    tracing::debug!(%error, "admin connection ended");
                }
                drop(permit);
            });
        }
    });
    Ok(Admin {
        path: path.to_owned(),
        task,
    })
}

async fn serve(stream: UnixStream, chat: &Chat) -> anyhow::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut read).take(REQUEST_BYTES_MAX);
        let count = tokio::time::timeout(IDLE_MAX, limited.read_until(b'\n', &mut line)).await??;
        if count == 0 {
            return Ok(());
        }
        let cut = !line.ends_with(b"\n") && count as u64 == REQUEST_BYTES_MAX;
        let answer = if cut {
            Err(format!(
                "the request is longer than {REQUEST_BYTES_MAX} bytes"
            ))
        } else {
            answer(chat, &line).await
        };
        let answer = match answer {
            Ok(value) => json!({"ok": value}),
            Err(error) => json!({"error": error}),
        };
        write.write_all(format!("{answer}\n").as_bytes()).await?;
        if cut {
            return Ok(());
        }
    }
}

async fn answer(chat: &Chat, line: &[u8]) -> Result<Value, String> {
    let request: Request =
        serde_json::from_slice(line).map_err(|error| format!("not a request: {error}"))?;
    carry_out(chat, request).await.map_err(|error| match error {
        chat::ChatError::Form(ref errors) => errors.to_string(),
        other => other.to_string(),
    })
}

async fn carry_out(chat: &Chat, request: Request) -> chat::error::Result<Value> {
    match request {
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
