//! Making tables, their names, rights and information.

use std::sync::Arc;

use otp::ets::{self, EtsError, Kind, Protection, TABLES_MAX, Table, WriteConcurrency};
use otp::{ExitReason, Node, eventually, task};

use super::{Gate, Gated, crowd, own, own_async, stranger, tables};

crate::cases! {
    defaults: "ETS-001";
    bad_options: "ETS-003", "ETS-004";
    named: "ETS-005";
    key_in_the_object: "ETS-006";
    deleted_table: "ETS-015";
    large_table: "ETS-016";
    large_named_table: "ETS-017";
    no_leak: "ETS-019";
    double_delete: "ETS-020";
    info: "ETS-036";
    rename: "ETS-049";
    rename_unnamed: "ETS-050";
    rename_meanwhile: "ETS-051";
    write_concurrency: "ETS-084";
    all_tables: "ETS-093";
    all_tables_of_many: "ETS-094";
    whereis: "ETS-096";
    limits;
}

async fn defaults() {
    own(|node| {
        let table = ets::set::<u32, u32>().create().unwrap();
        let info = table.info().unwrap();
        assert_eq!(info.kind, Kind::Set);
        assert_eq!(info.protection, Protection::Protected);
        assert_eq!(Some(info.owner), task::self_pid());
        assert_eq!((info.heir, info.named, info.name), (None, false, None));
        assert_eq!((info.size, info.fixed), (0, false));
        assert_eq!(info.write_concurrency, WriteConcurrency::Off);
        assert!(!info.read_concurrency);
        assert_eq!(node.tables().len(), 1);
    })
    .await;
}

async fn bad_options() {
    // What is no option does not compile; the rest is refused, and no table is left.
    let outside = ets::set::<u32, u32>().create();
    assert_eq!(outside.unwrap_err(), EtsError::NoProcess);
    own(|node| {
        for name in ["", "undefined"] {
            let table = ets::set::<u32, u32>().named(name).create();
            assert_eq!(table.unwrap_err(), EtsError::BadName);
        }
        let far = Node::new("another").outside();
        let table = ets::set::<u32, u32>().heir(far, ()).create();
        assert_eq!(table.unwrap_err(), EtsError::NoProcess);
        let nobody = node.outside();
        let table = ets::set::<u32, u32>().create_for(node, nobody);
        assert_eq!(table.unwrap_err(), EtsError::NoProcess);
        assert!(node.tables().is_empty());
    })
    .await;
}

async fn named() {
    own(|node| {
        let table = ets::set::<u32, &str>().named("foo").create().unwrap();
        table.insert(1, "one").unwrap();
        let found = node.tables().whereis::<u32, &str>("foo").unwrap();
        assert_eq!(found, table);
        assert_eq!(found.get(&1).unwrap().as_deref(), Some(&"one"));
        let second = ets::bag::<u32, u32>().named("foo").create();
        assert_eq!(second.unwrap_err(), EtsError::NameTaken);
        assert_eq!(node.tables().len(), 1);
        let other = node.tables().whereis::<u32, String>("foo");
        assert_eq!(other.unwrap_err(), EtsError::OtherType);
        table.delete_table().unwrap();
        let gone = node.tables().whereis::<u32, &str>("foo");
        assert_eq!(gone.unwrap_err(), EtsError::BadTable);
        ets::bag::<u32, u32>().named("foo").create().unwrap();
    })
    .await;
}

#[derive(Clone, Debug, PartialEq)]
struct User {
    id: u32,
    age: i64,
}

async fn key_in_the_object() {
    own(|_| {
        let users = ets::set().key_by(|user: &User| user.id).create().unwrap();
        users.insert_object(User { id: 7, age: 20 }).unwrap();
        users.insert_object(User { id: 7, age: 21 }).unwrap();
        assert_eq!(users.get(&7).unwrap().unwrap().age, 21);
        // An object is never under another key than its own.
        let wrong = users.insert(8, User { id: 7, age: 1 });
        assert_eq!(wrong, Err(EtsError::BadKey));
        assert_eq!(users.size(), Some(1));
        let plain = ets::set::<u32, User>().create().unwrap();
        let keyless = plain.insert_object(User { id: 7, age: 20 });
        assert_eq!(keyless, Err(EtsError::BadKey));
    })
    .await;
}

