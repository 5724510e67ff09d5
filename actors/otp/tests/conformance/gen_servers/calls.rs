//! Calls and casts, and how each failure of a call looks.

use std::time::Duration;

use otp::{
    At, CallError, Context, ExitReason, GenServer, Info, Init, Next, Node, Options, ServerRef, sys,
};
use tokio::time::{Instant, sleep};

use crate::gen_servers::server::{Message, Server, Start, asked, busy, start, tell, walk, within};
use crate::gen_servers::traces::Traces;
use crate::support::{Log, node};

crate::cases! {
    calls_are_answered_now_or_later: "GSRV-016";
    a_call_waits_as_long_as_it_says [Paused]: "GSRV-016";
    casts_never_wait: "GSRV-021";
    plain_messages_reach_handle_info: "GSRV-023";
    a_server_that_calls_itself_is_told_at_once: "GSRV-038";
    a_call_does_not_mind_what_waits_for_the_caller: "GSRV-057";
    unexpected_messages_are_logged_and_dropped [Paused]: "GSRV-058";
    continue_without_a_handler_tells_what_is_missing: "GSRV-059";
    each_failure_of_a_call_is_its_own: "GSRV-071";
    five_seconds_unless_said_otherwise [Paused]: "GSRV-081";
}

const SHORT: Duration = Duration::from_millis(100);

async fn calls_are_answered_now_or_later() {
    let node = node();
    let log = Log::default();
    let server = start(&node, Start::plain(&log)).await;
    assert_eq!(server.call(Message::Get).await, Ok(7));
    // Later, from another callback; others are served meanwhile.
    let waiting = tokio::spawn({
        let server = server.clone();
        async move { server.call(Message::Hold).await }
    });
    while within(&server, |state, _| state.held.is_empty()).await {}
    assert_eq!(server.call(Message::Get).await, Ok(7));
    assert!(!waiting.is_finished());
    within(&server, |state, _| state.held.pop().unwrap().reply(12)).await;
    assert_eq!(waiting.await.unwrap(), Ok(12));
    // Answered, and stopped for it.
    let why = ExitReason::Custom("enough".into());
    let reason = why.clone();
    let answer = server.call(asked(move |from| {
        from.reply(1);
        Next::Stop(reason)
    }));
    assert_eq!(answer.await, Ok(1));
    assert_eq!(server.wait_for_exit().await, why);
    // What is no valid result cannot be written; a handler that fails ends the server, and its
    // caller gets that reason.
    let server = start(&node, Start::plain(&log)).await;
    let why = ExitReason::error("bad return value");
    let reason = why.clone();
    let answer = server.call(asked(move |_from| Next::Stop(reason))).await;
    assert_eq!(answer, Err(CallError::Exit(why.clone())));
    assert_eq!(server.wait_for_exit().await, why);
    assert_eq!(server.call(Message::Get).await, Err(CallError::NoProc));
}

async fn a_call_waits_as_long_as_it_says() {
    let node = node();
    let log = Log::default();
    let server = start(&node, Start::plain(&log)).await;
    for limit in [SHORT, Duration::from_secs(60)] {
        let begun = Instant::now();
        let answer = server.call_timeout(limit, Message::Hold).await;
        assert_eq!(answer, Err(CallError::Timeout));
        assert_eq!(begun.elapsed(), limit);
        assert_eq!(server.call(Message::Get).await, Ok(7), "it lives on");
    }
    let held = within(&server, |state, _| state.held.len()).await;
    assert_eq!(held, 2, "the requests were handled all the same");
}

