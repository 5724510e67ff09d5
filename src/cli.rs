//! The command line: `dev`, `serve`, `admin`, `migrate`, `bench`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use guildhall::admin::{self, Listing, Privileged, Request};
use guildhall::config::{Config, LogFormat};
use guildhall::node::{self, Demo};
use guildhall::{RunningNode, telemetry};
use model::{GuildId, Id, UserId};
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{bench, migrate};

/// A realtime chat system that unmodified Discord client libraries use.
///
/// Without a command it runs `dev`.
#[derive(Debug, Parser)]
#[command(name = "guildhall", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One node for development: makes a demo guild with two bots and a person, and prints how to
    /// connect.
    Dev(Dev),
    /// One node as configured by a file and the environment.
    Serve(Serve),
    /// Ask a running node to make or list things.
    Admin(AdminArgs),
    /// Move everything of one store into another; goes on when it was interrupted.
    Migrate(migrate::MigrateArgs),
    /// Measure a node.
    Bench {
        #[command(subcommand)]
        what: bench::Bench,
    },
}

#[derive(Debug, Args)]
struct Dev {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// Directory for messages, attachments and the admin socket.
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// Storage engine: `fjall:DIR`, `memory:`, or ScyllaDB or Apache Cassandra:
    /// `scylla://[USER:PASSWORD@]HOST:PORT[,HOST:PORT…]/KEYSPACE`; by default `fjall:` below --data.
    /// A password is better given in the environment, where `ps` does not show it.
    #[arg(
        long,
        value_name = "URL",
        env = "GUILDHALL_STORAGE",
        hide_env_values = true
    )]
    storage: Option<String>,
    /// Place for attachments: DIR, `memory:` or `s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME]` with
    /// the credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; by default below --data.
    #[arg(long, value_name = "URL")]
    blobs: Option<String>,
    /// Print only shell lines (API_BASE=…, TOKEN_A=…) once connections are accepted.
    #[arg(long)]
    print_env: bool,
    /// Rate limits; off only for tests and load.
    #[arg(long, value_enum, default_value_t = Switch::On)]
    rate_limits: Switch,
    /// Add this many people to the demo guild; their tokens go to demo-tokens.txt in --data.
    #[arg(long, value_name = "N", default_value_t = 0)]
    demo_users: usize,
    /// Join no reads; for `bench store` only.
    #[arg(long, hide = true)]
    reads_apart: bool,
    /// Log filter, as RUST_LOG.
    #[arg(long, default_value = "warn,guildhall=info,scylla=error")]
    log: String,
}

