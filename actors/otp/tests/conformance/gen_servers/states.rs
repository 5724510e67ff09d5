//! Looking at the state of a server, changing it, and finding the server.

use std::time::Duration;

use otp::{
    At, CallError, Context, Destination, ExitReason, From, GenServer, Init, Next, Node, Options,
    Registry, ServerRef, sys,
};

use crate::gen_servers::server::{Server, Start, start};
use crate::support::{Log, node};

crate::cases! {
    a_state_is_got_by_every_name: "GSRV-055";
    a_state_is_replaced_or_left: "GSRV-056";
    a_migration_that_was_not_written_changes_nothing: "GSRV-060";
    where_a_server_is: "GSRV-075";
}

/// A state that can be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counter(u64);

impl GenServer for Counter {
    type Args = u64;
    type Message = From<u64>;

    async fn init(start: u64, _ctx: &mut Context<Counter>) -> Init<Counter> {
        Init::Ok(Counter(start))
    }

    async fn handle(&mut self, from: From<u64>, _ctx: &mut Context<Counter>) -> Next<Counter> {
        from.reply(self.0);
        Next::Go
    }
}

/// A counter under every kind of name, and what each of them finds.
async fn named(node: &Node, registry: &Registry<u8>) -> Vec<ServerRef<Counter>> {
    let options = Options::new().name("counter").register_in(registry, 1);
    let counter = otp::start::<Counter>(node, 5, options).await.unwrap();
    let other = Node::new("other");
    other.connect(node);
    let here = At {
        name: "counter",
        node: node.name(),
    };
    vec![
        counter.clone(),
        counter.pid().resolve(node).unwrap(),
        "counter".resolve(node).unwrap(),
        here.resolve(node).unwrap(),
        registry.lookup_ref(&1).unwrap(),
        // Stands for a global name, see the header of the module.
        here.resolve(&other).unwrap(),
    ]
}

async fn a_state_is_got_by_every_name() {
    let node = node();
    let registry = Registry::new(&node);
    for server in named(&node, &registry).await {
        assert_eq!(sys::get_state(&server).await, Ok(Counter(5)));
        // Also while it handles nothing else.
        sys::suspend(&server).await.unwrap();
        let silent = server.call_timeout(Duration::from_millis(5), |from| from);
        assert_eq!(silent.await, Err(CallError::Timeout));
        assert_eq!(sys::get_state(&server).await, Ok(Counter(5)));
        sys::resume(&server).await.unwrap();
        assert_eq!(server.call(|from| from).await, Ok(5));
    }
    // One that is not there.
    let dead = otp::start::<Counter>(&node, 1, Options::new())
        .await
        .unwrap();
    node.exit(dead.pid(), ExitReason::Kill);
    dead.wait_for_exit().await;
    let missing = Err(sys::SysError::Call(CallError::NoProc));
    assert_eq!(sys::get_state(&dead).await, missing);
}

async fn a_state_is_replaced_or_left() {
    let node = node();
    let registry = Registry::new(&node);
    let mut expected = 5;
    for server in named(&node, &registry).await {
        for suspended in [false, true] {
            if suspended {
                sys::suspend(&server).await.unwrap();
            }
            let replaced = sys::replace_state(&server, |old| Counter(old.0 + 1)).await;
            assert_eq!(replaced, Ok(()));
            expected += 1;
            assert_eq!(sys::get_state(&server).await, Ok(Counter(expected)));
            // A function that fails.
            let failed = sys::replace_state(&server, |_| panic!("no new state")).await;
            let Err(sys::SysError::Failed(ExitReason::Panic { message, .. })) = failed else {
                panic!("{failed:?}");
            };
            assert_eq!(&*message, "no new state");
            assert_eq!(sys::get_state(&server).await, Ok(Counter(expected)));
        }
        sys::resume(&server).await.unwrap();
        assert_eq!(server.call(|from| from).await, Ok(expected));
    }
}

async fn a_migration_that_was_not_written_changes_nothing() {
    let node = node();
    let counter = otp::start::<Counter>(&node, 5, Options::new())
        .await
        .unwrap();
    sys::suspend(&counter).await.unwrap();
    let changed = sys::change_code(&counter, "1.0").await;
    let Err(sys::SysError::CodeChange(why)) = changed else {
        panic!("{changed:?}");
    };
    assert!(why.contains("code_change") && why.contains("1.0"), "{why}");
    assert_eq!(sys::get_state(&counter).await, Ok(Counter(5)));
    sys::resume(&counter).await.unwrap();
    assert_eq!(counter.call(|from| from).await, Ok(5));
}

async fn where_a_server_is() {
    let (node, there) = (node(), Node::new("there"));
    node.connect(&there);
    let registry = Registry::<u8>::new(&node);
    let log = Log::default();
    let options = || Options::new().name("mine").register_in(&registry, 1);
    let server = otp::start::<Server>(&node, Start::plain(&log), options());
    let server = server.await.unwrap();
    let far = otp::start::<Server>(&there, Start::plain(&log), Options::new().name("far"));
    let far = far.await.unwrap();
    let anonymous = start(&node, Start::plain(&log)).await;

    let at = |name, node| At { name, node };
    let find = |to: &dyn Destination<Server>| to.resolve(&node).map(|found| found.pid());
    // A pid, a reference: itself. A name here, on a node, on another; a key.
    assert_eq!(find(&anonymous.pid()), Ok(anonymous.pid()));
    assert_eq!(find(&anonymous), Ok(anonymous.pid()));
    assert_eq!(find(&"mine"), Ok(server.pid()));
    assert_eq!(node.whereis("mine"), Some(server.pid()));
    assert_eq!(find(&at("mine", node.name())), Ok(server.pid()));
    assert_eq!(find(&at("far", "there")), Ok(far.pid()));
    assert_eq!(find(&far.pid()), Ok(far.pid()));
    assert_eq!(registry.lookup(&1), Some(server.pid()));
    // Nobody.
    assert_eq!(
        find(&"far"),
        Err(CallError::NoProc),
        "a name is of its node"
    );
    assert_eq!(find(&at("mine", "there")), Err(CallError::NoProc));
    assert_eq!(find(&at("mine", "nowhere")), Err(CallError::NodeDown));
    assert_eq!(registry.lookup(&2), None);
    assert_eq!(node.whereis("nobody"), None);
    // Somebody of another kind is not what was looked for.
    let other = otp::start::<Counter>(&node, 1, Options::new().name("counter"));
    let other = other.await.unwrap();
    assert_eq!(find(&"counter"), Err(CallError::NoProc));
    assert_eq!(node.whereis("counter"), Some(other.pid()));
    // And nobody any more.
    for server in [&server, &far] {
        let stopped = server
            .stop(ExitReason::Normal, Duration::from_secs(5))
            .await;
        assert_eq!(stopped, Ok(()));
        assert_eq!(find(&server.pid()), Err(CallError::NoProc));
    }
    assert_eq!(find(&"mine"), Err(CallError::NoProc));
    assert_eq!(registry.lookup(&1), None);
    assert_eq!(find(&at("far", "there")), Err(CallError::NoProc));
}
