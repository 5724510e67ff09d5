//! Accounts: names are unique among people, and made so without a race.

use std::sync::Arc;

use super::{ADA, BOB, Engine, account};
use crate::error::StoreError;
use crate::store::Write;
use model::Id;

/// A name is taken once, whatever its case, also when many ask at the same time.
pub async fn unique_names(engine: &dyn Engine) {
    let store = engine.open().await;
    store
        .create_account(account(ADA, "Ada", false))
        .await
        .unwrap();
    assert_eq!(
        store.create_account(account(BOB, "ada", false)).await,
        Err(StoreError::Conflict("username"))
    );
    assert_eq!(store.account(BOB).await.unwrap(), None);
    assert_eq!(
        store.create_account(account(ADA, "other", false)).await,
        Err(StoreError::Conflict("id"))
    );
    let tasks: Vec<_> = (0..16_u64)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                store
                    .create_account(account(Id::new(10 + n), "wanted", false))
                    .await
            })
        })
        .collect();
    let mut created = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(()) => created += 1,
            Err(error) => assert_eq!(error, StoreError::Conflict("username")),
        }
    }
    assert_eq!(created, 1);
}

/// Bots may have the name of anyone.
pub async fn bots_share_names(engine: &dyn Engine) {
    let store = engine.open().await;
    store
        .create_account(account(Id::new(1), "helper", true))
        .await
        .unwrap();
    store
        .create_account(account(Id::new(2), "helper", true))
        .await
        .unwrap();
    store
        .create_account(account(Id::new(3), "helper", false))
        .await
        .unwrap();
    assert_eq!(store.list_accounts(None, 10).await.unwrap().len(), 3);
}

/// A changed account is read back; a missing one or another name is refused.
pub async fn changes(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut ada = account(ADA, "ada", false);
    assert_eq!(
        store
            .commit(vec![Write::PutAccount(Box::new(ada.clone()))])
            .await,
        Err(StoreError::NotFound)
    );
    store.create_account(ada.clone()).await.unwrap();
    ada.token_generation = 7;
    ada.user.global_name = Some("Countess".to_owned());
    store
        .commit(vec![Write::PutAccount(Box::new(ada.clone()))])
        .await
        .unwrap();
    assert_eq!(store.account(ADA).await.unwrap(), Some(ada.clone()));
    ada.user.username = "lovelace".to_owned();
    assert_eq!(
        store.commit(vec![Write::PutAccount(Box::new(ada))]).await,
        Err(StoreError::Conflict("username"))
    );
}

/// Accounts are listed in id order, page by page, and found several at a time.
pub async fn listing(engine: &dyn Engine) {
    let store = engine.open().await;
    for n in [300_u64, 5, 70_000, 255, 256] {
        store
            .create_account(account(Id::new(n), &format!("user{n}"), false))
            .await
            .unwrap();
    }
    let page = |after: Option<u64>, limit| {
        let store = Arc::clone(&store);
        async move {
            let page = store
                .list_accounts(after.map(Id::new), limit)
                .await
                .unwrap();
            page.iter()
                .map(|account| account.user.id.get())
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(page(None, 2).await, [5, 255]);
    assert_eq!(page(Some(255), 2).await, [256, 300]);
    assert_eq!(page(Some(300), 9).await, [70_000]);
    assert_eq!(page(Some(70_000), 9).await, [0_u64; 0]);
    assert_eq!(page(None, 0).await, [0_u64; 0]);
    let found = store
        .accounts(&[Id::new(256), Id::new(1), Id::new(5), Id::new(256)])
        .await
        .unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|account| account.as_ref().map(|account| account.user.id.get()))
        .collect();
    assert_eq!(found, [Some(256), None, Some(5), Some(256)]);
}
