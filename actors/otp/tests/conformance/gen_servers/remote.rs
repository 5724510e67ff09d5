//! Servers of other nodes: casts and calls to them, to many at once, and lost nodes.
//!
//! A name of another node stands for a global one, see the header of the module.

use std::sync::Arc;
use std::time::Duration;

use otp::{At, CallError, Destination, ExitReason, From, Next, Node, Options, ServerRef, sys};
use tokio::time::Instant;

use crate::gen_servers::server::{Message, Server, Start, asked, busy, start, walk, within};
use crate::support::{Log, node};

crate::cases! {
    a_cast_to_an_unknown_node_does_not_wait [Paused]: "GSRV-022";
    a_cast_to_a_name_everywhere: "GSRV-024", "GSRV-073";
    a_call_to_a_name_everywhere: "GSRV-029", "GSRV-074";
    a_node_that_is_down_is_told_at_once [Paused]: "GSRV-030";
    answers_of_all_kinds [Paused]: "GSRV-031";
    many_calls_do_not_mind_what_waits_for_the_caller: "GSRV-032", "GSRV-033", "GSRV-034";
    a_call_to_a_name_after_a_kill: "GSRV-035";
    a_call_to_a_pid_after_a_kill: "GSRV-036";
    a_call_to_a_name_of_a_node_after_a_kill: "GSRV-037";
    a_call_to_a_name_after_the_end_of_its_node: "GSRV-039";
    a_call_to_a_pid_after_the_end_of_its_node: "GSRV-040";
    a_call_to_a_name_of_a_node_after_the_end_of_that: "GSRV-041";
    a_call_that_waits_learns_of_the_end_of_the_node: "GSRV-040";
    calls_across_nodes_leave_no_task: "GSRV-080";
}

const LONG: Duration = Duration::from_secs(10);

const FAR: At<'_> = At {
    name: "named",
    node: "there",
};

async fn named(node: &Node, log: &Log) -> ServerRef<Server> {
    let options = Options::new().name("named");
    let server = otp::start::<Server>(node, Start::plain(log), options).await;
    server.unwrap()
}

/// This node, and others connected with it, each with a server of the same name.
async fn nodes(names: &[&str]) -> (Node, Vec<Node>, Vec<ServerRef<Server>>) {
    let here = node();
    let mut others = Vec::new();
    let mut servers = Vec::new();
    for (place, name) in names.iter().enumerate() {
        let other = Node::new(*name);
        here.connect(&other);
        let server = named(&other, &Log::default()).await;
        server.cast(Message::Set(place as u64));
        others.push(other);
        servers.push(server);
    }
    (here, others, servers)
}

async fn a_cast_to_an_unknown_node_does_not_wait() {
    let (here, others, servers) = nodes(&["there"]).await;
    let server = servers[0].pid();
    let held = here.server_ref::<Server>(server).unwrap();
    let nowhere = At {
        name: "named",
        node: "nowhere",
    };
    let begun = Instant::now();
    for _ in 0..1_000 {
        here.cast::<Server>(nowhere, Message::Set(9));
    }
    // A connection that carries nothing does not hold it up either, nor does a lost one.
    here.hold_connection(&others[0], true);
    held.cast(Message::Set(9));
    here.disconnect(&others[0]);
    held.cast(Message::Set(10));
    here.cast::<Server>(FAR, Message::Set(10));
    here.cast::<Server>(server, Message::Set(10));
    here.abcast::<Server>(&["nowhere", "there"], "named", || Message::Set(10));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    otp::eventually!(here.nodes().is_empty());
    assert!(held.try_cast(Message::Set(10)).is_err());
    assert_eq!(
        servers[0].call(Message::Get).await,
        Ok(0),
        "nothing of it arrived"
    );
}

async fn a_cast_to_a_name_everywhere() {
    let (here, others, mut servers) = nodes(&["a", "b", "c"]).await;
    servers.push(named(&here, &Log::default()).await);
    let everywhere = ["a", "b", "c", here.name(), "nowhere"];
    here.abcast::<Server>(&everywhere, "named", || Message::Set(100));
    for server in &servers {
        otp::eventually!(server.call(Message::Get).await == Ok(100));
    }
    // To some only, and to a name that is not everywhere.
    here.abcast::<Server>(&["a", here.name()], "named", || Message::Set(200));
    servers[1].stop(ExitReason::Normal, LONG).await.unwrap();
    here.abcast::<Server>(&["b", "c"], "named", || Message::Set(300));
    otp::eventually!(servers[0].call(Message::Get).await == Ok(200));
    otp::eventually!(servers[2].call(Message::Get).await == Ok(300));
    assert_eq!(servers[3].call(Message::Get).await, Ok(200));
    here.abcast::<Server>(&everywhere, "nobody", || Message::Set(400));
    for (server, number) in [(0, 200), (2, 300), (3, 200)] {
        assert_eq!(servers[server].call(Message::Get).await, Ok(number));
    }
    // From within a process, to its own node too.
    let names = everywhere.map(str::to_owned);
    within(&servers[0], move |_, ctx| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        ctx.node()
            .abcast::<Server>(&names, "named", || Message::Set(500));
    })
    .await;
    assert_eq!(others[0].name(), "a");
    otp::eventually!(servers[0].call(Message::Get).await == Ok(500));
    assert_eq!(
        servers[2].call(Message::Get).await,
        Ok(300),
        "a knows only this node"
    );
}

