//! A counter as a `GenServer`: a cast, a call, a timer, and what a caller sees when it dies.
//!
//! Run it with `cargo run --example gen_server`.

use std::time::Duration;

use otp::{CallError, Context, ExitReason, From, GenServer, Init, Next, Node, Options};

struct Counter {
    count: u64,
}

enum Message {
    Add(u64),
    Total(From<u64>),
    Tick,
    Crash,
}

impl GenServer for Counter {
    type Args = u64;
    type Message = Message;

    async fn init(start: u64, ctx: &mut Context<Self>) -> Init<Self> {
        ctx.send_after(Duration::from_millis(20), Message::Tick);
        Init::Ok(Counter { count: start })
    }

    async fn handle(&mut self, message: Message, _ctx: &mut Context<Self>) -> Next<Self> {
        match message {
            Message::Add(by) => self.count += by,
            Message::Total(from) => from.reply(self.count),
            Message::Tick => println!("counter: tick at {}", self.count),
            Message::Crash => panic!("asked to crash"),
        }
        Next::Go
    }

    async fn terminate(&mut self, reason: &ExitReason, _ctx: &mut Context<Self>) {
        println!("counter: ends with {reason}");
    }
}

#[tokio::main]
async fn main() {
    let node = Node::new("example");
    let counter = otp::start::<Counter>(&node, 40, Options::new().name("counter"))
        .await
        .expect("init answers Ok");

    counter.cast(Message::Add(2));
    let total = counter
        .call(Message::Total)
        .await
        .expect("the counter lives");
    println!("main: total is {total}");

    tokio::time::sleep(Duration::from_millis(40)).await;
    counter.cast(Message::Crash);
    match counter.call(Message::Total).await {
        Err(CallError::Exit(reason)) => {
            println!("main: the call failed, the server ended: {reason}")
        }
        Err(CallError::NoProc) => println!("main: the call failed, there is no such process"),
        other => println!("main: unexpected {other:?}"),
    }
    println!(
        "main: the name is free again: {}",
        node.whereis("counter").is_none()
    );
}