impl Default for Dev {
    fn default() -> Self {
        // Through the parser, so that the defaults stand in one place.
        match Cli::parse_from(["guildhall", "dev"]).command {
            Some(Command::Dev(dev)) => dev,
            _ => unreachable!("`guildhall dev` parses to the command dev"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Debug, Args)]
struct Serve {
    /// Configuration file (TOML); every key can also be GUILDHALL_<KEY> in the environment.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Storage engine, over what the file says: `fjall:DIR`, `memory:`, or
    /// `scylla://[USER:PASSWORD@]HOST:PORT[,HOST:PORT…]/KEYSPACE`; one with a password is better kept
    /// in GUILDHALL_STORAGE.
    #[arg(long, value_name = "URL")]
    storage: Option<String>,
    /// Place for attachments, over what the file says, as for `dev`.
    #[arg(long, value_name = "URL")]
    blobs: Option<String>,
}

#[derive(Debug, Args)]
struct AdminArgs {
    /// Data directory of the node.
    #[arg(long, value_name = "DIR", default_value = "data", global = true)]
    data: PathBuf,
    /// Admin socket of the node, when it is not in the data directory.
    #[arg(long, value_name = "PATH", global = true)]
    socket: Option<PathBuf>,
    /// Print the node's answer as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: AdminCommand,
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    /// Make a bot and print its token.
    CreateBot {
        /// Name, 2–32 characters.
        #[arg(long)]
        name: String,
        /// Privileged intents it may use.
        #[arg(long, value_enum, default_value_t = Intents::All)]
        intents: Intents,
    },
    /// Make a person and print a token.
    CreateUser {
        /// Name, 2–32 characters, unique.
        #[arg(long)]
        name: String,
    },
    /// Make a guild with a #general.
    CreateGuild {
        /// Name, 2–100 characters.
        #[arg(long)]
        name: String,
        /// Id of the owner.
        #[arg(long, value_parser = snowflake)]
        owner: u64,
    },
    /// Add a user to a guild.
    AddMember {
        /// Id of the guild.
        #[arg(long, value_parser = snowflake)]
        guild: u64,
        /// Id of the user.
        #[arg(long, value_parser = snowflake)]
        user: u64,
    },
    /// Move the node's store to another one while it serves: with --to URL it starts, then `status`,
    /// `switch` or `cancel`.
    #[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
    Migrate {
        /// The store to move to, empty or left by an interrupted migration.
        #[arg(long, value_name = "URL")]
        to: Option<String>,
        #[command(subcommand)]
        what: Option<MigrateCommand>,
    },
    /// List what the node has.
    List {
        /// What to list.
        #[arg(value_enum, default_value_t = What::Guilds)]
        what: What,
    },
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum MigrateCommand {
    /// How far it is.
    Status,
    /// Make the node use the new store; possible when the state is `ready`.
    Switch,
    /// End it; the node goes on with the store it has.
    Cancel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Intents {
    All,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Guilds,
    Accounts,
    /// The channels read most lately, with about how often in the last two minutes.
    HotChannels,
}

fn snowflake(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("an id is a number such as 1574004909756383236".to_owned()),
        Ok(id) => Ok(id),
    }
}

/// Parses the command line and runs it.
pub(crate) fn main() -> ExitCode {
    let command = Cli::parse()
        .command
        .unwrap_or_else(|| Command::Dev(Dev::default()));
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("guildhall: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match command {
            Command::Dev(dev) => run_dev(dev).await,
            Command::Serve(serve) => run_serve(serve).await,
            Command::Admin(admin) => run_admin(admin).await,
            Command::Migrate(args) => migrate::run(args).await,
            Command::Bench { what } => bench::run(what).await,
        }
    });
    // A blocking read that is stuck must not keep the process from ending.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guildhall: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run_dev(dev: Dev) -> anyhow::Result<()> {
    telemetry::start_logging(&dev.log, LogFormat::Text)?;
    let config = Config {
        listen: dev.listen,
        data: dev.data.clone(),
        storage: dev.storage,
        blobs: dev.blobs,
        rate_limits: dev.rate_limits == Switch::On,
        ..Config::default()
    };
    let demo = Demo {
        guild: true,
        users: dev.demo_users,
        reads_apart: dev.reads_apart,
    };
    let stops = Stops::listen()?;
    let node = node::start(config, demo).await?;
    if dev.demo_users > 0 {
        write_tokens(&dev.data.join("demo-tokens.txt"), node.demo_tokens())?;
    }
    print_dev(&node, dev.print_env)?;
    until_stopped(node, stops).await
}

/// One token a line, readable by the owner alone.
fn write_tokens(path: &Path, tokens: &[String]) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let text = tokens
        .iter()
        .flat_map(|token| [token.as_str(), "\n"])
        .collect::<String>();
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        std::io::Write::write_all(&mut file, text.as_bytes())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn print_dev(node: &RunningNode, only_env: bool) -> anyhow::Result<()> {
    let env = node.env().context("`dev` makes a demo")?;
    let addr = node.addr();
    let text = if only_env {
        format!(
            "API_BASE=http://{addr}/api/v10\nGATEWAY_URL=ws://{addr}\nTOKEN_A={}\nTOKEN_B={}\n\
             USER_TOKEN={}\nGUILD_ID={}\nCHANNEL_ID={}\n",
            env.token_a, env.token_b, env.user_token, env.guild_id, env.channel_id
        )
    } else {
        format!(
            "\n  Guildhall is running.\n\n  \
             Chat in a browser   http://{addr}/#token={}\n  \
             HTTP API            http://{addr}/api/v10\n  \
             Gateway             ws://{addr}\n  \
             Bot A (owner)       {}\n  \
             Bot B (member)      {}\n  \
             Guild, #general     {} {}\n\n  \
             For scripts         guildhall dev --print-env\n  \
             Stop with Ctrl-C.\n",
            env.user_token, env.token_a, env.token_b, env.guild_id, env.channel_id
        )
    };
    let mut out = std::io::stdout().lock();
    std::io::Write::write_all(&mut out, text.as_bytes())?;
    std::io::Write::flush(&mut out)?;
    Ok(())
}

async fn run_serve(serve: Serve) -> anyhow::Result<()> {
    let mut config = Config::load(serve.config.as_deref())?;
    if serve.storage.is_some() {
        config.storage = serve.storage;
    }
    if serve.blobs.is_some() {
        config.blobs = serve.blobs;
    }
    telemetry::start_logging(&config.log, config.log_format)?;
    let stops = Stops::listen()?;
    let node = node::start(config, Demo::default()).await?;
    until_stopped(node, stops).await
}

/// The signals that stop a node. Listened to before it starts, since one may come as soon as it can
/// be seen to serve; one that comes earlier is followed when it does.
struct Stops {
    interrupt: Signal,
    terminate: Signal,
}

impl Stops {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }
}

