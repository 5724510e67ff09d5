//! Random operations on the reference engine and on another give equal answers, also after a reopen.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use model::attachment::Attachment;
use model::ban::BanRecord;
use model::channel::Channel;
use model::emoji::ReactionEmoji;
use model::guild::Guild;
use model::member::MemberRecord;
use model::reaction::ReactionRecord;
use model::read_state::ReadState;
use model::role::Role;
use model::{ChannelId, GuildId, Id, MessageId, UserId};
use proptest::prelude::*;
use storage::conformance::{account, message_id, record};
use storage::store::{Page, RecordPatch, Write};
use storage::{Store, StoreError, engine};

#[path = "support/keyspace.rs"]
mod keyspace;

use keyspace::Keyspace;

const GUILDS: [u64; 2] = [900, 901];
const CHANNELS: [u64; 3] = [1, 2, 3];
const USERS: [u64; 4] = [10, 255, 256, 70_000];

#[derive(Debug, Clone)]
enum Operation {
    Batch(Vec<Write>),
    CreateAccount(UserId, u8, bool),
    Purge(ChannelId, usize),
    Reopen,
}

fn id<T>(of: &'static [u64]) -> impl Strategy<Value = Id<T>> + Clone {
    proptest::sample::select(of).prop_map(Id::new)
}

fn guild() -> impl Strategy<Value = GuildId> + Clone {
    id(&GUILDS)
}

fn channel() -> impl Strategy<Value = ChannelId> + Clone {
    id(&CHANNELS)
}

fn user() -> impl Strategy<Value = UserId> + Clone {
    id(&USERS)
}

fn message() -> impl Strategy<Value = MessageId> + Clone {
    (0_u64..3, 0_u64..4).prop_map(|(bucket, number)| message_id(bucket * 2, number))
}

fn emoji() -> impl Strategy<Value = ReactionEmoji> + Clone {
    let unicode =
        proptest::sample::select(vec!["👍", "👍🏽", "❤"]).prop_map(storage::conformance::emoji);
    let custom = (1_u64..3, "[ab]").prop_map(|(id, name)| ReactionEmoji {
        id: Some(Id::new(id)),
        name: Some(name),
        animated: false,
    });
    prop_oneof![unicode, custom]
}

/// Some files, the same ones for the same letter.
fn files(letter: &str, count: u64) -> Vec<Attachment> {
    let first = u64::from(letter.as_bytes()[0] % 5);
    let file = |id| Attachment {
        id: Id::new(id),
        filename: format!("{id}.txt"),
        description: None,
        content_type: None,
        size: 1,
        url: String::new(),
        proxy_url: String::new(),
        width: None,
        height: None,
        flags: 0,
    };
    (first + 1..=first + count).map(file).collect()
}

