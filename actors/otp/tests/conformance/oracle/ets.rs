//! The twins of `sc_ets.erl`: the same stories, told to our tables.
//!
//! ```text
//!   sc_ets.stories ─┬─ sc_ets.erl: ets:insert(...)     ──▶ traces/ets.trace
//!                   └─ here: the same words, parsed anew ──▶ must leave the same lines
//! ```

use std::collections::{HashMap, VecDeque};

use otp::ets::{self, Fixed, Table, TableOptions, Transfer};
use otp::{Context, ExitReason, From, GenServer, Info, Init, Next, Options, ServerRef};

use super::stage::Stage;
use super::trace::say;
use super::{Scenario, scenario};

mod operations;

const STORIES: &str = include_str!("../../../oracle/sc_ets.stories");

type Object = (i64, Vec<i64>);
type Tuples = Table<i64, Vec<i64>>;

/// What is told.
#[derive(Clone)]
struct Story {
    kind: &'static str,
    options: Vec<&'static str>,
    lines: Vec<Vec<&'static str>>,
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    let mut header: Option<(&str, &str, Vec<&'static str>)> = None;
    let mut lines: Vec<Vec<&'static str>> = Vec::new();
    let told = STORIES
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('%'));
    for line in told.chain(["## "]) {
        let Some(next) = line.strip_prefix("## ") else {
            lines.push(line.split_whitespace().collect());
            continue;
        };
        if let Some((name, kinds, options)) = header.take() {
            let lines = std::mem::take(&mut lines);
            let kinds = match kinds.trim() {
                "all" => "set ordered_set bag duplicate_bag",
                listed => listed,
            };
            for kind in kinds.split_whitespace() {
                let (options, lines) = (options.clone(), lines.clone());
                let story = Story {
                    kind,
                    options,
                    lines,
                };
                let tell = move |stage| story.clone().tell(stage);
                scenarios.push(scenario(format!("{name}_{kind}"), tell));
            }
        }
        let mut parts = next.split('|');
        let name = parts.next().unwrap_or_default().trim();
        let kinds = parts.next().unwrap_or_default();
        let options = parts
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        header = Some((name, kinds, options));
    }
    scenarios
}

/// A process that does what it is told to.
struct Player {
    transfers: VecDeque<Transfer>,
    fixes: Vec<Fixed<i64, Vec<i64>>>,
}

type Part = Box<dyn FnOnce(&mut Player) -> String + Send>;

enum Message {
    Do(Part, From<String>),
    Stop(ExitReason),
}

impl GenServer for Player {
    type Args = ();
    type Message = Message;

    async fn init((): (), _ctx: &mut Context<Player>) -> Init<Player> {
        Init::Ok(Player {
            transfers: VecDeque::new(),
            fixes: Vec::new(),
        })
    }

    async fn handle(&mut self, message: Message, _ctx: &mut Context<Player>) -> Next<Player> {
        match message {
            Message::Do(part, from) => from.reply(part(self)),
            Message::Stop(reason) => return Next::Stop(reason),
        }
        Next::Go
    }

    async fn handle_info(&mut self, info: Info, _ctx: &mut Context<Player>) -> Next<Player> {
        if let Info::Transfer(transfer) = info {
            self.transfers.push_back(transfer);
        }
        Next::Go
    }
}

/// The players by name.
#[derive(Clone)]
struct Players(HashMap<&'static str, ServerRef<Player>>);

impl Players {
    fn who(&self, pid: otp::Pid) -> &'static str {
        let mut all = self.0.iter();
        all.find(|(_, player)| player.pid() == pid).unwrap().0
    }

    fn pid(&self, who: &str) -> otp::Pid {
        self.0[who].pid()
    }

    async fn ask(
        &self,
        who: &str,
        part: impl FnOnce(&mut Player) -> String + Send + 'static,
    ) -> String {
        let part: Part = Box::new(part);
        self.0[who]
            .call(move |from| Message::Do(part, from))
            .await
            .unwrap()
    }
}

impl Story {
    async fn tell(self, stage: Stage) {
        let mut players = HashMap::new();
        for who in ["a", "b", "c"] {
            let player = otp::start::<Player>(&stage.node, (), Options::new());
            players.insert(who, player.await.unwrap());
        }
        let players = Players(players);
        let (sender, made) = tokio::sync::oneshot::channel();
        let (story, all) = (self.clone(), players.clone());
        let make = move |_: &mut Player| {
            let table = story.options(&all).create().unwrap();
            sender.send(table).unwrap();
            String::new()
        };
        players.ask("a", make).await;
        let table = made.await.unwrap();
        for line in self.lines {
            let (who, line) = match line[0].strip_suffix(':') {
                Some(who) => (who, &line[1..]),
                None => ("a", &line[..]),
            };
            let ending = match line[0] {
                "end" => Some(Message::Stop(ExitReason::Normal)),
                "crash" => Some(Message::Stop(ExitReason::Custom("crash".into()))),
                _ => None,
            };
            match (ending, line[0]) {
                (Some(ending), _) => players.0[line[1]].cast(ending),
                (None, "kill") => stage.node.exit(players.pid(line[1]), ExitReason::Kill),
                (None, _) => {
                    let said = line.join(" ");
                    let (line, table) = (line.to_vec(), table.clone());
                    let (all, node) = (players.clone(), stage.node.clone());
                    let part = move |player: &mut Player| {
                        operations::operate(&line, &table, player, &all, &node)
                    };
                    let result = players.ask(who, part).await;
                    say!(stage.trace, format!("{who} {said} gives {result}"));
                    continue;
                }
            }
            players.0[line[1]].wait_for_exit().await;
            say!(stage.trace, line[1], "ended");
        }
    }

    fn options(&self, players: &Players) -> TableOptions<i64, Vec<i64>> {
        let mut options = match self.kind {
            "set" => ets::set(),
            "ordered_set" => ets::ordered_set(),
            "bag" => ets::bag(),
            "duplicate_bag" => ets::duplicate_bag(),
            other => panic!("unknown kind {other}"),
        };
        options = options.label("tab");
        for option in &self.options {
            options = match *option {
                "public" => options.public(),
                "protected" => options.protected(),
                "private" => options.private(),
                "named_table" => options.named("tab"),
                heir => {
                    let who = heir.strip_prefix("heir_").unwrap();
                    options.heir(players.pid(who), "from_the_start")
                }
            };
        }
        options
    }
}
