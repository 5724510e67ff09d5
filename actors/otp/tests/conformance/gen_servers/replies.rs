//! Late, repeated and lost replies: the races of calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use otp::{CallError, ExitReason, From, Next, Node};

use crate::gen_servers::server::{Message, Server, Start, asked, start, tell, walk, within};
use crate::support::{Log, node};

crate::cases! {
    a_late_reply_is_dropped: "GSRV-064";
    replies_from_anywhere_in_any_order: "GSRV-079";
    calls_run_once_at_most: "GSRV-080";
    a_server_that_ends_has_not_forgotten: "GSRV-071", "GSRV-080";
}

const TIMES: u64 = 1_000;

/// A process calls again and again with hardly any time, and the replies race with its time-outs:
/// each is the answer of its own call, or nothing. With a payload that must not be kept.
async fn a_late_reply_is_dropped() {
    let node = node();
    let (log, caller_log) = (Log::default(), Log::default());
    let server = start(&node, Start::plain(&log)).await;
    let caller = start(&node, Start::trapping(&caller_log)).await;
    let mut timeouts = 0;
    for round in 0..TIMES {
        let token = Arc::new(());
        let payload = token.clone();
        let (to, answer_late) = (server.clone(), round % 2 == 0);
        // Every fourth reply is surely late; who wins the others' race is chance.
        let (over, waits) = tokio::sync::oneshot::channel::<()>();
        let waits = (round % 4 == 0).then_some(waits);
        let limit = match round % 4 {
            0 | 1 => Duration::ZERO,
            2 => Duration::from_millis(1),
            _ => Duration::from_secs(10),
        };
        let outcome = walk(&caller, move |_| {
            Box::pin(async move {
                to.call_timeout(limit, move |from: From<(u64, Arc<()>)>| {
                    Message::Tell(Box::new(move |_, _| {
                        if answer_late {
                            tokio::spawn(async move {
                                tokio::task::yield_now().await;
                                if let Some(waits) = waits {
                                    let _ = waits.await;
                                }
                                from.reply((round, payload));
                            });
                        } else {
                            from.reply((round, payload));
                        }
                        Next::Go
                    }))
                })
                .await
            })
        });
        match outcome.await {
            Ok((answered, _)) => assert_eq!(answered, round),
            Err(CallError::Timeout) => timeouts += 1,
            other => panic!("{other:?}"),
        }
        let _ = over.send(());
        // Gone for good, wherever it was.
        otp::eventually!(Arc::strong_count(&token) == 1);
    }
    assert!(timeouts >= TIMES / 4, "{timeouts} were late");
    // Replies that are certainly late.
    for _ in 0..TIMES {
        let to = server.clone();
        let outcome = walk(&caller, move |_| {
            Box::pin(async move { to.call_timeout(Duration::ZERO, Message::Hold).await })
        });
        assert_eq!(outcome.await, Err(CallError::Timeout));
        // By the time the reply is sent, nobody waits.
        within(&server, |state, _| {
            let from = state.held.pop().unwrap();
            assert!(from.is_abandoned());
            from.reply(13);
        })
        .await;
    }
    assert_eq!(caller.call(Message::Get).await, Ok(7));
    assert_eq!(caller_log.all(), ["init"], "no message but the answers");
    assert_eq!(caller.mailbox_len(), 0);
    let next = walk(&caller, {
        let to = server.clone();
        move |_| Box::pin(async move { to.call(Message::Get).await })
    });
    assert_eq!(next.await, Ok(7));
}

