//! A cloakroom as a `#[gen_server]`: calls, casts, an answer that comes later, and a restart.
//!
//! `cargo run -p guildhall-otp --example gen_server_macro`

use std::collections::HashMap;
use std::time::Duration;

use otp::{
    CallError, Context, ExitReason, From, Init, Next, Node, Options, StartError, Supervisor,
    gen_server,
};

struct Cloakroom {
    hooks: usize,
    coats: HashMap<u32, String>,
    next_ticket: u32,
    /// Who waits for a free hook, in order: the coat, and whom to answer.
    queue: Vec<(String, From<u32>)>,
}

#[derive(Debug)]
struct NoSuchTicket;

// Writes `CloakroomMessage`, `impl GenServer for Cloakroom`, `CloakroomClient`, and
// `Cloakroom::{start, start_link, child_spec}`.
#[gen_server]
impl Cloakroom {
    #[init]
    async fn init(hooks: usize, ctx: &mut Context<Self>) -> Init<Self> {
        println!("cloakroom: opens as {} with {hooks} hooks", ctx.pid());
        let cloakroom = Cloakroom {
            hooks,
            coats: HashMap::new(),
            next_ticket: 1,
            queue: Vec::new(),
        };
        // `start` returns now. This runs before any message is handled.
        Init::Continue(cloakroom, Self::continue_sweep("the floor".into()))
    }

    #[continuation]
    async fn sweep(&mut self, what: String) {
        println!("cloakroom: sweeps {what}");
    }

    /// How many hooks are free.
    #[call]
    async fn free(&self) -> usize {
        self.hooks - self.coats.len()
    }

    /// Leaves a coat and gives the ticket, when there is a hook: the answer comes later, and the
    /// cloakroom serves others until then.
    #[call]
    async fn leave(&mut self, coat: String, from: From<u32>) {
        if self.coats.len() < self.hooks {
            from.reply(self.hang(coat));
        } else {
            println!("cloakroom: no hook for {coat}, it has to wait");
            self.queue.push((coat, from));
        }
    }

    /// Takes a coat back. The error is an answer like any other.
    #[call]
    async fn fetch(&mut self, ticket: u32) -> Result<String, NoSuchTicket> {
        let coat = self.coats.remove(&ticket).ok_or(NoSuchTicket)?;
        if !self.queue.is_empty() {
            let (waiting, from) = self.queue.remove(0);
            from.reply(self.hang(waiting));
        }
        Ok(coat)
    }

    /// Sets off the alarm.
    #[cast]
    async fn alarm(&mut self, why: String) -> Next<Self> {
        Next::Stop(ExitReason::error(why))
    }

    #[terminate]
    async fn terminate(&mut self, reason: &ExitReason) {
        println!(
            "cloakroom: closes with {reason}; {} coats",
            self.coats.len()
        );
    }

    /// An ordinary method, without an attribute.
    fn hang(&mut self, coat: String) -> u32 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.coats.insert(ticket, coat);
        ticket
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("not started: {0}")]
    Start(#[from] StartError),
    #[error("no answer: {0}")]
    Call(#[from] CallError),
    #[error("there is no cloakroom")]
    Gone,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let node = Node::new("theatre");
    Supervisor::one_for_one()
        .child(
            Cloakroom::child_spec("cloakroom", || 1).options(|| Options::new().name("cloakroom")),
        )
        .start(&node, Options::new())
        .await?;
    let cloakroom = CloakroomClient::whereis(&node, "cloakroom").ok_or(Failure::Gone)?;

    println!("main: {} free", cloakroom.free().await?);
    let ticket = cloakroom.leave("a red coat".into()).await?;
    println!("main: ticket {ticket} for the red coat");
    println!("main: ticket 7 gives {:?}", cloakroom.fetch(7).await?);

    // The second coat has to wait for the first; this client does not wait long.
    let hasty = cloakroom.within(Duration::from_millis(20));
    match hasty.leave("a blue coat".into()).await {
        Err(CallError::Timeout) => println!("main: no hook in time for the blue coat"),
        other => println!("main: {other:?}"),
    }
    println!("main: {:?} is back", cloakroom.fetch(ticket).await?);

    // A crash; the supervisor opens another one under the same name.
    cloakroom.alarm("fire".into());
    let reason = cloakroom.server_ref().wait_for_exit().await;
    println!("main: it ended with {reason}");
    match cloakroom.free().await {
        Err(CallError::NoProc) => println!("main: the old reference leads nowhere"),
        other => println!("main: {other:?}"),
    }
    let successor = loop {
        match CloakroomClient::whereis(&node, "cloakroom") {
            Some(found) if found != cloakroom => break found,
            _ => tokio::task::yield_now().await,
        }
    };
    println!("main: {} free in the new one", successor.free().await?);
    node.stop().await;
    Ok(())
}