/// Serves until SIGINT or SIGTERM, then drains; a second signal ends the process at once.
async fn until_stopped(mut node: RunningNode, stops: Stops) -> anyhow::Result<()> {
    let Stops {
        mut interrupt,
        mut terminate,
    } = stops;
    tokio::select! {
        _ = interrupt.recv() => tracing::info!("interrupted; draining (again: end at once)"),
        _ = terminate.recv() => tracing::info!("told to stop; draining"),
        failed = node.failed() => return Err(failed),
    }
    tokio::select! {
        stopped = node.shutdown() => {
            stopped?;
            tracing::info!("stopped");
            Ok(())
        }
        _ = interrupt.recv() => anyhow::bail!("ended before the drain was done"),
        _ = terminate.recv() => anyhow::bail!("ended before the drain was done"),
    }
}

async fn run_admin(args: AdminArgs) -> anyhow::Result<()> {
    let request = match args.what {
        AdminCommand::CreateBot { name, intents } => Request::CreateBot {
            name,
            intents: match intents {
                Intents::All => Privileged::All,
                Intents::None => Privileged::None,
            },
        },
        AdminCommand::CreateUser { name } => Request::CreateUser { name },
        AdminCommand::CreateGuild { name, owner } => Request::CreateGuild {
            name,
            owner: Id::new(owner),
        },
        AdminCommand::AddMember { guild, user } => {
            let (guild, user): (GuildId, UserId) = (Id::new(guild), Id::new(user));
            Request::AddMember { guild, user }
        }
        AdminCommand::Migrate { to: Some(to), .. } => Request::Migrate { to },
        AdminCommand::Migrate { what, .. } => match what {
            Some(MigrateCommand::Switch) => Request::MigrateSwitch,
            Some(MigrateCommand::Cancel) => Request::MigrateCancel,
            Some(MigrateCommand::Status) | None => Request::MigrateStatus,
        },
        AdminCommand::List { what } => Request::List {
            what: match what {
                What::Guilds => Listing::Guilds,
                What::Accounts => Listing::Accounts,
                What::HotChannels => Listing::HotChannels,
            },
        },
    };
    let socket = args.socket.unwrap_or_else(|| args.data.join("admin.sock"));
    let answer = admin::client::ask(&socket, &request).await?;
    if args.json {
        println!("{answer}");
    } else {
        print_answer(&answer);
    }
    Ok(())
}

/// Rows as `key value` pairs: an object is one row, a list one row each.
fn print_answer(answer: &Value) {
    match answer {
        Value::Array(rows) if rows.is_empty() => println!("none"),
        Value::Array(rows) => rows.iter().for_each(print_answer),
        Value::Object(row) => {
            // What a row is comes before what it has.
            let mut pairs: Vec<_> = row.iter().collect();
            pairs.sort_by_key(|(key, _)| (*key != "id", *key != "name", (*key).clone()));
            let pairs = pairs.into_iter().map(|(key, value)| match value {
                Value::String(text) => format!("{key} {text}"),
                other => format!("{key} {other}"),
            });
            println!("{}", pairs.collect::<Vec<_>>().join("  "));
        }
        other => println!("{other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
        let dev = Dev::default();
        assert_eq!(dev.listen.port(), 3_000);
    }

    #[test]
    fn ids_are_checked() {
        assert!(snowflake("12").is_ok());
        assert!(snowflake("0").is_err());
        assert!(snowflake("x").is_err());
    }
}
