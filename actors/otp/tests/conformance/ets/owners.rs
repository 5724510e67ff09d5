//! Owners and heirs: what becomes of a table when its process ends.

use std::sync::Arc;

use otp::ets::{self, EtsError, Protection, Table, Transfer};
use otp::testing::TEST_DEADLINE;
use otp::{
    Context, ExitReason, From, GenServer, Info, Init, Next, Node, Options, Pid, ServerRef,
    eventually, task,
};
use tokio::sync::mpsc;

use super::{Gate, Gated, Numbers, kinds, own_async, sorted, stranger};
use crate::support::{node, worker};

crate::cases! {
    large_table_of_an_owner: "ETS-080";
    many_large_tables_of_an_owner: "ETS-081";
    many_tables_of_an_owner: "ETS-082";
    many_tables_of_many_owners: "ETS-083";
    heir: "ETS-085";
    give_away: "ETS-086";
    setopts: "ETS-087";
    ends_in_all_ways;
}

/// A server that keeps the tables it is given, and tells of them.
struct Keeper(mpsc::UnboundedSender<Transfer>);

enum Message {
    /// Makes a table of its own.
    Make(Box<dyn FnOnce() -> Numbers + Send>, From<Numbers>),
    Stop(ExitReason),
    Panic,
}

impl GenServer for Keeper {
    type Args = mpsc::UnboundedSender<Transfer>;
    type Message = Message;

    async fn init(transfers: Self::Args, _ctx: &mut Context<Keeper>) -> Init<Keeper> {
        Init::Ok(Keeper(transfers))
    }

    async fn handle(&mut self, message: Message, _ctx: &mut Context<Keeper>) -> Next<Keeper> {
        match message {
            Message::Make(make, from) => from.reply(make()),
            Message::Stop(reason) => return Next::Stop(reason),
            Message::Panic => panic!("a keeper panics"),
        }
        Next::Go
    }

    async fn handle_info(&mut self, info: Info, _ctx: &mut Context<Keeper>) -> Next<Keeper> {
        if let Info::Transfer(transfer) = info {
            let _ = self.0.send(transfer);
        }
        Next::Go
    }
}

type Transfers = mpsc::UnboundedReceiver<Transfer>;

/// The next table it was given.
async fn told(transfers: &mut Transfers) -> Transfer {
    let transfer = tokio::time::timeout(TEST_DEADLINE, transfers.recv()).await;
    transfer.expect("a table").unwrap()
}

async fn keeper(node: &Node) -> (ServerRef<Keeper>, Transfers) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let server = otp::start(node, sender, Options::new()).await.unwrap();
    (server, receiver)
}

async fn make(
    keeper: &ServerRef<Keeper>,
    make: impl FnOnce() -> Numbers + Send + 'static,
) -> Numbers {
    let make = Box::new(make);
    keeper
        .call(move |from| Message::Make(make, from))
        .await
        .unwrap()
}

async fn end(keeper: ServerRef<Keeper>) {
    keeper.cast(Message::Stop(ExitReason::Normal));
    keeper.wait_for_exit().await;
}