type Gathered = (Vec<(Arc<str>, u64)>, Vec<Arc<str>>);

fn gathered(answers: &[(&str, u64)], bad: &[&str]) -> Gathered {
    let answers = answers
        .iter()
        .map(|(node, number)| ((*node).into(), *number));
    let bad = bad.iter().map(|node| (*node).into());
    (answers.collect(), bad.collect())
}

async fn a_call_to_a_name_everywhere() {
    let (here, _others, mut servers) = nodes(&["a", "b"]).await;
    servers.push(named(&here, &Log::default()).await);
    let all = ["a", "b", here.name()];
    let call = |nodes: &'static [&'static str], name: &'static str| {
        let here = here.clone();
        async move {
            let call = here.multi_call::<Server, u64>(nodes, name, LONG, Message::Get);
            call.await
        }
    };
    let got = here
        .multi_call::<Server, u64>(&all, "named", LONG, Message::Get)
        .await;
    assert_eq!(got, gathered(&[("a", 0), ("b", 1), (here.name(), 7)], &[]));
    // Some nodes, some missing, some names missing.
    let got = call(&["b"], "named").await;
    assert_eq!(got, gathered(&[("b", 1)], &[]));
    let got = call(&["nowhere", "b"], "named").await;
    assert_eq!(got, gathered(&[("b", 1)], &["nowhere"]));
    let got = call(&["a", "b"], "nobody").await;
    assert_eq!(got, gathered(&[], &["a", "b"]));
    let got = call(&[], "named").await;
    assert_eq!(got, gathered(&[], &[]));
    servers[0].stop(ExitReason::Normal, LONG).await.unwrap();
    let got = call(&["a", "b"], "named").await;
    assert_eq!(got, gathered(&[("b", 1)], &["a"]));
}

async fn a_node_that_is_down_is_told_at_once() {
    let (here, others, servers) = nodes(&["a", "b", "c"]).await;
    // One was lost before, one never was.
    here.disconnect(&others[0]);
    otp::eventually!(here.nodes().len() == 2);
    let all = ["a", "b", "never", "c"];
    let begun = Instant::now();
    let limit = Duration::from_secs(3_600);
    let got = here
        .multi_call::<Server, u64>(&all, "named", limit, Message::Get)
        .await;
    assert_eq!(got, gathered(&[("b", 1), ("c", 2)], &["a", "never"]));
    assert!(begun.elapsed() < Duration::from_secs(1));
    // One is lost meanwhile.
    let open = busy(&servers[1]);
    let asking = {
        let here = here.clone();
        tokio::spawn(async move {
            let call = here.multi_call::<Server, u64>(&["b", "c"], "named", limit, Message::Get);
            call.await
        })
    };
    otp::eventually!(servers[1].mailbox_len() == 1);
    here.disconnect(&others[1]);
    assert_eq!(asking.await.unwrap(), gathered(&[("c", 2)], &["b"]));
    assert!(begun.elapsed() < Duration::from_secs(1));
    drop(open);
}

