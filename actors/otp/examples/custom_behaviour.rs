//! A behaviour of one's own on top of `GenServer`: a worker that is asked no faster than it can.
//!
//! `cargo run -p guildhall-otp --example custom_behaviour`
//!
//! A behaviour is a trait with the part that differs, and one generic server with the part that is
//! always the same. Here the same part is a rate limit with a bounded queue; what differs is the
//! work.
//!
//! ```text
//!  submit(job) ──▶ Limiter ── a turn is free ──▶ work.run(job) ──▶ answer
//!                     │ none free: wait in line        ▲
//!                     └─ line full: Busy, at once      └── every PERIOD the turns are free again
//! ```

use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;

use otp::{CallError, Context, ExitReason, From, GenServer, Init, Next, Node, Options, ServerRef};

// ---- the behaviour: what its users write --------------------------------------------------------

/// Work that must not be done too often.
trait Limited: Sized + Send + 'static {
    type Args: Send + 'static;
    type Job: Send + 'static;
    type Answer: Send + 'static;

    /// How many jobs may run in one [`PERIOD`].
    const TURNS: usize;

    fn start(args: Self::Args) -> Self;
    fn run(&mut self, job: Self::Job) -> impl Future<Output = Self::Answer> + Send;
}

/// How long the turns have to last.
const PERIOD: Duration = Duration::from_millis(200);

/// How many jobs wait in line; further ones are refused with [`Busy`].
const WAITING_MAX: usize = 3;

/// The line is full.
#[derive(Debug)]
struct Busy;

/// Asks a limited worker, and waits for as long as the line takes.
async fn submit<W: Limited>(
    to: &ServerRef<Limiter<W>>,
    job: W::Job,
) -> Result<Result<W::Answer, Busy>, CallError> {
    to.call(|from| Message::Submit { job, from }).await
}

// ---- the behaviour: the part that is always the same --------------------------------------------

struct Limiter<W: Limited> {
    work: W,
    turns: usize,
    line: VecDeque<Waiting<W>>,
}

/// A job in line, and whom to answer: the caller waits, the server does not.
struct Waiting<W: Limited> {
    job: W::Job,
    from: From<Result<W::Answer, Busy>>,
}

enum Message<W: Limited> {
    Submit {
        job: W::Job,
        from: From<Result<W::Answer, Busy>>,
    },
    /// A period is over.
    Tick,
}

impl<W: Limited> GenServer for Limiter<W> {
    type Args = W::Args;
    type Message = Message<W>;

    async fn init(args: W::Args, ctx: &mut Context<Self>) -> Init<Self> {
        ctx.send_interval(PERIOD, || Message::Tick);
        Init::Ok(Limiter {
            work: W::start(args),
            turns: W::TURNS,
            line: VecDeque::new(),
        })
    }

    async fn handle(&mut self, message: Message<W>, _ctx: &mut Context<Self>) -> Next<Self> {
        match message {
            Message::Submit { from, .. } if self.line.len() >= WAITING_MAX => from.reply(Err(Busy)),
            Message::Submit { job, from } => self.line.push_back(Waiting { job, from }),
            Message::Tick => self.turns = W::TURNS,
        }
        self.run_what_may_run().await;
        Next::Go
    }

    async fn terminate(&mut self, reason: &ExitReason, _ctx: &mut Context<Self>) {
        println!("limiter: ends ({reason}), {} in line", self.line.len());
    }
}

impl<W: Limited> Limiter<W> {
    async fn run_what_may_run(&mut self) {
        while self.turns > 0
            && let Some(Waiting { job, from }) = self.line.pop_front()
        {
            if from.is_abandoned() {
                // The caller gave up while it stood in line.
                continue;
            }
            self.turns -= 1;
            from.reply(Ok(self.work.run(job).await));
        }
    }
}

// ---- one use of it ------------------------------------------------------------------------------

/// Greets people.
struct Greeter {
    greeting: &'static str,
    greeted: u32,
}

impl Limited for Greeter {
    type Args = &'static str;
    type Job = &'static str;
    type Answer = String;

    const TURNS: usize = 2;

    fn start(greeting: &'static str) -> Greeter {
        Greeter {
            greeting,
            greeted: 0,
        }
    }

    async fn run(&mut self, name: &'static str) -> String {
        self.greeted += 1;
        format!("{}, {name}! (number {})", self.greeting, self.greeted)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = Node::new("example");
    let options = Options::new().name("greeter").label("greeter");
    let greeter = otp::start::<Limiter<Greeter>>(&node, "Hello", options).await?;
    println!("at most 2 in {PERIOD:?}, and 3 in line");

    let begun = std::time::Instant::now();
    let names = [
        "Ada",
        "Barbara",
        "Christopher",
        "Donald",
        "Edsger",
        "Frances",
    ];
    let asked = names.map(|name| {
        let greeter = greeter.clone();
        async move {
            let said = submit(&greeter, name).await;
            let period = begun.elapsed().as_millis() / PERIOD.as_millis();
            match said {
                Ok(Ok(text)) => println!("period {period}: {text}"),
                Ok(Err(Busy)) => println!("period {period}: {name} is told that the line is full"),
                Err(error) => println!("period {period}: {name}: {error}"),
            }
        }
    });
    futures_util::future::join_all(asked).await;

    greeter
        .stop(ExitReason::Normal, Duration::from_secs(1))
        .await?;
    node.stop().await;
    Ok(())
}
