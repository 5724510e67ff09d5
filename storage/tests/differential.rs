//! Random operations on the reference engine and on another give equal answers, also after a reopen.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use model::{ChannelId, UserId};
use proptest::prelude::*;
use storage::conformance::account;
use storage::store::Write;
use storage::{Store, StoreError, engine};

#[path = "support/operations.rs"]
mod operations;
#[path = "support/keyspace.rs"]
mod keyspace;

use keyspace::Keyspace;
use operations::{channel, everything, user, write};

#[derive(Debug, Clone)]
enum Operation {
    Batch(Vec<Write>),
    CreateAccount(UserId, u8, bool),
    Purge(ChannelId, usize),
    Reopen,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        12 => proptest::collection::vec(write(), 1..8).prop_map(Operation::Batch),
        2 => (user(), 0_u8..3, any::<bool>()).prop_map(|(user, name, bot)| Operation::CreateAccount(user, name, bot)),
        2 => (channel(), 0_usize..6).prop_map(|(channel, limit)| Operation::Purge(channel, limit)),
        1 => Just(Operation::Reopen),
    ]
}

/// What went wrong, without texts that engines word differently.
fn outcome<T>(result: Result<T, StoreError>) -> Result<T, std::mem::Discriminant<StoreError>> {
    result.map_err(|error| std::mem::discriminant(&error))
}

async fn run(store: &Arc<dyn Store>, operation: &Operation) -> String {
    match operation {
        Operation::Batch(batch) => format!("{:?}", outcome(store.commit(batch.clone()).await)),
        Operation::CreateAccount(user, name, bot) => {
            format!(
                "{:?}",
                outcome(
                    store
                        .create_account(account(*user, &format!("name{name}"), *bot))
                        .await
                )
            )
        }
        Operation::Purge(channel, limit) => {
            format!("{:?}", outcome(store.purge_channel(*channel, *limit).await))
        }
        Operation::Reopen => String::new(),
    }
}

/// Runs the operations on both engines and compares whatever both can tell.
async fn compare(url: &str, operations: &[Operation]) -> Result<(), TestCaseError> {
    let reference = engine::open("memory:").await.unwrap();
    let mut durable = engine::open(url).await.unwrap();
    for operation in operations {
        if matches!(operation, Operation::Reopen) {
            drop(durable);
            durable = engine::open(url).await.unwrap();
        }
        let (expected, answer) = (
            run(&reference, operation).await,
            run(&durable, operation).await,
        );
        prop_assert_eq!(expected, answer, "{:?}", operation);
    }
    let (expected, found) = (everything(&*reference).await, everything(&*durable).await);
    for (expected, found) in expected.iter().zip(&found) {
        prop_assert_eq!(expected, found);
    }
    prop_assert_eq!(expected.len(), found.len());
    Ok(())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn engines_agree(operations in proptest::collection::vec(operation(), 1..40)) {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("fjall:{}", directory.path().display());
        runtime().block_on(compare(&url, &operations))?;
    }
}

proptest! {
    // Each case makes a keyspace, which takes seconds.
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn scylla_agrees(operations in proptest::collection::vec(operation(), 20..80)) {
        if let Some(keyspace) = Keyspace::new() {
            runtime().block_on(compare(keyspace.url(), &operations))?;
        }
    }
}
