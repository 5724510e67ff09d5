//! What a process, a cast and a call cost on this machine.
//!
//! `cargo run --release -p guildhall-otp --example cost -- 200000 [one-thread]`

use otp::{Context, From, GenServer, Init, Next, Node, Options};

struct Counter {
    sum: u64,
}

enum Message {
    Add(u64),
    Get(From<u64>),
}

impl GenServer for Counter {
    type Args = ();
    type Message = Message;

    async fn init((): (), _ctx: &mut Context<Counter>) -> Init<Counter> {
        Init::Ok(Counter { sum: 0 })
    }

    async fn handle(&mut self, message: Message, _ctx: &mut Context<Counter>) -> Next<Counter> {
        match message {
            Message::Add(number) => self.sum += number,
            Message::Get(from) => from.reply(self.sum),
        }
        Next::Go
    }
}

/// Resident memory in bytes; 0 where there is no `/proc`.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident = pages.split_whitespace().nth(1);
    resident
        .and_then(|pages| pages.parse().ok())
        .unwrap_or(0_u64)
        * 4096
}

/// Processor time of this program so far in nanoseconds, in steps of a clock tick (10 ms). Unlike
/// the wall clock it does not see the neighbours. 0 where there is no `/proc`.
fn cpu() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the parenthesised program name come the state and then numbers; user and system time
    // are the 12th and 13th of what follows it.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum::<u64>()
        * 10_000_000
}

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut runtime = match std::env::args().nth(2).as_deref() {
        Some("one-thread") => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.enable_all().build()?;
    runtime.block_on(async { tokio::spawn(measure()).await? })
}

async fn measure() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let count: u64 = match std::env::args().nth(1) {
        Some(count) => count.parse()?,
        None => 100_000,
    };
    let node = Node::new("cost");

    let (before, begun) = (resident(), cpu());
    let mut servers = Vec::new();
    for _ in 0..count {
        servers.push(otp::start::<Counter>(&node, (), Options::new()).await?);
    }
    let spawn = (cpu() - begun) / count;
    let memory = (resident() - before) / count;
    println!("process: {spawn} ns of processor time to start, {memory} bytes");

    let begun = cpu();
    for server in &servers {
        server.cast(Message::Add(1));
    }
    let mut sum = 0;
    for server in &servers {
        sum += server.call(Message::Get).await?;
    }
    assert_eq!(sum, count);
    let round = (cpu() - begun) / count;
    println!("one cast and one call to each: {round} ns");

    let server = &servers[0];
    let begun = cpu();
    let casts = 2_000_000;
    for number in 0..casts {
        while server.try_cast(Message::Add(number)).is_err() {
            tokio::task::yield_now().await;
        }
    }
    server.call(Message::Get).await?;
    let cast = (cpu() - begun) / casts;
    println!("cast: {cast} ns");

    let begun = cpu();
    let calls = 200_000;
    for _ in 0..calls {
        server.call(Message::Get).await?;
    }
    let call = (cpu() - begun) / calls;
    println!("call: {call} ns");

    let begun = cpu();
    drop(servers);
    node.stop().await;
    let stop = (cpu() - begun) / count;
    println!("stop: {stop} ns per process");
    Ok(())
}