async fn answers_of_all_kinds() {
    let names = [
        "live",
        "slow",
        "suspended",
        "dying",
        "dead",
        "silent",
        "cut",
    ];
    let (here, others, servers) = nodes(&names).await;
    sys::suspend(&servers[2]).await.unwrap();
    servers[4].stop(ExitReason::Normal, LONG).await.unwrap();
    let cut = servers[6].clone();
    tokio::spawn({
        let (here, other) = (here.clone(), others[6].clone());
        async move {
            while cut
                .call(|from| {
                    Message::Ask(
                        from,
                        Box::new(|from| {
                            from.reply(0);
                            Next::Go
                        }),
                    )
                })
                .await
                .is_err()
            {}
            tokio::time::sleep(Duration::from_millis(100)).await;
            here.disconnect(&other);
        }
    });
    let request = |from: From<u64>| {
        Message::Tell(Box::new(|state, _| match state.number {
            // Slow.
            1 => {
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    from.reply(1);
                });
                Next::Go
            }
            // Dying.
            3 => Next::Stop(ExitReason::Custom("dies".into())),
            // Silent, and cut off.
            5 | 6 => {
                state.held.push(from);
                Next::Go
            }
            number => {
                from.reply(number);
                Next::Go
            }
        }))
    };
    let begun = Instant::now();
    let limit = Duration::from_secs(1);
    let got = here
        .multi_call::<Server, u64>(&names, "named", limit, request)
        .await;
    let bad = ["suspended", "dying", "dead", "silent", "cut"];
    assert_eq!(got, gathered(&[("live", 0), ("slow", 1)], &bad));
    assert_eq!(
        begun.elapsed(),
        limit,
        "all of them are waited for together"
    );
    // Late answers are nobody's.
    sys::resume(&servers[2]).await.unwrap();
    within(&servers[5], |state, _| state.held.pop().unwrap().reply(1)).await;
    let got = here
        .multi_call::<Server, u64>(&["suspended"], "named", limit, Message::Get)
        .await;
    assert_eq!(got, gathered(&[("suspended", 2)], &[]));
}

/// The caller has no place where answers would have to be looked for: neither answers, nor
/// time-outs, nor lost nodes cost more when much waits for it.
async fn many_calls_do_not_mind_what_waits_for_the_caller() {
    const CALLS: u32 = 100;
    const QUEUED: usize = 50_000;
    let (here, others, servers) = nodes(&["a", "b", "silent", "lost"]).await;
    // One takes requests and never answers, one is not connected.
    let _open = busy(&servers[2]);
    here.disconnect(&others[3]);
    otp::eventually!(here.nodes().len() == 3);
    for (nodes, limit, answers) in [
        (&["a", "b"][..], LONG, 2),
        (&["a", "silent"], Duration::from_millis(1), 1),
        (&["a", "b", "lost"], LONG, 2),
    ] {
        let mut best = [Duration::MAX; 2];
        for _ in 0..3 {
            for (best, queued) in best.iter_mut().zip([0, QUEUED]) {
                let caller = start(&here, Start::plain(&Log::default())).await;
                let own = caller.clone();
                let taken = walk(&caller, move |ctx| {
                    Box::pin(async move {
                        for _ in 0..queued {
                            own.cast(Message::Set(1));
                        }
                        let node = ctx.node().clone();
                        let begun = std::time::Instant::now();
                        for _ in 0..CALLS {
                            let call =
                                node.multi_call::<Server, u64>(nodes, "named", limit, Message::Get);
                            let (got, _) = call.await;
                            assert!(got.len() <= answers);
                        }
                        begun.elapsed()
                    })
                });
                *best = taken.await.min(*best);
                here.exit(caller.pid(), ExitReason::Kill);
            }
        }
        // A search of the queue would be some hundred times slower.
        assert!(best[1] < 5 * best[0], "{nodes:?}: {best:?}");
    }
}

/// What a call gives before, during and after the end of a server that was found this way.
async fn after_a_kill(
    find: impl Fn(&Node, &ServerRef<Server>) -> Result<ServerRef<Server>, CallError>,
) {
    let (here, there) = (node(), Node::new("there"));
    here.connect(&there);
    for boom in [false, true] {
        let server = named(&there, &Log::default()).await;
        let found = find(&here, &server).unwrap();
        assert_eq!(found.call(Message::Get).await, Ok(7));
        let reason = if boom {
            // It is told to end by the call.
            let boom = ExitReason::Custom("boom".into());
            let why = boom.clone();
            let outcome = found.call(asked(move |_from| Next::Stop(why))).await;
            assert_eq!(outcome, Err(CallError::Exit(boom.clone())));
            boom
        } else {
            there.exit(server.pid(), ExitReason::Kill);
            ExitReason::Killed
        };
        assert_eq!(server.wait_for_exit().await, reason);
        // Found before, and looked for again.
        assert_eq!(found.call(Message::Get).await, Err(CallError::NoProc));
        assert_eq!(find(&here, &server).err(), Some(CallError::NoProc));
    }
}

async fn a_call_to_a_name_after_a_kill() {
    after_a_kill(|here, _| FAR.resolve(here)).await;
}

async fn a_call_to_a_pid_after_a_kill() {
    after_a_kill(|here, server| server.pid().resolve(here)).await;
}

async fn a_call_to_a_name_of_a_node_after_a_kill() {
    after_a_kill(|here, _| {
        here.node_named("there")
            .map_or(Err(CallError::NodeDown), |there| {
                let pid = there.whereis("named").ok_or(CallError::NoProc)?;
                here.server_ref(pid).ok_or(CallError::NoProc)
            })
    })
    .await;
}