async fn casts_never_wait() {
    let node = node();
    let log = Log::default();
    let server = start(&node, Start::plain(&log)).await;
    let open = busy(&server);
    for number in 1..=100 {
        server.cast(Message::Set(number));
    }
    open.send(()).unwrap();
    assert_eq!(server.call(Message::Get).await, Ok(100));
    // To whom it may concern, and is not there.
    let dead = start(&node, Start::plain(&log)).await;
    node.exit(dead.pid(), ExitReason::Kill);
    dead.wait_for_exit().await;
    dead.cast(Message::Note("to the dead"));
    node.cast::<Server>(dead.pid(), Message::Note("to a dead pid"));
    node.cast::<Server>("nobody", Message::Note("to a missing name"));
    for node_name in [node.name(), "nowhere"] {
        let nobody = At {
            name: "nobody",
            node: node_name,
        };
        node.cast::<Server>(nobody, Message::Note("to a missing name of a node"));
    }
    assert_eq!(log.all(), ["init", "init"]);
    // By name it arrives.
    node.register("mine", server.pid()).unwrap();
    node.cast::<Server>("mine", Message::Set(5));
    node.cast::<Server>(
        At {
            name: "mine",
            node: node.name(),
        },
        Message::Note("here"),
    );
    assert_eq!(server.call(Message::Get).await, Ok(5));
    assert_eq!(log.all().last().unwrap(), "here");
}

async fn plain_messages_reach_handle_info() {
    let node = node();
    let log = Log::default();
    let server = start(&node, Start::plain(&log)).await;
    let pid = server.pid();
    node.register("mine", pid).unwrap();
    let sender = start(&node, Start::plain(&Log::default())).await;
    let alias = within(&server, |_, ctx| ctx.alias(otp::AliasMode::Explicit)).await;
    within(&sender, move |_, ctx| {
        ctx.send(pid, Box::new("to its pid"));
        ctx.node()
            .send_name("mine", Box::new("to its name"))
            .unwrap();
        ctx.node().send_alias(alias, Box::new("to its alias"));
    })
    .await;
    assert!(node.send(pid, Box::new(5_u8)));
    within(&server, |_, _| ()).await;
    let expected = [
        "init",
        "to its pid",
        "to its name",
        "to its alias",
        "a message",
    ];
    assert_eq!(log.all(), expected);
    // In their place among its own messages.
    log.clear();
    within(&sender, {
        let server = server.clone();
        move |_, ctx| {
            for _ in 0..100 {
                server.cast(Message::Note("cast"));
                ctx.send(pid, Box::new("info"));
            }
        }
    })
    .await;
    within(&server, |_, _| ()).await;
    assert_eq!(log.all(), ["cast", "info"].repeat(100));
}

async fn a_server_that_calls_itself_is_told_at_once() {
    let node = node();
    let log = Log::default();
    let server = start(&node, Start::plain(&log)).await;
    node.register("mine", server.pid()).unwrap();
    let own = server.clone();
    let begun = std::time::Instant::now();
    let outcomes = walk(&server, move |ctx| {
        Box::pin(async move {
            let (node, pid) = (ctx.node().clone(), ctx.pid());
            let here = At {
                name: "mine",
                node: node.name(),
            };
            let mut outcomes = vec![
                ctx.self_ref().call(Message::Get).await,
                own.call_timeout(Duration::from_secs(60), Message::Get)
                    .await,
                own.call_infinity(Message::Get).await,
                own.send_request(Message::Get)
                    .receive(Duration::from_secs(60))
                    .await,
                node.call::<Server, _, _>(pid, Message::Get).await,
                node.call::<Server, _, _>("mine", Message::Get).await,
                node.call::<Server, _, _>(here, Message::Get).await,
            ];
            let stopped = own.stop(ExitReason::Normal, Duration::from_secs(60)).await;
            outcomes.push(stopped.map(|()| 0));
            let looked = sys::with_state(&own, |state| state.number).await;
            outcomes.push(looked.map_err(|error| match error {
                sys::SysError::Call(error) => error,
                other => panic!("{other}"),
            }));
            outcomes
        })
    });
    let outcomes = outcomes.await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(outcomes, vec![Err(CallError::CallingSelf); 9]);
    // It is none the worse for it, and a task of its own may ask it.
    assert_eq!(server.call(Message::Get).await, Ok(7));
    let own = server.clone();
    let asked = within(&server, move |_, ctx| {
        ctx.spawn_link_task(async move { own.call(Message::Get).await })
    });
    assert_eq!(asked.await.await, Ok(Ok(7)));
}