async fn deleted_table() {
    own(|node| {
        for table in tables() {
            table.insert(1, 1).unwrap();
            let again = table.clone();
            table.delete_table().unwrap();
            assert_eq!(again.lookup(&1), Err(EtsError::BadTable));
            assert_eq!(again.insert(1, 1), Err(EtsError::BadTable));
            assert_eq!(again.info(), None);
            assert_eq!(node.tables().info(again.id()), None);
        }
    })
    .await;
}

const LARGE: usize = 200_000;

async fn delete_large(name: Option<&'static str>) {
    own_async(move |node| async move {
        let mut table = ets::set::<usize, Gated>();
        if let Some(name) = name {
            table = table.named(name);
        }
        let table = table.create().unwrap();
        let gate = Arc::new(Gate::default());
        let objects = (0..LARGE).map(|key| (key, Gated(gate.clone())));
        table.insert_all(objects).unwrap();
        table.delete_table().unwrap();
        // Gone at once, though its rows are dropped elsewhere, which takes its time.
        assert_eq!((table.size(), gate.dropped()), (None, 0));
        if let Some(name) = name {
            ets::set::<u8, u8>().named(name).create().unwrap();
        }
        gate.open();
        eventually!(gate.dropped() == LARGE);
        assert_eq!(node.tables().len(), usize::from(name.is_some()));
    })
    .await;
}

async fn large_table() {
    delete_large(None).await;
}

async fn large_named_table() {
    delete_large(Some("large")).await;
}

async fn no_leak() {
    own(|node| {
        let handle = ets::set::<u32, Arc<()>>().create().unwrap();
        let value = Arc::new(());
        for _ in 0..5_000 {
            let table = ets::set::<u32, Arc<()>>().named("again").create().unwrap();
            table.insert(1, value.clone()).unwrap();
            let fixed = table.fix().unwrap();
            table.delete_table().unwrap();
            drop(fixed);
        }
        assert_eq!(node.tables().len(), 1);
        assert_eq!(node.tables().all(), [handle.id()]);
        assert_eq!(Arc::strong_count(&value), 1);
    })
    .await;
}

async fn double_delete() {
    own(|_| {
        for table in tables() {
            table.delete_table().unwrap();
            assert_eq!(table.delete_table(), Err(EtsError::BadTable));
        }
    })
    .await;
}

async fn info() {
    own_async(|node| async move {
        let owner = task::self_pid().unwrap();
        let heir = task::spawn(&node, "heir", std::future::pending::<()>());
        for (kind, table) in [
            (Kind::Set, ets::set::<u64, u64>()),
            (Kind::OrderedSet, ets::ordered_set()),
            (Kind::Bag, ets::bag()),
            (Kind::DuplicateBag, ets::duplicate_bag()),
        ] {
            let table = table
                .label("for people")
                .private()
                .heir(heir.pid(), ())
                .read_concurrency(true)
                .write_concurrency(WriteConcurrency::Auto)
                .rows_max(100)
                .create()
                .unwrap();
            let empty = table.info().unwrap().memory;
            table.insert(1, 1).unwrap();
            table.insert(2, 2).unwrap();
            let info = table.info().unwrap();
            assert_eq!((info.id, info.kind, info.owner), (table.id(), kind, owner));
            assert_eq!(
                (info.name.as_deref(), info.named),
                (Some("for people"), false)
            );
            assert_eq!(
                (info.protection, info.heir),
                (Protection::Private, Some(heir.pid()))
            );
            assert_eq!((info.size, info.rows_max), (2, 100));
            assert_eq!(info.write_concurrency, WriteConcurrency::Auto);
            assert!(info.read_concurrency && !info.fixed);
            assert!(info.memory > empty, "{} {empty}", info.memory);
            // Whoever asks.
            let other = table.clone();
            let seen = stranger(&node, move || other.info()).await;
            assert_eq!(seen, Some(info.clone()));
            assert!(otp::observer::tables(&node).contains(&info));
            table.delete_table().unwrap();
            assert_eq!(table.info(), None);
        }
        node.exit(heir.pid(), ExitReason::Kill);
    })
    .await;
}