/// Ends owners of `tables` tables of `rows` rows each, and sees that nobody waits for it.
async fn exit_of_owners(owners: usize, tables: usize, rows: usize) {
    let node = node();
    let gate = Arc::new(Gate::default());
    // What few rows a process leaves are dropped at once.
    if tables * rows < 1_000 {
        gate.open();
    }
    let mut all = Vec::new();
    let mut handles: Vec<Table<usize, Gated>> = Vec::new();
    for _ in 0..owners {
        let gate = gate.clone();
        let (sender, made) = tokio::sync::oneshot::channel();
        all.push(task::spawn(&node, "owner", async move {
            let mut mine = Vec::new();
            for number in 0..tables {
                let table = ets::set().label(format!("{number}")).create().unwrap();
                let objects = (0..rows).map(|key| (key, Gated(gate.clone())));
                table.insert_all(objects).unwrap();
                mine.push(table);
            }
            sender
                .send(mine)
                .unwrap_or_else(|_| panic!("nobody listens"));
            std::future::pending::<()>().await;
        }));
        handles.extend(made.await.unwrap());
    }
    let other = worker(&node).await;
    for owner in &all {
        node.exit(owner.pid(), ExitReason::Kill);
    }
    for owner in all {
        owner.await.unwrap_err();
    }
    // When the end is known the tables are gone, though their rows may wait to be dropped.
    assert!(node.tables().is_empty());
    assert!(handles.iter().all(|table| table.size().is_none()));
    assert_eq!(other.call(crate::support::Message::Get).await, Ok(7));
    if tables * rows >= 1_000 {
        assert_eq!(gate.dropped(), 0);
        gate.open();
    }
    eventually!(gate.dropped() == owners * tables * rows);
}

async fn large_table_of_an_owner() {
    exit_of_owners(1, 1, 300_000).await;
}

async fn many_large_tables_of_an_owner() {
    exit_of_owners(1, 10, 30_000).await;
}

async fn many_tables_of_an_owner() {
    exit_of_owners(1, 3_000, 2).await;
}

async fn many_tables_of_many_owners() {
    exit_of_owners(30, 100, 2).await;
}

async fn heir() {
    let node = node();
    for kind in 0..kinds().len() {
        // With an heir that lives.
        let (owner, _) = keeper(&node).await;
        let (heir, mut transfers) = keeper(&node).await;
        let to = heir.pid();
        let table = make(&owner, move || {
            let table = kinds()
                .swap_remove(kind)
                .named("mine")
                .heir(to, "to the heir");
            let table = table.create().unwrap();
            table.insert(1, 1).unwrap();
            table
        })
        .await;
        assert_eq!(table.info().unwrap().heir, Some(to));
        let from = owner.pid();
        end(owner).await;
        let transfer = told(&mut transfers).await;
        assert_eq!((transfer.from(), transfer.id()), (from, table.id()));
        assert_eq!(transfer.name().as_deref(), Some("mine"));
        assert_eq!(transfer.data::<&str>().as_deref(), Some(&"to the heir"));
        assert!(transfer.data::<u32>().is_none());
        assert_eq!(transfer.table(), Ok(table.clone()));
        assert_eq!(transfer.table::<u8, u8>().unwrap_err(), EtsError::OtherType);
        assert_eq!(table.info().unwrap().owner, to);
        let mine = table.clone();
        make(&heir, move || {
            mine.insert(2, 2).unwrap();
            mine
        })
        .await;
        assert_eq!(sorted(&table), [(1, 1), (2, 2)]);
        // The heir was its own heir: now it ends.
        end(heir).await;
        assert_eq!(table.info(), None);
        assert!(node.tables().id_of("mine").is_none());

        // With an heir that is dead, was taken back, or is the owner.
        let (dead, _) = keeper(&node).await;
        let gone = dead.pid();
        end(dead).await;
        for heir in [Some(gone), None] {
            let (owner, _) = keeper(&node).await;
            let (nobody, mut transfers) = keeper(&node).await;
            let (first, owned) = (nobody.pid(), owner.pid());
            let table = make(&owner, move || {
                let table = kinds().swap_remove(kind).heir(first, ()).create().unwrap();
                match heir {
                    Some(heir) => table.set_heir(heir, ()).unwrap(),
                    None => table.clear_heir().unwrap(),
                }
                table
            })
            .await;
            assert_eq!(table.info().unwrap().heir, heir);
            let own = make(&owner, move || {
                kinds().swap_remove(kind).heir(owned, ()).create().unwrap()
            })
            .await;
            end(owner).await;
            assert_eq!((table.info(), own.info()), (None, None));
            assert!(transfers.try_recv().is_err());
            end(nobody).await;
        }
    }
    assert!(node.tables().is_empty());
}

