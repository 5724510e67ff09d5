//! Who may do what with a table, and what a dead one says.

use std::sync::Arc;

use otp::ets::{self, Count, EtsError, Protection, Spec};
use otp::{Node, task};

use super::{Numbers, kinds, own_async, stranger, tables};

crate::cases! {
    privacy: "ETS-007";
    privacy_as_the_reference_ran_it: "ETS-103";
    bad_table: "ETS-088";
}

/// How a process may read and write a table.
fn rights(table: &Numbers) -> (Result<bool, EtsError>, Result<(), EtsError>) {
    (table.member(&1), table.insert(2, 2))
}

async fn privacy() {
    own_async(|node| async move {
        use EtsError::AccessDenied;
        for kind in kinds() {
            let table = kind.create().unwrap();
            table.insert(1, 1).unwrap();
            for (protection, read, write) in [
                (Protection::Public, Ok(true), Ok(())),
                (Protection::Protected, Ok(true), Err(AccessDenied)),
                (Protection::Private, Err(AccessDenied), Err(AccessDenied)),
            ] {
                table.set_protection(protection).unwrap();
                assert_eq!(rights(&table), (Ok(true), Ok(())), "the owner");
                let other = table.clone();
                let seen = stranger(&node, move || rights(&other)).await;
                assert_eq!(seen, (read, write), "{protection:?}");
                // Code that belongs to no process is a stranger, too.
                let other = table.clone();
                let seen = tokio::spawn(async move { rights(&other) }).await.unwrap();
                assert_eq!(seen, (read, write), "{protection:?}");
            }
        }
    })
    .await;
}

async fn privacy_as_the_reference_ran_it() {
    own_async(|node| async move {
        let private = ets::set::<i64, i64>().private().create().unwrap();
        let protected = ets::set::<i64, i64>().protected().create().unwrap();
        private.insert(1, 1).unwrap();
        protected.insert(1, 1).unwrap();
        let seen = stranger(&node, move || {
            let private = (private.get(&1), private.insert(1, 2), private.to_vec());
            assert_eq!(private.0, Err(EtsError::AccessDenied));
            assert_eq!(private.1, Err(EtsError::AccessDenied));
            assert_eq!(private.2, Err(EtsError::AccessDenied));
            (
                protected.get(&1),
                protected.insert(1, 2),
                protected.delete_table(),
            )
        });
        let (read, write, delete) = seen.await;
        assert_eq!(read, Ok(Some(Arc::new(1))));
        assert_eq!(write, Err(EtsError::AccessDenied));
        assert_eq!(delete, Err(EtsError::AccessDenied));
    })
    .await;
    // A process of another node cannot reach a table at all, even if it has a handle.
    own_async(|_| async move {
        let table = ets::set::<i64, i64>().public().create().unwrap();
        let far = Node::new("another");
        let seen = stranger(&far, move || rights(&table)).await;
        assert_eq!(seen, (Err(EtsError::BadTable), Err(EtsError::BadTable)));
    })
    .await;
}

/// Every operation, and what it says of a table that cannot be used.
fn everything(table: &Numbers) -> Vec<(&'static str, Result<(), EtsError>)> {
    let spec = Spec::all();
    let replace = Spec::new(|_: &i64, value: &Arc<i64>| Some(**value));
    vec![
        ("get", table.get(&1).map(drop)),
        ("lookup", table.lookup(&1).map(drop)),
        (
            "lookup_element",
            table.lookup_element(&1, |value| *value).map(drop),
        ),
        (
            "lookup_element_or",
            table.lookup_element_or(&1, 0, |value| *value).map(drop),
        ),
        ("member", table.member(&1).map(drop)),
        ("with", table.with(&1, |value| *value).map(drop)),
        ("first", table.first().map(drop)),
        ("first_lookup", table.first_lookup().map(drop)),
        ("last", table.last().map(drop)),
        ("last_lookup", table.last_lookup().map(drop)),
        ("next", table.next(&1).map(drop)),
        ("next_lookup", table.next_lookup(&1).map(drop)),
        ("prev", table.prev(&1).map(drop)),
        ("prev_lookup", table.prev_lookup(&1).map(drop)),
        ("foldl", table.foldl((), |(), _, _| ())),
        ("foldr", table.foldr((), |(), _, _| ())),
        ("to_vec", table.to_vec().map(drop)),
        ("fix", table.fix().map(drop)),
        ("select", table.select(&spec).map(drop)),
        ("select_reverse", table.select_reverse(&spec).map(drop)),
        ("select_limit", table.select_limit(&spec, 1).map(drop)),
        (
            "select_reverse_limit",
            table.select_reverse_limit(&spec, 1).map(drop),
        ),
        ("select_count", table.select_count(&spec).map(drop)),
        ("insert", table.insert(1, 1)),
        ("insert_all", table.insert_all([(1, 1)])),
        ("insert_new", table.insert_new(1, 1).map(drop)),
        ("insert_new_all", table.insert_new_all([(1, 1)]).map(drop)),
        ("delete", table.delete(&1)),
        ("take", table.take(&1).map(drop)),
        ("delete_object", table.delete_object(&1, &1)),
        ("delete_all", table.delete_all()),
        ("update", table.update(&1, |_| ()).map(drop)),
        ("update_or", table.update_or(&1, 1, |_| ())),
        (
            "update_counter",
            table.update_counter(&1, &[Count::by(1)]).map(drop),
        ),
        (
            "update_counter_or",
            table.update_counter_or(&1, &[Count::by(1)], 1).map(drop),
        ),
        ("count", table.count(&1, 1).map(drop)),
        ("select_delete", table.select_delete(&spec).map(drop)),
        ("select_replace", table.select_replace(&replace).map(drop)),
        ("rename", table.rename("name")),
        ("set_heir", table.set_heir(task::self_pid().unwrap(), ())),
        ("clear_heir", table.clear_heir()),
        ("set_protection", table.set_protection(Protection::Public)),
        ("give_away", table.give_away(task::self_pid().unwrap(), ())),
        ("delete_table", table.delete_table()),
    ]
}

async fn bad_table() {
    own_async(|node| async move {
        for table in tables() {
            let other = table.clone();
            table.set_protection(Protection::Private).unwrap();
            for (operation, result) in stranger(&node, move || everything(&other)).await {
                assert_eq!(result, Err(EtsError::AccessDenied), "{operation}");
            }
            table.delete_table().unwrap();
            for (operation, result) in everything(&table) {
                assert_eq!(result, Err(EtsError::BadTable), "{operation}");
            }
        }
        // A continuation of a table that goes away meanwhile.
        let table = ets::set::<i64, i64>().create().unwrap();
        table.insert_all((0..10).map(|key| (key, key))).unwrap();
        let chunk = table.select_limit(&Spec::all(), 2).unwrap();
        table.delete_table().unwrap();
        let next = chunk.more.unwrap().next().map(drop);
        assert_eq!(next, Err(EtsError::BadTable));
    })
    .await;
}
