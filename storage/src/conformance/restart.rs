//! What was acknowledged is there after a restart.

use super::{
    ADA, BOB, CHANNEL, Engine, GUILD, account, emoji, found, message_id, put, reaction, reactions,
    record,
};
use crate::error::StoreError;
use crate::store::{Page, Write};
use model::Id;

/// Every kind of row survives a clean close, and one without a close.
pub async fn everything_is_still_there(engine: &dyn Engine) {
    if !engine.durable() {
        return;
    }
    let id = message_id(1, 1);
    let mut large = record(message_id(1, 2));
    large.content = "x".repeat(20_000);
    {
        let store = engine.open().await;
        found(&*store).await;
        let batch = vec![
            put(id),
            Write::PutMessage(Box::new(large.clone())),
            Write::PutReaction(reaction(id, ADA, "👍", 1)),
            Write::PutPin(CHANNEL, id, 77),
            Write::PutSetting("secret".to_owned(), vec![1, 2, 3]),
            Write::PutReadState(Box::new(super::read_states::read(7))),
        ];
        store.commit(batch).await.unwrap();
        store.close().await.unwrap();
    }
    let before = {
        let store = engine.open().await;
        store
            .commit(vec![Write::PutReaction(reaction(id, BOB, "👍", 2))])
            .await
            .unwrap();
        let snapshot = store.guild(GUILD).await.unwrap().unwrap();
        assert_eq!(snapshot.last_message_id, Some(large.id));
        snapshot
    };
    let store = engine.open().await;
    assert_eq!(store.guild(GUILD).await.unwrap(), Some(before));
    assert_eq!(
        store.messages(CHANNEL, Page::Latest, 9).await.unwrap(),
        [large, record(id)]
    );
    let reactions = reactions(&*store, CHANNEL, &[id], BOB)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        (reactions[0].count, reactions[0].me, &reactions[0].emoji),
        (2, true, &emoji("👍"))
    );
    assert_eq!(
        store.pins(CHANNEL, None, 9).await.unwrap(),
        [(record(id), 77)]
    );
    assert_eq!(store.setting("secret").await.unwrap(), Some(vec![1, 2, 3]));
    let read = store.read_state(ADA, CHANNEL).await.unwrap();
    assert_eq!(read, Some(super::read_states::read(7)));
    assert_eq!(store.guilds_of(BOB).await.unwrap(), [GUILD]);
    assert_eq!(
        store
            .create_account(account(Id::new(9), "ada", false))
            .await,
        Err(StoreError::Conflict("username"))
    );
}