fn write() -> impl Strategy<Value = Write> {
    let put = (
        guild(),
        channel(),
        message(),
        proptest::sample::select(vec![3_usize, 3_000, 7_000]),
        "[a-z]",
    )
        .prop_map(|(guild, channel, message, size, letter)| {
            let mut record = record(message);
            record.guild_id = guild;
            record.channel_id = channel;
            record.content = letter.repeat(size);
            record.attachments = files(&letter, 3);
            Write::PutMessage(Box::new(record))
        });
    let patch = (
        channel(),
        message(),
        "[A-Z]{1,3}",
        any::<bool>(),
        proptest::option::of("[a-z]"),
    )
        .prop_map(|(channel, message, text, pinned, kept)| {
            let patch = RecordPatch {
                content: Some(text),
                pinned: Some(pinned),
                attachments: kept.map(|letter| files(&letter, 1)),
                ..RecordPatch::default()
            };
            Write::PatchMessage(channel, message, Box::new(patch))
        });
    let react = (channel(), message(), user(), emoji(), 0_u64..5).prop_map(
        |(channel_id, message_id, user_id, emoji, at_ms)| {
            Write::PutReaction(ReactionRecord {
                channel_id,
                message_id,
                user_id,
                emoji,
                at_ms,
            })
        },
    );
    let unreact =
        (channel(), message(), emoji(), user()).prop_map(|(channel, message, emoji, user)| {
            Write::DeleteReaction(channel, message, emoji, user)
        });
    let clear = (channel(), message(), proptest::option::of(emoji()))
        .prop_map(|(channel, message, emoji)| Write::ClearReactions(channel, message, emoji));
    let joined = model::time::from_unix_ms(1_000);
    prop_oneof![
        8 => put,
        3 => patch,
        2 => (channel(), message()).prop_map(|(channel, message)| Write::DeleteMessage(channel, message)),
        6 => react,
        3 => unreact,
        1 => clear,
        3 => (channel(), message(), 0_u64..5).prop_map(|(channel, message, at_ms)| Write::PutPin(channel, message, at_ms)),
        1 => (channel(), message()).prop_map(|(channel, message)| Write::DeletePin(channel, message)),
        2 => (guild(), "[a-z]{1,3}", user()).prop_map(|(id, name, owner)| Write::PutGuild(Box::new(Guild::new(id, name, owner)))),
        1 => guild().prop_map(Write::DeleteGuild),
        1 => (channel(), "[a-z]").prop_map(|(channel, letter)| {
            let files = files(&letter, 2).into_iter().map(|file| file.id);
            Write::ForgetFiles(channel, files.collect())
        }),
        3 => (channel(), guild(), "[a-z]{1,3}").prop_map(|(id, guild, name)| Write::PutChannel(Box::new(Channel::new(id, guild, 0, name)))),
        2 => (guild(), channel()).prop_map(|(guild, channel)| Write::DeleteChannel(guild, channel)),
        1 => (guild(), 1_u64..4).prop_map(|(guild, role)| {
            Write::PutRole(guild, Box::new(Role::new(Id::new(role), "role", model::permissions::Permissions::empty(), 1)))
        }),
        1 => (guild(), 1_u64..4).prop_map(|(guild, role)| Write::DeleteRole(guild, Id::new(role))),
        3 => (guild(), user()).prop_map(move |(guild, user)| Write::PutMember(Box::new(MemberRecord::new(guild, user, joined)))),
        1 => (guild(), user()).prop_map(|(guild, user)| Write::DeleteMember(guild, user)),
        2 => (guild(), user()).prop_map(|(guild_id, user_id)| Write::PutBan(BanRecord { guild_id, user_id, reason: None })),
        1 => (guild(), user()).prop_map(|(guild, user)| Write::DeleteBan(guild, user)),
        1 => (user(), 0_u8..3, any::<bool>()).prop_map(|(user, name, bot)| Write::PutAccount(Box::new(account(user, &format!("name{name}"), bot)))),
        3 => (user(), channel(), 0_u8..3, 1_u64..20).prop_map(|(user, channel, what, id)| {
            let mut state = ReadState::new(user, channel);
            match what {
                0 => drop(state.read(Id::new(id))),
                1 => drop(state.mention(Id::new(id))),
                _ => state.set(Id::new(id), 1, id),
            }
            Write::PutReadState(Box::new(state))
        }),
        1 => (user(), channel()).prop_map(|(user, channel)| Write::DeleteReadState(user, channel)),
        1 => ("[ab]{0,2}", proptest::collection::vec(any::<u8>(), 0..4)).prop_map(|(name, value)| Write::PutSetting(name, value)),
    ]
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

/// Everything the port can tell, one line per question.
async fn everything(store: &dyn Store) -> Vec<String> {
    let mut lines = Vec::new();
    macro_rules! ask {
        ($($question:tt)*) => {
            lines.push(format!("{}: {:?}", stringify!($($question)*), store.$($question)*.await.unwrap()))
        };
    }
    ask!(list_accounts(None, 99));
    ask!(list_accounts(Some(Id::new(255)), 1));
    ask!(list_guilds(None, 99));
    ask!(channels_to_purge(99));
    ask!(files_to_delete(999));
    for name in ["", "a", "ab"] {
        ask!(setting(name));
    }
    for user in USERS.map(UserId::new) {
        ask!(guilds_of(user));
        ask!(read_states(user, 2));
        ask!(read_states(user, 99));
        ask!(account(user));
    }
    for guild in GUILDS.map(GuildId::new) {
        ask!(guild(guild));
        ask!(bans(guild, None, None, 99));
        ask!(bans(guild, Some(Id::new(256)), None, 1));
        ask!(bans(guild, Some(Id::new(70_000)), Some(Id::new(10)), 1));
    }
    for channel in CHANNELS.map(ChannelId::new) {
        ask!(guild_of_channel(channel));
        ask!(pins(channel, None, 99));
        ask!(pins(channel, Some(3), 2));
        ask!(pin_count(channel));
        for limit in [1, 3, 50] {
            ask!(messages(channel, Page::Latest, limit));
            for message in [
                message_id(0, 2),
                message_id(1, 0),
                message_id(2, 0),
                message_id(4, 3),
            ] {
                ask!(messages(channel, Page::Before(message), limit));
                ask!(messages(channel, Page::After(message), limit));
                ask!(messages(channel, Page::Around(message), limit));
            }
        }
        let page: Vec<_> = store
            .messages(channel, Page::Latest, 50)
            .await
            .unwrap()
            .iter()
            .map(|message| message.id)
            .collect();
        ask!(reactions(channel, &page, Id::new(255)));
        for message in page {
            ask!(message(channel, message));
            ask!(reactors(
                channel,
                message,
                &storage::conformance::emoji("👍"),
                Some(Id::new(10)),
                2
            ));
        }
    }
    lines
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
