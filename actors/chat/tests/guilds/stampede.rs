//! Everybody reads the same page at once.

use chat::guild::command::Actor;
use chat::{Chat, guild, history};
use futures_util::future::join_all;
use model::emoji::ReactionEmoji;
use model::message::Draft;
use otp::Node;
use storage::DataService;
use storage::blob::BlobStore;
use storage::store::Page;

use crate::world::World;

const READERS: usize = 10_000;

/// On a node that has just started and remembers nobody: authors, answered messages and reactions
/// are read as well, each once.
#[tokio::test]
async fn ten_thousand_readers_of_a_page_cost_a_handful_of_queries() {
    let world = World::new().await;
    let first = world.post("first").await.unwrap();
    for number in 0..50 {
        let message = world.post(&format!("{number}")).await.unwrap();
        if number % 10 == 0 {
            let thumb = ReactionEmoji::parse("👍").unwrap();
            let member = Actor::User(world.member.user.id);
            guild::add_reaction(&world.chat, member, world.channel, message.id, thumb)
                .await
                .unwrap();
        }
    }
    let answer = Draft {
        content: "answers what is on no page".to_owned(),
        reply_to: Some(first.id),
        ..Draft::default()
    };
    world.post_draft(answer).await.unwrap();

    let data = DataService::new(world.store.clone());
    let chat = Chat::start(
        Node::new("later"),
        data.clone(),
        BlobStore::memory(),
        world.chat.config().clone(),
    )
    .await
    .unwrap();
    let read = |actor| history::messages(&chat, actor, world.channel, Page::Latest, 50);
    // The guild starts with the first who asks; what that costs is not the page's.
    guild::access(
        &chat,
        Actor::User(world.owner.user.id),
        world.channel,
        model::permissions::Permissions::VIEW_CHANNEL,
    )
    .await
    .unwrap();
    let before = world.store.all_reads();
    world.store.hold_reads();
    let readers = (0..READERS).map(|reader| {
        let user = if reader % 2 == 0 {
            &world.owner
        } else {
            &world.member
        };
        read(Actor::User(user.user.id))
    });
    let released = async {
        otp::eventually!(data.readers() == READERS);
        world.store.release_all_reads();
    };
    let (pages, ()) = futures_util::join!(join_all(readers), released);
    for (reader, page) in pages.into_iter().enumerate() {
        let page = page.unwrap();
        assert_eq!(page.len(), 50);
        let referenced = page[0].referenced_message.as_ref().unwrap();
        assert_eq!(referenced.as_ref().unwrap().content, "first");
        assert_eq!(page[0].author.username, "owner");
        let reacted = page.iter().flat_map(|message| &message.reactions);
        let mine: Vec<_> = reacted.map(|reaction| reaction.me).collect();
        assert_eq!(mine, vec![reader % 2 == 1; mine.len()]);
        assert_eq!(mine.len(), 4);
    }
    let asked = world.store.all_reads() - before;
    // The page, the reactions' counts, who they are of, the answered message, the authors.
    assert!(asked <= 5, "{asked} queries");
    chat.node().stop().await;
}