/// What a call gives when the node of a server that was found this way is gone.
async fn after_the_end_of_its_node(
    find: impl Fn(&Node, &ServerRef<Server>) -> Result<ServerRef<Server>, CallError>,
) {
    for stopped in [false, true] {
        let (here, there) = (node(), Node::new("there"));
        here.connect(&there);
        let server = named(&there, &Log::default()).await;
        let found = find(&here, &server).unwrap();
        assert_eq!(found.call(Message::Get).await, Ok(7));
        if stopped {
            there.stop().await;
        } else {
            here.disconnect(&there);
        }
        otp::eventually!(here.nodes().is_empty());
        assert_eq!(found.call(Message::Get).await, Err(CallError::NodeDown));
        assert_eq!(find(&here, &server).err(), Some(CallError::NodeDown));
        // Another life of the node is not the one that was found.
        let again = Node::new("there");
        here.connect(&again);
        assert_eq!(found.call(Message::Get).await, Err(CallError::NodeDown));
    }
}

async fn a_call_to_a_name_after_the_end_of_its_node() {
    after_the_end_of_its_node(|here, _| FAR.resolve(here)).await;
}

async fn a_call_to_a_pid_after_the_end_of_its_node() {
    after_the_end_of_its_node(|here, server| server.pid().resolve(here)).await;
}

async fn a_call_to_a_name_of_a_node_after_the_end_of_that() {
    let (here, there) = (node(), Node::new("there"));
    here.connect(&there);
    let server = named(&there, &Log::default()).await;
    let call = || here.call::<Server, u64, _>(FAR, Message::Get);
    assert_eq!(call().await, Ok(7));
    there.stop().await;
    otp::eventually!(here.nodes().is_empty());
    assert_eq!(call().await, Err(CallError::NodeDown));
    assert!(!server.is_alive());
    // Its next life has no such name, and then has.
    let again = Node::new("there");
    here.connect(&again);
    assert_eq!(call().await, Err(CallError::NoProc));
    named(&again, &Log::default()).await;
    assert_eq!(call().await, Ok(7));
}

async fn a_call_that_waits_learns_of_the_end_of_the_node() {
    for stopped in [false, true] {
        let (here, there) = (node(), Node::new("there"));
        here.connect(&there);
        let server = named(&there, &Log::default()).await;
        let found: ServerRef<Server> = server.pid().resolve(&here).unwrap();
        let waiting = tokio::spawn(async move { found.call_infinity(Message::Hold).await });
        while within(&server, |state, _| state.held.is_empty()).await {}
        if stopped {
            let (_never, gate) = tokio::sync::oneshot::channel();
            within(&server, |state, _| state.terminate_gate = Some(gate)).await;
            there.stop_within(Duration::from_millis(20)).await;
        } else {
            there.disconnect(&here);
        }
        let outcome = waiting.await.unwrap();
        if stopped {
            // It may learn of the end of the server first.
            let killed = Err(CallError::Exit(ExitReason::Killed));
            assert!(
                outcome == killed || outcome == Err(CallError::NodeDown),
                "{outcome:?}"
            );
        } else {
            assert_eq!(outcome, Err(CallError::NodeDown));
        }
    }
}

/// What was set up for a call is gone when it is over.
async fn calls_across_nodes_leave_no_task() {
    let (here, there) = (node(), Node::new("there"));
    here.connect(&there);
    let server = named(&there, &Log::default()).await;
    let found: ServerRef<Server> = server.pid().resolve(&here).unwrap();
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    assert_eq!(found.call(Message::Get).await, Ok(7));
    otp::eventually!(tasks() < 20);
    let before = tasks();
    for round in 0..1_000 {
        let outcome = match round % 3 {
            0 => found.call(Message::Get).await,
            1 => found.call(asked(|_from| Next::Go)).await,
            _ => found.call_timeout(Duration::ZERO, Message::Get).await,
        };
        assert!(
            matches!(
                outcome,
                Ok(7) | Err(CallError::NoReply | CallError::Timeout)
            ),
            "{outcome:?}"
        );
    }
    otp::eventually!(tasks() <= before + 2);
    // A handle that somebody keeps does not keep the caller when the server is gone.
    let (out, kept) = tokio::sync::oneshot::channel();
    let waiting = tokio::spawn(async move {
        let keep = asked(move |from| {
            out.send(from).unwrap();
            Next::Go
        });
        found.call_infinity(keep).await
    });
    let _kept = kept.await.unwrap();
    there.exit(server.pid(), ExitReason::Kill);
    assert_eq!(
        waiting.await.unwrap(),
        Err(CallError::Exit(ExitReason::Killed))
    );
}
