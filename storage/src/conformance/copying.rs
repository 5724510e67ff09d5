//! What only a copy of a whole store asks for: every setting, and what was derived from rows that are
//! gone.

use model::channel::Channel;
use model::{ChannelId, GuildId, Id, MessageId};

use super::{CHANNEL, Engine, GUILD, found, message_id, put};
use crate::store::{LastOf, LostFile, Page, Store, Write};

/// All settings, by the bytes of their names, page by page.
pub async fn listed_settings(engine: &dyn Engine) {
    let store = engine.open().await;
    let put = |name: &str| Write::PutSetting(name.to_owned(), name.as_bytes().to_vec());
    let names = ["", "aa", "b", "ab", "B", "ä", "abc"];
    store.commit(names.map(put).to_vec()).await.unwrap();
    let listed = async |after, limit| {
        let page = store.list_settings(after, limit).await.unwrap();
        let named = |(name, value): (String, Vec<u8>)| {
            assert_eq!(value, name.as_bytes());
            name
        };
        page.into_iter().map(named).collect::<Vec<_>>()
    };
    let mut sorted = names;
    sorted.sort_unstable();
    assert_eq!(listed(None, 99).await, sorted);
    assert_eq!(listed(None, 2).await, sorted[..2]);
    assert_eq!(listed(Some(""), 2).await, sorted[1..3]);
    assert_eq!(listed(Some("a"), 2).await, ["aa", "ab"]);
    assert_eq!(listed(Some("ab"), 1).await, ["abc"]);
    assert!(listed(Some("ä"), 9).await.is_empty());
    assert!(listed(None, 0).await.is_empty());
    store
        .commit(vec![Write::PutSetting("b".to_owned(), b"b".to_vec())])
        .await
        .unwrap();
    assert_eq!(listed(None, 99).await.len(), names.len());
}

async fn last(
    store: &dyn Store,
    guild: GuildId,
    channel: ChannelId,
) -> (Option<MessageId>, Option<MessageId>) {
    let snapshot = store.guild_without_members(guild).await.unwrap().unwrap();
    let found = snapshot.channels.iter().find(|c| c.id == channel);
    let found = found.and_then(|c| c.last_message_id);
    (found, snapshot.last_message_id)
}

/// The last message ids of a channel and its guild rise without a message, and never sink.
pub async fn raised_last_messages(engine: &dyn Engine) {
    let store = engine.open().await;
    found(&*store).await;
    let channel = LastOf::Channel(CHANNEL);
    let guild = LastOf::Guild(GUILD);
    let (low, mid, high) = (message_id(1, 1), message_id(2, 2), message_id(3, 3));
    let raise = Write::RaiseLastMessage;
    let batch = vec![raise(channel, mid), raise(channel, low)];
    store.commit(batch).await.unwrap();
    assert_eq!(last(&*store, GUILD, CHANNEL).await, (Some(mid), None));
    let batch = vec![raise(guild, high), raise(guild, low)];
    store.commit(batch).await.unwrap();
    assert_eq!(last(&*store, GUILD, CHANNEL).await, (Some(mid), Some(high)));
    assert!(
        store
            .messages(CHANNEL, Page::Latest, 9)
            .await
            .unwrap()
            .is_empty()
    );
    // A message below is a new one all the same.
    store.commit(vec![put(low)]).await.unwrap();
    assert_eq!(last(&*store, GUILD, CHANNEL).await, (Some(mid), Some(high)));
    assert!(store.message(CHANNEL, low).await.unwrap().is_some());
    store
        .commit(vec![raise(channel, high), put(mid)])
        .await
        .unwrap();
    assert_eq!(
        last(&*store, GUILD, CHANNEL).await,
        (Some(high), Some(high))
    );
    // It goes with its channel.
    let again = Write::PutChannel(Box::new(Channel::new(CHANNEL, GUILD, 0, "again")));
    store
        .commit(vec![Write::DeleteChannel(GUILD, CHANNEL), again])
        .await
        .unwrap();
    assert_eq!(last(&*store, GUILD, CHANNEL).await, (None, Some(high)));
}

/// Files can be put on the list of those to delete, again without harm.
pub async fn files_put_on_the_list(engine: &dyn Engine) {
    let store = engine.open().await;
    let lost = |id: u64| LostFile {
        channel_id: CHANNEL,
        attachment_id: Id::new(id),
        filename: format!("{id}.txt"),
    };
    for files in [vec![lost(3), lost(1)], vec![lost(1), lost(2)]] {
        store
            .commit(vec![Write::LoseFiles(CHANNEL, files)])
            .await
            .unwrap();
    }
    let batch = vec![
        Write::LoseFiles(CHANNEL, vec![lost(4)]),
        Write::ForgetFiles(CHANNEL, vec![Id::new(4), Id::new(2)]),
    ];
    store.commit(batch).await.unwrap();
    assert_eq!(store.files_to_delete(9).await.unwrap(), [lost(1), lost(3)]);
}