/// The caller has no place where the answer would have to be looked for.
async fn a_call_does_not_mind_what_waits_for_the_caller() {
    const CALLS: u32 = 500;
    const QUEUED: usize = 50_000;
    let node = node();
    let log = Log::default();
    let server = start(&node, Start::plain(&log)).await;
    let mut best = [Duration::MAX; 2];
    for _ in 0..5 {
        for (best, queued) in best.iter_mut().zip([0, QUEUED]) {
            let caller = start(&node, Start::plain(&Log::default())).await;
            let (server, own) = (server.clone(), caller.clone());
            let taken = walk(&caller, move |ctx| {
                Box::pin(async move {
                    for _ in 0..queued {
                        own.cast(Message::Set(1));
                    }
                    assert_eq!(ctx.mailbox_len(), queued);
                    let begun = std::time::Instant::now();
                    for _ in 0..CALLS {
                        assert_eq!(server.call(Message::Get).await, Ok(7));
                    }
                    begun.elapsed()
                })
            });
            *best = taken.await.min(*best);
            node.exit(caller.pid(), ExitReason::Kill);
        }
    }
    // A search of the queue would be some hundred times slower.
    assert!(best[1] < 5 * best[0], "{best:?}");
}

/// A server that expects nothing but its own messages.
struct Plain;

impl GenServer for Plain {
    type Args = ();
    type Message = otp::From<u32>;

    async fn init((): (), ctx: &mut Context<Plain>) -> Init<Plain> {
        ctx.trap_exit(true);
        Init::Ok(Plain)
    }

    async fn handle(&mut self, from: otp::From<u32>, _ctx: &mut Context<Plain>) -> Next<Plain> {
        from.reply(3);
        Next::Go
    }
}

async fn unexpected_messages_are_logged_and_dropped() {
    let traces = Traces::start();
    let node = node();
    let server = otp::start::<Plain>(&node, (), Options::new())
        .await
        .unwrap();
    node.send(server.pid(), Box::new("unexpected"));
    node.exit(server.pid(), ExitReason::Custom("signal".into()));
    assert_eq!(server.call(|from| from).await, Ok(3));
    let logged = traces.of("WARN");
    assert_eq!(logged.len(), 2, "{logged:?}");
    for (line, what) in logged.iter().zip(["Message", "signal"]) {
        assert!(
            line.contains("unexpected message")
                && line.contains(what)
                && line.contains(&server.pid().to_string()),
            "{line}"
        );
    }
}

/// `Next::Continue` takes a message of the server, and a `match` has an arm for each: what is
/// missing in Erlang is a compile error here. An arm that was left unwritten tells so.
async fn continue_without_a_handler_tells_what_is_missing() {
    struct Unfinished;
    #[derive(Debug)]
    enum Step {
        First,
        Second,
    }
    impl GenServer for Unfinished {
        type Args = Step;
        type Message = Step;
        async fn init(step: Step, _ctx: &mut Context<Unfinished>) -> Init<Unfinished> {
            Init::Continue(Unfinished, step)
        }
        async fn handle(&mut self, step: Step, _ctx: &mut Context<Unfinished>) -> Next<Unfinished> {
            match step {
                Step::First => Next::Continue(Step::Second),
                other @ Step::Second => unreachable!("no handler for {other:?}"),
            }
        }
        async fn handle_info(
            &mut self,
            _: Info,
            _ctx: &mut Context<Unfinished>,
        ) -> Next<Unfinished> {
            Next::Continue(Step::Second)
        }
    }
    let node = node();
    for step in [Step::First, Step::Second] {
        let server = otp::start::<Unfinished>(&node, step, Options::new()).await;
        let reason = server.unwrap().wait_for_exit().await;
        let ExitReason::Panic { message, location } = reason else {
            panic!("{reason}");
        };
        assert!(message.contains("no handler for Second"), "{message}");
        assert!(location.contains("calls.rs"), "{location}");
    }
}