async fn rename() {
    own_async(|node| async move {
        let table = ets::set::<u32, u32>().named("foo").create().unwrap();
        table.insert(1, 2).unwrap();
        table.rename("bar").unwrap();
        assert!(node.tables().id_of("foo").is_none());
        assert_eq!(node.tables().id_of("bar"), Some(table.id()));
        assert_eq!(table.info().unwrap().name.as_deref(), Some("bar"));
        let found = node.tables().whereis::<u32, u32>("bar").unwrap();
        assert_eq!(found.get(&1).unwrap().as_deref(), Some(&2));
        // The old name is free, a taken one is refused.
        let second = ets::set::<u32, u32>().named("foo").create().unwrap();
        assert_eq!(second.rename("bar"), Err(EtsError::NameTaken));
        assert_eq!(second.rename("undefined"), Err(EtsError::BadName));
        assert_eq!(node.tables().id_of("foo"), Some(second.id()));
        let refused = stranger(&node, move || second.rename("baz")).await;
        assert_eq!(refused, Err(EtsError::AccessDenied));
    })
    .await;
}

async fn rename_unnamed() {
    own(|node| {
        let table = ets::set::<u32, u32>().label("foo").create().unwrap();
        table.rename("bar").unwrap();
        let info = table.info().unwrap();
        assert_eq!((info.name.as_deref(), info.named), (Some("bar"), false));
        assert!(node.tables().id_of("bar").is_none());
    })
    .await;
}

async fn rename_meanwhile() {
    own_async(|node| async move {
        let table = ets::set::<i64, i64>()
            .named("a0")
            .public()
            .create()
            .unwrap();
        let shared = table.clone();
        let names = node.clone();
        crowd(&node, 4, move |number| {
            for round in 0..300 {
                if number % 2 == 0 {
                    let _ = shared.rename(format!("a{number}{round}"));
                } else {
                    let name = shared.info().unwrap().name.unwrap();
                    // It may have another one by now; it is never another table's.
                    let found = names.tables().whereis::<i64, i64>(&name);
                    assert!(found.is_err() || found == Ok(shared.clone()));
                    shared.insert(round, round).unwrap();
                }
            }
        })
        .await;
        let name = table.info().unwrap().name.unwrap();
        assert_eq!(node.tables().id_of(&name), Some(table.id()));
        assert_eq!(table.size(), Some(300));
        // One name only: the others are all free.
        table.delete_table().unwrap();
        for round in 0..300 {
            assert!(node.tables().id_of(&format!("a0{round}")).is_none());
            assert!(node.tables().id_of(&format!("a2{round}")).is_none());
        }
    })
    .await;
}

async fn write_concurrency() {
    own(|_| {
        for kind in 0..4 {
            for read in [false, true] {
                for write in [
                    WriteConcurrency::Off,
                    WriteConcurrency::On,
                    WriteConcurrency::Auto,
                ] {
                    let options = match kind {
                        0 => ets::set::<i64, i64>(),
                        1 => ets::ordered_set(),
                        2 => ets::bag(),
                        _ => ets::duplicate_bag(),
                    };
                    let options = options.read_concurrency(read).write_concurrency(write);
                    let table = options.create().unwrap();
                    let info = table.info().unwrap();
                    assert_eq!(
                        (info.read_concurrency, info.write_concurrency),
                        (read, write)
                    );
                    // However many locks it has, it holds what it is given.
                    table.insert_all((0..500).map(|key| (key, -key))).unwrap();
                    assert_eq!(table.size(), Some(500));
                    assert!((0..500).all(|key| table.get(&key).unwrap() == Some(Arc::new(-key))));
                }
            }
        }
        let memory = |write| {
            let table = ets::set::<u8, u8>().write_concurrency(write).create();
            table.unwrap().info().unwrap().memory
        };
        assert!(memory(WriteConcurrency::On) > 8 * memory(WriteConcurrency::Off));
    })
    .await;
}