async fn give_away() {
    let node = node();
    let (owner, mut back) = keeper(&node).await;
    let (other, mut transfers) = keeper(&node).await;
    let (dead, _) = keeper(&node).await;
    let gone = dead.pid();
    end(dead).await;
    let far = Node::new("another");
    let (remote, _) = keeper(&far).await;
    let (from, to, away) = (owner.pid(), other.pid(), remote.pid());
    let table = make(&owner, move || {
        let table = ets::set::<i64, i64>().private().create().unwrap();
        table.insert(1, 1).unwrap();
        for nobody in [gone, away, from] {
            assert_eq!(table.give_away(nobody, ()), Err(EtsError::NoProcess));
        }
        assert_eq!(table.get(&1), Ok(Some(Arc::new(1))), "still mine");
        table.give_away(to, 42_u32).unwrap();
        // And now not any more.
        assert_eq!(table.get(&1), Err(EtsError::AccessDenied));
        assert_eq!(table.give_away(to, ()), Err(EtsError::AccessDenied));
        table
    })
    .await;
    let transfer = told(&mut transfers).await;
    assert_eq!(
        (transfer.from(), transfer.data::<u32>().as_deref()),
        (from, Some(&42))
    );
    let mine = transfer.table::<i64, i64>().unwrap();
    assert_eq!(mine, table);
    assert_eq!(table.info().unwrap().owner, to);
    // The end of the old owner does not matter, and back it goes.
    make(&other, move || {
        assert_eq!(mine.get(&1), Ok(Some(Arc::new(1))));
        mine.give_away(from, ()).unwrap();
        mine
    })
    .await;
    assert_eq!(told(&mut back).await.from(), to);
    end(other).await;
    assert_eq!(table.info().unwrap().owner, from);
    // Strangers cannot give it.
    let stolen = table.clone();
    let refused = stranger(&node, move || stolen.give_away(from, ())).await;
    assert_eq!(refused, Err(EtsError::AccessDenied));
    end(owner).await;
    assert_eq!(table.info(), None);
}

async fn setopts() {
    own_async(|node| async move {
        let table = ets::set::<i64, i64>().public().create().unwrap();
        let (heir, _) = keeper(&node).await;
        let (other, to) = (table.clone(), heir.pid());
        let refused = stranger(&node, move || {
            [
                other.set_heir(to, ()),
                other.clear_heir(),
                other.set_protection(Protection::Private),
            ]
        });
        assert_eq!(
            refused.await,
            [Err(EtsError::AccessDenied); 3],
            "also of a public table"
        );
        table.set_heir(to, ()).unwrap();
        table.set_protection(Protection::Private).unwrap();
        let info = table.info().unwrap();
        assert_eq!(
            (info.heir, info.protection),
            (Some(to), Protection::Private)
        );
        let far: Pid = Node::new("another").outside();
        assert_eq!(table.set_heir(far, ()), Err(EtsError::NoProcess));
        table.clear_heir().unwrap();
        assert_eq!(table.info().unwrap().heir, None);
        end(heir).await;
    })
    .await;
}

/// However the owner ends, the table is gone before anybody is told.
async fn ends_in_all_ways() {
    let node = node();
    for way in ["normal", "error", "kill", "panic"] {
        let (owner, _) = keeper(&node).await;
        let table = make(&owner, || ets::set().named("mine").create().unwrap()).await;
        match way {
            "normal" => owner.cast(Message::Stop(ExitReason::Normal)),
            "error" => owner.cast(Message::Stop(ExitReason::Error("why".into()))),
            "panic" => owner.cast(Message::Panic),
            _ => node.exit(owner.pid(), ExitReason::Kill),
        }
        owner.wait_for_exit().await;
        assert_eq!(table.size(), None, "{way}");
        assert!(node.tables().id_of("mine").is_none(), "{way}");
    }
}