async fn each_failure_of_a_call_is_its_own() {
    let (node, there) = (node(), Node::new("there"));
    node.connect(&there);
    let log = Log::default();
    let mut failures = Vec::new();
    // Nobody there.
    let dead = start(&node, Start::plain(&log)).await;
    node.exit(dead.pid(), ExitReason::Kill);
    dead.wait_for_exit().await;
    failures.push(dead.call(Message::Get).await);
    for missing in [
        node.call::<Server, _, _>("nobody", Message::Get).await,
        node.call::<Server, _, _>(dead.pid(), Message::Get).await,
    ] {
        assert_eq!(missing, failures[0]);
    }
    // Its node is not there.
    let far = otp::start::<Server>(&there, Start::plain(&log), Options::new()).await;
    let far = node.server_ref::<Server>(far.unwrap().pid()).unwrap();
    assert_eq!(far.call(Message::Get).await, Ok(7));
    node.disconnect(&there);
    otp::eventually!(node.nodes().is_empty());
    failures.push(far.call(Message::Get).await);
    // No answer in time, and none at all.
    let server = start(&node, Start::plain(&log)).await;
    failures.push(server.call_timeout(SHORT, Message::Hold).await);
    failures.push(server.call(asked(|_from| Next::Go)).await);
    // Itself.
    let own = server.clone();
    let itself = walk(&server, |_| {
        Box::pin(async move { own.call(Message::Get).await })
    });
    failures.push(itself.await);
    // It ends while the call waits, whether or not it has been reached.
    for reason in [
        ExitReason::Normal,
        ExitReason::Shutdown,
        ExitReason::ShutdownWith("why".into()),
        ExitReason::Custom("mine".into()),
        ExitReason::Error("mine".into()),
    ] {
        let server = start(&node, Start::plain(&log)).await;
        let why = reason.clone();
        failures.push(server.call(asked(|_from| Next::Stop(why))).await);
        assert_eq!(failures.last(), Some(&Err(CallError::Exit(reason.clone()))));
        let server = start(&node, Start::plain(&log)).await;
        let open = busy(&server);
        let why = reason.clone();
        tell(&server, |_, _| Next::Stop(why));
        let waiting = server.send_request(Message::Get);
        open.send(()).unwrap();
        let waited = waiting.receive(Duration::from_secs(10)).await;
        assert_eq!(Some(&waited), failures.last());
    }
    // It is killed, it panics.
    let server = start(&node, Start::plain(&log)).await;
    let waiting = server.send_request(Message::Hold);
    node.exit(server.pid(), ExitReason::Kill);
    failures.push(waiting.receive(Duration::from_secs(10)).await);
    let server = start(&node, Start::plain(&log)).await;
    failures.push(server.call(asked(|_from| panic!("wrong"))).await);

    let named = |failure: &Result<u64, CallError>| match failure {
        Err(CallError::NoProc) => "noproc".to_owned(),
        Err(CallError::NodeDown) => "nodedown".to_owned(),
        Err(CallError::Timeout) => "timeout".to_owned(),
        Err(CallError::NoReply) => "no reply".to_owned(),
        Err(CallError::CallingSelf) => "calling_self".to_owned(),
        Err(CallError::Exit(ExitReason::Panic { message, .. })) => message.to_string(),
        Err(CallError::Exit(reason)) => reason.to_string(),
        other => panic!("{other:?}"),
    };
    let named: Vec<String> = failures.iter().map(named).collect();
    assert_eq!(
        named,
        [
            "noproc",
            "nodedown",
            "timeout",
            "no reply",
            "calling_self",
            "normal",
            "shutdown",
            "shutdown: why",
            "custom: mine",
            "error: mine",
            "killed",
            "wrong"
        ]
    );
}

async fn five_seconds_unless_said_otherwise() {
    let node = node();
    let log = Log::default();
    let server = start(&node, Start::plain(&log)).await;
    let begun = Instant::now();
    let answer = server.call(Message::Hold).await;
    assert_eq!(answer, Err(CallError::Timeout));
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    let begun = Instant::now();
    let answer = node.call::<Server, _, _>(server.pid(), Message::Hold).await;
    assert_eq!(answer, Err(CallError::Timeout));
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    // For ever, for those who ask for it.
    let patient: ServerRef<Server> = server.clone();
    let waiting = tokio::spawn(async move { patient.call_infinity(Message::Hold).await });
    sleep(Duration::from_secs(1_000_000)).await;
    assert!(!waiting.is_finished());
    within(&server, |state, _| state.held.pop().unwrap().reply(1)).await;
    assert_eq!(waiting.await.unwrap(), Ok(1));
}