async fn replies_from_anywhere_in_any_order() {
    let node = node();
    let log = Log::default();
    let server = start(&node, Start::plain(&log)).await;
    let helper = start(&node, Start::plain(&log)).await;
    // A thousand callers at once, none answered yet.
    let mut callers = Vec::new();
    for number in 0..TIMES {
        let to = server.clone();
        callers.push(tokio::spawn(async move {
            let answer = to.call_infinity(move |from: From<u64>| {
                Message::Tell(Box::new(move |state, _| {
                    state.held.push(from);
                    state.log.add(number.to_string());
                    Next::Go
                }))
            });
            (number, answer.await)
        }));
    }
    otp::eventually!(log.len() as u64 == TIMES + 2);
    assert_eq!(
        server.call(Message::Get).await,
        Ok(7),
        "it serves others meanwhile"
    );
    let order: Vec<u64> = log.all()[2..]
        .iter()
        .map(|line| line.parse().unwrap())
        .collect();
    let held = within(&server, |state, _| std::mem::take(&mut state.held)).await;
    // Answered in the opposite order: by another process, by a task, by nobody in particular.
    for (from, number) in held.into_iter().zip(order).rev() {
        match number % 3 {
            0 => within(&helper, move |_, _| from.reply(number)).await,
            1 => drop(tokio::spawn(async move { from.reply(number) })),
            _ => from.reply(number),
        }
    }
    for caller in callers {
        let (number, answer) = caller.await.unwrap();
        assert_eq!(answer, Ok(number));
    }
    // A handle is used up by its answer, so a second one cannot be written. What can be tried is
    // to answer and then drop what is left: the caller sees the first.
    for _ in 0..TIMES {
        let answer = server.call(asked(|from| {
            from.reply(1);
            Next::Stop(ExitReason::Normal)
        }));
        let answer = answer.await;
        if answer == Err(CallError::NoProc) {
            break;
        }
        assert_eq!(answer, Ok(1));
    }
    // A reply outlives the server that sent it.
    for _ in 0..TIMES {
        let server = start(&node, Start::plain(&Log::default())).await;
        let answer = server.call(asked(|from| {
            from.reply(9);
            Next::Stop(ExitReason::Custom("at once".into()))
        }));
        assert_eq!(answer.await, Ok(9));
    }
}

/// Whatever becomes of a call, its request ran once or not at all, and nothing is left of it.
async fn calls_run_once_at_most() {
    let node = node();
    let caller = start(&node, Start::trapping(&Log::default())).await;
    for round in 0..TIMES {
        let log = Log::default();
        let server = start(&node, Start::plain(&log)).await;
        let runs = Arc::new(AtomicU32::new(0));
        let killer = (round % 3 == 0).then(|| {
            let (node, pid) = (node.clone(), server.pid());
            tokio::spawn(async move { node.exit(pid, ExitReason::Kill) })
        });
        let limit = match round % 3 {
            1 => Duration::ZERO,
            _ => Duration::from_secs(10),
        };
        let (to, counter) = (server.clone(), runs.clone());
        let outcome = walk(&caller, move |_| {
            Box::pin(async move {
                to.call_timeout(limit, move |from: From<u64>| {
                    Message::Tell(Box::new(move |_, _| {
                        counter.fetch_add(1, Ordering::SeqCst);
                        from.reply(5);
                        Next::Go
                    }))
                })
                .await
            })
        })
        .await;
        let ran = || runs.load(Ordering::SeqCst);
        match outcome {
            Ok(5) => assert_eq!(ran(), 1),
            Err(CallError::NoProc) => assert_eq!(ran(), 0),
            // It may have run, or run later.
            Err(CallError::Timeout | CallError::Exit(ExitReason::Killed)) => {}
            other => panic!("{other:?}"),
        }
        if let Some(killer) = killer {
            killer.await.unwrap();
            server.wait_for_exit().await;
        } else {
            assert_eq!(server.call(Message::Get).await, Ok(7));
            assert_eq!(ran(), 1);
            let info = node.process_info(server.pid()).unwrap();
            assert_eq!((info.monitored_by, info.links), (vec![], vec![]));
        }
        assert!(ran() <= 1);
        let info = node.process_info(caller.pid()).unwrap();
        assert_eq!((info.monitors, info.links), (vec![], vec![]));
        assert_eq!(info.mailbox_len, 0);
        tell(&server, |_, _| Next::Stop(ExitReason::Normal));
    }
}

/// A request that is dropped unanswered tells why: the server ended in that step, or lives on.
async fn a_server_that_ends_has_not_forgotten() {
    let (here, there) = (node(), Node::new("there"));
    here.connect(&there);
    for home in [&here, &there] {
        for round in 0..TIMES {
            let server = start(home, Start::plain(&Log::default())).await;
            let server = here.server_ref::<Server>(server.pid()).unwrap();
            if round % 2 == 0 {
                let forgotten = server.call(asked(|_from| Next::Go)).await;
                assert_eq!(forgotten, Err(CallError::NoReply));
            }
            let why = ExitReason::error(round);
            let reason = why.clone();
            let ended = server.call(asked(move |from| {
                // Before the server knows that it ends.
                drop(from);
                Next::Stop(reason)
            }));
            assert_eq!(ended.await, Err(CallError::Exit(why)));
        }
    }
}