async fn all_tables() {
    own_async(|node| async move {
        let lasting = ets::set::<u8, u8>().create().unwrap();
        let looker = node.clone();
        let id = lasting.id();
        crowd(&node, 4, move |number| {
            for _ in 0..200 {
                if number == 0 {
                    let all = looker.tables().all();
                    assert!(all.contains(&id));
                    assert!(all.is_sorted());
                } else {
                    let table = ets::set::<u8, u8>().create().unwrap();
                    assert!(looker.tables().all().contains(&table.id()));
                    table.delete_table().unwrap();
                    assert!(!looker.tables().all().contains(&table.id()));
                }
            }
        })
        .await;
        assert_eq!(node.tables().all(), [id]);
    })
    .await;
}

async fn all_tables_of_many() {
    own_async(|node| async move {
        let mut owners = Vec::new();
        for _ in 0..20 {
            owners.push(task::spawn(&node, "owner", async move {
                let mine: Vec<_> = (0..200)
                    .map(|_| ets::set::<u8, u8>().create().unwrap())
                    .collect();
                std::future::pending::<()>().await;
                drop(mine);
            }));
        }
        eventually!(node.tables().len() == 4_000);
        assert_eq!(node.tables().all().len(), 4_000);
        for owner in &owners {
            node.exit(owner.pid(), ExitReason::Kill);
        }
        for owner in owners {
            owner.await.unwrap_err();
        }
        assert!(node.tables().all().is_empty());
    })
    .await;
}

async fn whereis() {
    own(|node| {
        let first = ets::set::<u32, &str>().named("foo").create().unwrap();
        first.insert(1, "first").unwrap();
        let handle = node.tables().whereis::<u32, &str>("foo").unwrap();
        let id = node.tables().id_of("foo").unwrap();
        assert_eq!(id, first.id());
        assert_eq!(node.tables().get::<u32, &str>(id), Ok(first.clone()));
        first.delete_table().unwrap();
        let second = ets::set::<u32, &str>().named("foo").create().unwrap();
        second.insert(1, "second").unwrap();
        // The handle is of the table it was, and that is gone.
        assert_eq!(handle.get(&1), Err(EtsError::BadTable));
        assert_eq!(node.tables().get::<u32, &str>(id), Err(EtsError::BadTable));
        assert_ne!(second.id(), id);
        assert!(node.tables().id_of("bar").is_none());
    })
    .await;
}

async fn limits() {
    own(|node| {
        let full = ets::bag::<u32, u32>().rows_max(3).create().unwrap();
        full.insert_all([(1, 1), (1, 2)]).unwrap();
        assert_eq!(full.insert_all([(2, 1), (3, 1)]), Err(EtsError::Full));
        assert_eq!(full.size(), Some(2), "none of the list");
        full.insert(2, 1).unwrap();
        assert_eq!(full.insert_new(3, 1), Err(EtsError::Full));
        full.delete(&1).unwrap();
        assert_eq!(full.insert_new(3, 1), Ok(true));
        // A set that is full can still replace, and what is kept for a walk takes room.
        let set = ets::set::<u32, u32>().rows_max(2).create().unwrap();
        set.insert_all([(1, 1), (2, 2)]).unwrap();
        set.insert(1, 10).unwrap();
        let fixed = set.fix().unwrap();
        set.delete(&1).unwrap();
        assert_eq!(set.insert(3, 3), Err(EtsError::Full));
        drop(fixed);
        set.insert(3, 3).unwrap();
        let refused = node.tables().refused_total();
        let tables: Vec<Table<u8, u8>> = (2..TABLES_MAX)
            .map(|_| ets::set().create().unwrap())
            .collect();
        let one_more = ets::set::<u8, u8>().named("more").create();
        assert_eq!(one_more.unwrap_err(), EtsError::TooManyTables);
        assert_eq!(node.tables().refused_total(), refused + 1);
        tables[0].delete_table().unwrap();
        ets::set::<u8, u8>().named("more").create().unwrap();
    })
    .await;
}
