//! The order of signals from one process to another: that of sending, whatever they are.

use otp::{AliasMode, ExitReason, Info, Next, Node, eventually};

use super::{Note, RUNS, custom, message, probe, reached, sink, two_nodes};
use crate::support::{Message, within, worker};

crate::cases! {
    nothing_is_handled_after_an_exit_signal: "PROC-077";
    messages_come_before_down_and_exit: "PROC-080";
    through_pid_name_and_alias: "PROC-081";
    through_pid_name_and_alias_of_another_node: "PROC-082";
    nothing_of_a_node_after_its_end: "PROC-083";
    one_connection_is_one_queue: "PROC-118";
}

/// Messages sent before an exit signal.
const BEFORE: u32 = 40;

async fn nothing_is_handled_after_an_exit_signal() {
    let (a, b) = two_nodes();
    for run in 0..2 * RUNS {
        let sender = worker(if run % 2 == 0 { &a } else { &b }).await;
        for trap in [false, true] {
            let (receiver, log) = sink(&a, trap).await;
            let (pid, typed) = (receiver.pid(), receiver.clone());
            let local = run % 2 == 0;
            within(&sender, move |ctx| {
                let send = |number: u32| match local && number.is_multiple_of(2) {
                    true => typed.cast(Note::Number(number)),
                    false => drop(ctx.send(pid, message(number))),
                };
                // So many that the receiver is at work on them when the signal comes.
                (0..BEFORE).for_each(send);
                ctx.exit(pid, custom("end"));
                (BEFORE..BEFORE + 3).for_each(send);
            })
            .await;
            let numbers = (0..BEFORE + 3).map(|number| number.to_string());
            let mut all: Vec<String> = numbers.collect();
            if trap {
                all.insert(BEFORE as usize, "EXIT custom: end".to_owned());
                eventually!(log.len() == all.len());
                assert_eq!(log.all(), all, "run {run}");
                a.exit(pid, ExitReason::Kill);
            } else {
                assert_eq!(receiver.wait_for_exit().await, custom("end"));
                // What came before it may be lost with the process, what came after must be.
                let handled = log.all();
                assert!(handled.len() <= BEFORE as usize, "run {run}: {handled:?}");
                assert_eq!(handled, all[..handled.len()], "run {run}");
            }
        }
        sender.cast(Message::Run(Box::new(|_| Next::Stop(ExitReason::Normal))));
    }
}

async fn messages_come_before_down_and_exit() {
    let (a, b) = two_nodes();
    let (watcher, log) = sink(&a, true).await;
    let to = watcher.pid();
    for run in 0..2 * RUNS {
        log.clear();
        let local = run % 2 == 0;
        let child_node = if local { &a } else { &b };
        let child = worker(child_node).await;
        let (pid, typed) = (child.pid(), watcher.clone());
        watcher.call(|from| Note::Watch(pid, from)).await.unwrap();
        reached(child_node, pid).await;
        child.cast(Message::Run(Box::new(move |ctx| {
            for number in 0..3 {
                match local && number == 1 {
                    true => typed.cast(Note::Number(number)),
                    false => drop(ctx.send(to, message(number))),
                }
            }
            match run % 3 {
                0 => Next::Stop(custom("end")),
                1 => panic!("end"),
                _ => {
                    ctx.exit(ctx.pid(), custom("end"));
                    Next::Go
                }
            }
        })));
        eventually!(log.len() == 4);
        let seen = log.all();
        assert_eq!(seen[..3], ["0", "1", "2"], "run {run}: {seen:?}");
        assert!(seen[3].starts_with("DOWN"), "run {run}: {seen:?}");
    }
    // A link behaves as a monitor does.
    let mut probe = probe(&a).await;
    for run in 0..2 * RUNS {
        let child_node = if run % 2 == 0 { &a } else { &b };
        let child = worker(child_node).await;
        let (to, pid) = (probe.pid(), child.pid());
        probe.link(pid).await;
        reached(child_node, pid).await;
        child.cast(Message::Run(Box::new(move |ctx| {
            for number in 0..3 {
                ctx.send(to, message(number));
            }
            Next::Stop(custom("end"))
        })));
        let texts = super::texts(&mut probe, 4).await;
        assert_eq!(texts, ["0", "1", "2", "EXIT custom: end"], "run {run}");
    }
}

