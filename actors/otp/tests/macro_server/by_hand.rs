//! One server written both ways: the same messages, the same answers to the same requests.

use otp::{
    CallError, Context, ExitReason, From, GenServer, Info, Init, Next, Node, Options, ServerRef,
    gen_server,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::{Log, log, node};

type Refused = String;

// ── By hand ───────────────────────────────────────────────────────────────────────────────────

struct Hand {
    stock: u64,
    waiting: Vec<From<u64>>,
    log: Log,
}

enum HandMessage {
    Add {
        amount: u64,
    },
    Take {
        amount: u64,
        from: From<Result<u64, Refused>>,
    },
    Stock {
        from: From<u64>,
    },
    Wait {
        from: From<u64>,
    },
    Double {
        from: From<u64>,
    },
    Again {
        times: u64,
    },
    End {
        reason: ExitReason,
        from: From<u64>,
    },
}

impl GenServer for Hand {
    type Args = (u64, Log);
    type Message = HandMessage;

    async fn init((stock, log): (u64, Log), ctx: &mut Context<Self>) -> Init<Self> {
        ctx.trap_exit(true);
        let waiting = Vec::new();
        let hand = Hand {
            stock,
            waiting,
            log,
        };
        Init::Continue(hand, HandMessage::Again { times: 2 })
    }

    async fn handle(&mut self, message: HandMessage, _ctx: &mut Context<Self>) -> Next<Self> {
        match message {
            HandMessage::Add { amount } => {
                self.stock += amount;
                for from in self.waiting.drain(..) {
                    from.reply(self.stock);
                }
            }
            HandMessage::Take { amount, from } => from.reply(if amount > self.stock {
                Err(format!("only {}", self.stock))
            } else {
                self.stock -= amount;
                Ok(self.stock)
            }),
            HandMessage::Stock { from } => from.reply(self.stock),
            HandMessage::Wait { from } => self.waiting.push(from),
            HandMessage::Double { from } => {
                from.reply(self.stock);
                return Next::Continue(HandMessage::Again { times: 1 });
            }
            HandMessage::Again { times } => {
                self.stock *= 2;
                if times > 1 {
                    return Next::Continue(HandMessage::Again { times: times - 1 });
                }
            }
            HandMessage::End { reason, from } => {
                from.reply(self.stock);
                return Next::Stop(reason);
            }
        }
        Next::Go
    }

    async fn handle_info(&mut self, info: Info, _ctx: &mut Context<Self>) -> Next<Self> {
        if let Info::Message(message) = info
            && let Ok(number) = message.downcast::<u64>()
        {
            self.stock += *number;
        }
        Next::Go
    }

    async fn terminate(&mut self, reason: &ExitReason, _ctx: &mut Context<Self>) {
        let _ = self.log.send(format!("{reason} at {}", self.stock));
    }
}

// ── With the macro ────────────────────────────────────────────────────────────────────────────

struct Macro {
    stock: u64,
    waiting: Vec<From<u64>>,
    log: Log,
}

#[gen_server]
impl Macro {
    #[init]
    async fn init(stock: u64, log: Log, ctx: &mut Context<Self>) -> Init<Self> {
        ctx.trap_exit(true);
        let waiting = Vec::new();
        Init::Continue(
            Macro {
                stock,
                waiting,
                log,
            },
            Self::continue_again(2),
        )
    }

    #[cast]
    async fn add(&mut self, amount: u64) {
        self.stock += amount;
        for from in self.waiting.drain(..) {
            from.reply(self.stock);
        }
    }

    #[call]
    async fn take(&mut self, amount: u64) -> Result<u64, Refused> {
        self.stock = self
            .stock
            .checked_sub(amount)
            .ok_or_else(|| format!("only {}", self.stock))?;
        Ok(self.stock)
    }

    #[call]
    async fn stock(&mut self) -> u64 {
        self.stock
    }

    #[call]
    async fn wait(&mut self, from: From<u64>) {
        self.waiting.push(from);
    }

    #[call]
    async fn double(&mut self, from: From<u64>) -> Next<Self> {
        from.reply(self.stock);
        Next::Continue(Self::continue_again(1))
    }

    #[continuation]
    async fn again(&mut self, times: u64) -> Next<Self> {
        self.stock *= 2;
        if times > 1 {
            return Next::Continue(Self::continue_again(times - 1));
        }
        Next::Go
    }

    #[call]
    async fn end(&mut self, reason: ExitReason, from: From<u64>) -> Next<Self> {
        from.reply(self.stock);
        Next::Stop(reason)
    }

    #[info]
    async fn info(&mut self, info: Info) {
        if let Info::Message(message) = info
            && let Ok(number) = message.downcast::<u64>()
        {
            self.stock += *number;
        }
    }

    #[terminate]
    async fn terminate(&mut self, reason: &ExitReason) {
        let _ = self.log.send(format!("{reason} at {}", self.stock));
    }
}

// ── The comparison ────────────────────────────────────────────────────────────────────────────

#[derive(Clone, Debug)]
enum Request {
    Add(u64),
    Take(u64),
    Stock,
    /// Ask, add, and only then look at the answer.
    WaitAndAdd(u64),
    Double,
    Raw(u64),
    End(ExitReason),
}

fn requests(random: &mut StdRng) -> Vec<Request> {
    let mut requests: Vec<Request> = (0..random.random_range(1..40))
        .map(|_| {
            let number = random.random_range(0..50);
            match random.random_range(0..8) {
                0 | 1 => Request::Add(number),
                2 => Request::Take(number),
                3 => Request::Take(number * 1000),
                4 => Request::Stock,
                5 => Request::WaitAndAdd(number),
                6 => Request::Double,
                _ => Request::Raw(number),
            }
        })
        .collect();
    // Doubling must not overflow, however often the dice say so.
    let mut doubled = 0;
    requests.retain(|request| {
        doubled += u32::from(matches!(request, Request::Double));
        !matches!(request, Request::Double) || doubled <= 20
    });
    let reasons = [
        ExitReason::Normal,
        ExitReason::Shutdown,
        ExitReason::error("broken"),
    ];
    let reason = reasons[random.random_range(0..reasons.len())].clone();
    requests.push(Request::End(reason));
    // Nobody is there any more.
    requests.push(Request::Stock);
    requests
}

fn show<T: std::fmt::Debug>(answer: Result<T, CallError>) -> String {
    format!("{answer:?}")
}

async fn by_hand(node: &Node, server: &ServerRef<Hand>, request: Request) -> String {
    match request {
        Request::Add(amount) => {
            server.cast(HandMessage::Add { amount });
            String::new()
        }
        Request::Take(amount) => show(server.call(|from| HandMessage::Take { amount, from }).await),
        Request::Stock => show(server.call(|from| HandMessage::Stock { from }).await),
        Request::WaitAndAdd(amount) => {
            let wait = server.call(|from| HandMessage::Wait { from });
            let add = async { server.cast(HandMessage::Add { amount }) };
            show(tokio::join!(biased; wait, add).0)
        }
        Request::Double => show(server.call(|from| HandMessage::Double { from }).await),
        Request::Raw(number) => node.send(server.pid(), Box::new(number)).to_string(),
        Request::End(reason) => {
            let answer = server.call(|from| HandMessage::End { reason, from }).await;
            format!("{} {}", show(answer), server.wait_for_exit().await)
        }
    }
}

async fn with_macro(node: &Node, server: &MacroClient, request: Request) -> String {
    match request {
        Request::Add(amount) => {
            server.add(amount);
            String::new()
        }
        Request::Take(amount) => show(server.take(amount).await),
        Request::Stock => show(server.stock().await),
        Request::WaitAndAdd(amount) => {
            let add = async { server.add(amount) };
            show(tokio::join!(biased; server.wait(), add).0)
        }
        Request::Double => show(server.double().await),
        Request::Raw(number) => node.send(server.pid(), Box::new(number)).to_string(),
        Request::End(reason) => {
            let answer = show(server.end(reason).await);
            format!("{answer} {}", server.server_ref().wait_for_exit().await)
        }
    }
}

#[tokio::test]
async fn both_forms_answer_the_same() {
    let node = node();
    for seed in 0..200 {
        let mut random = StdRng::seed_from_u64(seed);
        let begin = random.random_range(0..10);
        let requests = requests(&mut random);
        let (hand_log, mut hand_lines) = log();
        let (macro_log, mut macro_lines) = log();
        let hand = otp::start::<Hand>(&node, (begin, hand_log), Options::new())
            .await
            .unwrap();
        let written = Macro::start(&node, (begin, macro_log), Options::new())
            .await
            .unwrap();
        for request in requests {
            assert_eq!(
                with_macro(&node, &written, request.clone()).await,
                by_hand(&node, &hand, request.clone()).await,
                "seed {seed}: {request:?}"
            );
        }
        let last = hand_lines.recv().await;
        assert!(last.is_some());
        assert_eq!(macro_lines.recv().await, last, "seed {seed}");
    }
}

#[test]
fn both_forms_have_the_same_envelope() {
    assert_eq!(size_of::<MacroMessage>(), size_of::<HandMessage>());
    assert_eq!(align_of::<MacroMessage>(), align_of::<HandMessage>());
    // The state and its arguments, too, and neither knows the other.
    assert_eq!(
        size_of::<<Macro as GenServer>::Args>(),
        size_of::<<Hand as GenServer>::Args>()
    );
}
