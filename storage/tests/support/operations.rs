//! Random writes, and everything the port can tell of what became of them.
#![allow(dead_code)]

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
use storage::Store;
use storage::conformance::{account, file, message_id, reactions, record};
use storage::store::{LastOf, LostFile, Page, RecordPatch, Write};

pub(crate) const GUILDS: [u64; 2] = [900, 901];
pub(crate) const CHANNELS: [u64; 3] = [1, 2, 3];
pub(crate) const USERS: [u64; 4] = [10, 255, 256, 70_000];

pub(crate) fn id<T>(of: &'static [u64]) -> impl Strategy<Value = Id<T>> + Clone {
    proptest::sample::select(of).prop_map(Id::new)
}

pub(crate) fn guild() -> impl Strategy<Value = GuildId> + Clone {
    id(&GUILDS)
}

pub(crate) fn channel() -> impl Strategy<Value = ChannelId> + Clone {
    id(&CHANNELS)
}

pub(crate) fn user() -> impl Strategy<Value = UserId> + Clone {
    id(&USERS)
}

pub(crate) fn message() -> impl Strategy<Value = MessageId> + Clone {
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
    (first + 1..=first + count).map(file).collect()
}

pub(crate) fn write() -> impl Strategy<Value = Write> {
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
        1 => (channel(), "[a-z]").prop_map(|(channel, letter)| {
            let lost = |file: Attachment| LostFile { channel_id: channel, attachment_id: file.id, filename: file.filename };
            Write::LoseFiles(channel, files(&letter, 2).into_iter().map(lost).collect())
        }),
        1 => (channel(), message()).prop_map(|(channel, message)| Write::RaiseLastMessage(LastOf::Channel(channel), message)),
        1 => (guild(), message()).prop_map(|(guild, message)| Write::RaiseLastMessage(LastOf::Guild(guild), message)),
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

/// Everything the port can tell, one line per question.
pub(crate) async fn everything(store: &dyn Store) -> Vec<String> {
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
    ask!(list_settings(None, 99));
    ask!(list_settings(Some("a"), 2));
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
        let seen = reactions(store, channel, &page, Id::new(255)).await;
        lines.push(format!("reactions of {channel}: {:?}", seen.unwrap()));
        for message in page {
            ask!(message(channel, message));
            ask!(reactors(
                channel,
                message,
                &storage::conformance::emoji("👍"),
                Some(Id::new(10)),
                2
            ));
            ask!(reaction_times(
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
