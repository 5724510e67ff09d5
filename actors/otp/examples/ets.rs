//! A table that outlives the server which fills it.
//!
//! ```text
//!   keeper ──makes, gives away──▶ scores (server) ──counts──▶ ┌ table ┐ ◀──reads── everybody
//!      ▲                             │ crashes                └───────┘
//!      └──────── is its heir ────────┘
//! ```
//!
//! Run it with `cargo run -p guildhall-otp --example ets`.

use std::sync::Arc;

use otp::ets::{self, Count, EtsError, Spec, Table};
use otp::{Context, ExitReason, From, GenServer, Info, Init, Next, Node, Options, Pid, ServerRef};
use otp::{eventually, task};

/// Player → games won, games lost.
type Scores = Table<&'static str, Vec<i64>>;

/// Owns the table whenever nobody else does.
struct Keeper {
    scores: Scores,
}

enum Ask {
    /// Gives the table to a process.
    Give(Pid, From<Result<(), EtsError>>),
    Table(From<Scores>),
}

impl GenServer for Keeper {
    type Args = ();
    type Message = Ask;

    async fn init((): (), ctx: &mut Context<Keeper>) -> Init<Keeper> {
        let made = ets::ordered_set()
            .named("scores")
            .heir(ctx.pid(), "the server has ended")
            .create();
        match made {
            Ok(scores) => Init::Ok(Keeper { scores }),
            Err(error) => Init::Stop(ExitReason::error(error)),
        }
    }

    async fn handle(&mut self, message: Ask, _ctx: &mut Context<Keeper>) -> Next<Keeper> {
        match message {
            Ask::Give(to, from) => from.reply(self.scores.give_away(to, "yours now")),
            Ask::Table(from) => from.reply(self.scores.clone()),
        }
        Next::Go
    }

    async fn handle_info(&mut self, info: Info, _ctx: &mut Context<Keeper>) -> Next<Keeper> {
        if let Info::Transfer(transfer) = info {
            let why = transfer.data::<&str>().map_or("", |why| *why);
            println!("  keeper: it is mine again, for {why}");
        }
        Next::Go
    }
}

/// Counts. It gets its table by message, and has none before.
#[derive(Default)]
struct Server {
    scores: Option<Scores>,
}

enum Game {
    Won(&'static str, &'static str),
    Sync(From<bool>),
    Crash,
}

impl GenServer for Server {
    type Args = ();
    type Message = Game;

    async fn init((): (), _ctx: &mut Context<Server>) -> Init<Server> {
        Init::Ok(Server::default())
    }

    async fn handle(&mut self, message: Game, _ctx: &mut Context<Server>) -> Next<Server> {
        match (message, &self.scores) {
            (Game::Won(winner, loser), Some(scores)) => {
                let win = scores.update_counter_or(&winner, &[Count::by(1)], vec![0, 0]);
                let loss = scores.update_counter_or(&loser, &[Count::by(1).at(1)], vec![0, 0]);
                if let Err(error) = win.and(loss) {
                    return Next::Stop(ExitReason::error(error));
                }
            }
            (Game::Won(..), None) => println!("  server: no table, no game"),
            (Game::Sync(from), scores) => from.reply(scores.is_some()),
            (Game::Crash, _) => return Next::Stop(ExitReason::Error("a bug".into())),
        }
        Next::Go
    }

    async fn handle_info(&mut self, info: Info, _ctx: &mut Context<Server>) -> Next<Server> {
        if let Info::Transfer(transfer) = info {
            self.scores = transfer.table().ok();
        }
        Next::Go
    }
}

/// Starts a server, and has the keeper give it the table.
async fn serve(node: &Node, keeper: &ServerRef<Keeper>) -> Result<ServerRef<Server>, Failed> {
    let server = otp::start::<Server>(node, (), Options::new().name("server")).await?;
    let pid = server.pid();
    keeper.call(move |from| Ask::Give(pid, from)).await??;
    Ok(server)
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// What anybody may do: read.
fn show(scores: &Scores) -> Result<(), EtsError> {
    for (player, games) in scores.to_vec()? {
        println!("  {player:5} won {}, lost {}", games[0], games[1]);
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let node = Node::new("example");
    let keeper = otp::start::<Keeper>(&node, (), Options::new().name("keeper")).await?;
    let server = serve(&node, &keeper).await?;
    println!("some games:");
    for (winner, loser) in [
        ("ann", "ben"),
        ("cleo", "ben"),
        ("ann", "cleo"),
        ("ben", "ann"),
    ] {
        server.cast(Game::Won(winner, loser));
    }
    server.call(Game::Sync).await?;
    let scores = node.tables().whereis::<&str, Vec<i64>>("scores")?;
    show(&scores)?;

    println!("who won more than once:");
    let winners =
        Spec::new(|player: &&'static str, games: &Arc<Vec<i64>>| (games[0] > 1).then_some(*player));
    println!("  {:?}", scores.select(&winners)?);

    println!("a stranger writes:");
    let theirs = scores.clone();
    let cheat = task::spawn(
        &node,
        "cheat",
        async move { theirs.insert("dan", vec![100, 0]) },
    );
    println!(
        "  {}",
        cheat
            .await
            .map_err(|reason| reason.to_string())?
            .err()
            .map_or("fine".into(), |error| error.to_string())
    );

    println!("the server crashes:");
    server.cast(Game::Crash);
    server.wait_for_exit().await;
    keeper.call(Ask::Table).await?;
    show(&scores)?;

    println!("and starts again:");
    let server = serve(&node, &keeper).await?;
    server.cast(Game::Won("ben", "cleo"));
    server.call(Game::Sync).await?;
    show(&scores)?;

    println!("both end:");
    node.stop().await;
    eventually!(node.tables().is_empty());
    println!(
        "  {}",
        scores
            .first()
            .err()
            .map_or("?".into(), |error| error.to_string())
    );
    Ok(())
}