/// A child sends through each address in turn, then ends.
async fn in_rotation(home: &Node, far: &Node) {
    let mut probe = probe(home).await;
    home.register("target", probe.pid()).unwrap();
    let name = home.name().to_owned();
    let alias = probe.run(|ctx| ctx.alias(AliasMode::Explicit)).await;
    let to = probe.pid();
    for run in 0..RUNS {
        let child = worker(far).await;
        probe.monitor(child.pid()).await;
        reached(far, child.pid()).await;
        let name = name.clone();
        child.cast(Message::Run(Box::new(move |ctx| {
            for number in 0..9 {
                let sent = match number % 3 {
                    0 => ctx.send(to, message(number)),
                    1 => ctx.node().send_name_on(&name, "target", message(number)),
                    _ => ctx.node().send_alias(alias, message(number)),
                };
                assert!(sent);
            }
            Next::Stop(custom("end"))
        })));
        let texts = super::texts(&mut probe, 10).await;
        let expected = [
            "0",
            "1",
            "2",
            "3",
            "4",
            "5",
            "6",
            "7",
            "8",
            "DOWN custom: end",
        ];
        assert_eq!(texts, expected, "run {run}");
    }
}

async fn through_pid_name_and_alias() {
    let (a, _) = two_nodes();
    in_rotation(&a, &a).await;
}

async fn through_pid_name_and_alias_of_another_node() {
    let (a, b) = two_nodes();
    in_rotation(&a, &b).await;
}

/// The numbers that arrived; they must be the first of those that were sent.
fn first_numbers(items: &[Info]) -> u32 {
    let mut next = 0;
    for info in items {
        if let Info::Message(message) = info
            && let Some(number) = message.downcast_ref::<u32>()
        {
            assert_eq!(*number, next, "a message is missing before this one");
            next += 1;
        }
    }
    next
}

async fn nothing_of_a_node_after_its_end() {
    let (a, b) = two_nodes();
    let mut probe = probe(&a).await;
    probe.run(|ctx| ctx.monitor_nodes(true)).await;
    let to = probe.pid();
    let mut cut = 0;
    for run in 0..RUNS {
        a.connect(&b);
        let sender = worker(&b).await;
        let sends = tokio::spawn(async move {
            within(&sender, move |ctx| {
                for number in 0..200 {
                    ctx.send(to, message(number));
                }
            })
            .await;
        });
        for _ in 0..run % 40 {
            std::thread::yield_now();
        }
        a.disconnect(&b);
        sends.await.unwrap();
        let mut items = Vec::new();
        eventually!({
            items.append(&mut probe.drain().await);
            items.iter().any(|info| matches!(info, Info::NodeDown(_)))
        });
        eventually!(b.nodes().is_empty());
        items.append(&mut probe.drain().await);
        // The first run was connected before it asked to be told.
        let up = items
            .iter()
            .position(|info| matches!(info, Info::NodeUp(_)));
        assert_eq!(
            up,
            (run > 0).then_some(0),
            "run {run}: nothing comes before its node"
        );
        let last = items.last();
        assert!(
            matches!(last, Some(Info::NodeDown(name)) if **name == *"b"),
            "run {run}: {last:?}"
        );
        let got = first_numbers(&items);
        cut += u32::from(got < 200);
    }
    println!("{cut} runs were cut short");
}

async fn one_connection_is_one_queue() {
    let (a, b) = two_nodes();
    // Uncut, all of it arrives in order.
    let mut probe = probe(&a).await;
    let (to, sender) = (probe.pid(), worker(&b).await);
    within(&sender, move |ctx| {
        for number in 0..20_000 {
            assert!(ctx.send(to, message(number)));
        }
    })
    .await;
    assert_eq!(
        first_numbers(&super::arrived(&mut probe, 20_000).await),
        20_000
    );
    // Cut, the end is missing and nothing else. What was not sent is no loss: the sender knows.
    for run in 0..RUNS / 2 {
        a.connect(&b);
        let sender = worker(&b).await;
        let cutting = (a.clone(), b.clone());
        let cut = tokio::spawn(async move {
            for _ in 0..run % 40 {
                std::thread::yield_now();
            }
            cutting.1.disconnect(&cutting.0);
        });
        let sent = within(&sender, move |ctx| {
            let mut sent = 0;
            while sent < 500 && ctx.send(to, message(sent)) {
                sent += 1;
            }
            sent
        });
        let sent = sent.await;
        cut.await.unwrap();
        eventually!(a.nodes().is_empty() && b.nodes().is_empty());
        let got = first_numbers(&probe.drain().await);
        assert!(got <= sent, "run {run}");
        // Nothing is left over for the next connection.
        a.connect(&b);
        super::settled(&a, &b).await;
        probe.expect_nothing().await;
        a.disconnect(&b);
        eventually!(a.nodes().is_empty() && b.nodes().is_empty());
    }
}
